"""The gallery: scripts print the lecture's numbers and draw pictures; `fastbp demo` runs, shows and saves them."""

import contextlib
import functools
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from command import assert_one_line, run

import fastbp.demos
from fastbp.cli import main
from fastbp.demos import runner

SCRIPTS = Path(fastbp.demos.__file__).parent
SIGNATURES = {".png": b"\x89PNG\r\n", ".gif": b"GIF89a", ".svg": b"<svg "}
PICTURES = {"xor": [".png", ".png", ".gif"], "neuron": [".svg"], "nodes": [".png", ".svg"]}
SAID = {
    "house": ["348.7           348.7"],
    "spam": ["7     new   0.060         0         0", "8     new   0.505         1         0"],
    "xor_linear": ["best 0.75", "lines: 0.75", "loss 0.693, p = 0.50, 0.50, 0.50, 0.50"],
    "features": ["x1, x2             accuracy 0.50", "x1·x2     accuracy 1.00", "p1, p2             accuracy 1.00"],
    "activations": [f"f = {f:8}   accuracy 1.00" for f in ("logistic", "tanh", "relu")],
    "xor": ["a linear unit         0.50", "one hidden layer    1.00"],
    "bumps": ["largest     mean"],
    "dimension": ["42%      42.0%", "14%      17.6%", "7%       7.4%", "3%       3.1%"],
    "spiral": ["2-43-1        173 weights", "2-10-10-2-1   165 weights"],
    "neuron": [
        "f = -12, ∂f/∂x = -2, ∂f/∂y = 6",
        "q = 3: ∂f/∂q = -4, ∂f/∂x = -4, ∂f/∂y = -4, ∂f/∂z = 3",
        "= 8.0609, by the graph 8.0609",
        *("a5 =  0.37   ∂f/∂a5 = -0.53", "a6 =  1.37   ∂f/∂a6 = -0.53", "∂f/∂w1 = -0.3932", "∂f/∂w2 = 0.1966"),
    ],
    "nodes": [
        *("∇X = ∇Y1 + ∇Y2 + ∇Y3", "∇X1 = ∇Y, ∇X2 = ∇Y", "∇X = (∇Y)ᵀ"),
        *("∇X1 = ∇Y ⊙ X2", "∇B = Σj ∇Yj", "∇X = ∇Y Wᵀ, ∇W = Xᵀ ∇Y"),
    ],
    "step": [
        *("stopped by epochs after 500", "stopped by target_accuracy"),
        *("accuracy 1.00", "[0 1 1 0]", "can be changed: False"),
    ],
    "digits": ["are read correctly"],
}


@pytest.fixture(scope="module")
def output(tmp_path_factory):
    """A function that runs a script once, and returns its output and its folder of pictures."""

    @functools.cache
    def of(name):
        folder = tmp_path_factory.mktemp(name) / "new" / "pictures"
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            assert main(["demo", name, "--plot", str(folder)]) == 0, err.getvalue()
        assert err.getvalue() == ""
        return out.getvalue(), folder

    return of


@pytest.mark.parametrize("name", runner.DEMOS)
def test_a_script_prints_its_numbers(output, name):
    for words in SAID[name]:
        assert words in output(name)[0]


@pytest.mark.parametrize("name", runner.DEMOS)
def test_a_script_ends_in_pictures(output, name):
    out, folder = output(name)
    paths = [Path(line) for line in out.splitlines() if line.startswith(str(folder))]
    assert paths
    assert sorted(paths) == sorted(folder.iterdir())
    assert [path.stem for path in paths] == [f"{name}-{k}" for k in range(1, len(paths) + 1)]
    assert [path.suffix for path in paths] == PICTURES.get(name, [".png"] * len(paths))
    for path in paths:
        assert path.read_bytes().startswith(SIGNATURES[path.suffix])
        if path.suffix == ".png":
            assert plt.imread(path)[:, :, :3].std() > 0.01, "nothing is drawn"
    assert plt.get_fignums() == []


