"""
Matrix products C = alpha A B + beta C of any strides: forward X W, backward D W^T, gradient A^T D (lecture L24, L25).

Small products run straight from the operands through the register tile (`tile.gemm`). Large ones are cut into blocks
that stay in cache, with B copied into panels and, where its columns are contiguous, A into tiles (`pack`). Every
element of C is one chain of multiply-adds in the order of k, whatever the way, the blocks and the number of threads: so
the bits are the same. Long chains of float32 are cut into pieces, which are added up in float64: so the error does not
grow with their length.

Inside, `shape` is n, m, depth for C of n x m, and an operand is a tuple: its memory, its step from row to row, and its
step from column to column.
"""

import numpy as np
from numba import prange

from ..compiler.jit import inner, njit, python_or_compiled
from ..compiler.memory import from_element, memory, steps, written_memory
from ..compiler.processor import VECTOR_BYTES
from .blocking import FEW_PANELS, FEW_ROWS, KC, MR, NC, NR, PACKED, SMALL, block_start, blocks_of, cut, panel_columns
from .pack import copy, pack_rows, pack_tiles, pack_transposed
from .tile import STACKED, gemm

# Bytes of a panel of B up to which it is read where it lies: a row of it is whole lines of the cache only with 512-bit
# vectors.
PANEL_BYTES = (1 << 17) if VECTOR_BYTES == 64 else (1 << 13)
# Rows of A so many bytes apart meet in a few sets of the caches, and drive each other out: they are packed.
PAGE = 4096
# Rows of C from which packing B pays.
PACKED_ROWS = 32
# Terms of an element of C up to which float32 is summed in float32; and elements of C, and at least how many rows,
# whose pieces of so many terms are added up at a time.
LONG, SUMMED, SUMMED_ROWS = 4096, 1 << 22, 512
# Multiply-adds, and elements of C, from which threads pay: entering them takes about 4 microseconds, in which 512-bit
# vectors do twice as much.
PARALLEL_FROM, PARALLEL_ELEMENTS = (1_500_000 if VECTOR_BYTES == 64 else 750_000), 2_000


@inner
def _is_direct(shape, a_column, b_column, alpha, itemsize):
    """Whether the product runs straight from its operands."""
    n, m, depth = shape
    if b_column != 1 or alpha != 1:
        return False
    if n < PACKED_ROWS:
        return True
    return depth * min(m * itemsize, NR * VECTOR_BYTES) <= PANEL_BYTES and (a_column == 1 or depth <= KC)


@inner
def _is_tiled(n, depth, a_row, a_column, itemsize):
    """Whether A is copied into tiles, where the product does not run straight from its operands."""
    if (a_row if a_column == 1 else a_column) * itemsize % PAGE == 0 and n * KC <= PACKED:
        return True
    return a_column != 1 and (a_row != 1 or n * depth * itemsize > SMALL)


@inner
def _pack(shape, B, alpha, out):
    """Panels of alpha B, whose rows or columns are contiguous."""
    (b, at, b_row, b_column), (work, to) = B, out
    if b_column == 1:
        pack_rows(shape, (b, at, b_row), alpha, work, to)
    else:
        pack_transposed(shape, (b, at, b_column), alpha, work, to)


