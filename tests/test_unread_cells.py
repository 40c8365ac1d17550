"""Cells in another form than in training: read where there is no doubt, else warned of, or an error if you ask."""

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from command import assert_one_line, run

import fastbp

N = 120
RNG = np.random.default_rng(0)
DAYS = pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 400, N), "D")
FRAME = pd.DataFrame(
    {
        "day": DAYS.strftime("%d/%m/%Y"),
        "amount": np.where(np.arange(N) % 40 == 3, "?", RNG.integers(500, 5000, N).astype(str)),
        "price": RNG.integers(1, 900, N) / 4,
        "code": pd.Categorical(RNG.choice(["1", "2", "3", "04"], N)),
        "colour": RNG.choice(["red", "blue"], N),
    }
)
Y = DAYS.day_of_year.to_numpy() / 100 + FRAME["price"].to_numpy() / 50 + (FRAME["code"] == "3")
ROW = {"day": "13/04/2024", "amount": "1800", "price": 20.5, "code": "3", "colour": "red"}
OPTIONS = {"quality": "single", "hidden": (5,), "activation": "tanh", "epochs": 4, "seed": 0}


@pytest.fixture(scope="module")
def net():
    return fastbp.train(FRAME, Y, **OPTIONS)


def row(**cells):
    return pd.DataFrame({name: [value] for name, value in (ROW | cells).items()})


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "cells",
    [
        {"day": "2024-04-13"},
        {"day": pd.Timestamp("2024-04-13")},
        {"amount": 1800},
        {"amount": "1800.0"},
        {"amount": "1,800.00"},
        {"amount": "1.800,00"},
        {"amount": "$ 1,800.00"},
        {"price": "20.50"},
        {"price": "20,5"},
        {"code": 3},
        {"code": 3.0},
        {"code": "3.0"},
        {"code": " 3.00 "},
    ],
)
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_what_can_only_mean_one_thing_is_read(net, cells, kind):
    given = row(**cells)
    given = given if kind is pd.DataFrame else pl.DataFrame({name: given[name].tolist() for name in given})
    np.testing.assert_array_equal(net.predict(given, strict=True), net.predict(row()))


UNREAD = {
    "a date": ({"day": "rubbish"}, "'rubbish' in column 'day', row 1, taken for the median date"),
    "a day that is none": ({"day": "31/02/2024"}, "'31/02/2024' in column 'day', row 1"),
    "a number": ({"amount": "lots"}, "'lots' in column 'amount', row 1, taken as missing"),
    "a thousand or a fraction": ({"amount": "1,800"}, "'1,800' in column 'amount', row 1, taken as missing"),
    "a colour": ({"colour": "green"}, "'green' in column 'colour', row 1, not among the values in training"),
    "a code": ({"code": "4"}, "'4' in column 'code', row 1, not among"),
}


@pytest.mark.parametrize("case", UNREAD)
def test_a_cell_that_is_not_read_is_warned_of_once(net, case):
    cells, words = UNREAD[case]
    given = pd.concat([row(), row(**cells), row(**cells)], ignore_index=True)
    for call in (
        net.predict,
        lambda X: net.score(X, [1.0, 2.0, 3.0]),
        net.encode,
        fastbp.Ensemble((net, net), {}).predict,
    ):
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            call(given)
        assert len(warned) == 1
        assert warned[0].category is fastbp.TableWarning
        assert warned[0].filename == __file__
        assert words.partition(", row 1")[0] + ", row 1 (2 such in all)" in str(warned[0].message)
        assert words.partition("row 1")[2] in str(warned[0].message)
    for model in (net, fastbp.Ensemble((net,), {})):
        with pytest.raises(ValueError, match=r"^X: expected cells that can be read as in training, got "):
            model.predict(given, strict=True)


def test_classes_can_be_strict_too():
    kinds = fastbp.train(FRAME, Y > 3, **OPTIONS)
    given = pd.concat([row(day="rubbish"), row()], ignore_index=True)
    with pytest.warns(fastbp.TableWarning, match="'rubbish' in column 'day'"):
        kinds.predict_proba(given)
    for model in (kinds, fastbp.Ensemble((kinds,), {})):
        for call in (model.predict_proba, model.predict):
            with pytest.raises(ValueError, match="got 'rubbish' in column 'day', row 0"):
                call(given, strict=True)


@pytest.mark.filterwarnings("error")
def test_what_counted_as_missing_in_training_does_so_again(net):
    assert "text treated as missing ('?')" in str(net.columns)
    missing = net.predict(row(amount=None))
    np.testing.assert_array_equal(net.predict(row(amount="?"), strict=True), missing)
    rare = FRAME.assign(colour=np.where(np.arange(N) == 0, "green", FRAME["colour"]))
    grouped = fastbp.train(rare, Y, **OPTIONS)
    grouped.predict(row(colour="violet"), strict=True)  # one of those that are grouped


def test_numbers_that_are_not_written_plainly():
    written = [f"{value:,.2f} €".translate(str.maketrans(",.", ".,")) for value in FRAME["price"]]
    net = fastbp.train(FRAME.assign(price=written), Y, **OPTIONS)
    known = fastbp.train(FRAME, Y, **OPTIONS)
    np.testing.assert_array_equal(net.params, known.params)
    assert "read as 1234,5 €" in str(net.columns) or "read as 1.234,5 €" in str(net.columns)
    np.testing.assert_array_equal(net.predict(row(price="20,50 €")), known.predict(row()))


def test_numbers_that_may_mean_two_things_are_left_out_with_a_warning():
    written = [f"{k % 9 + 1},{k:03d}" for k in range(N)]
    with pytest.warns(fastbp.TableWarning, match=r"left out: 'price' \(96 .*: numbers like 1,234.5, or 1234,5\)"):
        fastbp.train(FRAME.assign(price=written), Y, validation=0.2, **OPTIONS)


def test_different_texts_among_numbers_are_warned_of_in_training():
    amount = FRAME["amount"].where(np.arange(N) != 7, "lots").where(np.arange(N) != 11, "few")
    with pytest.warns(fastbp.TableWarning, match=r"not all was read: 'amount' \(.*cells of text treated as missing"):
        net = fastbp.train(FRAME.assign(amount=amount), Y, **OPTIONS)
    assert "amount (missing)" in net.input_names
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastbp.train(FRAME, Y, **OPTIONS)  # a single mark is usual


def test_the_command_line(capsys, tmp_path, net):
    model, path = tmp_path / "m.fbp", tmp_path / "t.csv"
    net.save(model)
    rows = [ROW, ROW | {"day": "rubbish"}, ROW | {"code": "3.0"}, ROW | {"day": ""}, ROW | {"day": "nonsense"}]
    pd.DataFrame(rows * 300).to_csv(path, index=False)  # more than one piece
    status, out, err = run(capsys, "predict", model, path)
    lines = out.splitlines()
    assert (status, len(lines)) == (0, 1501)
    assert lines[1] == lines[3]
    assert lines[2] == lines[4] == lines[5]
    found = "'rubbish' in column 'day', line 3 (600 such in all), taken for the median date"
    assert err == f"fastbp: warning: {path}: cells were not read: {found}\n"
    assert_one_line(*run(capsys, "predict", model, path, "--strict"), str(path), "'rubbish' in column 'day', line 3")
    pd.DataFrame([ROW]).to_csv(path, index=False)
    assert run(capsys, "predict", model, path, "--strict")[0] == 0
