"""Scores against formulas written out here, the baseline, and the importance of columns."""

import dataclasses
import warnings

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.report.importance import permutation_importance
from fastbp.report.scores import baseline, scores

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 3))
NOISE = rng.normal(size=200)
TARGETS = {
    "two classes": np.where(X[:, 0] + 0.5 * NOISE > 0.4, "yes", "no"),
    "three classes": np.digitize(X[:, 0] + 0.5 * NOISE, [-0.5, 0.8]),
    "labels": np.stack([X[:, 0] + NOISE > 0, X[:, 1] > 0.7], axis=1),
    "number": X[:, 0] - X[:, 1] ** 2 + 0.3 * NOISE,
    "numbers": np.stack([X[:, 0] + 0.3 * NOISE, 50 * X[:, 1] + NOISE], axis=1),
}
LEVELS = (0.1, 0.4, 0.9)


@pytest.fixture(autouse=True)
def _no_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def trained(name, **options):
    return fastbp.train(X, TARGETS[name], hidden=8, epochs=30, seed=0, **options)


@pytest.fixture(scope="module")
def nets():
    found = {name: trained(name) for name in TARGETS}
    quantiles = {"loss": "quantile", "quantile": LEVELS}
    return found | {"quantiles": trained("number", **quantiles), "quantiles of two": trained("numbers", **quantiles)}


def area(right, proba):
    """The share of pairs of a right and a wrong row in which the right one has the larger number; ties count half."""
    pairs = proba[right][:, None] - proba[~right][None, :]
    return ((pairs > 0) + (pairs == 0) / 2).mean()


def pinball(y, predicted, level):
    return np.where(y > predicted, level * (y - predicted), (1 - level) * (predicted - y)).mean()


def of_numbers(y, predicted):
    y, predicted = (np.asarray(a, np.float64).reshape(len(y), -1) for a in (y, predicted))
    residual, spread = ((y - predicted) ** 2).sum(axis=0), ((y - y.mean(axis=0)) ** 2).sum(axis=0)
    rmse = np.sqrt(((y - predicted) ** 2).mean(axis=0)).mean()
    return {"R^2": (1 - residual / spread).mean(), "MAE": np.abs(y - predicted).mean(), "RMSE": rmse}


def test_two_classes(nets):
    net, right = nets["two classes"], TARGETS["two classes"] == "yes"
    proba = net.predict_proba(X)[:, 1].astype(np.float64)
    log_loss = -np.log(np.where(right, proba, 1 - proba)).mean()
    expected = {"accuracy": net.score(X, TARGETS["two classes"]), "log loss": log_loss, "AUC": area(right, proba)}
    assert scores(net, X, TARGETS["two classes"]) == pytest.approx(expected, rel=1e-5)
    share = right.mean()
    guessed = {
        "accuracy": max(share, 1 - share),
        "log loss": -share * np.log(share) - (1 - share) * np.log(1 - share),
        "AUC": 0.5,
    }
    assert baseline(net, TARGETS["two classes"], TARGETS["two classes"]) == pytest.approx(guessed)


def test_several_classes(nets):
    net, y = nets["three classes"], TARGETS["three classes"]
    proba = net.predict_proba(X).astype(np.float64)
    log_loss = -np.log(proba[np.arange(200), y]).mean()
    expected = {"accuracy": (proba.argmax(axis=1) == y).mean(), "log loss": log_loss}
    expected["AUC"] = np.mean([area(y == k, proba[:, k]) for k in range(3)])
    assert scores(net, X, y) == pytest.approx(expected, rel=1e-5)
    first = baseline(net, [0, 0, 1, 2], [0, 1, 1])
    assert first == pytest.approx({"accuracy": 1 / 3, "log loss": (np.log(2) + 2 * np.log(4)) / 3, "AUC": 0.5})


