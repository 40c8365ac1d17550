"""
Encoders, one for each kind of column: plain data, learnt from the training rows.

An encoder reads a column as numbers, and makes raw values of these, where a missing number is NaN; `Columns` cuts
numbers to their ranges, and fills in the missing ones. Only a category is read as something else than its raw values:
as the place of the one that is 1.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..circle import sin_cos
from .frames import CellError, Column
from .numerals import Form, only_form
from .text import read_date, read_number
from .unread import Unread

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_FRACTION = re.compile(r"-?\d+\.\d*")
DATE_PARTS = ("days", "year sin", "year cos", *_DAYS, "hour sin", "hour cos")
# The range of numbers that are not cut; finite, so that every export can write it.
_LARGEST = float(np.finfo(np.float64).max)
UNLIMITED = -_LARGEST, _LARGEST


def _range(limits: tuple[float, ...]) -> tuple[float, float]:
    """The least and the largest number that these limits allow."""
    return (limits[0], limits[1]) if limits else UNLIMITED


@dataclass(frozen=True)
class Number:
    """
    A number, or yes and no as 1 and 0.

    Attributes
    ----------
    name : str
    fill : float
        Replaces a missing value: the median of the training rows.
    flag : bool
        One more input marks missing values.
    lenient : bool
        Text among the numbers counts as missing, because the column was text in training; otherwise it is an error.
    boolean : bool
        The column contains yes and no.
    edges : tuple of float
        Ends of the pieces that have their own input, in increasing order; none: only the number itself is an input.
    limits : tuple of float
        Two numbers; what lies outside is taken for the nearer one. None: every number is used as it is.
    form : tuple of str
        How numbers were written in a column of text: decimal mark, thousands separator and sign; none: plainly.
    marks : tuple of str
        Text among the numbers in training, such as "?".
    """

    name: str
    fill: float
    flag: bool = False
    lenient: bool = False
    boolean: bool = False
    edges: tuple[float, ...] = ()
    limits: tuple[float, ...] = ()
    form: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Name of each raw value."""
        return (self.name,)

    @property
    def scaled(self) -> tuple[bool, ...]:
        """Whether each raw value is standardised."""
        return (not self.boolean,)

    @property
    def fills(self) -> tuple[float, ...]:
        """What replaces each raw value if it is missing."""
        return (self.fill,)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The least and the largest number that each raw value may be."""
        return (_range(self.limits),)

    def raw(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw values, shape (n, 1)."""
        return values

    def read(self, column: Column, unread: list[Unread]) -> NDArray[np.float64]:
        """The numbers, shape (n, 1)."""
        if column.kind in ("number", "boolean"):
            return column.values[:, None]
        text = column.as_text()
        numbers = text.each(self._numbers(text.words), np.nan)
        wrong = np.isnan(numbers) & ~text.missing
        if wrong.any() and not self.lenient:
            row = int(np.flatnonzero(wrong)[0])
            word = text.words[text.values[row]]
            message = f"expected numbers in column {self.name!r}, as in training, got {word!r} in row {row}"
            raise CellError(message, self.name, row)
        _report(unread, text, wrong, self.marks, "taken as missing")
        return numbers[:, None]

    def _numbers(self, words: NDArray[Any]) -> NDArray[np.float64]:
        """The numbers of these texts: plain ones, those in the form of training, or all in another one."""
        numbers = read_number(words)
        if np.isnan(numbers).any() and self.form:
            numbers = np.where(np.isnan(numbers), Form(*self.form).read(words), numbers)
        if np.isnan(numbers).any():
            form = only_form([word for word in words.tolist() if word not in self.marks])
            numbers = numbers if form is None else form.read(words)
        return numbers


@dataclass(frozen=True)
class Category:
    """
    One input for each value: 1 in the rows that have it, otherwise 0.

    Attributes
    ----------
    name : str
    values : tuple of str
        The values that have their own input.
    other : bool
        One more input marks all other values: the rare ones, and those that did not occur in training.
    flag : bool
        One more input marks missing values.
    """

    name: str
    values: tuple[str, ...]
    other: bool = False
    flag: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """Name of each raw value."""
        last = [f"{self.name} (other)"] * self.other + [f"{self.name} (missing)"] * self.flag
        return (*(f"{self.name}={value}" for value in self.values), *last)

    @property
    def scaled(self) -> tuple[bool, ...]:
        """Whether each raw value is standardised."""
        return (False,) * len(self.parts)

    @property
    def fills(self) -> tuple[float, ...]:
        """Nothing is filled in: "missing" is a category, too."""
        return (math.nan,) * len(self.parts)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The least and the largest number that each raw value may be."""
        return (UNLIMITED,) * len(self.parts)

    def raw(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw values, shape (n, parts)."""
        return (values == np.arange(len(self.parts))).astype(np.float64)

    def read(self, column: Column, unread: list[Unread]) -> NDArray[np.float64]:
        """The place of the part that is 1, or -1, shape (n, 1)."""
        text = column.as_text()
        indices = {value: k for k, value in enumerate(self.values)}
        other = len(indices) if self.other else -1
        missing = len(indices) + self.other if self.flag else -1
        places = np.array([indices.get(word, other) for word in text.words], np.float64)
        new = [k for k, word in enumerate(text.words) if word not in indices]
        if new:  # a number may be written in another way: 3 and 3.0
            equal = {_shortest(value): k for k, value in enumerate(self.values)}
            places[new] = [equal.get(_shortest(text.words[k]), other) for k in new]
            if not self.other:
                unknown = text.each(places < 0, False)
                _report(unread, text, unknown, (), "not among the values in training, and taken for none of them")
        return text.each(places, missing)[:, None]


