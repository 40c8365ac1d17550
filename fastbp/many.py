"""`train_many`: many networks at once, one per thread, each with the bits that it would have alone."""

from __future__ import annotations

import itertools
import secrets
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import checks, data, fit, interruption, targets, training
from .network import Network
from .progress import Bar
from .train import DEFAULTS

# What a variant may say beside options of `fastbp.train`.
OWN = ("rows", "y")


class NotTrainedError(Exception):
    """Ctrl-C came before the network was trained."""


class Networks(Sequence[Network]):
    """
    What `train_many` returns: a network for each variant, in their order.

    To take one that failed raises what it failed with.

    Attributes
    ----------
    failures : dict of int to Exception
        What went wrong, by the number of the variant.
    """

    def __init__(self, results: Iterable[Network | Exception]) -> None:
        self._results = tuple(results)
        self.failures = {k: found for k, found in enumerate(self._results) if isinstance(found, Exception)}

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, number: int) -> Network: ...
    @overload
    def __getitem__(self, number: slice) -> Networks: ...
    def __getitem__(self, number: int | slice) -> Network | Networks:
        found = self._results[number]
        if isinstance(found, tuple):
            return Networks(found)
        if isinstance(found, Exception):
            raise found
        return found

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} of them failed" if self.failures else ""
        return f"<{len(self)} networks{failed}>"


@dataclass(frozen=True)
class Variant:
    """
    One network to train.

    Attributes
    ----------
    number : int
    name : str
        What messages call it.
    rows : int64 array or None
        Numbers of its samples; None: all.
    y : array, name or None
        Its own targets, for all samples; None: those that all have.
    asked : dict
        All options of `fastbp.train`.
    """

    number: int
    name: str
    rows: NDArray[np.int64] | None
    y: Any
    asked: dict[str, Any]


def train_many(
    X: ArrayLike, y: ArrayLike, variants: Sequence[Mapping[str, Any]], *, threads: int | None = None, progress: bool | None = None,
    **options: Any,
) -> Networks:  # fmt: skip
    """
    Train many networks at once, one per thread.

    Each has the same bits as if `fastbp.train` had trained it alone, on ``X[rows]`` and ``y[rows]`` with its options.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        As in `fastbp.train`.
    y : array-like, shape (n,) or (n, outputs)
        As in `fastbp.train`.
    variants : sequence of dict
        What is different for each network: options of `fastbp.train`, such as ``{"seed": 3, "hidden": (32,)}``; ``"rows"``, numbers of
        its samples (repeats allowed) or a truth value for each; ``"y"``, targets of its own for all n samples.
        ``sample_weight`` is for all n samples, too.
    threads : int, optional
        Networks at a time; by default as many as Numba has threads.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once it takes longer than a second.
    **options
        Options of `fastbp.train` that all networks have in common; what a variant says goes first.

    Returns
    -------
    Networks
        A sequence of `Network`; ``failures`` has what went wrong with some: the others are trained nevertheless.

    Raises
    ------
    ValueError
        An option that is not valid, before anything is trained; the message names the variant.

    Notes
    -----
    The networks that will take longest are begun first. Only those in work take memory for their samples. Ctrl-C ends the networks in
    work after their epoch and keeps those that are finished; the others are among the failures.

    Examples
    --------
    >>> import fastbp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> nets = fastbp.train_many(X, y, [{"seed": k} for k in range(4)], hidden=(8,), epochs=200)
    >>> [net.score(X, y) for net in nets]
    [1.0, 1.0, 1.0, 1.0]
    """
    listed = _listed(variants)
    for key in options:
        checks.one_of("train_many", key, DEFAULTS)
    nets = trained(X, y, listed, options, called="variants[{}]", threads=threads, progress=progress)
    warn_of_failures(nets)
    return nets


