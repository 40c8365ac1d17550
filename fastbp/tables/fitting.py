"""How to encode a column: learnt from its values in the training rows."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from . import text
from .encoders import DATE_PARTS, Category, Date, Encoder, Number, date_parts
from .frames import Column

# The most categories that get their own input; if these cover less than half of the rows, the column is left out. 1000
# are a little more accurate on large tables, but take twice the time, as every step adapts the weights of every input.
MOST_CATEGORIES = 300
# Pieces of a number's range, from the least to the most of all numbers of a row together.
LEAST_PIECES, MOST_PIECES, ALL_PIECES = 6, 16, 480
_ROW_NUMBER = re.compile(r"(unnamed: \d+|index|row|row.?(id|no|nr|number)|(.*[^a-z])?id|)", re.IGNORECASE)


@dataclass(frozen=True)
class Row:
    """
    What became of a column: a row of the table that ``print(net.columns)`` shows.

    Attributes
    ----------
    name : str
    kind : str
        ``"number"``, ``"yes/no"``, ``"category"``, ``"date"`` or ``"left out"``.
    inputs : int
        How many inputs of the network come from it.
    note : str
    warning : bool
        You may want to do something about it.
    """

    name: str
    kind: str
    inputs: int
    note: str
    warning: bool = False


def pieces(columns: int) -> int:
    """Pieces that a number is encoded in, in a table of so many columns: fewer of each where there are many."""
    return min(max(ALL_PIECES // max(1, columns), LEAST_PIECES), MOST_PIECES)


def fit(whole: Column, training: NDArray[np.bool_], pieces: int = 0) -> tuple[Encoder | None, Row]:
    """
    Learn from the training rows how to encode a column; no encoder if it is left out.

    Only the format of dates is determined from all rows: 13/4 in a validation row shows how to read 10/4. A number is
    encoded in `pieces`, too, unless that is 0.
    """
    column = whole.take(training)
    missing = int(column.missing.sum())
    if missing == len(column.values):
        return None, _left_out(column, "no values")
    if column.kind == "text" and not column.categorical:
        numbers = column.each(text.read_number(column.words), np.nan)
        read = int((~np.isnan(numbers)).sum())
        unread = len(numbers) - missing - read
        if read >= text.MOST * (len(numbers) - missing):
            return _fit_number(Column(column.name, "number", numbers), pieces, lenient=True, unread=unread)
        formats = text.date_formats(whole.words, whole.counts)
        if formats:
            dates = column.each(text.read_date(column.words, formats[0]), np.datetime64("NaT"))
            return _fit_date(Column(column.name, "date", dates), formats)
    if column.kind == "text":
        return _fit_category(column)
    return _fit_date(column, []) if column.kind == "date" else _fit_number(column, pieces)


def _left_out(column: Column, reason: str, warning: bool = False) -> Row:
    return Row(column.name, "left out", 0, reason, warning)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _fit_number(column: Column, pieces: int, lenient: bool = False, unread: int = 0) -> tuple[Encoder | None, Row]:
    """`unread`: how many cells contain text, and so count as missing."""
    missing = column.missing
    present = column.values[~missing]
    if present.min() == present.max() and not missing.any():
        return None, _left_out(column, f"always {present[0]:g}")
    if _is_row_number(column):
        return None, _left_out(column, "its name and values are those of a row number", warning=True)
    boolean = column.kind == "boolean"
    median = np.float64(np.median(present))
    fill = float(np.round(median)) if boolean else float(median)
    count, edges = int(missing.sum()) - unread, () if boolean else _edges(present, pieces)
    notes = (
        f"{len(edges) - 1} pieces" if edges else "",
        f"{count} missing, filled with the median {fill:g}" if count else "",
        f"{unread} cell{'s' * (unread > 1)} of text treated as missing" if unread else "",
    )
    encoder = Number(column.name, fill, bool(missing.any()), lenient, boolean, edges)
    inputs = 1 + encoder.flag + max(0, len(edges) - 1)
    return encoder, Row(column.name, "yes/no" if boolean else "number", inputs, _joined(*notes))


def _edges(values: NDArray[np.float64], pieces: int) -> tuple[float, ...]:
    """Ends of pieces with about the same number of values; none of fewer than three different ones."""
    if pieces == 0 or not values.max() / 2 - values.min() / 2 < np.finfo(np.float64).max / 2:
        return ()
    edges = np.unique(np.quantile(values, np.linspace(0, 1, pieces + 1), method="inverted_cdf"))
    return tuple(edges.tolist()) if len(edges) > 2 else ()


def _is_row_number(column: Column) -> bool:
    values = column.values
    named = _ROW_NUMBER.fullmatch(column.name) or re.search(r"[a-z]I[dD]$", column.name)
    if not named or column.missing.any() or len(values) < 20:
        return False
    return bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)


def _fit_category(column: Column) -> tuple[Encoder | None, Row]:
    missing = column.missing
    counts = {word: count for word, count in zip(column.words.tolist(), column.counts.tolist(), strict=True) if count}
    present = sum(counts.values())
    if len(counts) == 1 and not missing.any():
        return None, _left_out(column, f"always {next(iter(counts))!r}")
    # what only one row has tells nothing about other rows
    repeated = [value for value in counts if counts[value] > 1]
    common = sorted(repeated, key=lambda value: (-counts[value], value))[:MOST_CATEGORIES]
    if 2 * sum(counts[value] for value in common) < present:
        reason = f"{len(counts)} different values in {present} rows: names, identifiers or free text"
        return None, _left_out(column, reason, warning=True)
    rare = len(counts) - len(common)
    encoder = Category(column.name, tuple(sorted(common)), rare > 0, bool(missing.any()))
    first = ", ".join(encoder.values[:6]) + (", ..." if len(common) > 6 else "")
    notes = (first, f"{rare} rare ones grouped" if rare else "", f"{missing.sum()} missing" if encoder.flag else "")
    return encoder, Row(column.name, "category", len(encoder.parts), _joined(*notes))


def _fit_date(column: Column, formats: list[str]) -> tuple[Encoder | None, Row]:
    """`formats`: those that read the text as dates, likeliest first; none if the frame contains dates."""
    missing = column.missing
    present = column.values[~missing]
    if present.min() == present.max() and not missing.any():
        return None, _left_out(column, f"always {present[0]}")
    days = present.astype(np.int64) / 86_400e6
    parts = date_parts(days)
    kept = tuple(part for part in DATE_PARTS if np.ptp(parts[part]) > 1e-9)
    encoder = Date(column.name, kept, float(np.median(days)), formats[0] if formats else None, bool(missing.any()))
    first, last = (str(np.datetime_as_string(value, unit="D")) for value in (present.min(), present.max()))
    read_as = f"read as {formats[0]}" if formats and formats[0] != "ISO" else ""
    read_as += f", though {formats[1]} fits, too" if formats[1:] else ""
    note = _joined(f"{first} to {last}", read_as, f"{missing.sum()} missing" if encoder.flag else "")
    return encoder, Row(column.name, "date", len(encoder.parts), note)
