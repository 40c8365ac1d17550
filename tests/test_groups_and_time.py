"""Samples that are set aside in whole groups, or the newest ones; weights and classes on the command line."""

import json

import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run

import fastbp
from fastbp.data import division, targets

PATIENTS, VISITS = 30, 8
N = PATIENTS * VISITS
RNG = np.random.default_rng(0)
PATIENT = np.repeat([f"p{k}" for k in range(PATIENTS)], VISITS)
X = np.repeat(RNG.normal(size=(PATIENTS, 5)), VISITS, axis=0) + 0.05 * RNG.normal(size=(N, 5))
SICK = np.repeat(RNG.integers(0, 2, PATIENTS), VISITS)
FRAME = pd.DataFrame(X, columns=list("abcde")).assign(patient=PATIENT, sick=np.where(SICK, "yes", "no"))
FRAME["day"] = pd.date_range("2024-01-01", periods=N)[RNG.permutation(N)]
FRAME["weight"] = RNG.integers(1, 4, N)
OPTIONS = {"hidden": (8,), "epochs": 30, "seed": 0, "progress": False}
CLASSES = targets.read(SICK, "classification", N)


def held_out(fraction=0.25, y=CLASSES, seed=0, **options):
    parting, _ = division.read(FRAME, options, N)
    return division.held_out_rows(y, fraction, np.random.default_rng(seed), parting)


# Which samples


