"""The loop over the epochs of a run: what is measured between them, and why it stops (L29)."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..runtime import interruption
from ..runtime.progress import make_bar
from ..runtime.warning import warn
from . import divergence
from .state import MEASURES, Checkpointer, Epoch, EpochRunner, Learner, TrainingState

Metric = Callable[[NDArray[Any]], float]
# Names of the columns of the history on the progress bar: short enough for a terminal.
_ON_BAR = {"validation_loss": "val_loss", "validation_accuracy": "val_accuracy", "validation_metric": "val_metric"}
_MEASURED = {"damping": "damping", "gradient_norm": "gradient", "effective_parameters": "effective"}


class _SingleEpochs:
    """Runs one epoch in a call: an `EpochRunner`."""

    def __init__(self, learner: Learner, metric: Metric | None) -> None:
        self.learner, self.metric = learner, metric

    def ready(self) -> bool:
        """Always."""
        return True

    def advance(self, state: TrainingState, before: NDArray[Any], last: int, started: float) -> int | None:
        """Run one epoch."""
        learner, classify = self.learner, self.learner.net.task != "regression"
        before[:] = state.params
        found = learner.epoch(state.random)
        if not (np.isfinite(found.loss) and np.isfinite(state.params).all()):
            return found.failed
        row = {"loss": float(found.loss)} | ({"accuracy": float(found.correct)} if classify else {})
        if learner.validates:
            row["validation_loss"], accuracy = learner.measure(validation=True)
            row |= {"validation_accuracy": accuracy} if classify else {}
            if self.metric is not None:
                row["validation_metric"] = self.metric(state.params)
            cost = -row["validation_metric"] if self.metric is not None else row["validation_loss"]
            if cost < state.best_cost or not state.rows:
                state.best_cost, state.best_epoch = cost, len(state.rows) + 1
                state.best_params[:] = state.params
        row |= learner.measures
        row["seconds"] = time.perf_counter() - started
        state.rows.append(row)
        return None


def run(
    learner: Learner,
    state: TrainingState,
    progress: bool | None,
    callback: Callable[[Epoch], object] | None,
    metric: Metric | None,
    checkpointer: Checkpointer | None,
    until: int | None = None,
    scaled: bool = True,
) -> float:
    """
    Train until one of the reasons to stop applies.

    Parameters
    ----------
    learner : Learner
    state : TrainingState
        That of the beginning; updated in place.
    progress, callback
        As in `fastbp.train`.
    metric : callable or None
        A function of the weights, larger for better. Decides on the best epoch in place of the validation loss.
    checkpointer : Checkpointer or None
    until : int or None
        Epoch after which to pause; None: run all epochs.
    scaled : bool
        Whether inputs are standardised, for what a message advises.

    Returns
    -------
    float
        Seconds spent on making kernels ready.
    """
    hyper = learner.hyper
    targets = hyper.target_loss is not None or hyper.target_accuracy is not None
    compile_seconds = learner.prepare(learner.validates or targets, progress)
    before, single = state.params.copy(), _SingleEpochs(learner, metric)
    several = None
    if not (targets or hyper.max_seconds is not None or callback is not None or metric is not None) and (
        checkpointer is None or not checkpointer.during_run
    ):  # nothing has to look at each epoch
        several = learner.compiled_epochs(progress)
    bar = make_bar(progress, hyper.epochs, initial=len(state.rows), desc="training", unit="epoch", delay=1.0)
    started = time.perf_counter() - state.seconds
    last = hyper.epochs if until is None else min(until, hyper.epochs)
    state.stop_reason, stop_reason = "unfinished", "epochs" if last == hyper.epochs else "unfinished"
    if checkpointer is not None:
        checkpointer.save(state)
    try:
        with interruption.awaited() as interrupt:
            while len(state.rows) < last:
                begun = len(state.rows)
                runner: EpochRunner = several if several is not None and several.ready() else single
                failed = runner.advance(state, before, last, started)
                epoch = len(state.rows)
                if not bar.disable and epoch > begun:
                    bar.set_postfix(_shown(state.rows[-1]), refresh=False)
                    bar.update(epoch - begun)
                if failed is not None:
                    _report_divergence(learner, state.params, failed, epoch + 1, scaled)
                    state.params[:] = before
                    stop_reason = "diverged"
                    break
                row = state.rows[-1]
                stop = _stop_reason(learner, row, epoch - state.best_epoch)
                if checkpointer is not None and not stop and checkpointer.due(epoch, row["seconds"]):
                    checkpointer.save(state)
                if callback is not None and checks.is_true(callback(_epoch(epoch, row, state.params))):
                    stop = stop or "callback"
                if stop or interrupt.came:
                    stop_reason = stop or "interrupted"
                    break
    except KeyboardInterrupt:  # a second Ctrl-C, or another handler raised it at the first
        state.stop_reason = "interrupted"
        if not np.isfinite(state.params).all():
            state.params[:] = before
    else:
        state.stop_reason = stop_reason
        if checkpointer is not None:
            checkpointer.save(state)
    finally:
        bar.close()
    if state.stop_reason == "interrupted" and interruption.shared.get() is None:
        done = f"training was interrupted after {len(state.rows)} of {hyper.epochs} epochs"
        warn(f"{done}; the network is as trained so far", RuntimeWarning)
    return compile_seconds


def _stop_reason(learner: Learner, row: dict[str, float], waited: int) -> str | None:
    """Why to stop after this epoch, if at all; `waited`: epochs since the best one."""
    hyper = learner.hyper
    if hyper.target_loss is not None or hyper.target_accuracy is not None:
        loss, accuracy = learner.measure(validation=False)
        if hyper.target_loss is not None and loss <= hyper.target_loss:
            return "target_loss"
        if hyper.target_accuracy is not None and accuracy >= hyper.target_accuracy:
            return "target_accuracy"
    if hyper.patience is not None and waited >= hyper.patience:
        return "patience"
    if hyper.max_seconds is not None and row["seconds"] >= hyper.max_seconds:
        return "max_seconds"
    return learner.finished


def _shown(row: dict[str, float]) -> dict[str, str]:
    """What the bar shows after its count."""
    names = {"loss": "loss"} | (_ON_BAR if "validation_loss" in row else {"accuracy": "accuracy"}) | _MEASURED
    return {short: f"{row[name]:.4g}" for name, short in names.items() if name in row}


def _epoch(number: int, row: dict[str, float], params: NDArray[Any]) -> Epoch:
    names = ("accuracy", "validation_loss", "validation_accuracy", "validation_metric", *MEASURES["bayesian"])
    optional = {name: row.get(name) for name in names}
    return Epoch(number, row["loss"], **optional, seconds=row["seconds"], params=checks.frozen(params))


def _report_divergence(learner: Learner, params: NDArray[Any], batch: int, epoch: int, scaled: bool) -> None:
    where, X = learner.batch(batch)
    message = divergence.message(learner.net, learner.hyper, params, X, f"epoch {epoch}{where}", scaled)
    if epoch == 1:
        raise FloatingPointError(message)
    message += f". The network returned is that of epoch {epoch - 1} or before."
    warn(message, divergence.DivergenceWarning, about="divergence")
