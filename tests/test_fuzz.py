"""
Fuzzing: untrusted files, tables, options and other libraries' models are read, or refused in words.

The targets are in `fuzz/targets.py`. Here they run on their corpus, which has what fuzzing found before; with atheris,
which has wheels for Linux, the thorough tests fuzz for a minute, and the long ones for ten million runs.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "fuzz"
sys.path.append(str(HERE))

import run  # noqa: E402
import targets  # noqa: E402

NAMES = [target.__name__ for target in targets.TARGETS]  # without PyTorch, not its own
CASES = [(path.parent.name, path) for path in sorted(HERE.glob("corpus/*/*")) if path.parent.name in NAMES]
# Runs of each target in the long test, by how fast they are: ten million in all
RUNS = {"options_of_train": 8_200_000, "load": 700_000, "command": 500_000, "json": 200_000, "config": 150_000}
RUNS |= {"load_changed": 150_000, "sklearn": 150_000, "csv": 100_000, "archive": 50_000, "dates": 50_000}
RUNS |= {"parquet": 40_000, "resume": 30_000, "torch": 50_000}
needs_atheris = pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="no atheris")


@pytest.mark.parametrize(("name", "path"), CASES, ids=[f"{name}, {path.name}" for name, path in CASES])
def test_corpus(name, path):
    getattr(targets, name)(path.read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_short_inputs(name):
    for k in range(12):
        getattr(targets, name)(bytes([37 * k % 256, 255, k]) * k)


def test_every_target_has_a_corpus():
    assert {name for name, _ in CASES} | {"load"} >= set(NAMES)
    assert set(RUNS) >= set(NAMES)
    assert sum(RUNS.values()) >= 10_000_000


@needs_atheris
@pytest.mark.thorough
@pytest.mark.parametrize("name", NAMES)
def test_fuzz_for_a_while(name):
    # a number of runs and not of seconds: the same inputs each time, about a minute in all
    assert run.run(name, runs=RUNS[name] // 100) >= RUNS[name] // 100


@needs_atheris
@pytest.mark.long
@pytest.mark.parametrize("name", NAMES)
def test_fuzz_for_millions_of_runs(name):
    assert run.run(name, runs=RUNS[name], seed=2) >= RUNS[name]


@needs_atheris
def test_what_is_wrong_is_found(tmp_path):
    # the fuzzer itself: a target that fails for one word must be reported, with the input
    script = tmp_path / "broken.py"
    script.write_text(
        f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent)!r}]\n"
        "import run, targets\n"
        "def load(data):\n    assert not data.startswith(b'f'), 'found'\n"
        "targets.load = load\n"
        "run.fuzz('load', 100_000, 30, 1, __import__('pathlib').Path(sys.argv[1]))\n"
    )
    done = subprocess.run([sys.executable, script, tmp_path], capture_output=True, text=True, errors="replace")
    assert done.returncode != 0
    assert "found" in done.stderr
    assert any(path.read_bytes().startswith(b"f") for path in tmp_path.glob("crash-*"))
