"""Options of the command line from a TOML file."""

import pandas as pd
import pytest
from command import assert_one_line, run

import fastbp


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder to work in, with a table."""
    monkeypatch.chdir(tmp_path)
    frame = pd.DataFrame({"a": range(20), "b": [k % 3 for k in range(20)], "c": [k % 5 for k in range(20)]})
    frame.assign(kind=[("x", "y")[k % 2] for k in range(20)]).to_csv("t.csv", index=False)
    return tmp_path


def config(folder, text):
    (folder / "run.toml").write_text(text, encoding="utf-8")


WHOLE = """
table = "t.csv"
target = "kind"
save = "m.fbp"
hidden = [8, 4]
activation = "tanh"
learning-rate = 1
batch_size = 5
epochs = 3
validation = 0.25
drop = ["a", "b"]
no-scale = true
quiet = true
json = false
"""


def test_every_option_may_be_in_the_file(capsys, folder):
    config(folder, WHOLE)
    status, out, err = run(capsys, "train", "--config", "run.toml")
    assert (status, err) == (0, "")
    assert "saved  m.fbp" in out
    net = fastbp.load("m.fbp")
    said = {"hidden": [8, 4], "activation": ["tanh", "tanh"], "learning_rate": 1.0}
    said |= {"batch_size": 5, "epochs": 3, "validation": 0.25}
    assert {key: net.options[key] for key in said} == said
    assert net.options["scale"] is False
    assert net.feature_names == ("c",)


def test_the_command_line_wins(capsys, folder):
    config(folder, WHOLE)
    (folder / "t.csv").rename("u.csv")
    command = ["train", "--epochs", 2, "u.csv", "--drop=c", "--config=run.toml"]
    command += ["--hidden", "none", "--progress", "--save", "n.fbp"]
    assert run(capsys, *command)[0] == 0
    net = fastbp.load("n.fbp")
    assert (net.options["epochs"], net.options["hidden"], net.options["batch_size"]) == (2, [], 5)
    assert net.feature_names == ("a", "b")
    assert not (folder / "m.fbp").exists()


def test_a_single_text_may_replace_a_list_and_quantiles_are_numbers(capsys, folder):
    config(
        folder,
        'target = "a"\nloss = "quantile"\nquantile = [0.1, 0.9]\ntask = "regression"\ndrop = "kind"\nepochs = 1\n',
    )
    assert run(capsys, "train", "t.csv", "--config", "run.toml", "--save", "m.fbp")[0] == 0
    assert fastbp.load("m.fbp").options["quantile"] == [0.1, 0.9]


MISTAKES = {
    "unknown": ("epoch = 3", "run.toml: there is no option 'epoch'; did you mean 'epochs'?"),
    "itself": ('config = "run.toml"', "run.toml: there is no option 'config'"),
    "a table": ("[train]\nepochs = 3", "run.toml: there is no option 'train'"),
    "text for a number": ('epochs = "3"', "run.toml: epochs: expected an integer, got '3'"),
    "a fraction": ("epochs = 3.5", "run.toml: epochs: expected an integer, got 3.5"),
    "true for a number": ("l2 = true", "run.toml: l2: expected a number, got True"),
    "a number for a flag": ("no-scale = 1", "run.toml: no-scale: expected true or false, got 1"),
    "a number for a name": ("target = 3", "run.toml: target: expected text, got 3"),
    "numbers for names": ("drop = [1]", "run.toml: drop: expected text, got 1"),
    "a list for one name": ('save = ["a", "b"]', "run.toml: save: expected text, got ['a', 'b']"),
    "a list for one number": ("seed = [1]", "run.toml: seed: expected an integer, got [1]"),
    "units": ("hidden = [8, 1.5]", "run.toml: hidden: expected numbers of units such as 64,32, or none, got '8,1.5'"),
    "a choice": ('activation = "rellu"', "run.toml: activation: expected one of", "did you mean 'relu'?"),
    "no TOML": ("epochs 3", "run.toml: this is not TOML", "line 1"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(capsys, folder, case):
    text, *words = MISTAKES[case]
    config(folder, text)
    assert_one_line(*run(capsys, "train", "t.csv", "--target", "kind", "--save", "m", "--config", "run.toml"), *words)


def test_the_file_is_missing_or_incomplete(capsys, folder):
    assert_one_line(*run(capsys, "train", "--config", "none.toml"), "none.toml: No such file")
    config(folder, "epochs = 3\n")
    status, _, err = run(capsys, "train", "--config", "run.toml", "--target", "kind")
    assert status == 2
    assert "the following arguments are required: TABLE, --save" in err
    assert run(capsys, "train", "--config")[0] == 2
