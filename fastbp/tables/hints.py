"""What you should know about your table: which columns were left out and why, and whether the target is skewed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import weighted
from .fitting import LEFT_OUT, Row

if TYPE_CHECKING:
    from .columns import Columns

# Third moment over the cube of the standard deviation: 2 for waiting times, about 6 for log-normal incomes.
HEAVY_SKEW = 3.0


def left_out(columns: Columns) -> str | None:
    """Which columns were left out although their values vary, and what to do."""
    listed = _listed([row for row in columns.rows if row.warning and row.kind == LEFT_OUT])
    advice = "If such a column matters, turn it into numbers or into fewer groups first"
    return f"left out: {listed}. {advice}" if listed else None


def unread(columns: Columns) -> str | None:
    """Which columns have different texts among their numbers or dates, and what to do."""
    listed = _listed([row for row in columns.rows if row.warning and row.kind != LEFT_OUT])
    return (
        f"not all was read: {listed}. Correct these cells if they are not marks for missing values" if listed else None
    )


def _listed(rows: list[Row]) -> str:
    more = f"; and {len(rows) - 5} more, see net.columns" if len(rows) > 5 else ""
    return "; ".join(f"{row.name!r} ({row.note})" for row in rows[:5]) + more


def skewed(values: NDArray[Any], weight: NDArray[np.float64] | None = None) -> str | None:
    """Whether the numbers of a target are heavily skewed, and what to do."""
    y = values.astype(np.float64)
    mean, deviation = weighted.mean_and_deviation(y, weight)
    if len(y) < 20 or not 0 < deviation < np.inf:  # what cannot be standardised is an error later
        return None
    skew = float(np.average(((y - mean) / deviation) ** 3, weights=weight))
    if abs(skew) < HEAVY_SKEW:
        return None
    advice = "learn its logarithm" if skew > 0 and y.min() > 0 else "learn a transformed target"
    figures = f"skewness {skew:.1f}; median {weighted.median(y, weight):g}, largest {y.max():g}"
    return (
        f"the target is heavily skewed ({figures}): a few rows dominate the loss; "
        f"use the loss 'huber' or 'absolute_error', or {advice}"
    )
