"""Shards on the workers of a Dask cluster: each worker holds some; if it is lost, another takes them over."""

from __future__ import annotations

import asyncio
import concurrent.futures
import itertools
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from dask.base import compute
from distributed import Client, get_worker
from distributed.client import futures_of
from distributed.scheduler import KilledWorker

from ..runtime.installation import connected, installation, require_same
from .chunks import Places
from .shards import Setup, ShardGroup, cuts
from .store import GroupContent

# Seconds after which a worker that has not answered is checked, and to wait for a new worker if all are lost.
LOOK, WAIT = 1.0, 60.0
# Times that the shards of a worker are taken over during one call.
TRIES = 4


class LostError(Exception):
    """A worker was lost, with its shards."""


class RemoteGroup(ShardGroup):
    """
    A group on a worker, an actor: a direct call to it is several times as fast as a task.

    Parameters
    ----------
    here : dict
        `installation` of the process that wants it: the worker may have joined after the others were checked.
    raw, raw_validation : list of array
        Chunks with the training and the validation samples.
    places : chunks.Places
        Where the samples are in `raw`.
    validation_places : chunks.Places or None
        Where they are in `raw_validation`; None: no validation set.
    *content
        As in `ShardGroup`.
    """

    def __init__(
        self,
        here: dict[str, Any],
        raw: list[Any],
        raw_validation: list[Any],
        places: Places,
        validation_places: Places | None,
        *content: Any,
    ) -> None:
        require_same("client", get_worker().address, here, installation())
        validation = None if validation_places is None else validation_places.joined(raw_validation)
        super().__init__(places.joined(raw), validation, *content)


@dataclass
class Placement:
    """A group of shards: its content, from which it can be made again, the worker that holds it, and its actor."""

    content: GroupContent
    address: str
    future: Any = None
    actor: Any = None


