"""The run: epoch after epoch through the compiled loops, what is watched between them, and why it stops (L29)."""

from __future__ import annotations

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

from . import checks, compilation, options
from .data import Ready


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
    accuracy, validation_loss, validation_accuracy : float or None
        None where there is none (regression, no validation part).
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

    def __init__(self, net: options.Architecture, plan: options.Schedule, data: Ready, params: NDArray[Any], threads: int) -> None:
        self.net, self.plan, self.data, self.params, self.threads = net, plan, data, params, threads
        # The lecture's own rule has a loop of its own; other optimizers take batches of 1.
        self.online = plan.optimizer == "sgd" and plan.batch_size == 1
        size, used = len(params), {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2}[plan.optimizer]
        self.first = np.zeros(size if used > 0 else 0, params.dtype)
        self.second = np.zeros(size if used > 1 else 0, params.dtype)
        self.step = 0
        self.parallel = threads > 1 and not self.online and kernels.parallel_pays(net.sizes, plan.batch_size, params.itemsize)
        self.serial_epoch, self.parallel_epoch = self._prepared(False), self._prepared(True) if self.parallel else None

    def _prepared(self, parallel: bool) -> Callable[..., Any]:
        """The compiled loop on this data."""
        net, plan, data = self.net, self.plan, self.data
        shape = (net.size_array, net.activation_codes, net.loss_code, net.decision_code, self.params)
        if self.online:
            return kernels.prepare_online(data.X, data.Y, data.weight, *shape, plan.learning_rate, plan.l2)
        tail = (kernels.OPTIMIZERS[plan.optimizer], self.first, self.second, plan.learning_rate,
                options.BETA1, options.BETA2, options.EPSILON, plan.l2)  # fmt: skip
        return kernels.prepare_minibatch(data.X, data.Y, data.weight, len(data.X), plan.batch_size, *shape, *tail, parallel)

    @property
    def kernel_names(self) -> list[str]:
        """Loops that every epoch needs."""
        return [
            compilation.loop_name(
                self.net.size_array, self.net.activation_codes, self.params, self.plan.batch_size, self.online, self.parallel
            )
        ]

    def epoch(self, order: NDArray[np.int64]) -> tuple[float, float]:
        """One pass in this order of samples: mean loss and accuracy, each sample before its update."""
        if self.online:
            loss, accuracy = self.serial_epoch(order)
            return float(loss), float(accuracy)
        with kernels.threads(self.threads if self.parallel else 1) as allowed:
            run = self.parallel_epoch if allowed and self.parallel_epoch else self.serial_epoch
            loss, accuracy, self.step = run(order, self.step)
        return float(loss), float(accuracy)

    def measure(self, data: Ready) -> tuple[float, float]:
        """Mean loss and accuracy on `data` with the weights as they are."""
        net = self.net
        out = np.empty((len(data.X), net.sizes[-1]), self.params.dtype)
        kernels.forward(data.X, net.size_array, net.activation_codes, checks.frozen(self.params), out)
        loss, accuracy = kernels.evaluate(
            net.loss_code, kernels.ACTIVATIONS[net.activations[-1]], net.decision_code, out, data.Y, data.weight
        )
        return float(loss), float(accuracy)


def run(
    net: options.Architecture,
    plan: options.Schedule,
    training: Ready,
    held_out: Ready | None,
    params: NDArray[Any],
    random: np.random.Generator | None,
    threads: int,
    progress: bool | None,
    callback: Callable[[Epoch], object] | None,
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
    threads, progress, callback
        As in `fastbp.train`.

    Returns
    -------
    Result
    """
    learner = _Learner(net, plan, training, params, threads)
    measured = held_out is not None or plan.target_loss is not None or plan.target_accuracy is not None
    compile_seconds = compilation.prepare(learner.kernel_names + ["forward", "evaluate"] * measured, params.dtype, progress)
    n, classify = len(training.X), net.task != "regression"
    order = np.arange(n, dtype=np.int64)
    rows: list[dict[str, float]] = []
    best_loss, best_epoch, best = np.inf, 0, params.copy()
    before = params.copy()
    stop_reason = "epochs"
    bar = tqdm(total=plan.epochs, desc="training", unit="epoch", delay=1.0, disable=None if progress is None else not progress)
    started = time.perf_counter()
    epoch = 0
    try:
        while epoch < plan.epochs:
            before[:] = params
            loss, accuracy = learner.epoch(order if random is None else random.permutation(n))
            if not (np.isfinite(loss) and np.isfinite(params).all()):
                stop_reason = "diverged"
                break
            epoch += 1
            row = {"loss": loss} | ({"accuracy": accuracy} if classify else {})
            if held_out is not None:
                row["validation_loss"], watched = learner.measure(held_out)
                row |= {"validation_accuracy": watched} if classify else {}
                if row["validation_loss"] < best_loss or epoch == 1:
                    best_loss, best_epoch, best[:] = row["validation_loss"], epoch, params
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
        _tell_divergence(epoch + 1, plan)
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
    names = {"loss": "loss", "validation_loss": "val_loss", "validation_accuracy": "val_accuracy"}
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
        row["seconds"],
        checks.frozen(params),
    )


def _tell_divergence(epoch: int, plan: options.Schedule) -> None:
    what = (
        f"training diverged in epoch {epoch}: the loss or a weight was no longer finite with optimizer={plan.optimizer!r} and "
        f"learning_rate={plan.learning_rate:g}; try a learning_rate of {plan.learning_rate / 10:g}, and scale=True"
    )
    if epoch == 1:
        raise FloatingPointError(what)
    warnings.warn(f"{what}. The network returned is that of epoch {epoch - 1} or before.", DivergenceWarning, stacklevel=4)