@pytest.mark.parametrize("fraction", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("seed", range(5))
def test_groups_are_not_divided(fraction, seed):
    held = held_out(fraction, seed=seed, groups="patient")
    assert not set(PATIENT[held]) & set(PATIENT[~held])
    assert abs(held.mean() - fraction) <= 1.5 / PATIENTS
    assert abs(SICK[held].mean() - SICK.mean()) < 0.25
    np.testing.assert_array_equal(held, held_out(fraction, seed=seed, groups=PATIENT))
    assert (held != held_out(fraction, seed=seed + 100, groups="patient")).any()


def test_no_class_is_taken_from_training():
    groups = np.array([0, 0, 1, 1, 2, 2, 3, 3])
    y = targets.read([0, 0, 0, 0, 0, 0, 1, 1], "classification", 8)
    for seed in range(20):
        held = division.whole_groups(y, groups, 0.5, np.random.default_rng(seed))
        assert not held[6:].any()
        assert held.any()


@pytest.mark.parametrize(
    "time",
    [
        FRAME["day"].to_numpy(),
        FRAME["day"].astype("int64").to_numpy(),
        FRAME["day"].dt.strftime("%d.%m.%Y").to_numpy(),
        FRAME["day"].dt.strftime("%Y-%m-%d").tolist(),
        "day",
    ],
)
def test_the_newest_are_set_aside(time):
    held = held_out(0.25, time=time)
    assert held.sum() == N // 4
    assert FRAME["day"][held].min() > FRAME["day"][~held].max()


def test_equal_times_stay_together():
    time = np.array([1, 1, 2, 2, 3, 3, 3, 3])
    y = targets.read(np.arange(8.0), "regression", 8)
    parting = division.Division(time=time)
    assert division.held_out_rows(y, 0.25, None, parting).tolist() == (time == 3).tolist()
    parting = division.Division(time=np.array([1] + [2] * 7))
    assert division.held_out_rows(y, 0.25, None, parting).tolist() == [False] + [True] * 7


# What is learnt


def test_a_network_that_knows_the_patients_is_found_out():
    X = FRAME[list("abcde")]
    leaking = fastbp.train(X, SICK, validation=0.25, patience=30, **OPTIONS)
    honest = fastbp.train(X, SICK, groups=PATIENT, validation=0.25, patience=30, **OPTIONS)
    assert leaking.history["validation_accuracy"][-1] > 0.9
    assert honest.history["validation_accuracy"][-1] < 0.75


def test_columns_that_say_more_are_not_learnt_from():
    table = FRAME.drop(columns=["weight"])
    for name, other in (("groups", "patient"), ("time", "day")):
        net = fastbp.train(
            table.drop(columns={"patient", "day"} - {other}), "sick", validation=0.25, **{name: other}, **OPTIONS
        )
        known = fastbp.train(FRAME[list("abcde")], FRAME["sick"], validation=0.25, **{name: FRAME[other]}, **OPTIONS)
        assert net.columns.names == tuple("abcde")
        np.testing.assert_array_equal(net.params, known.params)
        assert net.options[name] == "given"
        assert net.predict(FRAME).shape == (N,)


@pytest.mark.parametrize("option", ["groups", "time"])
def test_pilots_obey_too(option, monkeypatch):
    parts = []
    original = division.Division.held_out

    def spied(self, y, fraction, random):
        held = original(self, y, fraction, random)
        parts.append((self, held))
        return held

    monkeypatch.setattr(division.Division, "held_out", spied)
    values = PATIENT if option == "groups" else FRAME["day"]
    fastbp.train(X, SICK, quality="fast", hidden=(4,), seed=0, progress=False, **{option: values})
    assert len(parts) >= 2
    for parting, held in parts:
        if option == "groups":
            assert not set(parting.groups[held]) & set(parting.groups[~held])
        else:
            assert parting.time[held].min() > parting.time[~held].max()


def test_many_networks():
    options = OPTIONS | {"epochs": 2, "validation": 0.25}
    ensemble = fastbp.ensemble(X, SICK, 2, groups=PATIENT, bootstrap=True, **options)
    assert len(ensemble.networks) == 2
    (net,) = fastbp.train_many(X, SICK, [{"groups": PATIENT}], **options)
    np.testing.assert_array_equal(net.params, fastbp.train(X, SICK, groups=PATIENT, **options).params)
    rows = np.flatnonzero(np.arange(N) % 3 > 0)
    (net,) = fastbp.train_many(X, SICK, [{"rows": rows}], time=FRAME["day"], **options)
    known = fastbp.train(X[rows], SICK[rows], time=FRAME["day"][rows], **options)
    np.testing.assert_array_equal(net.params, known.params)
    found = fastbp.search(X, SICK, {"l2": [0.0, 0.1]}, 2, groups=PATIENT, **OPTIONS | {"epochs": 3})
    assert len(found.trials) == 2


def test_a_checkpoint_knows_its_groups(tmp_path):
    options = OPTIONS | {"epochs": 3, "validation": 0.25}
    path = tmp_path / "run"
    fastbp.train(X, SICK, groups=PATIENT, checkpoint=path, **options)
    again = fastbp.resume(path, X, SICK, groups=PATIENT)
    np.testing.assert_array_equal(again.params, fastbp.train(X, SICK, groups=PATIENT, **options).params)
    with pytest.raises(ValueError, match=r"groups: expected what the run in .* was begun with"):
        fastbp.resume(path, X, SICK, groups=RNG.permutation(PATIENT))


def test_weights_of_0_are_no_part_of_it():
    weight = np.where(np.arange(N) % 5 == 2, 0.0, 1.0)
    rest = np.flatnonzero(weight)
    options = OPTIONS | {"epochs": 2, "validation": 0.25}
    for name, values in (("groups", PATIENT), ("time", FRAME["day"].to_numpy())):
        found = fastbp.train(X, SICK, sample_weight=weight, **{name: values}, **options)
        known = fastbp.train(X[rest], SICK[rest], **{name: values[rest]}, **options)
        np.testing.assert_array_equal(found.params, known.params)


def test_cross_validation_in_time():
    time = FRAME["day"].to_numpy()
    found = fastbp.cross_validate(X, SICK, time=time, folds=4, **OPTIONS | {"epochs": 2})
    oldest = np.ones(N, bool)
    for k, test in enumerate(found.tests):
        rest = np.flatnonzero(time < time[test].min())
        options = OPTIONS | {"epochs": 2, "seed": found.networks[k].options["seed"], "threads": 1}
        np.testing.assert_array_equal(found.networks[k].params, fastbp.train(X[rest], SICK[rest], **options).params)
        oldest[test] = False
    assert abs(oldest.sum() - N / 5) <= 1
    assert np.isnan(found.predictions[oldest]).all()
    assert not np.isnan(found.predictions[~oldest]).any()
    named = fastbp.cross_validate(FRAME[[*"abcde", "day"]], SICK, time="day", folds=4, **OPTIONS | {"epochs": 2})
    assert named.networks[0].columns.names == tuple("abcde")
    with pytest.raises(ValueError, match="repeats: expected 1 with time"):
        fastbp.cross_validate(X, SICK, time=time, repeats=2, **OPTIONS)
    with pytest.raises(ValueError, match="folds: expected at most so many that"):
        fastbp.cross_validate(X, SICK, time=np.zeros(N), **OPTIONS)


BAD = {
    "groups: expected one label for each of the 240 samples, got 3": {"groups": [1, 2, 3]},
    "groups: expected a group for each sample, got None at row 0": {"groups": [None, *PATIENT[1:]]},
    "groups: expected some that can be set aside": {"groups": np.zeros(N)},
    "groups: expected a group for each sample, got the name 'who'; X must be a table": {"groups": "who"},
    "time: expected a time for each sample, got .* at row 3": {"time": np.where(np.arange(N) == 3, np.nan, 1.0)},
    "time: expected samples of at least two times": {"time": np.ones(N)},
    r"time: expected numbers or dates \(as text best like 2024-12-31\), got 'p0'": {"time": PATIENT},
    "time: expected None with groups": {"time": np.arange(N), "groups": PATIENT},
}


@pytest.mark.parametrize("message", BAD)
def test_bad_input(message):
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, SICK, validation=0.25, **BAD[message], **OPTIONS)


