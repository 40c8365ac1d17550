"""
A whole network in flat arrays, and its forward pass (lecture L25).

Inside, samples go through the layers in tiles, one sample a column: unit j of sample s lies at j T + s for T columns. So every
vector is full whatever the width of a layer. Behind the units of a layer stands a row of ones: it meets the biases, which stand
behind the weights as one more row of W.
"""

import numpy as np
from numba import prange

from ..compiler.assembler import VECTOR_BYTES
from ..compiler.jit import frozen, inner, njit, python_or_compiled
from ..compiler.memory import aligned, whole_vectors
from ..layer.activation import IDENTITY, RELU, SOFTMAX, activate, softmax_columns, takes_input
from ..product.pack import pack_tiles, read_transposed, transpose_exact
from ..product.tile import ROWS, gemm

# Samples that are read, or judged, at a time.
GROUP = 64
# Units of a layer whose outputs are computed at a time, and the inputs whose terms are added at a time: the weights between them
# and the activations of a tile stay in the second cache.
HEIGHT, DEPTH = 32, 512
# From this many bytes on, weights are copied into the order in which the forward pass reads them.
PACKED_FROM = 1 << 18
# Parts into which the tiles of a call are cut for threads, each with work space of its own.
GROUPS = 16
# Multiply-adds of a call from which threads pay.
PARALLEL_FROM = 500_000
# The largest int64.
LARGEST = (1 << 63) - 1
# Columns of a plan (see `plan_tile`).
PARAMS, PACKED, UNITS, ERRORS, BUFFER, SLOPES = 0, 1, 2, 3, 4, 5


@python_or_compiled
def parameter_count(sizes):
    """
    Number of weights and biases of a network.

    Parameters
    ----------
    sizes : integer array, shape (layers + 1,)
        Units per layer, inputs first.

    Returns
    -------
    int
        sum_l (d(l-1) + 1) d(l). The flat parameter array holds, layer after layer, W (d_in, d_out) row after
        row and then b (d_out,): so one compiled version serves every depth and width.

    Raises
    ------
    ValueError
        A negative size, or more parameters than an int64 can count.
    """
    total = np.int64(0)
    for l in range(sizes.size - 1):
        n_in, n_out = np.int64(sizes[l]), np.int64(sizes[l + 1])  # a short integer would overflow
        if n_in < 0 or n_out < 0 or n_in >= (np.int64(LARGEST) - total) // max(n_out, np.int64(1)):
            raise ValueError(
                "sizes must be positive, and the parameters as many as an int64 can count; (layer, inputs, outputs)",
                l,
                n_in,
                n_out,
            )
        total += (n_in + 1) * n_out
    return total


@python_or_compiled
def check_network(sizes, activations, params):
    """Raise ValueError unless the three arrays describe one network. Called by every whole-network kernel."""
    if sizes.itemsize != 8 or activations.itemsize != 8:
        raise ValueError(
            "sizes and activations must be int64 arrays; (sizes, activations) have items of so many bytes:",
            sizes.itemsize,
            activations.itemsize,
        )
    if sizes.size < 2:
        raise ValueError("sizes must hold at least the number of inputs and of outputs; its length is", sizes.size)
    for l in range(sizes.size):
        # every unit has at least one parameter
        if sizes[l] < 1 or sizes[l] > params.size:
            raise ValueError(
                "sizes must be positive and within params; (layer, size, params.size) came as", l, sizes[l], params.size
            )
    if activations.size != sizes.size - 1:
        raise ValueError(
            "activations must hold one code per layer behind the inputs; (sizes, activations) have lengths",
            sizes.size,
            activations.size,
        )
    for l in range(activations.size):
        if activations[l] < 0 or activations[l] > SOFTMAX or (activations[l] == SOFTMAX and l + 1 < activations.size):
            raise ValueError(
                "activations must be codes 0 to 12, in the last layer also 13 (softmax); (layer, code):",
                l,
                activations[l],
            )
    if params.size != parameter_count(sizes):
        raise ValueError(
            "params must hold parameter_count(sizes) elements; (wanted, came)", parameter_count(sizes), params.size
        )
    if not params.flags.c_contiguous:
        raise ValueError("params must be C-contiguous")


@python_or_compiled
def error_row(units, itemsize):
    """Elements from one row of errors to the next: a vector more than it takes, so that rows do not all meet in one set of the cache."""
    return whole_vectors(units, itemsize) + VECTOR_BYTES // itemsize


