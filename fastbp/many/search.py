"""`search`: options chosen at random and by trial, on many networks at once, of which the poor ones stop early."""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
from ..data import samples as data
from ..model.network import Network
from ..train import DEFAULTS
from ..training import prepare
from ..training.source import Memory
from . import jobs
from . import threads as crews
from . import variants as variants_of
from .rounds import Paused, Round

# Of the variants of a round, one in so many goes on to the next, which has so many times the epochs.
KEPT_ONE_IN = 3
# Rounds at most: the first has 1/27 of the epochs.
MOST_ROUNDS = 4


@dataclass(frozen=True)
class Uniform:
    """
    Numbers of an interval, as a range of options for `search`.

    Parameters
    ----------
    low, high : float
    log : bool
        Evenly on a logarithmic scale: as often from 0.001 to 0.01 as from 0.01 to 0.1.
    integer : bool
        Whole numbers, `high` among them.

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
        """Raise ValueError unless there is something between the bounds."""
        low = checks.real("low", self.low, above=0) if self.log else checks.real("low", self.low)
        checks.real("high", self.high, above=low)

    def draw(self, random: np.random.Generator) -> float | int:
        """One number."""
        low, high = self.low, self.high + self.integer
        number = math.exp(random.uniform(math.log(low), math.log(high))) if self.log else random.uniform(low, high)
        return min(int(number), int(self.high)) if self.integer else float(number)


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
        Of the validation part in the best epoch, or less the metric, if one was asked for; NaN if it failed.
    accuracy : float or None
        Of the validation part in that epoch; None in regression.
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
    network : Network
        Trained once more with the best options, on all samples.
    """

    def __init__(self, trials: Sequence[Trial], network: Network) -> None:
        self.trials, self.network = tuple(trials), network

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


