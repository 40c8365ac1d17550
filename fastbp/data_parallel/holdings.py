"""Who holds the shards of the samples: this process, or the workers of the default client of Dask."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from .chunks import Rows
from .shards import Holding, Run, Share


@dataclass(frozen=True)
class Content:
    """
    What goes into a `Holding`.

    Attributes
    ----------
    raw, watched : chunks.Rows
        Raw values of its samples to learn from, and to watch; None: there are none.
    first, training, held_out
        As in `Holding`.
    """

    raw: Rows
    watched: Rows | None
    first: int
    training: Share
    held_out: Share | None


class Holdings(Protocol):
    """
    Hold all shards.

    Attributes
    ----------
    size : int
        Threads that compute at a time.
    """

    size: int

    def compute(self, things: Sequence[Any]) -> Sequence[Any]:
        """Values of lazy things, here."""

    def persist(self, thing: Any) -> Any:
        """A collection whose parts are computed and kept where they are."""

    def place(self, shards: int, content: Callable[[int, int], Content], near: Sequence[Any]) -> None:
        """Hold so many shards; ``content(first, end)`` is what belongs to some in a row, most of it in chunks like those of `near`."""

    def begin(self, run: Run, progress: bool | None) -> float:
        """Make the holdings ready for the run; returns the seconds that compiling took."""

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What a method of each `Holding` returns, in the order of their shards."""

    def close(self) -> None:
        """Let go of the shards."""


class Here:
    """All shards in one holding in this process."""

    def __init__(self, threads: int) -> None:
        self.size = threads

    def compute(self, things: Sequence[Any]) -> Sequence[Any]:
        """Values of lazy things."""
        import dask

        return dask.compute(*things, scheduler=_scheduler())

    def persist(self, thing: Any) -> Any:
        """A collection that is held in memory."""
        return thing.persist(scheduler=_scheduler())

    def place(self, shards: int, content: Callable[[int, int], Content], near: Sequence[Any]) -> None:
        """Hold all of them."""
        all_ = content(0, shards)
        rows = [all_.raw] if all_.watched is None else [all_.raw, all_.watched]
        arrays = [
            of.places.joined(parts) for of, parts in zip(rows, self.compute([of.parts for of in rows]), strict=True)
        ]
        self.holding = Holding(arrays[0], arrays[1] if arrays[1:] else None, 0, all_.training, all_.held_out, self.size)

    def begin(self, run: Run, progress: bool | None) -> float:
        """Make the holding ready."""
        return self.holding.begin(run, progress)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What the only holding says."""
        return [getattr(self.holding, method)(*arguments)]

    def close(self) -> None:
        """Python will let go of it."""


def _scheduler() -> Any:
    """The one that is chosen; threads, where that is a client's who is gone."""
    import dask

    chosen = dask.config.get("scheduler", None)
    return "threads" if chosen in (None, "distributed", "dask.distributed") else chosen
