"""The bump construction (lecture L10): a function, its bumps and their sum, and how the error falls with more bumps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from .. import checks
from ..model.bumps import bumps as construct
from ..model.bumps import evaluate, read_interval
from . import style

POINTS = 2001  # at which a function is drawn, and its error measured


def bumps(f: Callable[[Any], Any], n: int, interval: Sequence[float] = (0.0, 1.0), ax: Axes | None = None) -> Axes:
    """
    A function, the bumps that `fastbp.bumps` constructs for it, and their sum (lecture L10).

    Parameters
    ----------
    f : callable
        Takes a number and returns a number.
    n : int
        Number of bumps.
    interval : (float, float)
        The two ends of the interval.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        As in `fastbp.bumps`.
    """
    net = construct(f, n, interval)
    x = np.linspace(*read_interval(interval), POINTS)
    y, total = evaluate(f, x), net.predict(x[:, None])
    ax = style.axes(ax)
    steps = net.activations(x[:, None])[1] * net.weights[1][:, 0]
    for k, bump in enumerate(steps.reshape(len(x), -1, 2).sum(axis=2).T):
        ax.fill_between(x, bump, color=style.SKY, alpha=0.25, linewidth=0)
        ax.plot(x, bump, color=style.SKY, linewidth=1, label="" if k else f"{n} bumps" if n > 1 else "1 bump")
    ax.plot(x, y, color="black", linewidth=1.5, label="f")
    ax.plot(x, total, color=style.VERMILION, linewidth=2, linestyle="--", label="sum of the bumps")
    ax.set(xlabel="x", ylabel="f(x)", title=f"largest error {np.abs(total - y).max():.2g}")
    ax.legend()
    return ax


def bump_error(
    f: Callable[[Any], Any], counts: Sequence[int], interval: Sequence[float] = (0.0, 1.0), ax: Axes | None = None
) -> Axes:
    """
    Largest and mean absolute error of `fastbp.bumps` against the number of bumps, on log-log axes (lecture L10).

    Parameters
    ----------
    f : callable
        Takes a number and returns a number.
    counts : sequence of int
        Numbers of bumps.
    interval : (float, float)
        The two ends of the interval.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        As in `fastbp.bumps`, or no number of bumps.
    """
    counts = [checks.integer("counts", n, 1) for n in counts]
    if not counts:
        raise ValueError("counts: expected at least one number of bumps, got none")
    x = np.linspace(*read_interval(interval), POINTS)
    y = evaluate(f, x)
    errors = [np.abs(construct(f, n, interval).predict(x[:, None]) - y) for n in counts]
    largest, mean = [e.max() for e in errors], [e.mean() for e in errors]
    ax = style.axes(ax)
    ax.loglog(counts, largest, "-o", color=style.BLUE, label="largest error")
    ax.loglog(counts, mean, "--s", color=style.VERMILION, label="mean error")
    ax.loglog(counts, mean[0] * counts[0] / np.array(counts), ":", color="0.5", label="proportional to 1/n")
    ax.set_xticks(counts, [str(n) for n in counts])
    ax.minorticks_off()
    ax.set(xlabel="number of bumps n", ylabel="absolute error")
    ax.legend()
    return ax
