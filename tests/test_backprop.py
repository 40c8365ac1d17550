"""The backward equations of a layer: against NumPy, against finite differences, in every layout and from @njit."""

import functools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, ELEMENTWISE, LAYOUTS, Arena, assert_close, finite_difference
from numba import config, njit

from fastbp import kernels

side = st.integers(0, 17)
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(ELEMENTWISE)


def user_hidden_delta(times, kind, delta_next, W_next, a, out):
    for _ in range(times):
        kernels.hidden_delta(kind, delta_next, W_next, a, out)


def user_weight_gradient(times, a, delta, out):
    for _ in range(times):
        kernels.weight_gradient(a, delta, out)


def user_bias_gradient(times, delta, out):
    for _ in range(times):
        kernels.bias_gradient(delta, out)


M, V = "float64[:, :]", "float64[:]"
# A user's own compiled functions, for arrays of any layout.
SIGNATURES = {
    user_hidden_delta: f"void(int64, int64, {M}, {M}, {M}, {M})",
    user_weight_gradient: f"void(int64, {M}, {M}, {M})",
    user_bias_gradient: f"void(int64, {M}, {V})",
}


@functools.cache
def compiled(function):
    return njit(SIGNATURES[function])(function)


def in_njit(user):
    return functools.partial(compiled(user), 1)


def check_hidden_delta(call, kind, arena, n, d, d_next, seed):
    rng = np.random.default_rng(seed)
    delta, W = arena.put(rng.normal(size=(n, d_next))), arena.put(rng.normal(size=(d, d_next)))
    a, out = arena.put(naive.of_derivative(kind, rng.normal(size=(n, d)))), arena.space(n, d)
    call(kernels.ACTIVATIONS[kind], delta, W, a, out)
    assert_close(out, naive.hidden_delta(kind, delta, W, a), scale=naive.matmul(abs(delta), abs(W).T) * (1 + abs(a)))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(kind=kinds, n=side, d=side, d_next=side, seed=seeds)
def test_hidden_delta(dtype, kind, n, d, d_next, seed):
    check_hidden_delta(kernels.hidden_delta, kind, Arena(dtype), n, d, d_next, seed)


