"""What the estimators add to scikit-learn's, against its tools, finite differences, or an equivalent call."""

import pickle
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
from numba import njit
from scipy.sparse import csr_matrix
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, log_loss, roc_auc_score
from sklearn.model_selection import cross_val_score, train_test_split
from sklearn.neural_network import MLPClassifier as Reference
from sklearn.neural_network import MLPRegressor as ReferenceRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from fastbp import options
from fastbp.sklearn import MLPClassifier, MLPRegressor

DIGITS, NUMBERS = load_digits(return_X_y=True)
DIGITS, NUMBERS = DIGITS[:400] / 16, NUMBERS[:400]
EVEN = NUMBERS % 2
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
X, Y = DIABETES[:150], PROGRESS[:150] / 100
WEIGHT = np.random.default_rng(0).uniform(0.1, 2, 400)
SMALL = {"hidden_layer_sizes": (10,), "max_iter": 8, "random_state": 0}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def weights(model):
    return np.concatenate([part.ravel() for part in [*model.coefs_, *model.intercepts_]])


def assert_same(one, other):
    np.testing.assert_allclose(weights(one), weights(other), rtol=1e-9, atol=1e-12)


@njit
def logarithmic(y, p):
    return -np.log(p) if y > 0.5 else -np.log(1 - p)


@njit
def logarithmic_slope(y, p):
    return -1 / p if y > 0.5 else 1 / (1 - p)


@njit
def fair(y, a):
    return abs(a - y) - np.log(1 + abs(a - y))


@njit
def fair_slope(y, a):
    return (a - y) / (1 + abs(a - y))


# Losses and activations: the gradient that solvers are given, by finite differences


@pytest.mark.parametrize(
    "given",
    [
        *({"activation": ["tanh", name]} for name in options.ELEMENTWISE),
        {"loss": "huber", "huber_delta": 0.4, "activation": "tanh"},
        {"loss": "log_cosh", "activation": "tanh"},
        {"loss": "poisson", "activation": "tanh"},
        {"loss": "absolute_error", "activation": "tanh"},
        {"loss": "quantile", "quantile": [0.2, 0.5, 0.7], "activation": "tanh"},
        {"loss": (fair, fair_slope), "activation": "tanh"},
    ],
    ids=lambda given: (
        str(given) if "loss" not in given else str(given["loss"]) if isinstance(given["loss"], str) else "own"
    ),
)
def test_the_slope_of_the_loss(given):
    # far from every kink: one step of gradient descent from random weights
    model = MLPRegressor(
        **{"activation": "tanh", "solver": "sgd", "momentum": 0, "batch_size": 150, "alpha": 0.1} | given
    )
    model.set_params(hidden_layer_sizes=(4, 3), random_state=1, max_iter=1, shuffle=False, learning_rate_init=1e-4)
    before = clone(model).initialize(10)
    start = weights(before)
    after = clone(model).set_params(warm_start=True)
    vars(after).update(vars(clone(model).initialize(10)) | {"warm_start": True})
    after.fit(X, Y)

    def loss(flat):
        at = 0
        for parts in (before.coefs_, before.intercepts_):
            for part in parts:
                part[...] = flat[at : at + part.size].reshape(part.shape)
                at += part.size
        y, a = np.repeat(Y[:, None], before.n_outputs_, axis=1), before.predict(X).reshape(150, -1)
        e, levels = a - y, np.array(given.get("quantile", 0.5))
        name = given.get("loss", "squared_error")
        each = {
            "squared_error": lambda: e**2 / 2,
            "huber": lambda: np.where(abs(e) <= 0.4, e**2 / 2, 0.4 * (abs(e) - 0.2)),
            "log_cosh": lambda: np.log(np.cosh(e)),
            "poisson": lambda: y * np.log(np.where(y > 0, y, 1) / a) - y + a,
            "absolute_error": lambda: abs(e),
            "quantile": lambda: np.maximum(-levels * e, (1 - levels) * e),
        }.get(name, lambda: abs(e) - np.log1p(abs(e)))()
        return each.sum(axis=1).mean() + 0.05 / 150 * sum((W**2).sum() for W in before.coefs_)

    wanted = np.empty_like(start)
    for k in range(start.size):
        up, down = start.copy(), start.copy()
        up[k] += 1e-6
        down[k] -= 1e-6
        wanted[k] = (loss(up) - loss(down)) / 2e-6
    np.testing.assert_allclose((start - weights(after)) / 1e-4, wanted, atol=2e-6)
    outputs = 1 if given.get("loss") == "poisson" else before.n_outputs_
    penalty = 0.05 / 150 * sum((W**2).sum() for W in clone(model).initialize(10).coefs_)
    assert after.loss_ - penalty == pytest.approx((loss(start) - penalty) / outputs, rel=1e-9)


