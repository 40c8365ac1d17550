"""Numbers at the limits of their range: saturated units, losses of certain outputs, NaN, denormal states."""

import itertools

import naive
import numpy as np
import pytest
from naive import DTYPES, ELEMENTWISE, LOSS_PAIRS, OF_INPUT, PARAMETRIC
from tasks import Task, frozen

from fastbp import kernels

every_dtype = pytest.mark.parametrize("dtype", DTYPES)


# Saturation


def far(dtype):
    """Numbers from 0 to the largest, of both signs, as one row."""
    largest = float(np.finfo(dtype).max)
    points = [0, 1e-30, 1, 20, 88, 104, 710, 746, 1e4, 1e10, 1e30, largest / 4, largest / 2, largest]
    return np.array(sorted({sign * p for sign in (-1, 1) for p in points if p <= largest}), dtype)[None]


@every_dtype
@pytest.mark.parametrize("name", ELEMENTWISE)
def test_units_far_out(name, dtype):
    z, kind = far(dtype), kernels.ACTIVATIONS[name]
    a, slope, largest = np.empty_like(z), np.empty_like(z), float(np.finfo(dtype).max)
    kernels.activation_forward(kind, z, a)
    kernels.activation_derivative(kind, z if name in OF_INPUT else a, slope)
    with np.errstate(over="ignore", invalid="ignore"):
        wanted = naive.activation_forward(name, z)
    # e^z, and SELU of the largest number, overflow: they are infinite, never NaN
    beyond = z > np.log(largest) if name == "exp" else (z == largest) & (name == "selu")
    assert np.isposinf(a[beyond]).all()
    np.testing.assert_allclose(
        a[~beyond], wanted[~beyond].astype(dtype), rtol=1e-5, atol={np.float32: 2.0**-126, np.float64: 1e-300}[dtype]
    )
    assert np.isfinite(slope[~beyond]).all()
    flat = abs(z) >= 1e4  # far out, each function is a straight line
    ends = {"identity": (1, 1), "leaky_relu": (naive.LEAK, 1), "selu": (0, naive.SELU_SCALE)}
    ends |= {"logistic": (0, 0), "tanh": (0, 0), "hard_sigmoid": (0, 0)}
    ends = ends.get(name, (0, 1))
    if name != "exp":
        np.testing.assert_allclose(slope[flat], np.where(z > 0, ends[1], ends[0])[flat], rtol=1e-6, atol=1e-7)


@every_dtype
def test_softmax_far_out(dtype):
    largest = float(np.finfo(dtype).max)
    z = np.array([[largest, -largest, 0], [1e30, 1e30, -1e30], [-largest, -largest, -largest], [-1e30, 0, 1e4]], dtype)
    out = np.empty_like(z)
    kernels.activation_forward(kernels.SOFTMAX, z, out)
    np.testing.assert_allclose(out, [[1, 0, 0], [0.5, 0.5, 0], [1 / 3] * 3, [0, 0, 1]], rtol=1e-6)


@every_dtype
@pytest.mark.parametrize("pair", LOSS_PAIRS, ids="-".join)
def test_losses_of_outputs_that_are_0_and_1(pair, dtype):
    a, y = np.array([[0, 1, 0, 1], [1, 0, 1, 0]], dtype), np.array([[0, 1, 1, 0], [1, 0, 0, 1]], dtype)
    parameter = np.full(4 if pair[0] in PARAMETRIC else 0, 0.3, dtype)
    codes = (kernels.LOSSES[pair[0]], parameter, kernels.ACTIVATIONS[pair[1]])
    out, eps = np.empty_like(a), np.finfo(dtype).eps
    kernels.output_delta(*codes, a, y, out)
    np.testing.assert_allclose(out, naive.output_delta(*pair, a, y, parameter), atol=1e-6)
    loss, _ = kernels.evaluate(*codes, kernels.ARGMAX, a, y, np.ones(2, dtype))
    assert np.isfinite(loss)
    if (
        pair[0] == "log_loss"
    ):  # a probability of 0 counts as the machine epsilon; each sample has one or two wrong outputs
        assert loss == pytest.approx(-np.log(float(eps)) * (2 if pair[1] == "logistic" else 1), rel=1e-6)


PAIRS = [("squared_error", "logistic"), ("log_loss", "logistic"), ("squared_error", "tanh"), ("log_loss", "softmax")]


