"""Equal data, options and seed give bit for bit equal weights, on any number of threads, watched or not."""

import hashlib
import itertools
import os
import subprocess
import sys
import textwrap
import threading

import numba
import numpy as np
import pytest
from test_threads import with_layer

import fastbp
from fastbp import kernels

rng = np.random.default_rng(0)
X = rng.normal(size=(200, 5))
COUNTS = rng.poisson(np.exp(X[:, 0] / 2)).astype(float)
TWO, FOUR = (X[:, 0] * X[:, 1] > 0).astype(int), rng.integers(0, 4, 200)
# Batch sizes with different loops: one sample (with sgd), few, and many.
LOOPS = {
    "sample by sample": {"batch_size": 1, "epochs": 1},
    "wide": {"batch_size": 12, "epochs": 2},
    "narrow": {"batch_size": 90, "epochs": 4},
}
OPTIMIZERS = {name: {"optimizer": name, "y": X[:, 0]} for name in kernels.OPTIMIZERS}
LOSSES = {
    **{name: {"loss": name, "y": COUNTS} for name in fastbp.losses.REGRESSION},
    "several quantiles": {"loss": "quantile", "quantile": (0.1, 0.9), "y": COUNTS},
    "own": {"loss": (lambda y, a: (a - y) ** 4 / 4, lambda y, a: (a - y) ** 3), "y": COUNTS / 10},
    "logistic": {"y": TWO},
    "softmax": {"y": FOUR},
    "labels": {"y": X[:, :3] > 0},
    "classes by squared error": {"y": FOUR, "loss": "squared_error", "output": "logistic"},
}
FURTHER = {
    "dropout": {"dropout": 0.3, "y": TWO},
    "clipped": {"clip_norm": 0.1, "y": TWO},
    "both, decayed": {"dropout": 0.3, "clip_norm": 0.1, "y": TWO}
    | {"optimizer": "adamw", "l2": 0.1, "schedule": "one_cycle"},
    "weighed": {"sample_weight": abs(X[:, 1]), "l2": 0.1, "optimizer": "nesterov", "y": X[:, 0]},
    "validated": {"validation": 0.2, "metric": "score", "warmup": 1, "y": FOUR},
}
CASES = OPTIMIZERS | LOSSES | FURTHER
COSTLY = ("dropout", "clipped", "both, decayed")  # each compiles a loop of its own


def _matrix():
    """All cases in all loops and dtypes; the default run has one combination of nearly every case."""
    for k, case in enumerate(CASES):
        for m, (loop, dtype) in enumerate(itertools.product(LOOPS, ("float32", "float64"))):
            first = m == (k * 2 + 5) % 6 if case in FURTHER else m == k % 6
            mark = pytest.mark.thorough if case in COSTLY else ()
            yield pytest.param(case, loop, dtype, marks=mark if first else pytest.mark.long)


def fit(case, **more):
    options = {"hidden": (7, 6), "activation": ("tanh", "gelu"), "seed": 5, "progress": False, **CASES[case], **more}
    y = options.pop("y")
    return fastbp.train(X, y, **options)


def watched_fit(case, folder, **more):
    """Train with everything that can accompany a run, in another thread, after a run of another kind."""
    found, seen = [], []

    def work():
        fit("logistic", batch_size=50, epochs=1)
        seen.clear()
        found.append(
            fit(
                case,
                progress=True,
                callback=lambda epoch: seen.append(epoch.loss),
                checkpoint=folder / "c",
                checkpoint_every=1,
                **more,
            )
        )

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    (folder / "c").unlink()
    assert len(seen) == len(found[0].history["loss"])
    return found[0]


def assert_same(a, b):
    assert a.params.tobytes() == b.params.tobytes()
    for key in a.history.keys() - {"seconds"}:
        assert a.history[key].tobytes() == b.history[key].tobytes(), key


@pytest.mark.parametrize(("case", "loop", "dtype"), list(_matrix()))
def test_threads_and_what_watches_change_no_bit(case, loop, dtype, tmp_path, monkeypatch):
    monkeypatch.setattr(kernels, "parallel_pays", lambda *_: True)  # for batches that are as small as these, too
    more = LOOPS[loop] | {"dtype": dtype}
    if loop == "sample by sample" and case in LOSSES:
        more["optimizer"] = "sgd"  # the lecture's loop
        more["learning_rate"] = 1e-3
    alone = fit(case, threads=1, **more)
    assert np.isfinite(alone.params).all()
    assert (alone.params != fit(case, threads=1, **more | {"epochs": 0}).params).any()
    assert_same(fit(case, threads=numba.config.NUMBA_NUM_THREADS, **more), alone)
    assert_same(watched_fit(case, tmp_path, **more), alone)


# Other numbers of threads, and Numba's threading layers, each in a new process

DIGESTS = """
    import sys
    import numba
    sys.path.insert(0, FOLDER)
    from test_repeatable import *
    kernels.parallel_pays = lambda *_: True
    most = numba.config.NUMBA_NUM_THREADS
    digests = {digest_of_all(threads) for threads in range(1, most + 1)}
    print(*digests)
    print(numba.threading_layer() if most > 1 else "")
"""


def digest_of_all(threads):
    """Digest of the weights of all cases in all loops."""
    found = hashlib.sha256()
    for case in CASES:
        for loop in ("wide", "narrow"):
            for dtype in ("float32", "float64"):
                found.update(fit(case, threads=threads, dtype=dtype, **LOOPS[loop]).params.tobytes())
    return found.hexdigest()


@pytest.mark.long
@pytest.mark.parametrize("threads", [1, 2, 3, 8])
@pytest.mark.parametrize("layer", ["workqueue", "omp", "tbb"])
def test_layers_and_threads_change_no_bit(layer, threads):
    code = textwrap.dedent(DIGESTS).replace("FOLDER", repr(os.path.dirname(__file__)))
    environment = with_layer(layer) | {"NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [digest_of_all(1), *[layer] * (threads > 1)]
