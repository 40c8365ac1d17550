"""Sines and cosines with the same bits on every processor; those of NumPy and the C library differ in the last bit."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# Taylor series for |x| <= pi/4, lowest power first: sin x = x + x^3 P(x^2), cos x = 1 + x^2 P(x^2). The truncation
# error is below 2^-58.
_SIN = [(-1) ** k / math.factorial(2 * k + 1) for k in range(1, 9)]
_COS = [(-1) ** k / math.factorial(2 * k) for k in range(1, 9)]


def sin_cos(turns: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Sine and cosine of 2 pi `turns`, computed by IEEE additions and multiplications only.

    Exact at quarters of a turn, otherwise within 2^-52.
    """
    quarters = np.rint(4 * turns)
    x = (2 * np.pi) * (turns - quarters / 4)
    square = x * x
    sin, cos = x + x * (square * _series(_SIN, square)), 1 + square * _series(_COS, square)
    quarter = quarters % 4
    sin, cos = np.where(quarter % 2 == 0, sin, cos), np.where(quarter % 2 == 0, cos, sin)
    return np.where(quarter >= 2, -sin, sin), np.where((quarter == 1) | (quarter == 2), -cos, cos)


def _series(coefficients: list[float], x: NDArray[np.float64]) -> NDArray[np.float64]:
    """The polynomial, by Horner's rule; the first coefficient is the lowest."""
    total = np.full_like(x, coefficients[-1])
    for c in coefficients[-2::-1]:
        total = total * x + c
    return total
