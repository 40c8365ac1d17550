"""``solver="lm"`` of the estimators: scikit-learn's objective, minimised by Levenberg-Marquardt."""

import contextlib
from unittest import SkipTest

import numpy as np
import pytest
from scipy import sparse
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastbp.sklearn import MLPClassifier, MLPRegressor

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
y = np.tanh(X[:, 0] - X[:, 1]) + 0.05 * rng.normal(size=200)
Y = np.column_stack([y, X[:, 2] ** 2])
PLAN = {"hidden_layer_sizes": (6,), "activation": "tanh", "solver": "lm", "random_state": 0, "max_iter": 3000}


def objective(model, X, y, weight=None):
    """scikit-learn's: half the mean square over samples and outputs, and the penalty."""
    out = model.predict(X).reshape(len(X), -1)
    square = np.average(((out - y.reshape(len(X), -1)) ** 2).mean(axis=1), weights=weight) / 2
    return square + model.alpha / 2 * sum((W**2).sum() for W in model.coefs_) / (
        len(X) if weight is None else weight.sum()
    )


@pytest.mark.parametrize("target", [y, Y], ids=["one", "two"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_it_finds_as_low_a_minimum_as_lbfgs(target, weighted):
    weight = rng.uniform(0.5, 2, 200) if weighted else None
    plan = PLAN | {"alpha": 0.5, "tol": 1e-7}
    damped = MLPRegressor(**plan).fit(X, target, sample_weight=weight)
    other = MLPRegressor(**plan | {"solver": "lbfgs"}).fit(X, target, sample_weight=weight)
    assert damped.loss_ == pytest.approx(objective(damped, X, target, weight), rel=1e-9)
    assert damped.loss_ < 1.02 * objective(other, X, target, weight)
    assert damped.n_iter_ == len(damped.loss_curve_) < 3000
    assert (np.diff(damped.loss_curve_) <= 0).all()


def test_classes():
    data, labels = load_iris(return_X_y=True)
    for own, known in ((data, labels), (data[:100], labels[:100]), (data, np.eye(3, dtype=int)[labels])):
        model = MLPClassifier(**PLAN | {"alpha": 0.1}).fit(own, known)
        assert model.score(own, known) > 0.9


def test_early_stopping_keeps_the_best_weights():
    model = MLPRegressor(**PLAN | {"early_stopping": True, "tol": 0, "hidden_layer_sizes": (40,)}).fit(X, y)
    assert model.n_iter_ < 3000
    assert max(model.validation_scores_) == model.best_validation_score_
    assert len(model.validation_loss_curve_) == model.n_iter_


def test_callback_verbose_and_the_end(capsys):
    seen = []
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        MLPRegressor(**PLAN | {"max_iter": 3, "verbose": True, "callback": seen.append}).fit(X, y)
    assert [epoch.epoch for epoch in seen] == [1, 2, 3]
    assert "Iteration 3, loss = " in capsys.readouterr().out
    stopped = MLPRegressor(**PLAN | {"callback": lambda epoch: epoch.epoch == 2}).fit(X, y)
    assert stopped.n_iter_ == 2
    again = clone(stopped).set_params(callback=None, warm_start=True)
    with pytest.warns(ConvergenceWarning):
        losses = [again.set_params(max_iter=5).fit(X, y).loss_ for _ in range(2)]
    assert losses[1] < losses[0]


def test_what_it_cannot_do():
    for options, message in (
        ({"dropout": 0.1}, "dropout: expected 0 with solver='lm'"),
        ({"clip_norm": 1.0}, "clip_norm: expected None with solver='lm'"),
        ({"batch_size": 10}, "batch_size: expected 'auto', as solver='lm'"),
        ({"loss": (lambda y, a: (a - y) ** 2, lambda y, a: 2 * (a - y))}, "loss: expected one of the names"),
    ):
        with pytest.raises(ValueError, match=message):
            MLPRegressor(**PLAN | options).fit(X, y)
    with pytest.raises(ValueError, match="X: expected a dense array with solver='lm'"):
        MLPRegressor(**PLAN).fit(sparse.csr_array(X), y)
    for kind in (MLPRegressor, MLPClassifier):
        assert not hasattr(kind(**PLAN), "partial_fit")
        assert hasattr(kind(), "partial_fit")


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", [MLPRegressor, MLPClassifier])
def test_scikit_learns_checks(kind):
    for model, check in estimator_checks_generator(kind(solver="lm", max_iter=20)):
        if "sparse" not in check.func.__name__:  # these samples are refused
            with contextlib.suppress(SkipTest):
                check(model)
