"""Data-parallel training: all shards compute gradients of their rows of a batch; the sum updates the weights here."""

from __future__ import annotations

import functools
import itertools
import numbers
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import checks, compilation, memory, tables
from ..data import division, reading
from ..data import samples as data
from ..model.network import Network
from ..options import NUMBERS, Architecture, Hyperparameters, default_shared_batch_size
from ..second_order.options import NAMES
from ..training import checkpoint, source
from ..training.state import TrainingState
from . import chunks, shards, tree
from .store import GroupContent, LocalStore, ShardStore


def _store(threads: Any) -> ShardStore:
    """The workers of the default client, if there is one, else threads of this process."""
    client = _default_client()
    if client is None:
        return LocalStore(compilation.thread_count(threads))
    if threads is not None:
        raise ValueError(f"threads: expected None with a dask client, whose workers have their own, got {threads!r}")
    from .remote import ClusterStore

    return ClusterStore(client)


def _default_client() -> Any:
    distributed = sys.modules.get("distributed")  # a program with a client has imported it
    try:
        return None if distributed is None else distributed.default_client()
    except ValueError:  # there is none
        return None


class DaskSource:
    """
    Samples in the chunks of a Dask collection, brought into shards: a `source.Source`.

    Parameters
    ----------
    threads
        As in `fastbp.train`.
    """

    parts: data.Parts
    count: int  # of shards
    batches: int  # in an epoch

    def __init__(self, threads: Any) -> None:
        self.store = _store(threads)
        self.threads = self.store.size

    def gather(self, value: Any) -> Any:
        """A small thing, in this process."""
        return self.store.compute([value])[0] if checks.is_lazy(value) else value

    def read_table(self, X: Any, y: Any, options: Mapping[str, Any]) -> reading.Table:
        """X in chunks, y here, and the columns of a frame to learn from; y may be the name of a column."""
        table, names = chunks.read_table("X", X, self.store.compute, self.store.persist)
        n, missing = len(table), checks.words("missing", options["missing"])
        weight, counted = reading.weighted_rows(n, options["sample_weight"])
        frame = table.frame if isinstance(table, chunks.Frame) else None
        parts: dict[str, Any] = {}
        if frame is not None:
            given = [name for name in ("groups", "time") if isinstance(options[name], str)]
            parts = {name: frame[options[name]] for name in given if options[name] in (names or ())}
        values = dict(zip(parts, self.store.compute(list(parts.values())), strict=True)) if parts else {}
        parting, unused = division.read(frame, {**options, **values}, n, y)
        unused += tuple(options[name] for name in parts)
        if isinstance(y, str):
            if frame is None or names is None:
                got = f"the name {y!r}; X must be a table for that"
                raise ValueError(f"y: expected one target for each sample, got {got}")
            checks.one_of("y", y, names)
            y, unused = frame[y], (y, *unused)
        names = None if names is None else tuple(name for name in names if name not in unused)
        found = reading.Table(table, self.gather(y), names, weight, None, missing, parting)
        return found if counted is None else replace(found, sample_weight=None).take(counted, weight)

    def read_inputs(
        self, table: reading.Table, training: source.Training, start: Network | None, piecewise: bool
    ) -> tuple[chunks.Chunked, tables.Columns | None]:
        """The inputs, in chunks, and how a frame is encoded."""
        inputs, columns = chunks.read_inputs(table, training, start, piecewise, self.store.compute)
        # Else X already has the inputs, and not what an exported network takes.
        self._raw = columns is None or table.names is not None
        return inputs, columns

    def read_validation(self, name: str, X: Any, columns: tables.Columns | None, count: int) -> chunks.Chunked:
        """The user's own validation inputs, in chunks, wherever they are."""
        return chunks.inputs(name, X, columns, count, self.store.compute, self.store.persist)

    def batch_size(self, n: int, asked: Mapping[str, Any]) -> Any:
        """By default large, so that a batch is worth a message to each worker."""
        if asked["optimizer"] in NAMES:
            got = asked["optimizer"]
            raise ValueError(f"optimizer: expected one that learns from batches, for a dask collection, got {got!r}")
        size, full = asked["batch_size"], asked["optimizer"] == "rprop"
        size = default_shared_batch_size(n) if size is None and not full else size
        least = n if size is None else size
        if isinstance(least, numbers.Integral) and least < shards.FEWEST:
            raise ValueError(
                f"batch_size: expected at least {shards.FEWEST} samples of a dask collection, got {least} of {n}"
            )
        return size

    def place(self, parts: data.Parts, net: Architecture, hyper: Hyperparameters, dtype: np.dtype[Any]) -> None:
        """Bring the rows into shards, and these to where they will be held."""
        n = len(parts.train)
        self.parts, self.batches = parts, -(-n // hyper.batch_size)
        self.count = shards.shard_count(n, hyper.batch_size)
        rows = -(-n // self.count)
        memory.require_training(net, replace(hyper, batch_size=-(-rows // self.batches)), rows, dtype)
        training = self._by_shards(parts.train)
        validation = None if parts.validation is None else self._by_shards(parts.validation)

        def content(first: int, end: int) -> GroupContent:
            raw, targets = training(first, end)
            validation_content = (None, None) if validation is None else validation(first, end)
            return GroupContent(raw, validation_content[0], first, targets, validation_content[1])

        self.store.place(self.count, content, parts.train.X.chunks)

    def _by_shards(self, rows: data.Rows) -> Callable[[int, int], tuple[chunks.ChunkRows, shards.ShardTargets]]:
        """Makes the rows and targets of neighbouring shards."""
        X, weight, places = rows.X, rows.factors, shards.cuts(len(rows), self.count)
        numbers = np.arange(len(rows)) if rows.rows is None else rows.rows

        def of(first: int, end: int) -> tuple[chunks.ChunkRows, shards.ShardTargets]:
            part = slice(places[first], places[end])
            targets = shards.ShardTargets(rows.y.take(part), weight[part], places[first : end + 1], X.exported)
            return X.rows(numbers[part]), targets

        return of

    def ask(self, method: str, *arguments: Any) -> Iterator[Any]:
        """What a method of `shards.ShardGroup` returns, for all shards in order."""
        return itertools.chain.from_iterable(self.store.ask(method, *arguments))

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each input over the training samples."""
        n, mean, squares = tree.total(self.ask("moments"), shards.merged)
        return mean, np.sqrt(squares / n)

    def digest(self, validation: bool, *others: Any) -> list[str]:
        """A digest of the digests of all shards, and of further arrays."""
        of_training, of_validation = zip(*self.ask("digests"), strict=True)
        train, other = self.parts.train, self.parts.validation
        separate = other is not None and other.X is not train.X
        found = of_validation if validation else of_training if separate else of_training + of_validation
        shape = other.X.shape if validation and other is not None else train.X.shape
        return [checkpoint.digest([np.array(found), *others])[0], f"shape {shape}"]

    @functools.cached_property
    def _examples(self) -> NDArray[np.float64]:
        numbers = data.example_rows(len(self.parts.train), self.parts.train.X.width)
        return np.concatenate(self.store.ask("examples", numbers)).astype(np.float64)

    def examples(self) -> NDArray[np.float64] | None:
        """Raw values of some training rows."""
        return self._examples if self._raw else None

    def predicted(self, net: Network) -> NDArray[Any]:
        """What `net` predicts for the validation samples."""
        return np.concatenate(list(self.ask("predicted", net)))

    def learner(
        self, net: Architecture, scaling: data.Scaling, dtype: np.dtype[Any], predicts: bool
    ) -> source.LearnerFactory:
        """What makes a learner. The examples are taken now, while the raw values are there."""
        self.examples()

        def made(state: TrainingState, hyper: Hyperparameters, seed: int) -> ShardedLearner:
            setup = shards.Setup(net, scaling, dtype, self.count, self.batches, hyper.dropout, seed % 2**63, predicts)
            return ShardedLearner(net, hyper, self, setup, state)

        return made

    def close(self) -> None:
        """Let go of the shards."""
        self.store.close()


class ShardedLearner:
    """
    Learns from samples in shards: a `state.Learner`.

    Parameters
    ----------
    net, hyper
    source : DaskSource
    setup : shards.Setup
    state : TrainingState
        Its weights and the state of the optimizer are updated in place.
    """

    finished = None
    measures: Mapping[str, float] = {}

    def __init__(
        self, net: Architecture, hyper: Hyperparameters, source: DaskSource, setup: shards.Setup, state: TrainingState
    ) -> None:
        self.net, self.hyper, self.source, self.setup = net, hyper, source, setup
        self.params, self.optimizer_state = state.params, state.optimizer_state
        self.validates = source.parts.validation is not None
        self.step = len(state.rows) * source.batches
        self.failing = np.empty((0, net.sizes[0]), state.params.dtype)

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the shards ready."""
        return self.source.store.begin(self.setup, progress)

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass; each batch takes some rows of every shard."""
        hyper, batches, n = self.hyper, self.source.batches, len(self.source.parts.train)
        draw = None if random is None else int(random.integers(2**63))
        loss, correct, failed = 0.0, 0.0, -1
        for batch, rate in enumerate(hyper.rates(self.step, batches).tolist()):
            sums = self.source.ask("gradient", self.params, self.step + batch, draw, batch)
            found = tree.total(sums, shards.BatchSums.__add__)
            loss, correct = loss + found.loss, correct + found.correct
            if not np.isfinite(found.loss):
                failed = batch
                self.failing = self.failing if found.failing is None else found.failing
                break
            self._update(found, self.step + batch + 1, rate)
        self.step += batches
        return kernels.Pass(loss / n, correct / n, 0.0, failed)

    def _update(self, found: shards.BatchSums, step: int, rate: float) -> None:
        """The update by the mean gradient of a batch."""
        hyper, gradient, none = self.hyper, found.gradient, np.empty(0, self.params.dtype)
        gradient /= found.rows
        if hyper.clip_norm is not None:
            kernels.clip_gradient(gradient, hyper.clip_norm)
        first, second = (*self.optimizer_state, none, none)[:2]
        rule = kernels.OPTIMIZERS[hyper.optimizer]
        numbers = NUMBERS[hyper.optimizer]
        network = self.net.size_array, self.params, gradient
        kernels.network_update(*network, rule, first, second, step, rate, *numbers, hyper.l2)

    def compiled_epochs(self, progress: bool | None) -> None:
        """None: a batch is several calls."""

    def measure(self, validation: bool) -> tuple[float, float]:
        """Mean loss and accuracy."""
        rows = self.source.parts.validation if validation else self.source.parts.train
        assert rows is not None
        return shards.measured(list(self.source.ask("measure", self.params, validation)), len(rows))

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """A batch in words, and those of its inputs for which the loss is not finite."""
        return f", batch {number + 1} of {self.source.batches}" if number >= 0 else "", self.failing
