"""`cross_validate`: how good networks are on samples that they were not trained on."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, tables
from ..data import targets
from ..data.targets import Targets
from ..runtime.warning import once
from ..training.defaults import AUTO
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
    groups: ArrayLike | None = None,
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
    if isinstance(groups, str):
        X, groups = _split_off(X, y, groups)
    common = read_common("cross_validate", X, y, options)
    table, known, target = common.table, common.y, common.target
    of_group = None if groups is None else _group_numbers(groups, common.n)
    numbers = np.arange(common.n)  # of the samples
    if common.rows is not None:
        numbers, of_group = common.rows, None if of_group is None else of_group[common.rows]
    random = np.random.default_rng(seed)
    tests, variants = [], []
    for _ in range(repeats):
        parts = _dealt(target, folds, random) if of_group is None else _dealt_in_groups(target, of_group, folds, random)
        if target.task == "regression" and min(map(len, parts)) < 2:
            wanted = "at least two samples in each, as R^2 of one says nothing"
            raise ValueError(f"folds: expected {wanted}, got {folds} of {len(known)}")
        for test in parts:
            tests.append(test)
            variants.append({"rows": np.delete(np.arange(len(known)), test), "seed": int(random.integers(2**32))})
    options = {"quality": AUTO} | common.options
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


def _split_off(X: Any, y: Any, name: str) -> tuple[Any, Any]:
    """X without the column of the groups, and that column."""
    names = checks.feature_names(X)
    if names is None:
        raise ValueError(f"groups: expected a group for each sample, got the name {name!r}; X must be a table for that")
    checks.one_of("groups", name, [other for other in names if not (isinstance(y, str) and other == y)])
    return X[[other for other in names if other != name]], X[name].to_numpy()


def _group_numbers(groups: Any, n: int) -> NDArray[np.int64]:
    """Number of the group of each sample."""
    labels = targets.labels(groups, n, "groups")
    missing = targets.missing(labels)
    if len(missing):
        raise ValueError(f"groups: expected a group for each sample, got {labels[missing[0]]!r} at row {missing[0]}")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels.tolist()])


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
    of_class = np.zeros(len(of_group), np.int64) if target.classes is None else target.values
    counts = np.zeros((groups, int(of_class.max()) + 1), np.int64)
    np.add.at(counts, (of_group, of_class), 1)
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
