"""
`fastbp.search` compared with scikit-learn's HalvingRandomSearchCV: the same trials, rounds and ranges, on the digits.

Run ``python bench/compare/searches.py``. A third of the samples is held out to test the result. All searches start with
27 trials of 2 epochs; the best third continues to 6, 18 and 54 epochs. scikit-learn compares trials on one validation
set, as `fastbp.search` does, or by 5 folds, its default; it has as many joblib jobs as `fastbp.search` has threads.
Prints a Markdown table: mean accuracy on the test samples and its standard error over the seeds, median seconds, and
the total number of epochs of all networks, including those of the last fit.
"""

import argparse
import os
import time
import warnings
from statistics import median

import numpy as np
from scipy.stats import loguniform
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV, ShuffleSplit, train_test_split
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp
import fastbp.sklearn

TRIALS, EPOCHS, LEAST, FACTOR = 27, 54, 2, 3
HIDDEN = [(16,), (64,), (64, 32)]
RATES, PENALTIES = loguniform(1e-4, 1e-1), loguniform(1e-6, 1e-2)
BATCH = 32


def ours(X, y, seed, threads):
    space = {"hidden": HIDDEN, "learning_rate": RATES, "l2": PENALTIES}
    options = {"validation": 0.2, "batch_size": BATCH, "epochs": EPOCHS, "seed": seed, "threads": threads}
    result = fastbp.search(X, y, space, TRIALS, progress=False, **options)
    return result.network, sum(trial.epochs for trial in result.trials) + len(result.network.history["loss"])


def halving(estimator, cv):
    def search(X, y, seed, threads):
        prefix = estimator.__name__.lower()
        model = make_pipeline(StandardScaler(), estimator(batch_size=BATCH, random_state=seed, n_iter_no_change=EPOCHS))
        space = {"hidden_layer_sizes": HIDDEN, "learning_rate_init": RATES, "alpha": PENALTIES}
        space = {f"{prefix}__{name}": values for name, values in space.items()}
        rounds = {"resource": f"{prefix}__max_iter", "min_resources": LEAST, "max_resources": EPOCHS, "factor": FACTOR}
        split = 5 if cv == 5 else ShuffleSplit(1, test_size=0.2, random_state=seed)
        options = {"n_candidates": TRIALS, "cv": split, "random_state": seed, "n_jobs": threads}
        result = HalvingRandomSearchCV(model, space, **rounds, **options).fit(X, y)
        epochs = cv * int(np.sum(result.cv_results_["n_resources"]))
        return result, epochs + result.best_estimator_[-1].n_iter_

    return search


SEARCHES = {
    "`fastbp.search`": ours,
    "HalvingRandomSearchCV, fastbp's MLPClassifier, one validation set": halving(fastbp.sklearn.MLPClassifier, 1),
    "HalvingRandomSearchCV, fastbp's MLPClassifier, 5 folds": halving(fastbp.sklearn.MLPClassifier, 5),
    "HalvingRandomSearchCV, scikit-learn's MLPClassifier, one validation set": halving(MLPClassifier, 1),
    "HalvingRandomSearchCV, scikit-learn's MLPClassifier, 5 folds": halving(MLPClassifier, 5),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seeds", type=int, default=5, help="searches of each kind, in turns")
    options = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore"  # for joblib's processes; scikit-learn's fits have not converged
    warnings.filterwarnings("ignore")
    X, y = load_digits(return_X_y=True)
    results = {name: [] for name in SEARCHES}
    for seed in range(-1, options.seeds):  # the first compiles, and starts joblib's processes
        X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=1 / 3, random_state=abs(seed), stratify=y)
        for name, search in SEARCHES.items():
            started = time.perf_counter()
            best, epochs = search(X_train, y_train, abs(seed), options.threads)
            seconds = time.perf_counter() - started
            if seed >= 0:
                results[name].append((best.score(X_test, y_test), seconds, epochs))
    print("| search | accuracy | seconds | epochs |\n|---|---|---|---|")
    for name, rows in results.items():
        scores, seconds, epochs = zip(*rows, strict=True)
        error = np.std(scores, ddof=1) / np.sqrt(len(scores))
        print(f"| {name} | {np.mean(scores):.4f} ± {error:.4f} | {median(seconds):.2f} | {median(epochs):,.0f} |")


if __name__ == "__main__":
    main()
