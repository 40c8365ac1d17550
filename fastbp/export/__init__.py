"""Exports networks to ONNX, C, NumPy, scikit-learn and PyTorch, and imports networks from the last two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..model.network import Network


def from_sklearn(estimator: Any) -> Network:
    """
    Network with the weights of a fitted scikit-learn estimator.

    Parameters
    ----------
    estimator : MLPClassifier, MLPRegressor or Pipeline
        Fitted; from scikit-learn or from `fastbp.sklearn`. A pipeline has two steps: a StandardScaler and an MLP.

    Returns
    -------
    Network
        With the data type of the weights. It takes arrays with the columns that the estimator was fitted on.

    Raises
    ------
    ImportError
        scikit-learn is not installed.
    ValueError
        Another estimator, or one that is not fitted.

    Examples
    --------
    >>> import fastbp
    >>> from sklearn.datasets import load_iris
    >>> from sklearn.neural_network import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(max_iter=1000, random_state=0).fit(X, y)
    >>> bool((fastbp.from_sklearn(model).predict(X) == model.predict(X)).all())
    True
    """
    from . import sklearn

    return sklearn.from_sklearn(estimator)


def from_torch(sequential: Any, *, task: str = "auto", classes: ArrayLike | None = None) -> Network:
    """
    Network with the weights of a PyTorch Sequential; it predicts what the Sequential does in eval mode.

    Parameters
    ----------
    sequential : torch.nn.Sequential
        Linear layers with activations that fastbp has: ReLU, Tanh, Sigmoid, LeakyReLU, ELU, SELU, GELU, SiLU, Mish,
        Softplus, Hardsigmoid, and Softmax at the end; BatchNorm1d before or after a Linear. Dropout, Identity and
        Flatten are skipped.
    task : {"auto", "regression", "classification", "multilabel"}
        auto: classification if the last module is a Softmax or a Sigmoid of one unit, multilabel if it is a Sigmoid of
        several units, otherwise regression. If a network for classes or labels ends in a Linear, its outputs are
        logits, and a softmax or logistic function is appended.
    classes : array-like, optional
        Labels in the order of the outputs; for a single unit, the labels of 0 and 1. By default 0, 1, 2, ...

    Returns
    -------
    Network
        In float64 if the weights are, otherwise in float32.

    Raises
    ------
    ImportError
        PyTorch is not installed.
    ValueError
        A module that fastbp does not have (the message says where), or a task or classes that do not fit.

    Examples
    --------
    >>> import fastbp
    >>> from torch import nn  # doctest: +SKIP
    >>> layers = nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3)  # doctest: +SKIP
    >>> fastbp.from_torch(nn.Sequential(*layers), task="classification")  # doctest: +SKIP
    <fastbp.Network classification 4-8-3 relu/softmax float32>
    """
    from . import torch

    return torch.from_torch(sequential, task=task, classes=classes)
