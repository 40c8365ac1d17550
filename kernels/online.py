"""Per-sample learning: the lecture's algorithm as it stands, one epoch a call (L26-L29)."""

import numpy as np

from ._jit import inner, jit, python_or_compiled
from .activation import SOFTMAX, activate, multiply_derivative, softmax_row
from .loss import check_decision, check_loss, correct_row, loss_row, output_delta_row
from .lean import LEAN, is_lean, learn_lean
from .network import check_network, whole_vectors
from .optimizer import SGD, update
from .pack import copy
from .sweep import errors_below, rows_of_terms, sweep_inputs, sweep_units

# Share of zeros among the inputs from which rows without terms are left out of the sweep, and inputs from which it is looked for.
SPARSE, SPARSE_INPUTS = 0.5, 64


@python_or_compiled
def plan_online(sizes, itemsize):
    """
    Where everything lies in the work space: per layer the weights, and of its units the outputs, those of the sample before, errors, steps.

    Layer 0 keeps a row of weights per input, and then its biases; the layers above a row per unit, with its bias. Rows are
    whole vectors. Behind the outputs of a layer stands a 1 that meets the biases. The end is in the last row.
    """
    layers = sizes.size - 1
    plan = np.zeros((layers + 1, 5), np.int64)
    at = 0
    for l in range(layers):
        wide = whole_vectors(sizes[l + 1] + 1, itemsize)
        plan[l, 0] = at
        at += (sizes[0] + 1) * whole_vectors(sizes[1], itemsize) if l == 0 else sizes[l + 1] * whole_vectors(sizes[l] + 1, itemsize)
        for k in range(4):
            plan[l, 1 + k] = at + k * wide
        at += 4 * wide
    plan[layers, 0] = at
    return plan


@inner
def _copy_weights(sizes, plan, params, space, back):
    """Weights and biases into the work space, or `back`."""
    one, at = np.int64(1), np.int64(0)
    for l in range(sizes.size - 1):
        n_in, n_out, w = sizes[l], sizes[l + 1], plan[l, 0]
        row, column = whole_vectors(n_out, space.itemsize), one
        if l > 0:
            row, column = one, whole_vectors(n_in + 1, space.itemsize)
        if back:
            copy(n_in + 1, n_out, space, w, row, column, params, at, n_out, one)
        else:
            copy(n_in + 1, n_out, params, at, n_out, one, space, w, row, column)
        at += (n_in + 1) * n_out


def _learn(X, Y, weight, order, sizes, activations, loss, decision, params, rate, l2, plan, space, rows, sparse, results):
    """One epoch: every weight is read and written once a sample (see `sweep`). Unchecked."""
    layers, n_in, top = activations.size, sizes[0], activations.size - 1
    kind, one = params.dtype.type, np.int64(1)
    decay, keep = kind(l2), l2 == 0
    last, n_out = activations[top], sizes[layers]
    lanes_out = whole_vectors(sizes[1], space.itemsize)
    bias = plan[0, 0] + n_in * lanes_out
    total, correct = 0.0, 0
    space[:] = 0
    _copy_weights(sizes, plan, params, space, False)
    for l in range(layers):
        space[plan[l, 1] + sizes[l + 1]] = space[plan[l, 2] + sizes[l + 1]] = 1
    now, before = one, one + one
    x_before = order[0] * n_in
    for s in range(order.size):
        t = order[s]
        x = t * n_in
        if not keep and s > 0:
            _shrink(sizes, plan, space, rate * decay)
        # Step 3: forward propagation, a(l) = f(W(l)^T a(l-1) + b(l)); the weights take the update by the sample before on the way.
        listed = rows_of_terms(n_in, X, x, X, x_before, rows, 0) if sparse else -one
        sweep_inputs(n_in, lanes_out, listed, X, x, X, x_before, rows, 0, space, plan[0, 0], space, plan[0, 4], space, plan[0, now],
                     space, bias)  # fmt: skip
        for l in range(layers):
            z, units = plan[l, now], sizes[l + 1]
            if l > 0:
                sweep_units(units, whole_vectors(sizes[l] + 1, space.itemsize), space, plan[l, 0], space, plan[l - 1, now],
                            space, plan[l - 1, before], space, plan[l, 4], space, z)  # fmt: skip
            if activations[l] == SOFTMAX:
                softmax_row(space[z : z + units], space[z : z + units])
            else:
                activate(activations[l], units, space, z, one, space, z, one)
            space[z + units] = 1
        a = space[plan[top, now] : plan[top, now] + n_out]
        total += weight[t] * loss_row(loss, last, a, Y[t])
        correct += correct_row(decision, a, Y[t])
        # Step 4: backpropagation, from the output layer down; s = alpha delta is what the next sweep takes off.
        output_delta_row(loss, last, a, Y[t], space[plan[top, 3] : plan[top, 3] + n_out])
        for l in range(top, -1, -1):
            if l < top:
                # delta(l) = f'(z) * sum delta w; for logistic units a (1 - a) sum delta w
                errors_below(sizes[l + 2], whole_vectors(sizes[l + 1] + 1, space.itemsize), space, plan[l + 1, 0], space, plan[l + 1, 3],
                             space, plan[l, 3])  # fmt: skip
                multiply_derivative(activations[l], sizes[l + 1], space, plan[l, now], one, space, plan[l, 3], one)
            for j in range(sizes[l + 1]):
                if l == top:
                    space[plan[l, 3] + j] *= weight[t]
                space[plan[l, 4] + j] = rate * space[plan[l, 3] + j]
        now, before, x_before = before, now, x
    # The update by the last sample.
    if not keep:
        _shrink(sizes, plan, space, rate * decay)
    sweep_inputs(n_in, lanes_out, -one, X, x_before, X, x_before, rows, 0, space, plan[0, 0], space, plan[0, 4], space, plan[0, now],
                 space, bias)  # fmt: skip
    for l in range(1, layers):
        sweep_units(sizes[l + 1], whole_vectors(sizes[l] + 1, space.itemsize), space, plan[l, 0], space, plan[l - 1, before],
                    space, plan[l - 1, before], space, plan[l, 4], space, plan[l, now])  # fmt: skip
    _copy_weights(sizes, plan, params, space, True)
    results[0], results[1] = total, correct


