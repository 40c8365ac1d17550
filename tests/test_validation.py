"""Cross-validation: each row is tested once per repeat by a network that has not seen it and is as if trained alone."""

import contextlib
import json
import os
import re

import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run
from hypothesis import given
from hypothesis import strategies as st
from test_many import same

import fastbp
from fastbp.data import targets
from fastbp.many import cross_validation, jobs

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(2, 3, (60, 3))
CLASSES = np.array(["a", "b", "c"])[(X[:, 0] + X[:, 1]).argsort().argsort() // 20]
NUMBERS = X @ [1.0, -2.0, 0.5]
FEW = {"epochs": 2, "hidden": 3, "progress": False}


@given(values=st.lists(st.integers(0, 3), min_size=4, max_size=60), folds=st.integers(2, 8), seed=st.integers(0, 2**40))
def test_folds(values, folds, seed):
    values = np.array(values * 2)  # each class at least twice
    numbers = targets.read(values.astype(float), "regression", len(values))
    for target in [numbers, *([targets.read(values, "classification", len(values))] if len(set(values)) > 1 else [])]:
        random, drawn = np.random.default_rng(seed), []
        for _ in range(2):
            parts = cross_validation._dealt(target, min(folds, len(values)), random)
            assert sorted(np.concatenate(parts)) == list(range(len(values)))
            assert np.ptp([len(part) for part in parts]) <= 1
            if target.classes is not None:
                counts = np.array([np.bincount(target.values[part], minlength=len(target.classes)) for part in parts])
                assert np.ptp(counts, axis=0).max() <= 1
                assert (counts < counts.sum(axis=0)).all()
            drawn.append([part.tolist() for part in parts])
        assert drawn[0] != drawn[1] or len(values) < 20


@given(
    sizes=st.lists(st.integers(1, 9), min_size=2, max_size=20),
    folds=st.integers(2, 6),
    seed=st.integers(0, 2**40),
    data=st.data(),
)
def test_folds_of_groups(sizes, folds, seed, data):
    of_group = np.repeat(np.arange(len(sizes)), sizes)
    folds, n = min(folds, len(sizes)), len(of_group)
    values = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)))
    for target in [
        targets.Targets("regression", None, values[:, None], True),
        targets.Targets("classification", np.arange(3), values, True),
    ]:
        parts = []
        with contextlib.suppress(ValueError):
            parts = cross_validation._dealt_in_groups(target, of_group, folds, np.random.default_rng(seed))
        if not parts:  # a class in too few groups
            assert target.classes is not None
            continue
        assert sorted(np.concatenate(parts)) == list(range(n))
        assert all(len(part) for part in parts)
        assert sum(len(set(of_group[part])) for part in parts) == len(sizes)
        if target.classes is None:
            assert np.ptp([len(part) for part in parts]) <= max(sizes)
        else:
            assert all(set(np.delete(values, part)) == set(values) for part in parts)


def by_hand(inputs, y, found, k, **options):
    """The network of one fit, and its score, trained in a plain loop."""
    rows = np.setdiff1d(np.arange(len(y)), found.tests[k])
    net = fastbp.train(inputs[rows], y[rows], seed=found.networks[k].options["seed"], **FEW | options)
    return net, net.score(inputs[found.tests[k]], y[found.tests[k]])


@pytest.mark.parametrize(
    "y", [CLASSES, NUMBERS, np.column_stack([NUMBERS, X[:, 0]]), (X > 2).astype(int)], ids=["c", "r", "several", "ml"]
)
def test_each_fit_is_that_of_a_loop(y, tmp_path):
    np.save(tmp_path / "X.npy", X)
    options = {"sample_weight": None, "validation": 0.2} if y is CLASSES else {}
    found = fastbp.cross_validate(X, y, folds=3, repeats=2, seed=4, threads=1, **FEW, **options)
    for k in range(6):
        net, score = by_hand(X, y, found, k, **options)
        assert same(found.networks[k], net)
        assert found.scores[k] == score
        predicted = net.predict(X) if net.task == "regression" else net.predict_proba(X)
        if k < 3:
            np.testing.assert_array_equal(found.predictions[found.tests[k]], predicted[found.tests[k]])
    assert np.isfinite(found.predictions).all()
    again = fastbp.cross_validate(
        np.load(tmp_path / "X.npy", mmap_mode="r"), y.tolist(), folds=3, repeats=2, seed=4, **FEW, **options
    )
    assert again.predictions.tobytes() == found.predictions.tobytes()
    assert again.scores.tobytes() == found.scores.tobytes()


