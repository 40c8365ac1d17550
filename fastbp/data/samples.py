"""Samples on their way into the kernels: read, weighted, split into training and validation set, standardised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, memory, options, tables
from ..model.network import Network
from ..runtime import blocks
from . import scaling, targets
from .division import VALIDATION
from .pieces import InPieces, PieceEncoder
from .reading import Table
from .scaling import Gathered
from .sparse import SparseRows
from .targets import Targets

# Computes the mean and standard deviation of each column.
Moments = Callable[[], tuple[NDArray[np.float64], NDArray[np.float64]]]
# Most rows, and numbers in them, that a network keeps to verify its exports.
MOST_EXAMPLES, MOST_NUMBERS = 1000, 1_000_000


@dataclass(frozen=True)
class Rows:
    """
    Raw samples: X (n, features), in memory or `chunks.Chunked`, their targets, and the weight of each in the loss.

    `rows` holds the numbers of the samples among the rows of X, which may be too large to copy; None: all rows.
    """

    X: Any
    y: Targets
    weight: NDArray[np.float64]
    rows: NDArray[np.int64] | None = None

    def __len__(self) -> int:
        return len(self.weight)

    def take(self, rows: NDArray[np.int64]) -> Rows:
        """The samples of these numbers."""
        return Rows(self.X, self.y.take(rows), self.weight[rows], rows if self.rows is None else self.rows[rows])

    @property
    def factors(self) -> NDArray[np.float64]:
        """The weights, of mean 1."""
        return _of_mean_one(self.weight)

    def moments(self, columns: tables.Columns | None) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each column of X; of a table, 0 and 1 of the inputs that are not scaled."""
        weight = unequal(self.weight)
        if isinstance(self.X, SparseRows):
            return np.zeros(self.X.shape[1]), self.X.largest(self.rows)
        if columns is None:
            return scaling.moments(self.X, self.rows, weight)
        mean, deviation = _unscaled(len(columns.scaled))
        if columns.scaled.any():
            if isinstance(self.X, tables.Encoded):
                found = scaling.moments(columns.scaled_inputs(self.X.values), self.rows, weight)
            else:
                found = scaling.moments(self.X[:, columns.scaled], self.rows, weight)
            mean[columns.scaled], deviation[columns.scaled] = found
        return mean, deviation

    @property
    def labels(self) -> NDArray[Any]:
        """The targets, as `Network.predict` would have them."""
        y = self.y
        known = y.values if y.classes is None else y.classes[y.values]
        return known[:, 0] if y.classes is None and y.single else known

    def predicted(self, net: Any) -> NDArray[Any]:
        """What a network or an ensemble predicts for the samples."""
        if self.rows is None:
            return net.predict(self.X)
        parts = blocks.parts(len(self), 8 * self.X.shape[1])
        return np.concatenate([net.predict(self.X[self.rows[part]]) for part in parts])


