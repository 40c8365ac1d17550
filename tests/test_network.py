"""Network: frozen (L30); and its file: loading gives the same network, and other files are refused."""

import copy
import dataclasses
import json
import pickle
import threading
import tracemalloc

import naive
import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file, save_file

import fastbp
from fastbp.model import storage

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3))
Y = X @ [1.0, -2.0, 0.5]
TARGETS = {
    "regression": Y,
    "several outputs": np.column_stack([Y, -Y]),
    "two classes": Y > 0,
    "text": np.array(["lo", "mid", "hi"])[np.digitize(Y, [-1, 1])],
    "object text": np.array(["lo", "mid", "hi"], object)[np.digitize(Y, [-1, 1])],
    "multilabel": X > 0,
}


@pytest.fixture(scope="module")
def nets():
    return {name: fastbp.train(X, y, hidden=(5, 4), epochs=3, validation=0.2, seed=0) for name, y in TARGETS.items()}


def test_nothing_in_a_network_can_be_changed(nets):
    net = nets["text"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        net.task = "regression"
    for array in (net.params, net.x_mean, net.classes, net.history["loss"], *net.weights, *net.biases):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = array[-1]
    for array in (net.params, *net.weights):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    W = net.weights[0]
    reordered = dataclasses.replace(net, examples=W.T).examples  # another order in memory: a copy, frozen like all
    np.testing.assert_array_equal(reordered, W.T)
    for array in (reordered, dataclasses.replace(net, params=net.params).params):
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
    with pytest.raises(TypeError):
        net.options["seed"] = 1
    with pytest.raises(TypeError):
        net.history["loss"] = None


def test_weights_are_the_parameters_the_network_predicts_with(nets):
    net = nets["regression"]
    a = (X - net.x_mean) / net.x_scale
    for k, (W, b) in enumerate(zip(net.weights, net.biases, strict=True)):
        a = a @ W + b
        if k < 2:
            a = np.maximum(a, 0)
    np.testing.assert_allclose(net.predict(X), (a * net.y_scale + net.y_mean)[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("activation", naive.ELEMENTWISE)
def test_input_gradient_is_the_slope_of_forward(name, activation):
    net = fastbp.train(X, TARGETS[name], hidden=(5, 4), activation=activation, epochs=3, dtype="float64", seed=0)
    some = X[:3] * 3 + 1
    found = net.input_gradient(some)
    assert found.shape == (3, net.sizes[-1], 3)
    assert found.dtype == np.float64
    for i, x in enumerate(some):
        for k in range(net.sizes[-1]):
            wanted = naive.finite_difference(lambda row, k=k: float(net.forward(row[None])[0, k]), x)
            np.testing.assert_allclose(found[i, k], wanted, rtol=1e-5, atol=1e-8)
    assert fastbp.train(X, Y, hidden=(), epochs=1, seed=0).input_gradient(X[:0]).shape == (0, 1, 3)


def test_score_is_r2_and_accuracy(nets):
    metrics = pytest.importorskip("sklearn.metrics")
    for name in ("regression", "several outputs"):
        expected = metrics.r2_score(TARGETS[name], nets[name].predict(X))
        assert nets[name].score(X, TARGETS[name]) == pytest.approx(expected, rel=1e-5)
    assert nets["multilabel"].score(X, X > 0) == metrics.accuracy_score(X > 0, nets["multilabel"].predict(X))


@pytest.mark.parametrize("name", TARGETS)
def test_save_and_load_give_the_same_network(name, nets, tmp_path):
    net, path = nets[name], tmp_path / "net.fbp"
    net.save(path)
    again = fastbp.load(path)
    for field in dataclasses.fields(net):
        ours, theirs = getattr(net, field.name), getattr(again, field.name)
        if field.name == "examples":  # rows of the training part are the user's: they are not saved in a file to share
            assert 0 < len(ours) <= len(X)
            assert theirs is None
        elif isinstance(ours, np.ndarray):
            assert ours.dtype == theirs.dtype
            assert (ours == theirs).all()
        elif field.name == "history":
            assert {k: v.tolist() for k, v in ours.items()} == {k: v.tolist() for k, v in theirs.items()}
        else:
            assert ours == theirs
    assert (again.predict(X) == net.predict(X)).all()


def test_every_form_of_the_same_rows_gives_the_same_prediction(nets):
    net = nets["regression"]
    for rows in (1, 3, 40):  # few, and in tiles
        wanted = net.predict(X[:rows])
        frozen = X[:rows].copy()
        frozen.flags.writeable = False
        forms = (
            X[:rows].astype(">f8"),
            np.asfortranarray(X[:rows]),
            np.repeat(X, 2, axis=0)[: 2 * rows : 2],
            X[:rows].tolist(),
            frozen,
        )
        for form in (
            *forms,
            X[:rows].astype(np.dtype("f8", metadata={"unit": "m"})),
            np.frombuffer(X[:rows].tobytes()).reshape(rows, -1),
        ):
            for _ in range(2):
                np.testing.assert_array_equal(net.predict(form), wanted)
        narrow = X[:rows].astype(np.float32)
        np.testing.assert_array_equal(net.predict(narrow), net.predict(narrow.astype(np.float64)))
        np.testing.assert_array_equal(
            net.predict((X[:rows] * 9).astype(np.int8)), net.predict((X[:rows] * 9).astype(np.int8).astype(float))
        )


@pytest.mark.parametrize("dtype", [pytest.param(np.float32, marks=pytest.mark.thorough), np.float64])
def test_many_rows_are_not_copied(dtype, nets, tmp_path):
    net = nets["regression"]
    rows = np.resize(X, (200_000, X.shape[1])).astype(dtype)
    rows.tofile(tmp_path / "rows")
    wanted = net.predict(rows)
    mapped = np.memmap(tmp_path / "rows", dtype, "r", shape=rows.shape)
    for given in (rows, np.asarray(mapped)):
        tracemalloc.start()
        found = net.predict(given)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        np.testing.assert_array_equal(found, wanted)
        assert peak < wanted.nbytes + rows.nbytes / 3


def test_pickle_and_copy(nets):
    for other in (pickle.loads(pickle.dumps(nets["text"])), copy.deepcopy(nets["text"])):
        assert (other.predict(X) == nets["text"].predict(X)).all()
        assert not other.params.flags.writeable


class TestModelFile:
    @pytest.fixture
    def path(self, nets, tmp_path):
        nets["text"].save(tmp_path / "net.fbp")
        return tmp_path / "net.fbp"

    def test_missing(self, tmp_path):
        with pytest.raises(FileNotFoundError, match="expected a model file"):
            fastbp.load(tmp_path / "none.fbp")

    def test_cut_off_anywhere(self, path):
        whole = path.read_bytes()
        for length in [0, 1, 7, 8, 9, 100, len(whole) // 2, len(whole) - 1]:
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match="expected a fastbp model file"):
                fastbp.load(path)

    def test_a_folder_and_other_files(self, path):
        with pytest.raises(ValueError, match="expected a fastbp model file"):
            fastbp.load(path.parent)
        path.write_bytes(b"area,price\n1,2\n" * 100)
        with pytest.raises(ValueError, match="expected a fastbp model file"):
            fastbp.load(path)
        save_file({"a": np.zeros(3)}, path)
        with pytest.raises(ValueError, match="of something else"):
            fastbp.load(path)

    @pytest.mark.parametrize("names", [["a", "b", "c"], None])
    def test_a_file_of_the_first_format(self, names, nets, tmp_path):
        path = tmp_path / "net.fbp"
        nets["regression"].save(path)
        header = json.loads(_header(path)) | {"format": 1, "feature_names": names}
        del header["columns"]
        save_file(load_file(path), path, metadata={"fastbp": json.dumps(header)})  # without a checksum
        net = fastbp.load(path)
        assert net.feature_names == (tuple(names) if names else None)
        np.testing.assert_array_equal(net.predict(X), nets["regression"].predict(X))
        if names:
            frame = pd.DataFrame(X, columns=names)[["c", "a", "b"]]
            np.testing.assert_array_equal(net.predict(frame), net.predict(X))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"format": 99}, "reads up to 9; update fastbp"),
            ({"format": "1"}, "no format number"),
            ({"task": "magic"}, "unknown task"),
            ({"loss": "magic"}, "unknown loss"),
            ({"sizes": [3, 5, 4, 2]}, "params has shape|do not fit"),
            ({"sizes": [3, -5, 4, 3]}, "impossible layer sizes"),
            ({"sizes": [10**18, 10**18]}, "impossible activations"),
            ({"sizes": None}, "NoneType"),
            ({"activations": ["relu", "relu", "magic"]}, "impossible activations"),
            ({"activations": ["softmax", "relu", "softmax"]}, "impossible activations"),
            ({"classes": None}, "do not go together"),
            ({"classes": {"dtype": "<U3", "labels": ["a", "b"]}}, "do not fit the classes"),
            ({"classes": {"dtype": "O", "labels": [[], {}, 1]}}, "impossible types"),
            ({"columns": {"encoders": [], "rows": []}}, "do not have distinct names"),
            ({"columns": {"encoders": [{"kind": "number", "name": "a", "fill": 0}], "rows": []}}, "invalid columns"),
            ({"stop_reason": "magic"}, "unknown stop reason"),
            ({"options": 3}, "not a table"),
        ],
    )
    def test_a_false_header(self, path, change, message, nets):
        arrays = load_file(path)
        header = json.loads(_header(path)) | change
        storage.write(path, header, arrays)
        with pytest.raises(ValueError, match=message):
            fastbp.load(path)

    def test_false_numbers(self, path):
        header, arrays = json.loads(_header(path)), load_file(path)
        for name, value in [("params", np.nan), ("x_mean", np.inf), ("x_scale", 0.0), ("y_scale", -1.0)]:
            broken = {**arrays, name: np.full_like(arrays[name], value)}
            storage.write(path, header, broken)
            with pytest.raises(ValueError, match=f"{name} holds numbers"):
                fastbp.load(path)
            del broken[name]
            storage.write(path, header, broken)
            with pytest.raises(ValueError, match=f"'{name}' is missing"):
                fastbp.load(path)

    @pytest.mark.parametrize(
        "wrong", [[[1.0], [0.0]], [[0.0], [np.inf]], [[np.nan], [1.0]], [[0.0, 0.0], [1.0, 1.0]], [0.0, 1.0]]
    )
    def test_a_false_range_of_predictions(self, wrong, nets, tmp_path):
        header, arrays = storage.contents(nets["regression"])
        for false in (np.array(wrong), np.array([[0], [1]])):
            storage.write(tmp_path / "net.fbp", header, arrays | {"target_range": false})
            with pytest.raises(ValueError, match="target_range"):
                fastbp.load(tmp_path / "net.fbp")
        header, arrays = storage.contents(nets["text"])
        storage.write(tmp_path / "net.fbp", header, arrays | {"target_range": np.array([[0.0] * 3, [1.0] * 3])})
        with pytest.raises(ValueError, match="target_range does not fit the outputs"):
            fastbp.load(tmp_path / "net.fbp")

    def test_a_missing_or_wrong_checksum(self, path):
        header, arrays = _header(path), load_file(path)
        for metadata, message in (({}, "it has no checksum"), ({"sha256": "0" * 64}, "its checksum differs")):
            save_file(arrays, path, metadata={"fastbp": header, **metadata})
            with pytest.raises(ValueError, match=message):
                fastbp.load(path)

    def test_a_failed_save_keeps_the_old_file_and_leaves_no_other(self, path, nets, monkeypatch):
        before = path.read_bytes()
        monkeypatch.setattr("os.fsync", lambda handle: (_ for _ in ()).throw(OSError("no space left")))
        with pytest.raises(OSError, match="no space left"):
            nets["regression"].save(path)
        assert path.read_bytes() == before
        assert [p.name for p in path.parent.iterdir()] == ["net.fbp"]

    def test_save_into_a_missing_folder(self, nets, tmp_path):
        with pytest.raises(FileNotFoundError):
            nets["text"].save(tmp_path / "none" / "net.fbp")


def _header(path):
    raw = path.read_bytes()
    return json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]["fastbp"]


def test_predicting_from_many_python_threads(nets):
    expected, seen = nets["text"].predict_proba(X), []
    workers = [
        threading.Thread(target=lambda: seen.append((nets["text"].predict_proba(X) == expected).all()))
        for _ in range(8)
    ]
    for w in workers:
        w.start()
    for w in workers:
        w.join()
    assert seen == [True] * 8


@pytest.mark.thorough
def test_warmup_says_how_long_it_took():
    assert fastbp.warmup("float32", progress=False) >= 0
    assert fastbp.warmup("float32", progress=False) == 0
    with pytest.raises(ValueError, match="dtype: expected one of 'float32', 'float64', got 'float16'"):
        fastbp.warmup("float16")
