"""
The lecture's algorithm in plain loops: start reading here.

This is ordinary Numba. Every equation is written as the lecture writes it, below a comment that quotes it. The fast
kernels compute the same and are tested against these. Set ``NUMBA_DISABLE_JIT=1`` before you import fastbp, and all of
this is plain Python that you can step through with a debugger.

``@njit`` compiles a function on its first call. With ``parallel=True`` the iterations of a ``prange`` loop are shared
among threads; call it inside ``with fastbp.kernels.threads(n)`` if other threads of your program compute, too. No two
iterations write to the same place, and one thread adds up each sum, in the order of its loop: so any number of threads
gives the same bits.

Sums and scalars are float64 whatever the arrays hold, and nothing is reordered. So Python and machine code give the
same bits, too, as long as both take exp and tanh from the same C library; Python's and Numba's ``math`` do. NumPy has
its own functions: its ``np.exp`` may differ in the last bit.

Layer l = 1, 2, ... takes a[l - 1] and gives a[l]; w_ij is ``W[i, j]``, the weight from input i to unit j; delta is
dJ/dz. A matrix holds one sample a row. Shapes that do not fit raise ValueError, and so do codes of other activations.
What is overwritten must not overlap what is read.
"""

import math

import numpy as np
from numba import prange

from .compiler.jit import plain_njit as njit
from .layer.activation import IDENTITY, LOGISTIC, RELU, TANH
from .network.forward import check_network

__all__ = [
    "activation",
    "bias_gradient",
    "forward",
    "hidden_delta",
    "layer",
    "minibatch_epoch",
    "online_epoch",
    "output_delta",
    "slope",
    "update",
    "weight_gradient",
]


@njit
def activation(kind, z):
    """
    Output of one unit: a = f(z) (L7).

    Parameters
    ----------
    kind : int
        ``LOGISTIC``, ``TANH``, ``RELU`` or ``IDENTITY``.
    z : float
    """
    if kind == LOGISTIC:
        # a = 1 / (1 + exp(-z)); exp(710) would overflow
        return 1 / (1 + math.exp(min(-z, 709.0)))
    if kind == TANH:
        return math.tanh(z)
    if kind == RELU:
        return max(z, 0.0)
    return z


@njit
def slope(kind, a):
    """
    Slope of an activation, from the output of the unit: f'(z) where a = f(z).

    Parameters
    ----------
    kind : int
        ``LOGISTIC``, ``TANH``, ``RELU`` or ``IDENTITY``.
    a : float
    """
    a = np.float64(a)
    if kind == LOGISTIC:
        # f'(z) = a (1 - a)
        return a * (1 - a)
    if kind == TANH:
        # f'(z) = 1 - a^2
        return 1 - a * a
    if kind == RELU and a <= 0:
        return np.float64(0)
    return np.float64(1)


@njit(parallel=True)
def forward(kind, a, W, b, out):
    """
    One layer, forward: z_j = sum_i w_ij a_i + b_j, a_j = f(z_j) (L25).

    No race: each sample has a row of its own in `out`.

    Parameters
    ----------
    kind : int
        Code of the layer's activation, see `activation`.
    a : array, shape (n, d_in)
        What comes in.
    W, b : array, shapes (d_in, d_out) and (d_out,)
    out : array, shape (n, d_out)
        Overwritten with the outputs of the layer.
    """
    check_kind(kind)
    n, d_in, d_out = a.shape[0], a.shape[1], b.size
    if W.shape != (d_in, d_out) or out.shape != (n, d_out):
        got = a.shape, W.shape, b.shape, out.shape
        raise ValueError("forward: expected a (n, d_in), W (d_in, d_out), b (d_out,) and out (n, d_out), got", got)
    for s in prange(n):
        for j in range(d_out):
            # z_j = sum_i w_ij a_i + b_j
            z = np.float64(b[j])
            for i in range(d_in):
                z += W[i, j] * a[s, i]
            # a_j = f(z_j)
            out[s, j] = activation(kind, z)


