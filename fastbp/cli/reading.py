"""How a table is read: the options that every command has which takes one."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ..runtime import progress
from ..tables import files
from ..tables.formats import Format

TABLE = "file of CSV, JSON lines, Parquet or Excel (.xlsx), perhaps compressed, - for stdin"


def add_format(add: Callable[..., Any], missing: bool = True) -> None:
    """Add the options; `missing`: also what counts as missing, which a network remembers."""
    add("--delimiter", "between the cells of a CSV file (default: , ; tab or |, as the file shows)", metavar="C")
    add("--decimal", "before the fraction of numbers (default: as the file shows)", choices=(".", ","))
    add("--thousands", "between groups of digits (default: as the file shows)", metavar="C")
    add("--encoding", "of text (default: UTF-8, or UTF-16 or Windows-1252, as the file shows)", metavar="NAME")
    add("--sheet", "of a workbook that has several", metavar="NAME")
    add(
        "--no-header",
        "the first line is a sample; the columns are called 1, 2 and so on",
        dest="header",
        action="store_false",
    )
    if missing:
        text = "text that counts as missing; repeat it for several (default: the empty cell, NA, NaN, null and others)"
        add("--missing", text, action="append", metavar="TEXT")


def chosen(args: argparse.Namespace, missing: tuple[str, ...] | None = None) -> Format:
    """What the user says of the file; `missing`: what a network remembers."""
    words = getattr(args, "missing", None)
    delimiter = {"\\t": "\t", "tab": "\t"}.get(args.delimiter, args.delimiter)
    return Format(
        delimiter=delimiter,
        decimal=args.decimal,
        thousands=args.thousands,
        encoding=args.encoding,
        sheet=args.sheet,
        header=args.header,
        missing=missing if words is None else tuple(words),
    )


def show_notes(table: files.Table) -> None:
    """Say on stderr what was found about a file."""
    for note in table.notes:
        progress.write(f"fastbp: {table.path}: {note}")
