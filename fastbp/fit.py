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
    """Keeps where a run stands, for the case that it is broken off."""

    def due(self, epoch: int, seconds: float) -> bool:
        """Whether to keep it after this epoch, so many seconds after the start."""

    def keep(self, at: Standing) -> None:
        """Keep it."""


class Learner(Protocol):
    """
    Learns one epoch after another from fixed samples, and measures.

    Attributes
    ----------
    net, plan
        What is trained, and how.
    watches : bool
        Whether there are held-out samples.
    """

    net: options.Architecture
    plan: options.Schedule
    watches: bool

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the kernels ready, also those that measure; returns the seconds that it took."""

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass, in the order of the samples or one drawn at random; see `kernels.Pass`."""

    def measure(self, held_out: bool) -> tuple[float, float]:
        """Mean loss and accuracy with the weights as they are, on the training samples or those held out."""

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """Batch `number` (from 0) of the last epoch in words, and inputs in it; where it is negative, "" and inputs."""


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


class Local:
    """
    Learns from samples in this process.

    Parameters
    ----------
    net, plan
    data, held_out : Ready
        Samples to learn from; samples to watch, or None.
    at : Standing
        Weights and state of the optimizer, updated in place.
    seed : int
        What dropout leaves out depends on it.
    threads : int
    """

    def __init__(
        self, net: options.Architecture, plan: options.Schedule, data: Ready, held_out: Ready | None, at: Standing, seed: int, threads: int
    ) -> None:
        params = at.params
        self.net, self.plan, self.data, self.held_out, self.params = net, plan, data, held_out, params
        self.watches = held_out is not None
        n = len(data.X)
        self.order: NDArray[np.int64] | None = None
        self.batches = -(-n // plan.batch_size)
        self.step = len(at.rows) * self.batches
        self.loss = net.loss_for(params.dtype)
        # Losses are added up block by block: the same blocks whether the inputs are held as a copy or not, the same bits.
        bounds = blocks.bounds(n, row_bytes(net, params), plan.batch_size, params.nbytes).tolist()  # weights are packed for each
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
            self.one_by_one = kernels.prepare_online(window.X, window.Y, window.weight, *shape, plan.learning_rate, plan.l2)
            self.kernel_names = [compilation.loop_name(net, params, 1, "online")]
            return
        self.passes = Passes(
            window.X, window.Y, window.weight, net, params, plan.optimizer, at.state, options.NUMBERS[plan.optimizer], plan.batch_size,
            dropout=plan.dropout, clip=np.inf if plan.clip_norm is None else plan.clip_norm, seed=seed % 2**63, threads=threads, rows=rows,
        )  # fmt: skip
        self.kernel_names = self.passes.kernel_names

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the kernels ready."""
        return compilation.prepare(self.kernel_names + ["forward", "evaluate"] * measures, self.params.dtype, progress)

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass, block after block."""
        plan = self.plan
        n = len(self.data.X)
        if random is not None:
            self.order = None  # first: of many samples, two would take much memory
            self.order = random.permutation(n)
        elif self.order is None:
            self.order = np.arange(n, dtype=np.int64)
        order = self.order
        rates = plan.learning_rate * schedules.factors(
            plan.schedule, self.step, self.batches, plan.epochs * self.batches, plan.warmup * self.batches
        )
        found, rows, failed = [], [], -1
        for part, batches in self.parts:
            here = self.window.read(order[part])
            one = self.one_by_one(here) if self.online else self.passes.run(here, self.step + batches.start, rates[batches], plan.l2)
            found.append(one[:3])
            rows.append(len(here))
            if one.failed >= 0:
                failed = batches.start + one.failed
                break
        self.step += self.batches
        return kernels.Pass(*blocks.mean(found, rows), failed)

    def measure(self, held_out: bool) -> tuple[float, float]:
        """Mean loss and accuracy."""
        data = self.held_out if held_out else self.data
        assert data is not None
        return measured(self.net, self.params, data)

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """A batch in words, and its inputs; those of the last batch, where the number is negative."""
        size, order = self.plan.batch_size, self.order
        assert order is not None
        samples = order[number * size : (number + 1) * size] if number >= 0 else order[-size:]
        X = self.window.X[self.window.read(samples)]
        if number < 0:
            return "", X
        return f", sample {number + 1} in its order" if self.online else f", batch {number + 1} of {self.batches}", X


def row_bytes(net: options.Architecture, params: NDArray[Any]) -> int:
    """Bytes of a sample, inputs and targets."""
    return int((net.sizes[0] + net.sizes[-1]) * params.itemsize)


def measured(net: options.Architecture, params: NDArray[Any], data: Ready) -> tuple[float, float]:
    """Mean loss and accuracy of a network on samples."""
    parts = blocks.parts(len(data.X), row_bytes(net, params), params.nbytes)
    found = [net.measure(net.outputs(data.X[part], params), data.Y[part], data.weight[part]) for part in parts]
    loss, correct = blocks.mean(found, [part.stop - part.start for part in parts])
    return loss, correct


def run(
    learner: Learner,
    at: Standing,
    progress: bool | None,
    callback: Callable[[Epoch], object] | None,
    metric: Callable[[NDArray[Any]], float] | None,
    keeper: Keeper | None,
    until: int | None = None,
) -> float:
    """
    Train until one of the rules of the plan says stop.

    Parameters
    ----------
    learner : Learner
    at : Standing
        Where the run begins, and in the end where it stopped.
    progress, callback
        As in `fastbp.train`.
    metric : callable or None
        Of the weights: the more the better. Decides on the best epoch in place of the validation loss.
    keeper : Keeper or None
    until : int or None
        Epoch after which to pause, short of all that the plan has.

    Returns
    -------
    float
        Seconds spent on making kernels ready.
    """
    plan, classify = learner.plan, learner.net.task != "regression"
    compile_seconds = learner.prepare(learner.watches or plan.target_loss is not None or plan.target_accuracy is not None, progress)
    before = at.params.copy()
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
                before[:] = at.params
                found = learner.epoch(at.random)
                if not (np.isfinite(found.loss) and np.isfinite(at.params).all()):
                    _tell_divergence(learner, at.params, found.failed, len(at.rows) + 1)
                    at.params[:] = before
                    stop_reason = "diverged"
                    break
                row = {"loss": float(found.loss)} | ({"accuracy": float(found.correct)} if classify else {})
                if learner.watches:
                    row["validation_loss"], watched = learner.measure(held_out=True)
                    row |= {"validation_accuracy": watched} if classify else {}
                    if metric is not None:
                        row["validation_metric"] = metric(at.params)
                    cost = -row["validation_metric"] if metric is not None else row["validation_loss"]
                    if cost < at.least or not at.rows:
                        at.least, at.best_epoch, at.best[:] = cost, len(at.rows) + 1, at.params
                row["seconds"] = time.perf_counter() - started
                at.rows.append(row)
                epoch = len(at.rows)
                if not bar.disable:
                    bar.set_postfix(_shown(row), refresh=False)
                    bar.update()
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
        loss, accuracy = learner.measure(held_out=False)
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


def _tell_divergence(learner: Learner, params: NDArray[Any], batch: int, epoch: int) -> None:
    where, X = learner.batch(batch)
    what = divergence.told(learner.net, learner.plan, params, X, f"epoch {epoch}{where}")
    if epoch == 1:
        raise FloatingPointError(what)
    warnings.warn(f"{what}. The network returned is that of epoch {epoch - 1} or before.", divergence.DivergenceWarning, stacklevel=5)
