"""Arrays whose numbers are encoded piece by piece: what is learnt, taken, saved, exported, shown and refused."""

import importlib
import json
import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from numba import njit

import fastbp
from fastbp.report import page
from fastbp.report.importance import permutation_importance
from fastbp.tables import Columns
from fastbp.tables.raw_inputs import Inputs

N = 600
RNG = np.random.default_rng(0)
X = np.stack(
    [
        RNG.normal(size=N) * 100,
        RNG.integers(0, 6, N),
        RNG.integers(0, 2, N),
        np.full(N, 3.0),
        RNG.exponential(size=N),
        np.where(RNG.random(N) < 0.4, 0.0, RNG.normal(size=N)),
    ],
    axis=1,
)
FRAME = pd.DataFrame(X, columns=[f"x{k}" for k in range(1, 7)])
WAVES = np.sin(X[:, 0] / 20) + (X[:, 1] == 3)
OPTIONS = {"encode": "piecewise", "hidden": (16, 8), "epochs": 10, "seed": 3, "progress": False}
ALL = np.ones(N, bool)


def learnt(y=WAVES, inputs=X, **more):
    return fastbp.train(inputs, y, **OPTIONS | more)


@pytest.fixture(scope="module")
def net():
    return learnt()


# The encoding


@pytest.mark.parametrize("training", [ALL, np.arange(N) % 3 > 0, np.arange(N) < 17, np.arange(N) < 1])
def test_the_encoding_is_that_of_a_frame_and_nothing_is_left_out(training):
    columns = Columns.fit_array(X, np.flatnonzero(training))
    assert [encoder.name for encoder in columns.encoders] == list(FRAME)
    if training.sum() > 1:
        of_frame = Columns.fit(FRAME, list(FRAME), np.flatnonzero(training), piecewise=True)[0]
        edges = {encoder.name: encoder.edges for encoder in of_frame.encoders}
        assert "x4" not in edges
        assert {encoder.name: encoder.edges for encoder in columns.encoders} == edges | {"x4": ()}
        encoded = columns.encode(X)
        kept = [name != "x4" for name in columns.inputs]
        np.testing.assert_array_equal(encoded[:, kept], of_frame.encode(FRAME))
    assert [row.inputs for row in columns.rows] == [max(1, len(encoder.edges)) for encoder in columns.encoders]
    np.testing.assert_array_equal(columns.encode_raw(X), X)


def test_the_table_of_columns(net):
    notes = {row.name: (row.inputs, row.note) for row in net.columns.rows}
    assert notes["x1"] == (17, "16 pieces")
    assert notes["x3"] == (1, "")
    assert notes["x4"] == (1, "always 3")


def test_many_columns():
    wide = RNG.integers(0, 17, (300, 784)).astype(np.uint8)
    columns = Columns.fit_array(wide, np.arange(300))
    frame = pd.DataFrame(wide, columns=[f"x{k}" for k in range(1, 785)])
    of_frame = Columns.fit(frame, list(frame), np.arange(300), piecewise=True)[0]
    assert [encoder.edges for encoder in columns.encoders] == [encoder.edges for encoder in of_frame.encoders]
    net = learnt(wide[:, 0] > 8, wide, epochs=1)
    assert not net.columns.in_pieces
    assert net.predict(wide[:5]).shape == (5,)


@pytest.mark.parametrize("far", [1.5e308, 1e300])
def test_numbers_out_of_all_bounds(far):
    columns = Columns.fit_array(np.array([[-far], [0.0], [1.0], [far]] * 30), np.arange(120))
    assert columns.exported.piece.any() == (far < 1e308)


# Training


@pytest.mark.parametrize("kind", ["numbers", "two", "three"])
def test_training_is_that_on_a_frame(kind):
    y = {"numbers": WAVES, "two": WAVES > 0, "three": np.digitize(WAVES, [-0.5, 0.5])}[kind]
    varied = np.delete(X, 3, axis=1)
    options = OPTIONS | {"learning_rate": 0.01, "schedule": "cosine", "validation": 0.2, "patience": 5}
    net = fastbp.train(varied, y, **options)
    of_frame = fastbp.train(pd.DataFrame(varied, columns=list("abcde")), y, **options)
    assert net.columns.in_pieces
    np.testing.assert_array_equal(net.params, of_frame.params)
    np.testing.assert_array_equal(net.predict(varied), of_frame.predict(pd.DataFrame(varied, columns=list("abcde"))))


def test_arrays_of_any_type_and_layout():
    whole = np.round(X)
    found = learnt(inputs=whole)
    for other in (whole.astype(np.int64), np.asfortranarray(whole), whole.tolist(), whole.astype(np.float32)):
        np.testing.assert_array_equal(learnt(inputs=other).params, found.params)
        np.testing.assert_array_equal(found.predict(other), found.predict(whole))
    assert learnt(inputs=whole > 2).columns.inputs == tuple(FRAME)  # two-valued ones stay as they are


