"""Tables in files, CSV and Parquet, for the command line: an error names the file, the column and the line, and says what to do."""

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

# Of a piece. A network may make a hundred numbers of a cell.
MOST_ROWS, LEAST_ROWS, CELLS = 20_000, 500, 200_000


@dataclass(frozen=True)
class Table:
    """
    A table, or a piece of it, as read from a file.

    Attributes
    ----------
    path : str
        What errors call it.
    frame : DataFrame
        Its columns by the names in the file, of which none repeats. The index is the line of the file in which each row begins, or the
        number of the row in a Parquet file; its name says which.
    """

    path: str
    frame: pd.DataFrame

    @property
    def names(self) -> list[str]:
        """Names of all columns, in their order."""
        return [str(name) for name in self.frame]

    def require(self, names: Sequence[str]) -> None:
        """Raise ValueError unless all these columns are there."""
        there = dict.fromkeys(self.names)
        missing = [name for name in names if name not in there]
        if missing:
            near = difflib.get_close_matches(missing[0], there, n=1)
            first = ", ".join(map(repr, itertools.islice(there, 8))) + (", ..." if len(there) > 8 else "")
            hint = f"did you mean {near[0]!r}?" if near and len(missing) == 1 else f"its columns are {first}"
            raise ValueError(f"{self.path}: there is no column {some(missing)}; {hint}")

    def numbers(self) -> NDArray[np.float64]:
        """All columns as numbers, for a network that knows no names; an error where a cell is none."""
        return np.column_stack(
            [self._numbers(name, "turn it into numbers, or remove the column") for name in self.names]
        )

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
        self.require(names)
        if len(names) > 1:
            return np.column_stack([self._numbers(name, "several targets must be numbers") for name in names])
        column = self._complete(names[0])
        numbers = _pandas().to_numeric(column, errors="coerce")
        if task == "classification" or (task == "auto" and 2 * numbers.notna().sum() <= len(column)):
            return column.to_numpy()
        hint = (
            "correct it, or pass --task classification if these are labels"
            if task == "auto"
            else f"{task} needs numbers"
        )
        return self._numbers(names[0], hint)

    @contextlib.contextmanager
    def naming_lines(self) -> Iterator[None]:
        """Let errors about a row of the frame name the file and its line."""
        try:
            yield
        except ValueError as error:
            # The functions that take a frame put their argument's name before the message of the first error
            wrong = error if isinstance(error, CellError) else error.__context__
            if not isinstance(wrong, CellError):
                raise
            message = self._place(wrong.row).join(str(wrong).rsplit(f"row {wrong.row}", 1))
            raise ValueError(f"{self.path}: {message}") from None

    def _complete(self, name: str) -> pd.Series[Any]:
        """Return the column; an error if a value is missing."""
        column = self.frame[name]
        missing = column.isna()
        if missing.any():
            raise ValueError(
                f"{self.path}: column {name!r} has no value in {self._first(missing)} ({missing.sum()} such in all; NA, NaN, null and "
                "None count as no value); fill it in, or remove the row"
            )
        return column

    def _numbers(self, name: str, hint: str) -> NDArray[Any]:
        column = self._complete(name)
        numbers = _pandas().to_numeric(column, errors="coerce")
        text = numbers.isna()
        if text.any():
            raise ValueError(
                f"{self.path}: column {name!r} holds text ({reprlib.repr(column[text].iloc[0])} in {self._first(text)}); {hint}"
            )
        infinite = np.isinf(numbers)
        if infinite.any():
            raise ValueError(
                f"{self.path}: column {name!r} holds an infinite number in {self._first(infinite)}; correct it"
            )
        return numbers.to_numpy()

    def _first(self, rows: pd.Series[bool]) -> str:
        return self._place(int(np.argmax(rows)))

    def _place(self, row: int) -> str:
        return f"{self.frame.index.name} {self.frame.index[row]}"


def some(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    return ", ".join(map(repr, names[:8])) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def read(path: str, as_text: Collection[str] = ()) -> Table:
    """
    Read a table as a whole; see `stream`.

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
        Columns of a CSV file that are text, even where they look like numbers; the type of each other column is found piece by piece.
    rows : int, optional
        Of a piece, at most; by default fewer where there are more columns.

    Yields
    ------
    Table
        At least one row.

    Raises
    ------
    ImportError
        pandas, or pyarrow for a Parquet file, is not installed.
    OSError, ValueError
        The file cannot be read, or is no such table.
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
        raise ValueError(
            f"{name}: there are no rows{'' if parquet else ' below the column names; expected one sample a line'}"
        )


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
        places = range(len(piece.header))
        if not piece.lines:
            continue
        try:
            frame = pandas.read_csv(
                io.StringIO(piece.text),
                header=None,
                names=places,
                index_col=False,
                dtype={place: str for place in places if piece.header[place] in as_text},
                low_memory=False,  # types are those of whole columns
                skip_blank_lines=False,
            )
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
        names = lines.check_names(
            path, [name for name in table.schema_arrow.names if not name.startswith("__index_level_")]
        )
        rows = min(count(len(names)), max(1, table.metadata.num_rows))
        for batch in table.iter_batches(rows, columns=names):
            yield batch.to_pandas(ignore_metadata=True)
    except (ValueError, OSError, NotImplementedError) as error:
        if str(error).startswith(f"{path}: "):
            raise
        raise ValueError(f"{path}: this Parquet file cannot be read ({error})") from None


def to_csv(values: NDArray[Any], names: list[str], header: bool) -> str:
    """
    Columns as the text of a CSV file.

    Parameters
    ----------
    values : array, shape (n,) or (n, columns)
    names : list of str
        A name for each column.
    header : bool
        Begin with the names.

    Returns
    -------
    str
    """
    return str(_pandas().DataFrame(values, columns=names).to_csv(index=False, header=header, lineterminator="\n"))
