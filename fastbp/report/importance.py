"""How much a network relies on each column: how its score falls if the column is shuffled (permutation importance)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import checks
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
    net: Network, X: ArrayLike, y: ArrayLike, *, repeats: int = 5, seed: int | None = None
) -> list[Importance]:
    """
    How much `Network.score` falls if one column at a time is shuffled.

    Parameters
    ----------
    net : Network
    X : array-like or frame, shape (n, features)
        Rows that the network was not trained on: a validation set.
    y : array-like, shape (n,) or (n, outputs)
    repeats : int
        How often each column is shuffled.
    seed : int, optional
        Makes the result repeatable.

    Returns
    -------
    list of Importance
        The columns that the network reads, the most important one first.

    Notes
    -----
    If two columns say the same, each alone seems to matter little. All inputs from one column are shuffled together.
    """
    checks.integer("repeats", repeats, 1)
    random = np.random.default_rng(seed)
    inputs = net.encode(X)  # the network takes these, too, and a frame is encoded only once
    score, shuffled = net.score(inputs, y), inputs.copy()
    found = []
    for name, own in _groups(net, X):
        falls = []
        for _ in range(repeats):
            shuffled[:, own] = random.permutation(inputs[:, own])
            falls.append(score - net.score(shuffled, y))
        shuffled[:, own] = inputs[:, own]
        found.append(Importance(name, float(np.mean(falls)), float(np.std(falls))))
    return sorted(found, key=lambda one: -one.mean)


def _groups(net: Network, X: ArrayLike) -> list[tuple[str, slice]]:
    """Name of each column, and the inputs that come from it."""
    if net.columns is None:
        names = checks.feature_names(X) or tuple(f"x{k + 1}" for k in range(net.sizes[0]))
        return [(name, slice(k, k + 1)) for k, name in enumerate(names)]
    given = None if net.columns.named else checks.feature_names(X)
    columns = net.columns if given is None else net.columns.called(given)
    rows = [row for row in columns.rows if row.inputs]
    ends = np.cumsum([row.inputs for row in rows]).tolist()
    return [(row.name, slice(end - row.inputs, end)) for row, end in zip(rows, ends, strict=True)]
