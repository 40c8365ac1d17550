"""The update rules: one step and many against NumPy, in arrays of any number of dimensions, and from @njit."""

import functools
import types
from fractions import Fraction

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, DTYPES, Arena, assert_close
from numba import config, njit

from fastbp import kernels
from fastbp.kernels.layer import optimizer

seeds = st.integers(0, 2**32 - 1)
shapes_1d = st.integers(0, 40).map(lambda n: (n,))
# The number of state arrays, and the numbers that come after them.
RULES = {
    "sgd_update": (0, (0.3,)),
    "momentum_update": (1, (0.3, 0.9)),
    "nesterov_update": (1, (0.3, 0.9)),
    "adam_update": (2, (3, 0.01, 0.9, 0.999, 1e-8)),
    "adamw_update": (2, (3, 0.01, 0.9, 0.999, 1e-8, 0.1)),
    "nadam_update": (2, (3, 0.01, 0.9, 0.999, 1e-8)),
    "rmsprop_update": (1, (0.01, 0.9, 1e-8)),
    "rprop_update": (2, (0.02, 0.5, 1.2)),
}
STEPPED = [rule for rule in RULES if len(RULES[rule][1]) >= 5]  # those that take the number of the step


def user_sgd_update(times, w, g, learning_rate):
    for _ in range(times):
        kernels.sgd_update(w, g, learning_rate)


def user_momentum_update(times, w, g, velocity, learning_rate, momentum):
    for _ in range(times):
        kernels.momentum_update(w, g, velocity, learning_rate, momentum)


def user_nesterov_update(times, w, g, velocity, learning_rate, momentum):
    for _ in range(times):
        kernels.nesterov_update(w, g, velocity, learning_rate, momentum)


def user_adam_update(times, w, g, m, v, *numbers):
    for _ in range(times):
        kernels.adam_update(w, g, m, v, *numbers)


def user_adamw_update(times, w, g, m, v, *numbers):
    for _ in range(times):
        kernels.adamw_update(w, g, m, v, *numbers)


def user_nadam_update(times, w, g, m, v, *numbers):
    for _ in range(times):
        kernels.nadam_update(w, g, m, v, *numbers)


def user_rmsprop_update(times, w, g, square, learning_rate, decay, epsilon):
    for _ in range(times):
        kernels.rmsprop_update(w, g, square, learning_rate, decay, epsilon)


def user_rprop_update(times, w, g, before, size, learning_rate, shrink, grow):
    for _ in range(times):
        kernels.rprop_update(w, g, before, size, learning_rate, shrink, grow)


def user_clip_gradient(times, g, most):
    length = 0.0
    for _ in range(times):
        length = kernels.clip_gradient(g, most)
    return length


@functools.cache
def compiled(rule):
    return njit(globals()[f"user_{rule}"])


def kernel(rule, via):
    return getattr(kernels, rule) if via == "python" else functools.partial(compiled(rule), 1)


def drawn(arena, shape, states, seed):
    """Weights, gradient and states: running means of earlier steps, the last of squares (for rprop, sizes of steps)."""
    rng = np.random.default_rng(seed)
    w, g = arena.put(rng.normal(size=shape), written=True), arena.put(rng.normal(size=shape))
    return [w, g, *[arena.put(rng.uniform(0.1, 1, size=shape), written=True) for _ in range(states)]]


def test_every_rule_is_tested():
    assert {f"{name}_update" for name in kernels.OPTIMIZERS} == set(RULES)
    for name, code in kernels.OPTIMIZERS.items():
        assert kernels.states_of(code) == RULES[f"{name}_update"][0]