def search(
    X: ArrayLike,
    y: ArrayLike,
    space: Mapping[str, Any],
    n: int = 64,
    *,
    validation: Any = 0.2,
    seed: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    engine: Any = None,
    callback: Callable[[list[Trial]], object] | None = None,
    **options: Any,
) -> Search:
    """
    Search for options: many are drawn at random, the poor ones stop early (successive halving), the best is trained on all samples.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
    y : array-like, shape (n,) or (n, outputs)
    space : dict
        For each option of `fastbp.train` that is to be found: a list of values, a `Uniform`, anything with SciPy's ``rvs``, or a function
        of a ``numpy.random.Generator``.
    n : int
        Trials.
    validation : float or (Xv, yv)
        Samples that decide, as in `fastbp.train`: the same for all trials.
    seed : int, optional
        Makes the search repeatable; also the seed of all its networks.
    threads, progress, engine
        As in `fastbp.train_many`.
    callback : callable, optional
        Called after each round with the trials so far, the best first; returns True to stop.
    **options
        Options of `fastbp.train` that all trials have in common.

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
    Successive halving (Jamieson and Talwalkar, "Non-stochastic best arm identification and hyperparameter optimization", 2016): in the
    first round all trials have a 27th of their epochs; the best third of each round goes on to three times as many, from where it
    stopped. So a trial that comes to the end has the bits that `fastbp.train` gives it. The network is trained on the validation
    part too, for as many epochs as were best.

    Examples
    --------
    >>> import numpy as np, fastbp
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    >>> found = fastbp.search(X, X[:, 0] * X[:, 1], {"learning_rate": fastbp.Uniform(1e-4, 1e-1, log=True)}, 9, seed=0, epochs=27)
    >>> len(found.trials), sorted({trial.epochs for trial in found.trials})
    (9, [3, 9, 27])
    """
    workers = crews.crew(threads, engine)
    n = checks.integer("n", n, 1)
    seed = secrets.randbits(32) if seed is None else checks.integer("seed", seed, 0)
    for key in options:
        checks.one_of("search", key, DEFAULTS)
    if validation is None:
        raise ValueError("validation: expected a part that decides between the trials, got None")
    drawn = draw(space, n, np.random.default_rng(seed))
    table, targets_read, names = data.read_table(X, y)
    common = DEFAULTS | {"validation": validation, "seed": seed} | options
    variants = [variants_of.read(f"trial {k}", k, said, common, len(table)) for k, said in enumerate(drawn)]
    designs = variants_of.designs_of(variants, targets_read, len(table), len(names or table[0]), names is not None)
    samples = jobs.Samples(table, y if isinstance(y, str) else targets_read)
    paused: dict[int, Paused] = {}
    trials: dict[int, Trial] = {}
    alive = list(range(len(variants)))
    rounds = min(MOST_ROUNDS, 1 + int(math.log(len(variants), KEPT_ONE_IN) + 1e-9))
    for number in range(1, rounds + 1):
        until = {k: max(1, round(designs[k].epochs / KEPT_ONE_IN ** (rounds - number))) for k in alive}
        work = [_part(variants[k], designs[k], Round(until[k], paused[k].at if k in paused else None)) for k in alive]
        found = workers.run(work, samples, progress, f"round {number} of {rounds}")
        paused = {k: result for k, result in found.items() if isinstance(result, Paused)}
        interrupted = any(isinstance(result, jobs.NotTrainedError) for result in found.values())
        trials |= {
            k: _judged(k, drawn[k], result)
            for k, result in found.items()
            if not isinstance(result, jobs.NotTrainedError)
        }
        best_first = sorted(trials.values(), key=lambda trial: (trial.failure is not None, -trial.epochs, trial.loss))
        if not trials:
            raise KeyboardInterrupt
        alive = [trial.number for trial in best_first if trial.failure is None and trial.number in alive]
        alive = alive[: max(1, len(found) // KEPT_ONE_IN)]
        if not alive:
            raise RuntimeError(
                f"search: expected one trial at least that can be trained; all failed, the first with {best_first[0].failure}"
            )
        if interrupted or (callback is not None and callback(best_first) is True):
            break
    best = best_first[0]
    last = {"validation": None, "patience": None, "metric": "loss", "epochs": best.best_epoch}
    asked, source = variants[best.number].asked | last, Memory(threads)
    network = prepare.learn(table, samples.y, asked, source=source, progress=progress, callback=None)
    return Search(best_first, network)


def _part(variant: variants_of.Variant, design: variants_of.Design, part: Round) -> jobs.Job:
    """The job of a round."""
    begun = 0 if part.at is None else len(part.at.rows)
    return jobs.Job([variant], design.seconds * (part.until - begun) / max(1, design.epochs), part)


def _judged(number: int, options: dict[str, Any], found: jobs.Result) -> Trial:
    if not isinstance(found, Paused):
        assert isinstance(found, Exception)
        return Trial(number, options, 0, math.nan, None, 0, found)
    network = found.network
    history, at = network.history, network.best_epoch - 1
    loss = -history["validation_metric"][at] if "validation_metric" in history else history["validation_loss"][at]
    accuracy = float(history["validation_accuracy"][at]) if "validation_accuracy" in history else None
    return Trial(number, options, len(history["loss"]), float(loss), accuracy, network.best_epoch)


def draw(space: Mapping[str, Any], n: int, random: np.random.Generator) -> list[dict[str, Any]]:
    """Choices of options, all different where every option has a list of values: then at most as many as there are."""
    if not isinstance(space, Mapping) or not space:
        raise ValueError(f"space: expected a dict from options to what to choose from, got {space!r}")
    for name in space:
        checks.one_of("space", name, [name for name in DEFAULTS if name not in ("seed", "validation", "sample_weight")])
    lists = {name: list(values) for name, values in space.items() if isinstance(values, list | tuple | np.ndarray)}
    for name, values in lists.items():
        if not values:
            raise ValueError(f"space[{name!r}]: expected values to choose from, got none")
    if len(lists) < len(space):
        return [{name: _one(name, values, random) for name, values in space.items()} for _ in range(n)]
    points = math.prod(len(values) for values in lists.values())
    if points < 2:
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
