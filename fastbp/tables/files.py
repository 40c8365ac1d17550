"""
Reads tables from CSV and Parquet files, and writes CSV.

Errors name the file, the column and the line, and say what to do.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import reprlib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from . import lines
from .frames import CellError

if TYPE_CHECKING:
    import pandas as pd

# The rows and cells of a piece. A network may turn one cell into a hundred inputs.
MOST_ROWS, LEAST_ROWS, CELLS = 20_000, 500, 200_000


@dataclass(frozen=True)
class Table:
    """
    A table, or a piece of it, as read from a file.

    Attributes
    ----------
    path : str
        The file's name in errors.
    frame : DataFrame
        The columns under their names in the file, all of them different. The index is the line of the file where each
        row begins, or the number of the row in a Parquet file; the name of the index says which.
    """

    path: str
    frame: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Names of all columns, in their order."""
        return [str(name) for name in self.frame]

    def require(self, names: Sequence[str]) -> None:
        """Raise ValueError unless the table has all these columns."""
        present = dict.fromkeys(self.names)
        missing = [name for name in names if name not in present]
        if missing:
            close = difflib.get_close_matches(missing[0], present, n=1)
            listed = ", ".join(map(repr, itertools.islice(present, 8))) + (", ..." if len(present) > 8 else "")
            hint = f"did you mean {close[0]!r}?" if close and len(missing) == 1 else f"its columns are {listed}"
            raise ValueError(f"{self.path}: there is no column {first_names(missing)}; {hint}")

    def numbers(self) -> NDArray[np.float64]:
        """All columns as numbers, for a network that has no column names; an error if a cell is not a number."""
        hint = "turn it into numbers, or remove the column"
        return np.column_stack([self._numbers(name, hint) for name in self.names])

    def target(self, names: list[str], task: str) -> NDArray[Any]:
        """
        Target column, or columns.

        Parameters
        ----------
        names : list of str
            One column, or several columns of numbers.
        task : str
            As in `fastbp.train`. Regression and multilabel need numbers, and so does auto if most cells are numbers.

        Returns
        -------
        array, shape (n,) or (n, columns)
            Numbers or labels.

        Raises
        ------
        ValueError
            A column does not exist, has missing values, or contains text where numbers are needed.
        """
        self.require(names)
        if len(names) > 1:
            return np.column_stack([self._numbers(name, "several targets must be numbers") for name in names])
        column = self._complete(names[0])
        numbers = _pandas().to_numeric(column, errors="coerce")
        if task == "classification" or (task == "auto" and 2 * numbers.notna().sum() <= len(column)):
            return column.to_numpy()
        labels = "correct it, or pass --task classification if these are labels"
        return self._numbers(names[0], labels if task == "auto" else f"{task} needs numbers")

    @contextlib.contextmanager
    def naming_lines(self) -> Iterator[None]:
        """Make errors about a row of the frame name the file and the line."""
        try:
            yield
        except ValueError as error:
            # Functions that take a frame put their argument's name before the message of the original error.
            original = error if isinstance(error, CellError) else error.__context__
            if not isinstance(original, CellError):
                raise
            message = self._place(original.row).join(str(original).rsplit(f"row {original.row}", 1))
            raise ValueError(f"{self.path}: {message}") from None

    def _complete(self, name: str) -> pd.Series[Any]:
        """Return the column; ValueError if a value is missing."""
        column = self.frame[name]
        missing = column.isna()
        if missing.any():
            raise ValueError(
                f"{self.path}: column {name!r} has no value in {self._first(missing)} ({missing.sum()} missing in all; "
                "NA, NaN, null and None count as missing); fill it in, or remove the row"
            )
        return column

    def _numbers(self, name: str, hint: str) -> NDArray[Any]:
        column = self._complete(name)
        numbers = _pandas().to_numeric(column, errors="coerce")
        text = numbers.isna()
        if text.any():
            cell = f"{reprlib.repr(column[text].iloc[0])} in {self._first(text)}"
            raise ValueError(f"{self.path}: column {name!r} contains text ({cell}); {hint}")
        infinite = np.isinf(numbers)
        if infinite.any():
            place = self._first(infinite)
            raise ValueError(f"{self.path}: column {name!r} contains an infinite number in {place}; correct it")
        return numbers.to_numpy()

    def _first(self, rows: pd.Series[bool]) -> str:
        return self._place(int(np.argmax(rows)))

    def _place(self, row: int) -> str:
        return f"{self.frame.index.name} {self.frame.index[row]}"


