"""Ctrl-C as a wish that is fulfilled between two epochs, so that no epoch is left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Wish:
    """Whether Ctrl-C has come."""

    came = False


# The wish that a run heeds which is one of many in this thread: who started them listens to Ctrl-C.
shared: ContextVar[Wish | None] = ContextVar("shared", default=None)


@contextmanager
def awaited() -> Iterator[Wish]:
    """
    Note the first Ctrl-C instead of breaking off; the second one breaks off at once.

    Only the main thread hears Ctrl-C, and a program that handles it in a way of its own keeps that: then nothing is changed.
    """
    wish = shared.get()
    if wish is not None:
        yield wish
        return
    wish = Wish()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield wish
        return

    def note(number: int, frame: Any) -> None:
        if wish.came:
            signal.default_int_handler(number, frame)
        wish.came = True

    signal.signal(signal.SIGINT, note)
    try:
        yield wish
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
