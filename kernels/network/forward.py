"""
A whole network in flat arrays, and its forward pass (lecture L25).

Samples go through the layers in microbatches, one sample a column: see `layout`.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..compiler.jit import frozen, inner, njit, python_or_compiled
from ..compiler.memory import aligned, whole_vectors
from ..compiler.processor import SECOND
from ..layer.activation import IDENTITY, RELU, SOFTMAX, activate, softmax_columns, takes_input
from ..product.blocking import MR, panel_columns
from ..product.pack import read_transposed, transpose_exact
from ..product.tile import gemm
from .arguments import Microbatch
from .layout import (
    ACTIVATION,
    ERROR_ROWS_AT,
    GROUP,
    INPUTS_AT,
    PACKED_AT,
    PARAMS_AT,
    PARTS,
    SLOPES_AT,
    UNITS,
    fill_ones,
    layout_of,
    pack_weights,
)

# Units of a layer whose outputs are computed at a time, and the inputs whose terms are added at a time: the weights
# between them and the activations of a microbatch stay in the second cache.
LAYER_MC, LAYER_KC = 32, 512
# Bytes that the activations of a microbatch should not exceed: half the second cache. And bytes of a unit's row of them
# at most: from here on, what is done once for a microbatch takes little of the time, and rows this far apart do not all
# meet in the same sets of the first cache.
HELD, LONGEST_ROW = SECOND // 2, 768
# Multiply-adds of a call from which threads pay.
PARALLEL_FORWARD = 500_000
# The largest int64.
LARGEST = (1 << 63) - 1


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
                "sizes must be positive and within params; (layer, size, params.size) are", l, sizes[l], params.size
            )
    if activations.size != sizes.size - 1:
        raise ValueError(
            "activations must hold one code per layer after the inputs; (sizes, activations) have lengths",
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
            "params must hold parameter_count(sizes) elements; (wanted, given) are", parameter_count(sizes), params.size
        )
    if not params.flags.c_contiguous:
        raise ValueError("params must be C-contiguous")


@inner
def unit_outputs(micro, l, i0, params, packed):
    """
    Outputs of LAYER_MC units of layer l, from unit i0 on, for a microbatch: a_i = f(sum_k w_ki a_k + b_i). Unchecked.

    They go to the place that f' is computed from, unless that takes z_i = sum_k w_ki a_k + b_i.
    """
    layout, stride, space, at, _, count = micro
    n_in, n_out, kind = layout[l, UNITS], layout[l + 1, UNITS], layout[l, ACTIVATION]
    units, columns = min(LAYER_MC, n_out - i0), whole_vectors(count, space.itemsize)
    a, z, infinite = at + layout[l, INPUTS_AT], at + layout[l, SLOPES_AT] + i0 * stride, -space.dtype.type(np.inf)
    floor = space.dtype.type(0) if kind == RELU else infinite
    # z_i = sum_k w_ki a_k + b_i: row n_in of W is b, and a_(n_in) is 1
    for k in range(0, n_in + 1, LAYER_KC):
        depth = min(LAYER_KC, n_in + 1 - k)
        least = floor if k + depth > n_in else infinite
        inputs, start = (space, a + k * stride, stride, 1), (space, z, -1 if k == 0 else stride)
        if layout[l + 1, PACKED_AT] > layout[l, PACKED_AT]:
            tiles = packed, layout[l, PACKED_AT] + i0 * (n_in + 1) + k * MR, 1, MR, MR * (n_in + 1)
            gemm((units, columns, depth), tiles, inputs, start, (space, z, stride), least)
        else:
            weights = params, layout[l, PARAMS_AT] + k * n_out + i0, 1, n_out, MR
            gemm((units, columns, depth), weights, inputs, start, (space, z, stride), least)
    activate_units(micro, l, i0, units)


@inner
def activate_units(micro, l, i0, units):
    """Activation of some units of layer l, from i0 on: a_i = f(z_i). ReLU is done, and softmax needs all units."""
    layout, stride, space, at, _, _ = micro
    kind, z = layout[l, ACTIVATION], at + layout[l, SLOPES_AT] + i0 * stride
    if kind != RELU and kind != IDENTITY and kind != SOFTMAX:
        outputs = at + layout[l + 1, INPUTS_AT] + i0 * stride if takes_input(kind) else z
        activate(kind, units * stride, (space, z, 1), (space, outputs, 1))


@inner
def write_outputs(micro, params, packed, out):
    """Forward pass of a microbatch whose inputs are in place (lecture step 3): outputs, as rows of `out`. Unchecked."""
    layout, stride, space, at, first, count = micro
    layers = layout.shape[0] - 1
    n_out, outputs = layout[layers, UNITS], at + layout[layers, INPUTS_AT]
    # A(l) = f(A(l-1) W(l) + b(l))
    for l in range(layers):
        for i in range(0, layout[l + 1, UNITS], LAYER_MC):
            unit_outputs(micro, l, i, params, packed)
    if layout[layers - 1, ACTIVATION] == SOFTMAX:
        softmax_columns(n_out, count, stride, space, outputs)
    transpose_exact((n_out, count), (space, outputs, stride), (out, first * n_out, n_out))


@python_or_compiled
def rows_at_once(sizes, rows, parts, itemsize):
    """
    Rows of a microbatch: whole panels of the products, as many as the second cache holds, or what covers GROUP rows.

    Where several parts are asked for, GROUP rows may do: so there are enough microbatches to share.
    """
    if rows <= GROUP:
        return max(rows, 1)
    units, panel = np.int64(0), panel_columns(itemsize)
    for l in range(sizes.size):
        units += sizes[l] + 1
    most = min(LONGEST_ROW // itemsize, HELD // (units * itemsize))
    most = max((GROUP + panel - 1) // panel, most // panel) * panel
    return min(rows, most if parts == 1 else min(most, max(GROUP, rows // parts)))


class ForwardWork(NamedTuple):
    """Memory of a forward pass: packed weights, and for each part of the samples `size` elements of space."""

    layout: Any
    stride: Any
    packed: Any
    space: Any
    begin: Any
    size: Any
    parts: Any


@python_or_compiled
def forward_work(sizes, activations, out, parts, extra):
    """Memory for a forward pass to `out` in so many parts at most, and `extra` elements more for each row at once."""
    rows, dtype, itemsize = out.shape[0], out.dtype, out.itemsize
    stride = whole_vectors(rows_at_once(sizes, rows, parts, itemsize), itemsize)
    layout = layout_of(sizes, activations, np.zeros(activations.size), stride, itemsize)
    packed = np.empty(layout[activations.size, PACKED_AT], dtype)
    size = layout[0, ERROR_ROWS_AT] + extra * stride
    parts = min((rows + stride - 1) // stride, parts)
    space = np.empty(parts * size + 16, dtype)
    return ForwardWork(layout, stride, packed, space, aligned(space), size, parts)


@njit(parallel=True)
def _forward_rows(X, params, work, out):
    """Outputs for all rows of X, microbatch after microbatch. Unchecked."""
    layout, stride, packed, space, begin, size, parts = work
    n, n_in = X.shape
    microbatches = (n + stride - 1) // stride
    pack_weights(layout, params, packed)
    for number in prange(parts):  # no race: each part has space of its own, and rows of `out`
        part = np.int64(number)  # prange counts in unsigned numbers
        at = begin + part * size
        fill_ones(layout, stride, space, at)
        for m in range(part * microbatches // parts, (part + 1) * microbatches // parts):
            first = m * stride
            micro = Microbatch(layout, stride, space, at, first, min(stride, n - first))
            read_transposed((micro.count, n_in), X, first * n_in, (space, at, stride))
            write_outputs(micro, params, packed, out)


_forward_rows_serial = _forward_rows.serial


@python_or_compiled
def _check_forward(X, sizes, activations, params, out):
    """Raise ValueError unless the arguments of `forward` go together."""
    check_network(sizes, activations, params)
    n, n_in, n_out = X.shape[0], sizes[0], sizes[activations.size]
    if X.shape[1] != n_in:
        raise ValueError("forward: X must have sizes[0] columns; (X, wanted) are", X.shape, n_in)
    if out.shape[0] != n or out.shape[1] != n_out:
        raise ValueError(
            "forward: out must have shape (n, sizes[-1]); (X, out, sizes[-1]) are", X.shape, out.shape, n_out
        )
    if not (X.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("forward: X and out must be C-contiguous")


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
    _check_forward(X, sizes, activations, params, out)
    _forward_rows_serial(X, params, forward_work(sizes, activations, out, 1, 0), out)


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
    Samples are independent: each thread takes rows of its own, and writes to rows of its own.
    """
    X, sizes, activations, params = frozen(X), frozen(sizes), frozen(activations), frozen(params)
    _check_forward(X, sizes, activations, params, out)
    _forward_rows(X, params, forward_work(sizes, activations, out, PARTS, 0), out)


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
    return rows > GROUP and rows * parameter_count(np.asarray(sizes)) >= PARALLEL_FORWARD
