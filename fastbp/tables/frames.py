"""A column of a pandas or polars frame as a NumPy array of one of three kinds: numbers, dates or text."""

from __future__ import annotations

import datetime
import decimal
import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MISSING = {"NoneType", "NAType", "NaTType"}


class CellError(ValueError):
    """
    A value that cannot be used.

    Attributes
    ----------
    column : str
    row : int
        From 0 on; the message names it as ``row N``.
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
        float64 for numbers (time spans as seconds) and booleans (0 and 1), NaN where missing; datetime64[us] for dates, in UTC, NaT
        where missing; else objects: text without white space around it, None where missing or empty.
    categorical : bool
        The frame itself says that these are categories.
    """

    name: str
    kind: str
    values: NDArray[Any]
    categorical: bool = False

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where there is no value."""
        if self.kind == "date":
            return np.isnat(self.values)
        if self.kind == "text":
            return np.fromiter((v is None for v in self.values), bool, len(self.values))
        return np.isnan(self.values)

    def take(self, rows: NDArray[np.bool_]) -> Column:
        """The column of these rows alone."""
        return Column(self.name, self.kind, self.values[rows], self.categorical)

    def as_text(self) -> Column:
        """The column with its values written out: 1 and 1.0 are the same text."""
        if self.kind == "text":
            return self
        if self.kind == "date":
            words = np.datetime_as_string(self.values, unit="s").astype(object)
        else:
            different, number = np.unique(self.values, return_inverse=True)
            words = np.array([_label(value) for value in different.tolist()], object)[number]
        words[self.missing] = None
        return Column(self.name, "text", words, self.categorical)


def read(frame: Any, name: str) -> Column:
    """
    Read one column.

    Parameters
    ----------
    frame : DataFrame
        Of pandas or polars.
    name : str

    Raises
    ------
    ValueError
        It holds infinite numbers, or things that are no numbers, dates or text.
    """
    series = frame[name]
    categorical = str(series.dtype).lower().startswith(("categ", "enum"))
    column = _column(name, np.asarray(series.to_numpy()), categorical)
    if column.kind == "number" and np.isinf(column.values).any():
        row = int(np.flatnonzero(np.isinf(column.values))[0])
        raise CellError(f"expected finite numbers, got {column.values[row]} in column {name!r}, row {row}; correct it", name, row)
    return column.as_text() if categorical else column


def _column(name: str, array: NDArray[Any], categorical: bool) -> Column:
    kind = array.dtype.kind
    if kind in "biuf":
        return Column(name, "boolean" if kind == "b" else "number", array.astype(np.float64), categorical)
    if kind == "M":
        return Column(name, "date", array.astype("datetime64[us]"), categorical)
    if kind == "m":
        spans = array.astype("timedelta64[us]")
        return Column(name, "number", np.where(np.isnat(spans), np.nan, spans.astype(np.int64) / 1e6), categorical)
    if kind in "OUTS" and array.ndim == 1:
        return _of_objects(name, array.astype(object), categorical)
    raise ValueError(f"expected numbers, text, booleans or dates in column {name!r}, got {array.dtype}")


def _of_objects(name: str, array: NDArray[Any], categorical: bool) -> Column:
    """Objects of one type are what the type says; a mixture is text."""
    there = np.fromiter((not (type(v).__name__ in _MISSING or (isinstance(v, float) and v != v)) for v in array), bool, len(array))
    present = array[there]
    types = set(map(type, present))

    def all_are(*wanted: type) -> bool:
        return bool(types) and all(issubclass(t, wanted) for t in types)

    def filled(values: Any, empty: Any, dtype: str) -> NDArray[Any]:
        result = np.full(len(array), empty, dtype)
        result[there] = values
        return result

    if all_are(bool, np.bool_):
        return Column(name, "boolean", filled(present.astype(bool), np.nan, "float64"), categorical)
    if all_are(numbers.Real, decimal.Decimal):
        return Column(name, "number", filled([float(v) for v in present], np.nan, "float64"), categorical)
    if all_are(datetime.date):
        return Column(name, "date", filled([_utc(v) for v in present], np.datetime64("NaT"), "datetime64[us]"), categorical)
    if all_are(datetime.timedelta):
        return Column(name, "number", filled([v.total_seconds() for v in present], np.nan, "float64"), categorical)
    strange = [t.__name__ for t in types if issubclass(t, list | tuple | dict | set | np.ndarray)]
    if strange:
        raise ValueError(f"expected numbers, text, booleans or dates in column {name!r}, got a {strange[0]}")
    result = np.full(len(array), None, object)
    result[there] = [_label(v) or None for v in present]
    return Column(name, "text", result, categorical)


def _utc(value: datetime.date) -> np.datetime64:
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def _label(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()