def test_equal_seeds_give_equal_folds_whatever_the_options():
    first = fastbp.cross_validate(X, CLASSES, seed=3, **FEW)
    other = fastbp.cross_validate(X, CLASSES, seed=3, repeats=2, optimizer="sgd", epochs=1, hidden=(), dtype="float64")
    assert [t.tolist() for t in first.tests] == [t.tolist() for t in other.tests[:5]]
    assert fastbp.cross_validate(X, CLASSES, epochs=0).seed != fastbp.cross_validate(X, CLASSES, epochs=0).seed


def test_the_weights_of_samples_go_with_their_rows():
    weight = np.arange(60) % 3 + 0.5
    found = fastbp.cross_validate(X, NUMBERS, folds=2, seed=0, sample_weight=weight, **FEW)
    for k in range(2):
        rows = np.setdiff1d(np.arange(60), found.tests[k])
        seed = found.networks[k].options["seed"]
        assert same(
            found.networks[k], fastbp.train(X[rows], NUMBERS[rows], seed=seed, sample_weight=weight[rows], **FEW)
        )


def test_few_whole_numbers_stay_numbers_or_classes_in_every_part():
    y = np.repeat(np.arange(30), 2)  # just classes; in a training part, each occurs less than twice
    found = fastbp.cross_validate(np.column_stack([y, y]), y, folds=2, seed=0, epochs=0)
    assert found.predictions.shape == (60, 30)


