"""Data-parallel training: each batch takes rows of all shards, where they are; the sum of their gradients updates the weights here."""

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

from .. import checks, compilation, memory, options, tables
from ..data import samples as data
from ..model.network import Network
from ..training import checkpoint, source
from ..training.standing import Standing
from . import chunks, shards, tree
from .holdings import Content, Here, Holdings


def holdings(threads: Any) -> Holdings:
    """The workers of the default client, if there is one, else so many threads of this process."""
    client = _default_client()
    if client is None:
        return Here(compilation.thread_count(threads))
    if threads is not None:
        raise ValueError(
            f"threads: expected None where a dask client is in use, whose workers have theirs, got {threads!r}"
        )
    from .remote import There

    return There(client)


def _default_client() -> Any:
    distributed = sys.modules.get("distributed")  # who has a client has imported it
    try:
        return None if distributed is None else distributed.default_client()
    except ValueError:  # there is none
        return None


class Chunks:
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
        self.holdings = holdings(threads)
        self.threads = self.holdings.size

    def gathered(self, value: Any) -> Any:
        """What is small, in this process."""
        return self.holdings.compute([value])[0] if checks.is_lazy(value) else value

    def read_table(self, X: Any, y: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
        """X in chunks, y here, and the columns of a frame to learn from; y may be the name of a column."""
        table, names = chunks.read_table("X", X, self.holdings.compute, self.holdings.persist)
        if not isinstance(y, str):
            return table, self.gathered(y), names
        if names is None or not isinstance(table, chunks.Frame):
            raise ValueError(f"y: expected one target for each sample, got the name {y!r}; X must be a table for that")
        checks.one_of("y", y, names)
        return table, self.gathered(table.frame[y]).to_numpy(), tuple(name for name in names if name != y)

    def read_inputs(
        self, X: Any, names: tuple[str, ...] | None, training: NDArray[np.bool_], start: Network | None
    ) -> tuple[chunks.Chunked, tables.Columns | None]:
        """The inputs, in chunks, and how a frame became them."""
        inputs, columns = chunks.read_inputs(X, names, training, start, self.holdings.compute)
        self._raw = (
            columns is None or names is not None
        )  # else X has the inputs already, and not what an exported network takes
        return inputs, columns

    def read_others(self, name: str, X: Any, columns: tables.Columns | None, count: int) -> chunks.Chunked:
        """Samples to watch, in chunks, wherever they are."""
        return chunks.inputs(name, X, columns, count, self.holdings.compute, self.holdings.persist)

    def batch_size(self, n: int, asked: Mapping[str, Any]) -> Any:
        """By default large: a batch must be worth asking all who hold shards."""
        size, full = asked["batch_size"], asked["optimizer"] == "rprop"
        size = options.default_shared_batch_size(n) if size is None and not full else size
        least = n if size is None else size
        if isinstance(least, numbers.Integral) and least < shards.FEWEST:
            raise ValueError(
                f"batch_size: expected at least {shards.FEWEST} samples of a dask collection, got {least} of {n}"
            )
        return size

    def settle(
        self, parts: data.Parts, net: options.Architecture, plan: options.Schedule, dtype: np.dtype[Any]
    ) -> None:
        """Bring the rows into shards, and these to who will hold them."""
        n = len(parts.train)
        self.parts, self.batches = parts, -(-n // plan.batch_size)
        self.count = shards.shard_count(n, plan.batch_size)
        rows = -(-n // self.count)
        memory.require_training(net, replace(plan, batch_size=-(-rows // self.batches)), rows, dtype)
        training = self._shares(parts.train)
        watched = None if parts.validation is None else self._shares(parts.validation)

        def content(first: int, end: int) -> Content:
            raw, share = training(first, end)
            watched_raw, held_out = (None, None) if watched is None else watched(first, end)
            return Content(raw, watched_raw, first, share, held_out)

        self.holdings.place(self.count, content, parts.train.X.chunks)

    def _shares(self, rows: data.Rows) -> Callable[[int, int], tuple[chunks.Rows, shards.Share]]:
        """What belongs to some shards in a row."""
        X, weight, places = rows.X, rows.factors, shards.cuts(len(rows), self.count)
        numbers = np.arange(len(rows)) if rows.rows is None else rows.rows

        def of(first: int, end: int) -> tuple[chunks.Rows, shards.Share]:
            part = slice(places[first], places[end])
            return X.rows(numbers[part]), shards.Share(
                rows.y.take(part), weight[part], places[first : end + 1], X.exported
            )

        return of

    def ask(self, method: str, *arguments: Any) -> Iterator[Any]:
        """What a method of `shards.Holding` gives, of all shards one after another."""
        return itertools.chain.from_iterable(self.holdings.ask(method, *arguments))

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each input to learn from."""
        n, mean, squares = tree.total(self.ask("moments"), shards.merged)
        return mean, np.sqrt(squares / n)

    def digest(self, held_out: bool, *others: Any) -> list[str]:
        """A digest of those of all shards, and of further arrays."""
        learnt, watched = zip(*self.ask("digests"), strict=True)
        train, validation = self.parts.train, self.parts.validation
        own = validation is not None and validation.X is not train.X
        found = watched if held_out else learnt if own else learnt + watched
        shape = validation.X.shape if held_out and validation is not None else train.X.shape
        return [checkpoint.digest([np.array(found), *others])[0], f"shape {shape}"]

    @functools.cached_property
    def _examples(self) -> NDArray[np.float64]:
        numbers = data.example_rows(len(self.parts.train), self.parts.train.X.width)
        return np.concatenate(self.holdings.ask("examples", numbers)).astype(np.float64)

    def examples(self) -> NDArray[np.float64] | None:
        """Raw values of some rows to learn from."""
        return self._examples if self._raw else None

    def predicted(self, net: Network) -> NDArray[Any]:
        """What `net` predicts for the samples to watch."""
        return np.concatenate(list(self.ask("predicted", net)))

    def learner(
        self, net: options.Architecture, scaling: data.Scaling, dtype: np.dtype[Any], predicts: bool
    ) -> source.Maker:
        """The examples are taken now, while the raw values are there."""
        self.examples()

        def made(at: Standing, plan: options.Schedule, seed: int) -> Learner:
            run = shards.Run(net, scaling, dtype, self.count, self.batches, plan.dropout, seed % 2**63, predicts)
            return Learner(net, plan, self, run, at)

        return made

    def close(self) -> None:
        """Let go of the shards."""
        self.holdings.close()


class Learner:
    """
    Learns from samples in shards; see `Learner`.

    Parameters
    ----------
    net, plan
    samples : Chunks
    run : shards.Run
    at : Standing
        Weights and state of the optimizer, updated in place.
    """

    def __init__(
        self, net: options.Architecture, plan: options.Schedule, samples: Chunks, run: shards.Run, at: Standing
    ) -> None:
        self.net, self.plan, self.samples, self.run, self.params, self.state = (
            net,
            plan,
            samples,
            run,
            at.params,
            at.state,
        )
        self.watches = samples.parts.validation is not None
        self.step = len(at.rows) * samples.batches
        self.failing = np.empty((0, net.sizes[0]), at.params.dtype)

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the holdings ready."""
        return self.samples.holdings.begin(self.run, progress)

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass, the batches of which take rows of every shard in turn."""
        plan, batches, n = self.plan, self.samples.batches, len(self.samples.parts.train)
        draw = None if random is None else int(random.integers(2**63))
        loss, correct, failed = 0.0, 0.0, -1
        for batch, rate in enumerate(plan.rates(self.step, batches).tolist()):
            found = tree.total(
                self.samples.ask("gradient", self.params, self.step + batch, draw, batch), shards.Step.__add__
            )
            loss, correct = loss + found.loss, correct + found.correct
            if not np.isfinite(found.loss):
                failed = batch
                self.failing = self.failing if found.failing is None else found.failing
                break
            self._update(found, self.step + batch + 1, rate)
        self.step += batches
        return kernels.Pass(loss / n, correct / n, 0.0, failed)

    def _update(self, found: shards.Step, step: int, rate: float) -> None:
        """The update with a batch's mean gradient."""
        plan, gradient, none = self.plan, found.gradient, np.empty(0, self.params.dtype)
        gradient /= found.rows
        if plan.clip_norm is not None:
            kernels.clip_gradient(gradient, plan.clip_norm)
        first, second = (*self.state, none, none)[:2]
        rule = kernels.OPTIMIZERS[plan.optimizer]
        numbers = options.NUMBERS[plan.optimizer]
        kernels.network_update(
            self.net.size_array, self.params, gradient, rule, first, second, step, rate, *numbers, plan.l2
        )

    def stretches(self) -> None:
        """A batch is several calls."""

    def measure(self, held_out: bool) -> tuple[float, float]:
        """Mean loss and accuracy."""
        rows = self.samples.parts.validation if held_out else self.samples.parts.train
        assert rows is not None
        return shards.measured(list(self.samples.ask("measure", self.params, held_out)), len(rows))

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """A batch in words, and inputs of it for which the loss is not finite."""
        return f", batch {number + 1} of {self.samples.batches}" if number >= 0 else "", self.failing
