"""The one JIT policy: how every kernel is compiled."""

from __future__ import annotations

import functools
import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numba
from numba.core.compiler import Compiler
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import CPUDispatcher
from numba.extending import overload, register_jitable

from .cache import KernelCache
from .part import PartCompiler
from .threads import uninterrupted

# No "fastmath": every operation is rounded as written, so every processor gives the same bits. What needs vectors is a
# routine, which says itself in what order it sums up. (See `routine`.)
# "_nrt": arrays are counted as others refer to them, also in what a part of kernels calls (see `inner`).
POLICY: dict[str, Any] = {"nogil": True, "error_model": "numpy", "_nrt": True}


@contextmanager
def numba_config(**settings: object) -> Iterator[None]:
    """Numba's settings while we compile, one thread at a time; they are restored for everybody else's functions."""
    with global_compiler_lock:
        before, collecting = {name: getattr(numba.config, name) for name in settings}, gc.isenabled()
        vars(numba.config).update(settings)
        # Python would search for garbage a tenth of the time: a single search afterwards takes far less.
        gc.disable()
        try:
            yield
        finally:
            vars(numba.config).update(before)
            if collecting:
                gc.enable()


def _dispatcher(function: Callable[..., Any], pipeline: Any = Compiler, **options: Any) -> Any:
    """As ``numba.njit``, even if NUMBA_DISABLE_JIT is set: routines have no version in Python."""
    targetoptions = {"nopython": True, "boundscheck": None, **POLICY, **options}
    return CPUDispatcher(function, locals={}, targetoptions=targetoptions, pipeline_class=pipeline)


def _part(function: Callable[..., Any], **options: Any) -> Any:
    return _dispatcher(function, PartCompiler, no_cpython_wrapper=True, no_cfunc_wrapper=True, **options)


def njit(function: Callable[..., Any] | None = None, *, parallel: bool = False) -> Any:
    """
    Compile a function on its first call, by the rules of this package: ``@njit`` or ``@njit(parallel=True)``.

    Parameters
    ----------
    function : callable
        The kernel in plain Python.
    parallel : bool
        Turn ``prange`` into threads. The attribute ``serial`` is then the same kernel compiled without them.

    Returns
    -------
    numba dispatcher
        No GIL, IEEE arithmetic as written (a check for a division by zero would stop vectorisation).
    """
    if function is None:
        return functools.partial(njit, parallel=parallel)
    kernel = _kernel(function, parallel)
    if parallel:
        kernel.serial = _kernel(function, False)
    return kernel


def _kernel(function: Callable[..., Any], parallel: bool) -> Any:
    """As `_dispatcher`, with our cache, and uninterrupted by Ctrl-C while it compiles."""
    kernel = _dispatcher(function, parallel=parallel)
    kernel._cache = KernelCache(function, parallel=parallel)
    compile_ = kernel.compile

    def compiled(signature: Any) -> Any:
        with uninterrupted(), numba_config(DISABLE_JIT=0):
            return compile_(signature)

    kernel.compile = compiled
    return kernel


def plain_njit(function: Callable[..., Any] | None = None, *, parallel: bool = False) -> Any:
    """
    Compile code that calls no routine: ``@plain_njit``, or ``@plain_njit(parallel=True)``.

    Unlike `njit`, under NUMBA_DISABLE_JIT the function stays plain Python, which you can step through with a debugger.
    """
    if function is None:
        return functools.partial(plain_njit, parallel=parallel)
    return function if numba.config.DISABLE_JIT else njit(function, parallel=parallel)


def inner(function: Callable[..., Any] | None = None, *, arrays: bool = False) -> Any:
    """
    Compile a part of kernels, called by compiled code only; on disk it is kept within its callers.

    A part neither makes nor returns arrays, and raises no errors with numbers, unless it says so by
    ``@inner(arrays=True)``. So it need not count who refers to its arguments, which its caller keeps: each count stops
    the processor for twenty cycles or more.
    """
    if function is None:
        return functools.partial(inner, arrays=arrays)
    return _part(function, _nrt=arrays)


def python_or_compiled(function: Callable[..., Any]) -> Any:
    """Leave a function as it is for Python, which need not wait for its compilation; compiled code compiles it."""
    return register_jitable(pipeline_class=PartCompiler, no_cfunc_wrapper=True, **POLICY)(function)


def frozen(array: Any) -> Any:
    """
    Return a read-only view of an array: what only reads it is compiled once, for writable and read-only arrays.

    In compiled code, where the caller's type is known anyway, return the array itself.
    """
    view = array.view()
    view.flags.writeable = False
    return view


@overload(frozen)
def _frozen(array):  # Numba compares the annotations too
    return lambda array: array
