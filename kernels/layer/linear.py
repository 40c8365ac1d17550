"""The linear part of a layer (L4, L25)."""

from ..compiler.jit import njit
from ..product.matmul import multiply


@njit
def linear_forward(X, W, b, out):
    """
    Linear part of a layer: Z = X W + b.

    Parameters
    ----------
    X : array, shape (n, d_in)
        One sample a row.
    W : array, shape (d_in, d_out)
    b : array, shape (d_out,)
    out : array, shape (n, d_out)
        Overwritten with Z. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes that do not fit, or strides that are no multiples of the item size.

    Notes
    -----
    Lecture L4, L25: z_j = sum_i x_i w_ij + b_j. 2 n d_in d_out flops.
    """
    if X.shape[1] != W.shape[0]:
        raise ValueError(
            "linear_forward: X (n, d_in) and W (d_in, d_out) must share d_in; (X, W) are", X.shape, W.shape
        )
    if b.shape[0] != W.shape[1]:
        raise ValueError("linear_forward: b must have shape (d_out,); (W, b) are", W.shape, b.shape)
    if out.shape[0] != X.shape[0] or out.shape[1] != W.shape[1]:
        raise ValueError("linear_forward: out must have shape (n, d_out); (X, W, out) are", X.shape, W.shape, out.shape)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = b[j]
    multiply(X, W, out, 1, True)
