"""
Shards: parts of the samples that learn together. How they are cut depends only on the numbers of samples.

Each batch takes some rows of every shard. One thread computes the gradient of a shard, and the gradients of all shards
are summed along a fixed tree. So the bits do not depend on the number of threads or workers, nor on which worker holds
which shard.
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
from ..data.scaling import moments, standardise
from ..data.targets import Targets
from ..model.network import Network
from ..options import Architecture
from ..tables.raw_inputs import Inputs
from ..training import checkpoint, learner
from ..training.passes import Passes, UpdateRule
from . import tree

Array = NDArray[Any]
Moments = tuple[int, Array, Array]
V = TypeVar("V")

# Rows of a shard in a batch: with half as many, an epoch took an eighth longer. Most shards, and fewest if batches are
# large enough.
ROWS, MOST, FEWEST = 512, 256, 8


def shard_count(n: int, batch_size: int) -> int:
    """Number of shards for n samples: a power of two, so that each has a row in each batch."""
    batch = n / math.ceil(n / batch_size)
    return 1 << int(math.log2(min(max(batch / ROWS, FEWEST), batch, MOST)))


def cuts(n: int, parts: int) -> NDArray[np.int64]:
    """Where parts of about equal size begin, and the end of the last."""
    return np.arange(parts + 1) * n // parts


@dataclass(frozen=True)
class ShardTargets:
    """
    What belongs to the rows of neighbouring shards, besides their raw values.

    Attributes
    ----------
    y : Targets
    weight : array
        Factors of the losses, of mean 1 over all shards.
    places : int64 array
        Where the rows of each shard begin among the rows of all shards, and the end of the last.
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
        """Where the rows of each shard are in this group."""
        return [slice(*pair) for pair in itertools.pairwise((self.places - self.places[0]).tolist())]


@dataclass(frozen=True)
class Setup:
    """What all shards must know to learn."""

    net: Architecture
    scaling: samples.Scaling
    dtype: np.dtype[Any]
    shards: int
    batches: int
    dropout: tuple[float, ...]
    seed: int
    predicts: bool  # a metric will ask for predictions


@dataclass
class BatchSums:
    """Sums of losses, correct decisions and gradients over rows of a batch; and inputs whose loss is not finite."""

    rows: int
    loss: float
    correct: float
    gradient: Array
    failing: Array | None

    def __add__(self, other: BatchSums) -> BatchSums:
        np.add(self.gradient, other.gradient, out=self.gradient)
        failing = other.failing if self.failing is None else self.failing
        loss, correct = self.loss + other.loss, self.correct + other.correct
        return BatchSums(self.rows + other.rows, loss, correct, self.gradient, failing)


def merged(left: Moments, right: Moments) -> Moments:
    """Merge the counts, means and sums of squared distances from the mean of two sets of rows (Chan et al., 1979)."""
    (n, mean, squares), (m, other, others) = left, right
    if n == 0 or m == 0:
        return right if n == 0 else left
    with np.errstate(over="ignore", invalid="ignore"):
        away = other - mean
        return n + m, mean + away * (m / (n + m)), squares + others + np.square(away) * (n * m / (n + m))


