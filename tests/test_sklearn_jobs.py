"""The estimators in scikit-learn's searches and validations: the same results for any number of jobs, and no more threads than cores."""

import joblib
import numpy as np
import pytest
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastbp.compilation import thread_count
from fastbp.sklearn import MLPClassifier

X, Y = load_digits(return_X_y=True)
X, Y = X[:300], Y[:300]
MODEL = make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=9, random_state=0))
RATE = "mlpclassifier__learning_rate_init"
SPACE = {RATE: loguniform(1e-4, 1e-1), "mlpclassifier__alpha": [0, 1e-3]}
HALVING = {"factor": 3, "random_state": 0, "cv": 2}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SEARCHES = {
    "grid": GridSearchCV(MODEL, {RATE: [1e-3, 1e-2]}, cv=2),
    "epochs": HalvingRandomSearchCV(
        MODEL, SPACE, resource="mlpclassifier__max_iter", max_resources=9, min_resources=1, **HALVING
    ),
    "samples": HalvingRandomSearchCV(MODEL, SPACE, resource="n_samples", min_resources=60, **HALVING),
}


class Watched(MLPClassifier):
    """Remembers how many threads its passes were given."""

    def _passes(self, *args, **more):
        passes = super()._passes(*args, **more)
        self.threads_ = passes.threads
        return passes


def weights(search):
    mlp = search.best_estimator_[-1]
    return np.concatenate([part.ravel() for part in [*mlp.coefs_, *mlp.intercepts_]])


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_the_same_for_any_number_of_jobs(name):
    one, two = (clone(SEARCHES[name]).set_params(n_jobs=jobs).fit(X, Y) for jobs in (1, 2))
    assert one.cv_results_["params"] == two.cv_results_["params"]
    np.testing.assert_array_equal(one.cv_results_["mean_test_score"], two.cv_results_["mean_test_score"])
    assert weights(one).tobytes() == weights(two).tobytes()
    if name != "grid":
        assert one.n_iterations_ > 1


@pytest.mark.parametrize("backend", ["loky", "threading", pytest.param("multiprocessing", marks=pytest.mark.long)])
def test_a_validation_finds_the_same_for_any_number_of_jobs_of_any_kind(backend):
    alone = cross_val_score(MODEL, X, Y, cv=4)
    for jobs in (1, 2):
        with joblib.parallel_config(backend):
            np.testing.assert_array_equal(cross_val_score(MODEL, X, Y, cv=4, n_jobs=jobs), alone)


def threads_of(jobs):
    found = cross_validate(Watched((8,), max_iter=2), X, Y, cv=2, n_jobs=jobs, return_estimator=True)
    return [model.threads_ for model in found["estimator"]]


def test_jobs_do_not_take_more_threads_than_there_are(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)  # joblib leaves one that is set to its processes
    assert threads_of(1) == [thread_count(None)] * 2
    assert threads_of(2) == [max(1, joblib.cpu_count() // 2)] * 2
    with joblib.parallel_config("threading"):
        assert threads_of(1) == [thread_count(None)] * 2
        assert threads_of(2) == [1, 1]
