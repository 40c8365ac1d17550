"""The run: epoch after epoch through the compiled loops, what is watched between them, and why it stops (L29)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

import numba
import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import checks, options
from ..runtime import interruption
from ..runtime.progress import Bar
from . import divergence

if TYPE_CHECKING:
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

    def stretches(self) -> Stretches | None:
        """Many epochs in a call, if it can learn them so."""


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


class _Singly:
    """The epochs of a run, each for itself; see `stretches.Stretches`."""

    def __init__(self, learner: Learner, metric: Callable[[NDArray[Any]], float] | None) -> None:
        self.learner, self.metric = learner, metric

    def learn(self, at: Standing, before: NDArray[Any], last: int, started: float) -> int | None:
        """One epoch."""
        learner, classify = self.learner, self.learner.net.task != "regression"
        before[:] = at.params
        found = learner.epoch(at.random)
        if not (np.isfinite(found.loss) and np.isfinite(at.params).all()):
            return found.failed
        row = {"loss": float(found.loss)} | ({"accuracy": float(found.correct)} if classify else {})
        if learner.watches:
            row["validation_loss"], watched = learner.measure(held_out=True)
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
    plan = learner.plan
    compile_seconds = learner.prepare(
        learner.watches or plan.target_loss is not None or plan.target_accuracy is not None, progress
    )
    before, singly = at.params.copy(), _Singly(learner, metric)
    looked_at = plan.target_loss is not None or plan.target_accuracy is not None or plan.max_seconds is not None
    looked_at = looked_at or callback is not None or metric is not None or (keeper is not None and keeper.within)
    stretches = None if looked_at else learner.stretches()
    bar = Bar(
        total=plan.epochs,
        initial=len(at.rows),
        desc="training",
        unit="epoch",
        delay=1.0,
        disable=None if progress is None else not progress,
    )
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
                    _tell_divergence(learner, at.params, failed, epoch + 1)
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
        text = (
            f"training was interrupted after {len(at.rows)} of {plan.epochs} epochs; the network is as trained so far"
        )
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
    names = {
        "loss": "loss",
        "validation_loss": "val_loss",
        "validation_accuracy": "val_accuracy",
        "validation_metric": "val_metric",
    }
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
    warnings.warn(
        f"{what}. The network returned is that of epoch {epoch - 1} or before.",
        divergence.DivergenceWarning,
        stacklevel=5,
    )
