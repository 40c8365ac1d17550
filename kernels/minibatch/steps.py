"""
The steps of a mini-batch, on tiles of samples and blocks of weights (lecture L25, L27, L28).

A tile holds its samples as columns; `forward.plan_tile` says where everything lies in it. What is not checked here is checked by
the epochs in `epoch`.
"""

import numpy as np

from ..compiler.assembler import VECTOR_BYTES
from ..compiler.jit import inner, python_or_compiled
from ..compiler.memory import whole_vectors
from ..layer.activation import IDENTITY, SOFTMAX, activate, multiply_derivative, softmax_columns, takes_input
from ..layer.custom_loss import call_own
from ..layer.dropout import drop, layer_key
from ..layer.loss import LOWEST_ADDRESS, takes_outputs, tile_loss
from ..layer.optimizer import SGD, sum_of_squares
from ..network.forward import BUFFER, DEPTH, ERRORS, HEIGHT, PACKED, PARAMS, SLOPES, UNITS, error_row
from ..product.pack import gather_transposed, pack_tiles, transpose
from ..product.sparse import csr_forward, csr_gradient
from ..product.tile import ROWS, VECTORS, gemm
from .update import update_weights

# Samples of a tile in the wide way: its activations stay in the second cache.
TILE = 128
# Samples whose gradients are added up one after another. The sums of more are added up in their turn: so the error of a gradient hardly
# grows with the batch. And how many, where samples are sparse: each of these sums takes a pass over all weights of the first layer.
LONG, SPARSE_LONG = 2048, 8192
# Blocks of weights that are updated at a time: PANELS panels of columns at most, and so many rows that they fill BLOCK_BYTES.
PANELS, BLOCK_BYTES = 16, 1 << 15


@inner
def read_samples(X, Y, weight, order, first, rows, stride, sizes, plan, space, at):
    """Samples order[first : first + rows] into the columns from `at` on: inputs (none of a sparse matrix), targets, weights."""
    layers = sizes.size - 1
    y = at + plan[layers, UNITS] + (sizes[layers] + 1) * stride
    w = y + sizes[layers] * stride
    if X.shape[0] > 0:
        gather_transposed(rows, sizes[0], X, 0, order, first, space, at, stride)
    gather_transposed(rows, sizes[layers], Y, 0, order, first, space, y, stride)
    for s in range(rows):
        space[w + s] = weight[order[first + s]]


@inner
def _errors_at(l, stride, sizes, plan, tile):
    """Where the errors of layer l stand as columns: two buffers take turns from layer to layer."""
    layers = sizes.size - 1
    begin = tile + plan[layers, UNITS] + (2 * sizes[layers] + 2) * stride
    return begin + (layers - 1 - l) % 2 * plan[layers, BUFFER]


@inner
def drop_outputs(l, i0, units, columns, stride, activations, plan, share, seed, step, first, space, tile):
    """Drop some of the outputs of units i0 ... of layer l, for samples first ... of the batch."""
    a = plan[l + 1, UNITS] + i0 * stride
    source = a if takes_input(activations[l]) else plan[l, SLOPES] + i0 * stride
    drop(
        layer_key(seed, step, l),
        i0,
        units,
        first,
        columns,
        share,
        space,
        tile + source,
        stride,
        1,
        space,
        tile + a,
        stride,
        1,
    )


@inner
def drop_errors(l, i0, columns, stride, sizes, plan, share, seed, step, first, space, tile):
    """Errors of the units i0 ... of layer l that were dropped are 0."""
    units, delta = min(HEIGHT, sizes[l + 1] - i0), _errors_at(l, stride, sizes, plan, tile) + i0 * stride
    drop(layer_key(seed, step, l), i0, units, first, columns, share, space, delta, stride, 1, space, delta, stride, 1)


@inner
def outputs_of_sparse(csr, order, start, samples, s, stride, sizes, activations, plan, params, space, tile):
    """Outputs of the first layer for samples order[start : start + samples] of a sparse matrix: columns s ... of a tile."""
    (data, indices, indptr), n_out, kind, one = csr, sizes[1], activations[0], space.dtype.type(1)
    # z as rows stands where the layer's errors will stand as rows
    width, at = error_row(n_out, space.itemsize), tile + s
    rows = tile + plan[0, ERRORS] + s * width
    csr_forward(samples, sizes[0], n_out, order, start, data, 0, indices, 0, indptr, 0, params, 0, space, rows, width)
    z, columns = at + plan[0, SLOPES], whole_vectors(samples, space.itemsize)
    transpose(samples, n_out, space, rows, width, one, space, z, stride)
    if kind != IDENTITY and kind != SOFTMAX:
        a = at + plan[1, UNITS] if takes_input(kind) else z
        for j in range(n_out):
            activate(kind, columns, space, z + j * stride, 1, space, a + j * stride, 1)


