"""Sines and cosines that are the same on every processor."""

from decimal import Decimal, localcontext

import numpy as np

from fastbp import circle

PI = Decimal("3.14159265358979323846264338327950288419716939937510")


def exact(turns):
    """Sine and cosine of 2 pi `turns`, to 40 decimals."""
    with localcontext(prec=40):
        x = 2 * PI * (Decimal(turns) % 1)
        term, sums = Decimal(1), [Decimal(0), Decimal(0)]
        for k in range(1, 80):
            sums[k % 2] += term * (-1) ** ((k - 1) // 2)
            term *= x / k
        return sums[0], sums[1]


def test_sin_cos_against_decimals():
    turns = np.concatenate([np.random.default_rng(0).uniform(-3, 3, 500), np.arange(-64, 65) / 64, [19_000.3, 1e-9]])
    for turn, sin, cos in zip(turns.tolist(), *(x.tolist() for x in circle.sin_cos(turns)), strict=True):
        wanted_sin, wanted_cos = exact(turn)
        assert abs(Decimal(sin) - wanted_sin) <= Decimal(2) ** -52, turn
        assert abs(Decimal(cos) - wanted_cos) <= Decimal(2) ** -52, turn


def test_quarters_are_exact():
    sin, cos = circle.sin_cos(np.arange(-8, 9) / 4)
    np.testing.assert_array_equal(sin, [0, 1, 0, -1] * 4 + [0])
    np.testing.assert_array_equal(cos, [1, 0, -1, 0] * 4 + [1])
    assert np.isnan(circle.sin_cos(np.array([np.nan]))).all()


def test_plain_python_gives_the_same_bits():
    # Python rounds every operation on every processor; a fused or reordered one would show.
    def series(coefficients, x):
        total = coefficients[-1]
        for c in coefficients[-2::-1]:
            total = total * x + c
        return total

    turns = np.linspace(-0.125, 0.125, 1001)
    x = [2 * np.pi * turn for turn in turns.tolist()]
    sin, cos = circle.sin_cos(turns)
    assert sin.tolist() == [a + a * (a * a * series(circle._SIN, a * a)) for a in x]
    assert cos.tolist() == [1 + a * a * series(circle._COS, a * a) for a in x]
