"""Odd and wrong tables, in Python and through the command line: a sensible network, or an error in clear words."""

import warnings

import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run

import fastbp

N = 200
RNG = np.random.default_rng(0)
PLAIN = pd.DataFrame({"x": RNG.random(N), "z": RNG.normal(size=N)})
Y = (5 * PLAIN["x"] + PLAIN["z"]).to_numpy()
TARGETS = {"number": Y, "class": np.where(Y.mean() < Y, "high", "low")}
GAPS = RNG.random(N) < 0.5
WIDE = pd.DataFrame(RNG.normal(size=(N, 300))).add_prefix("c")


def of(**columns):
    return pd.DataFrame(columns)


def first(value, rest):
    """A value, and another one in all other rows."""
    return [value] + [rest] * (N - 1)


# Tables from which something can be learnt, how many rows of them are taken, and what becomes of column a.
LEARNT = {
    "all missing": (PLAIN.assign(a=np.nan), N, "no values"),
    "all missing, as text": (PLAIN.assign(a=""), N, "no values"),
    "constant": (PLAIN.assign(a=3.5), N, "always 3.5"),
    "constant text": (PLAIN.assign(a="same"), N, "always 'same'"),
    "constant or missing": (PLAIN.assign(a=np.where(GAPS, np.nan, 7.0)), N, "missing, filled with the median 7"),
    "two values": (PLAIN.assign(a=np.where(GAPS, 3, 10)), N, ""),
    "nothing but two values": (of(a=np.where(GAPS, 3, 10)), N, ""),
    "whole numbers, few of them": (PLAIN.assign(a=RNG.integers(0, 4, N)), N, "pieces"),
    "a few numbers far from all others": (PLAIN.assign(a=np.where(np.arange(N) < 10, 1e9, 0.0)), N, ""),
    "yes and no": (PLAIN.assign(a=GAPS), N, ""),
    "nothing but text": (of(a=RNG.choice(["r", "g", "b"], N), b=RNG.choice(["u", "v"], N)), N, "b, g, r"),
    "more columns than rows": (WIDE.assign(a=1.0), 60, "always 1"),
    "many more columns than rows": (WIDE.assign(a=1.0), 12, "always 1"),
}


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("case", LEARNT)
def test_odd_tables_are_learnt(capsys, tmp_path, case, kind):
    frame, rows, note = LEARNT[case]
    frame = frame[:rows].assign(target=TARGETS[kind][:rows])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        net = fastbp.train(frame, "target", seed=0, epochs=5, progress=False)
    assert note in {row.name: row.note for row in net.columns.rows}["a"]
    hollow = frame.assign(**dict.fromkeys(net.columns.names, np.nan))
    odd = pd.concat([frame[:1], _far(frame, 1e12), _far(frame, -1e290), hollow])
    _assert_sensible(net, odd)
    frame.to_csv(tmp_path / "table.csv", index=False)
    odd.to_csv(tmp_path / "odd.csv", index=False)
    command = ["train", tmp_path / "table.csv", "--target", "target", "--epochs", 5, "--seed", 0, "--quiet"]
    status, _, err = run(capsys, *command, "--save", tmp_path / "m.fbp")
    assert (status, err) == (0, "")
    status, out, err = run(capsys, "predict", tmp_path / "m.fbp", tmp_path / "odd.csv")
    assert (status, err) == (0, "")
    again = fastbp.load(tmp_path / "m.fbp")
    assert again.columns.names == net.columns.names
    _assert_sensible(again, odd)
    assert len(out.splitlines()) == len(odd) + 1


def _far(frame, factor):
    """The table with other numbers, far from those learnt."""
    numbers = [name for name in frame if name != "target" and frame[name].dtype.kind in "if"]
    return frame.assign(**{name: (frame[name].astype(float) + 1) * factor for name in numbers})


def _assert_sensible(net, frame):
    """One row or all of them: predictions within the range of the targets, and probabilities."""
    for rows in (frame, frame[:1]):
        if net.task == "regression":
            predicted = net.predict(rows)
            assert np.isfinite(predicted).all()
            if net.target_range is not None:
                least, most = net.target_range[:, 0].astype(np.float32)
                assert (least <= predicted).all()
                assert (predicted <= most).all()
        else:
            proba = net.predict_proba(rows)
            np.testing.assert_allclose(proba.sum(axis=1), 1, rtol=1e-5)
            assert (proba >= 0).all()


