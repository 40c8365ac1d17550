"""The range that predictions of a regression are cut to."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..data.targets import Targets
from ..model.network import Network
from ..options import Architecture

# Beyond all predictions; finite in both types, so that every export can write it.
_NO_LIMIT = float(np.finfo(np.float32).max)


def target_range(y: Targets, net: Architecture, start: Network | None, wanted: bool) -> NDArray[np.float64] | None:
    """
    See `Network.target_range`: if it is wanted, and the units of the outputs are those of the targets without limits.

    A constant target always has one: it is predicted as it is. A network that goes on from another one keeps its range,
    which the new targets widen.
    """
    if start is not None:
        wanted = start.target_range is not None
    if net.task != "regression" or net.activations[-1] != "identity":
        return None
    limits = np.array([y.values.min(axis=0), y.values.max(axis=0)], np.float64)
    if not wanted:
        varies = limits[0] < limits[1]
        if start is not None or varies.all():
            return None
        limits[:, varies] = [[-_NO_LIMIT], [_NO_LIMIT]]
    limits = np.repeat(limits, net.sizes[-1] // limits.shape[1], axis=1)  # every quantile of a target
    if start is not None and start.target_range is not None:
        low, high = start.target_range
        limits = np.array([np.minimum(limits[0], low), np.maximum(limits[1], high)])
    return limits
