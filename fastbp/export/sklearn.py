"""`Network.to_sklearn` and `fastbp.from_sklearn`: scikit-learn's own multilayer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import losses, options
from ..model.network import Network
from ..tables.raw_inputs import Inputs
from . import layers, verify
from .verify import Answers, Array

try:
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import LabelBinarizer, StandardScaler
    from sklearn.utils import check_random_state
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sklearn", "scipy", "joblib"):
        raise
    raise ImportError('this needs scikit-learn 1.7 or later; install it with: pip install "fastbp[sklearn]"') from None

_HIDDEN = ("identity", "logistic", "tanh", "relu")


def to_sklearn(net: Network, X: ArrayLike | None = None) -> Any:
    """Make a fitted estimator of scikit-learn out of `net`; see `Network.to_sklearn`."""
    found = estimator_of(net)
    raw = verify.raw_rows(net, X)
    verify.require("to_sklearn", net, raw, answers(net, found, Inputs.of(net).expand(raw)))
    return found


def estimator_of(net: Network) -> Any:
    """The fitted estimator."""
    hidden, last = set(net.layer_activations[:-1]), net.layer_activations[-1]
    if len(hidden) > 1 or not hidden <= set(_HIDDEN):
        expected = f"one activation for all hidden layers, of {', '.join(map(repr, _HIDDEN))}"
        raise ValueError(
            f"to_sklearn: expected {expected}, got {_said(net.layer_activations[:-1])}; train with activation='relu'"
        )
    chosen = {"hidden_layer_sizes": net.sizes[1:-1], "activation": hidden.pop() if hidden else "relu"}
    parts = layers.folded(net)
    if net.task == "regression":
        if last not in ("identity", "exp"):
            raise ValueError(
                f"to_sklearn: expected the output 'identity' or 'exp' for regression, got {last!r}; train without output="
            )
        found = MLPRegressor(loss="poisson" if last == "exp" else "squared_error", **chosen)
    else:
        if net.task == "classification" and len(net.classes) == 2 and last == "softmax":  # type: ignore[arg-type]
            W, b = parts[-1]  # scikit-learn has one logistic unit: that of the difference of the two
            parts[-1] = W[:, 1:] - W[:, :1], b[1:] - b[:1]
        elif net.task == "classification" and net.sizes[-1] > 1 and last == "logistic":
            raise ValueError(
                "to_sklearn: expected the output 'softmax' for several classes, got 'logistic'; train without output="
            )
        found = MLPClassifier(**chosen)
        labels = (
            net.classes
            if net.classes is not None
            else np.arange(2)
            if net.sizes[-1] == 1
            else np.eye(net.sizes[-1], dtype=int)
        )
        found._label_binarizer = LabelBinarizer().fit(labels)
        if net.classes is not None:
            if found._label_binarizer.classes_.tolist() != net.classes.tolist():
                raise ValueError(
                    f"to_sklearn: expected classes in their order, got {net.classes.tolist()!r}; scikit-learn sorts them"
                )
            found._label_binarizer.classes_ = net.classes  # of the same type, too
        found.classes_ = found._label_binarizer.classes_
    found.n_features_in_ = net.sizes[0]
    units = parts[-1][1].size
    found._random_state = check_random_state(0)  # for weights that are then replaced
    found._initialize(np.zeros((1, units)), [*net.sizes[:-1], units], np.dtype(np.float64))
    found.coefs_, found.intercepts_ = [W for W, _ in parts], [b for _, b in parts]
    if len(net.history.get("loss", ())):
        found.loss_curve_ = net.history["loss"].tolist()
        found.loss_ = found.loss_curve_[-1]
        found.n_iter_ = len(found.loss_curve_)
        found.t_ = found.n_iter_ * net.options.get("samples", 0)
    return found


def answers(net: Network, estimator: Any, inputs: Array) -> Answers:
    """What the estimator says to rows of inputs."""
    with np.errstate(all="ignore"):
        predicted = estimator.predict(inputs)
        if net.task == "regression":
            return Answers(predicted.reshape(len(inputs), -1))
        probabilities = estimator.predict_proba(inputs)
    if net.task == "multilabel" and net.sizes[-1] == 1:  # for scikit-learn these are two classes
        return Answers(None, probabilities[:, 1:], predicted[:, None])
    return Answers(None, probabilities, predicted)


def from_sklearn(estimator: Any) -> Network:
    """Read the network; see `fastbp.from_sklearn`."""
    scaler, mlp = None, estimator
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps]
        if len(steps) != 2 or not isinstance(steps[0], StandardScaler):
            raise ValueError(
                f"estimator: expected a pipeline of StandardScaler and an MLP, got {_said(type(s).__name__ for s in steps)}"
            )
        scaler, mlp = steps
    if not isinstance(mlp, MLPClassifier | MLPRegressor):
        raise ValueError(
            f"estimator: expected an MLPClassifier, an MLPRegressor or a Pipeline that ends in one, got {type(mlp).__name__}"
        )
    if not hasattr(mlp, "coefs_") or (scaler is not None and not hasattr(scaler, "n_features_in_")):
        raise ValueError(f"estimator: expected a fitted estimator, got {estimator!r}; call its fit first")
    classes, task = None, "regression"
    if isinstance(mlp, MLPClassifier):
        task = "multilabel" if mlp._label_binarizer.y_type_.startswith("multilabel") else "classification"
        classes = mlp.classes_ if task == "classification" else None
    loss = mlp.loss if isinstance(mlp.loss, str) else losses.CUSTOM
    try:
        return layers.network(
            list(zip(mlp.coefs_, mlp.intercepts_, strict=True)),
            (*options.hidden_activations(mlp.activation, len(mlp.coefs_) - 1), mlp.out_activation_),
            mlp.coefs_[0].dtype,
            task=task,
            loss=loss,
            origin="scikit-learn",
            classes=classes,
            loss_parameter=losses.parameters(
                loss, getattr(mlp, "quantile", losses.LEVEL), getattr(mlp, "huber_delta", losses.DELTA)
            ),
            x_mean=scaler.mean_ if scaler is not None and scaler.with_mean else None,
            x_scale=scaler.scale_ if scaler is not None and scaler.with_std else None,
        )
    except ValueError as error:
        raise ValueError(f"estimator: {error}") from None


def _said(names: Any) -> str:
    return ", ".join(map(repr, names)) or "none"