@pytest.mark.parametrize(
    ("name", "pattern", "least", "most"),
    [
        ("digits", r"([\d.]+)% are read correctly", 95, 100),
        ("nodes", r"(\S+e-\d+)$", 0, 1e-10),
        ("step", r"largest difference (\S+)", 0, 1e-12),
    ],
)
def test_measured_numbers_are_within_bounds(output, name, pattern, least, most):
    numbers = [float(text) for text in re.findall(pattern, output(name)[0], re.MULTILINE)]
    assert numbers
    assert all(least <= number <= most for number in numbers)


def test_more_bumps_make_a_smaller_error(output):
    rows = [
        [float(text) for text in line.split()]
        for line in output("bumps")[0].splitlines()
        if re.match(r" +\d+ +0\.", line)
    ]
    smooth_largest, smooth_mean, _, step_mean = zip(*(row[1:] for row in rows), strict=True)
    for errors in (smooth_largest, smooth_mean, step_mean):
        assert list(errors) == sorted(errors, reverse=True)
        assert errors[-1] < errors[0] / 4


def test_the_scripts_state_each_row_of_the_lecture():
    stated = set()
    for name in runner.DEMOS:
        heading, line, *text = (SCRIPTS / f"{name}.py").read_text(encoding="utf-8").removeprefix('"""\n').split("\n")
        assert line == "=" * len(heading)
        docstring = " ".join(text).split('"""')[0]
        rows = re.findall(r"\bL(\d+)(?: to L(\d+))?", docstring)
        assert rows, name
        for first, last in rows:
            stated |= set(range(int(first), int(last or first) + 1))
    assert stated == set(range(1, 31))


def test_every_script_is_a_demo():
    assert {path.stem for path in SCRIPTS.glob("[!_]*.py")} == {*runner.DEMOS, "runner"}


def test_without_a_name_the_first_ones_run_and_show_nothing(capsys):
    status, out, err = run(capsys, "demo")
    assert (status, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines() if line[:1].strip()] == ["house", "spam", "xor", "digits"]
    assert plt.get_fignums() == []


def test_a_wrong_name_is_answered_with_the_names(capsys):
    status, out, err = run(capsys, "demo", "nosuch")
    assert (status, out) == (2, "")
    assert err.count("\n") == 1
    for name in runner.DEMOS:
        assert name in err


def test_without_a_screen_a_folder_is_asked_for(capsys):
    plt.switch_backend("agg")
    assert_one_line(*run(capsys, "demo", "house", "--plot"), "--plot: there is no screen", "folder")


def test_a_demo_is_not_taken_for_a_folder(capsys):
    assert_one_line(*run(capsys, "demo", "--plot", "house"), "fastbp demo house --plot")


def test_a_folder_that_cannot_be_made(capsys, tmp_path):
    (tmp_path / "file").touch()
    assert_one_line(*run(capsys, "demo", "house", "--plot", tmp_path / "file"), str(tmp_path / "file"))


@pytest.mark.parametrize("module", ["sklearn.datasets", "matplotlib.pyplot"])
def test_a_missing_extra_is_named(capsys, monkeypatch, module):
    monkeypatch.setitem(sys.modules, module, None)
    assert_one_line(*run(capsys, "demo", "digits"), module, 'pip install "fastbp[demo]"')


@pytest.mark.thorough
@pytest.mark.skipif(os.name != "posix", reason="a browser is named by a command as on POSIX")
def test_on_the_screen_a_drawing_is_opened_in_the_browser(tmp_path):
    browser = tmp_path / "browser.py"
    browser.write_text(f"import pathlib, sys; pathlib.Path({str(tmp_path / 'seen')!r}).write_text(sys.argv[1])")
    environment = os.environ | {
        "BROWSER": f"{sys.executable} {browser} %s",
        "MPLBACKEND": "module://matplotlib.backends.backend_template",  # counts as a screen, but shows nothing
        "TMPDIR": str(tmp_path),
    }
    command = [sys.executable, "-m", "fastbp", "demo", "neuron", "--plot"]
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    (drawing,) = tmp_path.glob("fastbp-*/neuron-1.svg")
    assert (tmp_path / "seen").read_text() == drawing.as_uri()
