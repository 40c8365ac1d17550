"""Jobs in threads: a progress bar over all networks, what fails is kept, and Ctrl-C keeps what is finished."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass

from . import interruption
from .network import Network
from .progress import Bar
from .tiny import Trained
from .variants import Variant

Result = Network | Exception | Trained


class NotTrainedError(Exception):
    """Ctrl-C came before the network was trained."""


@dataclass(frozen=True)
class Job:
    """
    Variants that are trained together, and what trains them.

    Attributes
    ----------
    variants : sequence of Variant
    cost : float
        Multiply-adds.
    learn : callable
        Takes the variants, and returns what has become of each.
    """

    variants: Sequence[Variant]
    cost: float
    learn: Callable[[Sequence[Variant]], Sequence[Result]]


def in_threads(jobs: Sequence[Job], workers: int, progress: bool | None, what: str) -> dict[int, Result]:
    """What becomes of the variants of all jobs, by their numbers; the jobs are begun in the order given."""
    found: dict[int, Result] = {}
    total = sum(len(job.variants) for job in jobs)
    bar = Bar(total=total, desc=what, unit="network", delay=1.0, disable=None if progress is None else not progress)
    pool, broken_off = ThreadPoolExecutor(workers, "fastbp"), False
    with interruption.awaited() as wish:

        def results(job: Job) -> Sequence[Result]:
            interruption.shared.set(wish)
            if wish.came:
                return [_missing(variant) for variant in job.variants]
            return [one(job.learn, job.variants[0])] if len(job.variants) == 1 else job.learn(job.variants)

        waiting = {pool.submit(results, job): job for job in jobs}
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
    return {variant.number: _missing(variant) for job in jobs for variant in job.variants} | found


def one(learn: Callable[[Sequence[Variant]], Sequence[Result]], variant: Variant) -> Result:
    """What becomes of one variant: its network, or what went wrong."""
    try:
        (found,) = learn([variant])
    except Exception as error:
        return type(error)(f"{variant.name}: {error}") if type(error) in (ValueError, FloatingPointError) else error
    return _missing(variant) if isinstance(found, Network) and found.stop_reason == "interrupted" else found


def _missing(variant: Variant) -> NotTrainedError:
    return NotTrainedError(f"{variant.name}: Ctrl-C came before the network was trained")