@given(kind=kinds, n=side, d=side, d_next=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_hidden_delta_in_users_njit(kind, n, d, d_next, seed, layout):
    check_hidden_delta(in_njit(user_hidden_delta), kind, Arena(layout=layout), n, d, d_next, seed)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_hidden_delta_is_the_slope(kind):
    # J = sum of error * (f(z) W) has the slope `error` in the next layer.
    rng = np.random.default_rng(0)
    z = rng.uniform(0.1, 2, size=(5, 3)) * rng.choice([-1, 1], size=(5, 3))  # none at a kink
    W, error, out = rng.normal(size=(3, 4)), rng.normal(size=(5, 4)), np.empty((5, 3))
    wanted = finite_difference(lambda z: (error * (naive.activation_forward(kind, z) @ W)).sum(), z)
    kernels.hidden_delta(kernels.ACTIVATIONS[kind], error, W, naive.of_derivative(kind, z), out)
    np.testing.assert_allclose(out, wanted, rtol=0, atol=1e-8)


def check_weight_gradient(call, arena, n, d_in, d_out, seed):
    rng = np.random.default_rng(seed)
    a, delta, out = (
        arena.put(rng.normal(size=(n, d_in))),
        arena.put(rng.normal(size=(n, d_out))),
        arena.space(d_in, d_out),
    )
    call(a, delta, out)
    assert_close(out, naive.weight_gradient(a, delta), scale=naive.weight_gradient(abs(a), abs(delta)))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(n=side, d_in=side, d_out=side, seed=seeds)
def test_weight_gradient(dtype, n, d_in, d_out, seed):
    check_weight_gradient(kernels.weight_gradient, Arena(dtype), n, d_in, d_out, seed)


@given(n=side, d_in=side, d_out=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_weight_gradient_in_users_njit(n, d_in, d_out, seed, layout):
    check_weight_gradient(in_njit(user_weight_gradient), Arena(layout=layout), n, d_in, d_out, seed)


def check_bias_gradient(call, arena, n, d_out, seed):
    delta, out = arena.put(np.random.default_rng(seed).normal(size=(n, d_out))), arena.space(d_out)
    call(delta, out)
    assert_close(out, naive.bias_gradient(delta), scale=naive.bias_gradient(abs(delta)))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(n=side, d_out=side, seed=seeds)
def test_bias_gradient(dtype, n, d_out, seed):
    check_bias_gradient(kernels.bias_gradient, Arena(dtype), n, d_out, seed)


@given(n=side, d_out=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_bias_gradient_in_users_njit(n, d_out, seed, layout):
    check_bias_gradient(in_njit(user_bias_gradient), Arena(layout=layout), n, d_out, seed)


def test_gradients_of_a_layer_are_slopes():
    # J = sum of error * tanh(X W + b): the layer's delta is dJ/dz = error * (1 - tanh^2).
    rng = np.random.default_rng(1)
    X, W, b, error = rng.normal(size=(6, 3)), rng.normal(size=(3, 5)), rng.normal(size=5), rng.normal(size=(6, 5))
    delta = error / np.cosh(X @ W + b) ** 2
    dW, db = np.empty((3, 5)), np.empty(5)
    kernels.weight_gradient(X, delta, dW)
    kernels.bias_gradient(delta, db)
    np.testing.assert_allclose(
        dW, finite_difference(lambda W: (error * np.tanh(X @ W + b)).sum(), W), rtol=0, atol=1e-8
    )
    np.testing.assert_allclose(
        db, finite_difference(lambda b: (error * np.tanh(X @ W + b)).sum(), b), rtol=0, atol=1e-8
    )


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    ("kind", "shapes"),  # of delta_next, W_next, a and out: 5 samples, 3 units in this layer, 4 in the next
    [
        (-1, [(5, 4), (3, 4), (5, 3), (5, 3)]),
        (kernels.SOFTMAX, [(5, 4), (3, 4), (5, 3), (5, 3)]),
        (kernels.SOFTMAX + 1, [(5, 4), (3, 4), (5, 3), (5, 3)]),
        (1, [(5, 5), (3, 4), (5, 3), (5, 3)]),
        (1, [(4, 4), (3, 4), (5, 3), (5, 3)]),
        (1, [(5, 4), (4, 3), (5, 3), (5, 3)]),
        (1, [(5, 4), (3, 4), (5, 2), (5, 2)]),
        (1, [(5, 4), (3, 4), (5, 3), (5, 2)]),
        (1, [(5, 4), (3, 4), (5, 3), (4, 3)]),
    ],
)
def test_hidden_delta_refuses(kind, shapes, via):
    call = kernels.hidden_delta if via == "python" else in_njit(user_hidden_delta)
    arena = Arena()
    with pytest.raises(ValueError, match="hidden_delta"):
        call(kind, *[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    "shapes", [[(5, 3), (4, 2), (3, 2)], [(5, 3), (5, 2), (2, 2)], [(5, 3), (5, 2), (3, 3)], [(5, 3), (5, 2), (2, 3)]]
)
def test_weight_gradient_refuses(shapes, via):
    call = kernels.weight_gradient if via == "python" else in_njit(user_weight_gradient)
    arena = Arena()
    with pytest.raises(ValueError, match="weight_gradient"):
        call(*[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize("shapes", [[(5, 3), 5], [(5, 3), 2], [(0, 3), 0]])
def test_bias_gradient_refuses(shapes, via):
    call = kernels.bias_gradient if via == "python" else in_njit(user_bias_gradient)
    arena = Arena()
    with pytest.raises(ValueError, match="bias_gradient"):
        call(*[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


@pytest.mark.parametrize("at", [(0, 0), (4, 2)])
def test_nan_reaches_the_gradients(at):
    a, delta, dW, db = np.ones((5, 3)), np.ones((5, 3)), np.empty((3, 3)), np.empty(3)
    delta[at] = np.nan
    kernels.weight_gradient(a, delta, dW)
    kernels.bias_gradient(delta, db)
    assert np.isnan(dW[:, at[1]]).all()
    assert np.isnan(db[at[1]])
    assert np.isnan(dW).sum() == 3
    assert np.isnan(db).sum() == 1


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize(
    ("user", "codes", "matrices"),
    [(user_hidden_delta, (1,), 4), (user_weight_gradient, (), 3), (user_bias_gradient, (), 1)],
)
def test_no_allocation(allocations, user, codes, matrices):
    arrays = [np.ones((9, 9)) for _ in range(matrices)] + ([np.empty(9)] if user is user_bias_gradient else [])
    counts = [allocations(compiled(user), times, *codes, *arrays) for times in (1, 1000)]
    assert counts[0] == counts[1]
