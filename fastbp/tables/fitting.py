"""How to encode a column: learnt from its values in the training rows."""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime import blocks
from . import numerals, text, weighted
from .encoders import DATE_PARTS, UNLIMITED, Category, Date, Encoder, Number, date_parts
from .frames import Column

# The most categories that get their own input; if these cover less than half of the rows, the column is left out. 1000
# are a little more accurate on large tables, but take twice the time, as every step adapts the weights of every input.
MOST_CATEGORIES = 300
# Pieces of a number's range, from the least to the most of all numbers of a row together.
LEAST_PIECES, MOST_PIECES, ALL_PIECES = 6, 16, 480
# Numbers further from the mean than so many standard deviations are cut: a slip of the pen, or a code such as 999999
# for "unknown", must not lead to a prediction far from all that was learnt. Few true numbers are that far away.
FARTHEST = 20.0
# Different texts among the numbers or dates of a column that are remembered.
MOST_MARKS = 20
LEFT_OUT = "left out"
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


def fit(
    whole: Column, training: NDArray[np.int64], weight: NDArray[np.float64] | None = None, pieces: int = 0
) -> tuple[Encoder | None, Row]:
    """
    Learn from training rows of these numbers and weights how to encode a column; no encoder if it is left out.

    Only the format of dates is determined from all rows: 13/4 in a validation row shows how to read 10/4. A number is
    encoded in `pieces`, too, unless that is 0.
    """
    column = whole.take(training, weight)
    missing = int(column.missing.sum())
    if missing == len(column.values):
        return None, _left_out(column, "no values")
    if column.kind == "text" and not column.categorical:
        found = _as_number(column, pieces)
        if found is not None:
            return found
        formats = text.date_formats(whole.words, whole.counts)
        if formats:
            return _fit_date(column, formats)
    if column.kind == "text":
        return _fit_category(column)
    return _fit_date(column, []) if column.kind == "date" else _fit_number(column, pieces)


def _as_number(column: Column, pieces: int) -> tuple[Encoder | None, Row] | None:
    """The encoder of text that is nearly always a number, or always one that is not written plainly."""
    present, form = ~column.missing, numerals.PLAIN
    read = text.read_number(column.words)
    each = np.ones(len(present)) if column.weight is None else column.weight
    if each[~np.isnan(column.each(read, np.nan))].sum() < text.MOST * each[present].sum():
        only = numerals.only_form(column.words[column.counts > 0].tolist())
        if only is None:
            return None
        form, read = only, only.read(column.words)
    numbers = column.each(read, np.nan)
    marks = _marks(column, np.isnan(read))
    unread = int((np.isnan(numbers) & present).sum())
    encoder, row = _fit_number(replace(column, kind="number", values=numbers), pieces, unread)
    if not isinstance(encoder, Number):
        return encoder, row
    written = "" if form is numerals.PLAIN else f"read as {form}"
    encoder = replace(encoder, lenient=True, marks=marks, form=() if form is numerals.PLAIN else astuple(form))
    return encoder, replace(row, note=_joined(row.note, written, *_unread(unread, marks)), warning=len(marks) > 1)


def _marks(column: Column, wrong: NDArray[np.bool_]) -> tuple[str, ...]:
    """The commonest texts of the column that were not read, commonest first."""
    counts = np.where(wrong, column.counts, 0)
    order = np.argsort(-counts, kind="stable")[:MOST_MARKS]
    return tuple(column.words[order[counts[order] > 0]].tolist())


def _unread(count: int, marks: tuple[str, ...]) -> tuple[str, ...]:
    """A note on cells of text, if there are any."""
    if not count:
        return ()
    listed = ", ".join(map(repr, marks[:3])) + (", ..." if len(marks) > 3 else "")
    return (f"{count} cell{'s' * (count > 1)} of text treated as missing ({listed})",)


def _left_out(column: Column, reason: str, warning: bool = False) -> Row:
    return Row(column.name, LEFT_OUT, 0, reason, warning)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)


def _fit_number(column: Column, pieces: int, unread: int = 0) -> tuple[Encoder | None, Row]:
    """`unread`: how many of the missing numbers are text."""
    missing = column.missing
    present, weight = _present(column)
    if present.min() == present.max() and not missing.any():
        return None, _left_out(column, f"always {present[0]:g}")
    if _is_row_number(column):
        return None, _left_out(column, "its name and values are those of a row number", warning=True)
    boolean = column.kind == "boolean"
    median = weighted.median(present, weight)
    fill = float(np.round(median)) if boolean else median
    limits = (0.0, 1.0) if boolean else _limits(present, weight)
    count, edges = int(missing.sum()) - unread, tuple[float, ...]()
    if pieces and not boolean:
        edges = _edges(*weighted.distinct(np.clip(present, *limits), weight), pieces)
    notes = (
        f"{len(edges) - 1} pieces" if edges else "",
        f"{count} missing, filled with the median {fill:g}" if count else "",
    )
    encoder = Number(column.name, fill, bool(missing.any()), boolean=boolean, edges=edges, limits=limits)
    inputs = 1 + encoder.flag + max(0, len(edges) - 1)
    return encoder, Row(column.name, "yes/no" if boolean else "number", inputs, _joined(*notes))


def _present(column: Column) -> tuple[NDArray[Any], NDArray[np.float64] | None]:
    """The values that are not missing, and their weights."""
    present = ~column.missing
    return column.values[present], None if column.weight is None else column.weight[present]


