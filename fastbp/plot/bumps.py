"""The visual proof in one dimension: bumps, their sum, and how the error falls (L10)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from .. import checks
from ..bumps import bumps as construct
from .style import BLUE, RED, SKY, new_axes

Function = Callable[[NDArray[np.float64]], Any]
POINTS = 1001
PAIR = 2  # units of a bump


def bumps(f: Function, n: int, ax: Axes | None = None, interval: tuple[float, float] = (0.0, 1.0)) -> Axes:
    """
    Draw a function, n bumps, each of one pair of sigmoid units, and their sum (L10).

    Parameters
    ----------
    f, n, interval
        As in `fastbp.bumps`.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        As `fastbp.bumps`.
    """
    net = construct(f, n, interval)
    x = np.linspace(*interval, POINTS)
    ax = new_axes(ax)
    terms = net.activations(x[:, None])[1] * net.weights[1][:, 0]
    for k in range(0, terms.shape[1], PAIR):
        ax.plot(x, terms[:, k] + terms[:, k + 1], color=SKY, linewidth=0.8, label="a bump" if k == 0 else None)
    ax.plot(x, np.asarray(f(x)), color="black", linestyle="--", label="f")
    ax.plot(x, net.predict(x[:, None]), color=RED, linewidth=2, label=f"sum of {n} bumps")
    ax.set(xlabel="x", ylabel="f(x)", title=f"{n} {'bump' if n == 1 else 'bumps'}, {PAIR * n} sigmoid units")
    ax.legend(fontsize="small")
    return ax


def bump_error(f: Function, counts: Sequence[int], ax: Axes | None = None, interval: tuple[float, float] = (0.0, 1.0)) -> Axes:
    """
    Draw the error of the sum of bumps against their number (L10).

    Parameters
    ----------
    f, interval
        As in `fastbp.bumps`.
    counts : sequence of int
        Numbers of bumps.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    Axes
        The largest and the mean error at 1001 points, both axes logarithmic.

    Raises
    ------
    ValueError
        No counts, and as `fastbp.bumps`.
    """
    counts = [checks.integer("counts", n, 1) for n in counts]
    if not counts:
        raise ValueError("counts: expected at least one number of bumps, got none")
    x = np.linspace(*interval, POINTS)
    errors = [np.abs(construct(f, n, interval).predict(x[:, None]) - f(x)) for n in counts]
    ax = new_axes(ax)
    ax.loglog(counts, [e.max() for e in errors], "o-", color=BLUE, label="largest error")
    ax.loglog(counts, [e.mean() for e in errors], "s--", color=RED, label="mean error")
    ax.set(xlabel="number of bumps", ylabel="error", title="The error falls as bumps are added")
    ax.legend(fontsize="small")
    return ax
