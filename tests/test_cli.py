"""The command line, as a user types it: what it prints, what it writes, and one line for every mistake."""

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
    """A CSV of two features and a label that a line separates."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 2)).round(3), columns=["length", "width"])
    frame["kind"] = np.where(frame["length"] > frame["width"], "long", "wide")
    frame.to_csv(tmp_path / "table.csv", index=False)
    return tmp_path / "table.csv"


def rows_of(out):
    """What a table of the command line says, by the names on its left."""
    return dict(re.split("  +", line.strip(), maxsplit=1) for line in out.splitlines() if "  " in line)


def test_train_info_and_predict(capsys, table, tmp_path):
    model = tmp_path / "model.fbp"
    status, out, err = run(capsys, "train", table, "--target", "kind", "--hidden", "8,4", "--seed", 1, "--save", model, "--quiet")
    assert (status, err) == (0, "")
    shown = rows_of(out)
    assert shown["task"] == "classification"
    assert shown["layers"] == "2 inputs - 8 relu - 4 relu - 1 logistic"
    assert shown["saved"] == str(model)
    assert shown["training accuracy"].endswith("(160 rows)")
    assert shown["validation accuracy"].endswith("(40 rows)")
    net = fastbp.load(model)
    frame = pd.read_csv(table)
    training, validation = (float(shown[f"{part} accuracy"].split()[0]) for part in ("training", "validation"))
    assert validation == pytest.approx(net.history["validation_accuracy"][net.best_epoch - 1], abs=1e-4)
    assert 0.8 * training + 0.2 * validation == pytest.approx(net.score(frame[["length", "width"]], frame["kind"]), abs=1e-3)

    status, out, _ = run(capsys, "info", model)
    shown = rows_of(out)
    assert status == 0
    expected = {
        "classes": "long, wide",
        "features": "length, width",
        "optimizer": "adam",
        "hidden": "8, 4",
        "validation": "0.2",
        "seed": "1",
    }
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


def test_regression_and_several_targets(capsys, tmp_path):
    X = np.random.default_rng(0).normal(size=(100, 2))
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1], "sum": X.sum(axis=1), "difference": X[:, 0] - X[:, 1]})
    frame.to_csv(tmp_path / "t.csv", index=False)
    model = tmp_path / "m.fbp"
    several = ["--target", "sum", "--target", "difference"]
    command = ["train", tmp_path / "t.csv", *several, "--hidden", "none", "--validation", 0, "--save", model]
    status, out, _ = run(capsys, *command)
    assert status == 0
    assert "training R^2" in out
    assert "validation R^2" not in out
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
    model, plan = tmp_path / "m.fbp", ["--schedule", "cosine", "--warmup", 1, "--dropout", 0.1, "--clip-norm", 2, "--activation", "gelu"]
    frame = pd.read_csv(table)
    frame.assign(kind=frame["length"] * 2).to_csv(tmp_path / "t.csv", index=False)
    command = [
        "train",
        tmp_path / "t.csv",
        "--target",
        "kind",
        "--save",
        model,
        "--loss",
        "quantile",
        "--quantile",
        "0.1,0.9",
        "--epochs",
        3,
    ]
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
    assert_one_line(*run(capsys, "predict", model, tmp_path / "three.csv"), "takes 2 columns", "got 3", "three.csv")


def test_warmup_tells_where_the_kernels_are(capsys):
    status, out, _ = run(capsys, "warmup", "--dtype", "float32")
    assert status == 0
    assert rows_of(out)["kept in"] == str(fastbp.kernels.cache_folder())


MISTAKES = {
    "missing target": ("length,width\n1,2\n", "there is no column 'kind'"),
    "no feature": ("kind\na\nb\n", "no columns beside the target"),
    "column without a name": (",length,kind\n0,1,a\n1,2,b\n", "column 1 has no name"),
    "text among numbers": ("length,kind\n1,1.5\n2,2.5\n3,x\n", "column 'kind' holds text ('x' in line 4)"),
    "blank lines": ("length,kind\n\n1,a\n\nx,b\n", "'x' in line 5"),
    "open quote": ('length,kind\n1,"a\n2,b\n', "is not CSV"),
    "empty quotes": ('kind\n""\na\n', "empty quotes"),
    "text feature": ("length,kind\n1,a\ntall,b\n", "column 'length' holds text ('tall' in line 3)"),
    "missing value": ("length,kind\n1,a\n,b\n", "column 'length' has no value in line 3"),
    "missing label": ("length,kind\n1,a\n2,\n", "column 'kind' has no value in line 3"),
    "infinite": ("length,kind\n1,a\ninf,b\n", "column 'length' holds an infinite number in line 3"),
    "one class": ("length,kind\n1,a\n2,a\n", "target 'kind': expected at least two classes"),
    "empty": ("", "the file is empty"),
    "header only": ("length,kind\n", "no rows below the column names"),
    "repeated column": ("length,length,kind\n1,2,a\n", "column 'length' is named more than once"),
    "ragged": ("length,kind\n1,a\n2,b,3\n", "line 3 has 3 cells"),
    "semicolons": ("length;kind\n1;a\n", "separated by ';'"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes_in_the_table(capsys, tmp_path, case):
    text, words = MISTAKES[case]
    path = tmp_path / "t.csv"
    path.write_text(text)
    result = run(capsys, "train", path, "--target", "kind", "--save", tmp_path / "m.fbp")
    assert_one_line(*result, words, str(path))
    assert not (tmp_path / "m.fbp").exists()


def test_a_table_that_is_not_text_or_not_there(capsys, tmp_path):
    (tmp_path / "t.csv").write_bytes(b"length,kind\n\xff\xfe,1\n")
    save = ["--target", "kind", "--save", tmp_path / "m.fbp"]
    assert_one_line(*run(capsys, "train", tmp_path / "t.csv", *save), "not UTF-8", "t.csv")
    assert_one_line(*run(capsys, "train", tmp_path / "none.csv", *save), "no such file", "none.csv")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--hidden", "0"], "--hidden: expected an integer of at least 1"),
        (["--epochs", "-1"], "--epochs: expected an integer of at least 0"),
        (["--learning-rate", "-1"], "--learning-rate: expected"),
        (["--validation", "2"], "--validation: expected"),
        (["--patience", "3", "--validation", "0"], "--patience: expected a validation part"),
        (["--optimizer", "sgd", "--learning-rate", "1e30", "--activation", "identity"], "diverged in epoch 1"),
    ],
)
def test_mistakes_in_the_options(capsys, table, tmp_path, options, words):
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "m.fbp", "--quiet", *options), words)


def test_a_place_that_cannot_be_written_is_told_before_training(capsys, table, tmp_path):
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "none" / "m.fbp"), "--save", "no folder")
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", tmp_path), "--save", "is a folder")
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", table), "--save", "is read from")
    assert table.read_text().startswith("length,width,kind")


def test_mistakes_in_the_model(capsys, table, tmp_path):
    model = tmp_path / "m.fbp"
    assert_one_line(*run(capsys, "info", model), "expected a model file", "m.fbp")
    assert_one_line(*run(capsys, "predict", table, table), "expected a fastbp model file", "table.csv")
    run(capsys, "train", table, "--target", "kind", "--epochs", 1, "--save", model, "--quiet")
    pd.read_csv(table).drop(columns="width").to_csv(tmp_path / "less.csv", index=False)
    assert_one_line(*run(capsys, "predict", model, tmp_path / "less.csv"), "there is no column 'width'")
    model.write_bytes(model.read_bytes()[:-5])
    assert_one_line(*run(capsys, "predict", model, table), "m.fbp")


def test_usage_errors_end_with_2(capsys, table):
    command = ["train", table, "--target", "kind", "--save", "m"]
    wrong = (
        [],
        ["fly"],
        ["train", table],
        [*command, "--epochs", "many"],
        [*command, "--hidden", "x"],
        [*command, "--activation", "rellu"],
    )
    for arguments in wrong:
        status, out, err = run(capsys, *arguments)
        assert (status, out) == (2, "")
        assert err.startswith("fastbp: error: ")
        assert err.count("\n") == 1


def test_a_missing_extra_is_named(capsys, monkeypatch, table, tmp_path):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert_one_line(*run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "m"), 'pip install "fastbp[cli]"')


def test_warnings_take_one_line_and_python_keeps_its_own(capsys, table, tmp_path, monkeypatch):
    shown_before = warnings.showwarning
    monkeypatch.setattr("fastbp.cli.train", lambda *_, **__: warnings.warn("odd\nthing", RuntimeWarning, stacklevel=1) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["train", str(table), "--target", "kind", "--save", str(tmp_path / "m")])
    assert capsys.readouterr().err == "fastbp: warning: odd thing\n"
    assert warnings.showwarning is shown_before


def test_ctrl_c_outside_of_the_epochs_ends_with_130(capsys, table, tmp_path, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("fastbp.cli.train", interrupted)
    assert run(capsys, "train", table, "--target", "kind", "--save", tmp_path / "m") == (130, "", "fastbp: interrupted\n")


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


@pytest.mark.skipif(os.name != "posix", reason="a closed pipe is told so on POSIX")
def test_a_reader_that_goes_away_is_no_error_to_tell(table, tmp_path):
    main(["train", str(table), "--target", "kind", "--epochs", "1", "--save", str(tmp_path / "m")])
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "fastbp", "predict", str(tmp_path / "m"), str(table)]
    child = subprocess.run(command, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False)
    os.close(write_end)
    assert (child.returncode, child.stderr) == (1, "")


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals are sent as on POSIX")
def test_ctrl_c_saves_the_network_so_far(table, tmp_path):
    model = tmp_path / "m.fbp"
    arguments = ["train", table, "--target", "kind", "--save", model, "--epochs", 10**9, "--progress"]
    child = subprocess.Popen(
        [sys.executable, "-m", "fastbp", *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
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
