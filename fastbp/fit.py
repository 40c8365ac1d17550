"""The run: epoch after epoch through the compiled loops, what is watched between them, and why it stops (L29)."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from . import blocks, checks, compilation, divergence, interruption, options, schedules
from .data import Ready
from .passes import Passes
from .progress import Bar
from .scaled import Window
from .stretches import Stretches


@dataclass(frozen=True)
class Epoch:
    """
    What a callback sees after each epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float
        Mean loss of the epoch.
    accuracy, validation_loss, validation_accuracy, validation_metric : float or None
        None where there is none (regression, no validation part, no metric).
    seconds : float
        Since the start of the training.
    params : array
        A read-only view of the weights as they are now; copy it to keep it.
    """

    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    validation_metric: float | None
    seconds: float
    params: NDArray[Any]


@dataclass
class Standing:
    """
    Where a run stands: all that its next epoch depends on.

    Attributes
    ----------
    params : array
        The weights, updated in place.
    state : list of array
        State of the optimizer, updated in place.
    random : Generator or None
        Draws the order of the samples; None keeps theirs.
    best : array
        The weights of the best epoch so far, where there is something to choose it by.
    best_epoch : int
        0 where there is nothing.
    least : float
        What the best epoch was the best by.
    rows : list of dict
        The history, a row per epoch.
    stop_reason : str
        ``"unfinished"`` until it stops.
    """

    params: NDArray[Any]
    state: list[NDArray[Any]]
    random: np.random.Generator | None
    best: NDArray[Any]
    best_epoch: int = 0
    least: float = np.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    stop_reason: str = "unfinished"

    @classmethod
    def first(cls, params: NDArray[Any], optimizer: str, random: np.random.Generator | None) -> Standing:
        """Before the first epoch."""
        state = [np.zeros_like(params) for _ in range(kernels.states_of(kernels.OPTIMIZERS[optimizer]))]
        return cls(params, state, random, params.copy())

    @property
    def seconds(self) -> float:
        """Time that the epochs have taken."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    @property
    def chosen(self) -> NDArray[Any]:
        """The weights that a network would have: those of the best epoch, or the last."""
        return self.best if self.best_epoch else self.params

    @property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """The rows as columns."""
        return {key: np.array([row[key] for row in self.rows]) for key in (self.rows[0] if self.rows else ())}


class Keeper(Protocol):
    """
    Keeps where a run stands, for the case that it is broken off.

    Attributes
    ----------
    within : bool
        Whether it asks after each epoch if that is due, or keeps the beginning and the end alone.
    """

    within: bool

    def due(self, epoch: int, seconds: float) -> bool:
        """Whether to keep it after this epoch, so many seconds after the start."""

    def keep(self, at: Standing) -> None:
        """Keep it."""


def thread_count(threads: int | None) -> int:
    """Threads to use: `threads`, or all that Numba has."""
    most = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads is None:
        return most
    count = checks.integer("threads", threads, 1)
    if count > most:
        raise ValueError(
            f"threads: expected at most {most} on this machine, got {count}; the environment variable NUMBA_NUM_THREADS sets the limit"
        )
    return count


