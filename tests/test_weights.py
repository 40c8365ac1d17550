"""Sample weights: a row of weight 0 has no influence on anything, and a whole number stands for so many equal rows."""

import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp import losses
from fastbp.tables import Columns

N = 90
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "x": RNG.normal(size=N),
        "z": np.where(np.arange(N) % 7 == 3, np.nan, RNG.exponential(size=N)),
        "kind": RNG.choice(["a", "b", "c"], N),
        "day": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 500, N), "D"),
    }
)
X = RNG.normal(size=(N, 3))
NUMBERS = np.sin(2 * X[:, 0]) + FRAME["x"].to_numpy()
CLASSES = np.array(["high", "low", "middle"])[(NUMBERS > 0.5).astype(int) + (X[:, 0] > 0.5)]
QUICK = {"hidden": (6, 5), "seed": 3, "progress": False}
NONE = np.arange(N) % 9 == 4  # rows of weight 0
REST = np.flatnonzero(~NONE)
WEIGHT = np.where(NONE, 0.0, RNG.uniform(0.5, 2, N))
# In rows of weight 0: what nobody would learn from.
ODD_FRAME = FRAME.copy()
ODD_FRAME.loc[NONE, ["x", "z", "kind"]] = [np.inf, 1e9, "filler"]
ODD_FRAME.loc[NONE, "day"] = pd.Timestamp("1900-01-01")
ODD_X = np.where(NONE[:, None], np.nan, X)
ODD_NUMBERS = np.where(NONE, np.nan, NUMBERS)
ODD_CLASSES = np.where(NONE, "filler", CLASSES)
TABLES = {"frame": (FRAME, ODD_FRAME), "array": (X, ODD_X)}
TARGETS = {"numbers": (NUMBERS, ODD_NUMBERS), "classes": (CLASSES, ODD_CLASSES)}


def rows_of(table, rows):
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]


def networks(model):
    return model.networks if isinstance(model, fastbp.Ensemble) else (model,)


def assert_same(one, other):
    for a, b in zip(networks(one), networks(other), strict=True):
        for name in ("params", "x_mean", "x_scale", "y_mean", "y_scale", "examples"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name), strict=True)
        assert (a.columns is None) == (b.columns is None)
        assert a.columns == b.columns
        np.testing.assert_array_equal(a.target_range, b.target_range)
        if a.task == "classification":
            np.testing.assert_array_equal(a.classes, b.classes)
        assert {**a.options, "sample_weight": 0} == {**b.options, "sample_weight": 0}


# Weight 0


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize(
    "options",
    [{"quality": "single", "epochs": 3}, {"quality": "single", "epochs": 3, "validation": 0.3}, {"quality": "default"}],
    ids=["single", "validation", "quality"],
)
def test_a_row_of_weight_0_is_as_if_it_were_not_there(table, kind, options):
    (_, odd_table), (y, odd_y) = TABLES[table], TARGETS[kind]
    found = fastbp.train(odd_table, odd_y, sample_weight=WEIGHT, **QUICK, **options)
    clean = rows_of(TABLES[table][0], REST)
    assert_same(found, fastbp.train(clean, y[REST], sample_weight=WEIGHT[REST], **QUICK, **options))


@pytest.mark.parametrize("y_as", [list, pd.Series, np.asarray])
def test_targets_of_any_kind(y_as):
    found = fastbp.train(ODD_X, y_as(ODD_NUMBERS), sample_weight=WEIGHT, epochs=2, **QUICK)
    assert_same(found, fastbp.train(X[REST], NUMBERS[REST], sample_weight=WEIGHT[REST], epochs=2, **QUICK))


def test_the_target_in_the_table():
    table = ODD_FRAME.assign(y=ODD_NUMBERS)
    found = fastbp.train(table, "y", sample_weight=WEIGHT, epochs=2, **QUICK)
    assert_same(found, fastbp.train(FRAME.iloc[REST], NUMBERS[REST], sample_weight=WEIGHT[REST], epochs=2, **QUICK))