def test_the_same_bits_for_any_number_of_threads():
    options = {"hidden": (128, 128), "batch_size": 512, "epochs": 2}
    one, two = (learnt(np.tile(WAVES, 8), np.tile(X, (8, 1)), threads=threads, **options) for threads in (1, 2))
    np.testing.assert_array_equal(one.params, two.params)


def test_validation_rows_of_the_user():
    net = learnt(validation=(X[:50], WAVES[:50]), metric="score")
    assert "validation_metric" in net.history
    with pytest.raises(ValueError, match=r"validation\[0\]: expected 6 features, got 5"):
        learnt(validation=(X[:, 1:], WAVES))


def test_memory_maps(tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    found = learnt(inputs=mapped)
    np.testing.assert_array_equal(found.params, learnt().params)
    np.testing.assert_array_equal(found.predict(mapped), found.predict(X))


def test_pieces_must_fit_the_memory(monkeypatch):
    monkeypatch.setattr(fastbp.memory, "limit", lambda: 50_000)
    with pytest.raises(ValueError, match=r"X: 600 rows encoded in pieces would take 57.6 kB of memory"):
        learnt()


def test_checkpoints(tmp_path):
    whole = learnt()
    options = {"checkpoint": tmp_path / "run.fbp", "checkpoint_every": 2}
    learnt(callback=lambda epoch: epoch.epoch == 5, **options)
    again = fastbp.resume(tmp_path / "run.fbp", X, WAVES)
    assert again.options["encode"] == "piecewise"
    assert again.columns == whole.columns


def test_many_networks():
    nets = fastbp.train_many(X, WAVES, [{"seed": 1}, {"seed": 3}, {"encode": "standard"}], **OPTIONS | {"seed": None})
    np.testing.assert_array_equal(nets[1].params, learnt().params)
    assert nets[2].columns is None
    later = fastbp.train_many(X, WAVES, [{"init": nets[0]}, {"init": nets[2]}], epochs=1, progress=False)
    assert [one.options["encode"] for one in later] == ["piecewise", "standard"]
    assert fastbp.cross_validate(X, WAVES, folds=3, **OPTIONS | {"epochs": 60, "seed": 0}).mean > 0.3


def test_a_network_that_goes_on(net):
    longer = fastbp.train(X, WAVES, init=net, epochs=1, seed=0, progress=False)
    assert (longer.columns, longer.options["encode"]) == (net.columns, "piecewise")
    of_frame = fastbp.train(FRAME, WAVES, init=net, epochs=1, seed=0, progress=False)
    of_inputs = fastbp.train(net.encode(X), WAVES, init=net, epochs=1, seed=0, progress=False)
    np.testing.assert_array_equal(longer.params, of_frame.params)
    np.testing.assert_allclose(longer.params, of_inputs.params, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(of_inputs.predict(X), of_inputs.predict(FRAME))


# Automatically


@pytest.mark.parametrize(
    ("encoded", "options"),
    [
        ("piecewise", {}),
        ("piecewise", {"validation": (X, WAVES)}),
        ("piecewise", {"optimizer": "adamw"}),
        ("standard", {"validation": None}),
        ("standard", {"validation": "auto"}),
        ("standard", {"optimizer": "sgd"}),
        ("standard", {"scale": False}),
        ("standard", {"rows": 499}),
        ("standard", {"columns": 65}),
    ],
)
def test_auto(encoded, options):
    options = {"validation": 0.2, "rows": 500, "columns": 6} | options
    rows, columns = options.pop("rows"), options.pop("columns")
    inputs = RNG.normal(size=(rows, columns))
    found = fastbp.train(inputs, WAVES[:rows], encode="auto", epochs=1, seed=0, progress=False, **options)
    assert found.options["encode"] == encoded
    assert found.sizes[1:] == (64, 1)
    plain = fastbp.train(inputs, WAVES[:rows], epochs=1, seed=0, progress=False, **options)
    assert (plain.options["encode"], plain.columns) == ("standard", None)
    if encoded == "standard":
        np.testing.assert_array_equal(found.params, plain.params)


def test_auto_of_tables():
    assert fastbp.train(FRAME, WAVES, encode="auto", epochs=1, progress=False).options["encode"] == "piecewise"


def test_auto_goes_on_as_it_began(tmp_path):
    options = {"encode": "auto", "validation": 0.2, "epochs": 4, "seed": 0, "progress": False}
    path = tmp_path / "run.fbp"
    fastbp.train(X, WAVES, checkpoint=path, checkpoint_every=2, callback=lambda epoch: epoch.epoch == 2, **options)
    assert fastbp.resume(path, X, WAVES).options["encode"] == "piecewise"
    start = fastbp.load(path)
    assert fastbp.train(X, WAVES, init=start, **options).options["encode"] == "piecewise"


# What is taken


def test_raw_values_inputs_and_frames(net):
    assert net.feature_names is None
    assert net.sizes[0] == len(net.input_names) > 6
    renamed = FRAME.set_axis(list("abcdef"), axis=1)  # by place, not by name
    for other in (FRAME, renamed, X.tolist(), X[:, :].astype(object), np.asfortranarray(X)):
        np.testing.assert_array_equal(net.predict(other), net.predict(X))
    np.testing.assert_allclose(net.predict(net.encode(X)), net.predict(X), rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(net.activations(X)[-1], net.activations(net.encode(X))[-1])
    assert net.input_gradient(X[:3]).shape == (3, 1, net.sizes[0])
    for rows in (0, 1, 7):
        np.testing.assert_allclose(net.forward(X[:rows]), net.forward(X)[:rows], rtol=1e-4, atol=1e-5)
    assert net.score(X, WAVES) == net.score(FRAME, WAVES)


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (X[:, 1:], r"X: expected 6 features, got 5"),
        (X[0], r"X: expected 2 dimensions"),
        (np.where(X == 3, np.nan, X), r"X: expected finite numbers, got nan at row 0, column 3"),
        (X.astype(str), r"X: expected real numbers, got text"),
        (FRAME.drop(columns="x1"), r"X: expected 6 features, got 5"),
    ],
)
def test_bad_inputs(net, inputs, message):
    for call in (net.predict, net.encode, net.activations, net.forward):
        with pytest.raises(ValueError, match=message):
            call(inputs)


def test_bad_options(net):
    plain = learnt(encode="standard", epochs=1)
    for start, encode, kept in ((net, "standard", "piecewise"), (plain, "piecewise", "standard")):
        with pytest.raises(ValueError, match=f"encode: expected '{kept}', as in the network given as init, got"):
            learnt(init=start, encode=encode)
    with pytest.raises(ValueError, match=r"X: expected the 6 features of the network given as init, got 5"):
        fastbp.train(X[:, 1:], WAVES, init=net)
    with pytest.raises(ValueError, match=r"X: expected finite numbers, got nan at row 0, column 3"):
        learnt(inputs=np.where(X == 3, np.nan, X))
    sparse = pytest.importorskip("scipy.sparse")
    with pytest.raises(ValueError, match="encode: expected 'standard' for a sparse matrix, got 'piecewise'"):
        learnt(inputs=sparse.csr_matrix(X))


def test_dask_collections(net):
    collection = pytest.importorskip("dask.array").from_array(np.tile(X, (5, 1)), chunks=(500, 6))
    y, options = np.tile(WAVES, 5), {"epochs": 1, "batch_size": 512, "progress": False}
    with pytest.raises(ValueError, match="encode: expected 'standard' for a dask array, got 'piecewise'"):
        fastbp.train(collection, y, encode="piecewise", **options)
    with pytest.raises(ValueError, match="init: expected a network that takes the numbers of an array as they are"):
        fastbp.train(collection, y, init=net, **options)
    assert fastbp.train(collection, y, encode="auto", validation=0.2, **options).options["encode"] == "standard"


# Files and exports


def test_files_and_pickles(net, tmp_path):
    net.save(tmp_path / "net.fbp")
    for again in (fastbp.load(tmp_path / "net.fbp"), pickle.loads(pickle.dumps(net))):
        assert again.columns == net.columns
        assert again.feature_names is None
        np.testing.assert_array_equal(again.predict(X), net.predict(X))


def test_columns_in_a_file_are_checked(net):
    stored = json.loads(json.dumps(net.columns.to_json()))
    assert stored["named"] is False
    assert Columns.from_json(stored) == net.columns
    category = {"kind": "category", "name": "x1", "values": ["a"], "other": False, "flag": False}
    encoders = stored["encoders"]
    for wrong in (
        {"named": 0},
        {"encoders": [category, *encoders[1:]]},
        {"encoders": [encoders[0] | {"flag": True}, *encoders[1:]]},
        {"encoders": encoders[1:]},
    ):
        with pytest.raises(ValueError, match="its columns without names are not numbers"):
            Columns.from_json(stored | wrong)


@pytest.mark.parametrize("kind", ["onnx", "c", "py"])
@pytest.mark.parametrize("classes", [False, True])
def test_files_for_others(kind, classes, tmp_path):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    net = learnt(WAVES > 0) if classes else learnt()
    net.save(tmp_path / "net.fbp")
    for one in (net, fastbp.load(tmp_path / "net.fbp"), fastbp.Ensemble([net, learnt(WAVES > 0) if classes else net])):
        for rows in (None, X[:9], net.encode(X[:9]), FRAME[:9]):
            write = {"onnx": one.to_onnx, "c": one.to_c, "py": one.to_numpy}[kind]
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "no C compiler", UserWarning)
                write(tmp_path / f"net.{kind}", rows)
    if kind == "py":
        file = {}
        exec((tmp_path / "net.py").read_text("utf-8"), file)
        assert "INPUTS" not in file
        np.testing.assert_allclose(file["predict"](X), one.predict(X), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("package", ["sklearn", "torch"])
def test_objects_for_others(net, package):
    pytest.importorskip(package)
    importlib.import_module(f"fastbp.export.{package}")
    model = getattr(net, f"to_{package}")(X)
    if package == "sklearn":
        np.testing.assert_allclose(model.predict(net.encode(X)), net.predict(X), rtol=1e-3, atol=1e-4)
        assert model.n_features_in_ == net.sizes[0]


def test_jit(net):
    f, out = net.jit(), np.empty(1)
    assert Inputs.of(net).count == 6
    f(X[5], out)
    np.testing.assert_allclose(out, net.predict(X[5:6]), rtol=1e-4)

    @njit
    def called(x, out):
        f(x, out)

    called(X[5], out)
    with pytest.raises(ValueError, match="expected finite numbers"):
        f(np.where(np.arange(6) == 2, np.nan, X[5]), out)
    with pytest.raises(ValueError, match="a number for each input"):
        f(X[5, :5], out)


def test_ensembles_of_both_encodings(net, tmp_path):
    plain = learnt(encode="standard")
    both = fastbp.Ensemble([net, plain])
    assert both.feature_names is None
    np.testing.assert_allclose(both.predict(X), (net.predict(X) + plain.predict(X)) / 2, rtol=1e-5)
    both.save(tmp_path / "both.fbp")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "both.fbp").predict(X), both.predict(X))
    both.to_numpy(tmp_path / "both.py", X)
    few = fastbp.train(X[:, :2], WAVES, epochs=1, progress=False)
    with pytest.raises(ValueError, match=r"networks\[1\]: expected the features of networks\[0\] \('6 inputs'\)"):
        fastbp.Ensemble([net, few])
    drawn = fastbp.ensemble(X, WAVES, 2, **OPTIONS | {"validation": 0.2})
    assert drawn.networks[0].columns != drawn.networks[1].columns
    drawn.to_numpy(tmp_path / "drawn.py")


