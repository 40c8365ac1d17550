"""Reads a column of a pandas or polars frame as a NumPy array of numbers, dates or text."""

from __future__ import annotations

import datetime
import decimal
import itertools
import numbers
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .text import read_number

_MISSING = {"NoneType", "NAType", "NaTType"}
_CONTAINERS = (list, tuple, dict, set, frozenset, np.ndarray)


class TableWarning(UserWarning):
    """Columns were left out, cells were not read, or a target is heavily skewed."""


class CellError(ValueError):
    """
    A value that cannot be used.

    Attributes
    ----------
    column : str
    row : int
        Counted from 0; the message names it as ``row N``.
    """

    def __init__(self, message: str, column: str, row: int) -> None:
        super().__init__(message)
        self.column, self.row = column, row


@dataclass(frozen=True, eq=False)
class Column:
    """
    Values of a column.

    Attributes
    ----------
    name : str
    kind : {"number", "boolean", "date", "text"}
    values : array, shape (n,)
        Numbers (durations in seconds) and booleans (0 and 1): float64, NaN if missing. Dates: datetime64[us] in UTC,
        NaT if missing. Text: the index of each cell's text in `words`, -1 if missing.
    words : array of str
        Each text of the column once, stripped of surrounding white space.
    categorical : bool
        The frame itself declares these values to be categories.
    weight : float64 array, shape (n,), or None
        Weight of each row; None: all have the same.
    """

    name: str
    kind: str
    values: NDArray[Any]
    words: NDArray[Any] = field(default_factory=lambda: np.empty(0, object))
    categorical: bool = False
    weight: NDArray[np.float64] | None = None

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Which values are missing."""
        if self.kind == "text":
            return self.values < 0
        return np.isnat(self.values) if self.kind == "date" else np.isnan(self.values)

    def take(self, rows: NDArray[np.int64], weight: NDArray[np.float64] | None) -> Column:
        """The column with only the rows of these numbers, each of which has a weight."""
        return replace(self, values=self.values[rows], weight=weight)

    def each(self, of_words: NDArray[Any], missing: Any) -> NDArray[Any]:
        """For each row the element of `of_words` that belongs to its text, or `missing`."""
        return np.append(of_words, np.array([missing], of_words.dtype))[self.values]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many rows have each of the words."""
        return np.bincount(self.values[self.values >= 0], minlength=len(self.words))

    @property
    def weights(self) -> NDArray[Any]:
        """The weight of the rows that have each of the words."""
        present = self.values >= 0
        weight = None if self.weight is None else self.weight[present]
        return np.bincount(self.values[present], weight, len(self.words))

    def as_text(self) -> Column:
        """The column with its values written out: 1 and 1.0 are the same text."""
        if self.kind == "text":
            return self
        distinct, index = np.unique(self.values, return_inverse=True)
        if self.kind == "date":
            words = np.datetime_as_string(distinct, unit="s").astype(object)
        else:
            words = np.array([_label(value) for value in distinct.tolist()], object)
        return Column(self.name, "text", np.where(self.missing, -1, index), words, self.categorical)


def read(frame: Any, name: str, missing: Sequence[str] | None = None) -> Column:
    """
    Read one column.

    Parameters
    ----------
    frame : DataFrame
        Of pandas or polars.
    name : str
    missing : sequence of str or None
        Text, and numbers written out, that count as missing, besides NaN, NaT and None; None: empty text.

    Raises
    ------
    ValueError
        It contains infinite numbers, or something other than numbers, dates or text.
    """
    series = frame[name]
    categorical = str(series.dtype).lower().startswith(("categ", "enum"))
    column = _without(_column(name, np.asarray(series.to_numpy()), categorical), ("",) if missing is None else missing)
    if column.kind == "number" and np.isinf(column.values).any():
        row = int(np.flatnonzero(np.isinf(column.values))[0])
        message = f"expected finite numbers, got {column.values[row]} in column {name!r}, row {row}; correct it"
        raise CellError(message, name, row)
    return column.as_text() if categorical else column


