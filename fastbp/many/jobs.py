"""Jobs: which networks are trained together, and their training, the same in any thread and on any machine."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import checks
from ..data import targets
from ..model.ensemble import Ensemble
from ..model.network import Network
from ..options import default_learning_rate
from ..runtime.progress import Bar, make_bar
from ..training import prepare
from ..training.defaults import SINGLE
from ..training.quality import finished
from ..training.source import MemorySource
from . import rounds, side_by_side
from .rounds import Paused, Round
from .variants import Variant

# Runs that are kept for further variants of the same key: each holds samples.
KEPT = 4

Result = Network | Ensemble | Exception | side_by_side.LazyNetwork | Paused


class NotTrainedError(Exception):
    """Ctrl-C came before the network was trained, or the cluster was lost."""


@dataclass(frozen=True)
class Job:
    """
    What to train.

    Attributes
    ----------
    variants : sequence of Variant
        Several are trained side by side (see `side_by_side`).
    seconds : float
        Rough estimate.
    part : Round or None
        Of a single variant, the part of its run; None: all of it.
    alike : bool
        Of a single variant, whether there are others of the same key.
    """

    variants: Sequence[Variant]
    seconds: float
    part: Round | None = None
    alike: bool = False


class Dataset:
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
        self._runs: dict[Any, prepare.Run] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[Any, ...]:
        return Dataset, (self.table, self.y)

    def of(self, variant: Variant) -> tuple[Any, Any, dict[str, Any]]:
        """Inputs, targets and options of a variant, as `prepare.prepare_run` takes them."""
        table, asked = self.table, variant.asked
        y = self.y if variant.y is None else variant.y
        if variant.rows is None:
            return table, y, asked
        for name in ("sample_weight", "groups", "time"):
            if asked[name] is not None and not isinstance(asked[name], str):
                asked = asked | {name: np.asarray(asked[name])[variant.rows]}
        return targets.take_rows(table, variant.rows), y if isinstance(y, str) else np.asarray(y)[variant.rows], asked

    def run(self, variant: Variant) -> prepare.Run:
        """The run of one of the variants of the same key, prepared once."""
        with self._lock:
            if variant.key not in self._runs:
                if len(self._runs) == KEPT:
                    del self._runs[next(iter(self._runs))]
                self._runs[variant.key] = prepare.prepare_run(self.table, self.y, variant.asked, MemorySource(1))
            return self._runs[variant.key]


def run_job(job: Job, dataset: Dataset) -> list[Result]:
    """Run a job; the result of each of its variants."""
    first = job.variants[0]
    if len(job.variants) == 1:
        return [_train_one(first, dataset, job.part, job.alike)]
    run = dataset.run(first)
    varying = [{name: variant.asked[name] for name in side_by_side.VARYING} for variant in job.variants]
    default = {"learning_rate": default_learning_rate(run.hyper.optimizer, run.net)}
    varying = [options if options["learning_rate"] is not None else options | default for options in varying]
    networks = side_by_side.train_side_by_side(run, first.asked["init"], first.asked["shuffle"], varying)
    # Those that failed are trained again alone, to find out how.
    pairs = zip(job.variants, networks, strict=True)
    return [_train_one(variant, dataset) if network is None else network for variant, network in pairs]


def _train_one(variant: Variant, dataset: Dataset, part: Round | None = None, alike: bool = False) -> Result:
    """The result of one variant: its network, or what went wrong."""
    found: Network | Ensemble | Paused
    validation = variant.asked["validation"]
    drawn = not isinstance(validation, tuple | list | None)  # by the seed of each variant
    if isinstance(validation, str):
        drawn = checks.feature_names(dataset.table) is not None  # of an array, nothing is drawn unless asked for
    try:
        if part is not None:
            found = rounds.train_round(*dataset.of(variant), part)
        elif alike and not drawn and variant.asked["quality"] == SINGLE:
            found = dataset.run(variant).variant(variant.asked).train()
        else:
            found = finished(prepare.prepare_run(*dataset.of(variant), MemorySource(1)), 1)
    except KeyboardInterrupt:  # Ctrl-C came before the first of the networks of a quality
        return not_trained(variant)
    except Exception as error:
        return type(error)(f"{variant.name}: {error}") if type(error) in (ValueError, FloatingPointError) else error
    interrupted = not isinstance(found, Ensemble) and found.stop_reason == "interrupted"
    interrupted |= not isinstance(found, Paused) and "interrupted" in found.options
    return not_trained(variant) if interrupted else found


def not_trained(variant: Variant, why: str = "Ctrl-C came") -> NotTrainedError:
    """The result of a variant that was not trained."""
    return NotTrainedError(f"{variant.name}: {why} before the network was trained")


def progress_bar(jobs: Sequence[Job], progress: bool | None, what: str) -> Bar:
    """The progress bar over all networks."""
    total = sum(len(job.variants) for job in jobs)
    return make_bar(progress, total, desc=what, unit="network", delay=1.0)
