"""`cross_validate`: how good networks are on samples that they were not trained on."""

from __future__ import annotations

import itertools
import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, tables
from ..data import division, targets
from ..data.division import Division
from ..data.targets import Targets
from ..runtime.warning import once
from ..training.defaults import AUTO, SINGLE, filled
from ..training.train import DEFAULTS
from .train_many import Networks, require_one, train_variants, warn_of_failures
from .variants import read_common


@dataclass(frozen=True, eq=False, repr=False)
class CrossValidation:
    """
    What `cross_validate` returns.

    Attributes
    ----------
    networks : Networks
        Those of the first fold, the second, and so on, repeat after repeat.
    tests : tuple of int64 array
        Numbers of the samples that each was tested on; it was trained on all others. No sample of weight 0 is among
        them.
    scores : float64 array
        `Network.score` of each on these, with their weights: accuracy or R^2; NaN where the network is missing.
    predictions : array, shape (n, ...)
        For each sample, by the network of the first repeat that was not trained on it: as from `Network.predict_proba`,
        in regression as from `Network.predict`. NaN where the network is missing, and for samples of weight 0.
    seed : int
        Determines the folds and the networks.
    """

    networks: Networks
    tests: tuple[NDArray[np.int64], ...]
    scores: NDArray[np.float64]
    predictions: NDArray[Any]
    seed: int

    @property
    def mean(self) -> float:
        """Mean of the scores; NaN if one is missing, as the others may be the easy ones."""
        return float(self.scores.mean())

    @property
    def standard_error(self) -> float:
        """
        Standard error of the mean, corrected for overlapping training sets (Nadeau and Bengio, 2003).

        sqrt((1 / fits + test rows / training rows) var(scores)); it does not vanish with more repeats.
        """
        n, fits = len(np.unique(np.concatenate(self.tests))), len(self.scores)
        test = sum(map(len, self.tests)) / fits
        return float(np.sqrt((1 / fits + test / (n - test)) * self.scores.var(ddof=1)))

    def __repr__(self) -> str:
        return f"<cross-validation: score {self.mean:.4f} ± {self.standard_error:.4f}, {len(self.scores)} fits>"


@once()
def cross_validate(  # noqa: PLR0913
    X: ArrayLike,
    y: ArrayLike,
    *,
    folds: int = 5,
    repeats: int = 1,
    groups: ArrayLike | str | None = None,
    time: ArrayLike | str | None = None,
    seed: int | None = None,
    threads: int | None = None,
    progress: bool | None = None,
    engine: Any = None,
    **options: Any,
) -> CrossValidation:
    """
    For each fold, train a network on all others and test it on that one.

    Each network is bit for bit as if `fastbp.train` had trained it alone, on the samples outside its fold, with the
    seed in its ``options``.

    Parameters
    ----------
    X : array-like or frame, shape (n, features)
        As in `fastbp.train`.
    y : array-like, shape (n,) or (n, outputs)
        As in `fastbp.train`.
    folds : int
        Number of parts into which the samples are divided at random, in classification each class in proportion.
    repeats : int
        How often to repeat everything, with new folds.
    groups : array-like, shape (n,), optional
        Label of each sample's group, such as a patient, or the name of a column of X, which is then not an input. No
        group is in two folds. The largest groups are placed first, each in the fold with the fewest samples.
    time : array-like, shape (n,), or str, optional
        Time of each sample, or the name of a column of X, which is then not an input. Each fold is newer than all that
        its network learnt from, which is the older rest; the oldest part is not tested.
    seed : int, optional
        Determines the folds and the seeds of the networks; drawn and recorded if left out. Equal seeds give equal
        folds, whatever the options of the networks (except the task), so that you can compare them.
    threads : int, optional
        Networks at a time; by default as many as Numba has threads. The result has the same bits for any number.
    progress : bool, optional
        Progress bar on stderr; by default on a terminal once it takes longer than a second.
    engine : distributed.Client, optional
        Train on the workers of a Dask cluster (extra ``dask``), with the same bits; see "On several machines" in the
        guide.
    **options
        Options of `fastbp.train`.

    Returns
    -------
    CrossValidation

    Raises
    ------
    ValueError
        An invalid argument, or a class that a training set would miss; the message names it, what was expected and what
        it got.

    Warns
    -----
    RuntimeWarning
        Some networks are missing: their training diverged, or Ctrl-C came. If all are missing, the exception of the
        first is raised.

    Examples
    --------
    >>> import fastbp, numpy as np
    >>> X = np.random.default_rng(0).uniform(-1, 1, (200, 2))
    >>> found = fastbp.cross_validate(X, X[:, 0] > X[:, 1], hidden=(), seed=0)
    >>> found.mean > 0.9, len(found.networks), found.predictions.shape
    (True, 5, (200, 2))
    """
    checks.integer("folds", folds, 2)
    checks.integer("repeats", repeats, 1)
    seed = secrets.randbits(32) if seed is None else checks.integer("seed", seed, 0)
    X = tables.opened(X, missing=checks.words("missing", options.get("missing")))
    checks.in_memory("X", X)
    opened: Any = X
    parting, named = division.read(
        X, {"groups": groups, "time": time}, opened.shape[0] if hasattr(X, "shape") else len(opened), y
    )
    for name in named:
        X = _without(X, y, name)
    common = read_common(cross_validate, X, y, options)
    table, known, target = common.table, common.y, common.target
    numbers = np.arange(common.n) if common.rows is None else common.rows  # of the samples
    parting = parting.take(numbers)
    random = np.random.default_rng(seed)
    parts = [_divided(target, parting, folds, random) for _ in range(1 if parting.time is not None else repeats)]
    if repeats > 1 and parting.time is not None:
        raise ValueError(f"repeats: expected 1 with time, whose folds are not drawn, got {repeats}")
    divided = [pair for one in parts for pair in one]
    tests = [test for _, test in divided]
    if target.task == "regression" and min(map(len, tests)) < 2:
        wanted = "at least two samples in each, as R^2 of one says nothing"
        raise ValueError(f"folds: expected {wanted}, got {folds} of {len(known)}")
    variants = [{"rows": rest, "seed": int(random.integers(2**32))} for rest, _ in divided]
    options = {"quality": AUTO} | common.options
    if parting.name is not None:
        has_names = checks.feature_names(table) is not None
        features = None if has_names else table.shape[1]
        used = filled(DEFAULTS | options, features, True, target, min(len(rest) for rest, _ in divided))
        if used["quality"] != SINGLE or used["validation"] is not None:  # what is set aside to choose the epochs
            options[parting.name] = parting.groups if parting.time is None else parting.time
    nets = train_variants(table, known, variants, options, "networks[{}]", threads, progress, engine)
    require_one(nets)
    warn_of_failures(nets)
    scores, predictions, weight = np.full(len(tests), np.nan), np.empty(0), options["sample_weight"]
    for k, test in enumerate(tests):
        if k in nets.failures:
            continue
        net, inputs = nets[k], targets.take_rows(table, test)
        scores[k] = net.score(inputs, known[test], None if weight is None else weight[test])
        predicted = net.predict(inputs) if net.task == "regression" else net.predict_proba(inputs)
        if not predictions.size:
            predictions = np.full((common.n, *predicted.shape[1:]), np.nan, predicted.dtype)
        if k < folds:
            predictions[numbers[test]] = predicted
    return CrossValidation(nets, tuple(numbers[test] for test in tests), scores, predictions, seed)


