"""Targets as databases and masked arrays have them: numbers that are objects, gaps, masks."""

from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.data import targets

X = np.arange(8.0)[:, None]
NUMBERS = np.array([1.5, 2.25, 3.5, 4.0, 5.75, 6.5, 7.25, 8.0])
QUICK = {"epochs": 2, "hidden": (), "seed": 0, "progress": False}
MASKED = np.ma.masked_equal(np.where(np.arange(8) == 2, -9999.0, NUMBERS), -9999)


@pytest.mark.parametrize("kind", [Decimal, Fraction, float, np.float64])
@pytest.mark.parametrize(
    "made", [list, lambda values: pd.Series(values, dtype=object), lambda values: np.array(values, object)]
)
def test_numbers_that_are_objects_are_numbers(kind, made):
    net = fastbp.train(X, made([kind(value) for value in NUMBERS.tolist()]), **QUICK)
    wanted = fastbp.train(X, NUMBERS, **QUICK)
    assert net.task == "regression"
    np.testing.assert_array_equal(net.params, wanted.params)
    assert net.score(X, made([kind(value) for value in NUMBERS.tolist()])) == wanted.score(X, NUMBERS)


@pytest.mark.parametrize("kind", ["Float64", "Float32", "float64[pyarrow]"])
def test_extension_types_are_numbers(kind):
    if "pyarrow" in kind:
        pytest.importorskip("pyarrow")
    net = fastbp.train(X, pd.Series(NUMBERS).astype(kind), **QUICK)
    np.testing.assert_array_equal(net.params, fastbp.train(X, NUMBERS, **QUICK).params)


def test_columns_of_objects():
    y = [[Decimal("0.5"), Decimal(k)] for k in range(8)]
    found = targets.read(y, "auto", 8)
    assert (found.task, found.values.dtype) == ("regression", np.float64)
    np.testing.assert_array_equal(found.values, np.c_[np.full(8, 0.5), np.arange(8)])
    inputs = np.array([[Decimal(k)] for k in range(8)], object)
    np.testing.assert_array_equal(
        fastbp.train(inputs, NUMBERS, **QUICK).params, fastbp.train(X, NUMBERS, **QUICK).params
    )


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            [Decimal(1), None, *map(Decimal, range(6))],
            r"y: expected finite numbers, got nan at row 1 \(1 such in all\)",
        ),
        (
            pd.Series([1, 2, 3, None] * 2, dtype="Int64"),
            r"y: expected finite numbers, got nan at row 3 \(2 such in all\)",
        ),
        (
            pd.Series([1.5, None] * 4, dtype="Float64"),
            r"y: expected finite numbers, got nan at row 1 \(4 such in all\)",
        ),
        (pd.Series([True, None] * 4, dtype="boolean"), r"y: expected a label for each sample, got <NA> at row 1 \(4 "),
        ([True, False, None, True] * 2, r"y: expected a label for each sample, got None at row 2 \(2 such in all\)"),
        ([[1, None]] * 8, "y: expected numbers, got None of type NoneType at row 0, column 1"),
        (MASKED, "y: expected an array without masked values, got 1 of them"),
        (MASKED.astype(int), "y: expected an array without masked values, got 1 of them"),
    ],
)
def test_gaps_and_masks(y, message):
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, y, **QUICK)


def test_masks_elsewhere():
    message = "expected an array without masked values, got 1 of them"
    for options in ({"sample_weight": MASKED}, {"validation": (X, MASKED)}, {"validation": (X, NUMBERS, MASKED)}):
        with pytest.raises(ValueError, match=message):
            fastbp.train(X, NUMBERS, **QUICK | options)
    net = fastbp.train(X, NUMBERS, **QUICK)
    with pytest.raises(ValueError, match=message):
        net.score(X, MASKED)
    classes = fastbp.train(X, NUMBERS > 4, **QUICK)
    with pytest.raises(ValueError, match="expected an array without masked values, got 4 of them"):
        classes.score(X, np.ma.masked_equal((NUMBERS > 4).astype(int), 0))
    whole = np.ma.masked_equal(NUMBERS, 77)  # nothing is masked
    np.testing.assert_array_equal(fastbp.train(X, whole, **QUICK).params, net.params)


