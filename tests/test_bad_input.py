"""Input that is odd or wrong: it works, or the error names the argument and what was passed."""

import numpy as np
import pandas as pd
import polars as pl
import pytest

import fastbp

rng = np.random.default_rng(0)
X = rng.normal(size=(40, 3))
Y = X @ [1.0, -2.0, 0.5]
LABELS = (Y > 0).astype(int)
QUICK = {"epochs": 2, "hidden": (4,), "seed": 0}


def plain():
    return fastbp.train(X, Y, **QUICK).params


FORMS = {
    "list": X.tolist(),
    "fortran": np.asfortranarray(X),
    "strided": np.repeat(X, 2, axis=0)[::2],
    "reversed": X[::-1][::-1],
    "pandas": pd.DataFrame(X),
    "polars": pl.DataFrame(X, schema=["a", "b", "c"]),
    "object": X.astype(object),
    "longdouble": X.astype(np.longdouble),
    "big-endian": X.astype(">f8"),
    "masked": np.ma.masked_array(X),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_same_numbers_gives_the_same_network(form):
    assert (fastbp.train(FORMS[form], Y, **QUICK).params == plain()).all()


def test_read_only_arrays_and_memory_maps(tmp_path):
    frozen = X.copy()
    frozen.flags.writeable = False
    assert (fastbp.train(frozen, Y, **QUICK).params == plain()).all()
    for dtype in (np.float64, np.float32):
        path = tmp_path / f"{dtype.__name__}.dat"
        X.astype(dtype).tofile(path)
        mapped = np.memmap(path, dtype, "r", shape=X.shape)
        net = fastbp.train(mapped, Y.astype(dtype), scale=False, **QUICK)
        assert net.predict(mapped).shape == (40,)


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.int64, np.float16, np.float32])
def test_dtypes_of_numbers(dtype):
    whole = (np.abs(X) * 3).astype(dtype)
    assert np.isfinite(fastbp.train(whole, LABELS, **QUICK).predict_proba(whole)).all()


def test_the_users_arrays_are_not_changed():
    data, target, weight = X.copy(), Y.copy(), np.ones(40)
    for scale in (True, False):
        net = fastbp.train(data, target, sample_weight=weight, scale=scale, dtype="float64", **QUICK)
        net.predict(data)
    assert (data == X).all()
    assert (target == Y).all()


def test_small_and_odd_data_works():
    assert fastbp.train([[1.0]], [2.0], **QUICK).predict([[1.0]]).shape == (1,)
    assert fastbp.train(X[:, :1], Y, **QUICK).sizes[0] == 1
    constant = np.column_stack([X, np.full(40, 7.3), np.zeros(40)])
    net = fastbp.train(constant, Y, **QUICK)
    assert np.isfinite(net.predict(constant + 1)).all()
    assert np.isfinite(fastbp.train(X, np.full(40, 5.5), **QUICK).predict(X)).all()
    assert np.isfinite(fastbp.train(X * 1e30, Y * 1e30, **QUICK).predict(X * 1e30)).all()
    assert np.isfinite(fastbp.train(X * 1e-300, Y, **QUICK).predict(X * 1e-300)).all()
    assert fastbp.train(X, Y[:, None], **QUICK).predict(X).shape == (40,)
    assert fastbp.train(X, Y, **QUICK).predict(np.empty((0, 3))).shape == (0,)
    assert fastbp.train(X, LABELS, **QUICK).predict_proba(np.empty((0, 3))).shape == (0, 2)


