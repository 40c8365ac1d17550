"""scikit-learn: a multilayer perceptron for each network, on joblib's processes where there are threads."""

import warnings

import joblib
import numpy as np
import with_sklearn
from cases import BETA1, BETA2, EPSILON, flat
from processes import spread
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import StandardScaler

warnings.filterwarnings(
    "ignore", category=ConvergenceWarning
)  # here, and in joblib's processes, which import this file


def version():
    return f"{with_sklearn.version()} with joblib {joblib.__version__}"


def _mlp(work, seed):
    net = {"hidden_layer_sizes": work.sizes[1:-1], "activation": work.hidden, "batch_size": work.batch, "alpha": 0}
    rule = {
        "solver": work.optimizer,
        "learning_rate_init": work.learning_rate,
        "beta_1": BETA1,
        "beta_2": BETA2,
        "epsilon": EPSILON,
    }
    # It stops for nothing but the number of epochs.
    return MLPClassifier(**net, **rule, max_iter=work.epochs, n_iter_no_change=work.epochs + 1, random_state=seed)


def _fitted(work, seed, X, y):
    X = StandardScaler().fit_transform(X) if work.scale else X
    return _weights(_mlp(work, seed).fit(X, y))


def _weights(mlp):
    return flat(zip(mlp.coefs_, mlp.intercepts_, strict=True))


def _from_given(work, seed, layers, orders, X, y):
    """An epoch a call, from the weights and in the orders of others."""
    mlp = _mlp(work, seed).set_params(shuffle=False)
    # The first call lays the weights out; theirs go in their place, with an optimizer that has not seen anything.
    mlp.partial_fit(X[: work.batch], y[: work.batch], classes=np.unique(y))
    mlp.coefs_, mlp.intercepts_ = map(list, zip(*layers, strict=True))
    del mlp._optimizer
    mlp.t_ = 0
    for order in orders:
        mlp.partial_fit(X[order], y[order])
    return _weights(mlp)


def many(work, threads):
    groups, found = work.groups(), []

    def from_given():
        found.clear()
        for group in groups:
            layers, orders = work.layers(group.seeds), work.orders(group, None)
            for k, table in enumerate(group.tables(group.X, group.labels)):
                own = [(W[k].copy(), b[k].copy()) for W, b in layers]
                found.append(_from_given(work, group.seeds[k], own, orders[k], *table))

    if work.given:
        return from_given, lambda: np.array(found)
    tables = [
        (work, seed, X, y)
        for group in groups
        for seed, (X, y) in zip(group.seeds, group.tables(group.raw.astype(np.float32), group.labels), strict=True)
    ]

    def step():
        found[:] = spread(_fitted, tables, threads)

    return step, lambda: np.array(found)