@python_or_compiled
def plan_tile(sizes, activations, dropout, columns, itemsize):
    """
    Where everything lies: a row of offsets per layer (`PARAMS`, `PACKED`, `UNITS`, `SLOPES`, `ERRORS`), ends in the last row.

    ``plan[l, PARAMS]``: [W; b] of layer l in the parameters. ``plan[l, PACKED]``: its packed copy, of no elements where it is small.
    ``plan[l, UNITS]``: what layer l takes in the space of a tile of `columns` samples, and at l = layers the outputs, followed
    by the targets, the weights of the samples and two buffers of errors as columns, each of ``plan[layers, BUFFER]`` elements.
    ``plan[l, SLOPES]``: what f' of layer l is computed from: its inputs, where the activation takes them, or its outputs, which are what
    the next layer takes unless some of them are dropped (dropout: the share of each layer's units).
    ``plan[l, ERRORS]``: the errors of layer l as rows.
    """
    layers = sizes.size - 1
    plan = np.zeros((layers + 1, 6), np.int64)
    widest = np.int64(0)
    for l in range(layers):
        weights = (sizes[l] + 1) * sizes[l + 1]
        packed = (sizes[l] + 1) * (sizes[l + 1] + ROWS) if weights * itemsize >= PACKED_FROM else 0
        plan[l + 1, PARAMS] = plan[l, PARAMS] + weights
        plan[l + 1, PACKED] = plan[l, PACKED] + packed
        plan[l + 1, UNITS] = plan[l, UNITS] + (sizes[l] + 1) * columns
        widest = max(widest, sizes[l + 1])
    plan[layers, BUFFER] = widest * columns
    end = plan[layers, UNITS] + (2 * sizes[layers] + 2) * columns + 2 * plan[layers, BUFFER]
    for l in range(layers):
        apart = takes_input(activations[l]) or dropout[l] > 0
        plan[l, SLOPES] = end if apart else plan[l + 1, UNITS]
        end += sizes[l + 1] * columns if apart else 0
    plan[0, ERRORS] = end
    for l in range(layers):
        plan[l + 1, ERRORS] = plan[l, ERRORS] + columns * error_row(sizes[l + 1], itemsize)
    return plan


@inner
def fill_ones(sizes, columns, plan, space, tile):
    """Write the rows of ones of a tile."""
    for l in range(sizes.size - 1):
        at = tile + plan[l + 1, UNITS] - columns
        for s in range(columns):
            space[at + s] = 1


@inner
def pack_weights(sizes, plan, params, packed):
    """Copy the weights of large layers into tiles."""
    for l in range(sizes.size - 1):
        if plan[l + 1, PACKED] > plan[l, PACKED]:
            pack_tiles(
                sizes[l + 1],
                sizes[l] + 1,
                params,
                plan[l, PARAMS],
                1,
                sizes[l + 1],
                packed,
                plan[l, PACKED],
                ROWS * (sizes[l] + 1),
            )


@inner
def forward_rows(l, i0, columns, stride, sizes, activations, plan, params, packed, space, tile):
    """
    Outputs of units i0 ... i0 + HEIGHT of layer l for `columns` samples of a tile: a_i = f(sum_k w_ki a_k + b_i). Unchecked.

    They go to the place that f' is computed from, unless that takes z = sum_k w_ki a_k + b_i.
    """
    n_in, n_out, kind = sizes[l], sizes[l + 1], activations[l]
    rows, infinite = min(HEIGHT, n_out - i0), -space.dtype.type(np.inf)
    a, z = tile + plan[l, UNITS], tile + plan[l, SLOPES] + i0 * stride
    floor = space.dtype.type(0) if kind == RELU else infinite
    # z_i = sum_k w_ki a_k + b_i: row n_in of W is b, and a_(n_in) is 1
    for k in range(0, n_in + 1, DEPTH):
        depth = min(DEPTH, n_in + 1 - k)
        start_row = -1 if k == 0 else stride
        least = floor if k + depth > n_in else infinite
        if plan[l + 1, PACKED] > plan[l, PACKED]:
            gemm(
                rows,
                columns,
                depth,
                packed,
                plan[l, PACKED] + i0 * (n_in + 1) + k * ROWS,
                1,
                ROWS,
                ROWS * (n_in + 1),
                space,
                a + k * stride,
                stride,
                1,
                space,
                z,
                start_row,
                space,
                z,
                stride,
                least,
            )
        else:
            gemm(
                rows,
                columns,
                depth,
                params,
                plan[l, PARAMS] + k * n_out + i0,
                1,
                n_out,
                ROWS,
                space,
                a + k * stride,
                stride,
                1,
                space,
                z,
                start_row,
                space,
                z,
                stride,
                least,
            )
    if kind != RELU and kind != IDENTITY and kind != SOFTMAX:
        activate(
            kind,
            rows * stride,
            space,
            z,
            1,
            space,
            tile + plan[l + 1, UNITS] + i0 * stride if takes_input(kind) else z,
            1,
        )


