"""scikit-learn's estimators on our kernels: the same weights, attributes, messages and errors as the original ones."""

import inspect
import pickle
import re
import warnings

import numpy as np
import pytest
import sklearn.neural_network as reference
from scipy.sparse import csc_matrix, csr_matrix
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

import fastbp
from fastbp.sklearn import MLPClassifier, MLPRegressor

DIGITS, NUMBERS = load_digits(return_X_y=True)
DIGITS, NUMBERS = DIGITS[:400] / 16, NUMBERS[:400]
DIABETES, PROGRESS = load_diabetes(return_X_y=True)
WEIGHT = np.random.default_rng(0).uniform(0.1, 2, 442)
BOTH = {MLPClassifier: reference.MLPClassifier, MLPRegressor: reference.MLPRegressor}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learns_checks_of_estimators(estimator, check):
    check(estimator)


@pytest.mark.parametrize("cls", BOTH)
def test_every_parameter_attribute_and_method(cls):
    ours, theirs = (inspect.signature(one.__init__).parameters for one in (cls, BOTH[cls]))
    assert {name: ours[name].default for name in theirs} == {name: p.default for name, p in theirs.items()}
    X, y = (DIGITS, NUMBERS) if cls is MLPClassifier else (DIABETES, PROGRESS)
    fitted = [one(max_iter=2, early_stopping=True).fit(X, y) for one in (cls, BOTH[cls])]
    ours, theirs = ({name for name in dir(model) if not name.startswith("_")} for model in fitted)
    assert theirs <= ours


def weights(model):
    return np.concatenate([part.ravel() for part in [*model.coefs_, *model.intercepts_]])


def both(cls, X, y, sample_weight=None, **options):
    """Our estimator and scikit-learn's, fitted in the same way."""
    options = {"hidden_layer_sizes": (12, 7), "max_iter": 5, "random_state": 0} | options
    return [one(**options).fit(X, y, sample_weight=sample_weight) for one in (cls, BOTH[cls])]


def assert_alike(ours, theirs, X, rtol=1e-9):
    found, wanted = weights(ours), weights(theirs)
    np.testing.assert_allclose(found, wanted, rtol=rtol, atol=rtol * np.abs(wanted).max())
    np.testing.assert_allclose(ours.predict(X), theirs.predict(X), rtol=rtol, atol=rtol)
    assert (ours.n_iter_, ours.t_, ours.n_layers_, ours.out_activation_) == (
        theirs.n_iter_,
        theirs.t_,
        theirs.n_layers_,
        theirs.out_activation_,
    )
    assert ours.loss_ == pytest.approx(theirs.loss_, rel=rtol)
    for name in ("loss_curve_", "validation_scores_", "best_loss_", "best_validation_score_"):
        assert hasattr(ours, name) == hasattr(theirs, name)
        value = getattr(theirs, name, None)
        if value is None:
            assert getattr(ours, name, None) is None
        else:
            np.testing.assert_allclose(getattr(ours, name), value, rtol=rtol)
    assert {k for k in vars(ours) if k.endswith("_")} - {"validation_loss_curve_"} == {
        k for k in vars(theirs) if k.endswith("_")
    }


OPTIONS = {
    "adam": {},
    "sgd": {"solver": "sgd", "momentum": 0, "learning_rate_init": 0.1},
    "momentum": {"solver": "sgd", "nesterovs_momentum": False},
    "nesterov": {"solver": "sgd"},
    "lbfgs": {"solver": "lbfgs"},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.5},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.1, "max_iter": 40},
    "tanh, small batches": {"activation": "tanh", "batch_size": 32},
    "logistic, a large penalty": {"activation": "logistic", "batch_size": 7, "alpha": 1.0},
    "in order": {"activation": "identity", "shuffle": False, "batch_size": 150},
    "early stopping": {"early_stopping": True, "max_iter": 25},
    "converged": {"tol": 0.1, "max_iter": 60, "n_iter_no_change": 3, "batch_size": 20},
    "one number": {"hidden_layer_sizes": 9, "batch_size": 1000},
}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.filterwarnings("ignore:Got `batch_size`")
def test_the_same_weights_as_scikit_learn(name, weighted):
    sample_weight = WEIGHT[:400] if weighted else None
    assert_alike(*both(MLPClassifier, DIGITS, NUMBERS, sample_weight, **OPTIONS[name]), DIGITS)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_the_same_regression(solver, outputs):
    y = np.column_stack([PROGRESS / 100, PROGRESS**2 / 1e4])[:, :outputs]
    assert_alike(*both(MLPRegressor, DIABETES, y[:, 0] if outputs == 1 else y, WEIGHT, solver=solver), DIABETES)


def test_the_same_on_two_classes_and_on_many_labels():
    assert_alike(*both(MLPClassifier, DIGITS, NUMBERS > 4), DIGITS)
    ours, theirs = both(MLPClassifier, *make_multilabel_classification(random_state=0))
    np.testing.assert_allclose(weights(ours), weights(theirs), rtol=1e-9)
    X = make_multilabel_classification(random_state=0)[0]
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X), rtol=1e-9)


