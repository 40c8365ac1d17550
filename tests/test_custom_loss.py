"""Custom losses: two functions of numbers, by every code path, against the built-in loss and the reference."""

import functools
import math

import naive
import numpy as np
import pytest
from naive import COSTLY_DTYPES, DTYPES, assert_close
from numba import config, njit
from tasks import Task, check_pass, frozen

from fastbp import kernels

# Batches of narrow networks, layer by layer, small batches, and per-sample learning (batch size 0).
WAYS = [
    *[((3, 5, 4, 2), 150, 100), ((3, 5, 4, 2), 20, 7), ((260, 280, 7), 50, 20)],
    *[((3, 5, 4, 2), 20, 0), ((4, 3, 2), 9, 0), ((20, 70, 3), 9, 0)],
]
custom_loss = functools.cache(kernels.CustomLoss)


def half_square(y, a):
    return 0.5 * (a - y) ** 2


def difference(y, a):
    return a - y


# Functions of Python that Numba knows; asymmetric, so that swapping y and a is noticed
def log_cosh(y, a):
    return math.log(math.cosh(a - 2 * y))


def log_cosh_slope(y, a):
    return math.tanh(a - 2 * y)


def learned(task, batch_size, loss=None, optimizer="sgd", learning_rate=0.1):
    """The results of a pass, and the weights after it."""
    params = task.params.copy()
    if batch_size == 0:
        sizes, activations, code, *rest = task.codes()
        network = (sizes, activations, code if loss is None else loss, *rest)
        epoch = kernels.prepare_online(task.X, task.Y, task.weight, *network, params, learning_rate, 0.01)
        return epoch(task.order), params
    epoch = task.prepared(params, batch_size, optimizer, task.states(optimizer), loss=loss)
    return epoch(task.order, 0, learning_rate, 0.01), params


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
@pytest.mark.parametrize("output", ["identity", "logistic", "softmax", "exp", "leaky_relu"])
def test_a_custom_square_is_squared_error(output, sizes, n, batch_size, dtype):
    own = custom_loss(half_square, difference, dtype)
    task = Task(sizes, n, dtype=dtype, hidden="tanh", pair=("squared_error", output), decision="threshold")
    (wanted, weights), (found, params) = learned(task, batch_size), learned(task, batch_size, own)
    np.testing.assert_allclose(found, wanted, rtol=1e-12 if dtype == np.float64 else 1e-5)
    assert_close(params, weights.astype(np.float64), scale=1 + abs(weights).max())
    assert abs(params - task.params).max() > 1e-4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["logistic", "softmax", "identity"])
@pytest.mark.parametrize(("sizes", "n", "batch_size"), [way for way in WAYS if way[2] > 0])
def test_against_the_reference(sizes, n, batch_size, output, dtype):
    own = custom_loss(log_cosh, log_cosh_slope, dtype)
    functions = (lambda y, a: np.log(np.cosh(a - 2 * y)), lambda y, a: np.tanh(a - 2 * y))
    task = Task(sizes, n, dtype=dtype, hidden="silu", pair=("squared_error", output))
    task.words = lambda: (task.sizes, task.names, functions, task.loss_parameter, task.decision)
    check_pass(task, batch_size, "momentum", 0.02, 0.01, loss=own)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("output", ["logistic", "softmax", "identity"])
def test_losses_and_deltas_of_given_outputs(output, dtype):
    kept, rng = custom_loss(log_cosh, log_cosh_slope, dtype), np.random.default_rng(0)
    own, activation, none = int(kept), kernels.ACTIVATIONS[output], np.empty(0, dtype)
    for n, d in [(0, 3), (1, 1), (5, 3), (7, 19)]:
        a, y = (naive.activation_forward(output, rng.normal(size=(n, d))).astype(dtype) for _ in range(2))
        weight, delta = rng.uniform(size=n).astype(dtype), np.empty((n, d), dtype)
        kernels.output_delta(own, none, activation, a, y, delta)
        slope = np.tanh(a.astype(np.float64) - 2 * y)
        wanted = naive.activation_derivative(output, a) * slope
        if output == "softmax":
            wanted = a * (slope - (a * slope).sum(axis=1, keepdims=True))
        assert_close(delta, wanted)
        if n > 0:
            loss, share = kernels.evaluate(own, none, activation, kernels.ARGMAX, a, y, weight)
            wanted_loss = (weight * np.log(np.cosh(a - 2 * y.astype(np.float64))).sum(axis=1)).mean()
            np.testing.assert_allclose(loss, wanted_loss, rtol=1e-5 if dtype == np.float32 else 1e-12)
            assert share == pytest.approx((a.argmax(axis=1) == y.argmax(axis=1)).mean())