def trained(
    X: Any, y: Any, variants: Sequence[Any], options: Mapping[str, Any], *, called: str, threads: int | None, progress: bool | None
) -> Networks:
    """Train as `train_many` does, but for its warning; `called` is what messages call a variant, by its number."""
    workers = fit.thread_count(threads)
    table, targets_read, names = data.read_table(X, y)
    known = [_read(k, called.format(k), variant, options, len(table)) for k, variant in enumerate(variants)]
    by_name = isinstance(y, str)
    if by_name and any(variant.y is not None for variant in known):
        raise ValueError("variants: expected no y of their own where y is a column of X")
    costs = _costs(known, targets_read, len(names or table[0]), names is not None)

    def learnt(variant: Variant) -> Network:
        asked, inputs = variant.asked, table
        own: Any = y if by_name else targets_read if variant.y is None else variant.y
        if variant.rows is not None:
            inputs, own = taken(table, variant.rows), own if by_name else np.asarray(own)[variant.rows]
            if asked["sample_weight"] is not None:
                asked = asked | {"sample_weight": np.asarray(asked["sample_weight"])[variant.rows]}
        return training.learn(inputs, own, asked, threads=1, progress=False, callback=None)

    return Networks(_in_threads(learnt, sorted(known, key=lambda variant: -costs[variant.number]), workers, progress))


def warn_of_failures(nets: Networks) -> None:
    """Tell the caller of the caller if networks are missing."""
    if nets.failures:
        text = f"{len(nets.failures)} of {len(nets)} networks are missing; the first is {next(iter(nets.failures.values()))}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def require_one(nets: Networks) -> None:
    """Raise what went wrong where no network was trained."""
    if len(nets.failures) == len(nets):
        raise KeyboardInterrupt if isinstance(nets.failures[0], NotTrainedError) else nets.failures[0]


def prepared(who: str, X: Any, y: Any, options: Mapping[str, Any]) -> tuple[Any, NDArray[Any], targets.Targets, dict[str, Any]]:
    """
    Data and options that many networks have in common, checked before rows are drawn for each.

    Parameters
    ----------
    who : str
        Named where an option is unknown.
    X, y
        As in `fastbp.train`.
    options : mapping
        Options of `fastbp.train`, but for the seed.

    Returns
    -------
    array or frame
        X, without y.
    array
        y, as it was given.
    Targets
        y, as read.
    dict
        The options, with the task: some of the rows could be taken for another.
    """
    for key in options:
        checks.one_of(who, key, [key for key in DEFAULTS if key != "seed"])
    table, values, names = data.read_table(X, y)
    asked = DEFAULTS | dict(options)
    target = _target(asked, values, len(table))
    _cost(asked, target, len(names or table[0]), names is not None)
    data.sample_weights(len(table), asked["sample_weight"], asked["class_weight"], target)
    return table[list(names)] if isinstance(y, str) and names else table, np.asarray(values), target, dict(options) | {"task": target.task}


def _listed(variants: Any) -> list[Any]:
    if isinstance(variants, str | Mapping) or not isinstance(variants, Iterable):
        raise ValueError(f"variants: expected a sequence of dicts, got {type(variants).__name__}")
    listed = list(variants)
    if not listed:
        raise ValueError("variants: expected at least one, got none")
    return listed


def _read(number: int, name: str, variant: Any, options: Mapping[str, Any], n: int) -> Variant:
    """What one variant says, all options filled in."""
    if not isinstance(variant, Mapping):
        raise ValueError(f"{name}: expected a dict of options, got {variant!r}")
    for key in variant:
        checks.one_of(name, key, [*DEFAULTS, *OWN])
    asked = DEFAULTS | dict(options) | {key: value for key, value in variant.items() if key not in OWN}
    asked["seed"] = secrets.randbits(32) if asked["seed"] is None else checks.integer(f"{name}: seed", asked["seed"], 0)
    rows = variant.get("rows")
    return Variant(number, name, None if rows is None else _rows(f"{name}: rows", rows, n), variant.get("y"), asked)