@njit(parallel=True)
def output_delta(kind, a, y, out):
    """
    Error signal of the output layer: delta_k = f'(z_k) (a_k - y_k), for the loss J = 1/2 sum_k (a_k - y_k)^2 (L27).

    No race: each sample has a row of its own in `out`.

    Parameters
    ----------
    kind : int
        Code of the output activation, see `activation`.
    a, y : array, shape (n, d)
        Outputs of the network, and what they should be.
    out : array, shape (n, d)
        Overwritten with delta.
    """
    check_kind(kind)
    if y.shape != a.shape or out.shape != a.shape:
        raise ValueError("output_delta: expected a, y and out of one shape, got", a.shape, y.shape, out.shape)
    for s in prange(a.shape[0]):
        for k in range(a.shape[1]):
            # e_k = a_k - y_k
            e = np.float64(a[s, k]) - y[s, k]
            # delta_k = f'(z_k) e_k, for logistic units a_k (1 - a_k) e_k
            out[s, k] = slope(kind, a[s, k]) * e


@njit(parallel=True)
def hidden_delta(kind, delta_next, W_next, a, out):
    """
    Error signal of a hidden layer: delta_k = f'(z_k) sum_i delta_i w_ki, over the units i of the layer above (L28).

    No race: each sample has a row of its own in `out`.

    Parameters
    ----------
    kind : int
        Code of this layer's activation, see `activation`.
    delta_next : array, shape (n, d_next)
        delta of the layer above.
    W_next : array, shape (d, d_next)
        Weights into the layer above, from before its update.
    a : array, shape (n, d)
        Outputs of this layer.
    out : array, shape (n, d)
        Overwritten with delta.
    """
    check_kind(kind)
    n, d, d_next = a.shape[0], a.shape[1], delta_next.shape[1]
    if delta_next.shape[0] != n or W_next.shape != (d, d_next) or out.shape != (n, d):
        got = delta_next.shape, W_next.shape, a.shape, out.shape
        raise ValueError(
            "hidden_delta: expected delta_next (n, d_next), W_next (d, d_next), a (n, d) and out (n, d), got", got
        )
    for s in prange(n):
        for k in range(d):
            # sum_i delta_i w_ki
            total = np.float64(0)
            for i in range(d_next):
                total += delta_next[s, i] * W_next[k, i]
            # delta_k = f'(z_k) sum_i delta_i w_ki, for logistic units a_k (1 - a_k) sum_i delta_i w_ki
            out[s, k] = slope(kind, a[s, k]) * total


@njit(parallel=True)
def weight_gradient(a, delta, out):
    """
    Gradient of a layer's weights, summed over the samples: dw_ij = sum_s a_si delta_sj (L25, L27).

    No race: each input i has a row of its own in `out`.

    Parameters
    ----------
    a : array, shape (n, d_in)
        What came in.
    delta : array, shape (n, d_out)
    out : array, shape (d_in, d_out)
        Overwritten with dW.
    """
    n, d_in, d_out = a.shape[0], a.shape[1], delta.shape[1]
    if delta.shape[0] != n or out.shape != (d_in, d_out):
        got = a.shape, delta.shape, out.shape
        raise ValueError("weight_gradient: expected a (n, d_in), delta (n, d_out) and out (d_in, d_out), got", got)
    for i in prange(d_in):
        for j in range(d_out):
            # dw_ij = sum_s a_si delta_sj
            total = np.float64(0)
            for s in range(n):
                total += a[s, i] * delta[s, j]
            out[i, j] = total


@njit(parallel=True)
def bias_gradient(delta, out):
    """
    Gradient of a layer's biases, summed over the samples: db_j = sum_s delta_sj (L23, L27).

    No race: each unit j has a place of its own in `out`.

    Parameters
    ----------
    delta : array, shape (n, d)
    out : array, shape (d,)
        Overwritten with db.
    """
    if out.shape != (delta.shape[1],):
        raise ValueError("bias_gradient: expected delta (n, d) and out (d,), got", delta.shape, out.shape)
    for j in prange(delta.shape[1]):
        # db_j = sum_s delta_sj
        total = np.float64(0)
        for s in range(delta.shape[0]):
            total += delta[s, j]
        out[j] = total


@njit(parallel=True)
def update(w, dw, alpha):
    """
    One step of learning: w <- w - alpha dw (L27).

    No race: each weight is updated once.

    Parameters
    ----------
    w : array, shape (n,)
        Weights and biases, updated in place.
    dw : array, shape (n,)
        Their gradient.
    alpha : float
        The learning rate.
    """
    if dw.shape != w.shape:
        raise ValueError("update: expected w and dw of one shape, got", w.shape, dw.shape)
    alpha = np.float64(alpha)
    for i in prange(w.size):
        # w <- w - alpha dw
        w[i] -= alpha * dw[i]


