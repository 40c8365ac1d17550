"""Splits samples into blocks of rows, so that a pass over X needs little memory, and X may be a file larger than it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

# Bytes, in float64, of the rows that NumPy processes at a time: they and the results stay in the second-level cache.
PIECE = 1 << 18
# Bytes of the samples that compiled loops get at a time: their work is some hundred times the cost of a call.
BLOCK = 1 << 22


def pieces(rows: int, columns: int) -> Iterator[slice]:
    """All rows, in slices of `PIECE` bytes of float64, but at least one row."""
    step = max(1, PIECE // (8 * max(1, columns)))
    return (slice(start, min(start + step, rows)) for start in range(0, rows, step))


def bounds(rows: int, row_bytes: int, unit: int = 1, least: int = 0) -> NDArray[np.int64]:
    """
    Where blocks of the samples of a pass begin, and the end of the last.

    They have about the same size, at most `BLOCK` bytes (or `least`, if that is more), and consist of whole units of
    `unit` rows, at least one; the remaining rows go to the last block. So every batch has the same rows as in a pass
    over all samples at once.
    """
    full = rows // unit
    count = max(1, min(full, -(-full * unit * row_bytes // max(BLOCK, least))))
    starts = np.arange(count + 1) * full // count * unit
    starts[-1] = rows
    return starts


def parts(rows: int, row_bytes: int, least: int = 0) -> list[slice]:
    """`bounds` as slices."""
    return [slice(start, end) for start, end in itertools.pairwise(bounds(rows, row_bytes, 1, least).tolist())]


def mean(values: Sequence[tuple[float, ...]], rows: Sequence[int]) -> tuple[float, ...]:
    """Means over all samples, from the means over blocks of `rows` rows, added in order."""
    if len(values) == 1:
        return values[0]
    total = sum(rows)
    return tuple(sum(x * n for x, n in zip(column, rows, strict=True)) / total for column in zip(*values, strict=True))