@njit(parallel=True)
def _product(shape, A, B, C, alpha, add, split):
    """
    C = alpha A B, or C += alpha A B, where rows of C and rows or columns of B are contiguous. Unchecked.

    `C` is its memory and its step from row to row; `split`: into blocks for threads.
    """
    (n, m, depth), (a, a_row, a_column), (b, b_row, b_column), (c, c_row) = shape, A, B, C
    infinite = -c.dtype.type(np.inf)
    direct = _is_direct(shape, a_column, b_column, alpha, c.itemsize)
    if direct and not split:
        start = c, 0, c_row if add else -1
        gemm(shape, (a, 0, a_row, a_column, MR * a_row), (b, 0, b_row, 1), start, (c, 0, c_row), infinite)
        return
    few, panel = n <= FEW_ROWS, panel_columns(c.itemsize)
    tiled = not direct and _is_tiled(n, depth, a_row, a_column, c.itemsize)
    # Each thread packs the columns of B that it uses: what another one packed would come from that one's cache, which
    # takes as long as the product if the two share no cache.
    apart = few and split and not direct and not tiled and n * depth * c.itemsize <= SMALL
    bands, chunks = blocks_of(n, m, few, split, apart, c.itemsize)
    unit = panel // NR if apart else panel
    turned = few and bands == 1 and b_column != 1 and alpha == 1  # on the stack, panel after panel
    packed = not (direct or turned)
    alone = packed and bands == 1  # each chunk of B is packed when its turn comes
    # Pieces of the operands that are packed at a time: as many as there is room for
    deepest = depth if direct else cut(depth, STACKED if turned else KC)
    high, wide = (n + MR - 1) // MR * MR if tiled else 0, 0
    if packed:
        wide = FEW_PANELS * panel if alone and not split else (min(m, NC) + panel - 1) // panel * panel
    most = max(1, PACKED // (max(deepest, 1) * max(high, 1 if alone else wide, 1)))
    span = min(most, max(1, (depth + deepest - 1) // max(deepest, 1))) * deepest
    b_space = (deepest if alone else span) * wide
    work = np.empty(b_space + span * high, c.dtype) if packed or tiled else c
    for j0 in range(0, m, NC):
        columns = min(NC, m - j0)
        for k0 in range(0, max(depth, 1), max(span, 1)):
            pieces = max(1, (min(span, depth - k0) + deepest - 1) // max(deepest, 1))
            shared = chunks if packed and not alone else 0
            parts = shared + (bands if tiled else 0)
            if parts:  # an empty parallel region takes a microsecond
                for t in prange(pieces * parts):
                    piece, part = np.int64(t) // parts, np.int64(t) % parts  # prange counts in unsigned numbers
                    k = k0 + piece * deepest
                    deep = min(deepest, depth - k)
                    if part < shared:
                        j, end = block_start(part, chunks, columns, unit), block_start(part + 1, chunks, columns, unit)
                        at = piece * deepest * wide + j * deep
                        _pack((deep, end - j), (b, k * b_row + (j0 + j) * b_column, b_row, b_column), alpha, (work, at))
                    else:
                        i = block_start(part - shared, bands, n, MR)
                        size = block_start(part - shared + 1, bands, n, MR) - i, deep
                        at = b_space + piece * deepest * high + i * deep
                        pack_tiles(size, (a, i * a_row + k * a_column, a_row, a_column), (work, at, MR * deep))
            for t in prange(bands * chunks):
                band, chunk = np.int64(t) // chunks, np.int64(t) % chunks
                i, j = block_start(band, bands, n, MR), block_start(chunk, chunks, columns, unit)
                rows = block_start(band + 1, bands, n, MR) - i
                across, out = block_start(chunk + 1, chunks, columns, unit) - j, i * c_row + j0 + j
                for piece in range(pieces):
                    k = k0 + piece * deepest
                    deep = min(deepest, depth - k)
                    at = k * b_row + (j0 + j) * b_column
                    right = b, at, -1 if turned else b_row, b_column
                    if alone:
                        own = j * deepest if split else 0
                        _pack((deep, across), (b, at, b_row, b_column), alpha, (work, own))
                        right = work, own, 0, deep
                    elif packed:
                        right = work, piece * deepest * wide + j * deep, 0, deep
                    left = a, i * a_row + k * a_column, a_row, a_column, MR * a_row
                    if tiled:
                        left = work, b_space + piece * deepest * high + i * deep, 1, MR, MR * deep
                    start = c, out, c_row if add or k > 0 else -1
                    gemm((rows, across, deep), left, right, start, (c, out, c_row), infinite)


@inner
def _fits(b_row, b_column, c_row, c_column):
    """Whether `_product` takes a B and a C of these steps; to `gemm`, steps of 0 or less mean something else."""
    return c_column == 1 and c_row > 0 and ((b_column == 1 and b_row > 0) or (b_row == 1 and b_column > 0))


@python_or_compiled
def summed_rows(m):
    """Rows of C of m columns whose long sums are added up at a time."""
    return max(SUMMED_ROWS, SUMMED // max(m, 1))


def _multiplier(product, split):
    """C = alpha A B, or C += alpha A B, for arrays of any layout, by a serial or a parallel `_product`. Unchecked."""

    @inner(arrays=True)
    def oriented(shape, A, B, C, alpha, add):
        """C = alpha A B, or C += alpha A B, for matrices of any steps in flat memory. Unchecked."""
        (n, m, depth), (a, a_row, a_column), (b, b_row, b_column), (c, c_row, c_column) = shape, A, B, C
        cut_up = np.bool_(split)
        if _fits(b_row, b_column, c_row, c_column):
            product(shape, A, B, (c, c_row), alpha, add, cut_up)
        elif _fits(a_column, a_row, c_column, c_row):
            # C^T = B^T A^T
            product((m, n, depth), (b, b_column, b_row), (a, a_column, a_row), (c, c_column), alpha, add, cut_up)
        else:
            # Gaps between all elements of an operand, or rows that run backwards: copies.
            rows, result = np.empty(depth * m, c.dtype), np.empty(n * m, c.dtype)
            one = np.int64(1)  # typed: a literal would compile the callee once more
            copy((depth, m), (b, 0, b_row, b_column), (rows, 0, m, one))
            copy((n if add else 0, m), (c, 0, c_row, c_column), (result, 0, m, one))
            product(shape, A, (rows, m, one), (result, m), alpha, add, cut_up)
            copy((n, m), (result, 0, m, one), (c, 0, c_row, c_column))

    @inner(arrays=True)
    def summed(shape, A, B, C, alpha, add):
        """The same for long sums of float32: pieces of LONG terms are added up in float64."""
        (n, m, depth), (a, a_row, a_column), (b, b_row, b_column), (c, c_row, c_column) = shape, A, B, C
        high, one, new = min(n, summed_rows(m)), np.int64(1), np.bool_(False)
        piece, total = np.empty(high * m, c.dtype), np.empty(high * m, np.float64)
        flat = memory(piece)
        for i in range(0, n, high):
            rows = min(high, n - i)
            copy((rows if add else 0, m), (c, i * c_row, c_row, c_column), (flat, 0, m, one))
            for e in range(rows * m):
                total[e] = piece[e] if add else 0
            for k in range(0, depth, LONG):
                left = from_element(a, i * a_row + k * a_column), a_row, a_column
                right = from_element(b, k * b_row), b_row, b_column
                oriented((rows, m, min(LONG, depth - k)), left, right, (flat, m, one), alpha, new)
                for e in range(rows * m):
                    total[e] += piece[e]
            for e in range(rows * m):
                piece[e] = total[e]
            copy((rows, m), (flat, 0, m, one), (c, i * c_row, c_row, c_column))

    @inner
    def multiply(A, B, C, alpha, add):
        """C = alpha A B, or C += alpha A B, for arrays of any layout. Unchecked."""
        (a_row, a_column), (b_row, b_column), (c_row, c_column) = steps(A), steps(B), steps(C)
        (n, m), depth = C.shape, A.shape[1]
        a, b, c = (memory(A), a_row, a_column), (memory(B), b_row, b_column), (written_memory(C), c_row, c_column)
        factor, add = C.dtype.type(alpha), np.bool_(add)  # typed: for literals, the callees would be compiled once more
        if C.itemsize == 8 or depth <= LONG:
            oriented((n, m, depth), a, b, c, factor, add)
        else:
            summed((n, m, depth), a, b, c, factor, add)

    return multiply


multiply, _multiply_parallel = _multiplier(_product.serial, False), _multiplier(_product, True)


@python_or_compiled
def check_product(A, B, out):
    """Raise ValueError unless out can hold A B."""
    if A.shape[1] != B.shape[0]:
        raise ValueError("matmul: A (n, k) and B (k, m) must share k; (A, B) are", A.shape, B.shape)
    if out.shape[0] != A.shape[0] or out.shape[1] != B.shape[1]:
        raise ValueError("matmul: out must have shape (n, m); (A, B, out) are", A.shape, B.shape, out.shape)


@njit
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
    Lecture L24. 2nkm flops. Any layout of aligned arrays, float32 or float64, one dtype for all; fast when `out` has
    contiguous rows or columns. A large product, and one of many rows with a transposed `B`, allocates work space for
    the packed operands (up to 4 MB for `B`); others allocate nothing. Sums of more than 4096 terms of float32 are added
    up in float64, piece by piece: their error is that of 4096 terms.
    """
    check_product(A, B, out)
    multiply(A, B, out, 1, False)


@njit
def scaled_matmul(alpha, A, B, beta, out):
    """
    Scaled matrix product: C = alpha A B + beta C.

    Parameters
    ----------
    alpha : float
    A : array, shape (n, k)
    B : array, shape (k, m)
    beta : float
    out : array, shape (n, m)
        C: read where `beta` is not 0, and overwritten. Must not overlap `A` or `B`.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Notes
    -----
    As `matmul`; where `alpha` is not 1, `B` is packed whatever its size.
    """
    check_product(A, B, out)
    if beta != 0 and beta != 1:
        for i in range(out.shape[0]):
            for j in range(out.shape[1]):
                out[i, j] *= out.dtype.type(beta)
    multiply(A, B, out, alpha, beta != 0)


@njit
def matmul_parallel(A, B, out):
    """
    C = A B on the threads that `threads` has set: bit for bit what `matmul` gives.

    Parameters
    ----------
    A, B, out
        As in `matmul`. Called inside ``with threads(n)``.

    Raises
    ------
    ValueError
        As `matmul`.

    Notes
    -----
    The threads get blocks of C that the shapes alone fix, and share the packed operands unless A is small.
    """
    check_product(A, B, out)
    _multiply_parallel(A, B, out, 1, False)


def matmul_parallel_pays(n, k, m):
    """
    Whether threads make the product of (n, k) and (k, m) matrices faster than one thread.

    Parameters
    ----------
    n, k, m : int
        Shapes of the operands.

    Returns
    -------
    bool
        Decided by measurement (docs/performance.md): by the multiply-adds and by the size of the product.
    """
    return n * k * m >= PARALLEL_FROM and n * m >= PARALLEL_ELEMENTS
