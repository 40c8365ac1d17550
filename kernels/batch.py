"""
The steps of a mini-batch, on tiles of samples and blocks of weights (lecture L25, L27, L28).

A tile holds its samples as columns; `network.plan_tile` says where everything lies in it. What is not checked here is checked by
the epochs in `minibatch`.
"""

import numpy as np

from ._jit import inner, python_or_compiled
from .activation import SOFTMAX, multiply_derivative, softmax_columns
from .loss import LOG_LOSS, tile_loss
from .network import BUFFER, DEPTH, ERRORS, HEIGHT, PACKED, PARAMS, UNITS, error_row
from .optimizer import SGD, update
from .pack import gather_transposed, pack_tiles, transpose
from .simd import VECTOR_BYTES
from .tile import ROWS, VECTORS, gemm

# Samples of a tile in the wide way: its activations stay in the second cache.
TILE = 128
# Blocks of weights that are updated at a time: PANELS panels of columns at most, and so many rows that they fill BLOCK_BYTES.
PANELS, BLOCK_BYTES = 16, 1 << 15


@inner
def read_samples(X, Y, weight, order, first, rows, stride, sizes, plan, space, at):
    """Samples order[first : first + rows] into the columns from `at` on: inputs, targets, weights."""
    layers = sizes.size - 1
    y = at + plan[layers, UNITS] + (sizes[layers] + 1) * stride
    w = y + sizes[layers] * stride
    gather_transposed(rows, sizes[0], X, 0, order, first, space, at, stride)
    gather_transposed(rows, sizes[layers], Y, 0, order, first, space, y, stride)
    for s in range(rows):
        space[w + s] = weight[order[first + s]]


@inner
def _errors_at(l, stride, plan, layers, tile):
    """Where the errors of layer l stand as columns: two buffers take turns from layer to layer."""
    end = tile + plan[0, ERRORS]
    return end - (1 + (layers - 1 - l) % 2) * plan[layers, BUFFER]


@inner
def judge(rows, stride, sizes, activations, loss, decision, plan, space, tile, s, results, at):
    """Output layer: delta = dJ/dz of columns s ... s + rows; their losses and right decisions are added to `results`."""
    layers = activations.size
    last, n_out = activations[layers - 1], sizes[layers]
    a = tile + plan[layers, UNITS] + s
    y = a + (n_out + 1) * stride
    delta = _errors_at(layers - 1, stride, plan, layers, tile) + s
    if last == SOFTMAX:
        softmax_columns(n_out, rows, stride, space, a)
    tile_loss(loss, last, decision, n_out, rows, stride, space, a, space, y, space, y + n_out * stride, space, delta, results, at)
    if loss != LOG_LOSS and last != SOFTMAX:
        for k in range(n_out):
            multiply_derivative(last, rows, space, a + k * stride, 1, space, delta + k * stride, 1)


@inner
def tile_errors_below(l, i0, columns, stride, sizes, activations, plan, params, space, tile):
    """Errors of units i0 ... i0 + HEIGHT below layer l: delta_i = f'(z_i) sum_j w_ij delta_j."""
    layers, n_out = activations.size, sizes[l + 1]
    rows = min(HEIGHT, sizes[l] - i0)
    delta = _errors_at(l, stride, plan, layers, tile)
    below = _errors_at(l - 1, stride, plan, layers, tile) + i0 * stride
    for k in range(0, n_out, DEPTH):
        gemm(rows, columns, min(DEPTH, n_out - k), params, plan[l, PARAMS] + i0 * n_out + k, n_out, 1, ROWS * n_out,
             space, delta + k * stride, stride, 1, space, below, -1 if k == 0 else stride, space, below, stride,
             -space.dtype.type(np.inf))  # fmt: skip
    multiply_derivative(activations[l - 1], rows * stride, space, tile + plan[l, UNITS] + i0 * stride, 1, space, below, 1)


@inner
def turn_errors(l, rows, stride, sizes, plan, layers, scale, space, tile):
    """Errors of layer l as rows, times `scale`: what the gradient takes."""
    transpose(sizes[l + 1], rows, space, _errors_at(l, stride, plan, layers, tile), stride, scale, space, tile + plan[l, ERRORS],
              error_row(sizes[l + 1], space.itemsize))  # fmt: skip


