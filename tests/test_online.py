"""Per-sample learning: tiny networks in registers, the sweep of all others; against the reference and bit for bit."""

import itertools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import BASIC, BASIC_PAIRS, DTYPES, LOSS_PAIRS, Arena, assert_close
from numba import njit
from tasks import (
    DECISIONS,
    NETWORK_CASES,
    SAMPLE_CASES,
    Task,
    compiled,
    frozen,
    mixed,
    networks,
    refused,
    seeds,
    user_online_epoch,
)

from fastbp import kernels
from fastbp.kernels.network.arguments import Net, Samples
from fastbp.kernels.samplewise import online as one_by_one
from fastbp.kernels.samplewise import sweep, tiny


def check_online(task, epochs, l2=0.0, kernel=None, order=None, learning_rate=0.5):
    arena = Arena(task.dtype)
    params, want = arena.put(task.params, written=True), task.params.astype(np.float64)
    order = task.order if order is None else order
    for _ in range(epochs):
        loss, share = task.online(params, learning_rate, l2, order, kernel)
        wanted = naive.online_epoch((task.X, task.Y, task.weight, order), task.words(), want, learning_rate, l2)
        want = wanted[2]
        np.testing.assert_allclose((loss, share), wanted[:2], rtol=1e-11 if task.dtype == np.float64 else 1e-5)
    assert_close(params, want, scale=1 + abs(want).max(), factor=epochs)
    assert abs(params - task.params).max() > 1e-3
    arena.check()


# Networks whose layers all have at most four units are trained in registers.
TINY_SIZES = [(1, 1), (16, 4), (3, 2), (7, 3, 1), (2, 4, 4), (15, 1, 3), (16, 4, 4, 4), (1, 2, 1, 2), (5, 3, 4, 2)]
OTHERS = [(17, 4), (3, 5, 2), (3, 4, 5), (2, 3, 5, 1)]


def test_what_is_tiny():
    assert (tiny.TINY_UNITS, tiny.TINY_INPUTS) == (4, 16)
    for sizes in TINY_SIZES + OTHERS:
        for name in naive.OUTPUTS:
            codes, activations, loss, *_ = Task(sizes, 1, pair=("squared_error", name)).codes()
            assert tiny.is_tiny(codes, activations, loss) == (sizes in TINY_SIZES and name in BASIC)
        for pair in LOSS_PAIRS:
            codes, activations, loss, *_ = Task(sizes, 1, pair=pair).codes()
            assert tiny.is_tiny(codes, activations, loss) == (
                sizes in TINY_SIZES and pair in BASIC_PAIRS and pair[1] != "softmax"
            )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pair", BASIC_PAIRS, ids="-".join)