@inner
def _shrink(sizes, plan, space, share):
    """w <- (1 - share) w for all weights, but not the biases."""
    zero = space.dtype.type(0)
    for l in range(sizes.size - 1):
        n_in, n_out, w = sizes[l], sizes[l + 1], plan[l, 0]
        row = whole_vectors(n_in + 1, space.itemsize) if l > 0 else whole_vectors(n_out, space.itemsize)
        for i in range(n_out if l > 0 else n_in):
            at = w + i * row
            for j in range(n_in if l > 0 else n_out):
                space[at + j] -= share * space[at + j]


_learn_swept = jit(_learn)


def _lean(X, Y, weight, order, sizes, activations, loss, decision, params, rate, l2, starts, space, results):
    """One epoch of a tiny network. Unchecked."""
    layers, one, at = activations.size, np.int64(1), np.int64(0)
    space[:] = 0
    for l in range(layers):
        copy(sizes[l] + 1, sizes[l + 1], params, at, sizes[l + 1], one, space, starts[l], LEAN, one)
        at += (sizes[l] + 1) * sizes[l + 1]
    learn_lean(order.size, X, 0, Y, 0, weight, 0, order, 0, sizes, 0, layers, activations, 0, starts, 0, loss, decision, space, 0,
               rate, params.dtype.type(1) - rate * params.dtype.type(l2), space, starts[layers], results, 0)  # fmt: skip
    at = 0
    for l in range(layers):
        copy(sizes[l] + 1, sizes[l + 1], space, starts[l], LEAN, one, params, at, sizes[l + 1], one)
        at += (sizes[l] + 1) * sizes[l + 1]


_learn_lean = jit(_lean)


@python_or_compiled
def plan_lean(sizes):
    """Where the weights of each layer begin, and behind them the outputs and the end."""
    starts = np.zeros(sizes.size + 1, np.int64)
    for l in range(sizes.size - 1):
        starts[l + 1] = starts[l] + (sizes[l] + 1) * LEAN
    starts[sizes.size] = starts[sizes.size - 1] + (sizes.size - 1) * LEAN
    return starts


@python_or_compiled
def check_online(X, Y, weight, sizes, activations, loss, decision, params):
    """Raise ValueError unless the arguments of an epoch fit together."""
    check_network(sizes, activations, params)
    layers = activations.size
    check_loss(loss, activations[layers - 1])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError("online_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) came as", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError("online_epoch: Y and weight must have a row per row of X; (X, Y, weight) came as", X.shape, Y.shape, weight.shape)


@python_or_compiled
def is_sparse(X):
    """Whether so many inputs are 0 that rows without terms are left out."""
    return X.shape[1] >= SPARSE_INPUTS and np.count_nonzero(X) < (1 - SPARSE) * X.size


@python_or_compiled
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
    a_i delta_j, b_j <- b_j - alpha delta_j. 6 flops a weight, 4 in the first layer. Each weight of the first layer is read and
    written once a sample, each above it read once more. Sequential by nature. Work space for a copy of the weights is
    allocated once a call, nothing per sample.
    """
    check_online(X, Y, weight, sizes, activations, loss, decision, params)
    stop = order.size
    if stop > 0 and (order.min() < 0 or order.max() >= X.shape[0]):
        stop = np.argmax((order < 0) | (order >= X.shape[0]))
    results = np.zeros(2)
    if stop > 0:
        kind = params.dtype.type
        known = order[:stop]
        if is_lean(sizes, activations):
            starts = plan_lean(sizes)
            space = np.empty(starts[sizes.size], params.dtype)
            _learn_lean(X, Y, weight, known, sizes, activations, loss, decision, params, kind(learning_rate), l2, starts, space, results)
        else:
            plan = plan_online(sizes, params.itemsize)
            space, rows = np.empty(plan[activations.size, 0] + 16, params.dtype), np.empty(sizes[0], np.int64)
            _learn_swept(X, Y, weight, known, sizes, activations, loss, decision, params, kind(learning_rate), l2, plan, space, rows,
                         l2 == 0 and is_sparse(X), results)  # fmt: skip
    if stop < order.size:
        raise ValueError("online_epoch: order must hold sample numbers from 0 to n-1; (position, number, n) came as", stop, order[stop], X.shape[0])
    if stop == 0:
        return np.nan, np.nan
    return results[0] / stop, results[1] / stop
