"""Raw tables: what becomes of each kind of column, learnt from the training part only and applied to later rows."""

import datetime
import json
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastbp
from fastbp.tables import Columns
from fastbp.tables.encoders import date_parts
from fastbp.tables.text import date_formats, read_date

N = 120
RNG = np.random.default_rng(0)
TARGET = RNG.normal(size=N)
EVERY = np.ones(N, bool)


def passengers():
    """A typical table."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "id": np.arange(N) + 7,
            "name": [f"passenger {k}" for k in range(N)],
            "class": rng.integers(1, 4, N),
            "sex": rng.choice(["female", "male"], N),
            "age": np.where(rng.random(N) < 0.2, np.nan, rng.normal(40, 12, N)),
            "port": rng.choice(["S", "C", None], N, p=[0.6, 0.3, 0.1]),
            "boarded": pd.Timestamp("1912-04-10") + pd.to_timedelta(rng.integers(0, 400, N), "h"),
            "alone": rng.random(N) < 0.4,
            "ship": "Titanic",
            "cabin": None,
        }
    )


def learn(values, training=EVERY, name="a"):
    """The columns of a frame that has only this column."""
    return Columns.fit(pd.DataFrame({name: values}), [name], training)[0]


def encoded(values, later=None):
    """Inputs by name, of the column itself or of later values of it."""
    columns = learn(values)
    return dict(
        zip(columns.inputs, columns.encode(pd.DataFrame({"a": values if later is None else later})).T, strict=True)
    )


def test_what_becomes_of_each_column():
    columns, values = Columns.fit(passengers(), list(passengers()), EVERY)
    np.testing.assert_array_equal(values, columns.read(passengers()))
    assert values.shape[1] == 5 + len([name for name in columns.inputs if name.startswith("boarded")])
    np.testing.assert_array_equal(columns.raw(values), columns.encode_raw(passengers()))
    assert [(row.name, row.kind, row.warning) for row in columns.rows] == [
        ("id", "left out", True),
        ("name", "left out", True),
        ("class", "number", False),
        ("sex", "category", False),
        ("age", "number", False),
        ("port", "category", False),
        ("boarded", "date", False),
        ("alone", "yes/no", False),
        ("ship", "left out", False),
        ("cabin", "left out", False),
    ]
    assert columns.names == ("class", "sex", "age", "port", "boarded", "alone")
    numbers, ports = ("age", "age (missing)"), ("port=C", "port=S", "port (missing)")
    assert columns.inputs[:8] == ("class", "sex=female", "sex=male", *numbers, *ports)
    assert sum(row.inputs for row in columns.rows) == len(columns.inputs)
    notes = {row.name: row.note for row in columns.rows}
    assert "row number" in notes["id"]
    assert f"{N} different values in {N} rows" in notes["name"]
    assert notes["ship"] == "always 'Titanic'"
    assert notes["cabin"] == "no values"
    lines = str(columns).splitlines()
    assert lines[0].split() == ["column", "read", "as", "inputs"]
    assert lines[4].split() == ["sex", "category", "2", "female,", "male"]


def test_missing_numbers_are_filled_with_the_median_and_flagged():
    found = encoded([1.0, 2.0, np.nan, 10.0] * 30)
    np.testing.assert_array_equal(found["a"][:4], [1, 2, 2, 10])
    np.testing.assert_array_equal(found["a (missing)"][:4], [0, 0, 1, 0])
    # none was missing in training: it is filled, without an input that flags it
    assert list(encoded([1.0, 2.0, 9.0] * 40, [np.nan])) == ["a"]
    assert encoded([1.0, 2.0, 9.0] * 40, [np.nan])["a"] == [2]


def test_booleans_are_not_standardised_and_may_be_missing():
    net = fastbp.train(
        pd.DataFrame({"a": [True, False, None] * 40, "b": TARGET * 9}), TARGET, epochs=1, encode="standard"
    )
    assert net.input_names == ("a", "a (missing)", "b")
    np.testing.assert_array_equal(net.x_mean[:2], 0)
    np.testing.assert_array_equal(net.x_scale[:2], 1)
    assert net.x_scale[2] > 5
    assert set(net.encode(pd.DataFrame({"a": [True, False, None], "b": [0, 0, 0]}))[:, 1]) == {0, 1}


def test_categories_missing_rare_and_unseen():
    values = ["red"] * 60 + ["blue"] * 50 + ["teal", "pink"] + [None] * 8
    found = encoded(values, ["red", "blue", "teal", "never seen", None, "  red "])
    assert list(found) == ["a=blue", "a=red", "a (other)", "a (missing)"]
    np.testing.assert_array_equal(np.array(list(found.values())).argmax(axis=0), [1, 0, 2, 2, 3, 1])
    np.testing.assert_array_equal(sum(found.values()), 1)
    # no rare ones in training: an input for other categories would never have been learnt
    found = encoded(["red"] * 60 + ["blue"] * 60, ["red", "green", None])
    assert list(found) == ["a=blue", "a=red"]
    np.testing.assert_array_equal(sum(found.values()), [1, 0, 0])


def test_what_two_rows_have_is_learnt_and_what_one_row_has_is_grouped():
    values = ["red"] * 500 + ["blue"] * 2 + ["teal"]
    columns = learn(values, np.ones(503, bool))
    assert columns.inputs == ("a=blue", "a=red", "a (other)")
    np.testing.assert_array_equal(columns.encode(pd.DataFrame({"a": ["teal", "blue"]})), [[0, 0, 1], [1, 0, 0]])


@pytest.mark.parametrize("task", ["regression", "classification"])
def test_many_random_categories_do_not_look_predictive(task):
    random = np.random.default_rng(0)
    n = 3000
    names = np.array([f"n{k}" for k in range(400)])[random.integers(0, 400, n)]
    y = random.normal(size=n) if task == "regression" else random.integers(0, 2, n)
    frame = pd.DataFrame({"name": names, "x": random.normal(size=n)})
    net = fastbp.train(frame, y, task=task, quality="single", seed=0)
    # half the squared deviation of standardised targets, or the entropy of a coin
    chance = 0.5 if task == "regression" else np.log(2)
    assert net.history["validation_loss"].min() > 0.95 * chance
    assert len(net.input_names) > 300


def test_numbers_as_categories():
    codes = pd.Series([75001, 75002, 69001] * 40)
    assert learn(codes).inputs == ("a",)
    as_codes = ("a=69001", "a=75001", "a=75002")
    assert learn(codes.astype("category")).inputs == as_codes
    assert learn(codes.astype(float).astype("category")).inputs == as_codes
    columns = learn(codes.astype("category"))
    for later in ([75002], [75002.0], ["75002"], pl.Series([75002])):
        np.testing.assert_array_equal(columns.encode(pl.DataFrame({"a": later})), [[0, 0, 1]])


def test_many_categories_are_limited_and_identifiers_are_left_out():
    many = [f"c{k % 310}" for k in range(10_000)]
    columns = Columns.fit(pd.DataFrame({"a": many, "b": range(10_000)}), ["a", "b"], np.ones(10_000, bool))[0]
    assert columns.rows[0].inputs == 301
    assert columns.inputs[300] == "a (other)"
    assert "10 rare ones grouped" in columns.rows[0].note
    frame = pd.DataFrame({"ticket": [f"T{k}" for k in range(N)], "x": TARGET})
    with pytest.warns(fastbp.TableWarning, match=f"left out: 'ticket' \\({N} different values in {N} rows"):
        fastbp.train(frame, TARGET, epochs=1, validation=None)


@pytest.mark.parametrize("name", ["id", "ID", "Unnamed: 0", "PassengerId", "customer_id", "row number", "index", ""])
def test_row_numbers_are_left_out_with_a_warning(name):
    columns = Columns.fit(pd.DataFrame({name: range(N), "x": TARGET}), [name, "x"], EVERY)[0]
    assert columns.names == ("x",)
    assert columns.rows[0].warning


@pytest.mark.parametrize("name", ["year", "paid", "grid", "valid", "idle", "width"])
def test_other_whole_numbers_are_kept(name):
    assert learn(range(N), name=name).inputs == (name,)


def test_nothing_left():
    for values in (["x"] * N, [None] * N, [f"v{k}" for k in range(N)]):
        with pytest.raises(
            ValueError, match="X: expected at least one column to learn from, but all are left out \\('a': "
        ):
            fastbp.train(pd.DataFrame({"a": values}), TARGET)
    with pytest.raises(ValueError, match="there are none"):
        fastbp.train(pd.DataFrame({"y": TARGET}), "y")


def test_text_among_numbers():
    values = [str(k) for k in range(N)]
    values[5] = values[6] = "?"
    columns = learn(values)
    assert columns.inputs == ("a", "a (missing)")
    assert "2 cells of text treated as missing" in columns.rows[0].note
    np.testing.assert_array_equal(columns.encode(pd.DataFrame({"a": ["3.5", "?", "new"]}))[:, 1], [0, 1, 1])
    assert learn(["?", "!", *map(str, range(N - 2))]).rows[0].kind == "number"
    assert learn(["a", "b", "c", *map(str, range(9))] * 10).rows[0].kind == "category"
    # if there were only numbers in training, text is an error
    net = fastbp.train(pd.DataFrame({"a": np.arange(N) % 7}), TARGET, epochs=1)
    with pytest.raises(ValueError, match="X: expected numbers in column 'a', as in training, got 'seven' in row 1"):
        net.predict(pd.DataFrame({"a": ["6", "seven"]}))
    # a mark of a missing number that occurs in the validation part only is no error
    stray = pd.DataFrame({"a": ["?", *map(str, range(N - 1))]})
    for seed in range(8):
        fastbp.train(stray, TARGET, validation=0.2, seed=seed, epochs=1)
    assert (net.predict(pd.DataFrame({"a": ["6", " 2.0"]})) == net.predict(pd.DataFrame({"a": [6, 2]}))).all()


@pytest.mark.parametrize("value", [np.inf, -np.inf])
def test_infinite_numbers_are_refused(value):
    with pytest.raises(ValueError, match=f"X: expected finite numbers, got {value} in column 'a', row 3"):
        fastbp.train(pd.DataFrame({"a": [1.0, 2.0, 3.0, value] * 30}), TARGET)
    columns = learn([1.0, 2.0] * 60)
    with pytest.raises(ValueError, match="expected numbers in column 'a', as in training, got 'inf'"):
        columns.encode(pd.DataFrame({"a": ["inf", "1"]}))


def test_objects_that_are_no_values():
    with pytest.raises(ValueError, match="X: expected numbers, text, booleans or dates in column 'a', got a list"):
        fastbp.train(pd.DataFrame({"a": [[1], [2]] * 60}), TARGET)
    with pytest.raises(ValueError, match="in column 'a', got complex128"):
        fastbp.train(pd.DataFrame({"a": np.ones(N) * 1j}), TARGET)


def test_parts_of_dates():
    days = [datetime.datetime(2024, 2, 29, 6), datetime.datetime(1969, 12, 31, 18), datetime.datetime(2023, 1, 1)]
    parts = date_parts(np.array(days, "datetime64[us]").astype(np.int64) / 86_400e6)
    np.testing.assert_allclose(
        parts["days"], [(day - datetime.datetime(1970, 1, 1)).total_seconds() / 86400 for day in days]
    )
    for name, number in (("Monday", 0), ("Wednesday", 2), ("Thursday", 3), ("Sunday", 6)):
        np.testing.assert_array_equal(parts[name], [day.weekday() == number for day in days])
    in_year = [(day.timetuple().tm_yday - 1 + day.hour / 24) / 365.2425 for day in days]
    for name, turns in (("year", in_year), ("hour", [0.25, 0.75, 0])):
        np.testing.assert_allclose(parts[f"{name} sin"], np.sin(2 * np.pi * np.array(turns)), atol=1e-9)
        np.testing.assert_allclose(parts[f"{name} cos"], np.cos(2 * np.pi * np.array(turns)), atol=1e-9)


def test_dates_only_the_parts_that_differ_are_kept():
    days = pd.date_range("2024-01-01", periods=N, freq="D")
    assert learn(days).inputs == (
        "a (days)",
        "a (year sin)",
        "a (year cos)",
        *(f"a ({d})" for d in ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")),
    )
    hours = learn(pd.date_range("2024-01-01 08:00", periods=N, freq="min"))
    assert hours.inputs[-2:] == ("a (hour sin)", "a (hour cos)")
    assert not any("day)" in name for name in hours.inputs)
    with_gaps = pd.Series(days).where(np.arange(N) % 10 != 0)
    columns = learn(with_gaps)
    assert columns.inputs[-1] == "a (missing)"
    np.testing.assert_array_equal(columns.encode(pd.DataFrame({"a": with_gaps}))[:, -1], np.arange(N) % 10 == 0)
    assert np.isfinite(columns.encode(pd.DataFrame({"a": with_gaps}))).all()


@pytest.mark.parametrize("form", ["ISO", "%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y %H:%M", "%Y/%m/%d", "%d %b %Y", "%B %d, %Y"])
def test_dates_as_text(form):
    dates = [datetime.datetime(2020, 1, 1, 5) + datetime.timedelta(days=11 * k) for k in range(N)]
    texts = np.array([d.isoformat() if form == "ISO" else d.strftime(form) for d in dates], object)
    assert date_formats(texts, np.ones(N, int)) == [form]
    whole = np.array(dates, "datetime64[us]" if "%H" in form or form == "ISO" else "datetime64[D]").astype(
        "datetime64[us]"
    )
    np.testing.assert_array_equal(read_date(texts, form), whole)
    columns = learn(texts)
    np.testing.assert_array_equal(
        columns.encode(pd.DataFrame({"a": texts})), columns.encode(pd.DataFrame({"a": whole}))
    )
    assert ("read as" in columns.rows[0].note) == (form != "ISO")


def test_days_and_months_that_may_be_either():
    april = [f"{day:02}/04/1912" for day in (10, 11, 12)] * 40
    columns = learn(april)
    assert columns.encoders[0].format == "%d/%m/%Y"  # three days, not three months
    assert "read as %d/%m/%Y, though %m/%d/%Y fits, too" in columns.rows[0].note
    assert learn([f"04/{day:02}/1912" for day in (10, 11, 12)] * 40).encoders[0].format == "%m/%d/%Y"
    clear = [*april[:-1], "13/04/1912"]
    for training in (EVERY, np.arange(N) < N - 1):  # also if the row that decides is set aside
        assert "though" not in learn(clear, training).rows[0].note


def test_dates_with_time_zones_are_read_in_utc():
    zoned = pd.date_range("2024-01-01", periods=N, freq="7h", tz="Europe/Berlin")
    utc = zoned.tz_convert("UTC").tz_localize(None)
    for same in (zoned, zoned.tz_convert("Asia/Tokyo"), [stamp.isoformat() for stamp in zoned]):
        np.testing.assert_allclose(
            learn(same).encode(pd.DataFrame({"a": same})), learn(utc).encode(pd.DataFrame({"a": utc})), atol=1e-9
        )
    with pytest.raises(ValueError, match="expected dates in column 'a', as in training, got 'soon'"):
        learn(utc).encode(pd.DataFrame({"a": ["soon", "later"]}))


def test_time_spans_and_decimals_are_numbers():
    import decimal

    seconds = encoded(pd.to_timedelta(np.arange(N), "min"))["a"]
    np.testing.assert_allclose(seconds, np.arange(N) * 60)
    np.testing.assert_allclose(encoded([decimal.Decimal(k) / 4 for k in range(N)])["a"], np.arange(N) / 4)


def test_everything_is_learnt_from_the_training_part_only():
    frame = pd.DataFrame({"x": TARGET, "kind": ["a", "b"] * 60, "day": pd.date_range("2024-01-01", periods=N)})
    held = fastbp.train(frame, TARGET, validation=0.25, seed=3, epochs=1)
    changed = frame.copy()
    # which rows are set aside does not depend on X
    rows = np.ones(N, bool)
    for k in range(N):
        other = frame.copy()
        other.loc[k, "x"] = 1e6
        rows[k] = fastbp.train(other, TARGET, validation=0.25, seed=3, epochs=0).x_mean[0] == held.x_mean[0]
    assert rows.sum() == 30
    changed.loc[rows, "x"], changed.loc[rows, "kind"], changed.loc[rows, "day"] = 1e9, "new", pd.Timestamp("2199-01-01")
    again = fastbp.train(changed, TARGET, validation=0.25, seed=3, epochs=1)
    assert again.columns == held.columns
    np.testing.assert_array_equal(again.x_scale, held.x_scale)
    np.testing.assert_array_equal(again.params, held.params)


@pytest.mark.filterwarnings("ignore::fastbp.TableWarning")
def test_a_network_takes_raw_rows_in_any_order(tmp_path):
    frame = passengers()
    y = np.where((frame["sex"] == "female") | (frame["age"] > 60), "yes", "no")
    net = fastbp.train(frame, y, validation=0.2, epochs=20, seed=0)
    proba = net.predict_proba(frame)
    net.save(tmp_path / "m.fbp")
    again = fastbp.load(tmp_path / "m.fbp")
    assert again.columns == net.columns
    for rows in (
        frame[frame.columns[::-1]],
        frame.assign(extra="x"),
        frame[list(net.feature_names)],
        pl.from_pandas(frame),
    ):
        np.testing.assert_array_equal(net.predict_proba(rows), proba)
        np.testing.assert_array_equal(again.predict_proba(rows), proba)
    np.testing.assert_array_equal(net.predict_proba(net.encode(frame)), proba)
    np.testing.assert_array_equal(net.predict_proba(frame[5:6]), proba[5:6])
    with pytest.raises(ValueError, match="missing: 'sex', 'age'"):
        net.predict(frame.drop(columns=["sex", "age"]))
    with pytest.raises(ValueError, match="missing: 'age'; was it renamed to 'Age'"):
        net.predict(frame.rename(columns={"age": "Age"}))
    with pytest.raises(ValueError, match=r"y: expected one of .*'sex'.*got 'survived'"):
        fastbp.train(frame, "survived")
    with pytest.raises(
        ValueError, match="y: expected one target for each sample, got the name 'survived'; X must be a table"
    ):
        fastbp.train(np.ones((4, 2)), "survived")
    on = fastbp.train(frame, y, init=net, epochs=1)
    assert on.columns is net.columns
    on = fastbp.train(net.encode(frame), y, init=net, epochs=1)
    assert on.columns is net.columns
    assert on.examples is None
    own = fastbp.train(frame.assign(y=y), "y", validation=(frame[::-1], y[::-1]), epochs=20, seed=0)
    assert own.history["validation_loss"].shape == (20,)


def test_heavily_skewed_targets_are_pointed_out():
    skewed = np.exp(3 * TARGET)
    frame = pd.DataFrame({"a": TARGET})
    with pytest.warns(fastbp.TableWarning, match=r"the target is heavily skewed \(skewness .*learn its logarithm"):
        fastbp.train(frame, skewed, epochs=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fastbp.train(frame, TARGET, epochs=1)
        fastbp.train(frame, np.log(skewed), epochs=1)


def test_a_wide_table():
    wide = pd.DataFrame(RNG.normal(size=(40, 1000)), columns=[f"c{k}" for k in range(1000)])
    net = fastbp.train(wide, TARGET[:40], hidden=(4,), epochs=1)
    assert net.sizes[0] == 1000
    with pytest.raises(ValueError, match=r"missing: 'c0', .*'c7', \.\.\. \(999 in all\)"):
        net.predict(wide[["c999"]])


CELLS = st.sampled_from(
    [None, "", " x", "x", "yes", "12", "1e5", "2024-01-05", "05/06/2024", "?", 1, 2.5, True, datetime.date(2024, 1, 5)]
)


@settings(max_examples=60)
@given(
    st.lists(st.lists(CELLS, min_size=6, max_size=6), min_size=1, max_size=3), st.lists(CELLS, min_size=1, max_size=6)
)
def test_any_mixture_of_cells_gives_finite_inputs_or_one_clear_error(values, later):
    frame = pd.DataFrame({f"c{k}": pd.Series(column * 3, dtype=object) for k, column in enumerate(values)})
    fitted, error = attempt(Columns.fit, frame, list(frame), np.ones(18, bool))
    assert "all are left out" in error
    if fitted is None:
        return
    columns, _ = fitted
    assert np.isfinite(columns.encode(frame)).all()
    again = Columns.from_json(json.loads(json.dumps(columns.to_json())))
    assert again == columns
    encoded, error = attempt(again.encode, pd.DataFrame({name: pd.Series(later, dtype=object) for name in frame}))
    assert "as in training" in error
    assert encoded is None or np.isfinite(encoded).all()


def attempt(call, *arguments):
    """The result and "all are left out, as in training", or None and the text of the error."""
    try:
        return call(*arguments), "all are left out, as in training"
    except ValueError as error:
        return None, str(error)


@pytest.mark.parametrize(
    "change",
    [
        *({"kind": "magic"}, {"kind": None}, {"values": ["a", 1]}, {"values": "ab"}, {"values": []}),
        *({"other": 1}, {"name": 7}, {"more": 1}),
    ],
)
def test_false_columns_are_refused(change):
    stored = learn(["a", "b"] * 60).to_json()
    stored = json.loads(json.dumps(stored))
    stored["encoders"][0] |= change
    with pytest.raises((ValueError, KeyError, TypeError)):
        Columns.from_json(stored)


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_may_be_the_path_of_a_file(ending, tmp_path):
    frame = pd.DataFrame({"zip": np.tile(["01", "2x", "03"], 40), "x": TARGET, "y": TARGET * 2})
    path = tmp_path / f"t.{ending}"
    frame.to_csv(path, index=False) if ending == "csv" else frame.to_parquet(path)
    net = fastbp.train(path, "y", epochs=3, seed=0)
    assert net.feature_names == ("zip", "x")
    np.testing.assert_array_equal(net.params, fastbp.train(frame, "y", epochs=3, seed=0).params)
    np.testing.assert_array_equal(net.predict(str(path)), net.predict(frame))
    # alone, 01 and 03 would be read as numbers
    frame[frame["zip"] != "2x"].to_csv(tmp_path / "digits.csv", index=False)
    np.testing.assert_array_equal(net.predict(tmp_path / "digits.csv"), net.predict(frame)[frame["zip"] != "2x"])
    with pytest.raises(FileNotFoundError, match=r"none\.csv: there is no such file"):
        net.predict(tmp_path / "none.csv")
