"""Networks with samples for the tests of whole networks, calls that kernels refuse, and users' compiled functions."""

import functools
import itertools

import naive
import numpy as np
import pytest
from hypothesis import strategies as st
from naive import ELEMENTWISE, LOSS_PAIRS, PARAMETRIC, STATES, Arena, assert_close
from numba import njit
from scipy.sparse import csr_matrix

from fastbp import kernels
from fastbp.kernels.minibatch import epoch as batches
from fastbp.kernels.minibatch import steps
from fastbp.kernels.network import forward as tiles

seeds = st.integers(0, 2**32 - 1)
networks = st.lists(st.integers(1, 9), min_size=2, max_size=5)
DECISIONS = {"none": kernels.NO_DECISION, "threshold": kernels.THRESHOLD, "argmax": kernels.ARGMAX}
# The lecture's rule (L26 to L30) as options of `fastbp.train`
LECTURE = {"activation": "logistic", "output": "logistic", "loss": "squared_error"}
LECTURE |= {"optimizer": "sgd", "batch_size": 1, "scale": False}
LECTURE_PAIR = ("squared_error", "logistic")
# Networks on both sides of every block size: units of a layer that are computed at once, inputs that are added at once,
# weights that are copied into tiles, columns of weights that are updated at once.
assert (tiles.LAYER_KC, tiles.LAYER_MC) == (512, 32)
DEEP = [(n_in, n_out, 3) for n_in in range(510, 515) for n_out in (127, 128, 129)]
DEEP += [(steps.DEPTH + k, steps.BAND + 2 * k, 3) for k in (-2, -1, 0, 1, 2)]
LARGE = [(260, 280, 7), (4, 6, 513, 2), (90, 800, 3), (5, 65, 64, 63)]


def frozen(values, dtype=None):
    """A read-only array, as `fastbp.train` passes what kernels only read: both then use one compiled version."""
    array = np.array(values, dtype, order="C")
    array.flags.writeable = False
    return array


# Every hidden activation and every pair (loss, output activation), each pair with three hidden activations.
MIXED = [(ELEMENTWISE[(3 * k + i * 5) % len(ELEMENTWISE)], pair) for k, pair in enumerate(LOSS_PAIRS) for i in range(3)]
mixed = pytest.mark.parametrize(("hidden", "pair"), MIXED, ids=lambda x: x if isinstance(x, str) else "-".join(x))


def betas(optimizer):
    """beta1 and beta2, for rprop its factors."""
    return (0.5, 1.2) if optimizer == "rprop" else (0.9, 0.99)


class Task:
    """A network and its samples."""

    def __init__(self, sizes, n, seed=0, dtype=np.float64, hidden="logistic", pair=LECTURE_PAIR, decision="argmax"):
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
        if "exp" in self.names:
            self.params *= dtype(0.3)  # exp(exp(...)) would overflow
        p = np.linspace(0.2, 0.8, sizes[-1]) if pair[0] in PARAMETRIC else []
        self.loss_parameter = frozen(p, dtype)

    def codes(self):
        """Arguments that describe the network to a kernel."""
        activations = [kernels.ACTIVATIONS[f] for f in self.names]
        layers = frozen(self.sizes, np.int64), frozen(activations, np.int64)
        return *layers, kernels.LOSSES[self.pair[0]], self.loss_parameter, DECISIONS[self.decision]

    def words(self):
        """The same for the reference."""
        return self.sizes, self.names, self.pair[0], self.loss_parameter, self.decision

    def samples(self):
        """The samples, their weights, and the order in which they are taken."""
        return self.X, self.Y, self.weight, self.order

    def online(self, params, learning_rate=0.5, l2=0.0, order=None, kernel=None):
        order = self.order if order is None else np.asarray(order, np.int64)
        call = kernels.online_epoch if kernel is None else kernel
        return call(self.X, self.Y, self.weight, order, *self.codes(), params, learning_rate, l2)

    def narrow(self, batch_size):
        """Whether batches are computed as those of narrow networks."""
        return batches.is_narrow(min(batch_size, self.n), self.params.nbytes)

    def minibatch(
        self, params, batch_size, optimizer="sgd", states=None, step=0, learning_rate=0.5, l2=0.0, kernel=None
    ):
        rule = (kernels.OPTIMIZERS[optimizer], *([np.empty(0, self.dtype)] * 2 if states is None else states))
        numbers = (step, learning_rate, *betas(optimizer), 1e-6, l2)
        call = kernels.minibatch_epoch if kernel is None else kernel
        return call(*self.samples(), batch_size, *self.codes(), params, *rule, *numbers)

    def states(self, optimizer):
        """The state of a rule before its first update."""
        return [np.zeros(self.params.size if STATES[optimizer] > k else 0, self.dtype) for k in range(2)]

    def prepared(self, params, batch_size, optimizer, states, sparse=False, loss=None, **options):
        """An epoch of `prepare_minibatch`, with dense samples or compressed rows, and a custom loss if one is given."""
        sizes, activations, code, *rest = self.codes()
        samples = (self.csr() if sparse else self.X, self.Y, self.weight, self.order.size)
        network = (sizes, activations, code if loss is None else loss, *rest)
        rule = (kernels.OPTIMIZERS[optimizer], *states, *betas(optimizer), 1e-6)
        return kernels.prepare_minibatch(*samples, batch_size, *network, params, *rule, **options)

    def reference(self, params, batch_size, optimizer, states, step, learning_rate, l2, **options):
        """The same pass in NumPy."""
        rule = (optimizer, learning_rate, *betas(optimizer), 1e-6, l2)
        state = (params, *states, step)
        return naive.minibatch_epoch(self.samples(), batch_size, self.words(), state, rule, **options)

    def csr(self):
        """The samples in compressed rows."""
        X = csr_matrix(self.X)
        return frozen(X.data, self.dtype), frozen(X.indices, np.int64), frozen(X.indptr, np.int64)


