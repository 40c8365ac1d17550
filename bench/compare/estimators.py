"""
`fastbp.sklearn` beside scikit-learn's own estimators: the same parameters, the same weights, seconds of `fit`.

Run ``python bench/compare/estimators.py``; both take turns, with a pause for the threads of the one before to go to sleep. The
numbers of threads are those of the environment (``NUMBA_NUM_THREADS`` and ``OPENBLAS_NUM_THREADS``, both). Prints a Markdown table:
medians of five fits, and the score on samples held out.
"""

import statistics
import time
import warnings

import numpy as np
from scipy import sparse
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastbp.sklearn

ROUNDS, PAUSE = 5, 0.3
CASES = [
    ("digits", {}),
    ("digits", {"batch_size": 32}),
    ("digits", {"hidden_layer_sizes": (256, 128)}),
    ("digits", {"solver": "lbfgs"}),
    ("digits, float32", {}),
    ("digits, float32", {"hidden_layer_sizes": (256, 128)}),
    ("50 000 × 2 000, 1 % stored", {"max_iter": 3}),
]


def samples(name):
    """Inputs and labels."""
    if name.startswith("digits"):
        X, y = load_digits(return_X_y=True)
        return (X / 16).astype(np.float32 if "float32" in name else np.float64), y
    X = sparse.random(50_000, 2_000, 0.01, format="csr", random_state=0)
    return X, (X @ np.random.default_rng(0).normal(size=2_000) > 0).astype(int)


def main():
    warnings.filterwarnings("ignore")  # that it has not converged
    print("| data | options | scikit-learn, s | fastbp, s | ratio | scikit-learn, score | fastbp, score |\n|---|---|---|---|---|---|---|")
    for name, options in CASES:
        X, X_held, y, y_held = train_test_split(*samples(name), random_state=0)
        options = {"max_iter": 100, "random_state": 0} | options
        fastbp.sklearn.MLPClassifier(**options | {"max_iter": 1}).fit(X[:500], y[:500])  # compiles
        fastbp.sklearn.MLPClassifier(**options | {"max_iter": 1}).fit(X, y)
        seconds, scores = ([], []), [None, None]
        for _ in range(ROUNDS):
            for k, package in enumerate((neural_network, fastbp.sklearn)):
                started = time.perf_counter()
                model = package.MLPClassifier(**options).fit(X, y)
                seconds[k].append(time.perf_counter() - started)
                scores[k] = model.score(X_held, y_held)
                time.sleep(PAUSE)
        theirs, ours = map(statistics.median, seconds)
        said = ", ".join(f"{key}={value!r}" for key, value in options.items() if key != "random_state")
        print(f"| {name} | `{said}` | {theirs:.3f} | {ours:.3f} | {theirs / ours:.1f} × | {scores[0]:.4f} | {scores[1]:.4f} |", flush=True)


if __name__ == "__main__":
    main()