def test_labels(nets):
    net, y = nets["labels"], TARGETS["labels"]
    proba = net.predict_proba(X).astype(np.float64)
    log_loss = -np.log(np.where(y, proba, 1 - proba)).mean()
    expected = {
        "accuracy": net.score(X, y),
        "log loss": log_loss,
        "AUC": np.mean([area(y[:, k], proba[:, k]) for k in (0, 1)]),
    }
    assert scores(net, X, y) == pytest.approx(expected, rel=1e-5)
    guessed = baseline(net, y, y)
    assert guessed["accuracy"] == ((y.mean(axis=0) > 0.5) == y).all(axis=1).mean()
    assert guessed["AUC"] == 0.5


@pytest.mark.parametrize("name", ["number", "numbers"])
def test_numbers(nets, name):
    net, y = nets[name], TARGETS[name]
    assert scores(net, X, y) == pytest.approx(of_numbers(y, net.predict(X)))
    assert scores(net, X, y)["R^2"] == pytest.approx(net.score(X, y))
    mean = np.broadcast_to(y[:150].mean(axis=0), y[150:].shape)
    assert baseline(net, y[:150], y[150:]) == pytest.approx(of_numbers(y[150:], mean))


@pytest.mark.parametrize(("name", "target"), [("quantiles", "number"), ("quantiles of two", "numbers")])
def test_of_several_quantiles_the_middle_one_counts(nets, name, target):
    net, y = nets[name], TARGETS[target]
    columns, outputs = y.reshape(200, -1).T, net.predict(X).astype(np.float64)
    expected = of_numbers(y, outputs[:, 1::3])  # 0.4 is the nearest to 1/2
    expected["pinball loss"] = np.mean(
        [pinball(c, outputs[:, 3 * k + i], LEVELS[i]) for k, c in enumerate(columns) for i in range(3)]
    )
    assert scores(net, X, y) == pytest.approx(expected)
    assert scores(net, X, y)["R^2"] == pytest.approx(net.score(X, y))
    guess = np.quantile(y.reshape(200, -1), LEVELS, axis=0)
    expected = of_numbers(y, np.broadcast_to(guess[1], (200, len(columns))))
    expected["pinball loss"] = np.mean(
        [pinball(c, guess[i, k], LEVELS[i]) for k, c in enumerate(columns) for i in range(3)]
    )
    assert baseline(net, y, y) == pytest.approx(expected)


@pytest.mark.parametrize("name", TARGETS)
def test_a_single_row_has_no_area_and_no_spread(nets, name):
    y = TARGETS[name]
    found = scores(nets[name], X[:1], y[:1])
    assert "AUC" not in found
    assert "R^2" not in found
    assert found.keys() == baseline(nets[name], y, y[:1]).keys()
    assert np.isfinite(list(found.values())).all()


def test_classes_that_do_not_occur(nets):
    net, y = nets["three classes"], TARGETS["three classes"]
    two = y != 1
    proba = net.predict_proba(X[two])
    assert scores(net, X[two], y[two])["AUC"] == pytest.approx(
        np.mean([area(y[two] == k, proba[:, k]) for k in (0, 2)])
    )
    assert "AUC" not in scores(net, X[y == 1], y[y == 1])
    assert np.isfinite(baseline(net, y[two], y)["log loss"])


def test_a_constant_target_does_not_warn(nets):
    net, y = nets["number"], np.full(5, 2.0)
    assert scores(net, X[:5], y)["R^2"] == net.score(X[:5], y) == 0
    assert baseline(net, y, y) == {"R^2": 1, "MAE": 0, "RMSE": 0}


def test_rows_that_do_not_fit(nets):
    with pytest.raises(ValueError, match=r"y: expected labels seen in training .* got 'maybe'"):
        scores(nets["two classes"], X[:2], ["yes", "maybe"])
    with pytest.raises(ValueError, match="X: expected at least one row"):
        baseline(nets["two classes"], TARGETS["two classes"], [])


# importance


def test_what_matters_comes_first_and_noise_last(nets):
    first, second, third = permutation_importance(nets["number"], X, TARGETS["number"], seed=0)
    assert {first.name, second.name} == {"x1", "x2"}
    assert third.name == "x3"
    assert second.mean > 0.2 > 0.05 > abs(third.mean)
    assert first.deviation > 0


