"""Jobs: which networks are trained together, and the training, the same in any thread and on any machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.network import Network
from ..options import default_learning_rate
from ..runtime.progress import Bar
from ..training import prepare
from ..training.source import Memory
from . import rounds, side_by_side
from .rounds import Paused, Round
from .variants import Variant

# Runs of alike variants that are kept for the next of them: each holds samples.
KEPT = 4

Result = Network | Exception | side_by_side.Trained | Paused


class NotTrainedError(Exception):
    """Ctrl-C came before the network was trained, or the cluster was lost."""


@dataclass(frozen=True)
class Job:
    """
    What to train.

    Attributes
    ----------
    variants : sequence of Variant
        Several learn side by side (see `tiny`).
    seconds : float
        What it may take, roughly.
    part : Round or None
        Of one variant, the part of its run; None: all of it.
    alike : bool
        Of one variant, whether there are others like it (see `Variant`).
    """

    variants: Sequence[Variant]
    seconds: float
    part: Round | None = None
    alike: bool = False


class Samples:
    """
    What all networks learn from.

    Parameters
    ----------
    table : array or frame
    y : array-like or str
        Targets, or the name of a column.
    """

    def __init__(self, table: Any, y: Any) -> None:
        self.table, self.y = table, y
        self._tasks: dict[Any, prepare.Task] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Samples, (self.table, self.y)

    def of(self, variant: Variant) -> tuple[Any, Any, dict[str, Any]]:
        """Inputs, targets and options of a variant, as `prepare.learn` takes them."""
        table, asked = self.table, variant.asked
        y = self.y if variant.y is None else variant.y
        if variant.rows is None:
            return table, y, asked
        if asked["sample_weight"] is not None:
            asked = asked | {"sample_weight": np.asarray(asked["sample_weight"])[variant.rows]}
        return taken(table, variant.rows), y if isinstance(y, str) else np.asarray(y)[variant.rows], asked

    def task(self, variant: Variant) -> prepare.Task:
        """The run of one of the variants that are like this one, prepared once."""
        with self._lock:
            if variant.key not in self._tasks:
                if len(self._tasks) == KEPT:
                    del self._tasks[next(iter(self._tasks))]
                self._tasks[variant.key] = prepare.prepared(self.table, self.y, variant.asked, Memory(1))
            return self._tasks[variant.key]


def taken(table: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of an array or a frame."""
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def done(job: Job, samples: Samples) -> list[Result]:
    """Do a job: what becomes of each of its variants."""
    if len(job.variants) == 1:
        return [_alone(job.variants[0], samples, job.part, job.alike)]
    task, asked = samples.task(job.variants[0]), job.variants[0].asked
    own = [{name: variant.asked[name] for name in side_by_side.OWN} for variant in job.variants]
    usual = {"learning_rate": default_learning_rate(task.plan.optimizer, task.net)}
    own = [options if options["learning_rate"] is not None else options | usual for options in own]
    made = side_by_side.learnt(task, asked["init"], asked["shuffle"], own)
    # those that fail are trained once more alone, to tell how
    return [_alone(variant, samples) if one is None else one for variant, one in zip(job.variants, made, strict=True)]


def _alone(variant: Variant, samples: Samples, part: Round | None = None, alike: bool = False) -> Result:
    """What becomes of one variant: its network, or what went wrong."""
    found: Network | Paused
    try:
        if part is not None:
            found = rounds.learn(*samples.of(variant), part)
        elif alike and isinstance(
            variant.asked["validation"], tuple | list | None
        ):  # a share is drawn by each one's seed
            found = prepare.learnt(samples.task(variant).varied(variant.asked), progress=False)
        else:
            found = prepare.learn(*samples.of(variant), source=Memory(1), progress=False, callback=None)
    except Exception as error:
        return type(error)(f"{variant.name}: {error}") if type(error) in (ValueError, FloatingPointError) else error
    return missing(variant) if found.stop_reason == "interrupted" else found


def missing(variant: Variant, why: str = "Ctrl-C came") -> NotTrainedError:
    """What is found in place of a network that was not trained."""
    return NotTrainedError(f"{variant.name}: {why} before the network was trained")


def bar_of(jobs: Sequence[Job], progress: bool | None, what: str) -> Bar:
    """The progress bar over all networks."""
    total = sum(len(job.variants) for job in jobs)
    return Bar(total=total, desc=what, unit="network", delay=1.0, disable=None if progress is None else not progress)
