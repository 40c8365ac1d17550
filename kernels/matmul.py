"""The three matrix products of a layer: forward X W, backward D W^T, gradient A^T D (lecture L24, L25)."""

from ._jit import jit


@jit
def accumulate(A, B, C):
    """C += A B, unchecked. A may be a transposed view; rows of B and C should be contiguous."""
    # C_ij += sum_k A_ik B_kj: four rows of C at a time share each row of B, two k at a time share each
    # load and store of C; the loop over j is the vector loop.
    n, depth = A.shape
    width = B.shape[1]
    n4, k2 = n - n % 4, depth - depth % 2
    for i in range(0, n4, 4):
        c0, c1, c2, c3 = C[i], C[i + 1], C[i + 2], C[i + 3]
        for k in range(0, k2, 2):
            p0, p1, p2, p3 = A[i, k], A[i + 1, k], A[i + 2, k], A[i + 3, k]
            q0, q1, q2, q3 = A[i, k + 1], A[i + 1, k + 1], A[i + 2, k + 1], A[i + 3, k + 1]
            b0, b1 = B[k], B[k + 1]
            for j in range(width):
                c0[j] += p0 * b0[j] + q0 * b1[j]
                c1[j] += p1 * b0[j] + q1 * b1[j]
                c2[j] += p2 * b0[j] + q2 * b1[j]
                c3[j] += p3 * b0[j] + q3 * b1[j]
        for k in range(k2, depth):
            p0, p1, p2, p3 = A[i, k], A[i + 1, k], A[i + 2, k], A[i + 3, k]
            b0 = B[k]
            for j in range(width):
                c0[j] += p0 * b0[j]
                c1[j] += p1 * b0[j]
                c2[j] += p2 * b0[j]
                c3[j] += p3 * b0[j]
    for i in range(n4, n):
        c0 = C[i]
        for k in range(depth):
            p0, b0 = A[i, k], B[k]
            for j in range(width):
                c0[j] += p0 * b0[j]


@jit
def product_with_transpose(D, W, out):
    """Out = D W^T, unchecked: both operands are read along contiguous rows."""
    # out_ij = sum_k D_ik W_jk: two rows of D against two rows of W; the loop over k is the vector loop.
    n, depth = D.shape
    m = W.shape[0]
    zero = out.dtype.type(0)
    n2, m2 = n - n % 2, m - m % 2
    for i in range(0, n2, 2):
        d0, d1 = D[i], D[i + 1]
        for j in range(0, m2, 2):
            w0, w1 = W[j], W[j + 1]
            s00, s01, s10, s11 = zero, zero, zero, zero
            for k in range(depth):
                s00 += d0[k] * w0[k]
                s01 += d0[k] * w1[k]
                s10 += d1[k] * w0[k]
                s11 += d1[k] * w1[k]
            out[i, j], out[i, j + 1], out[i + 1, j], out[i + 1, j + 1] = s00, s01, s10, s11
        for j in range(m2, m):
            s00, s10 = zero, zero
            for k in range(depth):
                s00 += d0[k] * W[j, k]
                s10 += d1[k] * W[j, k]
            out[i, j], out[i + 1, j] = s00, s10
    for i in range(n2, n):
        for j in range(m):
            s00 = zero
            for k in range(depth):
                s00 += D[i, k] * W[j, k]
            out[i, j] = s00


@jit
def matmul(A, B, out):
    """
    Matrix product: C = A B.

    Parameters
    ----------
    A : array, shape (n, k)
    B : array, shape (k, m)
    out : array, shape (n, m)
        Overwritten with C. Must not overlap `A` or `B`.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Notes
    -----
    Lecture L24. 2nkm flops. Any layout and any of float32 and float64, one dtype for all; fastest when the
    rows of `B` and `out` are contiguous.
    """
    if A.shape[1] != B.shape[0]:
        raise ValueError("matmul: A (n, k) and B (k, m) must share k; (A, B) came as", A.shape, B.shape)
    if out.shape[0] != A.shape[0] or out.shape[1] != B.shape[1]:
        raise ValueError("matmul: out must have shape (n, m); (A, B, out) came as", A.shape, B.shape, out.shape)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = 0
    accumulate(A, B, out)


@jit
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
        Shapes that do not fit.

    Notes
    -----
    Lecture L4, L25: z_j = sum_i x_i w_ij + b_j. 2 n d_in d_out flops.
    """
    if X.shape[1] != W.shape[0]:
        raise ValueError("linear_forward: X (n, d_in) and W (d_in, d_out) must share d_in; (X, W) came as", X.shape, W.shape)
    if b.shape[0] != W.shape[1]:
        raise ValueError("linear_forward: b must have shape (d_out,); (W, b) came as", W.shape, b.shape)
    if out.shape[0] != X.shape[0] or out.shape[1] != W.shape[1]:
        raise ValueError("linear_forward: out must have shape (n, d_out); (X, W, out) came as", X.shape, W.shape, out.shape)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = b[j]
    accumulate(X, W, out)
