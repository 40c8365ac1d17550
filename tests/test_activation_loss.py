"""Activations, losses and output deltas, against NumPy and finite differences, up to the limits of floats."""

import functools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import (
    COSTLY_DTYPES,
    DTYPES,
    ELEMENTWISE,
    LAYOUTS,
    LOSS_PAIRS,
    OF_INPUT,
    PARAMETRIC,
    Arena,
    assert_close,
    finite_difference,
)
from numba import config, njit

from fastbp import kernels

rows, columns = st.integers(0, 9), st.integers(1, 19)
seeds = st.integers(0, 2**32 - 1)
kinds = st.sampled_from(naive.ACTIVATIONS)
pairs = st.sampled_from(LOSS_PAIRS)
NONE = np.empty(0)  # where a loss has no parameter
decisions = {"none": kernels.NO_DECISION, "threshold": kernels.THRESHOLD, "argmax": kernels.ARGMAX}


def user_activation_forward(times, kind, z, out):
    for _ in range(times):
        kernels.activation_forward(kind, z, out)


def user_activation_derivative(times, kind, a, out):
    for _ in range(times):
        kernels.activation_derivative(kind, a, out)


def user_output_delta(times, loss, parameter, activation, a, y, out):
    for _ in range(times):
        kernels.output_delta(loss, parameter, activation, a, y, out)


def user_evaluate(times, loss, parameter, activation, decision, a, y, weight):
    found = (0.0, 0.0)
    for _ in range(times):
        found = kernels.evaluate(loss, parameter, activation, decision, a, y, weight)
    return found


M, V = "float64[:, :]", "float64[:]"
# A user's own compiled functions, for arrays of any layout.
SIGNATURES = {
    user_activation_forward: f"void(int64, int64, {M}, {M})",
    user_activation_derivative: f"void(int64, int64, {M}, {M})",
    user_output_delta: f"void(int64, int64, {V}, int64, {M}, {M}, {M})",
    user_evaluate: f"UniTuple(float64, 2)(int64, int64, {V}, int64, int64, {M}, {M}, {V})",
}


@functools.cache
def compiled(function):
    return njit(SIGNATURES[function])(function)


def in_njit(user):
    return functools.partial(compiled(user), 1)


def outputs_and_targets(activation, n, d, rng):
    """Outputs that the activation can produce, and targets that suit them."""
    a = naive.activation_forward(activation, rng.normal(size=(n, d)))
    if activation == "softmax":
        return a, naive.activation_forward("softmax", rng.normal(size=(n, d)))
    return a, rng.uniform(size=(n, d))


def loss_parameter(pair, d):
    return np.linspace(0.2, 0.8, d) if pair[0] in PARAMETRIC else NONE


# Activations


def check_forward(call, kind, arena, n, d, seed):
    rng = np.random.default_rng(seed)
    z, out = arena.put(3 * rng.normal(size=(n, d))), arena.space(n, d)
    call(kernels.ACTIVATIONS[kind], z, out)
    wanted = naive.activation_forward(kind, z)
    assert_close(out, wanted, scale=np.maximum(1, abs(z)) + abs(wanted))
    arena.check()


@pytest.mark.parametrize("dtype", DTYPES)
@given(kind=kinds, n=rows, d=st.integers(0, 19), seed=seeds)
def test_activation_forward(dtype, kind, n, d, seed):
    check_forward(kernels.activation_forward, kind, Arena(dtype), n, d, seed)


