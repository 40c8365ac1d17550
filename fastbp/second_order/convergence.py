"""When a run has converged: the loss hardly falls any more."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Steps over which the fall of the loss is measured, and the norm of a gradient that counts as zero.
STEPS, ZERO = 10, 1e-11


class Falling:
    """
    The costs after the last steps.

    Parameters
    ----------
    costs : float64 array, shape (STEPS,)
        The oldest first, NaN where there was no step yet. Kept up to date in place, as a part of the state of a run.
    """

    def __init__(self, costs: NDArray[Any]) -> None:
        self.costs = costs

    @staticmethod
    def empty() -> NDArray[np.float64]:
        """The costs before the first step."""
        return np.full(STEPS, np.nan)

    def forget(self) -> None:
        """Begin anew: the costs that follow are of another objective."""
        self.costs[:] = np.nan

    def settled(self, cost: float, share: float) -> bool:
        """Note the cost after a step; whether it has fallen by less than this share in the last steps."""
        before = self.costs[0]
        self.costs[:-1] = self.costs[1:]
        self.costs[-1] = cost
        return bool(before - cost <= share * abs(before))
