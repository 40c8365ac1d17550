"""
The steps of a mini-batch, on microbatches of samples and blocks of weights (lecture L25, L27, L28).

`network.layout` says where everything of a microbatch lies. What is not checked here is checked by the epochs in
`epoch`.
"""

import numpy as np

from ..compiler.jit import inner, python_or_compiled
from ..compiler.memory import whole_vectors
from ..compiler.processor import CACHE_LINE, FIRST, VECTOR_BYTES
from ..layer.activation import IDENTITY, RELU, SOFTMAX, activate, multiply_derivative, softmax_columns, takes_input
from ..layer.custom_loss import call_custom
from ..layer.dropout import drop
from ..layer.loss import LOWEST_ADDRESS, takes_outputs, tile_loss
from ..layer.optimizer import SGD, sum_of_squares
from ..network.arguments import Block, Microbatch
from ..network.forward import activate_units
from ..network.layout import (
    ACTIVATION,
    ERROR_ROWS_AT,
    ERRORS_AT,
    FACTORS_AT,
    INPUTS_AT,
    PARAMS_AT,
    SLOPES_AT,
    TARGETS_AT,
    UNITS,
    error_row,
)
from ..product.blocking import MR, NR, panel_columns
from ..product.pack import gather_transposed, pack_tiles, transpose
from ..product.piecewise import piece_weight_gradient, piecewise_forward, piecewise_gradient
from ..product.sparse import csr_forward, csr_gradient
from ..product.tile import gemm
from .update import update_weights

# Samples of a microbatch in the wide way: its activations stay in the second cache.
MICROBATCH = 128
# Units of a layer that are computed at a time: whole tiles. And the terms that are added at a time: with so many rows,
# a panel of samples takes half of the first cache, and stays there for all of these units. Lines count as a whole: what
# they hold of the next panel is there, too.
BAND, DEPTH = 64 // MR * MR, max(128, FIRST // 2 // (-(-NR * VECTOR_BYTES // CACHE_LINE) * CACHE_LINE))
# Bytes of a layer's weights from which they are copied into tiles: less stays in the first cache as it lies. Rows of W
# that are copied at a time: a cache line of each serves several tiles. Elements from a tile to the next, which lies on
# other cache sets; and of all tiles that are used at a time.
COPIED_FROM, COPIED_ROWS, TILE = 1 << 15, 16, MR * DEPTH + CACHE_LINE // 4
COPY = BAND // MR * TILE
# Samples whose gradients are added up one after another. The sums of more are added up in their turn: so the error of a
# gradient hardly grows with the batch. And how many, where samples are sparse: each of these sums takes a pass over all
# weights of the first layer.
SUM_LENGTH, SPARSE_SUM_LENGTH = 2048, 8192
# Blocks of weights that are updated at a time: PANELS panels of columns at most, and so many rows that they fill
# BLOCK_BYTES.
PANELS, BLOCK_BYTES = 16, 1 << 15
# Bytes of a row of the gradient whose squares are added up one after another: the columns of a block are whole segments
# for vectors of any length.
SEGMENT_BYTES = PANELS * NR * 16


@inner(arrays=True)
def part_of(whole, first, most):
    """
    At most `most` samples of a batch from its sample `first` on, where its microbatches follow each other.

    `most` is typed: for each literal, this would be compiled once more.
    """
    layout, stride, space, at, _, rows = whole
    size = layout[layout.shape[0] - 1, ERROR_ROWS_AT]
    at += first // MICROBATCH * size + first % MICROBATCH
    return Microbatch(layout, stride, space, at, first, min(most, rows - first))


@inner
def read_samples(samples, batch, micro):
    """Samples of a batch into the columns of a microbatch: inputs (none of a sparse matrix), targets, weights."""
    (X, Y, weight), (order, start, _), (layout, stride, space, at, first, count) = samples, batch, micro
    layers = layout.shape[0] - 1
    begin, targets, factors = start + first, at + layout[layers, TARGETS_AT], at + layout[layers, FACTORS_AT]
    if X.shape[0] > 0:
        gather_transposed((count, layout[0, UNITS]), (X, 0, order, begin), (space, at, stride))
    gather_transposed((count, layout[layers, UNITS]), (Y, 0, order, begin), (space, targets, stride))
    for s in range(count):
        space[factors + s] = weight[order[begin + s]]


