"""
Bayesian regularisation and Levenberg-Marquardt on small tables, beside what else is fitted to them.

Run ``python bench/compare/small_tables.py FOLDER``: each file there (``*.txt``, numbers separated by spaces, the target
last, such as the UCI tables yacht, energy, concrete and airfoil) is divided `SPLITS` times, a tenth of the rows for the
test. Prints the mean root mean square error of the test rows, and mean seconds of a fit, for each model. Before that,
the iris and wine tables of scikit-learn: seconds until the optimizers reach the same log-loss.
"""

import sys
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.datasets import load_iris, load_wine
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp

SPLITS = 5
NETWORK = {"hidden": (20,), "activation": "tanh"}


def scaled(model):
    return TransformedTargetRegressor(make_pipeline(StandardScaler(), model), transformer=StandardScaler())


def bayesian(X, y, seed):
    return fastbp.train(X, y, optimizer="bayesian", seed=seed, **NETWORK)


def bayesian_ensemble(X, y, seed):
    return fastbp.ensemble(X, y, 8, bootstrap=False, optimizer="bayesian", seed=seed, **NETWORK)


def damped(X, y, seed):
    return fastbp.train(X, y, optimizer="lm", validation=0.15, patience=20, seed=seed, **NETWORK)


def adam(X, y, seed):
    return fastbp.train(X, y, seed=seed)


def lbfgs(X, y, seed):
    model = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", max_iter=2000, random_state=seed)
    return scaled(model).fit(X, y)


def tuned_lbfgs(X, y, seed):
    model = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", solver="lbfgs", max_iter=2000, random_state=seed)
    return scaled(GridSearchCV(model, {"alpha": [1e-4, 1e-2, 0.1, 1.0]}, cv=3)).fit(X, y)


def gaussian_process(X, y, seed):
    kernel = ConstantKernel() * RBF(np.ones(X.shape[1])) + WhiteKernel(0.1)
    return scaled(GaussianProcessRegressor(kernel, random_state=seed)).fit(X, y)


def boosting(X, y, seed):
    return GradientBoostingRegressor(n_estimators=300, random_state=seed).fit(X, y)


def histogram_boosting(X, y, seed):
    return HistGradientBoostingRegressor(random_state=seed).fit(X, y)


MODELS = {
    "fastbp, bayesian": bayesian,
    "fastbp, 8 bayesian": bayesian_ensemble,
    "fastbp, lm": damped,
    "fastbp, defaults": adam,
    "scikit-learn, lbfgs": lbfgs,
    "scikit-learn, lbfgs, tuned alpha": tuned_lbfgs,
    "Gaussian process": gaussian_process,
    "gradient boosting": boosting,
    "histogram boosting": histogram_boosting,
}


def read(path):
    """Inputs and target; a line of names is left out."""
    rows = np.genfromtxt(path)
    rows = rows[~np.isnan(rows).any(axis=1)]
    X, y = rows[:, :-1], rows[:, -1]
    return X[:, X.std(axis=0) > 0], y


def regressions(folder):
    print("| table | rows | " + " | ".join(MODELS) + " |")
    print("|---" * (len(MODELS) + 2) + "|")
    for path in sorted(Path(folder).glob("*.txt")):
        X, y = read(path)
        errors, seconds = {name: [] for name in MODELS}, {name: [] for name in MODELS}
        for split in range(SPLITS):
            order = np.random.default_rng(split).permutation(len(X))
            test, training = np.split(order, [len(X) // 10])
            for name, fit in MODELS.items():
                started = time.perf_counter()
                model = fit(X[training], y[training], split)
                seconds[name].append(time.perf_counter() - started)
                errors[name].append(np.sqrt(np.mean((model.predict(X[test]) - y[test]) ** 2)))
        cells = [f"{np.mean(errors[name]):.3f} ({np.mean(seconds[name]):.2g} s)" for name in MODELS]
        print(f"| {path.stem} | {len(X)} | " + " | ".join(cells) + " |", flush=True)


def log_losses():
    """Seconds until each reaches the loss at which scikit-learn's lbfgs stops: medians of nine first weights."""
    optimizers = ("levenberg_marquardt", "bfgs", "lbfgs")
    print("\n| table, alpha | scikit-learn's lbfgs | " + " | ".join(optimizers) + " |")
    print("|---" * 5 + "|")
    for name, (X, y) in {"iris": load_iris(return_X_y=True), "wine": load_wine(return_X_y=True)}.items():
        for alpha in (1e-4, 1e-2, 1.0):
            times, steps = {}, {}
            for seed in range(9):
                found = {"scikit-learn": sklearn_lbfgs(StandardScaler().fit_transform(X), y, alpha, seed)}
                goal = found["scikit-learn"][2]
                found |= {one: to_goal(X, y, one, alpha / len(X), goal, seed) for one in optimizers}
                for one, (seconds, count, _) in found.items():
                    times.setdefault(one, []).append(1000 * seconds)
                    steps.setdefault(one, []).append(count)
            missed = {
                one: f", {np.isinf(found).sum()} of 9 not" for one, found in times.items() if np.isinf(found).any()
            }
            cells = [f"{np.median(times[k]):.1f} ms, {np.median(steps[k]):.0f} steps{missed.get(k, '')}" for k in times]
            print(f"| {name}, {alpha:g} | " + " | ".join(cells) + " |", flush=True)


def to_goal(X, y, optimizer, l2, goal, seed):
    """Seconds, steps, and the penalised loss at the end; infinite seconds if the goal was not reached."""
    plan = {"hidden": (10,), "activation": "tanh", "l2": l2, "seed": seed, "optimizer": optimizer, "tolerance": 1e-9}
    net, found = fastbp.train(X, y, **plan | {"epochs": 0}), []
    weights = np.concatenate([np.repeat([True, False], [W.size, len(W[0])]) for W in net.weights])

    def step(epoch):
        found.append(epoch.loss + l2 / 2 * (epoch.params[weights] ** 2).sum())
        return found[-1] <= 1.001 * goal

    net = fastbp.train(X, y, callback=step, **plan)
    return net.train_seconds if found[-1] <= 1.001 * goal else np.inf, len(found), found[-1]


def sklearn_lbfgs(X, y, alpha, seed):
    """Seconds, steps and loss of scikit-learn's fit."""
    plan = {"hidden_layer_sizes": (10,), "activation": "tanh", "solver": "lbfgs", "max_iter": 5000}
    started = time.perf_counter()
    model = MLPClassifier(alpha=alpha, random_state=seed, **plan).fit(X, y)
    return time.perf_counter() - started, model.n_iter_, model.loss_


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # some fits have not converged
    log_losses()
    regressions(sys.argv[1])
