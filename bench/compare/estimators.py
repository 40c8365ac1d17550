"""
`fastbp.sklearn` compared with scikit-learn's estimators: the same parameters, the same weights, seconds of `fit`.

Run ``python bench/compare/estimators.py [FOLDER]``. FOLDER, if given, contains MNIST's ``t10k-images-idx3-ubyte.gz``
and ``t10k-labels-idx1-ubyte.gz`` (8000 of its samples are for training), and ``spambase.csv`` of the UCI repository,
with a line of names and the label in the last column. Both take turns, with a pause so that the threads of the other
fall asleep. The numbers of threads come from the environment (``NUMBA_NUM_THREADS`` and ``OPENBLAS_NUM_THREADS``).
Prints a Markdown table: medians of the fits, and the scores on test samples.
"""

import gzip
import statistics
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

import fastbp.sklearn

PAUSE = 0.3
WIDE, SMALL = {"hidden_layer_sizes": (256, 128)}, {"batch_size": 32}
# data, options, rounds
CASES = [
    ("digits", {}, 5),
    ("digits", SMALL, 5),
    ("digits", WIDE, 5),
    ("digits", {"solver": "lbfgs"}, 5),
    ("digits, float32", {}, 5),
    ("digits, float32", SMALL, 5),
    ("digits, float32", WIDE, 5),
    ("Spambase", {}, 5),
    ("Spambase", SMALL | {"max_iter": 40}, 5),
    ("Spambase", WIDE | {"max_iter": 40}, 5),
    ("MNIST", {}, 3),
    ("MNIST", SMALL | {"max_iter": 10}, 3),
    ("MNIST", WIDE | {"max_iter": 10}, 3),
    ("MNIST, float32", {}, 3),
    ("MNIST, float32", SMALL | {"max_iter": 10}, 3),
    ("50 000 × 2 000, 1 % stored", {"max_iter": 3}, 5),
    ("50 000 × 2 000, 1 % stored", SMALL | {"max_iter": 3}, 3),
]


def _idx(path, header):
    return np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8, offset=header)


def samples(name, folder):
    """Inputs and labels for training and testing."""
    share = 0.25
    if name.startswith("digits"):
        X, y = load_digits(return_X_y=True)
        X = X / 16
    elif name.startswith("MNIST"):
        X = _idx(next(folder.glob("*t10k-images*")), 16).reshape(-1, 784) / 255
        y, share = _idx(next(folder.glob("*t10k-labels*")), 8), 0.2
    elif name == "Spambase":
        table = np.loadtxt(folder / "spambase.csv", delimiter=",", skiprows=1)
        X, y = StandardScaler().fit_transform(table[:, :-1]), table[:, -1].astype(int)
    else:
        X = sparse.random(50_000, 2_000, 0.01, format="csr", random_state=0)
        y = (X @ np.random.default_rng(0).normal(size=2_000) > 0).astype(int)
    return train_test_split(X.astype(np.float32) if "float32" in name else X, y, test_size=share, random_state=0)


def main(folder=None):
    warnings.filterwarnings("ignore")  # that a fit has not converged
    print("| data | options | scikit-learn, s | fastbp, s | ratio | scikit-learn, score | fastbp, score |")
    print("|---" * 7 + "|")
    for name, options, rounds in CASES:
        if folder is None and name.startswith(("MNIST", "Spambase")):
            continue
        X, X_test, y, y_test = samples(name, folder and Path(folder))
        seeded = {"random_state": 0} | options
        fastbp.sklearn.MLPClassifier(**seeded | {"max_iter": 1}).fit(X, y)  # compiles
        seconds, scores = ([], []), [None, None]
        for _ in range(rounds):
            for k, package in enumerate((neural_network, fastbp.sklearn)):
                started = time.perf_counter()
                model = package.MLPClassifier(**seeded).fit(X, y)
                seconds[k].append(time.perf_counter() - started)
                scores[k] = model.score(X_test, y_test)
                time.sleep(PAUSE)
        theirs, ours = map(statistics.median, seconds)
        listed = ", ".join(f"{key}={value!r}" for key, value in options.items()) or "defaults"
        times = f"{theirs:.3f} | {ours:.3f} | {theirs / ours:.1f} ×"
        print(f"| {name} | `{listed}` | {times} | {scores[0]:.4f} | {scores[1]:.4f} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
