"""Ensembles: each network as if trained alone, their predictions, files, exports, and the command line."""

import ctypes
import json
import pickle
import warnings
from dataclasses import replace
from importlib.util import find_spec

import naive
import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import networks, raw_rows
from test_export import NEEDS_COMPILER, compiled
from test_inference import check_inside_compiled_code
from test_many import same

import fastbp
from fastbp.data import targets
from fastbp.export import verify
from fastbp.many import ensembles as bagging
from fastbp.many import jobs
from fastbp.model import storage
from fastbp.tables.raw_inputs import Inputs

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(2, 3, (60, 3))
CLASSES = np.array(["a", "b", "c"])[(X[:, 0] + X[:, 1]).argsort().argsort() // 20]
NUMBERS = X @ [1.0, -2.0, 0.5]
TASKS = {"classes": CLASSES, "two": CLASSES == "a", "numbers": NUMBERS}
TASKS |= {"several": X[:, :2] * 2, "labels": (X > 2).astype(int)}
FEW = {"epochs": 2, "hidden": 3, "progress": False}


def predictions(model, rows):
    return model.predict(rows) if model.task == "regression" else model.predict_proba(rows)


@pytest.mark.parametrize("y", TASKS.values(), ids=TASKS)
def test_each_network_is_as_trained_alone_and_they_predict_their_mean(y, tmp_path):
    found = fastbp.ensemble(X, y, 3, seed=2, threads=1, **FEW)
    alone = [fastbp.train(X, y, seed=net.options["seed"], **FEW) for net in found.networks]
    assert all(map(same, found.networks, alone))
    each = np.array([predictions(net, X) for net in alone], np.float64)
    mean = (each.sum(axis=0) / 3).astype(np.float32)
    np.testing.assert_array_equal(predictions(found, X), mean)
    assert predictions(found, X).dtype == np.float32
    np.testing.assert_allclose(found.spread(X), each.std(axis=0), rtol=1e-12)
    if found.task == "classification":
        np.testing.assert_array_equal(found.predict(X), found.classes[mean.argmax(axis=1)])
        assert found.score(X, y) == (found.predict(X) == y).mean()
    elif found.task == "multilabel":
        np.testing.assert_array_equal(found.predict(X), mean > 0.5)
    again = fastbp.ensemble(X.tolist(), y.tolist(), 3, seed=2, **FEW)
    found.save(tmp_path / "e.fbp")
    for other in (again, fastbp.load(tmp_path / "e.fbp"), pickle.loads(pickle.dumps(found))):
        assert predictions(other, X).tobytes() == predictions(found, X).tobytes()
        assert other.options == {"n": 3, "bootstrap": False, "seed": 2}
    assert repr(found) == f"<fastbp.Ensemble {found.task} of 3 networks float32>"


@given(values=st.lists(st.integers(0, 3), min_size=2, max_size=50), seed=st.integers(0, 2**40))
def test_rows_drawn_with_replacement(values, seed):
    random = np.random.default_rng(seed)
    target = targets.Targets("classification", np.arange(4), np.array(values), True)
    rows = bagging._drawn(target, random)
    assert sorted(target.values[rows]) == sorted(values)  # as many of each class
    rows = bagging._drawn(targets.Targets("regression", None, target.values[:, None], True), random)
    assert rows.shape == (len(values),)
    assert set(rows) <= set(range(len(values)))


def test_bootstrap():
    own = np.arange(60) % 3 + 1.0
    found = fastbp.ensemble(X, CLASSES, 4, bootstrap=True, seed=5, sample_weight=own, **FEW)
    random, target = np.random.default_rng(5), targets.read(CLASSES, "classification", 60)
    for net in found.networks:
        seed = int(random.integers(2**32))
        times = np.bincount(bagging._drawn(target, random), minlength=60)
        rows = times > 0
        assert 10 < rows.sum() < 60
        assert same(net, fastbp.train(X[rows], CLASSES[rows], seed=seed, sample_weight=(times * own)[rows], **FEW))
    smaller = fastbp.ensemble(X, CLASSES, 2, bootstrap=True, seed=5, sample_weight=own, **FEW)
    assert all(map(same, smaller.networks, found.networks[:2]))


def test_thresholds():
    found = fastbp.ensemble(X, TASKS["two"], 2, seed=0, **FEW)
    p = found.predict_proba(X)[:, 1]
    np.testing.assert_array_equal(found.predict(X, 0.3), p > 0.3)
    with pytest.raises(ValueError, match="threshold: expected a probability of at most 1, got 2"):
        found.predict(X, 2)
    with pytest.raises(ValueError, match=r"threshold: expected 0\.5 with 3 classes"):
        fastbp.ensemble(X, CLASSES, 2, epochs=0).predict(X, 0.3)
    with pytest.raises(ValueError, match="predict_proba: expected a network for classification"):
        fastbp.ensemble(X, NUMBERS, 2, epochs=0).predict_proba(X)


def test_frames(tmp_path):
    kinds = np.where(X[:, 1] > 2, "high", "low")
    frame = pd.DataFrame(
        {"a": X[:, 0], "b": kinds, "name": [f"n{k}" for k in range(60)], "once": np.arange(60) == 1, "y": NUMBERS}
    )
    with pytest.warns(fastbp.TableWarning, match="left out: 'name'"):  # a name, though rows are drawn twice
        found = fastbp.ensemble(frame, "y", 4, bootstrap=True, seed=3, **FEW)
    assert found.feature_names == ("a", "b", "once")
    assert {net.feature_names for net in found.networks} == {("a", "b", "once"), ("a", "b")}
    np.testing.assert_array_equal(found.predict(frame), found._mean(net.predict(frame) for net in found.networks))
    frame.to_csv(tmp_path / "t.csv", index=False)
    np.testing.assert_allclose(found.predict(tmp_path / "t.csv"), found.predict(frame), rtol=1e-6)
    for export in (found.to_numpy, found.to_c):
        with pytest.raises(
            ValueError, match=r"to_\w+: expected networks that encode a table's columns in the same way, .* in 'once'"
        ):
            export(tmp_path / "x")


def test_networks_trained_by_the_user():
    nets = fastbp.train_many(X, CLASSES, [{"hidden": 2}, {"hidden": (4, 3), "activation": "tanh"}], epochs=1)
    assert fastbp.Ensemble(nets).predict(X).shape == (60,)
    others = {
        "task": fastbp.train(X, NUMBERS, epochs=0),
        "classes": fastbp.train(X, TASKS["two"], epochs=0),
        "type": fastbp.train(X, CLASSES, epochs=0, dtype="float64"),
        "features": fastbp.train(X[:, :2], CLASSES, epochs=0),
    }
    for what, net in others.items():
        with pytest.raises(ValueError, match=rf"networks\[2\]: expected the {what} of networks\[0\] \("):
            fastbp.Ensemble([*nets, net])
    with pytest.raises(ValueError, match="networks: expected at least one, got none"):
        fastbp.Ensemble([])
    with pytest.raises(ValueError, match=r"networks\[0\]: expected a Network, got str"):
        fastbp.Ensemble("ab")


def test_networks_that_fail_are_left_out(monkeypatch):
    real = jobs.prepare.prepare_run

    def prepare(X, y, asked, *more):
        if asked["seed"] in bad:
            raise FloatingPointError("training diverged")
        return real(X, y, asked, *more)

    whole = fastbp.ensemble(X, CLASSES, 3, seed=0, bootstrap=True, **FEW)
    bad = [whole.networks[1].options["seed"]]
    monkeypatch.setattr(jobs.prepare, "prepare_run", prepare)
    with pytest.warns(
        RuntimeWarning, match=r"1 of 3 networks are missing; the first is networks\[1\]: training diverged"
    ):
        found = fastbp.ensemble(X, CLASSES, 3, seed=0, bootstrap=True, **FEW)
    assert all(map(same, found.networks, (whole.networks[0], whole.networks[2])))
    bad += [net.options["seed"] for net in whole.networks]
    with pytest.raises(FloatingPointError, match=r"networks\[0\]: training diverged"):
        fastbp.ensemble(X, CLASSES, 3, seed=0, bootstrap=True, **FEW)


def test_ctrl_c_before_any_is_trained(monkeypatch):
    def prepare(*_, **__):
        raise jobs.NotTrainedError

    monkeypatch.setattr(jobs.prepare, "prepare_run", prepare)
    with pytest.raises(KeyboardInterrupt):
        fastbp.ensemble(X, CLASSES, 2, bootstrap=True, **FEW)


BAD = {
    "n: expected an integer of at least 1, got 0": {"n": 0},
    "bootstrap: expected True or False, got 'yes'": {"bootstrap": "yes"},
    "seed: expected an integer of at least 0, got -1": {"seed": -1},
    "ensemble: expected one of .*, got 'hiden'; did you mean 'hidden'": {"hiden": 3},
    "hidden: expected an integer of at least 1, got 0": {"hidden": 0},
    r"sample_weight: expected shape \(60,\), got \(2,\)": {"sample_weight": [1, 2], "bootstrap": True},
}


@pytest.mark.parametrize("text", BAD)
def test_bad_input(text, monkeypatch):
    monkeypatch.setattr(jobs.prepare.Run, "train", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match=f"^{text}"):
        fastbp.ensemble(X, CLASSES, **{"epochs": 1} | BAD[text])


def test_files_that_do_not_fit_together(tmp_path):
    fastbp.ensemble(X, CLASSES, 2, epochs=0).save(tmp_path / "e.fbp")
    header, tensors = storage.read(tmp_path / "e.fbp")
    assert header["format"] == storage.FORMAT
    other, _ = storage.contents(fastbp.train(X, TASKS["two"], epochs=0))
    for lie, text in (
        ({"networks": []}, "networks: expected at least one"),
        ({"networks": header["networks"][0]}, "the networks are not a list"),
        ({"networks": [*header["networks"], header["networks"][0]]}, "'params' is missing"),
        ({"networks": [header["networks"][0], other]}, "params has shape"),
        ({"options": None}, "the options are not a table"),
    ):
        storage.write(tmp_path / "lie.fbp", header | lie, tensors)
        with pytest.raises(ValueError, match=f"path: expected a sound fastbp model file, .* is not: .*{text}"):
            fastbp.load(tmp_path / "lie.fbp")
    with pytest.raises(ValueError, match="path: expected a"):
        fastbp.resume(tmp_path / "e.fbp", X, CLASSES)


# Exports, on rows other than those that verified them


@st.composite
def ensembles(draw, **kinds):
    """A random network, and others of the same layers with other weights."""
    net = draw(networks(**kinds))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    others = [pickle.loads(pickle.dumps(net)) for _ in range(draw(st.integers(1, 2)))]
    for other in others:
        object.__setattr__(other, "params", (net.params * random.uniform(0.5, 1, net.params.shape)).astype(net.dtype))
    return fastbp.Ensemble([net, *others])


def agree(model, raw, outputs, probabilities=None, labels=None):
    """Assert that an export's outputs are the ensemble's, except for rounding."""
    verify.require("export", model, raw, verify.Answers(outputs, probabilities, labels))


@settings(max_examples=10)
@given(ensembles())
def test_onnx(tmp_path_factory, model):
    onnxruntime = pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "e.onnx"
    model.to_onnx(path)
    raw = raw_rows(model.networks[0], 50, 1)
    session = onnxruntime.InferenceSession(path)
    came = dict(
        zip((o.name for o in session.get_outputs()), session.run(None, {"X": raw.astype(model.dtype)}), strict=True)
    )
    agree(model, raw, came.get("prediction"), came.get("probabilities"))


@settings(max_examples=10)
@given(ensembles())
def test_numpy(tmp_path_factory, model):
    path = tmp_path_factory.mktemp("numpy") / "e.py"
    model.to_numpy(path)
    text = path.read_text("utf-8")
    assert "fastbp" not in text.replace("written by fastbp", "")
    file = {}
    exec(text, file)
    raw = raw_rows(model.networks[0], 50, 1)
    if model.task == "regression":
        return agree(model, raw, file["forward"](raw))
    return agree(model, raw, None, file["predict_proba"](raw), file["predict"](raw))


@NEEDS_COMPILER
@settings(max_examples=5)
@given(ensembles())
def test_c(tmp_path_factory, model):
    folder = tmp_path_factory.mktemp("c")
    model.to_c(folder / "e.c")
    text = (folder / "e.c").read_text("ascii")
    library = compiled(folder, text, "-Wconversion", "-Wno-float-conversion", "-Wshadow", "-Wdouble-promotion")
    raw, net = raw_rows(model.networks[0], 20, 1), model.networks[0]
    count = net.sizes[-1] if net.classes is None else len(net.classes)
    x, out, labels = (
        np.ascontiguousarray(raw, net.dtype),
        np.empty((len(raw), count), net.dtype),
        np.zeros((len(raw), count), np.intc),
    )
    rows = [[ctypes.c_void_p(array[k].ctypes.data) for array in (x, out, labels)] for k in range(len(raw))]
    index = [library.e_predict(*row[: 3 if model.task == "multilabel" else 2]) for row in rows]
    if model.task == "regression":
        return agree(model, raw, out)
    return agree(model, raw, None, out, labels if net.classes is None else net.classes[index])


@settings(max_examples=20)
@given(ensembles())
def test_torch(model):
    torch = pytest.importorskip("torch")
    module, raw = model.to_torch(), raw_rows(model.networks[0], 50, 1)
    inputs = Inputs.of(model.networks[0]).expand(raw)
    with torch.no_grad():
        came = module(torch.tensor(inputs.astype(model.dtype))).numpy()
    assert came.dtype == model.dtype
    assert came.shape == (predictions(model, inputs).reshape(50, -1)).shape
    agree(model, raw, *((came,) if model.task == "regression" else (None, came)))


@settings(max_examples=20)
@given(ensembles(hidden=naive.BASIC, outputs=("identity", "exp", "softmax"), same=True))
def test_sklearn(model):
    base = pytest.importorskip("sklearn.base")
    if model.task == "regression" and model.networks[0].sizes[-1] > 1:
        with pytest.raises(ValueError, match=r"to_sklearn: expected an ensemble .* got \d+ outputs; call to_sklearn"):
            model.to_sklearn()
        return
    vote, raw = model.to_sklearn(), raw_rows(model.networks[0], 50, 1)
    inputs = Inputs.of(model.networks[0]).expand(raw)
    for other in (vote, pickle.loads(pickle.dumps(vote))):
        predicted = other.predict(inputs)
        if model.task == "regression":
            agree(model, raw, predicted.reshape(50, -1))
        else:
            assert other.classes_.dtype == predicted.dtype == model.classes.dtype
            agree(model, raw, None, other.predict_proba(inputs), predicted)
    assert base.clone(vote).get_params().keys() == vote.get_params().keys()
    assert (vote.n_features_in_, len(vote.estimators_)) == (inputs.shape[1], len(model.networks))
    assert list(vote.named_estimators_) == [name for name, _ in vote.estimators]


def test_sklearn_has_what_its_own_fit_leaves():
    ensemble = pytest.importorskip("sklearn.ensemble")
    kinds = {
        "two": ensemble.VotingClassifier,
        "classes": ensemble.VotingClassifier,
        "numbers": ensemble.VotingRegressor,
    }
    for name, kind in kinds.items():
        vote = fastbp.ensemble(X, TASKS[name], 2, seed=0, **FEW).to_sklearn()
        assert type(vote) is kind
        own = kind(vote.estimators, **({} if name == "numbers" else {"voting": "soft"}))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they have not converged
            own.fit(X, TASKS[name])
        assert vars(own).keys() == vars(vote).keys()
        assert vote.transform(X).shape == own.transform(X).shape
        if name != "numbers":
            assert vote.estimators_[0].classes_.tolist() == own.estimators_[0].classes_.tolist()
            assert vote.score(X, TASKS[name]) == (vote.predict(X) == TASKS[name]).mean()
    with pytest.raises(ValueError, match=r"to_sklearn: expected an ensemble for classification, .* got multilabel"):
        fastbp.ensemble(X, TASKS["labels"], 2, epochs=0).to_sklearn()


def different(y, **options):
    """An ensemble of networks with different layers."""
    variants = [{"hidden": 2}, {"hidden": (4, 9), "activation": ["tanh", "gelu"]}, {"hidden": ()}]
    return fastbp.Ensemble(fastbp.train_many(X, y, variants, epochs=3, seed=0, progress=False, **options))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", TASKS)
def test_an_ensemble_inside_compiled_code(name, dtype, allocations):
    model = different(TASKS[name], dtype=dtype)
    f, wanted = model.jit(), predictions(model, X).reshape(60, -1)
    check_inside_compiled_code(f, X, wanted, allocations)
    with pytest.raises(ValueError, match="predict: expected finite numbers"):
        f(np.array([0, np.nan, 0]), np.empty_like(wanted[0]))


@pytest.mark.thorough
@settings(max_examples=6)
@given(ensembles())
def test_random_ensembles_inside_compiled_code(model):
    f, raw = model.jit(), raw_rows(model.networks[0], 9, 1)
    out = np.empty((9, predictions(model, Inputs.of(model.networks[0]).expand(raw)).reshape(9, -1).shape[1]))
    for row, answer in zip(raw, out, strict=True):
        f(row, answer)
    agree(model, raw, *((out,) if model.task == "regression" else (None, out)))


@pytest.mark.thorough
def test_an_ensemble_as_a_c_function():
    for name in ("numbers", "two"):
        model = different(TASKS[name])
        wanted, function = predictions(model, X).reshape(60, -1)[:, -1], model.cfunc()
        values = np.array([*X[5], 7.0])
        call = lambda n, x, f=function: f.ctypes(n, x.ctypes.data_as(f.ctypes.argtypes[1]))  # noqa: E731
        assert call(3, values) == wanted[5]
        assert np.isnan(call(2, values))
        assert np.isnan(call(3, np.array([0, 0, np.inf])))
    with pytest.raises(ValueError, match="cfunc: expected a network with one output, got 3"):
        different(CLASSES).cfunc()
    wide = fastbp.train(np.zeros((2, 40_000)), [0.0, 1.0], hidden=(), epochs=0)
    with pytest.raises(ValueError, match="jit: expected a network whose rows fit"):
        fastbp.Ensemble([wide, wide]).jit()


@pytest.mark.parametrize("name", TASKS)
def test_its_gradient_is_the_mean_of_those_of_the_networks(name):
    model = different(TASKS[name], dtype="float64")
    found = model.input_gradient(X[:7])
    each = [net.input_gradient(X[:7]) for net in model.networks]
    np.testing.assert_allclose(found, np.mean(each, axis=0), rtol=1e-12)
    step = 1e-6
    for j in range(3):
        above, below = X[:7].copy(), X[:7].copy()
        above[:, j] += step
        below[:, j] -= step
        slope = (predictions(model, above) - predictions(model, below)).reshape(7, -1) / (2 * step)
        np.testing.assert_allclose(found[..., j], slope[:, -found.shape[1] :], rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(model.encode(X), X)
    assert (model.columns, model.input_names) == (None, None)
    np.testing.assert_array_equal(model.examples, model.networks[0].examples)


def table_of_all_kinds():
    """Numbers, some of them missing, which are encoded in pieces, and categories."""
    kinds = np.array(["high", "low", "odd"])[RANDOM.integers(3, size=240)]
    a = np.where(RANDOM.random(240) < 0.1, np.nan, RANDOM.normal(size=240))
    return pd.DataFrame({"a": a, "kind": kinds, "c": RANDOM.normal(5, 2, 240)})


@pytest.mark.parametrize("name", ["numbers", "two", "classes", "labels"])
def test_networks_that_encode_a_table_in_the_same_way(name, tmp_path):
    frame = table_of_all_kinds()
    score = np.nan_to_num(frame["a"]) + (frame["kind"] == "low") + (frame["c"] - 5) ** 2
    y = {"numbers": score, "two": score > 3, "classes": np.digitize(score, [1, 4])}
    y["labels"] = np.column_stack([score > 1, score > 4]).astype(int)
    model = fastbp.ensemble(frame, y[name], 3, seed=0, validation=None, **FEW)
    assert model.columns == model.networks[0].columns
    assert any(encoder.edges for encoder in model.columns.encoders if encoder.name == "c")
    assert model.input_names == model.networks[0].input_names
    raw, inputs = model.columns.encode_raw(frame), model.encode(frame)
    wanted = predictions(model, inputs)
    np.testing.assert_allclose(predictions(model, frame), wanted, rtol=1e-4)
    np.testing.assert_array_equal(inputs, model.networks[1].encode(frame))
    shape = (240, model.networks[0].sizes[-1], inputs.shape[1])
    assert model.input_gradient(frame).shape == shape
    f, out = model.jit(), np.empty(wanted.reshape(240, -1).shape, np.float32)
    for row, answer in zip(raw[:20], out, strict=False):
        f(row, answer)
    np.testing.assert_array_equal(out[:20], wanted.reshape(240, -1)[:20])
    if name != "labels" and find_spec("sklearn"):
        vote = model.to_sklearn(frame)
        found = vote.predict(inputs) if name == "numbers" else vote.predict_proba(inputs)
        # scikit-learn's perceptron cannot cut predictions to the range of the targets
        uncut = fastbp.Ensemble([replace(net, target_range=None) for net in model.networks])
        np.testing.assert_allclose(found, predictions(uncut, inputs), atol=1e-4)
    if find_spec("torch"):
        import torch

        found = model.to_torch(frame)(torch.tensor(inputs.astype(np.float32))).detach().numpy()
        np.testing.assert_allclose(found.reshape(wanted.shape), wanted, atol=1e-4)
    model.save(tmp_path / "e.fbp")
    again = fastbp.load(tmp_path / "e.fbp")
    assert again.examples is None
    assert again.columns == model.columns


def test_networks_that_encode_a_table_differently():
    frame, y = table_of_all_kinds(), RANDOM.normal(size=240)
    model = fastbp.ensemble(frame, y, 2, seed=0, validation=0.3, **FEW)
    assert (model.columns, model.input_names) == (None, None)
    f, out = model.jit(), np.empty(1, np.float32)
    f(model.networks[0].columns.encode_raw(frame)[3], out)  # raw values are the same
    assert out[0] == model.predict(frame)[3]
    calls = {"encode": [frame], "input_gradient": [frame]}
    calls |= {f"to_{name}": [] for name in ("sklearn", "torch") if find_spec(name)}
    for name, arguments in calls.items():
        with pytest.raises(
            ValueError, match=f"{name}: expected networks that encode a table's .* differ in 'a'; train"
        ):
            getattr(model, name)(*arguments)
    other = pd.DataFrame({"c": frame["c"], "a": frame["a"]})  # in another order
    nets = [fastbp.train(one, y, epochs=0, encode="standard", validation=None) for one in (other, other[["a", "c"]])]
    with pytest.raises(ValueError, match=r"jit: expected networks that encode .* differ in 'c'"):
        fastbp.Ensemble(nets).jit()


@pytest.mark.parametrize("kind", ["torch", "sklearn"])
def test_a_wrong_module_or_estimator(kind, monkeypatch):
    pytest.importorskip(kind)
    module = pytest.importorskip(f"fastbp.export.{kind}")
    layers = module.layers.folded
    monkeypatch.setattr(module.layers, "folded", lambda net: [(1.1 * W, b) for W, b in layers(net)])
    for y in (CLASSES, NUMBERS):
        with pytest.raises(RuntimeError, match="was not kept"):
            getattr(fastbp.ensemble(X, y, 2, seed=0, **FEW), f"to_{kind}")()


@pytest.mark.parametrize("kind", ["onnx", "numpy"])
def test_a_wrong_export_leaves_nothing(kind, tmp_path, monkeypatch):
    if kind == "onnx":
        pytest.importorskip("onnxruntime")
    module = pytest.importorskip(f"fastbp.export.{kind}")
    monkeypatch.setitem(module._ACTIVATIONS, "relu", {"onnx": lambda graph, z: z, "numpy": "z"}[kind])
    for y in (CLASSES, NUMBERS):
        with pytest.raises(RuntimeError, match="was not kept"):
            getattr(fastbp.ensemble(X, y, 2, seed=0, **FEW), f"to_{kind}")(tmp_path / "e")
    assert list(tmp_path.iterdir()) == []


def test_raw_values_of_a_table(tmp_path):
    frame = pd.DataFrame({"a": np.where(X[:, 0] > 4, np.nan, X[:, 0]), "b": np.where(X[:, 1] > 2, "high", "low")})
    found = fastbp.ensemble(frame, CLASSES, 2, seed=0, **FEW)
    found.to_numpy(tmp_path / "e.py", frame[:9])
    file = {}
    exec((tmp_path / "e.py").read_text("utf-8"), file)
    raw = found.networks[0].columns.encode_raw(frame)
    assert file["INPUTS"] == ["a", "b=high", "b=low"]
    np.testing.assert_allclose(file["predict_proba"](raw), found.predict_proba(frame), atol=1e-5)
    assert Inputs.of(found.networks[0]).count == 3


# Command line


@pytest.fixture
def table(tmp_path):
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 2, "high", "low"), "kind": CLASSES})
    frame.to_csv(tmp_path / "t.csv", index=False)
    return tmp_path / "t.csv"


