"""Compiling ahead: all kernels that a call needs are compiled, or loaded, before the training is timed."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numba
import numpy as np
from numba.core import event
from numba.core.compiler_lock import global_compiler_lock
from numpy.typing import DTypeLike, NDArray

import fastbp.kernels as kernels
from fastbp.kernels.internal import (
    FEW,
    GROUP,
    TINY_UNITS,
    cholesky,
    cholesky_inverse,
    cholesky_solve,
    dot,
    epochs,
    factor_memory,
    few_rows,
    is_narrow,
    is_tiny,
    random,
)

from . import ahead, checks
from .options import Architecture
from .runtime.progress import Bar, make_bar

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
# What the optimizers of all samples need, mostly in float64.
SECOND_ORDER = ("gauss newton", "gauss newton parallel")
# The loops over many epochs (see `loop_name`), which are otherwise compiled once they pay.
LOOPS = tuple(
    f"{loop} epochs{validated}"
    for loop in ("tiny online", "online", "narrow", "wide")
    for validated in ("", " validated")
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
        ``"pieces"``, ``"dropout"``, ``"clipped"``.

    Returns
    -------
    str
        One out of `KERNELS`, or one followed by the last four. The name of the loop over many epochs has "epochs"
        appended, or "epochs validated" if validation samples are measured after each.
    """
    if "online" in ways:
        tiny = is_tiny(net.size_array, net.activation_codes, kernels.LOSSES.get(net.loss, np.inf))
        return "tiny online" if tiny else "online"
    narrow = is_narrow(batch_size, params.nbytes) and not {"sparse", "pieces"} & set(ways)
    return " ".join(["narrow" if narrow else "wide", *ways])


def infer_name(way: str, raw: np.dtype[Any], dtype: np.dtype[Any]) -> str:
    """The kernel, one `way` out of `INFER`, that predicts raw values of type `raw` with a network of type `dtype`."""
    return f"infer {way}" if raw == dtype else f"infer {way} of {raw}"


def _call_on_little(kernel: str, dtype: np.dtype[Any]) -> None:
    """Call the kernel with the types of a real call, a tiny network and few samples, so that Numba compiles it."""
    words = kernel.split()
    count = min(2, int(numba.config.NUMBA_NUM_THREADS)) if "parallel" in words else 1  # type: ignore[attr-defined]
    n, units = 2 * GROUP if "narrow" in words else 1, 1 + TINY_UNITS if words[0] == "online" else 1
    sizes = np.array([1, 1, units] if "dropout" in words else [1, units])
    rows, targets = checks.frozen(np.zeros((n, 1), dtype)), checks.frozen(np.zeros((n, units), dtype))
    weight, params = checks.frozen(np.ones(n, dtype)), np.zeros(kernels.parameter_count(sizes), dtype)
    none = np.empty(0, dtype)
    samples = rows, targets, weight
    activations, nothing = np.zeros(len(sizes) - 1, np.int64), checks.frozen(none)
    if kernel == "forward":
        kernels.forward(rows, sizes, activations, params, np.empty((n, 1), dtype))
    elif "infer" in words:
        raw = np.zeros((1 if "few" in words else FEW + 1, 1), np.float64 if "float64" in words else dtype)
        out = np.empty((len(raw), 1), dtype)
        moments = np.empty((2, 0))
        network = (moments, sizes, activations, checks.frozen(params), moments)
        with kernels.threads(count) as allowed:
            way = "many" if "parallel" in words and not allowed else words[1]
            INFER[way](raw, *network, 0.5, out, np.empty(0, np.int64))
    elif kernel == SIDE_BY_SIDE:
        streams, found = np.zeros((1, random.LENGTH), np.uint64), np.empty((2, 1, 1))
        rates, failed = np.zeros(1), np.zeros(1, np.int64)
        networks = sizes, activations, 0, 0, params[np.newaxis]
        kernels.online_many(*samples, *networks, rates, rates, streams, False, *found, failed)
    elif words[0] == "gauss":
        matrix, gradient = np.zeros((params.size, params.size), dtype), np.zeros(params.size, dtype)
        with kernels.threads(count) as allowed:
            add = kernels.gauss_newton_parallel if allowed else kernels.gauss_newton
            add(*samples, sizes, activations, 0, nothing, params, matrix, gradient)
        factor = factor_memory(params.size)
        cholesky(np.eye(params.size), np.ones(params.size), factor)
        cholesky_solve(factor, np.ones(params.size))
        dot(np.ones(1), np.ones(1))
        cholesky_inverse(factor, factor_memory(params.size))
    elif kernel == "evaluate":
        kernels.evaluate(0, nothing, 0, 0, np.empty((n, 1), dtype), rows, weight)
    elif "online" in words:
        loop = kernels.prepare_online(*samples, sizes, activations, 0, nothing, 0, params, 0.1, 0.0)
        _call(loop, words, samples, params)
    else:
        X: Any = (none, np.empty(0, np.int64), np.zeros(n + 1, np.int64)) if "sparse" in words else rows
        if "pieces" in words:
            X = kernels.PieceRows(np.zeros((n, 1), np.int64), rows, np.array([[0, 0, -1, 0, 0]]), np.zeros(2, dtype))
        more: dict[str, Any] = {"dropout": np.array([0.5, 0.0])} if "dropout" in words else {}
        more |= {"clip": 1.0} if "clipped" in words else {}
        with kernels.threads(count) as allowed:
            rule = (kernels.SGD, none, none, 0.9, 0.999, 1e-8)
            net = (sizes, activations, 0, nothing, 0)
            loop = kernels.prepare_minibatch(X, targets, weight, n, n, *net, params, *rule, parallel=allowed, **more)
            _call(loop, words, samples, params, 0, 0.1, 0.0)