def test_an_option_without_effect_is_an_error():
    for name, values in (("groups", PATIENT), ("time", np.arange(N))):
        with pytest.raises(
            ValueError, match=rf"{name}: expected a fraction as validation, such as validation=0.2, that"
        ):
            fastbp.train(X, SICK, **{name: values}, **OPTIONS)
        with pytest.raises(ValueError, match=rf"{name}: expected a fraction as validation"):
            fastbp.ensemble(X, SICK, 2, **{name: values}, **OPTIONS)


# The command line


@pytest.fixture
def table(tmp_path):
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def facts(capsys, *arguments):
    status, out, err = run(capsys, *arguments, "--json", "--seed", 1)
    assert status == 0, err
    return json.loads(out)


QUICK = ["--quality", "single", "--epochs", 30, "--hidden", 8, "--drop", "weight"]


def test_scores_are_those_of_the_rows_set_aside(capsys, table, tmp_path):
    call = ["train", table, "--target", "sick", "--save", tmp_path / "m.fbp", *QUICK, "--validation", 0.25]
    leaking = facts(capsys, *call, "--drop", "patient", "--drop", "day")
    assert leaking["scores"]["validation"]["accuracy"] > 0.9
    honest = facts(capsys, *call, "--groups", "patient", "--drop", "day")
    assert honest["scores"]["validation"]["accuracy"] < 0.75
    net = fastbp.load(tmp_path / "m.fbp")
    best = net.history["validation_accuracy"][net.best_epoch - 1]
    assert honest["scores"]["validation"]["accuracy"] == pytest.approx(best)
    in_time = facts(capsys, *call, "--time", "day", "--drop", "patient")
    net = fastbp.load(tmp_path / "m.fbp")
    best = net.history["validation_accuracy"][net.best_epoch - 1]
    assert in_time["scores"]["validation"]["accuracy"] == pytest.approx(best)
    assert in_time["rows"] == {"training": 180, "validation": 60}
    assert net.columns.names == tuple("abcde")


