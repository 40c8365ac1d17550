"""Mini-batch learning: the gradient, and epochs of every rule by every code path, serial and parallel."""

import itertools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import BASIC, COSTLY_DTYPES, DTYPES, LOSS_PAIRS, STATES, Arena, assert_close, finite_difference
from numba import config
from tasks import (
    DEEP,
    LARGE,
    MIXED,
    NETWORK_CASES,
    SAMPLE_CASES,
    Task,
    check_pass,
    compiled,
    frozen,
    mixed,
    networks,
    refused,
    seeds,
    user_minibatch_epoch,
)
from widths import run_at_other_widths

from fastbp import kernels
from fastbp.kernels.minibatch import epoch as batches


def test_mixed_has_everything():
    assert {hidden for hidden, _ in MIXED} == set(naive.ELEMENTWISE)
    assert {pair for _, pair in MIXED} == set(LOSS_PAIRS)
    assert {loss for loss, _ in LOSS_PAIRS} == set(kernels.LOSSES)
    assert set(naive.ACTIVATIONS) == set(kernels.ACTIVATIONS)
    assert set(STATES) == set(kernels.OPTIMIZERS)


# Mini-batches: the gradient


def batch_gradient(task, l2=0.0):
    """The gradient that is followed by one update over all samples."""
    params = task.params.copy()
    task.minibatch(params, task.n, learning_rate=0.5, l2=l2)
    return (task.params - params) / 0.5


@pytest.mark.parametrize("l2", [0.0, 0.3])
@mixed
def test_batch_gradient_is_the_slope_of_the_loss(pair, hidden, l2):
    # The loss comes from `forward` and `evaluate`, plus the penalty: neither uses a derivative.
    task = Task((3, 4, 5, 3), 6, seed=2, hidden=hidden, pair=pair)
    sizes, activations, loss, parameter, decision = task.codes()
    out = np.empty((6, 3))

    def total(params):
        kernels.forward(task.X, sizes, activations, frozen(params), out)
        penalty = sum((W**2).sum() for W, _ in naive.layers(params, task.sizes))
        return (
            kernels.evaluate(loss, parameter, kernels.ACTIVATIONS[pair[1]], decision, out, task.Y, task.weight)[0]
            + l2 / 2 * penalty
        )

    np.testing.assert_allclose(batch_gradient(task, l2), finite_difference(total, task.params), rtol=0, atol=2e-8)


def test_weight_two_is_the_sample_twice():
    task, doubled = Task((3, 5, 2), 6), Task((3, 5, 2), 6)
    task.weight = frozen([1.0, 1, 2, 1, 1, 1])
    again = [0, 1, 2, 3, 4, 5, 2]
    doubled.X, doubled.Y, doubled.weight = frozen(task.X[again]), frozen(task.Y[again]), frozen(np.ones(7))
    doubled.n, doubled.order = 7, np.arange(7)
    # Both are means, over 6 and over 7 rows.
    assert_close(6 * batch_gradient(task), 7 * batch_gradient(doubled))


def test_weight_zero_is_the_sample_left_out():
    task = Task((3, 5, 2), 6)
    task.weight = frozen([1.0, 1, 0, 1, 1, 1])
    params = task.params.copy()
    left = task.online(params, order=[0, 1, 2, 3])
    want = task.params.copy()
    right = task.online(want, order=[0, 1, 3])
    np.testing.assert_allclose(params, want, rtol=1e-14)
    np.testing.assert_allclose(4 * left[0], 3 * right[0], rtol=1e-13)


@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_batches_of_one_are_per_sample_learning(l2):
    task = Task((4, 6, 3), 20, hidden="tanh", pair=("log_loss", "softmax"))
    one, batch = task.params.copy(), task.params.copy()
    np.testing.assert_allclose(task.online(one, l2=l2), task.minibatch(batch, 1, l2=l2)[:2], rtol=1e-12)
    assert_close(one, batch)


# Mini-batches: the epoch

RATES = {"sgd": 0.5, "momentum": 0.1, "nesterov": 0.1, "rmsprop": 0.005, "rprop": 0.01}
RATES |= {"adam": 0.02, "adamw": 0.02, "nadam": 0.02}
# These rules divide by the size of gradients, which may be little more than rounding errors
SLOW = {"adam": 0.005, "adamw": 0.005, "nadam": 0.005, "rmsprop": 0.0005}