@pytest.mark.parametrize("encode", ["standard", "piecewise"])
def test_a_file_of_numbers_is_not_copied(tmp_path, encode):
    np.save(tmp_path / "x.npy", ODD_X)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    options = QUICK | {"epochs": 2, "encode": encode, "validation": 0.2}
    found = fastbp.train(mapped, ODD_NUMBERS, sample_weight=WEIGHT, **options)
    assert_same(found, fastbp.train(X[REST], NUMBERS[REST], sample_weight=WEIGHT[REST], **options))


def test_a_class_of_weight_0_keeps_its_output_and_nothing_else():
    odd = np.where((CLASSES == "low")[:, None], 1e9, X)
    options = QUICK | {"epochs": 3, "class_weight": {"low": 0.0}}
    net = fastbp.train(odd, CLASSES, **options)
    assert_same(net, fastbp.train(X, CLASSES, **options))
    assert net.classes.tolist() == ["high", "low", "middle"]
    known = CLASSES != "low"
    without = fastbp.train(X[known], CLASSES[known], **QUICK, epochs=3)
    np.testing.assert_array_equal(net.x_mean, without.x_mean)
    assert (net.predict(X) != "low").all() or net.score(X[known], CLASSES[known]) > 0


def test_validation_rows_of_weight_0_say_nothing():
    options = QUICK | {"epochs": 4}
    found = fastbp.train(X, NUMBERS, validation=(ODD_X, ODD_NUMBERS, WEIGHT), **options)
    known = fastbp.train(X, NUMBERS, validation=(X[REST], NUMBERS[REST], WEIGHT[REST]), **options)
    assert_same(found, known)
    np.testing.assert_array_equal(found.history["validation_loss"], known.history["validation_loss"])


def test_ensembles_and_bootstrap():
    for bootstrap in (False, True):
        options = QUICK | {"epochs": 2, "bootstrap": bootstrap}
        found = fastbp.ensemble(ODD_X, ODD_NUMBERS, 3, sample_weight=WEIGHT, **options)
        assert_same(found, fastbp.ensemble(X[REST], NUMBERS[REST], 3, sample_weight=WEIGHT[REST], **options))


def test_cross_validation():
    options = QUICK | {"epochs": 2, "folds": 3}
    groups = np.arange(N) // 5
    for more, of_rest in (({}, {}), ({"groups": groups}, {"groups": groups[REST]})):
        found = fastbp.cross_validate(ODD_X, ODD_NUMBERS, sample_weight=WEIGHT, **options, **more)
        known = fastbp.cross_validate(X[REST], NUMBERS[REST], sample_weight=WEIGHT[REST], **options, **of_rest)
        np.testing.assert_array_equal(found.scores, known.scores)
        assert found.standard_error == known.standard_error
        np.testing.assert_array_equal(found.predictions[REST], known.predictions)
        assert np.isnan(found.predictions[NONE]).all()
        assert all(np.array_equal(a, REST[b]) for a, b in zip(found.tests, known.tests, strict=True))


def test_search_and_many_variants():
    space, options = {"learning_rate": [0.01, 0.001]}, QUICK | {"epochs": 3, "validation": 0.3}
    found = fastbp.search(ODD_X, ODD_NUMBERS, space, 2, sample_weight=WEIGHT, **options)
    known = fastbp.search(X[REST], NUMBERS[REST], space, 2, sample_weight=WEIGHT[REST], **options)
    assert [trial.loss for trial in found.trials] == [trial.loss for trial in known.trials]
    assert_same(found.network, known.network)
    variants = [{"seed": 1, "sample_weight": WEIGHT}, {"seed": 2, "rows": REST}]
    filled = np.where(np.isnan(ODD_X), 1e6, ODD_X)
    nets = fastbp.train_many(filled, ODD_NUMBERS, variants, hidden=(6, 5), epochs=2)
    options = {"hidden": (6, 5), "epochs": 2, "threads": 1}
    assert_same(nets[0], fastbp.train(X[REST], NUMBERS[REST], sample_weight=WEIGHT[REST], seed=1, **options))
    assert_same(nets[1], fastbp.train(X[REST], NUMBERS[REST], seed=2, **options))


