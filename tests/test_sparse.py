"""The first layer on sparse rows: against NumPy on the dense matrix, in every layout and from @njit; bad input."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import DTYPES, Arena, assert_close
from numba import config, njit
from scipy.sparse import csr_matrix

from fastbp import kernels

side = st.integers(0, 9)


def draw(n, d, seed, dtype=np.float64, index=np.int32):
    """A sparse matrix, some of whose rows are empty, as its three arrays; and the same matrix dense."""
    rng = np.random.default_rng(seed)
    dense = (rng.normal(size=(n, d)) * (rng.uniform(size=(n, d)) < rng.choice([0.0, 0.3, 1.0], size=(n, 1)))).astype(
        dtype
    )
    X = csr_matrix(dense)
    return (X.data, X.indices.astype(index), X.indptr.astype(index)), dense


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=side, d=side, m=side, used=side, seed=st.integers(0, 2**32 - 1))
def test_forward_and_gradient(dtype, n, d, m, used, seed):
    X, dense = draw(n, d, seed, dtype)
    rng, arena = np.random.default_rng(seed), Arena(dtype)
    rows = rng.integers(0, n, used if n else 0)  # some more than once, some never
    W, b, delta = (arena.put(rng.normal(size=shape)) for shape in ((d, m), m, (len(rows), m)))
    out, dW = arena.space(len(rows), m), arena.space(d, m)
    kernels.csr_linear_forward(*X, rows, W, b, out)
    kernels.csr_weight_gradient(*X, rows, delta, dW)
    chosen = dense[rows]
    assert_close(out, naive.linear_forward(chosen, W, b), scale=naive.linear_forward(abs(chosen), abs(W), abs(b)))
    assert_close(dW, naive.weight_gradient(chosen, delta), scale=naive.weight_gradient(abs(chosen), abs(delta)))
    arena.check()


def users(times, X, rows, W, b, delta, out, dW):
    data, indices, indptr = X
    for _ in range(times):
        kernels.csr_linear_forward(data, indices, indptr, rows, W, b, out)
        kernels.csr_weight_gradient(data, indices, indptr, rows, delta, dW)


@pytest.mark.thorough
def test_in_users_njit_in_every_layout_without_allocation(allocations):
    call = njit(users)
    X, dense = draw(8, 5, 0, index=np.int64)
    rows = np.array([3, 0, 7, 3])
    for layout in naive.LAYOUTS:
        rng, arena = np.random.default_rng(1), Arena(layout=layout)
        W, b, delta = (arena.put(rng.normal(size=shape)) for shape in ((5, 3), 3, (4, 3)))
        out, dW = arena.space(4, 3), arena.space(5, 3)
        call(1, X, rows, W, b, delta, out, dW)
        assert_close(out, naive.linear_forward(dense[rows], W, b), scale=10)
        assert_close(dW, naive.weight_gradient(dense[rows], delta), scale=10)
        arena.check()
        if not config.DISABLE_JIT:
            arguments = (X, rows, W, b, delta, out, dW)
            assert allocations(call, 1, *arguments) == allocations(call, 9, *arguments)


BAD = {
    "row above": ({"rows": [0, 8]}, "rows"),
    "row below": ({"rows": [-1, 0]}, "rows"),
    "column above": ({"indices": [0, 5] + [0] * 38}, "indices"),
    "column below": ({"indices": [0, -1] + [0] * 38}, "indices"),
    "place above": ({"indptr": [0, 99] + [99] * 7}, "indptr"),
    "place below": ({"indptr": [-3, 2] + [2] * 7}, "indptr"),
    "places fall": ({"indptr": [4, 2] + [2] * 7}, "indptr"),
    "few columns": ({"indices": [0]}, "indptr"),
    "no places": ({"indptr": []}, "rows"),
    "bias": ({"b": 2}, r"b \(d_out,\)"),
    "out rows": ({"out": (3, 3)}, "out"),
    "out columns": ({"out": (2, 4)}, "out"),
    "gradient columns": ({"dW": (5, 4)}, "out"),
    "delta rows": ({"delta": (3, 3)}, "delta"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_does_not_fit_is_refused(name):
    change, word = BAD[name]
    data, indices, indptr = np.ones(40), np.tile(np.arange(5), 8), 5 * np.arange(9)  # 8 full rows
    given = {"data": data, "indices": indices, "indptr": indptr, "rows": [0, 1]}
    given |= {"W": (5, 3), "b": 3, "out": (2, 3), "delta": (2, 3), "dW": (5, 3)}
    given |= change
    arena = Arena()
    values = {k: np.asarray(given[k], np.int32 if k != "rows" else np.int64) for k in ("indices", "indptr", "rows")} | {
        "data": data
    }
    values |= {k: arena.put(np.ones(given[k]), written=k in ("out", "dW")) for k in ("W", "b", "out", "delta", "dW")}
    X = [values[k] for k in ("data", "indices", "indptr", "rows")]
    calls = [
        (
            kernels.csr_linear_forward,
            [*X, values["W"], values["b"], values["out"]],
            {"bias", "out rows", "out columns"},
        ),
        (kernels.csr_weight_gradient, [*X, values["delta"], values["dW"]], {"gradient columns", "delta rows"}),
    ]
    shapes = set.union(*(own for *_, own in calls))
    for kernel, arguments, own in calls:
        if name in own or name not in shapes:
            with pytest.raises(ValueError, match=word):
                kernel(*arguments)
    arena.check()
