"""Standardised inputs: a copy made once, or, if it would be too large, made again for each block of a pass."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.internal import SPARSE, SPARSE_INPUTS, gather

from .. import checks
from ..runtime import blocks

Array = NDArray[Any]
Numbers = NDArray[np.int64]

# Bytes up to which standardised inputs are copied: twice the last-level cache. Larger ones come from memory anyway.
COPIED = 1 << 26


def moments(
    values: Array, rows: Numbers | None = None, weight: Array | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """
    Mean and standard deviation of each column, over all rows or those of these numbers, each with its weight, if any.

    Two passes in float64; the first sums distances from the first row, so that the deviation of a constant column is
    exactly 0. The bits depend on the values alone, not on their type or layout.
    """
    n, columns = len(values) if rows is None else len(rows), values.shape[1]
    space = np.empty((next(blocks.pieces(n, columns)).stop, columns))

    def total(centre: Array, power: int) -> Any:
        """The sum of a power of the distances from `centre`."""
        found: Any = 0
        for piece in blocks.pieces(n, columns):
            block = space[: piece.stop - piece.start]
            np.subtract(values[piece] if rows is None else values[rows[piece]], centre, out=block, dtype=np.float64)
            if power == 2:
                np.square(block, out=block)
            if weight is not None:
                block *= weight[piece, None]
            found = found + block.sum(axis=0)
        return found

    first = values[0 if rows is None else rows[0]].astype(np.float64)
    count = n if weight is None else weight.sum()
    with np.errstate(over="ignore", invalid="ignore"):
        centre = first + total(first, 1) / count
        variance = total(centre, 2) / count
    return centre, np.sqrt(variance)


def changes(mean: Array, scale: Array) -> bool:
    """Whether a standardisation does anything."""
    return bool(mean.any() or (scale != 1).any())


def standardise(
    name: str, array: Array, mean: Array, scale: Array, dtype: np.dtype[Any], rows: Numbers | None = None
) -> Array:
    """
    (array - mean) / scale in `dtype`, all rows or those of these numbers, computed in float64 as `kernels.infer` does.

    If nothing changes, no copy is made.
    """
    if rows is None and not changes(mean, scale):
        return checks.cast(name, array, dtype)
    out = np.empty((len(array) if rows is None else len(rows), array.shape[1]), dtype)
    _standardise(name, array, mean, scale, rows, out)
    return out


def _standardise(name: str, array: Array, mean: Array, scale: Array, rows: Numbers | None, out: Array) -> None:
    # in NumPy, which takes any type and layout and need not be compiled: the same bits as `gather`
    scaled, factor = changes(mean, scale), 1 / scale
    with np.errstate(over="ignore"):  # the check reports it, or a later one for finite numbers
        for piece in blocks.pieces(*out.shape):
            block = array[piece] if rows is None else array[rows[piece]]
            if scaled:
                block = np.subtract(block, mean, dtype=np.float64)
                block *= factor
            out[piece] = block
            checks.in_range(name, out[piece], block)


class Gathered:
    """
    Standardised inputs, computed when they are read.

    Parameters
    ----------
    name : str
        Name of the array in messages.
    array : array, shape (n, features)
        Raw values, of any type and layout.
    rows : int64 array or None
        Numbers of the samples among its rows; None: all.
    mean, scale : float64 array, shape (features,)
    dtype : float32 or float64
    """

    def __init__(
        self, name: str, array: Array, rows: Numbers | None, mean: Array, scale: Array, dtype: np.dtype[Any]
    ) -> None:
        self.name, self.rows, self.mean, self.scale, self.dtype = name, rows, mean, scale, dtype
        self.shape = len(array) if rows is None else len(rows), array.shape[1]
        self.scaling = np.array([mean, 1 / scale]) if changes(mean, scale) else np.empty((2, 0))
        if array.dtype == bool and array.flags.c_contiguous:
            array = array.view(np.uint8)
        flags, dtype = array.flags, array.dtype
        self.compiled = (
            flags.c_contiguous and flags.aligned and dtype.isnative and dtype.kind in "iuf" and dtype.char not in "eg"
        )
        self.array = checks.frozen(array)
        self[:0]  # compiles

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, part: slice) -> Array:
        numbers = np.arange(*part.indices(len(self)))
        out = np.empty((len(numbers), self.shape[1]), self.dtype)
        self.read(numbers, out)
        return out

    def take(self, numbers: Numbers) -> Gathered:
        """The samples of these numbers."""
        rows = numbers if self.rows is None else self.rows[numbers]
        return Gathered(self.name, self.array, rows, self.mean, self.scale, self.dtype)

    def read(self, numbers: Numbers, out: Array) -> None:
        """Write the samples of these numbers to `out`; raises ValueError if one is out of the range of the dtype."""
        rows = numbers if self.rows is None else self.rows[numbers]
        if self.compiled:
            gather(self.array, rows, self.scaling, out)
            checks.in_range(self.name, out, self.array, rows)
        else:
            _standardise(self.name, self.array, self.mean, self.scale, rows, out)


class Window:
    """
    Samples as the compiled loops take them: all of them, or those of a block of the pass if they are `Gathered`.

    Parameters
    ----------
    X : array or Gathered, shape (n, features)
    Y : array, shape (n, outputs)
    weight : array, shape (n,)
    rows : int
        Samples of the longest block.
    """

    def __init__(self, X: Any, Y: Array, weight: Array, rows: int) -> None:
        self.all = X, Y, weight
        self.X, self.Y, self.weight = X, Y, weight
        if isinstance(X, Gathered):
            self.X, self.Y, self.weight = (np.empty((rows, *part.shape[1:]), Y.dtype) for part in self.all)
            self.order = np.arange(rows)

    def decide_sparsity(self, l2: float) -> None:
        """Let `kernels.prepare_online` see in `X`, before a sample is read, if most inputs of all samples are 0."""
        X = self.all[0]
        if isinstance(X, Gathered) and l2 == 0 and X.shape[1] >= SPARSE_INPUTS:
            some = sum(np.count_nonzero(X[piece]) for piece in blocks.pieces(*X.shape))
            self.X[:] = some >= (1 - SPARSE) * X.shape[0] * X.shape[1]

    def read(self, order: Numbers) -> Numbers:
        """Positions of the samples of these numbers in `X`, `Y` and `weight`, until the next ones are read."""
        X, Y, weight = self.all
        if not isinstance(X, Gathered):
            return order
        X.read(order, self.X[: len(order)])
        np.take(Y, order, axis=0, out=self.Y[: len(order)], mode="clip")
        np.take(weight, order, axis=0, out=self.weight[: len(order)], mode="clip")
        return self.order[: len(order)]