@inner
def band_outputs(micro, l, i0, params, tiles, at):
    """
    Outputs of BAND units of layer l, from unit i0 on, as `unit_outputs` computes them.

    Weights of a large layer are copied to `tiles`, from `at` on, into the order in which they are read, DEPTH inputs
    at a time. A copy of all of them would be one more matrix that the caches have to hold.
    """
    layout, stride, space, begin, _, count = micro
    n_in, n_out, kind = layout[l, UNITS], layout[l + 1, UNITS], layout[l, ACTIVATION]
    units, columns = min(BAND, n_out - i0), whole_vectors(count, space.itemsize)
    a, z, infinite = begin + layout[l, INPUTS_AT], begin + layout[l, SLOPES_AT] + i0 * stride, -space.dtype.type(np.inf)
    floor = space.dtype.type(0) if kind == RELU else infinite
    copied = (n_in + 1) * n_out * space.itemsize >= COPIED_FROM
    # z_i = sum_k w_ki a_k + b_i: row n_in of W is b, and a_(n_in) is 1
    for k in range(0, n_in + 1, DEPTH):
        depth, source = min(DEPTH, n_in + 1 - k), layout[l, PARAMS_AT] + k * n_out + i0
        weights = params, source, 1, n_out, MR
        if copied:
            for part in range(0, depth, COPIED_ROWS):
                rows = params, source + part * n_out, 1, n_out
                pack_tiles((units, min(COPIED_ROWS, depth - part)), rows, (tiles, at + part * MR, TILE))
            weights = tiles, at, 1, MR, TILE
        least = floor if k + depth > n_in else infinite
        inputs, start = (space, a + k * stride, stride, 1), (space, z, -1 if k == 0 else stride)
        gemm((units, columns, depth), weights, inputs, start, (space, z, stride), least)
    activate_units(micro, l, i0, units)


@inner
def drop_outputs(micro, l, i0, units, share, key):
    """Drop some of the outputs of units i0 ... of layer l: a' = a / (1 - p), or 0."""
    layout, stride, space, at, first, count = micro
    a = at + layout[l + 1, INPUTS_AT] + i0 * stride
    source = a if takes_input(layout[l, ACTIVATION]) else at + layout[l, SLOPES_AT] + i0 * stride
    columns = whole_vectors(count, space.itemsize)
    drop(key, (i0, units), (first, columns), share, (space, source, stride, 1), (space, a, stride, 1))


@inner
def drop_errors(micro, l, i0, share, key):
    """Errors of those of BAND units, from i0 on, of layer l that were dropped are 0."""
    layout, stride, space, at, first, count = micro
    errors = space, at + layout[l, ERRORS_AT] + i0 * stride, stride, 1
    units, columns = min(BAND, layout[l + 1, UNITS] - i0), whole_vectors(count, space.itemsize)
    drop(key, (i0, units), (first, columns), share, errors, errors)


@inner
def outputs_of_sparse(csr, batch, micro, params):
    """Outputs of the first layer for GROUP samples of a sparse matrix."""
    (data, indices, indptr), layout, rows = csr, micro.layout, sum_rows(micro)
    shape, matrix = (micro.count, layout[0, UNITS], layout[1, UNITS]), (data, 0, indices, 0, indptr, 0)
    csr_forward(shape, batch.order, batch.start + micro.first, matrix, params, 0, rows)
    activate_sums(micro, rows)


@inner
def outputs_of_pieces(pieces, batch, micro, params):
    """Outputs of the first layer for GROUP samples in pieces."""
    layout, rows = micro.layout, sum_rows(micro)
    shape, samples = piece_shape(pieces, layout, micro.count), (pieces.places, 0, pieces.shares, 0)
    order, begin = batch.order, batch.start + micro.first
    piecewise_forward(shape, (0, layout[1, UNITS]), order, begin, samples, pieces.nodes, 0, params, 0, rows)
    activate_sums(micro, rows)


@inner
def piece_shape(pieces, layout, count):
    """Samples, numbers, categories, inputs and outputs of a first layer."""
    numbers = pieces.columns.shape[0]
    return count, numbers, pieces.places.shape[1] - numbers, layout[0, UNITS], layout[1, UNITS]


@inner(arrays=True)
def sum_rows(micro):
    """Where z of the first layer lies as rows: where its errors will lie as rows."""
    layout, _, space, at, first, _ = micro
    # `at` is of column s of the microbatch
    width, s = error_row(layout[1, UNITS], space.itemsize), first % MICROBATCH
    return space, at - s + layout[0, ERROR_ROWS_AT] + s * width, width