@njit
def layer(params, sizes, l):
    """
    Weights and biases of layer l, as views: what you write into them is written into `params`.

    Parameters
    ----------
    params : C-contiguous array, shape (parameter_count(sizes),)
        Of each layer W row after row and then b, as everywhere in fastbp.
    sizes : int64 array, shape (layers + 1,)
        Units of each layer, the inputs first.
    l : int
        From 1, the first layer after the inputs, to layers.

    Returns
    -------
    (array, array)
        W of shape (d_in, d_out) and b of shape (d_out,).
    """
    params, at = np.ascontiguousarray(params), 0  # no copy: it is contiguous, but the compiler may not know
    for k in range(1, l):
        at += (sizes[k - 1] + 1) * sizes[k]
    d_in, d_out = sizes[l - 1], sizes[l]
    W = params[at : at + d_in * d_out].reshape(d_in, d_out)
    b = params[at + d_in * d_out : at + (d_in + 1) * d_out]
    return W, b


@njit
def online_epoch(X, Y, order, sizes, activations, params, alpha):
    """
    Learn sample after sample: forward, backward and update for each (L26 to L29).

    Parameters
    ----------
    X, Y : array, shapes (n, sizes[0]) and (n, sizes[-1])
        Samples, and what the network should make of them.
    order : int array, shape (m,)
        Numbers of the samples in the order in which they are learnt.
    sizes, activations : int64 array, shapes (layers + 1,) and (layers,)
        Units of each layer, the inputs first; and the code of each layer's activation, see `activation`.
    params : C-contiguous array, shape (parameter_count(sizes),)
        All weights and biases, updated in place; see `layer`.
    alpha : float
        The learning rate.

    Returns
    -------
    float
        Mean loss 1/2 sum_k (a_k - y_k)^2 of the samples, each before its update. NaN where `order` is empty.

    Notes
    -----
    There is nothing to share among threads: each sample meets the weights that the one before has left.
    """
    check_epoch(X, Y, order, sizes, activations, params)
    top, widest, loss, alpha = activations.size, sizes.max(), np.float64(0), np.float64(alpha)
    # a[l, j] is the output of unit j in layer l, and delta[l, j] its error signal; a[0] is the sample
    a = np.zeros((top + 1, widest), params.dtype)
    delta = np.zeros((top + 1, widest), params.dtype)
    for t in order:
        # Step 3: forward propagation
        for i in range(sizes[0]):
            a[0, i] = X[t, i]
        for l in range(1, top + 1):
            W, b = layer(params, sizes, l)
            for j in range(sizes[l]):
                # z_j = sum_i w_ij a_i + b_j
                z = np.float64(b[j])
                for i in range(sizes[l - 1]):
                    z += W[i, j] * a[l - 1, i]
                # a_j = f(z_j)
                a[l, j] = activation(activations[l - 1], z)
        # Step 4, output layer
        for k in range(sizes[top]):
            # e_k = a_k - y_k
            e = np.float64(a[top, k]) - Y[t, k]
            # delta_k = f'(z_k) e_k, for logistic units a_k (1 - a_k) e_k
            delta[top, k] = slope(activations[top - 1], a[top, k]) * e
            loss += e * e / 2
        # Step 4, hidden layers from the top down, all with the weights from before the update
        for l in range(top - 1, 0, -1):
            W, b = layer(params, sizes, l + 1)
            for k in range(sizes[l]):
                # delta_k = f'(z_k) sum_i delta_i w_ki, for logistic units a_k (1 - a_k) sum_i delta_i w_ki
                total = np.float64(0)
                for i in range(sizes[l + 1]):
                    total += delta[l + 1, i] * W[k, i]
                delta[l, k] = slope(activations[l - 1], a[l, k]) * total
        # Step 4, the update of every layer
        for l in range(1, top + 1):
            W, b = layer(params, sizes, l)
            for i in range(sizes[l - 1]):
                for j in range(sizes[l]):
                    # dw_ij = a_i delta_j, w_ij <- w_ij - alpha dw_ij
                    W[i, j] -= alpha * (a[l - 1, i] * delta[l, j])
            for j in range(sizes[l]):
                # b_j <- b_j - alpha delta_j
                b[j] -= alpha * delta[l, j]
    return loss / order.size if order.size > 0 else np.nan


