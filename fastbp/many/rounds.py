"""A run in rounds: between two of them it pauses, and the next may begin in another thread, or on another machine."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..model.network import Network
from ..training import prepare
from ..training.source import Memory
from ..training.standing import Standing


@dataclass(frozen=True)
class Round:
    """
    A part of a run.

    Attributes
    ----------
    until : int
        Epoch after which it pauses.
    at : Standing or None
        Where it goes on; None: at the beginning.
    """

    until: int
    at: Standing | None


@dataclass(frozen=True)
class Paused:
    """The network at the end of a round, and where its run stands."""

    network: Network
    at: Standing

    @property
    def stop_reason(self) -> str:
        """That of the network."""
        return self.network.stop_reason


class _Place:
    """Where a run goes on, and keeps where it stands."""

    within = False

    def __init__(self, at: Standing | None) -> None:
        self.at = at

    def begin(self, digests: prepare.Digests, network: Callable[[Standing], Network]) -> None:
        """Nothing is written."""

    def due(self, epoch: int, seconds: float) -> bool:
        """Only at the end of a round."""
        return False

    def keep(self, at: Standing) -> None:
        """Keep it."""
        self.at = at

    def require_same(self, digests: prepare.Digests) -> None:
        """The data are the same."""

    def require_shape(self, net: Any) -> None:
        """The options are the same."""

    def standing(self, first: Standing, columns: Sequence[str], epochs: int) -> Standing:
        """Where the last round ended."""
        return first if self.at is None else self.at


def learn(X: Any, y: Any, asked: Mapping[str, Any], part: Round) -> Paused:
    """Train as `prepare.learn` does, for one round."""
    place = _Place(copy.deepcopy(part.at))  # if this worker is lost, another one begins the round once more
    network = prepare.learn(
        X, y, asked, source=Memory(1), progress=False, callback=None, keeper=place, begun=place, until=part.until
    )
    assert place.at is not None  # it is kept when a run begins
    return Paused(network, place.at)
