"""`to_sklearn` and `fastbp.from_sklearn`: conversion to and from scikit-learn's multilayer perceptrons."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import checks, losses
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..options import OUTPUTS, hidden_activations
from ..tables.raw_inputs import Inputs
from . import layers, verify
from .verify import Answers, Array

try:
    from sklearn.base import clone
    from sklearn.ensemble import VotingClassifier, VotingRegressor
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import LabelBinarizer, LabelEncoder, StandardScaler
    from sklearn.utils import Bunch, check_random_state
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sklearn", "scipy", "joblib"):
        raise
    raise ImportError('this needs scikit-learn 1.7 or later; install it with: pip install "fastbp[sklearn]"') from None

_HIDDEN = ("identity", "logistic", "tanh", "relu")


def to_sklearn(model: Network | Ensemble, X: ArrayLike | None = None) -> Any:
    """Convert `model` to a fitted estimator of scikit-learn; see `Exports.to_sklearn`."""
    verify.require_equal_inputs("to_sklearn", model, of_raw=False)
    raw = verify.raw_rows(model, X)
    model = _unlimited(model)
    estimator = estimator_of(model) if isinstance(model, Network) else vote_of(model)
    inputs = Inputs.of(members(model)[0]).expand(raw)
    verify.require("to_sklearn", model, raw, answers(model, estimator, inputs))
    return estimator


def _unlimited(model: Network | Ensemble) -> Network | Ensemble:
    """The model without the range of its targets: an MLPRegressor cannot cut its predictions."""
    nets = [replace(net, target_range=None) for net in members(model)]
    return nets[0] if isinstance(model, Network) else Ensemble(tuple(nets), model.options)


def vote_of(model: Ensemble) -> Any:
    """The fitted estimator that takes the mean of the networks' predictions."""
    net, classes = model.networks[0], model.classes
    if classes is None and (model.task == "multilabel" or net.sizes[-1] > 1):
        got = model.task if model.task == "multilabel" else f"{net.sizes[-1]} outputs"
        expected = "an ensemble for classification, or for regression with one output, as VotingRegressor has"
        raise ValueError(f"to_sklearn: expected {expected}, got {got}; call to_sklearn of each of its networks")
    nets = model.networks
    if classes is not None:
        encoder = _same_labels(LabelEncoder().fit(classes), classes)
        nets = tuple(replace(one, classes=np.arange(len(classes))) for one in nets)  # they are fitted on numbers there
    named = {f"network{k + 1}": estimator_of(one) for k, one in enumerate(nets)}
    unfitted = [(name, clone(one)) for name, one in named.items()]
    vote = VotingRegressor(unfitted) if classes is None else VotingClassifier(unfitted, voting="soft")
    vote.estimators_, vote.named_estimators_ = list(named.values()), Bunch(**named)
    if classes is not None:
        vote.le_, vote.classes_ = encoder, encoder.classes_
    return vote


def _same_labels(fitted: Any, classes: Array) -> Any:
    """An encoder of labels that was fitted on `classes`, with the data type of these."""
    if fitted.classes_.tolist() != classes.tolist():
        raise ValueError(f"to_sklearn: expected sorted classes, as in scikit-learn, got {classes.tolist()!r}")
    fitted.classes_ = classes
    return fitted


def estimator_of(net: Network) -> Any:
    """The fitted estimator."""
    hidden = set(net.layer_activations[:-1])
    if len(hidden) > 1 or not hidden <= set(_HIDDEN):
        expected = f"one activation for all hidden layers, of {_listed(_HIDDEN)}"
        got = _listed(net.layer_activations[:-1])
        raise ValueError(f"to_sklearn: expected {expected}, got {got}; train with activation='relu'")
    options = {"hidden_layer_sizes": net.sizes[1:-1], "activation": hidden.pop() if hidden else "relu"}
    parts = layers.folded(net)
    estimator = _regressor(net, options) if net.task == "regression" else _classifier(net, options, parts)
    estimator.n_features_in_ = net.sizes[0]
    units = parts[-1][1].size
    estimator._random_state = check_random_state(0)  # for weights that are replaced below
    estimator._initialize(np.zeros((1, units)), [*net.sizes[:-1], units], np.dtype(np.float64))
    estimator.coefs_, estimator.intercepts_ = [W for W, _ in parts], [b for _, b in parts]
    if len(net.history.get("loss", ())):
        estimator.loss_curve_ = net.history["loss"].tolist()
        estimator.loss_ = estimator.loss_curve_[-1]
        estimator.n_iter_ = len(estimator.loss_curve_)
        estimator.t_ = estimator.n_iter_ * net.options.get("samples", 0)
    return estimator


