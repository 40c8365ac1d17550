"""The update rules: one step and many against NumPy, in arrays of any number of dimensions, and from @njit."""

import functools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import DTYPES, Arena, assert_close
from numba import config, njit

from fastbp import kernels

seeds = st.integers(0, 2**32 - 1)
shapes_1d = st.integers(0, 40).map(lambda n: (n,))
# Number of state arrays, and the numbers after them.
RULES = {
    "sgd_update": (0, (0.3,)),
    "momentum_update": (1, (0.3, 0.9)),
    "nesterov_update": (1, (0.3, 0.9)),
    "adam_update": (2, (3, 0.01, 0.9, 0.999, 1e-8)),
}


def user_sgd_update(times, w, g, learning_rate):
    for _ in range(times):
        kernels.sgd_update(w, g, learning_rate)


def user_momentum_update(times, w, g, velocity, learning_rate, momentum):
    for _ in range(times):
        kernels.momentum_update(w, g, velocity, learning_rate, momentum)


def user_nesterov_update(times, w, g, velocity, learning_rate, momentum):
    for _ in range(times):
        kernels.nesterov_update(w, g, velocity, learning_rate, momentum)


def user_adam_update(times, w, g, m, v, step, learning_rate, beta1, beta2, epsilon):
    for _ in range(times):
        kernels.adam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon)


@functools.cache
def compiled(rule):
    return njit(globals()[f"user_{rule}"])


def kernel(rule, via):
    return getattr(kernels, rule) if via == "python" else functools.partial(compiled(rule), 1)


def drawn(arena, shape, states, seed):
    """Weights, gradient and states; the states are the running means of earlier steps, the last one of squares."""
    rng = np.random.default_rng(seed)
    w, g = arena.put(rng.normal(size=shape), written=True), arena.put(rng.normal(size=shape))
    return [w, g, *[arena.put(rng.uniform(0.1, 1, size=shape), written=True) for _ in range(states)]]


def check_step(rule, via, dtype, shape, seed):
    arena = Arena(dtype)
    states, numbers = RULES[rule]
    arrays = drawn(arena, shape, states, seed)
    wanted = getattr(naive, rule)(*arrays, *numbers)
    kernel(rule, via)(*arrays, *numbers)
    for got, want in zip([arrays[0], *arrays[2:]], wanted, strict=True):
        assert_close(got, want, scale=1 + abs(want))
    arena.check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
@given(shape=shapes_1d, seed=seeds)
def test_one_step(rule, dtype, shape, seed):
    check_step(rule, "python", dtype, shape, seed)


@pytest.mark.parametrize("rule", RULES)
@given(shape=shapes_1d, seed=seeds)
def test_one_step_in_users_njit(rule, shape, seed):
    check_step(rule, "njit", np.float64, shape, seed)


@pytest.mark.parametrize("shape", [(5, 7), (0, 3), (1, 1)])
@pytest.mark.parametrize("rule", RULES)
def test_matrices(rule, shape):
    check_step(rule, "python", np.float64, shape, seed=0)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_many_steps(rule, dtype):
    # The states from zeros, as training starts; g = w pulls towards 0. The step counts from 1.
    states, numbers = RULES[rule]
    w = np.random.default_rng(0).normal(size=13).astype(dtype)
    got, want = [w.copy(), *[np.zeros(13, dtype) for _ in range(states)]], [w, *[np.zeros(13) for _ in range(states)]]
    for step in range(1, 31):
        if rule == "adam_update":
            numbers = (step, *numbers[1:])
        getattr(kernels, rule)(got[0], got[0].copy(), *got[1:], *numbers)
        want = getattr(naive, rule)(want[0], want[0], *want[1:], *numbers)
    assert abs(want[0] - w).min() > 1e-3
    for x, y in zip(got, want, strict=True):
        assert_close(x, y)


def test_adam_first_step_has_the_length_of_the_rate():
    # From zero states the corrected means are g and g^2: the step is alpha sign(g), whatever the size of g.
    w, g = np.zeros(4), np.array([1e-3, -1e-3, 20.0, -5e4])
    kernels.adam_update(w, g, np.zeros(4), np.zeros(4), 1, 0.01, 0.9, 0.999, 0.0)
    np.testing.assert_allclose(w, -0.01 * np.sign(g), rtol=1e-12)


def test_momentum_of_zero_is_sgd():
    w, g = np.random.default_rng(0).normal(size=(2, 9))
    found = []
    for rule, numbers in (("sgd_update", ()), ("momentum_update", (0.0,)), ("nesterov_update", (0.0,))):
        mine = w.copy()
        getattr(kernels, rule)(mine, g, *[np.zeros(9) for _ in numbers], 0.3, *numbers)
        found.append(mine)
    np.testing.assert_allclose(found[1:], [found[0]] * 2, rtol=1e-15)


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(("rule", "wrong"), [(rule, at) for rule in RULES for at in range(1, 2 + RULES[rule][0])])
@pytest.mark.parametrize("length", [0, 4, 6])
def test_refuses_shapes_and_writes_nothing(rule, wrong, length, via):
    arena = Arena()
    states, numbers = RULES[rule]
    arrays = [arena.put(np.ones(length if at == wrong else 5)) for at in range(2 + states)]
    with pytest.raises(ValueError, match=rule):
        kernel(rule, via)(*arrays, *numbers)
    arena.check()


def test_refuses_a_transposed_shape():
    arena = Arena()
    with pytest.raises(ValueError, match="sgd_update"):
        kernels.sgd_update(arena.put(np.ones((2, 3))), arena.put(np.ones((3, 2))), 0.1)
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize("step", [0, -1])
def test_adam_refuses_steps_below_one(step, via):
    arena = Arena()
    arrays = [arena.put(np.ones(5)) for _ in range(4)]
    with pytest.raises(ValueError, match="step"):
        kernel("adam_update", via)(*arrays, step, 0.01, 0.9, 0.999, 1e-8)
    arena.check()


@pytest.mark.parametrize("rule", RULES)
def test_nan_in_the_gradient_reaches_its_weight_alone(rule):
    states, numbers = RULES[rule]
    w, g = np.ones(9), np.ones(9)
    g[4] = np.nan
    getattr(kernels, rule)(w, g, *[np.zeros(9) for _ in range(states)], *numbers)
    assert np.isnan(w).tolist() == [i == 4 for i in range(9)]


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize("rule", RULES)
def test_no_allocation(allocations, rule):
    states, numbers = RULES[rule]
    arrays = [np.ones(9) for _ in range(2 + states)]
    counts = [allocations(compiled(rule), times, *arrays, *numbers) for times in (1, 1000)]
    assert counts[0] == counts[1]
