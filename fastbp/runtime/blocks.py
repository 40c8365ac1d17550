"""Samples in blocks of rows: a pass over X takes no memory of its size, and X may lie in a file that is larger than the memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

# Bytes, as float64, of the rows that NumPy works on at a time: they and what is made of them stay in the second cache.
PIECE = 1 << 18
# Bytes of the samples that the compiled loops are given at a time: some hundred times what a call costs.
BLOCK = 1 << 22


def pieces(rows: int, columns: int) -> Iterator[slice]:
    """All rows, `PIECE` bytes of float64 at a time, one row at least."""
    step = max(1, PIECE // (8 * max(1, columns)))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def bounds(rows: int, row_bytes: int, unit: int = 1, least: int = 0) -> NDArray[np.int64]:
    """
    Where blocks of the samples of a pass begin, and the end of the last.

    They have about the same size, at most `BLOCK` bytes (or `least`, if that is more), and hold whole units of `unit` rows, one at least;
    what is left over goes with the last. So every batch has the size that it has in a pass over all samples at once.
    """
    full = rows // unit
    count = max(1, min(full, -(-full * unit * row_bytes // max(BLOCK, least))))
    places = np.arange(count + 1) * full // count * unit
    places[-1] = rows
    return places


def parts(rows: int, row_bytes: int, least: int = 0) -> list[slice]:
    """`bounds` as slices."""
    return [slice(start, end) for start, end in itertools.pairwise(bounds(rows, row_bytes, 1, least).tolist())]


def mean(values: Sequence[tuple[float, ...]], rows: Sequence[int]) -> tuple[float, ...]:
    """Means over all samples from those over blocks of so many rows, all added up in order."""
    if len(values) == 1:
        return values[0]
    total = sum(rows)
    return tuple(sum(x * n for x, n in zip(column, rows, strict=True)) / total for column in zip(*values, strict=True))
