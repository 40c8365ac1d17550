"""A whole network in flat arrays, its forward pass, and how its parameters lie in memory (lecture L25)."""

import numpy as np

from ._jit import jit
from .activation import SOFTMAX, activate_row
from .matmul import accumulate

# Rows that go through all layers together, so that their activations stay in cache.
TILE = 64


@jit
def parameter_count(sizes):
    """
    Number of weights and biases of a network.

    Parameters
    ----------
    sizes : integer array, shape (layers + 1,)
        Units per layer, inputs first.

    Returns
    -------
    int
        sum_l (d(l-1) + 1) d(l). The flat parameter array holds, layer after layer, W (d_in, d_out) row after
        row and then b (d_out,): so one compiled version serves every depth and width.
    """
    total = 0
    for l in range(sizes.size - 1):
        total += (sizes[l] + 1) * sizes[l + 1]
    return total


@jit
def unit_count(sizes):
    """Units of all layers, inputs included."""
    total = np.int64(0)
    for l in range(sizes.size):
        total += sizes[l]
    return total


@jit
def check_network(sizes, activations, params):
    """Raise ValueError unless the three arrays describe one network. Called by every whole-network kernel."""
    if sizes.size < 2:
        raise ValueError("sizes must hold at least the number of inputs and of outputs; its length is", sizes.size)
    for l in range(sizes.size):
        # The upper bound keeps parameter_count from overflowing: every unit has at least one parameter.
        if sizes[l] < 1 or sizes[l] > params.size:
            raise ValueError("sizes must be positive and within params; (layer, size, params.size) came as", l, sizes[l], params.size)
    if activations.size != sizes.size - 1:
        raise ValueError(
            "activations must hold one code per layer behind the inputs; (sizes, activations) have lengths", sizes.size, activations.size
        )
    for l in range(activations.size):
        if activations[l] < 0 or activations[l] > SOFTMAX or (activations[l] == SOFTMAX and l + 1 < activations.size):
            raise ValueError("activations must be codes 0 to 3, or 4 (softmax) in the last layer; (layer, code) came as", l, activations[l])
    if params.size != parameter_count(sizes):
        raise ValueError("params must hold parameter_count(sizes) elements; (wanted, came)", parameter_count(sizes), params.size)


@jit
def layer_forward(X, params, offset, n_out, activation, out):
    """One layer on a tile of rows: out = f(X W + b), W and b at `offset` of the flat parameters. Unchecked."""
    n_in = X.shape[1]
    W = params[offset : offset + n_in * n_out].reshape(n_in, n_out)
    bias = offset + n_in * n_out
    # z = W^T a + b, a = f(z)
    for i in range(X.shape[0]):
        for j in range(n_out):
            out[i, j] = params[bias + j]
    accumulate(X, W, out)
    for i in range(X.shape[0]):
        activate_row(activation, out[i], out[i])


@jit
def forward(X, sizes, activations, params, out):
    """
    Outputs of a network for many samples (lecture step 3).

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        One sample a row.
    sizes, activations : integer arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    params : array, shape (parameter_count(sizes),)
        All weights and biases (see `parameter_count`).
    out : C-contiguous array, shape (n, sizes[-1])
        Overwritten with the outputs. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes or codes that do not fit.

    Notes
    -----
    2 n P flops for P parameters. Allocates two tiles of rows a call, nothing per sample.
    """
    check_network(sizes, activations, params)
    layers = activations.size
    if X.shape[1] != sizes[0]:
        raise ValueError("forward: X must have sizes[0] columns; (X, wanted) came as", X.shape, sizes[0])
    if out.shape[0] != X.shape[0] or out.shape[1] != sizes[layers]:
        raise ValueError("forward: out must have shape (n, sizes[-1]); (X, out, sizes[-1]) came as", X.shape, out.shape, sizes[layers])
    widest = np.int64(1)
    for l in range(sizes.size):
        widest = max(widest, sizes[l])
    work = np.empty((2, TILE * widest), out.dtype)
    for start in range(0, X.shape[0], TILE):
        stop = min(start + TILE, X.shape[0])
        a, offset = X[start:stop], np.int64(0)  # typed: a literal would compile the callee once more
        for l in range(layers):
            n_out = sizes[l + 1]
            z = out[start:stop] if l == layers - 1 else work[l % 2, : (stop - start) * n_out].reshape(stop - start, n_out)
            layer_forward(a, params, offset, n_out, activations[l], z)
            offset += (sizes[l] + 1) * n_out
            a = z