def check_step(rule, via, dtype, shape, seed):
    arena = Arena(dtype)
    states, numbers = RULES[rule]
    arrays = drawn(arena, shape, states, seed)
    wanted = getattr(naive, rule)(*arrays, *numbers)
    kernel(rule, via)(*arrays, *numbers)
    for got, want in zip([arrays[0], *arrays[2:]], wanted, strict=True):
        assert_close(got, want, scale=1 + abs(want))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
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


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("rule", RULES)
def test_many_steps(rule, dtype):
    # The states start at zero, as in training; g = w pulls towards 0. Steps count from 1.
    states, numbers = RULES[rule]
    w = np.random.default_rng(0).normal(size=13).astype(dtype)
    got, want = [w.copy(), *[np.zeros(13, dtype) for _ in range(states)]], [w, *[np.zeros(13) for _ in range(states)]]
    for step in range(1, 31):
        if rule in STEPPED:
            numbers = (step, *numbers[1:])
        getattr(kernels, rule)(got[0], got[0].copy(), *got[1:], *numbers)
        want = getattr(naive, rule)(want[0], want[0], *want[1:], *numbers)
    assert abs(want[0] - w).min() > 1e-3
    for x, y in zip(got, want, strict=True):
        assert_close(x, y)


def test_adam_first_step_has_the_length_of_the_rate():
    # With zero states the corrected means are g and g^2: the step is alpha sign(g), whatever the size of g.
    w, g = np.zeros(4), np.array([1e-3, -1e-3, 20.0, -5e4])
    kernels.adam_update(w, g, np.zeros(4), np.zeros(4), 1, 0.01, 0.9, 0.999, 0.0)
    np.testing.assert_allclose(w, -0.01 * np.sign(g), rtol=1e-12)


def test_nadam_without_momentum_is_adam():
    w, g = np.random.default_rng(0).normal(size=(2, 9))
    found = [w.copy(), w.copy()]
    for rule, mine in zip((kernels.adam_update, kernels.nadam_update), found, strict=True):
        rule(mine, g, np.zeros(9), np.zeros(9), 3, 0.01, 0.0, 0.999, 1e-8)
    np.testing.assert_allclose(found[1], found[0], rtol=1e-14)


def test_adamw_without_decay_is_adam_and_decay_does_not_reach_the_means():
    w, g = np.random.default_rng(0).normal(size=(2, 9))
    found = []
    for rule, decay in ((kernels.adam_update, ()), (kernels.adamw_update, (0.0,)), (kernels.adamw_update, (0.5,))):
        state = [w.copy(), np.zeros(9), np.zeros(9)]
        rule(state[0], g, *state[1:], 1, 0.01, 0.9, 0.999, 1e-8, *decay)
        found.append(state)
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0][1:], found[2][1:])
    np.testing.assert_allclose(found[2][0], found[0][0] - 0.01 * 0.5 * w, rtol=1e-13)


def test_adamw_leaves_infinite_weights_without_decay_alone():
    w = np.array([np.inf, 1.0])
    kernels.adamw_update(w, np.ones(2), np.zeros(2), np.zeros(2), 1, 0.01, 0.9, 0.999, 1e-8, 0.0)
    assert w[0] == np.inf


def test_rprop_by_hand():
    # the same sign, the same again, a change of sign (the weight waits, and the next sign counts as new), no gradient
    w, before, size = np.zeros(2), np.zeros(2), np.zeros(2)
    seen = []
    for g in (3.0, 0.1, -5.0, -5.0, -1.0, 0.0):
        kernels.rprop_update(w, np.array([g, -g]), before, size, 0.1, 0.5, 1.2)
        assert w[0] == -w[1]
        seen.append((w[0], size[0]))
    wanted = [(-0.1, 0.1), (-0.22, 0.12), (-0.22, 0.06), (-0.16, 0.06), (-0.088, 0.072), (-0.088, 0.072)]
    np.testing.assert_allclose(seen, wanted, rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES)
