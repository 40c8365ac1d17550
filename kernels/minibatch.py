"""
Mini-batch learning: one epoch a call, with any of the optimizers (L25, L29).

The samples of a batch stand in tiles, one sample a column (see `network`). There are two ways through a batch:

- `_learn_narrow`, for few weights: groups of samples go forward and back through all layers, one group after another, and add
  up gradients, all in the first cache; then one update. Threads take parts of the batch.
- `_learn_wide`: layer after layer for the whole batch, then all weights, block after block: each block takes its gradient from all
  samples and is updated while it is in cache. Threads take units of a layer, and blocks of weights.

All cuts are fixed by the problem alone, so the sums are taken in the same order for every number of threads.
"""

import itertools

import numpy as np
from numba import prange

from ._jit import jit, python_or_compiled
from .batch import (
    TILE,
    add_gradient,
    block_shape,
    judge,
    read_samples,
    tile_errors_below,
    turn_errors,
    update_block,
    update_weights,
)
from .loss import check_decision, check_loss
from .network import (
    ERRORS,
    GROUP,
    HEIGHT,
    PACKED,
    PACKED_FROM,
    PARAMS,
    aligned,
    check_network,
    fill_ones,
    forward_rows,
    forward_tile,
    pack_weights,
    plan_tile,
    whole_vectors,
)
from .optimizer import ADAM, SGD, adam_rate

# Up to this many bytes of parameters a network is narrow; its batches are cut into at most PARTS parts. None of its layers is packed.
NARROW = PACKED_FROM
PARTS = 16
# Multiply-adds of a forward pass of a batch from which threads pay, in the narrow way and in the wide one.
PARALLEL_NARROW, PARALLEL_WIDE = 500_000, 2_000_000


