"""Shards on the workers of a Dask cluster: each worker holds some, and others take over what it held if it is lost."""

from __future__ import annotations

import asyncio
import concurrent.futures
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
from .holdings import Content
from .shards import Holding, Run, cuts

# Seconds after which a worker that has not answered is looked after, and that a new one is waited for where all are lost.
LOOK, WAIT = 1.0, 60.0
# Times that what a worker held is taken over while one question is asked.
TRIES = 4


class LostError(Exception):
    """A worker was lost, with what it held."""


class Remote(Holding):
    """
    A holding on a worker, an actor: asked directly, it answers some times as fast as a task is done.

    Parameters
    ----------
    here : dict
        `installation` of who wants it: the worker may have come after the others were looked at.
    raw, watched : list of array
        Chunks with the samples to learn from, and to watch.
    places : chunks.Places
        Where the samples are in `raw`.
    watched_places : chunks.Places or None
        Where they are in `watched`; None: there are none to watch.
    *content
        As in `Holding`.
    """

    def __init__(
        self,
        here: dict[str, Any],
        raw: list[Any],
        watched: list[Any],
        places: Places,
        watched_places: Places | None,
        *content: Any,
    ) -> None:
        require_same("client", get_worker().address, here, installation())
        super().__init__(
            places.joined(raw), None if watched_places is None else watched_places.joined(watched), *content
        )


@dataclass
class Held:
    """What is held by one worker: its content, from which it can be made once more; its address; the actor and the future of it."""

    content: Content
    address: str
    future: Any = None
    actor: Any = None


