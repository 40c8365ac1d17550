"""What counts as missing, and names of columns that are not text."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
from command import run

import fastbp
from fastbp.tables import files

N = 120
RNG = np.random.default_rng(0)
LAND = RNG.choice(["DE", "FR", "NA", "ZA"], N)
FRAME = pd.DataFrame({"land": LAND, "x": np.where(np.arange(N) % 20 == 3, -999.0, RNG.normal(size=N))})
Y = (LAND == "NA") * 3.0 + RNG.normal(size=N) / 10
OPTIONS = {"quality": "single", "hidden": (5,), "epochs": 20, "seed": 0}


def saved(folder, frame=FRAME, **more):
    path = folder / "t.csv"
    frame.assign(y=Y).to_csv(path, index=False, **more)
    return path


def test_the_usual_in_a_file(tmp_path):
    path = saved(tmp_path)
    assert files.read(str(path)).frame["land"].isna().sum() == (LAND == "NA").sum()
    net = fastbp.train(str(path), "y", **OPTIONS)
    assert "land (missing)" in net.input_names
    assert net.columns.missing is None


def test_what_you_say_is_remembered(tmp_path):
    path = saved(tmp_path)
    net = fastbp.train(str(path), "y", missing=("", "-999", "-999.0"), **OPTIONS)
    assert "land=NA" in net.input_names
    assert "x (missing)" in net.input_names
    known = fastbp.train(FRAME.replace({"x": {-999.0: np.nan}}), Y, missing=("",), **OPTIONS)
    np.testing.assert_array_equal(net.params, known.params)
    net.save(tmp_path / "m.fbp")
    again = fastbp.load(tmp_path / "m.fbp")
    assert again.columns.missing == ("", "-999", "-999.0")
    np.testing.assert_array_equal(again.predict(str(path)), net.predict(FRAME))
    assert again.predict(str(path))[LAND == "NA"].mean() > 2
    np.testing.assert_array_equal(again.predict(pl.DataFrame(FRAME.to_dict("list"))), net.predict(FRAME))


@pytest.mark.parametrize("kind", [pd.DataFrame, lambda data: pl.from_pandas(data)])
def test_text_of_a_frame(kind):
    frame = FRAME.assign(land=np.where(np.arange(N) % 10 == 0, "?", LAND))
    net = fastbp.train(kind(frame), Y, missing=["?"], **OPTIONS)
    assert "land (missing)" in net.input_names
    assert "land=?" not in net.input_names
    nothing = frame.assign(land=[None if k % 10 == 0 else land for k, land in enumerate(LAND.tolist())])
    np.testing.assert_array_equal(net.params, fastbp.train(kind(nothing), Y, **OPTIONS).params)
    assert "land=?" in fastbp.train(kind(frame), Y, **OPTIONS).input_names


@pytest.mark.parametrize("missing", ["?", 3, [3], [None]])
def test_bad_input(missing):
    for call in (fastbp.train, fastbp.cross_validate):
        with pytest.raises(ValueError, match=r"missing: expected a sequence of texts or None, got"):
            call(FRAME, Y, missing=missing, **OPTIONS)


def test_the_command_line(capsys, tmp_path):
    path, save = saved(tmp_path), ["--save", tmp_path / "m.fbp", "--quality", "single", "--epochs", 20, "--json"]
    status, _, err = run(capsys, "train", path, "--target", "y", *save)
    assert status == 0
    assert "NA in column 'land' counts as missing, though the others are codes of two letters, too" in err
    status, out, err = run(capsys, "train", path, "--target", "y", "--missing", "", *save)
    assert (status, err) == (0, "")
    assert "land=NA" in fastbp.load(tmp_path / "m.fbp").input_names
    status, out, err = run(capsys, "predict", tmp_path / "m.fbp", path)
    assert (status, err) == (0, "")
    assert np.array(out.split()[1:], float)[LAND == "NA"].mean() > 2
    status, _, err = run(capsys, "train", path, "--target", "land", *save)
    assert status == 1
    assert "NA, NaN, null and None count as missing: --missing says what does" in err
    assert run(capsys, "train", path, "--target", "land", "--missing", "", *save)[0] == 0
    assert fastbp.load(tmp_path / "m.fbp").classes.tolist() == ["DE", "FR", "NA", "ZA"]


# Names of columns that are not text


@pytest.mark.parametrize("names", [[0, 1], [2019, "x"], [("a", 1), ("a", 2)], [1.5, None]])
def test_names_of_any_type(names):
    given = FRAME.set_axis(pd.Index(names, dtype=object, tupleize_cols=False), axis=1)
    net = fastbp.train(given, Y, **OPTIONS)
    assert net.columns.names == tuple(map(str, names))
    known = fastbp.train(FRAME, Y, **OPTIONS)
    np.testing.assert_array_equal(net.params, known.params)
    np.testing.assert_array_equal(net.predict(given), known.predict(FRAME))
    np.testing.assert_array_equal(net.predict(given[given.columns[::-1]]), known.predict(FRAME))
    for model in (
        fastbp.ensemble(given, Y, 2, hidden=(5,), epochs=2),
        fastbp.cross_validate(given, Y, folds=2, **OPTIONS).networks[0],
    ):
        assert model.predict(given).shape == (N,)


def test_a_target_named_by_a_number(tmp_path):
    FRAME.assign(y=Y).set_axis([0, 1, 2], axis=1).to_csv(tmp_path / "t.csv", index=False)
    with pytest.raises(ValueError, match="y: expected"):  # names in a file are text
        fastbp.train(tmp_path / "t.csv", 2, **OPTIONS)
    table = FRAME.assign(y=Y).set_axis([0, 1, 2], axis=1)
    net = fastbp.train(table, 2, **OPTIONS)
    assert net.columns.names == ("0", "1")
    np.testing.assert_array_equal(net.params, fastbp.train(FRAME, Y, **OPTIONS).params)
    with pytest.raises(ValueError, match=r"y: expected 1 or 2 dimensions|y: expected one"):
        fastbp.train(table, 7, **OPTIONS)


def test_names_that_become_equal():
    with pytest.raises(ValueError, match=r"X: expected column names that differ as text, got '1' more than once"):
        fastbp.train(FRAME.set_axis([1, "1"], axis=1), Y, **OPTIONS)


def test_a_frame_without_names_has_the_numbers_of_an_array():
    X = RNG.normal(size=(N, 2))
    net = fastbp.train(pd.DataFrame(X, columns=["a", "b"]), Y, **OPTIONS)
    np.testing.assert_array_equal(net.predict(pd.DataFrame(X)), net.predict(X))
    plain = fastbp.train(X, Y, **OPTIONS)
    np.testing.assert_array_equal(plain.predict(pd.DataFrame(X)), plain.predict(X))