def _without(column: Column, missing: Sequence[str]) -> Column:
    """The column, where these texts are missing."""
    if column.kind == "text":
        places = [k for k, word in enumerate(column.words.tolist()) if word in missing]
        return replace(column, values=np.where(np.isin(column.values, places), -1, column.values)) if places else column
    if column.kind != "number" or missing == ("",):
        return column
    numbers = read_number(np.array(missing, object))
    gone = np.isin(column.values, numbers[~np.isnan(numbers)])
    return replace(column, values=np.where(gone, np.nan, column.values)) if gone.any() else column


def _column(name: str, array: NDArray[Any], categorical: bool) -> Column:
    kind = array.dtype.kind
    if kind in "biuf":
        return Column(name, "boolean" if kind == "b" else "number", array.astype(np.float64), categorical=categorical)
    if kind == "M":
        return Column(name, "date", array.astype("datetime64[us]"), categorical=categorical)
    if kind == "m":
        spans = array.astype("timedelta64[us]")
        seconds = np.where(np.isnat(spans), np.nan, spans.astype(np.int64) / 1e6)
        return Column(name, "number", seconds, categorical=categorical)
    if kind in "OUTS" and array.ndim == 1:
        return _of_objects(name, array.astype(object), categorical)
    raise ValueError(f"expected numbers, text, booleans or dates in column {name!r}, got {array.dtype}")


def _of_objects(name: str, array: NDArray[Any], categorical: bool) -> Column:
    """The type of the objects determines the kind of the column; a mixture of types is text."""
    try:
        distinct, index = _distinct(array.tolist())  # so that each value is converted only once
    except TypeError:
        raise _container_error(name, {type(value) for value in array}) from None
    is_value = np.array([not _is_missing(v) for v in distinct], bool)
    present = list(itertools.compress(distinct, is_value))
    types = set(map(type, present))

    def all_are(*allowed: type) -> bool:
        return bool(types) and all(issubclass(t, allowed) for t in types)

    def column(kind: str, values: Any, missing: Any, dtype: str) -> Column:
        result = np.full(len(distinct), missing, dtype)
        result[is_value] = values
        return Column(name, kind, result[index], categorical=categorical)

    if all_are(bool, np.bool_):
        return column("boolean", [float(v) for v in present], np.nan, "float64")
    if all_are(numbers.Real, decimal.Decimal):
        return column("number", [float(v) for v in present], np.nan, "float64")
    if all_are(datetime.date):
        return column("date", [_utc(v) for v in present], np.datetime64("NaT", "us"), "datetime64[us]")
    if all_are(datetime.timedelta):
        return column("number", [v.total_seconds() for v in present], np.nan, "float64")
    if any(issubclass(t, _CONTAINERS) for t in types):
        raise _container_error(name, types)
    words, indices = _distinct([_label(v) for v in present])
    return replace(column("text", indices, -1, "int64"), words=np.array(words, object))


def _is_missing(value: Any) -> bool:
    return type(value).__name__ in _MISSING or (isinstance(value, float) and value != value)


def _distinct(values: list[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Each distinct value once, and for every value its index among them."""
    indices = {value: k for k, value in enumerate(dict.fromkeys(values))}
    return list(indices), np.fromiter(map(indices.__getitem__, values), np.int64, len(values))


def _container_error(name: str, types: set[type]) -> ValueError:
    kind = next(t.__name__ for t in types if issubclass(t, _CONTAINERS) or t.__hash__ is None)
    return ValueError(f"expected numbers, text, booleans or dates in column {name!r}, got a {kind}")


def _utc(value: datetime.date) -> np.datetime64:
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def _label(value: object) -> str:
    if isinstance(value, bool | np.bool_) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))  # True, 1 and 1.0 are the same
    return str(value).strip()
