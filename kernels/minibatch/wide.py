"""
The wide way through a mini-batch, for large networks (L25, L27, L28, L29).

Layer after layer for the whole batch, then all weights, block after block: each block takes its gradient from all
samples and is updated while it is in cache. Threads take units of a layer, and blocks of weights. All cuts are fixed by
the problem alone, so the sums are taken in the same order for every number of threads.
"""

import numpy as np
from numba import prange

from ..compiler.jit import njit
from ..compiler.memory import borrowed
from ..layer.dropout import layer_key
from ..layer.optimizer import step_rates
from ..network.arguments import Batch, Microbatch, Rule, Step
from ..network.layout import ERROR_ROWS_AT, GROUP, PARTS, UNITS, fill_ones
from ..product.piecewise import piece_nodes
from ..product.sparse import column_band
from .steps import (
    BAND,
    COPY,
    MICROBATCH,
    band_outputs,
    block_gradient,
    block_of,
    block_squares,
    block_update,
    blocks_of,
    drop_errors,
    drop_outputs,
    finite,
    first_block,
    is_plain,
    output_errors,
    outputs_of_pieces,
    outputs_of_sparse,
    part_of,
    penalty,
    pieces_gradient,
    read_samples,
    sparse_gradient,
    turn_errors,
    unit_errors,
)


