"""What must wait for the right moment: a parallel region, a fork, Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from llvmlite.binding import ffi
from numba.core.compiler_lock import global_compiler_lock
from numba.np.ufunc import parallel

# Locks for which a child would wait in vain if another thread of its parent held one at the fork, in the order of
# taking them.
_held_at_fork: list[Any] = [global_compiler_lock, parallel._backend_init_thread_lock, ffi.lib._lock]


def hold_at_fork(lock: Any) -> None:
    """Make a fork wait until nobody else holds the lock, so that the child finds it free."""
    _held_at_fork.append(lock)


def _before_fork() -> None:
    for lock in tuple(_held_at_fork):
        lock.__enter__()


def _after_fork() -> None:
    for lock in reversed(_held_at_fork):
        lock.__exit__(None, None, None)


def _in_child() -> None:
    global _forked
    _forked = True
    _after_fork()


def _forked_from_threads() -> bool:
    """Whether this process is a fork, running no new program, of one with Numba's threads or GNU OpenMP (Linux)."""
    try:
        flags = int(Path("/proc/self/stat").read_text("utf-8").rpartition(")")[2].split()[6])
        forked = bool(flags & 0x40)  # PF_FORKNOEXEC
        return forked and (
            parallel._is_initialized or "libgomp" in Path("/proc/self/maps").read_text("utf-8", "replace")
        )
    except (OSError, ValueError, IndexError):
        return False


_forked = _forked_from_threads()
_region: dict[str, object] = {}
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_parent=_after_fork, after_in_child=_in_child)


def _alone() -> bool:
    """Whether no thread can be in a parallel region: this is Python's first, and there is no other but tqdm's clock."""
    clocks = {thread.ident for thread in threading.enumerate() if type(thread).__module__ == "tqdm._monitor"}
    return sys._current_frames().keys() - clocks == {threading.main_thread().ident}


@contextmanager
def threads(count: int | None) -> Iterator[bool]:
    """
    Enter parallel kernels with `count` threads; yields False if that is unsafe now (then stay serial).

    Parameters
    ----------
    count : int or None
        Number of threads, at least 1; None: as many as Numba is set to. That setting is restored on exit, also after an
        error.

    Raises
    ------
    ValueError
        More threads than ``numba.config.NUMBA_NUM_THREADS``; or Numba does not find the threading layer that it is set
        to.

    Notes
    -----
    Serial and parallel kernels give the same bits, so False costs nothing but time. It is yielded:

    - with fewer than two threads;
    - while another thread, or this one, is within ``with threads(n)`` already;
    - in a process that was forked: GNU OpenMP kills a child that enters a region if its parent had entered one, and the
      other layers have lost their threads. Processes that are spawned, and children of a fork server that has not
      started threads, may enter;
    - with Numba's layer ``workqueue`` on any thread but Python's first, and there while another Python thread is alive:
      it ends the process if two threads enter at once, or if one enters within a region. The layers ``omp`` and ``tbb``
      allow both.
    """
    token, before = object(), None
    try:
        if _forked or (count is not None and count < 2) or _region.setdefault("taken by", token) is not token:
            yield False
            return
        before = numba.get_num_threads()  # starts the layer, if nobody has
        wanted = before if count is None else count
        if wanted < 2 or (numba.threading_layer() == "workqueue" and not _alone()):
            yield False
            return
        if wanted != before:
            numba.set_num_threads(wanted)
        yield True
    finally:
        if before is not None and numba.get_num_threads() != before:
            numba.set_num_threads(before)
        if _region.get("taken by") is token:
            del _region["taken by"]


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Let Ctrl-C wait for the end of the block: in a compilation it may reach a callback of LLVM, and get lost."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGINT) is None:
        yield
        return
    came: list[object] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: came.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            signal.raise_signal(signal.SIGINT)
