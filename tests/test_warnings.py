"""Warnings of many networks, given once and at your own line; errors about unknown options."""

import warnings

import numpy as np
import pandas as pd
import pytest

import fastbp

N = 60
RANDOM = np.random.default_rng(0)
FRAME = pd.DataFrame({"x": RANDOM.normal(size=N), "name": [f"person {k}" for k in range(N)]})
FRAME["y"] = np.where(FRAME["x"] > 0, "yes", "no")
OPTIONS = {"hidden": (8,), "epochs": 2, "threads": 2}
MEANT = {
    "learning_rat": "learning_rate",
    "Hidden": "hidden",
    "hidden_layer_sizes": "hidden",
    "lr": "learning_rate",
    "alpha": "l2",
    "max_iter": "epochs",
    "random_state": "seed",
    "n_jobs": "threads",
    "verbose": "progress",
    "solver": "optimizer",
    "validation_split": "validation",
    "sample_weights": "sample_weight",
}
CALLS = {
    "cross_validate": lambda: fastbp.cross_validate(FRAME, "y", seed=1, **OPTIONS),
    "search": lambda: fastbp.search(FRAME, "y", {"learning_rate": [0.01, 0.001]}, 2, seed=1, **OPTIONS),
    "search for a quality": lambda: fastbp.search(FRAME, "y", {"l2": [0.0, 0.1]}, 2, seed=1, quality="fast", **OPTIONS),
    "ensemble": lambda: fastbp.ensemble(FRAME, "y", 3, seed=1, **OPTIONS),
    "train_many": lambda: fastbp.train_many(FRAME, "y", [{"seed": k} for k in range(3)], **OPTIONS),
    "train": lambda: fastbp.train(FRAME, "y", seed=1, **OPTIONS),
    "train, several networks": lambda: fastbp.train(FRAME, "y", seed=1, quality="default", **OPTIONS),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_column_left_out_is_warned_of_once(call):
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        call()
    assert [str(one.message)[:17] for one in warned] == ["left out: 'name' "]
    assert warned[0].filename == __file__  # the line that calls fastbp


def test_networks_that_diverge_are_counted_in_one_warning():
    X = RANDOM.normal(size=(100, 3))
    options = {"optimizer": "sgd", "learning_rate": 3.0, "hidden": (8,), "epochs": 40, "scale": False, "batch_size": 50}
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        nets = fastbp.train_many(X, X[:, 0], [{"seed": k} for k in range(4)], **options)
    assert {net.stop_reason for net in nets} == {"diverged"}
    assert len(warned) == 1
    assert issubclass(warned[0].category, fastbp.DivergenceWarning)
    assert str(warned[0].message).endswith("(3 more networks: the same)")


def test_a_warning_that_is_an_error_ends_the_call():
    warnings.simplefilter("error")  # pytest restores the filters
    with pytest.raises(fastbp.TableWarning, match="left out: 'name'"):
        fastbp.cross_validate(FRAME, "y", seed=1, **OPTIONS)


@pytest.mark.parametrize(("name", "meant"), MEANT.items())
def test_an_unknown_option_names_the_nearest_valid_one(name, meant):
    message = rf"train\(\) got an unexpected keyword argument '{name}'; did you mean '{meant}'\?$"
    with pytest.raises(TypeError, match=message):
        fastbp.train([[0.0], [1.0]], [0.0, 1.0], **{name: 1})
    for several in (fastbp.ensemble, fastbp.cross_validate):
        if meant not in ("threads", "progress", "seed"):
            with pytest.raises(ValueError, match=rf"got '{name}'; did you mean '{meant}'\?$"):
                several([[0.0], [1.0]], [0.0, 1.0], **{name: 1})


def test_calls_with_options_of_their_own_name_these_too():
    calls = {"fold": fastbp.cross_validate, "bootstraps": fastbp.ensemble, "engin": fastbp.ensemble}
    for name, call in calls.items():
        with pytest.raises(ValueError, match=rf"got '{name}'; did you mean '(folds|bootstrap|engine)'\?$"):
            call([[0.0], [1.0]], [0.0, 1.0], **{name: 1})


def test_estimators_name_the_nearest_one():
    estimators = pytest.importorskip("fastbp.sklearn")
    with pytest.raises(
        TypeError, match=r"MLPClassifier.__init__\(\) got .* 'hidden_layers'; did you mean 'hidden_layer_sizes'\?$"
    ):
        estimators.MLPClassifier(hidden_layers=(3,))
    assert estimators.MLPRegressor(alpha=0.5).get_params()["alpha"] == 0.5


def test_an_unknown_option_like_no_other_names_none():
    with pytest.raises(TypeError, match=r"got an unexpected keyword argument 'qqq'$"):
        fastbp.train([[0.0], [1.0]], [0.0, 1.0], qqq=1)
