"""How the text of a file is to be read: as the user says, or as the file itself shows without doubt."""

from __future__ import annotations

import codecs
import csv
from dataclasses import dataclass

DELIMITERS = (",", ";", "\t", "|")
_BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# What `pandas.read_csv` takes for missing.
USUAL: tuple[str, ...] = (
    "",
    "#N/A",
    "#N/A N/A",
    "#NA",
    "-1.#IND",
    "-1.#QNAN",
    "-NaN",
    "-nan",
    "1.#IND",
    "1.#QNAN",
    "<NA>",
    "N/A",
    "NA",
)
USUAL += ("NULL", "NaN", "None", "n/a", "nan", "null")
# Lines in which a delimiter must give the same number of cells.
LINES = 100


@dataclass(frozen=True)
class Format:
    """
    How to read a file; None: as the file shows.

    Attributes
    ----------
    delimiter : str or None
        Between the cells of a CSV file.
    decimal, thousands : str or None
        Marks in numbers.
    encoding : str or None
        Of text, by Python's name.
    sheet : str or None
        Of a workbook.
    header : bool
        Whether the first line has the names of the columns; else they are called 1, 2 and so on.
    missing : tuple of str or None
        Text that counts as missing; None: `USUAL`.
    """

    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    encoding: str | None = None
    sheet: str | None = None
    header: bool = True
    missing: tuple[str, ...] | None = None

    @property
    def missing_words(self) -> list[str]:
        """All text that counts as missing."""
        return list(USUAL if self.missing is None else self.missing)


def check(chosen: Format) -> None:
    """Raise ValueError if an option cannot be used; the message begins with its name."""
    if chosen.encoding is not None:
        try:
            codecs.lookup(chosen.encoding)
        except LookupError:
            raise ValueError(
                f"encoding: expected one that Python knows, such as latin-1, got {chosen.encoding!r}"
            ) from None
    if chosen.delimiter is not None and (len(chosen.delimiter) != 1 or chosen.delimiter in '"\r\n'):
        raise ValueError(f"delimiter: expected a single character, got {chosen.delimiter!r}")
    if chosen.decimal not in (None, ".", ","):
        raise ValueError(f"decimal: expected '.' or ',', got {chosen.decimal!r}")
    if chosen.thousands not in (None, "", ",", ".", " ", "'"):
        raise ValueError(f"thousands: expected one of '', ',', '.', ' ' and \"'\", got {chosen.thousands!r}")
    if chosen.decimal is not None and chosen.decimal == chosen.thousands:
        raise ValueError(f"thousands: expected another mark than the decimal one, got {chosen.thousands!r} for both")


def encoding_of(start: bytes) -> str:
    """The encoding of text that begins like this: UTF-8 if it can be, UTF-16 by its mark, else Windows-1252."""
    for mark, name in _BOMS.items():
        if start.startswith(mark):
            return name
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return "latin-1" if set(start) & {0x81, 0x8D, 0x8F, 0x90, 0x9D} else "cp1252"
    return "utf-8"


def delimiter_of(path: str, text: str) -> str:
    """
    The delimiter of a CSV file that begins like this.

    Raises
    ------
    ValueError
        There are several that it might be.
    """
    lines = text.splitlines(keepends=True)[:LINES]
    counts = {mark: _cells(lines, mark) for mark in DELIMITERS}
    possible = [mark for mark, cells in counts.items() if cells and min(cells) == max(cells) > 1]
    if len(possible) > 1:
        listed = " or ".join(map(repr, possible))
        raise ValueError(f"{path}: the cells may be separated by {listed}; say which with --delimiter")
    if possible:
        return possible[0]
    first = {mark: cells[0] for mark, cells in counts.items() if cells}
    return max(first, key=lambda mark: first[mark], default=",")


def _cells(lines: list[str], mark: str) -> list[int]:
    """Cells in each row, without those that are blank."""
    try:
        return [len(row) for row in csv.reader(lines, delimiter=mark) if row and "".join(row).strip()]
    except csv.Error:
        return []