def test_a_custom_loss_is_log_loss():
    for y in (EVEN, make_multilabel_classification(400, random_state=0)[1]):
        for more in ({}, {"batch_size": 16}, {"solver": "lbfgs"}):
            ours = MLPClassifier(**SMALL, loss=(logarithmic, logarithmic_slope), **more).fit(DIGITS, y, WEIGHT)
            built = MLPClassifier(**SMALL, **more).fit(DIGITS, y, WEIGHT)
            np.testing.assert_allclose(weights(ours), weights(built), rtol=1e-6, atol=1e-8)
    again = pickle.loads(pickle.dumps(ours))
    np.testing.assert_array_equal(again.predict(DIGITS), ours.predict(DIGITS))
    assert clone(ours).fit(DIGITS, y).loss_ > 0


def test_a_wrong_loss_is_refused_and_one_that_is_no_number_stops():
    with pytest.raises(ValueError, match=r"loss: the derivative disagrees with finite differences at y="):
        MLPRegressor(loss=(fair, lambda y, a: a - y)).fit(X, Y)
    y = np.arange(150) / 50
    undefined = njit(lambda y, a: (a - y) ** 2 / 2 if abs(y - 2.5) > 1e-6 else np.nan)
    with pytest.raises(
        ValueError, match="loss: expected finite numbers, the custom loss gave others in epoch 1, batch 7"
    ):
        MLPRegressor(loss=(undefined, njit(lambda y, a: a - y)), shuffle=False, batch_size=20, activation="tanh").fit(
            X, y
        )
    with pytest.raises(
        ValueError, match="loss: expected finite numbers, the custom loss gave NaN under solver='lbfgs'"
    ):
        MLPRegressor(loss=(undefined, njit(lambda y, a: a - y)), solver="lbfgs").fit(X, y)


# Weights of classes and of samples


@pytest.mark.parametrize("early", [False, True])
def test_class_weights_are_sample_weights(early):
    more = SMALL | {"early_stopping": early}
    chosen = {k: 1.0 + k for k in range(10)}
    ours = MLPClassifier(**more, class_weight=chosen).fit(DIGITS, NUMBERS, WEIGHT)
    assert_same(ours, Reference(**more).fit(DIGITS, NUMBERS, sample_weight=WEIGHT * (1 + NUMBERS)))
    balanced = MLPClassifier(**more, class_weight="balanced").fit(DIGITS, NUMBERS)
    counts = np.bincount(NUMBERS)
    assert_same(balanced, Reference(**more).fit(DIGITS, NUMBERS, sample_weight=400 / (10 * counts[NUMBERS])))
    with pytest.raises(ValueError, match="class_weight: expected weights by class in partial_fit"):
        MLPClassifier(class_weight="balanced").partial_fit(DIGITS, NUMBERS, classes=np.arange(10))


def test_early_stopping_weights_its_samples_and_records_their_loss():
    model = MLPClassifier(**SMALL, early_stopping=True).fit(DIGITS, NUMBERS, WEIGHT)
    random = np.random.RandomState(0)
    for shape in ((64, 10), 10, (10, 10), 10):  # the initial weights are drawn before the samples
        random.uniform(size=shape)
    _, held, _, y, _, weight = train_test_split(DIGITS, NUMBERS, WEIGHT, random_state=random, test_size=0.1)
    best = int(np.argmax(model.validation_scores_))
    assert accuracy_score(y, model.predict(held), sample_weight=weight) == pytest.approx(model.validation_scores_[best])
    wanted = log_loss(y, model.predict_proba(held), sample_weight=weight, labels=np.arange(10))
    assert model.validation_loss_curve_[best] == pytest.approx(wanted, rel=1e-9)
    assert len(model.validation_loss_curve_) == len(model.validation_scores_) == model.n_iter_


