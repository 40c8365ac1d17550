"""Passes over sparse samples give the same as over the same samples in a dense array, with every rule and option."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, DTYPES, LOSS_PAIRS, STATES, assert_close
from numba import config
from tasks import Task, check_pass, frozen, mixed, networks, seeds

from fastbp import kernels

# With and without hidden layers; few and many inputs and units, several tiles of samples, a band of columns that is cut
WAYS = [
    *[((40, 5, 4, 2), 150, 100), ((40, 3), 20, 7), ((700, 33, 3), 300, 140)],
    *[((50, 130, 7), 50, 20), ((9, 600, 2), 20, 9), ((900, 65), 30, 30)],
]
RATES = {"sgd": 0.05, "momentum": 0.02, "nesterov": 0.02, "adam": 0.01}
RATES |= {"adamw": 0.01, "nadam": 0.01, "rmsprop": 0.001, "rprop": 0.01}


def scarce(task, share=0.15, seed=0):
    """The task with few inputs that are not 0, and none in the first row, the last row and the first column."""
    X = np.array(task.X)
    X[np.random.default_rng(seed).uniform(size=X.shape) > share] = 0
    X[[0, -1]] = 0
    X[:, 0] = 0
    task.X = frozen(X)
    return task


def learned(task, batch_size, optimizer, sparse, rates=None, l2=0.01, **options):
    """The results of two passes: numbers, weights and states."""
    params, states = task.params.copy(), task.states(optimizer)
    epoch = task.prepared(params, batch_size, optimizer, states, sparse=sparse, **options)
    rate = RATES[optimizer] if rates is None else rates
    batches = -(-task.order.size // batch_size)
    return [epoch(task.order, step, rate, l2) for step in (0, batches)], [params, *states]


def check_same(task, batch_size, optimizer, **options):
    (dense, wanted), (found, arrays) = (
        learned(task, batch_size, optimizer, sparse, **options) for sparse in (False, True)
    )
    double = task.dtype == np.float64
    np.testing.assert_allclose(found, dense, rtol=1e-12 if double else 2e-5)
    for got, want in zip(arrays, wanted, strict=True):
        assert_close(got, want.astype(np.float64), scale=1 + abs(want).max(initial=0), factor=2)
        if double:
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-13)
    assert abs(arrays[0] - task.params).max() > 1e-4


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("optimizer", STATES)
@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
def test_every_rule(sizes, n, batch_size, optimizer, dtype):
    if optimizer == "rprop":
        dtype = np.float64  # rounding decides the sign of gradients that are almost 0
    task = scarce(Task(sizes, n, dtype=dtype, hidden="tanh", pair=("log_loss", "softmax")))
    check_same(task, batch_size, optimizer)
    check_same(task, batch_size, optimizer, l2=0.0, clip=0.05)
    shares = np.array([*[0.3] * (len(sizes) - 2), 0.0])
    check_same(task, batch_size, optimizer, dropout=shares, seed=3)
    batches = -(-n // batch_size)
    rates, l2 = RATES[optimizer] * np.linspace(0.5, 1, batches), np.linspace(0, 0.1, batches)
    check_same(task, batch_size, optimizer, rates=rates, l2=l2)


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", STATES)
@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
def test_everything_at_once(sizes, n, batch_size, optimizer, dtype):
    if optimizer == "rprop":
        dtype = np.float64
    task = scarce(Task(sizes, n, dtype=dtype, hidden="tanh", pair=("log_loss", "softmax")))
    shares, batches = np.array([*[0.3] * (len(sizes) - 2), 0.0]), -(-n // batch_size)
    rates, l2 = RATES[optimizer] * np.linspace(0.5, 1, batches), np.linspace(0, 0.1, batches)
    check_same(task, batch_size, optimizer, dropout=shares, clip=0.1, rates=rates, l2=l2)


@mixed
def test_every_activation_and_loss(hidden, pair):
    task = scarce(Task((30, 5, 4, 2), 40, pair=pair, hidden=hidden, decision="threshold"), 0.3)
    check_same(task, 17, "momentum", dropout=(0.2, 0.0, 0.0))


@pytest.mark.parametrize("pair", LOSS_PAIRS, ids="-".join)
def test_without_hidden_layer(pair):
    check_same(scarce(Task((30, 3), 40, pair=pair), 0.3), 17, "sgd")


@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
def test_against_the_reference(sizes, n, batch_size):
    task = scarce(Task(sizes, n, hidden="mish", pair=("huber", "identity")))
    check_pass(task, batch_size, "adam", 0.01, 0.01, sparse=True, clip=0.5)


@given(
    sizes=networks,
    n=st.integers(1, 12),
    batch_size=st.integers(1, 14),
    share=st.sampled_from([0.0, 0.3, 1.0]),
    seed=seeds,
)
def test_shapes(sizes, n, batch_size, share, seed):
    task = Task(sizes, n, seed, hidden="gelu")
    X = np.array(task.X)
    X[np.random.default_rng(seed).uniform(size=X.shape) >= share] = 0
    task.X = frozen(X)
    check_same(task, batch_size, "sgd")


@pytest.mark.parametrize("optimizer", STATES)
@pytest.mark.parametrize("sizes", [(5, 3), (5, 4, 3)])
def test_a_matrix_of_no_stored_numbers(sizes, optimizer):
    task = Task(sizes, 10, hidden="tanh")
    task.X = frozen(np.zeros_like(task.X))
    assert task.csr()[0].size == 0
    check_same(task, 4, optimizer)


def test_stored_zeros_and_numbers_in_any_order_and_twice():
    task = scarce(Task((12, 5, 3), 20), 0.5)
    data, indices, indptr = (np.array(x) for x in task.csr())
    wanted = learned(task, 7, "adam", True)[1]
    rows = [slice(a, b) for a, b in itertools.pairwise(indptr)]
    turned = [np.concatenate([x[r][::-1] for r in rows]) for x in (data, indices)]
    zeros = [np.concatenate([np.append(x[r], k) for r in rows]) for x, k in ((data, 0), (indices, 3))]
    halves = [
        np.concatenate([np.repeat(x[r] / k, 2) for r in rows]).astype(x.dtype) for x, k in ((data, 2), (indices, 1))
    ]
    for (values, columns), places in ((turned, indptr), (zeros, indptr + np.arange(21)), (halves, 2 * indptr)):
        task.csr = lambda parts=(values, columns, places): tuple(frozen(x) for x in parts)
        for got, want in zip(learned(task, 7, "adam", True)[1], wanted, strict=True):
            np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-14)


def test_samples_again_and_some_never():
    task = scarce(Task((30, 5, 3), 12), 0.3)
    task.order = np.array([3, 3, 0, 7, 11, 3, 1])
    check_same(task, 4, "momentum")


@pytest.mark.thorough
@pytest.mark.parametrize("clip", [np.inf, pytest.param(0.2, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_the_same_bits_on_threads(dtype, clip):
    if config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor")
    for number, (sizes, n, batch_size) in enumerate([*WAYS, ((300, 20, 2), 700, 500)]):
        task, found, optimizer = scarce(Task(sizes, n, dtype=dtype, hidden="silu")), [], list(STATES)[number]
        for threads in (1, 2):
            with kernels.threads(threads):
                numbers, arrays = learned(task, batch_size, optimizer, True, clip=clip, parallel=threads > 1)
            found.append((numbers, [x.tobytes() for x in arrays]))
        assert found[0] == found[1]


def test_a_custom_loss_and_a_loss_that_is_not_finite():
    own = kernels.CustomLoss(lambda y, a: 0.5 * (a - y) ** 2, lambda y, a: a - y, np.float64)
    task = scarce(Task((30, 5, 3), 40, pair=("squared_error", "identity")), 0.3)
    for got, want in zip(learned(task, 9, "sgd", True, loss=own)[1], learned(task, 9, "sgd", True)[1], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-12)
    X = np.array(task.X)
    X[task.order[20], 4] = np.nan
    good = task.order[:18]
    task.X = frozen(X)
    for optimizer in ("sgd", "adam"):
        params, want = task.params.copy(), task.params.copy()
        found = task.prepared(params, 9, optimizer, task.states(optimizer), sparse=True)(task.order, 0, 0.01, 0.0)
        assert found.failed == 2
        assert np.isnan(found.loss)
        some = Task((30, 5, 3), 40, pair=("squared_error", "identity"))
        some.X, some.order = task.X, good
        some.prepared(want, 9, optimizer, some.states(optimizer), sparse=True)(good, 0, 0.01, 0.0)
        np.testing.assert_array_equal(params, want)


def test_an_infinite_number_stays_where_it_is():
    """Columns that no sample of a batch stores have the gradient 0, not 0 inf."""
    task = scarce(Task((30, 5, 3), 20), 0.3)
    params = task.params.copy()
    params[:5] = np.inf  # the weights of the first input, which is 0 in all samples
    found = task.prepared(params, 7, "sgd", task.states("sgd"), sparse=True)(task.order, 0, 0.1, 0.0)
    assert np.isfinite(found.loss)
    assert np.isinf(params[:5]).all()
    assert np.isfinite(params[5:]).all()


BAD = {
    "a column below": {"indices": [0, -1, 2, 1]},
    "a column above": {"indices": [0, 3, 2, 1]},
    "places that fall": {"indptr": [0, 3, 2, 4, 4]},
    "a place below": {"indptr": [-1, 1, 2, 4, 4]},
    "a place above": {"indptr": [0, 1, 2, 4, 5]},
    "few columns": {"indices": [0, 1, 2]},
    "few numbers": {"data": 3},
    "a row more": {"indptr": [0, 1, 2, 4, 4, 4]},
    "a row less": {"indptr": [0, 1, 2, 4]},
    "no row": {"indptr": [0]},
    "no place": {"indptr": []},
}


@pytest.mark.parametrize("case", [None, *BAD])
def test_other_matrices_are_refused(case):
    task = Task((3, 4, 2), 4)
    given = {"data": 4, "indices": [0, 1, 2, 1], "indptr": [0, 1, 2, 4, 4]} | (BAD[case] if case else {})
    X = np.ones(given["data"]), np.array(given["indices"], np.int64), np.array(given["indptr"], np.int64)
    task.csr, params = (lambda: X), task.params.copy()
    if case is None:
        task.prepared(params, 2, "sgd", task.states("sgd"), sparse=True)
    else:
        with pytest.raises(ValueError, match="minibatch"):
            task.prepared(params, 2, "sgd", task.states("sgd"), sparse=True)
    np.testing.assert_array_equal(params, task.params)
