"""The two estimators: scikit-learn's parameters, and those that its users asked for."""

from __future__ import annotations

from numbers import Real
from typing import Any, ClassVar

import numpy as np
import sklearn.neural_network as reference
from sklearn.metrics import get_scorer_names, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state, compute_sample_weight
from sklearn.utils._param_validation import Interval, StrOptions

from .. import checks, losses, options
from ..training.passes import Array
from .learning import LM, SOLVERS, Compiled

# Valid values of the parameters that both estimators add to, or extend from, scikit-learn's.
_CONSTRAINTS: dict[str, list[Any]] = {
    "activation": [StrOptions(set(options.ELEMENTWISE)), "array-like"],
    "solver": [StrOptions({"lbfgs", *LM, *SOLVERS})],
    "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine", "one_cycle"})],
    "dropout": [Interval(Real, 0, 1, closed="left"), "array-like"],
    "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
    "warmup": [Interval(Real, 0, None, closed="left")],
    "scoring": [StrOptions({"loss", *get_scorer_names()}), callable, None],
    "callback": [callable, None],
}


class MLPClassifier(Compiled, reference.MLPClassifier):  # type: ignore[misc]
    """
    scikit-learn's `MLPClassifier`, trained by compiled kernels.

    All parameters, attributes and methods are those of ``sklearn.neural_network.MLPClassifier``. Sparse matrices stay
    sparse.

    Parameters
    ----------
    All those of scikit-learn's
        With the same meaning and defaults. Further values and parameters are:
    activation : str, or sequence of one per hidden layer
        Also ``"leaky_relu"``, ``"elu"``, ``"selu"``, ``"gelu"``, ``"silu"``, ``"mish"``, ``"softplus"``,
        ``"hard_sigmoid"`` and ``"exp"``.
    solver : str
        Also ``"adamw"`` (`alpha` is the decay of the weights per unit of the learning rate), ``"nadam"``, ``"rmsprop"``
        (with `beta_2`) and ``"rprop"`` (on all samples at once, unless `batch_size` says otherwise); and ``"lm"``,
        Levenberg-Marquardt, for some thousand weights at most (see `fastbp.train`; `max_iter` steps, until ten lower
        the loss by less than the share `tol`).
    learning_rate : str
        Also ``"cosine"`` and ``"one_cycle"``, for every solver but lbfgs and lm, over the batches of `max_iter` epochs.
    warmup : float, default=0
        Epochs in which the learning rate rises from 0 in equal steps.
    dropout : float or sequence of one per hidden layer, default=0
        Probability with which a unit is left out of a sample's pass in training.
    clip_norm : float, default=None
        Greatest norm of the gradient of a batch's loss; a longer one is shortened, its direction kept.
    scoring : str or callable, default=None
        What early stopping monitors: ``"loss"``, a scorer of scikit-learn by name, or ``scorer(estimator, X, y)``; by
        default accuracy or R^2, as in scikit-learn.
    callback : callable, default=None
        Called with a `fastbp.Epoch` after each epoch; returns True to stop.
    loss : {"log_loss", "squared_error"} or pair of functions, default="log_loss"
        What is minimised; a custom loss is J(y, p) and dJ/dp(y, p) of one output p and its target 0 or 1 (see
        `fastbp.train`).
    class_weight : dict of label to float, "balanced" or None, default=None
        Weight of each class in the loss, and in early stopping.

    Attributes
    ----------
    All those of scikit-learn's
        And one more:
    validation_loss_curve_ : list of float
        Validation loss after each epoch, without the penalty; with `early_stopping`.

    Notes
    -----
    `partial_fit` works with `early_stopping`: a part of each call's samples is set aside (the same part of the same
    samples). When the score has not improved for `n_iter_no_change` calls, the best weights are restored, and later
    calls change nothing.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(hidden_layer_sizes=(20,), max_iter=1000, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **reference.MLPClassifier._parameter_constraints,
        **_CONSTRAINTS,
        "loss": [StrOptions({"log_loss", "squared_error"}), tuple, list],
        "class_weight": [dict, StrOptions({"balanced"}), None],
    }

    @checks.suggesting
    def __init__(  # noqa: PLR0913
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        loss: Any = "log_loss",
        class_weight: Any = None,
        dropout: Any = 0,
        clip_norm: float | None = None,
        warmup: float = 0,
        scoring: Any = None,
        callback: Any = None,
    ) -> None:
        super().__init__(
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.loss = loss
        self.class_weight = class_weight
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.warmup = warmup
        self.scoring = scoring
        self.callback = callback

    def _with_class_weight(self, y: Array, sample_weight: Array | None, incremental: bool) -> Array | None:
        if self.class_weight is None:
            return sample_weight
        if incremental and self.class_weight == "balanced":
            wanted = "weights by class in partial_fit, which does not see all samples"
            raise ValueError(f"class_weight: expected {wanted}, got 'balanced'")
        weight = compute_sample_weight(self.class_weight, self._label_binarizer.inverse_transform(y))
        return weight if sample_weight is None else weight * sample_weight

    def initialize(
        self, n_features: int, classes: Any, *, multilabel: bool = False, dtype: Any = np.float64
    ) -> MLPClassifier:
        """
        Draw the weights without any data: you can predict with them, or continue by `partial_fit` or a warm start.

        Parameters
        ----------
        n_features : int
        classes : array-like
            At least two labels; with `multilabel` the numbers of the labels.
        multilabel : bool
        dtype : float64 or float32

        Returns
        -------
        self
        """
        labels = np.unique(np.asarray(classes))
        if len(labels) < 2:
            raise ValueError(f"classes: expected at least two different labels, got {classes!r}")
        self._label_binarizer = LabelBinarizer().fit(np.eye(len(labels), dtype=int) if multilabel else labels)
        self.classes_ = labels
        _initialize(self, n_features, 1 if len(labels) == 2 and not multilabel else len(labels), dtype)
        return self


class MLPRegressor(Compiled, reference.MLPRegressor):  # type: ignore[misc]
    """
    scikit-learn's `MLPRegressor`, trained by compiled kernels.

    All parameters, attributes and methods are those of ``sklearn.neural_network.MLPRegressor``. Sparse matrices stay
    sparse.

    Parameters
    ----------
    All those of scikit-learn's
        With the same meaning and defaults. Further values and parameters are:
    activation : str, or sequence of one per hidden layer
        Also ``"leaky_relu"``, ``"elu"``, ``"selu"``, ``"gelu"``, ``"silu"``, ``"mish"``, ``"softplus"``,
        ``"hard_sigmoid"`` and ``"exp"``.
    solver : str
        Also ``"adamw"`` (`alpha` is the decay of the weights per unit of the learning rate), ``"nadam"``, ``"rmsprop"``
        (with `beta_2`) and ``"rprop"`` (on all samples at once, unless `batch_size` says otherwise); and ``"lm"``,
        Levenberg-Marquardt, for some thousand weights at most (see `fastbp.train`; `max_iter` steps, until ten lower
        the loss by less than the share `tol`).
    learning_rate : str
        Also ``"cosine"`` and ``"one_cycle"``, for every solver but lbfgs and lm, over the batches of `max_iter` epochs.
    warmup : float, default=0
        Epochs in which the learning rate rises from 0 in equal steps.
    dropout : float or sequence of one per hidden layer, default=0
        Probability with which a unit is left out of a sample's pass in training.
    clip_norm : float, default=None
        Greatest norm of the gradient of a batch's loss; a longer one is shortened, its direction kept.
    scoring : str or callable, default=None
        What early stopping monitors: ``"loss"``, a scorer of scikit-learn by name, or ``scorer(estimator, X, y)``; by
        default accuracy or R^2, as in scikit-learn.
    callback : callable, default=None
        Called with a `fastbp.Epoch` after each epoch; returns True to stop.
    loss : str or pair of functions
        Also ``"absolute_error"``, ``"huber"``, ``"log_cosh"`` and ``"quantile"``; a custom loss is J(y, yhat) and
        dJ/dyhat(y, yhat) of one output and its target (see `fastbp.train`).
    quantile : float or increasing sequence of float, default=0.5
        Level of ``"quantile"``; of several levels `predict` returns a column each, target after target, and the score
        is that of the level nearest to 1/2.
    huber_delta : float, default=1.0
        The error at which ``"huber"`` turns from a square into a line.

    Attributes
    ----------
    All those of scikit-learn's
        And one more:
    validation_loss_curve_ : list of float
        Validation loss after each epoch, without the penalty; with `early_stopping`.

    Notes
    -----
    `partial_fit` works with `early_stopping`, as that of `MLPClassifier` does.
    """

    _parameter_constraints: ClassVar[dict[str, Any]] = {
        **reference.MLPRegressor._parameter_constraints,
        **_CONSTRAINTS,
        "loss": [StrOptions(set(losses.REGRESSION)), tuple, list],
        "quantile": [Interval(Real, 0, 1, closed="neither"), "array-like"],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
    }

    @checks.suggesting
    def __init__(  # noqa: PLR0913
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: Any = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: int = 10,
        max_fun: int = 15000,
        quantile: Any = losses.LEVEL,
        huber_delta: float = losses.DELTA,
        dropout: Any = 0,
        clip_norm: float | None = None,
        warmup: float = 0,
        scoring: Any = None,
        callback: Any = None,
    ) -> None:
        super().__init__(
            loss,
            hidden_layer_sizes,
            activation,
            solver=solver,
            alpha=alpha,
            batch_size=batch_size,
            learning_rate=learning_rate,
            learning_rate_init=learning_rate_init,
            power_t=power_t,
            max_iter=max_iter,
            shuffle=shuffle,
            random_state=random_state,
            tol=tol,
            verbose=verbose,
            warm_start=warm_start,
            momentum=momentum,
            nesterovs_momentum=nesterovs_momentum,
            early_stopping=early_stopping,
            validation_fraction=validation_fraction,
            beta_1=beta_1,
            beta_2=beta_2,
            epsilon=epsilon,
            n_iter_no_change=n_iter_no_change,
            max_fun=max_fun,
        )
        self.quantile = quantile
        self.huber_delta = huber_delta
        self.dropout = dropout
        self.clip_norm = clip_norm
        self.warmup = warmup
        self.scoring = scoring
        self.callback = callback

    def _loss_parameter(self) -> tuple[float, ...]:
        return losses.parameters(self._loss_name(), self.quantile, self.huber_delta)

    def _validate_input(self, X: Any, y: Any, incremental: bool, reset: bool) -> tuple[Any, Array]:
        X, y = super()._validate_input(X, y, incremental, reset)
        if self.loss == "poisson" and y.min() < 0:
            raise ValueError(f"y: expected numbers of at least 0 for the loss 'poisson', got {y.min():g}")
        levels = len(self._loss_parameter())
        return X, np.repeat(y.reshape(len(y), -1), levels, axis=1) if levels > 1 else y

    def _middle(self, predicted: Array) -> Array:
        """Of several quantiles, the one nearest to the median."""
        levels = np.array(self._loss_parameter())
        return predicted if len(levels) < 2 else predicted[:, int(np.argmin(np.abs(levels - 0.5))) :: len(levels)]

    def _score(self, X: Any, y: Array, sample_weight: Array | None = None) -> float:
        if self.scoring is not None or len(self._loss_parameter()) < 2:
            return float(super()._score(X, y, sample_weight))
        predicted = self._middle(self._predict(X, check_input=False))
        return float(r2_score(self._middle(y), predicted, sample_weight=sample_weight))

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """
        R^2 of the prediction; of several quantiles, of the one whose level is nearest to 1/2.

        Parameters
        ----------
        X : array-like or sparse matrix, shape (n, features)
        y : array-like, shape (n,) or (n, targets)
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        float
        """
        return float(r2_score(y, self._middle(self.predict(X)), sample_weight=sample_weight))

    def initialize(self, n_features: int, n_outputs: int = 1, *, dtype: Any = np.float64) -> MLPRegressor:
        """
        Draw the weights without any data: you can predict with them, or continue by `partial_fit` or a warm start.

        Parameters
        ----------
        n_features, n_outputs : int
        dtype : float64 or float32

        Returns
        -------
        self
        """
        targets = checks.integer("n_outputs", n_outputs, 1)
        _initialize(self, n_features, targets * max(1, len(self._loss_parameter())), dtype)
        return self


def _initialize(model: Any, n_features: int, outputs: int, dtype: Any) -> None:
    """Draw the first weights of a network with `n_features` inputs."""
    model._validate_params()
    model.n_features_in_ = checks.integer("n_features", n_features, 1)
    model._random_state = check_random_state(model.random_state)
    model._initialize(np.zeros((1, outputs)), [n_features, *model._hidden_units(), outputs], np.dtype(dtype))
