"""The lecture's backward equations of one layer as drop-in kernels (L25, L27, L28)."""

from ..compiler.assembler import I64, Assembler, Value
from ..compiler.jit import njit
from ..compiler.memory import memory, steps, written_memory
from ..compiler.routine import routine
from ..product.matmul import multiply
from .activation import IDENTITY, SOFTMAX, multiply_derivative

# Vectors of columns whose sums stay in registers, and rows that are summed in their own precision.
TOGETHER, SHORT = 4, 64


@routine("iiaiiAi")
def column_sums(
    v: Assembler, n: Value, m: Value, x: Value, x_row: Value, x_column: Value, out: Value, out_step: Value
) -> None:
    """s_j = sum_i x_ij for x of n x m; sums of SHORT rows are added up in float64: so the error does not grow with n."""
    b = v.b
    double = Assembler(b, 8, 8 * v.lanes)
    whole = b.mul(b.sdiv(m, I64(TOGETHER * v.lanes)), I64(TOGETHER * v.lanes))

    def columns(gaps: bool, j: Value, vectors: int, mask: Value | None = None) -> None:
        def row(i: Value, *sums: Value) -> list[Value]:
            found = []
            for k, total in enumerate(sums):
                p = v.at(v.at(x, b.mul(i, x_row)), b.mul(b.add(j, I64(k * v.lanes)), x_column))
                found.append(v.add(total, v.gather(p, x_column, mask) if gaps else v.load(p, mask)))
            return found

        def rows(i: Value, *totals: Value) -> list[Value]:
            stop = b.add(i, I64(SHORT))
            stop = b.select(b.icmp_signed("<", stop, n), stop, n)
            sums = v.loop(i, stop, 1, row, [v.const(0)] * vectors)
            return [
                b.fadd(t, b.fpext(s, double.vector) if v.size == 4 else s) for t, s in zip(totals, sums, strict=True)
            ]

        for k, total in enumerate(v.loop(0, n, SHORT, rows, [double.const(0)] * vectors)):
            total = b.fptrunc(total, v.vector) if v.size == 4 else total
            v.scatter(total, v.at(out, b.mul(b.add(j, I64(k * v.lanes)), out_step)), out_step, mask)

    def every(gaps: bool) -> None:
        v.loop(0, whole, TOGETHER * v.lanes, lambda j: columns(gaps, j, TOGETHER))
        v.loop(whole, m, v.lanes, lambda j: columns(gaps, j, 1, v.first(b.sub(m, j))))

    with b.if_else(b.icmp_signed("==", x_column, I64(1))) as (contiguous, spread):
        with contiguous:
            every(False)
        with spread:
            every(True)


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
        raise ValueError("hidden_delta: kind must be an element-wise activation code 0 to 12, got", kind)
    if W_next.shape[0] != a.shape[1] or W_next.shape[1] != delta_next.shape[1]:
        raise ValueError(
            "hidden_delta: W_next must have shape (d, d_next); (W_next, a, delta_next) came as",
            W_next.shape,
            a.shape,
            delta_next.shape,
        )
    if delta_next.shape[0] != a.shape[0] or out.shape != a.shape:
        raise ValueError(
            "hidden_delta: delta_next and out must have a row per row of a; (a, delta_next, out) came as",
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
        raise ValueError(
            "weight_gradient: delta must have a row per row of a; (a, delta) came as", a.shape, delta.shape
        )
    if out.shape[0] != a.shape[1] or out.shape[1] != delta.shape[1]:
        raise ValueError(
            "weight_gradient: out must have shape (d_in, d_out); (a, delta, out) came as",
            a.shape,
            delta.shape,
            out.shape,
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
        raise ValueError("bias_gradient: out must have shape (d_out,); (delta, out) came as", delta.shape, out.shape)
    (row, column), (step,) = steps(delta), steps(out)
    column_sums(delta.shape[0], delta.shape[1], memory(delta), 0, row, column, written_memory(out), 0, step)