def _rows(name: str, rows: Any, n: int) -> NDArray[np.int64]:
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (n,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ValueError(f"{name}: expected numbers of samples, or a truth value for each of {n}, got {array.dtype} of shape {array.shape}")
    if array.min() < 0 or array.max() >= n:
        raise ValueError(f"{name}: expected numbers from 0 to {n - 1}, got {array.min()} to {array.max()}")
    return array.astype(np.int64)


def _target(asked: Mapping[str, Any], y: Any, n: int) -> targets.Targets:
    """Targets of one training, read."""
    start = asked["init"] if isinstance(asked["init"], Network) else None
    return targets.read(y, asked["task"], n) if start is None else data.targets_of(start, y, asked["task"], n)


def _cost(asked: Mapping[str, Any], target: targets.Targets, inputs: int, frame: bool) -> float:
    """Multiply-adds of one training; raises ValueError for options that are not valid."""
    start, validation = asked["init"] if isinstance(asked["init"], Network) else None, asked["validation"]
    held = int(data.held_rows(target, validation, data.random_streams(asked["seed"])[1]).sum())
    n, columns = len(target.values) - held, start.sizes[0] if frame and start else inputs
    net, plan = training.designed(target, columns, n, held > 0 or validation is not None, **asked)
    return float(sum(a * b for a, b in itertools.pairwise(net.sizes))) * n * plan.epochs


def _costs(variants: Sequence[Variant], y: Any, inputs: int, frame: bool) -> list[float]:
    """`_cost` of each; raises ValueError for targets of another kind, too."""
    costs: list[float] = []
    kinds: dict[tuple[Any, ...], targets.Targets] = {}
    first: targets.Targets | None = None
    for variant in variants:
        asked, own = variant.asked, y if variant.y is None else variant.y
        try:
            key = (asked["task"], asked["init"] if isinstance(asked["init"], Network) else None)
            if variant.rows is None and variant.y is None and key in kinds:
                target = kinds[key]
            else:
                own = own if variant.rows is None else np.asarray(own)[variant.rows]
                target = _target(asked, own, len(own))
                if variant.rows is None and variant.y is None:
                    kinds[key] = target
            first = first or target
            if _kind(target) != _kind(first):
                raise ValueError(f"expected targets like those of {variants[0].name} ({_told(first)}), got {_told(target)}")
            costs.append(_cost(asked, target, inputs, frame))
        except ValueError as error:
            raise ValueError(f"{variant.name}: {error}") from None
    return costs


def _kind(target: targets.Targets) -> tuple[Any, ...]:
    return target.task, target.outputs, None if target.classes is None else target.classes.tolist()


def _told(target: targets.Targets) -> str:
    return f"{target.task}, {target.outputs} {'outputs' if target.classes is None else 'classes'}"


def taken(table: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of an array or a frame."""
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def _in_threads(
    learn: Callable[[Variant], Network], variants: Sequence[Variant], workers: int, progress: bool | None
) -> list[Network | Exception]:
    """What `learn` makes of each variant, or raises, begun in the order given; in the order of their numbers."""
    missed = "Ctrl-C came before the network was trained"
    found: dict[int, Network | Exception] = {variant.number: NotTrainedError(f"{variant.name}: {missed}") for variant in variants}
    bar = Bar(total=len(variants), desc="training", unit="network", delay=1.0, disable=None if progress is None else not progress)
    pool, broken_off = ThreadPoolExecutor(workers, "fastbp"), False
    with interruption.awaited() as wish:

        def one(variant: Variant) -> Network:
            interruption.shared.set(wish)
            if not wish.came:
                net = learn(variant)
                if net.stop_reason != "interrupted":
                    return net
            raise NotTrainedError

        waiting = {pool.submit(one, variant): variant for variant in variants}
        try:
            for done in as_completed(waiting):
                error, variant = done.exception(), waiting[done]
                if not isinstance(error, NotTrainedError):
                    found[variant.number] = done.result() if error is None else _named(error, variant.name)
                bar.update()
        except KeyboardInterrupt:  # a second Ctrl-C, or one that another handler has made of the first
            wish.came = broken_off = True
        finally:
            pool.shutdown(wait=not broken_off, cancel_futures=True)
            bar.close()
    return [found[k] for k in sorted(found)]


def _named(error: BaseException, name: str) -> Exception:
    """The failure of a variant; what is no failure of its own is raised."""
    if not isinstance(error, Exception):
        raise error
    return type(error)(f"{name}: {error}") if type(error) in (ValueError, FloatingPointError) else error