def check_minibatch(task, batch_size, optimizer, l2, epochs=3, rate=None):
    arena = Arena(task.dtype)
    params, *states = (arena.put(x, written=True) for x in (task.params, *task.states(optimizer)))
    rate, step = rate or RATES[optimizer], 0
    want, want_step = [x.astype(np.float64) for x in (params, *states)], 0
    for _ in range(epochs):
        loss, share, step = task.minibatch(params, batch_size, optimizer, states, step, rate, l2)
        wanted = task.reference(want[0], batch_size, optimizer, want[1:], want_step, rate, l2)
        want, want_step = [wanted.params, wanted.first, wanted.second], wanted.step
        assert step == want_step
        np.testing.assert_allclose((loss, share), wanted[:2], rtol=1e-11 if task.dtype == np.float64 else 2e-5)
    for got, wanted in zip((params, *states), want, strict=True):
        assert_close(got, wanted, scale=1 + abs(wanted).max(initial=0), factor=epochs)
    assert abs(params - task.params).max() > 1e-3
    arena.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("batch_size", [1, 4, 5, 23, 100])
@pytest.mark.parametrize("optimizer", STATES)
def test_minibatch_epoch(optimizer, batch_size, dtype):
    check_minibatch(
        Task((3, 5, 4), 23, dtype=dtype, hidden="tanh", pair=("log_loss", "softmax")), batch_size, optimizer, 0.01
    )


@pytest.mark.parametrize("pair", LOSS_PAIRS, ids="-".join)
def test_minibatch_epoch_losses(pair):
    check_minibatch(Task((3, 5, 4, 2), 11, pair=pair, hidden="relu", decision="threshold"), 4, "sgd", 0.0)


@given(sizes=networks, n=st.integers(1, 12), batch_size=st.integers(1, 14), seed=seeds)
def test_minibatch_epoch_shapes(sizes, n, batch_size, seed):
    check_minibatch(Task(sizes, n, seed, hidden="tanh"), batch_size, "adam", 0.0, epochs=1)


# A batch is computed in one of two ways: layer by layer, or, for networks with few weights, group of samples by group.
NARROW, WIDE = (3, 5, 2), (260, 280, 7)
BATCHES = [1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 130, 300]
RULES = itertools.cycle(STATES)


