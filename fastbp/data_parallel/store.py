"""What holds the shards of the samples: this process, or the workers of Dask's default client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .chunks import ChunkRows
from .shards import Setup, ShardGroup, ShardTargets


@dataclass(frozen=True)
class GroupContent:
    """
    What a `ShardGroup` is made of.

    Attributes
    ----------
    raw, raw_validation : ChunkRows
        Raw values of its training and validation samples; None: no validation set.
    first, training, validation
        As in `ShardGroup`.
    """

    raw: ChunkRows
    raw_validation: ChunkRows | None
    first: int
    training: ShardTargets
    validation: ShardTargets | None


class ShardStore(Protocol):
    """
    Holds all shards.

    Attributes
    ----------
    size : int
        Threads that compute at a time.
    """

    size: int

    def compute(self, things: Sequence[Any]) -> Sequence[Any]:
        """Values of lazy things, in this process."""

    def persist(self, thing: Any) -> Any:
        """A collection whose parts are computed and kept where they are."""

    def place(self, shards: int, content: Callable[[int, int], GroupContent], near: Sequence[Any]) -> None:
        """
        Hold all shards.

        Parameters
        ----------
        shards : int
            Their number.
        content : callable
            ``content(first, end)`` is the content of a group of neighbouring shards.
        near : sequence of Delayed
            Chunks like those that most of the content comes from.
        """

    def begin(self, setup: Setup, progress: bool | None) -> float:
        """Make the groups ready for the run; returns the seconds that compiling took."""

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What a method of each `ShardGroup` returns, in the order of their shards."""

    def close(self) -> None:
        """Let go of the shards."""


class LocalStore:
    """All shards in one group in this process."""

    def __init__(self, threads: int) -> None:
        self.size = threads

    def compute(self, things: Sequence[Any]) -> Sequence[Any]:
        """Values of lazy things."""
        import dask

        return dask.compute(*things, scheduler=_scheduler())

    def persist(self, thing: Any) -> Any:
        """A collection that is held in memory."""
        return thing.persist(scheduler=_scheduler())

    def place(self, shards: int, content: Callable[[int, int], GroupContent], near: Sequence[Any]) -> None:
        """Hold all shards."""
        whole = content(0, shards)
        rows = [whole.raw] if whole.raw_validation is None else [whole.raw, whole.raw_validation]
        computed = self.compute([of.parts for of in rows])
        raw, *more = (of.places.joined(parts) for of, parts in zip(rows, computed, strict=True))
        self.group = ShardGroup(raw, more[0] if more else None, 0, whole.training, whole.validation, self.size)

    def begin(self, setup: Setup, progress: bool | None) -> float:
        """Make the group ready."""
        return self.group.begin(setup, progress)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What the only group returns."""
        return [getattr(self.group, method)(*arguments)]

    def close(self) -> None:
        """Nothing to do: Python frees the group."""


def _scheduler() -> Any:
    """Dask's chosen scheduler; threads, if that is the scheduler of a client that is closed."""
    import dask

    chosen = dask.config.get("scheduler", None)
    return "threads" if chosen in (None, "distributed", "dask.distributed") else chosen