@inner
def add_gradient(l, i0, i1, j0, j1, rows, stride, sizes, plan, space, tile, start_row, total, at):
    """Gradient of a block of a layer's [W; b] from one tile, added to `total` from `at` on (start_row = -1: a new sum)."""
    # dW_ij = sum_s a_is delta_sj; row n_in of W is b, and a_(n_in) is 1
    width = error_row(sizes[l + 1], space.itemsize)
    a, delta, infinite = tile + plan[l, UNITS] + i0 * stride, tile + plan[l, ERRORS] + j0, -space.dtype.type(np.inf)
    gemm(i1 - i0, j1 - j0, rows, space, a, stride, 1, ROWS * stride, space, delta, width, 1,
         total, at, start_row, total, at, sizes[l + 1], infinite)  # fmt: skip


@inner
def update_weights(optimizer, count, params, at, gradient, first, second, rate, beta1, beta2, epsilon, decay):
    """One update of `count` weights from `at` on, whose gradient has the same place."""
    kind = params.dtype.type
    update(optimizer, count, params, at, gradient, at, first, min(at, first.size), second, min(at, second.size),
           rate, kind(beta1), kind(beta2), kind(epsilon), kind(decay))  # fmt: skip


@python_or_compiled
def block_shape(n_out, itemsize):
    """Rows and columns of a block of a layer's weights."""
    columns = min(n_out, PANELS * VECTORS * VECTOR_BYTES // itemsize)
    return max(1, BLOCK_BYTES // (columns * itemsize * ROWS)) * ROWS, columns


@inner
def update_block(block, rows, stride, sizes, plan, params, packed, gradient, optimizer, first, second, rate, beta1, beta2, epsilon, l2,
                  space, begin):  # fmt: skip
    """Gradient and update of one block of weights, from all tiles of a batch of `rows` samples."""
    block = np.int64(block)  # prange counts in unsigned numbers
    l, across = 0, 0
    while True:  # the layer that this block belongs to
        n_in, n_out = sizes[l], sizes[l + 1]
        height, width = block_shape(n_out, params.itemsize)
        across = (n_out + width - 1) // width
        blocks = (n_in + height) // height * across  # of n_in + 1 rows
        if block < blocks:
            break
        block -= blocks
        l += 1
    i0, j0 = block // across * height, block % across * width
    i1, j1 = min(i0 + height, n_in + 1), min(j0 + width, n_out)
    at = plan[l, PARAMS] + i0 * n_out + j0
    # Plain descent adds -alpha/B delta to the weights as they stand; the others need the gradient first.
    plain = optimizer == SGD
    if plain and l2 != 0:
        keep = params.dtype.type(1) - rate * params.dtype.type(l2)
        for i in range(min(i1, n_in) - i0):
            for j in range(j1 - j0):
                params[at + i * n_out + j] *= keep
    size = plan[sizes.size - 1, ERRORS]
    for start in range(0, rows, TILE):
        add_gradient(l, i0, i1, j0, j1, min(TILE, rows - start), stride, sizes, plan, space, begin + start // TILE * size,
                      n_out if plain or start > 0 else -1, params if plain else gradient, at)  # fmt: skip
    if not plain:
        # The penalty is on W alone. Whole rows are updated at once.
        weights, whole = min(i1, n_in) - i0, j1 - j0 == n_out
        for i in range(1 if whole and weights > 0 else weights):
            count = weights * n_out if whole else j1 - j0
            update_weights(optimizer, count, params, at + i * n_out, gradient, first, second, rate, beta1, beta2, epsilon, l2)
        if i1 > n_in:
            update_weights(optimizer, j1 - j0, params, at + weights * n_out, gradient, first, second, rate, beta1, beta2, epsilon, 0.0)
    if plan[l + 1, PACKED] > plan[l, PACKED]:
        pack_tiles(j1 - j0, i1 - i0, params, at, 1, n_out, packed, plan[l, PACKED] + j0 * (n_in + 1) + i0 * ROWS, ROWS * (n_in + 1))