def _without(X: Any, y: Any, name: str) -> Any:
    """X without a column."""
    return X[[other for other in X.columns if other != name or (isinstance(y, str) and other == y)]]


def _windows(time: NDArray[np.int64], folds: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and test samples of each fold: older ones, and those of the next part of the time."""
    order = np.argsort(time, kind="stable")
    cuts = np.searchsorted(time[order], time[order][np.arange(1, folds + 1) * len(time) // (folds + 1)])
    cuts = np.append(cuts, len(time))
    if (np.diff(cuts) < 2).any() or cuts[0] < 2:
        wanted = f"at most so many that each has at least two samples newer than the last, got {folds}"
        raise ValueError(f"folds: expected {wanted} of {len(time)} samples")
    return [(np.sort(order[:a]), np.sort(order[a:b])) for a, b in itertools.pairwise(cuts.tolist())]


def _divided(
    target: Targets, parting: Division, folds: int, random: np.random.Generator
) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Training and test samples of each fold."""
    if parting.time is not None:
        return _windows(parting.time, folds)
    groups = parting.groups
    parts = _dealt(target, folds, random) if groups is None else _dealt_in_groups(target, groups, folds, random)
    return [(np.delete(np.arange(len(target.values)), test), test) for test in parts]


def _dealt(target: Targets, folds: int, random: np.random.Generator) -> list[NDArray[np.int64]]:
    """Numbers of the samples of each fold: shuffled, sorted by class, and dealt like cards."""
    n = len(target.values)
    if folds > n:
        raise ValueError(f"folds: expected at most as many as there are samples ({n}), got {folds}")
    order = random.permutation(n)
    if target.classes is not None:
        counts = np.bincount(target.values, minlength=len(target.classes))
        if 1 in counts:
            label = target.classes.tolist()[counts.tolist().index(1)]
            wanted = "each class at least twice, as every training set needs it"
            raise ValueError(f"y: expected {wanted}, got {label!r} once")
        order = order[np.argsort(target.values[order], kind="stable")]
    return [np.sort(order[k::folds]) for k in range(folds)]


def _dealt_in_groups(
    target: Targets, of_group: NDArray[np.int64], folds: int, random: np.random.Generator
) -> list[NDArray[np.int64]]:
    """The same for whole groups, the largest first, each into the smallest fold that does not get all of a class."""
    groups = int(of_group.max()) + 1
    if folds > groups:
        raise ValueError(f"folds: expected at most as many as there are groups ({groups}), got {folds}")
    counts = division.counted(target, of_group)
    total, held = counts.sum(axis=0), np.zeros((folds, counts.shape[1]), np.int64)
    shuffled, fold_of = random.permutation(groups), np.empty(groups, np.int64)
    for group in shuffled[np.argsort(-counts.sum(axis=1)[shuffled], kind="stable")]:
        whole = (held + counts[group] == total) & (total > 0)
        if whole.any(axis=1).all():
            assert target.classes is not None  # several groups of one class can always be placed
            label = target.classes.tolist()[int(whole[0].argmax())]
            wanted = "each class in so many groups that no training set misses it"
            raise ValueError(f"groups: expected {wanted}, got {label!r} in too few")
        fold_of[group] = np.where(whole.any(axis=1), len(of_group), held.sum(axis=1)).argmin()
        held[fold_of[group]] += counts[group]
    folds_of_rows = fold_of[of_group]
    return [np.flatnonzero(folds_of_rows == k) for k in range(folds)]
