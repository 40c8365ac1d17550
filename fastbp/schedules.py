"""How the learning rate changes from update to update."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .circle import sin_cos

SCHEDULES = ("constant", "cosine", "one_cycle")
# one_cycle (Smith and Topin, 2018; the numbers are PyTorch's): from 1/25 up to the rate in the first 30 % of the
# updates, and from there down to 1/250 000 of it.
_RISE, _FIRST, _LAST = 0.3, 1 / 25, 1 / 250_000


def factors(schedule: str, first: int, count: int, total: int, warmup: float) -> NDArray[np.float64]:
    """
    What the learning rate is multiplied by in the updates first ... first + count (from 0) out of `total`.

    Parameters
    ----------
    schedule : {"constant", "cosine", "one_cycle"}
        cosine: (1 + cos(pi t)) / 2, t from 0 to 1 after the warm-up. one_cycle: up and down in half waves.
    first, count, total : int
    warmup : float
        Updates in which the rate rises in equal steps from 0.

    Returns
    -------
    array, shape (count,)
    """
    if schedule == "constant" and warmup == 0:
        return np.ones(count)
    step = np.arange(first, first + count, dtype=np.float64)
    if schedule == "one_cycle":
        top = max(1.0, _RISE * (total - 1))
        rising = _wave(_FIRST, 1.0, step / top)
        return np.where(step < top, rising, _wave(1.0, _LAST, (step - top) / max(1.0, total - 1 - top)))
    after = np.clip((step - warmup) / max(1.0, total - warmup), 0, 1)
    shape = _wave(1.0, 0.0, after) if schedule == "cosine" else np.ones(count)
    return shape * np.minimum(1.0, (step + 1) / warmup) if warmup > 0 else shape


def _wave(start: float, stop: float, t: NDArray[np.float64]) -> NDArray[np.float64]:
    """Half a cosine wave from `start` at t = 0 to `stop` at t = 1."""
    return stop + (start - stop) * (1 + sin_cos(np.clip(t, 0, 1) / 2)[1]) / 2
