"""The score of predictions: accuracy, or R^2."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..data import targets
from ..runtime import blocks

if TYPE_CHECKING:
    from .network import Network


def score(net: Network, predicted: NDArray[Any], y: ArrayLike, sample_weight: ArrayLike | None) -> float:
    """
    See `Network.score`.

    Parameters
    ----------
    net : Network
        Says what kind of predictions these are.
    predicted : array, shape (n,) or (n, outputs)
    y : array-like, shape (n,) or (n, outputs)
    sample_weight : array-like, shape (n,), or None

    Returns
    -------
    float
        NaN of no samples.
    """
    n, weight = len(predicted), None
    if sample_weight is not None:
        weight = checks.weights("sample_weight", n, sample_weight)
        rows = np.flatnonzero(weight)
        predicted, y, weight, n = predicted[rows], targets.of_rows(y, n, rows), weight[rows], len(rows)
    if net.task == "classification":
        known, right = targets.labels(y, n), np.empty(n, bool)
        for part in blocks.pieces(n, 1):  # lists of Python numbers take several times the memory
            right[part] = [p == t for p, t in zip(predicted[part].tolist(), known[part].tolist(), strict=True)]
        return float(np.average(right, weights=weight)) if n else float("nan")
    wanted = targets.read(y, net.task, n).values.astype(np.float64)
    predicted = predicted.reshape(n, -1)[:, net.central]
    if wanted.shape != predicted.shape:
        raise ValueError(f"y: expected {predicted.shape[1]} columns, got {wanted.shape[1]}")
    if net.task == "multilabel":
        return float(np.average((predicted == wanted).all(axis=1), weights=weight))
    each = 1.0 if weight is None else weight[:, None]
    residual = (each * (wanted - predicted) ** 2).sum(axis=0)
    spread = (each * (wanted - np.average(wanted, axis=0, weights=weight)) ** 2).sum(axis=0)
    constant = np.where(residual > 0, 0.0, 1.0)  # as in scikit-learn: 1 if a constant is met, else 0
    return float(np.mean(np.where(spread > 0, 1 - residual / np.where(spread > 0, spread, 1), constant)))
