"""Ctrl-C takes effect between two epochs, so that no epoch is left half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any


class Wish:
    """Whether Ctrl-C was pressed."""

    came = False


# One of many runs in this thread obeys this: whoever started them handles Ctrl-C.
shared: ContextVar[Wish | None] = ContextVar("shared", default=None)


@contextmanager
def awaited() -> Iterator[Wish]:
    """
    Record the first Ctrl-C instead of raising KeyboardInterrupt; the second one raises at once.

    Only the main thread receives Ctrl-C. If the program has its own handler, nothing is changed.
    """
    interrupt = shared.get()
    if interrupt is not None:
        yield interrupt
        return
    interrupt = Wish()
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield interrupt
        return

    def record(number: int, frame: Any) -> None:
        if interrupt.came:
            signal.default_int_handler(number, frame)
        interrupt.came = True

    signal.signal(signal.SIGINT, record)
    try:
        yield interrupt
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
