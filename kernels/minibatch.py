"""
Mini-batch learning: one epoch a call, with any of the optimizers (L25, L29).

A batch is cut into tiles of samples (see `network`). Two loops run over it:

1. over the samples: each tile goes forward and back through all layers while its activations are in cache (`_learn_tile`);
2. over the weights: each block of weights takes its gradient from all tiles and is updated while it is in cache (`_update_block`).

Narrow networks with many samples take the sums of the second loop inside the first, and are updated at the end of the batch.
Both cuts are fixed by the problem alone, so the sums are taken in the same order for every number of threads.
"""

import numpy as np
from numba import prange

from ._jit import inner, jit, python_or_compiled
from .activation import SOFTMAX, multiply_derivative
from .loss import LOG_LOSS, check_decision, check_loss, tile_loss
from .network import (
    ERRORS,
    PACKED,
    PARAMS,
    TILE,
    UNITS,
    aligned,
    check_network,
    fill_ones,
    forward_tile,
    pack_weights,
    plan_tile,
    whole_vectors,
)
from .optimizer import ADAM, SGD, adam_rate, update
from .pack import gather_transposed, pack_tiles, transpose
from .tile import ROWS, gemm

# Up to this many bytes of parameters, a batch of several tiles adds its gradient up in cache, in at most MAX_GROUPS parts.
NARROW = 1 << 16
MAX_GROUPS = 16
# Bytes of weights that are updated at a time.
BLOCK_BYTES = 1 << 15


@inner
def _learn_tile(X, Y, weight, order, first, rows, columns, sizes, activations, loss, decision, plan, params, packed, scale, space, tile,
                result, at):  # fmt: skip
    """
    Forward and back for the samples order[first : first + rows]; their errors, times `scale`, stay in the tile as rows. Unchecked.

    Adds their losses and right decisions to result[at] and result[at + 1].
    """
    layers = activations.size
    last, n_out = activations[layers - 1], sizes[layers]
    a = tile + plan[layers, UNITS]
    y = a + (n_out + 1) * columns
    w = y + n_out * columns
    delta = w + columns
    other = (delta + tile + plan[0, ERRORS]) // 2
    gather_transposed(rows, sizes[0], X, 0, order, first, space, tile, columns)
    gather_transposed(rows, n_out, Y, 0, order, first, space, y, columns)
    for s in range(columns):
        space[w + s] = weight[order[first + s]] if s < rows else 0
    # Forward: A(l) = f(A(l-1) W(l) + b(l)).
    forward_tile(columns, sizes, activations, plan, params, packed, space, tile)
    # Output layer: delta = dJ/dz.
    tile_loss(loss, last, decision, n_out, rows, columns, space, a, space, y, space, w, space, delta, result, at)
    if loss != LOG_LOSS and last != SOFTMAX:
        multiply_derivative(last, n_out * columns, space, a, 1, space, delta, 1)
    for l in range(layers - 1, -1, -1):
        n_in, n_out = sizes[l], sizes[l + 1]
        transpose(n_out, rows, space, delta, columns, scale, space, tile + plan[l, ERRORS], whole_vectors(n_out, space.itemsize))
        if l > 0:
            # delta(l-1) = (W(l) delta(l)) * f'(z)
            gemm(n_in, columns, n_out, params, plan[l, PARAMS], n_out, 1, ROWS * n_out, space, delta, columns, 1,
                 space, other, -1, space, other, columns, -space.dtype.type(np.inf))  # fmt: skip
            multiply_derivative(activations[l - 1], n_in * columns, space, tile + plan[l, UNITS], 1, space, other, 1)
            delta, other = other, delta


@inner
def _add_gradient(l, i0, i1, rows, columns, sizes, plan, space, tile, start_row, total, at):
    """Rows i0 to i1 of the gradient of a layer's [W; b] from one tile, added to `total` from `at` on (start_row = -1: a new sum)."""
    # dW_ij = sum_s a_is delta_sj; row n_in of W is b, and a_(n_in) is 1
    n_out = sizes[l + 1]
    gemm(i1 - i0, n_out, rows, space, tile + plan[l, UNITS] + i0 * columns, columns, 1, ROWS * columns,
         space, tile + plan[l, ERRORS], whole_vectors(n_out, space.itemsize), 1,
         total, at, start_row, total, at, n_out, -space.dtype.type(np.inf))  # fmt: skip