@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("form", [csr_matrix, csc_matrix])
def test_the_same_on_sparse_matrices(form, solver):
    X = form(DIGITS)
    ours, theirs = both(MLPClassifier, X, NUMBERS, WEIGHT[:400], solver=solver, early_stopping=solver == "adam")
    assert_alike(ours, theirs, X)
    assert_alike(*both(MLPClassifier, X, NUMBERS > 4, alpha=0, momentum=0, solver=solver), X)
    np.testing.assert_allclose(ours.predict_proba(DIGITS), theirs.predict_proba(DIGITS), rtol=1e-9)


def test_the_same_poisson_regression():
    assert_alike(*both(MLPRegressor, DIABETES, PROGRESS, loss="poisson", learning_rate_init=1e-5), DIABETES)
    assert_alike(*both(MLPRegressor, DIABETES, PROGRESS, loss="poisson", solver="lbfgs"), DIABETES, rtol=1e-6)


def test_float32_stays_float32():
    ours, theirs = both(MLPClassifier, DIGITS.astype(np.float32), NUMBERS)
    assert {W.dtype for W in ours.coefs_ + ours.intercepts_} == {np.dtype(np.float32)}
    assert ours.predict_proba(DIGITS.astype(np.float32)).dtype == np.float32
    np.testing.assert_allclose(weights(ours), weights(theirs), rtol=1e-3, atol=1e-4)
    assert ours.predict_proba(DIGITS).dtype == theirs.predict_proba(DIGITS).dtype == np.float64


def test_partial_fit_and_warm_start_continue_alike():
    ours, theirs = MLPClassifier(random_state=0), reference.MLPClassifier(random_state=0)
    for k in range(4):
        part = slice(100 * k, 100 * k + 100)
        X = csr_matrix(DIGITS[part]) if k == 2 else DIGITS[part]  # from dense to sparse and back
        for model in (ours, theirs):
            model.partial_fit(X, NUMBERS[part], classes=np.arange(10))
    assert_alike(ours, theirs, DIGITS)
    ours, theirs = pickle.loads(pickle.dumps(ours)), pickle.loads(pickle.dumps(theirs))
    for model in (ours, theirs):
        model.partial_fit(DIGITS[:100], NUMBERS[:100])
    assert_alike(ours, theirs, DIGITS)
    for solver in ("adam", "sgd", "lbfgs"):
        ours, theirs = both(MLPRegressor, DIABETES, PROGRESS / 100, solver=solver, warm_start=True)
        assert_alike(ours.fit(DIABETES, PROGRESS / 100), theirs.fit(DIABETES, PROGRESS / 100), DIABETES)


def test_the_same_words(capsys):
    said, warned = [], []
    runs = (
        {"max_iter": 3, "batch_size": 500},
        {"max_iter": 40, "solver": "sgd", "learning_rate": "adaptive", "tol": 0.5, "n_iter_no_change": 1},
        {"max_iter": 50, "early_stopping": True, "tol": 0.5, "n_iter_no_change": 2},
    )
    for model in (MLPClassifier, reference.MLPClassifier):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            for options in runs:
                model(verbose=True, random_state=0, **options).fit(DIGITS, NUMBERS)
        said.append(capsys.readouterr().out)
        warned.append([(w.category, str(w.message)) for w in caught])
    assert said[0] == said[1]
    assert "Setting learning rate" in said[0]
    assert warned[0] == warned[1]
    assert ConvergenceWarning in [category for category, _ in warned[0]]


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ({"activation": "sine"}, {}),
        ({"hidden_layer_sizes": (0,)}, {}),
        ({"solver": "newton"}, {}),
        ({"alpha": -1}, {}),
        ({"early_stopping": True, "validation_fraction": 0.001}, {}),
        ({"learning_rate_init": 1e200, "solver": "sgd"}, {}),
        ({}, {"X": np.full((4, 2), np.nan), "y": [0, 1, 0, 1]}),
        ({}, {"X": np.ones((4, 2)), "y": [0, 1]}),
    ],
)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_the_same_errors(options, fit):
    errors = []
    for model in (MLPClassifier, reference.MLPClassifier):
        with pytest.raises(ValueError) as found:  # noqa: PT011 (the message is compared)
            model(max_iter=5, random_state=0, **options).fit(**{"X": DIGITS, "y": NUMBERS} | fit)
        # except for the lists of allowed values, of which ours are longer
        errors.append((type(found.value), re.sub(r"among \{.*\}( or an array-like)?", "", str(found.value))))
    assert errors[0] == errors[1]


def test_in_scikit_learns_company():
    scores = []
    for model in (reference.MLPClassifier, MLPClassifier):
        pipeline = make_pipeline(StandardScaler(), model(max_iter=20, random_state=0))
        search = GridSearchCV(clone(pipeline), {"mlpclassifier__alpha": [1e-4, 1.0]}, n_jobs=2, cv=3).fit(
            DIGITS, NUMBERS
        )
        scores.append(search.cv_results_["mean_test_score"])
    np.testing.assert_allclose(scores[0], scores[1])
    again = pickle.loads(pickle.dumps(search))
    np.testing.assert_array_equal(again.predict(DIGITS), search.predict(DIGITS))
    assert fastbp.sklearn.MLPClassifier is MLPClassifier