@inner
def judge(rows, stride, sizes, activations, loss, parameter, decision, plan, space, tile, s, results, at):
    """Output layer: delta = dJ/dz of columns s ... s + rows; their losses and right decisions are added to `results`."""
    layers = activations.size
    last, n_out = activations[layers - 1], sizes[layers]
    a = tile + plan[layers, UNITS] + s
    y = a + (n_out + 1) * stride
    w = y + n_out * stride
    delta = _errors_at(layers - 1, stride, sizes, plan, tile) + s
    if last == SOFTMAX:
        softmax_columns(n_out, rows, stride, space, a)
    if loss >= LOWEST_ADDRESS:
        call_own(loss, n_out, rows, stride, space, a, space, y, space, w, space, delta, results, at)
    tile_loss(
        loss, last, decision, n_out, rows, stride, space, a, space, y, space, w, parameter, 0, space, delta, results, at
    )
    if last != SOFTMAX and not takes_outputs(loss):
        for k in range(n_out):
            multiply_derivative(last, rows, space, a + k * stride, 1, space, delta + k * stride, 1)


@inner
def tile_errors_below(l, i0, columns, stride, sizes, activations, plan, params, space, tile):
    """Errors of units i0 ... i0 + HEIGHT below layer l: delta_i = f'(z_i) sum_j w_ij delta_j."""
    n_out = sizes[l + 1]
    rows = min(HEIGHT, sizes[l] - i0)
    delta = _errors_at(l, stride, sizes, plan, tile)
    below = _errors_at(l - 1, stride, sizes, plan, tile) + i0 * stride
    for k in range(0, n_out, DEPTH):
        gemm(
            rows,
            columns,
            min(DEPTH, n_out - k),
            params,
            plan[l, PARAMS] + i0 * n_out + k,
            n_out,
            1,
            ROWS * n_out,
            space,
            delta + k * stride,
            stride,
            1,
            space,
            below,
            -1 if k == 0 else stride,
            space,
            below,
            stride,
            -space.dtype.type(np.inf),
        )
    multiply_derivative(
        activations[l - 1], rows * stride, space, tile + plan[l - 1, SLOPES] + i0 * stride, 1, space, below, 1
    )


@inner
def turn_errors(l, rows, stride, sizes, plan, scale, space, tile):
    """Errors of layer l as rows, times `scale`: what the gradient takes."""
    transpose(
        sizes[l + 1],
        rows,
        space,
        _errors_at(l, stride, sizes, plan, tile),
        stride,
        scale,
        space,
        tile + plan[l, ERRORS],
        error_row(sizes[l + 1], space.itemsize),
    )


@inner
def add_gradient(l, i0, i1, j0, j1, rows, stride, sizes, plan, space, tile, start_row, total, at):
    """Gradient of a block of a layer's [W; b] from one tile, added to `total` from `at` on (start_row = -1: a new sum)."""
    # dW_ij = sum_s a_is delta_sj; row n_in of W is b, and a_(n_in) is 1
    width = error_row(sizes[l + 1], space.itemsize)
    a, delta, infinite = tile + plan[l, UNITS] + i0 * stride, tile + plan[l, ERRORS] + j0, -space.dtype.type(np.inf)
    gemm(
        i1 - i0,
        j1 - j0,
        rows,
        space,
        a,
        stride,
        1,
        ROWS * stride,
        space,
        delta,
        width,
        1,
        total,
        at,
        start_row,
        total,
        at,
        sizes[l + 1],
        infinite,
    )


@inner
def penalty(sizes, plan, params):
    """Sum of the squares of all weights, without the biases."""
    total = 0.0
    for l in range(sizes.size - 1):
        total += sum_of_squares(sizes[l] * sizes[l + 1], params, plan[l, PARAMS])
    return total


