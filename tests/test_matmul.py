"""The products matmul and linear_forward: against NumPy in every layout, at odd and empty shapes, from Python and from @njit."""

import functools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import DTYPES, LAYOUTS, Arena, assert_close, linear_forward, matmul
from numba import config, njit

from fastbp import kernels

side = st.integers(0, 19)
seeds = st.integers(0, 2**32 - 1)


def user_matmul(times, A, B, out):
    for _ in range(times):
        kernels.matmul(A, B, out)


def user_linear_forward(times, X, W, b, out):
    for _ in range(times):
        kernels.linear_forward(X, W, b, out)


# A user's own compiled functions, for arrays of any layout.
M, V = "float64[:, :]", "float64[:]"
SIGNATURES = {user_matmul: f"void(int64, {M}, {M}, {M})", user_linear_forward: f"void(int64, {M}, {M}, {V}, {M})"}


@functools.cache
def compiled(function):
    return njit(SIGNATURES[function])(function)


def check_matmul(call, arena, n, k, m, seed):
    rng = np.random.default_rng(seed)
    A, B, out = arena.put(rng.normal(size=(n, k))), arena.put(rng.normal(size=(k, m))), arena.space(n, m)
    call(A, B, out)
    assert_close(out, matmul(A, B), scale=matmul(abs(A), abs(B)))
    arena.check()


def check_linear_forward(call, arena, n, k, m, seed):
    rng = np.random.default_rng(seed)
    X, W, b = arena.put(rng.normal(size=(n, k))), arena.put(rng.normal(size=(k, m))), arena.put(rng.normal(size=m))
    out = arena.space(n, m)
    call(X, W, b, out)
    assert_close(out, linear_forward(X, W, b), scale=linear_forward(abs(X), abs(W), abs(b)))
    arena.check()


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=side, k=side, m=side, seed=seeds)
def test_matmul(dtype, n, k, m, seed):
    check_matmul(kernels.matmul, Arena(dtype), n, k, m, seed)


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=side, k=side, m=side, seed=seeds)
def test_linear_forward(dtype, n, k, m, seed):
    check_linear_forward(kernels.linear_forward, Arena(dtype), n, k, m, seed)


@given(n=side, k=side, m=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_matmul_in_users_njit(n, k, m, seed, layout):
    check_matmul(functools.partial(compiled(user_matmul), 1), Arena(layout=layout), n, k, m, seed)


@given(n=side, k=side, m=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_linear_forward_in_users_njit(n, k, m, seed, layout):
    check_linear_forward(functools.partial(compiled(user_linear_forward), 1), Arena(layout=layout), n, k, m, seed)


def test_matmul_takes_views_from_python():
    check_matmul(kernels.matmul, Arena(layout="strided"), 7, 5, 6, seed=0)


def test_mixed_layouts():
    # As in the backward pass: one operand transposed, the others as they lie.
    rng = np.random.default_rng(0)
    A, B, out = rng.normal(size=(5, 9)), rng.normal(size=(5, 3)), np.empty((9, 3))
    kernels.matmul(A.T, B, out)
    assert_close(out, matmul(A.T, B), scale=matmul(abs(A.T), abs(B)))


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize("shapes", [((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (1, 5)), ((2, 3), (3, 5), (2, 6)), ((2, 0), (1, 5), (2, 5))])
def test_matmul_refuses_shapes_and_writes_nothing(shapes, via):
    call = kernels.matmul if via == "python" else functools.partial(compiled(user_matmul), 1)
    arena = Arena()
    arrays = [arena.put(np.ones(shape)) for shape in shapes]
    with pytest.raises(ValueError, match="matmul"):
        call(*arrays)
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    "shapes",
    [((2, 3), (4, 5), 5, (2, 5)), ((2, 3), (3, 5), 4, (2, 5)), ((2, 3), (3, 5), 6, (2, 5)), ((2, 3), (3, 5), 5, (3, 5)),
     ((2, 3), (3, 5), 5, (2, 1))],
)  # fmt: skip
def test_linear_forward_refuses_shapes_and_writes_nothing(shapes, via):
    call = kernels.linear_forward if via == "python" else functools.partial(compiled(user_linear_forward), 1)
    arena = Arena()
    arrays = [arena.put(np.ones(shape)) for shape in shapes]
    with pytest.raises(ValueError, match="linear_forward"):
        call(*arrays)
    arena.check()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_matmul_carries_values_that_are_not_finite(value):
    A, B, out = np.ones((5, 7)), np.ones((7, 3)), np.zeros((5, 3))
    A[2, 4] = value
    kernels.matmul(A, B, out)
    np.testing.assert_array_equal(out, A @ B)


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize(("user", "inputs"), [(user_matmul, 2), (user_linear_forward, 3)])
def test_no_allocation(allocations, user, inputs):
    square, row = np.ones((9, 9)), np.ones(9)
    arguments = [square, square, row][:inputs]
    counts = [allocations(compiled(user), times, *arguments, np.empty((9, 9))) for times in (1, 1000)]
    assert counts[0] == counts[1]
