"""The state of a run, and the interfaces between the parts of the training."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from ..model.network import Network
from ..options import Architecture, Hyperparameters

# Computes the digest of each argument that holds data.
Digests = Callable[[], Mapping[str, list[str]]]


@dataclass(frozen=True)
class Epoch:
    """
    What a callback gets after each epoch.

    Attributes
    ----------
    epoch : int
        From 1.
    loss : float
        Mean loss of the epoch.
    accuracy, validation_loss, validation_accuracy, validation_metric : float or None
        None where there is none (regression, no validation set, no metric).
    damping, gradient_norm, effective_parameters, noise_precision : float or None
        Of the optimizers of all samples at once, see `Network.history`; None of others.
    seconds : float
        Since the start of the training.
    params : array
        A read-only view of the current weights; copy it to keep it.
    """

    epoch: int
    loss: float
    accuracy: float | None
    validation_loss: float | None
    validation_accuracy: float | None
    validation_metric: float | None
    seconds: float
    params: NDArray[Any]
    damping: float | None = None
    gradient_norm: float | None = None
    effective_parameters: float | None = None
    noise_precision: float | None = None


@dataclass
class TrainingState:
    """
    Everything that the next epoch of a run depends on.

    Attributes
    ----------
    params : array
        The weights, updated in place.
    optimizer_state : list of array
        Updated in place.
    random : Generator or None
        Draws the order of the samples; None keeps their order.
    best_params : array
        The weights of the best epoch so far, if there is a validation set.
    best_epoch : int
        0 without a validation set.
    best_cost : float
        The validation loss of the best epoch, or minus its metric.
    rows : list of dict
        The history, a row per epoch.
    stop_reason : str
        ``"unfinished"`` until the run stops.
    """

    params: NDArray[Any]
    optimizer_state: list[NDArray[Any]]
    random: np.random.Generator | None
    best_params: NDArray[Any]
    best_epoch: int = 0
    best_cost: float = np.inf
    rows: list[dict[str, float]] = field(default_factory=list)
    stop_reason: str = "unfinished"

    @classmethod
    def initial(
        cls, params: NDArray[Any], optimizer_state: list[NDArray[Any]], random: np.random.Generator | None
    ) -> TrainingState:
        """The state before the first epoch."""
        return cls(params, optimizer_state, random, params.copy())

    @property
    def seconds(self) -> float:
        """Time that the epochs have taken."""
        return self.rows[-1]["seconds"] if self.rows else 0.0

    @property
    def final_params(self) -> NDArray[Any]:
        """The weights for the network: those of the best epoch, or the last ones."""
        return self.best_params if self.best_epoch else self.params

    @property
    def history(self) -> dict[str, NDArray[np.float64]]:
        """The rows as columns."""
        return {key: np.array([row[key] for row in self.rows]) for key in (self.rows[0] if self.rows else ())}


# Columns of the history besides losses: what the optimizers of all samples measure in each step.
MEASURES = {
    "levenberg_marquardt": ("damping", "gradient_norm"),
    "bayesian": ("damping", "gradient_norm", "effective_parameters", "noise_precision"),
    "bfgs": ("gradient_norm",),
    "lbfgs": ("gradient_norm",),
}


def history_columns(net: Architecture, optimizer: str, validation: bool, metric: bool) -> list[str]:
    """Names of the columns of the history."""
    classify = net.task != "regression"
    validated = ["validation_loss"] + ["validation_accuracy"] * classify + ["validation_metric"] * metric
    return ["loss"] + ["accuracy"] * classify + validated * validation + [*MEASURES.get(optimizer, ()), "seconds"]


class Checkpointer(Protocol):
    """
    Keeps the state of a run, in case it is interrupted.

    Attributes
    ----------
    during_run : bool
        Whether `due` must be asked after each epoch; else only the first and the last state are saved.
    """

    during_run: bool

    def begin(self, digests: Digests, network: Callable[[TrainingState], Network]) -> None:
        """Prepare for a run; `network` makes a network of a state."""

    def due(self, epoch: int, seconds: float) -> bool:
        """Whether to save after this epoch, so many seconds after the start."""

    def save(self, state: TrainingState) -> None:
        """Save the state."""


class StartingPoint(Protocol):
    """
    An earlier run, to be continued.

    Attributes
    ----------
    network : Network or None
        The network so far: the run keeps its columns, its scaling and its range. None if this version has begun the
        run: it finds the same ones again.
    settled : mapping
        Options with the defaults that the run was begun with.
    """

    @property
    def network(self) -> Network | None: ...  # noqa: D102

    @property
    def settled(self) -> Mapping[str, Any]: ...  # noqa: D102

    def require_same(self, digests: Digests) -> None:
        """Raise ValueError if the data differ from those of the earlier run."""

    def require_shape(self, net: Architecture) -> None:
        """Raise ValueError if the options lead to another network."""

    def state(self, initial: TrainingState, columns: Sequence[str], epochs: int) -> TrainingState:
        """The state to continue from; `initial` is that of a new run."""


class EpochRunner(Protocol):
    """Runs one epoch, or several in one call."""

    def ready(self) -> bool:
        """Whether it can run the next epochs."""

    def advance(self, state: TrainingState, before: NDArray[Any], last: int, started: float) -> int | None:
        """
        Run an epoch or more.

        Parameters
        ----------
        state : TrainingState
            Updated in place.
        before : array
            Overwritten with the weights before the last epoch.
        last : int
            Epoch after which to stop.
        started : float
            When the run began.

        Returns
        -------
        int or None
            The batch in which the next epoch failed, see `kernels.Pass`; None if none did.
        """


class Learner(Protocol):
    """
    Learns from fixed samples, one epoch after another, and measures the loss.

    Attributes
    ----------
    net, hyper
        What is trained, and how.
    validates : bool
        Whether there is a validation set.
    finished : str or None
        The reason to stop after the last epoch, if there is nothing left to learn.
    measures : mapping
        What the row of the last epoch in the history has besides losses.
    """

    net: Architecture
    hyper: Hyperparameters
    validates: bool

    @property
    def finished(self) -> str | None: ...  # noqa: D102

    @property
    def measures(self) -> Mapping[str, float]: ...  # noqa: D102

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the kernels ready, also those that measure; returns the seconds that it took."""

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass, in the order of the samples or in one drawn at random; see `kernels.Pass`."""

    def measure(self, validation: bool) -> tuple[float, float]:
        """Mean loss and accuracy with the current weights, on the training or the validation samples."""

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """Batch `number` (from 0) of the last epoch in words, and inputs in it; if negative, "" and inputs."""

    def compiled_epochs(self, progress: bool | None) -> EpochRunner | None:
        """What runs many epochs in one call, if it can."""
