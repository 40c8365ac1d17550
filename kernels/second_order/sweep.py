"""
Rows of the Jacobian of many samples: forward through the layers, and back once for each residual (lecture L25, L28).

A residual r_k of a sample is a scalar, so what backpropagation gives for it is a row of the Jacobian: dr_k/dw_ij = a_i
delta_j, with delta_j = dr_k/dz_j of the layer above. Samples go through in microbatches, one a column; so a row of the
Jacobian is a column here: element p of sample s lies at p * stride + s. After the parameters comes a row with the
residuals themselves.
"""

from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import inner, python_or_compiled
from ..compiler.memory import aligned, whole_vectors
from ..layer.activation import SOFTMAX, multiply_derivative, softmax_columns
from ..layer.evaluation import check_loss
from ..layer.loss import LOWEST_ADDRESS, takes_outputs
from ..minibatch.steps import BAND, output_errors, unit_errors
from ..network.arguments import Microbatch
from ..network.forward import LAYER_MC, check_network, unit_outputs
from ..network.layout import (
    ACTIVATION,
    ERROR_ROWS_AT,
    ERRORS_AT,
    FACTORS_AT,
    INPUTS_AT,
    PACKED_AT,
    PARAMS_AT,
    TARGETS_AT,
    UNITS,
    layout_of,
    microbatch_stride,
)
from ..product.pack import read_transposed
from .residual import OUTPUTS, products, residuals

# Samples of a microbatch.
TOGETHER = 128


class SweepWork(NamedTuple):
    """
    Memory of a sweep: packed weights, and for each of so many parts `size` elements of space and a Jacobian.

    The Jacobian of a part has `columns` elements: (parameters + 1) x stride for each residual of a sample.
    """

    layout: Any
    stride: Any
    packed: Any
    space: Any
    begin: Any
    size: Any
    jacobian: Any
    columns: Any
    results: Any


@python_or_compiled
def sweep_work(sizes, activations, rows, parts, dtype):
    """Memory for a sweep over so many rows, in so many microbatches at a time."""
    layers, itemsize = activations.size, np.empty(0, dtype).itemsize
    stride = microbatch_stride(min(rows, TOGETHER), itemsize)
    layout = layout_of(sizes, activations, np.zeros(layers), stride, itemsize)
    size, params = layout[0, ERROR_ROWS_AT], layout[layers, PARAMS_AT]
    columns = sizes[layers] * (params + 1) * stride
    packed = np.empty(layout[layers, PACKED_AT], dtype)
    space, jacobian = np.empty(parts * size + 16, dtype), np.empty(parts * columns + 16, dtype)
    return SweepWork(layout, stride, packed, space, aligned(space), size, jacobian, columns, np.zeros(2 * parts))


@python_or_compiled
def check_sweep(samples, net, params):
    """Raise ValueError unless samples, network and loss go together, and the loss is a sum of squares."""
    X, Y, weight, sizes, layers = samples.X, samples.Y, samples.weight, net.sizes, net.activations.size
    check_network(sizes, net.activations, params)
    check_loss(net.loss, net.loss_parameter, net.activations[layers - 1], sizes[layers])
    if net.loss >= LOWEST_ADDRESS:
        raise ValueError("gauss_newton: a custom loss has no form as a sum of squares; the loss is", net.loss)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError("gauss_newton: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) are", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError(
            "gauss_newton: Y and weight must have a row per row of X; (X, Y, weight) are",
            X.shape,
            Y.shape,
            weight.shape,
        )
    if not (X.flags.c_contiguous and Y.flags.c_contiguous and weight.flags.c_contiguous):
        raise ValueError("gauss_newton: X, Y and weight must be C-contiguous")


@inner
def read_rows(samples, micro):
    """Samples into the columns of a microbatch: inputs, targets, weights."""
    (X, Y, weight), (layout, stride, space, at, first, count) = samples, micro
    layers = layout.shape[0] - 1
    n_in, n_out = layout[0, UNITS], layout[layers, UNITS]
    read_transposed((count, n_in), X, first * n_in, (space, at, stride))
    read_transposed((count, n_out), Y, first * n_out, (space, at + layout[layers, TARGETS_AT], stride))
    factors = at + layout[layers, FACTORS_AT]
    for s in range(count):
        space[factors + s] = weight[first + s]


@inner
def residual_columns(micro, k, objective, params, out, to):
    """
    Rows of the Jacobian of residual k, as columns of `out` from `to` on, and the residuals after them.

    For `OUTPUTS` as loss, residual k is output k.
    """
    (layout, stride, space, at, _, count), (loss, parameter) = micro, objective
    layers = layout.shape[0] - 1
    last, n_out = layout[layers - 1, ACTIVATION], layout[layers, UNITS]
    columns, total = whole_vectors(count, space.itemsize), layout[layers, PARAMS_AT]
    a, c = at + layout[layers, INPUTS_AT], at + layout[layers - 1, ERRORS_AT]
    # c_k = dr_k/dz of the output layer
    if last != SOFTMAX and not takes_outputs(loss):
        for s in range(columns):
            space[c + k * stride + s] = 1
        multiply_derivative(last, columns, (space, a + k * stride, 1), (space, c + k * stride, 1))
    operands = space, a, space, at + layout[layers, TARGETS_AT], space, at + layout[layers, FACTORS_AT], parameter, 0
    residuals((loss, last, k), (n_out, count, stride), operands, (space, c, out, to + total * stride))
    for l in range(layers - 1, -1, -1):
        # dr/dw_ij = a_i delta_j, and dr/db_j as the row of W that meets the ones
        inputs, delta = at + layout[l, INPUTS_AT], at + layout[l, ERRORS_AT]
        shape = layout[l, UNITS] + 1, layout[l + 1, UNITS], columns
        products(
            shape, (space, inputs, stride), (space, delta, stride), (out, to + layout[l, PARAMS_AT] * stride, stride)
        )
        # delta(l-1) = (W(l) delta(l)) f'(z(l-1))
        if l > 0:
            for i in range(0, layout[l, UNITS], BAND):
                unit_errors(micro, l, i, params)


@inner
def sweep(samples, first, count, net, params, work, part):
    """The Jacobian of some samples, and the residuals, in the memory of a part; adds up their losses. Unchecked."""
    layout, stride, packed, space, begin, size, jacobian, columns, results = work
    layers, at = layout.shape[0] - 1, begin + part * size
    micro = Microbatch(layout, stride, space, at, first, count)
    read_rows(samples, micro)
    # A(l) = f(A(l-1) W(l) + b(l))
    for l in range(layers):
        for i in range(0, layout[l + 1, UNITS], LAYER_MC):
            unit_outputs(micro, l, i, params, packed)
    if net.loss == OUTPUTS:
        if layout[layers - 1, ACTIVATION] == SOFTMAX:
            softmax_columns(layout[layers, UNITS], count, stride, space, at + layout[layers, INPUTS_AT])
    else:  # which computes softmax, too
        output_errors(micro, (net.loss, net.loss_parameter, net.decision), results, 2 * part)
    each = (layout[layers, PARAMS_AT] + 1) * stride
    for k in range(layout[layers, UNITS]):
        residual_columns(micro, k, (net.loss, net.loss_parameter), params, jacobian, part * columns + k * each)
