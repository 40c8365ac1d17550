"""Reading a CSV table for the command line: an error names the file, the column and the line, and says what to do."""

from __future__ import annotations

import csv
import difflib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Table:
    """
    A CSV file, read.

    Attributes
    ----------
    path : str
        Where it was read from.
    frame : DataFrame
        Its columns by the names in the header row, of which none repeats.
    lines : list of int
        The line of the file in which each row stands.
    """

    path: str
    frame: pd.DataFrame
    lines: list[int]

    @property
    def names(self) -> list[str]:
        """Names of all columns, in their order."""
        return [str(name) for name in self.frame]

    def features(self, names: Iterable[str]) -> pd.DataFrame:
        """
        Columns as numbers.

        Parameters
        ----------
        names : iterable of str
            The columns, in the order wanted.

        Returns
        -------
        DataFrame
            float64, without missing or infinite values.

        Raises
        ------
        ValueError
            A column is not there, has no name, or holds something else than numbers.
        """
        names = list(names)
        self._require(names)
        if "" in names:
            raise ValueError(f"{self.path}: column {self.names.index('') + 1} has no name; name it in the first line, or remove it")
        return _pandas().DataFrame({name: self._numbers(name) for name in names})

    def target(self, names: list[str], task: str) -> NDArray[Any]:
        """
        Target column, or columns.

        Parameters
        ----------
        names : list of str
            One column, or several of numbers.
        task : str
            As in `fastbp.train`: regression and multilabel take numbers only; auto does too, where most cells are numbers.

        Returns
        -------
        array, shape (n,) or (n, columns)
            Numbers or labels.

        Raises
        ------
        ValueError
            A column is not there, or misses values, or holds text where numbers are needed.
        """
        self._require(names)
        if len(names) > 1:
            return np.column_stack([self._numbers(name) for name in names])
        column = self._complete(names[0])
        numbers = _pandas().to_numeric(column, errors="coerce")
        if task == "classification" or (task == "auto" and 2 * numbers.notna().sum() <= len(column)):
            return column.to_numpy()
        hint = "correct it, or pass --task classification if these are labels" if task == "auto" else f"{task} needs numbers"
        return self._numbers(names[0], hint)

    def _require(self, names: list[str]) -> None:
        there = self.names
        missing = [name for name in names if name not in there]
        if missing:
            near = difflib.get_close_matches(missing[0], there, n=1)
            some = ", ".join(map(repr, there[:8])) + (", ..." if len(there) > 8 else "")
            hint = f"did you mean {near[0]!r}?" if near and len(missing) == 1 else f"its columns are {some}"
            raise ValueError(f"{self.path}: there is no column {', '.join(map(repr, missing))}; {hint}")

    def _complete(self, name: str) -> pd.Series[Any]:
        """Return the column; an error if a value is missing."""
        column = self.frame[name]
        missing = column.isna()
        if missing.any():
            raise ValueError(
                f"{self.path}: column {name!r} has no value in line {self._line(missing)} ({missing.sum()} such in all; NA, NaN, null and "
                "None count as no value); fill it in, or remove the row"
            )
        return column

    def _numbers(self, name: str, hint: str = "turn it into numbers, or remove the column") -> NDArray[Any]:
        column = self._complete(name)
        numbers = _pandas().to_numeric(column, errors="coerce")
        text = numbers.isna()
        if text.any():
            raise ValueError(f"{self.path}: column {name!r} holds text ({column[text].iloc[0]!r} in line {self._line(text)}); {hint}")
        infinite = np.isinf(numbers)
        if infinite.any():
            raise ValueError(f"{self.path}: column {name!r} holds an infinite number in line {self._line(infinite)}; correct it")
        return numbers.to_numpy()

    def _line(self, rows: pd.Series[bool]) -> int:
        """Return the line of the first of these rows."""
        return self.lines[int(np.argmax(rows))]


def read(path: str) -> Table:
    """
    Read a CSV file: UTF-8, commas, column names in the first line.

    Parameters
    ----------
    path : str

    Returns
    -------
    Table

    Raises
    ------
    ImportError
        pandas is not installed.
    OSError, ValueError
        The file cannot be read, or is no such table.
    """
    pandas = _pandas()
    text = _text(path)
    header, lines = _check_rows(path, text)
    try:
        frame = pandas.read_csv(io.StringIO(text), index_col=False, low_memory=False)
    except ValueError as error:
        raise ValueError(f"{path}: this is not a CSV table ({error})") from None
    if len(frame) != len(lines) - 1:
        raise ValueError(f"{path}: a row holds nothing but empty quotes; remove it")
    frame.columns = header  # pandas names columns without a name
    return Table(path, frame, lines[1:])


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError('reading a table needs pandas; install it with: pip install "fastbp[cli]"') from None
    return pandas


def _text(path: str) -> str:
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file; check the path of the table")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: byte {error.start + 1} is not UTF-8 text; save the table as CSV in UTF-8") from None


def _check_rows(path: str, text: str) -> tuple[list[str], list[int]]:
    """Return the names of the columns, and the line in which each row ends, the header's first; all rows must be as long as it."""
    header: list[str] = []
    lines = []
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for row in reader:
            if not row or (len(row) == 1 and not row[0].strip()):
                continue  # a blank line
            header = header or _check_header(path, row)
            if len(row) != len(header):
                raise ValueError(
                    f"{path}: line {reader.line_num} has {len(row)} cells where the first line names {len(header)} columns; correct it"
                )
            lines.append(reader.line_num)
    except csv.Error as error:
        raise ValueError(f"{path}: line {reader.line_num} is not CSV ({error}); correct it") from None
    if not lines:
        raise ValueError(f"{path}: the file is empty; expected a line of column names, then one sample a line")
    if len(lines) == 1:
        raise ValueError(f"{path}: there are no rows below the column names; expected one sample a line")
    return header, lines


def _check_header(path: str, names: list[str]) -> list[str]:
    for mark in (";", "\t"):
        if len(names) == 1 and mark in names[0]:
            raise ValueError(f"{path}: the columns seem to be separated by {mark!r}; save the table with commas")
    repeated = [name for name in names if name and names.count(name) > 1]
    if repeated:
        raise ValueError(
            f"{path}: column {repeated[0]!r} is named more than once; the first line must hold the column names, each a different one"
        )
    return names


def to_csv(values: NDArray[Any], names: list[str]) -> str:
    """
    Columns as the text of a CSV file.

    Parameters
    ----------
    values : array, shape (n,) or (n, columns)
    names : list of str
        A name for each column.

    Returns
    -------
    str
    """
    return str(_pandas().DataFrame(values, columns=names).to_csv(index=False, lineterminator="\n"))