def test_what_stops_can_be_chosen():
    more = SMALL | {"early_stopping": True, "max_iter": 60, "n_iter_no_change": 3, "tol": 0, "learning_rate_init": 0.05}
    by_loss = MLPClassifier(**more, scoring="loss").fit(DIGITS, EVEN)
    np.testing.assert_allclose(by_loss.validation_scores_, -np.array(by_loss.validation_loss_curve_))
    assert by_loss.best_validation_score_ == -min(by_loss.validation_loss_curve_)
    seen = []

    def auc(estimator, held, y, sample_weight=None):
        seen.append(roc_auc_score(y, estimator.predict_proba(held)[:, 1], sample_weight=sample_weight))
        return seen[-1]

    frame = pd.DataFrame(DIGITS, columns=[f"pixel{k}" for k in range(64)])
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        warnings.simplefilter("ignore", ConvergenceWarning)
        own, named = (MLPClassifier(**more, scoring=scoring).fit(frame, EVEN, WEIGHT) for scoring in (auc, "roc_auc"))
    np.testing.assert_allclose(own.validation_scores_, seen)
    np.testing.assert_allclose(named.validation_scores_, seen)
    assert own.n_iter_ < 60
    assert list(own.feature_names_in_) == list(frame.columns)


def test_callbacks():
    seen = []
    model = MLPClassifier(
        **SMALL | {"max_iter": 50}, callback=lambda epoch: seen.append(epoch) or epoch.epoch == 5
    ).fit(DIGITS, NUMBERS)
    assert [epoch.epoch for epoch in seen] == [1, 2, 3, 4, 5]
    assert [epoch.loss for epoch in seen] == model.loss_curve_
    assert seen[-1].accuracy > seen[0].accuracy
    assert seen[-1].validation_loss is None
    with pytest.raises(ValueError, match="read-only"):
        seen[0].params[0] = 0


# Dropout, rules, rates


@pytest.mark.parametrize("solver", ["adamw", "nadam", "rmsprop", "rprop"])
def test_further_solvers_learn_and_continue(solver):
    more = {"solver": solver, "learning_rate_init": 0.01, "hidden_layer_sizes": (20,), "random_state": 0, "tol": 0}
    model = MLPClassifier(**more, max_iter=60).fit(DIGITS, NUMBERS)
    assert model.score(DIGITS, NUMBERS) > 0.97
    steps = MLPClassifier(**more, shuffle=False)
    for _ in range(3):
        steps.partial_fit(DIGITS, NUMBERS, classes=np.arange(10))
        steps = pickle.loads(pickle.dumps(steps))
        earlier = pickle.dumps(steps, 2).replace(b"learning\nOptimizerState\n", b"learning\nRule\n")
        assert b"Rule" in earlier
        steps = pickle.loads(earlier)
    assert_same(steps, MLPClassifier(**more, shuffle=False, max_iter=3).fit(DIGITS, NUMBERS))


def test_the_decay_of_adamw():
    # without gradients, every step shrinks the weights by the same factor
    model = MLPRegressor(
        solver="adamw", alpha=0.1, learning_rate_init=0.5, max_iter=3, hidden_layer_sizes=(3,), tol=0, random_state=0
    )
    start = model.initialize(2).coefs_[0].copy()
    model.set_params(warm_start=True, shuffle=False).fit(np.zeros((4, 2)), np.zeros(4))
    np.testing.assert_allclose(model.coefs_[0], start * 0.95**3, rtol=1e-12)


def test_dropout_schedules_and_clipping():
    plain = MLPClassifier(**SMALL).fit(DIGITS, NUMBERS)
    rates = {"learning_rate": "cosine"}, {"learning_rate": "one_cycle"}, {"warmup": 3}
    for more in ({"dropout": 0.3}, {"clip_norm": 0.1}, *rates):
        one, other = (MLPClassifier(**SMALL, **more).fit(DIGITS, NUMBERS) for _ in range(2))
        np.testing.assert_array_equal(weights(one), weights(other))
        assert abs(weights(one) - weights(plain)).max() > 1e-4
        assert one.loss_curve_[-1] < one.loss_curve_[0]
        sparse = MLPClassifier(**SMALL, **more).fit(csr_matrix(DIGITS), NUMBERS)
        assert_same(sparse, one)
    regularised = MLPClassifier(**SMALL | {"max_iter": 200}, dropout=[0.2]).fit(DIGITS, NUMBERS)
    assert regularised.score(DIGITS, NUMBERS) > 0.95


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dropout": 1.0}, "dropout"),
        ({"dropout": [0.1, 0.2]}, "dropout: expected one probability"),
        ({"clip_norm": 0}, "clip_norm"),
        (
            {"activation": ["relu", "relu"]},
            "activation: expected one name, or one for each of the 1 hidden layers, got 2",
        ),
        ({"activation": ["softmax"]}, "activation: expected one of"),
        ({"scoring": "acuracy"}, "scoring"),
        ({"callback": 3}, "callback"),
        ({"class_weight": "even"}, "class_weight"),
        ({"loss": "hinge"}, "loss"),
        ({"loss": (fair,)}, "loss: expected a name, or a pair of functions"),
        ({"solver": "lbfgs", "dropout": 0.1}, "dropout: expected 0 with solver='lbfgs'"),
        ({"solver": "lbfgs", "clip_norm": 1.0}, "clip_norm: expected None with solver='lbfgs'"),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**SMALL | given).fit(DIGITS, EVEN)


