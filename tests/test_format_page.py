"""The page docs/format.md: its reader, which has no fastbp, predicts what fastbp does; its tables are complete."""

import functools
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from kept import FILES, KNOWN, MODELS, rows
from random_networks import networks, raw_rows

import fastbp
from fastbp import kernels, options
from fastbp.export import verify
from fastbp.model import storage
from fastbp.model.ensemble import members
from fastbp.tables.encoders import Number

PAGE = (Path(__file__).parent.parent / "docs" / "format.md").read_text(encoding="utf-8")
READER = re.search(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)[1]
PLAN = {"epochs": 2, "seed": 0, "progress": False}
X = np.random.default_rng(0).normal(size=(40, 3)) * [1, 10, 0.1] + [0, 5, 0]
Y = X @ [1.0, 0.2, -5.0]
# Rounding, of the largest prediction: the reader computes in float64, fastbp in the type of the weights
TOLERANCE = {"float32": 1e-5, "float64": 1e-12}
TARGETS = {
    "regression": (Y, {}),
    "regression of several numbers": (np.stack([Y, 1e3 * Y**2], axis=1), {}),
    "constant": (np.stack([Y, np.full(40, 2.5)], axis=1), {}),
    "quantiles": (Y, {"loss": "quantile", "quantile": (0.1, 0.9)}),
    "counts": (np.rint(np.abs(Y)), {"task": "regression", "loss": "poisson"}),
    "two classes": (np.where(Y > 0, "yes", "no"), {}),
    "two classes, softmax": (Y > 0, {"output": "softmax"}),
    "classes": (np.digitize(Y, [-1, 1]), {}),
    "classes, logistic": (np.digitize(Y, [-1, 1]).astype("M8[D]"), {"output": "logistic"}),
    "labels": ((X > 0).astype(int), {"task": "multilabel"}),
}


@pytest.fixture(scope="module")
def reader():
    found = {}
    exec(READER, found)
    return found


def is_numeric(path):
    """Whether a network takes numbers only."""
    found = [() if net.columns is None else net.columns.encoders for net in members(fastbp.load(path))]
    return all(isinstance(one, Number) for some in found for one in some)


def assert_same(reader, model, path):
    """The reader predicts what the model does."""
    model.save(path)
    found = reader["predict"](*reader["read"](path), X)
    wanted = model.predict(X) if model.task == "regression" else model.predict_proba(X)
    atol = TOLERANCE[model.dtype.name] * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=0, atol=atol)


def test_it_has_at_most_50_lines_of_numpy():
    lines = READER.splitlines()
    assert len(lines) <= 50
    assert max(map(len, lines)) <= 120
    assert re.findall(r"\bimport (.*)", READER) == ["hashlib", "json", "math", "numpy as np"]


@pytest.mark.parametrize("path", [path for path in FILES if is_numeric(path)], ids=lambda path: path.stem)
def test_it_reads_the_files_of_every_format(reader, path):
    known, (header, tensors) = KNOWN[path.name], reader["read"](path)
    wanted = np.array(known.get("so_far", known.get("predict_proba", known.get("predict"))))
    if path.name == "3-checkpoint.fbp":  # what is known of it is its end
        wanted = fastbp.load(path).predict(rows(known["given"]))
    found = reader["predict"](header, tensors, np.asarray(rows(known["given"]), float))
    atol = TOLERANCE["float32"] * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=0, atol=atol)


def inputs_of_column(number, e, column):
    """The inputs of a column, as the page says; `number` is the reader's own function."""
    gone = np.array([value is None for value in column])
    if e["kind"] == "number":
        return number(e, np.array([np.nan if value is None else float(value) for value in column]))
    if e["kind"] == "category":
        more = [~gone & ~np.isin(column, e["values"])] * e["other"] + [gone] * e["flag"]
        return [column == value for value in e["values"]] + more
    days = [e["fill"] if value is None else np.datetime64(value, "us").astype(int) / 86_400e6 for value in column]
    t = np.array(days)
    first = np.floor(t).astype("M8[D]").astype("M8[Y]").astype("M8[D]").astype(int)
    names = ("Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday")  # from 1970-01-01
    parts = {name: np.floor(t) % 7 == k for k, name in enumerate(names)}
    for name, turns in {"year": (t - first) / 365.2425, "hour": t}.items():
        parts |= {f"{name} sin": np.sin(2 * np.pi * turns), f"{name} cos": np.cos(2 * np.pi * turns)}
    parts["days"] = np.clip(t, *e.get("limits") or [-np.inf, np.inf])
    return [parts[name] for name in e["kept"]] + [gone] * e["flag"]


