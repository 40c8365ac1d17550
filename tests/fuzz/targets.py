"""
What is fuzzed: functions of bytes that do nothing with most of them, and raise for what must not happen.

Each target may end in ValueError (or in what the function's docstring lists), and in nothing else. A file that is
loaded must also predict. The bytes drive changes of real files, so that what is behind a checksum is reached, too.
"""

import atexit
import contextlib
import copy
import importlib.util
import io
import os
import shutil
import tempfile
import warnings
from dataclasses import fields
from pathlib import Path

import hostile
import numpy as np
import pandas as pd
from draws import Draws
from kept import FILES, KNOWN, rows, samples
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
from fastbp import cli, options
from fastbp.model.ensemble import members
from fastbp.tables import Columns, files, text
from fastbp.tables.formats import Format
from fastbp.training.train import DEFAULTS

FOLDER = Path(tempfile.mkdtemp())
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
BASES = [(file.read_bytes(), KNOWN[file.name]) for file in FILES]
RUNS = [(data, samples(known["resume"])) for data, known in BASES if "resume" in known]
warnings.simplefilter("ignore")


def place(name, data):
    """The path of a file with these bytes."""
    path = FOLDER / f"{os.getpid()}-{name}"
    path.write_bytes(data)
    return path


def _predicted(model, given):
    for X in (np.zeros((2, members(model)[0].sizes[0])), given):
        with contextlib.suppress(ValueError):
            model.predict(X)


def _loaded(data, known):
    try:
        model = fastbp.load(place("model.fbp", data))
    except ValueError as refusal:
        assert str(refusal).startswith("path: expected a"), refusal  # noqa: PT017
        return
    _predicted(model, rows(known["given"]))


def load(data):
    """Any bytes as a model file."""
    _loaded(data, BASES[0][1])


def load_changed(data):
    """A model file or a checkpoint, changed anywhere; its checksum may be right."""
    draws = Draws(data)
    base, known = draws.one_of(BASES)
    _loaded(hostile.mutated(base, draws), known)


def resume(data):
    """A changed checkpoint, continued for an epoch."""
    draws = Draws(data)
    base, (X, y) = draws.one_of(RUNS)
    path = place("run.fbp", hostile.mutated(base, draws))
    with contextlib.suppress(ValueError):
        fastbp.resume(path, X, y, callback=lambda epoch: True, progress=False)


def _table(name, data, chosen=Format()):  # noqa: B008 (immutable)
    with contextlib.suppress(ValueError):
        for piece in files.stream(str(place(name, data)), chosen=chosen, rows=50):
            with contextlib.suppress(ValueError):
                Columns.fit(piece.frame, piece.names, np.arange(len(piece.frame)))
            with contextlib.suppress(ValueError):
                piece.target(piece.names[-1:], "auto")


def csv(data):
    """A table of text, with options of the user after its first bytes."""
    draws = Draws(data[:6])
    decimal, thousands = draws.one_of([(None, None), (".", ","), (",", "."), (",", None)])
    chosen = Format(
        delimiter=draws.one_of([None, None, ";", "\t", "|"]),
        decimal=decimal,
        thousands=thousands,
        encoding=draws.one_of([None, None, "latin-1", "utf-16"]),
        header=draws.integers(4) != 0,
    )
    _table("table.csv", data[6:], chosen)


def json(data):
    """Lines of JSON."""
    _table("table.jsonl", data)


def _parquet():
    """A small Parquet file with columns of several types."""
    found = io.BytesIO()
    days = pd.date_range("2024-01-01", periods=3)
    pd.DataFrame({"a": [1.5, None, 2.0], "b": ["x", "y", None], "c": days, "d": [1, 2, 3]}).to_parquet(found)
    return found.getvalue()


PARQUET = _parquet()


def parquet(data):
    """A Parquet file, changed."""
    draws = Draws(data)
    _table("table.parquet", hostile.changed_bytes(PARQUET, draws))


def archive(data):
    """A compressed table."""
    _table("table.csv.gz", data)
    _table("table.zip", data)


def dates(data):
    """Words as dates and numbers."""
    words = np.array(data.decode("utf-8", "replace").split("\n")[:20])
    counts = np.ones(len(words), np.int64)
    for form in text.date_formats(words, counts):
        text.read_date(words, form)


VALUES = [None, True, False, "", "auto", "lm", "adam", "softmax", "quantile", "huber", "poisson", "cosine", b"x", []]
VALUES += [(), {}, 0, 1, 2, -1, 2**31, 2**63, 2**64, 10**400, 0.5, -0.0, 1e-320, 1e308, float("nan"), float("inf")]
VALUES += [
    [1, 2],
    (3, "relu"),
    [[1]],
    {"a": 1},
    np.array([1, 2]),
    np.float32(0.5),
    np.int8(3),
    object(),
    1j,
    ["relu", 3],
]
ASKED = DEFAULTS | {"hidden": (4,), "optimizer": "adam", "schedule": "constant"}
PARSED = [*sorted({field.name for field in fields(options.Hyperparameters)} & set(ASKED)), "hidden", "activation"]
PARSED += ["output", "loss", "quantile", "huber_delta"]