def test_outputs_of_layers_and_gradients_by_the_inputs():
    model = MLPClassifier(**SMALL, activation=["silu"]).fit(DIGITS, NUMBERS)
    inputs, hidden, outputs = model.activations(DIGITS[:5])
    z = inputs @ model.coefs_[0] + model.intercepts_[0]
    np.testing.assert_allclose(hidden, z / (1 + np.exp(-z)), rtol=1e-12)
    np.testing.assert_allclose(outputs, model.predict_proba(DIGITS[:5]), rtol=1e-12)
    up, down = (DIGITS[:5] + h * np.eye(64)[20] for h in (1e-6, -1e-6))
    wanted = (model.predict_proba(up) - model.predict_proba(down)) / 2e-6
    np.testing.assert_allclose(model.input_gradient(DIGITS[:5])[:, :, 20], wanted, atol=1e-8)


# Without fitting, and bit by bit


def test_a_network_without_fitting():
    model = MLPClassifier(hidden_layer_sizes=(5,), random_state=0).initialize(64, ["odd", "even"])
    proba = model.predict_proba(DIGITS)
    hidden = np.maximum(DIGITS @ model.coefs_[0] + model.intercepts_[0], 0)
    np.testing.assert_allclose(
        proba[:, 1], 1 / (1 + np.exp(-(hidden @ model.coefs_[1] + model.intercepts_[1])[:, 0])), rtol=1e-12
    )
    assert set(model.predict(DIGITS)) <= {"odd", "even"}
    model.partial_fit(DIGITS, np.where(EVEN, "odd", "even"))
    assert abs(model.predict_proba(DIGITS) - proba).max() > 0
    several = MLPClassifier(random_state=0).initialize(64, range(4), multilabel=True)
    assert several.predict(DIGITS).shape == (400, 4)
    assert MLPClassifier().initialize(64, range(10), dtype=np.float32).coefs_[0].dtype == np.float32
    regressor = MLPRegressor(loss="quantile", quantile=[0.1, 0.9], random_state=0).initialize(10, 2)
    assert regressor.predict(X).shape == (150, 4)
    for call in (lambda: MLPClassifier().initialize(3, [1]), lambda: MLPRegressor().initialize(0)):
        with pytest.raises(ValueError, match="expected"):
            call()


def test_several_quantiles():
    model = MLPRegressor(
        loss="quantile", quantile=[0.1, 0.5, 0.9], random_state=0, max_iter=300, learning_rate="cosine", solver="adamw"
    )
    model.set_params(learning_rate_init=0.01, tol=0, n_iter_no_change=300).fit(X, Y)
    np.testing.assert_allclose((Y[:, None] < model.predict(X)).mean(axis=0), [0.1, 0.5, 0.9], atol=0.04)
    residual = ((Y - model.predict(X)[:, 1]) ** 2).sum()
    assert model.score(X, Y) == pytest.approx(1 - residual / ((Y - Y.mean()) ** 2).sum())
    stopped = MLPRegressor(loss="quantile", quantile=[0.1, 0.9], early_stopping=True, random_state=0, max_iter=5).fit(
        X, Y
    )
    assert len(stopped.validation_scores_) == 5


def test_partial_fit_of_several_labels():
    points, labels = make_multilabel_classification(200, random_state=0)
    more = {"random_state": 0, "shuffle": False, "hidden_layer_sizes": (8,), "tol": 0}
    model = MLPClassifier(**more)
    for _ in range(4):
        model.partial_fit(points, labels, classes=np.arange(5))
    assert_same(model, MLPClassifier(**more, max_iter=4).fit(points, labels))
    model.partial_fit(points[:3], labels[:3])  # some labels are missing
    assert model.predict(points).shape == labels.shape


