"""Rows of the Jacobian of a network, one for each output of each sample (lecture L25, L28)."""

import numpy as np

from ..compiler.jit import frozen, njit, python_or_compiled
from ..layer.loss import NO_DECISION
from ..network.arguments import Net, Samples
from ..network.forward import check_network
from ..network.layout import PARAMS_AT, UNITS, fill_ones, pack_weights
from ..product.pack import transpose_exact
from .residual import OUTPUTS
from .sweep import check_sweep, sweep, sweep_work
from .terms import TOGETHER, Terms


@python_or_compiled
def _memory(sizes, activations, rows, params):
    """Memory for the Jacobian of each output of a microbatch, and where they lie."""
    outputs, P, none = np.int64(sizes[sizes.size - 1]), np.int64(params.size), np.zeros((1, 1), np.int64)
    terms = Terms(False, none, none, none[0], outputs * (P + 1), 0, 0, outputs, P + 1, 0)
    return sweep_work(sizes, activations, rows, terms.rows, 1, params.dtype), terms


@njit
def _write_rows(samples, net, params, work, terms, J, r):
    """Rows of the Jacobian of all residuals, and the residuals. Unchecked."""
    layout, stride, factors = work.layout, work.stride, work.factors
    layers, n, zero = layout.shape[0] - 1, samples.X.shape[0], np.int64(0)
    P, outputs = layout[layers, PARAMS_AT], layout[layers, UNITS]
    pack_weights(layout, params, work.packed)
    fill_ones(layout, stride, work.space, work.begin)
    for first in range(0, n, TOGETHER):
        count = min(TOGETHER, n - first)
        sweep(samples, first, count, net, params, work, terms, zero)
        for k in range(outputs):
            columns, row = k * (P + 1) * stride, first * outputs + k
            transpose_exact((P, count), (factors, columns, stride), (J, row * P, outputs * P))
            for s in range(count):
                r[row + s * outputs] = factors[columns + P * stride + s]


@python_or_compiled
def jacobian(X, sizes, activations, params, out):
    """
    Jacobian of the outputs of a network with respect to its parameters: d yhat_k / d w for each sample.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        One sample a row.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    params : C-contiguous array, shape (P,), P = parameter_count(sizes)
    out : C-contiguous array, shape (n, sizes[-1], P)
        Overwritten with the derivatives, in the order of `params`.

    Raises
    ------
    ValueError
        Shapes, layouts or codes that do not fit.

    Notes
    -----
    Backpropagation with delta_k = d yhat_k / dz at the outputs, once for each output, and d yhat_k / dw_ij =
    a_i delta_j (lecture L25, L28). 2 n P flops forward, and up to 3 n P back for each output. Work space is allocated
    once a call.
    """
    check_network(sizes, activations, params)
    n, outputs, P = X.shape[0], sizes[activations.size], params.size
    if X.shape[1] != sizes[0]:
        raise ValueError("jacobian: X must have sizes[0] columns; (X, wanted) are", X.shape, sizes[0])
    if out.shape[0] != n or out.shape[1] != outputs or out.shape[2] != P:
        raise ValueError(
            "jacobian: out must have shape (n, sizes[-1], P); (out, wanted) are", out.shape, (n, outputs, P)
        )
    if not (X.flags.c_contiguous and out.flags.c_contiguous):
        raise ValueError("jacobian: X and out must be C-contiguous")
    if n == 0:
        return
    samples = Samples(frozen(X), frozen(np.zeros((n, outputs), params.dtype)), frozen(np.ones(n, params.dtype)))
    net = Net(frozen(sizes), frozen(activations), OUTPUTS, frozen(np.empty(0, params.dtype)), NO_DECISION)
    work, terms = _memory(net.sizes, net.activations, n, params)
    _write_rows(samples, net, frozen(params), work, terms, out.reshape(out.size), np.empty(n * outputs, params.dtype))


def residual_jacobian(samples, sizes, activations, loss, loss_parameter, params, J, r):
    """
    Write the rows of the Jacobian of all residuals (see `residual`), shape (n outputs, P), and the residuals.

    `samples` is X, Y and weight; the other arguments are as in `gauss_newton`.
    """
    samples = Samples(*map(frozen, samples))
    net = Net(frozen(sizes), frozen(activations), loss, frozen(loss_parameter), NO_DECISION)
    check_sweep(samples, net, params)
    work, terms = _memory(net.sizes, net.activations, len(samples.X), params)
    _write_rows(samples, net, frozen(params), work, terms, J.reshape(J.size), r)