@inner
def forward_tile(columns, stride, sizes, activations, plan, params, packed, space, tile):
    """Forward pass of `columns` samples of a tile whose inputs are in place (lecture step 3), up to a softmax. Unchecked."""
    for l in range(activations.size):
        for i in range(0, sizes[l + 1], HEIGHT):
            forward_rows(l, i, columns, stride, sizes, activations, plan, params, packed, space, tile)


@njit(parallel=True)
def _forward_tiles(X, sizes, activations, plan, params, packed, space, begin, groups, out):
    """Outputs for all rows of X, tile after tile; each group of tiles has work space of its own. Unchecked."""
    n, n_in, layers = X.shape[0], sizes[0], activations.size
    n_out, lanes = sizes[layers], VECTOR_BYTES // out.itemsize
    columns = (min(n, GROUP) + lanes - 1) // lanes * lanes
    tiles = (n + GROUP - 1) // GROUP
    size = plan[0, ERRORS]
    pack_weights(sizes, plan, params, packed)
    for number in prange(groups):
        group = np.int64(number)  # prange counts in unsigned numbers
        own = begin + group * size
        fill_ones(sizes, columns, plan, space, own)
        for tile in range(group * tiles // groups, (group + 1) * tiles // groups):
            first = tile * GROUP
            rows = min(GROUP, n - first)
            read_transposed(rows, n_in, X, first * n_in, space, own, columns)
            forward_tile(columns, columns, sizes, activations, plan, params, packed, space, own)
            if activations[layers - 1] == SOFTMAX:
                softmax_columns(n_out, columns, columns, space, own + plan[layers, UNITS])
            transpose_exact(n_out, rows, space, own + plan[layers, UNITS], columns, out, first * n_out, n_out)


_forward_tiles_serial = _forward_tiles.serial


@python_or_compiled
def _prepare_forward(X, sizes, activations, params, out, groups):
    """Check the arguments of `forward`; plan, space for packed weights and for tiles, its begin, and the number of groups."""
    check_network(sizes, activations, params)
    layers = activations.size
    n, n_in, n_out = X.shape[0], sizes[0], sizes[layers]
    if X.shape[1] != n_in:
        raise ValueError("forward: X must have sizes[0] columns; (X, wanted) came as", X.shape, n_in)
    if out.shape[0] != n or out.shape[1] != n_out:
        raise ValueError(
            "forward: out must have shape (n, sizes[-1]); (X, out, sizes[-1]) came as", X.shape, out.shape, n_out
        )
    if not (X.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("forward: X and out must be C-contiguous")
    columns = whole_vectors(min(n, GROUP), out.itemsize)
    plan = plan_tile(sizes, activations, np.zeros(layers), columns, out.itemsize)
    groups = min((n + GROUP - 1) // GROUP, groups)
    packed = np.empty(plan[layers, PACKED], out.dtype)
    space = np.empty(groups * plan[0, ERRORS] + 16, out.dtype)
    return plan, packed, space, aligned(space), groups


@python_or_compiled
def forward(X, sizes, activations, params, out):
    """
    Outputs of a network for many samples (lecture step 3): a_l = f(W_l^T a_l-1 + b_l), layer after layer from a_0 = x.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        One sample a row.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    params : C-contiguous array, shape (parameter_count(sizes),)
        All weights and biases (see `parameter_count`).
    out : C-contiguous array, shape (n, sizes[-1])
        Overwritten with the outputs. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes, layouts or codes that do not fit.

    Notes
    -----
    2 n P flops for P parameters. Work space is allocated once a call, nothing per sample.
    """
    X, sizes, activations, params = frozen(X), frozen(sizes), frozen(activations), frozen(params)
    plan, packed, space, begin, groups = _prepare_forward(X, sizes, activations, params, out, 1)
    _forward_tiles_serial(X, sizes, activations, plan, params, packed, space, begin, groups, out)


def forward_parallel(X, sizes, activations, params, out):
    """
    Outputs of a network, on the threads that `threads` has set: bit for bit what `forward` gives.

    Parameters
    ----------
    X, sizes, activations, params, out
        As in `forward`. Called from Python, inside ``with threads(n)``.

    Raises
    ------
    ValueError
        As `forward`.

    Notes
    -----
    Samples are independent: each thread takes tiles of its own, and writes to rows of its own.
    """
    X, sizes, activations, params = frozen(X), frozen(sizes), frozen(activations), frozen(params)
    plan, packed, space, begin, groups = _prepare_forward(X, sizes, activations, params, out, GROUPS)
    _forward_tiles(X, sizes, activations, plan, params, packed, space, begin, groups, out)


def forward_parallel_pays(sizes, rows):
    """
    Whether threads make the forward pass of so many samples faster than one thread.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer, inputs first.
    rows : int
        Samples.

    Returns
    -------
    bool
        Decided by measurement (docs/performance.md): by the multiply-adds.
    """
    return rows > GROUP and rows * parameter_count(np.asarray(sizes)) >= PARALLEL_FROM
