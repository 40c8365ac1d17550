"""Exports give the network's outputs, or no file is kept; and networks are imported from scikit-learn and PyTorch."""

import ctypes
import json
import pickle
import subprocess
import warnings
from dataclasses import replace

import naive
import numpy as np
import pytest
from hypothesis import given, settings
from random_networks import networks, raw_rows

import fastbp
from fastbp.export import c, c_source, layers, verify
from fastbp.tables.raw_inputs import Inputs

rng = np.random.default_rng(0)
X = rng.normal(size=(60, 3)) * [1, 5, 0.1] + [0, 10, 0]
Y = X @ [1.0, -0.4, 10.0]
FILES = {"onnx": "net.onnx", "c": "net.c", "numpy": "net.py"}
NEEDS_COMPILER = pytest.mark.skipif(c.compiler() is None, reason="no C compiler")
FEW = settings(max_examples=settings.default.max_examples * 2 // 5)  # each is compiled


def trained(y=Y, **options):
    return fastbp.train(X, y, **{"hidden": (5, 4), "epochs": 3, "seed": 0} | options)


def agree(net, inputs, outputs=None, probabilities=None, labels=None):
    """Assert that an export's outputs are the network's, except for rounding."""
    came, own = verify.Answers(outputs, probabilities, labels), verify.own_answers(net, inputs)
    for name, relative in verify.differences(own, came, verify.terms(net, inputs)).items():
        assert relative.max() <= verify.TOLERANCE[net.dtype.name], name
        assert getattr(came, name).dtype in (net.dtype, np.float64)
    if labels is not None:
        decided = verify._decided(net, own.probabilities, verify.TOLERANCE[net.dtype.name])
        assert np.array_equal(own.labels[decided], labels[decided])


def fresh(net, seed=1):
    """Rows of raw values, and the same rows as inputs of the network."""
    raw = raw_rows(net, 50, seed)
    return raw, Inputs.of(net).expand(raw)


# Random networks, on rows other than those that verified the export


@given(networks())
def test_onnx(tmp_path_factory, net):
    onnx, onnxruntime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    net.to_onnx(path)
    raw, inputs = fresh(net)
    session = onnxruntime.InferenceSession(path)
    assert [(x.name, x.shape) for x in session.get_inputs()] == [("X", ["rows", raw.shape[1]])]
    came = dict(
        zip((o.name for o in session.get_outputs()), session.run(None, {"X": raw.astype(net.dtype)}), strict=True)
    )
    stored = {entry.key: json.loads(entry.value) for entry in onnx.load(path).metadata_props}
    assert stored.get("inputs") == (None if net.columns is None else list(net.columns.exported.names))
    if net.task == "regression":
        assert came["prediction"].dtype == net.dtype
        return agree(net, inputs, came["prediction"])
    assert came["probabilities"].dtype == net.dtype
    labels = came["label"]
    if net.task == "classification":
        assert stored["classes"] == net.classes.astype(str).tolist()
        if net.classes.dtype.kind == "M":
            labels = net.classes[labels]
        assert labels.dtype == (
            object
            if net.classes.dtype.kind in "UO"
            else net.classes.dtype
            if net.classes.dtype.kind == "M"
            else np.int64
        )
    return agree(net, inputs, None, came["probabilities"], labels)


@given(networks())
def test_numpy(tmp_path_factory, net):
    path = tmp_path_factory.mktemp("numpy") / "net.py"
    net.to_numpy(path)
    text = path.read_text("utf-8")
    assert "fastbp" not in text.replace("written by fastbp", "")
    file = {}
    exec(text, file)
    raw, inputs = fresh(net)
    if net.task == "regression":
        assert file["predict"](raw).shape == net.predict(inputs).shape
        return agree(net, inputs, file["forward"](raw))
    labels = file["predict"](raw)
    assert labels.dtype == net.predict(inputs).dtype
    agree(net, inputs, file["forward"](raw), file["predict_proba"](raw), labels)
    with pytest.raises(ValueError, match="expected shape"):
        file["predict"](raw[0])
    return None


@NEEDS_COMPILER
@FEW
@given(networks())
def test_c(tmp_path_factory, net):
    folder = tmp_path_factory.mktemp("c")
    net.to_c(folder / "3 net-0.c")
    raw, inputs = fresh(net)
    text = (folder / "3 net-0.c").read_text("ascii")
    library = compiled(folder, text, "-Wconversion", "-Wno-float-conversion", "-Wshadow", "-Wdouble-promotion")
    kind = {4: ctypes.c_float, 8: ctypes.c_double}[net.dtype.itemsize]
    count = 2 if net.task == "classification" and net.sizes[-1] == 1 else net.sizes[-1]
    out, whole = np.empty((len(raw), count), net.dtype), np.zeros((len(raw), count), np.intc)

    def pointers(array, of):
        return [row.ctypes.data_as(ctypes.POINTER(of)) for row in array]

    given = pointers(raw.astype(net.dtype), kind)
    if net.task == "regression":
        for x, result in zip(given, pointers(out, kind), strict=True):
            library.net_3_net_0_predict(x, result)
        return agree(net, inputs, out)
    if net.task == "multilabel":
        for x, result, labels in zip(given, pointers(out, kind), pointers(whole, ctypes.c_int), strict=True):
            library.net_3_net_0_predict(x, result, labels)
        return agree(net, inputs, None, out, whole)
    index = [library.net_3_net_0_predict(x, result) for x, result in zip(given, pointers(out, kind), strict=True)]
    names = (ctypes.c_char_p * len(net.classes)).in_dll(library, "net_3_net_0_class_names")
    assert [name.decode() for name in names] == net.classes.astype(str).tolist()
    return agree(net, inputs, None, out, net.classes[index])


def compiled(folder, text, *flags):
    (folder / "copy.c").write_text(text)
    command = [c.compiler(), *c._FLAGS, *flags, "copy.c", "-o", "copy.so", "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ctypes.CDLL(str(folder / "copy.so"))


@given(networks(hidden=naive.BASIC, outputs=("identity", "exp", "logistic", "softmax"), same=True))
def test_sklearn(net):
    base = pytest.importorskip("sklearn.base")
    if net.layer_activations[-1] == "logistic" and (
        net.task == "regression" or (net.task == "classification" and net.sizes[-1] > 1)
    ):
        with pytest.raises(ValueError, match=r"expected the output .* got 'logistic'; train without output="):
            net.to_sklearn()
        return
    model = net.to_sklearn()
    net = replace(net, target_range=None)  # scikit-learn does not cut predictions
    _, inputs = fresh(net)
    for other in (model, pickle.loads(pickle.dumps(model))):
        predicted = other.predict(inputs)
        if net.task == "regression":
            agree(net, inputs, predicted.reshape(len(inputs), -1))
        elif net.task == "multilabel":
            agree(
                net,
                inputs,
                None,
                other.predict_proba(inputs)[:, -own_columns(net) :],
                predicted.reshape(len(inputs), -1),
            )
        else:
            assert other.classes_.dtype == net.classes.dtype
            agree(net, inputs, None, other.predict_proba(inputs), predicted)
    assert model.score(inputs, model.predict(inputs)) == pytest.approx(1) or net.task == "regression"
    assert base.clone(model).get_params() == model.get_params()
    again = fastbp.from_sklearn(model)  # in float64, and without a scaler
    assert again.layer_activations[:-1] == net.layer_activations[:-1]
    if net.task == "regression":
        agree(net, inputs, again.forward(inputs))
    else:
        agree(net, inputs, None, again.predict_proba(inputs)[:, -own_columns(net) :])


def own_columns(net):
    return net.sizes[-1] if net.classes is None else len(net.classes)


@given(networks())
def test_torch(net):
    torch = pytest.importorskip("torch")
    model = net.to_torch()
    _, inputs = fresh(net)
    with torch.no_grad():
        agree(net, inputs, model(torch.tensor(inputs.astype(net.dtype))).numpy())
    units, last, count = net.sizes[-1], net.layer_activations[-1], 0 if net.classes is None else len(net.classes)
    if last in naive.OF_INPUT or (units, last, count) == (2, "logistic", 2):
        return
    again = fastbp.from_torch(model, task=net.task, classes=net.classes)
    assert (again.sizes, again.layer_activations, again.dtype) == (net.sizes, net.layer_activations, net.dtype)
    agree(net, inputs, again.forward(inputs))


# Files


@pytest.mark.parametrize("kind", FILES)
class TestFiles:
    def test_verified_on_the_rows_of_the_user_of_a_frame_and_of_none(self, kind, tmp_path):
        pd = pytest.importorskip("pandas")
        frame = pd.DataFrame(
            {
                "size": X[:, 0],
                "kind": np.where(X[:, 1] > 10, "*/ a", "b?"),
                "age": np.where(X[:, 2] > 0, X[:, 2], np.nan),
            }
        )
        net = fastbp.train(frame, Y, epochs=2, seed=0)
        for rows in (None, frame[:5], net.encode(frame)[:5]):
            write(net, kind, tmp_path, rows)
        net.save(tmp_path / "net.fbp")
        write(fastbp.load(tmp_path / "net.fbp"), kind, tmp_path)  # on random rows

    def test_a_wrong_export_leaves_nothing_and_an_existing_file_alone(self, kind, tmp_path, monkeypatch):
        from fastbp.export import numpy, onnx

        wrong = {"onnx": lambda graph, z: z, "c": "z", "numpy": "z"}[kind]
        monkeypatch.setitem({"onnx": onnx, "c": c_source, "numpy": numpy}[kind]._ACTIVATIONS, "relu", wrong)
        if kind == "c" and c.compiler() is None:
            pytest.skip("no C compiler")
        for y in (Y, Y > 0):
            with pytest.raises(
                RuntimeError, match=r"was not kept: row \d+ of X, column \d of the \w+: expected .* dtype='float64'"
            ):
                write(trained(y), kind, tmp_path)
            assert list(tmp_path.iterdir()) == []
        path = tmp_path / FILES[kind]
        path.write_text("before")
        with pytest.raises(RuntimeError):
            write(trained(dtype="float64"), kind, tmp_path)
        assert path.read_text() == "before"
        assert list(tmp_path.iterdir()) == [path]

    def test_inputs_that_float32_cannot_hold(self, kind, tmp_path):
        far = X + 1e6
        if kind == "numpy":  # takes float64
            return
        if kind == "c" and c.compiler() is None:
            pytest.skip("no C compiler")
        with pytest.raises(
            RuntimeError, match="train with dtype='float64' if inputs are large compared with their spread"
        ):
            write(fastbp.train(far, Y, epochs=2, seed=0), kind, tmp_path)
        write(fastbp.train(far, Y, epochs=2, seed=0, dtype="float64"), kind, tmp_path)

    def test_a_folder_that_is_not_there(self, kind, tmp_path):
        with pytest.raises(FileNotFoundError):
            write(trained(), kind, tmp_path / "none")

    def test_no_rows(self, kind, tmp_path):
        with pytest.raises(ValueError, match="X: expected at least one row"):
            write(trained(), kind, tmp_path, X[:0])
        with pytest.raises(ValueError, match="X: expected 3 features"):
            write(trained(), kind, tmp_path, X[:, :2])


def write(net, kind, folder, rows=None):
    getattr(net, f"to_{kind}")(folder / FILES[kind], rows)


def test_labels_that_numpy_text_cannot_hold(tmp_path):
    import datetime

    net = trained(np.array([datetime.date(2020, 1, 1 + (y > 0)) for y in Y], object))
    with pytest.raises(ValueError, match="expected labels that are text, numbers, booleans or dates"):
        net.to_numpy(tmp_path / "net.py")


def test_without_a_compiler_the_file_is_written_and_a_warning_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    with pytest.warns(UserWarning, match="no C compiler was found, the file was not compared"):
        trained().to_c(tmp_path / "net.c")
    assert (tmp_path / "net.c").exists()


def test_a_compiler_that_refuses(tmp_path, monkeypatch):
    if c.compiler() is None:
        pytest.skip("no C compiler")
    monkeypatch.setattr(c, "_FLAGS", ("-nonsense",))
    with pytest.raises(RuntimeError, match="the C compiler refused the file, which was not kept"):
        trained().to_c(tmp_path / "net.c")
    assert list(tmp_path.iterdir()) == []


@NEEDS_COMPILER
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_program_in_c(dtype, tmp_path):
    net = trained(np.array(["lo", "mid", "hi"])[np.digitize(Y, [-4, 0])], dtype=dtype)
    net.to_c(tmp_path / "net.c")
    number = {"float32": ("float", "%f"), "float64": ("double", "%lf")}[dtype]
    main = """
        #include <stdio.h>
        #include "net.c"
        int main(void)
        {
            NUMBER x[NET_INPUTS], p[NET_CLASSES];
            while (scanf("FORMAT FORMAT FORMAT", x, x + 1, x + 2) == NET_INPUTS) {
                const int k = net_predict(x, p);
                printf("%s %.17g\\n", net_class_names[k], (double)p[k]);
            }
            return 0;
        }"""
    (tmp_path / "main.c").write_text(main.replace("NUMBER", number[0]).replace("FORMAT", number[1]))
    flags = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2"]
    subprocess.run([c.compiler(), *flags, "main.c", "-o", "main", "-lm"], cwd=tmp_path, check=True)
    rows = "\n".join(" ".join(map(repr, row)) for row in X.tolist())
    lines = subprocess.run(
        [tmp_path / "main"], input=rows, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert [line.split()[0] for line in lines] == net.predict(X).tolist()
    np.testing.assert_allclose([float(line.split()[1]) for line in lines], net.predict_proba(X).max(axis=1), rtol=1e-4)


@pytest.mark.parametrize(
    ("stem", "name"), [("net", "net"), ("3", "net_3"), ("größe x", "gr__e_x"), ("_Net", "Net"), ("__", "net")]
)
def test_identifier(stem, name):
    assert c.identifier(stem) == name


# scikit-learn


def test_sklearn_continues_to_learn():
    pytest.importorskip("sklearn")
    for y in (np.where(Y > 0, "a", "b"), Y):
        net = trained(y, activation="tanh", hidden=(5, 5))
        model = net.to_sklearn()
        assert model.loss_curve_ == net.history["loss"].tolist()
        assert (model.n_iter_, model.t_, model.n_layers_, model.n_features_in_) == (3, 180, 4, 3)
        before = model.score(X, y)
        assert before == pytest.approx(net.score(X, y), abs=1e-3)
        for _ in range(3):
            model.partial_fit(X, y)
        model.set_params(warm_start=True, max_iter=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it has not converged
            model.fit(X, y)
        assert not np.allclose(model.coefs_[0], layers.folded(net)[0][0])
        assert model.score(X, y) > before - 0.1


def test_what_sklearn_does_not_have():
    pytest.importorskip("sklearn")
    for options in ({"activation": "gelu"}, {"activation": ["relu", "tanh"]}):
        with pytest.raises(
            ValueError, match=r"to_sklearn: expected one activation for all hidden layers.*activation='relu'"
        ):
            trained(**options).to_sklearn()
    with pytest.raises(
        ValueError, match="to_sklearn: expected the output 'identity' or 'exp' for regression, got 'softplus'"
    ):
        trained(abs(Y), output="softplus").to_sklearn()


ESTIMATORS = {
    "MLPClassifier": [Y > 0, np.array(["lo", "mid", "hi"])[np.digitize(Y, [-4, 0])], X > [0, 10, 0]],
    "MLPRegressor": [Y, np.column_stack([Y, -Y])],
}


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
@pytest.mark.parametrize("package", ["sklearn.neural_network", "fastbp.sklearn"])
@pytest.mark.parametrize(("kind", "number"), [(kind, k) for kind, ys in ESTIMATORS.items() for k in range(len(ys))])
def test_from_sklearn(package, kind, number):
    estimator = getattr(pytest.importorskip(package), kind)
    pipeline, preprocessing = pytest.importorskip("sklearn.pipeline"), pytest.importorskip("sklearn.preprocessing")
    y = ESTIMATORS[kind][number]
    for dtype in (np.float32, np.float64):
        model = (
            estimator((6, 5), max_iter=20, random_state=0)
            if kind == "MLPClassifier"
            else estimator(hidden_layer_sizes=6, max_iter=20)
        )
        scalers = (
            [],
            [preprocessing.StandardScaler()],
            [preprocessing.StandardScaler(with_mean=False)],
            [preprocessing.StandardScaler(with_std=False)],
        )
        for steps in scalers:
            fitted = (pipeline.make_pipeline(*steps, model) if steps else model).fit(X.astype(dtype), y)
            net = fastbp.from_sklearn(fitted)
            assert net.dtype == dtype
            given, wanted = X.astype(dtype), fitted.predict(X.astype(dtype))
            if kind == "MLPRegressor":
                np.testing.assert_allclose(net.predict(given), wanted, rtol=1e-4, atol=1e-4)
            else:
                assert np.array_equal(net.predict(given), wanted)
                np.testing.assert_allclose(net.predict_proba(given), fitted.predict_proba(given), atol=1e-5)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_from_our_sklearn_with_what_scikit_learn_lacks(tmp_path):
    ours = pytest.importorskip("fastbp.sklearn")
    own = (lambda y, a: (a - y) ** 2, lambda y, a: 2 * (a - y))
    for options in (
        {"loss": "quantile", "quantile": [0.1, 0.9]},
        {"loss": "huber", "huber_delta": 2.0},
        {"loss": "poisson"},
        {"loss": own},
    ):
        model = ours.MLPRegressor(
            hidden_layer_sizes=(5, 4), activation=["gelu", "mish"], max_iter=5, random_state=0, **options
        )
        net = fastbp.from_sklearn(model.fit(X, abs(Y)))
        np.testing.assert_allclose(net.predict(X), model.predict(X), rtol=1e-9)
        net.save(tmp_path / "net.fbp")
        assert fastbp.load(tmp_path / "net.fbp").loss_parameter == {"quantile": (0.1, 0.9), "huber": (2.0,)}.get(
            options["loss"], ()
        )


def test_from_sklearn_refuses():
    network, pipeline = pytest.importorskip("sklearn.neural_network"), pytest.importorskip("sklearn.pipeline")
    preprocessing = pytest.importorskip("sklearn.preprocessing")
    fitted = trained(activation="relu").to_sklearn()
    for estimator, message in (
        (network.MLPRegressor(), "expected a fitted estimator"),
        (pipeline.make_pipeline(preprocessing.StandardScaler(), fitted), "expected a fitted estimator"),
        (pipeline.make_pipeline(preprocessing.MinMaxScaler(), fitted), "got 'MinMaxScaler', 'MLPRegressor'"),
        (preprocessing.StandardScaler(), "expected an MLPClassifier, an MLPRegressor or a Pipeline"),
        (None, "got NoneType"),
    ):
        with pytest.raises(ValueError, match=f"^estimator: .*{message}"):
            fastbp.from_sklearn(estimator)
    fitted.coefs_[0][0, 0] = np.nan
    with pytest.raises(ValueError, match="estimator: expected finite weights"):
        fastbp.from_sklearn(fitted)


# PyTorch


@pytest.fixture
def nn():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    return torch.nn


def same(sequential, net):
    import torch

    dtype = getattr(torch, net.dtype.name)
    with torch.no_grad():
        wanted = sequential.to(dtype).eval()(torch.tensor(X, dtype=dtype)).numpy()
    np.testing.assert_allclose(net.forward(X), wanted, rtol=1e-4, atol=1e-5)


def test_from_torch_folds_and_skips(nn):
    import torch

    def norm(units):
        module = nn.BatchNorm1d(units)
        for tensor in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
            tensor.uniform_(0.5, 2)
        return module

    modules = [nn.Flatten(), norm(3), nn.Linear(3, 8, bias=False), nn.Dropout(), norm(8)]
    modules += [nn.Identity(), nn.ReLU(), nn.Dropout(0.3), norm(8)]
    modules += [nn.Linear(8, 4), norm(4), nn.Linear(4, 2)]
    for dtype in (torch.float32, torch.float64):
        sequential = nn.Sequential(*modules).to(dtype)
        net = fastbp.from_torch(sequential)
        assert (net.task, net.sizes) == ("regression", (3, 8, 4, 2))
        assert net.layer_activations == ("relu", "identity", "identity")
        same(sequential, net)
    plain = nn.BatchNorm1d(3, affine=False)
    plain.running_mean.fill_(3.0)
    sequential = nn.Sequential(plain, nn.Linear(3, 1))
    same(sequential, fastbp.from_torch(sequential))
    half = nn.Sequential(nn.Linear(3, 2)).half()
    assert fastbp.from_torch(half).dtype == np.float32


def test_from_torch_tasks(nn, tmp_path):
    for end, units, options, task, last, classes in (
        ([nn.Softmax(dim=-1)], 3, {}, "classification", "softmax", [0, 1, 2]),
        ([nn.Sigmoid()], 1, {"classes": ["no", "yes"]}, "classification", "logistic", ["no", "yes"]),
        ([nn.Sigmoid()], 3, {}, "multilabel", "logistic", None),
        ([nn.Sigmoid()], 3, {"task": "classification"}, "classification", "logistic", [0, 1, 2]),
        ([nn.Sigmoid()], 3, {"task": "regression"}, "regression", "logistic", None),
        ([], 3, {}, "regression", "identity", None),
        ([], 3, {"task": "classification", "classes": list("abc")}, "classification", "softmax", list("abc")),
        ([], 1, {"task": "classification"}, "classification", "logistic", [0, 1]),
        ([], 2, {"task": "multilabel"}, "multilabel", "logistic", None),
    ):
        sequential = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, units), *end)
        net = fastbp.from_torch(sequential, **options)
        assert (net.task, net.layer_activations) == (task, ("tanh", last))
        assert (None if net.classes is None else net.classes.tolist()) == classes
        if end:
            same(sequential, net)
        net.save(tmp_path / "net.fbp")
        assert np.array_equal(fastbp.load(tmp_path / "net.fbp").predict(X), net.predict(X))


def test_from_torch_can_be_trained_on(nn):
    net = fastbp.from_torch(nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1)))
    assert fastbp.train(X, Y, init=net, epochs=50, learning_rate=0.01, seed=0).score(X, Y) > net.score(X, Y)


