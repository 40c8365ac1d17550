"""Mini-batch learning: one epoch a call, with any of the optimizers (L25, L29)."""

import numpy as np
from numba import prange

from ._jit import jit
from .activation import multiply_derivative_row
from .loss import check_decision, check_loss, correct_row, loss_row, output_delta_row
from .matmul import accumulate, product_with_transpose
from .network import check_network, layer_forward, parameter_count, unit_count
from .optimizer import ADAM, SGD, update

# A batch is cut into blocks of at least 64 rows, at most 16 blocks: by the batch size alone, so that the sums
# are taken in the same order for every number of threads.
BLOCK_ROWS, MAX_BLOCKS = 64, 16


@jit
def block_rows(batch_size):
    """
    Rows of a block, for batches of up to `batch_size` rows.

    Parameters
    ----------
    batch_size : int

    Returns
    -------
    int
        A batch of more rows than this is cut into blocks, which the parallel epoch gives to threads.
    """
    return max(BLOCK_ROWS, (batch_size + MAX_BLOCKS - 1) // MAX_BLOCKS)


@jit
def _tile(flat, start, rows, columns):
    """A (rows, columns) matrix at `start` of a flat buffer."""
    return flat[start : start + rows * columns].reshape(rows, columns)


@jit
def batch_gradient(X, Y, weight, order, sizes, activations, loss, decision, params, a, delta, gradient):
    """
    Loss and summed gradient of the samples `order`, for one block of a batch. Unchecked.

    `a` and `delta` are flat buffers of at least order.size * unit_count(sizes) elements, `gradient` has the layout of
    `params` and is overwritten. Returns (summed loss, number decided rightly).
    """
    rows, layers = order.size, activations.size
    last = activations[layers - 1]
    at, w = np.int64(0), np.int64(0)  # typed: a literal would compile the callees once more
    first = _tile(a, at, rows, sizes[0])
    for i in range(rows):
        t = order[i]
        for j in range(sizes[0]):
            first[i, j] = X[t, j]
    # Forward: A(l) = f(A(l-1) W(l) + b(l)).
    for l in range(layers):
        n_in, n_out = sizes[l], sizes[l + 1]
        layer_forward(_tile(a, at, rows, n_in), params, w, n_out, activations[l], _tile(a, at + rows * n_in, rows, n_out))
        at += rows * n_in
        w += (n_in + 1) * n_out
    # Output layer: delta = dJ/dz.
    outputs, errors = _tile(a, at, rows, sizes[layers]), _tile(delta, at, rows, sizes[layers])
    total, correct = 0.0, 0
    for i in range(rows):
        t = order[i]
        total += weight[t] * loss_row(loss, last, outputs[i], Y[t])
        correct += correct_row(decision, outputs[i], Y[t])
        output_delta_row(loss, last, outputs[i], Y[t], errors[i])
        factor = params.dtype.type(weight[t])
        for k in range(sizes[layers]):
            errors[i, k] *= factor
    # Backward: dW(l) = A(l-1)^T delta(l), db(l) = sum delta(l), delta(l-1) = (delta(l) W(l)^T) * f'(z).
    gradient[:] = 0
    for l in range(layers - 1, -1, -1):
        n_in, n_out = sizes[l], sizes[l + 1]
        w -= (n_in + 1) * n_out
        at -= rows * n_in
        inputs, errors = _tile(a, at, rows, n_in), _tile(delta, at + rows * n_in, rows, n_out)
        accumulate(inputs.T, errors, _tile(gradient, w, n_in, n_out))
        bias = gradient[w + n_in * n_out : w + (n_in + 1) * n_out]
        for i in range(rows):
            for j in range(n_out):
                bias[j] += errors[i, j]
        if l > 0:
            below = _tile(delta, at, rows, n_in)
            product_with_transpose(errors, _tile(params, w, n_in, n_out), below)
            for i in range(rows):
                multiply_derivative_row(activations[l - 1], inputs[i], below[i])
    return total, correct


@jit
def _finish_gradient(gradients, blocks, rows, sizes, params, l2):
    """gradients[0] <- (sum of the blocks, in their order) / rows + l2 w (weights only)."""
    gradient = gradients[0]
    for k in range(1, blocks):
        other = gradients[k]
        for i in range(gradient.size):
            gradient[i] += other[i]
    scale, decay = params.dtype.type(1) / params.dtype.type(rows), params.dtype.type(l2)
    for i in range(gradient.size):
        gradient[i] *= scale
    if l2 != 0:
        w = 0
        for l in range(sizes.size - 1):
            n = sizes[l] * sizes[l + 1]
            for i in range(w, w + n):
                gradient[i] += decay * params[i]
            w += n + sizes[l + 1]


def _epoch(X, Y, weight, order, batch_size, sizes, activations, loss, decision, params, optimizer, first, second, step,
           learning_rate, beta1, beta2, epsilon, l2):  # fmt: skip
    """
    One pass of mini-batch learning: for every batch the mean gradient, then one update.

    Parameters
    ----------
    X : C-contiguous array, shape (n, sizes[0])
        Inputs, one sample a row.
    Y : C-contiguous array, shape (n, sizes[-1])
        Targets.
    weight : array, shape (n,)
        Factor of each sample's loss; ones for plain learning.
    order : int64 array, shape (m,)
        Numbers of the samples in the order in which batches take them; the last batch may be smaller.
    batch_size : int
        Samples per update, at least 1.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss, decision, optimizer : int
        Codes of the loss, of the decision that counts as right, and of the update rule.
    params : array, shape (parameter_count(sizes),)
        All weights and biases, updated in place (layout: `parameter_count`).
    first, second : arrays, shape (parameter_count(sizes),) or (0,) where the rule has no use for them
        State of the optimizer, updated in place: the velocity, or Adam's two means.
    step : int
        Updates made before this call.
    learning_rate, beta1, beta2, epsilon : float
        alpha; momentum or Adam's b1, b2 and eps.
    l2 : float
        Weight of the penalty l2/2 sum w^2 (biases are free).

    Returns
    -------
    (float, float, int)
        Mean loss of the samples, each before its batch's update; the share decided rightly; updates made so far.
        NaN, NaN where `order` is empty.

    Raises
    ------
    ValueError
        Shapes or codes that do not fit, or a sample number outside 0..n-1.

    Notes
    -----
    Lecture L25, row-wise: dW = A^T delta / B, db = sum delta / B, delta(l-1) = (delta(l) W^T) f'(z). 6 flops a weight
    and sample. The parallel version runs the blocks of a batch on threads; each block writes its own gradient
    buffer, and the buffers are added in the order of the blocks: no race, and the same bits for any number of threads.
    Work space is allocated once a call, nothing per batch.
    """
    check_network(sizes, activations, params)
    layers = activations.size
    check_loss(loss, activations[layers - 1])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError("minibatch_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) came as", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError(
            "minibatch_epoch: Y and weight must have a row per row of X; (X, Y, weight) came as", X.shape, Y.shape, weight.shape
        )
    if optimizer < SGD or optimizer > ADAM:
        raise ValueError("minibatch_epoch: optimizer must be one of the optimizer codes 0 to 3, got", optimizer)
    if batch_size < 1:
        raise ValueError("minibatch_epoch: batch_size must be at least 1, got", batch_size)
    for i in range(order.size):
        if order[i] < 0 or order[i] >= X.shape[0]:
            raise ValueError("minibatch_epoch: order must hold sample numbers from 0 to n-1; (number, n) came as", order[i], X.shape[0])
    if order.size == 0:
        return np.nan, np.nan, step
    largest = min(batch_size, order.size)
    height = block_rows(largest)
    most = (largest + height - 1) // height
    units = min(height, largest) * unit_count(sizes)
    a = np.empty((most, units), params.dtype)
    delta = np.empty((most, units), params.dtype)
    gradients = np.empty((most, parameter_count(sizes)), params.dtype)
    losses, corrects = np.empty(most), np.empty(most, np.int64)
    total, correct = 0.0, 0
    for start in range(0, order.size, batch_size):
        rows = min(batch_size, order.size - start)
        blocks = (rows + height - 1) // height
        for k in prange(blocks):
            some = order[start + k * height : start + min((k + 1) * height, rows)]
            losses[k], corrects[k] = batch_gradient(
                X, Y, weight, some, sizes, activations, loss, decision, params, a[k], delta[k], gradients[k]
            )
        for k in range(blocks):
            total += losses[k]
            correct += corrects[k]
        _finish_gradient(gradients, blocks, rows, sizes, params, l2)
        step += 1
        update(optimizer, params, gradients[0], first, second, step, learning_rate, beta1, beta2, epsilon)
    return total / order.size, correct / order.size, step


_epoch.__name__ = _epoch.__qualname__ = "minibatch_epoch"
minibatch_epoch = jit(_epoch)
minibatch_epoch_parallel = jit(_epoch, parallel=True)