def _learn_wide(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                learning_rate, beta1, beta2, epsilon, l2, plan, stride, blocks, packed, space, begin, gradient, results):  # fmt: skip
    """One epoch, layer after layer, with the work space of `workspace`. Unchecked."""
    kind, layers, size = params.dtype.type, activations.size, plan[activations.size, ERRORS]
    pack_weights(sizes, plan, params, packed)
    for tile in range((min(batch_size, order.size) + TILE - 1) // TILE):
        fill_ones(sizes, stride, plan, space, begin + tile * size)
    results[:] = 0
    for start in range(0, order.size, batch_size):
        rows = min(batch_size, order.size - start)
        step += 1
        rate = kind(adam_rate(step, learning_rate, beta1, beta2) if optimizer == ADAM else learning_rate)
        scale = (-rate if optimizer == SGD else kind(1)) / kind(rows)
        tiles, groups = (rows + TILE - 1) // TILE, (rows + GROUP - 1) // GROUP
        for group in prange(groups):
            g = np.int64(group)  # prange counts in unsigned numbers
            at = begin + g * GROUP // TILE * size + g * GROUP % TILE
            read_samples(X, Y, weight, order, start + g * GROUP, min(GROUP, rows - g * GROUP), stride, sizes, plan, space, at)
        # Forward: A(l) = f(A(l-1) W(l) + b(l)).
        for l in range(layers):
            bands = (sizes[l + 1] + HEIGHT - 1) // HEIGHT
            for task in prange(tiles * bands):
                tile, band = np.int64(task) // bands, np.int64(task) % bands
                columns = whole_vectors(min(TILE, rows - tile * TILE), params.itemsize)
                forward_rows(l, band * HEIGHT, columns, stride, sizes, activations, plan, params, packed, space, begin + tile * size)
        for group in prange(groups):
            g = np.int64(group)
            judge(min(GROUP, rows - g * GROUP), stride, sizes, activations, loss, decision, plan, space, begin + g * GROUP // TILE * size,
                   g * GROUP % TILE, results, 2 * g)  # fmt: skip
        # Backward: delta(l-1) = (delta(l) W(l)^T) * f'(z).
        for l in range(layers - 1, -1, -1):
            bands = (sizes[l] + HEIGHT - 1) // HEIGHT if l > 0 else 0
            for task in prange(tiles * (bands + 1)):
                tile, band = np.int64(task) // (bands + 1), np.int64(task) % (bands + 1)
                samples = min(TILE, rows - tile * TILE)
                if band == bands:
                    turn_errors(l, samples, stride, sizes, plan, layers, scale, space, begin + tile * size)
                else:
                    columns = whole_vectors(samples, params.itemsize)
                    tile_errors_below(l, band * HEIGHT, columns, stride, sizes, activations, plan, params, space, begin + tile * size)
        for block in prange(blocks):
            update_block(block, rows, stride, sizes, plan, params, packed, gradient, optimizer, first, second, rate, beta1, beta2, epsilon,
                          l2, space, begin)  # fmt: skip


def _learn_narrow(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                  learning_rate, beta1, beta2, epsilon, l2, plan, stride, blocks, packed, space, begin, gradient, results):  # fmt: skip
    """One epoch, group of samples after group, with the work space of `workspace`. Unchecked."""
    kind, layers, size = params.dtype.type, activations.size, plan[activations.size, ERRORS]
    parts = results.size // 2
    for part in range(parts):
        fill_ones(sizes, stride, plan, space, begin + part * size)
    results[:] = 0
    for start in range(0, order.size, batch_size):
        rows = min(batch_size, order.size - start)
        step += 1
        rate = kind(adam_rate(step, learning_rate, beta1, beta2) if optimizer == ADAM else learning_rate)
        groups = (rows + GROUP - 1) // GROUP
        used = min(parts, groups)
        for number in prange(used):
            part = np.int64(number)
            tile, own = begin + part * size, part * params.size
            begun = part * groups // used
            for g in range(begun, (part + 1) * groups // used):
                samples = min(GROUP, rows - g * GROUP)
                columns = whole_vectors(samples, params.itemsize)
                read_samples(X, Y, weight, order, start + g * GROUP, samples, stride, sizes, plan, space, tile)
                forward_tile(columns, stride, sizes, activations, plan, params, packed, space, tile)
                judge(samples, stride, sizes, activations, loss, decision, plan, space, tile, 0, results, 2 * part)
                for l in range(layers - 1, -1, -1):
                    turn_errors(l, samples, stride, sizes, plan, layers, kind(1) / kind(rows), space, tile)
                    if l > 0:
                        for i in range(0, sizes[l], HEIGHT):
                            tile_errors_below(l, i, columns, stride, sizes, activations, plan, params, space, tile)
                    add_gradient(l, 0, sizes[l] + 1, 0, sizes[l + 1], samples, stride, sizes, plan, space, tile,
                                  -1 if g == begun else sizes[l + 1], gradient, own + plan[l, PARAMS])  # fmt: skip
        for part in range(1, used):
            for i in range(params.size):
                gradient[i] += gradient[part * params.size + i]
        for l in range(layers):
            w, b, end = plan[l, PARAMS], plan[l + 1, PARAMS] - sizes[l + 1], plan[l + 1, PARAMS]
            update_weights(optimizer, b - w, params, w, gradient, first, second, rate, beta1, beta2, epsilon, l2)
            update_weights(optimizer, end - b, params, b, gradient, first, second, rate, beta1, beta2, epsilon, 0.0)


_wide, _wide_parallel = jit(_learn_wide), jit(_learn_wide, parallel=True)
_narrow, _narrow_parallel = jit(_learn_narrow), jit(_learn_narrow, parallel=True)


@python_or_compiled
def is_narrow(batch_size, params):
    """Whether batches of this size go through the network by `_learn_narrow`."""
    return batch_size > GROUP and params.nbytes <= NARROW


@python_or_compiled
def workspace(n, batch_size, sizes, optimizer, params):
    """Plan of the tiles, their columns, blocks of weights, and memory for an epoch of n samples: the last arguments of an epoch."""
    layers, largest, itemsize = sizes.size - 1, min(batch_size, n), params.itemsize
    narrow = is_narrow(largest, params)
    stride = whole_vectors(min(largest, GROUP if narrow else TILE), itemsize)
    plan = plan_tile(sizes, stride, itemsize)
    groups = (largest + GROUP - 1) // GROUP
    parts = min(groups, PARTS)
    tiles = parts if narrow else (largest + TILE - 1) // TILE
    blocks = 0
    for l in range(layers):
        height, width = block_shape(sizes[l + 1], itemsize)
        blocks += (sizes[l] + height) // height * ((sizes[l + 1] + width - 1) // width)
    packed = np.empty(plan[layers, PACKED], params.dtype)
    space = np.empty(tiles * plan[layers, ERRORS] + 16, params.dtype)
    gradient = np.empty((parts if narrow else 0 if optimizer == SGD else 1) * params.size, params.dtype)
    return plan, stride, blocks, packed, space, aligned(space), gradient, np.empty(2 * (parts if narrow else groups))


@python_or_compiled
def check_minibatch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step):
    """Raise ValueError unless the arguments of an epoch fit together."""
    check_network(sizes, activations, params)
    layers = activations.size
    check_loss(loss, activations[layers - 1])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError("minibatch_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) came as", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError(
            "minibatch_epoch: Y and weight must have a row per row of X; (X, Y, weight) came as", X.shape, Y.shape, weight.shape
        )
    if optimizer < SGD or optimizer > ADAM:
        raise ValueError("minibatch_epoch: optimizer must be one of the optimizer codes 0 to 3, got", optimizer)
    if optimizer != SGD and (first.size != params.size or (optimizer == ADAM and second.size != params.size)):
        raise ValueError("minibatch_epoch: first and second must have the size of params; (params, first, second) have", params.size,
                         first.size, second.size)  # fmt: skip
    if not (X.flags.c_contiguous and Y.flags.c_contiguous and order.flags.c_contiguous and first.flags.c_contiguous
            and second.flags.c_contiguous):  # fmt: skip
        raise ValueError("minibatch_epoch: X, Y, order, first and second must be C-contiguous")
    if step < 0:
        raise ValueError("minibatch_epoch: step counts the updates made so far, from 0; got", step)
    if batch_size < 1:
        raise ValueError("minibatch_epoch: batch_size must be at least 1, got", batch_size)
    if order.size > 0 and (order.min() < 0 or order.max() >= X.shape[0]):
        raise ValueError("minibatch_epoch: order must hold sample numbers from 0 to n-1; (smallest, largest, n) came as", order.min(),
                         order.max(), X.shape[0])  # fmt: skip


@python_or_compiled
def minibatch_epoch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                    learning_rate, beta1, beta2, epsilon, l2):  # fmt: skip
    """
    One pass of mini-batch learning: for every batch the mean gradient, then one update.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        Inputs, one sample a row.
    Y : C-contiguous array, shape (n, sizes[-1])
        Targets.
    weight : array, shape (n,)
        Factor of each sample's loss; ones for plain learning.
    order : C-contiguous int64 array, shape (m,)
        Numbers of the samples in the order in which batches take them; the last batch may be smaller.
    batch_size : int
        Samples per update, at least 1.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss, decision, optimizer : int
        Codes of the loss, of the decision that counts as right, and of the update rule.
    params : C-contiguous array, shape (parameter_count(sizes),)
        All weights and biases, updated in place (layout: `parameter_count`).
    first, second : C-contiguous arrays, shape (parameter_count(sizes),) or (0,) where the rule has no use for them
        State of the optimizer, updated in place: the velocity, or Adam's two means.
    step : int
        Updates made before this call.
    learning_rate, beta1, beta2, epsilon : float
        alpha; momentum or Adam's b1, b2 and eps.
    l2 : float
        Weight of the penalty l2/2 sum w^2 (biases are free).

    Returns
    -------
    (float, float, int)
        Mean loss of the samples, each before its batch's update; the share decided rightly; updates made so far.
        NaN, NaN where `order` is empty.

    Raises
    ------
    ValueError
        Shapes, layouts or codes that do not fit, or a sample number outside 0..n-1.

    Notes
    -----
    Lecture L25, row-wise: dW = A^T delta / B, db = sum delta / B, delta(l-1) = (delta(l) W^T) f'(z). 6 flops a weight
    and sample, 4 in the first layer. Work space is allocated once a
    call, nothing per batch.
    """
    check_minibatch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step)
    if order.size == 0:
        return np.nan, np.nan, step
    plan, stride, blocks, packed, space, begin, gradient, results = workspace(order.size, batch_size, sizes, optimizer, params)
    if is_narrow(min(batch_size, order.size), params):
        _narrow(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                learning_rate, beta1, beta2, epsilon, l2, plan, stride, blocks, packed, space, begin, gradient, results)  # fmt: skip
    else:
        _wide(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
              learning_rate, beta1, beta2, epsilon, l2, plan, stride, blocks, packed, space, begin, gradient, results)  # fmt: skip
    return results[::2].sum() / order.size, results[1::2].sum() / order.size, step + (order.size + batch_size - 1) // batch_size


