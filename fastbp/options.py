"""The names that a user may say, the defaults for each case, and what the kernels take for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from . import checks, losses, schedules
from .runtime.lazy import cached_property

TASKS = ("regression", "classification", "multilabel")
INITS = ("glorot", "he", "uniform")
ELEMENTWISE = tuple(name for name in kernels.ACTIVATIONS if name != "softmax")
OUTPUTS = tuple(name for name in ELEMENTWISE if not kernels.takes_input(kernels.ACTIVATIONS[name]))
# beta1, beta2 and epsilon as in scikit-learn and the papers; beta1 is the momentum of momentum and nesterov, beta2 the memory of
# rmsprop, and both the factors of rprop's steps.
NUMBERS = dict.fromkeys(kernels.OPTIMIZERS, (0.9, 0.999, 1e-8)) | {
    "rmsprop": (0.0, 0.99, 1e-8),
    "rprop": (0.5, 1.2, 0.0),
}
ADAMS = ("adam", "adamw", "nadam", "rmsprop")
LEARNING_RATE = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01, "rprop": 0.01} | dict.fromkeys(ADAMS, 0.001)
# Squared error of logistic units reaches the weights through factors a (1 - a) of at most 1/4.
LECTURE_RATE = 0.5


@dataclass(frozen=True)
class Architecture:
    """
    Units and activations of every layer, and the loss: what the whole-network kernels take.

    `loss_parameter` holds the parameters of the outputs of one target (see `losses.parameters`), `own_loss` the functions of a loss
    named ``"own"``.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    task: str
    loss_parameter: tuple[float, ...] = ()
    own_loss: losses.Functions | None = None

    @cached_property
    def size_array(self) -> Any:
        """Units per layer, inputs first, as the kernels take them."""
        return checks.frozen(np.array(self.sizes, np.int64))

    @cached_property
    def activation_codes(self) -> Any:
        """Code of each layer's activation."""
        return checks.frozen(np.array([kernels.ACTIVATIONS[a] for a in self.activations], np.int64))

    def loss_for(self, dtype: np.dtype[Any]) -> tuple[Any, Any]:
        """Code of the loss, or a loss of one's own compiled for `dtype`, and the parameter of each output."""
        times = self.sizes[-1] // len(self.loss_parameter) if self.loss_parameter else 0
        parameter = checks.frozen(np.tile(np.array(self.loss_parameter, dtype), times))
        if self.own_loss is not None:
            return losses.compiled(self.own_loss, dtype.name), parameter
        return kernels.LOSSES[self.loss], parameter

    def outputs(self, X: Any, params: Any) -> Any:
        """Outputs of the last layer for all rows of a C-contiguous array of the dtype of the parameters."""
        out = np.empty((len(X), self.sizes[-1]), params.dtype)
        kernels.forward(X, self.size_array, self.activation_codes, params, out)
        return out

    def measure(self, out: Any, Y: Any, weight: Any) -> tuple[float, float]:
        """Mean loss of outputs, and the share of right decisions."""
        code, parameter = self.loss_for(out.dtype)
        last, read_only = kernels.ACTIVATIONS[self.activations[-1]], (checks.frozen(Y), checks.frozen(weight))
        loss, correct = kernels.evaluate(int(code), parameter, last, self.decision_code, out, *read_only)
        return float(loss), float(correct)

    @property
    def decision_code(self) -> int:
        """What the kernels count as a right decision."""
        if self.task == "regression":
            return int(kernels.NO_DECISION)
        return int(kernels.ARGMAX if self.task == "classification" and self.sizes[-1] > 1 else kernels.THRESHOLD)


