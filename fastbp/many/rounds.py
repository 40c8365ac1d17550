"""A run in rounds: it pauses between them, and may continue in another thread, or on another machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..model.network import Network
from ..options import Architecture
from ..training.prepare import prepare_run
from ..training.source import MemorySource
from ..training.state import Digests, TrainingState


@dataclass(frozen=True)
class Round:
    """
    A part of a run.

    Attributes
    ----------
    until : int
        Epoch after which it pauses.
    state : TrainingState or None
        Where to continue; None: at the beginning.
    """

    until: int
    state: TrainingState | None


@dataclass(frozen=True)
class Paused:
    """The network at the end of a round, and the state of its run."""

    network: Network
    state: TrainingState

    @property
    def stop_reason(self) -> str:
        """That of the network."""
        return self.network.stop_reason


class _MemoryCheckpoint:
    """Keeps the state of a run in memory: a `Checkpointer`, and the `StartingPoint` of the next round."""

    during_run = False
    network: Network | None = None
    settled: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, state: TrainingState | None) -> None:
        self.saved = state

    def begin(self, digests: Digests, network: Callable[[TrainingState], Network]) -> None:
        """Nothing to do."""

    def due(self, epoch: int, seconds: float) -> bool:
        """Only at the end of a round."""
        return False

    def save(self, state: TrainingState) -> None:
        """Keep it."""
        self.saved = state

    def require_same(self, digests: Digests) -> None:
        """The data are the same."""

    def require_shape(self, net: Architecture) -> None:
        """The options are the same."""

    def state(self, initial: TrainingState, columns: Sequence[str], epochs: int) -> TrainingState:
        """The end of the last round."""
        return initial if self.saved is None else self.saved


def train_round(X: Any, y: Any, asked: Mapping[str, Any], part: Round) -> Paused:
    """Train for one round; the arguments but `part` are those of `prepare_run`."""
    checkpoint = _MemoryCheckpoint(copy.deepcopy(part.state))  # if this worker is lost, another repeats the round
    run = prepare_run(X, y, asked, MemorySource(1), checkpoint)
    network = run.train(checkpointer=checkpoint, until=part.until)
    assert checkpoint.saved is not None  # a run saves its first state
    return Paused(network, checkpoint.saved)
