"""Many tiny networks of equal shape learn the same samples, one at a time, each network in its own orders."""

from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import frozen, inner, njit, python_or_compiled
from ..compiler.memory import aligned
from ..layer.evaluation import check_decision, check_loss
from ..network.arguments import Net, Samples
from ..network.forward import check_network
from ..network.random import LENGTH
from ..network.random_lanes import shuffle_lanes
from .tiny import TINY_UNITS, is_tiny
from .tiny_lanes import ROW_BYTES, learn_lanes


class Networks(NamedTuple):
    """What differs between the networks: a row, or an element, of each."""

    params: Any
    learning_rates: Any
    l2: Any
    streams: Any


class Found(NamedTuple):
    """What became of them: a row per epoch, a column per network; and the epoch in which each failed, or -1."""

    losses: Any
    corrects: Any
    failed: Any


class LanesMemory(NamedTuple):
    """
    Memory for a group of networks, one in each lane: rows of a number per network.

    Parameters, and those before an epoch; rates, and what an update leaves of a weight; units; streams, and whether
    they are drawn from; orders of n samples.
    """

    W: Any
    before: Any
    pace: Any
    units: Any
    states: Any
    order: Any


@python_or_compiled
def check_many(samples, net, networks, found):
    """Raise ValueError unless the arguments of `online_many` fit together."""
    X, Y, weight = samples
    sizes, activations, loss, loss_parameter, decision = net
    params, learning_rates, l2, streams = networks
    losses, corrects, failed = found
    count = params.shape[0]
    check_network(sizes, activations, params[0] if count > 0 else np.empty(params.shape[1], params.dtype))
    if not is_tiny(sizes, activations, loss):
        raise ValueError(
            "online_many: sizes up to 16 inputs and 4 units a layer, activations 0 to 3, a loss 0 or 1; (inputs, loss) "
            "came as",
            sizes[0],
            loss,
        )
    check_loss(loss, loss_parameter, activations[activations.size - 1], sizes[sizes.size - 1])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[sizes.size - 1]:
        raise ValueError("online_many: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) are", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError(
            "online_many: Y and weight must have a row per row of X; (X, Y, weight) are", X.shape, Y.shape, weight.shape
        )
    if learning_rates.size != count or l2.size != count or failed.size != count:
        raise ValueError(
            "online_many: learning_rates, l2 and failed must have an element per row of params; (params, "
            "learning_rates, l2, failed) are",
            params.shape,
            learning_rates.shape,
            l2.shape,
            failed.shape,
        )
    # compiled code compares dtypes by == alone
    if not streams.dtype == np.dtype("uint64") or streams.shape != (count, LENGTH):
        raise ValueError(
            "online_many: streams must be uint64, a row of 6 elements per row of params; (params, streams) are",
            params.shape,
            streams.shape,
        )
    if losses.shape[1] != count or losses.shape != corrects.shape:
        raise ValueError(
            "online_many: losses and corrects must have a row per epoch and a column per row of params; (params, "
            "losses, corrects) are",
            params.shape,
            losses.shape,
            corrects.shape,
        )
    for contiguous in (
        X.flags.c_contiguous,
        Y.flags.c_contiguous,
        weight.flags.c_contiguous,
        losses.flags.c_contiguous,
        corrects.flags.c_contiguous,
    ):
        if not contiguous:
            raise ValueError("online_many: X, Y, weight, losses and corrects must be C-contiguous")


@python_or_compiled
def _rows(count, lanes, dtype):
    """An array of `count` rows of a number per lane, which begins a line of the cache."""
    flat = np.empty(count * lanes + 16, dtype)
    begin = aligned(flat)
    return flat[begin : begin + count * lanes].reshape(count, lanes)


@python_or_compiled
def lanes_space(n, sizes, params):
    """Memory for `_many_epochs` on n samples."""
    lanes, size, dtype = ROW_BYTES // params.itemsize, params.shape[1], params.dtype
    return LanesMemory(
        _rows(size, lanes, dtype),
        _rows(size, lanes, dtype),
        _rows(2, lanes, dtype),
        _rows(3 * sizes.sum() + TINY_UNITS, lanes, dtype),
        _rows(LENGTH + 1, lanes, np.int64),
        _rows(n, lanes, np.int64),
    )


@inner
def _begin_lanes(networks, first, count, memory, failed):
    """Put `count` networks, from `first` on, into the lanes; the others are zeros."""
    params, rates, l2, streams = networks
    W, _, pace, _, states, order = memory
    kind, rate, keep, active = params.dtype.type, pace[0], pace[1], states[LENGTH]
    W[:], pace[:], states[:] = 0, 0, 0
    for s in range(order.shape[0]):
        order[s] = s
    for lane in range(count):
        k = first + lane
        rate[lane] = kind(rates[k])
        keep[lane] = kind(1) - rate[lane] * kind(l2[k])
        failed[k], active[lane] = -1, 1
        for i in range(params.shape[1]):
            W[i, lane] = params[k, i]
        for i in range(LENGTH):
            states[i, lane] = streams[k, i]


@inner
def _learn_lanes(samples, net, memory, networks, found, at):
    """One epoch of so many networks, with results from element `at` on; returns the sum of the losses of all lanes."""
    X, Y, weight = samples
    sizes, activations, loss, _, decision = net
    W, before, pace, units, _, order = memory
    layers, n_units, zero = activations.size, sizes.sum(), np.int64(0)
    return learn_lanes(
        (networks, X.shape[0]),
        (X, zero, Y, zero, weight, zero, order, zero),
        (sizes, zero, activations, zero, layers, n_units, W.shape[0], loss, decision),
        (pace, zero, pace, W.shape[1]),
        (W, zero, before, zero, units, zero),
        (found.losses, at, found.corrects, at),
    )


@njit
def _many_epochs(samples, net, networks, shuffled, found, memory):
    """All epochs, group after group of networks, one in each lane. Unchecked."""
    params, streams = networks.params, networks.streams
    losses, corrects, failed = found
    W, before, states, order = memory.W, memory.before, memory.states, memory.order
    every, size, epochs, lanes = params.shape[0], params.shape[1], losses.shape[0], W.shape[1]
    active, zero = states[LENGTH], np.int64(0)
    for first in range(0, every, lanes):
        count = min(lanes, every - first)
        _begin_lanes(networks, first, count, memory, failed)
        left = count
        for epoch in range(epochs):
            if shuffled:
                shuffle_lanes(order.shape[0], lanes, active, zero, states, zero, order, zero)
            if np.isfinite(_learn_lanes(samples, net, memory, count, found, epoch * every + first)):
                continue
            for k in range(first, first + count):
                if failed[k] < 0 and not np.isfinite(losses[epoch, k]):
                    failed[k], active[k - first] = epoch, 0
                    left -= 1
                    for i in range(size):
                        params[k, i] = before[i, k - first]
            if left == 0:
                break
        for k in range(first, first + count):
            for i in range(LENGTH):
                streams[k, i] = states[i, k - first]
            if failed[k] < 0:
                for i in range(size):
                    params[k, i] = W[i, k - first]
            else:
                losses[failed[k] :, k] = np.nan
                corrects[failed[k] :, k] = np.nan


@python_or_compiled
def online_many(  # noqa: PLR0913
    X,
    Y,
    weight,
    sizes,
    activations,
    loss,
    decision,
    params,
    learning_rates,
    l2,
    streams,
    shuffled,
    losses,
    corrects,
    failed,
):
    """
    Epochs of per-sample learning for many tiny networks of equal shape, side by side in the lanes of vectors.

    Every network learns as if it were alone: its weights, losses and decisions have the bits that `prepare_online`
    gives. Tiny: up to 16 inputs, layers of up to 4 units with identity, logistic, tanh or relu, and squared error or
    log-loss.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        Inputs, one sample a row, the same for all networks.
    Y : C-contiguous array, shape (n, sizes[-1])
        Targets.
    weight : C-contiguous array, shape (n,)
        Factor of each sample's loss; ones for plain learning.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss, decision : int
        Codes of the loss and of the decision that counts as right.
    params : array, shape (networks, parameter_count(sizes))
        A row of weights and biases per network, updated in place (layout: `parameter_count`).
    learning_rates : array, shape (networks,)
        alpha of each network.
    l2 : array, shape (networks,)
        Every step also shrinks the weights (not the biases) of network k by the factor 1 - alpha_k l2_k.
    streams : uint64 array, shape (networks, 6)
        State of each network's stream of random numbers, begun by ``fastbp.kernels.network.random.seed_child``; updated
        in place.
    shuffled : bool
        Whether each epoch takes the samples in an order drawn from the network's stream, that of
        ``numpy.random.Generator.permutation(n)``; else from first to last.
    losses, corrects : float64 arrays, C-contiguous, shape (epochs, networks)
        Overwritten with each epoch's mean loss, each sample at its turn before its update, and the share decided
        rightly.
    failed : int64 array, shape (networks,)
        Overwritten with the number (from 0) of the first epoch whose loss, or a weight after it, was not finite; -1 if
        there was none. Such a network keeps the weights from before that epoch and stops; from there on its losses and
        shares are NaN.

    Raises
    ------
    ValueError
        Shapes or codes that do not fit, or networks that are not tiny.

    Notes
    -----
    Per sample and network, lecture L27, L28: delta = f'(z) dJ/da at the output, delta_i = f'(z_i) sum_j delta_j w_ij
    below (weights from before the update), w_ij <- w_ij - alpha a_i delta_j, b_j <- b_j - alpha delta_j. Inside, a row
    holds one number of 2 ``VECTOR_BYTES`` / itemsize networks, and a group of so many goes through all epochs before
    the next: threads may each take a range of the networks. Work space for one group is allocated once a call: its
    orders are n int64 per network. The one bit that may differ from `prepare_online` is the sign of a weight that is 0
    where alpha l2 > 1.
    """
    X, Y, weight, sizes, activations = frozen(X), frozen(Y), frozen(weight), frozen(sizes), frozen(activations)
    samples, net = Samples(X, Y, weight), Net(sizes, activations, loss, weight[:0], decision)
    networks, found = Networks(params, frozen(learning_rates), frozen(l2), streams), Found(losses, corrects, failed)
    check_many(samples, net, networks, found)
    _many_epochs(samples, net, networks, shuffled, found, lanes_space(X.shape[0], sizes, params))
