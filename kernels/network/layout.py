"""
Where the numbers of a network lie: its parameters, and the work space of samples on their way through the layers.

Samples go through in microbatches, one sample a column: unit j of sample s lies at j * stride + s. So every vector is
full whatever the width of a layer. After the units of a layer comes a row of ones: it meets the biases, which come
after the weights as one more row of W.
"""

import numpy as np

from ..compiler.jit import inner, python_or_compiled
from ..compiler.memory import whole_vectors
from ..compiler.processor import CACHE_LINE
from ..layer.activation import takes_input
from ..product.blocking import MR
from ..product.pack import pack_tiles

# Columns of a layout (see `layout_of`): the layers, and offsets.
UNITS, ACTIVATION, PARAMS_AT, PACKED_AT, INPUTS_AT, TARGETS_AT, FACTORS_AT, SLOPES_AT = range(8)
ERRORS_AT, ERROR_ROWS_AT, COLUMNS = 8, 9, 10
# Samples that are read, or judged, at a time: a microbatch, or half of one in the wide way of learning.
GROUP = 64
# Parts into which work is cut for threads, each with work space of its own.
PARTS = 16
# Bytes that are too far from row to row for the first cache: of 64 sets of lines (of 32 KB with 8 lines a set, or 48 KB
# with 12), they would meet in 8.
CROWDED = 512
# From this many bytes on, weights are copied into the order in which the forward pass reads them.
PACKED_FROM = 1 << 18


@python_or_compiled
def packed_size(n_in, n_out, itemsize):
    """Elements of the packed copy of a layer's weights: none where they are few."""
    return (n_in + 1) * (n_out + MR) if (n_in + 1) * n_out * itemsize >= PACKED_FROM else 0


@python_or_compiled
def error_row(units, itemsize):
    """Elements from one row of errors to the next: an odd number of cache lines, so that rows meet in no cache set."""
    return ((units * itemsize + CACHE_LINE - 1) // CACHE_LINE | 1) * CACHE_LINE // itemsize


@python_or_compiled
def microbatch_stride(samples, itemsize):
    """
    Columns of a microbatch of so many samples: whole vectors.

    Where units would lie a multiple of CROWDED bytes apart, one cache line more: else the rows that a panel of samples
    is made of would meet in a few sets of the first cache, and each use would take them from the second.
    """
    stride = whole_vectors(samples, itemsize)
    return stride + CACHE_LINE // itemsize if stride * itemsize % CROWDED == 0 else stride


@python_or_compiled
def layout_of(sizes, activations, dropout, stride, itemsize):
    """
    A network, and where everything lies: row l is of layer l, the last row of what comes out.

    ``UNITS`` and ``ACTIVATION`` are the units that layer l takes (in the last row, the outputs), and the code of its
    activation. ``PARAMS_AT``: its [W; b] in the parameters. ``PACKED_AT``: its packed copy, of no elements where it is
    small. The others are offsets in the space of a microbatch of `stride` columns:

    ``INPUTS_AT``: what layer l takes, and a row of ones; in the last row the outputs.
    ``TARGETS_AT``, ``FACTORS_AT``: in the last row, the targets, and the weights of the samples.
    ``SLOPES_AT``: what f' of layer l is computed from: z, where its activation takes that, or its outputs, which are
    what the next layer takes unless some of them are dropped (dropout: the share of each layer's units).
    ``ERRORS_AT``: delta of layer l as columns. Two buffers take turns from layer to layer.
    ``ERROR_ROWS_AT``: delta of layer l as rows. A forward pass takes the space before that of layer 0, learning all.
    """
    layers = sizes.size - 1
    layout = np.zeros((layers + 1, COLUMNS), np.int64)
    weights, packed, inputs, widest = 0, 0, 0, 0
    for l in range(layers):
        n_in, n_out = int(sizes[l]), int(sizes[l + 1])  # Python's own count twice as fast
        layout[l, UNITS], layout[l, ACTIVATION] = n_in, activations[l]
        layout[l, PARAMS_AT], layout[l, PACKED_AT], layout[l, INPUTS_AT] = weights, packed, inputs
        weights += (n_in + 1) * n_out
        packed += packed_size(n_in, n_out, itemsize)
        inputs += (n_in + 1) * stride
        widest = max(widest, n_out)
    n_out = int(sizes[layers])
    layout[layers, UNITS] = n_out
    layout[layers, PARAMS_AT], layout[layers, PACKED_AT], layout[layers, INPUTS_AT] = weights, packed, inputs
    targets = inputs + (n_out + 1) * stride
    factors = targets + n_out * stride
    errors = factors + stride
    layout[layers, TARGETS_AT], layout[layers, FACTORS_AT] = targets, factors
    end = errors + 2 * widest * stride
    for l in range(layers):
        apart = takes_input(activations[l]) or dropout[l] > 0
        layout[l, SLOPES_AT] = end if apart else layout[l + 1, INPUTS_AT]
        end += int(sizes[l + 1]) * stride if apart else 0
        layout[l, ERRORS_AT] = errors + (layers - 1 - l) % 2 * widest * stride
    layout[0, ERROR_ROWS_AT] = end
    for l in range(layers):
        layout[l + 1, ERROR_ROWS_AT] = layout[l, ERROR_ROWS_AT] + stride * error_row(sizes[l + 1], itemsize)
    return layout


@inner
def fill_ones(layout, stride, space, at):
    """Write the rows of ones of a microbatch."""
    for l in range(1, layout.shape[0]):
        ones = at + layout[l, INPUTS_AT] - stride
        for s in range(stride):
            space[ones + s] = 1


@inner
def pack_weights(layout, params, packed):
    """Copy the weights of large layers into the order in which the forward pass reads them."""
    for l in range(layout.shape[0] - 1):
        if layout[l + 1, PACKED_AT] > layout[l, PACKED_AT]:
            n_in, n_out = layout[l, UNITS], layout[l + 1, UNITS]
            tiles = packed, layout[l, PACKED_AT], MR * (n_in + 1)
            pack_tiles((n_out, n_in + 1), (params, layout[l, PARAMS_AT], 1, n_out), tiles)