@python_or_compiled
def block_shape(n_out, itemsize):
    """Rows and columns of a block of a layer's weights."""
    columns = min(n_out, PANELS * VECTORS * VECTOR_BYTES // itemsize)
    return max(1, BLOCK_BYTES // (columns * itemsize * ROWS)) * ROWS, columns


@python_or_compiled
def blocks_of(n_in, n_out, itemsize):
    """Number of blocks of a layer's [W; b]."""
    height, width = block_shape(n_out, itemsize)
    return (n_in + height) // height * ((n_out + width - 1) // width)  # of n_in + 1 rows


@inner
def _cut(block, sizes, itemsize):
    """Layer, rows and columns of a block of weights: l, i0, i1, j0, j1; row n_in of a layer holds its biases."""
    l = 0
    while True:
        n_in, n_out = sizes[l], sizes[l + 1]
        blocks = blocks_of(n_in, n_out, itemsize)
        if block < blocks:
            break
        block -= blocks
        l += 1
    height, width = block_shape(n_out, itemsize)
    across = (n_out + width - 1) // width
    i0, j0 = block // across * height, block % across * width
    return l, i0, min(i0 + height, n_in + 1), j0, min(j0 + width, n_out)


@python_or_compiled
def is_plain(optimizer, batch_size):
    """Whether gradients are added to the weights as they stand, term by term: of a large batch the terms would be too small for that."""
    return optimizer == SGD and batch_size <= LONG


@inner
def block_gradient(block, rows, stride, sizes, plan, params, gradient, plain, shrink, space, begin):
    """
    Gradient of one block of weights from all tiles of a batch of `rows` samples.

    `plain`: it is added to the weights as they stand, after they were multiplied by `shrink`; its scale is -alpha / B then. Else the sums
    of LONG samples after the first are in the other half of `gradient`, until they are added to it.
    """
    l, i0, i1, j0, j1 = _cut(np.int64(block), sizes, params.itemsize)  # prange counts in unsigned numbers
    n_in, n_out = sizes[l], sizes[l + 1]
    at = plan[l, PARAMS] + i0 * n_out + j0
    if plain and shrink != 1:
        for i in range(min(i1, n_in) - i0):
            for j in range(j1 - j0):
                params[at + i * n_out + j] *= shrink
    size, other = plan[sizes.size - 1, ERRORS], gradient.size // 2
    for start in range(0, rows, TILE):
        into = at if start < LONG else at + other
        add_gradient(
            l,
            i0,
            i1,
            j0,
            j1,
            min(TILE, rows - start),
            stride,
            sizes,
            plan,
            space,
            begin + start // TILE * size,
            n_out if plain or start % LONG > 0 else -1,
            params if plain else gradient,
            into,
        )
        if start >= LONG and ((start + TILE) % LONG == 0 or start + TILE >= rows):
            for i in range(i1 - i0):
                for j in range(j1 - j0):
                    gradient[at + i * n_out + j] += gradient[into + i * n_out + j]


@inner
def block_length(block, sizes, plan, gradient):
    """Sum of the squares of the gradient of one block of weights."""
    l, i0, i1, j0, j1 = _cut(np.int64(block), sizes, gradient.itemsize)
    n_out, total = sizes[l + 1], 0.0
    for i in range(i0, i1):
        total += sum_of_squares(j1 - j0, gradient, plan[l, PARAMS] + i * n_out + j0)
    return total


@inner
def block_update(
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
):
    """Update of one block of weights (done where it is `plain`) by `factor` times its gradient; the packed copy follows."""
    l, i0, i1, j0, j1 = _cut(np.int64(block), sizes, params.itemsize)
    n_in, n_out = sizes[l], sizes[l + 1]
    at = plan[l, PARAMS] + i0 * n_out + j0
    if not plain:
        if factor != 1:
            for i in range(i1 - i0):
                for j in range(j1 - j0):
                    gradient[at + i * n_out + j] *= factor
        # The penalty is on W alone. Whole rows are updated at once.
        weights, whole = min(i1, n_in) - i0, j1 - j0 == n_out
        for i in range(1 if whole and weights > 0 else weights):
            count = weights * n_out if whole else j1 - j0
            update_weights(
                optimizer,
                count,
                params,
                at + i * n_out,
                gradient,
                first,
                second,
                rate,
                pace,
                beta1,
                beta2,
                epsilon,
                decay,
            )
        if i1 > n_in:
            update_weights(
                optimizer,
                j1 - j0,
                params,
                at + weights * n_out,
                gradient,
                first,
                second,
                rate,
                pace,
                beta1,
                beta2,
                epsilon,
                0.0,
            )
    if plan[l + 1, PACKED] > plan[l, PACKED]:
        pack_tiles(
            j1 - j0,
            i1 - i0,
            params,
            at,
            1,
            n_out,
            packed,
            plan[l, PACKED] + j0 * (n_in + 1) + i0 * ROWS,
            ROWS * (n_in + 1),
        )


@inner
def sparse_gradient(csr, order, start, rows, j0, j1, sizes, plan, gradient, space, begin):
    """Gradient of columns j0 ... j1 of the first layer on samples order[start : start + rows] of a sparse matrix."""
    (data, indices, indptr), n_in, n_out, size = csr, sizes[0], sizes[1], plan[sizes.size - 1, ERRORS]
    for s in range(0, rows, TILE):
        into = 0 if s < SPARSE_LONG else gradient.size // 2
        if s % SPARSE_LONG == 0:
            for i in range(n_in + 1):
                for j in range(j0, j1):
                    gradient[into + i * n_out + j] = 0
        csr_gradient(
            min(TILE, rows - s),
            n_in,
            n_out,
            j0,
            j1,
            order,
            start + s,
            data,
            0,
            indices,
            0,
            indptr,
            0,
            space,
            begin + s // TILE * size + plan[0, ERRORS],
            error_row(n_out, space.itemsize),
            gradient,
            into,
        )
        if s >= SPARSE_LONG and ((s + TILE) % SPARSE_LONG == 0 or s + TILE >= rows):
            for i in range(n_in + 1):
                for j in range(j0, j1):
                    gradient[i * n_out + j] += gradient[into + i * n_out + j]


@python_or_compiled
def finite(results, pairs):
    """Whether the losses added up so far are finite."""
    for k in range(pairs):  # noqa: SIM110 (Numba compiles no generators)
        if not np.isfinite(results[2 * k]):
            return False
    return True
