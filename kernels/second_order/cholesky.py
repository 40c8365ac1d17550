"""
Cholesky factor A = U^T U of a symmetric matrix, and what is solved with it.

LAPACK's factor has other bits for each number of threads of its library; these have the same bits everywhere.
"""

import numpy as np

from ..compiler.jit import inner, njit
from ..compiler.memory import whole_vectors
from ..compiler.processor import CACHE_LINE
from ..network.layout import CROWDED
from ..product.blocking import MR
from ..product.dot import products_summed
from ..product.tile import gemm

# Rows of a block, and rows above it whose products are subtracted at a time: their panels stay in the first cache.
BLOCK, DEPTH = 32, 128


def factor_memory(P):
    """Memory for a factor of a P x P matrix, whose rows do not all meet in the same sets of the cache."""
    width = whole_vectors(P, 8)
    return np.empty((P, width + CACHE_LINE // 8 if width * 8 % CROWDED == 0 else width))


@inner
def _add_products(shape, a, b, out, at, width):
    """C += A B in pieces of DEPTH; `a` is array, offset, and steps, `b` array and offset, `out` the array of C."""
    (rows, columns, depth), (A, a_at, a_row, a_column), (B, b_at) = shape, a, b
    for k in range(0, depth, DEPTH):
        target = out, at, width
        left = A, a_at + k * a_column, a_row, a_column, MR * a_row
        size = rows, columns, min(DEPTH, depth - k)
        gemm(size, left, (B, b_at + k * width, width, 1), target, target, -out.dtype.type(np.inf))


@njit
def cholesky(A, diagonal, U):
    """
    Factor of a symmetric matrix with numbers added to its diagonal: U^T U = A + diag(d).

    Parameters
    ----------
    A : C-contiguous float64 array, shape (P, P)
        Read on and above its diagonal.
    diagonal : float64 array, shape (P,)
        d.
    U : C-contiguous float64 array, shape (P, width), width >= P
        Overwritten with the factor on and above its diagonal, and zeros below it.

    Returns
    -------
    bool
        Whether the sum is positive definite; if not, U is of no use.

    Notes
    -----
    P^3 / 3 flops. Blocks of rows, one after another: u_kk u_k = a_k - sum_(p < k) u_pk u_p.
    """
    P, width = U.shape
    if A.shape[0] != P or A.shape[1] != P or diagonal.size != P or width < P:
        raise ValueError("cholesky: shapes do not fit; (A, diagonal, U) are", A.shape, diagonal.shape, U.shape)
    flat = U.reshape(U.size)
    for first in range(0, P, BLOCK):
        end = min(first + BLOCK, P)
        for i in range(first, end):
            for j in range(i):
                U[i, j] = 0
            for j in range(i, P):
                U[i, j] = -A[i, j]
            U[i, i] -= diagonal[i]
        # minus what the rows above leave: products are only ever added
        left, at = (flat, first, 1, width), first * width + first
        _add_products((end - first, P - first, first), left, (flat, first), flat, at, width)
        for i in range(first, end):
            pivot = -U[i, i]
            if not pivot > 0 or pivot == np.inf:
                return False
            scale = -1 / np.sqrt(pivot)
            for j in range(first, i):
                U[i, j] = 0
            for j in range(i, P):
                U[i, j] *= scale
            for k in range(i + 1, end):
                factor = U[i, k]
                for j in range(k, P):
                    U[k, j] += factor * U[i, j]
    return True


@njit
def cholesky_solve(U, b):
    """
    Solve U^T U x = b in place: b becomes x. Unchecked.

    Parameters
    ----------
    U : C-contiguous array, shape (P, width)
        As `cholesky` writes it.
    b : contiguous array, shape (P,)
    """
    P = b.size
    for i in range(P):  # U^T z = b
        b[i] /= U[i, i]
        for j in range(i + 1, P):
            b[j] -= U[i, j] * b[i]
    flat, width = U.reshape(U.size), U.shape[1]
    for i in range(P - 1, -1, -1):  # U x = z
        b[i] = (b[i] - products_summed(P - 1 - i, flat, i * width + i + 1, b, i + 1)) / U[i, i]


@njit
def cholesky_inverse(U, V):
    """
    Inverse of a factor: V = U^-1, so that (U^T U)^-1 = V V^T. Unchecked.

    Parameters
    ----------
    U : C-contiguous array, shape (P, width)
        As `cholesky` writes it.
    V : C-contiguous array, shape (P, width)
        Overwritten with the inverse on and above its diagonal, and zeros below it.

    Notes
    -----
    P^3 / 3 flops. Blocks of rows, from the last: u_kk v_k = e_k - sum_(p > k) u_kp v_p.
    """
    P, width = U.shape
    source, flat = U.reshape(U.size), V.reshape(V.size)
    for block in range((P + BLOCK - 1) // BLOCK - 1, -1, -1):
        first, end = block * BLOCK, min(block * BLOCK + BLOCK, P)
        for i in range(first, end):
            for j in range(width):
                V[i, j] = 0
        left = source, first * width + end, width, 1
        _add_products(
            (end - first, P - end, P - end), left, (flat, end * width + end), flat, first * width + end, width
        )
        for i in range(end - 1, first - 1, -1):
            for k in range(i + 1, end):
                factor = U[i, k]
                for j in range(k, P):
                    V[i, j] += factor * V[k, j]
            scale = -1 / U[i, i]
            for j in range(i + 1, P):
                V[i, j] *= scale
            V[i, i] = 1 / U[i, i]
