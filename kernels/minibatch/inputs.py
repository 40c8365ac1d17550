"""The inputs of samples as mini-batches take them: dense, as a sparse matrix, or in pieces; checked once."""

import numpy as np

from ..compiler.jit import frozen
from ..layer.piecewise import PieceRows, check_pieces
from ..network.arguments import Csr, Pieces


def read_inputs(X, sizes, dtype):
    """
    The number of samples, and their inputs in one of three forms; of the others one is empty, and two are None.

    Parameters
    ----------
    X
        As `prepare_minibatch` takes it.
    sizes : int64 array
    dtype : float32 or float64

    Returns
    -------
    (int, array, Csr or None, Pieces or None)
    """
    if isinstance(X, np.ndarray):
        return len(X), frozen(X), None, None
    nothing = frozen(np.empty((0, sizes[0]), dtype))
    if isinstance(X, PieceRows):
        return len(X.places), nothing, None, _pieces(X, sizes, dtype)
    csr = _csr(*X, sizes)
    return csr.indptr.size - 1, nothing, csr, None


def _csr(data, indices, indptr, sizes):
    """A sparse matrix as the loops take it; raises ValueError unless it is one of sizes[0] columns."""
    if (
        indptr.size < 2
        or indptr[0] < 0
        or (indptr[1:] < indptr[:-1]).any()
        or indptr[-1] > min(data.size, indices.size)
    ):
        raise ValueError("prepare_minibatch: indptr must hold increasing places within data and indices")
    if indices.size and not (indices.min() >= 0 and indices.max() < sizes[0]):
        raise ValueError(
            "prepare_minibatch: indices must be columns from 0 to sizes[0]-1; (smallest, largest) are",
            indices.min(),
            indices.max(),
        )
    return Csr(frozen(data), frozen(indices), frozen(indptr))


def _pieces(rows, sizes, dtype):
    """Samples in pieces as the loops take them, with memory for nodes; raises ValueError unless they fit the layer."""
    check_pieces(rows, sizes[0], "prepare_minibatch")
    nodes, gradient = np.zeros((2, rows.heights.size * sizes[1]), dtype)
    given = [frozen(np.ascontiguousarray(array)) for array in rows]
    return Pieces(*given, nodes, gradient)
