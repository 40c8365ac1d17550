"""The first layer on the columns of a table: against NumPy on all inputs, by finite differences; bad input."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import DTYPES, Arena, assert_close
from table_rows import TableRows
from tasks import Task, check_pass, seeds

from fastbp import kernels
from fastbp.kernels.minibatch import steps

few = st.integers(0, 4)


def arrays(table, n_out, count, seed, dtype):
    """Rows, weights, errors, and space for what the kernels write."""
    rng, arena = np.random.default_rng(seed), Arena(dtype)
    n, n_in = table.dense.shape
    rows = rng.integers(0, n, count if n else 0)  # some more than once, some never
    weights, delta = arena.put(rng.normal(size=(n_in + 1, n_out))), arena.put(rng.normal(size=(len(rows), n_out)))
    space = [arena.space(*shape) for shape in ((len(table.rows.heights), n_out), delta.shape, weights.shape)]
    return arena, rows, weights, delta, *space


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=st.integers(0, 12), numbers=few, categories=few, n_out=st.integers(0, 70), used=st.integers(0, 9), seed=seeds)
def test_forward_and_gradient(dtype, n, numbers, categories, n_out, used, seed):
    table = TableRows(n, numbers, categories, seed, dtype)
    arena, rows, weights, delta, nodes, out, gradient = arrays(table, n_out, used, seed, dtype)
    kernels.piecewise_linear_forward(table.rows, rows, weights, nodes, out)
    X, W, b = table.dense[rows], weights[:-1], weights[-1]
    assert table.finite
    # far outside of all edges a number is what two nodes differ by
    size = naive.linear_forward(abs(X), abs(W), abs(b)) + 10 * abs(table.dense).max(initial=0) ** 2
    assert_close(out, naive.linear_forward(X, W, b), scale=size)
    kernels.piecewise_weight_gradient(table.rows, rows, delta, nodes, gradient)
    size = naive.weight_gradient(abs(X), abs(delta)) + 10 * abs(table.dense).max(initial=0) ** 2
    assert_close(gradient[:-1], naive.weight_gradient(X, delta), scale=size)
    assert_close(gradient[-1], delta.astype(np.float64).sum(axis=0), scale=abs(delta).sum(axis=0))
    arena.check()


def test_gradient_by_finite_differences():
    table = TableRows(9, 3, 2, 5)
    _, rows, weights, delta, nodes, out, gradient = arrays(table, 4, 20, 5, np.float64)

    def total(changed):
        """J = sum of delta z, whose gradient is what the kernel computes."""
        kernels.piecewise_linear_forward(table.rows, rows, changed, nodes, out)
        return float((delta * out).sum())

    kernels.piecewise_weight_gradient(table.rows, rows, delta, nodes, gradient)
    wanted = naive.finite_difference(total, weights)
    np.testing.assert_allclose(gradient, wanted, rtol=1e-6, atol=1e-7)


def test_threads_give_the_same_bits():
    table = TableRows(2000, 5, 3, 1, np.float32)
    _, rows, weights, _, nodes, out, _ = arrays(table, 33, 1500, 1, np.float32)
    one = out.copy()
    kernels.piecewise_linear_forward(table.rows, rows, weights, nodes, one)
    places, shares = np.empty_like(table.rows.places), np.empty_like(table.rows.shares)
    with kernels.threads(2):
        kernels.piecewise_linear_forward(table.rows, rows, weights, nodes, out, parallel=True)
        kernels.encode_pieces(table.raw, table.columns, table.edges, table.moments, places, shares, parallel=True)
    assert (out == one).all()
    assert (places[:, :5] == table.rows.places[:, :5]).all()
    assert (shares == table.rows.shares).all()


class TableTask(Task):
    """A network that learns from the rows of a table."""

    def __init__(self, hidden, n, seed, dtype, numbers=3, categories=2, **more):
        table = TableRows(n, numbers, categories, seed, dtype)
        super().__init__((table.dense.shape[1], *hidden), n, seed, dtype, **more)
        self.X, self.rows = table.dense.astype(dtype), table.rows

    def csr(self):
        """What `prepared` gives the kernel in the place of X."""
        return self.rows


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "adam", "rprop"])
@pytest.mark.parametrize("hidden", [(1,), (5, 3), (33, 4, 2), (130, 2)])
def test_passes(dtype, optimizer, hidden):
    task = TableTask(hidden, 150, 3, dtype)
    check_pass(task, 150 if optimizer == "rprop" else 47, optimizer, 0.01, 0.1, sparse=True)


@pytest.mark.thorough
@pytest.mark.parametrize("more", [{"clip": 0.01}, pytest.param({"parallel": True}, marks=pytest.mark.thorough)])
def test_passes_with_more(more):
    with kernels.threads(2):
        check_pass(TableTask((40, 3), 150, 4, np.float64), 64, "adam", 0.01, 0.0, sparse=True, **more)


@pytest.mark.parametrize("numbers", [0, 4])
def test_passes_on_numbers_or_categories_alone(numbers):
    task = TableTask((6, 2), 60, 2, np.float64, numbers=numbers, categories=0 if numbers else 3)
    check_pass(task, 20, "adam", 0.01, 0.0, sparse=True)


def test_long_sums():
    n = 2 * steps.SPARSE_SUM_LENGTH + 100
    task = TableTask((3, 2), n, 1, np.float64)
    check_pass(task, n, "adam", 0.01, 0.0, epochs=1, sparse=True)


@pytest.mark.thorough
def test_threads_learn_the_same_bits():
    found = []
    for parallel in (False, True):
        task = TableTask((70, 3), 300, 6, np.float32)
        params, states = task.params.copy(), task.states("adam")
        epoch = task.prepared(params, 100, "adam", states, sparse=True, parallel=parallel)
        with kernels.threads(2):
            epoch(task.order, 0, 0.01, 0.1)
        found.append(params)
    assert (found[0] == found[1]).all()


def _changed(rows, **changes):
    """The rows with changed elements: array=(place, value)."""
    parts = {name: getattr(rows, name).copy() for name in rows._fields}
    for name, (place, value) in changes.items():
        parts[name][place] = value
    return kernels.PieceRows(**parts)


WRONG = {
    "a place before its node": {"places": ((2, 0), -1)},
    "a place after its nodes": {"places": ((0, 2), 10**9)},
    "the last node of a number": {"places": ((0, 0), -2)},
    "a category that is no input": {"places": ((1, 3), 1000)},
    "a category below -1": {"places": ((1, 3), -2)},
    "an input too large": {"columns": ((0, 1), 1000)},
    "an input below 0": {"columns": ((0, 1), -1)},
    "a mark too large": {"columns": ((1, 2), 1000)},
    "pieces that are no inputs": {"columns": ((2, 4), 1000)},
    "nodes with a gap": {"columns": ((1, 0), 40)},
}


@pytest.mark.parametrize("change", WRONG.values(), ids=WRONG)
def test_places_outside_are_refused(change):
    table = TableRows(5, 3, 1, 7)
    _, rows, weights, delta, nodes, out, gradient = arrays(table, 3, 4, 7, np.float64)
    wrong = _changed(table.rows, **change)
    calls = [
        lambda: kernels.piecewise_linear_forward(wrong, rows, weights, nodes, out),
        lambda: kernels.piecewise_weight_gradient(wrong, rows, delta, nodes, gradient),
    ]
    task = TableTask((3, 2), 5, 7, np.float64, numbers=3, categories=1)
    task.rows = wrong
    calls.append(lambda: task.prepared(task.params, 2, "adam", task.states("adam"), sparse=True))
    for call in calls:
        with pytest.raises(ValueError, match=r"places|columns"):
            call()


@pytest.mark.parametrize("wrong", ["rows", "nodes", "out", "weights", "dtype"])
def test_layers_that_do_not_fit_are_refused(wrong):
    table = TableRows(5, 3, 1, 7)
    _, rows, weights, _, nodes, out, _ = arrays(table, 3, 4, 7, np.float64)
    rows = np.array([0, 5]) if wrong == "rows" else rows
    out = out[:2] if wrong in ("rows", "out") else out
    nodes = nodes[:-1] if wrong == "nodes" else nodes
    weights = weights[:-1] if wrong == "weights" else weights.astype(np.float32) if wrong == "dtype" else weights
    with pytest.raises(ValueError, match="piecewise_linear_forward"):
        kernels.piecewise_linear_forward(table.rows, rows, weights, nodes, out)


def test_raw_numbers_that_do_not_fit_are_refused():
    table = TableRows(5, 3, 0, 7)
    places, shares = np.empty((5, 3), np.int64), np.empty((5, 3))
    for raw, edges in ((table.raw[:, :2], table.edges), (table.raw, table.edges[1:])):
        with pytest.raises(ValueError, match="encode_pieces"):
            kernels.encode_pieces(raw, table.columns, edges, table.moments, places, shares)
    table.raw[2, 1] = 1e308
    few = shares.astype(np.float32)
    assert not kernels.encode_pieces(table.raw, table.columns, table.edges, table.moments, places, few)
