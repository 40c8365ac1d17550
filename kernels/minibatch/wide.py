"""
The wide way through a mini-batch, for large networks (L25, L27, L28, L29).

Layer after layer for the whole batch, then all weights, block after block: each block takes its gradient from all samples and is updated
while it is in cache. Threads take units of a layer, and blocks of weights; each writes to places of its own. All cuts are fixed by the
problem alone, so the sums are taken in the same order for every number of threads.
"""

import numpy as np
from numba import prange

from ..compiler.jit import njit
from ..compiler.memory import whole_vectors
from ..layer.optimizer import sum_of_squares
from ..network.forward import ERRORS, GROUP, HEIGHT, fill_ones, forward_rows, pack_weights
from ..product.sparse import csr_band
from .steps import (
    TILE,
    block_gradient,
    block_length,
    block_update,
    blocks_of,
    drop_errors,
    drop_outputs,
    finite,
    is_plain,
    judge,
    outputs_of_sparse,
    penalty,
    read_samples,
    sparse_gradient,
    tile_errors_below,
    turn_errors,
)


@njit(parallel=True)
def learn_wide(samples, csr, dropout, clip, net, params, rule, work, order, batch_size, step, rates, paces, decays, l2):
    """One pass, layer after layer; what `update` takes for each batch, and the weight of its penalty. Unchecked."""
    X, Y, weight = samples
    sizes, activations, loss, parameter, decision = net
    optimizer, first, second, beta1, beta2, epsilon, seed = rule
    plan, stride, blocks, packed, space, begin, gradient, lengths, results = work
    kind, layers, size = params.dtype.type, activations.size, plan[activations.size, ERRORS]
    # Plain descent adds -alpha/B delta to the weights as they stand; the others need the gradient first.
    plain = is_plain(optimizer, batch_size)
    # Numba leaves out of the compiled code what follows `is not None` where an argument is None.
    if clip is not None:
        plain = False
    # Where samples are sparse, the first layer and the first blocks of weights go a way of their own.
    begun, done = 0, 0
    if csr is not None:
        begun, done, plain = 1, blocks_of(sizes[0], sizes[1], params.itemsize), False
    pack_weights(sizes, plan, params, packed)
    for tile in range((min(batch_size, order.size) + TILE - 1) // TILE):
        fill_ones(sizes, stride, plan, space, begin + tile * size)
    results[:] = 0
    for number in range((order.size + batch_size - 1) // batch_size):
        start = number * batch_size
        rows = min(batch_size, order.size - start)
        step += 1
        rate, pace, decay = rates[number], paces[number], decays[number]
        scale = kind((-rate if plain else 1.0) / rows)
        if l2[number] != 0:
            results[-2] += rows * 0.5 * l2[number] * penalty(sizes, plan, params)
        tiles, groups = (rows + TILE - 1) // TILE, (rows + GROUP - 1) // GROUP
        for group in prange(groups):
            g = np.int64(group)  # prange counts in unsigned numbers
            at = begin + g * GROUP // TILE * size + g * GROUP % TILE
            count = min(GROUP, rows - g * GROUP)
            read_samples(X, Y, weight, order, start + g * GROUP, count, stride, sizes, plan, space, at)
            if csr is not None:
                outputs_of_sparse(
                    csr,
                    order,
                    start + g * GROUP,
                    count,
                    g * GROUP % TILE,
                    stride,
                    sizes,
                    activations,
                    plan,
                    params,
                    space,
                    begin + g * GROUP // TILE * size,
                )
                if dropout is not None:
                    drop_outputs(
                        0,
                        0,
                        sizes[1],
                        whole_vectors(count, params.itemsize),
                        stride,
                        activations,
                        plan,
                        dropout[0],
                        seed,
                        step,
                        g * GROUP,
                        space,
                        at,
                    )
        # Forward: A(l) = f(A(l-1) W(l) + b(l)).
        for l in range(begun, layers):
            bands = (sizes[l + 1] + HEIGHT - 1) // HEIGHT
            for task in prange(tiles * bands):
                tile, i = np.int64(task) // bands, np.int64(task) % bands
                columns = whole_vectors(min(TILE, rows - tile * TILE), params.itemsize)
                at = begin + tile * size
                forward_rows(l, i * HEIGHT, columns, stride, sizes, activations, plan, params, packed, space, at)
                if dropout is not None and l + 1 < layers:
                    units = min(HEIGHT, sizes[l + 1] - i * HEIGHT)
                    drop_outputs(
                        l,
                        i * HEIGHT,
                        units,
                        columns,
                        stride,
                        activations,
                        plan,
                        dropout[l],
                        seed,
                        step,
                        tile * TILE,
                        space,
                        at,
                    )
        for group in prange(groups):
            g = np.int64(group)
            judge(
                min(GROUP, rows - g * GROUP),
                stride,
                sizes,
                activations,
                loss,
                parameter,
                decision,
                plan,
                space,
                begin + g * GROUP // TILE * size,
                g * GROUP % TILE,
                results,
                2 * g,
            )
        if not finite(results, groups):
            results[-1] = 1 + number
            break
        # Backward: delta(l-1) = (delta(l) W(l)^T) * f'(z).
        for l in range(layers - 1, -1, -1):
            bands = (sizes[l] + HEIGHT - 1) // HEIGHT if l > 0 else 0
            for task in prange(tiles * (bands + 1)):
                tile, i = np.int64(task) // (bands + 1), np.int64(task) % (bands + 1)
                count = min(TILE, rows - tile * TILE)
                if i == bands:
                    turn_errors(l, count, stride, sizes, plan, scale, space, begin + tile * size)
                else:
                    columns = whole_vectors(count, params.itemsize)
                    at = begin + tile * size
                    tile_errors_below(l, i * HEIGHT, columns, stride, sizes, activations, plan, params, space, at)
                    if dropout is not None:
                        drop_errors(
                            l - 1,
                            i * HEIGHT,
                            columns,
                            stride,
                            sizes,
                            plan,
                            dropout[l - 1],
                            seed,
                            step,
                            tile * TILE,
                            space,
                            at,
                        )
        # Update: every block takes its gradient from all samples and is updated while it is in cache, if its length is not asked for.
        if csr is not None:
            band = csr_band(params.itemsize)
            for task in prange((sizes[1] + band - 1) // band):
                j = np.int64(task) * band
                sparse_gradient(
                    csr, order, start, rows, j, min(j + band, sizes[1]), sizes, plan, gradient, space, begin
                )
        shrink = kind(1 - rate * decay)
        for task in prange(blocks):
            block = np.int64(task)
            if block >= done:
                block_gradient(block, rows, stride, sizes, plan, params, gradient, plain, shrink, space, begin)
            if clip is not None:
                lengths[block] = np.sqrt(block_length(block, sizes, plan, gradient))
            else:
                block_update(
                    block,
                    sizes,
                    plan,
                    params,
                    packed,
                    gradient,
                    kind(1),
                    plain,
                    optimizer,
                    first,
                    second,
                    rate,
                    pace,
                    beta1,
                    beta2,
                    epsilon,
                    decay,
                )
        if clip is not None:
            length = np.sqrt(sum_of_squares(blocks, lengths, 0))
            factor = kind(clip / length if length > clip else 1.0)
            for block in range(blocks):  # bound by memory: one thread does
                block_update(
                    block,
                    sizes,
                    plan,
                    params,
                    packed,
                    gradient,
                    factor,
                    plain,
                    optimizer,
                    first,
                    second,
                    rate,
                    pace,
                    beta1,
                    beta2,
                    epsilon,
                    decay,
                )


learn_wide_serial = learn_wide.serial
