"""
A loss as a sum of squares: how residuals r, and their derivatives with respect to z, stand for it.

Near the present weights, the loss of a sample is 1/2 sum_k r_k^2 + constant, with a direction c_k = dr_k/dz for each
residual (Gauss-Newton; for other losses than the squared error, iteratively re-weighted least squares). They are chosen
such that sum_k r_k c_k = dJ/dz is the exact gradient, and sum_k c_k c_k^T the curvature of the loss, or an upper bound
of it where the loss has none (absolute error, quantile) or less (Huber, log cosh).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..compiler.assembler import Assembler
from ..compiler.routine import routine
from ..compiler.values import Float, Integer
from ..layer import elementary
from ..layer.activation import SOFTMAX
from ..layer.loss import ABSOLUTE_ERROR, HUBER, LOG_COSH, LOG_LOSS, PARAMETRIC, POISSON, QUANTILE, SQUARED_ERROR

# Errors that count as 0 where the loss has a kink there: of less, the weight 1 / |e| is that of this.
NEAR = 1e-6
# In place of a loss: the residuals are the outputs themselves.
OUTPUTS = -1


def _log_cosh_weight(v: Assembler, e: Float) -> Float:
    # tanh(e) / e, 1 - e^2 / 3 near 0
    square = e * e
    small = square < 1e-8
    return v.where(small, v.fma(square, -1 / 3, 1), elementary.tanh(v, e) / v.where(small, 1, e))


def _size(v: Assembler, e: Float) -> Float:
    return v.max(abs(e), NEAR)


# Weight h of the square in 1/2 h e^2, whose slope h e is that of the loss: dJ/da = h e
WEIGHTS: dict[int, Callable[[Assembler, Float, Any], Any]] = {
    OUTPUTS: lambda v, e, p: v.const(1),
    SQUARED_ERROR: lambda v, e, p: v.const(1),
    ABSOLUTE_ERROR: lambda v, e, p: 1 / _size(v, e),
    HUBER: lambda v, e, p: p / v.max(abs(e), p),
    LOG_COSH: lambda v, e, p: _log_cosh_weight(v, e),
    QUANTILE: lambda v, e, p: v.where(e > 0, 1 - p, p) / _size(v, e),
}


@routine("(iii)(iii)(aaaa)(AA)")
def residuals(v: Assembler, codes: tuple, shape: tuple, operands: tuple, out: tuple) -> None:
    """
    Residual r_k of each sample of a tile, and its direction c_k, one sample a column.

    Parameters
    ----------
    codes : loss, activation, k
        `OUTPUTS` as loss: c_k = da_k/dz.
    shape : units, count, stride
        Unit j of sample s lies at j stride + s in `a`, `y` and `c`. Samples from `count` on get zeros.
    operands : a, y, weight, parameter
        Outputs, targets, a weight per sample, and a parameter per unit for the losses that have one.
    out : c, r
        c: on entry f'(z_k) of unit k in its row, unless outputs are softmax, or the loss goes with its outputs.
        Overwritten with c_k: a row per unit. r: a row, overwritten with r_k.
    """
    (loss, activation, k), (units, count, stride), (a, y, weight, parameter), (c, r) = codes, shape, operands, out
    soft = activation == SOFTMAX
    for s in v.range(0, count, v.lanes):
        valid, at = v.first(count - s), s + k * stride
        ak, yk, w = a[at], y[at], weight[s]
        for code in v.cases(loss, [*WEIGHTS, LOG_LOSS, POISSON]):
            e = ak - yk
            if code in WEIGHTS:
                # J = 1/2 w h e^2, so r = sqrt(w h) e and dr/da = sqrt(w h)
                h = WEIGHTS[code](v, e, parameter.broadcast(k) if code in PARAMETRIC else None)
                scale = v.const(1) if code == OUTPUTS else v.sqrt(w * h)
                r[s] = v.where(valid, scale * e, 0)
                with v.if_else(soft) as (yes, no):
                    with yes:
                        _softmax_direction(v, (units, stride, s, k), a, v.where(valid, scale * ak, 0), c)
                    with no:
                        _unit_direction(v, (units, stride, s, k), v.where(valid, scale * c[at], 0), c)
            elif code == LOG_LOSS:
                # d2J/dz2 = diag(a) - a a^T = sum_k c_k c_k^T for softmax, a (1 - a) for logistic units
                scale = v.sqrt(v.max(w * v.where(v.broadcast(soft), ak, ak * (1 - ak)), v.tiny))
                r[s] = v.where(valid, w * v.where(v.broadcast(soft), -yk, e) / scale, 0)
                with v.if_else(soft) as (yes, no):
                    with yes:
                        _softmax_direction(v, (units, stride, s, k), a, v.where(valid, scale, 0), c)
                    with no:
                        _unit_direction(v, (units, stride, s, k), v.where(valid, scale, 0), c)
            else:
                # exp outputs: d2J/dz2 = a
                scale = v.sqrt(v.max(w * ak, v.tiny))
                r[s] = v.where(valid, w * e / scale, 0)
                _unit_direction(v, (units, stride, s, k), v.where(valid, scale, 0), c)


def _unit_direction(v: Assembler, place: tuple, scale: Float, c: Any) -> None:
    """c_k = scale at unit k, 0 at the others."""
    units, stride, s, k = place
    for j in v.range(units):
        c[s + j * stride] = v.where(v.broadcast(j == k), scale, 0)


def _softmax_direction(v: Assembler, place: tuple, a: Any, scale: Float, c: Any) -> None:
    """c_k = scale (e_k - a)."""
    units, stride, s, k = place
    for j in v.range(units):
        c[s + j * stride] = scale * (v.where(v.broadcast(j == k), v.const(1), 0) - a[s + j * stride])


@routine("(iii)i(ai)(ai)(Ai)")
def products(v: Assembler, shape: tuple, more: Integer, a: tuple, b: tuple, out: tuple) -> None:
    """
    a_i b_j of a tile of samples, one a column, as row i * rows_b + j of `out`; added to it, if there is `more`.

    `shape` is the rows of a and b, and the columns: whole vectors.
    """
    (rows_a, rows_b, columns), (a, a_row), (b, b_row), (out, out_row) = shape, a, b, out
    with v.if_else(more == 0) as (first, others):
        for begins, branch in ((True, first), (False, others)):
            with branch:
                for s in v.range(0, columns, v.lanes):
                    for i in v.range(rows_a):
                        ai, to = a[s + i * a_row], out + (s + i * (rows_b * out_row))
                        for j in v.range(rows_b):
                            bj = b[s + j * b_row]
                            to[j * out_row] = ai * bj if begins else v.fma(ai, bj, to[j * out_row])
