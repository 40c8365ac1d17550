"""The run: epoch after epoch through the compiled loops, what is watched between them, and why it stops (L29)."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..runtime import interruption
from ..runtime.progress import Bar
from . import divergence
from .standing import Epoch, Keeper, Learner, Standing


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
