"""What ``compare/many.py`` measures: many networks at once. Every process draws the same data and weights from the same seeds."""

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
# All orders of four samples: a random one of them is a random row.
PERMUTATIONS = np.array(list(itertools.permutations(range(4))), np.int8)


@dataclass(frozen=True)
class Group:
    """Networks that learn from equally many samples: the same (n, d) for all, or (networks, n, d); raw inputs and standardised ones."""

    seeds: tuple[int, ...]
    raw: np.ndarray
    X: np.ndarray
    Y: np.ndarray

    @property
    def shared(self):
        return self.X.ndim == 2

    def split(self, parts):
        """Groups of about equally many of its networks, at most `parts`."""
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
        """Classes instead of outputs."""
        return self.Y.argmax(axis=-1) if self.Y.shape[-1] > 1 else self.Y[..., 0].astype(int)

    def tables(self, inputs, targets):
        """Samples of each network, of `inputs` (`raw` or `X`) and `targets` (`Y` or `labels`)."""
        return [(inputs, targets)] * len(self.seeds) if self.shared else list(zip(inputs, targets, strict=True))


@dataclass(frozen=True)
class Work:
    """
    Networks with one hidden layer, and how they learn.

    Where `given`, the orders of the samples are those that fastbp draws from its seeds, so that weights can be compared.
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
    given: bool = False

    kind = "many"

    @property
    def title(self):
        data = {"digits": "digits", "xor": "XOR", "folds": "folds of Spambase"}[self.name]
        return f"{self.networks:,} networks {'-'.join(map(str, self.sizes))} on {data}, {self.epochs:,} epochs"

    @property
    def candidates(self):
        """Those that can do it: scikit-learn has no squared error of logistic units."""
        sklearn = () if self.loss == "squared_error" else ("many_sklearn",)
        return ("many_fastbp", *sklearn, "many_jax_vmap", "many_jax", "many_torch_func", "many_torch")

    def options(self):
        """Of `fastbp.train`, but for the seed."""
        names = ("epochs", "output", "loss", "optimizer", "learning_rate", "scale")
        own = {"hidden": self.sizes[1], "activation": self.hidden, "batch_size": self.batch, "task": "classification"}
        return own | {name: getattr(self, name) for name in names}

    def groups(self):
        """All networks, those with equally many samples together."""
        if self.name == "folds":
            return _folds(self.data, self.networks)
        X, Y = _xor() if self.name == "xor" else _digits()
        return [Group(tuple(range(self.networks)), X, X, Y)]

    def layers(self, seeds):
        """First W (networks, d_in, d_out) and b (networks, d_out) of each layer, as fastbp draws them."""
        bounds = [(6 / (i + j)) ** 0.5 for i, j in itertools.pairwise(self.sizes)]
        pairs = [views(self._first(random_streams(seed)[0], bounds).astype(np.float32), self.sizes) for seed in seeds]
        return [tuple(map(np.stack, zip(*layer, strict=True))) for layer in zip(*pairs, strict=True)]

    def _first(self, random, bounds):
        pairs = zip(itertools.pairwise(self.sizes), bounds, strict=True)
        return np.concatenate([random.uniform(-bound, bound, (i + 1) * j) for (i, j), bound in pairs])

    def orders(self, group, random):
        """Numbers of the samples in the order of learning, (networks, epochs, n); of XOR so that those of all networks lie side by side."""
        shape = (len(group.seeds), self.epochs, group.samples)
        if self.given:
            streams = [random_streams(seed)[2] for seed in group.seeds]
            return np.array(
                [[stream.permutation(group.samples) for _ in range(self.epochs)] for stream in streams], np.int32
            )
        if group.samples == 4:
            return PERMUTATIONS.T[:, random.integers(len(PERMUTATIONS), size=shape[1::-1], dtype=np.int8)].T
        return random.permuted(np.broadcast_to(np.arange(group.samples, dtype=np.int32), shape), axis=2)

    def outcome(self, params):
        """Mean loss of each network on its samples, and share of right decisions."""
        found, start = [], 0
        for group in self.groups():
            rows = params[start : start + len(group.seeds)]
            found += [
                self._measure(row, *table) for row, table in zip(rows, group.tables(group.X, group.Y), strict=True)
            ]
            start += len(group.seeds)
        return np.array(found).T

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
    """Weights and biases of each network in a row, as fastbp lays them out."""
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
    """Of repeated cross-validation, one fit after another."""
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


def all_works(spambase):
    """The three works; the last only where its data are."""
    classes = {
        "hidden": "relu",
        "output": "softmax",
        "loss": "log_loss",
        "optimizer": "adam",
        "learning_rate": 1e-3,
        "batch": 32,
    }
    yield Work("digits", networks=32, epochs=20, sizes=(64, 32, 10), **classes)
    lecture = {
        "hidden": "logistic",
        "output": "logistic",
        "loss": "squared_error",
        "optimizer": "sgd",
        "learning_rate": 0.5,
        "batch": 1,
    }
    yield Work("xor", networks=10_000, epochs=1_000, sizes=(2, 2, 1), **lecture)
    if os.path.exists(spambase):
        X, y = read_spambase(spambase)
        rows = next(training_rows(y))
        usual = fastbp.train(X[rows], y[rows], seed=0, progress=False)
        said = {name: usual.options[name] for name in ("epochs", "output", "loss", "optimizer", "learning_rate")}
        shape = {"sizes": usual.sizes, "hidden": usual.layer_activations[0], "batch": usual.options["batch_size"]}
        yield Work("folds", networks=REPEATS * FOLDS, **shape, **said, scale=True, data=str(spambase))