LEFT_OUT = "X: expected at least one column to learn from, but all are left out"
FREE = [f"word {k}" for k in range(N)]
REFUSED = {
    "nothing but missing values": (
        of(a=first(None, None), b=np.nan),
        Y,
        f"{LEFT_OUT} ('a': no values; 'b': no values)",
    ),
    "nothing but constants": (of(a=first(1, 1), b="q"), Y, f"{LEFT_OUT} ('a': always 1; 'b': always 'q')"),
    "nothing but free text": (of(a=FREE), Y, f"{LEFT_OUT} ('a': 160 different values in 160 rows"),
    "one row": (PLAIN[:1], Y[:1], f"{LEFT_OUT} ('x': always"),
    "one row and its class": (PLAIN[:1], ["a"], "expected at least two classes for classification, got only 'a'"),
    "no row": (PLAIN[:0], Y[:0], "X: expected at least one sample"),
    "infinite": (PLAIN.assign(a=first(np.inf, 1.0)), Y, "X: expected finite numbers, got inf in column 'a', row 0"),
    "minus infinity": (PLAIN.assign(a=first(-np.inf, 1.0)), Y, "got -inf in column 'a', row 0"),
    "too large": (
        PLAIN.assign(a=Y * 1e300),
        Y,
        "X: expected numbers that can be standardised in float64, got a mean of",
    ),
    "a target of one class": (PLAIN, ["a"] * N, "expected at least two classes for classification, got only 'a'"),
    "a target of one whole number": (PLAIN, [0] * N, "expected at least two classes for classification, got only 0"),
    "an infinite target": (PLAIN, first(np.inf, 0.5), "expected finite numbers, got inf"),
    "a target too large": (PLAIN, Y * 1e200, "expected numbers that can be standardised in float64, got a mean of"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_tables_that_are_refused(capsys, tmp_path, case):
    frame, y, text = REFUSED[case]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("ignore", fastbp.TableWarning)
        with pytest.raises(ValueError, match=r"^[Xy]: ") as caught:
            fastbp.train(frame, y, seed=0, epochs=5, progress=False)
    assert text in str(caught.value)
    frame.assign(target=y).to_csv(tmp_path / "table.csv", index=False)
    command = ["train", tmp_path / "table.csv", "--target", "target", "--epochs", 5, "--quiet"]
    assert_one_line(*run(capsys, *command, "--save", tmp_path / "m.fbp"))
    assert not (tmp_path / "m.fbp").exists()


def test_a_class_too_rare_for_the_validation_part():
    for rare in (1, 2):
        net = fastbp.train(PLAIN[:60], ["a"] * (60 - rare) + ["b"] * rare, seed=0, epochs=3, progress=False)
        assert net.classes.tolist() == ["a", "b"]
        _assert_sensible(net, PLAIN[:60])


def test_two_rows(capsys, tmp_path):
    for y in ([1.5, 2.5], ["a", "b"]):
        net = fastbp.train(PLAIN[:2], y, seed=0, epochs=3, progress=False)
        _assert_sensible(net, _far(PLAIN, 1e12))
    PLAIN[:2].assign(y=y).to_csv(tmp_path / "t.csv", index=False)
    command = ["train", tmp_path / "t.csv", "--target", "y", "--quiet", "--save", tmp_path / "m.fbp"]
    assert_one_line(
        *run(capsys, *command), "validation: expected a fraction that leaves samples on both sides, got 0.2"
    )
    assert run(capsys, *command, "--validation", 0)[0] == 0


def test_a_constant_target():
    net = fastbp.train(PLAIN, np.full(N, 2.5), seed=0, epochs=3, progress=False)
    np.testing.assert_array_equal(net.predict(_far(PLAIN, 1e12)), 2.5)


def test_infinite_numbers_are_refused_later_too(capsys, tmp_path):
    net = fastbp.train(PLAIN, Y, seed=0, epochs=3, progress=False)
    for wrong in (np.inf, -np.inf):
        with pytest.raises(ValueError, match=f"X: expected finite numbers, got {wrong} in column 'x', row 1"):
            net.predict(PLAIN[:3].assign(x=[0.0, wrong, 1.0]))
    net.save(tmp_path / "m.fbp")
    PLAIN[:3].assign(x=[0.0, np.inf, 1.0]).to_csv(tmp_path / "t.csv", index=False)
    assert_one_line(*run(capsys, "predict", tmp_path / "m.fbp", tmp_path / "t.csv"), "inf", "'x'")


# Numbers far from those of the training rows, with each way of predicting: in pieces, on all inputs, on a single layer.


@pytest.mark.parametrize(
    "options", [{}, {"encode": "standard"}, {"hidden": ()}, {"scale": False}, {"dtype": "float64"}]
)
@pytest.mark.parametrize("kind", TARGETS)
def test_numbers_are_cut_twenty_deviations_from_the_mean(kind, options):
    days = pd.date_range("2024-01-01", periods=N)
    frame = PLAIN.assign(day=days.strftime("%Y-%m-%d"), yes=GAPS)
    net = fastbp.train(frame, TARGETS[kind], seed=0, epochs=5, progress=False, validation=None, **options)
    mean, away = PLAIN["x"].mean(), 20 * PLAIN["x"].std(ddof=0)
    predict = net.forward if kind == "number" else net.predict_proba
    for far, limit in ((1e9, mean + away), (-1e300, mean - away)):
        np.testing.assert_array_equal(predict(frame.assign(x=far)), predict(frame.assign(x=limit)))
        inputs = net.encode(frame.assign(x=far))
        assert (abs((inputs - net.x_mean) / net.x_scale) < 21).all() or not net.options["scale"]
    near = mean + 0.99 * away
    assert (net.encode(frame.assign(x=near))[:, 0] == near).all()
    late, later = (net.encode(frame.assign(day=day)) for day in ("9990-01-01", "9999-12-31"))
    place = net.columns.inputs.index("day (days)")
    assert (late[:, place] == later[:, place]).all()
    assert later[0, place] < pd.Timestamp("2050-01-01").timestamp() / 86400
    np.testing.assert_array_equal(net.encode(frame.assign(yes=7)), net.encode(frame.assign(yes=True)))


def test_an_outlier_in_training_is_cut_and_ends_no_piece():
    many = pd.DataFrame({"a": np.append(np.linspace(0, 1, 2999), 1e9), "b": np.ones(3000)})
    columns = fastbp.tables.Columns.fit(many, ["a"], np.arange(3000), piecewise=True)[0]
    (number,) = columns.encoders
    assert number.limits[1] < 4e8
    assert number.edges[-1] == number.limits[1]
    inputs = columns.encode(many)
    np.testing.assert_allclose(inputs, columns.exported.expand(many[["a"]].to_numpy()), rtol=1e-12)
    np.testing.assert_array_equal(inputs[-1], [number.limits[1], *[1.0] * (len(number.edges) - 1)])