def test_command_line(capsys, table, tmp_path):
    model, frame = tmp_path / "e.fbp", pd.read_csv(table)
    command = ["train", table, "--target", "kind", "--ensemble", 3, "--epochs", 2, "--seed", 1, "--save", model]
    status, out, err = run(capsys, *command)
    assert (status, err) == (0, "")
    assert "ensemble    3 networks\n" in out
    assert "training (48)" in out
    assert "validation (12)" in out
    found = fastbp.load(model)
    assert isinstance(found, fastbp.Ensemble)
    assert {len(net.history["validation_loss"]) for net in found.networks} == {2}
    assert run(capsys, "predict", model, table)[1].split() == ["prediction", *found.predict(frame)]
    run(capsys, "predict", model, table, "--proba", "--output", tmp_path / "p.csv")
    np.testing.assert_allclose(pd.read_csv(tmp_path / "p.csv"), found.predict_proba(frame), rtol=1e-5)
    out = run(capsys, "info", model)[1]
    assert "options of the first network\n" in out
    assert "features    a, b\n" in out
    assert len(json.loads(run(capsys, "info", model, "--json")[1])["networks"]) == 3
    status, out, _ = run(capsys, "export", model, "--to", "numpy", "--table", table)
    assert status == 0
    assert "compared on  60 rows of" in out
    status, out, _ = run(capsys, *command, "--bootstrap", "--validation", 0, "--json")
    assert status == 0
    assert json.loads(out)["ensemble"] == {"n": 3, "bootstrap": True, "seed": 1}


