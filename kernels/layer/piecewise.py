"""The columns of a table in pieces (see `product.piecewise`): encoded, and through the first layer and back."""

from typing import Any, NamedTuple

import numpy as np
from numba import prange

from ..compiler.jit import inner, njit
from ..product.piecewise import (
    COUNT,
    FIELDS,
    FIRST,
    INSIDE,
    MISSING,
    VALUE,
    piece_nodes,
    piece_weight_gradient,
    piecewise_forward,
    piecewise_gradient,
)

# Rows that a thread takes at a time.
ROWS = 256


class PieceRows(NamedTuple):
    """
    Samples of a first layer whose inputs are numbers in pieces, and categories.

    Attributes
    ----------
    places : int64 array, shape (n, numbers + categories)
        Of each number, the node to its left; of each category, its input, or -1 where all its inputs are 0.
    shares : array, shape (n, numbers)
        Where each number lies between this node, 0, and the next one, 1.
    columns : int64 array, shape (numbers, 5)
        Of each number: its first node; its inputs v, the one that marks what is missing (or -1) and c_1; and the number
        Q of its pieces.
    heights : array, shape (nodes,)
        v at each node.
    """

    places: Any
    shares: Any
    columns: Any
    heights: Any


def nodes_of(columns):
    """How many nodes each number has, from its fields (see `PieceRows`)."""
    return np.where(columns[:, COUNT] > 0, columns[:, COUNT] + 3, 2) + (columns[:, MISSING] >= 0)


def check_pieces(rows, n_in, who):
    """Raise ValueError unless all places are those of nodes, or of the n_in inputs."""
    places, shares, columns, heights = rows
    numbers = len(columns)
    if columns.ndim != 2 or columns.shape[1] != FIELDS or places.ndim != 2 or places.shape[1] < numbers:
        raise ValueError(
            f"{who}: columns must have {FIELDS} fields, and places as many columns or more; (columns, places) are",
            columns.shape,
            places.shape,
        )
    if shares.shape != (len(places), numbers) or places.dtype != np.int64 or columns.dtype != np.int64:
        raise ValueError(f"{who}: shares must have shape (n, numbers), and places and columns be of int64")
    if heights.dtype != shares.dtype:
        raise ValueError(f"{who}: shares and heights must be of one dtype, got", shares.dtype, heights.dtype)
    ends = np.cumsum(nodes_of(columns))
    first, inputs, count = columns[:, FIRST], columns[:, [VALUE, INSIDE]], columns[:, COUNT]
    fits = numbers == 0 or (
        first[0] == 0
        and (first[1:] == ends[:-1]).all()
        and count.min() >= 0
        and (columns[:, MISSING] < n_in).all()
        and inputs.min() >= 0
        and columns[:, VALUE].max() < n_in
        and (columns[:, INSIDE] + count).max() <= n_in
    )
    if not fits or heights.shape != (ends[-1] if numbers else 0,):
        raise ValueError(f"{who}: columns must be places of inputs below", n_in, "and of heights, one after another")
    if len(places):
        least, most = places.min(axis=0), places.max(axis=0)
        inside = (least[:numbers] >= first).all() and (most[:numbers] < ends - 1).all()
        if not (inside and (least[numbers:] >= -1).all() and (most[numbers:] < n_in).all()):
            raise ValueError(
                f"{who}: places must be nodes of their numbers but the last, or inputs from -1 to n_in - 1"
            )