def test_from_torch_refuses(nn):
    linear = nn.Linear(3, 3)
    for modules, message in (
        ([linear, nn.PReLU()], r"expected Linear, .* at position 1: PReLU"),
        ([linear, nn.LeakyReLU(0.2)], "expected negative_slope=0.01; at position 1"),
        ([linear, nn.ELU(2)], "expected alpha=1"),
        ([linear, nn.GELU(approximate="tanh")], "expected approximate='none'"),
        ([linear, nn.Softplus(beta=2)], "expected beta=1"),
        ([linear, nn.Softmax(dim=0)], "expected dim=1"),
        ([linear, nn.Softmax(dim=1), linear], "expected Softmax only at the end"),
        ([linear, nn.ReLU(), nn.Tanh()], "expected a Linear before each activation; at position 2"),
        ([nn.ReLU(), linear], "expected a Linear before each activation; at position 0"),
        ([linear, nn.Linear(4, 1)], "expected a Linear for the 3 units before it, got one for 4"),
        ([nn.BatchNorm1d(4), linear], "expected a Linear for the 4 features before it, got one for 3"),
        ([linear, nn.BatchNorm1d(4)], "expected a BatchNorm1d for the 3 units before it, got one for 4"),
        ([nn.BatchNorm1d(3), nn.BatchNorm1d(3), linear], "expected a Linear between two BatchNorm1d"),
        ([nn.BatchNorm1d(3, track_running_stats=False), linear], "tracks its statistics"),
        ([linear, nn.ReLU(), nn.BatchNorm1d(3)], "one after each BatchNorm1d"),
        ([nn.Flatten()], "expected at least one Linear"),
        ([linear, nn.GELU()], "expected a last activation for regression"),
    ):
        with pytest.raises(ValueError, match=f"^sequential: .*{message}"):
            fastbp.from_torch(nn.Sequential(*modules))
    plain = nn.Sequential(linear, nn.Sigmoid())
    for sequential, options, message in (
        (linear, {}, "sequential: expected a torch.nn.Sequential, got Linear"),
        (plain, {"task": "clasification"}, "task: expected one of .* did you mean 'classification'"),
        (plain, {"classes": [0, 1, 2]}, "classes: expected None for multilabel"),
        (plain, {"task": "classification", "classes": [0, 1]}, "classes: expected 3 different labels"),
        (plain, {"task": "classification", "classes": [0, 1, 1]}, "classes: expected 3 different labels"),
        (
            nn.Sequential(linear, nn.Softmax(dim=1)),
            {"task": "regression"},
            "sequential: expected a last activation for regression",
        ),
        (
            nn.Sequential(linear, nn.ReLU()),
            {"task": "multilabel"},
            "sequential: expected a last activation for multilabel",
        ),
        (
            nn.Sequential(nn.Linear(3, 2), nn.Sigmoid()),
            {"task": "classification"},
            "expected one Sigmoid or a Softmax of two units",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            fastbp.from_torch(sequential, **options)
    linear.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="sequential: expected finite weights"):
        fastbp.from_torch(plain)