@every_dtype
@pytest.mark.parametrize("hidden", ["logistic", "tanh"])
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
def test_networks_of_saturated_units(pair, hidden, dtype):
    rng, rate = np.random.default_rng(1), 1e-35  # times a gradient of 1e30
    for units, n, batch_size in [(4, 20, None), (6, 20, None), (6, 150, 100), (6, 20, 7)]:
        sizes = (3, units, 2)
        task = Task(sizes, n, 3, dtype, hidden, pair)
        task.X = frozen(rng.choice([0, 1, -1, 1e4, -1e4, 1e30, -1e30], size=task.X.shape), dtype)
        task.Y = frozen(np.eye(2)[rng.integers(0, 2, n)], dtype)
        params, before = task.params.copy(), task.params.astype(np.float64)
        with np.errstate(all="ignore"):
            if batch_size is None:  # in registers, and swept
                found = task.online(params, rate)
                wanted = naive.online_epoch(task.samples(), task.words(), before, rate, 0.0)
            else:  # narrow, and wide
                found = task.minibatch(params, batch_size, learning_rate=rate)
                reference = task.reference(before, batch_size, "sgd", task.states("sgd"), 0, rate, 0.0)
                wanted = (reference.loss, reference.correct, reference.params)
        np.testing.assert_allclose(found[0], wanted[0], rtol=1e-5)
        np.testing.assert_allclose(params, wanted[2], rtol=1e-5 if dtype == np.float32 else 1e-12, atol=1e-9)
        out = np.empty((n, 2), dtype)
        kernels.forward(task.X, *task.codes()[:2], frozen(params), out)
        assert ((out >= -1) & (out <= 1)).all()


@every_dtype
def test_nan_has_a_decision_and_ends_a_pass(dtype):
    task = Task((3, 5, 3), 100, dtype=dtype, pair=("log_loss", "softmax"))
    for strange, where in itertools.product((np.nan, np.inf, -np.inf), (0, 57)):
        X = np.array(task.X)
        X[where] = strange
        out, decision, none = np.empty((100, 3), dtype), np.full(100, -1), np.empty((2, 0))
        sizes, activations = (np.array(x) for x in task.codes()[:2])
        finite = kernels.infer(
            X.astype(np.float64), none, sizes, activations, frozen(task.params), none, 0.5, out, decision
        )
        assert not finite
        assert ((decision >= 0) & (decision < 3)).all()
        assert np.isfinite(np.delete(out, where, axis=0)).all()
        hostile = Task((3, 5, 3), 100, dtype=dtype, pair=("log_loss", "softmax"))
        hostile.X = frozen(np.where(np.isfinite(X), X, np.nan), dtype)
        params = task.params.copy()
        found = hostile.prepared(params, 70, "sgd", task.states("sgd"))(np.arange(100), 0, 0.0, 0.0)
        assert found.failed == (where >= 70)
        np.testing.assert_array_equal(params, task.params)


# Denormal numbers

LEAST = {np.float32: 2.0**-126, np.float64: 2.0**-1022}
NUMBERS = {
    "momentum_update": (1, (0.3, 0.9)),
    "nesterov_update": (1, (0.3, 0.9)),
    "adam_update": (2, (3, 0.01, 0.9, 0.999, 1e-8)),
    "adamw_update": (2, (3, 0.01, 0.9, 0.999, 1e-8, 0.1)),
    "nadam_update": (2, (3, 0.01, 0.9, 0.999, 1e-8)),
    "rmsprop_update": (1, (0.01, 0.999, 1e-8)),
}


@every_dtype
@pytest.mark.parametrize("name", NUMBERS)
def test_states_do_not_stay_denormal(name, dtype):
    states, numbers = NUMBERS[name]
    w, g = np.ones(40, dtype), np.zeros(40, dtype)
    start = np.resize(
        np.array(
            [1.05 * LEAST[dtype], 0.5 * LEAST[dtype], 4 * np.finfo(dtype).smallest_subnormal, 8 * LEAST[dtype]], dtype
        ),
        40,
    )
    arrays = [start.copy() for _ in range(states)]
    getattr(kernels, name)(w, g, *arrays, *numbers)
    for k, state in enumerate(arrays):
        factor = numbers[1] if states == 1 else (0.9, 0.999)[k]
        kept = start * dtype(factor)
        np.testing.assert_array_equal(state, np.where(kept < LEAST[dtype], 0, kept))
        assert (state != 0).any()


def test_without_epsilon_small_squares_are_kept():
    """The divisor of the mean must not become 0."""
    w, g = np.ones(3, np.float32), np.full(3, 1e-20, np.float32)
    m, s = np.zeros(3, np.float32), np.zeros(3, np.float32)
    kernels.adam_update(w, g, m, s, 1, 0.01, 0.9, 0.999, 0.0)
    assert (s > 0).all()
    assert np.isfinite(w).all()
