"""
The Gauss-Newton matrix J^T J of a loss, and its gradient J^T r, without a Jacobian of all samples.

The factors of some microbatches at a time go into packed panels and are multiplied (see `terms`). Directly, these are
the rows of the Jacobian, and only blocks on and above the diagonal of J^T J are computed; the residuals are one more
column of J, so that the gradient is one more column of J^T J. Threads share the microbatches first and then the rows of
the products: every sum is taken in the same order for any number of threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..compiler.jit import frozen, inner, njit, python_or_compiled
from ..compiler.memory import whole_vectors
from ..layer.loss import NO_DECISION
from ..network.arguments import Net, Samples
from ..network.layout import PARAMS_AT, UNITS, fill_ones, pack_weights
from ..product.blocking import MR
from ..product.pack import pack_transposed
from ..product.tile import gemm
from .sweep import SweepWork, check_sweep, sweep, sweep_stride, sweep_work
from .terms import (
    A_AT,
    B_AT,
    B_ROWS,
    COLUMN,
    FIRST,
    HEIGHT,
    OUT_AT,
    PANELS_AT,
    TERM,
    TOGETHER,
    WIDTH,
    Terms,
    pair_number,
    table_of,
    terms_of,
)

# Most microbatches whose factors are there at a time, and bytes of them and of their panels that should be enough.
MOST_PARTS, HELD = 16, 1 << 24
# Rows and columns of the matrix that are copied at a time.
BLOCK = 32


class Sums(NamedTuple):
    """Memory for packed panels, `held` elements for each part, and for the sums of all terms."""

    panels: Any
    held: Any
    totals: Any


@python_or_compiled
def parts_of(rows, factors, itemsize):
    """Microbatches at a time, of so many rows in all; each has so many factors and panels, in elements."""
    return max(1, min((rows + TOGETHER - 1) // TOGETHER, min(MOST_PARTS, HELD // max(1, factors * itemsize))))


@njit(parallel=True)
def _add_products(samples, net, params, work, terms, sums):
    """Add the products of all terms for all samples to the sums. Unchecked."""
    work, terms = SweepWork(*work), Terms(*terms)
    layout, stride, factors = work.layout, work.stride, work.factors
    (panels, held, totals), (table, tasks, bins) = sums, (terms.table, terms.tasks, terms.bins)
    n, itemsize, infinite = samples.X.shape[0], params.itemsize, -params.dtype.type(np.inf)
    parts, one = work.results.size // 2, params.dtype.type(1)
    pack_weights(layout, params, work.packed)
    for part in range(parts):
        fill_ones(layout, stride, work.space, work.begin + part * work.size)
    for start in range(0, n, parts * TOGETHER):
        used = min(parts, (n - start + TOGETHER - 1) // TOGETHER)
        for number in prange(used):  # no race: each microbatch has memory of its own
            part = np.int64(number)  # prange counts in unsigned numbers
            first = start + part * TOGETHER
            count = min(TOGETHER, n - first)
            sweep(samples, first, count, net, params, work, terms, part)
            depth = whole_vectors(count, itemsize)
            for term in range(table.shape[0]):
                for k in range(terms.repeats):
                    row = table[term, B_AT] + k * terms.apart_rows
                    column = table[term, PANELS_AT] + k * terms.apart_columns
                    source = factors, part * work.held + row * stride, stride
                    pack_transposed((depth, table[term, B_ROWS]), source, one, panels, part * held + column * stride)
        for number in prange(bins.size - 1):  # no race: each task writes rows of its own
            for t in range(bins[np.int64(number)], bins[np.int64(number) + 1]):
                term, i, j = tasks[t, TERM], tasks[t, FIRST], tasks[t, COLUMN]
                width = table[term, WIDTH]
                target = totals, table[term, OUT_AT] + i * width + j, width
                for part in range(used):
                    depth = whole_vectors(min(TOGETHER, n - start - part * TOGETHER), itemsize)
                    for k in range(terms.repeats):
                        row = table[term, A_AT] + k * terms.apart_rows + i
                        column = table[term, PANELS_AT] + k * terms.apart_columns
                        a = factors, part * work.held + row * stride, stride, 1, MR * stride
                        b = panels, part * held + column * stride + j * depth, 0, depth
                        # sum_s A_is B_js
                        gemm((tasks[t, HEIGHT], table[term, B_ROWS] - j, depth), a, b, target, target, infinite)


_add_products_serial = _add_products.serial


@njit
def _add_up(layout, terms, totals, matrix, gradient):
    """Add the sums to the matrix on and above its diagonal, and to the gradient."""
    if terms.factored:
        _add_factored(layout, terms.table, totals, matrix, gradient)
        return
    width, P = terms.table[0, WIDTH], gradient.size
    for i in range(P):
        for j in range(i, P):
            matrix[i, j] += totals[i * width + j]
        gradient[i] += totals[i * width + P]


@inner
def _add_factored(layout, table, totals, matrix, gradient):
    """The same in the factored way: element (i k, j u) of a term belongs to weight ij of layer l and weight ku of m."""
    layers = layout.shape[0] - 1
    for l in range(layers):
        first, units = layout[l, PARAMS_AT], layout[l + 1, UNITS]
        for m in range(l, layers):
            term, inputs_m, units_m = pair_number(l, m, layers), layout[m, UNITS] + 1, layout[m + 1, UNITS]
            for i in range(layout[l, UNITS] + 1):
                for k in range(i if l == m else 0, inputs_m):
                    pair = k * (k + 1) // 2 + i if l == m else i * inputs_m + k
                    at, to = table[term, OUT_AT] + pair * table[term, WIDTH], layout[m, PARAMS_AT] + k * units_m
                    for j in range(units):
                        row = first + i * units + j
                        if l != m:
                            for u in range(units_m):
                                matrix[row, to + u] += totals[at + j * units_m + u]
                            continue
                        if i != k:  # else this is below the diagonal
                            for u in range(j):
                                matrix[row, to + u] += totals[at + j * (j + 1) // 2 + u]
                        for u in range(j, units):
                            matrix[row, to + u] += totals[at + u * (u + 1) // 2 + j]
        term = layers * (layers + 1) // 2 + l
        for i in range(layout[l, UNITS] + 1):
            at = table[term, OUT_AT] + i * table[term, WIDTH]
            for j in range(units):
                gradient[first + i * units + j] += totals[at + j]


@njit
def _mirror(matrix):
    """Copy what is above the diagonal to below it, block by block: a column of all rows has a page for each."""
    P = matrix.shape[0]
    for i0 in range(0, P, BLOCK):
        for j0 in range(0, i0 + 1, BLOCK):
            for i in range(i0, min(i0 + BLOCK, P)):
                for j in range(j0, min(j0 + BLOCK, i)):
                    matrix[i, j] = matrix[j, i]


@python_or_compiled
def _check(matrix, gradient, params):
    """Raise ValueError unless the matrix and the gradient of so many parameters fit."""
    P = params.size
    if matrix.shape[0] != P or matrix.shape[1] != P or gradient.size != P:
        raise ValueError(
            "gauss_newton: matrix must have shape (P, P) and gradient (P,); (params, matrix, gradient) are",
            params.shape,
            matrix.shape,
            gradient.shape,
        )


def gauss_newton_bytes(sizes, rows, params, itemsize):
    """What `gauss_newton` takes for a network of so many parameters, besides the matrix."""
    _, factors, columns, size = table_of(sizes, params, itemsize)
    held = (factors + columns) * sweep_stride(rows, itemsize)
    return int(parts_of(rows, held, itemsize) * held + size) * itemsize


@python_or_compiled
def _memory(net, rows, P, dtype):
    """The terms of a network of so many parameters, and memory for so many samples."""
    itemsize = np.empty(0, dtype).itemsize
    terms, stride = terms_of(net.sizes, P, itemsize), sweep_stride(rows, itemsize)
    parts = parts_of(rows, (terms.rows + terms.columns) * stride, itemsize)
    work = sweep_work(net.sizes, net.activations, rows, terms.rows, parts, dtype)
    held = terms.columns * stride
    return work, terms, Sums(np.empty(parts * held, dtype), held, np.zeros(terms.size, dtype))


@python_or_compiled
def gauss_newton(X, Y, weight, sizes, activations, loss, loss_parameter, params, matrix, gradient):  # noqa: PLR0913
    """
    Add the Gauss-Newton matrix J^T J of some samples to a matrix, and the gradient J^T r of their loss to an array.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        One sample a row.
    Y : C-contiguous array, shape (n, sizes[-1])
        Targets.
    weight : C-contiguous array, shape (n,)
        Factor of each sample's loss.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss : int
        Code of the loss, as in `output_delta`; not of a custom one.
    loss_parameter : array, shape (sizes[-1],), or (0,) where the loss has none
    params : C-contiguous array, shape (P,), P = parameter_count(sizes)
    matrix : array, shape (P, P)
        J^T J is added to it: symmetric, if it was.
    gradient : array, shape (P,)
        J^T r is added to it: the exact gradient of the summed losses.

    Returns
    -------
    float
        The sum of the losses.

    Raises
    ------
    ValueError
        Shapes, layouts or codes that do not fit, or a custom loss.

    Notes
    -----
    A loss is taken as a sum of squares 1/2 sum_k r_k^2 near `params`: r = sqrt(weight) (yhat - y) for the squared
    error; for the others the gradient is exact, and J^T J the curvature of the loss as a function of z (log-loss,
    poisson), or that of the parabola that touches the loss at e and lies above it (huber, log_cosh, absolute_error,
    quantile; errors below 1e-6 count as 1e-6 in the last two). Each row of J is what backpropagation gives for one
    residual: delta_k = dr_k/dz and dr_k/dw_ij = a_i delta_j (lecture L25, L28).

    n d P^2 flops for d outputs, half of a product, as J^T J is symmetric; for several outputs or layers mostly fewer
    (see ``kernels/second_order/terms.py``). J is never there as a whole. Work space is allocated once a call.
    """
    samples = Samples(frozen(X), frozen(Y), frozen(weight))
    net = Net(frozen(sizes), frozen(activations), loss, frozen(loss_parameter), NO_DECISION)
    check_sweep(samples, net, params)
    _check(matrix, gradient, params)
    if X.shape[0] == 0:
        return 0.0
    work, terms, sums = _memory(net, X.shape[0], params.size, params.dtype)
    _add_products_serial(samples, net, frozen(params), work, terms, sums)
    _add_up(work.layout, terms, sums.totals, matrix, gradient)
    _mirror(matrix)
    return work.results[::2].sum()


def gauss_newton_parallel(X, Y, weight, sizes, activations, loss, loss_parameter, params, matrix, gradient):  # noqa: PLR0913
    """
    As `gauss_newton`, on the threads that `threads` has set: with the same bits.

    Parameters
    ----------
    X, Y, weight, sizes, activations, loss, loss_parameter, params, matrix, gradient
        As in `gauss_newton`. Called from Python, inside ``with threads(n)``.

    Returns
    -------
    float
        The sum of the losses.

    Raises
    ------
    ValueError
        As `gauss_newton`.

    Notes
    -----
    Each thread takes samples of its own, and then rows of the matrix of its own.
    """
    samples = Samples(frozen(X), frozen(Y), frozen(weight))
    net = Net(frozen(sizes), frozen(activations), loss, frozen(loss_parameter), NO_DECISION)
    check_sweep(samples, net, params)
    _check(matrix, gradient, params)
    if X.shape[0] == 0:
        return 0.0
    work, terms, sums = _memory(net, X.shape[0], params.size, params.dtype)
    _add_products(samples, net, frozen(params), work, terms, sums)
    _add_up(work.layout, terms, sums.totals, matrix, gradient)
    _mirror(matrix)
    return float(work.results[::2].sum())


class GaussNewton:
    """
    `gauss_newton` for a network that it is called for again and again: memory is made once. For one thread at a time.

    Parameters
    ----------
    sizes, activations, loss, loss_parameter
        As in `gauss_newton`.
    rows : int
        Most samples of a call.
    params : array
        Of the dtype and the size of those of the calls.
    """

    def __init__(self, sizes, activations, loss, loss_parameter, rows, params):
        self.net = Net(frozen(sizes), frozen(activations), loss, frozen(loss_parameter), NO_DECISION)
        self.memory = _memory(self.net, rows, params.size, params.dtype)

    def __call__(self, X, Y, weight, params, matrix, gradient, parallel):
        """As `gauss_newton`, but for the half of the matrix below its diagonal, which stays as it is."""
        samples, (work, terms, sums) = Samples(frozen(X), frozen(Y), frozen(weight)), self.memory
        check_sweep(samples, self.net, params)
        _check(matrix, gradient, params)
        if X.shape[0] == 0:
            return 0.0
        sums.totals[:], work.results[:] = 0, 0
        add = _add_products if parallel else _add_products_serial
        add(samples, self.net, frozen(params), work, terms, sums)
        _add_up(work.layout, terms, sums.totals, matrix, gradient)
        return float(work.results[::2].sum())
