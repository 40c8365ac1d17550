"""Cells that could not be read as the network learnt to read their column: gathered, warned of, or an error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from ..runtime.warning import warn
from .frames import CellError, TableWarning


@dataclass(frozen=True)
class Unread:
    """
    Cells of a column that could not be read.

    Attributes
    ----------
    column : str
    word : str
        The first of these cells.
    row : int
        Its row, from 0, or what the file calls it, such as "line 7".
    count : int
    taken : str
        What the cells are taken for, as in "as missing".
    """

    column: str
    word: str
    row: int | str
    count: int
    taken: str

    @property
    def place(self) -> str:
        """Where the first is."""
        return self.row if isinstance(self.row, str) else f"row {self.row}"


# Of whom takes care of unread cells: a list to add them to, or True for an error at the first.
handler: ContextVar[list[Unread] | bool] = ContextVar("handler", default=False)


def handle(found: list[Unread]) -> None:
    """Warn of unread cells; or whatever somebody has asked for."""
    how = handler.get()
    if not found:
        return
    if isinstance(how, list):
        how.extend(found)
    elif how:
        first = found[0]
        got = f"{first.word!r} in column {first.column!r}, row {first.row}{_further(first.count)}"
        raise CellError(f"expected cells that can be read as in training, got {got}", first.column, int(first.row))
    else:
        warn(message(found), TableWarning)


def message(found: list[Unread]) -> str:
    """Unread cells in one sentence."""
    each = [
        f"{one.word!r} in column {one.column!r}, {one.place}{_further(one.count)}, {one.taken}" for one in found[:5]
    ]
    more = f"; and cells of {len(found) - 5} more columns" if len(found) > 5 else ""
    return f"cells were not read: {'; '.join(each)}{more}"


def _further(count: int) -> str:
    return f" ({count} such in all)" if count > 1 else ""


@contextmanager
def strict() -> Iterator[None]:
    """Make cells that cannot be read an error."""
    token = handler.set(True)
    try:
        yield
    finally:
        handler.reset(token)


@contextmanager
def gathered() -> Iterator[list[Unread]]:
    """Gather unread cells in a list instead of warning of them."""
    found: list[Unread] = []
    token = handler.set(found)
    try:
        yield found
    finally:
        handler.reset(token)