def _regressor(net: Network, options: dict[str, Any]) -> Any:
    last = net.layer_activations[-1]
    if last not in ("identity", "exp"):
        expected = "the output 'identity' or 'exp' for regression"
        raise ValueError(f"to_sklearn: expected {expected}, got {last!r}; train without output=")
    return MLPRegressor(loss="poisson" if last == "exp" else "squared_error", **options)


def _classifier(net: Network, options: dict[str, Any], parts: list[layers.Layer]) -> Any:
    """The classifier, with its labels; `parts` are changed where scikit-learn has one unit instead of two."""
    last, units, classes = net.layer_activations[-1], net.sizes[-1], net.classes
    if classes is not None and len(classes) == 2 and last == "softmax":
        W, b = parts[-1]  # a softmax of two units is the logistic function of their difference
        parts[-1] = W[:, 1:] - W[:, :1], b[1:] - b[:1]
    elif classes is not None and units > 1 and last == "logistic":
        expected = "the output 'softmax' for several classes"
        raise ValueError(f"to_sklearn: expected {expected}, got 'logistic'; train without output=")
    estimator = MLPClassifier(**options)
    labels = classes
    if labels is None:
        labels = np.arange(2) if units == 1 else np.eye(units, dtype=int)
    binarizer = LabelBinarizer().fit(labels)
    if classes is not None:
        _same_labels(binarizer, classes)
    estimator._label_binarizer, estimator.classes_ = binarizer, binarizer.classes_
    return estimator


def answers(model: Network | Ensemble, estimator: Any, inputs: Array) -> Answers:
    """The predictions of the estimator for rows of inputs."""
    with np.errstate(all="ignore"):
        predicted = estimator.predict(inputs)
        if model.task == "regression":
            return Answers(predicted.reshape(len(inputs), -1))
        probabilities = estimator.predict_proba(inputs)
    if model.task == "multilabel" and members(model)[0].sizes[-1] == 1:  # two classes to scikit-learn
        return Answers(None, probabilities[:, 1:], predicted[:, None])
    return Answers(None, probabilities, predicted)


def from_sklearn(estimator: Any) -> Network:
    """Read the network; see `fastbp.from_sklearn`."""
    scaler, mlp = None, estimator
    if isinstance(estimator, Pipeline):
        steps = [step for _, step in estimator.steps]
        if len(steps) != 2 or not isinstance(steps[0], StandardScaler):
            got = _listed(type(step).__name__ for step in steps)
            raise ValueError(f"estimator: expected a pipeline of StandardScaler and an MLP, got {got}")
        scaler, mlp = steps
    if not isinstance(mlp, MLPClassifier | MLPRegressor):
        expected = "an MLPClassifier, an MLPRegressor or a Pipeline that ends in one"
        raise ValueError(f"estimator: expected {expected}, got {type(mlp).__name__}")
    if not hasattr(mlp, "coefs_") or (scaler is not None and not hasattr(scaler, "n_features_in_")):
        raise ValueError(f"estimator: expected a fitted estimator, got {estimator!r}; call its fit first")
    classes, task = None, "regression"
    if isinstance(mlp, MLPClassifier):
        task = "multilabel" if mlp._label_binarizer.y_type_.startswith("multilabel") else "classification"
        classes = mlp.classes_ if task == "classification" else None
    loss = mlp.loss if isinstance(mlp.loss, str) else losses.CUSTOM
    quantile, delta = getattr(mlp, "quantile", losses.LEVEL), getattr(mlp, "huber_delta", losses.DELTA)
    parts = list(zip(mlp.coefs_, mlp.intercepts_, strict=True))
    mean = scaler.mean_ if scaler is not None and scaler.with_mean else None
    scale = scaler.scale_ if scaler is not None and scaler.with_std else None
    try:
        last = checks.one_of("out_activation_", mlp.out_activation_, (*OUTPUTS, "softmax"))
        activations = (*hidden_activations(mlp.activation, len(parts) - 1), last)
        parameters = losses.parameters(loss, quantile, delta)
        attributes = {"task": task, "classes": classes, "loss": loss, "loss_parameter": parameters}
        dtype, origin = parts[0][0].dtype, "scikit-learn"
        return layers.network(parts, activations, dtype, origin=origin, scaler=(mean, scale), **attributes)
    except ValueError as error:
        raise ValueError(f"estimator: {error}") from None


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