@inner
def activate_sums(micro, rows):
    """Outputs of the first layer from z, as rows."""
    layout, stride, space, at, _, count = micro
    n_out, kind, one = layout[1, UNITS], layout[0, ACTIVATION], space.dtype.type(1)
    z, columns = at + layout[0, SLOPES_AT], whole_vectors(count, space.itemsize)
    transpose((count, n_out), rows, one, (space, z, stride))
    if kind != IDENTITY and kind != SOFTMAX:
        a = at + layout[1, INPUTS_AT] if takes_input(kind) else z
        for j in range(n_out):
            activate(kind, columns, (space, z + j * stride, 1), (space, a + j * stride, 1))


@inner
def output_errors(micro, objective, results, k):
    """
    Output layer: delta = dJ/dz; the losses and right decisions are added to `results` from k on.

    `objective`: loss, loss_parameter and decision of the network, which cost less to pass on than all of it.
    """
    layout, stride, space, at, _, count = micro
    layers, (loss, parameter, decision) = layout.shape[0] - 1, objective
    last, n_out = layout[layers - 1, ACTIVATION], layout[layers, UNITS]
    a, delta = at + layout[layers, INPUTS_AT], at + layout[layers - 1, ERRORS_AT]
    y, w = at + layout[layers, TARGETS_AT], at + layout[layers, FACTORS_AT]
    if last == SOFTMAX:
        softmax_columns(n_out, count, stride, space, a)
    if loss >= LOWEST_ADDRESS:
        call_custom(loss, (n_out, count, stride), (space, a, space, y, space, w, space, delta), (results, k))
    codes, operands = (loss, last, decision), (space, a, space, y, space, w, parameter, 0)
    tile_loss(codes, (n_out, count, stride), operands, space, delta, results, k)
    # delta = dJ/da f'(z), where the loss gave dJ/da
    if last != SOFTMAX and not takes_outputs(loss):
        for j in range(n_out):
            multiply_derivative(last, count, (space, a + j * stride, 1), (space, delta + j * stride, 1))


@inner
def unit_errors(micro, l, i0, params):
    """Errors of BAND units, from i0 on, below layer l: delta_i = f'(z_i) sum_j w_ij delta_j."""
    layout, stride, space, at, _, count = micro
    n_out = layout[l + 1, UNITS]
    units, columns = min(BAND, layout[l, UNITS] - i0), whole_vectors(count, space.itemsize)
    delta, below = at + layout[l, ERRORS_AT], at + layout[l - 1, ERRORS_AT] + i0 * stride
    infinite = -space.dtype.type(np.inf)
    # sum_j w_ij delta_j
    for j in range(0, n_out, DEPTH):
        weights = params, layout[l, PARAMS_AT] + i0 * n_out + j, n_out, 1, MR * n_out
        errors, start = (space, delta + j * stride, stride, 1), (space, below, -1 if j == 0 else stride)
        gemm((units, columns, min(DEPTH, n_out - j)), weights, errors, start, (space, below, stride), infinite)
    # delta_i = f'(z_i) times that
    slopes = at + layout[l - 1, SLOPES_AT] + i0 * stride
    multiply_derivative(layout[l - 1, ACTIVATION], units * stride, (space, slopes, 1), (space, below, 1))


@inner
def turn_errors(micro, l, scale):
    """Errors of layer l as rows, times `scale`: what the gradient takes."""
    layout, stride, space, at, _, count = micro
    n_out = layout[l + 1, UNITS]
    rows = space, at + layout[l, ERROR_ROWS_AT], error_row(n_out, space.itemsize)
    transpose((n_out, count), (space, at + layout[l, ERRORS_AT], stride), scale, rows)


@inner
def add_gradient(micro, block, start_row, total, at):
    """Gradient of a block of weights from a microbatch, added to `total` from `at` on (start_row = -1: a new sum)."""
    (layout, stride, space, begin, _, count), (l, i0, i1, j0, j1) = micro, block
    n_out = layout[l + 1, UNITS]
    a, delta = begin + layout[l, INPUTS_AT] + i0 * stride, begin + layout[l, ERROR_ROWS_AT] + j0
    outputs, errors = (space, a, stride, 1, MR * stride), (space, delta, error_row(n_out, space.itemsize), 1)
    infinite = -space.dtype.type(np.inf)
    # dW_ij = sum_s a_is delta_sj; row n_in of W is b, and a_(n_in) is 1
    gemm((i1 - i0, j1 - j0, count), outputs, errors, (total, at, start_row), (total, at, n_out), infinite)


