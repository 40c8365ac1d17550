"""scikit-learn: one multilayer perceptron per network, on joblib's processes instead of threads."""

import warnings

import joblib
import numpy as np
import with_sklearn
from cases import BETA1, BETA2, EPSILON, flat
from processes import spread
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

# Here, and in joblib's processes, which import this file.
warnings.filterwarnings("ignore", category=ConvergenceWarning)


def version():
    return f"{with_sklearn.version()} with joblib {joblib.__version__}"


def _mlp(case, seed):
    net = {"hidden_layer_sizes": case.sizes[1:-1], "activation": case.hidden, "batch_size": case.batch, "alpha": 0}
    rule = {"solver": case.optimizer, "learning_rate_init": case.learning_rate}
    rule |= {"beta_1": BETA1, "beta_2": BETA2, "epsilon": EPSILON}
    # Only the number of epochs stops it.
    return MLPClassifier(**net, **rule, max_iter=case.epochs, n_iter_no_change=case.epochs + 1, random_state=seed)


def _fitted(case, seed, X, y):
    X = StandardScaler().fit_transform(X) if case.scale else X
    return _weights(_mlp(case, seed).fit(X, y))


def _weights(mlp):
    return flat(zip(mlp.coefs_, mlp.intercepts_, strict=True))


def _fitted_in_orders(case, seed, layers, orders, X, y):
    """Weights after the epochs of `orders`, from the given initial ones."""
    mlp = _mlp(case, seed).set_params(shuffle=False)
    # The first call creates the weights, which are then replaced, and the optimizer is reset.
    mlp.partial_fit(X[: case.batch], y[: case.batch], classes=np.unique(y))
    mlp.coefs_, mlp.intercepts_ = map(list, zip(*layers, strict=True))
    del mlp._optimizer
    mlp.t_ = 0
    for order in orders:
        mlp.partial_fit(X[order], y[order])
    return _weights(mlp)


def many(case, threads):
    groups, weights = case.groups(), []

    def same_orders():
        weights.clear()
        for group in groups:
            layers, orders = case.layers(group.seeds), case.orders(group, None)
            for k, table in enumerate(group.tables(group.X, group.labels)):
                initial = [(W[k].copy(), b[k].copy()) for W, b in layers]
                weights.append(_fitted_in_orders(case, group.seeds[k], initial, orders[k], *table))

    if case.same_orders:
        return same_orders, lambda: np.array(weights)
    tables = [
        (case, seed, X, y)
        for group in groups
        for seed, (X, y) in zip(group.seeds, group.tables(group.raw.astype(np.float32), group.labels), strict=True)
    ]

    def step():
        weights[:] = spread(_fitted, tables, threads)

    return step, lambda: np.array(weights)
