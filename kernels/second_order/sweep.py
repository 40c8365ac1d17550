"""
Rows of the Jacobian of many samples: forward through the layers, and back once for each residual (lecture L25, L28).

A residual r_k of a sample is a scalar, so what backpropagation gives for it is a row of the Jacobian: dr_k/dw_ij = a_i
delta_j, with delta_j = dr_k/dz_j of the layer above. Samples go through in microbatches, one a column; so a row of the
Jacobian is a column here: element p of sample s lies at p * stride + s. After the parameters comes a row with the
residuals themselves. In the factored way (see `terms`), there are products of a_i, and of delta_j, in their place.
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
from .terms import A_AT, B_AT, TOGETHER


class SweepWork(NamedTuple):
    """
    Memory of a sweep: packed weights, and for each of so many parts `size` elements of space and `held` of factors.

    The factors are rows of `stride` elements (see `terms`).
    """

    layout: Any
    stride: Any
    packed: Any
    space: Any
    begin: Any
    size: Any
    factors: Any
    held: Any
    results: Any


@python_or_compiled
def sweep_stride(rows, itemsize):
    """Columns of a microbatch, where there are so many rows in all."""
    return microbatch_stride(min(rows, TOGETHER), itemsize)


@python_or_compiled
def sweep_work(sizes, activations, rows, factors, parts, dtype):
    """Memory for a sweep over so many rows with so many rows of factors, in so many microbatches at a time."""
    layers, itemsize = activations.size, np.empty(0, dtype).itemsize
    stride = sweep_stride(rows, itemsize)
    layout = layout_of(sizes, activations, np.zeros(layers), stride, itemsize)
    size = layout[0, ERROR_ROWS_AT]
    for l in range(layers):  # the errors of all layers are there at the same time
        layout[l, ERRORS_AT] = size
        size += sizes[l + 1] * stride
    packed = np.empty(layout[layers, PACKED_AT], dtype)
    held = factors * stride
    space, memory = np.empty(parts * size + 16, dtype), np.empty(parts * held + 16, dtype)
    return SweepWork(layout, stride, packed, space, aligned(space), size, memory, held, np.zeros(2 * parts))


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
def residual_errors(micro, k, objective, params, out, to):
    """
    Residuals r_k as a row of `out`, from `to` on, and their errors delta_j = dr_k/dz_j in all layers.

    For `OUTPUTS` as loss, residual k is output k.
    """
    (layout, stride, space, at, _, count), (loss, parameter) = micro, objective
    layers = layout.shape[0] - 1
    last, n_out, columns = layout[layers - 1, ACTIVATION], layout[layers, UNITS], whole_vectors(count, space.itemsize)
    a, c = at + layout[layers, INPUTS_AT], at + layout[layers - 1, ERRORS_AT]
    # c_k = dr_k/dz of the output layer
    if last != SOFTMAX and not takes_outputs(loss):
        for s in range(columns):
            space[c + k * stride + s] = 1
        multiply_derivative(last, columns, (space, a + k * stride, 1), (space, c + k * stride, 1))
    operands = space, a, space, at + layout[layers, TARGETS_AT], space, at + layout[layers, FACTORS_AT], parameter, 0
    residuals((loss, last, k), (n_out, count, stride), operands, (space, c, out, to))
    # delta(l-1) = (W(l) delta(l)) f'(z(l-1))
    for l in range(layers - 1, 0, -1):
        for i in range(0, layout[l, UNITS], BAND):
            unit_errors(micro, l, i, params)


@inner
def jacobian_rows(micro, out, to):
    """dr_k/dw_ij = a_i delta_j, and dr_k/db_j as the row of W that meets the ones: as rows of `out`, from `to` on."""
    layout, stride, space, at, _, count = micro
    for l in range(layout.shape[0] - 1):
        shape = layout[l, UNITS] + 1, layout[l + 1, UNITS], whole_vectors(count, space.itemsize)
        a, delta = (space, at + layout[l, INPUTS_AT], stride), (space, at + layout[l, ERRORS_AT], stride)
        products(shape, 0, a, delta, (out, to + layout[l, PARAMS_AT] * stride, stride))


@inner
def pair_rows(shape, more, same, a, b, out):
    """Products of the rows of a with those of b, of the `same` rows each pair once; added, if there is `more`."""
    (_, rows_b, columns), (space, at, stride), (out, to, _) = shape, b, out
    if not same:
        products(shape, more, a, b, (out, to, stride))
        return
    one = np.int64(1)  # typed: for a literal, the callee is compiled once more
    for k in range(rows_b):  # the last ones are those with the last row
        products((k + 1, one, columns), more, a, (space, at + k * stride, stride), (out, to, stride))
        to += (k + 1) * stride


@inner
def input_factors(micro, table, out, to):
    """a_i a_i' of all pairs of layers."""
    layout, stride, space, at, _, count = micro
    layers, columns, term, zero = layout.shape[0] - 1, whole_vectors(count, space.itemsize), 0, np.int64(0)
    for l in range(layers):
        a = space, at + layout[l, INPUTS_AT], stride
        for m in range(l, layers):
            b = space, at + layout[m, INPUTS_AT], stride
            shape = layout[l, UNITS] + 1, layout[m, UNITS] + 1, columns
            pair_rows(shape, zero, l == m, a, b, (out, to + table[term, A_AT] * stride, stride))
            term += 1


@inner
def error_factors(micro, k, table, out, to, residual):
    """Add to D_jj' = sum_k delta^k_j delta^k_j' of all pairs of layers, and to g_j = sum_k r_k delta^k_j of each."""
    layout, stride, space, at, _, count = micro
    layers, columns, term, one = layout.shape[0] - 1, whole_vectors(count, space.itemsize), 0, np.int64(1)
    for l in range(layers):
        a = space, at + layout[l, ERRORS_AT], stride
        for m in range(l, layers):
            b = space, at + layout[m, ERRORS_AT], stride
            shape = layout[l + 1, UNITS], layout[m + 1, UNITS], columns
            pair_rows(shape, k, l == m, a, b, (out, to + table[term, B_AT] * stride, stride))
            term += 1
    for l in range(layers):
        delta, target = (space, at + layout[l, ERRORS_AT], stride), to + table[term, B_AT] * stride
        products((one, layout[l + 1, UNITS], columns), k, (out, residual, stride), delta, (out, target, stride))
        term += 1


@inner
def sweep(samples, first, count, net, params, work, terms, part):
    """The factors of some samples in the memory of a part; adds up their losses. Unchecked."""
    layout, stride, packed, space, begin, size, factors, held, results = work
    layers, at, to = layout.shape[0] - 1, begin + part * size, part * held
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
    if terms.factored:
        input_factors(micro, terms.table, factors, to)
    for k in range(layout[layers, UNITS]):
        own = to + k * terms.apart_rows * stride
        residual = to + (terms.rows - 1) * stride if terms.factored else own + layout[layers, PARAMS_AT] * stride
        residual_errors(micro, k, (net.loss, net.loss_parameter), params, factors, residual)
        if terms.factored:
            error_factors(micro, k, terms.table, factors, to, residual)
        else:
            jacobian_rows(micro, factors, own)
