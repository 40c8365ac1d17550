"""What runs the jobs: threads of this process, or the workers of a cluster. Failures and finished networks are kept."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Protocol

from .. import compilation
from ..runtime import interruption
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
        bar = progress_bar(jobs, progress, what)
        pool, aborted = ThreadPoolExecutor(self.size, "fastbp"), False
        with interruption.awaited() as interrupt:

            def results(job: Job) -> Sequence[Result]:
                interruption.shared.set(interrupt)
                return [not_trained(variant) for variant in job.variants] if interrupt.came else run_job(job, dataset)

            waiting = {pool.submit(results, job): job for job in sorted(jobs, key=lambda job: -job.seconds)}
            try:
                for future in as_completed(waiting):
                    variants = waiting[future].variants
                    found |= {variant.number: result for variant, result in zip(variants, future.result(), strict=True)}
                    bar.update(len(variants))
            except KeyboardInterrupt:  # a second Ctrl-C, or another handler raised it at the first
                interrupt.came = aborted = True
            finally:
                pool.shutdown(wait=not aborted, cancel_futures=True)
                bar.close()
        return {variant.number: not_trained(variant) for job in jobs for variant in job.variants} | found
