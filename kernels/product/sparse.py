"""The first layer on a sparse matrix of samples, in compressed rows (CSR): only what is not 0 is multiplied."""

from __future__ import annotations

from ..compiler.assembler import Assembler
from ..compiler.jit import inner, njit, python_or_compiled
from ..compiler.processor import VECTOR_BYTES
from ..compiler.routine import routine
from ..compiler.values import Address, Float, Integer, Mask

# Vectors of a row of weights whose sums stay in registers.
TOGETHER = 4


@python_or_compiled
def column_band(itemsize):
    """Columns of the first layer's weights that are taken at a time: threads take one each."""
    return TOGETHER * VECTOR_BYTES // itemsize


@routine("(iii)n(ann)a(Ai)")
def csr_forward(v: Assembler, shape: tuple, order: Address, csr: tuple, W: Address, out: tuple) -> None:
    """
    z_j = sum_i x_i w_ij + b_j for the rows order_0 ... of a sparse matrix, one after another. Unchecked.

    Parameters
    ----------
    shape : samples, n_in, n_out
    order : numbers of rows
    csr : data, indices, indptr
    W : [W; b], row n_in is b
    out : Z, z_row
    """
    (samples, n_in, n_out), (data, indices, indptr), (Z, z_row) = shape, csr, out
    whole = v.round_down(n_out, TOGETHER * v.lanes)

    def columns(terms: tuple, z: Address, j: Integer, vectors: int, mask: Mask | None = None) -> None:
        sums = [(W + n_in * n_out + j)[l * v.lanes, mask] for l in range(vectors)]
        for k in v.range(*terms, carry=sums):
            x, w = data.broadcast(k), W + indices.item(k) * n_out + j
            # z_j += x_i w_ij
            sums[:] = [v.fma(x, w[l * v.lanes, mask], z_l) for l, z_l in enumerate(sums)]
        for l, z_l in enumerate(sums):
            (z + j)[l * v.lanes, mask] = z_l

    for s in v.range(samples):
        row, z = order.item(s), Z + s * z_row
        terms = indptr.item(row), indptr.item(row + 1)
        for j in v.range(0, whole, TOGETHER * v.lanes):
            columns(terms, z, j, TOGETHER)
        for j in v.range(whole, n_out, v.lanes):
            columns(terms, z, j, 1, v.first(n_out - j))


@routine("(iii)(ii)n(ann)(ai)A")
def csr_gradient(
    v: Assembler, shape: tuple, columns: tuple, order: Address, csr: tuple, delta: tuple, out: Address
) -> None:
    """
    dw_ij += sum_s x_si delta_sj and db_j += sum_s delta_sj, on the rows order_0 ... of a sparse matrix.

    Parameters
    ----------
    shape : samples, n_in, n_out
    columns : j0, j1
        Columns of the gradient that are summed.
    order : numbers of rows
    csr : data, indices, indptr
    delta : delta, delta_row
    out : [dW; db], row n_in is db
    """
    (samples, n_in, n_out), (j0, j1), (data, indices, indptr), (delta, delta_row) = shape, columns, csr, delta

    def add(i: Integer, x: Float, d: Address) -> None:
        for j in v.range(j0, j1, v.lanes):
            mask, w = v.first(j1 - j), out + i * n_out + j
            # dw_ij += x_i delta_j
            w[0, mask] = v.fma(x, d[j, mask], w[0, mask])

    for s in v.range(samples):
        row, d = order.item(s), delta + s * delta_row
        for k in v.range(indptr.item(row), indptr.item(row + 1)):
            add(indices.item(k), data.broadcast(k), d)
        add(n_in, v.const(1), d)


@inner(arrays=True)
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
        X in compressed rows: row i has the numbers ``data[k]`` in the columns ``indices[k]``, for k from ``indptr[i]``
        to before ``indptr[i + 1]``.
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
            "csr_linear_forward: expected W (d_in, d_out), b (d_out,) and out (n, d_out); (W, b, rows, out) are",
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
                    "indices: expected columns of X, which has as many as W has rows; (column, W) are", i, W.shape
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
    Lecture L25, L27: dw_ij = sum_n x_ni delta_nj, over the x_ni that are stored. 2 d_out flops for each, and one
    pass over `out`.
    """
    if delta.shape[0] != rows.shape[0] or out.shape[1] != delta.shape[1]:
        raise ValueError(
            "csr_weight_gradient: expected delta (n, d_out) and out (d_in, d_out); (rows, delta, out) are",
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
                    "indices: expected columns of X, which has as many as out has rows; (column, out) are", i, out.shape
                )
            # dw_ij = sum_n x_ni delta_nj
            w = out[i]
            for j in range(w.shape[0]):
                w[j] += x * d[j]
