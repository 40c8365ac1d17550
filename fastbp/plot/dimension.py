"""The curse of dimensionality (lecture L11): the more dimensions, the less of the data a box of fixed side captures."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter
from numpy.typing import ArrayLike, NDArray

from .. import checks
from . import style

SIDE = 0.42  # of the lecture's box: the share that it captures in one dimension
LECTURE = (0.42, 0.14, 0.07, 0.03)  # the lecture's shares in 1 to 4 dimensions
MOST, COUNT = 10, 1000  # dimensions, and random points


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
        Element k - 1 is the share of points whose first k coordinates are all below `side`; for uniform points, it is
        side^k on average.

    Raises
    ------
    ValueError
        No point, no coordinate, or a side that is not positive.
    """
    array = checks.samples("points", points)
    if len(array) == 0:
        raise ValueError(f"points: expected at least one point, got shape {array.shape}")
    inside = array < checks.real("side", side, above=0)
    return np.logical_and.accumulate(inside, axis=1).mean(axis=0)


def captured(ax: Axes | None = None) -> Axes:
    """
    Share of the data captured by a box of side 0.42 in 1 to 10 dimensions: expected, in a sample, in the lecture (L11).

    Parameters
    ----------
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Notes
    -----
    Of points uniform in the unit cube, a share of 0.42^d is expected inside: 42, 17.6, 7.4 and 3.1 % for d = 1 to 4.
    The sample has 1000 points. The lecture's 42, 14, 7 and 3 % come from a small sample, too: its 14 % is below the
    17.6 % expected in two dimensions.
    """
    ax = style.axes(ax)
    dimensions = np.arange(1, MOST + 1)
    sample = captured_share(np.random.default_rng(0).uniform(size=(COUNT, MOST)), SIDE)
    ax.plot(dimensions, SIDE**dimensions, color=style.BLUE, label=f"expected: {SIDE}$^d$")
    ax.plot(dimensions, sample, "s", color=style.VERMILION, label=f"of {COUNT} random points")
    cross: dict[str, Any] = {"color": "black", "markersize": 9, "markeredgewidth": 2}
    ax.plot(dimensions[: len(LECTURE)], LECTURE, "x", label="the lecture", **cross)
    for d, share in enumerate(LECTURE, 1):
        ax.annotate(f"{share:.0%}", (d, share), (-8, -5), textcoords="offset points", ha="right")
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.set(xlabel="dimensions d", ylabel="share of the data captured", xticks=dimensions, xlim=(0, MOST + 0.5))
    ax.legend()
    return ax
