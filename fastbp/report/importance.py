"""How much a model relies on each column: how its score falls if the column is shuffled (permutation importance)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, tables
from ..data import targets
from ..model.ensemble import Ensemble, members
from ..model.network import Network


@dataclass(frozen=True)
class Importance:
    """
    How much the score falls if a column is shuffled.

    Attributes
    ----------
    name : str
    mean, deviation : float
        Over the repeats; of accuracy, or of R^2 in regression.
    """

    name: str
    mean: float
    deviation: float


def permutation_importance(
    model: Network | Ensemble,
    X: ArrayLike,
    y: ArrayLike,
    *,
    repeats: int = 5,
    seed: int | None = None,
    sample_weight: ArrayLike | None = None,
) -> list[Importance]:
    """
    How much `Network.score`, or `Ensemble.score`, falls if one column at a time is shuffled.

    Parameters
    ----------
    model : Network or Ensemble
    X : array-like or frame, shape (n, features)
        Rows that the model was not trained on: a validation set.
    y : array-like, shape (n,) or (n, outputs)
    repeats : int
        How often each column is shuffled.
    seed : int, optional
        Makes the result repeatable.
    sample_weight : array-like, shape (n,), optional
        Weight of each sample in the scores; those of weight 0 have no influence.

    Returns
    -------
    list of Importance
        The columns that the model reads, the most important one first.

    Notes
    -----
    If two columns say the same, each alone seems to matter little. All inputs from one column are shuffled together,
    in the same way for all networks of an ensemble.
    """
    checks.integer("repeats", repeats, 1)
    random = np.random.default_rng(seed)
    X = tables.opened(X, *(net.columns for net in members(model)))
    if sample_weight is not None:
        given: Any = X if hasattr(X, "shape") else np.asarray(X)
        weight = checks.weights("sample_weight", len(given), sample_weight)
        rows = np.flatnonzero(weight)
        X, y, sample_weight = targets.take_rows(given, rows), targets.of_rows(y, len(given), rows), weight[rows]
    nets = members(model) if _encode_differently(model) else members(model)[:1]
    groups = [_groups(net, X) for net in nets]
    inputs = [net.encode(X) for net in nets]  # networks take these, too, and a frame is encoded only once
    weighted = y, sample_weight
    score, shuffled, found = _score(model, inputs, *weighted), [array.copy() for array in inputs], []
    for name in dict.fromkeys(name for columns in groups for name in columns):
        places, falls = [columns.get(name, slice(0)) for columns in groups], []
        for _ in range(repeats):
            order = random.permutation(len(inputs[0]))
            for array, own, place in zip(shuffled, inputs, places, strict=True):
                array[:, place] = own[order, place]
            falls.append(score - _score(model, shuffled, *weighted))
        for array, own, place in zip(shuffled, inputs, places, strict=True):
            array[:, place] = own[:, place]
        found.append(Importance(name, float(np.mean(falls)), float(np.std(falls))))
    return sorted(found, key=lambda one: -one.mean)


def _encode_differently(model: Network | Ensemble) -> bool:
    """Whether the networks of an ensemble make different inputs of the same table."""
    return members(model)[0].columns is not None and model.columns is None


def _score(model: Network | Ensemble, inputs: list[NDArray[Any]], y: ArrayLike, weight: ArrayLike | None) -> float:
    """The score for the inputs of all networks, or for those of each."""
    if isinstance(model, Network) or len(inputs) == 1:
        return model.score(inputs[0], y, weight)
    pairs = list(zip(model.networks, inputs, strict=True))
    if model.task == "regression":
        predicted = model._mean(net.predict(own) for net, own in pairs)
    else:
        predicted = model._decision(model._mean(net.predict_proba(own) for net, own in pairs))
    return model.networks[0]._score_of(predicted, y, weight)


def _groups(net: Network, X: ArrayLike) -> dict[str, slice]:
    """The inputs that come from each column."""
    if net.columns is None:
        names = checks.feature_names(X) or tuple(f"x{k + 1}" for k in range(net.sizes[0]))
        return {name: slice(k, k + 1) for k, name in enumerate(names)}
    given = None if net.columns.named else checks.feature_names(X)
    columns = net.columns if given is None else net.columns.called(given)
    rows = [row for row in columns.rows if row.inputs]
    ends = np.cumsum([row.inputs for row in rows]).tolist()
    return {row.name: slice(end - row.inputs, end) for row, end in zip(rows, ends, strict=True)}
