"""Many tiny networks of equal shape, learning side by side: epochs of per-sample learning, each in the order of its own stream."""

import numpy as np

from ._jit import jit, python_or_compiled
from .evaluation import check_decision, check_loss
from .lanes import ROW_BYTES, learn_lanes
from .lean import LEAN, is_lean
from .network import aligned, check_network
from .random import LENGTH
from .random_lanes import shuffle_lanes


def _many(X, Y, weight, sizes, activations, loss, decision, params, rates, l2, streams, shuffled, losses, corrects, failed, order, space, before, active, states):  # fmt: skip
    kind, n, layers, zero = params.dtype.type, X.shape[0], activations.size, np.int64(0)
    lanes = order.shape[1]
    for first in range(0, params.shape[0], lanes):
        count = min(lanes, params.shape[0] - first)
        space[:] = 0
        W, rate, keep, units = space[: before.shape[0]], space[before.shape[0]], space[before.shape[0] + 1], space[before.shape[0] + 2 :]
        active[:] = 0
        for lane in range(count):
            k = first + lane
            rate[lane] = kind(rates[k])
            keep[lane] = kind(1) - rate[lane] * kind(l2[k])
            failed[k] = -1
            active[lane] = 1
            for i in range(LENGTH):
                states[i, lane] = streams[k, i]
            for i in range(params.shape[1]):
                W[i, lane] = params[k, i]
        for s in range(n):
            order[s] = s
        running = count
        for epoch in range(losses.shape[0]):
            if shuffled:
                shuffle_lanes(n, lanes, active, zero, states, zero, order, zero)
            for i in range(W.shape[0]):
                for lane in range(lanes):
                    before[i, lane] = W[i, lane]
            found = learn_lanes(count, n, X, zero, Y, zero, weight, zero, order, zero, sizes, zero, activations, zero, layers, sizes.sum(), loss,
                        decision, rate, zero, keep, zero, W, zero, units, zero, losses, epoch * losses.shape[1] + first, corrects,
                        epoch * losses.shape[1] + first)  # fmt: skip
            if not np.isfinite(found):
                for lane in range(count):
                    k = first + lane
                    if failed[k] < 0 and not np.isfinite(losses[epoch, k]):
                        failed[k] = epoch
                        active[lane] = 0
                        running -= 1
                        for i in range(params.shape[1]):
                            params[k, i] = before[i, lane]
                if running == 0:
                    break
        for lane in range(count):
            k = first + lane
            for i in range(LENGTH):
                streams[k, i] = states[i, lane]
            if failed[k] < 0:
                for i in range(params.shape[1]):
                    params[k, i] = W[i, lane]
            else:
                for epoch in range(failed[k], losses.shape[0]):
                    losses[epoch, k] = np.nan
                    corrects[epoch, k] = np.nan

_many_epochs = jit(_many)


def aligned_rows(rows, lanes, dtype):
    flat = np.empty(rows * lanes + 64, dtype)
    begin = aligned(flat)
    return flat[begin : begin + rows * lanes].reshape(rows, lanes)


def online_many(X, Y, weight, sizes, activations, loss, decision, params, rates, l2, streams, shuffled, losses, corrects, failed):
    """TODO"""
    lanes = ROW_BYTES // params.itemsize
    order = aligned_rows(X.shape[0], lanes, np.int64)
    before = aligned_rows(params.shape[1], lanes, params.dtype)
    space = aligned_rows(params.shape[1] + 2 + 3*sizes.sum() + LEAN, lanes, params.dtype)
    _many_epochs(X, Y, weight, sizes, activations, loss, decision, params, rates, l2, streams, shuffled, losses, corrects, failed, order, space, before, np.empty(lanes, np.int64), aligned_rows(LENGTH, lanes, np.int64))
