"""The peak of the processor, against which every kernel is measured."""

from __future__ import annotations

import time

import numpy as np

from .assembler import Assembler
from .jit import njit
from .processor import REGISTERS, VECTOR_BYTES
from .routine import routine
from .values import Address, Float, Integer

# Sums that run at once, and multiply-adds of each in a turn of the loop.
SUMS, TURNS = (24, 4) if REGISTERS == 32 else (12, 8)


@routine("iAs")
def multiply_adds(v: Assembler, count: Integer, out: Address, x: Float) -> None:
    """Run `count` turns of SUMS x TURNS independent multiply-adds in registers, and write the sums to `out`."""
    factor, sums = v.broadcast(x), [v.const(k) for k in range(SUMS)]
    for _ in v.range(count, carry=sums):
        for _ in range(TURNS):
            sums[:] = [v.fma(factor, total, factor) for total in sums]
    for k, total in enumerate(sums):
        out[k * v.lanes] = total


@njit
def _run(count, out, x):
    multiply_adds(count, out, 0, x)


def peak_gflops(dtype):
    """
    Measure the most that one thread can do: multiply-adds on vectors that stay in registers.

    Parameters
    ----------
    dtype : float32 or float64

    Returns
    -------
    float
        GFLOP/s, the best of the turns that fit in about 50 ms. A multiply-add counts as two.
    """
    dtype = np.dtype(dtype)
    lanes, count = VECTOR_BYTES // dtype.itemsize, 10_000
    out, best, stop = np.empty(SUMS * lanes, dtype), np.inf, None
    while stop is None or time.perf_counter() < stop:
        started = time.perf_counter()
        _run(count, out, dtype.type(0.5))
        taken = time.perf_counter() - started
        if stop is None:
            stop = time.perf_counter() + 0.05  # the first turn may have compiled
        else:
            best = min(best, taken)
    return 2 * count * SUMS * TURNS * lanes / best / 1e9