@python_or_compiled
def _block_rows(n_out, itemsize):
    """Rows of weights of a layer in a block: whole tiles of about BLOCK_BYTES."""
    return max(1, BLOCK_BYTES // (n_out * itemsize * ROWS)) * ROWS


@inner
def _update(optimizer, l, i0, i1, sizes, plan, params, gradient, first, second, rate, beta1, beta2, epsilon, l2):
    """One update of rows i0 to i1 of a layer's [W; b]; the penalty is on W alone."""
    kind, n_in, n_out = params.dtype.type, sizes[l], sizes[l + 1]
    for i, stop, decay in ((i0, min(i1, n_in), kind(l2)), (max(i0, n_in), i1, kind(0))):
        if stop > i:
            at = plan[l, PARAMS] + i * n_out
            update(optimizer, (stop - i) * n_out, params, at, gradient, at, first, min(at, first.size), second, min(at, second.size),
                   rate, kind(beta1), kind(beta2), kind(epsilon), decay)  # fmt: skip


@inner
def _update_block(block, rows, columns, sizes, plan, params, packed, gradient, optimizer, first, second, rate, beta1, beta2, epsilon, l2,
                  space, begin):  # fmt: skip
    """Gradient and update of one block of weights from all tiles of a batch of `rows` samples."""
    l = 0
    n_in, n_out = sizes[0], sizes[1]
    height = _block_rows(n_out, params.itemsize)
    while block * height > n_in:
        block -= (n_in + height) // height  # blocks of the n_in + 1 rows of layer l
        l += 1
        n_in, n_out = sizes[l], sizes[l + 1]
        height = _block_rows(n_out, params.itemsize)
    i0, i1 = block * height, min((block + 1) * height, n_in + 1)
    at = plan[l, PARAMS] + i0 * n_out
    # Plain descent adds -alpha/B delta to the weights as they stand; the others need the gradient first.
    plain = optimizer == SGD
    if plain and l2 != 0:
        keep = params.dtype.type(1) - rate * params.dtype.type(l2)
        for i in range(at, at + (min(i1, n_in) - i0) * n_out):
            params[i] *= keep
    size = plan[sizes.size - 1, ERRORS]
    for start in range(0, rows, TILE):
        add = plain or start > 0
        _add_gradient(l, i0, i1, min(TILE, rows - start), columns, sizes, plan, space, begin + start // TILE * size,
                      n_out if add else -1, params if plain else gradient, at)  # fmt: skip
    if not plain:
        _update(optimizer, l, i0, i1, sizes, plan, params, gradient, first, second, rate, beta1, beta2, epsilon, l2)
    if plan[l + 1, PACKED] > plan[l, PACKED]:
        pack_tiles(n_out, i1 - i0, params, at, 1, n_out, packed, plan[l, PACKED] + i0 * ROWS, ROWS * (n_in + 1))


def _learn(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step, learning_rate,
           beta1, beta2, epsilon, l2, plan, blocks, packed, space, begin, gradient, results):  # fmt: skip
    """One epoch, with the work space of `workspace`; losses and right decisions of the tiles in `results`. Unchecked."""
    kind, layers = params.dtype.type, activations.size
    size, groups = plan[layers, ERRORS], results.size // 2
    columns = (plan[1, UNITS] - plan[0, UNITS]) // (sizes[0] + 1)
    narrow = gradient.size > params.size or (gradient.size > 0 and optimizer == SGD)
    pack_weights(sizes, plan, params, packed)
    for group in range(groups):
        fill_ones(sizes, columns, plan, space, begin + group * size)
        results[2 * group] = results[2 * group + 1] = 0
    for start in range(0, order.size, batch_size):
        rows = min(batch_size, order.size - start)
        step += 1
        rate = kind(adam_rate(step, learning_rate, beta1, beta2) if optimizer == ADAM else learning_rate)
        scale = (-rate if optimizer == SGD and not narrow else kind(1)) / kind(rows)
        count = (rows + TILE - 1) // TILE
        if narrow:
            parts = min(groups, count)
            for group in prange(parts):
                own = begin + group * size
                top = group * params.size
                begun = group * count // parts
                for tile in range(begun, (group + 1) * count // parts):
                    height = min(TILE, rows - tile * TILE)
                    _learn_tile(X, Y, weight, order, start + tile * TILE, height, columns, sizes, activations, loss, decision, plan, params,
                                packed, scale, space, own, results, 2 * group)  # fmt: skip
                    for l in range(layers):
                        _add_gradient(l, 0, sizes[l] + 1, height, columns, sizes, plan, space, own, -1 if tile == begun else sizes[l + 1],
                                      gradient, top + plan[l, PARAMS])  # fmt: skip
            for group in range(1, parts):
                for i in range(params.size):
                    gradient[i] += gradient[group * params.size + i]
            for l in range(layers):
                _update(optimizer, l, 0, sizes[l] + 1, sizes, plan, params, gradient, first, second, rate, beta1, beta2, epsilon, l2)
        else:
            for tile in prange(count):
                _learn_tile(X, Y, weight, order, start + tile * TILE, min(TILE, rows - tile * TILE), columns, sizes, activations, loss,
                            decision, plan, params, packed, scale, space, begin + tile * size, results, 2 * tile)  # fmt: skip
            for block in prange(blocks):
                _update_block(block, rows, columns, sizes, plan, params, packed, gradient, optimizer, first, second, rate, beta1, beta2,
                              epsilon, l2, space, begin)  # fmt: skip



_learn_serial = jit(_learn)
_learn_parallel = jit(_learn, parallel=True)


@python_or_compiled
def workspace(n, batch_size, sizes, optimizer, params):
    """Plan of the tiles, number of blocks of weights, and memory for an epoch of n samples: the last arguments of `_learn`."""
    layers, largest = sizes.size - 1, min(batch_size, n)
    columns = whole_vectors(min(largest, TILE), params.itemsize)
    plan = plan_tile(sizes, columns, params.itemsize)
    tiles = (largest + TILE - 1) // TILE
    narrow = tiles > 1 and params.nbytes <= NARROW
    groups = min(tiles, MAX_GROUPS) if narrow else tiles
    blocks = 0
    for l in range(layers):
        height = _block_rows(sizes[l + 1], params.itemsize)
        blocks += (sizes[l] + height) // height
    gradients = groups if narrow else 0 if optimizer == SGD else 1
    packed = np.empty(plan[layers, PACKED], params.dtype)
    space = np.empty(groups * plan[layers, ERRORS] + 16, params.dtype)
    return plan, blocks, packed, space, aligned(space), np.empty(gradients * params.size, params.dtype), np.empty(2 * groups)


@python_or_compiled
def check_minibatch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second):
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
    order : int64 array, shape (m,)
        Numbers of the samples in the order in which batches take them; the last batch may be smaller.
    batch_size : int
        Samples per update, at least 1.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss, decision, optimizer : int
        Codes of the loss, of the decision that counts as right, and of the update rule.
    params : array, shape (parameter_count(sizes),)
        All weights and biases, updated in place (layout: `parameter_count`).
    first, second : arrays, shape (parameter_count(sizes),) or (0,) where the rule has no use for them
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
        Shapes or codes that do not fit, or a sample number outside 0..n-1.

    Notes
    -----
    Lecture L25, row-wise: dW = A^T delta / B, db = sum delta / B, delta(l-1) = (delta(l) W^T) f'(z). 6 flops a weight
    and sample, 4 in the first layer. Work space is allocated once a
    call, nothing per batch.
    """
    check_minibatch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second)
    if order.size == 0:
        return np.nan, np.nan, step
    plan, blocks, packed, space, begin, gradient, results = workspace(order.size, batch_size, sizes, optimizer, params)
    _learn_serial(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                  learning_rate, beta1, beta2, epsilon, l2, plan, blocks, packed, space, begin, gradient, results)  # fmt: skip
    return results[::2].sum() / order.size, results[1::2].sum() / order.size, step + (order.size + batch_size - 1) // batch_size


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
    check_minibatch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second)
    if order.size == 0:
        return np.nan, np.nan, step
    plan, blocks, packed, space, begin, gradient, results = workspace(order.size, batch_size, sizes, optimizer, params)
    _learn_parallel(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
                    learning_rate, beta1, beta2, epsilon, l2, plan, blocks, packed, space, begin, gradient, results)  # fmt: skip
    return results[::2].sum() / order.size, results[1::2].sum() / order.size, step + (order.size + batch_size - 1) // batch_size
