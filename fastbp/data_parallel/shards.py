"""
Shards: parts of the samples, cut by the numbers of samples and of a batch alone, that learn together.

Each batch takes some rows of every shard. The gradient of a shard is computed by one thread, and those of all shards are added up along a
fixed tree, so the bits do not depend on the number of threads or workers, nor on who holds which shard.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import checks, compilation
from ..data import samples
from ..data import scaling as scaled
from ..data.targets import Targets
from ..model.network import Network
from ..options import Architecture
from ..tables.raw_inputs import Inputs
from ..training import checkpoint, learner
from ..training.passes import Passes
from . import tree

Array = NDArray[Any]
Moments = tuple[int, Array, Array]
V = TypeVar("V")

# Rows of a shard in a batch: with half as many, an epoch took an eighth longer. Shards at most, and at least where batches allow it.
ROWS, MOST, FEWEST = 512, 256, 8


def shard_count(n: int, batch_size: int) -> int:
    """How many shards n samples are cut into: a power of two; each has a row in each batch."""
    batch = n / math.ceil(n / batch_size)
    return 1 << int(math.log2(min(max(batch / ROWS, FEWEST), batch, MOST)))


def cuts(n: int, parts: int) -> NDArray[np.int64]:
    """Where parts of about the same size begin, and the end of the last."""
    return np.arange(parts + 1) * n // parts


@dataclass(frozen=True)
class Share:
    """
    What belongs to the rows of some neighbouring shards.

    Attributes
    ----------
    y : Targets
    weight : array
        Factors of the losses, of mean 1 over all shards.
    places : int64 array
        Where the rows of each shard begin among those of all shards, and the end of the last.
    exported : Inputs or None
        How raw values become inputs; None: they are the inputs.
    """

    y: Targets
    weight: Array
    places: NDArray[np.int64]
    exported: Inputs | None

    def inputs(self, raw: Array) -> Array:
        """Inputs of the network from raw values."""
        return raw if self.exported is None else self.exported.expand(raw)

    @property
    def parts(self) -> list[slice]:
        """Where the rows of each shard are among those that are here."""
        return [slice(*pair) for pair in itertools.pairwise((self.places - self.places[0]).tolist())]


@dataclass(frozen=True)
class Run:
    """What all shards must know to learn: the network, the standardisation, the batches of an epoch, and what dropout depends on."""

    net: Architecture
    scaling: samples.Scaling
    dtype: np.dtype[Any]
    shards: int
    batches: int
    dropout: tuple[float, ...]
    seed: int
    predicts: bool  # a metric will ask for predictions


@dataclass
class Step:
    """Sums over the rows of a batch: losses, right decisions, gradients; and inputs for which the loss is not finite, if there are."""

    rows: int
    loss: float
    correct: float
    gradient: Array
    failing: Array | None

    def __add__(self, other: Step) -> Step:
        np.add(self.gradient, other.gradient, out=self.gradient)
        failing = other.failing if self.failing is None else self.failing
        return Step(
            self.rows + other.rows, self.loss + other.loss, self.correct + other.correct, self.gradient, failing
        )


def merged(left: Moments, right: Moments) -> Moments:
    """Count, mean and sum of squared distances from it, of two sets of rows (Chan et al., 1979)."""
    (n, mean, squares), (m, other, others) = left, right
    if n == 0 or m == 0:
        return right if n == 0 else left
    with np.errstate(over="ignore", invalid="ignore"):
        away = other - mean
        return n + m, mean + away * (m / (n + m)), squares + others + np.square(away) * (n * m / (n + m))


def _sums(left: tuple[float, ...], right: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


class Holding:
    """
    Neighbouring shards that are held in one place.

    Parameters
    ----------
    raw : array, shape (rows, raw values)
        Samples to learn from.
    watched : array or None
        Samples to watch.
    first : int
        Number of the first shard.
    training : Share
        What belongs to the rows of `raw`.
    held_out : Share or None
        What belongs to those of `watched`.
    threads : int
    """

    def __init__(
        self, raw: Array, watched: Array | None, first: int, training: Share, held_out: Share | None, threads: int
    ) -> None:
        self.raw: Array | None = _checked("X", raw, training)
        self.watched = None if watched is None or held_out is None else _checked("validation", watched, held_out)
        self.first, self.training, self.held_out = first, training, held_out
        self.count = len(training.places) - 1
        self.threads = min(threads, self.count)
        self.pool = ThreadPoolExecutor(self.threads, "fastbp") if self.threads > 1 else None
        self.known: dict[
            bool, tuple[Array, Array, Array]
        ] = {}  # inputs, targets, weights: by whether they are held out

    def _reduced(self, value: Callable[[int, int], V], add: Callable[[V, V], V]) -> list[tree.Node[V]]:
        """Values of all shards, of which each thread takes some in a row, added up; ``value(shard, thread)``, both from 0."""
        bounds = cuts(self.count, self.threads).tolist()

        def own(thread: int) -> list[tree.Node[V]]:
            return tree.reduced(
                ((self.first + k, 1, value(k, thread)) for k in range(bounds[thread], bounds[thread + 1])), add
            )

        found = map(own, range(self.threads)) if self.pool is None else self.pool.map(own, range(self.threads))
        return tree.reduced(itertools.chain.from_iterable(list(found)), add)

    # Before the run

    def moments(self) -> list[tree.Node[Moments]]:
        """Moments of the inputs to learn from."""
        raw, parts = self.raw, self.training.parts
        assert raw is not None

        def of(shard: int, thread: int) -> Moments:
            X = self.training.inputs(raw[parts[shard]])
            mean, deviation = scaled.moments(X)
            with np.errstate(over="ignore"):
                return len(X), mean, np.square(deviation) * len(X)

        return self._reduced(of, merged)

    def digests(self) -> list[tuple[str, str]]:
        """A digest of each shard: of the rows to learn from, and of those to watch."""
        raw, watched = self.raw, self.watched
        assert raw is not None
        learnt = [checkpoint.digest([raw[part]])[0] for part in self.training.parts]
        if watched is None or self.held_out is None:
            return [(digest, "") for digest in learnt]
        return list(zip(learnt, (checkpoint.digest([watched[part]])[0] for part in self.held_out.parts), strict=True))

    def examples(self, numbers: NDArray[np.int64]) -> Array:
        """Raw values of those of the rows of these numbers to learn from that are here."""
        assert self.raw is not None
        places = self.training.places
        return self.raw[numbers[(numbers >= places[0]) & (numbers < places[-1])] - places[0]]

    # The run

    def begin(self, run: Run, progress: bool | None) -> float:
        """Standardise, and make the kernels ready; returns the seconds that they took."""
        net, dtype, raw = run.net, run.dtype, self.raw
        assert raw is not None
        self.run, self.params = run, np.empty(kernels.parameter_count(net.size_array), dtype)
        self.known[False] = _ready(raw, self.training, run)
        if self.held_out is not None and self.watched is not None:
            self.known[True] = _ready(self.watched, self.held_out, run)
        self.raw = None
        if not run.predicts:
            self.watched = None
        self.drawn: Any = ()
        self.orders: list[NDArray[np.int64]] = []
        rows = max(-(-size // run.batches) for size in np.diff(self.training.places).tolist())
        self.gradients = [np.zeros_like(self.params) for _ in range(self.threads)]
        self.passes = [
            Passes(
                *self.known[False],
                net,
                self.params,
                "gradient",
                [gradient],
                (0.0, 0.0, 0.0),
                rows,
                dropout=run.dropout,
                seed=run.seed,
                rows=rows,
            )
            for gradient in self.gradients
        ]
        return compilation.prepare([*self.passes[0].kernel_names, "forward", "evaluate"], dtype, progress)

    def gradient(self, params: Array, step: int, draw: int | None, batch: int) -> list[tree.Node[Step]]:
        """
        Sums over the rows that belong to a batch.

        Parameters
        ----------
        params : array
        step : int
            Updates made so far; what dropout leaves out depends on it.
        draw : int or None
            What the order of the rows in this epoch depends on; None keeps it.
        batch : int
            Number in the epoch, from 0.
        """
        run, X = self.run, self.known[False][0]
        self.params[:] = params
        if self.drawn != draw:
            self.orders = [self._order(shard, part, draw) for shard, part in enumerate(self.training.parts)]
            self.drawn = draw

        def of(shard: int, thread: int) -> Step:
            order, gradient = self.orders[shard], self.gradients[thread]
            rows = order[batch * len(order) // run.batches : (batch + 1) * len(order) // run.batches]
            one = self.passes[thread].run(rows, step * run.shards + self.first + shard, 1.0, 0.0)
            n = len(rows)
            return Step(
                n,
                one.loss * n,
                one.correct * n,
                gradient * self.params.dtype.type(n),
                None if one.failed < 0 else np.take(X, rows, axis=0),
            )

        return self._reduced(of, Step.__add__)

    def _order(self, shard: int, part: slice, draw: int | None) -> NDArray[np.int64]:
        order = np.arange(part.start, part.stop)
        return order if draw is None else np.random.default_rng([draw, self.first + shard]).permutation(order)

    def measure(self, params: Array, held_out: bool) -> list[tree.Node[tuple[float, ...]]]:
        """Sums of the losses and of the right decisions."""
        share, self.params[:] = self.held_out if held_out else self.training, params
        assert share is not None
        parts, ready = share.parts, self.known[held_out]

        def of(shard: int, thread: int) -> tuple[float, ...]:
            part = parts[shard]
            n = part.stop - part.start
            if n == 0:
                return 0.0, 0.0
            loss, correct = learner.measured(
                self.run.net, self.params, samples.Ready(*(array[part] for array in ready))
            )
            return loss * n, correct * n

        return self._reduced(of, _sums)

    def predicted(self, net: Network) -> list[Array]:
        """What a network predicts for the rows to watch."""
        return (
            [] if self.watched is None or self.held_out is None else [net.predict(self.held_out.inputs(self.watched))]
        )


def _checked(name: str, raw: Array, share: Share) -> Array:
    """Finite numbers; of the columns of a frame, some may be missing, which are filled."""
    return (
        checks.samples(f"{name} from sample {share.places[0]} on", raw) if share.exported is None and len(raw) else raw
    )


def _ready(raw: Array, share: Share, run: Run) -> tuple[Array, Array, Array]:
    """Inputs, targets and weights as the kernels take them."""
    scaling = run.scaling
    X = scaled.standardise("X", share.inputs(raw), scaling.x_mean, scaling.x_scale, run.dtype)
    return (
        checks.frozen(X),
        checks.frozen(scaling.targets(share.y, run.net, run.dtype)),
        checks.frozen(share.weight.astype(run.dtype)),
    )


def measured(nodes: Sequence[Any], rows: int) -> tuple[float, float]:
    """Mean loss and accuracy of all rows."""
    loss, correct = tree.total(nodes, _sums)
    return loss / rows, correct / rows
