"""
The defaults of `fastbp.train` compared with those of scikit-learn's MLP, on the data sets that come with scikit-learn.

Run ``python bench/compare/real_data.py``: 5-fold cross-validation, four times; both take turns on the same folds.
scikit-learn gets standardised inputs and, in another row for diabetes, also standardised targets, as fastbp does by
default. Prints a Markdown table: mean score, its standard error over the folds, and median seconds of a fit.
"""

import time
import warnings

import numpy as np
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp


def fit_sklearn(X, y, seed):
    mlp = MLPRegressor if y.dtype.kind == "f" else MLPClassifier
    return make_pipeline(StandardScaler(), mlp(random_state=seed)).fit(X, y)


def fit_sklearn_scaled_targets(X, y, seed):
    model = make_pipeline(StandardScaler(), MLPRegressor(random_state=seed))
    return TransformedTargetRegressor(model, transformer=StandardScaler()).fit(X, y)


def fit_fastbp(X, y, seed):
    return fastbp.train(X, y, seed=seed)


def main():
    warnings.filterwarnings("ignore")  # scikit-learn's fits have not converged
    fastbp.warmup("float32")
    print("| data | score | scikit-learn | fastbp | scikit-learn, s | fastbp, s | ratio |")
    print("|---" * 7 + "|")
    rows = [("digits", fit_sklearn), ("breast_cancer", fit_sklearn), ("wine", fit_sklearn)]
    for name, peer in [*rows, ("diabetes", fit_sklearn), ("diabetes", fit_sklearn_scaled_targets)]:
        X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
        splitter = KFold if name == "diabetes" else StratifiedKFold
        scores, seconds = [], []
        for repeat in range(4):
            for k, (training, test) in enumerate(splitter(5, shuffle=True, random_state=repeat).split(X, y)):
                for fit in (peer, fit_fastbp):
                    started = time.perf_counter()
                    model = fit(X[training], y[training], 10 * repeat + k)
                    seconds.append(time.perf_counter() - started)
                    scores.append(model.score(X[test], y[test]))
        score, (theirs, ours) = np.array(scores).reshape(-1, 2), np.median(np.array(seconds).reshape(-1, 2), axis=0)
        mean, error = score.mean(axis=0), score.std(axis=0, ddof=1) / np.sqrt(len(score))
        label = f"{name}, targets standardised" if peer is fit_sklearn_scaled_targets else name
        cells = " | ".join(f"{m:.4f} ± {e:.4f}" for m, e in zip(mean, error, strict=True))
        metric = "R²" if name == "diabetes" else "accuracy"
        print(f"| {label} | {metric} | {cells} | {theirs:.3f} | {ours:.3f} | {theirs / ours:.0f} × |", flush=True)


if __name__ == "__main__":
    main()