class There:
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
        self._held: list[Held] = []
        self._run: Run | None = None

    def compute(self, things: Sequence[Any]) -> Sequence[Any]:
        """Values of lazy things, here."""
        return self._checked(lambda: compute(*things, scheduler=self.client))

    def persist(self, thing: Any) -> Any:
        """A collection whose parts are kept by the workers."""
        return self._checked(lambda: self.client.persist(thing))

    def _checked(self, call: Callable[[], Any]) -> Any:
        """What the call returns; raises RuntimeError where the cluster or the data are lost."""
        try:
            return call()
        except (asyncio.CancelledError, concurrent.futures.CancelledError, KilledWorker) as error:
            self._require_running()
            raise RuntimeError(
                f"X: expected rows that can be computed, got some that are lost, or kill their workers: {error}"
            ) from error
        except TimeoutError:
            raise
        except OSError as error:
            self._require_running()
            raise RuntimeError(f"client: the cluster was lost: {error}") from error

    def _require_running(self) -> None:
        if self.client.status != "running":
            raise RuntimeError(
                f"client: expected one that is connected to its cluster until the end, got one that is {self.client.status}"
            )

    def place(self, shards: int, content: Callable[[int, int], Content], near: Sequence[Any]) -> None:
        """Hold so many shards, in a row on each worker; in the order in which the workers hold the chunks that are there already."""
        addresses = self._in_order(near)
        places, bounds = [0], cuts(shards, self.size)
        for address in addresses:
            places.append(places[-1] + self.threads[address])
        for address, begin, end in zip(
            addresses, bounds[places[:-1]].tolist(), bounds[places[1:]].tolist(), strict=True
        ):
            if begin < end:
                self._held.append(Held(content(begin, end), address))
                self._start(self._held[-1])
        try:
            for held in self._held:
                self._finish(held)
        except BaseException:
            self.close()
            raise

    def _in_order(self, chunks: Sequence[Any]) -> list[str]:
        """Workers by the mean number of the chunks that they hold, so that few rows are sent."""
        numbers = {chunk.key: k for k, chunk in enumerate(chunks)}
        futures = [future for future in futures_of(list(chunks)) if future.key in numbers]
        found: dict[str, list[int]] = {}
        if futures:
            for key, where in self._checked(lambda: self.client.who_has(futures)).items():
                for address in where:
                    found.setdefault(address, []).append(numbers.get(key, 0))
        return sorted(self.threads, key=lambda address: sum(found.get(address, [0])) / len(found.get(address, [0])))

    def _start(self, held: Held) -> None:
        """Have a worker hold its rows, wherever their chunks are computed."""
        content = held.content
        parts = [[] if rows is None else list(rows.parts) for rows in (content.raw, content.watched)]
        places = content.raw.places, None if content.watched is None else content.watched.places
        share = content.first, content.training, content.held_out, self.threads[held.address]
        with warnings.catch_warnings():
            # the targets of its rows: the scheduler keeps them, for another worker if this one is lost
            warnings.filterwarnings("ignore", "Sending large graph")
            raw, watched = (self.client.compute(chunks) for chunks in parts)
            # By this worker or none: of tasks that others may do, too, the scheduler forgets some while there are no workers at all.
            held.future = self.client.submit(
                Remote, installation(), raw, watched, *places, *share, actor=True, pure=False, workers=[held.address]
            )

    def _finish(self, held: Held) -> None:
        """Wait until the rows are held; if their worker is lost meanwhile, by another."""
        for _ in range(TRIES):
            while True:
                try:
                    held.actor = self._checked(lambda: held.future.result(timeout=LOOK))
                    return
                except TimeoutError:
                    if held.address not in self._checked(self.client.nthreads):
                        break
            self._move(held)
        raise self._given_up()

    def _given_up(self) -> RuntimeError:
        return RuntimeError(
            f"client: workers were lost {TRIES} times in a row with the same rows; they may have too little memory for them"
        )

    def _move(self, held: Held) -> None:
        """Have another worker, or the same started anew, hold the rows."""
        self._require_running()
        try:
            self.client.wait_for_workers(1, timeout=WAIT)
        except TimeoutError:
            raise RuntimeError(f"client: all workers were lost, and none came within {WAIT:g} seconds") from None
        self.threads = dict(self._checked(self.client.nthreads)) or self.threads
        load = [other.address for other in self._held if other is not held]
        held.address = min(self.threads, key=lambda address: load.count(address) / self.threads[address])
        self._start(held)

    def close(self) -> None:
        """Let go of the rows now: what asks an actor refers to itself, and would hold them until Python collects its garbage."""
        with suppress(Exception):  # of a cluster that is lost, or about to be
            if self.client.status == "running":
                self.client.cancel([held.future for held in self._held])
        self._held.clear()

    def begin(self, run: Run, progress: bool | None) -> float:
        """Make all holdings ready."""
        seconds = max(self.ask("begin", run, False))
        self._run = run  # from now on, what is taken over is made ready first
        return float(seconds)

    def ask(self, method: str, *arguments: Any) -> list[Any]:
        """What a method of each holding returns, whoever has it in the end."""
        calls = [self._call(held, method, *arguments) for held in self._held]
        return [self._answer(held, call, method, *arguments) for held, call in zip(self._held, calls, strict=True)]

    def _call(self, held: Held, method: str, *arguments: Any) -> Any:
        try:
            return getattr(held.actor, method)(*arguments)
        except RuntimeError:  # it is known to be lost
            return None

    def _answer(self, held: Held, call: Any, method: str, *arguments: Any) -> Any:
        for _ in range(TRIES):
            try:
                if call is None:
                    self._take_over(held)
                    call = self._call(held, method, *arguments)
                return self._result(held, call)
            except LostError:
                call = None
        raise self._given_up()

    def _result(self, held: Held, call: Any) -> Any:
        while call is not None:
            try:
                return call.result(timeout=LOOK)
            except TimeoutError:
                if held.future.status != "finished" or self.client.status != "running":
                    break
            except OSError:
                break
        raise LostError

    def _take_over(self, held: Held) -> None:
        """Have the rows of a worker that was lost held by another."""
        self._move(held)
        self._finish(held)
        if self._run is not None:
            self._result(held, self._call(held, "begin", self._run, False))