class Learner:
    """One epoch after another on fixed data: holds the weights and the state of the optimizer."""

    def __init__(self, net: options.Architecture, plan: options.Schedule, data: Ready, at: Standing, seed: int, threads: int) -> None:
        params = at.params
        self.net, self.plan, self.data, self.params = net, plan, data, params
        n = len(data.X)
        self.batches = -(-n // plan.batch_size)
        self.step = len(at.rows) * self.batches
        self.loss = net.loss_for(params.dtype)
        # Losses are added up block by block: the same blocks whether the inputs are held as a copy or not, the same bits.
        self.row_bytes = (net.sizes[0] + net.sizes[-1]) * params.itemsize
        bounds = blocks.bounds(n, self.row_bytes, plan.batch_size, params.nbytes).tolist()  # weights are packed for each
        self.parts = [
            (slice(*part), slice(part[0] // plan.batch_size, -(-part[1] // plan.batch_size))) for part in itertools.pairwise(bounds)
        ]
        rows = max(part.stop - part.start for part, _ in self.parts)
        self.window = window = Window(data.X, data.Y, data.weight, rows)
        # The lecture's own rule has a loop of its own; where anything else is asked for, batches of 1 do.
        constant = plan.schedule == "constant" and not plan.warmup
        self.online = plan.optimizer == "sgd" and plan.batch_size == 1 and constant and not any(plan.dropout) and plan.clip_norm is None
        if self.online:
            shape = (net.size_array, net.activation_codes, *self.loss, net.decision_code, params)
            window.decide_sparsity(plan.l2)
            self.loop = kernels.prepare_online(window.X, window.Y, window.weight, *shape, plan.learning_rate, plan.l2)
            self.kernel_names = [compilation.loop_name(net, params, 1, "online")]
            return
        self.passes = Passes(
            window.X, window.Y, window.weight, net, params, plan.optimizer, at.state, options.NUMBERS[plan.optimizer], plan.batch_size,
            dropout=plan.dropout, clip=np.inf if plan.clip_norm is None else plan.clip_norm, seed=seed % 2**63, threads=threads, rows=rows,
        )  # fmt: skip
        self.loop, self.kernel_names = self.passes.serial, self.passes.kernel_names

    @property
    def looks_back(self) -> bool:
        """Whether rules to stop need more after each epoch than what it gives."""
        plan = self.plan
        return not (plan.target_loss is None and plan.target_accuracy is None and plan.max_seconds is None)

    @property
    def whole(self) -> bool:
        """Whether an epoch is one call, on one thread, of a loop that has a compiled loop over epochs."""
        held = isinstance(self.data.X, np.ndarray) and len(self.parts) == 1
        return held and self.loop.repeats and (self.online or self.passes.parallel is None)

    def _rates(self, epoch: int = 0) -> NDArray[np.float64]:
        """Learning rates of the batches of an epoch, counted from the next."""
        plan, n = self.plan, self.batches
        return plan.learning_rate * schedules.factors(plan.schedule, self.step + epoch * n, n, plan.epochs * n, plan.warmup * n)

    def paces(self, epochs: int) -> tuple[Any, ...]:
        """What the loop over the next epochs takes first."""
        if self.online:
            return ()
        constant = self.plan.schedule == "constant" and not self.plan.warmup
        rates = self.plan.learning_rate if constant else np.concatenate([self._rates(k) for k in range(epochs)])
        return self.step, rates, self.plan.l2

    def epoch(self, order: NDArray[np.int64]) -> kernels.Pass:
        """One pass in this order of samples, block after block; see `kernels.Pass`."""
        plan, rates = self.plan, self._rates()
        found, rows, failed = [], [], -1
        for part, batches in self.parts:
            here = self.window.read(order[part])
            one = self.loop(here) if self.online else self.passes.run(here, self.step + batches.start, rates[batches], plan.l2)
            found.append(one[:3])
            rows.append(len(here))
            if one.failed >= 0:
                failed = batches.start + one.failed
                break
        self.step += self.batches
        return kernels.Pass(*blocks.mean(found, rows), failed)

    def blocks_of(self, data: Ready) -> list[slice]:
        """Samples that are measured at a time."""
        return blocks.parts(len(data.X), self.row_bytes, self.params.nbytes)

    def measure(self, data: Ready) -> tuple[float, float]:
        """Mean loss and accuracy on `data` with the weights as they are."""
        parts = self.blocks_of(data)
        found = [self.net.measure(self.net.outputs(data.X[part], self.params), data.Y[part], data.weight[part]) for part in parts]
        loss, correct = blocks.mean(found, [part.stop - part.start for part in parts])
        return loss, correct

    def batch(self, order: NDArray[np.int64], number: int) -> tuple[str, NDArray[Any]]:
        """Batch `number` (from 0) of an epoch in words, and its inputs; of the whole epoch, the last batch, where it is negative."""
        size = self.plan.batch_size
        samples = order[number * size : (number + 1) * size] if number >= 0 else order[-size:]
        X = self.window.X[self.window.read(samples)]
        if number < 0:
            return "", X
        return f", sample {number + 1} in its order" if self.online else f", batch {number + 1} of {self.batches}", X


class _Singly:
    """The epochs of a run, each for itself; see `Stretches`."""

    def __init__(self, learner: Learner, held_out: Ready | None, metric: Callable[[NDArray[Any]], float] | None) -> None:
        self.learner, self.held_out, self.metric = learner, held_out, metric
        self.order = np.arange(len(learner.data.X), dtype=np.int64)

    def learn(self, at: Standing, before: NDArray[Any], last: int, started: float) -> int | None:
        """One epoch."""
        learner, classify = self.learner, self.learner.net.task != "regression"
        before[:] = at.params
        if at.random is not None:
            n = self.order.size
            del self.order  # first: of many samples, two would take much memory
            self.order = at.random.permutation(n)
        found = learner.epoch(self.order)
        if not (np.isfinite(found.loss) and np.isfinite(at.params).all()):
            return found.failed
        row = {"loss": float(found.loss)} | ({"accuracy": float(found.correct)} if classify else {})
        if self.held_out is not None:
            row["validation_loss"], watched = learner.measure(self.held_out)
            row |= {"validation_accuracy": watched} if classify else {}
            if self.metric is not None:
                row["validation_metric"] = self.metric(at.params)
            cost = -row["validation_metric"] if self.metric is not None else row["validation_loss"]
            if cost < at.least or not at.rows:
                at.least, at.best_epoch, at.best[:] = cost, len(at.rows) + 1, at.params
        row["seconds"] = time.perf_counter() - started
        at.rows.append(row)
        return None


def run(
    net: options.Architecture,
    plan: options.Schedule,
    training: Ready,
    held_out: Ready | None,
    at: Standing,
    seed: int,
    threads: int,
    progress: bool | None,
    callback: Callable[[Epoch], object] | None,
    metric: Callable[[NDArray[Any]], float] | None,
    keeper: Keeper | None,
    until: int | None = None,
) -> float:
    """
    Train until one of the rules of `plan` says stop.

    Parameters
    ----------
    net, plan
        What to train, and how.
    training, held_out : Ready
        Samples to learn from; samples to watch, or None.
    at : Standing
        Where the run begins, and in the end where it stopped.
    seed : int
        What dropout leaves out depends on it.
    threads, progress, callback
        As in `fastbp.train`.
    metric : callable or None
        Of the weights: the more the better. Decides on the best epoch in place of the validation loss.
    keeper : Keeper or None
    until : int or None
        Epoch after which to pause, short of all that `plan` has.

    Returns
    -------
    float
        Seconds spent on making kernels ready.
    """
    learner = Learner(net, plan, training, at, seed, threads)
    measured = held_out is not None or plan.target_loss is not None or plan.target_accuracy is not None
    compile_seconds = compilation.prepare(learner.kernel_names + ["forward", "evaluate"] * measured, at.params.dtype, progress)
    before, singly = at.params.copy(), _Singly(learner, held_out, metric)
    unwatched = callback is None and metric is None and not (keeper is not None and keeper.within)
    stretches = Stretches.of(learner, held_out) if unwatched and not learner.looks_back else None
    bar = Bar(total=plan.epochs, initial=len(at.rows), desc="training", unit="epoch", delay=1.0,
               disable=None if progress is None else not progress)  # fmt: skip
    started = time.perf_counter() - at.seconds
    last = plan.epochs if until is None else min(until, plan.epochs)
    at.stop_reason, stop_reason = "unfinished", "epochs" if last == plan.epochs else "unfinished"
    if keeper is not None:
        keeper.keep(at)
    try:
        with interruption.awaited() as interrupt:
            while len(at.rows) < last:
                begun = len(at.rows)
                way = stretches if stretches is not None and stretches.ready() else singly
                failed = way.learn(at, before, last, started)
                epoch = len(at.rows)
                if not bar.disable and epoch > begun:
                    bar.set_postfix(_shown(at.rows[-1]), refresh=False)
                    bar.update(epoch - begun)
                if failed is not None:
                    _tell_divergence(learner, way.order, failed, epoch + 1)
                    at.params[:] = before
                    stop_reason = "diverged"
                    break
                row = at.rows[-1]
                stop = _reason(learner, row, epoch - at.best_epoch)
                if keeper is not None and not stop and keeper.due(epoch, row["seconds"]):
                    keeper.keep(at)
                if callback is not None and callback(_seen(epoch, row, at.params)) is True:
                    stop = stop or "callback"
                if stop or interrupt.came:
                    stop_reason = stop or "interrupted"
                    break
    except KeyboardInterrupt:  # a second Ctrl-C, or one that another handler has made of the first
        at.stop_reason = "interrupted"
        if not np.isfinite(at.params).all():
            at.params[:] = before
    else:
        at.stop_reason = stop_reason
        if keeper is not None:
            keeper.keep(at)
    finally:
        bar.close()
    if at.stop_reason == "interrupted" and interruption.shared.get() is None:
        text = f"training was interrupted after {len(at.rows)} of {plan.epochs} epochs; the network is as trained so far"
        warnings.warn(text, RuntimeWarning, stacklevel=4)
    return compile_seconds


def columns(net: options.Architecture, validation: bool, metric: bool) -> list[str]:
    """Names of the columns of the history."""
    classify = net.task != "regression"
    watched = ["validation_loss"] + ["validation_accuracy"] * classify + ["validation_metric"] * metric
    return ["loss"] + ["accuracy"] * classify + watched * validation + ["seconds"]


def _reason(learner: Learner, row: dict[str, float], waited: int) -> str | None:
    """Why to stop after this epoch, if at all; `waited`: epochs since the best validation loss."""
    plan = learner.plan
    if plan.target_loss is not None or plan.target_accuracy is not None:
        loss, accuracy = learner.measure(learner.data)
        if plan.target_loss is not None and loss <= plan.target_loss:
            return "target_loss"
        if plan.target_accuracy is not None and accuracy >= plan.target_accuracy:
            return "target_accuracy"
    if plan.patience is not None and waited >= plan.patience:
        return "patience"
    if plan.max_seconds is not None and row["seconds"] >= plan.max_seconds:
        return "max_seconds"
    return None


def _shown(row: dict[str, float]) -> dict[str, str]:
    """What the bar says behind its count: short enough for a terminal."""
    names = {"loss": "loss", "validation_loss": "val_loss", "validation_accuracy": "val_accuracy", "validation_metric": "val_metric"}
    if "validation_loss" not in row:
        names["accuracy"] = "accuracy"
    return {short: f"{row[name]:.4g}" for name, short in names.items() if name in row}


def _seen(epoch: int, row: dict[str, float], params: NDArray[Any]) -> Epoch:
    return Epoch(
        epoch,
        row["loss"],
        row.get("accuracy"),
        row.get("validation_loss"),
        row.get("validation_accuracy"),
        row.get("validation_metric"),
        row["seconds"],
        checks.frozen(params),
    )


def _tell_divergence(learner: Learner, order: NDArray[np.int64], batch: int, epoch: int) -> None:
    where, X = learner.batch(order, batch)
    what = divergence.told(learner.net, learner.plan, learner.params, X, f"epoch {epoch}{where}")
    if epoch == 1:
        raise FloatingPointError(what)
    warnings.warn(f"{what}. The network returned is that of epoch {epoch - 1} or before.", divergence.DivergenceWarning, stacklevel=5)