def unequal(weight: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The weights; None if all are equal, so that they make no difference."""
    return None if (weight == weight[0]).all() else weight


def _of_mean_one(weight: NDArray[Any]) -> NDArray[Any]:
    """Weights in the same proportion, of mean 1."""
    total = weight.sum(dtype=np.float64)
    return (weight * (len(weight) / total)).astype(weight.dtype, copy=False) if total > 0 else weight


@dataclass(frozen=True)
class EncodedInputs:
    """
    X, read: the inputs of the network, not yet standardised, and how a frame, or an array in pieces, was encoded.

    `read` is what `Columns.read` returned; None if X is an array of inputs.
    """

    inputs: Any
    read: NDArray[Any] | None
    columns: tables.Columns | None

    def examples(self, rows: NDArray[np.int64]) -> NDArray[np.float64] | None:
        """Raw values of some training rows, which have these numbers, with which exports are verified."""
        if self.columns is None:
            some = self.inputs[rows[example_rows(len(rows), self.inputs.shape[1])]]
            return (some.dense() if isinstance(some, SparseRows) else some).astype(np.float64)
        if self.read is None:  # the array already had the inputs, and not what an exported network takes
            return None
        return self.columns.raw(self.read[rows[example_rows(len(rows), self.columns.exported.count)]])


def example_rows(n: int, width: int) -> NDArray[np.int64]:
    """Numbers of some of n rows with `width` raw values each."""
    return np.linspace(0, n - 1, min(n, MOST_EXAMPLES, max(1, MOST_NUMBERS // width))).astype(np.int64)


def read_inputs(
    table: Table,
    training: NDArray[np.int64],
    weight: NDArray[np.float64] | None,
    start: Network | None,
    piecewise: bool,
) -> EncodedInputs:
    """
    Encode the columns of a frame, or an array, as the network `start` does, or as the training rows suggest.

    Parameters
    ----------
    table : Table
    training : int64 array
        Numbers of the rows for training.
    weight : float64 array or None
        Weight of each of them; None: all have the same.
    start : Network or None
    piecewise : bool
        Whether numbers are encoded piece by piece, too; as `start` does it, if there is one.

    Raises
    ------
    ValueError
        A network cannot learn from X, or `start` does not take it.
    """
    X, names = table.X, table.names
    columns = None if start is None else start.columns
    if names is None or (start is not None and (columns is None or not columns.named)):
        if isinstance(X, SparseRows):
            _require_sparse(piecewise, start, X.shape[1])
            return EncodedInputs(X, None, None)
        array = X if names is None else checks.samples("X", X)
        if start is None and piecewise:
            columns = tables.Columns.fit_array(array, training, weight)
        if columns is None or columns.named:
            return EncodedInputs(array, None, columns)
        return _array_in_pieces(array, columns)
    try:
        if columns is None:
            columns, read = tables.Columns.fit(X, names, training, weight, piecewise, table.missing)
        else:
            read = columns.read(X)
    except ValueError as error:
        raise ValueError(f"X: {error}") from None
    encoded = tables.Encoded(columns, read)
    return EncodedInputs(encoded if columns.in_pieces else encoded[:], read, columns)


def _require_sparse(piecewise: bool, start: Network | None, features: int) -> None:
    """Raise ValueError unless a sparse matrix can be learnt from in this way."""
    if piecewise:
        raise ValueError("encode: expected 'standard' for a sparse matrix, got 'piecewise'")
    if start is not None and (start.columns is not None or start.x_mean.any()):
        raise ValueError(
            "init: expected a network that does not centre its inputs, as those trained on a sparse matrix, "
            "got one that does"
        )


def _array_in_pieces(array: NDArray[Any], columns: tables.Columns) -> EncodedInputs:
    """An array of raw values, or of inputs that somebody else has made of them."""
    (n, width), raw, inputs = array.shape, len(columns.encoders), len(columns.inputs)
    if width == inputs != raw:
        return EncodedInputs(array, None, columns)
    if width != raw:
        raise ValueError(f"X: expected the {raw} features of the network given as init, got {width}")
    # a place and a share of each number, or all inputs in float64
    memory.require("X", f"{n} rows encoded in pieces", n * (16 * raw if columns.in_pieces else 8 * inputs))
    encoded = tables.Encoded(columns, array)
    return EncodedInputs(encoded if columns.in_pieces else encoded[:], array, columns)


@dataclass(frozen=True)
class Ready:
    """What the kernels read: inputs, targets and weights (of mean 1) in one dtype, contiguous and read-only."""

    X: NDArray[Any] | Gathered | InPieces | SparseRows
    Y: NDArray[Any]
    weight: NDArray[Any]

    def take(self, rows: NDArray[np.int64]) -> Ready:
        """A copy of the samples of these numbers, but not of inputs that are made when they are read."""
        X = self.X.take(rows) if isinstance(self.X, Gathered) else self.X[rows]
        if isinstance(X, np.ndarray):
            X = checks.frozen(X)
        return Ready(X, checks.frozen(self.Y[rows]), checks.frozen(_of_mean_one(self.weight[rows])))


@dataclass(frozen=True)
class Parts:
    """The training set, and the validation set, if there is one."""

    train: Rows
    validation: Rows | None


def split(
    rows: Rows,
    held_out: NDArray[np.bool_],
    validation: Any,
    columns: tables.Columns | None,
    read: Callable[..., Any] = tables.inputs,
) -> Parts:
    """Split off the held-out samples, or add the user's own validation samples, whose inputs `read` reads."""
    if isinstance(validation, tuple | list):
        return Parts(rows, _separate(rows, validation, columns, read))
    if not held_out.any():
        return Parts(rows, None)
    return Parts(rows.take(np.flatnonzero(~held_out)), rows.take(np.flatnonzero(held_out)))


def _separate(rows: Rows, validation: Any, columns: tables.Columns | None, read: Callable[..., Any]) -> Rows:
    if len(validation) not in (2, 3):
        raise ValueError(f"validation: {VALIDATION}, got {len(validation)} things")
    validation = _counted(*validation)
    Xv = read("validation[0]", validation[0], columns, rows.X.shape[1])
    if len(Xv) == 0:
        raise ValueError(f"validation: expected at least one sample, got shape {Xv.shape}")
    if len(validation) == 2:
        return Rows(Xv, targets.like(validation[1], rows.y, len(Xv), "validation[1]"), np.ones(len(Xv)))
    weight = checks.weights("validation[2]", len(Xv), validation[2])
    numbers = np.flatnonzero(weight)
    yv = targets.like(targets.of_rows(validation[1], len(Xv), numbers), rows.y, len(numbers), "validation[1]")
    return Rows(Xv, yv, weight[numbers], None if len(numbers) == len(Xv) else numbers)


def _counted(X: Any, y: Any, weight: Any = None) -> tuple[Any, ...]:
    """The user's own validation samples; of a frame or an array without those of weight 0, which nobody looks at."""
    if weight is None:
        return X, y
    if checks.is_lazy(X) or not (isinstance(X, np.ndarray) or hasattr(X, "iloc")):
        return X, y, weight
    weight = checks.weights("validation[2]", len(X), weight)
    numbers = np.flatnonzero(weight)
    if len(numbers) == len(X):
        return X, y, weight
    return targets.take_rows(X, numbers), targets.of_rows(y, len(X), numbers), weight[numbers]


@dataclass(frozen=True)
class Scaling:
    """Standardisation of inputs and targets, learnt from the training set alone; float64."""

    x_mean: NDArray[np.float64]
    x_scale: NDArray[np.float64]
    y_mean: NDArray[np.float64]
    y_scale: NDArray[np.float64]

    @classmethod
    def of(cls, network: Network) -> Scaling:
        """The scaling of a trained network."""
        return cls(network.x_mean, network.x_scale, network.y_mean, network.y_scale)

    @classmethod
    def fit(
        cls, moments: Moments, rows: Rows, net: options.Architecture, scale: bool, columns: tables.Columns | None
    ) -> Scaling:
        """Means and deviations of inputs (from `moments`) and targets; zeros and ones where nothing is scaled."""
        names = None if columns is None else columns.inputs
        x = _deviations("X", *moments(), names) if scale else _unscaled(net.sizes[0])
        if columns is not None:
            x = (np.where(columns.scaled, x[0], 0.0), np.where(columns.scaled, x[1], 1.0))
        scaled_targets = scale and net.task == "regression" and net.activations[-1] == "identity"
        y_moments = _unscaled(net.sizes[-1])
        if scaled_targets:
            y_moments = _deviations("y", *scaling.moments(rows.y.values, weight=unequal(rows.weight)))
        return cls(*x, *(np.repeat(part, net.sizes[-1] // len(part)) for part in y_moments))

    def apply(self, rows: Rows, net: options.Architecture, dtype: np.dtype[Any], in_pieces: bool = False) -> Ready:
        """Samples as the kernels take them; an array that needs no conversion is not copied."""
        weight = rows.factors.astype(dtype)
        return Ready(
            self._inputs(rows, dtype, in_pieces), checks.frozen(self.targets(rows.y, net, dtype)), checks.frozen(weight)
        )

    def _inputs(self, rows: Rows, dtype: np.dtype[Any], in_pieces: bool) -> Any:
        if isinstance(rows.X, SparseRows):
            some = rows.X if rows.rows is None else rows.X[rows.rows]
            return some.scaled("X", self.x_scale, dtype)
        if isinstance(rows.X, tables.Encoded):
            if in_pieces:
                values = rows.X.values if rows.rows is None else rows.X.values[rows.rows]
                return PieceEncoder(rows.X.columns, self.x_mean, self.x_scale, dtype)(values)
            rows = replace(rows, X=rows.X[:])
        n, columns = len(rows), rows.X.shape[1]
        fits = rows.X.dtype == dtype and rows.X.flags.c_contiguous and rows.X.flags.aligned
        as_it_is = rows.rows is None and fits and not scaling.changes(self.x_mean, self.x_scale)
        if as_it_is or n * columns * dtype.itemsize <= scaling.COPIED:
            return checks.frozen(scaling.standardise("X", rows.X, self.x_mean, self.x_scale, dtype, rows.rows))
        return Gathered("X", rows.X, rows.rows, self.x_mean, self.x_scale, dtype)

    def targets(self, y: Targets, net: options.Architecture, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Targets of the output units: one-hot for classes, 0/1 for one logistic unit, else numbers."""
        units = net.sizes[-1]
        if y.classes is not None:
            return y.indicators(units, dtype)
        times = units // y.outputs
        Y = scaling.standardise("y", y.values, self.y_mean[::times], self.y_scale[::times], dtype)
        return np.repeat(Y, times, axis=1) if times > 1 else Y


def _unscaled(columns: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    return np.zeros(columns), np.ones(columns)


def _deviations(
    name: str, mean: NDArray[np.float64], deviation: NDArray[np.float64], names: tuple[str, ...] | None = None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and standard deviation of each column, which may have names; 1 is taken for that of a constant column."""
    if not (np.isfinite(mean).all() and np.isfinite(deviation).all()):
        column = int(np.flatnonzero(~(np.isfinite(mean) & np.isfinite(deviation)))[0])
        place = column if names is None else repr(names[column])
        got = f"a mean of {mean[column]:g} and a standard deviation of {deviation[column]:g} in column {place}"
        raise ValueError(f"{name}: expected numbers that can be standardised in float64, got {got}")
    # The deviation of a column that was computed to be constant may consist of rounding errors.
    constant = deviation <= 10 * np.finfo(np.float64).eps * np.abs(mean)
    return mean, np.where(constant | (deviation < np.finfo(np.float64).tiny), 1.0, deviation)
