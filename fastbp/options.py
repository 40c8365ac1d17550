"""The names that options may have, the defaults for each case, and what the kernels take for them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from . import checks, losses, schedules
from .runtime.lazy import cached_property
from .second_order import options as second_order

TASKS = ("regression", "classification", "multilabel")
INITS = ("glorot", "he", "uniform")
ELEMENTWISE = tuple(name for name in kernels.ACTIVATIONS if name != "softmax")
OUTPUTS = tuple(name for name in ELEMENTWISE if not kernels.takes_input(kernels.ACTIVATIONS[name]))
# beta1, beta2 and epsilon as in scikit-learn and the papers; beta1 is the momentum of momentum and nesterov, beta2 the
# decay of rmsprop, and both are the factors of rprop's steps.
NUMBERS = dict.fromkeys(kernels.OPTIMIZERS, (0.9, 0.999, 1e-8)) | {
    "rmsprop": (0.0, 0.99, 1e-8),
    "rprop": (0.5, 1.2, 0.0),
}
ADAMS = ("adam", "adamw", "nadam", "rmsprop")
LEARNING_RATE = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01, "rprop": 0.01} | dict.fromkeys(ADAMS, 0.001)
DEFAULT_HIDDEN = (64,)
# Squared error of logistic units reaches the weights through factors a (1 - a) of at most 1/4.
LECTURE_RATE = 0.5


@dataclass(frozen=True)
class Architecture:
    """
    Units and activations of every layer, and the loss: what the whole-network kernels take.

    `loss_parameter` holds the parameters of the outputs of one target (see `losses.parameters`), `custom_loss` the two
    functions of a custom loss, whose name is `losses.CUSTOM`.
    """

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    task: str
    loss_parameter: tuple[float, ...] = ()
    custom_loss: losses.Functions | None = None

    @cached_property
    def size_array(self) -> Any:
        """Units per layer, inputs first, as the kernels take them."""
        return checks.frozen(np.array(self.sizes, np.int64))

    @cached_property
    def activation_codes(self) -> Any:
        """Code of each layer's activation."""
        return checks.frozen(np.array([kernels.ACTIVATIONS[a] for a in self.activations], np.int64))

    def loss_for(self, dtype: np.dtype[Any]) -> tuple[Any, Any]:
        """Code of the loss, or a custom loss compiled for `dtype`, and the parameter of each output."""
        times = self.sizes[-1] // len(self.loss_parameter) if self.loss_parameter else 0
        parameter = checks.frozen(np.tile(np.array(self.loss_parameter, dtype), times))
        if self.custom_loss is not None:
            return losses.compiled(self.custom_loss, dtype.name), parameter
        return kernels.LOSSES[self.loss], parameter

    def outputs(self, X: Any, params: Any) -> Any:
        """Outputs of the last layer for all rows of X, C-contiguous in the dtype of the parameters, or in pieces."""
        if not isinstance(X, np.ndarray):
            return X.outputs(self, params)
        out = np.empty((len(X), self.sizes[-1]), params.dtype)
        kernels.forward(X, self.size_array, self.activation_codes, params, out)
        return out

    def measure(self, out: Any, Y: Any, weight: Any) -> tuple[float, float]:
        """Mean loss of outputs, and the share of correct decisions."""
        code, parameter = self.loss_for(out.dtype)
        last, read_only = kernels.ACTIVATIONS[self.activations[-1]], (checks.frozen(Y), checks.frozen(weight))
        loss, correct = kernels.evaluate(int(code), parameter, last, self.decision_code, out, *read_only)
        return float(loss), float(correct)

    @property
    def decision_code(self) -> int:
        """What the kernels count as a correct decision."""
        if self.task == "regression":
            return int(kernels.NO_DECISION)
        return int(kernels.ARGMAX if self.task == "classification" and self.sizes[-1] > 1 else kernels.THRESHOLD)