def architecture(
    inputs: int,
    outputs: int,
    task: str,
    hidden: Any,
    activation: Any,
    output: str,
    loss: Any,
    quantile: Any,
    huber_delta: Any,
) -> Architecture:
    """
    Layers, activations and loss from the user's words.

    Parameters
    ----------
    inputs : int
        Number of features.
    outputs : int
        Number of target columns; classes in classification.
    task : str
        One of `TASKS`.
    hidden, activation, output, loss, quantile, huber_delta
        As in `fastbp.train`.

    Raises
    ------
    ValueError
        A name or number that is not valid, or names that do not go together.
    """
    units = hidden_units(hidden)
    names = hidden_activations(activation, len(units))
    allowed = (
        ("logistic", "softmax") if task == "classification" else ("logistic",) if task == "multilabel" else OUTPUTS
    )
    if output != "auto":
        checks.one_of(f"output (for {task})", output, ("auto", *allowed))
    own = None if isinstance(loss, str) else losses.functions_of(loss)
    if own is not None:
        loss = losses.OWN
    elif loss == "auto":
        loss = "squared_error" if task == "regression" else "log_loss"
    else:
        checks.one_of("loss", loss, ("auto", *kernels.LOSSES))
        known = losses.REGRESSION if task == "regression" else ("log_loss", "squared_error")
        if loss not in known:
            hint = "; pass task='classification' for class labels" if task == "regression" else ""
            raise ValueError(
                f"loss: expected one of {', '.join(map(repr, known))} or two functions for {task}, got {loss!r}{hint}"
            )
    if output == "auto":
        numbers = "exp" if loss == "poisson" else "identity"
        output = {"regression": numbers, "multilabel": "logistic"}.get(task, "logistic" if outputs == 2 else "softmax")
    if loss == "poisson" and output != "exp":
        raise ValueError(f"output: expected 'exp' with the loss 'poisson', got {output!r}; leave it out")
    parameter = losses.parameters(loss, quantile, huber_delta)
    if task == "classification" and outputs == 2 and output == "logistic":
        outputs = 1  # one unit: the probability of the second class
    outputs *= max(1, len(parameter))
    return Architecture((inputs, *units, outputs), (*names, output), loss, task, parameter, own)


def hidden_units(hidden: Any) -> tuple[int, ...]:
    """Units per hidden layer as a tuple; a single number is one layer."""
    if isinstance(hidden, str) or not isinstance(hidden, Sequence | np.ndarray):
        hidden = (hidden,)
    return tuple(checks.integer("hidden", n, 1) for n in hidden)


def hidden_activations(activation: Any, layers: int) -> tuple[str, ...]:
    """Name of each hidden layer's activation as a tuple; a single name is that of all layers."""
    if not isinstance(activation, Sequence | np.ndarray) or isinstance(activation, str):
        return (checks.one_of("activation", activation, ELEMENTWISE),) * layers
    names = tuple(checks.one_of("activation", name, ELEMENTWISE) for name in activation)
    if len(names) != layers:
        raise ValueError(
            f"activation: expected one name, or one for each of the {layers} hidden layers, got {len(names)}"
        )
    return names


@dataclass(frozen=True)
class Schedule:
    """How long to train, in which steps, and when to stop: all numbers filled in."""

    optimizer: str
    learning_rate: float
    schedule: str
    warmup: float
    batch_size: int
    epochs: int
    l2: float
    dropout: tuple[float, ...]
    clip_norm: float | None
    target_loss: float | None
    target_accuracy: float | None
    max_seconds: float | None
    patience: int | None

    def rates(self, step: int, batches: int) -> NDArray[np.float64]:
        """Learning rates of an epoch of so many batches, after `step` updates."""
        total, warmup = self.epochs * batches, self.warmup * batches
        return self.learning_rate * schedules.factors(self.schedule, step, batches, total, warmup)


