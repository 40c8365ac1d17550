"""`train_many`: many networks at once, one per thread, each with the bits that it would have alone."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, compilation
from ..data import samples as data
from ..model.network import Network
from ..train import DEFAULTS
from ..training import prepare
from . import side_by_side
from .jobs import Job, NotTrainedError, Result, Samples
from .threads import crew
from .variants import Variant, alike, designs_of, listed, read


class Networks(Sequence[Network]):
    """
    What `train_many` returns: a network for each variant, in their order.

    To take one that failed raises what it failed with.

    Attributes
    ----------
    failures : dict of int to Exception
        What went wrong, by the number of the variant.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._results = list(results)  # tiny networks are made when they are first asked for
        self.failures = {k: found for k, found in enumerate(self._results) if isinstance(found, Exception)}

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, number: int) -> Network: ...
    @overload
    def __getitem__(self, number: slice) -> Networks: ...
    def __getitem__(self, number: int | slice) -> Network | Networks:
        if isinstance(number, slice):
            return Networks(self._results[number])
        found = self._results[number]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, side_by_side.Trained):
            found = self._results[number] = found()
        assert isinstance(found, Network)
        return found

    @property
    def params(self) -> NDArray[Any]:
        """Weights and biases of all networks, a row for each (see `Network.params`); raises ValueError unless they have equally many."""
        for found in self._results:
            if isinstance(found, Exception):
                raise found
        return np.stack([found.params for found in self._results if isinstance(found, Network | side_by_side.Trained)])

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} of them failed" if self.failures else ""
        return f"<{len(self)} networks{failed}>"


def train_many(
    X: ArrayLike,
    y: ArrayLike,
    variants: Sequence[Mapping[str, Any]],
    *,
    threads: int | None = None,
    progress: bool | None = None,
    engine: Any = None,
    **options: Any,
) -> Networks:
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
    engine : distributed.Client, optional
        Train on the workers of a Dask cluster (extra ``dask``), with the same bits; see "On several machines" in the guide.
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
    several = listed(variants)
    for key in options:
        checks.one_of("train_many", key, DEFAULTS)
    nets = trained(X, y, several, options, called="variants[{}]", threads=threads, progress=progress, engine=engine)
    warn_of_failures(nets)
    return nets


def trained(
    X: Any,
    y: Any,
    variants: Sequence[Any],
    options: Mapping[str, Any],
    *,
    called: str,
    threads: int | None,
    progress: bool | None,
    engine: Any,
) -> Networks:
    """Train as `train_many` does, but for its warning; `called` is what messages call a variant, by its number."""
    workers = crew(threads, engine)
    table, targets_read, names = data.read_table(X, y)
    common = DEFAULTS | dict(options)
    known = [read(called.format(k), k, variant, common, len(table)) for k, variant in enumerate(variants)]
    by_name = isinstance(y, str)
    if by_name and any(variant.y is not None for variant in known):
        raise ValueError("variants: expected no y of their own where y is a column of X")
    designs = designs_of(known, targets_read, len(table), len(names or table[0]), names is not None)
    samples = Samples(table, y if by_name else targets_read)
    work: list[Job] = []
    for group in alike(known):
        task = _side_by_side(group, samples)
        if task is None:
            work += [Job([variant], designs[variant.number].seconds, alike=len(group) > 1) for variant in group]
            continue
        size = side_by_side.share(task, len(group), workers.size)
        shares = [group[k : k + size] for k in range(0, len(group), size)]
        work += [Job(share, side_by_side.seconds(task, len(share))) for share in shares]
    if engine is None:
        for dtype in {job.variants[0].asked["dtype"] for job in work if len(job.variants) > 1}:
            compilation.prepare([compilation.SIDE_BY_SIDE], dtype, progress)
    found = workers.run(work, samples, progress, "training")
    return Networks(found[k] for k in range(len(known)))


def _side_by_side(group: Sequence[Variant], samples: Samples) -> prepare.Task | None:
    """The run of one of the variants, if they learn side by side."""
    asked = group[0].asked
    if len(group) < side_by_side.LEAST or asked["optimizer"] != "sgd" or asked["batch_size"] != 1:
        return None
    try:
        task = samples.task(group[0])
    except Exception:  # which each of them will meet, and tell with its name
        return None
    return task if side_by_side.fits(task) else None


def warn_of_failures(nets: Networks) -> None:
    """Tell the caller of the caller if networks are missing."""
    if nets.failures:
        text = f"{len(nets.failures)} of {len(nets)} networks are missing; the first is {next(iter(nets.failures.values()))}"
        warnings.warn(text, RuntimeWarning, stacklevel=3)


def require_one(nets: Networks) -> None:
    """Raise what went wrong where no network was trained."""
    if len(nets.failures) == len(nets):
        raise KeyboardInterrupt if isinstance(nets.failures[0], NotTrainedError) else nets.failures[0]
