"""Per-sample learning: the lecture's algorithm as it stands, one epoch a call (L26-L29)."""

import numpy as np

from ._jit import jit
from .activation import SOFTMAX, activate, multiply_derivative, softmax_row
from .loss import check_decision, check_loss, correct_row, loss_row, output_delta_row
from .network import check_network


@jit
def _forward_row(W, b, x, a):
    """Linear part of one sample: a <- b + x W, W the flat (d_in, d_out) matrix. Unchecked."""
    n_in, n_out = x.size, a.size
    for j in range(n_out):
        a[j] = b[j]
    # z_j = sum_i x_i w_ij + b_j, row i of W after row i: four rows share each load and store of z
    i4 = n_in - n_in % 4
    for i in range(0, i4, 4):
        x0, x1, x2, x3 = x[i], x[i + 1], x[i + 2], x[i + 3]
        w0, w1 = W[i * n_out : (i + 1) * n_out], W[(i + 1) * n_out : (i + 2) * n_out]
        w2, w3 = W[(i + 2) * n_out : (i + 3) * n_out], W[(i + 3) * n_out : (i + 4) * n_out]
        for j in range(n_out):
            a[j] += x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j]
    for i in range(i4, n_in):
        x0, w0 = x[i], W[i * n_out : (i + 1) * n_out]
        for j in range(n_out):
            a[j] += x0 * w0[j]


@jit
def _update_layer(W, b, x, delta, rate, keep):
    """One sample's update: w_ij <- keep w_ij - alpha x_i delta_j and b_j <- b_j - alpha delta_j. Unchecked."""
    n_out = delta.size
    for i in range(x.size):
        # dw_ij = x_i delta_j
        step, w = rate * x[i], W[i * n_out : (i + 1) * n_out]
        for j in range(n_out):
            w[j] = keep * w[j] - step * delta[j]
    for j in range(n_out):
        b[j] -= rate * delta[j]


@jit
def _backward_update_layer(W, b, x, delta, rate, keep, below):
    """As `_update_layer`, and in the same sweep below_i <- sum_j w_ij delta_j, by the weights from before the update."""
    n_out = delta.size
    for i in range(x.size):
        step, w = rate * x[i], W[i * n_out : (i + 1) * n_out]
        total = delta.dtype.type(0)
        for j in range(n_out):
            old = w[j]
            total += old * delta[j]
            w[j] = keep * old - step * delta[j]
        below[i] = total
    for j in range(n_out):
        b[j] -= rate * delta[j]


@jit
def online_epoch(X, Y, weight, order, sizes, activations, loss, decision, params, learning_rate, l2):
    """
    One pass of per-sample learning: forward, backward and update for one sample after another.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        Inputs, one sample a row.
    Y : C-contiguous array, shape (n, sizes[-1])
        Targets.
    weight : array, shape (n,)
        Factor of each sample's loss; ones for plain learning.
    order : int64 array, shape (m,)
        Numbers of the samples in the order in which they are learnt; any length, repeats allowed.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss, decision : int
        Codes of the loss and of the decision that counts as right.
    params : array, shape (parameter_count(sizes),)
        All weights and biases, updated in place (layout: `parameter_count`).
    learning_rate : float
        alpha.
    l2 : float
        Every step also shrinks the weights (not the biases) by the factor 1 - alpha l2.

    Returns
    -------
    (float, float)
        Mean loss of the samples, each at its turn before its update, and the share decided rightly.
        NaN where `order` is empty.

    Raises
    ------
    ValueError
        Shapes or codes that do not fit, or a sample number outside 0..n-1 (those before it are learnt).

    Notes
    -----
    Lecture L27, L28, per sample: delta = f'(z) dJ/da at the output (a (1-a) (a-y) for logistic units and squared
    error), delta_i = f'(z_i) sum_j delta_j w_ij below (weights from before the update), w_ij <- w_ij - alpha
    a_i delta_j, b_j <- b_j - alpha delta_j. 6 flops a weight; each weight is read twice and written once a sample.
    Sequential by nature. Two arrays of one value per unit are allocated a call, nothing per sample.
    """
    check_network(sizes, activations, params)
    layers = activations.size
    check_loss(loss, activations[layers - 1])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError("online_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) came as", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError("online_epoch: Y and weight must have a row per row of X; (X, Y, weight) came as", X.shape, Y.shape, weight.shape)
    if order.size == 0:
        return np.nan, np.nan
    one = params.dtype.type(1)
    rate = params.dtype.type(learning_rate)
    keep = one - rate * params.dtype.type(l2)
    units = sizes.sum()
    a, delta = np.empty(units, params.dtype), np.empty(units, params.dtype)
    top = units - sizes[layers]
    total, correct = 0.0, 0
    for s in range(order.size):
        t = order[s]
        if t < 0 or t >= X.shape[0]:
            raise ValueError("online_epoch: order must hold sample numbers from 0 to n-1; (position, number, n) came as", s, t, X.shape[0])
        # Step 3: forward propagation, a(l) = f(W(l)^T a(l-1) + b(l)).
        for i in range(sizes[0]):
            a[i] = X[t, i]
        at, w = np.int64(0), np.int64(0)  # typed: a literal would compile the callees once more
        for l in range(layers):
            n_in, n_out = sizes[l], sizes[l + 1]
            x, z, b = a[at : at + n_in], a[at + n_in : at + n_in + n_out], w + n_in * n_out
            _forward_row(params[w:b], params[b : b + n_out], x, z)
            if activations[l] == SOFTMAX:
                softmax_row(z, z)
            else:
                activate(activations[l], n_out, z, 0, 1, z, 0, 1)
            at += n_in
            w = b + n_out
        output = a[top:]
        total += weight[t] * loss_row(loss, activations[layers - 1], output, Y[t])
        correct += correct_row(decision, output, Y[t])
        # Step 4: backpropagation, from the output layer down.
        output_delta_row(loss, activations[layers - 1], output, Y[t], delta[top:])
        for j in range(top, delta.size):
            delta[j] *= params.dtype.type(weight[t])
        for l in range(layers - 1, -1, -1):
            n_in, n_out = sizes[l], sizes[l + 1]
            w -= (n_in + 1) * n_out
            at -= n_in
            x, d, b = a[at : at + n_in], delta[at + n_in : at + n_in + n_out], w + n_in * n_out
            if l == 0:
                _update_layer(params[w:b], params[b : b + n_out], x, d, rate, keep)
            else:
                below = delta[at : at + n_in]
                _backward_update_layer(params[w:b], params[b : b + n_out], x, d, rate, keep, below)
                # delta(l-1) = f'(z) * sum delta w; for logistic units a (1 - a) sum delta w
                multiply_derivative(activations[l - 1], n_in, x, 0, 1, below, 0, 1)
    return total / order.size, correct / order.size