def test_report_and_pictures_on_the_command_line(capsys, table, tmp_path):
    pytest.importorskip("jinja2")
    command = ["train", table, "--target", "kind", "--ensemble", 3, "--epochs", 2, "--save", tmp_path / "e.fbp"]
    report = tmp_path / "e.html"
    status, out, err = run(capsys, *command, "--bootstrap", "--report", report, "--plot", tmp_path)
    assert (status, err) == (0, "")
    assert "epochs      2 of each network\n" in out
    assert "quality" not in out
    page = report.read_text(encoding="utf-8")
    assert "The 3 networks predict kind together from the 2 columns of" in page
    assert "12 rows were set aside for validation. On the validation rows, their accuracy is" in page
    for name in ("learning-curves.png", "confusion.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_networks_of_several_kinds_on_the_command_line(capsys, tmp_path):
    model = tmp_path / "e.fbp"
    fastbp.Ensemble([fastbp.train(X, CLASSES, hidden=hidden, epochs=2) for hidden in ((4,), (5, 2), (4,))]).save(model)
    out = run(capsys, "info", model)[1]
    assert "layers      3 inputs - 4 relu - 3 softmax (2 of the networks)\n" in out
    assert "layers      3 inputs - 5 relu - 2 relu - 3 softmax (1 of the networks)\n" in out
    sizes = sorted(len(net.params) for net in fastbp.load(model).networks)
    assert f"parameters  {sizes[0]} to {sizes[-1]} (float32) in each network\n" in out


def test_mistakes_on_the_command_line(capsys, table, tmp_path):
    command = ["train", table, "--target", "kind", "--save", tmp_path / "e.fbp"]
    assert_one_line(*run(capsys, *command, "--bootstrap"), "--bootstrap: expected --ensemble N, too")
    assert_one_line(*run(capsys, *command, "--ensemble", 0), "--ensemble: expected an integer of at least 1, got 0")
    assert_one_line(
        *run(capsys, *command, "--ensemble", 2, "--seed", -1), "--seed: expected an integer of at least 0, got -1"
    )
    for option in ("--checkpoint", "--resume"):
        result = run(capsys, *command, "--ensemble", 2, option, tmp_path / "x")
        assert_one_line(*result, f"{option}: expected a single network; leave out --ensemble")