@inner
def _encode_row(i, values, columns, edges, scaling, places, shares):
    """Places and shares of row i."""
    kind = shares.dtype.type
    finite = True
    for c in range(columns.shape[0]):
        first, count, marked = columns[c, FIRST], columns[c, COUNT], columns[c, MISSING] >= 0
        mean, factor, fill = scaling[0, c], scaling[1, c], scaling[2, c]
        x = np.float64(values[i, c])
        if np.isnan(x) and marked:
            places[i, c], shares[i, c] = first, kind(0)
            continue
        if np.isnan(x):
            x = fill
        left, k = first + (1 if marked else 0), np.int64(0)
        if count == 0:
            share = (x - mean) * factor
        else:
            for t in range(count + 1):  # how many edges are at or left of x
                k += 1 if x >= edges[left + 1 + t] else 0
            if k == 0:
                share = (x - edges[left + 1]) * factor + 1
            elif k > count:
                share = (x - edges[left + 1 + count]) * factor
            else:
                share = (x - edges[left + k]) / (edges[left + k + 1] - edges[left + k])
        places[i, c], shares[i, c] = left + k, kind(share)
        finite = finite and np.isfinite(shares[i, c])
    return finite


@njit(parallel=True)
def _encode(values, columns, edges, scaling, places, shares, finite):
    """All rows; finite[p] becomes False if a share of part p is not finite. Unchecked."""
    n = values.shape[0]
    for part in prange((n + ROWS - 1) // ROWS):  # no race: each has rows of its own
        start = np.int64(part) * ROWS
        for i in range(start, min(start + ROWS, n)):
            if not _encode_row(i, values, columns, edges, scaling, places, shares):
                finite[part] = False


_encode_serial = _encode.serial


def encode_pieces(values, columns, edges, scaling, places, shares, *, parallel=False):
    """
    Numbers of a table in pieces: the first columns of `PieceRows`.

    Parameters
    ----------
    values : array, shape (n, numbers)
        Raw numbers, NaN where one is missing.
    columns : int64 array, shape (numbers, 5)
        As in `PieceRows`.
    edges : float64 array, shape (nodes,)
        b_t of the nodes that are edges, increasing; others are not read.
    scaling : float64 array, shape (3, numbers)
        Mean, the reciprocal of the deviation, and what takes the place of a missing number that has no input.
    places : int64 array, shape (n, numbers or more)
        Its first columns are overwritten.
    shares : array, shape (n, numbers)
        Overwritten.
    parallel : bool
        Use the threads that `threads` has set.

    Returns
    -------
    bool
        Whether all shares are finite.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    numbers, n = len(columns), len(values)
    nodes = int(nodes_of(columns).sum()) if numbers else 0
    if values.shape != (n, numbers) or shares.shape != (n, numbers) or len(places) != n or places.shape[1] < numbers:
        raise ValueError(
            "encode_pieces: values and shares must have shape (n, numbers), and places n rows; they are",
            values.shape,
            shares.shape,
            places.shape,
        )
    if edges.shape != (nodes,) or scaling.shape != (3, numbers):
        raise ValueError("encode_pieces: edges must have one number per node, and scaling 3 rows of one per number")
    check_pieces(
        PieceRows(np.empty((0, numbers), np.int64), shares[:0], columns, np.empty(nodes, shares.dtype)),
        1 << 62,
        "encode_pieces",
    )
    finite = np.ones((n + ROWS - 1) // ROWS, np.bool_)
    (_encode if parallel else _encode_serial)(values, columns, edges, scaling, places, shares, finite)
    return bool(finite.all())


@njit(parallel=True)
def _forward(places, shares, columns, heights, rows, weights, nodes, out):
    """Nodes, and then all rows. Unchecked."""
    numbers, n_out, n = columns.shape[0], weights.shape[1], rows.size
    piece_nodes((numbers, n_out), (0, n_out), columns, 0, heights, 0, weights, 0, nodes, 0)
    for part in prange((n + ROWS - 1) // ROWS):  # no race: each writes rows of its own
        start = np.int64(part) * ROWS
        shape = min(ROWS, n - start), numbers, places.shape[1] - numbers, weights.shape[0] - 1, n_out
        samples = places, 0, shares, 0
        piecewise_forward(shape, (0, n_out), rows, start, samples, nodes, 0, weights, 0, (out, start * n_out, n_out))


_forward_serial = _forward.serial


def piecewise_linear_forward(samples, rows, weights, nodes, out, *, parallel=False):
    """
    Linear part of a layer on samples in pieces: Z = X W + b, without making X.

    Parameters
    ----------
    samples : PieceRows
        Of any number of samples.
    rows : int64 array, shape (n,)
        Those that are taken here, in their order.
    weights : C-contiguous array, shape (d_in + 1, d_out)
        W, and b as its last row.
    nodes : C-contiguous array, shape (nodes, d_out)
        Overwritten with N, what each node adds to Z.
    out : C-contiguous array, shape (n, d_out)
        Overwritten with Z.
    parallel : bool
        Use the threads that `threads` has set: the result has the same bits.

    Raises
    ------
    ValueError
        Shapes, types or places that do not fit.

    Notes
    -----
    z_j = b_j + sum over numbers of (1 - s) N_tj + s N_t+1,j + sum over categories of w_ij (lecture L4, L25). 4 d_out
    flops for each number, 1 d_out for each category, and 3 d_out for each node.
    """
    _check_layer("piecewise_linear_forward", samples, rows, weights, nodes, out)
    (_forward if parallel else _forward_serial)(*samples, rows, weights, nodes, out)


@njit
def _gradient(places, shares, columns, heights, rows, delta, nodes, out):
    """Gradients of nodes, and of weights. Unchecked."""
    numbers, n_out, n = columns.shape[0], out.shape[1], rows.size
    nodes[:], out[:] = 0, 0
    shape = n, numbers, places.shape[1] - numbers, out.shape[0] - 1, n_out
    piecewise_gradient(shape, (0, n_out), rows, 0, (places, 0, shares, 0), (delta, 0, n_out), nodes, 0, out, 0)
    piece_weight_gradient((numbers, n_out), (0, n_out), columns, 0, heights, 0, nodes, 0, out, 0)


def piecewise_weight_gradient(samples, rows, delta, nodes, out):
    """
    Gradient of the weights and biases of a layer on samples in pieces: dW = X^T delta, db = sum delta.

    Parameters
    ----------
    samples, rows
        As in `piecewise_linear_forward`.
    delta : C-contiguous array, shape (n, d_out)
        dJ/dz of the layer.
    nodes : C-contiguous array, shape (nodes, d_out)
        Overwritten.
    out : C-contiguous array, shape (d_in + 1, d_out)
        Overwritten with dW, and db as its last row.

    Raises
    ------
    ValueError
        Shapes, types or places that do not fit.

    Notes
    -----
    Lecture L25, L27: dN_tj = sum (1 - s) delta_j + sum s' delta_j over the numbers on both sides of a node; then
    dw_j = sum_t v_t dN_tj, and dw_uj = sum of dN_tj from the edge b_u on.
    """
    _check_layer("piecewise_weight_gradient", samples, rows, out, nodes, delta)
    _gradient(*samples, rows, delta, nodes, out)


def _check_layer(who, samples, rows, weights, nodes, outputs):
    """Raise ValueError unless the arrays of a layer go together."""
    check_pieces(samples, weights.shape[0] - 1, who)
    n_out = weights.shape[1]
    if nodes.shape != (samples.heights.size, n_out) or outputs.shape != (rows.size, n_out):
        raise ValueError(
            f"{who}: expected weights (d_in + 1, d_out), nodes (nodes, d_out) and outputs (n, d_out), got",
            weights.shape,
            nodes.shape,
            outputs.shape,
        )
    arrays = [*samples, rows, weights, nodes, outputs]
    if not all(array.flags.c_contiguous for array in arrays) or rows.dtype != np.int64:
        raise ValueError(f"{who}: all arrays must be C-contiguous, and rows of int64")
    if len({array.dtype for array in (samples.shares, weights, nodes, outputs)}) > 1:
        raise ValueError(f"{who}: shares, weights, nodes and outputs must be of one dtype")
    if rows.size and not (rows.min() >= 0 and rows.max() < len(samples.places)):
        raise ValueError(f"{who}: rows must be numbers of samples from 0 to n-1, got", rows.min(), rows.max())