@inner
def penalty(layout, params):
    """Sum of the squares of all weights, without the biases."""
    total = 0.0
    for l in range(layout.shape[0] - 1):
        total += sum_of_squares(layout[l, UNITS] * layout[l + 1, UNITS], params, layout[l, PARAMS_AT])
    return total


@python_or_compiled
def block_shape(n_out, itemsize):
    """Rows and columns of a block of a layer's weights."""
    columns = min(n_out, PANELS * panel_columns(itemsize))
    return max(1, BLOCK_BYTES // (columns * itemsize * MR)) * MR, columns


@python_or_compiled
def blocks_of(n_in, n_out, itemsize):
    """Number of blocks of a layer's [W; b]."""
    height, width = block_shape(n_out, itemsize)
    return (n_in + height) // height * ((n_out + width - 1) // width)  # of n_in + 1 rows


@inner
def block_of(layout, number, itemsize):
    """The block of that number; row n_in of a layer holds its biases."""
    l, left = 0, np.int64(number)
    while True:
        n_in, n_out = layout[l, UNITS], layout[l + 1, UNITS]
        blocks = blocks_of(n_in, n_out, itemsize)
        if left < blocks:
            break
        left -= blocks
        l += 1
    height, width = block_shape(n_out, itemsize)
    across = (n_out + width - 1) // width
    i0, j0 = left // across * height, left % across * width
    return Block(l, i0, min(i0 + height, n_in + 1), j0, min(j0 + width, n_out))


@inner
def first_block(layout, part, parts, itemsize):
    """The block with which a part of the weights begins. The parts are of about the same size."""
    layers, l, number = layout.shape[0] - 1, 0, 0
    weight = layout[layers, PARAMS_AT] * part // parts
    while l + 1 < layers and weight >= layout[l + 1, PARAMS_AT]:
        number += blocks_of(layout[l, UNITS], layout[l + 1, UNITS], itemsize)
        l += 1
    blocks, begin = blocks_of(layout[l, UNITS], layout[l + 1, UNITS], itemsize), layout[l, PARAMS_AT]
    return number + (weight - begin) * blocks // (layout[l + 1, PARAMS_AT] - begin)


@python_or_compiled
def is_plain(optimizer, batch_size):
    """
    Whether gradients are added to the weights themselves, term by term.

    Of a large batch the terms would be too small for that.
    """
    return optimizer == SGD and batch_size <= SUM_LENGTH


@inner
def block_gradient(whole, block, params, gradient, plain, shrink):
    """
    Gradient of a block of weights from all microbatches of a batch.

    `plain`: it is added to the weights themselves, after they were multiplied by `shrink`; its scale is -alpha / B
    then. Else the sums of SUM_LENGTH samples after the first are in the other half of `gradient`, until they are added
    to it.
    """
    layout, (l, i0, i1, j0, j1), rows = whole.layout, block, whole.count
    n_in, n_out = layout[l, UNITS], layout[l + 1, UNITS]
    at = layout[l, PARAMS_AT] + i0 * n_out + j0
    if plain and shrink != 1:
        for i in range(min(i1, n_in) - i0):
            for j in range(j1 - j0):
                params[at + i * n_out + j] *= shrink
    for start in range(0, rows, MICROBATCH):
        into = at if start < SUM_LENGTH else at + gradient.size // 2
        start_row = n_out if plain or start % SUM_LENGTH > 0 else -1
        add_gradient(part_of(whole, start, np.int64(MICROBATCH)), block, start_row, params if plain else gradient, into)
        end = start + MICROBATCH
        if start >= SUM_LENGTH and (end % SUM_LENGTH == 0 or end >= rows):
            for i in range(i1 - i0):
                for j in range(j1 - j0):
                    gradient[at + i * n_out + j] += gradient[into + i * n_out + j]


@python_or_compiled
def segments_of(n_in, n_out, itemsize):
    """Segments of the rows of a layer's [W; b]."""
    return (n_in + 1) * ((n_out * itemsize + SEGMENT_BYTES - 1) // SEGMENT_BYTES)


@inner
def block_squares(block, layout, gradient, squares):
    """Sum of the squares of each segment of the gradient of a block of weights."""
    l, i0, i1, j0, j1 = block
    itemsize, n_out, first = gradient.itemsize, layout[l + 1, UNITS], np.int64(0)
    for k in range(l):
        first += segments_of(layout[k, UNITS], layout[k + 1, UNITS], itemsize)
    across, width = segments_of(0, n_out, itemsize), SEGMENT_BYTES // itemsize
    for i in range(i0, i1):
        for j in range(j0, j1, width):
            at = layout[l, PARAMS_AT] + i * n_out + j
            squares[first + i * across + j // width] = sum_of_squares(min(width, j1 - j), gradient, at)


@inner
def block_update(block, layout, params, gradient, rule, step, factor):
    """Update of a block of weights by `factor` times its gradient."""
    l, i0, i1, j0, j1 = block
    n_in, n_out = layout[l, UNITS], layout[l + 1, UNITS]
    at = layout[l, PARAMS_AT] + i0 * n_out + j0
    if factor != 1:
        for i in range(i1 - i0):
            for j in range(j1 - j0):
                gradient[at + i * n_out + j] *= factor
    # Whole rows are updated at once. The penalty is on W alone.
    weights, whole = min(i1, n_in) - i0, j1 - j0 == n_out
    for i in range(1 if whole and weights > 0 else weights):
        count = weights * n_out if whole else j1 - j0
        update_weights(rule, step, count, params, gradient, at + i * n_out, step.decay)
    if i1 > n_in:
        update_weights(rule, step, j1 - j0, params, gradient, at + weights * n_out, 0.0)


@inner
def sparse_gradient(csr, batch, whole, j0, j1, gradient):
    """Gradient of columns j0 ... j1 of the first layer on the samples of a sparse matrix."""
    (data, indices, indptr), layout = csr, whole.layout
    for start in range(0, whole.count, MICROBATCH):
        into = begun_sum(whole, start, j0, j1, gradient)
        micro = part_of(whole, start, np.int64(MICROBATCH))
        shape, matrix = (micro.count, layout[0, UNITS], layout[1, UNITS]), (data, 0, indices, 0, indptr, 0)
        delta = first_errors(micro)
        csr_gradient(shape, (j0, j1), batch.order, batch.start + start, matrix, delta, gradient, into)
        end_sum(whole, start, j0, j1, gradient)


@inner
def pieces_gradient(pieces, batch, whole, j0, j1, gradient):
    """Gradient of columns j0 ... j1 of the first layer on samples in pieces."""
    layout, samples, band = whole.layout, (pieces.places, 0, pieces.shares, 0), (j0, j1)
    for start in range(0, whole.count, MICROBATCH):
        into = begun_sum(whole, start, j0, j1, gradient)
        micro = part_of(whole, start, np.int64(MICROBATCH))
        shape, delta, begin = piece_shape(pieces, layout, micro.count), first_errors(micro), batch.start + start
        piecewise_gradient(shape, band, batch.order, begin, samples, delta, pieces.gradient, 0, gradient, into)
        end = start + MICROBATCH
        if end % SPARSE_SUM_LENGTH == 0 or end >= whole.count:
            numbers = pieces.columns.shape[0], layout[1, UNITS]
            places = pieces.columns, 0, pieces.heights, 0
            piece_weight_gradient(numbers, band, *places, pieces.gradient, 0, gradient, into)
        end_sum(whole, start, j0, j1, gradient)


@inner(arrays=True)
def first_errors(micro):
    """Errors of the first layer, as rows."""
    layout, space = micro.layout, micro.space
    return space, micro.at + layout[0, ERROR_ROWS_AT], error_row(layout[1, UNITS], space.itemsize)


@inner
def begun_sum(whole, start, j0, j1, gradient):
    """Where the sum lies to which samples from `start` on are added: zeros, if it begins there."""
    n_in, n_out = whole.layout[0, UNITS], whole.layout[1, UNITS]
    into = 0 if start < SPARSE_SUM_LENGTH else gradient.size // 2
    if start % SPARSE_SUM_LENGTH == 0:
        for i in range(n_in + 1):
            for j in range(j0, j1):
                gradient[into + i * n_out + j] = 0
    return into


@inner
def end_sum(whole, start, j0, j1, gradient):
    """Add a sum after the first one to it, if it ends with the microbatch that begins at `start`."""
    n_in, n_out, end, half = whole.layout[0, UNITS], whole.layout[1, UNITS], start + MICROBATCH, gradient.size // 2
    if start >= SPARSE_SUM_LENGTH and (end % SPARSE_SUM_LENGTH == 0 or end >= whole.count):
        for i in range(n_in + 1):
            for j in range(j0, j1):
                gradient[i * n_out + j] += gradient[half + i * n_out + j]


@python_or_compiled
def finite(results, pairs):
    """Whether the losses added up so far are finite."""
    for k in range(pairs):  # noqa: SIM110 (Numba compiles no generators)
        if not np.isfinite(results[2 * k]):
            return False
    return True
