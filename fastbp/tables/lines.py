"""The lines of a CSV file: checked one after the other, and handed on in pieces, so that a file may be larger than memory."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

MARKS = ";\t|"
_NOT_TEXT = {
    b"\xff\xfe": "is UTF-16 text; save the table as CSV in UTF-8",
    b"\xfe\xff": "is UTF-16 text; save the table as CSV in UTF-8",
    b"PK\x03\x04": "is an Excel workbook or a zip archive; save the table as CSV in UTF-8",
    b"\x1f\x8b": "is compressed; unpack it first",
}


@dataclass(frozen=True)
class Piece:
    """Rows of a CSV file as they are written there, the lines in which they begin, and the names of the columns."""

    text: str
    lines: list[int]
    header: list[str]


def pieces(path: str, file: io.BufferedReader, count: Callable[[int], int]) -> Iterator[Piece]:
    """
    Read a CSV file: UTF-8, commas, column names in the first line.

    Parameters
    ----------
    path : str
        What errors call the file.
    file : binary file
    count : callable
        From the number of columns to the number of rows of a piece.

    Yields
    ------
    Piece

    Raises
    ------
    ValueError
        It is no such file; the message names the line.
    """
    taken: list[str] = []
    rows = _rows(path, _lines(path, file, taken))
    header: list[str] = []
    lines: list[int] = []
    kept = 0  # of the lines taken, those of good rows; the others are blank
    for line, row in rows:
        if len(row) < 2 and not "".join(taken[kept:]).strip():
            del taken[kept:]
        elif not header:
            header = _check_header(path, row)
            taken.clear()
        elif len(row) != len(header):
            raise ValueError(
                f"{path}: line {line} has {len(row)} cells where the first line names {len(header)} columns; correct it"
            )
        else:
            lines.append(line)
            kept = len(taken)
            if len(lines) == count(len(header)):
                yield Piece("".join(taken), lines, header)
                taken.clear()
                lines, kept = [], 0
    if not header:
        raise ValueError(f"{path}: the file is empty; expected a line of column names, then one sample a line")
    yield Piece("".join(taken), lines, header)


def _lines(path: str, file: io.BufferedReader, taken: list[str]) -> Iterator[str]:
    """Lines of UTF-8 text, each added to `taken` too."""
    start = file.peek(4)[:4]
    for mark, what in _NOT_TEXT.items():
        if start.startswith(mark):
            raise ValueError(f"{path}: this {what}")
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    place = 3 if start.startswith(b"\xef\xbb\xbf") else 0  # in bytes
    try:
        for number, line in enumerate(text, 1):
            try:
                place += len(line) if line.isascii() else len(line.encode())
            except UnicodeEncodeError as error:
                place += len(line[: error.start].encode()) + 1
                raise ValueError(
                    f"{path}: byte {place}, in line {number}, is not UTF-8 text; save the table as CSV in UTF-8"
                ) from None
            if "\0" in line:
                raise ValueError(
                    f"{path}: line {number} holds a NUL byte, so this is no text; save the table as CSV in UTF-8"
                )
            taken.append(line)
            yield line
    finally:
        if not file.closed:  # stdin stays open
            text.detach()


def _rows(path: str, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Every row, and the line in which it begins."""
    reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        if reader.line_num > line or "unexpected end" in str(error):
            raise ValueError(
                f"{path}: line {line} opens a quote that is never closed; close it, or double it inside of quotes"
            ) from None
        raise ValueError(f"{path}: line {line} is not CSV ({error}); correct it") from None


def _check_header(path: str, names: list[str]) -> list[str]:
    mark = max(MARKS, key="".join(names).count)
    if "".join(names).count(mark) >= len(names):
        raise ValueError(f"{path}: the columns seem to be separated by {mark!r}; save the table with commas")
    return check_names(path, names)


def check_names(path: str, names: list[str]) -> list[str]:
    """The names of the columns, if no two are the same."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if "" in repeated:
        places = [str(place) for place, name in enumerate(names, 1) if not name]
        raise ValueError(
            f"{path}: the columns {', '.join(places[:8])} have no names; name them in the first line, or remove them"
        )
    if repeated:
        raise ValueError(f"{path}: column {repeated[0]!r} is named more than once; give each column a name of its own")
    return names