def test_steps_of_rprop_have_bounds(dtype):
    w, before, size = np.zeros(1, dtype), np.zeros(1, dtype), np.zeros(1, dtype)
    for _ in range(60):
        kernels.rprop_update(w, np.ones(1, dtype), before, size, 0.1, 0.5, 1.2)
    assert size[0] == 50
    for k in range(120):
        kernels.rprop_update(w, np.full(1, (-1) ** (k // 2), dtype), before, size, 0.1, 0.5, 1.0)
    assert size[0] == dtype(1e-6)


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize("dtype", DTYPES)
@given(size=st.integers(0, 70), share=st.floats(0.1, 2), seed=seeds)
def test_clip_gradient(dtype, via, size, share, seed):
    arena = Arena(dtype)
    g = arena.put(np.random.default_rng(seed).normal(size=size), written=True)
    most = share * np.linalg.norm(g)
    wanted, length = naive.clip_gradient(g, most)
    found = (kernels.clip_gradient if via == "python" else functools.partial(compiled("clip_gradient"), 1))(g, most)
    np.testing.assert_allclose(found, length, rtol=1e-13)  # the squares of float32 are added in float64
    assert_close(g, wanted)
    arena.check()


def test_clip_gradient_keeps_what_is_short_and_takes_matrices():
    g = np.random.default_rng(0).normal(size=(3, 5))
    before = g.copy()
    for most in (np.inf, 10.0):
        assert kernels.clip_gradient(g, most) == pytest.approx(np.linalg.norm(before))
        np.testing.assert_array_equal(g, before)
    kernels.clip_gradient(g, 0.5)
    np.testing.assert_allclose(g, before * (0.5 / np.linalg.norm(before)), rtol=1e-14)
    kernels.clip_gradient(g, 0.0)
    assert (g == 0).all()


def test_clip_gradient_of_huge_float32_numbers():
    g = np.full(4, 1e30, np.float32)
    assert kernels.clip_gradient(g, 1.0) == pytest.approx(2e30)
    np.testing.assert_allclose(g, 0.5, rtol=1e-6)


# The rates of a step

U = Fraction(1, 2**53)  # the relative error of a float64 multiplication


def user_power(base, exponent):
    return optimizer.power(base, exponent)


def user_step_rates(code, step, learning_rate, l2, beta1, beta2):
    return optimizer.step_rates(code, step, learning_rate, l2, beta1, beta2)


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_power_against_exact_arithmetic():
    power = compiled("power")
    for base in (0.9, 0.999, 0.5, 1 / 3, 0.1, 1 - 2.0**-20, 1.0, 0.0):
        for exponent in [*range(200), 255, 256, 1000, 4095]:
            got, exact = power(base, exponent), Fraction(base) ** exponent
            if exact == 0 or exact > Fraction(2) ** -1022:  # smaller numbers have fewer bits
                assert abs(Fraction(got) - exact) <= ((1 + U) ** max(0, exponent - 1) - 1) * exact, (base, exponent)
            else:
                assert 0 <= got <= 2.0**-1021
    assert power(0.999, 1 << 62) == 0
    assert power(0.9, np.uint64(3)) == power(0.9, np.int32(3)) == power(0.9, 3)


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize("rule", kernels.OPTIMIZERS)
def test_rates_have_the_same_bits_everywhere(rule):
    # Plain Python rounds every operation on every processor; compiled code must do so too, whatever its caller's flags.
    names = vars(optimizer) | {"power": optimizer.power.py_func}
    in_python = types.FunctionType(optimizer.step_rates.py_func.__code__, names)
    users, fast = compiled("step_rates"), njit(fastmath=True)(user_step_rates)
    code = kernels.OPTIMIZERS[rule]
    for step in range(1, 201):
        for numbers in [(0.001, 0.1, 0.9, 0.999), (0.3, 1e-4, 0.85, 0.98), (0.01, 0.0, 0.0, 0.9)]:
            assert in_python(code, step, *numbers) == users(code, step, *numbers) == fast(code, step, *numbers)


@pytest.mark.parametrize("rule", STEPPED)
def test_steps_from_python_and_from_users_njit_have_the_same_bits(rule):
    numbers = RULES[rule][1][1:]
    python, users = ([np.ones(3), *np.zeros((2, 3))] for _ in range(2))
    for step in range(1, 201):
        g = np.array([1.0, -0.3, 1 / step])
        for (w, *state), call in ((python, kernel(rule, "python")), (users, kernel(rule, "njit"))):
            call(w, g, *state, step, *numbers)
        assert [x.tobytes() for x in python] == [x.tobytes() for x in users], step


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
def test_wrong_shapes_are_refused_and_nothing_is_written(rule, wrong, length, via):
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
@pytest.mark.parametrize("rule", STEPPED)
def test_steps_below_one_are_refused(rule, step, via):
    arena = Arena()
    arrays = [arena.put(np.ones(5)) for _ in range(4)]
    with pytest.raises(ValueError, match=f"{rule}: step"):
        kernel(rule, via)(*arrays, step, *RULES[rule][1][1:])
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