def check_pass(task, batch_size, optimizer, rates, l2, epochs=2, masks=None, **options):
    """Compare passes of a prepared epoch with the reference, in guarded arrays; `options` go to `prepare_minibatch`."""
    arena = Arena(task.dtype)
    want, step = [task.params, *task.states(optimizer)], 0
    params, *states = (arena.put(x, written=True) for x in want)
    epoch = task.prepared(params, batch_size, optimizer, states, **options)
    for _ in range(epochs):
        found = epoch(task.order, step, rates, l2)
        clip = options.get("clip", np.inf)
        wanted = task.reference(want[0], batch_size, optimizer, want[1:], step, rates, l2, clip=clip, masks=masks)
        want, step = [wanted.params, wanted.first, wanted.second], wanted.step
        numbers = (wanted.loss, wanted.correct, wanted.penalty)
        np.testing.assert_allclose(found[:3], numbers, rtol=1e-11 if task.dtype == np.float64 else 2e-5)
        assert found.failed == -1
    for got, wanted in zip((params, *states), want, strict=True):
        assert_close(got, wanted, scale=1 + abs(wanted).max(initial=0), factor=epochs)
    assert abs(params - task.params).max() > 1e-4
    arena.check()


def user_online_epoch(*arguments):
    return kernels.online_epoch(*arguments)


def user_forward(X, sizes, activations, params, out):
    kernels.forward(X, sizes, activations, params, out)


def user_minibatch_epoch(*arguments):
    return kernels.minibatch_epoch(*arguments)


@functools.cache
def compiled(function):
    return njit(function)


# Wrong arguments: each case changes one argument of a good call with a network 2-3-2 and 5 samples.

NETWORK_CASES = {
    "one size": {"sizes": [2]},
    "no unit": {"sizes": [2, 0, 2]},
    "sizes and activations": {"sizes": [2, 2]},
    "activation below": {"activations": [-1, 1]},
    "activation above": {"activations": [1, 14]},
    "hidden softmax": {"activations": [13, 13]},
    "params short": {"params": 16},
    "params long": {"params": 18},
    "X columns": {"X": (5, 3)},
}
SAMPLE_CASES = {
    "Y columns": {"Y": (5, 1)},
    "Y rows": {"Y": (4, 2)},
    "weight": {"weight": 4},
    "loss below": {"loss": -1},
    "loss above": {"loss": 7},
    "no address": {"loss": 65535},
    "poisson of identity": {"loss": 2, "activations": [1, 0]},
    "outputs of silu": {"activations": [1, 11]},
    "no level": {"loss": 6},
    "levels": {"loss": 6, "loss_parameter": 3},
    "log-loss of relu": {"loss": 1, "activations": [1, 3]},
    "decision below": {"decision": -1},
    "decision above": {"decision": 3},
}


def refused(call, names, change):
    """Make the call with one argument changed: it must raise ValueError and write to no array."""
    arena, arguments = Arena(), []
    good = {"X": (5, 2), "Y": (5, 2), "weight": 5, "order": [0, 1, 2, 3, 4], "batch_size": 2, "out": (5, 2)}
    good |= {"sizes": [2, 3, 2], "activations": [1, 1], "loss": 0, "loss_parameter": 0, "decision": 2, "params": 17}
    good |= {"optimizer": 0, "first": 0, "second": 0, "step": 0}
    good |= {"learning_rate": 0.1, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "l2": 0.0}
    assert set(change) <= set(good)
    for name in names:
        value = (good | change)[name]
        if name in ("order", "sizes", "activations"):
            value = np.array(value, np.int64)
            value.flags.writeable = name == "order"
        elif name in ("X", "Y", "weight", "loss_parameter", "params", "first", "second", "out"):
            value = arena.put(np.ones(value))
            value.flags.writeable = name not in ("X", "Y", "weight", "loss_parameter") and not (
                name == "params" and "out" in names
            )
        arguments.append(value)
    with pytest.raises(ValueError, match=r".+"):
        call(*arguments)
    for array in arguments:
        if isinstance(array, np.ndarray):
            array.flags.writeable = True
    arena.check()