def architecture(inputs: int, outputs: int, task: str, asked: Mapping[str, Any]) -> Architecture:
    """
    Layers, activations and loss that the user asks for.

    Parameters
    ----------
    inputs : int
        Number of features.
    outputs : int
        Number of target columns; classes in classification.
    task : str
        One of `TASKS`.
    asked : mapping
        ``hidden``, ``activation``, ``output``, ``loss``, ``quantile`` and ``huber_delta`` of `fastbp.train`; others are
        not read.

    Raises
    ------
    ValueError
        A name or number that is not valid, or names that do not go together.
    """
    units, output, loss = hidden_units(asked["hidden"]), asked["output"], asked["loss"]
    names = hidden_activations(asked["activation"], len(units))
    allowed = {"classification": ("logistic", "softmax"), "multilabel": ("logistic",)}.get(task, OUTPUTS)
    if output != "auto":
        checks.one_of(f"output (for {task})", output, ("auto", *allowed))
    custom = None if isinstance(loss, str) else losses.functions_of(loss)
    if custom is not None:
        loss = losses.CUSTOM
    elif loss == "auto":
        loss = "squared_error" if task == "regression" else "log_loss"
    else:
        checks.one_of("loss", loss, ("auto", *kernels.LOSSES))
        known = losses.REGRESSION if task == "regression" else ("log_loss", "squared_error")
        if loss not in known:
            hint = "; pass task='classification' for class labels" if task == "regression" else ""
            valid = ", ".join(map(repr, known))
            raise ValueError(f"loss: expected one of {valid} or two functions for {task}, got {loss!r}{hint}")
    if output == "auto":
        numbers = "exp" if loss == "poisson" else "identity"
        output = {"regression": numbers, "multilabel": "logistic"}.get(task, "logistic" if outputs == 2 else "softmax")
    if loss == "poisson" and output != "exp":
        raise ValueError(f"output: expected 'exp' with the loss 'poisson', got {output!r}; leave it out")
    parameter = losses.parameters(loss, asked["quantile"], asked["huber_delta"])
    if task == "classification" and outputs == 2 and output == "logistic":
        outputs = 1  # one unit: the probability of the second class
    outputs *= max(1, len(parameter))
    return Architecture((inputs, *units, outputs), (*names, output), loss, task, parameter, custom)


def hidden_units(hidden: Any) -> tuple[int, ...]:
    """Units per hidden layer as a tuple; a single number is one layer."""
    if isinstance(hidden, str) or not isinstance(hidden, Sequence | np.ndarray):
        hidden = (hidden,)
    return tuple(checks.integer("hidden", n, 1) for n in hidden)


def hidden_activations(activation: Any, layers: int) -> tuple[str, ...]:
    """Name of each hidden layer's activation as a tuple; a single name is for all layers."""
    if not isinstance(activation, Sequence | np.ndarray) or isinstance(activation, str):
        return (checks.one_of("activation", activation, ELEMENTWISE),) * layers
    names = tuple(checks.one_of("activation", name, ELEMENTWISE) for name in activation)
    if len(names) != layers:
        each = f"one for each of the {layers} hidden layers"
        raise ValueError(f"activation: expected one name, or {each}, got {len(names)}")
    return names


@dataclass(frozen=True)
class Hyperparameters:
    """How long to train, in which steps, and when to stop, with all defaults filled in."""

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
    damping: float | None = None
    damping_up: float | None = None
    damping_down: float | None = None
    damping_limit: float | None = None
    tolerance: float | None = None

    @property
    def constant_rate(self) -> bool:
        """Whether the learning rate stays the same."""
        return self.schedule == "constant" and not self.warmup

    @property
    def clip(self) -> float:
        """Greatest norm of a gradient, as the kernels take it."""
        return np.inf if self.clip_norm is None else self.clip_norm

    def rates(self, step: int, batches: int) -> NDArray[np.float64]:
        """Learning rates of an epoch of so many batches, after `step` updates."""
        total, warmup = self.epochs * batches, self.warmup * batches
        return self.learning_rate * schedules.factors(self.schedule, step, batches, total, warmup)


