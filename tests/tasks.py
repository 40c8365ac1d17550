"""Networks and their samples for the tests of whole networks, the calls that kernels must refuse, and users' compiled functions."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import strategies as st
from naive import Arena
from numba import njit

from fastbp import kernels
from fastbp.kernels import minibatch as batches
from fastbp.kernels import network as tiles

seeds = st.integers(0, 2**32 - 1)
networks = st.lists(st.integers(1, 9), min_size=2, max_size=5)
DECISIONS = {"none": kernels.NO_DECISION, "threshold": kernels.THRESHOLD, "argmax": kernels.ARGMAX}
# The lecture's own rule (L26 to L30) in the words of `fastbp.train`
LECTURE = {
    "activation": "logistic",
    "output": "logistic",
    "loss": "squared_error",
    "optimizer": "sgd",
    "batch_size": 1,
    "scale": False,
}
# Networks on both sides of every cut: units of a layer that are computed at a time, inputs that are added at a time, weights that
# are copied into tiles, columns of weights that are updated at a time.
DEEP = [(n_in, n_out, 3) for n_in in range(510, 515) for n_out in (127, 128, 129)]
LARGE = [(260, 280, 7), (4, 6, 513, 2), (90, 800, 3), (5, 65, 64, 63)]
assert (tiles.DEPTH, tiles.HEIGHT) == (512, 32)


def frozen(values, dtype=None):
    """Read-only, as `fastbp.train` hands over what kernels only read: both then use one compiled version."""
    array = np.array(values, dtype, order="C")
    array.flags.writeable = False
    return array


class Task:
    """A network and its samples."""

    def __init__(self, sizes, n, seed=0, dtype=np.float64, hidden="logistic", pair=("squared_error", "logistic"), decision="argmax"):
        rng = np.random.default_rng(seed)
        self.sizes, self.pair, self.decision, self.dtype, self.n = tuple(sizes), pair, decision, dtype, n
        self.names = [hidden] * (len(sizes) - 2) + [pair[1]]
        self.X = frozen(rng.normal(size=(n, sizes[0])), dtype)
        y = rng.uniform(size=(n, sizes[-1]))
        self.Y = frozen(y / y.sum(axis=1, keepdims=True) if pair[1] == "softmax" else y, dtype)
        self.weight = frozen(rng.uniform(0.5, 2, size=n), dtype)
        self.order = rng.permutation(n)
        size = sum((i + 1) * j for i, j in itertools.pairwise(sizes))
        self.params = rng.uniform(-0.5, 0.5, size=size).astype(dtype)
        if max(sizes) > 100:
            self.params *= dtype(4 / max(sizes) ** 0.5)  # the reference clips saturated units in float64

    def codes(self):
        """Arguments that describe the network to a kernel."""
        sizes, activations = frozen(self.sizes, np.int64), frozen([kernels.ACTIVATIONS[f] for f in self.names], np.int64)
        return sizes, activations, kernels.LOSSES[self.pair[0]], DECISIONS[self.decision]

    def words(self):
        """The same for the reference."""
        return self.sizes, self.names, self.pair[0], self.decision

    def online(self, params, learning_rate=0.5, l2=0.0, order=None, kernel=None):
        order = self.order if order is None else np.asarray(order, np.int64)
        call = kernels.online_epoch if kernel is None else kernel
        return call(self.X, self.Y, self.weight, order, *self.codes(), params, learning_rate, l2)

    def narrow(self, batch_size):
        """Whether batches take the way of narrow networks."""
        return batches.is_narrow(min(batch_size, self.n), self.params)

    def minibatch(self, params, batch_size, optimizer="sgd", first=None, second=None, step=0, learning_rate=0.5, l2=0.0, kernel=None):
        none = np.empty(0, self.dtype)
        first, second = none if first is None else first, none if second is None else second
        call = kernels.minibatch_epoch if kernel is None else kernel
        return call(self.X, self.Y, self.weight, self.order, batch_size, *self.codes(), params, kernels.OPTIMIZERS[optimizer],
                    first, second, step, learning_rate, 0.9, 0.99, 1e-6, l2)  # fmt: skip


def user_online_epoch(X, Y, weight, order, sizes, activations, loss, decision, params, learning_rate, l2):
    return kernels.online_epoch(X, Y, weight, order, sizes, activations, loss, decision, params, learning_rate, l2)


def user_forward(X, sizes, activations, params, out):
    kernels.forward(X, sizes, activations, params, out)


def user_minibatch_epoch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                         learning_rate, beta1, beta2, epsilon, l2):  # fmt: skip
    return kernels.minibatch_epoch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second,
                                   step, learning_rate, beta1, beta2, epsilon, l2)  # fmt: skip


@functools.cache
def compiled(function):
    return njit(function)


# Wrong arguments: each case changes one of the arguments of a good call to 2-3-2 over 5 samples.

NETWORK_CASES = {
    "one size": {"sizes": [2]},
    "no unit": {"sizes": [2, 0, 2]},
    "sizes and activations": {"sizes": [2, 2]},
    "activation below": {"activations": [-1, 1]},
    "activation above": {"activations": [1, 5]},
    "hidden softmax": {"activations": [4, 4]},
    "params short": {"params": 16},
    "params long": {"params": 18},
    "X columns": {"X": (5, 3)},
}
SAMPLE_CASES = {
    "Y columns": {"Y": (5, 1)},
    "Y rows": {"Y": (4, 2)},
    "weight": {"weight": 4},
    "loss below": {"loss": -1},
    "loss above": {"loss": 2},
    "log-loss of relu": {"loss": 1, "activations": [1, 3]},
    "decision below": {"decision": -1},
    "decision above": {"decision": 3},
}


def refused(call, names, change):
    """Make the call with one argument changed: it must raise ValueError and write to no array."""
    arena, arguments = Arena(), []
    good = {
        "X": (5, 2), "Y": (5, 2), "weight": 5, "order": [0, 1, 2, 3, 4], "batch_size": 2, "sizes": [2, 3, 2], "activations": [1, 1],
        "loss": 0, "decision": 2, "params": 17, "optimizer": 0, "first": 0, "second": 0, "step": 0, "learning_rate": 0.1,
        "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "l2": 0.0, "out": (5, 2),
    }  # fmt: skip
    assert set(change) <= set(good)
    for name in names:
        value = (good | change)[name]
        if name in ("order", "sizes", "activations"):
            value = np.array(value, np.int64)
            value.flags.writeable = name == "order"
        elif name in ("X", "Y", "weight", "params", "first", "second", "out"):
            value = arena.put(np.ones(value))
            value.flags.writeable = name not in ("X", "Y", "weight") and not (name == "params" and "out" in names)
        arguments.append(value)
    with pytest.raises(ValueError, match=r".+"):
        call(*arguments)
    for array in arguments:
        if isinstance(array, np.ndarray):
            array.flags.writeable = True
    arena.check()