def schedule(
    n: int,
    net: Architecture,
    *,
    optimizer: str,
    learning_rate: float | None,
    schedule: str,
    warmup: float,
    batch_size: int | None,
    epochs: int | None,
    l2: float,
    dropout: Any,
    clip_norm: float | None,
    target_loss: float | None,
    target_accuracy: float | None,
    max_seconds: float | None,
    patience: int | None,
    validation: bool,
) -> Schedule:
    """
    Check the options of the run of `net` on `n` training samples, and fill in a default for each that is None.

    Raises
    ------
    ValueError
        A value that is not valid.
    """
    checks.one_of("optimizer", optimizer, kernels.OPTIMIZERS)
    rate = (
        default_learning_rate(optimizer, net)
        if learning_rate is None
        else checks.real("learning_rate", learning_rate, above=0)
    )
    full = optimizer == "rprop"  # which compares the signs of gradients of all samples
    batch = (
        (n if full else default_batch_size(n))
        if batch_size is None
        else min(checks.integer("batch_size", batch_size, 1), n)
    )
    count = (500 if full else default_epochs(n)) if epochs is None else checks.integer("epochs", epochs, 0)
    checks.one_of("schedule", schedule, schedules.SCHEDULES)
    warmup = checks.real("warmup", warmup, least=0)
    if warmup and schedule == "one_cycle":
        raise ValueError(f"warmup: expected 0 with schedule='one_cycle', which has a rise of its own, got {warmup!r}")
    if target_accuracy is not None:
        if net.task == "regression":
            raise ValueError("target_accuracy: expected None for regression, which has no accuracy; use target_loss")
        target_accuracy = checks.real("target_accuracy", target_accuracy, above=0)
        if target_accuracy > 1:
            raise ValueError(f"target_accuracy: expected a share of at most 1, got {target_accuracy!r}")
    if patience is not None:
        patience = checks.integer("patience", patience, 1)
        if not validation:
            raise ValueError(
                "patience: expected a validation part to watch, got validation=None; pass validation=0.1, for instance"
            )
    return Schedule(
        optimizer=optimizer,
        learning_rate=rate,
        schedule=schedule,
        warmup=warmup,
        batch_size=batch,
        epochs=count,
        l2=checks.real("l2", l2, least=0),
        dropout=dropout_shares(dropout, len(net.sizes) - 2),
        clip_norm=None if clip_norm is None else checks.real("clip_norm", clip_norm, above=0),
        target_loss=None if target_loss is None else checks.real("target_loss", target_loss, least=0),
        target_accuracy=target_accuracy,
        max_seconds=None if max_seconds is None else checks.real("max_seconds", max_seconds, above=0),
        patience=patience,
    )


def dropout_shares(dropout: Any, layers: int) -> tuple[float, ...]:
    """Share of units to drop in each hidden layer; a single number is that of all layers."""
    if isinstance(dropout, str) or not isinstance(dropout, Sequence | np.ndarray):
        return (checks.real("dropout", dropout, least=0, below=1),) * layers
    shares = tuple(checks.real("dropout", share, least=0, below=1) for share in dropout)
    if len(shares) != layers:
        raise ValueError(
            f"dropout: expected one share, or one for each of the {layers} hidden layers, got {len(shares)}"
        )
    return shares


def default_learning_rate(optimizer: str, net: Architecture) -> float:
    """Return the usual rate of the optimizer; more for narrow networks under adam and its kin, and for the lecture's rule (L27)."""
    if optimizer in ADAMS:
        # these move every weight by about the rate, so a unit's input moves by the rate times the width.
        return LEARNING_RATE[optimizer] * min(10.0, max(1.0, 64 / max((1, *net.sizes[1:-1]))))
    if optimizer == "sgd" and net.loss == "squared_error" and net.activations[-1] == "logistic":
        return LECTURE_RATE
    return LEARNING_RATE[optimizer]


def default_batch_size(n: int) -> int:
    """32 samples an update; more for large data, at most 256."""
    return min(n, max(32, min(256, 2 ** round(math.log2(max(n, 1) / 256)))))


def default_shared_batch_size(n: int) -> int:
    """Samples an update where several workers share them: a hundred updates an epoch or more, of 1024 samples at least, 16 384 at most."""
    return min(n, max(1024, min(16_384, 2 ** round(math.log2(max(n, 1) / 128)))))


def default_epochs(n: int) -> int:
    """50 passes; more for small data, so that 20 000 samples are seen (at most 3000 passes), fewer for large (at least 20)."""
    return max(20, min(50, 5_000_000 // n), min(3000, 20_000 // n))
