"""
Reads tables from files, and writes CSV.

Errors name the file, the column and the line, and say what to do.
"""

from __future__ import annotations

import contextlib
import difflib
import io
import itertools
import os
import re
import reprlib
import sys
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.warning import warn
from . import containers, formats, lines
from .formats import Format
from .frames import CellError, TableWarning
from .written import Numbers

if TYPE_CHECKING:
    import pandas as pd

# The rows and cells of a piece. A network may turn one cell into a hundred inputs.
MOST_ROWS, LEAST_ROWS, CELLS = 20_000, 500, 200_000
DEFAULT = Format()
_DATA = "{}: the first line looks like data ({}, ...) and not like names; if it is, pass --no-header"
_NA = (
    "{}: NA in column {!r} counts as missing, though the others are codes of two letters, too; "
    "--missing '' (missing=('',)) makes it one"
)
_FRACTION = re.compile(r"-?\d*[.,]\d+(?:[eE][+-]?\d+)?")


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
    notes : tuple of str
        What was found about the file, where it is not the usual.
    """

    path: str
    frame: pd.DataFrame
    notes: tuple[str, ...] = ()

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
            message = self.place(original.row).join(str(original).rsplit(f"row {original.row}", 1))
            raise ValueError(f"{self.path}: {message}") from None

    def _complete(self, name: str) -> pd.Series[Any]:
        """Return the column; ValueError if a value is missing."""
        column = self.frame[name]
        missing = column.isna()
        if missing.any():
            raise ValueError(
                f"{self.path}: column {name!r} has no value in {self._first(missing)} ({missing.sum()} missing in all; "
                "NA, NaN, null and None count as missing: --missing says what does); fill it in, or remove the row"
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
        return self.place(int(np.argmax(rows)))

    def place(self, row: int) -> str:
        """What the file calls a row of the frame."""
        return f"{self.frame.index.name} {self.frame.index[row]}"


def first_names(names: Sequence[str]) -> str:
    """The first names, and how many there are."""
    return ", ".join(map(repr, names[:8])) + (f", ... ({len(names)} in all)" if len(names) > 8 else "")


def read(path: str, as_text: Collection[str] = (), chosen: Format = DEFAULT) -> Table:
    """
    Read a whole table; see `stream`.

    Returns
    -------
    Table
    """
    return next(_tables(path, as_text, chosen, lambda columns: sys.maxsize))


def stream(
    path: str, as_text: Collection[str] = (), chosen: Format = DEFAULT, rows: int | None = None
) -> Iterator[Table]:
    """
    Read a table in pieces, so that it may be larger than memory.

    Parameters
    ----------
    path : str
        A file of CSV, JSON lines, Parquet or Excel, perhaps compressed; ``-`` is stdin.
    as_text : collection of str
        Columns of a CSV file that are text, even if they look like numbers. The type of every other column is
        determined in each piece.
    chosen : Format
        What the user says of the file.
    rows : int, optional
        The most rows of a piece; by default, the more columns, the fewer rows.

    Yields
    ------
    Table
        At least one row.

    Raises
    ------
    ImportError
        pandas, or what it needs for the file, is not installed.
    OSError, ValueError
        The file cannot be read, or is not such a table.
    """
    return _tables(path, as_text, chosen, lambda columns: rows or _rows_of_a_piece(columns))


def _rows_of_a_piece(columns: int) -> int:
    return min(MOST_ROWS, max(LEAST_ROWS, CELLS // max(1, columns)))


def _pandas() -> Any:
    try:
        import pandas
    except ImportError:
        raise ImportError('reading a table needs pandas; install it with: pip install "fastbp[cli]"') from None
    return pandas


def _tables(path: str, as_text: Collection[str], chosen: Format, count: Callable[[int], int]) -> Iterator[Table]:
    formats.check(chosen)
    name, done = "stdin" if path == "-" else path, 0
    try:
        with _open(path) as file:
            for frame, notes in _frames(name, path, file, as_text, chosen, count):
                if len(frame):
                    done += len(frame)
                    yield Table(name, frame, notes)
    except containers.DAMAGED as error:
        raise ValueError(f"{name}: this compressed file is damaged ({error})") from None
    if not done:
        raise ValueError(f"{name}: there are no rows below the column names; expected one sample a line")


def _frames(
    name: str, path: str, file: Any, as_text: Collection[str], chosen: Format, count: Callable[[int], int]
) -> Iterator[tuple[pd.DataFrame, tuple[str, ...]]]:
    """The rows of any file, and what was found about it."""
    pandas, lower = _pandas(), path.lower()
    if file.peek(4)[:4] == b"PAR1" or lower.endswith((".parquet", ".pq")):
        return ((frame, ()) for frame in _parquet_frames(name, file, count))
    file, is_workbook = containers.unpacked(name, file)
    if is_workbook:
        frame = containers.workbook(name, file, chosen, pandas)
        lines.check_names(name, [str(column) for column in frame])
        return iter([(frame, ())])
    if lower.split(".gz")[0].endswith((".jsonl", ".ndjson")) or file.peek(1)[:1] == b"{":
        rows = min(count(1), MOST_ROWS) if count(1) < sys.maxsize else 10**9
        return ((frame, ()) for frame in containers.json_lines(name, file, rows, pandas))
    return _csv_frames(name, file, as_text, chosen, count)


def _open(path: str) -> contextlib.AbstractContextManager[Any]:
    if path == "-":
        return contextlib.nullcontext(sys.stdin.buffer)
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file; check the path of the table")
    return open(path, "rb", buffering=containers.START)


def _csv_frames(
    path: str, file: io.BufferedReader, as_text: Collection[str], chosen: Format, count: Callable[[int], int]
) -> Iterator[tuple[pd.DataFrame, tuple[str, ...]]]:
    pandas, start = _pandas(), file.peek(containers.START)
    encoding = chosen.encoding or formats.encoding_of(start)
    whole_lines = start[: start.rfind(b"\n") + 1] or start
    text = whole_lines.decode(encoding, "replace") if encoding != "utf-16" else start.decode(encoding, "replace")
    delimiter = chosen.delimiter or formats.delimiter_of(path, text)
    numbers = Numbers(path, chosen, delimiter)
    for piece in lines.pieces(path, file, encoding, delimiter, chosen.header, count):
        if not piece.lines:
            continue
        types = {k: str for k, name in enumerate(piece.header) if name in as_text}
        settings: dict[str, Any] = {"header": None, "names": range(len(piece.header)), "sep": delimiter}
        settings |= {"index_col": False, "skip_blank_lines": False}
        settings |= {"keep_default_na": False, "na_values": chosen.missing_words}

        def parsed(types: Any, text: str = piece.text, settings: dict[str, Any] = settings, **more: Any) -> Any:
            try:
                # low_memory=False: each column has one type from its first row to its last
                return pandas.read_csv(io.StringIO(text), dtype=types, low_memory=False, **settings | more)
            except ValueError as error:
                raise ValueError(f"{path}: this is not a CSV table ({error})") from None

        frame = parsed(types)
        cells = parsed(str) if numbers.every_column else frame
        for one in (frame, cells):
            one.columns = piece.header
        kinds = "b" if numbers.every_column else "biuf"
        texts = [name for name in piece.header if name not in as_text and frame[name].dtype.kind not in kinds]
        numbers.read(frame, {name: cells[name] for name in texts}, pandas)
        if chosen.header and _looks_like_data(piece.header, frame):
            warn(_DATA.format(path, ", ".join(piece.header[:3])), TableWarning)
        codes = [] if chosen.missing is not None else [name for name in texts if _may_be_countries(frame[name])]
        if codes:
            every = parsed(str, na_values=[""]).set_axis(piece.header, axis=1)
            for name in codes:
                if (every[name] == "NA").any():
                    warn(_NA.format(path, name), TableWarning)
        frame.index = pandas.Index(piece.lines, name="line")
        yield frame, tuple(_notes(encoding, delimiter, numbers, chosen))


def _notes(encoding: str, delimiter: str, numbers: Numbers, chosen: Format) -> Iterator[str]:
    """What was found about a CSV file, where it is not the usual."""
    found = []
    if encoding not in ("utf-8", "utf-8-sig") and chosen.encoding is None:
        found.append(f"encoding {encoding}")
    if delimiter != "," and chosen.delimiter is None:
        found.append(f"delimiter {delimiter!r}")
    listed = [f"{name!r} as {form}" for name, form in itertools.islice(numbers.forms.items(), 5)]
    if listed:
        more = f" and {len(numbers.forms) - 5} more" if len(numbers.forms) > 5 else ""
        found.append(f"numbers in {', '.join(listed)}{more}")
    if found:
        yield f"read with {'; '.join(found)}"


def _may_be_countries(column: pd.Series[Any]) -> bool:
    """Whether some cells are missing, and the others are codes of two letters."""
    some = column.dropna()
    return 0 < len(some) < len(column) and bool(some.astype(str).str.fullmatch("[A-Z]{2}").all())


def _looks_like_data(header: list[str], frame: pd.DataFrame) -> bool:
    """Whether fractions stand where names should be, above columns of numbers."""
    found = [name for name in header if frame[name].dtype.kind in "if" and _FRACTION.fullmatch(name.strip())]
    return 2 * len(found) > len(header) or len(found) > 1


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
        done = 0
        for batch in table.iter_batches(rows, columns=names):
            batch.validate(full=True)  # text that is not UTF-8 would be an error of its own much later
            frame = batch.to_pandas(ignore_metadata=True)
            frame.index = _pandas().RangeIndex(done + 1, done + len(frame) + 1, name="row")
            done += len(frame)
            yield frame
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