def test_both_code_paths_are_tested():
    assert batches.GROUP == 64
    for dtype in DTYPES:
        assert [Task(NARROW, 1000, dtype=dtype).narrow(size) for size in BATCHES] == [size > 64 for size in BATCHES]
        assert not any(Task(WIDE, 1000, dtype=dtype).narrow(size) for size in BATCHES)
    assert not Task(NARROW, 50).narrow(1000)  # of 50 samples at most


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("batch_size", BATCHES)
@pytest.mark.parametrize("sizes", [NARROW, WIDE], ids=str)
def test_minibatch_epoch_in_tiles(sizes, batch_size, dtype):
    # two whole batches and a part of one
    task = Task(sizes, 2 * batch_size + (batch_size + 2) // 3, dtype=dtype, hidden="tanh")
    optimizer = next(RULES)
    check_minibatch(task, batch_size, optimizer, 0.01, epochs=1, rate=SLOW.get(optimizer))


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("l2", [0.0, 0.1])
@pytest.mark.parametrize("optimizer", STATES)
@pytest.mark.parametrize(
    ("sizes", "n", "batch_size"), [(NARROW, 250, 100), (NARROW, 90, 5000), (WIDE, 250, 100), (WIDE, 90, 5000)]
)
def test_minibatch_epoch_of_every_rule(sizes, n, batch_size, optimizer, l2, dtype):
    task = Task(sizes, n, dtype=dtype, hidden="tanh", pair=("log_loss", "softmax"))
    check_minibatch(task, batch_size, optimizer, l2, epochs=2, rate=SLOW.get(optimizer))


@mixed
def test_minibatch_epoch_losses_of_narrow_networks(pair, hidden):
    check_minibatch(Task((3, 5, 4, 2), 150, pair=pair, hidden=hidden, decision="threshold"), 70, "sgd", 0.01)


def test_minibatch_epoch_of_large_networks():
    for number, (sizes, dtype) in enumerate(itertools.product(DEEP + LARGE, DTYPES)):
        task = Task(sizes, (45, 30, 140)[number % 3], number, dtype, "tanh", ("log_loss", "softmax"))
        optimizer = next(RULES)
        check_minibatch(
            task, (20, 33, 130)[number % 3], optimizer, 0.01 * (number % 2), epochs=1, rate=SLOW.get(optimizer)
        )


def test_narrow_networks_in_all_parts():
    # more groups of samples than parts of a batch, and vice versa
    for n in (16 * 64 - 1, 16 * 64 + 1, 17 * 64 + 5, 40 * 64):
        assert batches.PARTS == 16
        check_minibatch(Task(NARROW, n + 100, dtype=np.float64), n, "adam", 0.01, epochs=1)


@pytest.mark.thorough
@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rprop"])
def test_minibatch_epoch_in_users_njit(optimizer):
    for sizes, n, batch_size in [(NARROW, 150, 100), (NARROW, 20, 7), ((2, 3, 2), 200, 1)]:
        task = Task(sizes, n)
        found = []
        for kernel in (None, compiled(user_minibatch_epoch)):
            params, states = task.params.copy(), task.states(optimizer)
            numbers = task.minibatch(params, batch_size, optimizer, states, kernel=kernel)
            found.append((numbers, [x.tobytes() for x in (params, *states)]))
        assert found[0] == found[1]


def test_minibatch_epoch_of_nothing():
    task = Task((2, 3, 1), 0)
    params = task.params.copy()
    loss, share, step = task.minibatch(params, 4, step=7)
    assert np.isnan([loss, share]).all()
    assert step == 7
    np.testing.assert_array_equal(params, task.params)


def test_minibatch_epoch_continues_to_count_steps():
    # Adam's correction depends on the step: two epochs with one state are not the first epoch twice.
    task = Task((2, 3, 2), 10)
    found = []
    for step in (0, 5):
        params = task.params.copy()
        assert task.minibatch(params, 4, "adam", task.states("adam"), step)[2] == step + 3
        found.append(params)
    assert abs(found[0] - found[1]).max() > 1e-3


def learned(task, batch_size, optimizer, kernel, epochs=2):
    """Everything that some epochs produce: numbers, and the bits of weights and states."""
    params, states = task.params.copy(), task.states(optimizer)
    numbers, step = [], 0
    for _ in range(epochs):
        numbers.append(task.minibatch(params, batch_size, optimizer, states, step, 0.01, 0.001, kernel))
        step = numbers[-1][2]
    return numbers, [x.tobytes() for x in (params, *states)]


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("threads", [pytest.param(1, marks=pytest.mark.thorough), 2])
def test_parallel_epoch_gives_the_same_bits(threads, dtype):
    if threads > config.NUMBA_NUM_THREADS:
        pytest.skip("one processor")
    cases = [
        (sizes, n, batch)
        for sizes in (NARROW, WIDE)
        for n, batch in [(7, 3), (130, 64), (150, 65), (260, 129), (700, 300)]
    ]
    cases += [
        (NARROW, 2300, 1100),
        (NARROW, 2300, 5000),
        *[(sizes, 150, 140) for sizes in LARGE],
        *[(sizes, 40, 33) for sizes in DEEP[::6]],
    ]
    for sizes, n, batch_size in cases:
        task, optimizer = Task(sizes, n, dtype=dtype, hidden="tanh", pair=("log_loss", "softmax")), next(RULES)
        with kernels.threads(threads) as allowed:
            assert allowed == (threads > 1)
            found = [
                learned(task, batch_size, optimizer, kernel)
                for kernel in (kernels.minibatch_epoch, kernels.minibatch_epoch_parallel)
            ]
        assert found[0] == found[1], (sizes, n, batch_size, optimizer)


@pytest.mark.parametrize("parallel", [False, True])
def test_prepared_epochs_are_the_same(parallel):
    if parallel and config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor")
    for sizes, n, batch_size in [(NARROW, 150, 100), (NARROW, 20, 7), (WIDE, 150, 100)]:
        task = Task(sizes, n)

        def prepared(X, Y, weight, order, batch_size, *rest):
            *head, step, rate = rest[:11]
            *numbers, l2 = rest[11:]
            epoch = kernels.prepare_minibatch(X, Y, weight, order.size, batch_size, *head, *numbers, parallel=parallel)
            found = epoch(order, step, rate, l2)
            return found.loss, found.correct, step - (-order.size // batch_size)

        with kernels.threads(1 + parallel) as allowed:
            assert allowed == parallel
            assert learned(task, batch_size, "adam", prepared) == learned(task, batch_size, "adam", None)


def test_a_prepared_epoch_is_called_again():
    # any number of times, in one work space, with the samples in any order
    for sizes, batch_size in [(NARROW, 100), (NARROW, 7), (WIDE, 100)]:
        task = Task(sizes, 150)
        one, other, none, step = task.params.copy(), task.params.copy(), np.empty(0), 0
        rule = (kernels.MOMENTUM, np.zeros(one.size), none, 0.9, 0.99, 1e-6)
        epoch = kernels.prepare_minibatch(task.X, task.Y, task.weight, 150, batch_size, *task.codes(), one, *rule)
        velocity = np.zeros(one.size)
        for seed in range(3):
            task.order = np.random.default_rng(seed).permutation(150)
            found = epoch(task.order, step, 0.1, 0.01)
            *numbers, step = task.minibatch(other, batch_size, "momentum", (velocity, none), step, 0.1, 0.01)
            assert [found.loss, found.correct] == numbers
            assert found.failed == -1
        np.testing.assert_array_equal(one, other)


# Wrong arguments

BATCH_CASES = {
    "batch size": {"batch_size": 0},
    "batch size below": {"batch_size": -3},
    "order below": {"order": [0, 1, -1, 2]},
    "order above": {"order": [0, 1, 2, 5]},
    "optimizer below": {"optimizer": -1},
    "optimizer above": {"optimizer": 8},
    "no velocity": {"optimizer": 1},
    "nesterov without velocity": {"optimizer": 2},
    "adam without means": {"optimizer": 3},
    "adam with one mean": {"optimizer": 3, "first": 17},
    "adamw without means": {"optimizer": 4},
    "nadam with one mean": {"optimizer": 5, "first": 17},
    "rmsprop without squares": {"optimizer": 6},
    "rprop without steps": {"optimizer": 7, "first": 17},
    "velocity short": {"optimizer": 1, "first": 16},
    "step below 0": {"optimizer": 3, "first": 17, "second": 17, "step": -1},
}


@pytest.mark.parametrize(
    "kernel",
    [
        kernels.minibatch_epoch,
        kernels.minibatch_epoch_parallel,
        pytest.param(user_minibatch_epoch, marks=pytest.mark.thorough),
    ],
)
@pytest.mark.parametrize("case", [*NETWORK_CASES, *SAMPLE_CASES, *BATCH_CASES])
def test_minibatch_epoch_refuses(case, kernel):
    names = ("X", "Y", "weight", "order", "batch_size")
    names += ("sizes", "activations", "loss", "loss_parameter", "decision", "params")
    names += ("optimizer", "first", "second", "step", "learning_rate", "beta1", "beta2", "epsilon", "l2")
    kernel = compiled(kernel) if kernel is user_minibatch_epoch else kernel
    refused(kernel, names, (NETWORK_CASES | SAMPLE_CASES | BATCH_CASES)[case])


def test_minibatch_epoch_refuses_other_layouts():
    task = Task((4, 3, 2), 6)
    size = task.params.size
    good = {"X": np.array(task.X), "Y": np.array(task.Y), "order": task.order}
    good |= {"params": task.params, "first": np.ones(size), "second": np.ones(size)}
    gaps = {name: np.repeat(array, 2, axis=0)[::2] for name, array in good.items()}
    turned = {name: np.asfortranarray(good[name]) for name in ("X", "Y")}
    for name, array in [*gaps.items(), *turned.items()]:
        X, Y, order, params, first, second = (good | {name: array}).values()
        for kernel in (kernels.minibatch_epoch, kernels.minibatch_epoch_parallel):
            rule = (kernels.ADAM, first, second, 0, 0.1, 0.9, 0.99, 1e-6, 0.0)
            with pytest.raises(ValueError, match="C-contiguous"):
                kernel(X, Y, task.weight, order, 2, *task.codes(), params, *rule)


# Not a number, and no allocation


def with_nan(task, place):
    """The task with NaN among the inputs of the sample in this place of the order."""
    X = np.array(task.X)
    X[task.order[place], 0] = np.nan
    task.X = frozen(X)
    return task


@pytest.mark.parametrize(("n", "batch_size"), [(7, 3), (190, 80)])
@pytest.mark.parametrize("hidden", naive.ELEMENTWISE)
def test_a_pass_ends_before_the_update_by_a_loss_that_is_not_finite(hidden, n, batch_size):
    task = with_nan(Task((3, 5, 2), n, hidden=hidden), 2 * batch_size)
    assert task.narrow(batch_size) == (n == 190)
    for optimizer in ("sgd", "adam"):
        params, states = task.params.copy(), task.states(optimizer)
        found = task.prepared(params, batch_size, optimizer, states)(task.order, 0, 0.1, 0.01)
        assert np.isnan(found.loss)
        assert found.failed == 2
        before = Task((3, 5, 2), n, hidden=hidden)
        before.order = before.order[: 2 * batch_size]
        want, means = before.params.copy(), before.states(optimizer)
        assert before.prepared(want, batch_size, optimizer, means)(before.order, 0, 0.1, 0.01).failed == -1
        np.testing.assert_array_equal(params, want)
        np.testing.assert_array_equal(states, means)
        params = task.params.copy()
        assert np.isnan(task.minibatch(params, batch_size, "sgd", learning_rate=0.1, l2=0.01)[0])
        assert np.isfinite(params).all()


@pytest.mark.parametrize("place", [0, 1, 4])
@pytest.mark.parametrize("hidden", [f for f in naive.ELEMENTWISE if f not in BASIC])
@pytest.mark.parametrize("l2", [0.0, 0.1])
def test_per_sample_learning_ends_before_the_update_by_a_loss_that_is_not_finite(hidden, l2, place):
    task = with_nan(Task((3, 4, 2), 5, hidden=hidden), place)
    params, want = task.params.copy(), task.params.copy()
    epoch = kernels.prepare_online(task.X, task.Y, task.weight, *task.codes(), params, 0.5, l2)
    found = epoch(task.order)
    assert np.isnan(found.loss)
    assert found.failed == place
    task.online(want, l2=l2, order=task.order[:place])
    np.testing.assert_allclose(params, want, rtol=1e-14)


@pytest.mark.parametrize("hidden", BASIC)
def test_nan_in_a_sample_of_a_tiny_network_shows_in_the_loss_and_the_weights(hidden):
    task = with_nan(Task((3, 4, 2), 5, hidden=hidden), 1)
    params = task.params.copy()
    found = kernels.prepare_online(task.X, task.Y, task.weight, *task.codes(), params, 0.5, 0.0)(task.order)
    assert np.isnan(found.loss)
    assert found.failed == -1
    assert np.isnan(params).any()


def test_the_failed_batch_is_the_same_on_threads():
    if config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor")
    for sizes, n, batch_size in [(NARROW, 1500, 400), (WIDE, 400, 100)]:
        task, found = with_nan(Task(sizes, n), 2 * batch_size + 77), []
        for threads in (1, 2):
            params = task.params.copy()
            with kernels.threads(threads):
                result = task.prepared(params, batch_size, "sgd", task.states("sgd"), parallel=threads > 1)(
                    task.order, 0, 0.1, 0.01
                )
            assert result.failed == 2
            assert np.isnan(result.loss)
            found.append(params.tobytes())
        assert found[0] == found[1]


# Clipping by the length of a batch's gradient, and rates and penalties of each batch

WAYS = [(NARROW, 250, 100), (NARROW, 20, 7), (WIDE, 70, 30), ((90, 800, 3), 50, 20), ((4, 2), 30, 8)]

# Every rule on small networks, some on large ones, where the reference is slow; the rest is left to the thorough tests.
RULES_AND_WAYS = [
    pytest.param(
        optimizer,
        *way,
        marks=pytest.mark.thorough if max(way[0]) > 100 and optimizer not in ("sgd", "adam", "rprop") else (),
    )
    for optimizer, way in itertools.product(STATES, WAYS)
]
every_rule_and_way = pytest.mark.parametrize(("optimizer", "sizes", "n", "batch_size"), RULES_AND_WAYS)


def rounding_decides(sizes, optimizer, dtype):
    """Whether rounding decides a sign for rprop: among tens of thousands of float32 gradients, some are almost 0."""
    return optimizer == "rprop" and dtype == np.float32 and max(sizes) > 100


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@every_rule_and_way
def test_clipped_gradients(sizes, n, batch_size, optimizer, dtype):
    if rounding_decides(sizes, optimizer, dtype):
        dtype = np.float64
    task = Task(sizes, n, dtype=dtype, hidden="tanh", pair=("huber", "identity"))
    samples = task.X, task.Y, task.weight
    g, _ = naive.gradient(samples, task.sizes, task.names, "huber", task.params, task.loss_parameter)
    typical = np.linalg.norm(g) / n
    slower = optimizer in ("sgd", "momentum", "nesterov") and task.n < 100
    rate = SLOW.get(optimizer, RATES[optimizer]) * (0.1 if slower else 1)
    for clip in (0.5 * typical, typical):  # all batches, and some
        check_pass(task, batch_size, optimizer, rate, 0.01, clip=clip)


@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
def test_a_length_that_no_gradient_has_clips_nothing(sizes, n, batch_size):
    task = Task(sizes, n, hidden="tanh")
    found = []
    for clip in (1e9, np.inf):
        params = task.params.copy()
        task.prepared(params, batch_size, "momentum", task.states("momentum"), clip=clip)(task.order, 0, 0.1, 0.01)
        found.append(params)
    np.testing.assert_array_equal(*found)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@every_rule_and_way
def test_rates_and_penalties_of_each_batch(sizes, n, batch_size, optimizer, dtype):
    if rounding_decides(sizes, optimizer, dtype):
        dtype = np.float64
    task, batches = Task(sizes, n, dtype=dtype, hidden="tanh", pair=("log_loss", "softmax")), -(-n // batch_size)
    rates = SLOW.get(optimizer, RATES[optimizer]) * np.linspace(0.2, 1, batches)
    check_pass(task, batch_size, optimizer, rates, np.linspace(0.0, 0.3, batches))


def test_one_rate_and_one_penalty_are_those_of_all_batches():
    for sizes, n, batch_size in WAYS:
        task, batches = Task(sizes, n), -(-n // batch_size)
        found = []
        for rates, l2 in (
            (0.1, 0.02),
            (np.full(batches, 0.1), np.full(batches, 0.02)),
            (np.float32(0.1), [0.02] * batches),
        ):
            params = task.params.copy()
            found.append(
                (task.prepared(params, batch_size, "sgd", task.states("sgd"))(task.order, 0, rates, l2), params)
            )
        assert found[0][0] == found[1][0]
        np.testing.assert_array_equal(found[0][1], found[1][1])
        np.testing.assert_allclose(found[2][1], found[0][1], rtol=0, atol=1e-7)  # 0.1 as float32 is another number
        with pytest.raises(ValueError, match="broadcast"):
            task.prepared(params, batch_size, "sgd", task.states("sgd"))(task.order, 0, np.ones(batches + 1), 0.0)


def test_the_penalty_is_that_before_the_updates():
    task = Task((3, 4, 2), 10)
    params = task.params.copy()
    found = task.prepared(params, 10, "sgd", task.states("sgd"))(task.order, 0, 0.5, 0.3)
    assert found.penalty == pytest.approx(
        0.15 * sum((W**2).sum() for W, _ in naive.layers(task.params, task.sizes)), rel=1e-13
    )
    assert task.prepared(params, 10, "sgd", task.states("sgd"))(task.order, 0, 0.5, 0.0).penalty == 0


@pytest.mark.thorough
def test_clipped_epochs_have_the_same_bits_on_threads():
    if config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor")
    for sizes, n, batch_size in [(NARROW, 1500, 700), *WAYS]:
        for optimizer in STATES:
            task, found = Task(sizes, n, hidden="mish"), []
            for threads in (1, 2):
                params, states = task.params.copy(), task.states(optimizer)
                with kernels.threads(threads):
                    epoch = task.prepared(params, batch_size, optimizer, states, clip=0.05, parallel=threads > 1)
                    found.append((epoch(task.order, 3, 0.01, 0.1), [x.tobytes() for x in (params, *states)]))
            assert found[0] == found[1]


def test_no_allocation_per_sample_or_batch(allocations):
    few, many = Task((3, 5, 2), 10), Task((3, 5, 2), 1000)

    def forward(task):
        sizes, activations, *_ = task.codes()
        kernels.forward(task.X, sizes, activations, frozen(task.params), np.empty((task.n, 2)))

    def minibatch(batch_size):
        def call(task):
            task.minibatch(task.params.copy(), batch_size, "adam", task.states("adam"))

        return call

    def online(task):
        task.online(task.params.copy())

    cases = [(few, many, forward), (few, many, minibatch(4)), (few, many, online)]
    cases += [(Task(NARROW, 200), Task(NARROW, 2000), minibatch(100)), (Task(WIDE, 50), Task(WIDE, 500), minibatch(20))]
    for less, more, call in cases:
        counts = allocations(call, less), allocations(call, more)
        assert counts[0] == counts[1] > 0, call.__name__


# Vector widths


@pytest.mark.thorough
def test_every_width():
    # large networks, and every way to compute a batch or a sample; one dtype each, to save time
    chosen = {
        16: "(in_tiles or large_networks) and not float32",
        32: "(large_networks or lectures_rule) and not float64",
    }
    run_at_other_widths(["forward", "inference", "epochs", "online"], lambda width: chosen.get(width, chosen[16]))
