"""Reads CSV files piece by piece, so that a file may be larger than memory, and checks every line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class Piece:
    """Rows of a CSV file as text, the lines where they begin, and the names of the columns."""

    text: str
    lines: list[int]
    header: list[str]


def pieces(
    path: str, file: io.BufferedReader, encoding: str, delimiter: str, header: bool, count: Callable[[int], int]
) -> Iterator[Piece]:
    """
    Read a CSV file.

    Parameters
    ----------
    path : str
        The file's name in errors.
    file : binary file
    encoding, delimiter : str
    header : bool
        Whether the first line has the names of the columns; else they are "1", "2" and so on.
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
    rows = _rows(path, _lines(path, file, encoding, taken), delimiter)
    names: list[str] = []
    lines: list[int] = []
    kept = 0  # how many of the lines taken belong to rows; the others are blank
    for line, row in rows:
        if len(row) < 2 and not "".join(taken[kept:]).strip():
            del taken[kept:]
        elif header and not names:
            names = check_names(path, row)
            taken.clear()
        elif names and len(row) != len(names):
            named = f"the first line {'names' if header else 'has'} {len(names)} {'columns' if header else ''}".rstrip()
            hint = (
                f"; the cells are separated by {delimiter!r}: if that is wrong, pass --delimiter"
                if len(names) == 1
                else ""
            )
            raise ValueError(f"{path}: line {line} has {len(row)} cells where {named}; correct it{hint}")
        else:
            names = names or [str(k) for k in range(1, len(row) + 1)]
            lines.append(line)
            kept = len(taken)
            if len(lines) == count(len(names)):
                yield Piece("".join(taken), lines, names)
                taken.clear()
                lines, kept = [], 0
    if not names:
        raise ValueError(f"{path}: the file is empty; expected a line of column names, then one sample a line")
    yield Piece("".join(taken), lines, names)


def _lines(path: str, file: io.BufferedReader, encoding: str, taken: list[str]) -> Iterator[str]:
    """Lines of text, each also added to `taken`."""
    if not encoding.startswith("utf-8"):
        yield from _of_other_text(path, file, encoding, taken)
        return
    text = io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape", newline="")
    offset = 3 if file.peek(3)[:3] == b"\xef\xbb\xbf" else 0  # in bytes
    try:
        for number, line in enumerate(text, 1):
            try:
                offset += len(line) if line.isascii() else len(line.encode())
            except UnicodeEncodeError as error:
                offset += len(line[: error.start].encode()) + 1
                hint = "if it is text in another encoding, say which with --encoding, such as cp1252"
                raise ValueError(f"{path}: byte {offset}, in line {number}, is not UTF-8 text; {hint}") from None
            _require_text(path, number, line)
            taken.append(line)
            yield line
    finally:
        if not file.closed:  # stdin stays open
            text.detach()


def _of_other_text(path: str, file: io.BufferedReader, encoding: str, taken: list[str]) -> Iterator[str]:
    """Lines of text that is not UTF-8."""
    text = io.TextIOWrapper(file, encoding, newline="")
    number = 0
    try:
        for number, line in enumerate(text, 1):
            _require_text(path, number, line)
            taken.append(line)
            yield line
    except UnicodeError as error:
        hint = "say in which encoding it is with --encoding"
        raise ValueError(f"{path}: after line {number} there is no {encoding} text ({error}); {hint}") from None
    finally:
        if not file.closed:
            text.detach()


def _require_text(path: str, number: int, line: str) -> None:
    if "\0" in line:
        hint = "if it is text in UTF-16, pass --encoding utf-16"
        raise ValueError(f"{path}: line {number} contains a NUL byte, so this is not text; {hint}")


def _rows(path: str, lines: Iterator[str], delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Every row, and the line where it begins."""
    reader = csv.reader(lines, strict=True, delimiter=delimiter)
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