def test_importances_are_the_fall_of_the_score(nets):
    net, y = nets["two classes"], TARGETS["two classes"]
    deaf = dataclasses.replace(net, params=net.params * 0)
    assert [(one.mean, one.deviation) for one in permutation_importance(deaf, X, y, seed=0)] == [(0, 0)] * 3
    once = permutation_importance(net, X[:1], y[:1])  # a row alone cannot be shuffled
    assert [one.mean for one in once] == [0] * 3


def test_importances_are_repeatable_by_the_seed(nets):
    net, y = nets["number"], TARGETS["number"]
    one, same, other = (permutation_importance(net, X, y, repeats=2, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
    assert X.tobytes() == np.random.default_rng(0).normal(size=(200, 3)).tobytes()  # as it was


def test_all_inputs_of_a_column_are_shuffled_together():
    frame = pd.DataFrame(
        {
            "nothing": NOISE,
            "place": np.array(["by the sea", "in town", "up the hill"])[np.digitize(X[:, 0], [-0.4, 0.4])],
        }
    )
    frame["age"] = np.where(X[:, 1] > 1, np.nan, X[:, 1])
    y = (X[:, 0] > 0.4) * 3.0 + X[:, 0]
    net = fastbp.train(frame, y, hidden=8, epochs=60, seed=0)
    found = permutation_importance(net, frame[["age", "place", "nothing"]], y, seed=0)
    assert found[0].name == "place"
    assert found[0].mean > 1
    assert sorted(one.name for one in found) == ["age", "nothing", "place"]


def test_importances_of_an_ensemble(nets):
    y = TARGETS["number"]
    one = nets["number"]
    alone = permutation_importance(one, X, y, seed=0)
    assert permutation_importance(fastbp.Ensemble([one, one]), X, y, seed=0) == alone
    team = fastbp.Ensemble([one, dataclasses.replace(one, params=one.params * 0)])
    found = {one.name: one.mean for one in permutation_importance(team, X, y, seed=0, repeats=1)}
    random = np.random.default_rng(0)
    for k, name in enumerate(["x1", "x2", "x3"]):
        shuffled = X.copy()
        shuffled[:, k] = X[random.permutation(len(X)), k]
        assert found[name] == team.score(X, y) - team.score(shuffled, y)


def test_importances_of_networks_that_encode_a_table_differently(tmp_path):
    frame = pd.DataFrame({"place": np.where(X[:, 0] > 0, "sea", "town"), "age": X[:, 1], "nothing": NOISE})
    for y in ((X[:, 0] > 0) * 3.0 + X[:, 1], (X[:, 0] > 0) == (X[:, 1] > 0)):
        options = {"hidden": 16, "epochs": 60, "learning_rate": 0.02, "progress": False, "seed": 0}
        team = fastbp.ensemble(frame, y, 3, bootstrap=True, **options)
        assert team.columns is None
        found = permutation_importance(team, frame, y, seed=0, repeats=1)
        assert {one.name for one in found[:2]} == {"place", "age"}
        assert found[1].mean > 0.2 > 0.1 > abs(found[2].mean)
        random = np.random.default_rng(0)
        for name in ("place", "age", "nothing"):  # the frame itself, shuffled in the same way
            shuffled = frame.assign(**{name: frame[name].to_numpy()[random.permutation(len(frame))]})
            (fall,) = (one.mean for one in found if one.name == name)
            assert fall == pytest.approx(team.score(frame, y) - team.score(shuffled, y), abs=1e-6)
    # a column that only some of the networks read, and a table in a file
    few = fastbp.train(frame[["age"]], y, validation=None, epochs=1, seed=0)
    both = fastbp.Ensemble([few, fastbp.train(frame, y, validation=None, epochs=1, seed=0)])
    frame.to_csv(tmp_path / "t.csv", index=False)
    names = [one.name for one in permutation_importance(both, tmp_path / "t.csv", y)]
    assert sorted(names) == ["age", "nothing", "place"]


def test_importance_needs_a_repeat(nets):
    with pytest.raises(ValueError, match="repeats: expected an integer of at least 1, got 0"):
        permutation_importance(nets["number"], X, TARGETS["number"], repeats=0)