BAD_X = {
    "one dimension": (X[:, 0], r"X: expected 2 dimensions .* got 1 .*reshape\(-1, 1\)"),
    "three dimensions": (X[None], "X: expected 2 dimensions"),
    "no sample": (X[:0], "X: expected at least one sample"),
    "no feature": (X[:, :0], "X: expected at least one feature"),
    "a nan": (
        np.where(np.arange(120).reshape(40, 3) == 7, np.nan, X),
        "X: expected finite numbers, got nan at row 2, column 1",
    ),
    "an inf": (
        np.where(np.arange(120).reshape(40, 3) == 0, np.inf, X),
        "X: expected finite numbers, got inf at row 0, column 0",
    ),
    "text": (X.astype(str), "X: expected real numbers, got text"),
    "text in an object array": (
        np.array([[1, "a", 2]] * 40, object),
        "X: expected numbers, got 'a' of type str at row 0, column 1",
    ),
    "None": (
        np.array([[1, None, 2]] * 40, object),
        "X: expected numbers, got None of type NoneType at row 0, column 1",
    ),
    "an infinite value in a frame": (
        pd.DataFrame({"a": [1.0, np.inf] * 20}),
        "X: expected finite numbers, got inf in column 'a', row 1",
    ),
    "complex": (X + 1j, "X: expected real numbers, got complex numbers"),
    "dates": (np.full((40, 1), np.datetime64("2020-01-01")), "X: expected real numbers, got dates"),
    "ragged rows": ([[1.0, 2.0], [3.0]] * 20, "X: expected an array of numbers, all rows of one length"),
    "repeated columns": (pd.DataFrame(X, columns=["a", "b", "a"]), "X: expected column names that differ, got 'a'"),
    "other length": (X[:30], "y: expected one target for each of the 30 samples of X, got 40"),
}


@pytest.mark.parametrize("case", BAD_X)
def test_bad_x(case):
    value, message = BAD_X[case]
    with pytest.raises(ValueError, match=message):
        fastbp.train(value, Y, **QUICK)


def test_numbers_beyond_the_dtype():
    with pytest.raises(ValueError, match=r"X: expected numbers within the range of float32.*dtype='float64'"):
        fastbp.train(X * 1e300, Y, scale=False, **QUICK)
    with pytest.raises(ValueError, match="X: expected numbers that can be standardised"):
        fastbp.train(X * 1e300 * [1, 1, 1e5], Y, **QUICK)


def test_sparse_matrices_are_refused_with_a_way_out():
    sparse = pytest.importorskip("scipy.sparse")
    net = fastbp.train(sparse.csr_array(X), Y, **QUICK)
    with pytest.raises(ValueError, match=r"X: expected a dense array, got a sparse csr_array; pass X.toarray\(\)"):
        net.encode(sparse.csr_array(X))


BAD_Y = {
    "nan": (np.where(np.arange(40) == 3, np.nan, Y), {}, "y: expected finite numbers, got nan at row 3"),
    "one class": (np.zeros(40, int), {}, "y: expected at least two classes for classification, got only 0"),
    "one label": (np.array(["a"] * 40), {}, "y: expected at least two classes for classification, got only 'a'"),
    "three dimensions": (Y.reshape(40, 1, 1), {}, "y: expected 1 or 2 dimensions, got 3"),
    "no column": (np.empty((40, 0)), {}, "y: expected at least one column"),
    "text for regression": (np.array(["a", "b"] * 20), {"task": "regression"}, "y: expected real numbers, got text"),
    "fractions for classes": (Y, {"task": "classification"}, "y: expected labels for classification, got the fraction"),
    "columns for classes": (
        np.column_stack([LABELS] * 2),
        {"task": "classification"},
        "y: expected one column of labels",
    ),
    "twos for multilabel": (
        np.full((40, 2), 2),
        {"task": "multilabel"},
        "y: expected only 0 and 1 for multilabel, got",
    ),
    "complex": (Y + 1j, {}, "y: expected real numbers or labels"),
    "missing label": (np.array(["a", None] * 20, object), {}, "y: expected a label for each sample, got None at row 1"),
    "mixed labels": (
        np.array(["a", 1] * 20, object),
        {"task": "classification"},
        "y: expected labels of one sortable type",
    ),
    "shorter": (Y[:10], {}, "y: expected one target for each of the 40 samples"),
}


@pytest.mark.parametrize("case", BAD_Y)
def test_bad_y(case):
    value, options, message = BAD_Y[case]
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, value, **QUICK, **options)