def prepare_minibatch(X, Y, weight, n, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, learning_rate,
                      beta1, beta2, epsilon, l2, parallel=False):  # fmt: skip
    """
    Check once and reserve memory once for many epochs of n samples.

    Parameters
    ----------
    X, Y, weight, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, learning_rate, beta1, beta2,
    epsilon, l2
        As in `minibatch_epoch`.
    n : int
        Samples of an epoch.
    parallel : bool
        Use the threads that `threads` has set.

    Returns
    -------
    function
        ``epoch(order, step)`` runs an epoch as `minibatch_epoch` does. `order` is not checked: n numbers of samples.
    """
    check_minibatch(
        X, Y, weight, np.zeros(0, np.int64), batch_size, sizes, activations, loss, decision, params, optimizer, first, second, 0
    )
    narrow = is_narrow(min(batch_size, n), params)
    run = (_narrow_parallel if parallel else _narrow) if narrow else (_wide_parallel if parallel else _wide)
    work = workspace(n, batch_size, sizes, optimizer, params)
    results = work[-1]

    def epoch(order, step):
        run(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step, learning_rate,
            beta1, beta2, epsilon, l2, *work)  # fmt: skip
        return results[::2].sum() / n, results[1::2].sum() / n, step + (n + batch_size - 1) // batch_size

    return epoch


