"""Compiling ahead: every kernel that a call needs is compiled (or loaded) before the clock of the training starts."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numba.core import event
from numpy.typing import DTypeLike
from tqdm.auto import tqdm

import fastbp.kernels as kernels

from . import checks

DTYPES = ("float32", "float64")
# The whole-network kernels, by the names that `warmup` shows.
KERNELS = ("forward", "evaluate", "minibatch_epoch", "online_epoch", "minibatch_epoch_parallel")
_lock = threading.Lock()
_ready: set[tuple[str, str]] = set()


def _call_on_nothing(kernel: str, dtype: np.dtype[Any]) -> None:
    """Call the kernel with the types of a real call and no sample: Numba compiles it, and it does no work."""
    rows = checks.frozen(np.empty((0, 1), dtype))
    weight, params, none = checks.frozen(np.empty(0, dtype)), np.zeros(2, dtype), np.empty(0, dtype)
    order = np.empty(0, np.int64)
    sizes, activations = checks.frozen(np.ones(2, np.int64)), checks.frozen(np.zeros(1, np.int64))
    if kernel == "forward":
        kernels.forward(rows, sizes, activations, checks.frozen(params), np.empty((0, 1), dtype))
    elif kernel == "evaluate":
        kernels.evaluate(0, 0, 0, np.empty((0, 1), dtype), rows, weight)
    elif kernel == "online_epoch":
        kernels.online_epoch(rows, rows, weight, order, sizes, activations, 0, 0, params, 0.1, 0.0)
    else:
        epoch = getattr(kernels, kernel)
        epoch(rows, rows, weight, order, 1, sizes, activations, 0, 0, params, 0, none, none, 0, 0.1, 0.9, 0.999, 1e-8, 0.0)


class _Told(event.Listener):
    """Writes the name of each function that Numba compiles behind the bar; makes the bar once there is one."""

    def __init__(self, total: int, show: bool | None) -> None:
        self.total, self.show, self.done = total, show, 0
        self.bar: tqdm[Any] | None = None

    def on_start(self, happening: Any) -> None:
        if self.bar is None:
            text = "compiling kernels once for this processor"
            hidden = None if self.show is None else not self.show  # None: hidden unless stderr is a terminal
            self.bar = tqdm(total=self.total, desc=text, unit="kernel", disable=hidden, file=sys.stderr)
        self.bar.n = self.done
        function = happening.data["dispatcher"].py_func
        if function.__module__.startswith(kernels.__name__):
            self.bar.set_postfix_str(function.__name__)

    def on_end(self, happening: Any) -> None:
        pass


@contextmanager
def _telling(total: int, show: bool | None) -> Iterator[_Told]:
    told = _Told(total, show)
    event.register("numba:compile", told)
    try:
        yield told
    finally:
        event.unregister("numba:compile", told)
        if told.bar is not None:
            told.bar.n = told.done
            told.bar.set_postfix_str("")
            told.bar.close()


def prepare(names: Iterable[str], dtype: DTypeLike, progress: bool | None) -> float:
    """
    Make sure that whole-network kernels are ready for `dtype`.

    Parameters
    ----------
    names : iterable of str
        Kernels out of `KERNELS`.
    dtype : float32 or float64
    progress : bool or None
        Tell on stderr what is being compiled; None: only on a terminal.

    Returns
    -------
    float
        Seconds that it took; about 0 once they are ready, a few tenths where they come from the cache on disk.
    """
    dtype = np.dtype(dtype)
    with _lock:
        wanted = [name for name in names if (name, dtype.name) not in _ready]
        if not wanted:
            return 0.0
        started = time.perf_counter()
        with _telling(len(wanted), progress) as told:
            for name in wanted:
                _call_on_nothing(name, dtype)
                _ready.add((name, dtype.name))
                told.done += 1
        return time.perf_counter() - started


def warmup(dtype: str | Iterable[str] = DTYPES, *, progress: bool | None = None) -> float:
    """
    Compile every training and prediction kernel ahead, or load it from the cache on disk.

    Parameters
    ----------
    dtype : str or iterable of str
        ``"float32"``, ``"float64"``; both if left out.
    progress : bool or None
        Show on stderr what is compiled; None: only on a terminal.

    Returns
    -------
    float
        Seconds that it took.

    Examples
    --------
    >>> import fastbp
    >>> seconds = fastbp.warmup("float32", progress=False)
    """
    wanted = [dtype] if isinstance(dtype, str) else list(dtype)
    return sum(prepare(KERNELS, checks.one_of("dtype", name, DTYPES), progress) for name in wanted)
