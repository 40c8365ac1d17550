"""The scores that users know, of a network and of the best guess that looks at no input. Needs scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..data.targets import Targets, targets_of
from ..model.ensemble import Ensemble, members
from ..model.network import Network


def scores(model: Network | Ensemble, X: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """
    Scores of a network or an ensemble, the most telling one first.

    Parameters
    ----------
    model : Network or Ensemble
    X : array-like or frame, shape (n, features)
    y : array-like, shape (n,) or (n, outputs)

    Returns
    -------
    dict of str to float
        Classification and multilabel: accuracy (multilabel: all labels of a row right), log loss and AUC, the area under the ROC curve (of
        the second of two classes; else the mean over the classes or labels). Regression: R^2, MAE and RMSE, means over the outputs,
        of several quantiles those of the one nearest to 1/2; and the mean pinball loss where quantiles were learnt. What is undefined
        is left out: the AUC where all rows are of one class, R^2 of a single row.

    Raises
    ------
    ValueError
        No rows, or rows that do not fit the network.
    """
    net = members(model)[0]
    outputs = model.predict(X) if net.task == "regression" else model.predict_proba(X)
    outputs = outputs.reshape(len(outputs), -1)
    return _measure(net, targets_of(net, y, "auto", len(outputs)), outputs)


def baseline(net: Network, training: ArrayLike, y: ArrayLike) -> dict[str, float]:
    """
    Scores of the best guess that looks at no input, to hold those of a network against.

    Parameters
    ----------
    net : Network
        Its task and its classes are those of the guess.
    training : array-like, shape (m,) or (m, outputs)
        Targets of the training part, from which the guess is made: how frequent the classes or labels are, or the mean of the numbers
        (their quantiles, where quantiles were learnt).
    y : array-like, shape (n,) or (n, outputs)
        Targets to guess.

    Returns
    -------
    dict of str to float
        The same scores as `scores` has for these targets.
    """
    known = targets_of(net, training, "auto", len(np.asarray(training)))
    wanted = targets_of(net, y, "auto", len(np.asarray(y)))
    return _measure(net, wanted, np.tile(_guess(net, known), (len(wanted.values), 1)))


def _metrics() -> Any:
    try:
        from sklearn import metrics
    except ImportError:
        raise ImportError('scores need scikit-learn; install it with: pip install "fastbp[cli]"') from None
    return metrics


def _guess(net: Network, known: Targets) -> NDArray[Any]:
    """Outputs of a network that looks at no input."""
    if known.classes is not None:
        return np.bincount(known.values, minlength=len(known.classes)) / len(known.values)
    if net.loss == "quantile":
        return np.quantile(known.values, net.loss_parameter, axis=0).T.reshape(-1)
    return known.values.mean(axis=0, dtype=np.float64)


def _measure(net: Network, wanted: Targets, outputs: NDArray[Any]) -> dict[str, float]:
    if len(outputs) == 0:
        raise ValueError("X: expected at least one row to score, got none")
    if wanted.task == "regression":
        return _of_numbers(net, wanted.values, outputs)
    return _of_labels(wanted.values, outputs) if wanted.task == "multilabel" else _of_classes(wanted, outputs)


def _of_classes(wanted: Targets, proba: NDArray[Any]) -> dict[str, float]:
    count = proba.shape[1]
    right = float((proba.argmax(axis=1) == wanted.values).mean())
    log_loss = float(_metrics().log_loss(wanted.values, proba, labels=range(count)))
    apart = wanted.values[:, None] == np.arange(count)
    of = slice(1, 2) if count == 2 else slice(None)
    return {"accuracy": right, "log loss": log_loss, **_area(apart[:, of], proba[:, of])}


def _of_labels(wanted: NDArray[Any], proba: NDArray[Any]) -> dict[str, float]:
    right = float(((proba > 0.5) == wanted).all(axis=1).mean())
    each = [_metrics().log_loss(y, p, labels=[0, 1]) for y, p in zip(wanted.T, proba.T, strict=True)]
    return {"accuracy": right, "log loss": float(np.mean(each)), **_area(wanted, proba)}


def _area(wanted: NDArray[Any], proba: NDArray[Any]) -> dict[str, float]:
    """The mean AUC over the columns in which some rows are right and some are not."""
    areas = [_metrics().roc_auc_score(y, p) for y, p in zip(wanted.T, proba.T, strict=True) if y.any() and not y.all()]
    return {"AUC": float(np.mean(areas))} if areas else {}


def _of_numbers(net: Network, wanted: NDArray[Any], outputs: NDArray[Any]) -> dict[str, float]:
    wanted, outputs = wanted.astype(np.float64), outputs.astype(np.float64)
    point = outputs[:, net.central]
    found = {"R^2": float(_metrics().r2_score(wanted, point))} if len(wanted) > 1 else {}
    found["MAE"] = float(_metrics().mean_absolute_error(wanted, point))
    found["RMSE"] = float(_metrics().root_mean_squared_error(wanted, point))
    if net.loss == "quantile":
        levels = net.loss_parameter
        each = [
            _metrics().mean_pinball_loss(wanted, outputs[:, k :: len(levels)], alpha=level)
            for k, level in enumerate(levels)
        ]
        found["pinball loss"] = float(np.mean(each))
    return found
