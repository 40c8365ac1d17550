"""Reads CSV files piece by piece, so that a file may be larger than memory, and checks every line."""

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
    """Rows of a CSV file as text, the lines where they begin, and the names of the columns."""

    text: str
    lines: list[int]
    header: list[str]


def pieces(path: str, file: io.BufferedReader, count: Callable[[int], int]) -> Iterator[Piece]:
    """
    Read a CSV file: UTF-8, commas, column names in the first line.

    Parameters
    ----------
    path : str
        The file's name in errors.
    file : binary file
    count : callable
        Returns the number of rows of a piece, given the number of columns.

    Yields
    ------
    Piece

    Raises
    ------
    ValueError
        It is not such a file; the message names the line.
    """
    taken: list[str] = []
    rows = _rows(path, _lines(path, file, taken))
    header: list[str] = []
    lines: list[int] = []
    kept = 0  # how many of the lines taken belong to rows; the others are blank
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
    """Lines of UTF-8 text, each also added to `taken`."""
    start = file.peek(4)[:4]
    for mark, what in _NOT_TEXT.items():
        if start.startswith(mark):
            raise ValueError(f"{path}: this {what}")
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    offset = 3 if start.startswith(b"\xef\xbb\xbf") else 0  # in bytes
    try:
        for number, line in enumerate(text, 1):
            try:
                offset += len(line) if line.isascii() else len(line.encode())
            except UnicodeEncodeError as error:
                offset += len(line[: error.start].encode()) + 1
                raise ValueError(
                    f"{path}: byte {offset}, in line {number}, is not UTF-8 text; save the table as CSV in UTF-8"
                ) from None
            if "\0" in line:
                raise ValueError(
                    f"{path}: line {number} contains a NUL byte, so this is not text; save the table as CSV in UTF-8"
                )
            taken.append(line)
            yield line
    finally:
        if not file.closed:  # stdin stays open
            text.detach()


def _rows(path: str, lines: Iterator[str]) -> Iterator[tuple[int, list[str]]]:
    """Every row, and the line where it begins."""
    reader = csv.reader(lines, strict=True)
    line = 1
    try:
        for row in reader:
            yield line, row
            line = reader.line_num + 1
    except csv.Error as error:
        if reader.line_num > line or "unexpected end" in str(error):
            raise ValueError(
                f"{path}: line {line} opens a quote that is never closed; close it, or double it inside quotes"
            ) from None
        raise ValueError(f"{path}: line {line} is not CSV ({error}); correct it") from None


def _check_header(path: str, names: list[str]) -> list[str]:
    mark = max(MARKS, key="".join(names).count)
    if "".join(names).count(mark) >= len(names):
        raise ValueError(f"{path}: the columns seem to be separated by {mark!r}; save the table with commas")
    return check_names(path, names)


def check_names(path: str, names: list[str]) -> list[str]:
    """The names of the columns; ValueError if two are the same."""
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if "" in repeated:
        numbers = [str(number) for number, name in enumerate(names, 1) if not name]
        raise ValueError(
            f"{path}: columns {', '.join(numbers[:8])} have no names; name them in the first line, or remove them"
        )
    if repeated:
        raise ValueError(f"{path}: column {repeated[0]!r} is named more than once; give each column its own name")
    return names
