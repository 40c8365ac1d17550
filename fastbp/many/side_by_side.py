"""Many tiny networks that differ by their seeds, learning rates and penalties: side by side in the lanes of vectors."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels
from fastbp.kernels.internal import ROW_BYTES, is_lean, random

from ..model.network import Network
from ..runtime import blocks
from ..training import first_weights, prepare

# What may differ among networks that learn side by side.
OWN = ("seed", "learning_rate", "l2")
# Networks from which it pays.
LEAST = 3
# Samples that a thread learns at a time, of all its networks: some tenths of a second, after which Ctrl-C is heard.
SHARE, SHARE_SECONDS = 20_000_000, 0.2
# Bytes of their history at most: for more, NumPy asks for huge pages, and to make room for these may take as long as the learning.
HISTORY = (1 << 22) - 1


def fits(task: prepare.Task) -> bool:
    """Whether networks such as this one may learn side by side: tiny, sample by sample, for a given number of epochs."""
    net, plan = task.net, task.plan
    simple = plan.optimizer == "sgd" and plan.batch_size == 1 and plan.schedule == "constant" and not plan.warmup
    ends = (
        plan.patience is None and plan.target_loss is None and plan.target_accuracy is None and plan.max_seconds is None
    )
    whole = (
        isinstance(task.training.X, np.ndarray)
        and not task.watched
        and plan.clip_norm is None
        and not any(plan.dropout)
    )
    tiny = net.own_loss is None and bool(
        is_lean(net.size_array, net.activation_codes, int(net.loss_for(task.first.params.dtype)[0]))
    )
    one_block = (
        whole
        and len(blocks.bounds(len(task.training.X), (net.sizes[0] + net.sizes[-1]) * task.first.params.itemsize)) == 2
    )
    return simple and ends and tiny and one_block and plan.epochs > 0


def share(task: prepare.Task, count: int, workers: int) -> int:
    """Of so many networks, how many a thread takes at a time: whole rows of lanes, at most a quarter of its part."""
    row = int(ROW_BYTES // task.first.params.itemsize)
    steps = task.plan.epochs * len(task.training.X)
    most = min(count / (4 * workers), SHARE / steps, HISTORY / (16 * task.plan.epochs))
    return max(1, int(most / row)) * row


def seconds(task: prepare.Task, count: int) -> float:
    """What so many networks may take, roughly."""
    return count * task.plan.epochs * len(task.training.X) * SHARE_SECONDS / SHARE


@dataclass(frozen=True)
class Group:
    """
    What became of networks that learnt side by side.

    Attributes
    ----------
    own : sequence of dict
        ``OWN`` of each.
    params : array, shape (networks, parameters)
    columns : dict of str to array, shape (epochs, networks)
        Of the history.
    seconds : array, shape (epochs,)
    """

    own: Sequence[dict[str, Any]]
    params: NDArray[Any]
    columns: dict[str, NDArray[np.float64]]
    seconds: NDArray[np.float64]


@dataclass(frozen=True)
class Trained:
    """A network, by its number in the group, that is made when it is asked for: making it takes longer than training it."""

    task: prepare.Task
    group: Group
    number: int

    @property
    def params(self) -> NDArray[Any]:
        """Its weights."""
        return self.group.params[self.number]

    def __call__(self) -> Network:
        """Make it."""
        epochs, seconds = self.task.plan.epochs, self.group.seconds
        history = {name: values[:, self.number] for name, values in self.group.columns.items()} | {"seconds": seconds}
        run: dict[str, Any] = {"best_epoch": epochs, "stop_reason": "epochs", "train_seconds": float(seconds[-1])}
        return self.task.network(self.params, self.task.said | self.group.own[self.number], history=history, **run)


def learnt(
    task: prepare.Task, init: str | None, shuffle: bool, options: Sequence[dict[str, Any]]
) -> list[Trained | None]:
    """
    Networks such as `task`; None for those that diverged.

    Parameters
    ----------
    task : Task
    init : str or None
        How the first weights are drawn.
    shuffle : bool
    options : sequence of dict
        ``OWN`` of each.
    """
    started = time.perf_counter()
    net, plan, ready, dtype = task.net, task.plan, task.training, task.first.params.dtype
    count = len(options)
    seeds = [option["seed"] for option in options]
    lengths = [max(1, -(-seed.bit_length() // 32)) for seed in seeds]
    words = np.frombuffer(
        b"".join(seed.to_bytes(4 * length, "little") for seed, length in zip(seeds, lengths, strict=True)), np.uint32
    )
    starts = np.concatenate([[0], np.cumsum(lengths)])
    bounds, streams = first_weights.parameter_bounds(net, init), np.empty((count, random.LENGTH), np.uint64)
    params = np.empty((count, bounds.size), dtype)
    random.uniform_rows(words, starts, bounds, 0, streams, params)
    random.uniform_rows(words, starts, bounds[:0], 2, streams, params)
    losses, corrects = np.empty((2, plan.epochs, count))
    failed, (code, _) = np.empty(count, np.int64), net.loss_for(dtype)
    rates, l2 = (np.array([option[name] for option in options], np.float64) for name in ("learning_rate", "l2"))
    shape = (net.size_array, net.activation_codes, int(code), net.decision_code)
    kernels.online_many(
        ready.X, ready.Y, ready.weight, *shape, params, rates, l2, streams, shuffle, losses, corrects, failed
    )
    seconds = np.linspace(0, time.perf_counter() - started, plan.epochs + 1)[1:]
    columns = {"loss": losses} | ({"accuracy": corrects} if net.task != "regression" else {})
    group = Group(options, params, columns, seconds)
    return [Trained(task, group, k) if failed[k] < 0 else None for k in range(count)]