def _sums(left: tuple[float, ...], right: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(a + b for a, b in zip(left, right, strict=True))


class ShardGroup:
    """
    Neighbouring shards that are held in one place.

    Parameters
    ----------
    raw : array, shape (rows, raw values)
        Training samples.
    raw_validation : array or None
        Validation samples.
    first : int
        Number of the first shard.
    training : ShardTargets
        What belongs to the rows of `raw`.
    validation : ShardTargets or None
        What belongs to those of `raw_validation`.
    threads : int
    """

    def __init__(
        self,
        raw: Array,
        raw_validation: Array | None,
        first: int,
        training: ShardTargets,
        validation: ShardTargets | None,
        threads: int,
    ) -> None:
        self.raw: Array | None = _checked("X", raw, training)
        self.raw_validation: Array | None = None
        if raw_validation is not None and validation is not None:
            self.raw_validation = _checked("validation", raw_validation, validation)
        self.first, self.training, self.validation = first, training, validation
        self.count = len(training.places) - 1
        self.threads = min(threads, self.count)
        self.pool = ThreadPoolExecutor(self.threads, "fastbp") if self.threads > 1 else None
        # Inputs, targets and weights, by whether they are for validation
        self.ready: dict[bool, tuple[Array, Array, Array]] = {}

    def _reduced(self, value: Callable[[int, int], V], add: Callable[[V, V], V]) -> list[tree.Node[V]]:
        """The sum of ``value(shard, thread)`` (both from 0) over the shards; each thread takes neighbouring ones."""
        bounds = cuts(self.count, self.threads).tolist()

        def part(thread: int) -> list[tree.Node[V]]:
            shards = range(bounds[thread], bounds[thread + 1])
            return tree.reduced(((self.first + k, 1, value(k, thread)) for k in shards), add)

        found = map(part, range(self.threads)) if self.pool is None else self.pool.map(part, range(self.threads))
        return tree.reduced(itertools.chain.from_iterable(list(found)), add)

    # Before the run

    def moments(self) -> list[tree.Node[Moments]]:
        """Moments of the training inputs."""
        raw, parts = self.raw, self.training.parts
        assert raw is not None

        def of(shard: int, thread: int) -> Moments:
            X, weight = self.training.inputs(raw[parts[shard]]), self.training.weight[parts[shard]]
            mean, deviation = moments(X, weight=None if (weight == 1).all() else weight)
            with np.errstate(over="ignore"):
                return weight.sum(), mean, np.square(deviation) * weight.sum()

        return self._reduced(of, merged)

    def digests(self) -> list[tuple[str, str]]:
        """Digests of each shard: of its training and its validation rows."""
        raw, raw_validation = self.raw, self.raw_validation
        assert raw is not None
        of_training = [checkpoint.digest([raw[part]])[0] for part in self.training.parts]
        if raw_validation is None or self.validation is None:
            return [(digest, "") for digest in of_training]
        of_validation = [checkpoint.digest([raw_validation[part]])[0] for part in self.validation.parts]
        return list(zip(of_training, of_validation, strict=True))

    def examples(self, numbers: NDArray[np.int64]) -> Array:
        """Raw values of the training rows of these numbers, as far as they are here."""
        assert self.raw is not None
        places = self.training.places
        return self.raw[numbers[(numbers >= places[0]) & (numbers < places[-1])] - places[0]]

    # The run

    def begin(self, setup: Setup, progress: bool | None) -> float:
        """Standardise, and make the kernels ready; returns the seconds that these took."""
        net, dtype, raw = setup.net, setup.dtype, self.raw
        assert raw is not None
        self.setup, self.params = setup, np.empty(kernels.parameter_count(net.size_array), dtype)
        self.ready[False] = _ready(raw, self.training, setup)
        if self.validation is not None and self.raw_validation is not None:
            self.ready[True] = _ready(self.raw_validation, self.validation, setup)
        self.raw = None
        if not setup.predicts:
            self.raw_validation = None
        self.drawn: Any = ()
        self.orders: list[NDArray[np.int64]] = []
        rows = max(-(-size // setup.batches) for size in np.diff(self.training.places).tolist())
        self.gradients = [np.zeros_like(self.params) for _ in range(self.threads)]
        rules = [UpdateRule("gradient", [gradient], (0.0, 0.0, 0.0), setup.dropout) for gradient in self.gradients]
        data = self.ready[False]
        self.passes = [Passes(data, net, self.params, rule, rows, seed=setup.seed, rows=rows) for rule in rules]
        return compilation.prepare([*self.passes[0].kernel_names, "forward", "evaluate"], dtype, progress)

    def gradient(self, params: Array, step: int, draw: int | None, batch: int) -> list[tree.Node[BatchSums]]:
        """
        Sums over the rows that belong to a batch.

        Parameters
        ----------
        params : array
        step : int
            Updates made so far; determines what dropout leaves out.
        draw : int or None
            Determines the order of the rows in this epoch; None keeps their order.
        batch : int
            Number in the epoch, from 0.
        """
        batches, count, X = self.setup.batches, self.setup.shards, self.ready[False][0]
        self.params[:] = params
        if self.drawn != draw:
            self.orders = [self._order(shard, part, draw) for shard, part in enumerate(self.training.parts)]
            self.drawn = draw

        def of(shard: int, thread: int) -> BatchSums:
            order, gradient = self.orders[shard], self.gradients[thread]
            rows = order[batch * len(order) // batches : (batch + 1) * len(order) // batches]
            one = self.passes[thread].run(rows, step * count + self.first + shard, 1.0, 0.0)
            n, failing = len(rows), None if one.failed < 0 else np.take(X, rows, axis=0)
            return BatchSums(n, one.loss * n, one.correct * n, gradient * self.params.dtype.type(n), failing)

        return self._reduced(of, BatchSums.__add__)

    def _order(self, shard: int, part: slice, draw: int | None) -> NDArray[np.int64]:
        order = np.arange(part.start, part.stop)
        return order if draw is None else np.random.default_rng([draw, self.first + shard]).permutation(order)

    def measure(self, params: Array, validation: bool) -> list[tree.Node[tuple[float, ...]]]:
        """Sums of the losses and of the correct decisions."""
        targets, self.params[:] = self.validation if validation else self.training, params
        assert targets is not None
        parts, ready = targets.parts, self.ready[validation]

        def of(shard: int, thread: int) -> tuple[float, ...]:
            part = parts[shard]
            n = part.stop - part.start
            if n == 0:
                return 0.0, 0.0
            rows = samples.Ready(*(array[part] for array in ready))
            loss, correct = learner.measured(self.setup.net, self.params, rows)
            return loss * n, correct * n

        return self._reduced(of, _sums)

    def predicted(self, net: Network) -> list[Array]:
        """What a network predicts for the validation rows."""
        if self.raw_validation is None or self.validation is None:
            return []
        return [net.predict(self.validation.inputs(self.raw_validation))]


def _checked(name: str, raw: Array, targets: ShardTargets) -> Array:
    """The rows, checked to be finite; those of a frame may have missing values, which will be filled in."""
    if targets.exported is not None or not len(raw):
        return raw
    return checks.samples(f"{name} from sample {targets.places[0]} on", raw)


def _ready(raw: Array, targets: ShardTargets, setup: Setup) -> tuple[Array, Array, Array]:
    """Inputs, targets and weights as the kernels take them."""
    scaling, dtype = setup.scaling, setup.dtype
    X = standardise("X", targets.inputs(raw), scaling.x_mean, scaling.x_scale, dtype)
    Y = scaling.targets(targets.y, setup.net, dtype)
    return checks.frozen(X), checks.frozen(Y), checks.frozen(targets.weight.astype(dtype))


def measured(nodes: Sequence[Any], rows: int) -> tuple[float, float]:
    """Mean loss and accuracy of all rows."""
    loss, correct = tree.total(nodes, _sums)
    return loss / rows, correct / rows
