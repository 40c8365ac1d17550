"""`train_many`: many networks at once, one per thread, each bit for bit as if trained alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, compilation
from ..data import reading
from ..model.ensemble import Ensemble
from ..model.network import Network
from ..runtime.warning import once, warn
from ..training import prepare
from ..training.defaults import AUTO, SINGLE
from ..training.train import DEFAULTS
from . import side_by_side
from .executors import make_executor
from .jobs import Dataset, Job, NotTrainedError, Result
from .variants import Variant, estimates, grouped, read_variant, variant_list


class Networks(Sequence[Network]):
    """
    What `train_many` returns: a network for each variant, in their order.

    Taking one that failed raises its exception.

    Attributes
    ----------
    failures : dict of int to Exception
        The exceptions, by the number of the variant.
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._results = list(results)  # tiny networks are made when they are first taken
        self.failures = {k: found for k, found in enumerate(self._results) if isinstance(found, Exception)}

    def __len__(self) -> int:
        return len(self._results)

    @overload
    def __getitem__(self, number: int) -> Network | Any: ...
    @overload
    def __getitem__(self, number: slice) -> Networks: ...
    def __getitem__(self, number: int | slice) -> Network | Any:
        if isinstance(number, slice):
            return Networks(self._results[number])
        found = self._results[number]
        if isinstance(found, Exception):
            raise found
        if isinstance(found, side_by_side.LazyNetwork):
            found = self._results[number] = found()
        assert isinstance(found, Network | Ensemble)
        return found

    @property
    def params(self) -> NDArray[Any]:
        """Weights and biases, a row per network (see `Network.params`); raises ValueError unless equally many."""
        for found in self._results:
            if isinstance(found, Exception):
                raise found
        made = Network | side_by_side.LazyNetwork
        return np.stack([found.params for found in self._results if isinstance(found, made)])

    def __repr__(self) -> str:
        failed = f", {len(self.failures)} of them failed" if self.failures else ""
        return f"<{len(self)} networks{failed}>"


@once()
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

    Each has the same bits as if `fastbp.train` had trained it alone, on ``X[rows]`` and ``y[rows]`` with its options
    and, unless these say otherwise, ``quality="single"``.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        As in `fastbp.train`.
    y : array-like, shape (n,) or (n, outputs)
        As in `fastbp.train`.
    variants : sequence of dict
        What differs for each network: options of `fastbp.train`, such as ``{"seed": 3, "hidden": (32,)}``; ``"rows"``,
        numbers of its samples (repeats allowed) or a truth value for each; ``"y"``, its own targets for all n samples.
        ``sample_weight`` is for all n samples, too.
    threads : int, optional
        Networks at a time; by default as many as Numba has threads.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once it takes longer than a second.
    engine : distributed.Client, optional
        Train on the workers of a Dask cluster (extra ``dask``), with the same bits; see "On several machines" in the
        guide.
    **options
        Common options of `fastbp.train`; those of a variant take precedence.

    Returns
    -------
    Networks
        A sequence of `Network`; ``failures`` has the exceptions of those that failed. The others are trained
        nevertheless.

    Raises
    ------
    ValueError
        An option that is not valid, before anything is trained; the message names the variant.

    Notes
    -----
    The networks that will take longest are begun first. Only those in training take memory for their samples. Ctrl-C
    ends these after their epoch and keeps those that are finished; the others are among the failures.

    Examples
    --------
    >>> import fastbp
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> nets = fastbp.train_many(X, y, [{"seed": k} for k in range(4)], hidden=(8,), epochs=200)
    >>> [net.score(X, y) for net in nets]
    [1.0, 1.0, 1.0, 1.0]
    """
    several = variant_list(variants)
    for key in options:
        checks.option(train_many, key, DEFAULTS)
    nets = train_variants(X, y, several, options, "variants[{}]", threads, progress, engine)
    warn_of_failures(nets)
    return nets


def train_variants(
    X: Any,
    y: Any,
    variants: Sequence[Any],
    options: Mapping[str, Any],
    name: str,
    threads: int | None,
    progress: bool | None,
    engine: Any,
) -> Networks:
    """Train as `train_many` does, without its warning; `name` is a template for the names of variants in messages."""
    executor = make_executor(threads, engine)
    read = reading.read_table(X, y, {"missing": options.get("missing")})
    table, read_targets, names = read.X, read.y, read.names
    common = DEFAULTS | {"quality": SINGLE} | dict(options)
    known = [read_variant(name.format(k), k, variant, common, len(table)) for k, variant in enumerate(variants)]
    by_name = isinstance(y, str)
    if by_name and any(variant.y is not None for variant in known):
        raise ValueError("variants: expected none with its own y, as y is a column of X")
    estimated = estimates(known, read_targets, len(table), len(names) if names else table.shape[1], names is not None)
    dataset = Dataset(table, y if by_name else read_targets)
    jobs: list[Job] = []
    for group in grouped(known):
        run = _side_by_side(group, dataset)
        if run is None:
            jobs += [Job([variant], estimated[variant.number].seconds, alike=len(group) > 1) for variant in group]
            continue
        size = side_by_side.share(run, len(group), executor.size)
        shares = [group[k : k + size] for k in range(0, len(group), size)]
        jobs += [Job(share, side_by_side.seconds(run, len(share))) for share in shares]
    if engine is None:
        for dtype in {job.variants[0].asked["dtype"] or "float32" for job in jobs if len(job.variants) > 1}:
            compilation.prepare([compilation.SIDE_BY_SIDE], dtype, progress)
    found = executor.run(jobs, dataset, progress, "training")
    return Networks(found[k] for k in range(len(known)))


def _side_by_side(group: Sequence[Variant], dataset: Dataset) -> prepare.Run | None:
    """The run of one of the variants, if they can be trained side by side."""
    asked = group[0].asked
    if len(group) < side_by_side.LEAST or asked["optimizer"] != "sgd" or asked["batch_size"] != 1:
        return None
    if asked["quality"] not in (AUTO, SINGLE):
        return None
    try:
        run = dataset.run(group[0])
    except Exception:  # trained one by one, each variant will raise it with its own name
        return None
    return run if side_by_side.fits(run) else None


def warn_of_failures(nets: Networks) -> None:
    """Warn if networks are missing."""
    if nets.failures:
        first = next(iter(nets.failures.values()))
        words = str(first) or type(first).__name__  # a MemoryError may be without words
        text = f"{len(nets.failures)} of {len(nets)} networks are missing; the first is {words}"
        warn(text, RuntimeWarning)


def require_one(nets: Networks) -> None:
    """Raise the first exception if no network was trained."""
    if len(nets.failures) == len(nets):
        raise KeyboardInterrupt if isinstance(nets.failures[0], NotTrainedError) else nets.failures[0]
