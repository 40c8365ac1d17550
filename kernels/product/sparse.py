"""The first layer on a sparse matrix of samples, in compressed rows (CSR): only what is not 0 is multiplied."""

from __future__ import annotations

from llvmlite import ir

from ..compiler.assembler import I64, VECTOR_BYTES, Assembler, Value
from ..compiler.jit import inner, njit, python_or_compiled
from ..compiler.routine import routine

# Vectors of a row of weights whose sums stay in registers.
TOGETHER = 4


@python_or_compiled
def csr_band(itemsize):
    """Columns of the gradient that are summed at a time: threads take one each."""
    return TOGETHER * VECTOR_BYTES // itemsize


def _item(v: Assembler, p: Value, i: Value) -> Value:
    return v.b.load(v.b.gep(p, [i], source_etype=I64), typ=ir.IntType(64), align=8)


@routine("iiinannaAi")
def csr_forward(
    v: Assembler,
    samples: Value,
    n_in: Value,
    n_out: Value,
    order: Value,
    data: Value,
    indices: Value,
    indptr: Value,
    W: Value,
    out: Value,
    out_row: Value,
) -> None:
    """z_j = sum_i x_i w_ij + b_j for the rows order_0 ... of a sparse matrix, one after another; row n_in of `W` is b. Unchecked."""
    b = v.b
    whole = b.mul(b.sdiv(n_out, I64(TOGETHER * v.lanes)), I64(TOGETHER * v.lanes))

    def sample(s: Value) -> None:
        r = _item(v, order, s)
        begin, end = _item(v, indptr, r), _item(v, indptr, b.add(r, I64(1)))

        def columns(j: Value, vectors: int, mask: Value | None) -> None:
            def row(i: Value) -> list[Value]:
                p = v.at(W, b.add(b.mul(i, n_out), j))
                return [v.load(v.at(p, k * v.lanes), mask) for k in range(vectors)]

            def term(k: Value, *sums: Value) -> list[Value]:
                x = v.broadcast(v.load_scalar(v.at(data, k)))
                return [v.fma(x, w, z) for w, z in zip(row(_item(v, indices, k)), sums, strict=True)]

            for k, z in enumerate(v.loop(begin, end, 1, term, row(n_in))):
                v.store(z, v.at(v.at(out, b.add(b.mul(s, out_row), j)), k * v.lanes), mask)

        v.loop(0, whole, TOGETHER * v.lanes, lambda j: columns(j, TOGETHER, None))
        v.loop(whole, n_out, v.lanes, lambda j: columns(j, 1, v.first(b.sub(n_out, j))))

    v.loop(0, samples, 1, sample)


@routine("iiiiinannaiA")
def csr_gradient(
    v: Assembler,
    samples: Value,
    n_in: Value,
    n_out: Value,
    j0: Value,
    j1: Value,
    order: Value,
    data: Value,
    indices: Value,
    indptr: Value,
    delta: Value,
    delta_row: Value,
    out: Value,
) -> None:
    """dw_ij += sum_s x_si delta_sj and db_j += sum_s delta_sj, for columns j0 ... j1, on the rows order_0 ...; row n_in of `out` is db."""
    b = v.b

    def sample(s: Value) -> None:
        r = _item(v, order, s)
        errors = v.at(delta, b.mul(s, delta_row))

        def add(i: Value, x: Value) -> None:
            def vector(j: Value) -> None:
                mask = v.first(b.sub(j1, j))
                p = v.at(out, b.add(b.mul(i, n_out), j))
                v.store(v.fma(x, v.load(v.at(errors, j), mask), v.load(p, mask)), p, mask)

            v.loop(j0, j1, v.lanes, vector)

        v.loop(
            _item(v, indptr, r),
            _item(v, indptr, b.add(r, I64(1))),
            1,
            lambda k: add(_item(v, indices, k), v.broadcast(v.load_scalar(v.at(data, k)))),
        )
        add(n_in, v.const(1))

    v.loop(0, samples, 1, sample)


