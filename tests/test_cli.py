"""The command line as a user types it: what it prints and writes, and that every mistake gives one line."""

import errno
import json
import os
import re
import signal
import subprocess
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run

import fastbp
from fastbp.cli import main


@pytest.fixture
def table(tmp_path):
    """A CSV file of two features and a label whose classes a line separates."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 2)).round(3), columns=["length", "width"])
    frame["kind"] = np.where(frame["length"] > frame["width"], "long", "wide")
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


@pytest.fixture
def passengers(tmp_path):
    """A raw CSV file: text, dates, yes/no answers, codes, and missing values."""
    rng = np.random.default_rng(1)
    n = 120
    frame = pd.DataFrame(
        {
            "survived": rng.choice(["no", "yes"], n),
            "class": rng.choice([1, 2, 3], n),
            "sex": rng.choice(["male", "female"], n),
            "age": rng.integers(1, 80, n).astype(float),
            "name": [f'Nobody, "Mr" {k}' for k in range(n)],
            "boarded": pd.date_range("1912-04-01", periods=n, freq="7h").strftime("%Y-%m-%d %H:%M"),
            "zip": rng.choice(["00123", "456", "0789"], n),
        }
    )
    frame.loc[::5, "age"] = np.nan
    frame.to_csv(tmp_path / "passengers.csv", index=False)
    return tmp_path / "passengers.csv"


def rows_of(out):
    """The values in a table of the command line, by the names on its left."""
    return dict(re.split("  +", line.strip(), maxsplit=1) for line in out.splitlines() if "  " in line)


def test_train_info_and_predict(capsys, table, tmp_path):
    model = tmp_path / "model.fbp"
    status, out, err = run(
        *(capsys, "train", table, "--target", "kind", "--hidden", "8,4", "--seed", 1, "--save", model, "--quiet"),
        *("--quality", "single"),
    )
    assert (status, err) == (0, "")
    shown = rows_of(out)
    assert shown["task"] == "classification"
    assert shown["layers"] == "34 inputs - 8 relu - 4 relu - 1 logistic"
    assert shown["saved"] == str(model)
    assert re.search(r"training \(160\) +baseline +validation \(40\) +baseline", out)
    net = fastbp.load(model)
    frame = pd.read_csv(table)
    training, _, validation, _ = map(float, shown["accuracy"].split())
    assert validation == pytest.approx(net.history["validation_accuracy"][net.best_epoch - 1], abs=1e-4)
    assert 0.8 * training + 0.2 * validation == pytest.approx(
        net.score(frame[["length", "width"]], frame["kind"]), abs=1e-3
    )

    status, out, _ = run(capsys, "info", model)
    shown = rows_of(out)
    assert status == 0
    expected = {"classes": "long, wide", "features": "length, width", "optimizer": "adam"}
    expected |= {"hidden": "8, 4", "validation": "0.2", "seed": "1"}
    assert expected.items() <= shown.items()

    frame[["kind", "width", "length"]].assign(extra="text").to_csv(tmp_path / "mixed.csv", index=False)
    status, out, _ = run(capsys, "predict", model, tmp_path / "mixed.csv")
    assert status == 0
    assert out.split() == ["prediction", *net.predict(frame[["length", "width"]])]
    status, out, _ = run(capsys, "predict", model, table, "--proba", "--output", tmp_path / "p.csv")
    assert (status, out) == (0, "")
    written = pd.read_csv(tmp_path / "p.csv")
    assert list(written.columns) == ["long", "wide"]
    np.testing.assert_allclose(written, net.predict_proba(frame[["length", "width"]]), rtol=1e-5)


def test_the_default_trains_networks_that_predict_together(capsys, table, tmp_path):
    model, report = tmp_path / "model.fbp", tmp_path / "r.html"
    command = ["train", table, "--target", "kind", "--hidden", 4, "--seed", 1, "--save", model]
    status, out, err = run(capsys, *command, "--report", report, "--plot", tmp_path)
    assert (status, err) == (0, "")
    team, frame, shown = fastbp.load(model), pd.read_csv(table), rows_of(out)
    X, y = frame[["length", "width"]], frame["kind"]
    assert isinstance(team, fastbp.Ensemble)
    assert shown["ensemble"] == f"{len(team.networks)} networks"
    assert (shown["quality"], shown["layers"]) == ("default", "34 inputs - 4 relu - 1 logistic")
    assert shown["epochs"] == f"{team.networks[0].options['epochs']} of each network"
    found = f"{team.options['pilots']} networks, which found the number of epochs"
    assert shown["pilots"] == f"{found}; their validation loss was {team.options['pilot_loss']:.4g}"
    training, _, validation, _ = map(float, shown["accuracy"].split())
    assert validation == pytest.approx(team.options["validation_score"], abs=1e-4)
    assert 0.8 * training + 0.2 * validation == pytest.approx(team.score(X, y), abs=1e-3)
    again = fastbp.train(X, y, hidden=4, seed=1, validation=0.2)
    np.testing.assert_array_equal(again.predict_proba(X), team.predict_proba(X))
    assert "and nothing was chosen on them" in report.read_text(encoding="utf-8")
    for name in ("learning-curves.png", "confusion.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    facts = json.loads(run(capsys, *command, "--json")[1])
    assert facts["ensemble"] == dict(team.options)
    assert len(facts["networks"]) == len(team.networks)
    assert facts["rows"] == {"training": 160, "validation": 40}

    out = run(capsys, "info", model)[1]
    assert {"quality": "default", "features": "length, width"}.items() <= rows_of(out).items()
    assert re.search(rf"^validation +accuracy {validation:.4f}$", out, re.MULTILINE)
    assert run(capsys, "predict", model, table)[1].split() == ["prediction", *team.predict(X)]
    assert run(capsys, "export", model, "--to", "c", "--table", table)[0] == 0


@pytest.mark.parametrize(("options", "kind"), [(["fast"], fastbp.Network), (["best", "--max-seconds", 3], None)])
def test_other_qualities(capsys, table, tmp_path, options, kind):
    model = tmp_path / "m.fbp"
    command = ["train", table, "--target", "length", "--seed", 7, "--save", model, "--quality", *options]
    status, out, _ = run(capsys, *command)
    found, frame, shown = fastbp.load(model), pd.read_csv(table), rows_of(out)
    assert status == 0
    assert isinstance(found, kind or fastbp.Ensemble)
    assert (shown["quality"], found.options["quality"], found.options["seed"]) == (options[0], options[0], 7)
    assert "which found the number of epochs" in shown["pilots"]
    training, _, validation, _ = map(float, shown["RMSE"].split())
    error = found.predict(frame[["width", "kind"]]) - frame["length"]
    assert 0.8 * training**2 + 0.2 * validation**2 == pytest.approx((error**2).mean(), rel=1e-2)


def test_options_of_a_single_run_with_a_quality(capsys, table, tmp_path):
    command = ["train", table, "--target", "kind", "--save", tmp_path / "m"]
    for option, value in (("ensemble", 2), ("checkpoint", tmp_path / "c"), ("resume", tmp_path / "c")):
        words = f"--quality: expected 'single' with --{option}, got 'best'; leave one of them out"
        assert_one_line(*run(capsys, *command, "--quality", "best", f"--{option}", value), words)
    assert_one_line(
        *run(capsys, *command, "--quality", "fast", "--patience", 3), "--quality: expected 'single' with patience"
    )
    assert run(capsys, *command, "--ensemble", 2, "--quality", "single", "--epochs", 1)[0] == 0
    assert run(capsys, *command, "--checkpoint", tmp_path / "c", "--max-seconds", 1)[0] == 0
    assert isinstance(fastbp.load(tmp_path / "m"), fastbp.Network)
    for quality in ("auto", "single"):
        assert run(capsys, *command, "--resume", tmp_path / "c", "--quality", quality)[0] == 0


def test_a_run_that_was_still_getting_better_says_so(capsys, table, tmp_path):
    command = ["train", table, "--target", "length", "--save", tmp_path / "m", "--optimizer", "sgd"]
    status, out, _ = run(capsys, *command, "--learning-rate", 1e-4, "--epochs", 10, "--seed", 1)
    more = "all epochs done, and still getting better: more epochs may help"
    assert status == 0
    assert rows_of(out)["stopped"] == rows_of(run(capsys, "info", tmp_path / "m")[1])["stopped"] == more


def test_regression_and_several_targets(capsys, tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 2))
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "sum": X.sum(axis=1), "difference": X[:, 0] - X[:, 1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = tmp_path / "m.fbp"
    several = ["--target", "sum", "--target", "difference"]
    command = ["train", tmp_path / "t.csv", *several, "--hidden", "none", "--validation", 0, "--save", model]
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert "training (100)" in out
    assert "R^2 " in out
    assert "validation (" not in out
    status, out, _ = run(capsys, "predict", model, tmp_path / "t.csv")
    assert out.splitlines()[0] == "prediction_1,prediction_2"
    assert len(out.splitlines()) == 101
    for option in (["--proba"], ["--threshold", 0.3]):
        assert_one_line(*run(capsys, "predict", model, tmp_path / "t.csv", *option), option[0], "regression")


def test_multilabel_and_threshold(capsys, table, tmp_path):
    model, path = tmp_path / "m.fbp", tmp_path / "t.csv"
    frame = pd.read_csv(table).drop(columns="kind")
    frame.assign(long=(frame["length"] > 0) * 1, broad=(frame["width"] > 0) * 1).to_csv(path, index=False)
    status, out, _ = run(capsys, "train", path, "--target", "long", "--target", "broad", "--epochs", 5, "--save", model)
    assert status == 0
    assert rows_of(out)["task"] == "multilabel"
    assert set(run(capsys, "predict", model, path, "--threshold", 1)[1].split()[1:]) == {"0,0"}
    assert run(capsys, "predict", model, path, "--proba")[1].startswith("prediction_1,prediction_2\n0.")


def test_quantiles_and_the_options_of_training(capsys, table, tmp_path):
    model = tmp_path / "m.fbp"
    plan = ["--schedule", "cosine", "--warmup", 1, "--dropout", 0.1, "--clip-norm", 2, "--activation", "gelu"]
    frame = pd.read_csv(table)
    frame.assign(kind=frame["length"] * 2).to_csv(tmp_path / "t.csv", index=False)
    command = ["train", tmp_path / "t.csv", "--target", "kind", "--save", model]
    command += ["--loss", "quantile", "--quantile", "0.1,0.9", "--epochs", 3, "--hidden", 64]
    assert run(capsys, *command, *plan)[0] == 0
    options = fastbp.load(model).options
    assert (options["quantile"], options["schedule"], options["warmup"]) == ([0.1, 0.9], "cosine", 1)
    assert (options["dropout"], options["clip_norm"], options["activation"]) == ([0.1], 2, ["gelu"])
    assert run(capsys, "predict", model, tmp_path / "t.csv")[1].splitlines()[0] == "prediction_1,prediction_2"


def test_the_seed_makes_a_run_repeatable(capsys, table, tmp_path):
    command = ["train", table, "--target", "kind", "--epochs", 3, "--seed", 5, "--save"]
    for name in ("a", "b"):
        assert run(capsys, *command, tmp_path / name)[0] == 0
    np.testing.assert_array_equal(fastbp.load(tmp_path / "a").params, fastbp.load(tmp_path / "b").params)


def test_a_network_without_column_names_takes_as_many_columns(capsys, tmp_path):
    model = tmp_path / "m.fbp"
    net = fastbp.train([[1, 0], [2, 1], [3, 0]], [1.0, 2.0, 4.0], hidden=(), epochs=1)
    net.save(model)
    (tmp_path / "two.csv").write_text("a,b\n1,0\n2,1\n")
    (tmp_path / "three.csv").write_text("a,b,c\n1,0,1\n")
    status, out, _ = run(capsys, "predict", model, tmp_path / "two.csv")
    assert status == 0
    np.testing.assert_allclose([float(v) for v in out.split()[1:]], net.predict([[1, 0], [2, 1]]), rtol=1e-6)
    assert_one_line(*run(capsys, "predict", model, tmp_path / "three.csv"), "expected 2 columns", "got 3", "three.csv")


def test_a_raw_table_with_report_and_pictures(capsys, passengers, tmp_path):
    model, report, pictures = tmp_path / "m.fbp", tmp_path / "r.html", tmp_path / "new" / "pictures"
    command = ["train", passengers, "--target", "survived", "--categories", "zip"]
    command += ["--drop", "class", "--epochs", 2, "--save", model]
    status, out, err = run(capsys, *command, "--report", report, "--plot", pictures)
    assert status == 0
    assert err.startswith("fastbp: warning: left out: 'name' (")
    assert err.count("\n") == 1
    lines = [line.split()[:3] for line in out.splitlines()]
    for row in (["sex", "category", "2"], ["zip", "category", "3"], ["boarded", "date", "12"], ["age", "number", "18"]):
        assert row in lines
    assert "class" not in [line[0] for line in lines if line]
    assert rows_of(out)["report"] == str(report)
    assert "</html>" in report.read_text(encoding="utf-8")
    for name in ("learning-curves.png", "confusion.png"):
        assert (pictures / name).read_bytes().startswith(b"\x89PNG")
    net = fastbp.load(model)
    frame = pd.read_csv(passengers, dtype={"zip": str})
    frame[["zip", "boarded", "age", "sex"]].to_csv(tmp_path / "few.csv", index=False)
    status, out, _ = run(capsys, "predict", model, tmp_path / "few.csv")
    assert out.split() == ["prediction", *net.predict(frame)]
    pd.DataFrame(frame).head(1).to_csv(tmp_path / "one.csv", index=False)
    assert run(capsys, "predict", model, tmp_path / "one.csv")[1].split() == ["prediction", *net.predict(frame.head(1))]
    assert re.search(r"^zip +category +3  00123, 0789, 456$", run(capsys, "info", model)[1], re.MULTILINE)


def test_predictions_in_pieces_are_those_of_the_whole(capsys, monkeypatch, passengers, tmp_path):
    model, whole, pieces = tmp_path / "m.fbp", tmp_path / "whole.csv", tmp_path / "pieces.csv"
    assert (
        run(capsys, "train", passengers, "--target", "survived", "--categories", "zip", "--epochs", 2, "--save", model)[
            0
        ]
        == 0
    )
    assert run(capsys, "predict", model, passengers, "--proba", "--output", whole)[0] == 0
    monkeypatch.setattr("fastbp.tables.files.MOST_ROWS", 7)
    assert run(capsys, "predict", model, passengers, "--proba", "--output", pieces)[0] == 0
    assert whole.read_text().splitlines()[0] == "no,yes"
    np.testing.assert_allclose(pd.read_csv(pieces), pd.read_csv(whole), rtol=1e-5)

    lines = passengers.read_text().splitlines()
    lines[32] = re.sub(r",\d+\.0,", ",old,", lines[32])  # the age
    passengers.write_text("\n".join(lines))
    result = run(capsys, "predict", model, passengers, "--output", pieces)
    assert_one_line(*result, f"{passengers}: expected numbers in column 'age', as in training, got 'old' in line 33")
    assert pieces.read_text().startswith("no,yes")
    assert not list(tmp_path.glob(".*"))


def test_json(capsys, passengers, tmp_path):
    model = tmp_path / "m.fbp"
    command = ["train", passengers, "--target", "survived", "--epochs", 2, "--seed", 4, "--save", model, "--json"]
    status, out, _ = run(capsys, *command)
    facts = json.loads(out)
    assert status == 0
    assert (facts["task"], facts["epochs"], facts["stop_reason"], facts["seed"]) == ("classification", 2, "epochs", 4)
    assert facts["rows"] == {"training": 96, "validation": 24}
    assert (
        facts["scores"]["validation"].keys()
        == facts["baseline"]["validation"].keys()
        == {"accuracy", "log loss", "AUC"}
    )
    assert facts["columns"][3]["kind"] == "left out"
    assert facts["saved"] == str(model)
    assert facts["warnings"][0].startswith("left out: 'name'")
    known = json.loads(run(capsys, "info", model, "--json")[1])
    assert known == {key: facts[key] for key in known}
    rows = [json.loads(line) for line in run(capsys, "predict", model, passengers, "--json", "--proba")[1].splitlines()]
    assert len(rows) == 120
    assert rows[0].keys() == {"no", "yes"}
    assert json.loads(run(capsys, "predict", model, passengers, "--json")[1].splitlines()[0]).keys() == {"prediction"}


def test_a_skewed_target_causes_a_warning(capsys, tmp_path):
    x = np.random.default_rng(0).normal(size=200)
    pd.DataFrame({"x": x, "price": np.exp(3 * x)}).to_csv(tmp_path / "t.csv", index=False)
    command = ["train", tmp_path / "t.csv", "--target", "price", "--epochs", 1]
    command += ["--save", tmp_path / "m", "--plot", tmp_path]
    status, out, err = run(capsys, *command)
    assert status == 0
    assert err.startswith("fastbp: warning: the target is heavily skewed")
    assert (tmp_path / "predicted.png").exists()
    assert re.search(r"R\^2 .*\nMAE .*\nRMSE ", out)


@pytest.mark.parametrize(("to", "ending"), [("onnx", ".onnx"), ("c", ".c"), ("numpy", ".py")])
def test_export(capsys, passengers, tmp_path, to, ending):
    model = tmp_path / "m.fbp"
    command = ["train", passengers, "--target", "survived", "--drop", "boarded", "--drop", "zip"]
    run(capsys, *command, "--epochs", 1, "--save", model)
    status, out, err = run(capsys, "export", model, "--to", to, "--table", passengers)
    assert (status, err) == (0, "")
    shown = rows_of(out)
    assert shown["written"] == str(tmp_path / f"m{ending}")
    assert shown["inputs"] == "class, sex=female, sex=male, age"
    assert shown["compared on"] == f"120 rows of {passengers}"
    assert (tmp_path / f"m{ending}").stat().st_size > 0
    status, out, _ = run(capsys, "export", model, "--to", to, "--output", tmp_path / "other")
    assert status == 0
    assert rows_of(out)["compared on"] == "rows drawn at random"
    assert_one_line(*run(capsys, "export", model, "--to", to, "--output", model), "--output", "is an input file")


@pytest.mark.thorough
def test_warmup_says_where_the_kernels_are(capsys):
    status, out, _ = run(capsys, "warmup", "--dtype", "float32")
    assert status == 0
    assert rows_of(out)["kept in"] == str(fastbp.kernels.cache_folder())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hidden", "0"], "--hidden: expected an integer of at least 1"),
        (["--epochs", "-1"], "--epochs: expected an integer of at least 0"),
        (["--learning-rate", "-1"], "--learning-rate: expected"),
        (["--validation", "2"], "--validation: expected"),
        (["--patience", "3", "--validation", "0"], "--patience: expected a validation set"),
        (
            ["--optimizer", "sgd", "--learning-rate", "1e30", "--activation", "identity", "--seed", "1"],
            "diverged in epoch 1",
        ),
    ],
)
def test_mistakes_in_the_options(capsys, table, tmp_path, options, words):
    assert_one_line(
        *run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "m.fbp", "--quiet", *options), words
    )


def test_a_place_that_cannot_be_written_is_an_error_before_training(capsys, table, tmp_path):
    assert_one_line(
        *run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "none" / "m.fbp"), "--save", "no folder"
    )
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", tmp_path), "--save", "is a folder")
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", table), "--save", "is an input file")
    assert table.read_text().startswith("length,width,kind")


def test_columns_that_are_not_there(capsys, passengers, tmp_path):
    command = ["train", passengers, "--target", "survived", "--save", tmp_path / "m"]
    assert_one_line(
        *run(capsys, *command, "--drop", "clas"), "there is no column 'clas'; did you mean 'class'?", "passengers.csv"
    )
    assert_one_line(*run(capsys, *command, "--categories", "survived"), "--categories: 'survived' is not learnt from")
    assert_one_line(*run(capsys, *command, "--target", "survived"), "--target: expected different columns")


def test_pictures_and_reports_that_cannot_be_written_are_errors_before_training(capsys, monkeypatch, table, tmp_path):
    monkeypatch.setattr("fastbp.cli.train.train", None)
    command = ["train", table, "--target", "kind", "--save", tmp_path / "m"]
    assert_one_line(*run(capsys, *command, "--report", tmp_path / "none" / "r.html"), "--report", "no folder")
    assert_one_line(*run(capsys, *command, "--report", tmp_path / "m"), "--report", "is the model file")
    assert_one_line(*run(capsys, *command, "--plot", table), "--plot", "cannot be created")
    if os.path.exists(os.devnull):
        assert_one_line(
            *run(capsys, "train", table, "--target", "kind", "--save", os.devnull), "--save", "not an ordinary file"
        )
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "sklearn", None)
        assert_one_line(*run(capsys, *command), "scikit-learn", 'pip install "fastbp[cli]"')
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.delitem(sys.modules, "fastbp.report.page", raising=False)
    assert_one_line(
        *run(capsys, *command, "--report", tmp_path / "r.html"), "--report needs jinja2", 'pip install "fastbp[cli]"'
    )


def test_a_full_disk_leaves_the_old_files(capsys, monkeypatch, table, tmp_path):
    model, output = tmp_path / "m.fbp", tmp_path / "p.csv"
    command = ["train", table, "--target", "kind", "--epochs", 1, "--quiet", "--save", model]
    run(capsys, *command)
    run(capsys, "predict", model, table, "--output", output)
    before = model.read_bytes(), output.read_bytes()

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    assert_one_line(*run(capsys, *command), f"{model}: {os.strerror(errno.ENOSPC)}")
    assert_one_line(*run(capsys, "predict", model, table, "--output", output), f"{output}: {os.strerror(errno.ENOSPC)}")
    assert (model.read_bytes(), output.read_bytes()) == before
    assert not list(tmp_path.glob(".*"))


def test_mistakes_in_the_model(capsys, table, tmp_path):
    model = tmp_path / "m.fbp"
    assert_one_line(*run(capsys, "info", model), "expected a model file", "m.fbp")
    assert_one_line(*run(capsys, "predict", table, table), "expected a fastbp model file", "table.csv")
    run(capsys, "train", table, "--target", "kind", "--epochs", 1, "--save", model, "--quiet")
    pd.read_csv(table).drop(columns="width").to_csv(tmp_path / "less.csv", index=False)
    assert_one_line(*run(capsys, "predict", model, tmp_path / "less.csv"), "there is no column 'width'")
    model.write_bytes(model.read_bytes()[:-5])
    assert_one_line(*run(capsys, "predict", model, table), "m.fbp")


def test_help_explains_the_exit_status(capsys):
    status, out, _ = run(capsys, "--help")
    assert status == 0
    assert "  1    a file, a table or an option cannot be used" in out


def test_usage_errors_end_with_2(capsys, table):
    command = ["train", table, "--target", "kind", "--save", "m"]
    values = ("--epochs", "many"), ("--hidden", "x"), ("--activation", "rellu")
    for arguments in ([], ["fly"], ["train", table], *([*command, *value] for value in values)):
        status, out, err = run(capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("fastbp: error: ")
        assert err.count("\n") == 1


def test_warnings_take_one_line_and_python_keeps_its_own(capsys, table, tmp_path, monkeypatch):
    shown_before = warnings.showwarning
    monkeypatch.setattr(
        "fastbp.cli.train.train", lambda *_, **__: warnings.warn("odd\nthing", RuntimeWarning, stacklevel=1) or 1 / 0
    )
    with pytest.raises(ZeroDivisionError):
        main(["train", str(table), "--target", "kind", "--save", str(tmp_path / "m")])
    assert capsys.readouterr().err == "fastbp: warning: odd thing\n"
    assert warnings.showwarning is shown_before


def test_ctrl_c_outside_of_the_epochs_ends_with_130(capsys, table, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastbp.cli.train.train", interrupted)
    assert run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "m") == (
        130,
        "",
        "fastbp: interrupted\n",
    )


def test_the_process_from_outside(table, tmp_path):
    command = [sys.executable, "-m", "fastbp"]
    done = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"fastbp {fastbp.__version__}\n"
    endless = ["train", table, "--target", "kind", "--save", tmp_path / "m.fbp", "--epochs", 10**9, "--max-seconds", 1]
    child = subprocess.run([*command, *map(str, endless)], capture_output=True, text=True, check=False)
    assert child.returncode == 0
    assert rows_of(child.stdout)["stopped"] == "the time was up"
    failed = subprocess.run([*command, "info", "none.fbp"], capture_output=True, text=True, check=False)
    assert_one_line(failed.returncode, failed.stdout, failed.stderr, "none.fbp")


@pytest.mark.thorough
def test_pipes(table, tmp_path):
    command, model = [sys.executable, "-m", "fastbp"], str(tmp_path / "m.fbp")
    training = [*command, "train", "-", "--target", "kind", "--epochs", "1", "--save", model]
    done = subprocess.run(training, input=table.read_bytes(), capture_output=True, check=True)
    assert done.stderr == b""
    predicting = [*command, "predict", model, "-"]
    done = subprocess.run(predicting, input=table.read_bytes(), capture_output=True, check=True)
    assert done.stdout.decode().split() == ["prediction", *fastbp.load(model).predict(pd.read_csv(table))]
    done = subprocess.run(predicting, input=b"length,width\n1,2\n3\n", capture_output=True, check=False)
    assert_one_line(done.returncode, done.stdout.decode(), done.stderr.decode(), "stdin: line 3 has 1 cells")


@pytest.mark.thorough
@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="closed pipes are reported like this on POSIX only")
def test_a_reader_that_goes_away_causes_no_error_message(table, tmp_path):
    main(["train", str(table), "--target", "kind", "--epochs", "1", "--save", str(tmp_path / "m")])
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "fastbp", "predict", str(tmp_path / "m"), str(table)]
    child = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (child.returncode, child.stderr) == (1, "")


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are sent as on POSIX")
def test_ctrl_c_saves_the_network_so_far(table, tmp_path):
    model = tmp_path / "m.fbp"
    arguments = ["train", table, "--target", "kind", "--save", model, "--epochs", 10**9, "--progress"]
    child = subprocess.Popen(
        [sys.executable, "-m", "fastbp", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    shown = ""
    while "training" not in shown:
        shown += child.stderr.read(1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0
    assert "fastbp: warning: training was interrupted" in err
    assert "interrupted" in out
    assert fastbp.load(model).stop_reason == "interrupted"
