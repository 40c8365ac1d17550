"""Where a run stands, and what the loop over epochs asks of who learns, who keeps, and who looks on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import options


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


class Way(Protocol):
    """A way through the epochs of a run."""

    def ready(self) -> bool:
        """Whether the next epochs may take it."""

    def learn(self, at: Standing, before: NDArray[Any], last: int, started: float) -> int | None:
        """Go on for an epoch or more, until `last` at most; where the next one has failed, see `kernels.Pass`, or None."""


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

    def stretches(self) -> Way | None:
        """Many epochs in a call, if it can learn them so."""


def columns(net: options.Architecture, validation: bool, metric: bool) -> list[str]:
    """Names of the columns of the history."""
    classify = net.task != "regression"
    watched = ["validation_loss"] + ["validation_accuracy"] * classify + ["validation_metric"] * metric
    return ["loss"] + ["accuracy"] * classify + watched * validation + ["seconds"]