def test_a_checkpoint_goes_on(tmp_path):
    options = QUICK | {"sample_weight": WEIGHT, "epochs": 4}
    path = tmp_path / "run"

    def interrupt(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    fastbp.train(ODD_X, ODD_NUMBERS, checkpoint=path, checkpoint_every=1, callback=interrupt, **options)
    found = fastbp.resume(path, ODD_X, ODD_NUMBERS, sample_weight=WEIGHT)
    assert len(found.history["loss"]) == 4
    assert_same(found, fastbp.train(X[REST], NUMBERS[REST], **options | {"sample_weight": WEIGHT[REST]}))


def test_scores():
    net = fastbp.train(X, NUMBERS, epochs=2, **QUICK)
    assert net.score(X, ODD_NUMBERS, WEIGHT) == net.score(X[REST], NUMBERS[REST], WEIGHT[REST])
    metrics = pytest.importorskip("sklearn.metrics")
    expected = metrics.r2_score(NUMBERS, net.predict(X), sample_weight=WEIGHT)
    assert net.score(X, NUMBERS, WEIGHT) == pytest.approx(expected, rel=1e-12)
    kinds = fastbp.train(X, CLASSES, epochs=2, **QUICK)
    expected = metrics.accuracy_score(CLASSES, kinds.predict(X), sample_weight=WEIGHT)
    assert kinds.score(X, CLASSES, WEIGHT) == pytest.approx(expected, rel=1e-12)
    assert fastbp.Ensemble((kinds,), {}).score(X, CLASSES, WEIGHT) == kinds.score(X, CLASSES, WEIGHT)


def test_importances():
    importance = pytest.importorskip("fastbp.report.importance").permutation_importance
    for table, odd in TABLES.values():
        net = fastbp.train(table, NUMBERS, epochs=2, **QUICK)
        found = importance(net, odd, ODD_NUMBERS, seed=0, sample_weight=WEIGHT)
        known = importance(net, rows_of(table, REST), NUMBERS[REST], seed=0, sample_weight=WEIGHT[REST])
        assert found == known
        assert found != importance(net, rows_of(table, REST), NUMBERS[REST], seed=0)


@pytest.mark.parametrize("weights", [np.zeros(N), np.full(N, -1.0), np.full(N, np.nan), np.ones(N - 1)])
def test_weights_that_cannot_be_used(weights):
    for call in (fastbp.train, fastbp.cross_validate, lambda *a, **k: fastbp.ensemble(*a, 2, **k)):
        with pytest.raises(ValueError, match="sample_weight: expected"):
            call(X, NUMBERS, sample_weight=weights, **QUICK)


def test_dask_collections():
    dask_array = pytest.importorskip("dask.array")
    dask_frame, dask = pytest.importorskip("dask.dataframe"), pytest.importorskip("dask")
    options = QUICK | {"epochs": 2, "batch_size": 40}
    found = fastbp.train(dask_array.from_array(ODD_X, chunks=(30, 3)), ODD_NUMBERS, sample_weight=WEIGHT, **options)
    clean = dask_array.from_array(X[REST], chunks=(25, 3))
    assert_same(found, fastbp.train(clean, NUMBERS[REST], sample_weight=WEIGHT[REST], **options))
    table = ODD_FRAME.assign(x=np.where(NONE, "lots", FRAME["x"].astype(object)), y=ODD_NUMBERS)
    with dask.config.set({"dataframe.convert-string": False}):
        collection = dask_frame.from_pandas(table, npartitions=3)
    found = fastbp.train(collection, "y", sample_weight=WEIGHT, **options)
    clean = dask_frame.from_pandas(FRAME.assign(y=NUMBERS).iloc[REST], npartitions=2)
    assert_same(found, fastbp.train(clean, "y", sample_weight=WEIGHT[REST], **options))


# Whole numbers


TIMES = RNG.integers(1, 4, N)


@pytest.mark.parametrize("kind", TARGETS)
@pytest.mark.parametrize("table", TABLES)
def test_whole_numbers_are_repeated_rows(table, kind):
    rows = np.repeat(np.arange(N), TIMES)
    (data, _), (y, _) = TABLES[table], TARGETS[kind]
    options = {"hidden": (6, 5), "seed": 3, "quality": "single", "validation": None, "dtype": "float64"}
    options |= {"batch_size": 1000, "epochs": 20, "class_weight": "balanced" if kind == "classes" else None}
    found = fastbp.train(data, y, sample_weight=TIMES, **options)
    known = fastbp.train(rows_of(data, rows), y[rows], **options)
    for name in ("x_mean", "x_scale", "y_mean", "y_scale", "params"):
        np.testing.assert_allclose(getattr(found, name), getattr(known, name), rtol=1e-8, atol=1e-9)
    np.testing.assert_allclose(found.history["loss"], known.history["loss"], rtol=1e-8)
    assert found.score(data, y, TIMES) == pytest.approx(known.score(rows_of(data, rows), y[rows]), rel=1e-9)


COUNTS, LABELS = np.round(np.exp(NUMBERS)), np.stack([NUMBERS > 0, X[:, 1] > 0], axis=1)
OF_LOSSES = {name: {"loss": name, "y": COUNTS} for name in losses.REGRESSION}
OF_LOSSES |= {
    "several quantiles": {"loss": "quantile", "quantile": (0.1, 0.9), "y": COUNTS},
    "logistic": {"y": NUMBERS > 0},
    "softmax": {"y": CLASSES},
    "labels": {"y": LABELS},
    "classes by squared error": {"y": CLASSES, "loss": "squared_error", "output": "logistic"},
}
WHOLE = {"hidden": (6, 5), "activation": "tanh", "optimizer": "sgd", "batch_size": 1000, "learning_rate": 0.1}
WHOLE |= {"epochs": 3, "seed": 3, "l2": 0.01}


def assert_learnt_alike(found, known):
    tolerance = 1e-9 if found.params.dtype == np.float64 else 2e-5
    np.testing.assert_allclose(found.params, known.params, rtol=0, atol=tolerance)
    for name in found.history.keys() - {"seconds"}:
        if name != "accuracy":
            np.testing.assert_allclose(found.history[name], known.history[name], rtol=10 * tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", OF_LOSSES)
def test_full_batches_of_every_loss_learn_repeated_rows(case, dtype):
    options = {**WHOLE, **OF_LOSSES[case], "dtype": dtype}
    y, rows = options.pop("y"), np.repeat(np.arange(N), TIMES)
    known = fastbp.train(X[rows], y[rows], **options)
    assert_learnt_alike(fastbp.train(X, y, sample_weight=TIMES, **options), known)
    assert abs(known.params - fastbp.train(X, y, **options).params).max() > 1e-3  # without weights


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("y", [NUMBERS > 0, CLASSES], ids=["logistic", "softmax"])
def test_a_whole_class_weight_repeats_the_rows_of_the_class_in_the_loss(y, dtype):
    """Not in means and scales, which only sample weights change."""
    options = WHOLE | {"scale": False, "dtype": dtype}
    labels, of_row = np.unique(y, return_inverse=True)
    times = np.arange(len(labels)) + 2
    rows = np.repeat(np.arange(N), times[of_row])
    found = fastbp.train(X, y, class_weight=dict(zip(labels.tolist(), times.tolist(), strict=True)), **options)
    assert_learnt_alike(found, fastbp.train(X[rows], y[rows], **options))
    both = np.repeat(np.arange(N), times[of_row] * TIMES)
    weights = {"class_weight": dict(zip(labels.tolist(), times.tolist(), strict=True)), "sample_weight": TIMES}
    assert_learnt_alike(fastbp.train(X, y, **weights, **options), fastbp.train(X[both], y[both], **options))
    inverse = dict(zip(labels.tolist(), (1 / np.bincount(of_row)).tolist(), strict=True))
    balanced = fastbp.train(X, y, class_weight="balanced", **options)
    assert_learnt_alike(fastbp.train(X, y, class_weight=inverse, **options), balanced)


def test_mini_batches_learn_as_much_in_an_update_as_from_repeated_rows():
    """On average over the updates of an epoch, whose rates are so small that all begin with nearly the same weights."""
    options = WHOLE | {"learning_rate": 1e-6, "epochs": 1, "batch_size": 15, "dtype": "float64", "scale": False}
    times = np.where(np.arange(N) < N / 2, 3, 1)[np.argsort(np.argsort(NUMBERS))]
    rows = np.repeat(np.arange(N), times)
    first = fastbp.train(X, NUMBERS, sample_weight=times, **options | {"epochs": 0}).params
    found = (fastbp.train(X, NUMBERS, sample_weight=times, **options).params - first) / (N / 15)
    known = (fastbp.train(X[rows], NUMBERS[rows], **options).params - first) / (len(rows) / 15)
    np.testing.assert_allclose(found, known, rtol=0, atol=1e-4 * abs(known).max())
    plain = (fastbp.train(X, NUMBERS, **options).params - first) / (N / 15)
    assert abs(plain - known).max() > 0.1 * abs(known).max()


def test_what_a_table_is_encoded_with():
    rows = np.repeat(np.arange(N), TIMES)
    found, _ = Columns.fit(FRAME, list(FRAME), np.arange(N), TIMES.astype(float), piecewise=True)
    known, _ = Columns.fit(FRAME.iloc[rows], list(FRAME), np.arange(len(rows)), piecewise=True)
    for a, b in zip(found.encoders, known.encoders, strict=True):
        for name, value in vars(b).items():
            if name == "limits":
                np.testing.assert_allclose(a.limits, value, rtol=1e-12)
            else:
                assert getattr(a, name) == value
    of_array = Columns.fit_array(X, np.arange(N), TIMES.astype(float))
    assert of_array.encoders == Columns.fit_array(X[rows], np.arange(len(rows))).encoders


def test_only_ratios_matter():
    for table, y in ((FRAME, NUMBERS), (X, CLASSES)):
        options = QUICK | {"quality": "single", "epochs": 3}
        one, other = (fastbp.train(table, y, sample_weight=k * TIMES, **options) for k in (1, 4))
        assert_same(one, other)


def test_what_one_row_has_stays_rare_even_if_it_is_heavy():
    kinds = FRAME["kind"].where(np.arange(N) != 5, "alone")
    frame = FRAME.assign(kind=kinds)
    net = fastbp.train(frame, NUMBERS, sample_weight=TIMES + 9.0 * (np.arange(N) == 5), epochs=1, **QUICK)
    assert "kind=alone" not in net.input_names
    assert "kind (other)" in net.input_names


@pytest.mark.thorough
def test_mini_batches_learn_the_same_from_weights_and_repeated_rows():
    rows = np.repeat(np.arange(N), TIMES)
    options = {"hidden": (16,), "epochs": 30, "batch_size": 16, "progress": False}
    grid = RNG.normal(size=(200, 3))
    weighted, repeated = [], []
    for seed in range(40):
        weighted.append(fastbp.train(X, NUMBERS, sample_weight=TIMES, seed=seed, **options).predict(grid))
        repeated.append(fastbp.train(X[rows], NUMBERS[rows], seed=100 + seed, **options | {"epochs": 15}).predict(grid))
    weighted, repeated = np.array(weighted), np.array(repeated)
    error = np.sqrt((weighted.var(axis=0, ddof=1) + repeated.var(axis=0, ddof=1)) / 40)
    away = (weighted.mean(axis=0) - repeated.mean(axis=0)) / error
    assert np.sqrt((away**2).mean()) < 2  # about 1 if the means are equal
