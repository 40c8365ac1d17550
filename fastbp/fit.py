"""The run: epoch after epoch through the compiled loops, what is watched between them, and why it stops (L29)."""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray
from tqdm.auto import tqdm

import fastbp.kernels as kernels

from . import blocks, checks, compilation, options, schedules
from .data import Ready
from .passes import Passes
from .scaled import Window


class DivergenceWarning(RuntimeWarning):
    """Training stopped because the loss or the weights were no longer finite."""


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


@dataclass(frozen=True)
class Result:
    """What a run leaves behind."""

    params: NDArray[Any]
    history: dict[str, NDArray[np.float64]]
    best_epoch: int
    stop_reason: str
    compile_seconds: float
    train_seconds: float


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


class _Learner:
    """One epoch after another on fixed data: holds the weights and the state of the optimizer."""

    def __init__(
        self, net: options.Architecture, plan: options.Schedule, data: Ready, params: NDArray[Any], seed: int, threads: int
    ) -> None:
        self.net, self.plan, self.data, self.params = net, plan, data, params
        n = len(data.X)
        self.step, self.batches = 0, -(-n // plan.batch_size)
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
            self.one_by_one = kernels.prepare_online(window.X, window.Y, window.weight, *shape, plan.learning_rate, plan.l2)
            self.kernel_names = [compilation.loop_name(net, params, 1, "online")]
            return
        self.passes = Passes(
            window.X, window.Y, window.weight, net, params, plan.optimizer,
            [np.zeros_like(params) for _ in range(kernels.states_of(kernels.OPTIMIZERS[plan.optimizer]))],
            options.NUMBERS[plan.optimizer], plan.batch_size, dropout=plan.dropout,
            clip=np.inf if plan.clip_norm is None else plan.clip_norm, seed=seed, threads=threads, rows=rows,
        )  # fmt: skip
        self.kernel_names = self.passes.kernel_names

    def epoch(self, order: NDArray[np.int64]) -> kernels.Pass:
        """One pass in this order of samples, block after block; see `kernels.Pass`."""
        plan = self.plan
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

    def measure(self, data: Ready) -> tuple[float, float]:
        """Mean loss and accuracy on `data` with the weights as they are."""
        parts = blocks.parts(len(data.X), self.row_bytes, self.params.nbytes)
        found = [self.net.measure(self.net.outputs(data.X[part], self.params), data.Y[part], data.weight[part]) for part in parts]
        loss, correct = blocks.mean(found, [part.stop - part.start for part in parts])
        return loss, correct


def run(
    net: options.Architecture,
    plan: options.Schedule,
    training: Ready,
    held_out: Ready | None,
    params: NDArray[Any],
    random: np.random.Generator | None,
    seed: int,
    threads: int,
    progress: bool | None,
    callback: Callable[[Epoch], object] | None,
    metric: Callable[[NDArray[Any]], float] | None,
) -> Result:
    """
    Train until one of the rules of `plan` says stop.

    Parameters
    ----------
    net, plan
        What to train, and how.
    training, held_out : Ready
        Samples to learn from; samples to watch, or None.
    params : array
        First weights; updated in place.
    random : Generator or None
        Draws the order of the samples; None keeps theirs.
    seed : int
        What dropout leaves out depends on it.
    threads, progress, callback
        As in `fastbp.train`.
    metric : callable or None
        Of the weights: the more the better. Decides on the best epoch in place of the validation loss.

    Returns
    -------
    Result
    """
    learner = _Learner(net, plan, training, params, seed, threads)
    measured = held_out is not None or plan.target_loss is not None or plan.target_accuracy is not None
    compile_seconds = compilation.prepare(learner.kernel_names + ["forward", "evaluate"] * measured, params.dtype, progress)
    n, classify = len(training.X), net.task != "regression"
    order = np.arange(n, dtype=np.int64)
    rows: list[dict[str, float]] = []
    least, best_epoch, best = np.inf, 0, params.copy()
    before = params.copy()
    stop_reason = "epochs"
    bar = tqdm(total=plan.epochs, desc="training", unit="epoch", delay=1.0, disable=None if progress is None else not progress)
    started = time.perf_counter()
    epoch = 0
    try:
        while epoch < plan.epochs:
            before[:] = params
            found = learner.epoch(order if random is None else random.permutation(n))
            if not (np.isfinite(found.loss) and np.isfinite(params).all()):
                stop_reason = "diverged"
                break
            epoch += 1
            row = {"loss": float(found.loss)} | ({"accuracy": float(found.correct)} if classify else {})
            if held_out is not None:
                row["validation_loss"], watched = learner.measure(held_out)
                row |= {"validation_accuracy": watched} if classify else {}
                if metric is not None:
                    row["validation_metric"] = metric(params)
                cost = -row["validation_metric"] if metric is not None else row["validation_loss"]
                if cost < least or epoch == 1:
                    least, best_epoch, best[:] = cost, epoch, params
            row["seconds"] = time.perf_counter() - started
            rows.append(row)
            if not bar.disable:
                bar.set_postfix(_shown(row), refresh=False)
                bar.update()
            stop = _reason(learner, row, epoch - best_epoch)
            if callback is not None and callback(_seen(epoch, row, params)) is True:
                stop = stop or "callback"
            if stop:
                stop_reason = stop
                break
    except KeyboardInterrupt:
        stop_reason = "interrupted"
        if not np.isfinite(params).all():
            params[:] = before
        warnings.warn(
            f"training was interrupted after {epoch} of {plan.epochs} epochs; the network is as trained so far",
            RuntimeWarning,
            stacklevel=3,
        )
    finally:
        bar.close()
    train_seconds = time.perf_counter() - started
    if stop_reason == "diverged":
        _tell_divergence(epoch + 1, found.failed, learner)
        params[:] = before
    if best_epoch:
        params[:] = best
    keys = rows[0] if rows else ()
    history = {key: np.array([row[key] for row in rows]) for key in keys}
    return Result(params, history, best_epoch or epoch, stop_reason, compile_seconds, train_seconds)


def _reason(learner: _Learner, row: dict[str, float], waited: int) -> str | None:
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


def _tell_divergence(epoch: int, batch: int, learner: _Learner) -> None:
    plan, where = learner.plan, f"epoch {epoch}"
    if batch >= 0:
        where += f", sample {batch + 1} in its order" if learner.online else f", batch {batch + 1} of {learner.batches}"
    if learner.net.own_loss is not None and batch >= 0:
        what = f"training stopped in {where}: the loss of your own was no longer finite"
    else:
        what = (
            f"training diverged in {where}: the loss or a weight was no longer finite with optimizer={plan.optimizer!r} and "
            f"learning_rate={plan.learning_rate:g}"
        )
    what += f"; try a learning_rate of {plan.learning_rate / 10:g}, and scale=True"
    if epoch == 1:
        raise FloatingPointError(what)
    warnings.warn(f"{what}. The network returned is that of epoch {epoch - 1} or before.", DivergenceWarning, stacklevel=4)
