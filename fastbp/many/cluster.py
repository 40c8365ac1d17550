"""Jobs on the workers of a Dask cluster: sent in chunks; each network has the same bits as here."""

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
from .jobs import Dataset, Job, Result, not_trained, progress_bar, run_job
from .side_by_side import LazyNetwork
from .variants import Variant

# Least and sufficient seconds of work in a task: sending one and its results takes some milliseconds.
LEAST, ENOUGH = 0.2, 0.5
# Times that the samples are sent, and that a task is tried after its worker failed.
TRIES = 3
# Why networks are missing, unless Ctrl-C came.
LOST = "the cluster was lost"


def chunks(jobs: Sequence[Job], threads: int) -> list[list[Job]]:
    """
    Jobs that are sent together: about half a second of work, or less if threads would be idle; the longest first.

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
    """Whether the task in this thread of a worker was cancelled."""

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
    """The results of a task. Not a list: Dask would send its items one by one, each with everything they share."""

    results: list[Any]


def work(chunk: Sequence[Job], dataset: Dataset, here: dict[str, Any]) -> Outcome:
    """
    Run a task, on a worker.

    Parameters
    ----------
    chunk : sequence of Job
    dataset : Dataset
    here : dict
        `installation` of the process that sent it: the worker may have joined after the others were checked.

    Returns
    -------
    Outcome
    """
    require_same("engine", get_worker().address, here, installation())
    wish, found = _Cancelled(), []
    before = interruption.shared.set(wish)
    try:
        for job in chunk:
            found += [_sent(result) for result in run_job(job, dataset)]
            if wish.came:
                raise Reschedule  # in case it is wanted again
    finally:
        interruption.shared.reset(before)  # this thread will run other tasks
    return Outcome(found)


def _sent(result: Result) -> Any:
    """A result as it is sent: a tiny network without the run that it shares with others, an exception that pickles."""
    if isinstance(result, LazyNetwork):
        return result.group, result.number
    if isinstance(result, Exception):
        try:
            pickle.loads(pickle.dumps(result))
        except Exception:
            return RuntimeError(f"{type(result).__name__}: {result}")
    return result


def _received(sent: Any, dataset: Dataset, variant: Variant) -> Result:
    """The result that was sent."""
    return LazyNetwork(dataset.run(variant), *sent) if isinstance(sent, tuple) else sent


class ClusterExecutor:
    """
    Runs jobs on the workers of a Dask cluster: each of their threads runs one task at a time, on that thread alone.

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
        self._scattered: tuple[Dataset, Any] | None = None
        self._trained = 0

    def run(self, jobs: Sequence[Job], dataset: Dataset, progress: bool | None, what: str) -> dict[int, Result]:
        """See `Executor`; what is lost with the cluster is among the failures, unless nothing was trained before."""
        found: dict[int, Result] = {}
        bar, why, tasks = progress_bar(jobs, progress, what), LOST, chunks(jobs, self.size)
        lost = f"its workers were lost {TRIES} times"
        try:
            for _ in range(TRIES):
                tasks = self._tried(tasks, dataset, found, bar)
                # A client that is being closed may never answer.
                if not tasks or self.client.status != "running":
                    break
                self._scattered = None  # tasks are lost if all workers with the samples are
            else:
                found |= {variant.number: _failure(variant, lost) for variant in _variants(tasks)}
        except KeyboardInterrupt:
            why = "Ctrl-C came"
        except Exception:
            if self._reachable():
                raise
        finally:
            bar.close()
        self._trained += len(found)
        if not self._trained and why == LOST:
            before = f"before any of {bar.total} networks was trained"
            raise RuntimeError(f"engine: the client was closed, or its cluster lost, {before}")
        return {variant.number: not_trained(variant, why) for variant in _variants([jobs])} | found

    def _tried(
        self, tasks: Sequence[list[Job]], dataset: Dataset, found: dict[int, Result], bar: Bar
    ) -> list[list[Job]]:
        """Run the tasks, and add their results to `found`; returns the tasks that were lost."""
        if self._scattered is None or self._scattered[0] is not dataset:
            self._scattered = dataset, self.client.scatter(dataset, broadcast=True, hash=False)
        arguments = self._scattered[1], self.here
        lost, waiting = [], {}
        try:
            with warnings.catch_warnings():
                # The variants' own rows and targets: the scheduler keeps them, for another worker if one is lost.
                warnings.filterwarnings("ignore", "Sending large graph")
                for k, chunk in enumerate(tasks):
                    waiting[self.client.submit(work, chunk, *arguments, pure=False, retries=TRIES, priority=-k)] = chunk
            options = {"loop": self.client.loop, "with_results": True, "raise_errors": False}
            for task, result in as_completed(list(waiting), **options):
                chunk = waiting.pop(task)
                variants = _variants([chunk])
                if isinstance(result, Outcome):
                    pairs = zip(variants, result.results, strict=True)
                    found |= {variant.number: _received(sent, dataset, variant) for variant, sent in pairs}
                elif task.status == "error":  # no worker could do it
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
        """Whether there are still workers."""
        try:
            return self.client.status == "running" and bool(self.client.nthreads())
        except Exception:
            return False