def test_weights(capsys, table, tmp_path):
    call = ["train", table, "--target", "sick", "--save", tmp_path / "m.fbp", "--quality", "single", "--epochs", 5]
    call += ["--drop", "patient", "--drop", "day", "--sample-weight", "weight", "--class-weight", "no=2"]
    found = facts(capsys, *call, "--validation", 0.25, "--class-weight", "yes=0.5", "--patience", 5)
    net = fastbp.load(tmp_path / "m.fbp")
    options = {"sample_weight": FRAME["weight"], "class_weight": {"no": 2.0, "yes": 0.5}, "quality": "single"}
    options |= {"validation": 0.25, "patience": 5, "epochs": 5, "seed": 1}
    known = fastbp.train(FRAME[list("abcde")], FRAME["sick"], **options)
    np.testing.assert_array_equal(net.params, known.params)
    held = division.held_out_rows(CLASSES, 0.25, np.random.default_rng(0))
    assert found["rows"]["validation"] == held.sum()
    everything = facts(capsys, *call, "--validation", 0)
    net = fastbp.load(tmp_path / "m.fbp")
    score = net.score(FRAME, FRAME["sick"], FRAME["weight"])
    assert everything["scores"]["training"]["accuracy"] == pytest.approx(score)
    assert facts(capsys, *call[:-2], "--class-weight", "balanced")["scores"]


def test_the_other_commands(capsys, table, tmp_path):
    more = ["--target", "sick", "--hidden", 8, "--epochs", 3, "--drop", "weight", "--drop", "day"]
    leaking = facts(capsys, "cross-validate", table, *more, "--epochs", 30, "--drop", "patient", "--folds", 3)
    honest = facts(capsys, "cross-validate", table, *more, "--epochs", 30, "--groups", "patient", "--folds", 3)
    assert leaking["mean"] > 0.9 > 0.75 > honest["mean"]
    more = ["--target", "sick", "--hidden", 8, "--epochs", 3, "--drop", "patient", "--sample-weight", "weight"]
    assert len(facts(capsys, "cross-validate", table, *more, "--time", "day", "--folds", 3)["scores"]) == 3
    save = ["--save", tmp_path / "m", "--trials", 2, "--space", "l2=0|0.1", "--class-weight", "balanced"]
    assert facts(capsys, "search", table, *more, "--time", "day", *save)["best"]
    (tmp_path / "o.toml").write_text(
        'time = "day"\nclass-weight = ["no=2", "yes=1"]\ntarget = "sick"\nsample-weight = "weight"\n'
    )
    config = ["--config", tmp_path / "o.toml", "--drop", "patient", "--epochs", 2]
    assert facts(capsys, "train", table, *config, "--save", tmp_path / "m")["rows"] == {
        "training": 192,
        "validation": 48,
    }
    ensemble = [
        "--ensemble",
        2,
        "--groups",
        "patient",
        "--drop",
        "day",
        "--drop",
        "weight",
        "--target",
        "sick",
        "--epochs",
        2,
    ]
    assert facts(capsys, "train", table, *ensemble, "--save", tmp_path / "m")["rows"]["validation"] == 48


MISTAKES = {
    "--groups nobody": "there is no column 'nobody'",
    "--sample-weight patient": "--sample-weight: expected numbers, got 'p0'",
    "--class-weight maybe=2": "--class-weight: expected one of 'no', 'yes', got 'maybe'",
    "--class-weight yes": "--class-weight: expected balanced, or LABEL=WEIGHT such as spam=2, got 'yes'",
    "--class-weight yes=much": "--class-weight: expected a number after =, got 'yes=much'",
    "--groups patient --time day": "--time: expected None with groups",
    "--time patient": "--time: expected numbers or dates",
}


@pytest.mark.parametrize("words", MISTAKES)
def test_mistakes(capsys, table, tmp_path, words):
    call = ["train", table, "--target", "sick", "--save", tmp_path / "m", *words.split()]
    assert_one_line(*run(capsys, *call), MISTAKES[words])
