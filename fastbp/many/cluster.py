"""Jobs on the workers of a Dask cluster: sent in chunks, each network with the bits that it has here."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from distributed import Reschedule, as_completed, get_worker

from ..runtime import interruption
from ..runtime.installation import connected, installation, require_same
from ..runtime.progress import Bar
from .jobs import Job, Result, Samples, bar_of, done, missing
from .side_by_side import Trained
from .variants import Variant

# Seconds of work in a task, if there is enough: sending one and its results takes some milliseconds.
LEAST, ENOUGH = 0.2, 0.5
# Times that samples are sent, and that a task is tried where its worker could not do it.
TRIES = 3
# Why networks are missing, unless Ctrl-C came.
LOST = "the cluster was lost"


def chunks(jobs: Sequence[Job], threads: int) -> list[list[Job]]:
    """
    Jobs that are sent together: about half a second of work, or less so that no thread is idle; the longest first.

    Parameters
    ----------
    jobs : sequence of Job
    threads : int
        Of all workers.
    """
    enough = min(ENOUGH, max(LEAST, _seconds(jobs) / (4 * threads)))
    found: list[list[Job]] = []
    seconds = enough
    for job in sorted(jobs, key=lambda job: -job.seconds):
        if seconds >= enough:
            found.append([])
            seconds = 0.0
        found[-1].append(job)
        seconds += job.seconds
    if len(found) > 1 and seconds < LEAST:
        rest = found.pop()
        found[-1] += rest
    return sorted(found, key=lambda chunk: -_seconds(chunk))


def _variants(chunks: Iterable[Sequence[Job]]) -> list[Variant]:
    return [variant for chunk in chunks for job in chunk for variant in job.variants]


def _failure(variant: Variant, why: object) -> RuntimeError:
    return RuntimeError(f"{variant.name}: {why}")


def _seconds(jobs: Sequence[Job]) -> float:
    return sum(job.seconds for job in jobs)


class _Cancelled(interruption.Wish):
    """Whether nobody waits any longer for the task in this thread of a worker."""

    def __init__(self) -> None:
        self._worker, self._seen = get_worker(), False
        self._key = self._worker.get_current_task()

    @property
    def came(self) -> bool:  # type: ignore[override]
        """Once seen, it stays."""
        task = self._worker.state.tasks.get(self._key)
        self._seen = self._seen or task is None or task.state == "cancelled"
        return self._seen


@dataclass(frozen=True)
class Outcome:
    """What has become of the variants of a task: no list, the items of which Dask would send one by one, each with all that they share."""

    results: list[Any]


def work(chunk: Sequence[Job], samples: Samples, here: dict[str, Any]) -> Outcome:
    """
    Do a task, on a worker.

    Parameters
    ----------
    chunk : sequence of Job
    samples : Samples
    here : dict
        `installation` of who wants it: the worker may have come after the others were looked at.

    Returns
    -------
    Outcome
    """
    require_same("engine", get_worker().address, here, installation())
    wish, found = _Cancelled(), []
    before = interruption.shared.set(wish)
    try:
        for job in chunk:
            found += [_sent(result) for result in done(job, samples)]
            if wish.came:
                raise Reschedule  # should someone want it again
    finally:
        interruption.shared.reset(before)  # other tasks will come to this thread
    return Outcome(found)


def _sent(result: Result) -> Any:
    """A result as it is sent: without the run that a tiny network shares with others, and errors so that they can be read."""
    if isinstance(result, Trained):
        return result.group, result.number
    if isinstance(result, Exception):
        try:
            pickle.loads(pickle.dumps(result))
        except Exception:
            return RuntimeError(f"{type(result).__name__}: {result}")
    return result


def _received(sent: Any, samples: Samples, variant: Variant) -> Result:
    """The result that was sent."""
    return Trained(samples.task(variant), *sent) if isinstance(sent, tuple) else sent


class Workers:
    """
    The workers of a Dask cluster: each of their threads does one task at a time, with no threads beside its own.

    Parameters
    ----------
    client : distributed.Client

    Raises
    ------
    ValueError, RuntimeError
        As `connected`.
    """

    def __init__(self, client: Any) -> None:
        self.client, self.size, self.here = client, sum(connected("engine", client).values()), installation()
        self._scattered: tuple[Samples, Any] | None = None
        self._trained = 0

    def run(self, jobs: Sequence[Job], samples: Samples, progress: bool | None, what: str) -> dict[int, Result]:
        """As `Crew` says; what was lost with the cluster is among the failures, unless nothing was trained before."""
        found: dict[int, Result] = {}
        bar, why, tasks = bar_of(jobs, progress, what), LOST, chunks(jobs, self.size)
        try:
            for _ in range(TRIES):
                tasks = self._tried(tasks, samples, found, bar)
                if (
                    not tasks or self.client.status != "running"
                ):  # one that is being closed may wait for ever for what it is asked
                    break
                self._scattered = None  # tasks are lost where all workers are that had the samples
            else:
                found |= {
                    variant.number: _failure(variant, f"its workers were lost {TRIES} times")
                    for variant in _variants(tasks)
                }
        except KeyboardInterrupt:
            why = "Ctrl-C came"
        except Exception:
            if self._reachable():
                raise
        finally:
            bar.close()
        self._trained += len(found)
        if not self._trained and why == LOST:
            raise RuntimeError(
                f"engine: the client was closed, or its cluster lost, before any of {bar.total} networks was trained"
            )
        return {variant.number: missing(variant, why) for variant in _variants([jobs])} | found

    def _tried(
        self, tasks: Sequence[list[Job]], samples: Samples, found: dict[int, Result], bar: Bar
    ) -> list[list[Job]]:
        """Have the tasks done, and add to what is found; returns those that were lost."""
        if self._scattered is None or self._scattered[0] is not samples:
            self._scattered = samples, self.client.scatter(samples, broadcast=True, hash=False)
        arguments = self._scattered[1], self.here
        lost, waiting = [], {}
        try:
            with warnings.catch_warnings():
                # rows and targets of the variants' own: the scheduler keeps them, for another worker if one is lost
                warnings.filterwarnings("ignore", "Sending large graph")
                for k, chunk in enumerate(tasks):
                    waiting[self.client.submit(work, chunk, *arguments, pure=False, retries=TRIES, priority=-k)] = chunk
            for task, result in as_completed(
                list(waiting), loop=self.client.loop, with_results=True, raise_errors=False
            ):
                chunk = waiting.pop(task)
                variants = _variants([chunk])
                if isinstance(result, Outcome):
                    pairs = zip(variants, result.results, strict=True)
                    found |= {variant.number: _received(sent, samples, variant) for variant, sent in pairs}
                elif task.status == "error":  # nobody could do it
                    found |= {variant.number: _failure(variant, result[1]) for variant in variants}
                else:
                    lost.append(chunk)
                    continue
                bar.update(len(variants))
        finally:
            if waiting:
                self.client.cancel(list(waiting))
        return lost

    def _reachable(self) -> bool:
        """Whether there are workers still."""
        try:
            return self.client.status == "running" and bool(self.client.nthreads())
        except Exception:
            return False
