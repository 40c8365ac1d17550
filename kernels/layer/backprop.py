"""The lecture's backward equations of one layer as drop-in kernels (L25, L27, L28)."""

from ..compiler.assembler import Assembler
from ..compiler.jit import njit
from ..compiler.memory import memory, steps, written_memory
from ..compiler.routine import routine
from ..compiler.values import DOUBLE, Integer, Mask
from ..product.matmul import multiply
from .activation import IDENTITY, SOFTMAX, multiply_derivative

# Vectors of columns whose sums stay in registers, and rows that are summed in their own precision.
TOGETHER, SHORT = 4, 64


@routine("(ii)(aii)(Ai)")
def column_sums(v: Assembler, shape: tuple, X: tuple, out: tuple) -> None:
    """
    s_j = sum_i x_ij; the sums of SHORT rows are added up in float64: so the error does not grow with n.

    Parameters
    ----------
    shape : n, m
    X : X, x_row, x_column
    out : s, s_step
    """
    (n, m), (X, x_row, x_column), (s, s_step) = shape, X, out
    whole = v.round_down(m, TOGETHER * v.lanes)

    def columns(gaps: bool, j: Integer, vectors: int, mask: Mask | None = None) -> None:
        totals = [v.const(0).to(DOUBLE)] * vectors
        for i in v.range(0, n, SHORT, carry=totals):
            sums = [v.const(0)] * vectors
            for r in v.range(i, v.min(i + SHORT, n), carry=sums):
                for k in range(vectors):
                    x = X + r * x_row + (j + k * v.lanes) * x_column
                    sums[k] += x.strided(x_column)[0, mask] if gaps else x[0, mask]
            totals[:] = [total + part.to(DOUBLE) for total, part in zip(totals, sums, strict=True)]
        for k, total in enumerate(totals):
            s.strided(s_step)[j + k * v.lanes, mask] = total.to(v.scalar)

    def every(gaps: bool) -> None:
        for j in v.range(0, whole, TOGETHER * v.lanes):
            columns(gaps, j, TOGETHER)
        for j in v.range(whole, m, v.lanes):
            columns(gaps, j, 1, v.first(m - j))

    with v.if_else(x_column == 1) as (contiguous, spread):
        with contiguous:
            every(gaps=False)
        with spread:
            every(gaps=True)


@njit
def hidden_delta(kind, delta_next, W_next, a, out):
    """
    Error signal of a hidden layer: delta_k = f'(z_k) sum_i delta_next_i w_ki.

    Parameters
    ----------
    kind : int
        Code of this layer's element-wise activation.
    delta_next : array, shape (n, d_next)
        delta of the layer above, one sample a row.
    W_next : array, shape (d, d_next)
        Weights into the layer above, from before its update.
    a : array, shape (n, d)
        Outputs of this layer.
    out : array, shape (n, d)
        Overwritten with delta. Must not overlap the others.

    Raises
    ------
    ValueError
        `kind` is not element-wise, or shapes do not fit.

    Notes
    -----
    Lecture L28; for logistic units delta = a (1 - a) sum(delta w). 2 n d d_next flops; samples are independent.
    """
    if kind < IDENTITY or kind >= SOFTMAX:
        raise ValueError("hidden_delta: kind must be the code of an element-wise activation, got", kind)
    if W_next.shape[0] != a.shape[1] or W_next.shape[1] != delta_next.shape[1]:
        raise ValueError(
            "hidden_delta: W_next must have shape (d, d_next); (W_next, a, delta_next) are",
            W_next.shape,
            a.shape,
            delta_next.shape,
        )
    if delta_next.shape[0] != a.shape[0] or out.shape != a.shape:
        raise ValueError(
            "hidden_delta: delta_next and out must have a row per row of a; (a, delta_next, out) are",
            a.shape,
            delta_next.shape,
            out.shape,
        )
    multiply(delta_next, W_next.T, out, 1, False)
    for i in range(a.shape[0]):
        multiply_derivative(kind, a.shape[1], (a[i], 0, steps(a)[1]), (out[i], 0, steps(out)[1]))


@njit
def weight_gradient(a, delta, out):
    """
    Gradient of a layer's weights, summed over the samples: dW_ij = sum_n a_ni delta_nj.

    Parameters
    ----------
    a : array, shape (n, d_in)
        What the layer saw: the outputs of the layer below.
    delta : array, shape (n, d_out)
        dJ/dz of the layer.
    out : array, shape (d_in, d_out)
        Overwritten with dW. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Notes
    -----
    Lecture L25, L27: dw = a delta. 2 n d_in d_out flops.
    """
    if delta.shape[0] != a.shape[0]:
        raise ValueError("weight_gradient: delta must have a row per row of a; (a, delta) are", a.shape, delta.shape)
    if out.shape[0] != a.shape[1] or out.shape[1] != delta.shape[1]:
        raise ValueError(
            "weight_gradient: out must have shape (d_in, d_out); (a, delta, out) are", a.shape, delta.shape, out.shape
        )
    multiply(a.T, delta, out, 1, False)


@njit
def bias_gradient(delta, out):
    """
    Gradient of a layer's biases, summed over the samples: db_j = sum_n delta_nj.

    Parameters
    ----------
    delta : array, shape (n, d_out)
    out : array, shape (d_out,)
        Overwritten with db. Must not overlap `delta`.

    Raises
    ------
    ValueError
        `out` of another length than the rows of `delta`.

    Notes
    -----
    Lecture L23, L27. n d_out additions, the sums of 64 rows in float64.
    """
    if out.shape[0] != delta.shape[1]:
        raise ValueError("bias_gradient: out must have shape (d_out,); (delta, out) are", delta.shape, out.shape)
    (row, column), (step,) = steps(delta), steps(out)
    column_sums(delta.shape, (memory(delta), 0, row, column), (written_memory(out), 0, step))
