"""What to make of a column: learnt from its values in the training part."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import text
from .encoders import DATE_PARTS, Category, Date, Encoder, Number, date_parts
from .frames import Column

# Categories with an input of their own, at most; a column in which these cover less than half of the rows is left out.
MOST_CATEGORIES = 100
# A category that fewer rows than this have is rare, or fewer than 1 % of them, but one that a single row has always is.
RARE = 10
_ROW_NUMBER = re.compile(r"(unnamed: \d+|index|row|row.?(id|no|nr|number)|(.*[^a-z])?id|)", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """
    What became of a column, a row of the table that the user sees.

    Attributes
    ----------
    name : str
    kind : str
        ``"number"``, ``"yes/no"``, ``"category"``, ``"date"`` or ``"left out"``.
    inputs : int
        How many inputs of the network come from it.
    note : str
    warning : bool
        The user may want to do something about it.
    """

    name: str
    kind: str
    inputs: int
    note: str
    warning: bool = False


def fit(whole: Column, training: NDArray[np.bool_]) -> tuple[Encoder | None, Row]:
    """
    Learn what to make of a column from the rows of the training part; None where it is left out.

    Only in which form dates are written is seen in all rows: 13/4 among those set aside tells what 10/4 means.
    """
    column = whole.take(training)
    missing = int(column.missing.sum())
    if missing == len(column.values):
        return None, _left_out(column, "no values")
    if column.kind == "text" and not column.categorical:
        numbers = column.each(text.read_number(column.words), np.nan)
        read = int((~np.isnan(numbers)).sum())
        if read >= text.MOST * (len(numbers) - missing):
            return _fit_number(
                Column(column.name, "number", numbers), lenient=True, strange=len(numbers) - missing - read
            )
        forms = text.date_formats(whole.words, whole.counts)
        if forms:
            return _fit_date(
                Column(column.name, "date", column.each(text.read_date(column.words, forms[0]), np.datetime64("NaT"))),
                forms,
            )
    if column.kind == "text":
        return _fit_category(column)
    return _fit_date(column, []) if column.kind == "date" else _fit_number(column)


def _left_out(column: Column, why: str, warning: bool = False) -> Row:
    return Row(column.name, "left out", 0, why, warning)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _fit_number(column: Column, lenient: bool = False, strange: int = 0) -> tuple[Encoder | None, Row]:
    missing = column.missing
    there = column.values[~missing]
    if there.min() == there.max() and not missing.any():
        return None, _left_out(column, f"always {there[0]:g}")
    if _is_row_number(column):
        return None, _left_out(column, "its name and values are those of a row number", warning=True)
    boolean = column.kind == "boolean"
    middle = np.float64(np.median(there))
    fill = float(np.round(middle)) if boolean else float(middle)
    count = int(missing.sum()) - strange
    notes = (
        f"{count} missing, filled with the median {fill:g}" if count else "",
        f"{strange} cell{'s' * (strange > 1)} of text taken as missing" if strange else "",
    )
    encoder = Number(column.name, fill, bool(missing.any()), lenient, boolean)
    return encoder, Row(column.name, "yes/no" if boolean else "number", 1 + encoder.flag, _joined(*notes))


def _is_row_number(column: Column) -> bool:
    values = column.values
    named = _ROW_NUMBER.fullmatch(column.name) or re.search(r"[a-z]I[dD]$", column.name)
    if not named or column.missing.any() or len(values) < 20:
        return False
    return bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)


def _fit_category(column: Column) -> tuple[Encoder | None, Row]:
    missing = column.missing
    counts = {word: count for word, count in zip(column.words.tolist(), column.counts.tolist(), strict=True) if count}
    there = sum(counts.values())
    if len(counts) == 1 and not missing.any():
        return None, _left_out(column, f"always {next(iter(counts))!r}")
    least = min(RARE, max(2, -(-there // 100)))
    common = sorted((value for value in counts if counts[value] >= least), key=lambda value: (-counts[value], value))[
        :MOST_CATEGORIES
    ]
    if 2 * sum(counts[value] for value in common) < there:
        why = f"{len(counts)} different values in {there} rows: names, numbers of things or free text"
        return None, _left_out(column, why, warning=True)
    rare = len(counts) - len(common)
    encoder = Category(column.name, tuple(sorted(common)), rare > 0, bool(missing.any()))
    some = ", ".join(encoder.values[:6]) + (", ..." if len(common) > 6 else "")
    notes = (some, f"{rare} rare ones taken as one" if rare else "", f"{missing.sum()} missing" if encoder.flag else "")
    return encoder, Row(column.name, "category", len(encoder.parts), _joined(*notes))


def _fit_date(column: Column, forms: list[str]) -> tuple[Encoder | None, Row]:
    missing = column.missing
    there = column.values[~missing]
    if there.min() == there.max() and not missing.any():
        return None, _left_out(column, f"always {there[0]}")
    days = there.astype(np.int64) / 86_400e6
    parts = date_parts(days)
    kept = tuple(part for part in DATE_PARTS if np.ptp(parts[part]) > 1e-9)
    encoder = Date(column.name, kept, float(np.median(days)), forms[0] if forms else None, bool(missing.any()))
    first, last = (str(np.datetime_as_string(value, unit="D")) for value in (there.min(), there.max()))
    read_as = f"read as {forms[0]}" if forms and forms[0] != "ISO" else ""
    read_as += f", though {forms[1]} fits too" if forms[1:] else ""
    note = _joined(f"{first} to {last}", read_as, f"{missing.sum()} missing" if encoder.flag else "")
    return encoder, Row(column.name, "date", len(encoder.parts), note)
