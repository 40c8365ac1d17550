"""
Calls every public kernel on arrays of random shapes between guard pages (`guarded`), in a process that may die of it.

``python guard_attacks.py FIRST EXAMPLES SEED STRIDED PARALLEL`` attacks the kernels whose names begin with FIRST.
If STRIDED is 1, some arrays have gaps; if PARALLEL is 1, prepared epochs run on two threads. The output, a file, says
what the process was doing last.
"""

import ctypes
import faulthandler
import itertools
import os
import sys
from typing import NamedTuple

import guarded
import numpy as np
from naive import ELEMENTWISE, LOSS_PAIRS, PARAMETRIC, STATES
from numba import njit
from table_rows import TableRows

from fastbp import kernels
from fastbp.kernels import node
from fastbp.kernels.minibatch import epoch as minibatch
from fastbp.kernels.samplewise import tiny

# The extremes, and both sides of whole vectors, register tiles, tiles of samples and blocks.
EDGES = sorted(
    {0, 1, 2, 3, 5, 11}
    | {edge + d for edge in (4, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512) for d in (-1, 0, 1)}
)
LARGE = ((260, 280, 7), (4, 6, 513, 2), (90, 800, 3), (5, 65, 64, 63), (511, 130, 1), (3, 70, 300, 70, 2))


class Attack:
    """Shapes, numbers and arrays of one call."""

    def __init__(self, memory, random, dtype, strided, parallel):
        self.memory, self.random, self.dtype, self.strided, self.parallel = memory, random, dtype, strided, parallel

    def size(self, most, least=0):
        edges = [e for e in EDGES if least <= e <= most]
        return int(self.random.choice(edges) if self.random.integers(3) else self.random.integers(least, most + 1))

    def one_of(self, *values):
        return values[self.random.integers(len(values))]

    def read(self, *shape, strided=None):
        values = self.random.normal(size=shape).astype(self.dtype)
        return self.memory.put(values, strided=self.strided if strided is None else strided)

    def write(self, *shape, strided=None):
        values = self.random.normal(size=shape).astype(self.dtype)
        return self.memory.put(values, written=True, strided=self.strided if strided is None else strided)

    def same(self, values, dtype=None, written=False):
        return self.memory.put(np.asarray(values, dtype or self.dtype), written=written)

    def csr(self, n, d):
        """Samples in compressed rows, some of them empty."""
        dense = self.random.random((n, d)) < self.one_of(0.0, 0.2, 1.0)
        rows, columns = np.nonzero(dense)
        indptr = np.concatenate([[0], np.cumsum(dense.sum(axis=1))])
        return self.same(self.random.normal(size=rows.size)), self.same(columns, np.int64), self.same(indptr, np.int64)


# Kernels of matrices: sizes n, k, m, and the call.