# Reading text as numbers and dates (of format 7) is more than a test should repeat.
TABLES = [path for path in FILES if not is_numeric(path) and path.stem != "7-text"]


@pytest.mark.parametrize("path", TABLES, ids=lambda path: path.stem)
def test_columns_of_tables_become_inputs_as_the_page_says(reader, path, monkeypatch):
    known, (header, tensors) = KNOWN[path.name], reader["read"](path)
    columns = header.get("networks", [header])[0]["columns"]
    given = np.array([known["given"][e["name"]] for e in columns["encoders"]], object).T
    monkeypatch.setitem(reader, "inputs", functools.partial(inputs_of_column, reader["inputs"]))
    found = reader["predict"](header, tensors, given)
    wanted = np.array(known.get("so_far", known.get("predict_proba", known.get("predict"))))
    atol = TOLERANCE["float32"] * max(1.0, np.abs(wanted).max())
    np.testing.assert_allclose(found, wanted.reshape(found.shape), rtol=0, atol=atol)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", TARGETS)
def test_it_predicts_every_task(reader, tmp_path, name, dtype):
    y, more = TARGETS[name]
    net = fastbp.train(X, y, **PLAN, **more, hidden=(4,), dtype=dtype)
    assert_same(reader, net, tmp_path / "net.fbp")


@pytest.mark.parametrize("activation", options.ELEMENTWISE)
def test_it_knows_every_activation(reader, tmp_path, activation):
    assert set(reader["F"]) == set(kernels.ACTIVATIONS)
    net = fastbp.train(X, Y, **PLAN, hidden=(4, 3), activation=activation, dtype="float64")
    assert_same(reader, net, tmp_path / "net.fbp")


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("activation", options.ELEMENTWISE)
@pytest.mark.parametrize("name", TARGETS)
def test_activations_tasks_and_types(reader, tmp_path, name, activation, dtype):
    y, more = TARGETS[name]
    net = fastbp.train(X, y, **PLAN, **more, hidden=(5, 4), activation=activation, dtype=dtype)
    assert_same(reader, net, tmp_path / "net.fbp")


@given(networks())
def test_it_predicts_random_networks(reader, tmp_path_factory, net):
    path = tmp_path_factory.mktemp("random") / "net.fbp"
    net.save(path)
    raw = raw_rows(net, 20)
    with np.errstate(all="ignore"):
        found = reader["predict"](*reader["read"](path), raw)
    answers = (found,) if net.task == "regression" else (None, found)
    verify.require("the page", net, raw, verify.Answers(*answers))


def test_it_predicts_ensembles(reader, tmp_path):
    for y in (Y, np.digitize(Y, [-1, 1])):
        team = fastbp.ensemble(X, y, n=2, **PLAN, hidden=(4,))
        assert_same(reader, team, tmp_path / "team.fbp")


@pytest.mark.parametrize("place", ["fastbp", "sha256", "data"])
def test_it_refuses_a_damaged_file(reader, tmp_path, place):
    data = bytearray((MODELS / "8-regression.fbp").read_bytes())
    data[-1 if place == "data" else data.index(place.encode()) + 15] ^= 1
    (tmp_path / "net.fbp").write_bytes(data)
    with pytest.raises(AssertionError, match="the file is damaged"):
        reader["read"](tmp_path / "net.fbp")


def test_the_page_names_everything_that_is_in_a_file():
    assert re.findall(r"^\| (\d+) \|", PAGE, re.MULTILINE) == [str(n) for n in range(1, storage.FORMAT + 1)]
    assert f"version of fastbp reads up to {storage.FORMAT}; update fastbp" in PAGE
    for path in FILES:
        header, tensors = storage.read(path)
        names = set(header) | {re.sub(r"^\d+\.", "", name) for name in tensors}
        for one in header.get("networks", [header]):
            columns = one.get("columns") or {}
            names |= {*one, *one.get("run", ()), *columns}.union(*columns.get("encoders", ()), *columns.get("rows", ()))
        names = {"history.NAME" if name.startswith("history.") else name for name in names}
        assert not {name for name in names if f"`{name}`" not in PAGE}
