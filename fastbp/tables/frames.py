"""A column of a pandas or polars frame as a NumPy array of one of three kinds: numbers, dates or text."""

from __future__ import annotations

import datetime
import decimal
import itertools
import numbers
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MISSING = {"NoneType", "NAType", "NaTType"}
_NO_VALUES = (list, tuple, dict, set, frozenset, np.ndarray)


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
        where missing; for text the place of each cell's text in `words`, -1 where it is missing.
    words : array of str
        Each text of the column once, without white space around it.
    categorical : bool
        The frame itself says that these are categories.
    """

    name: str
    kind: str
    values: NDArray[Any]
    words: NDArray[Any] = field(default_factory=lambda: np.empty(0, object))
    categorical: bool = False

    @property
    def missing(self) -> NDArray[np.bool_]:
        """Where there is no value."""
        if self.kind == "text":
            return self.values < 0
        return np.isnat(self.values) if self.kind == "date" else np.isnan(self.values)

    def take(self, rows: NDArray[np.bool_]) -> Column:
        """The column of these rows alone."""
        return replace(self, values=self.values[rows])

    def each(self, of_words: NDArray[Any], missing: Any) -> NDArray[Any]:
        """For every row what `of_words` has for its text, or `missing`."""
        return np.append(of_words, np.array([missing], of_words.dtype))[self.values]

    @property
    def counts(self) -> NDArray[np.int64]:
        """How many rows have each of the words."""
        return np.bincount(self.values[self.values >= 0], minlength=len(self.words))

    def as_text(self) -> Column:
        """The column with its values written out: 1 and 1.0 are the same text."""
        if self.kind == "text":
            return self
        different, place = np.unique(self.values, return_inverse=True)
        if self.kind == "date":
            words = np.datetime_as_string(different, unit="s").astype(object)
        else:
            words = np.array([_label(value) for value in different.tolist()], object)
        return Column(self.name, "text", np.where(self.missing, -1, place), words, self.categorical)


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
        raise CellError(
            f"expected finite numbers, got {column.values[row]} in column {name!r}, row {row}; correct it", name, row
        )
    return column.as_text() if categorical else column


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
    """Objects of one type are what the type says; a mixture is text. Each different object is looked at once."""
    try:
        different, place = _numbered(array.tolist())
    except TypeError:
        raise _no_value(name, {type(value) for value in array}) from None
    there = np.array([not (type(v).__name__ in _MISSING or (isinstance(v, float) and v != v)) for v in different], bool)
    present = list(itertools.compress(different, there))
    types = set(map(type, present))

    def all_are(*wanted: type) -> bool:
        return bool(types) and all(issubclass(t, wanted) for t in types)

    def column(kind: str, values: Any, empty: Any, dtype: str) -> Column:
        result = np.full(len(different), empty, dtype)
        result[there] = values
        return Column(name, kind, result[place], categorical=categorical)

    if all_are(bool, np.bool_):
        return column("boolean", [float(v) for v in present], np.nan, "float64")
    if all_are(numbers.Real, decimal.Decimal):
        return column("number", [float(v) for v in present], np.nan, "float64")
    if all_are(datetime.date):
        return column("date", [_utc(v) for v in present], np.datetime64("NaT"), "datetime64[us]")
    if all_are(datetime.timedelta):
        return column("number", [v.total_seconds() for v in present], np.nan, "float64")
    if any(issubclass(t, _NO_VALUES) for t in types):
        raise _no_value(name, types)
    words, number = _numbered([_label(v) for v in present])
    if "" in words:
        number[number == words.index("")] = -1
    return replace(column("text", number, -1, "int64"), words=np.array(words, object))


def _numbered(values: list[Any]) -> tuple[list[Any], NDArray[np.int64]]:
    """Each different value once, and for every value its place among them."""
    places = {value: k for k, value in enumerate(dict.fromkeys(values))}
    return list(places), np.fromiter(map(places.__getitem__, values), np.int64, len(values))


def _no_value(name: str, types: set[type]) -> ValueError:
    kind = next(t.__name__ for t in types if issubclass(t, _NO_VALUES) or t.__hash__ is None)
    return ValueError(f"expected numbers, text, booleans or dates in column {name!r}, got a {kind}")


def _utc(value: datetime.date) -> np.datetime64:
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        value = value.astimezone(datetime.UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def _label(value: object) -> str:
    if isinstance(value, bool | np.bool_) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))  # True, 1 and 1.0 are the same
    return str(value).strip()
