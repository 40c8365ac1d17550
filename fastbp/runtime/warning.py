"""Warnings that name your own line, and that many networks give only once."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Hashable, Iterator
from contextvars import ContextVar

_OURS = (os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep, contextlib.__file__)
# Text, category and number of the warnings of one call that trains many networks, by what they are about.
Gathered = dict[Hashable, tuple[str, type[Warning], int]]
shared: ContextVar[Gathered | None] = ContextVar("shared", default=None)


def warn(text: str, category: type[Warning], about: Hashable = None) -> None:
    """
    Warn the caller of fastbp.

    Parameters
    ----------
    text : str
    category : type
    about : hashable, optional
        Of several warnings about the same, only the first is given by a call that trains many networks; by default the
        text.
    """
    gathered = shared.get()
    if gathered is None:
        warnings.warn(text, category, stacklevel=_level())
        return
    key = text if about is None else about
    first, category, count = gathered.get(key, (text, category, 0))
    gathered[key] = first, category, count + 1


@contextlib.contextmanager
def once() -> Iterator[None]:
    """Gather the warnings of many networks, and give each once at the end."""
    if shared.get() is not None:
        yield
        return
    token = shared.set({})
    try:
        yield
    finally:
        gathered = shared.get()
        shared.reset(token)
        for text, category, count in (gathered or {}).values():
            several = count > 1 and issubclass(category, RuntimeWarning)
            more = f" ({count - 1} more networks: the same)" if several else ""
            warnings.warn(text + more, category, stacklevel=_level())


def _level() -> int:
    """The `stacklevel` of the first frame that is not of fastbp."""
    frame, level = sys._getframe(1), 1
    while frame is not None and frame.f_back is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    return level