@inner
def _check_row(i, data, indices, indptr):
    """Raise ValueError unless row i lies within the matrix."""
    if i < 0 or i >= indptr.size - 1:  # i + 1 may be too large a number
        raise ValueError("rows: expected numbers of rows of the matrix, from 0 on, got", i)
    if indptr[i] < 0 or indptr[i + 1] < indptr[i] or indptr[i + 1] > data.size or indptr[i + 1] > indices.size:
        raise ValueError("indptr: expected increasing places within data and indices, got", indptr[i], indptr[i + 1])


@njit
def csr_linear_forward(data, indices, indptr, rows, W, b, out):
    """
    Linear part of a layer on rows of a sparse matrix X: Z = X W + b.

    Parameters
    ----------
    data, indices, indptr : array
        X in compressed rows: row i has the numbers ``data[k]`` in the columns ``indices[k]``, for k from ``indptr[i]`` to
        before ``indptr[i + 1]``.
    rows : int array, shape (n,)
        Rows of X that are samples here, in their order.
    W : array, shape (d_in, d_out)
    b : array, shape (d_out,)
    out : array, shape (n, d_out)
        Overwritten with Z. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a row or column outside of the matrix; rows of `out` before it are then written.

    Notes
    -----
    Lecture L4, L25: z_j = sum_i x_i w_ij + b_j, over the x_i that are stored. 2 d_out flops for each.
    """
    if b.shape[0] != W.shape[1] or out.shape[0] != rows.shape[0] or out.shape[1] != W.shape[1]:
        raise ValueError(
            "csr_linear_forward: expected W (d_in, d_out), b (d_out,) and out (n, d_out); (W, b, rows, out) came as",
            W.shape,
            b.shape,
            rows.shape,
            out.shape,
        )
    for r in range(rows.shape[0]):
        _check_row(rows[r], data, indices, indptr)
        z = out[r]
        for j in range(z.shape[0]):
            z[j] = b[j]
        for k in range(indptr[rows[r]], indptr[rows[r] + 1]):
            i, x = indices[k], data[k]
            if i < 0 or i >= W.shape[0]:
                raise ValueError(
                    "indices: expected columns of X, which has as many as W has rows; (column, W) came as", i, W.shape
                )
            # z_j = sum_i x_i w_ij + b_j
            w = W[i]
            for j in range(z.shape[0]):
                z[j] += x * w[j]


@njit
def csr_weight_gradient(data, indices, indptr, rows, delta, out):
    """
    Gradient of the first layer's weights on rows of a sparse matrix X: dW = X^T delta.

    Parameters
    ----------
    data, indices, indptr, rows
        Rows of X as in `csr_linear_forward`.
    delta : array, shape (n, d_out)
        dJ/dz of the layer.
    out : array, shape (d_in, d_out)
        Overwritten with dW: 0 for inputs that no sample has. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes that do not fit, or a row or column outside of the matrix; `out` is then a part of the sum.

    Notes
    -----
    Lecture L25, L27: dw_ij = sum_n x_ni delta_nj, over the x_ni that are stored. 2 d_out flops for each, and one pass over `out`.
    """
    if delta.shape[0] != rows.shape[0] or out.shape[1] != delta.shape[1]:
        raise ValueError(
            "csr_weight_gradient: expected delta (n, d_out) and out (d_in, d_out); (rows, delta, out) came as",
            rows.shape,
            delta.shape,
            out.shape,
        )
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
    for r in range(rows.shape[0]):
        _check_row(rows[r], data, indices, indptr)
        d = delta[r]
        for k in range(indptr[rows[r]], indptr[rows[r] + 1]):
            i, x = indices[k], data[k]
            if i < 0 or i >= out.shape[0]:
                raise ValueError(
                    "indices: expected columns of X, which has as many as out has rows; (column, out) came as",
                    i,
                    out.shape,
                )
            # dw_ij = sum_n x_ni delta_nj
            w = out[i]
            for j in range(w.shape[0]):
                w[j] += x * d[j]