@given(kind=kinds, n=rows, d=st.integers(0, 19), seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_activation_forward_in_users_njit(kind, n, d, seed, layout):
    check_forward(in_njit(user_activation_forward), kind, Arena(layout=layout), n, d, seed)


def test_activation_forward_takes_a_view_from_python():
    check_forward(kernels.activation_forward, "softmax", Arena(layout="strided"), 6, 5, seed=0)


@pytest.mark.parametrize("kind", naive.ACTIVATIONS)
def test_activation_forward_in_place(kind):
    z = np.random.default_rng(0).normal(size=(5, 7))
    wanted = naive.activation_forward(kind, z)
    kernels.activation_forward(kernels.ACTIVATIONS[kind], z, z)
    assert_close(z, wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_activation_forward_of_small_and_large_inputs_is_right_in_all_digits(kind, dtype):
    z = np.geomspace(1e-30, 60, 500)
    # the float64 reference has an absolute error of 1e-15 here: Phi(z) = (1 + erf) / 2 far below 0
    z = np.concatenate([z, -z[z < (0.5 if kind == "gelu" else 100)]])[None].astype(dtype)
    out = np.empty_like(z)
    kernels.activation_forward(kernels.ACTIVATIONS[kind], z, out)
    np.testing.assert_allclose(
        out, naive.activation_forward(kind, z), rtol=1e-6 if dtype == np.float32 else 4e-15, atol=1e-37
    )


def check_derivative(call, kind, arena, n, d, seed):
    rng = np.random.default_rng(seed)
    a, out = arena.put(naive.of_derivative(kind, 2 * rng.normal(size=(n, d)))), arena.space(n, d)
    call(kernels.ACTIVATIONS[kind], a, out)
    assert_close(out, naive.activation_derivative(kind, a), scale=1 + abs(a))
    arena.check()


@pytest.mark.parametrize("dtype", DTYPES)
@given(kind=st.sampled_from(ELEMENTWISE), n=rows, d=st.integers(0, 19), seed=seeds)
def test_activation_derivative(dtype, kind, n, d, seed):
    check_derivative(kernels.activation_derivative, kind, Arena(dtype), n, d, seed)


@given(kind=st.sampled_from(ELEMENTWISE), n=rows, d=st.integers(0, 19), seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_activation_derivative_in_users_njit(kind, n, d, seed, layout):
    check_derivative(in_njit(user_activation_derivative), kind, Arena(layout=layout), n, d, seed)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_activation_derivative_is_the_slope(kind):
    code, z = kernels.ACTIVATIONS[kind], np.linspace(-4, 4, 20).reshape(4, 5)  # none at a kink
    a, slope = np.empty_like(z), np.empty_like(z)

    def total(z):
        kernels.activation_forward(code, z, a)
        return a.sum()

    wanted = finite_difference(total, z)
    total(z)
    assert kernels.takes_input(code) == (kind in OF_INPUT)
    kernels.activation_derivative(code, z if kernels.takes_input(code) else a, slope)
    np.testing.assert_allclose(slope, wanted, rtol=0, atol=5e-8)  # sums up to 100 are compared, 1e-6 apart


def test_activations_are_continuous_and_bend_where_listed():
    h = 1e-9
    for kind, kinks in naive.KINKS.items():
        code = kernels.ACTIVATIONS[kind]
        for kink in kinks:
            z, a, slope = np.array([[kink - h, kink + h]], np.float64), np.empty((1, 2)), np.empty((1, 2))
            kernels.activation_forward(code, z, a)
            kernels.activation_derivative(code, a, slope)
            assert abs(a[0, 1] - a[0, 0]) < 4 * h
            assert (abs(slope[0, 1] - slope[0, 0]) < 1e-8) == (kind == "elu")


def test_relu_has_no_slope_at_zero():
    out = np.empty((1, 3))
    kernels.activation_derivative(kernels.RELU, np.array([[0.0, -0.0, 1e-300]]), out)
    assert out.tolist() == [[0, 0, 1]]


# Output layer


def check_output_delta(call, pair, arena, n, d, seed):
    a, y = (arena.put(x) for x in outputs_and_targets(pair[1], n, d, np.random.default_rng(seed)))
    out, p = arena.space(n, d), arena.put(loss_parameter(pair, d))
    call(kernels.LOSSES[pair[0]], p, kernels.ACTIVATIONS[pair[1]], a, y, out)
    assert_close(out, naive.output_delta(*pair, a, y, *naive.wide(p)), scale=1 + abs(a) ** 2)
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(pair=pairs, n=rows, d=columns, seed=seeds)
def test_output_delta(dtype, pair, n, d, seed):
    check_output_delta(kernels.output_delta, pair, Arena(dtype), n, d, seed)


@given(pair=pairs, n=rows, d=columns, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_output_delta_in_users_njit(pair, n, d, seed, layout):
    check_output_delta(in_njit(user_output_delta), pair, Arena(layout=layout), n, d, seed)


@pytest.mark.parametrize("hard", [True, False], ids=["one-hot", "soft"])
@pytest.mark.parametrize("pair", LOSS_PAIRS, ids="-".join)
def test_output_delta_is_the_slope_of_the_loss(pair, hard):
    loss, activation = kernels.LOSSES[pair[0]], kernels.ACTIVATIONS[pair[1]]
    rng = np.random.default_rng(5)
    z = rng.uniform(0.1, 2, size=(6, 4)) * rng.choice([-1, 1], size=(6, 4))  # none at a kink
    y = np.eye(4)[rng.integers(0, 4, 6)] if hard else outputs_and_targets(pair[1], 6, 4, rng)[1]
    a, delta, weight, p = np.empty_like(z), np.empty_like(z), np.ones(6), loss_parameter(pair, 4)

    def total(z):
        kernels.activation_forward(activation, z, a)
        return 6 * kernels.evaluate(loss, p, activation, kernels.NO_DECISION, a, y, weight)[0]

    wanted = finite_difference(total, z)
    total(z)
    kernels.output_delta(loss, p, activation, a, y, delta)
    tolerance = 3e-8 if pair == ("squared_error", "exp") else 1e-8  # J is at most 200
    np.testing.assert_allclose(delta, wanted, rtol=0, atol=tolerance)
    if activation == kernels.SOFTMAX:  # the outputs sum to 1, whatever is added to all z
        np.testing.assert_allclose(delta.sum(axis=1), 0, atol=1e-15)


# Loss and decision


def check_evaluate(call, pair, decision, arena, n, d, seed):
    rng = np.random.default_rng(seed)
    a, y = (arena.put(x) for x in outputs_and_targets(pair[1], n, d, rng))
    weight, p = arena.put(rng.uniform(size=n)), arena.put(loss_parameter(pair, d))
    loss, share = call(kernels.LOSSES[pair[0]], p, kernels.ACTIVATIONS[pair[1]], decisions[decision], a, y, weight)
    wanted_loss, wanted_share = naive.evaluate(*pair, decision, a, y, weight, *naive.wide(p))
    scale = (weight * naive.loss_scale(*pair, a, y, *naive.wide(p))).mean()  # a sample's terms are added in the dtype
    np.testing.assert_allclose(loss, wanted_loss, rtol=0, atol=scale * (1e-12 if arena.dtype == np.float64 else 1e-6))
    np.testing.assert_allclose(share, wanted_share, rtol=1e-15)
    arena.check()


@pytest.mark.parametrize("dtype", DTYPES)
@given(pair=pairs, decision=st.sampled_from(sorted(decisions)), n=st.integers(1, 9), d=columns, seed=seeds)
def test_evaluate(dtype, pair, decision, n, d, seed):
    check_evaluate(kernels.evaluate, pair, decision, Arena(dtype), n, d, seed)


@given(
    pair=pairs,
    decision=st.sampled_from(sorted(decisions)),
    n=st.integers(1, 9),
    d=columns,
    seed=seeds,
    layout=st.sampled_from(LAYOUTS),
)
def test_evaluate_in_users_njit(pair, decision, n, d, seed, layout):
    check_evaluate(in_njit(user_evaluate), pair, decision, Arena(layout=layout), n, d, seed)


def test_decisions():
    y = np.array([[1.0, 0, 0], [0, 1, 0], [1, 1, 0]])
    a = np.array([[0.6, 0.4, 0.3], [0.2, 0.4, 0.3], [0.9, 0.8, 0.7]])

    def share(decision):
        return kernels.evaluate(kernels.SQUARED_ERROR, NONE, kernels.LOGISTIC, decision, a, y, np.ones(3))[1]

    assert share(kernels.ARGMAX) == 1  # ties in the target go to the first unit
    np.testing.assert_allclose(share(kernels.THRESHOLD), 1 / 3, rtol=1e-15)
    assert share(kernels.NO_DECISION) == 0


def test_evaluate_of_nothing_is_nan():
    none = np.empty((0, 3))
    assert np.isnan(kernels.evaluate(0, NONE, 0, 0, none, none, NONE)).all()


# Wrong arguments

UNKNOWN = kernels.SOFTMAX + 1  # no activation has this code


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    ("kind", "shapes"),
    [(-1, 2 * [(3, 4)]), (UNKNOWN, 2 * [(3, 4)]), (1, [(3, 4), (3, 5)]), (kernels.SOFTMAX, [(3, 4), (2, 4)])],
)
def test_activation_forward_refuses(kind, shapes, via):
    call = kernels.activation_forward if via == "python" else in_njit(user_activation_forward)
    arena = Arena()
    with pytest.raises(ValueError, match="activation_forward"):
        call(kind, *[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    ("kind", "shapes"),
    [
        (-1, 2 * [(3, 4)]),
        (kernels.SOFTMAX, 2 * [(3, 4)]),
        (UNKNOWN, 2 * [(3, 4)]),
        (1, [(3, 4), (3, 5)]),
        (3, [(3, 4), (2, 4)]),
    ],
)
def test_activation_derivative_refuses(kind, shapes, via):
    call = kernels.activation_derivative if via == "python" else in_njit(user_activation_derivative)
    arena = Arena()
    with pytest.raises(ValueError, match="activation_derivative"):
        call(kind, *[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


# Loss codes that are unknown, or that do not fit the activation or the number of parameters.
BAD_PAIRS = [
    *[(-1, 0, 1), (len(kernels.LOSSES), 0, 1), (65535, 0, 1)],
    *[(0, 0, -1), (0, 0, UNKNOWN), (0, 0, kernels.GELU), (3, 0, kernels.SILU), (0, 0, kernels.MISH)],
    *[(1, 0, kernels.IDENTITY), (1, 0, kernels.TANH), (1, 0, kernels.RELU), (1, 0, UNKNOWN)],
    *[(2, 0, kernels.IDENTITY), (2, 0, kernels.SOFTMAX)],
    *[(4, 0, 1), (4, 3, 1), (6, 5, 1), (6, 0, 1)],
]


def coded(loss, length, activation):
    return loss, np.full(length, 0.5), activation


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    ("codes", "shapes"),
    [(pair, 3 * [(3, 4)]) for pair in BAD_PAIRS]
    + [
        ((0, 0, 1), [(3, 4), (3, 5), (3, 4)]),
        ((0, 0, 1), [(3, 4), (2, 4), (3, 4)]),
        ((1, 0, kernels.SOFTMAX), [(3, 4), (3, 4), (3, 3)]),
    ],
)
def test_output_delta_refuses(codes, shapes, via):
    call = kernels.output_delta if via == "python" else in_njit(user_output_delta)
    arena = Arena()
    with pytest.raises(ValueError, match=r"output_delta|loss|activation|poisson"):
        call(*coded(*codes), *[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    ("codes", "shapes"),
    [(pair, [(3, 4), (3, 4), 3]) for pair in BAD_PAIRS]
    + [((0, 0, 1), [(3, 4), (3, 5), 3]), ((0, 0, 1), [(3, 4), (2, 4), 3]), ((0, 0, 1), [(3, 4), (3, 4), 2])],
)
def test_evaluate_refuses(codes, shapes, via):
    call = kernels.evaluate if via == "python" else in_njit(user_evaluate)
    arena = Arena()
    with pytest.raises(ValueError, match=r"evaluate|loss|activation|poisson"):
        call(*coded(*codes), 0, *[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


@pytest.mark.parametrize("decision", [-1, 3])
def test_evaluate_refuses_unknown_decisions(decision):
    with pytest.raises(ValueError, match="decision"):
        kernels.evaluate(0, NONE, 1, decision, np.ones((3, 4)), np.ones((3, 4)), np.ones(3))


# The limits of floats


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", naive.ACTIVATIONS)
@pytest.mark.parametrize("at", [0, 3, 8])
def test_nan_stays_nan(kind, at, dtype):
    z, out = np.ones((2, 9), dtype), np.empty((2, 9), dtype)
    z[0, at] = np.nan
    kernels.activation_forward(kernels.ACTIVATIONS[kind], z, out)
    wanted = np.zeros((2, 9), bool)
    wanted[0, slice(None) if kind == "softmax" else at] = True
    np.testing.assert_array_equal(np.isnan(out), wanted)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pair", LOSS_PAIRS, ids="-".join)
def test_nan_reaches_loss_and_delta(pair, dtype):
    loss, activation = kernels.LOSSES[pair[0]], kernels.ACTIVATIONS[pair[1]]
    a, y, delta = np.full((2, 3), 0.25, dtype), np.full((2, 3), 0.5, dtype), np.empty((2, 3), dtype)
    a[1, 2] = np.nan
    p = loss_parameter(pair, 3).astype(dtype)
    assert np.isnan(kernels.evaluate(loss, p, activation, 0, a, y, np.ones(2, dtype))[0])
    kernels.output_delta(loss, p, activation, a, y, delta)
    assert np.isnan(delta[1, 2])
    assert np.isfinite(delta[0]).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_huge_values_saturate(dtype):
    big = np.array([[-np.inf, -1e30, -1e4, 0, 1e4, 1e30, np.inf]], dtype)
    wanted = {
        "logistic": [0, 0, 0, 0.5, 1, 1, 1],
        "tanh": [-1, -1, -1, 0, 1, 1, 1],
        "relu": [0, 0, 0, *big[0, 3:]],
        "identity": big[0],
        "leaky_relu": big[0] * np.where(big[0] > 0, 1, dtype(0.01)),
        "elu": [-1, -1, -1, *big[0, 3:]],
        "selu": [*[dtype(-1.7580993408473766)] * 3, *big[0, 3:] * dtype(1.0507009873554805)],
        "softplus": [0, 0, 0, dtype(np.log(2)), *big[0, 4:]],
        "hard_sigmoid": [0, 0, 0, 0.5, 1, 1, 1],
        "exp": [0, 0, 0, 1, np.inf, np.inf, np.inf],
    }
    for kind, values in wanted.items():
        out = np.empty_like(big)
        kernels.activation_forward(kernels.ACTIVATIONS[kind], big, out)
        np.testing.assert_array_equal(out[0], values)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", OF_INPUT)
def test_the_smooth_relus_of_huge_values(kind, dtype):
    z = np.array([[-1e30, -1e4, -200, 0, 200, 1e4, 1e30]], dtype)
    a, slope = np.empty_like(z), np.empty_like(z)
    kernels.activation_forward(kernels.ACTIVATIONS[kind], z, a)
    kernels.activation_derivative(kernels.ACTIVATIONS[kind], z, slope)
    np.testing.assert_allclose(a, np.maximum(z, 0), rtol=4 * np.finfo(dtype).eps, atol=1e-30)
    np.testing.assert_allclose(
        slope, [[0, 0, 0, 0.6 if kind == "mish" else 0.5, 1, 1, 1]], rtol=4 * np.finfo(dtype).eps, atol=1e-30
    )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(
    "row", [[1e30, 0, -1e30], [-1e30, -1e30, -1e30], [1e4, 1e4, 1], [-np.inf, 0, 1], [-np.inf, 1e30, -1e30]], ids=str
)
def test_softmax_of_huge_values(row, dtype):
    z, out = np.array([row], dtype), np.empty((1, 3), dtype)
    kernels.activation_forward(kernels.SOFTMAX, z, out)
    assert_close(out, naive.activation_forward("softmax", z))
    assert_close(out.sum(), 1)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("row", [[0, np.inf, -1], [np.inf, -np.inf, np.inf]], ids=str)
def test_softmax_of_infinity_is_undefined(row, dtype):
    """inf - inf has no value: the result is NaN, as in SciPy, so that divergence is noticed."""
    out = np.empty((1, 3), dtype)
    kernels.activation_forward(kernels.SOFTMAX, np.array([row], dtype), out)
    assert np.isnan(out).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", [kernels.LOGISTIC, kernels.SOFTMAX])
def test_log_loss_of_saturated_units_is_finite(activation, dtype):
    a, none = np.array([[1, 0]], dtype), np.empty(0, dtype)  # the outputs of huge inputs, see above
    wrong = kernels.evaluate(kernels.LOG_LOSS, none, activation, 0, a, 1 - a, np.ones(1, dtype))[0]
    right = kernels.evaluate(kernels.LOG_LOSS, none, activation, 0, a, a, np.ones(1, dtype))[0]
    tiny = float(np.finfo(dtype).eps)
    np.testing.assert_allclose(wrong, -np.log(tiny) * (2 if activation == kernels.LOGISTIC else 1), rtol=4 * tiny)
    assert right == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_poisson_at_the_limits(dtype):
    def mean(a, y):
        arrays = (np.full((1, 1), x, dtype) for x in (a, y))
        return kernels.evaluate(kernels.POISSON, np.empty(0, dtype), kernels.EXP, 0, *arrays, np.ones(1, dtype))[0]

    assert mean(3, 3) == mean(0, 0) == 0
    assert mean(2, 0) == 2
    tiny = float(np.finfo(dtype).tiny)
    np.testing.assert_allclose(mean(0, 1), -np.log(tiny) - 1, rtol=1e-6)


@pytest.mark.parametrize("dtype", DTYPES)
def test_errors_at_the_corners(dtype):
    e, p = np.array([[-2, -0.5, 0, 0.5, 2]], dtype), np.full(5, 0.5, dtype)
    wanted = {
        "absolute_error": [-1, -1, 0, 1, 1],
        "huber": [-0.5, -0.5, 0, 0.5, 0.5],
        "quantile": [-0.5, -0.5, 0, 0.5, 0.5],
    }
    for name, slopes in wanted.items():
        out = np.empty_like(e)
        kernels.output_delta(kernels.LOSSES[name], p, kernels.IDENTITY, e, np.zeros_like(e), out)
        np.testing.assert_array_equal(out[0], slopes)


@pytest.mark.parametrize("dtype", DTYPES)
def test_log_cosh_of_small_and_large_errors(dtype):
    e = np.concatenate([np.geomspace(1e-8, 1, 400), np.linspace(1, 80, 100)]).astype(dtype)
    wanted = np.log(np.cosh(e.astype(np.longdouble)))
    series = e.astype(np.longdouble) ** 2
    wanted = np.where(e < 1e-3, series / 2 - series**2 / 12, wanted)
    got = [
        kernels.evaluate(
            kernels.LOG_COSH, np.empty(0, dtype), 0, 0, *(np.full((1, 1), x, dtype) for x in (x, 0)), np.ones(1, dtype)
        )[0]
        for x in e
    ]
    np.testing.assert_allclose(got, wanted.astype(np.float64), rtol=2e-5 if dtype == np.float32 else 2e-11)


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize(
    ("user", "kind"), [(user_activation_forward, kernels.SOFTMAX), (user_activation_derivative, kernels.TANH)]
)
def test_no_allocation(allocations, user, kind):
    arrays = [np.full((9, 9), 0.5) for _ in range(2)]
    counts = [allocations(compiled(user), times, kind, *arrays) for times in (1, 1000)]
    assert counts[0] == counts[1]


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_no_allocation_per_sample(allocations):
    counts = []
    for n in (1, 1000):
        a, y, out = (np.full((n, 9), 0.5) for _ in range(3))
        delta = allocations(in_njit(user_output_delta), kernels.SQUARED_ERROR, NONE, kernels.SOFTMAX, a, y, out)
        loss = allocations(
            in_njit(user_evaluate), kernels.LOG_LOSS, NONE, kernels.LOGISTIC, kernels.ARGMAX, a, y, np.ones(n)
        )
        counts.append((delta, loss))
    assert counts[0] == counts[1]
