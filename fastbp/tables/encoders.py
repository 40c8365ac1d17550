"""
What each kind of column becomes: plain data, learnt from the training part.

An encoder gives raw values, a column for each, in which NaN stands for a missing number; `Columns` fills these in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..circle import sin_cos
from .frames import CellError, Column
from .text import read_date, read_number

_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DATE_PARTS = ("days", "year sin", "year cos", *_DAYS, "hour sin", "hour cos")


@dataclass(frozen=True)
class Number:
    """
    A number, or yes and no as 1 and 0.

    Attributes
    ----------
    name : str
    fill : float
        Stands for a missing value: the median of the training part.
    flag : bool
        A further input says whether the value is missing.
    lenient : bool
        Text among the numbers counts as missing, because the column came as text; else it is an error.
    boolean : bool
        The column holds yes and no.
    """

    name: str
    fill: float
    flag: bool = False
    lenient: bool = False
    boolean: bool = False

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
        """What stands for each raw value where it is missing."""
        return (self.fill,)

    def encode(self, column: Column) -> NDArray[np.float64]:
        """Raw values, shape (n, 1)."""
        if column.kind in ("number", "boolean"):
            return column.values[:, None]
        text = column.as_text()
        numbers = text.each(read_number(text.words), np.nan)
        wrong = np.isnan(numbers) & ~text.missing
        if wrong.any() and not self.lenient:
            row = int(np.flatnonzero(wrong)[0])
            message = f"expected numbers in column {self.name!r}, as in training, got {text.words[text.values[row]]!r} in row {row}"
            raise CellError(message, self.name, row)
        return numbers[:, None]


@dataclass(frozen=True)
class Category:
    """
    One input for each value, 1 where a row has it.

    Attributes
    ----------
    name : str
    values : tuple of str
        The values that have an input of their own.
    other : bool
        One more input stands for all other values: the rare ones, and those that did not occur in training.
    flag : bool
        One more input says whether the value is missing.
    """

    name: str
    values: tuple[str, ...]
    other: bool = False
    flag: bool = False

    @property
    def parts(self) -> tuple[str, ...]:
        """Name of each raw value."""
        ends = [f"{self.name} (other)"] * self.other + [f"{self.name} (missing)"] * self.flag
        return (*(f"{self.name}={value}" for value in self.values), *ends)

    @property
    def scaled(self) -> tuple[bool, ...]:
        """Whether each raw value is standardised."""
        return (False,) * len(self.parts)

    @property
    def fills(self) -> tuple[float, ...]:
        """Nothing is filled in: a missing value is a value."""
        return (math.nan,) * len(self.parts)

    def encode(self, column: Column) -> NDArray[np.float64]:
        """Raw values, shape (n, parts)."""
        text = column.as_text()
        known = {value: k for k, value in enumerate(self.values)}
        other = len(known) if self.other else -1
        of_words = np.array([known.get(word, other) for word in text.words], np.int64)
        place = text.each(of_words, len(known) + self.other if self.flag else -1)
        return (place[:, None] == np.arange(len(self.parts))).astype(np.float64)


@dataclass(frozen=True)
class Date:
    """
    A date as its parts: days since 1970; where in the year and in the day it is, as points on circles; the day of the week.

    Attributes
    ----------
    name : str
    kept : tuple of str
        Parts out of `DATE_PARTS` that differ in training.
    fill : float
        Days since 1970 that stand for a missing date: the median of the training part.
    format : str or None
        How text is read: ``"ISO"``, or as in `datetime.strptime`; None where the frame holds dates.
    flag : bool
        A further input says whether the date is missing.
    """

    name: str
    kept: tuple[str, ...]
    fill: float
    format: str | None = None
    flag: bool = False

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
        """Nothing is filled in later: the parts of the median stand for a missing date."""
        return (math.nan,) * len(self.parts)

    def encode(self, column: Column) -> NDArray[np.float64]:
        """Raw values, shape (n, parts)."""
        dates = self._dates(column)
        missing = np.isnat(dates)
        days = np.where(missing, self.fill, dates.astype(np.int64) / 86_400e6)
        parts = date_parts(days)
        chosen = [parts[part] for part in self.kept] + [missing.astype(np.float64)] * self.flag
        return np.stack(chosen, axis=1)

    def _dates(self, column: Column) -> NDArray[np.datetime64]:
        if column.kind == "date":
            return column.values
        text = column.as_text()
        dates = text.each(read_date(text.words, self.format or "ISO"), np.datetime64("NaT"))
        wrong = np.isnat(dates) & ~text.missing
        if wrong.all() and len(wrong):
            message = (
                f"expected dates in column {self.name!r}, as in training, got {text.words[text.values[0]]!r} in row 0"
            )
            raise CellError(message, self.name, 0)
        return dates


def date_parts(days: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
    """Every part of dates that are given in days since 1970-01-01, by its name in `DATE_PARTS`."""
    whole = np.floor(days).astype("datetime64[D]")
    in_year = ((whole - whole.astype("datetime64[Y]")).astype(np.float64) + days % 1) / 365.2425
    weekday = (whole.astype(np.int64) + 3) % 7  # 1970-01-01 was a Thursday
    (year_sin, year_cos), (hour_sin, hour_cos) = sin_cos(in_year), sin_cos(days)
    parts = {"days": days, "year sin": year_sin, "year cos": year_cos}
    parts |= {name: (weekday == k).astype(np.float64) for k, name in enumerate(_DAYS)}
    return parts | {"hour sin": hour_sin, "hour cos": hour_cos}


Encoder = Number | Category | Date
KINDS: dict[str, type[Any]] = {"number": Number, "category": Category, "date": Date}