@dataclass(frozen=True)
class Date:
    """
    The parts of a date: days since 1970, the time of the year and of the day as points on circles, the day of the week.

    Attributes
    ----------
    name : str
    kept : tuple of str
        The parts from `DATE_PARTS` that are not constant in training.
    fill : float
        Replaces a missing date, in days since 1970: the median of the training rows.
    format : str or None
        How text is read: ``"ISO"``, or as in `datetime.strptime`; None if the frame contains dates.
    flag : bool
        One more input marks missing dates.
    limits : tuple of float
        As of `Number`, of the days.
    marks : tuple of str
        Text among the dates in training, such as "unknown".
    """

    name: str
    kept: tuple[str, ...]
    fill: float
    format: str | None = None
    flag: bool = False
    limits: tuple[float, ...] = ()
    marks: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """Name of each raw value."""
        return (*(f"{self.name} ({part})" for part in self.kept), *([f"{self.name} (missing)"] * self.flag))

    @property
    def scaled(self) -> tuple[bool, ...]:
        """Whether each raw value is standardised."""
        return tuple(part == "days" for part in self.kept) + (False,) * self.flag

    @property
    def fills(self) -> tuple[float, ...]:
        """Nothing is filled in later: `encode` already replaces a missing date by the median."""
        return (math.nan,) * len(self.parts)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """The least and the largest number that each raw value may be."""
        days = _range(self.limits)
        return tuple(days if part == "days" else UNLIMITED for part in self.kept) + (UNLIMITED,) * self.flag

    def raw(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Raw values, shape (n, parts)."""
        return values

    def read(self, column: Column, unread: list[Unread]) -> NDArray[np.float64]:
        """The parts, shape (n, parts)."""
        dates = self._dates(column, unread)
        missing = np.isnat(dates)
        days = np.where(missing, self.fill, dates.astype(np.int64) / 86_400e6)
        parts = date_parts(days)
        kept = [parts[part] for part in self.kept] + [missing.astype(np.float64)] * self.flag
        return np.stack(kept, axis=1)

    def _dates(self, column: Column, unread: list[Unread]) -> NDArray[np.datetime64]:
        if column.kind == "date":
            return column.values
        text = column.as_text()
        read = read_date(text.words, self.format or "ISO")
        if self.format not in (None, "ISO") and np.isnat(read).any():  # such as 2024-12-31, which only means one day
            read = np.where(np.isnat(read), read_date(text.words, "ISO"), read)
        dates = text.each(read, np.datetime64("NaT", "us"))
        wrong = np.isnat(dates) & ~text.missing
        if wrong.all() and len(wrong):
            word = text.words[text.values[0]]
            message = f"expected dates in column {self.name!r}, as in training, got {word!r} in row 0"
            raise CellError(message, self.name, 0)
        _report(unread, text, wrong, self.marks, "taken for the median date")
        return dates


def _report(unread: list[Unread], text: Column, wrong: NDArray[np.bool_], marks: tuple[str, ...], taken: str) -> None:
    """Add the cells that are wrong, and none of the marks, to those that were not read."""
    if wrong.any() and marks:
        wrong = wrong & ~np.isin(text.values, [k for k, word in enumerate(text.words.tolist()) if word in marks])
    if wrong.any():
        row = int(wrong.argmax())
        unread.append(Unread(text.name, str(text.words[text.values[row]]), row, int(wrong.sum()), taken))


def _shortest(word: str) -> str:
    """A number without zeros at the end of its fraction, but those at its beginning, as codes have them, remain."""
    return word.rstrip("0").removesuffix(".") if _FRACTION.fullmatch(word) else word


def date_parts(days: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Parts of dates, which are given in days since 1970-01-01; the keys are those of `DATE_PARTS`."""
    whole = np.floor(days).astype("datetime64[D]")
    in_year = ((whole - whole.astype("datetime64[Y]")).astype(np.float64) + days % 1) / 365.2425
    weekday = (whole.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    (year_sin, year_cos), (hour_sin, hour_cos) = sin_cos(in_year), sin_cos(days)
    parts = {"days": days, "year sin": year_sin, "year cos": year_cos}
    parts |= {name: (weekday == k).astype(np.float64) for k, name in enumerate(_DAYS)}
    return parts | {"hour sin": hour_sin, "hour cos": hour_cos}


Encoder = Number | Category | Date
KINDS: dict[str, type[Any]] = {"number": Number, "category": Category, "date": Date}