def first_names(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    return ", ".join(map(repr, names[:8])) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def read(path: str, as_text: Collection[str] = ()) -> Table:
    """
    Read a whole table; see `stream`.

    Returns
    -------
    Table
    """
    return next(_tables(path, as_text, lambda columns: sys.maxsize))


def stream(path: str, as_text: Collection[str] = (), rows: int | None = None) -> Iterator[Table]:
    """
    Read a table in pieces, so that it may be larger than memory.

    Parameters
    ----------
    path : str
        A CSV file (UTF-8, commas, column names in the first line) or a Parquet file; ``-`` is stdin.
    as_text : collection of str
        Columns of a CSV file that are text, even if they look like numbers. The type of every other column is
        determined in each piece.
    rows : int, optional
        The most rows of a piece; by default, the more columns, the fewer rows.

    Yields
    ------
    Table
        At least one row.

    Raises
    ------
    ImportError
        pandas, or pyarrow for a Parquet file, is not installed.
    OSError, ValueError
        The file cannot be read, or is not such a table.
    """
    return _tables(path, as_text, lambda columns: rows or min(MOST_ROWS, max(LEAST_ROWS, CELLS // max(1, columns))))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError('reading a table needs pandas; install it with: pip install "fastbp[cli]"') from None
    return pandas


def _tables(path: str, as_text: Collection[str], count: Callable[[int], int]) -> Iterator[Table]:
    pandas = _pandas()
    name = "stdin" if path == "-" else path
    done = 0
    with _open(path) as file:
        parquet = file.peek(4)[:4] == b"PAR1" or path.lower().endswith((".parquet", ".pq"))
        frames = _parquet_frames(name, file, count) if parquet else _csv_frames(name, file, as_text, count)
        for frame in frames:
            if parquet:
                frame.index = pandas.RangeIndex(done + 1, done + len(frame) + 1, name="row")
            done += len(frame)
            if len(frame):
                yield Table(name, frame)
    if not done:
        where = "" if parquet else " below the column names; expected one sample a line"
        raise ValueError(f"{name}: there are no rows{where}")


def _open(path: str) -> contextlib.AbstractContextManager[Any]:
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file; check the path of the table")
    return open(path, "rb")


def _csv_frames(
    path: str, file: io.BufferedReader, as_text: Collection[str], count: Callable[[int], int]
) -> Iterator[pd.DataFrame]:
    pandas = _pandas()
    for piece in lines.pieces(path, file, count):
        if not piece.lines:
            continue
        types = {k: str for k, name in enumerate(piece.header) if name in as_text}
        settings = {"header": None, "names": range(len(piece.header)), "index_col": False, "skip_blank_lines": False}
        try:
            # low_memory=False: each column has one type from its first row to its last
            frame = pandas.read_csv(io.StringIO(piece.text), dtype=types, low_memory=False, **settings)
        except ValueError as error:
            raise ValueError(f"{path}: this is not a CSV table ({error})") from None
        frame.columns = piece.header
        frame.index = pandas.Index(piece.lines, name="line")
        yield frame


def _parquet_frames(path: str, file: io.BufferedReader, count: Callable[[int], int]) -> Iterator[pd.DataFrame]:
    try:
        from pyarrow import parquet
    except ImportError:
        raise ImportError('reading a Parquet file needs pyarrow; install it with: pip install "fastbp[cli]"') from None
    try:
        table = parquet.ParquetFile(file if file.seekable() else io.BytesIO(file.read()))
        names = [name for name in table.schema_arrow.names if not name.startswith("__index_level_")]
        lines.check_names(path, names)
        rows = min(count(len(names)), max(1, table.metadata.num_rows))
        for batch in table.iter_batches(rows, columns=names):
            yield batch.to_pandas(ignore_metadata=True)
    except (ValueError, OSError, NotImplementedError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: this Parquet file cannot be read ({error})") from None


def to_csv(values: NDArray[Any], names: list[str], header: bool) -> str:
    """
    Write columns as the text of a CSV file.

    Parameters
    ----------
    values : array, shape (n,) or (n, columns)
    names : list of str
        A name for each column.
    header : bool
        Whether to begin with the names.

    Returns
    -------
    str
    """
    return str(_pandas().DataFrame(values, columns=names).to_csv(index=False, header=header, lineterminator="\n"))