def _elementwise(kernel):
    def call(g, n, k, m):
        shape = g.one_of((n,), (n, k), (n, 2, m // 8))
        x = g.read(*shape, strided=False)
        out = g.write(*shape, strided=False)
        kernel(x, out)

    return call


def _update(kernel, states, *numbers):
    def call(g, n, k, m):
        shape = g.one_of((n,), (n, k))
        w, g_ = g.write(*shape, strided=False), g.read(*shape, strided=False)
        kernel(w, g_, *(g.same(abs(g.random.normal(size=shape)), written=True) for _ in range(states)), *numbers)

    return call


def _scaled(g, n, k, m):
    kernels.scaled_matmul(g.one_of(1.0, 0.5), g.read(n, k), g.read(k, m), g.one_of(0.0, 1.0, 0.5), g.write(n, m))


def _matmul_parallel(g, n, k, m):
    A, B, out = g.read(n, k), g.read(k, m), g.write(n, m)
    if g.strided and g.random.integers(2):
        A, B, out = (
            x.T for x in (g.read(k, n, strided=False), g.read(m, k, strided=False), g.write(m, n, strided=False))
        )
    with kernels.threads(2):
        kernels.matmul_parallel(A, B, out)


def _csr_forward(g, n, k, m):
    rows = g.same(g.random.integers(0, n, k) if n else [], np.int64)
    kernels.csr_linear_forward(*g.csr(n, k), rows, g.read(k, m), g.read(m), g.write(rows.size, m))


def _csr_gradient(g, n, k, m):
    rows = g.same(g.random.integers(0, n, k) if n else [], np.int64)
    kernels.csr_weight_gradient(*g.csr(n, k), rows, g.read(rows.size, m), g.write(k, m))


def _pieces(g, n):
    """Rows of a table in pieces between guard pages, and its numbers and categories as drawn."""
    table = TableRows(n, int(g.random.integers(4)), int(g.random.integers(4)), int(g.random.integers(1 << 30)), g.dtype)
    return table, kernels.PieceRows(*(g.same(array, array.dtype) for array in table.rows))


def _encode_pieces(g, n, k, m):
    table, rows = _pieces(g, n)
    places, shares = (g.same(array, array.dtype, written=True) for array in rows[:2])
    raw, edges, moments = (g.same(array, np.float64) for array in (table.raw, table.edges, table.moments))
    kernels.encode_pieces(raw, rows.columns, edges, moments, places, shares, parallel=bool(g.random.integers(2)))


def _piecewise_forward(g, n, k, m):
    table, samples = _pieces(g, n)
    rows = g.same(g.random.integers(0, n, k) if n else [], np.int64)
    weights = g.read(table.dense.shape[1] + 1, m, strided=False)
    nodes, out = g.write(samples.heights.size, m, strided=False), g.write(rows.size, m, strided=False)
    kernels.piecewise_linear_forward(samples, rows, weights, nodes, out, parallel=bool(g.random.integers(2)))


def _piecewise_gradient(g, n, k, m):
    table, samples = _pieces(g, n)
    rows = g.same(g.random.integers(0, n, k) if n else [], np.int64)
    nodes = g.write(samples.heights.size, m, strided=False)
    delta, out = g.read(rows.size, m, strided=False), g.write(table.dense.shape[1] + 1, m, strided=False)
    kernels.piecewise_weight_gradient(samples, rows, delta, nodes, out)


def _loss(g, units):
    """Codes of a loss and of an output activation that goes with it, and the loss's parameter."""
    pair = LOSS_PAIRS[g.random.integers(len(LOSS_PAIRS))]
    return (
        kernels.LOSSES[pair[0]],
        g.same(np.full(units if pair[0] in PARAMETRIC else 0, 0.3)),
        kernels.ACTIVATIONS[pair[1]],
    )


def _output_delta(g, n, k, m):
    loss, parameter, activation = _loss(g, m)
    kernels.output_delta(loss, parameter, activation, g.read(n, m), g.read(n, m), g.write(n, m))


def _evaluate(g, n, k, m):
    loss, parameter, activation = _loss(g, m)
    kernels.evaluate(loss, parameter, activation, int(g.random.integers(3)), g.read(n, m), g.read(n, m), g.read(n))


def _hidden_delta(g, n, k, m):
    kernels.hidden_delta(int(g.random.integers(13)), g.read(n, m), g.read(k, m), g.read(n, k), g.write(n, k))


def _activation_backward(g, n, k, m):
    node.activation_backward(int(g.random.integers(14)), g.read(n, m), g.read(n, m), g.write(n, m))


MATRICES = {
    "matmul": lambda g, n, k, m: kernels.matmul(g.read(n, k), g.read(k, m), g.write(n, m)),
    "matmul_parallel": _matmul_parallel,
    "scaled_matmul": _scaled,
    "linear_forward": lambda g, n, k, m: kernels.linear_forward(g.read(n, k), g.read(k, m), g.read(m), g.write(n, m)),
    "activation_forward": lambda g, n, k, m: kernels.activation_forward(
        int(g.random.integers(14)), g.read(n, m), g.write(n, m)
    ),
    "activation_derivative": lambda g, n, k, m: kernels.activation_derivative(
        int(g.random.integers(13)), g.read(n, m), g.write(n, m)
    ),
    "hidden_delta": _hidden_delta,
    "weight_gradient": lambda g, n, k, m: kernels.weight_gradient(g.read(n, k), g.read(n, m), g.write(k, m)),
    "bias_gradient": lambda g, n, k, m: kernels.bias_gradient(g.read(n, m), g.write(m)),
    "output_delta": _output_delta,
    "evaluate": _evaluate,
    "dropout": lambda g, n, k, m: kernels.dropout(g.read(n, m), g.one_of(0.0, 0.5), 3, 1, 0, g.write(n, m)),
    "csr_linear_forward": _csr_forward,
    "csr_weight_gradient": _csr_gradient,
    "encode_pieces": _encode_pieces,
    "piecewise_linear_forward": _piecewise_forward,
    "piecewise_weight_gradient": _piecewise_gradient,
    "clip_gradient": lambda g, n, k, m: kernels.clip_gradient(g.write(n, strided=False), g.one_of(0.1, 1e9)),
    **{name: _elementwise(getattr(kernels, name)) for name in ("exp", "log", "tanh", "logistic", "softplus", "erf")},
    "sgd_update": _update(kernels.sgd_update, 0, 0.3),
    "momentum_update": _update(kernels.momentum_update, 1, 0.3, 0.9),
    "network_update": lambda g, n, k, m: _network_update(g, n, k, m),
    "nesterov_update": _update(kernels.nesterov_update, 1, 0.3, 0.9),
    "adam_update": _update(kernels.adam_update, 2, 3, 0.01, 0.9, 0.999, 1e-8),
    "adamw_update": _update(kernels.adamw_update, 2, 3, 0.01, 0.9, 0.999, 1e-8, 0.1),
    "nadam_update": _update(kernels.nadam_update, 2, 3, 0.01, 0.9, 0.999, 1e-8),
    "rmsprop_update": _update(kernels.rmsprop_update, 1, 0.01, 0.9, 1e-8),
    "rprop_update": _update(kernels.rprop_update, 2, 0.02, 0.5, 1.2),
    "node.activation_forward": lambda g, n, k, m: node.activation_forward(
        int(g.random.integers(14)), g.read(n, m), g.write(n, m)
    ),
    "node.activation_backward": _activation_backward,
    "node.add_forward": lambda g, n, k, m: node.add_forward(g.read(n, m), g.read(n, m), g.write(n, m)),
    "node.add_backward": lambda g, n, k, m: node.add_backward(g.read(n, m), g.write(n, m), g.write(n, m)),
    "node.add_bias_forward": lambda g, n, k, m: node.add_bias_forward(g.read(n, m), g.read(m), g.write(n, m)),
    "node.add_bias_backward": lambda g, n, k, m: node.add_bias_backward(g.read(n, m), g.write(n, m), g.write(m)),
    "node.binary_log_loss_forward": lambda g, n, k, m: node.binary_log_loss_forward(g.read(n, m), g.read(n, m)),
    "node.binary_log_loss_backward": lambda g, n, k, m: node.binary_log_loss_backward(
        1.5, g.read(n, m), g.read(n, m), g.write(n, m)
    ),
    "node.copy_forward": lambda g, n, k, m: node.copy_forward(g.read(n, m), g.write(n, m)),
    "node.copy_backward": lambda g, n, k, m: node.copy_backward(g.read(n, m), g.read(n, m), g.write(n, m)),
    "node.exp_forward": lambda g, n, k, m: node.exp_forward(g.read(n, m, strided=False), g.write(n, m, strided=False)),
    "node.exp_backward": lambda g, n, k, m: node.exp_backward(g.read(n, m), g.read(n, m), g.write(n, m)),
    "node.log_loss_forward": lambda g, n, k, m: node.log_loss_forward(g.read(n, m), g.read(n, m)),
    "node.log_loss_backward": lambda g, n, k, m: node.log_loss_backward(1.5, g.read(n, m), g.read(n, m), g.write(n, m)),
    "node.matmul_forward": lambda g, n, k, m: node.matmul_forward(g.read(n, k), g.read(k, m), g.write(n, m)),
    "node.matmul_backward": lambda g, n, k, m: node.matmul_backward(
        g.read(n, m), g.read(n, k), g.read(k, m), g.write(n, k), g.write(k, m)
    ),
    "node.multiply_forward": lambda g, n, k, m: node.multiply_forward(g.read(n, m), g.read(n, m), g.write(n, m)),
    "node.multiply_backward": lambda g, n, k, m: node.multiply_backward(
        *(g.read(n, m) for _ in "yab"), g.write(n, m), g.write(n, m)
    ),
    "node.negate_forward": lambda g, n, k, m: node.negate_forward(g.read(n, m), g.write(n, m)),
    "node.negate_backward": lambda g, n, k, m: node.negate_backward(g.read(n, m), g.write(n, m)),
    "node.reciprocal_forward": lambda g, n, k, m: node.reciprocal_forward(g.read(n, m), g.write(n, m)),
    "node.reciprocal_backward": lambda g, n, k, m: node.reciprocal_backward(g.read(n, m), g.read(n, m), g.write(n, m)),
    "node.scale_forward": lambda g, n, k, m: node.scale_forward(-1.5, g.read(n, m), g.write(n, m)),
    "node.scale_backward": lambda g, n, k, m: node.scale_backward(g.read(n, m), -1.5, g.write(n, m)),
    "node.shift_forward": lambda g, n, k, m: node.shift_forward(2.5, g.read(n, m), g.write(n, m)),
    "node.shift_backward": lambda g, n, k, m: node.shift_backward(g.read(n, m), g.write(n, m)),
    "node.squared_error_forward": lambda g, n, k, m: node.squared_error_forward(g.read(n, m), g.read(n, m)),
    "node.squared_error_backward": lambda g, n, k, m: node.squared_error_backward(
        1.5, g.read(n, m), g.read(n, m), g.write(n, m)
    ),
    "node.sum_forward": lambda g, n, k, m: node.sum_forward(g.read(n, m)),
    "node.sum_backward": lambda g, n, k, m: node.sum_backward(1.5, g.write(n, m)),
    "node.transpose_forward": lambda g, n, k, m: node.transpose_forward(g.read(n, m), g.write(m, n)),
    "node.transpose_backward": lambda g, n, k, m: node.transpose_backward(g.read(n, m), g.write(m, n)),
}


# Kernels of whole networks.


class Network(NamedTuple):
    """A network, its samples and their number."""

    n: int
    sizes: tuple
    names: tuple
    X: np.ndarray
    Y: np.ndarray
    weight: np.ndarray
    layers: tuple  # sizes, activations
    rest: tuple  # loss, loss_parameter, decision
    params: np.ndarray


OWN = {}


def custom_loss(dtype):
    """The number of a custom loss; compiled once."""
    if dtype not in OWN:
        OWN[dtype] = kernels.CustomLoss(lambda y, a: 0.5 * (y - a) ** 2, lambda y, a: a - y, dtype)
    return int(OWN[dtype])


def network(g, own=False, tiny=False, trained=True):
    """A random network and random samples."""
    if tiny:
        sizes = (g.size(16, 1), *(g.size(4, 1) for _ in range(g.random.integers(1, 4))))
    elif g.random.integers(8):
        sizes = tuple(g.size(g.one_of(9, 40, 130), 1) for _ in range(g.random.integers(2, 5)))
    else:
        sizes = LARGE[g.random.integers(len(LARGE))]
    n = g.size(g.one_of(9, 150, 400), 1)
    pair = LOSS_PAIRS[g.random.integers(7 if tiny else len(LOSS_PAIRS))]
    names = [ELEMENTWISE[g.random.integers(4 if tiny else len(ELEMENTWISE))] for _ in sizes[2:]] + [pair[1]]
    count = sum((i + 1) * j for i, j in itertools.pairwise(sizes))
    # so small that nothing overflows, and no pass ends early
    params = g.same(g.random.normal(size=count) * 0.3 / max(sizes) ** 0.5, written=trained)
    loss = custom_loss(g.dtype) if own and pair[0] == "squared_error" else kernels.LOSSES[pair[0]]
    layers = g.same(sizes, np.int64), g.same([kernels.ACTIVATIONS[f] for f in names], np.int64)
    parameter = g.same(np.full(sizes[-1] if pair[0] in PARAMETRIC else 0, 0.3))
    Y = g.same(g.random.uniform(size=(n, sizes[-1])))
    samples = g.read(n, sizes[0], strided=False), Y, g.same(g.random.uniform(0.5, 2, n))
    rest = (loss, parameter, int(g.random.integers(3)))
    return Network(n, sizes, tuple(names), *samples, layers, rest, params)


def _order(g, n):
    return g.same(g.random.integers(0, n, g.size(2 * n, 1)), np.int64)


def _forward(g, say, parallel=False):
    net = network(g, trained=False)
    say(net.sizes, net.n, net.names)
    out = g.write(net.n, net.sizes[-1], strided=False)
    if parallel:
        with kernels.threads(2):
            kernels.forward_parallel(net.X, *net.layers, net.params, out)
    else:
        kernels.forward(net.X, *net.layers, net.params, out)


def _infer(g, say, parallel=False):
    net = network(g, trained=False)
    say(net.sizes, net.n, net.names)
    scaling, rescaling = (
        g.same(g.random.uniform(0.5, 2, (2, g.one_of(0, d))), np.float64) for d in (net.sizes[0], net.sizes[-1])
    )
    X, out = g.same(net.X, g.dtype if parallel else np.float64), g.write(net.n, net.sizes[-1], strided=False)
    decision = g.same(np.zeros(g.one_of(0, net.n)), np.int64, written=True)
    rest = (X, scaling, *net.layers, net.params, rescaling, 0.4, out, decision)
    if parallel:
        with kernels.threads(2):
            kernels.infer_parallel(*rest)
    else:
        kernels.infer(*rest)


def _rule(g, net):
    optimizer = g.one_of(*STATES)
    states = (g.same(np.zeros(net.params.size if STATES[optimizer] > k else 0), written=True) for k in range(2))
    betas = (0.5, 1.2) if optimizer == "rprop" else (0.9, 0.99)
    return optimizer, (kernels.OPTIMIZERS[optimizer], *states), betas


def _network_update(g, n, k, m):
    optimizer = g.one_of(*STATES)
    sizes = np.array([n, k, m])
    count = kernels.parameter_count(sizes)
    states = (g.same(np.zeros(count if STATES[optimizer] > s else 0), written=True) for s in range(2))
    betas = (0.5, 1.2) if optimizer == "rprop" else (0.9, 0.99)
    rule = (kernels.OPTIMIZERS[optimizer], *states, 2, 0.01, *betas, 1e-6, g.one_of(0.0, 0.01))
    kernels.network_update(g.same(sizes, np.int64), g.write(count, strided=False), g.read(count, strided=False), *rule)


def _minibatch(g, say, parallel=False):
    net = network(g)
    optimizer, rule, betas = _rule(g, net)
    order, batch_size = _order(g, net.n), g.size(300, 1)
    say(net.sizes, net.n, net.names, net.rest[0], optimizer, order.size, batch_size)
    samples, numbers = (net.X, net.Y, net.weight, order), (0, 1e-4, *betas, 1e-6, g.one_of(0.0, 0.01))
    rest = (*samples, batch_size, *net.layers, *net.rest, net.params, *rule, *numbers)
    if parallel:
        with kernels.threads(2):
            kernels.minibatch_epoch_parallel(*rest)
    else:
        kernels.minibatch_epoch(*rest)


def _prepared(g, say):
    net = network(g, own=True)
    optimizer, rule, betas = _rule(g, net)
    order, batch_size = _order(g, net.n), g.size(300, 1)
    # what other tests compile: dropout, clipping, or sparse samples with or without clipping
    way = g.one_of("plain", "dropout", "clip", "sparse", "sparse clip")
    shares = np.array([0.4] * (len(net.names) - 1) + [0.0])
    dropout = g.same(shares, np.float64) if way == "dropout" else None
    X = g.csr(net.n, net.sizes[0]) if "sparse" in way else net.X
    say(net.sizes, net.n, net.names, net.rest[0], optimizer, order.size, batch_size, way)
    arguments = (X, net.Y, net.weight, order.size, batch_size, *net.layers, *net.rest, net.params, *rule, *betas, 1e-6)
    clip = 1e-3 if "clip" in way else np.inf
    epoch = kernels.prepare_minibatch(*arguments, dropout=dropout, clip=clip, parallel=g.parallel)
    with kernels.threads(1 + g.parallel):
        for step in (0, -(-order.size // batch_size)):
            assert epoch(order, step, 1e-4, g.one_of(0.0, 0.01)).failed == -1


def _online(g, say, prepare=False):
    net = network(g, own=prepare, tiny=g.one_of(True, False))
    order, l2 = _order(g, net.n), g.one_of(0.0, 0.01)
    say(net.sizes, net.n, net.names, net.rest[0], order.size, l2)
    arrays = (*net.layers, *net.rest, net.params, 1e-4, l2)
    if prepare:
        epoch = kernels.prepare_online(net.X, net.Y, net.weight, *arrays)
        assert epoch(order).failed == epoch(order).failed == -1
    else:
        kernels.online_epoch(net.X, net.Y, net.weight, order, *arrays)


def _many(g, say):
    net = network(g, tiny=True)
    while not tiny.is_tiny(*net.layers, net.rest[0]):
        net = network(g, tiny=True)
    count, epochs, shuffled = g.size(70), g.size(3), g.one_of(True, False)
    say(net.sizes, net.n, net.names, net.rest[0], count, epochs, shuffled)
    params = g.same(np.resize(net.params, (count, net.params.size)), written=True)
    # where rates are large, some fail
    rates, l2 = (g.same(g.random.choice(x, count), np.float64) for x in ([1e-4, 1e3], [0.0, 0.01]))
    streams = g.same(g.random.integers(0, 2, (count, 6)), np.uint64, written=True)
    losses, corrects = (g.same(np.ones((epochs, count)), np.float64, written=True) for _ in range(2))
    failed = g.same(np.zeros(count), np.int64, written=True)
    codes, learning = (*net.layers, net.rest[0], net.rest[2]), (params, rates, l2, streams, shuffled)
    with np.errstate(all="ignore"):
        kernels.online_many(net.X, net.Y, net.weight, *codes, *learning, losses, corrects, failed)


def _gauss_newton(g, say, parallel=False):
    net = network(g, trained=False)
    while net.params.size > 1500:  # the matrix is large
        net = network(g, trained=False)
    say(net.sizes, net.n, net.names, net.rest[0])
    count = net.params.size
    matrix, gradient = g.write(count, count), g.write(count)
    arguments = net.X, net.Y, net.weight, *net.layers, *net.rest[:2], net.params, matrix, gradient
    if parallel:
        with kernels.threads(2):
            kernels.gauss_newton_parallel(*arguments)
    else:
        kernels.gauss_newton(*arguments)


def _jacobian(g, say):
    net = network(g, trained=False)
    while net.params.size > 1500:
        net = network(g, trained=False)
    say(net.sizes, net.n, net.names)
    out = g.same(np.zeros((net.n, net.sizes[-1], net.params.size)), written=True)
    kernels.jacobian(net.X, *net.layers, net.params, out)


NETWORKS = {
    "forward": _forward,
    "forward_parallel": lambda g, say: _forward(g, say, True),
    "infer": _infer,
    "infer_parallel": lambda g, say: _infer(g, say, True),
    "minibatch_epoch": _minibatch,
    "minibatch_epoch_parallel": lambda g, say: _minibatch(g, say, True),
    "prepare_minibatch": _prepared,
    "online_epoch": _online,
    "prepare_online": lambda g, say: _online(g, say, True),
    "online_many": _many,
    "gauss_newton": _gauss_newton,
    "gauss_newton_parallel": lambda g, say: _gauss_newton(g, say, True),
    "jacobian": _jacobian,
}


# Attacks that must not survive: they show that the others could fail.


def _around(array):
    """An array with one more number at either end, where there is nothing."""
    address, size = array.ctypes.data - array.itemsize, array.nbytes + 2 * array.itemsize
    return np.frombuffer((ctypes.c_char * size).from_address(address), array.dtype)


def _outside_a_work_space(g, say):
    @njit
    def sum_of_too_many(n):
        return np.empty(n)[: n + 1].size + np.empty(n)[n]  # compiled code checks no index

    say("reads past the end of an array of compiled code")
    for n in range(1, 100):
        sum_of_too_many(n)


def _outside_an_array(g, say):
    say("reads outside an array")
    x = g.read(9, strided=False)  # its pages exist for as long as it does
    kernels.exp(_around(x), np.empty(11, g.dtype))


def _what_is_read(g, say):
    say("writes to what is only read")
    x = g.read(9, strided=False)
    kernels.exp(x, x)


def _a_gap(g, say):
    say("writes into a gap")
    x = np.empty(0, g.dtype)
    while x.size < 3 or x.flags.forc or abs(x.strides[0]) % (2 * x.itemsize):
        x = g.write(3, strided=True)
    np.lib.stride_tricks.as_strided(x, (2,), (x.strides[0] // 2,))[1] = 0


def _a_work_space(g, say):
    say("reads past the end of a work space of Python")
    net = network(g)
    work = minibatch.workspace(
        9, minibatch.frozen_net(*net.layers, *net.rest), np.zeros(len(net.names)), net.params, False, False, True
    )
    for side in (work.space, work.tiles, work.gradient):
        kernels.exp(_around(side), np.empty(side.size + 2, g.dtype))


PLANTED = {
    f"planted {call.__name__}": call
    for call in (_outside_a_work_space, _outside_an_array, _what_is_read, _a_gap, _a_work_space)
}


def attacks(first, strided, parallel):
    """All attacks whose names begin with `first`, as `guarded.run` takes them."""

    def of_matrices(call):
        def attack(memory, random, say):
            dtype = (np.float32, np.float64)[random.integers(2)]
            g = Attack(memory, random, dtype, strided and random.integers(2) == 1, parallel)
            most = g.one_of(9, 40, 140) if random.integers(12) else 520
            n, k, m = (g.size(most) for _ in "nkm")
            say(f"n, k, m = {n}, {k}, {m}; {dtype.__name__}, {'strided' if g.strided else 'contiguous'}")
            call(g, n, k, m)

        return attack

    def of_networks(call):
        def attack(memory, random, say):
            dtype = (np.float32, np.float64)[random.integers(2)]
            call(Attack(memory, random, dtype, False, parallel), lambda *what: say(f"{what}; {dtype.__name__}"))

        return attack

    found = [(name, of_matrices(call)) for name, call in MATRICES.items()]
    found += [(name, of_networks(call)) for name, call in (NETWORKS | (PLANTED if first else {})).items()]
    return [(name, attack) for name, attack in found if name.startswith(first)]


def main(first, examples, seed, strided, parallel):
    """Make the calls; the output, a file, holds what was done last."""

    def say(what):
        os.pwrite(1, what.ljust(400).encode(), 0)

    faulthandler.enable()
    count = guarded.run(attacks(first, strided == 1, parallel == 1), seed, examples, say)
    say(f"survived; {count} arrays of compiled code")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:6]))