def test_the_standard_error_is_corrected():
    found = fastbp.cross_validate(X, NUMBERS, folds=4, repeats=3, seed=0, epochs=0, hidden=2)
    assert found.mean == found.scores.mean()
    assert found.standard_error == pytest.approx(np.sqrt((1 / 12 + 1 / 3) * found.scores.var(ddof=1)))
    assert re.fullmatch(r"<cross-validation: score -?\d+\.\d{4} ± \d+\.\d{4}, 12 fits>", repr(found))


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_frames(kind):
    frame = pd.DataFrame(
        {"a": X[:, 0], "b": np.where(X[:, 1] > 2, "high", "low"), "who": np.arange(60) // 4, "y": NUMBERS}
    )
    given_ = frame if kind == "pandas" else pytest.importorskip("polars").DataFrame(frame.to_dict("list"))
    found = fastbp.cross_validate(given_, "y", folds=3, groups="who", seed=1, **FEW)
    assert found.networks[0].feature_names == ("a", "b")
    other = fastbp.cross_validate(
        frame[["a", "b"]], NUMBERS, folds=3, groups=[f"{k}" for k in frame["who"]], seed=1, **FEW
    )
    for k, test in enumerate(found.tests):
        rows = np.setdiff1d(np.arange(60), test)
        assert not set(frame["who"][test]) & set(frame["who"][rows])
        net = fastbp.train(frame[["a", "b"]].iloc[rows], NUMBERS[rows], seed=found.networks[k].options["seed"], **FEW)
        assert same(found.networks[k], net)
        assert same(other.networks[k], net)
    assert other.scores.tobytes() == found.scores.tobytes()


def test_a_fit_that_fails_is_reported(monkeypatch):
    real = jobs.prepare.prepare_run

    def prepare(X, y, asked, *more):
        if asked["seed"] == bad:
            raise FloatingPointError("training diverged")
        return real(X, y, asked, *more)

    bad = fastbp.cross_validate(X, CLASSES, folds=3, seed=0, **FEW).networks[1].options["seed"]
    monkeypatch.setattr(jobs.prepare, "prepare_run", prepare)
    with pytest.warns(
        RuntimeWarning, match=r"1 of 3 networks are missing; the first is networks\[1\]: training diverged"
    ):
        found = fastbp.cross_validate(X, CLASSES, folds=3, seed=0, **FEW)
    assert np.isnan(found.scores).tolist() == [False, True, False]
    assert np.isnan(found.mean)
    assert np.flatnonzero(np.isnan(found.predictions[:, 0])).tolist() == found.tests[1].tolist()
    with pytest.raises(FloatingPointError, match="training diverged"):
        found.networks[1]


def test_if_all_fits_fail_an_error_is_raised():
    with pytest.raises(FloatingPointError, match=r"networks\[0\]: training diverged"):
        fastbp.cross_validate(X, NUMBERS, seed=0, optimizer="sgd", learning_rate=1e30, activation="identity", **FEW)


RARE = np.where(np.arange(60) == 7, "rare", CLASSES)
BAD = [
    (CLASSES, {"folds": 1}, "folds: expected an integer of at least 2, got 1"),
    (CLASSES, {"folds": 61}, r"folds: expected at most as many as there are samples \(60\), got 61"),
    (
        CLASSES,
        {"folds": 5, "groups": np.arange(60) % 4},
        r"folds: expected at most as many as there are groups \(4\), got 5",
    ),
    (NUMBERS, {"folds": 31}, "folds: expected at least two samples in each, as R.2 of one says nothing, got 31 of 60"),
    (CLASSES, {"repeats": 0}, "repeats: expected an integer of at least 1, got 0"),
    (CLASSES, {"seed": -1}, "seed: expected an integer of at least 0, got -1"),
    (CLASSES, {"threads": 0}, "threads: expected an integer of at least 1, got 0"),
    (RARE, {}, "y: expected each class at least twice, as every training set needs it, got 'rare' once"),
    (
        CLASSES,
        {"groups": CLASSES, "folds": 2},
        "groups: expected each class in so many groups that no training set misses it, got '.' in too few",
    ),
    (CLASSES, {"groups": [1, 2]}, "groups: expected one label for each of the 60 samples, got 2"),
    (CLASSES, {"groups": [*range(59), None]}, "groups: expected a group for each sample, got None at row 59"),
    (
        CLASSES,
        {"groups": "who"},
        "groups: expected a group for each sample, got the name 'who'; X must be a table for that",
    ),
    (CLASSES, {"fold": 3}, "cross_validate: expected one of .*, got 'fold'"),
    (CLASSES, {"checkpoint": "x"}, "cross_validate: expected one of .*, got 'checkpoint'"),
    (CLASSES, {"learning_rate": -1}, "learning_rate: expected a finite number above 0, got -1"),
    (CLASSES, {"metric": "score"}, "metric: expected 'loss' without a validation set"),
    (CLASSES, {"patience": 3}, "patience: expected a validation set"),
    (CLASSES, {"dtype": "float16"}, "dtype: expected one of 'float32', 'float64', got 'float16'"),
    (CLASSES, {"shuffle": 1}, "shuffle: expected True or False, got 1"),
    (CLASSES, {"sample_weight": [1.0]}, r"sample_weight: expected shape \(60,\), got \(1,\)"),
    (CLASSES, {"class_weight": {"d": 1}}, "class_weight: expected the labels of y, got 'd'"),
    (CLASSES[:3], {}, "y: expected one target for each of the 60 samples of X, got 3"),
]


@pytest.mark.parametrize(("y", "options", "text"), BAD, ids=[text for *_, text in BAD])
def test_bad_input(y, options, text, monkeypatch):
    monkeypatch.setattr(jobs.prepare.Run, "train", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match=f"^{text}"):
        fastbp.cross_validate(X, y, **{"epochs": 1} | options)


def test_bad_columns():
    frame = pd.DataFrame({"a": X[:, 0], "who": np.arange(60) // 4, "y": NUMBERS})
    with pytest.raises(ValueError, match="groups: expected one of 'a', 'who', got 'y'"):
        fastbp.cross_validate(frame, "y", groups="y")
    with pytest.raises(ValueError, match="y: expected one of 'a', 'y', got 'z'"):
        fastbp.cross_validate(frame, "z", groups="who")


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "who": np.arange(60) // 4, "kind": CLASSES, "y": NUMBERS})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_command_line(capsys, table, tmp_path):
    options = ["--target", "kind", "--drop", "y", "--epochs", 2, "--hidden", 3, "--seed", 1, "--validation", 0]
    status, out, err = run(capsys, "cross-validate", table, *options, "--folds", 3, "--repeats", 2, "--groups", "who")
    assert (status, err) == (0, "")
    frame = pd.read_csv(table)
    found = fastbp.cross_validate(frame[["a", "b"]], CLASSES, folds=3, repeats=2, groups=frame["who"], seed=1, **FEW)
    lines = [line.split() for line in out.splitlines()]
    assert lines[0] == ["repeat", "fold", "rows", "accuracy"]
    assert lines[4] == ["2", "1", str(len(found.tests[3])), f"{found.scores[3]:.4f}"]
    assert lines[8][:4] == ["mean", f"{found.mean:.4f}", "+-", f"{found.standard_error:.4f}"]

    (tmp_path / "run.toml").write_text("folds = 2\nepochs = 1\n")
    status, out, _ = run(
        capsys, "cross-validate", table, "--target", "y", "--drop", "kind", "--json", "--config", tmp_path / "run.toml"
    )
    facts = json.loads(out)
    assert status == 0
    assert (facts["task"], facts["score"], facts["folds"], facts["rows"]) == ("regression", "R^2", 2, [30, 30])
    assert facts["mean"] == np.mean(facts["scores"])
    assert facts["quality"] == "single"


def test_qualities_on_the_command_line(capsys, table):
    command = ["cross-validate", table, "--target", "kind", "--drop", "y", "--folds", 2, "--seed", 1, "--hidden", 3]
    frame = pd.read_csv(table)
    X, y = pd.concat([frame] * 2, ignore_index=True), np.tile(CLASSES, 2)
    X.assign(kind=y).to_csv(table, index=False)
    for quality, options in (("default", []), ("fast", ["--quality", "fast"])):
        status, out, _ = run(capsys, *command, *options)
        found = fastbp.cross_validate(
            X.drop(columns=["y", "kind"]), y, folds=2, seed=1, hidden=3, quality=quality
        )  # learns from all rows outside of the fold
        assert status == 0
        assert f"mean     {found.mean:.4f} +- {found.standard_error:.4f} (" in out
        assert f"quality  {quality}\n" in out
    status, out, _ = run(capsys, *command, "--patience", 2, "--optimizer", "sgd", "--epochs", 3)
    assert status == 0
    assert "quality  single\n" in out
    assert "(default: as in fastbp.train)" in " ".join(run(capsys, "cross-validate", "--help")[1].split())


def test_mistakes_on_the_command_line(capsys, table):
    command = ["cross-validate", table, "--target", "kind"]
    assert_one_line(
        *run(capsys, *command, "--folds", 100), "--folds: expected at most as many as there are samples (60), got 100"
    )
    assert_one_line(
        *run(capsys, *command, "--groups", "whom"), "there is no column 'whom'; did you mean 'who'?", os.fspath(table)
    )
    assert_one_line(
        *run(capsys, *command, "--groups", "kind", "--folds", 2), "--groups: expected each class in so many groups"
    )
    assert_one_line(*run(capsys, *command, "--hidden", 0), "--hidden: expected an integer of at least 1, got 0")
    assert run(capsys, *command, "--save", "m.fbp")[0] == 2
