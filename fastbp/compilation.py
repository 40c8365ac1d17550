"""Compiling ahead: every kernel that a call needs is compiled (or loaded) before the clock of the training starts."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numba
import numpy as np
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock
from numpy.typing import DTypeLike, NDArray

import fastbp.kernels as kernels
from fastbp.kernels.internal import FEW, GROUP, LEAN, epochs, few_rows, is_lean, is_narrow, random

from . import checks
from .options import Architecture
from .runtime.progress import Bar

DTYPES = ("float32", "float64")
# The whole-network kernels, by the names that `warmup` shows.
KERNELS = (
    "forward",
    "evaluate",
    "infer few",
    "infer many",
    "infer parallel",
    "tiny online",
    "online",
    "narrow",
    "wide",
    "narrow parallel",
    "wide parallel",
)
SIDE_BY_SIDE = "tiny side by side"
INFER = {"few": few_rows, "many": kernels.infer, "parallel": kernels.infer_parallel}
_ready: set[tuple[str, str]] = set()


def loop_name(net: Architecture, params: NDArray[Any], batch_size: int, *ways: str) -> str:
    """
    The loop that trains such a network.

    Parameters
    ----------
    net, params, batch_size
        The network, its parameters, and the samples per update.
    *ways : str
        ``"online"`` for the lecture's rule; for batches what the loop is compiled with: ``"parallel"``, ``"sparse"``,
        ``"dropout"``, ``"clipped"``.

    Returns
    -------
    str
        One out of `KERNELS`, or one followed by the last three. The loop over many epochs is called so with "epochs" behind it, or
        "epochs watched" where samples are measured after each.
    """
    if "online" in ways:
        return (
            "tiny online"
            if is_lean(net.size_array, net.activation_codes, kernels.LOSSES.get(net.loss, np.inf))
            else "online"
        )
    narrow = is_narrow(batch_size, params) and "sparse" not in ways
    return " ".join(["narrow" if narrow else "wide", *ways])


def infer_name(way: str, given: np.dtype[Any], dtype: np.dtype[Any]) -> str:
    """The kernel that predicts raw values of type `given` with a network of type `dtype`, one `way` out of `INFER`."""
    return f"infer {way}" if given == dtype else f"infer {way} of {given}"


def _call_on_little(kernel: str, dtype: np.dtype[Any]) -> None:
    """Call the kernel with the types of a real call, a tiny network and few samples: Numba compiles it."""
    words = kernel.split()
    count = min(2, int(numba.config.NUMBA_NUM_THREADS)) if "parallel" in words else 1  # type: ignore[attr-defined]
    n, units = 2 * GROUP if "narrow" in words else 1, 1 + LEAN if words[0] == "online" else 1
    sizes = np.array([1, 1, units] if "dropout" in words else [1, units])
    rows, targets = checks.frozen(np.zeros((n, 1), dtype)), checks.frozen(np.zeros((n, units), dtype))
    weight, params, none = (
        checks.frozen(np.ones(n, dtype)),
        np.zeros(kernels.parameter_count(sizes), dtype),
        np.empty(0, dtype),
    )
    activations, nothing = np.zeros(len(sizes) - 1, np.int64), checks.frozen(none)
    if kernel == "forward":
        kernels.forward(rows, sizes, activations, params, np.empty((n, 1), dtype))
    elif "infer" in words:
        given = np.zeros((1 if "few" in words else FEW + 1, 1), np.float64 if "float64" in words else dtype)
        out = np.empty((len(given), 1), dtype)
        moments = np.empty((2, 0))
        network = (moments, sizes, activations, checks.frozen(params), moments)
        with kernels.threads(count) as allowed:
            INFER["many" if "parallel" in words and not allowed else words[1]](
                given, *network, 0.5, out, np.empty(0, np.int64)
            )
    elif kernel == SIDE_BY_SIDE:
        streams, found = np.zeros((1, random.LENGTH), np.uint64), np.empty((2, 1, 1))
        rates, failed = np.zeros(1), np.zeros(1, np.int64)
        kernels.online_many(
            rows,
            targets,
            weight,
            sizes,
            activations,
            0,
            0,
            params[np.newaxis],
            rates,
            rates,
            streams,
            False,
            *found,
            failed,
        )
    elif kernel == "evaluate":
        kernels.evaluate(0, nothing, 0, 0, np.empty((n, 1), dtype), rows, weight)
    elif "online" in words:
        loop = kernels.prepare_online(rows, targets, weight, sizes, activations, 0, nothing, 0, params, 0.1, 0.0)
        _call(loop, words, rows, targets, weight, params)
    else:
        X = (none, np.empty(0, np.int64), np.zeros(n + 1, np.int64)) if "sparse" in words else rows
        more: dict[str, Any] = {"dropout": np.array([0.5, 0.0])} if "dropout" in words else {}
        more |= {"clip": 1.0} if "clipped" in words else {}
        with kernels.threads(count) as allowed:
            rule = (kernels.SGD, none, none, 0.9, 0.999, 1e-8)
            net = (sizes, activations, 0, nothing, 0)
            loop = kernels.prepare_minibatch(X, targets, weight, n, n, *net, params, *rule, parallel=allowed, **more)
            _call(loop, words, rows, targets, weight, params, 0, 0.1, 0.0)


def _call(loop: Any, words: Sequence[str], X: Any, Y: Any, weight: Any, params: Any, *paces: Any) -> None:
    """An epoch of a prepared loop, or of the loop over many."""
    order = np.arange(len(weight))
    if "epochs" not in words:
        loop(order, *paces)
        return
    watched = epochs.Watched(X, Y, weight, np.empty_like(Y)) if "watched" in words else None
    record = epochs.Record(np.empty((1, 4)), params.copy(), params.copy(), np.zeros(1), np.zeros(1, np.int64))
    loop.several(*paces, epochs.Orders(order, np.zeros(random.LENGTH, np.uint64), False), watched, record, 0, 1)


class _Told(event.Listener):
    """Writes the name of each function that Numba compiles behind the bar; makes the bar once there is one."""

    def __init__(self, total: int, show: bool | None) -> None:
        self.total, self.show, self.done = total, show, 0
        self.bar: Bar | None = None

    def on_start(self, happening: Any) -> None:
        if self.bar is None:
            text = "compiling kernels once for this processor"
            hidden = None if self.show is None else not self.show  # None: hidden unless stderr is a terminal
            self.bar = Bar(total=self.total, desc=text, unit="kernel", disable=hidden, file=sys.stderr)
        self.bar.n = self.done
        function = happening.data["dispatcher"].py_func
        if function.__module__.startswith(kernels.__name__):
            self.bar.set_postfix_str(function.__name__)

    def on_end(self, happening: Any) -> None:
        pass


@contextmanager
def _telling(total: int, show: bool | None) -> Iterator[_Told]:
    told = _Told(total, show)
    try:
        event.register("numba:compile", told)
        yield told
    finally:
        with suppress(ValueError):  # Ctrl-C came first
            event.unregister("numba:compile", told)
        if told.bar is not None:
            told.bar.n = told.done
            told.bar.set_postfix_str("")
            told.bar.close()


def is_ready(name: str, dtype: str) -> bool:
    """Whether `prepare` has made the kernel ready."""
    return (name, dtype) in _ready


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
    wanted = [name for name in names if (name, dtype.name) not in _ready]
    if not wanted:
        return 0.0
    started = time.perf_counter()
    with global_compiler_lock:  # a lock of our own might be waited for by one who holds this one
        wanted = [name for name in wanted if (name, dtype.name) not in _ready]
        with _telling(len(wanted), progress) as told:
            for name in wanted:
                _call_on_little(name, dtype)
                _ready.add((name, dtype.name))
                told.done += 1
        return time.perf_counter() - started


def thread_count(threads: int | None) -> int:
    """Threads to use: `threads`, or all that Numba has."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads is None:
        return most
    count = checks.integer("threads", threads, 1)
    if count > most:
        raise ValueError(
            f"threads: expected at most {most} on this machine, got {count}; the environment variable NUMBA_NUM_THREADS sets the limit"
        )
    return count


def warmup(dtype: str | Iterable[str] = DTYPES, *, progress: bool | None = None) -> float:
    """
    Compile every training and prediction kernel ahead, or load it from the cache on disk.

    But for the loops with dropout, clipped gradients or sparse samples: these are compiled when they are first used. And a loop over many
    short epochs is compiled once so many have gone without it that it pays.

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
    names = (*KERNELS, *(infer_name(way, np.dtype(np.float64), np.dtype(np.float32)) for way in INFER))
    return sum(
        prepare(names if name == "float32" else KERNELS, checks.one_of("dtype", name, DTYPES), progress)
        for name in wanted
    )