def test_masked_groups():
    groups = np.ma.masked_equal(np.arange(8) // 2, 3)
    with pytest.raises(ValueError, match="groups: expected an array without masked values, got 2 of them"):
        fastbp.cross_validate(X, NUMBERS, folds=2, groups=groups, **QUICK)


@pytest.mark.parametrize("value", [0.5, 1e-6, -3e7, 0.0])
@pytest.mark.parametrize(
    "more", [{}, {"hidden": (4,)}, {"scale": False}, {"loss": "absolute_error"}, {"dtype": "float64"}]
)
def test_a_constant_target_is_predicted_as_it_is(value, more, tmp_path):
    net = fastbp.train(X, np.full(8, value), task="regression", **QUICK | more)
    wanted = np.full(8, value).astype(net.dtype)
    np.testing.assert_array_equal(net.predict(X), wanted)
    assert net.score(X, wanted) == 1
    net.save(tmp_path / "net.fbp")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "net.fbp").predict(X), wanted)
    net.to_numpy(tmp_path / "net.py", X)
    out = np.empty(1)
    net.jit()(X[0], out)
    assert out[0] == wanted[0]


def test_one_constant_target_of_two(tmp_path):
    y = np.c_[NUMBERS, np.full(8, 0.5)]
    net = fastbp.train(X, y, **QUICK | {"epochs": 50})
    found = net.predict(X)
    np.testing.assert_array_equal(found[:, 1], np.float32(0.5))
    assert np.ptp(found[:, 0]) > 0
    np.testing.assert_array_equal(found[:, 0], net.predict(np.r_[X, 100 * X])[:8, 0])
    assert np.abs(net.predict(1e6 * X)[:, 0]).max() > NUMBERS.max()  # the other one is not cut
    net.to_c(tmp_path / "net.c", X)  # each is compared with the network
    net.to_numpy(tmp_path / "net.py", X)
    if find_spec("onnx") and find_spec("onnxruntime"):
        net.to_onnx(tmp_path / "net.onnx", X)
    assert fastbp.train(X, NUMBERS, **QUICK).target_range is None


@pytest.mark.parametrize(("scale", "advice"), [(True, "or clip_norm=1.0"), (False, "clip_norm=1.0, and scale=True")])
def test_advice_after_divergence_is_not_what_is_done_already(scale, advice):
    with pytest.warns(fastbp.DivergenceWarning) as caught:
        fastbp.train(X, NUMBERS, **QUICK | {"learning_rate": 1e31, "optimizer": "sgd", "scale": scale, "epochs": 50})
    assert f"try a learning_rate of 1e+30, {advice}. The network" in str(caught[0].message)


# Text that is no class

TEXTS = {
    "thousands": ([f"{v:,.2f}" for v in np.linspace(900, 9000, 40)], "they look like numbers written as 1,234.5"),
    "decimal commas": ([f"{k},{k % 9}1" for k in range(40)], "they look like numbers written as 1234,5"),
    "one mark for two things": (
        [f"{k + 1}.{k:03d}" for k in range(40)],
        "unclear which of their marks begins the fraction",
    ),
    "plain numbers": (
        [f"{k}.5" for k in range(40)],
        r"numbers in the form of text: turn them into floats, such as by y.asty",
    ),
    "numbers, but for one": ([f"{k}.5" for k in range(39)] + ["lots"], "they look like numbers, but for 'lots'"),
    "dates": ([f"2024-01-{k % 28 + 1:02d} 0{k % 7}:00" for k in range(40)], "they look like dates"),
    "names": ([f"person {k}" for k in range(40)], "they look like names, identifiers or free text"),
    "bytes": ([b"%d!" % k for k in range(40)], "they look like names"),
    "timestamps": (pd.date_range("2024-01-01", periods=40), "they look like dates"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_target_of_nearly_all_different_text_is_no_class(case):
    y, words = TEXTS[case]
    X = np.arange(40.0)[:, None]
    calls = (fastbp.train, fastbp.cross_validate, lambda X, y: fastbp.ensemble(X, y, 2))
    for call in calls:
        with pytest.raises(
            ValueError, match=rf"y: expected numbers, or labels that occur several times, got .*{words}"
        ):
            call(X, y)
    with pytest.raises(ValueError, match=r"y: column 'price': expected numbers, or labels that occur several times"):
        fastbp.train(pd.DataFrame({"x": X[:, 0], "price": y}), "price")
    assert fastbp.train(X, y, task="classification", epochs=1, seed=0).task == "classification"


def test_labels_of_which_many_are_rare_are_classes():
    labels = [f"k{k % 20}" for k in range(40)]
    assert fastbp.train(np.arange(40.0)[:, None], labels, epochs=1, seed=0).task == "classification"
    assert fastbp.train([[0.0], [1.0], [2.0]], ["a", "b", "c"], epochs=1, seed=0).task == "classification"
