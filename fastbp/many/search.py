"""`search`: options are drawn at random and tried on many networks at once, and the poor ones stop early."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastbp.kernels as kernels

from .. import checks, compilation
from ..data import reading, targets
from ..data.division import held_out_rows
from ..data.targets import targets_of
from ..model.ensemble import Ensemble
from ..model.network import Network
from ..runtime.warning import once
from ..training.defaults import QUALITIES, SINGLE
from ..training.first_weights import random_streams
from ..training.prepare import prepare_run
from ..training.quality import finished
from ..training.source import MemorySource
from ..training.train import DEFAULTS
from .executors import make_executor
from .jobs import Dataset, Job, NotTrainedError, Result
from .rounds import Paused, Round
from .variants import Estimate, Variant, estimates, read_counted, read_variant

# The best third of the trials of a round continues in the next, with three times the epochs.
REDUCTION = 3
# Most rounds: the first has 1/27 of the epochs.
MOST_ROUNDS = 4


@dataclass(frozen=True)
class Uniform:
    """
    The numbers of an interval, as values of an option for `search`.

    Parameters
    ----------
    low, high : float
    log : bool
        Uniform on a logarithmic scale: as often from 0.001 to 0.01 as from 0.01 to 0.1.
    integer : bool
        The whole numbers of the interval, including both ends; with `log`, each as often as the numbers up to the next
        one.

    Examples
    --------
    >>> import fastbp
    >>> space = {"learning_rate": fastbp.Uniform(1e-4, 1e-1, log=True), "hidden": [(32,), (64,), (64, 32)]}
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError unless `low` is below `high`, and there is a number to draw."""
        low = checks.real("low", self.low, above=0) if self.log else checks.real("low", self.low)
        checks.real("high", self.high, above=low)
        if self.integer and math.ceil(self.low) > math.floor(self.high):
            raise ValueError(f"high: expected a whole number from {self.low} to high, got none up to {self.high}")

    def draw(self, random: np.random.Generator) -> float | int:
        """One number."""
        low, high = self.low, self.high
        if self.integer:
            low, high = math.ceil(low), math.floor(high) + 1
        ends = np.array([low, high], np.float64)
        if self.log:
            kernels.log(ends, ends)  # the C library's has other bits on other systems
        found = np.array([random.uniform(*ends)])
        if self.log:
            kernels.exp(found, found)
        number = float(found[0])
        return min(max(math.floor(number), low), high - 1) if self.integer else number  # rounded past an end


@dataclass(frozen=True)
class Trial:
    """
    One choice of options.

    Attributes
    ----------
    number : int
        In the order in which they were drawn.
    options : dict
        What was drawn.
    epochs : int
        Epochs that it was trained for.
    loss : float
        Validation loss in the best epoch, or minus the metric, if you passed one; NaN if it failed.
    accuracy : float or None
        Validation accuracy in that epoch; None in regression.
    best_epoch : int
    failure : Exception or None
    """

    number: int
    options: dict[str, Any]
    epochs: int
    loss: float
    accuracy: float | None
    best_epoch: int
    failure: Exception | None = None


class Search:
    """
    What `search` found.

    Attributes
    ----------
    trials : tuple of Trial
        The best first: those that were trained longest, by their loss.
    best : Trial
    network : Network or Ensemble
        Trained again with the best options, on all samples; an ensemble only of a `quality` that has several networks.
    """

    def __init__(self, trials: Sequence[Trial], network: Network | Ensemble) -> None:
        self.trials = tuple(trials)
        self.network: Network | Any = network  # type checkers are not asked to tell them apart

    @property
    def best(self) -> Trial:
        """The best trial."""
        return self.trials[0]

    def table(self) -> list[dict[str, Any]]:
        """A row for each trial, the best first: ``pandas.DataFrame(found.table())`` is a table."""
        columns = ("epochs", "best_epoch", "loss", "accuracy")
        return [
            {"number": trial.number, **trial.options, **{name: getattr(trial, name) for name in columns}}
            for trial in self.trials
        ]

    def __repr__(self) -> str:
        chosen = ", ".join(f"{name}={value!r}" for name, value in self.best.options.items())
        return f"<search of {len(self.trials)} trials: {chosen}; loss {self.best.loss:.4g}>"


@once()
def search(  # noqa: PLR0913
    X: ArrayLike,
    y: ArrayLike,
    space: Mapping[str, Any],
    n: int = 64,
    *,
    restarts: int = 1,
    quality: str = SINGLE,
    validation: Any = 0.2,
    seed: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    engine: Any = None,
    callback: Callable[[list[Trial]], object] | None = None,
    **options: Any,
) -> Search:
    """
    Search for options: try many at random, stop the poor ones early, and train the best on all samples.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
    y : array-like, shape (n,) or (n, outputs)
    space : dict
        For each option of `fastbp.train` to search for: a list of values, a `Uniform`, anything with SciPy's ``rvs``,
        or a function of a ``numpy.random.Generator``.
        With `restarts`, ``{}`` searches among the first weights alone.
    n : int
        Trials.
    restarts : int
        First weights that each trial begins with, those of `seed` and of the seeds after it; the best goes on after the
        first round. For optimizers that end in the minimum nearest to them, such as levenberg_marquardt.
    quality : {"single", "auto", "fast", "default", "best"}
        How to train with the best options at the end, as in `fastbp.train`; trials are single runs.
    validation : float or (Xv, yv)
        The validation set, as in `fastbp.train`: the same for all trials.
    seed : int, optional
        Makes the search repeatable; also the seed of all its networks, without `restarts`.
    threads, progress, engine
        As in `fastbp.train_many`.
    callback : callable, optional
        Called after each round with the trials so far, the best first; returns True to stop.
    **options
        Common options of `fastbp.train` for all trials.

    Returns
    -------
    Search

    Raises
    ------
    ValueError
        An option that is not valid, or a space with a single point.
    RuntimeError
        All trials failed.

    Notes
    -----
    Successive halving (Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter
    optimization", 2016): in the first round all trials have a 27th of their epochs; the best third of each round
    continues from where it stopped, to three times as many. So a trial that runs to the end has the same bits as from
    `fastbp.train`. The network is trained on the validation set, too, for the best number of epochs; with another
    `quality` than single, for the `epochs` that you pass, or else for as many as its pilots find.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    >>> space = {"learning_rate": fastbp.Uniform(1e-4, 1e-1, log=True)}
    >>> found = fastbp.search(X, X[:, 0] * X[:, 1], space, 9, seed=0, epochs=27)
    >>> len(found.trials), sorted({trial.epochs for trial in found.trials})
    (9, [3, 9, 27])
    """
    executor = make_executor(threads, engine)
    n = checks.integer("n", n, 1)
    seed = secrets.randbits(32) if seed is None else checks.integer("seed", seed, 0)
    for key in options:
        checks.option(search, key, DEFAULTS)
    if validation is None:
        raise ValueError("validation: expected a validation set to compare the trials on, got None")
    restarts = checks.integer("restarts", restarts, 1)
    drawn = [{}] if space == {} and restarts > 1 else draw(space, n, np.random.default_rng(seed), restarts > 1)
    read, table, options = read_counted(X, y, options)
    read_targets, names = read.y, read.names
    choices, rows = drawn, None
    if restarts > 1:
        rows, validation, options = _divided(read, table, y, validation, options, seed)
        choices = drawn = [{**choice, "seed": seed + k} for choice in drawn for k in range(restarts)]
    if rows is not None:
        choices = [{**choice, "rows": rows} for choice in drawn]
    checks.one_of("quality", quality, QUALITIES)
    common = DEFAULTS | {"quality": SINGLE, "validation": validation, "seed": seed} | options
    variants = [read_variant(f"trial {k}", k, choice, common, len(table)) for k, choice in enumerate(choices)]
    width = len(names) if names else table.shape[1]
    estimated = estimates(variants, read_targets, len(table), width, names is not None)
    if quality != SINGLE:  # what cannot be trained at the end is an error now
        last = [replace(variant, asked=_last(variant, quality)) for variant in variants]
        estimates(last, read_targets, len(table), width, names is not None)
    dataset = Dataset(table, y if isinstance(y, str) else read_targets)
    paused: dict[int, Paused] = {}
    trials: dict[int, Trial] = {}
    reached: dict[int, int] = {}  # the last round of each trial
    alive = list(range(len(variants)))
    rounds = min(MOST_ROUNDS, 1 + int(math.log(len(variants) // restarts, REDUCTION) + 1e-9))
    for number in range(1, rounds + 1):
        shorter = REDUCTION ** (rounds - number)
        jobs = [_job(variants[k], estimated[k], shorter, paused.get(k)) for k in alive]
        found = executor.run(jobs, dataset, progress, f"round {number} of {rounds}")
        paused = {k: result for k, result in found.items() if isinstance(result, Paused)}
        trained = {k: result for k, result in found.items() if not isinstance(result, NotTrainedError)}
        trials |= {k: _trial(k, drawn[k], result) for k, result in trained.items()}
        reached |= dict.fromkeys(trained, number)
        best_first = sorted(
            trials.values(), key=lambda trial: (trial.failure is not None, -reached[trial.number], trial.loss)
        )
        if not trials:
            raise KeyboardInterrupt
        alive = [trial.number for trial in best_first if trial.failure is None and trial.number in alive]
        if number == 1:  # the best start of each trial
            alive = list({k // restarts: k for k in reversed(alive)}.values())[::-1]
        alive = alive[: max(1, len(found) // (restarts if number == 1 else 1) // REDUCTION)]
        if not alive:
            failed = f"all failed, the first with {best_first[0].failure}"
            raise RuntimeError(f"search: expected at least one trial that can be trained; {failed}")
        if len(trained) < len(found) or (callback is not None and checks.is_true(callback(best_first))):
            break
    best = best_first[0]
    asked = _last(variants[best.number], quality)
    run = prepare_run(table, dataset.y, asked, MemorySource(threads)) if quality != SINGLE else None
    if run is not None and run.asked["quality"] != SINGLE:
        return Search(best_first, finished(run, compilation.thread_count(threads), progress))
    run = prepare_run(table, dataset.y, asked | {"epochs": best.best_epoch}, MemorySource(threads))
    return Search(best_first, run.train(progress))


def _divided(
    read: reading.Table, table: Any, y: Any, validation: Any, options: dict[str, Any], seed: int
) -> tuple[NDArray[np.bool_] | None, Any, dict[str, Any]]:
    """
    A fraction for validation as samples, which would otherwise be drawn by the seed of each network.

    Returns
    -------
    bool array or None
        The samples that are left, True for each.
    tuple
        Those for validation.
    dict
        The options, without those that decided on the division.
    """
    if isinstance(validation, tuple | list):
        return None, validation, options
    init: Any = options.get("init")
    task, n = options.get("task", "auto"), len(table)
    continued = isinstance(init, Network)
    target = targets_of(init, read.y, task, n) if continued else targets.read(read.y, task, n)
    held = held_out_rows(target, validation, random_streams(seed)[1], read.division)
    at = np.flatnonzero(held)
    weight = options["sample_weight"]
    parts = targets.take_rows(table, at), np.asarray(read.y)[at], *([] if weight is None else [weight[at]])
    if isinstance(y, str):
        parts = (parts[0][[name for name in table.columns if name != y]], *parts[1:])
    return ~held, parts, options | {"task": target.task, "groups": None, "time": None}


def _last(variant: Variant, quality: str) -> dict[str, Any]:
    """The options to train with at the end, on all samples."""
    asked = variant.asked | {"quality": quality, "validation": None, "patience": None, "metric": "loss"}
    return asked | {"groups": None, "time": None} if quality == SINGLE else asked


def _job(variant: Variant, estimate: Estimate, shorter: int, paused: Paused | None) -> Job:
    """The job of a round, which has all epochs divided by `shorter`."""
    until = max(1, round(estimate.epochs / shorter))
    done = 0 if paused is None else len(paused.state.rows)
    seconds = estimate.seconds * (until - done) / max(1, estimate.epochs)
    return Job([variant], seconds, Round(until, None if paused is None else paused.state))


def _trial(number: int, options: dict[str, Any], found: Result) -> Trial:
    if not isinstance(found, Paused):
        assert isinstance(found, Exception)
        return Trial(number, options, 0, math.nan, None, 0, found)
    network = found.network
    history, at = network.history, network.best_epoch - 1
    loss = -history["validation_metric"][at] if "validation_metric" in history else history["validation_loss"][at]
    accuracy = float(history["validation_accuracy"][at]) if "validation_accuracy" in history else None
    return Trial(number, options, len(history["loss"]), float(loss), accuracy, network.best_epoch)


# Options that all trials must have in common, so that they can be compared.
_OF_ALL = ("quality", "seed", "validation", "sample_weight", "groups", "time", "missing")


def draw(space: Mapping[str, Any], n: int, random: np.random.Generator, single: bool = False) -> list[dict[str, Any]]:
    """Draw choices of options; if every option has a list of values, all differ, and there may be fewer than n."""
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"space: expected a dict from options to what to choose from, got {space!r}")
    for name in space:
        checks.one_of("space", name, [name for name in DEFAULTS if name not in _OF_ALL])
    lists = {name: list(values) for name, values in space.items() if isinstance(values, list | tuple | np.ndarray)}
    for name, values in lists.items():
        if not values:
            raise ValueError(f"space[{name!r}]: expected values to choose from, got none")
    if len(lists) < len(space):
        return [{name: _one(name, values, random) for name, values in space.items()} for _ in range(n)]
    points = math.prod(len(values) for values in lists.values())
    if points < 2 and not single:
        raise ValueError(f"space: expected at least two points to choose from, got one: {space!r}")
    chosen = random.choice(points, min(n, points), replace=False) if points < 2**31 else random.integers(points, size=n)
    found = []
    for point in chosen.tolist():
        trial = {}
        for name, values in lists.items():
            point, place = divmod(point, len(values))
            trial[name] = values[place]
        found.append(trial)
    return found


def _one(name: str, values: Any, random: np.random.Generator) -> Any:
    """One value of an option."""
    if isinstance(values, Uniform):
        return values.draw(random)
    if isinstance(values, list | tuple | np.ndarray):
        return values[random.integers(len(values))]
    if hasattr(values, "rvs"):
        number = values.rvs(random_state=random)
        return number.item() if isinstance(number, np.generic) else number
    if callable(values):
        return values(random)
    raise ValueError(f"space[{name!r}]: expected a list, a Uniform, something with rvs or a function, got {values!r}")