BAD_OPTIONS = [
    ({"task": "clasification"}, "task: expected one of .* did you mean 'classification'"),
    ({"activation": "rellu"}, "activation: expected one of .* got 'rellu'; did you mean 'relu'"),
    ({"activation": None}, "activation: expected one of .* got None"),
    ({"activation": "softmax"}, "activation: expected one of"),
    ({"activation": ["relu", "tanh"]}, "activation: expected one name, or one for each of the 1 hidden layers, got 2"),
    ({"output": "sigmoid"}, r"output \(for classification\): expected one of"),
    ({"output": "identity"}, r"output \(for classification\): expected one of"),
    ({"loss": "mse"}, "loss: expected one of"),
    (
        {"task": "regression", "loss": "log_loss"},
        "loss: expected one of 'squared_error'.* for regression, got 'log_loss'; pass task",
    ),
    ({"optimizer": "Adam"}, "optimizer: expected one of .* did you mean 'adam'"),
    ({"optimizer": None}, "optimizer: expected one of .* got None"),
    ({"learning_rate": -0.1}, "learning_rate: expected a finite number above 0, got -0.1"),
    ({"learning_rate": float("nan")}, "learning_rate: expected a finite number above 0, got nan"),
    ({"learning_rate": "fast"}, "learning_rate: expected a finite number"),
    ({"batch_size": 0}, "batch_size: expected an integer of at least 1, got 0"),
    ({"batch_size": 2.5}, "batch_size: expected an integer"),
    ({"epochs": -1}, "epochs: expected an integer of at least 0, got -1"),
    ({"epochs": True}, "epochs: expected an integer"),
    ({"hidden": (0,)}, "hidden: expected an integer of at least 1, got 0"),
    ({"hidden": (4, -1)}, "hidden: expected an integer of at least 1, got -1"),
    ({"hidden": "64"}, "hidden: expected an integer of at least 1, got '64'"),
    ({"hidden": (4, None)}, "hidden: expected an integer of at least 1, got None"),
    ({"validation": "none"}, "validation: expected a fraction"),
    ({"schedule": "steps"}, "schedule: expected one of"),
    ({"encode": "bins"}, "encode: expected one of 'standard', 'piecewise', 'auto', got 'bins'"),
    ({"encode": True}, "encode: expected one of 'standard', 'piecewise', 'auto', got True"),
    ({"l2": -1}, "l2: expected a finite number at least 0, got -1"),
    ({"target_loss": -1}, "target_loss: expected"),
    ({"target_accuracy": 1.5}, "target_accuracy: expected a number of at most 1, got 1.5"),
    ({"task": "regression", "target_accuracy": 0.9}, "target_accuracy: expected None for regression"),
    ({"max_seconds": 0}, "max_seconds: expected a finite number above 0, got 0"),
    ({"patience": 5}, "patience: expected a validation set"),
    ({"patience": 0, "validation": 0.2}, "patience: expected an integer of at least 1"),
    ({"validation": 1.0}, "validation: expected a finite number above 0 and below 1, got 1.0"),
    ({"validation": 20}, "validation: expected a fraction between 0 and 1"),
    ({"validation": 1e-6}, "validation: expected a fraction that leaves samples on both sides"),
    ({"validation": (X[:, :2], LABELS)}, r"validation\[0\]: expected 3 features, got 2"),
    ({"validation": (X, LABELS[:5])}, r"validation\[1\]: expected one label for each of the 40 samples, got 5"),
    ({"validation": (X, LABELS + 5)}, r"validation\[1\]: expected labels seen in training \(0, 1\), got"),
    ({"sample_weight": np.ones(3)}, r"sample_weight: expected shape \(40,\), got \(3,\)"),
    ({"sample_weight": -np.ones(40)}, "sample_weight: expected numbers of at least 0"),
    ({"sample_weight": np.zeros(40)}, "sample_weight: expected numbers of at least 0, not all 0"),
    ({"class_weight": {2: 1.0}}, "class_weight: expected the labels of y, got 2"),
    ({"class_weight": "balance"}, "class_weight: expected one of 'balanced'.* did you mean 'balanced'"),
    ({"class_weight": 3}, "class_weight: expected 'balanced' or a dict"),
    ({"task": "regression", "class_weight": "balanced"}, "class_weight: expected None for regression"),
    ({"dtype": "float16"}, "dtype: expected one of 'float32', 'float64', got 'float16'"),
    ({"init": "xavier"}, "init: expected one of"),
    ({"seed": -1}, "seed: expected an integer of at least 0"),
    ({"threads": 0}, "threads: expected an integer of at least 1"),
    ({"threads": 10**6}, "threads: expected at most"),
    ({"scale": "yes"}, "scale: expected True or False, got 'yes'"),
    ({"shuffle": 1}, "shuffle: expected True or False, got 1"),
    ({"callback": 3}, "callback: expected a function"),
]