@njit(parallel=True)
def minibatch_epoch(X, Y, order, batch_size, sizes, activations, params, alpha):
    """
    Learn batch after batch: forward and backward for each sample, then one update by the mean gradient (L25, L29).

    No race: each sample has a row of its own in the arrays of the batch, and the kernels above say the same of theirs.

    Parameters
    ----------
    X, Y, order, sizes, activations, params, alpha
        As in `online_epoch`.
    batch_size : int
        Samples of a batch; the last may be smaller. With 1 the result is that of `online_epoch`, bit for bit.

    Returns
    -------
    float
        Mean loss of the samples, each before the update by its batch. NaN where `order` is empty.
    """
    check_epoch(X, Y, order, sizes, activations, params)
    if batch_size < 1:
        raise ValueError("minibatch_epoch: expected a batch_size of at least 1, got", batch_size)
    top, widest, loss, most = activations.size, sizes.max(), np.float64(0), min(batch_size, order.size)
    # a[l, s, j] is the output of unit j in layer l for sample s of the batch, and delta[l, s, j] its error signal
    a = np.zeros((top + 1, most, widest), params.dtype)
    delta = np.zeros((top + 1, most, widest), params.dtype)
    y = np.zeros((most, sizes[top]), Y.dtype)
    gradient = np.zeros(params.size, params.dtype)
    for first in range(0, order.size, batch_size):
        n = min(batch_size, order.size - first)
        for s in prange(n):
            for i in range(sizes[0]):
                a[0, s, i] = X[order[first + s], i]
            for k in range(sizes[top]):
                y[s, k] = Y[order[first + s], k]
        # Step 3: forward propagation
        for l in range(1, top + 1):
            W, b = layer(params, sizes, l)
            forward(activations[l - 1], units(a, l - 1, n, sizes), W, b, units(a, l, n, sizes))
        # Step 4, output layer
        output_delta(activations[top - 1], units(a, top, n, sizes), y[:n], units(delta, top, n, sizes))
        for s in range(n):
            for k in range(sizes[top]):
                e = np.float64(a[top, s, k]) - y[s, k]
                loss += e * e / 2
        # Step 4, hidden layers from the top down
        for l in range(top - 1, 0, -1):
            W, b = layer(params, sizes, l + 1)
            delta_next, out = units(delta, l + 1, n, sizes), units(delta, l, n, sizes)
            hidden_delta(activations[l - 1], delta_next, W, units(a, l, n, sizes), out)
        # Step 4, the gradient of every layer, and one update by its mean
        for l in range(1, top + 1):
            dW, db = layer(gradient, sizes, l)
            weight_gradient(units(a, l - 1, n, sizes), units(delta, l, n, sizes), dW)
            bias_gradient(units(delta, l, n, sizes), db)
        update(params, gradient, alpha / n)
    return loss / order.size if order.size > 0 else np.nan


@njit
def units(a, l, n, sizes):
    """Give layer l of a batch of n samples, a sample a row: a view."""
    return a[l, :n, : sizes[l]]


@njit
def check_kind(kind):
    """Raise ValueError unless the activation is one of this file."""
    if kind < IDENTITY or kind > RELU:
        raise ValueError("activation: expected one of the codes 0 to 3, got", kind)


@njit
def check_epoch(X, Y, order, sizes, activations, params):
    """Raise ValueError unless the arguments of an epoch fit together."""
    check_network(sizes, activations, params)
    for kind in activations:
        check_kind(kind)
    if X.shape[1] != sizes[0] or Y.shape != (X.shape[0], sizes[sizes.size - 1]):
        got = X.shape, Y.shape, sizes[0], sizes[sizes.size - 1]
        raise ValueError("epoch: expected X (n, sizes[0]) and Y (n, sizes[-1]), got", got)
    for t in order:
        if t < 0 or t >= X.shape[0]:
            raise ValueError("order: expected numbers of samples from 0 to n - 1, got", t, X.shape[0])
