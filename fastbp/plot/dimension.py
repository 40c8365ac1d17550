"""The curse of dimensionality (lecture L11): a box of a fixed side captures ever less of the data."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from .. import checks
from . import style

SIDE = 0.42  # of the lecture's box: what it captures in one dimension
LECTURE = (0.42, 0.14, 0.07, 0.03)  # what it captures in 1 to 4 dimensions
MOST, COUNT = 10, 1000  # dimensions, and points drawn


def captured_share(points: ArrayLike, side: float) -> NDArray[np.float64]:
    """
    Share of points captured by a box at the origin, by dimension (lecture L11).

    Parameters
    ----------
    points : array-like, shape (n, d)
        Points of the unit cube.
    side : float
        Side of the box.

    Returns
    -------
    array, shape (d,)
        At k - 1 the share of points whose first k coordinates are all below `side`; for uniform points side^k on average.

    Raises
    ------
    ValueError
        Not at least one point with at least one coordinate, or a side that is not above 0.
    """
    array = checks.samples("points", points)
    if len(array) == 0:
        raise ValueError(f"points: expected at least one point, got shape {array.shape}")
    inside = array < checks.real("side", side, above=0)
    return np.logical_and.accumulate(inside, axis=1).mean(axis=0)


def captured(ax: Axes | None = None) -> Axes:
    """
    Share of the data that a box of side 0.42 captures in 1 to 10 dimensions: expected, in one sample, and in the lecture (L11).

    Parameters
    ----------
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Notes
    -----
    Of points uniform in the unit cube, 0.42^d are expected within: 42, 17.6, 7.4 and 3.1 % for d = 1 to 4. The sample is of
    1000 points. The lecture's 42, 14, 7 and 3 % are a small sample too: its 14 % lies below what is expected of two dimensions.
    """
    ax = style.axes(ax)
    dimensions = np.arange(1, MOST + 1)
    sample = captured_share(np.random.default_rng(0).uniform(size=(COUNT, MOST)), SIDE)
    ax.plot(dimensions, SIDE**dimensions, color=style.BLUE, label=f"expected: {SIDE}$^d$")
    ax.plot(dimensions, sample, "s", color=style.VERMILION, label=f"of {COUNT} points drawn")
    ax.plot(
        dimensions[: len(LECTURE)], LECTURE, "x", color="black", markersize=9, markeredgewidth=2, label="the lecture"
    )
    for d, share in enumerate(LECTURE, 1):
        ax.annotate(f"{share:.0%}", (d, share), (-8, -5), textcoords="offset points", ha="right")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlabel="dimensions d", ylabel="share of the data captured", xticks=dimensions, xlim=(0, MOST + 0.5))
    ax.legend()
    return ax
