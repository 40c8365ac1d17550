"""Who does the jobs: threads of this process, or the workers of a cluster; what fails is kept, and Ctrl-C keeps what is finished."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, Protocol

from .. import compilation
from ..runtime import interruption
from .jobs import Job, Result, Samples, bar_of, done, missing


class Crew(Protocol):
    """
    Does jobs.

    Attributes
    ----------
    size : int
        Jobs at a time.
    """

    size: int

    def run(self, jobs: Sequence[Job], samples: Samples, progress: bool | None, what: str) -> dict[int, Result]:
        """What becomes of the variants of all jobs, by their numbers; the longest jobs are begun first, and the bar is called `what`."""


def crew(threads: int | None, engine: Any) -> Crew:
    """Those whom `threads` or `engine` ask for."""
    if engine is None:
        return Threads(compilation.thread_count(threads))
    if threads is not None:
        raise ValueError(f"threads: expected None beside engine, whose workers have theirs, got {threads!r}")
    try:
        from .cluster import Workers
    except ModuleNotFoundError as error:
        raise ImportError(f'engine needs {error.name}; install it with: pip install "fastbp[dask]"') from None
    return Workers(engine)


class Threads:
    """So many threads of this process."""

    def __init__(self, size: int) -> None:
        self.size = size

    def run(self, jobs: Sequence[Job], samples: Samples, progress: bool | None, what: str) -> dict[int, Result]:
        """As `Crew` says."""
        found: dict[int, Result] = {}
        bar = bar_of(jobs, progress, what)
        pool, broken_off = ThreadPoolExecutor(self.size, "fastbp"), False
        with interruption.awaited() as wish:

            def results(job: Job) -> Sequence[Result]:
                interruption.shared.set(wish)
                return [missing(variant) for variant in job.variants] if wish.came else done(job, samples)

            waiting = {pool.submit(results, job): job for job in sorted(jobs, key=lambda job: -job.seconds)}
            try:
                for future in as_completed(waiting):
                    variants = waiting[future].variants
                    found |= {variant.number: result for variant, result in zip(variants, future.result(), strict=True)}
                    bar.update(len(variants))
            except KeyboardInterrupt:  # a second Ctrl-C, or one that another handler has made of the first
                wish.came = broken_off = True
            finally:
                pool.shutdown(wait=not broken_off, cancel_futures=True)
                bar.close()
        return {variant.number: missing(variant) for job in jobs for variant in job.variants} | found