def hyperparameters(n: int, net: Architecture, asked: Mapping[str, Any], validates: bool) -> Hyperparameters:
    """
    Check the options for training `net` on `n` samples, and fill in a default for each that is None.

    Parameters
    ----------
    n : int
    net : Architecture
    asked : mapping
        Options of `fastbp.train`; those that are not among the fields of `Hyperparameters` are not read.
    validates : bool
        Whether there is a validation set.

    Raises
    ------
    ValueError
        A value that is not valid.
    """
    optimizer = second_order.name_of(asked["optimizer"])
    if optimizer in second_order.NAMES:
        second_order.check(optimizer, n, net, asked)
    rate = _unless_none("learning_rate", asked, above=0)
    rate = rate or default_learning_rate(optimizer, net, asked.get("rate_factor", 1.0))
    size, epochs = asked["batch_size"], asked["epochs"]
    # rprop compares the signs of gradients of all samples.
    usual = (n, 500) if optimizer == "rprop" else (default_batch_size(n), default_epochs(n))
    usual = (n, second_order.STEPS) if optimizer in second_order.NAMES else usual
    size = usual[0] if size is None else min(checks.integer("batch_size", size, 1), n)
    epochs = usual[1] if epochs is None else checks.integer("epochs", epochs, 0)
    schedule = checks.one_of("schedule", asked["schedule"], schedules.SCHEDULES)
    warmup = checks.real("warmup", asked["warmup"], least=0)
    if warmup and schedule == "one_cycle":
        raise ValueError(f"warmup: expected 0 with schedule='one_cycle', which has its own rise, got {warmup!r}")
    target_accuracy, patience = asked["target_accuracy"], asked["patience"]
    if target_accuracy is not None:
        if net.task == "regression":
            raise ValueError("target_accuracy: expected None for regression, which has no accuracy; use target_loss")
        target_accuracy = checks.real("target_accuracy", target_accuracy, above=0)
        if target_accuracy > 1:
            raise ValueError(f"target_accuracy: expected a number of at most 1, got {target_accuracy!r}")
    if patience is not None:
        patience = checks.integer("patience", patience, 1)
        if not validates:
            raise ValueError(
                "patience: expected a validation set, got validation=None; pass validation=0.1, for instance"
            )
    return Hyperparameters(
        optimizer=optimizer,
        learning_rate=rate,
        schedule=schedule,
        warmup=warmup,
        batch_size=size,
        epochs=epochs,
        l2=checks.real("l2", asked["l2"], least=0),
        dropout=dropout_shares(asked["dropout"], len(net.sizes) - 2),
        clip_norm=_unless_none("clip_norm", asked, above=0),
        target_loss=_unless_none("target_loss", asked, least=0),
        target_accuracy=target_accuracy,
        max_seconds=_unless_none("max_seconds", asked, above=0),
        patience=patience,
        **second_order.own_options(optimizer, asked),
    )


def _unless_none(name: str, asked: Mapping[str, Any], **bounds: float) -> float | None:
    """The option as a number within bounds, or None."""
    return None if asked[name] is None else checks.real(name, asked[name], **bounds)


def dropout_shares(dropout: Any, layers: int) -> tuple[float, ...]:
    """Probability to drop a unit of each hidden layer; a single number is for all layers."""
    if isinstance(dropout, str) or not isinstance(dropout, Sequence | np.ndarray):
        return (checks.real("dropout", dropout, least=0, below=1),) * layers
    shares = tuple(checks.real("dropout", share, least=0, below=1) for share in dropout)
    if len(shares) != layers:
        each = f"one for each of the {layers} hidden layers"
        raise ValueError(f"dropout: expected one probability, or {each}, got {len(shares)}")
    return shares


def default_learning_rate(optimizer: str, net: Architecture, factor: float = 1.0) -> float:
    """
    The usual rate of the optimizer; higher for narrow networks with adam and its kin, and for the lecture's rule.

    That of adam and its kin is `factor` times as high, but at most 0.01 with hidden layers.
    """
    if optimizer in second_order.NAMES:
        return 1.0
    if optimizer in ADAMS:
        if len(net.sizes) == 2:
            return LEARNING_RATE[optimizer] * 10 * factor
        # These move every weight by about the rate, so a unit's input moves by the rate times the width.
        return LEARNING_RATE[optimizer] * min(10.0, factor * max(1.0, 64 / max(net.sizes[1:-1])))
    if optimizer == "sgd" and net.loss == "squared_error" and net.activations[-1] == "logistic":
        return LECTURE_RATE
    return LEARNING_RATE[optimizer]


def default_batch_size(n: int) -> int:
    """32 samples per update; more for large data, at most 256."""
    return min(n, max(32, min(256, 2 ** round(math.log2(max(n, 1) / 256)))))


def default_shared_batch_size(n: int) -> int:
    """Samples per update that several workers share: 1024 to 16 384, and about a hundred updates an epoch or more."""
    return min(n, max(1024, min(16_384, 2 ** round(math.log2(max(n, 1) / 128)))))


def default_epochs(n: int) -> int:
    """50 passes; more for small data, up to 20 000 samples seen (at most 3000 passes), fewer for large (20 or more)."""
    return max(20, min(50, 5_000_000 // n), min(3000, 20_000 // n))
