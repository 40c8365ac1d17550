"""Dask arrays and dataframes: chunks of rows that are read where they are, as the inputs of a network."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, tables
from ..tables import fitting, frames
from ..tables.raw_inputs import Inputs

if TYPE_CHECKING:
    from ..data import reading
    from ..model.network import Network
    from ..training import source

Numbers = NDArray[np.int64]
# Computes lazy things, all in one go.
Compute = Callable[[Sequence[Any]], Sequence[Any]]
# Rows of the chunks that an array in this process is cut into
ROWS = 1 << 16


@dataclass(frozen=True)
class Chunked:
    """
    A matrix in chunks of rows.

    Attributes
    ----------
    chunks : sequence of Delayed
        Each a 2-D array of raw values.
    starts : int64 array
        Number of the first row of each chunk, and the number of all rows.
    width : int
        Raw values per row.
    exported : Inputs or None
        How raw values become inputs of the network; None: they are the inputs.
    """

    chunks: Sequence[Any]
    starts: Numbers
    width: int
    exported: Inputs | None = None

    def __len__(self) -> int:
        return int(self.starts[-1])

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, and inputs of the network."""
        return len(self), self.width if self.exported is None else len(self.exported.source)

    def rows(self, numbers: Numbers) -> ChunkRows:
        """The raw values of these rows, whose numbers must be sorted."""
        bounds = np.searchsorted(numbers, self.starts)
        parts, where = [], []
        for k, (begin, end) in enumerate(itertools.pairwise(bounds.tolist())):
            if begin < end:
                own = numbers[begin:end] - self.starts[k]
                whole = own[-1] - own[0] + 1 == len(own)
                parts.append(self.chunks[k])
                where.append(slice(int(own[0]), int(own[-1]) + 1) if whole else own)
        return ChunkRows(parts, Places(where, self.width))


@dataclass(frozen=True)
class Places:
    """Which rows of each of some chunks are wanted, and how many raw values they have."""

    of_parts: Sequence[Any]
    width: int

    def joined(self, parts: Sequence[Any]) -> NDArray[Any]:
        """The rows, taken from the chunks."""
        found = [np.asarray(part)[rows] for part, rows in zip(parts, self.of_parts, strict=True)]
        return np.ascontiguousarray(np.concatenate(found)) if found else np.empty((0, self.width))


@dataclass(frozen=True)
class ChunkRows:
    """Some rows of a matrix in chunks: the chunks that have any, Delayed, and which rows they are."""

    parts: Sequence[Any]
    places: Places


@dataclass(frozen=True)
class Frame:
    """A Dask dataframe, and the number of the first row of each partition."""

    frame: Any
    starts: Numbers

    def __len__(self) -> int:
        return int(self.starts[-1])

    def partitions(self, names: Sequence[str] | str) -> list[Any]:
        """Some columns of each partition, Delayed."""
        columns = names if isinstance(names, str) else list(names)
        return self.frame[columns].to_delayed(optimize_graph=False)


def read_table(
    name: str, X: Any, compute: Compute, persist: Callable[[Any], Any]
) -> tuple[Chunked | Frame, tuple[str, ...] | None]:
    """
    X as chunks or a frame, and the columns of a frame.

    If the lengths of its parts are not known, they are computed, and the parts are kept. So is a frame, which is read
    by columns, and then by rows.
    """
    import dask.array

    if isinstance(X, dask.array.Array):
        if X.ndim != 2:
            hint = f"; for one feature pass {name}.reshape(-1, 1)" if X.ndim == 1 else ""
            raise ValueError(f"{name}: expected 2 dimensions (samples, features), got {X.ndim} (shape {X.shape}){hint}")
        if X.dtype.kind not in "biuf":
            raise ValueError(f"{name}: expected real numbers, got dtype {X.dtype}")
        width = X.shape[1]
        if not width > 0:
            raise ValueError(f"{name}: expected a known number of features, at least one, got shape {X.shape}")
        X = X if X.numblocks[1] == 1 else X.rechunk({1: -1})
        if np.isnan(X.chunks[0]).any():
            X = persist(X)
        chunks = X.to_delayed(optimize_graph=False).ravel().tolist()
        return Chunked(chunks, _starts(name, chunks, X.chunks[0], compute), int(width)), None
    if not hasattr(X, "map_partitions") or not hasattr(X, "columns"):
        raise ValueError(f"{name}: expected an array or a dataframe, got a dask {type(X).__name__}")
    names = checks.feature_names(X)
    if names is None:
        raise ValueError(f"{name}: expected columns that are named by text, got {list(X.columns)[:5]}")
    X = persist(X)
    parts = X.to_delayed(optimize_graph=False)
    return Frame(X, _starts(name, parts, [np.nan] * len(parts), compute)), names


