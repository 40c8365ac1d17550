"""What runs the jobs: threads of this process, or the workers of a cluster. Failures and finished networks are kept."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Protocol

from .. import compilation
from ..runtime.pool import run_tasks
from .jobs import Dataset, Job, Result, not_trained, progress_bar, run_job


class Executor(Protocol):
    """
    Runs jobs.

    Attributes
    ----------
    size : int
        Jobs at a time.
    """

    size: int

    def run(self, jobs: Sequence[Job], dataset: Dataset, progress: bool | None, what: str) -> dict[int, Result]:
        """
        Run the jobs, the longest first.

        Parameters
        ----------
        jobs : sequence of Job
        dataset : Dataset
        progress : bool or None
            As in `fastbp.train`.
        what : str
            Title of the progress bar.

        Returns
        -------
        dict of int to Result
            The result of each variant, by its number.
        """


def make_executor(threads: int | None, engine: Any) -> Executor:
    """The executor that `threads` or `engine` ask for."""
    if engine is None:
        return ThreadExecutor(compilation.thread_count(threads))
    if threads is not None:
        raise ValueError(f"threads: expected None with an engine, whose workers have their own, got {threads!r}")
    try:
        from .cluster import ClusterExecutor
    except ModuleNotFoundError as error:
        raise ImportError(f'engine needs {error.name}; install it with: pip install "fastbp[dask]"') from None
    return ClusterExecutor(engine)


class ThreadExecutor:
    """Runs jobs in threads of this process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, jobs: Sequence[Job], dataset: Dataset, progress: bool | None, what: str) -> dict[int, Result]:
        """See `Executor`."""
        found: dict[int, Result] = {}
        bar, ordered = progress_bar(jobs, progress, what), sorted(jobs, key=lambda job: -job.seconds)

        def done(number: int, results: Sequence[Result]) -> None:
            variants = ordered[number].variants
            found.update({variant.number: result for variant, result in zip(variants, results, strict=True)})
            bar.update(len(variants))

        try:
            run_tasks([functools.partial(run_job, job, dataset) for job in ordered], self.size, done)
        finally:
            bar.close()
        return {variant.number: not_trained(variant) for job in jobs for variant in job.variants} | found
