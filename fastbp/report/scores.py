"""Well-known scores of a network, and of the best guess that ignores the inputs. Needs scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.targets import Targets, targets_of
from ..model.ensemble import Ensemble, members
from ..model.network import Network

Weight = NDArray[np.float64] | None


def scores(
    model: Network | Ensemble, X: ArrayLike, y: ArrayLike, weight: NDArray[np.float64] | None = None
) -> dict[str, float]:
    """
    Scores of a network or an ensemble, the most important one first.

    Parameters
    ----------
    model : Network or Ensemble
    X : array-like or frame, shape (n, features)
    y : array-like, shape (n,) or (n, outputs)
    weight : float64 array, shape (n,), or None
        Of each row in the scores.

    Returns
    -------
    dict of str to float
        Classification and multilabel: accuracy (multilabel: all labels of a row right), log loss and AUC, the area
        under the ROC curve (of the second of two classes; else the mean over the classes or labels). Regression: R^2,
        MAE and RMSE, means over the outputs, of several quantiles those of the one nearest to 1/2; and for quantiles
        the mean pinball loss. Undefined scores are left out: the AUC if all rows are of one class, R^2 of a single row.

    Raises
    ------
    ValueError
        No rows, or rows that do not fit the network.
    """
    net = members(model)[0]
    outputs = model.predict(X) if net.task == "regression" else model.predict_proba(X)
    outputs = outputs.reshape(len(outputs), -1)
    return _measure(net, targets_of(net, y, "auto", len(outputs)), outputs, weight)


def baseline(
    net: Network,
    training: ArrayLike,
    y: ArrayLike,
    training_weight: NDArray[np.float64] | None = None,
    weight: NDArray[np.float64] | None = None,
) -> dict[str, float]:
    """
    Scores of the best guess that ignores the inputs, to compare those of a network with.

    Parameters
    ----------
    net : Network
        Determines the task and the classes.
    training : array-like, shape (m,) or (m, outputs)
        Training targets, from which the guess is made: the frequencies of the classes or labels, or the mean of the
        numbers (their quantiles, if the loss is ``"quantile"``).
    y : array-like, shape (n,) or (n, outputs)
        Targets to guess.
    training_weight, weight : float64 array, shape (m,) and (n,), or None
        Of each row.

    Returns
    -------
    dict of str to float
        The same scores as from `scores`.
    """
    known = targets_of(net, training, "auto", len(np.asarray(training)))
    wanted = targets_of(net, y, "auto", len(np.asarray(y)))
    return _measure(net, wanted, np.tile(_guess(net, known, training_weight), (len(wanted.values), 1)), weight)


def _metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError('scores need scikit-learn; install it with: pip install "fastbp[cli]"') from None
    return metrics


def _guess(net: Network, known: Targets, weight: Weight) -> NDArray[Any]:
    """Outputs of the guess that ignores the inputs."""
    if known.classes is not None:
        counts = np.bincount(known.values, weight, len(known.classes))
        return np.asarray(counts / counts.sum())
    if net.loss == "quantile":
        method: Any = "linear" if weight is None else "inverted_cdf"
        return np.quantile(known.values, net.loss_parameter, axis=0, method=method, weights=weight).T.reshape(-1)
    return np.asarray(np.average(known.values.astype(np.float64), axis=0, weights=weight))


def _measure(net: Network, wanted: Targets, outputs: NDArray[Any], weight: Weight) -> dict[str, float]:
    if len(outputs) == 0:
        raise ValueError("X: expected at least one row to score, got none")
    if wanted.task == "regression":
        return _of_numbers(net, wanted.values, outputs, weight)
    if wanted.task == "multilabel":
        return _of_labels(wanted.values, outputs, weight)
    return _of_classes(wanted, outputs, weight)


def _of_classes(wanted: Targets, proba: NDArray[Any], weight: Weight) -> dict[str, float]:
    count = proba.shape[1]
    right = float(np.average(proba.argmax(axis=1) == wanted.values, weights=weight))
    log_loss = float(_metrics().log_loss(wanted.values, proba, labels=range(count), sample_weight=weight))
    apart = wanted.values[:, None] == np.arange(count)
    of = slice(1, 2) if count == 2 else slice(None)
    return {"accuracy": right, "log loss": log_loss, **_area(apart[:, of], proba[:, of], weight)}


def _of_labels(wanted: NDArray[Any], proba: NDArray[Any], weight: Weight) -> dict[str, float]:
    right, log_loss = np.average(((proba > 0.5) == wanted).all(axis=1), weights=weight), _metrics().log_loss
    each = [log_loss(y, p, labels=[0, 1], sample_weight=weight) for y, p in zip(wanted.T, proba.T, strict=True)]
    return {"accuracy": float(right), "log loss": float(np.mean(each)), **_area(wanted, proba, weight)}


def _area(wanted: NDArray[Any], proba: NDArray[Any], weight: Weight) -> dict[str, float]:
    """The mean AUC over the columns that have both positive and negative rows."""
    pairs = [(y, p) for y, p in zip(wanted.T, proba.T, strict=True) if y.any() and not y.all()]
    areas = [_metrics().roc_auc_score(y, p, sample_weight=weight) for y, p in pairs]
    return {"AUC": float(np.mean(areas))} if areas else {}


def _of_numbers(net: Network, wanted: NDArray[Any], outputs: NDArray[Any], weight: Weight) -> dict[str, float]:
    wanted, outputs, metrics = wanted.astype(np.float64), outputs.astype(np.float64), _metrics()
    point, weights = outputs[:, net.central], {"sample_weight": weight}
    found = {"R^2": float(metrics.r2_score(wanted, point, **weights))} if len(wanted) > 1 else {}
    found["MAE"] = float(metrics.mean_absolute_error(wanted, point, **weights))
    found["RMSE"] = float(metrics.root_mean_squared_error(wanted, point, **weights))
    if net.loss == "quantile":
        levels = net.loss_parameter
        loss, count = metrics.mean_pinball_loss, len(levels)
        each = [loss(wanted, outputs[:, k::count], alpha=level, **weights) for k, level in enumerate(levels)]
        found["pinball loss"] = float(np.mean(each))
    return found
