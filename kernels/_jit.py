"""The one JIT policy: how every kernel is compiled, and where the machine code is kept."""

from __future__ import annotations

import functools
import hashlib
import os
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numba
from numba import njit
from numba.extending import overload, register_jitable

from .simd import VECTOR_BYTES

# Reordering and contraction let LLVM use vectors. "nnan" and "ninf" are left out on purpose: with them a
# comparison such as `x != x` may be folded away, and a diverged run would look finite.
FASTMATH = {"contract", "reassoc", "nsz", "arcp", "afn"}
POLICY: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": FASTMATH}


def source_digest() -> str:
    """Digest of all kernel sources and the vector width: Numba's own cache sees edits in a function's own file only."""
    digest = hashlib.sha256(bytes([VECTOR_BYTES]))
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _user_cache() -> Path:
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        root = "~/Library/Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "fastbp"


@functools.cache
def cache_folder() -> Path:
    """Folder of the compiled kernels: below ``NUMBA_CACHE_DIR`` if that is set, else in the user's cache."""
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    return (Path(chosen) / "fastbp" if chosen else _user_cache()) / source_digest()


@contextmanager
def numba_config(**settings: object) -> Iterator[None]:
    """Numba's settings while a decorator of ours runs; other people's functions keep their own."""
    before = {name: getattr(numba.config, name) for name in settings}
    vars(numba.config).update(settings)
    try:
        yield
    finally:
        vars(numba.config).update(before)


def jit(function: Callable[..., Any], *, parallel: bool = False) -> Any:
    """
    Compile `function` on its first call, by the rules of this package.

    Parameters
    ----------
    function : callable
        The kernel in plain Python.
    parallel : bool
        Turn ``prange`` into threads. The same function may be compiled both ways: the parallel version
        is kept in the cache under a name of its own.

    Returns
    -------
    numba dispatcher
        No GIL, IEEE division (a check for zero would stop vectorisation), NaN and infinity preserved. It is one also
        under ``NUMBA_DISABLE_JIT``, which is for the user's own functions: the routines beneath have no Python version.
    """
    if parallel:
        clone = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__)
        clone.__qualname__ = function.__qualname__ + "_parallel"
        clone.__doc__, clone.__module__ = function.__doc__, function.__module__
        function = clone
    try:
        with numba_config(CACHE_DIR=str(cache_folder()), DISABLE_JIT=0):
            kernel = njit(**POLICY, parallel=parallel, cache=True)(function)
        # Where the folder cannot be written, Numba would fall back to places that do not know of the digest.
        if kernel.stats.cache_path.startswith(str(cache_folder())):
            return _compiled_always(kernel)
    except (RuntimeError, OSError):
        pass
    _warn_uncached()
    with numba_config(DISABLE_JIT=0):
        kernel = njit(**POLICY, parallel=parallel)(function)
    return _compiled_always(kernel)


def _compiled_always(kernel: Any) -> Any:
    """Let a kernel compile what is beneath it also under ``NUMBA_DISABLE_JIT``."""
    if numba.config.DISABLE_JIT:
        compile_ = kernel.compile

        def compiled(signature: Any) -> Any:
            with numba_config(DISABLE_JIT=0):
                return compile_(signature)

        kernel.compile = compiled
    return kernel


def inner(function: Callable[..., Any]) -> Any:
    """Compile a part of kernels, which compiled code alone calls; on disk it is kept within its callers."""
    with numba_config(DISABLE_JIT=0):
        return njit(**POLICY, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def exact(function: Callable[..., Any]) -> Any:
    """As `inner`, but every operation is rounded as it stands: NumPy gives the same bits."""
    with numba_config(DISABLE_JIT=0):
        return njit(**POLICY | {"fastmath": False}, no_cpython_wrapper=True, no_cfunc_wrapper=True)(function)


def python_or_compiled(function: Callable[..., Any]) -> Any:
    """Leave a function as it is for Python, which so need not wait for its compilation; compiled code compiles it."""
    return register_jitable(**POLICY)(function)


def frozen(array: Any) -> Any:
    """
    Give a read-only view to what only reads an array: it is compiled once, whether the caller's array may be written or not.

    In compiled code, where a caller's types are known anyway, the array itself.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@overload(frozen)
def _frozen(array):  # Numba compares the annotations too
    return lambda array: array


@functools.cache
def _warn_uncached() -> None:
    warnings.warn(
        f"fastbp cannot write its compile cache {cache_folder()}: kernels are compiled anew in every process. "
        "Set NUMBA_CACHE_DIR to a folder that can be written.",
        RuntimeWarning,
        stacklevel=3,
    )


# Guards around parallel entry. GNU OpenMP kills a forked child that enters a region when its parent has
# entered one; Numba's workqueue aborts the process when two Python threads enter at once.
_parallel_lock = threading.Lock()
_parallel_pid: int | None = None


@contextmanager
def threads(count: int) -> Iterator[bool]:
    """
    Enter parallel kernels with `count` threads; yields False where that is unsafe now (then stay serial).

    Parameters
    ----------
    count : int
        Number of threads, at least 1. The caller's own Numba setting is restored on exit.
    """
    global _parallel_pid
    if count < 2 or (_parallel_pid is not None and _parallel_pid != os.getpid()) or not _parallel_lock.acquire(blocking=False):
        yield False
        return
    before = numba.get_num_threads()
    try:
        _parallel_pid = os.getpid()
        numba.set_num_threads(count)
        yield True
    finally:
        numba.set_num_threads(before)
        _parallel_lock.release()