@njit(parallel=True)
def learn_wide(samples, csr, pieces, dropout, clip, training, order, updates):
    """One pass, layer after layer. Unchecked."""
    (net, params, rule, work), (batch_size, made, rates, penalties) = training, updates
    objective = net.loss, net.loss_parameter, net.decision
    rule = Rule(*rule)  # Numba's threads take a named tuple that is an argument, or is made here
    layout, stride, blocks, tiles, space, begin, gradient, squares, results = work
    layout, space = borrowed(layout), borrowed(space)
    kind, layers, itemsize = params.dtype.type, layout.shape[0] - 1, params.itemsize
    # Plain descent adds -alpha/B delta to the weights themselves; the others need the gradient first.
    plain = is_plain(rule.optimizer, batch_size)
    # Numba leaves out of the compiled code what follows `is not None` where an argument is None.
    if clip is not None:
        plain = False
    # Where samples are sparse, or in pieces, the first layer and the first blocks of weights go a way of their own.
    begun, done = 0, 0
    if csr is not None or pieces is not None:
        begun, done, plain = 1, blocks_of(layout[0, UNITS], layout[1, UNITS], itemsize), False
    for m in range((min(batch_size, order.size) + MICROBATCH - 1) // MICROBATCH):
        fill_ones(layout, stride, space, begin + m * layout[layers, ERROR_ROWS_AT])
    results[:] = 0
    for number in range((order.size + batch_size - 1) // batch_size):
        start = number * batch_size
        rows, update = min(batch_size, order.size - start), made + number + 1
        rate, pace, decay = step_rates(rule.optimizer, update, rates[number], penalties[number], rule.beta1, rule.beta2)
        step, scale = Step(rate, pace, decay), kind((-rate if plain else 1.0) / rows)
        if penalties[number] != 0:
            results[-2] += rows * 0.5 * penalties[number] * penalty(layout, params)
        batch, whole = Batch(order, start, rows), Microbatch(layout, stride, space, begin, 0, rows)
        microbatches, groups = (rows + MICROBATCH - 1) // MICROBATCH, (rows + GROUP - 1) // GROUP
        if pieces is not None:
            width, numbers = column_band(itemsize), (pieces.columns.shape[0], layout[1, UNITS])
            for task in prange((layout[1, UNITS] + width - 1) // width):  # no race: each has columns of its own
                j = np.int64(task) * width
                band = j, min(j + width, layout[1, UNITS])
                piece_nodes(numbers, band, pieces.columns, 0, pieces.heights, 0, params, 0, pieces.nodes, 0)
        for group in prange(groups):  # no race: each writes the columns of its own samples
            micro = part_of(whole, np.int64(group) * GROUP, np.int64(GROUP))  # prange counts in unsigned numbers
            read_samples(samples, batch, micro)
            if csr is not None:
                outputs_of_sparse(csr, batch, micro, params)
            if pieces is not None:
                outputs_of_pieces(pieces, batch, micro, params)
            if dropout is not None and (csr is not None or pieces is not None):
                drop_outputs(micro, 0, 0, layout[1, UNITS], dropout[0], layer_key(rule.seed, update, 0))
        # A(l) = f(A(l-1) W(l) + b(l))
        for l in range(begun, layers):
            bands = (layout[l + 1, UNITS] + BAND - 1) // BAND
            tasks = microbatches * bands
            parts = min(tasks, tiles.size // COPY)
            # no race: each has tiles of its own, and each task writes units of its own, for samples of its own
            for taken in prange(parts):
                part = np.int64(taken)
                for task in range(part * tasks // parts, (part + 1) * tasks // parts):
                    m, i = task // bands, task % bands * BAND
                    micro = part_of(whole, m * MICROBATCH, np.int64(MICROBATCH))
                    band_outputs(micro, l, i, params, tiles, part * COPY)
                    if dropout is not None and l + 1 < layers:
                        units = min(BAND, layout[l + 1, UNITS] - i)
                        drop_outputs(micro, l, i, units, dropout[l], layer_key(rule.seed, update, l))
        # delta(L) = dJ/dZ(L)
        for group in prange(groups):  # no race: each writes the columns of its own samples, and results of its own
            g = np.int64(group)
            output_errors(part_of(whole, g * GROUP, np.int64(GROUP)), objective, results, 2 * g)
        if not finite(results, groups):
            results[-1] = 1 + number
            break
        # delta(l-1) = (delta(l) W(l)^T) f'(Z(l-1))
        for l in range(layers - 1, -1, -1):
            bands = (layout[l, UNITS] + BAND - 1) // BAND if l > 0 else 0
            # No race: each writes errors of units of its own below the layer, or, first, those of the layer as rows: it
            # takes least, and of an odd number of tasks the first threads get one more.
            for task in prange(microbatches * (bands + 1)):
                m, band = np.int64(task) // (bands + 1), np.int64(task) % (bands + 1) - 1
                micro = part_of(whole, m * MICROBATCH, np.int64(MICROBATCH))
                if band < 0:
                    turn_errors(micro, l, scale)
                else:
                    unit_errors(micro, l, band * BAND, params)
                    if dropout is not None:
                        key = layer_key(rule.seed, update, l - 1)
                        drop_errors(micro, l - 1, band * BAND, dropout[l - 1], key)
        # dW(l) = A(l-1)^T delta(l) / B, and w <- w - alpha dW, or as the rule says: every block is updated while it is
        # in cache, if its length is not asked for.
        if csr is not None:
            width = column_band(itemsize)
            for task in prange((layout[1, UNITS] + width - 1) // width):  # no race: each has columns of its own
                j = np.int64(task) * width
                sparse_gradient(csr, batch, whole, j, min(j + width, layout[1, UNITS]), gradient)
        if pieces is not None:
            width = column_band(itemsize)
            for task in prange((layout[1, UNITS] + width - 1) // width):  # no race: each has columns of its own
                j = np.int64(task) * width
                pieces_gradient(pieces, batch, whole, j, min(j + width, layout[1, UNITS]), gradient)
        shrink = kind(1 - rate * decay)
        parts = min(PARTS, blocks)
        for taken in prange(parts):  # no race: each writes blocks of its own
            part = np.int64(taken)
            for task in range(
                first_block(layout, part, parts, itemsize), first_block(layout, part + 1, parts, itemsize)
            ):
                block = block_of(layout, task, itemsize)
                if task >= done:
                    block_gradient(whole, block, params, gradient, plain, shrink)
                if clip is not None:
                    block_squares(block, layout, gradient, squares)
                elif not plain:
                    block_update(block, layout, params, gradient, rule, step, kind(1))
        if clip is not None:
            total = 0.0
            for k in range(squares.size):
                total += squares[k]
            length = np.sqrt(total)
            factor = kind(clip / length if length > clip else 1.0)
            for k in range(blocks):  # bound by memory: one thread does
                block = block_of(layout, k, itemsize)
                block_update(block, layout, params, gradient, rule, step, factor)


learn_wide_serial = learn_wide.serial
