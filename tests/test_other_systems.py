"""
What of Windows and macOS can be tried on any system: no fork, text in the system's encoding, paths of any letters.

The public CI runs all tests on the systems themselves (`.github/workflows/tests.yml`).
"""

import subprocess
import sys

import pytest

TABLE = "größe,ort,preis\n" + "".join(f"{k % 17},{'Köln' if k % 3 else 'Ω'},{k % 17 * (k % 3)}\n" for k in range(120))

WITHOUT_FORK = """
import multiprocessing, os, sys
for name in ("fork", "forkpty", "register_at_fork", "posix_spawn", "posix_spawnp", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
multiprocessing.set_start_method("spawn")

import numpy as np
import fastbp

X = np.random.default_rng(0).normal(size=(60, 3))
net = fastbp.train(X, X[:, 0], seed=0, epochs=3, checkpoint="run.fbp", progress=True)
net.save("net.fbp")
assert (fastbp.load("net.fbp").predict(X) == net.predict(X)).all()
assert (fastbp.resume("run.fbp", X, X[:, 0]).params == net.params).all()
assert len(fastbp.ensemble(X, X[:, 0], 2, seed=0, epochs=2).networks) == 2
"""

WITH_ENCODINGS = """
import sys, warnings
warnings.filterwarnings("error", category=EncodingWarning, module=r"fastbp(\\.|$)")
from fastbp.cli import main
table, folder = sys.argv[1:]
model = folder + "/netz.fbp"
train = ["train", table, "--target", "preis", "--save", model, "--epochs", "3", "--seed", "1"]
assert main([*train, "--report", folder + "/bericht.html"]) == 0
assert main(["predict", model, table, "--output", folder + "/vorhersage.csv"]) == 0
for kind in ("c", "numpy"):
    assert main(["export", model, "--to", kind]) == 0
assert main(["info", model, "--verify"]) == 0
"""


def run(*arguments, cwd):
    done = subprocess.run([sys.executable, *map(str, arguments)], cwd=cwd, capture_output=True)
    assert done.returncode == 0, done.stderr.decode(errors="replace")


def test_without_fork(tmp_path):
    run("-c", WITHOUT_FORK, cwd=tmp_path)


@pytest.mark.thorough
def test_text_has_our_encoding_and_not_that_of_the_system(tmp_path):
    folder = tmp_path / "Ordner mit Größe und Ω"
    folder.mkdir()
    table = folder / "häuser.csv"
    table.write_text(TABLE, encoding="utf-8")
    run("-X", "warn_default_encoding", "-c", WITH_ENCODINGS, table, folder, cwd=folder)
    assert (folder / "vorhersage.csv").read_text(encoding="utf-8").startswith("prediction\n")
    report = (folder / "bericht.html").read_text(encoding="utf-8")
    assert "größe" in report
    assert "Köln" in report