def test_partial_fit_with_early_stopping():
    more = {"early_stopping": True, "n_iter_no_change": 3, "learning_rate_init": 0.05}
    model = MLPClassifier(hidden_layer_sizes=(8,), random_state=0, **more)
    calls, with_warning = 0, 0
    while not with_warning and calls < 200:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            before = weights(model) if calls else None
            model.partial_fit(DIGITS, NUMBERS, classes=np.arange(10))
        with_warning = sum("partial_fit has stopped early" in str(w.message) for w in caught)
        calls += 1
    assert 4 < calls < 200
    assert len(model.validation_scores_) == calls - 1  # the last call only warns
    np.testing.assert_array_equal(weights(model), before)
    scores = model.validation_scores_
    assert model.best_validation_score_ == max(scores) > scores[0]
    # every call set the same samples aside: the best weights give the best score on them
    training, held = model._split(DIGITS, model._label_binarizer.transform(NUMBERS), None, True)
    assert accuracy_score(held[3], model.predict(held[0])) == max(scores)
    assert len(training[0]) == 360


# Together with scikit-learn's other tools


@pytest.mark.thorough
def test_with_scikit_learns_other_tools(tmp_path):
    model = MLPClassifier(**SMALL, class_weight="balanced", activation=["gelu"])
    assert cross_val_score(clone(model).set_params(max_iter=80), DIGITS, EVEN, cv=3).mean() > 0.8
    assert CalibratedClassifierCV(model, cv=2).fit(DIGITS, NUMBERS, sample_weight=WEIGHT).predict_proba(
        DIGITS
    ).shape == (400, 10)
    bags = BaggingClassifier(clone(model).set_params(max_iter=80), n_estimators=2, n_jobs=2, random_state=0).fit(
        DIGITS, NUMBERS
    )
    assert bags.score(DIGITS, NUMBERS) > 0.8
    joblib.dump(model.fit(DIGITS, NUMBERS), tmp_path / "model.joblib")
    np.testing.assert_array_equal(joblib.load(tmp_path / "model.joblib").predict(DIGITS), model.predict(DIGITS))
    for frame, output in ((pd.DataFrame, "pandas"), (pl.DataFrame, "polars")):
        table = frame({f"pixel{k}": DIGITS[:, k] for k in range(64)})
        columns = ColumnTransformer(
            [("scaled", StandardScaler(), [f"pixel{k}" for k in range(10, 30)])], remainder="passthrough"
        )
        pipeline = make_pipeline(
            columns.set_output(transform=output), FunctionTransformer(), MLPClassifier(**SMALL)
        ).fit(table, NUMBERS)
        assert pipeline.predict(table).shape == (400,)
        assert len(pipeline[-1].feature_names_in_) == 64


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # overflows of scikit-learn's
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", ["regressor", "classifier"])
def test_divergence_with_early_stopping_ends_as_in_scikit_learn(kind, dtype):
    pair = (ReferenceRegressor, MLPRegressor) if kind == "regressor" else (Reference, MLPClassifier)
    y, rate = (Y, 1e6) if kind == "regressor" else ((Y > 1.5) + (Y > 2.0).astype(int), 1e25)
    options = {"solver": "sgd", "learning_rate_init": rate, "max_iter": 9, "random_state": 0, "early_stopping": True}
    theirs, ours = (one(activation="identity", **options).fit(X.astype(dtype), y) for one in pair)
    assert np.isnan(ours.loss_curve_[-1])
    assert ours.n_iter_ == theirs.n_iter_ == 9
    np.testing.assert_allclose(ours.validation_scores_, theirs.validation_scores_, rtol=1e-3)
    np.testing.assert_allclose(ours.best_validation_score_, theirs.best_validation_score_, rtol=1e-3)
    np.testing.assert_allclose(ours.predict(X[:5].astype(dtype)), theirs.predict(X[:5].astype(dtype)), rtol=1e-2)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_divergence_without_early_stopping_is_an_error_as_in_scikit_learn():
    options = {"solver": "sgd", "learning_rate_init": 1e12, "max_iter": 6, "random_state": 0}
    for one in (ReferenceRegressor, MLPRegressor):
        with pytest.raises(ValueError, match="non-finite parameter weights"):
            one(**options).fit(X, Y)
