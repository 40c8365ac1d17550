"""The first layer on a sparse matrix of samples, in compressed rows (CSR): only what is not 0 is multiplied."""

from ._jit import inner, jit


@inner
def _check_row(i, data, indices, indptr):
    """Raise ValueError unless row i lies within the matrix."""
    if i < 0 or i + 1 >= indptr.size:
        raise ValueError("rows: expected numbers of rows of the matrix, from 0 on, got", i)
    if indptr[i] < 0 or indptr[i + 1] < indptr[i] or indptr[i + 1] > data.size or indptr[i + 1] > indices.size:
        raise ValueError("indptr: expected increasing places within data and indices, got", indptr[i], indptr[i + 1])


@jit
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
        raise ValueError("csr_linear_forward: expected W (d_in, d_out), b (d_out,) and out (n, d_out); (W, b, rows, out) came as",
                         W.shape, b.shape, rows.shape, out.shape)  # fmt: skip
    for r in range(rows.shape[0]):
        _check_row(rows[r], data, indices, indptr)
        z = out[r]
        for j in range(z.shape[0]):
            z[j] = b[j]
        for k in range(indptr[rows[r]], indptr[rows[r] + 1]):
            i, x = indices[k], data[k]
            if i < 0 or i >= W.shape[0]:
                raise ValueError("indices: expected columns of X, which has as many as W has rows; (column, W) came as", i, W.shape)
            # z_j = sum_i x_i w_ij + b_j
            w = W[i]
            for j in range(z.shape[0]):
                z[j] += x * w[j]


@jit
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
        raise ValueError("csr_weight_gradient: expected delta (n, d_out) and out (d_in, d_out); (rows, delta, out) came as",
                         rows.shape, delta.shape, out.shape)  # fmt: skip
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
    for r in range(rows.shape[0]):
        _check_row(rows[r], data, indices, indptr)
        d = delta[r]
        for k in range(indptr[rows[r]], indptr[rows[r] + 1]):
            i, x = indices[k], data[k]
            if i < 0 or i >= out.shape[0]:
                raise ValueError("indices: expected columns of X, which has as many as out has rows; (column, out) came as", i, out.shape)
            # dw_ij = sum_n x_ni delta_nj
            w = out[i]
            for j in range(w.shape[0]):
                w[j] += x * d[j]