def test_functions_compiled_before_and_numbers_that_they_close_over():
    level = 0.3
    plain = (lambda y, a: max((1 - level) * (a - y), level * (y - a)), lambda y, a: 1 - level if a > y else -level)
    task, found = Task((3, 5, 2), 30, pair=("quantile", "identity")), []
    task.loss_parameter = frozen([level] * 2, np.float64)
    for loss in (
        None,
        kernels.CustomLoss(*plain, np.float64),
        kernels.CustomLoss(*(njit(f) for f in plain), np.float64),
    ):
        found.append(learned(task, 7, loss)[1])
    np.testing.assert_allclose(found[1], found[0], rtol=1e-12)
    np.testing.assert_array_equal(found[1], found[2])


def test_integers_are_numbers_too():
    constant = kernels.CustomLoss(lambda y, a: 1, lambda y, a: 0, np.float64)
    task = Task((3, 5, 2), 20)
    task.weight = frozen(np.ones(20))
    for batch_size in (0, 7):
        found, params = learned(task, batch_size, constant)
        assert found.loss == 2
        assert found.failed == -1
        shrunk = params / task.params
        assert ((shrunk > 0.97) & (shrunk <= 1)).all()  # only the penalty changes them


def test_int_is_the_address():
    own = kernels.CustomLoss(half_square, difference, np.float32)
    assert int(own) == int(own) > 1 << 16


@pytest.mark.skipif(config.NUMBA_NUM_THREADS < 2, reason="one processor")
@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_the_same_bits_on_threads(dtype):
    own = custom_loss(log_cosh, log_cosh_slope, dtype)
    for sizes, n, batch_size in [((3, 5, 4, 2), 2300, 1100), *WAYS[:3]]:
        task, found = Task(sizes, n, dtype=dtype, hidden="mish"), []
        for threads in (1, 2):
            params, states = task.params.copy(), task.states("adam")
            with kernels.threads(threads):
                epoch = task.prepared(params, batch_size, "adam", states, loss=own, parallel=threads > 1)
                found.append((epoch(task.order, 0, 0.01, 0.1), [x.tobytes() for x in (params, *states)]))
        assert found[0] == found[1]


# What fails


class Unknown:
    pass


@pytest.mark.parametrize(
    "functions",
    [
        (lambda y, a: Unknown(), difference),
        (half_square, lambda y, a: Unknown()),
        (lambda y: y, difference),
        (half_square, lambda y, a, b: a),
        (lambda y, a: "1", difference),
        (half_square, lambda y, a: "1"),
        (lambda y, a: None, difference),
        (lambda y, a: undefined, difference),  # noqa: F821
        (lambda y, a: [a], difference),
    ],
)
def test_what_numba_cannot_compile_is_refused(functions):
    with pytest.raises(ValueError, match="loss: expected two functions of two numbers"):
        kernels.CustomLoss(*functions, np.float64)


@pytest.mark.parametrize("loss", [np.linalg.norm, 3, None])
def test_things_that_are_no_functions_are_refused(loss):
    with pytest.raises((TypeError, ValueError), match="function"):
        kernels.CustomLoss(loss, difference, np.float64)


def hole(y, a):
    return math.nan if y == 7 else 0.5 * (a - y) ** 2


def overflow(y, a):
    return math.inf if y == 7 else 0.5 * (a - y) ** 2


def hole_slope(y, a):
    return math.nan if y == 7 else a - y


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("value", [hole, overflow])
@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
def test_a_pass_ends_before_the_update_by_a_loss_that_is_not_finite(sizes, n, batch_size, value, dtype):
    own = custom_loss(value, hole_slope, dtype)
    batches = -(-n // batch_size) if batch_size else n
    for failing in sorted({0, 1, batches - 1}):
        task, good = Task(sizes, n, 1, dtype, "tanh"), Task(sizes, n, 1, dtype, "tanh")
        Y = np.array(task.Y)
        Y[task.order[failing * max(batch_size, 1)], -1] = 7
        task.Y = frozen(Y)
        found, params = learned(task, batch_size, own)
        assert found.failed == failing
        assert not np.isfinite(found.loss)
        good.order = good.order[: failing * max(batch_size, 1)]
        want = learned(good, batch_size, own)[1] if failing else good.params
        if batch_size:
            np.testing.assert_array_equal(params, want)
        else:  # updates that wait for the next sample are made at the end of a call
            assert_close(params, want.astype(np.float64))


def test_a_loss_is_computed_where_the_weight_is_zero():
    """0 NaN is NaN: a sample with weight 0 must still have a finite loss."""
    own, task = kernels.CustomLoss(hole, hole_slope, np.float64), Task((3, 5, 2), 6)
    Y, weight = np.array(task.Y), np.array(task.weight)
    Y[2], weight[2] = 7, 0
    task.Y, task.weight = frozen(Y), frozen(weight)
    for batch_size in (0, 6):
        assert learned(task, batch_size, own)[0].failed >= 0


def test_programs_may_use_its_former_name():
    assert kernels.OwnLoss is kernels.CustomLoss