class ClusterStore:
    """
    The workers of a cluster: each holds shards in proportion to its threads.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    ValueError, RuntimeError
        As `connected`.
    """

    def __init__(self, client: Client) -> None:
        self.client, self.threads = client, connected("client", client)
        self.size = sum(self.threads.values())
        self._placements: list[Placement] = []
        self._setup: Setup | None = None

    def compute(self, things: Sequence[Any]) -> Sequence[Any]:
        """Values of lazy things, in this process."""
        return self._checked(lambda: compute(*things, scheduler=self.client))

    def persist(self, thing: Any) -> Any:
        """A collection whose parts the workers keep."""
        return self._checked(lambda: self.client.persist(thing))

    def _checked(self, call: Callable[[], Any]) -> Any:
        """What the call returns; raises RuntimeError if the cluster or the data are lost."""
        try:
            return call()
        except (asyncio.CancelledError, concurrent.futures.CancelledError, KilledWorker) as error:
            self._require_running()
            got = f"some that are lost, or kill their workers: {error}"
            raise RuntimeError(f"X: expected rows that can be computed, got {got}") from error
        except TimeoutError:
            raise
        except OSError as error:
            self._require_running()
            raise RuntimeError(f"client: the cluster was lost: {error}") from error

    def _require_running(self) -> None:
        if self.client.status != "running":
            got = f"one that is {self.client.status}"
            raise RuntimeError(f"client: expected one that is connected to its cluster until the end, got {got}")

    def place(self, shards: int, content: Callable[[int, int], GroupContent], near: Sequence[Any]) -> None:
        """Hold neighbouring shards on each worker; workers that have the first chunks already get the first shards."""
        addresses = self._in_order(near)
        threads = [0, *itertools.accumulate(self.threads[address] for address in addresses)]
        bounds = cuts(shards, self.size)[threads].tolist()
        for address, (begin, end) in zip(addresses, itertools.pairwise(bounds), strict=True):
            if begin < end:
                self._placements.append(Placement(content(begin, end), address))
                self._start(self._placements[-1])
        try:
            for placement in self._placements:
                self._finish(placement)
        except BaseException:
            self.close()
            raise

    def _in_order(self, chunks: Sequence[Any]) -> list[str]:
        """Workers, sorted by the mean number of the chunks that they hold, so that few rows are sent."""
        numbers = {chunk.key: k for k, chunk in enumerate(chunks)}
        futures = [future for future in futures_of(list(chunks)) if future.key in numbers]
        found: dict[str, list[int]] = {}
        if futures:
            for key, where in self._checked(lambda: self.client.who_has(futures)).items():
                for address in where:
                    found.setdefault(address, []).append(numbers.get(key, 0))

        def mean(address: str) -> float:
            numbers = found.get(address, [0])
            return sum(numbers) / len(numbers)

        return sorted(self.threads, key=mean)

    def _start(self, placement: Placement) -> None:
        """Have the worker hold its rows, wherever their chunks are computed."""
        content = placement.content
        parts = [[] if rows is None else list(rows.parts) for rows in (content.raw, content.raw_validation)]
        places = content.raw.places, None if content.raw_validation is None else content.raw_validation.places
        more = content.first, content.training, content.validation, self.threads[placement.address]
        with warnings.catch_warnings():
            # The targets of its rows: the scheduler keeps them, for another worker if this one is lost.
            warnings.filterwarnings("ignore", "Sending large graph")
            raw, raw_validation = (self.client.compute(chunks) for chunks in parts)
            arguments = installation(), raw, raw_validation, *places, *more
            # On this worker only: while there are no workers at all, the scheduler forgets some tasks that any may do.
            where = {"workers": [placement.address], "actor": True, "pure": False}
            placement.future = self.client.submit(RemoteGroup, *arguments, **where)

    def _finish(self, placement: Placement) -> None:
        """Wait until the rows are held; if their worker is lost meanwhile, by another."""
        for _ in range(TRIES):
            while True:
                try:
                    placement.actor = self._checked(lambda: placement.future.result(timeout=LOOK))
                    return
                except TimeoutError:
                    if placement.address not in self._checked(self.client.nthreads):
                        break
            self._move(placement)
        raise self._given_up()

    def _given_up(self) -> RuntimeError:
        lost = f"client: workers were lost {TRIES} times in a row with the same rows"
        return RuntimeError(f"{lost}; they may have too little memory for them")

    def _move(self, placement: Placement) -> None:
        """Have another worker, or the same one restarted, hold the rows."""
        self._require_running()
        try:
            self.client.wait_for_workers(1, timeout=WAIT)
        except TimeoutError:
            raise RuntimeError(f"client: all workers were lost, and no new one came within {WAIT:g} seconds") from None
        self.threads = dict(self._checked(self.client.nthreads)) or self.threads
        load = [other.address for other in self._placements if other is not placement]
        placement.address = min(self.threads, key=lambda address: load.count(address) / self.threads[address])
        self._start(placement)

    def close(self) -> None:
        """Let go of the rows now: proxies of actors are in a cycle, and would keep them until garbage is collected."""
        with suppress(Exception):  # the cluster may be lost, or about to be
            if self.client.status == "running":
                self.client.cancel([placement.future for placement in self._placements])
        self._placements.clear()

    def begin(self, setup: Setup, progress: bool | None) -> float:
        """Make all groups ready."""
        seconds = max(self.ask("begin", setup, False))
        self._setup = setup  # from now on, a group that is taken over is made ready first
        return float(seconds)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What a method of each group returns, whichever worker holds it in the end."""
        calls = [(placement, self._call(placement, method, *arguments)) for placement in self._placements]
        return [self._answer(placement, call, method, *arguments) for placement, call in calls]

    def _call(self, placement: Placement, method: str, *arguments: Any) -> Any:
        try:
            return getattr(placement.actor, method)(*arguments)
        except RuntimeError:  # the worker is known to be lost
            return None

    def _answer(self, placement: Placement, call: Any, method: str, *arguments: Any) -> Any:
        for _ in range(TRIES):
            try:
                if call is None:
                    self._take_over(placement)
                    call = self._call(placement, method, *arguments)
                return self._result(placement, call)
            except LostError:
                call = None
        raise self._given_up()

    def _result(self, placement: Placement, call: Any) -> Any:
        while call is not None:
            try:
                return call.result(timeout=LOOK)
            except TimeoutError:
                if placement.future.status != "finished" or self.client.status != "running":
                    break
            except OSError:
                break
        raise LostError

    def _take_over(self, placement: Placement) -> None:
        """Have another worker hold the rows of one that was lost."""
        self._move(placement)
        self._finish(placement)
        if self._setup is not None:
            self._result(placement, self._call(placement, "begin", self._setup, False))
