"""Files that hold a table in another way than as plain text: compressed ones, workbooks, JSON lines."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .formats import Format

if TYPE_CHECKING:
    import pandas as pd

# Bytes of a file that are looked at before it is read.
START = 1 << 16
_OPENERS: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
# What is raised while a compressed file is read.
DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile, zipfile.BadZipFile)
_ZIP, _OLD_EXCEL = b"PK\x03\x04", b"\xd0\xcf\x11\xe0"


def unpacked(path: str, file: Any) -> tuple[Any, bool]:
    """The file, or the one that is compressed in it; and whether it is a workbook."""
    start = file.peek(8)[:8]
    for mark, opener in _OPENERS.items():
        if start.startswith(mark):
            return io.BufferedReader(opener(file), START), False
    if start.startswith(_OLD_EXCEL):
        raise ValueError(f"{path}: this is a workbook of Excel 97 to 2003; save it as .xlsx or CSV")
    if not start.startswith(_ZIP):
        return file, False
    file = file if file.seekable() else io.BytesIO(file.read())
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path}: this archive cannot be read ({error})") from None
    members = [name for name in archive.namelist() if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if "xl/workbook.xml" in members:
        file.seek(0)
        return file, True
    if len(members) != 1:
        listed = ", ".join(map(repr, members[:5]))
        raise ValueError(f"{path}: expected an archive of one file, got {len(members)} ({listed}); unpack it first")
    return io.BufferedReader(archive.open(members[0]), START), False


def workbook(path: str, file: Any, chosen: Format, pandas: Any) -> pd.DataFrame:
    """The table on a sheet of a workbook; the index is the number of each row in the sheet."""
    try:
        book = pandas.ExcelFile(file, engine="openpyxl")
    except ImportError:
        raise ImportError('reading a workbook needs openpyxl; install it with: pip install "fastbp[cli]"') from None
    except Exception as error:  # openpyxl has no common base of its errors
        raise ValueError(f"{path}: this workbook cannot be read ({error})") from None
    with book:
        settings = {"header": None, "keep_default_na": False, "na_values": chosen.missing_words}
        sheets = [chosen.sheet] if chosen.sheet is not None else book.sheet_names
        listed = ", ".join(map(repr, book.sheet_names))
        if chosen.sheet is not None and chosen.sheet not in book.sheet_names:
            raise ValueError(f"{path}: there is no sheet {chosen.sheet!r}; its sheets are {listed}")
        frames = {name: pandas.read_excel(book, sheet_name=name, **settings) for name in sheets}
    frames = {name: frame for name, frame in frames.items() if len(frame)}
    if len(frames) > 1:
        raise ValueError(f"{path}: the workbook has several sheets, {listed}; choose one with --sheet")
    if not frames:
        raise ValueError(f"{path}: there are no rows")
    frame = next(iter(frames.values()))
    frame.index = pandas.RangeIndex(1, len(frame) + 1, name="row")
    frame = frame[frame.notna().any(axis=1)]
    if chosen.header:
        names = ["" if name != name or name is None else str(name) for name in frame.iloc[0].tolist()]
        frame = frame.iloc[1:].set_axis(names, axis=1)
    else:
        frame = frame.set_axis([str(k) for k in range(1, frame.shape[1] + 1)], axis=1)
    return frame.infer_objects()


def json_lines(path: str, file: Any, rows: int, pandas: Any) -> Iterator[pd.DataFrame]:
    """The objects of a file of JSON lines, as rows; the index is the line."""
    try:
        done = 0
        for frame in pandas.read_json(file, lines=True, chunksize=rows, dtype=False):
            if not all(isinstance(name, str) for name in frame):
                raise ValueError(f"other values in lines {done + 1} to {done + len(frame)}")
            frame.index = pandas.RangeIndex(done + 1, done + len(frame) + 1, name="line")
            done += len(frame)
            yield frame
    except (ValueError, TypeError, AttributeError, OverflowError) as error:  # pandas expects objects
        raise ValueError(f"{path}: this is not JSON with an object in each line ({error})") from None