@pytest.mark.parametrize(
    ("options", "message"), BAD_OPTIONS, ids=[str(i) + next(iter(o)) for i, (o, _) in enumerate(BAD_OPTIONS)]
)
def test_bad_options(options, message):
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, LABELS, **{**QUICK, **options})


def test_unknown_arguments_are_refused():
    with pytest.raises(TypeError, match="learning_rte"):
        fastbp.train(X, Y, learning_rte=0.1)


def test_warm_start_that_does_not_fit():
    net = fastbp.train(X, LABELS, **QUICK)
    with pytest.raises(ValueError, match="X: expected the 3 features of the network given as init, got 2"):
        fastbp.train(X[:, :2], LABELS, init=net)
    with pytest.raises(ValueError, match="y: expected labels seen in training"):
        fastbp.train(X, LABELS + 1, init=net)
    with pytest.raises(ValueError, match="hidden: expected"):
        fastbp.train(X, LABELS, init=net, hidden=(5,))
    with pytest.raises(ValueError, match="activation: expected"):
        fastbp.train(X, LABELS, init=net, activation="tanh")
    with pytest.raises(ValueError, match="activation: expected"):
        fastbp.train(X, LABELS, init=net, activation=["tanh"])
    assert fastbp.train(X, LABELS, init=net, activation=["relu"], epochs=1).sizes == net.sizes
    with pytest.raises(ValueError, match="task: expected 'classification'"):
        fastbp.train(X, LABELS, init=net, task="regression")


class TestPrediction:
    net = property(lambda self: fastbp.train(X, LABELS, **QUICK))

    def test_shapes(self):
        with pytest.raises(ValueError, match="X: expected 3 features, got 2"):
            self.net.predict(X[:, :2])
        with pytest.raises(ValueError, match=r"X: expected 2 dimensions.*reshape\(1, -1\)"):
            self.net.predict(X[0])
        with pytest.raises(ValueError, match="X: expected finite numbers"):
            self.net.predict(X * np.nan)

    @pytest.mark.parametrize("rows", [1, 40])
    @pytest.mark.parametrize("dtype", ["float32", "float64"])
    def test_numbers_out_of_range(self, dtype, rows):
        net = fastbp.train(X * 1e-3, Y, dtype=dtype, **QUICK)
        far = np.where(np.arange(3) == 1, 1e37 if dtype == "float32" else 1e307, X[:rows])
        with pytest.raises(
            ValueError,
            match=f"X: expected numbers (within the range of|that can be standardised in) {dtype}, got [0-9]",
        ):
            net.predict(far)

    def test_scores(self):
        with pytest.raises(ValueError, match="y: expected one label for each of the 40 samples, got 39"):
            self.net.score(X, LABELS[1:])
        assert self.net.score(X, np.array(["new"] * 40)) == 0

    def test_thresholds(self):
        with pytest.raises(ValueError, match="threshold: expected a probability of at most 1, got 2"):
            self.net.predict(X, threshold=2)
        three = fastbp.train(X, np.arange(40) % 3, **QUICK)
        with pytest.raises(ValueError, match=r"threshold: expected 0\.5 with 3 classes"):
            three.predict(X, threshold=0.3)

    def test_regression_has_no_probabilities(self):
        with pytest.raises(ValueError, match="predict_proba: expected a network for classification"):
            fastbp.train(X, Y, **QUICK).predict_proba(X)

    @pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame])
    def test_frames_are_read_by_their_column_names(self, frame):
        columns = dict(zip("abc", X.T, strict=True))
        net = fastbp.train(frame(columns), LABELS, **QUICK)
        assert net.feature_names == ("a", "b", "c")
        mixed = frame({"extra": LABELS, "c": columns["c"], "a": columns["a"], "b": columns["b"]})
        assert (net.predict_proba(mixed) == net.predict_proba(X)).all()
        with pytest.raises(
            ValueError, match="X: expected the columns that the network was trained on; missing: 'a', 'b'"
        ):
            net.predict(frame({"c": columns["c"]}))