def minibatch_epoch_parallel(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                             learning_rate, beta1, beta2, epsilon, l2):  # fmt: skip
    """
    One pass of mini-batch learning, on the threads that `threads` has set: bit for bit what `minibatch_epoch` gives.

    Parameters
    ----------
    X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step, learning_rate, beta1,
    beta2, epsilon, l2
        As in `minibatch_epoch`. Called from Python, inside ``with threads(n)``.

    Returns
    -------
    (float, float, int)
        As `minibatch_epoch`.

    Raises
    ------
    ValueError
        As `minibatch_epoch`.

    Notes
    -----
    Threads take tiles of samples, and then blocks of weights; each writes to places of its own, so there is no race.
    """
    check_minibatch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step)
    if order.size == 0:
        return np.nan, np.nan, step
    epoch = prepare_minibatch(X, Y, weight, order.size, batch_size, sizes, activations, loss, decision, params, optimizer, first, second,
                              learning_rate, beta1, beta2, epsilon, l2, parallel=True)  # fmt: skip
    return epoch(order, step)


def parallel_pays(sizes, batch_size, itemsize=4):
    """
    Whether threads make mini-batches of a network faster than one thread.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer, inputs first.
    batch_size : int
    itemsize : int
        Bytes of a number.

    Returns
    -------
    bool
        Decided by measurement (docs/performance.md): by the multiply-adds of a batch.
    """
    weights = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))
    narrow = batch_size > GROUP and weights * itemsize <= NARROW
    return weights * batch_size >= (PARALLEL_NARROW if narrow else PARALLEL_WIDE)
