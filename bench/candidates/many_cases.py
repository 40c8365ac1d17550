"""The cases of ``compare/many.py``, many networks at once; every process draws the same data and weights."""

import itertools
import os
from dataclasses import dataclass, replace

import numpy as np
from cases import views
from sklearn.datasets import load_digits
from sklearn.model_selection import StratifiedKFold

import fastbp
from fastbp.training.first_weights import random_streams

REPEATS, FOLDS = 5, 5
# All orders of four samples: a random order is a random row.
PERMUTATIONS = np.array(list(itertools.permutations(range(4))), np.int8)


@dataclass(frozen=True)
class Group:
    """
    Networks that learn from the same number of samples, with raw and with standardised inputs.

    Arrays have shape (n, d) if all networks have the same samples, or (networks, n, d).
    """

    seeds: tuple[int, ...]
    raw: np.ndarray
    X: np.ndarray
    Y: np.ndarray

    @property
    def shared(self):
        return self.X.ndim == 2

    def split(self, parts):
        """At most `parts` groups with about the same number of its networks."""
        count = min(parts, len(self.seeds))
        bounds = [len(self.seeds) * k // count for k in range(count + 1)]
        slices = [slice(*pair) for pair in itertools.pairwise(bounds)]
        if self.shared:
            return [replace(self, seeds=self.seeds[part]) for part in slices]
        return [Group(self.seeds[part], self.raw[part], self.X[part], self.Y[part]) for part in slices]

    @property
    def samples(self):
        return self.X.shape[-2]

    @property
    def labels(self):
        """Classes, as integers."""
        return self.Y.argmax(axis=-1) if self.Y.shape[-1] > 1 else self.Y[..., 0].astype(int)

    def tables(self, inputs, targets):
        """The samples of each network, from `inputs` (`raw` or `X`) and `targets` (`Y` or `labels`)."""
        return [(inputs, targets)] * len(self.seeds) if self.shared else list(zip(inputs, targets, strict=True))


@dataclass(frozen=True)
class ManyNetworks:
    """
    Networks with one hidden layer, and how they learn.

    If `same_orders`, the orders of the samples are those that fastbp draws from the seeds, so that weights can be
    compared.
    """

    name: str
    networks: int
    epochs: int
    sizes: tuple[int, int, int]
    hidden: str
    output: str
    loss: str
    optimizer: str
    learning_rate: float
    batch: int
    scale: bool = False
    data: str = ""
    same_orders: bool = False

    kind = "many"

    @property
    def title(self):
        data = {"digits": "digits", "xor": "XOR", "folds": "folds of Spambase"}[self.name]
        return f"{self.networks:,} networks {'-'.join(map(str, self.sizes))} on {data}, {self.epochs:,} epochs"

    @property
    def candidates(self):
        """The candidates that can do it: scikit-learn has no squared error of logistic units."""
        sklearn = () if self.loss == "squared_error" else ("many_sklearn",)
        return ("many_fastbp", *sklearn, "many_jax_vmap", "many_jax", "many_torch_func", "many_torch")

    def options(self):
        """Options of `fastbp.train`, except the seed."""
        names = ("epochs", "output", "loss", "optimizer", "learning_rate", "scale")
        options = {name: getattr(self, name) for name in names} | {"task": "classification"}
        return options | {"hidden": self.sizes[1], "activation": self.hidden, "batch_size": self.batch}

    def groups(self):
        """All networks, grouped by their number of samples."""
        if self.name == "folds":
            return _folds(self.data, self.networks)
        X, Y = _xor() if self.name == "xor" else _digits()
        return [Group(tuple(range(self.networks)), X, X, Y)]

    def layers(self, seeds):
        """Initial W (networks, d_in, d_out) and b (networks, d_out) of each layer, as fastbp draws them."""
        bounds = [(6 / (i + j)) ** 0.5 for i, j in itertools.pairwise(self.sizes)]
        pairs = [views(self._first(random_streams(seed)[0], bounds).astype(np.float32), self.sizes) for seed in seeds]
        return [tuple(map(np.stack, zip(*layer, strict=True))) for layer in zip(*pairs, strict=True)]

    def _first(self, random, bounds):
        pairs = zip(itertools.pairwise(self.sizes), bounds, strict=True)
        return np.concatenate([random.uniform(-bound, bound, (i + 1) * j) for (i, j), bound in pairs])

    def orders(self, group, random):
        """
        Indices of the samples in training order, shape (networks, epochs, n).

        For XOR, the indices of all networks are next to each other in memory.
        """
        shape = (len(group.seeds), self.epochs, group.samples)
        if self.same_orders:
            streams = [random_streams(seed)[2] for seed in group.seeds]
            orders = [[stream.permutation(group.samples) for _ in range(self.epochs)] for stream in streams]
            return np.array(orders, np.int32)
        if group.samples == 4:
            return PERMUTATIONS.T[:, random.integers(len(PERMUTATIONS), size=shape[1::-1], dtype=np.int8)].T
        return random.permuted(np.broadcast_to(np.arange(group.samples, dtype=np.int32), shape), axis=2)

    def outcome(self, params):
        """Mean loss and accuracy of each network on its samples."""
        outcomes, start = [], 0
        for group in self.groups():
            rows = params[start : start + len(group.seeds)]
            tables = group.tables(group.X, group.Y)
            outcomes += [self._measure(row, *table) for row, table in zip(rows, tables, strict=True)]
            start += len(group.seeds)
        return np.array(outcomes).T

    def _measure(self, row, X, Y):
        (W1, b1), (W2, b2) = views(row.astype(float), self.sizes)
        z = X @ W1 + b1
        z = (np.maximum(z, 0) if self.hidden == "relu" else _logistic(z)) @ W2 + b2
        if self.output == "softmax":
            log_share = z - np.logaddexp.reduce(z, axis=1, keepdims=True)
            return -(Y * log_share).sum() / len(Y), np.mean(z.argmax(axis=1) == Y.argmax(axis=1))
        loss = np.logaddexp(0, z) - Y * z if self.loss == "log_loss" else 0.5 * (_logistic(z) - Y) ** 2
        return loss.mean(), np.mean((z > 0) == Y)


def rows_of(layers):
    """Weights and biases of each network in one row, as fastbp lays them out."""
    return np.concatenate([np.reshape(part, (len(part), -1)) for layer in layers for part in layer], axis=1)


def _logistic(z):
    return 0.5 + 0.5 * np.tanh(0.5 * z)


def _standardised(X):
    deviation = X.std(axis=-2, keepdims=True)
    return ((X - X.mean(axis=-2, keepdims=True)) / np.where(deviation > 0, deviation, 1)).astype(np.float32)


def _xor():
    return np.array([[0, 0], [0, 1], [1, 0], [1, 1]], np.float32), np.array([[0], [1], [1], [0]], np.float32)


def _digits():
    X, labels = load_digits(return_X_y=True)
    return _standardised(X), np.eye(10, dtype=np.float32)[labels]


def read_spambase(path):
    table = np.loadtxt(path, delimiter=",", skiprows=1)
    return table[:, :-1], table[:, -1].astype(int)


def training_rows(y):
    """The training rows of each fit of a repeated cross-validation."""
    for repeat in range(REPEATS):
        for rows, _ in StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(y, y):
            yield rows


def _folds(path, networks):
    X, y = read_spambase(path)
    fits = list(enumerate(itertools.islice(training_rows(y), networks)))
    groups = []
    for count in sorted({len(rows) for _, rows in fits}):
        seeds, rows = zip(*[fit for fit in fits if len(fit[1]) == count], strict=True)
        raw = X[np.array(rows)]
        groups.append(Group(seeds, raw, _standardised(raw), y[np.array(rows), None].astype(np.float32)))
    return groups


def all_cases(spambase):
    """The three cases; the last only if its data exist."""
    classes = {"hidden": "relu", "output": "softmax", "loss": "log_loss"}
    adam = {"optimizer": "adam", "learning_rate": 1e-3, "batch": 32}
    yield ManyNetworks("digits", networks=32, epochs=20, sizes=(64, 32, 10), **classes, **adam)
    lecture = {"hidden": "logistic", "output": "logistic", "loss": "squared_error"}
    lecture |= {"optimizer": "sgd", "learning_rate": 0.5, "batch": 1}
    yield ManyNetworks("xor", networks=10_000, epochs=1_000, sizes=(2, 2, 1), **lecture)
    if os.path.exists(spambase):
        X, y = read_spambase(spambase)
        rows = next(training_rows(y))
        net = fastbp.train(X[rows], y[rows], seed=0, progress=False)  # for its default options
        options = {name: net.options[name] for name in ("epochs", "output", "loss", "optimizer", "learning_rate")}
        options |= {"sizes": net.sizes, "hidden": net.layer_activations[0], "batch": net.options["batch_size"]}
        yield ManyNetworks("folds", networks=REPEATS * FOLDS, **options, scale=True, data=str(spambase))
