"""Tasks in threads of this process: Ctrl-C ends those that are running after their epoch, and begins no others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from typing import TypeVar

from . import interruption, warning

T = TypeVar("T")
# Seconds between two looks for Ctrl-C: one that comes just before a wait does not end it, and on Windows none does.
LOOK = 0.1


def run_tasks(tasks: Sequence[Callable[[], T]], threads: int, done: Callable[[int, T], object]) -> bool:
    """
    Run tasks in threads, in their order.

    Parameters
    ----------
    tasks : sequence of callable
    threads : int
        Tasks at a time.
    done : callable
        Called in this thread as ``done(number, result)`` when a task has ended.

    Returns
    -------
    bool
        Whether all were run: not if Ctrl-C came.
    """
    pool, aborted, gathered = ThreadPoolExecutor(threads, "fastbp"), False, warning.shared.get()
    with interruption.awaited() as interrupt:

        def run(task: Callable[[], T]) -> list[T]:
            interruption.shared.set(interrupt)
            warning.shared.set(gathered)
            return [] if interrupt.came else [task()]

        waiting = {pool.submit(run, task): number for number, task in enumerate(tasks)}
        try:
            pending = set(waiting)
            while pending:
                ended, pending = wait(pending, LOOK, FIRST_COMPLETED)
                for future in ended:
                    for result in future.result():
                        done(waiting[future], result)
        except KeyboardInterrupt:  # a second Ctrl-C, or another handler raised it at the first
            interrupt.came = aborted = True
        except BaseException:
            interrupt.came = True
            raise
        finally:
            pool.shutdown(wait=not aborted, cancel_futures=True)
        return not interrupt.came