# What is shown


def test_importance_is_of_whole_columns(net):
    found = permutation_importance(net, X, WAVES, repeats=2, seed=0)
    assert {one.name for one in found} == set(FRAME)
    assert found[0].name == "x1"
    renamed = permutation_importance(net, FRAME.set_axis(list("abcdef"), axis=1), WAVES, repeats=2, seed=0)
    assert [one.mean for one in renamed] == [one.mean for one in found]
    assert renamed[0].name == "a"


@pytest.mark.parametrize("rows", [X, FRAME.set_axis(list("abcdef"), axis=1)])
def test_the_report(net, rows, tmp_path):
    page.write(tmp_path / "r.html", net, (rows, WAVES), None, table="the array", target="waves")
    text = (tmp_path / "r.html").read_text("utf-8")
    assert "16 pieces" in text
    assert "always 3" in text


def test_pictures():
    decision = pytest.importorskip("fastbp.plot.decision")
    net = learnt(WAVES > 0, X[:, :2], epochs=2)
    axes = decision.boundary(net, X[:, :2], WAVES > 0)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x1", "x2")


def test_command_line(net, tmp_path, capsys):
    from fastbp.cli import main

    net.save(tmp_path / "net.fbp")
    np.savetxt(tmp_path / "X.csv", X[:5], delimiter=",", header="a,b,c,d,e,f", comments="")
    main(["predict", str(tmp_path / "net.fbp"), str(tmp_path / "X.csv")])
    found = np.array(capsys.readouterr().out.split()[1:], float)
    np.testing.assert_allclose(found, net.predict(X[:5]), rtol=1e-4)
    main(["info", str(tmp_path / "net.fbp")])
    assert "16 pieces" in capsys.readouterr().out
    main(["export", str(tmp_path / "net.fbp"), "--to", "numpy"])
    assert "6 numbers, in the order of the training columns" in capsys.readouterr().out
    table = FRAME.assign(y=WAVES)
    table.to_csv(tmp_path / "t.csv", index=False)
    options = ["--target", "y", "--encode", "auto", "--epochs", "1", "--save", str(tmp_path / "t.fbp"), "--quiet"]
    main(["train", str(tmp_path / "t.csv"), *options])
    assert fastbp.load(tmp_path / "t.fbp").options["encode"] == "piecewise"
