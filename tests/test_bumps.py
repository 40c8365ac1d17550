"""The bump construction (L10): a network built by hand follows a function, more closely with more bumps."""

import itertools
import math

import numpy as np
import pytest

import fastbp
from fastbp.cli import main

x = np.linspace(0, 1, 4001)
SMOOTH = {"sine": lambda x: np.sin(2 * np.pi * x), "exp": np.exp, "square": lambda x: x * x}


def step(x):
    return np.where(x < 0.437, 0.0, 1.0)


def error(f, n, interval=(0.0, 1.0)):
    points = interval[0] + (interval[1] - interval[0]) * x
    return np.abs(fastbp.bumps(f, n, interval).predict(points[:, None]) - [f(p) for p in points])


@pytest.mark.parametrize("name", SMOOTH)
def test_both_errors_fall_like_1_over_n_for_a_smooth_function(name):
    errors = [error(SMOOTH[name], n) for n in (10, 20, 40, 80, 160)]
    for coarse, fine in itertools.pairwise(errors):
        assert 1.8 < coarse.max() / fine.max() < 2.2
        assert coarse.mean() / fine.mean() > 1.8


def test_the_numbers_in_the_docstring():
    for f, largest, mean in [
        (SMOOTH["sine"], (0.310, 0.020), (0.0437, 0.0013)),
        (SMOOTH["exp"], (0.133, 0.009), (0.0124, 0.0006)),
        (step, (0.902, 0.618), (0.0404, 0.0015)),
    ]:
        errors = [error(f, n) for n in (10, 160)]
        assert tuple(e.max() for e in errors) == pytest.approx(largest, abs=0.002)
        assert tuple(e.mean() for e in errors) == pytest.approx(mean, abs=0.0002)


def test_at_a_jump_the_largest_error_stays_and_the_mean_falls():
    errors = {n: error(step, n) for n in (10, 40, 160)}
    for n, e in errors.items():
        assert e.max() >= 0.5
        assert e[np.abs(x - 0.437) > 1.5 / n].max() < 0.003
    assert errors[160].mean() < errors[40].mean() / 3 < errors[10].mean() / 6


def test_a_pair_of_units_is_a_bump_and_their_sum_is_the_network():
    net = fastbp.bumps(np.exp, 5)
    pairs = (net.activations(x[:, None])[1] * net.weights[1][:, 0]).reshape(len(x), 5, 2).sum(axis=2)
    np.testing.assert_allclose(pairs.sum(axis=1), net.predict(x[:, None]), rtol=0, atol=1e-12)
    middles = (np.arange(5) + 0.5) / 5
    assert (np.abs(x[pairs.argmax(axis=0)][1:-1] - middles[1:-1]) < 1e-3).all()
    for k, middle in enumerate(middles):
        assert 0.9 * np.exp(middle) < pairs[np.abs(x - middle).argmin(), k] < np.exp(middle)
        assert np.abs(pairs[np.abs(x - middle) > 0.3, k]).max() < 0.01  # and nothing elsewhere


def test_at_the_ends_of_the_interval_the_sum_has_its_full_height():
    for n, interval in itertools.product((1, 2, 7), ((0, 1), (-3, 5), (1e6, 1e6 + 0.01))):
        net = fastbp.bumps(lambda x: 2.0, n, interval)
        np.testing.assert_allclose(net.predict([[interval[0]], [np.mean(interval)], [interval[1]]]), 2, rtol=1e-6)


def test_another_interval_is_the_same_picture_stretched():
    np.testing.assert_allclose(error(lambda u: np.sin(u), 20, (0, 2 * np.pi)), error(SMOOTH["sine"], 20), atol=1e-9)


def test_a_function_of_numbers_and_one_of_arrays_give_the_same_network():
    scalar = fastbp.bumps(lambda x: math.sin(x) if x > 0.2 else 0, 9)
    vector = fastbp.bumps(lambda x: np.where(x > 0.2, np.sin(x), 0), 9)
    assert (scalar.params == vector.params).all()


def test_it_is_a_network_like_any_other(tmp_path, capsys):
    net = fastbp.bumps(np.exp, 8)
    assert net.sizes == (1, 16, 1)
    assert net.layer_activations == ("logistic", "identity")
    assert net.dtype == np.float64
    path = tmp_path / "bumps.fbp"
    net.save(path)
    again = fastbp.load(path)
    assert (again.params == net.params).all()
    assert again.options == net.options
    assert main(["info", str(path)]) == 0
    printed = capsys.readouterr().out
    assert "1 inputs - 16 logistic - 1 identity" in printed
    assert "0 of 0" in printed


def test_training_continues_from_the_construction():
    X, y = x[::20, None], np.exp(x[::20])
    net = fastbp.bumps(np.exp, 8)
    trained = fastbp.train(X, y, init=net, epochs=50, seed=0)
    assert trained.score(X, y) > net.score(X, y)


BAD = {
    "not a function": ((3, 4), "f: expected a function of one number, got 3"),
    "no bump": ((np.exp, 0), "n: expected an integer of at least 1, got 0"),
    "half a bump": ((np.exp, 2.5), "n: expected an integer of at least 1, got 2.5"),
    "backwards": (
        (np.exp, 4, (1, 0)),
        r"interval: expected two finite numbers, the first below the second, got \(1, 0\)",
    ),
    "three ends": ((np.exp, 4, (0, 1, 2)), "interval: expected two finite numbers"),
    "one number": ((np.exp, 4, 1.0), "interval: expected two finite numbers"),
    "an endless interval": ((np.exp, 4, (0, math.inf)), "interval: expected two finite numbers"),
    "too long an interval": ((np.exp, 4, (-1e308, 1e308)), "interval: expected two finite numbers"),
    "too short an interval": ((np.exp, 4, (0, 5e-324)), "interval: expected one that float64 can cut into 4 pieces"),
    "finer than float64": (
        (np.exp, 100, (1, 1 + 1e-15)),
        "interval: expected one that float64 can cut into 100 pieces",
    ),
    "a pole": ((lambda x: np.inf if x > 0.5 else 0.0, 4), "f: expected finite numbers, got inf at 0.625"),
    "a gap": ((lambda x: math.nan, 4), "f: expected finite numbers, got nan at 0.125"),
    "a vector": ((lambda x: [x, x], 4), r"f: expected one number for a number, got values of shape \(2,\)"),
    "nothing": ((lambda x: None, 4), "f: expected numbers, got None"),
    "text": ((str, 4), "f: expected real numbers, got text"),
    "complex numbers": ((lambda x: x + 1j, 4), "f: expected real numbers, got complex numbers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(case):
    arguments, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        fastbp.bumps(*arguments)
