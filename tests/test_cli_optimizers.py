"""The optimizers of all samples at once on the command line, and the intervals that they give."""

import csv
import json

import numpy as np
import pytest
from command import run

import fastbp

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (80, 2))
Y = np.column_stack([np.sin(X[:, 0]) + X[:, 1] + 0.1 * rng.normal(size=80), X[:, 0] ** 2])
OPTIONS = ["--hidden", "5", "--activation", "tanh", "--seed", 1, "--quiet"]


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "t.csv"
    rows = np.column_stack([X, Y])
    np.savetxt(path, rows, delimiter=",", header="a,b,y,z", comments="")
    return path


def test_options_of_an_optimizer(table, tmp_path, capsys):
    model = tmp_path / "m.fbp"
    plan = [
        "--optimizer",
        "lm",
        "--damping",
        0.01,
        "--damping-up",
        3,
        "--tolerance",
        1e-5,
        "--epochs",
        30,
        "--drop",
        "z",
    ]
    status, _, errors = run(capsys, "train", table, "--target", "y", "--save", model, *plan, *OPTIONS)
    assert status == 0, errors
    options = fastbp.load(model).options
    assert (options["optimizer"], options["dtype"]) == ("levenberg_marquardt", "float64")
    assert (options["damping"], options["damping_up"], options["damping_down"], options["tolerance"]) == (
        0.01,
        3,
        10,
        1e-5,
    )
    status, _, errors = run(capsys, "train", table, "--target", "y", "--save", model, "--damping", 1, *OPTIONS)
    assert status != 0
    assert "it would have no effect" in errors


def test_intervals(table, tmp_path, capsys):
    model, out = tmp_path / "m.fbp", tmp_path / "p.csv"
    for targets, names in ((["y"], ["prediction", "low", "high"]), (["y", "z"], None)):
        chosen = [word for target in targets for word in ("--target", target)]
        plan = ["--optimizer", "bayesian", *([] if "z" in targets else ["--drop", "z"]), "--save", model, *OPTIONS]
        status, _, errors = run(capsys, "train", table, *chosen, *plan)
        assert status == 0, errors
        assert run(capsys, "predict", model, table, "--interval", 0.9, "--output", out)[0] == 0
        with open(out, newline="") as file:
            header, *rows = csv.reader(file)
        assert header == (names or [f"{name}_{k}" for k in (1, 2) for name in ("prediction", "low", "high")])
        found = np.array(rows, float)
        net = fastbp.load(model)
        low, high = net.predict_interval(table, 0.9)
        np.testing.assert_allclose(found[:, 1], low.reshape(80, -1)[:, 0], rtol=1e-6)
        np.testing.assert_allclose(found[:, -1], high.reshape(80, -1)[:, -1], rtol=1e-6)
    status, text, _ = run(capsys, "predict", model, table, "--interval", 0.5, "--json")
    assert set(json.loads(text.splitlines()[0])) == set(header)
    status, _, errors = run(capsys, "predict", model, table, "--interval", 2)
    assert status != 0
    assert "level: expected" in errors


def test_restarts(table, tmp_path, capsys):
    model = tmp_path / "m.fbp"
    space = ["--space", "hidden=2|4", "--trials", 2, "--restarts", 3, "--drop", "z", "--json"]
    plan = ["--optimizer", "lm", "--activation", "tanh", "--epochs", 9, "--seed", 1, "--quiet"]
    status, text, errors = run(capsys, "search", table, "--target", "y", "--save", model, *space, *plan)
    assert status == 0, errors
    facts = json.loads(text)
    assert len(facts["trials"]) == 6
    assert facts["seed"] == facts["best"]["options"]["seed"]