def _call(loop: Any, words: Sequence[str], samples: tuple[Any, Any, Any], params: Any, *steps: Any) -> None:
    """Run one epoch of a prepared loop, or of the loop over many."""
    X, Y, weight = samples
    order = np.arange(len(weight))
    if "epochs" not in words:
        loop(order, *steps)
        return
    validation = epochs.Watched(X, Y, weight, np.empty_like(Y)) if "validated" in words else None
    record = epochs.Record(np.empty((1, 4)), params.copy(), params.copy(), np.zeros(1), np.zeros(1, np.int64))
    orders = epochs.Orders(order, np.zeros(random.LENGTH, np.uint64), False)
    loop.several(*steps, orders, validation, record, 0, 1)


class _CompilationBar(event.Listener):
    """A progress bar that names each function while Numba compiles it; it appears with the first one."""

    def __init__(self, total: int, show: bool | None, at_first: Callable[[], None] | None = None) -> None:
        self.total, self.show, self.done, self.at_first = total, show, 0, at_first
        self.bar: Bar | None = None

    def on_start(self, happening: Any) -> None:
        if self.bar is None and self.at_first is not None:
            self.at_first()
        bar, function = self.appear(), happening.data["dispatcher"].py_func
        if function.__module__.startswith(kernels.__name__):
            bar.set_postfix_str(function.__name__)

    def appear(self) -> Bar:
        """Show the bar, if it is not shown yet."""
        if self.bar is None:
            # How long the rest takes is not known: Numba finds out on the way which functions a kernel needs.
            count = "{n_fmt} of {total_fmt}, " if self.total > 1 else ""
            shape = f"{{desc}} kernels once for this processor: {count}{{elapsed}}{{postfix}}"
            self.bar = make_bar(self.show, self.total, desc="compiling", bar_format=shape)
        self.bar.n = self.done
        return self.bar

    def on_end(self, happening: Any) -> None:
        pass


@contextmanager
def _showing(total: int, show: bool | None, at_first: Callable[[], None] | None = None) -> Iterator[_CompilationBar]:
    listener = _CompilationBar(total, show, at_first)
    try:
        event.register("numba:compile", listener)
        yield listener
    finally:
        with suppress(ValueError):  # Ctrl-C came first
            event.unregister("numba:compile", listener)
        if listener.bar is not None:
            listener.bar.n = listener.done
            listener.bar.set_description_str("compiled" if listener.done == total else "compiling", refresh=False)
            listener.bar.set_postfix_str("")
            listener.bar.close()


def is_ready(name: str, dtype: str) -> bool:
    """Whether `prepare` has made the kernel ready."""
    return (name, dtype) in _ready


def predicting(n: int, raw: np.dtype[Any], dtype: np.dtype[Any]) -> list[str]:
    """The kernels that are likely to be called first, on values of type `raw`, after training on `n` samples."""
    ways = ("few", "many") if n <= FEW else ("many", "few")
    return [infer_name(way, raw, dtype) for way in ways]


def prepare(names: Iterable[str], dtype: DTypeLike, progress: bool | None, then: Sequence[str] = ()) -> float:
    """
    Make whole-network kernels ready for `dtype`.

    Parameters
    ----------
    names : iterable of str
        Kernels out of `KERNELS` or `SECOND_ORDER`.
    dtype : float32 or float64
    progress : bool or None
        Show on stderr what is being compiled; None: only on a terminal.
    then : sequence of str
        Kernels that will be needed next. If the first of `names` has to be compiled, a second process meanwhile
        compiles the others and these, see `ahead`; without it they would be compiled when they are needed.

    Returns
    -------
    float
        Seconds that it took: about 0 if they are ready, a few tenths if they come from the cache on disk.
    """
    dtype = np.dtype(dtype)
    wanted = [name for name in names if (name, dtype.name) not in _ready]
    if not wanted:
        return 0.0
    started = time.perf_counter()
    with global_compiler_lock:  # with a second lock, two threads might wait for each other
        wanted = [name for name in wanted if (name, dtype.name) not in _ready]
        others = [*wanted[1:], *then]
        start = functools.partial(ahead.start, wanted[0], others, dtype.name) if then and wanted else None
        with _showing(len(wanted), progress, start) as listener:
            for name in wanted:
                if ahead.is_coming(name, dtype.name):
                    listener.appear()
                    ahead.wait(name)
                _call_on_little(name, dtype)
                _ready.add((name, dtype.name))
                listener.done += 1
        return time.perf_counter() - started


def thread_count(threads: int | None) -> int:
    """Threads to use: `threads`, or all that Numba has."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads is None:
        return most
    count = checks.integer("threads", threads, 1)
    if count > most:
        hint = "the environment variable NUMBA_NUM_THREADS sets the limit"
        raise ValueError(f"threads: expected at most {most} on this machine, got {count}; {hint}")
    return count


def warmup(dtype: str | Iterable[str] = DTYPES, *, progress: bool | None = None) -> float:
    """
    Compile every training and prediction kernel ahead, or load it from the cache on disk.

    Except the loops with dropout, clipped gradients or sparse samples: these are compiled when they are first used.
    The loops over many short epochs, too: without `warmup`, one is compiled once enough epochs have been run singly.

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
    names: dict[str, tuple[str, ...]] = dict.fromkeys(DTYPES, KERNELS + LOOPS)
    names["float32"] += tuple(infer_name(way, np.dtype(np.float64), np.dtype(np.float32)) for way in INFER)
    names["float64"] += SECOND_ORDER
    return sum(prepare(names[checks.one_of("dtype", name, DTYPES)], name, progress) for name in wanted)
