"""
A step length that fulfils the strong Wolfe conditions (Nocedal and Wright, "Numerical optimization", chapter 3).

f(t) <= f(0) + 1e-4 t f'(0): the step brings enough; |f'(t)| <= 0.9 |f'(0)|: it goes far enough, so that a quasi-Newton
method learns the curvature from it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# The two conditions; and the most lengths that are tried.
ENOUGH, FLAT, MOST = 1e-4, 0.9, 30
# A longer step is tried at this multiple of the last one.
STRETCH = 3.0


@dataclass(frozen=True)
class Point:
    """A length t, f(t), its slope f'(t), and what else was found there."""

    t: float
    value: float
    slope: float
    found: Any


def strong_wolfe(at: Callable[[float], Point], start: Point, first: float) -> Point | None:
    """
    Find a length.

    Parameters
    ----------
    at : callable
        Computes the point of a length; an infinite value where there is none.
    start : Point
        That of 0; its slope is negative.
    first : float
        The length to try first.

    Returns
    -------
    Point or None
        Where both conditions hold; after `MOST` tries the lowest point if it fulfils the first one, else None.
    """

    def enough(point: Point) -> bool:
        return point.value <= start.value + ENOUGH * point.t * start.slope

    def flat(point: Point) -> bool:
        return abs(point.slope) <= -FLAT * start.slope

    low, high, t = start, None, first
    for _ in range(MOST):
        point = at(t)
        if not (math.isfinite(point.value) and math.isfinite(point.slope)):
            high = Point(t, math.inf, math.nan, None)
        elif not enough(point) or (low is not start and point.value >= low.value):
            high = point
        elif flat(point):
            return point
        else:
            if (high is not None and point.slope * (high.t - low.t) >= 0) or (high is None and point.slope >= 0):
                high = low
            low = point
        t = STRETCH * low.t if high is None else _between(low, high)
        if high is not None and abs(high.t - low.t) <= 1e-14 * max(abs(high.t), abs(low.t)):
            break
    return low if low is not start else None


def _between(low: Point, high: Point) -> float:
    """The minimum of the cubic through both points, kept away from the ends; the middle, where there is none."""
    width = high.t - low.t
    middle = low.t + width / 2
    if not math.isfinite(high.value):
        return low.t + width / 10
    d1 = low.slope + high.slope - 3 * (high.value - low.value) / width
    square = d1 * d1 - low.slope * high.slope
    if square < 0:
        return middle
    d2 = math.copysign(math.sqrt(square), width)
    bottom = high.slope - low.slope + 2 * d2
    t = high.t - width * (high.slope + d2 - d1) / bottom if bottom else middle
    edge = 0.1 * abs(width)
    least, most = min(low.t, high.t) + edge, max(low.t, high.t) - edge
    return min(max(t, least), most) if math.isfinite(t) else middle
