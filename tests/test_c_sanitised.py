"""Exported C under gcc's sanitizers: no byte outside an array, and nothing undefined, on rows of any numbers."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_networks import networks, raw_rows

import fastbp
from fastbp.model.ensemble import Ensemble

FLAGS = ["-std=c99", "-O1", "-g", "-fsanitize=address,undefined,float-cast-overflow", "-fno-sanitize-recover=all"]
# Reads rows of numbers of its type from stdin, and writes what it predicts.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include "net.c"
int main(void)
{
    /* on the heap, where the sanitizer guards both ends */
    NUMBER *x = malloc(NET_INPUTS * sizeof(NUMBER)), *y = malloc(OUTPUTS * sizeof(NUMBER));
    int *labels = malloc(OUTPUTS * sizeof(int));
    while (fread(x, sizeof(NUMBER), NET_INPUTS, stdin) == NET_INPUTS) {
        CALL;
        fwrite(y, sizeof(NUMBER), OUTPUTS, stdout);
    }
    free(x); free(y); free(labels);
    return 0;
}
"""
CALLS = {"regression": "net_predict(x, y)", "classification": "if (net_predict(x, y) >= OUTPUTS) return 3"}
CALLS["multilabel"] = "net_predict(x, y, labels)"
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-320, -1e-310, 1e-45, 1e308, -1e308, 3e38, 1e300, 1.0]


def sanitised():
    """The path of a gcc that has the sanitizers, or None."""
    gcc = shutil.which("gcc")
    if gcc is None:
        return None
    test = [gcc, *FLAGS, "-x", "c", "-", "-o", "/dev/null"]
    done = subprocess.run(test, input="int main(void) { return 0; }", text=True, capture_output=True)
    return gcc if done.returncode == 0 else None


GCC = sanitised()
pytestmark = pytest.mark.skipif(GCC is None, reason="no gcc with its sanitizers")


def predicted(folder, model, rows):
    """What the compiled program says for rows; AssertionError with what the sanitizers say."""
    folder = Path(folder)
    model.to_c(folder / "net.c")
    net = model.networks[0] if isinstance(model, Ensemble) else model
    outputs = len(net.classes) if net.task == "classification" else net.sizes[-1]
    number = {"float32": "float", "float64": "double"}[net.dtype.name]
    text = MAIN.replace("CALL;", CALLS[net.task] + ";").replace("NUMBER", number).replace("OUTPUTS", str(outputs))
    (folder / "main.c").write_text(text)
    done = subprocess.run([GCC, *FLAGS, "main.c", "-o", "main", "-lm"], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    with np.errstate(over="ignore"):
        data = rows.astype(net.dtype).tobytes()
    done = subprocess.run([folder / "main"], input=data, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return np.frombuffer(done.stdout, net.dtype).reshape(len(rows), outputs)


def rows_of(net, random, count):
    """Ordinary rows, rows with some odd numbers, and rows of nothing else."""
    usual = raw_rows(net, count)
    some = np.where(random.random(usual.shape) < 0.3, random.choice(ODD, usual.shape), usual)
    return np.concatenate([usual, some, random.choice(ODD, usual.shape)])


@pytest.mark.thorough
@settings(max_examples=25)
@given(net=networks(), seed=st.integers(0, 2**32 - 1))
def test_networks(tmp_path_factory, net, seed):
    with np.errstate(all="ignore"):
        predicted(tmp_path_factory.mktemp("c"), net, rows_of(net, np.random.default_rng(seed), 20))


@pytest.mark.long
@settings(max_examples=1500)
@given(net=networks(), seed=st.integers(0, 2**32 - 1))
def test_many_networks(tmp_path_factory, net, seed):
    with np.errstate(all="ignore"):
        predicted(tmp_path_factory.mktemp("c"), net, rows_of(net, np.random.default_rng(seed), 100))


@pytest.mark.thorough
def test_an_ensemble(tmp_path):
    X = np.random.default_rng(0).normal(size=(60, 3))
    nets = fastbp.ensemble(X, np.digitize(X[:, 0], [-0.5, 0.5]), 3, seed=0, epochs=2, hidden=4, progress=False)
    rows = rows_of(nets.networks[0], np.random.default_rng(1), 50)
    found = predicted(tmp_path, nets, rows)
    usual = np.isfinite(rows.astype(np.float32)).all(axis=1) & (np.abs(rows).max(axis=1) < 1e3)
    np.testing.assert_allclose(found[usual], nets.predict_proba(rows[usual].astype(np.float32)), rtol=1e-4, atol=1e-6)


def test_a_write_after_the_end_is_found(tmp_path):
    (tmp_path / "bad.c").write_text(
        "#include <stdlib.h>\n"
        "int main(int n, char **v) { volatile float *x = malloc(4 * n); x[n] = 1; free((void *)x); return 0; }\n"
    )
    subprocess.run([GCC, *FLAGS, "bad.c", "-o", "bad"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "bad"], capture_output=True, text=True)
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