@pytest.mark.parametrize("hidden", BASIC)
def test_online_epoch_of_tiny_networks(hidden, pair, dtype):
    # a softmax of one unit is 1 whatever the weights
    every = [sizes for sizes in TINY_SIZES + OTHERS if sizes[-1] > 1 or pair[1] != "softmax"]
    for number, (decision, sizes) in enumerate(itertools.product(DECISIONS, every)):
        task = Task(sizes, 5, number, dtype, hidden, pair, decision)
        order = (None, np.array([3, 3, 0, 4, 3]))[number // 2 % 2]
        check_online(task, 1 + number % 2, 0.05 * (number % 3), learning_rate=0.1, order=order)


@pytest.mark.parametrize("learning_rate", [0.0, 0.1])
def test_order_of_one_sample_and_of_many(learning_rate):
    for sizes, count in itertools.product([(2, 3, 1), (2, 9, 1)], (1, 2, 501)):
        task = Task(sizes, 4)
        params, want, order = task.params.copy(), task.params.copy(), np.arange(count) * 3 % 4
        found = task.online(params, learning_rate, order=order)
        for t in order:  # one call per sample: updates that wait for the next sample are made at the end of a call
            task.online(want, learning_rate, order=[t])
        np.testing.assert_allclose(params, want, rtol=1e-9, atol=1e-11)
        assert np.isfinite(found).all()
        assert learning_rate > 0 or (params == task.params).all()


# All others are trained by sweeps, in whole vectors of units, several vectors at a time.
WIDTHS = [1, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 43, 54, 63, 64, 65, 85, 100, 130]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("width", WIDTHS)
def test_online_epoch_of_every_width(width, dtype):
    # other losses hardly move a softmax of 130 units
    every = [pair for pair in LOSS_PAIRS if pair[1] != "softmax" or pair[0] == "log_loss"]
    pairs = itertools.cycle(every[WIDTHS.index(width) % len(every) :])
    hidden = itertools.cycle(("tanh", "logistic", "relu", "gelu", "mish", "silu"))
    for number, sizes in enumerate(
        [(5, width, 5), (6, width), (17, width), (3, 6, width), (2, width, width, 3), (4, 9, width, 5)]
    ):
        task = Task(sizes, 6, width + number, dtype, next(hidden), next(pairs), list(DECISIONS)[number % 3])
        check_online(task, 1, 0.02 * (number % 2), learning_rate=0.5 if width < 10 else 2 / width)


# Rows of weights whose inputs are all zero are left out


def mostly_zeros(sizes, dtype, share=0.8):
    """A task many of whose inputs are zero; some rows are all zeros, one has none, and some zeros are -0."""
    task = Task(sizes, 12, dtype=dtype, hidden="tanh")
    X = np.array(task.X)
    X[np.random.default_rng(0).uniform(size=X.shape) < share] = 0
    X[3] = 0
    X[4, ::2] = -0.0
    X[5] = task.X[5]
    task.X = frozen(X)
    task.order = np.array([0, 3, 1, 1, 4, 5, 3, 3, 11, 7, 0, 5, 5, 10])
    return task


def swept(task, sparse, learning_rate=0.1):
    """Weights and results of one epoch, with zeros left out or not."""
    net, params = Net(*task.codes()), task.params.copy()
    samples, rates = Samples(task.X, task.Y, task.weight), one_by_one.Rates(task.dtype(learning_rate), 0.0)
    memory = one_by_one.sweep_space(task.X, net.sizes, params, 0.0)._replace(sparse=sparse)
    one_by_one._swept_epoch(samples, net, params, rates, memory, task.order)
    return params, memory.results


def adds_row_after_row(width, dtype):
    """Whether a sweep has one sum per unit: panels of up to three vectors add several rows at once."""
    lanes = sweep.SUMMED_BYTES // np.dtype(dtype).itemsize
    return -(-width // lanes) not in (1, 2, 3, 6, 7, 11)  # all others are sums of fours and fives


@pytest.mark.parametrize("dtype", DTYPES)
def test_leaving_out_zeros_changes_nothing(dtype):
    # one vector; one panel of as many vectors as the registers hold; three such panels; one of three and two of four
    lanes = sweep.SUMMED_BYTES // np.dtype(dtype).itemsize
    widths = [lanes * vectors for vectors in (1, 4, sweep.SWEEP_VECTORS, 3 * sweep.SWEEP_VECTORS, 11)]
    assert [adds_row_after_row(width, dtype) for width in widths] == [False, True, True, True, False]
    shapes = [(64, 9, 3), (65, 33, 5), (100, 130, 2), (784, 100, 10), (200, 300, 4), (70, 5), (64, 6, 6, 2)]
    for sizes in shapes + [(80, width, 3) for width in widths]:
        task = mostly_zeros(sizes, dtype)
        check_online(task, 1, learning_rate=0.02)
        assert bool(one_by_one.sweep_space(task.X, task.codes()[0], task.params, 0.0).sparse)
        (dense, dense_results), (params, results) = swept(task, False), swept(task, True)
        if adds_row_after_row(sizes[1], dtype):
            assert params.tobytes() == dense.tobytes()
            np.testing.assert_array_equal(results, dense_results)
        else:
            assert_close(params, dense.astype(np.float64), scale=1)
            np.testing.assert_allclose(results, dense_results, rtol=1e-5 if dtype == np.float32 else 1e-12)


def test_when_zeros_are_left_out():
    def chosen(task, l2=0.0):
        return bool(one_by_one.sweep_space(task.X, task.codes()[0], task.params, l2).sparse)

    many, few = mostly_zeros((64, 9, 3), np.float64), mostly_zeros((64, 9, 3), np.float64, share=0.3)
    assert chosen(many)
    assert not any((chosen(few), chosen(many, 0.1), chosen(mostly_zeros((63, 9, 3), np.float64))))
    check_online(many, 2, l2=0.05, learning_rate=0.05)
    check_online(few, 2, learning_rate=0.05)


def test_nan_among_zeros_is_seen():
    task = mostly_zeros((64, 9, 3), np.float64)
    X = np.array(task.X)
    X[task.order[2], 1] = np.nan
    task.X = frozen(X)
    params, want = task.params.copy(), task.params.copy()
    found = kernels.prepare_online(task.X, task.Y, task.weight, *task.codes(), params, 0.1, 0.0)(task.order)
    assert np.isnan(found.loss)
    assert found.failed == 2
    task.online(want, 0.1, order=task.order[:2])
    np.testing.assert_allclose(params, want, rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("sizes", [(2, 2, 1), (4, 8, 8, 3)], ids=str)
def test_online_epoch_follows_the_lectures_rule(sizes, dtype):
    # 1000 updates: 40 passes over 25 samples
    task = Task(sizes, 25, seed=3, dtype=dtype)
    task.weight = frozen(np.ones(25), dtype)
    params, want = task.params.copy(), task.params.astype(np.float64)
    X, Y = naive.wide(task.X, task.Y)
    for _ in range(40):
        task.online(params)
        naive.lecture_epoch(X, Y, task.order, task.sizes, want, 0.5)
    assert abs(want - task.params).max() > 0.1
    assert abs(params - want).max() < (1e-12 if dtype == np.float64 else 1e-5)


@pytest.mark.parametrize("dtype", DTYPES)
@mixed
def test_online_epoch(hidden, pair, dtype):
    task = Task((3, 5, 4, 3), 7, seed=1, dtype=dtype, hidden=hidden, pair=pair, decision="threshold")
    check_online(task, 2, l2=0.01, learning_rate=0.1)


@pytest.mark.thorough
@given(sizes=networks, n=st.integers(1, 9), seed=seeds)
def test_online_epoch_in_users_njit(sizes, n, seed):
    task = Task(sizes, n, seed, hidden="tanh")
    task.weight = frozen(np.ones(n))
    check_online(task, 1, kernel=compiled(user_online_epoch))


def test_online_epoch_takes_samples_again_and_leaves_some_out():
    check_online(Task((2, 3, 2), 5), 1, order=np.array([3, 3, 0, 3, 1]))


def test_online_epoch_of_nothing():
    task = Task((2, 3, 1), 4)
    params = task.params.copy()
    assert np.isnan(task.online(params, order=[])).all()
    np.testing.assert_array_equal(params, task.params)


@pytest.mark.parametrize(
    "kernel",
    [kernels.online_epoch, pytest.param(user_online_epoch, marks=pytest.mark.thorough)],
    ids=["python", "njit"],
)
@pytest.mark.parametrize("number", [-1, 4, 2**40])
def test_online_epoch_refuses_unknown_samples(number, kernel):
    # The samples before it are learnt, those after it are not.
    task, arena = Task((2, 3, 1), 4), Arena()
    params, want = arena.put(task.params, written=True), task.params.copy()
    kernel = kernel if kernel is kernels.online_epoch else compiled(kernel)
    with pytest.raises(ValueError, match="order"):
        task.online(params, order=[2, 0, number, 1], kernel=kernel)
    task.online(want, order=[2, 0])
    np.testing.assert_array_equal(params, want)
    arena.check()


def test_prepared_per_sample_epochs_are_the_same():
    for sizes in [(3, 4, 2), (3, 5, 2), (260, 280, 7)]:
        task = Task(sizes, 20)
        one, other = task.params.copy(), task.params.copy()
        epoch = kernels.prepare_online(task.X, task.Y, task.weight, *task.codes(), one, 0.1, 0.01)
        for seed in range(2):
            order = np.random.default_rng(seed).permutation(20)
            assert epoch(order)[:2] == task.online(other, 0.1, 0.01, order)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("via", ["python", pytest.param("njit", marks=pytest.mark.thorough)])
@pytest.mark.parametrize("case", [*NETWORK_CASES, *SAMPLE_CASES])
def test_online_epoch_refuses(case, via):
    names = ("X", "Y", "weight", "order", "sizes", "activations", "loss", "loss_parameter", "decision", "params")
    names += ("learning_rate", "l2")
    kernel = kernels.online_epoch if via == "python" else compiled(user_online_epoch)
    refused(kernel, names, (NETWORK_CASES | SAMPLE_CASES)[case])


@pytest.mark.parametrize("few_units", [False, True])
def test_the_loops_of_per_sample_learning_allocate_nothing(few_units, allocations):
    # No more than a call that does nothing with the same arguments.
    task = Task((3, 4, 2) if few_units else (3, 50, 2), 10)
    net = Net(*task.codes())
    loop, memory = one_by_one._swept_epoch, one_by_one.sweep_space(task.X, net.sizes, task.params, 0.0)
    if few_units:
        loop, memory = one_by_one._tiny_epoch, one_by_one.tiny_space(net.sizes, task.params)
    samples, rates = Samples(task.X, task.Y, task.weight), one_by_one.Rates(0.1, 0.0)
    arguments = (samples, net, task.params.copy(), rates, memory, task.order)
    assert allocations(loop, *arguments) == allocations(njit(lambda *arguments: None), *arguments)
