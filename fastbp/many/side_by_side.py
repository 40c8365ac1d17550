"""Many tiny networks, side by side in the lanes of vectors; only seeds, learning rates and penalties differ."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels
from fastbp.kernels.internal import ROW_BYTES, is_tiny, random

from ..model.network import Network
from ..runtime import blocks
from ..training import first_weights, prepare

# Options that may differ among networks that are trained side by side.
VARYING = ("seed", "learning_rate", "l2")
# Networks from which it pays.
LEAST = 3
# Samples that a thread processes at a time, over all its networks: some tenths of a second, after which Ctrl-C takes
# effect.
SHARE, SHARE_SECONDS = 20_000_000, 0.2
# Most bytes of their history: for more, NumPy asks for huge pages, and making room for these may take as long as the
# training.
HISTORY = (1 << 22) - 1


def fits(run: prepare.Run) -> bool:
    """Whether such networks may be trained side by side: tiny, sample by sample, for a fixed number of epochs."""
    net, hyper, X, params = run.net, run.hyper, run.training.X, run.initial.params
    simple = hyper.optimizer == "sgd" and hyper.batch_size == 1 and hyper.constant_rate
    simple = simple and hyper.clip_norm is None and not any(hyper.dropout)
    targets = hyper.target_loss is not None or hyper.target_accuracy is not None
    ends_early = run.validates or targets or hyper.max_seconds is not None
    tiny = net.custom_loss is None and bool(
        is_tiny(net.size_array, net.activation_codes, int(net.loss_for(params.dtype)[0]))
    )
    row_bytes = (net.sizes[0] + net.sizes[-1]) * params.itemsize
    one_block = isinstance(X, np.ndarray) and len(blocks.bounds(len(X), row_bytes)) == 2
    return simple and not ends_early and tiny and one_block and hyper.epochs > 0


def share(run: prepare.Run, count: int, threads: int) -> int:
    """How many of `count` networks a thread takes at a time: whole rows of lanes, at most a quarter of its part."""
    row = int(ROW_BYTES // run.initial.params.itemsize)
    steps = run.hyper.epochs * len(run.training.X)
    most = min(count / (4 * threads), SHARE / steps, HISTORY / (16 * run.hyper.epochs))
    return max(1, int(most / row)) * row


def seconds(run: prepare.Run, count: int) -> float:
    """Rough estimate of the time that `count` networks take."""
    return count * run.hyper.epochs * len(run.training.X) * SHARE_SECONDS / SHARE


@dataclass(frozen=True)
class Group:
    """
    Networks that were trained side by side.

    Attributes
    ----------
    varying : sequence of dict
        ``VARYING`` of each.
    params : array, shape (networks, parameters)
    columns : dict of str to array, shape (epochs, networks)
        Of the history.
    seconds : array, shape (epochs,)
    """

    varying: Sequence[dict[str, Any]]
    params: NDArray[Any]
    columns: dict[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]


@dataclass(frozen=True)
class LazyNetwork:
    """A trained network of a group, made when it is first needed: making it takes longer than training it."""

    run: prepare.Run
    group: Group
    number: int

    @property
    def params(self) -> NDArray[Any]:
        """Its weights."""
        return self.group.params[self.number]

    def __call__(self) -> Network:
        """Make it."""
        epochs, seconds = self.run.hyper.epochs, self.group.seconds
        history = {name: values[:, self.number] for name, values in self.group.columns.items()} | {"seconds": seconds}
        results: dict[str, Any] = {"best_epoch": epochs, "stop_reason": "epochs", "train_seconds": float(seconds[-1])}
        options = self.run.recorded | self.group.varying[self.number]
        return self.run.network(self.params, options, history=history, **results)


def train_side_by_side(
    run: prepare.Run, init: str | None, shuffle: bool, varying: Sequence[dict[str, Any]]
) -> list[LazyNetwork | None]:
    """
    Train networks like that of `run`; None for those that diverged.

    Parameters
    ----------
    run : Run
    init : str or None
        How the first weights are drawn.
    shuffle : bool
    varying : sequence of dict
        ``VARYING`` of each.
    """
    started = time.perf_counter()
    net, hyper, training, dtype = run.net, run.hyper, run.training, run.initial.params.dtype
    count = len(varying)
    seeds = [options["seed"] for options in varying]
    lengths = [max(1, -(-seed.bit_length() // 32)) for seed in seeds]
    entropy = [seed.to_bytes(4 * length, "little") for seed, length in zip(seeds, lengths, strict=True)]
    words = np.frombuffer(b"".join(entropy), np.uint32)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    bounds, streams = first_weights.parameter_bounds(net, init), np.empty((count, random.LENGTH), np.uint64)
    params = np.empty((count, bounds.size), dtype)
    random.uniform_rows(words, starts, bounds, 0, streams, params)
    random.uniform_rows(words, starts, bounds[:0], 2, streams, params)
    losses, corrects = np.empty((2, hyper.epochs, count))
    failed, (code, _) = np.empty(count, np.int64), net.loss_for(dtype)
    rates, l2 = (np.array([options[name] for options in varying], np.float64) for name in ("learning_rate", "l2"))
    shape = (net.size_array, net.activation_codes, int(code), net.decision_code)
    samples = training.X, training.Y, training.weight
    kernels.online_many(*samples, *shape, params, rates, l2, streams, shuffle, losses, corrects, failed)
    seconds = np.linspace(0, time.perf_counter() - started, hyper.epochs + 1)[1:]
    columns = {"loss": losses} | ({"accuracy": corrects} if net.task != "regression" else {})
    group = Group(varying, params, columns, seconds)
    return [LazyNetwork(run, group, k) if failed[k] < 0 else None for k in range(count)]
