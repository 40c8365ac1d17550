"""Statistics of weighted values; a whole number as weight stands for so many equal values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def mean_and_deviation(values: Array, weight: Array | None) -> tuple[float, float]:
    """Mean and standard deviation; not finite if squares are too large."""
    with np.errstate(over="ignore", invalid="ignore"):
        if weight is None:
            return float(values.mean()), float(values.std())
        mean = float(np.average(values, weights=weight))
        return mean, float(np.sqrt(np.average((values - mean) ** 2, weights=weight)))


def median(values: Array, weight: Array | None) -> float:
    """The median: between the two middle values, their mean."""
    if weight is None:
        return float(np.median(values))
    order = np.argsort(values, kind="stable")
    below, half = np.cumsum(weight[order]), weight.sum() / 2
    lower, upper = np.searchsorted(below, half, "left"), np.searchsorted(below, half, "right")
    last = len(values) - 1
    return float((values[order[min(lower, last)]] + values[order[min(upper, last)]]) / 2)


def quantiles(values: Array, weight: Array, shares: Any) -> Any:
    """For each share, the least of increasing values that at least this share of all does not exceed."""
    places = np.searchsorted(np.cumsum(weight), weight.sum() * shares)
    return values[np.minimum(places, len(values) - 1)]


def distinct(values: Array, weight: Array | None) -> tuple[Array, Array]:
    """The different values in increasing order, and how many there are, or the weight of each."""
    if weight is None:
        return np.unique(values, return_counts=True)
    different, index = np.unique(values, return_inverse=True)
    return different, np.bincount(index, weight)
