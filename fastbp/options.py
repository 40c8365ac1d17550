"""The names that a user may say, the defaults for each case, and what the kernels take for them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

import fastbp.kernels as kernels

from . import checks

TASKS = ("regression", "classification", "multilabel")
INITS = ("glorot", "he", "uniform")
ELEMENTWISE = tuple(name for name in kernels.ACTIVATIONS if name != "softmax")
# beta1 is the momentum of momentum and nesterov; values as in scikit-learn and the papers.
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-8
LEARNING_RATE = {"sgd": 0.1, "momentum": 0.01, "nesterov": 0.01, "adam": 0.001}
# Squared error of logistic units reaches the weights through factors a (1 - a) of at most 1/4.
LECTURE_RATE = 0.5


@dataclass(frozen=True)
class Architecture:
    """Units and activations of every layer, and the loss: what the whole-network kernels take."""

    sizes: tuple[int, ...]
    activations: tuple[str, ...]
    loss: str
    task: str

    @cached_property
    def size_array(self) -> Any:
        """Units per layer, inputs first, as the kernels take them."""
        return checks.frozen(np.array(self.sizes, np.int64))

    @cached_property
    def activation_codes(self) -> Any:
        """Code of each layer's activation."""
        return checks.frozen(np.array([kernels.ACTIVATIONS[a] for a in self.activations], np.int64))

    @property
    def loss_code(self) -> int:
        """Code of the loss."""
        return int(kernels.LOSSES[self.loss])

    @property
    def decision_code(self) -> int:
        """What the kernels count as a right decision."""
        if self.task == "regression":
            return int(kernels.NO_DECISION)
        return int(kernels.ARGMAX if self.task == "classification" and self.sizes[-1] > 1 else kernels.THRESHOLD)


def architecture(inputs: int, outputs: int, task: str, hidden: Any, activation: Any, output: str, loss: str) -> Architecture:
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
    hidden, activation, output, loss
        As in `fastbp.train`.

    Raises
    ------
    ValueError
        A name or number that is not valid, or names that do not go together.
    """
    units = hidden_units(hidden)
    names = hidden_activations(activation, len(units))
    allowed = ("logistic", "softmax") if task == "classification" else ("logistic",) if task == "multilabel" else ELEMENTWISE
    if output == "auto":
        output = {"regression": "identity", "multilabel": "logistic"}.get(task, "logistic" if outputs == 2 else "softmax")
    else:
        checks.one_of(f"output (for {task})", output, ("auto", *allowed))
    if loss == "auto":
        loss = "squared_error" if task == "regression" else "log_loss"
    checks.one_of("loss", loss, ("auto", *kernels.LOSSES))
    if loss == "log_loss" and task == "regression":
        raise ValueError("loss: expected 'squared_error' for regression, got 'log_loss'; pass task='classification' for class labels")
    if task == "classification" and outputs == 2 and output == "logistic":
        outputs = 1  # one unit: the probability of the second class
    return Architecture((inputs, *units, outputs), (*names, output), loss, task)


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
        raise ValueError(f"activation: expected one name, or one for each of the {layers} hidden layers, got {len(names)}")
    return names


@dataclass(frozen=True)
class Schedule:
    """How long to train, in which steps, and when to stop: all numbers filled in."""

    optimizer: str
    learning_rate: float
    batch_size: int
    epochs: int
    l2: float
    target_loss: float | None
    target_accuracy: float | None
    max_seconds: float | None
    patience: int | None


def schedule(
    n: int,
    net: Architecture,
    *,
    optimizer: str,
    learning_rate: float | None,
    batch_size: int | None,
    epochs: int | None,
    l2: float,
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
    rate = default_learning_rate(optimizer, net) if learning_rate is None else checks.real("learning_rate", learning_rate, above=0)
    batch = default_batch_size(n) if batch_size is None else min(checks.integer("batch_size", batch_size, 1), n)
    count = default_epochs(n) if epochs is None else checks.integer("epochs", epochs, 1)
    if target_accuracy is not None:
        if net.task == "regression":
            raise ValueError("target_accuracy: expected None for regression, which has no accuracy; use target_loss")
        target_accuracy = checks.real("target_accuracy", target_accuracy, above=0)
        if target_accuracy > 1:
            raise ValueError(f"target_accuracy: expected a share of at most 1, got {target_accuracy!r}")
    if patience is not None:
        patience = checks.integer("patience", patience, 1)
        if not validation:
            raise ValueError("patience: expected a validation part to watch, got validation=None; pass validation=0.1, for instance")
    return Schedule(
        optimizer=optimizer,
        learning_rate=rate,
        batch_size=batch,
        epochs=count,
        l2=checks.real("l2", l2, least=0),
        target_loss=None if target_loss is None else checks.real("target_loss", target_loss, least=0),
        target_accuracy=target_accuracy,
        max_seconds=None if max_seconds is None else checks.real("max_seconds", max_seconds, above=0),
        patience=patience,
    )


def default_learning_rate(optimizer: str, net: Architecture) -> float:
    """Return the usual rate of the optimizer; more for narrow networks under adam, and for the lecture's rule (L27)."""
    if optimizer == "adam":
        # adam moves every weight by about the rate, so a unit's input moves by the rate times the width.
        return LEARNING_RATE["adam"] * min(10.0, max(1.0, 64 / max((1, *net.sizes[1:-1]))))
    if optimizer == "sgd" and net.loss == "squared_error" and net.activations[-1] == "logistic":
        return LECTURE_RATE
    return LEARNING_RATE[optimizer]


def default_batch_size(n: int) -> int:
    """32 samples an update; more for large data, at most 256."""
    return min(n, max(32, min(256, 2 ** round(math.log2(max(n, 1) / 256)))))


def default_epochs(n: int) -> int:
    """50 passes; more for small data, so that 20 000 samples are seen (at most 3000 passes), fewer for large (at least 20)."""
    return max(20, min(50, 5_000_000 // n), min(3000, 20_000 // n))