def options_of_train(data):
    """Options of `fastbp.train` as their parser sees them."""
    draws = Draws(data)
    asked = dict(ASKED)
    for _ in range(draws.integers(1, 6)):
        value = draws.one_of(VALUES) if draws.integers(3) else draws.number()
        asked[draws.one_of(PARSED)] = value if draws.integers(4) else [value] * draws.integers(3)
    task = draws.one_of(options.TASKS)
    with contextlib.suppress(ValueError):
        net = options.architecture(draws.integers(1, 9), draws.integers(1, 4), task, asked)
        options.hyperparameters(draws.integers(1, 1000), net, asked, draws.integers(2) == 1)


PARSER, COMMANDS = cli._parser()
WORDS = ["train", "predict", "export", "info", "search", "t.csv", "m.fbp", "--target", "y", "--hidden", "3,4"]
WORDS += ["--epochs", "--activation", "relu", "--to", "c", "--config", "--save", "--seed", "-1", "1e999", "nan", "--"]
WORDS += ["-", "", "\0"]


def command(data):
    """The words of a command line."""
    draws = Draws(data)
    words = [draws.one_of(WORDS) for _ in range(draws.integers(1, 9))]
    words += [draws.bytes(draws.integers(9)).decode("latin-1")]
    nowhere = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stderr(nowhere), contextlib.redirect_stdout(nowhere):
        PARSER.parse_args(words)


def config(data):
    """A file of options for the command line."""
    path = place("options.toml", data)
    with contextlib.suppress(ValueError):
        COMMANDS["train"].from_file(["--config", str(path)])


def sklearn(data):
    """A fitted multilayer perceptron of scikit-learn with changed attributes."""
    draws = Draws(data)
    estimator = copy.deepcopy(draws.one_of(ESTIMATORS))
    mlp = estimator[-1] if hasattr(estimator, "steps") else estimator
    for _ in range(draws.integers(1, 4)):
        name = draws.one_of(
            ["activation", "out_activation_", "loss", "coefs_", "intercepts_", "classes_", "n_outputs_"]
        )
        old, way = getattr(mlp, name, None), draws.integers(5)
        if name in ("coefs_", "intercepts_"):
            k, array = draws.integers(len(old)), np.array(old[draws.integers(len(old))])
            with contextlib.suppress(IndexError):
                array.ravel()[draws.integers(max(1, array.size))] = draws.number()
            new = [array if i == k else part for i, part in enumerate(old)]
            new = new[: draws.integers(1, 4)] if way == 3 else new
        else:
            new = draws.one_of(["relu", "identity", "logistic", "softmax", "squared_error", "log_loss", "poisson", "x"])
            new = np.array([draws.integers(3), draws.integers(3)]) if name == "classes_" else new
        setattr(mlp, name, new)
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):
        _predicted(fastbp.from_sklearn(estimator), np.zeros((1, 2)))


def _fitted():
    X, plan = np.arange(12.0).reshape(6, 2), {"hidden_layer_sizes": (2,), "max_iter": 1, "random_state": 0}
    scaled = make_pipeline(StandardScaler(), MLPClassifier(**plan))
    return [
        MLPRegressor(**plan).fit(X, X[:, 0]),
        MLPClassifier(**plan).fit(X, [0, 1, 2] * 2),
        scaled.fit(X, [0, 1] * 3),
    ]


ESTIMATORS = _fitted()


def torch(data):
    """Modules of PyTorch in any order, with odd sizes, numbers and options."""
    from torch import float64, nn

    draws, modules = Draws(data), []
    kinds = ["ReLU", "Sigmoid", "Tanh", "GELU", "SiLU", "Mish", "Softplus", "LeakyReLU", "ELU", "SELU", "Flatten"]
    for _ in range(draws.integers(6)):
        way, n, m = draws.integers(5), draws.integers(1, 4), draws.integers(1, 4)
        if way < 2:
            module = nn.Linear(n, m, bias=draws.integers(4) > 0)
            with np.errstate(over="ignore"):
                module.weight.data[0, 0] = float(np.float32(draws.number())) if draws.integers(2) else 0.5
        elif way == 2:
            module = nn.BatchNorm1d(n, affine=draws.integers(2) > 0, track_running_stats=draws.integers(3) > 0)
        elif way == 3:
            module = getattr(nn, draws.one_of(kinds))()
        else:
            module = draws.one_of([nn.Softmax(dim=draws.integers(3)), nn.Softmax(), nn.Dropout(), nn.Identity()])
        modules.append(module.to(float64) if draws.integers(4) == 0 else module)
    chosen = {"task": draws.one_of(["auto", "regression", "classification", "multilabel", "x"])}
    chosen["classes"] = draws.one_of([None, None, [0, 1], ["a", "b", "c"], [1, 1], 3])
    with contextlib.suppress(ValueError), np.errstate(all="ignore"):
        net = fastbp.from_torch(nn.Sequential(*modules), **chosen)
        _predicted(net, np.zeros((1, net.sizes[0])))


TARGETS = (load, load_changed, resume, csv, json, parquet, archive, dates, options_of_train, command, config, sklearn)
if importlib.util.find_spec("torch") is not None:
    TARGETS += (torch,)
