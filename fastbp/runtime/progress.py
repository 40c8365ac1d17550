"""Progress bars that other processes cannot block."""

from __future__ import annotations

import functools
import sys
import threading
import warnings
from typing import Any, Protocol

from fastbp.kernels.internal import hold_at_fork

_lock = threading.RLock()
hold_at_fork(_lock)


class Bar(Protocol):
    """What we use of a tqdm bar."""

    disable: bool
    n: int
    total: int

    def update(self, n: int) -> object:
        """Count n more."""

    def set_postfix(self, shown: dict[str, str], refresh: bool) -> None:
        """Show values after the count."""

    def set_postfix_str(self, text: str) -> None:
        """Show a text after the count."""

    def set_description_str(self, text: str, refresh: bool) -> None:
        """Change what stands before the count."""

    def close(self) -> None:
        """End the bar."""


class _Hidden:
    """A bar that is not shown."""

    disable, n = True, 0

    def __init__(self, total: int) -> None:
        self.total = total

    def update(self, n: int) -> None: ...

    def set_postfix(self, shown: dict[str, str], refresh: bool) -> None: ...

    def set_postfix_str(self, text: str) -> None: ...

    def set_description_str(self, text: str, refresh: bool) -> None: ...

    def close(self) -> None: ...


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook, in which nothing is a terminal and somebody looks on."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return shell is not None and "IPKernelApp" in shell.config


def shown(progress: bool | None) -> bool:
    """Whether to show progress: as the user said; else on a terminal and in a notebook."""
    if progress is not None:
        return progress
    return (sys.stderr is not None and sys.stderr.isatty()) or in_notebook()


@functools.cache
def shown_bar() -> Any:
    """
    The class of bars that are shown: tqdm's, for a terminal or a notebook, with a lock that belongs to this process.

    tqdm's lock is shared with all forked processes: if one is killed while it holds the lock, the others wait forever.
    No monitor thread is started, since forks and some of Numba's threading layers do not tolerate other threads.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a notebook without ipywidgets has bars of text
        from tqdm.auto import tqdm  # brings asyncio: 25 ms and 5 MB, for nothing if no bar is shown

    return type("Bar", (tqdm,), {"monitor_interval": 0, "_lock": _lock})


def make_bar(progress: bool | None, total: int, **options: Any) -> Bar:
    """A bar that counts up to `total`, shown on stderr or in the notebook if `shown`; `options` are tqdm's."""
    return shown_bar()(total=total, **options) if shown(progress) else _Hidden(total)


def write(text: str) -> None:
    """Write a line to stderr, above a bar if one is shown."""
    if "tqdm" in sys.modules:
        shown_bar().write(text, file=sys.stderr)
    else:
        print(text, file=sys.stderr)