def _limits(values: NDArray[np.float64], weight: NDArray[np.float64] | None) -> tuple[float, float]:
    """Between which numbers a column is not cut."""
    mean, deviation = weighted.mean_and_deviation(values, weight)
    away = FARTHEST * deviation
    # Squares of numbers from 1e154 on are infinite; such numbers cannot be standardised anyway.
    return (mean - away, mean + away) if np.isfinite([mean - away, mean + away]).all() else UNLIMITED


def _edges(distinct: NDArray[np.float64], counts: NDArray[Any], pieces: int) -> tuple[float, ...]:
    """
    Ends of pieces with about the same number, or weight, of values; none of fewer than three different ones.

    A value that alone would fill a piece, such as the zeros of a count, is an end and counts for no piece: else the
    other values would have hardly any.
    """
    if not distinct[-1] / 2 - distinct[0] / 2 < np.finfo(np.float64).max / 2:
        return ()
    frequent = counts > counts.sum() / pieces
    left = max(1, pieces - int(frequent.sum()))
    others, shares = distinct[~frequent], np.linspace(0, 1, left + 1)
    inner = weighted.quantiles(others, counts[~frequent], shares) if len(others) else others
    edges = np.unique(np.concatenate([distinct[frequent], distinct[[0, -1]], inner]))
    return tuple(edges.tolist()) if len(edges) > 2 else ()


def fit_array(
    X: NDArray[Any], rows: NDArray[np.int64], weight: NDArray[np.float64] | None = None
) -> list[tuple[Number, Row]]:
    """
    Learn from the training rows of an array how its columns are encoded in pieces, as `fit` does it for one.

    No column is left out: one with a single value or two becomes an input as it is. No number is missing.
    """
    count, found = pieces(X.shape[1]), []
    for part in blocks.pieces(X.shape[1], len(rows)):
        for k, values in enumerate(X[rows, part].T.astype(np.float64), part.start + 1):
            distinct, counts = weighted.distinct(values, weight)
            edges = _edges(distinct, counts, count)
            note = f"always {distinct[0]:g}" if len(distinct) == 1 else f"{len(edges) - 1} pieces" if edges else ""
            encoder = Number(f"x{k}", float(weighted.quantiles(distinct, counts, 0.5)), edges=edges)
            found.append((encoder, Row(encoder.name, "number", max(1, len(edges)), note)))
    return found


def _is_row_number(column: Column) -> bool:
    values = column.values
    named = _ROW_NUMBER.fullmatch(column.name) or re.search(r"[a-z]I[dD]$", column.name)
    if not named or column.missing.any() or len(values) < 20:
        return False
    return bool((values == np.floor(values)).all()) and len(np.unique(values)) == len(values)


def _fit_category(column: Column) -> tuple[Encoder | None, Row]:
    missing = column.missing
    counts = {word: count for word, count in zip(column.words.tolist(), column.counts.tolist(), strict=True) if count}
    weights = dict(zip(column.words.tolist(), column.weights.tolist(), strict=True))
    present = sum(counts.values())
    if len(counts) == 1 and not missing.any():
        return None, _left_out(column, f"always {next(iter(counts))!r}")
    # what only one row has tells nothing about other rows, even if its weight is that of many
    repeated = [value for value in counts if counts[value] > 1]
    common = sorted(repeated, key=lambda value: (-weights[value], value))[:MOST_CATEGORIES]
    if 2 * sum(weights[value] for value in common) < sum(weights.values()):
        unclear = numerals.forms(list(counts))
        what = f"numbers like {unclear[0]}, or {unclear[1]}" if len(unclear) > 1 else "names, identifiers or free text"
        reason = f"{len(counts)} different values in {present} rows: {what}"
        return None, _left_out(column, reason, warning=True)
    rare = len(counts) - len(common)
    encoder = Category(column.name, tuple(sorted(common)), rare > 0, bool(missing.any()))
    first = ", ".join(encoder.values[:6]) + (", ..." if len(common) > 6 else "")
    notes = (first, f"{rare} rare ones grouped" if rare else "", f"{missing.sum()} missing" if encoder.flag else "")
    return encoder, Row(column.name, "category", len(encoder.parts), _joined(*notes))


def _fit_date(column: Column, formats: list[str]) -> tuple[Encoder | None, Row]:
    """`formats`: those that read the text as dates, likeliest first; none if the frame contains dates."""
    marks, unread, empty = tuple[str, ...](), 0, column.missing
    if formats:
        read = text.read_date(column.words, formats[0])
        marks = _marks(column, np.isnat(read))
        column = replace(column, kind="date", values=column.each(read, np.datetime64("NaT", "us")))
        unread = int((column.missing & ~empty).sum())
    missing = column.missing
    if missing.all():
        return None, _left_out(column, "no dates in the training rows")
    present, weight = _present(column)
    if present.min() == present.max() and not missing.any():
        return None, _left_out(column, f"always {present[0]}")
    days = present.astype(np.int64) / 86_400e6
    parts = date_parts(days)
    kept = tuple(part for part in DATE_PARTS if np.ptp(parts[part]) > 1e-9)
    fill, limits = weighted.median(days, weight), _limits(days, weight)
    encoder = Date(column.name, kept, fill, formats[0] if formats else None, bool(missing.any()), limits, marks)
    first, last = (str(np.datetime_as_string(value, unit="D")) for value in (present.min(), present.max()))
    read_as = f"read as {formats[0]}" if formats and formats[0] != "ISO" else ""
    read_as += f", though {formats[1]} fits, too" if formats[1:] else ""
    note = _joined(
        f"{first} to {last}", read_as, f"{empty.sum()} missing" if empty.any() else "", *_unread(unread, marks)
    )
    return encoder, Row(column.name, "date", len(encoder.parts), note, len(marks) > 1)