def _starts(name: str, chunks: Sequence[Any], lengths: Sequence[float], compute: Compute) -> Numbers:
    from dask import delayed

    if np.isnan(lengths).any():
        lengths = compute([delayed(len)(chunk) for chunk in chunks])
    starts = np.cumsum([0, *lengths]).astype(np.int64)
    if starts[-1] == 0:
        raise ValueError(f"{name}: expected at least one sample, got none")
    return starts


def fitted(
    given: reading.Table, names: Sequence[str], training: source.Training, piecewise: bool, compute: Compute
) -> tables.Columns:
    """How to encode the columns, learnt from the training rows; each is read on a worker that has a part of it."""
    from dask import delayed

    fit = delayed(_fitted, pure=False)
    rows, pieces = delayed((given.rows, *training)), fitting.pieces(len(names)) if piecewise else 0
    found = compute([fit(name, rows, pieces, given.missing, given.X.partitions(name)) for name in names])
    return tables.Columns.of(found, given.missing)


def _fitted(
    name: str,
    rows: tuple[Numbers | None, Numbers, NDArray[np.float64] | None],
    pieces: int,
    missing: Sequence[str] | None,
    parts: Sequence[Any],
) -> Any:
    from dask.dataframe.dispatch import concat

    counted, training, weight = rows
    column = concat(list(parts))
    if counted is not None:  # the others may hold anything
        column, training = column.iloc[counted], np.searchsorted(counted, training)
    return fitting.fit(frames.read({name: column}, name, missing), training, weight, pieces)


def encoded(name: str, table: Frame, columns: tables.Columns, counted: Numbers | None = None) -> Chunked:
    """The raw values of all rows, as exported networks take them; NaN in rows that do not count."""
    from dask import delayed

    try:
        columns.require(table.frame)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    parts = table.partitions(columns.names)
    chunks = []
    for k, (part, (start, end)) in enumerate(zip(parts, itertools.pairwise(table.starts.tolist()), strict=True)):
        own = None if counted is None else counted[(counted >= start) & (counted < end)] - start
        chunks.append(delayed(_encoded, pure=False)(f"{name}, partition {k}", part, columns, own))
    return Chunked(chunks, table.starts, columns.exported.count, columns.exported)


def _encoded(name: str, part: Any, columns: tables.Columns, counted: Numbers | None) -> NDArray[Any]:
    try:
        if counted is None:
            return columns.encode_raw(part)
        found = np.full((len(part), columns.exported.count), np.nan)
        found[counted] = columns.encode_raw(part.iloc[counted])
        return found
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def read_inputs(
    given: reading.Table, training: source.Training, start: Network | None, piecewise: bool, compute: Compute
) -> tuple[Chunked, tables.Columns | None]:
    """See `samples.read_inputs`: the inputs, and how a frame is encoded."""
    table, names, columns = given.X, given.names, None if start is None else start.columns
    if isinstance(table, Chunked) or names is None:
        assert isinstance(table, Chunked)
        return table, columns
    if start is None:
        try:
            columns = fitted(given, names, training, piecewise, compute)
        except ValueError as error:
            raise ValueError(f"X: {error}") from None
    return _plain(table, names) if columns is None else encoded("X", table, columns, given.rows), columns


def _plain(table: Frame, names: Sequence[str]) -> Chunked:
    """A frame of numbers, for a network that was trained on an array."""
    from dask import delayed

    return Chunked([delayed(np.asarray)(part) for part in table.partitions(names)], table.starts, len(names))


def inputs(
    name: str, X: Any, columns: tables.Columns | None, count: int, compute: Compute, persist: Callable[[Any], Any]
) -> Chunked:
    """See `tables.inputs`, for any X: the `count` inputs of a network, in chunks."""
    if not checks.is_lazy(X):
        from dask import delayed

        array = tables.inputs(name, X, columns, count)
        if len(array) == 0:
            raise ValueError(f"validation: expected at least one sample, got shape {array.shape}")
        starts = np.array([*range(0, len(array), ROWS), len(array)])
        return Chunked([delayed(array[part]) for part in _slices(starts)], starts, count)
    table, names = read_table(name, X, compute, persist)
    if names is not None and isinstance(table, Frame):
        table = _plain(table, names) if columns is None else encoded(name, table, columns)
    assert isinstance(table, Chunked)
    if table.shape[1] != count:
        raise ValueError(f"{name}: expected {count} features, got {table.shape[1]}")
    return table


def _slices(starts: Numbers) -> Iterator[slice]:
    return (slice(*pair) for pair in itertools.pairwise(starts.tolist()))
