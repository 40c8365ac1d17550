"""
The Gauss-Newton matrix J^T J of a loss, and its gradient J^T r, without a Jacobian of all samples.

The Jacobian of some microbatches at a time goes into packed panels and meets itself: only blocks on and above the
diagonal of J^T J are computed. The residuals are one more column of J, so that the gradient is one more column of
J^T J. Threads share the microbatches first and then the blocks of the matrix: every sum is taken in the same order for
any number of threads.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..compiler.jit import frozen, njit, python_or_compiled
from ..compiler.memory import whole_vectors
from ..layer.loss import NO_DECISION
from ..network.arguments import Net, Samples
from ..network.layout import PARAMS_AT, UNITS, fill_ones, microbatch_stride, pack_weights
from ..product.blocking import MR, NR, panel_columns
from ..product.pack import pack_transposed
from ..product.tile import gemm
from .sweep import TOGETHER, SweepWork, check_sweep, sweep, sweep_work

# Most microbatches whose Jacobians are there at a time, and bytes that they should not exceed.
MOST_PARTS, HELD = 16, 1 << 24
# Rows of the matrix that are computed at a time: most, and the bands that there are at least.
BAND_ROWS, BANDS = 64, 8


class Products(NamedTuple):
    """Memory for the products of a Jacobian with itself: packed panels, and the sums (`width` elements a row)."""

    panels: Any
    packed: Any
    sums: Any
    width: Any
    height: Any


@python_or_compiled
def parts_of(rows, columns, itemsize):
    """Microbatches at a time, of so many rows in all; the Jacobian of each has so many elements, twice."""
    return max(1, min((rows + TOGETHER - 1) // TOGETHER, min(MOST_PARTS, HELD // max(1, 2 * columns * itemsize))))


@python_or_compiled
def products_work(sizes, params, stride, parts):
    """Memory for the matrix of a network."""
    panel, P = panel_columns(params.itemsize), params.size
    packed = sizes[sizes.size - 1] * stride * ((P + panel) // panel * panel)
    height = min(BAND_ROWS, max(1, (P + BANDS * MR - 1) // (BANDS * MR)) * MR)
    width = whole_vectors(P + 1, params.itemsize)
    return Products(np.empty(parts * packed, params.dtype), packed, np.zeros(P * width, params.dtype), width, height)


@njit(parallel=True)
def _add_products(samples, net, params, work, products):
    """Add [J r]^T [J r] of all samples to the sums, in blocks on and above the diagonal. Unchecked."""
    work = SweepWork(*work)
    layout, stride, jacobian, columns = work.layout, work.stride, work.jacobian, work.columns
    panels, packed, sums, width, height = products
    layers = layout.shape[0] - 1
    P, outputs, n = layout[layers, PARAMS_AT], layout[layers, UNITS], samples.X.shape[0]
    parts, panel, infinite = work.results.size // 2, panel_columns(params.itemsize), -params.dtype.type(np.inf)
    bands, one = (P + height - 1) // height, params.dtype.type(1)
    # After these panels, `panels` may cut the columns otherwise.
    whole = max(0, (whole_vectors(P + 1, params.itemsize) // (panel // NR) - 2) // NR)
    pack_weights(layout, params, work.packed)
    for part in range(parts):
        fill_ones(layout, stride, work.space, work.begin + part * work.size)
    for start in range(0, n, parts * TOGETHER):
        used = min(parts, (n - start + TOGETHER - 1) // TOGETHER)
        for number in prange(used):  # no race: each microbatch has memory of its own
            part = np.int64(number)  # prange counts in unsigned numbers
            first = start + part * TOGETHER
            count = min(TOGETHER, n - first)
            sweep(samples, first, count, net, params, work, part)
            for k in range(outputs):
                source = jacobian, part * columns + k * (P + 1) * stride, stride
                at = part * packed + k * (packed // outputs)
                pack_transposed((whole_vectors(count, params.itemsize), P + 1), source, one, panels, at)
        for number in prange((bands + 1) // 2):  # no race: each writes rows of its own
            for side in range(2):  # a long row and a short one: about the same work
                band = np.int64(number) if side == 0 else bands - 1 - np.int64(number)
                if side == 1 and band == np.int64(number):
                    break
                i = band * height
                j = min(i // panel, whole) * panel
                shape_rows, shape_columns = min(height, P - i), P + 1 - j
                for part in range(used):
                    depth = whole_vectors(min(TOGETHER, n - start - part * TOGETHER), params.itemsize)
                    for k in range(outputs):
                        a = part * columns + (k * (P + 1) + i) * stride
                        b = part * packed + k * (packed // outputs) + j * depth
                        target = sums, i * width + j, width
                        # sum_s J_si [J r]_sj
                        gemm(
                            (shape_rows, shape_columns, depth),
                            (jacobian, a, stride, 1, MR * stride),
                            (panels, b, 0, depth),
                            target,
                            target,
                            infinite,
                        )


_add_products_serial = _add_products.serial


@njit
def _add_up(products, matrix, gradient):
    """Add the sums to both halves of the matrix, and to the gradient."""
    sums, width, P = products.sums, products.width, gradient.size
    for i in range(P):
        for j in range(i, P):
            matrix[i, j] += sums[i * width + j]
        gradient[i] += sums[i * width + P]
    for i in range(P):
        for j in range(i):
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


@python_or_compiled
def _memory(samples, net, params):
    """Memory for all sums of these samples."""
    rows, stride = samples.X.shape[0], microbatch_stride(min(samples.X.shape[0], TOGETHER), params.itemsize)
    parts = parts_of(rows, net.sizes[net.sizes.size - 1] * (params.size + 1) * stride, params.itemsize)
    work = sweep_work(net.sizes, net.activations, rows, parts, params.dtype)
    return work, products_work(net.sizes, params, stride, parts)


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

    n d P^2 flops for d outputs, half of a product, as J^T J is symmetric; J is never there as a whole. Work space is
    allocated once a call.
    """
    samples = Samples(frozen(X), frozen(Y), frozen(weight))
    net = Net(frozen(sizes), frozen(activations), loss, frozen(loss_parameter), NO_DECISION)
    check_sweep(samples, net, params)
    _check(matrix, gradient, params)
    if X.shape[0] == 0:
        return 0.0
    work, products = _memory(samples, net, params)
    _add_products_serial(samples, net, frozen(params), work, products)
    _add_up(products, matrix, gradient)
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
    work, products = _memory(samples, net, params)
    _add_products(samples, net, frozen(params), work, products)
    _add_up(products, matrix, gradient)
    return float(work.results[::2].sum())
