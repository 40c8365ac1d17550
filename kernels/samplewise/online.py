"""Per-sample learning: the lecture's algorithm as it stands, one epoch a call (L26-L29)."""

import numpy as np

from ..compiler.jit import frozen, inner, njit, python_or_compiled
from ..compiler.memory import aligned, whole_vectors
from ..layer.activation import SOFTMAX, activate, softmax_row, takes_input
from ..layer.custom_loss import call_own
from ..layer.evaluation import check_decision, check_loss
from ..layer.loss import LOWEST_ADDRESS, row_loss
from ..network.arguments import Net, Samples
from ..network.epochs import Samplewise, sample_epochs
from ..network.forward import check_network
from ..product.pack import copy
from .sweep import SWEEP_BYTES, errors_below, rows_of_terms, sweep
from .tiny import LEAN, is_lean, learn_lean

# Share of zeros among the inputs from which rows without terms are left out of the sweep, and inputs from which it is looked for.
SPARSE, SPARSE_INPUTS = 0.5, 64


# Columns of a plan.
WEIGHTS, NOW, BEFORE, DELTA, STEP, INPUT = 0, 1, 2, 3, 4, 5


@python_or_compiled
def whole_rows(count, itemsize):
    """`count` elements, rounded up to whole vectors of a sweep."""
    lanes = SWEEP_BYTES // itemsize
    return (count + lanes - 1) // lanes * lanes


@python_or_compiled
def plan_online(sizes, itemsize):
    """
    Where everything lies in the work space, a row of offsets per layer; the end is in the last row.

    ``plan[l, WEIGHTS]``: a row of weights per input and a row of biases, each of whole vectors. Then, for its units: ``NOW`` and
    ``BEFORE`` the outputs for this sample and the one before (they take turns), ``DELTA`` the errors, ``STEP`` alpha times them, and
    ``INPUT`` the inputs, for activations whose f' is computed from these.
    """
    layers = sizes.size - 1
    plan = np.zeros((layers + 1, 6), np.int64)
    at = 0
    for l in range(layers):
        wide = whole_vectors(sizes[l + 1], itemsize)
        plan[l, WEIGHTS] = at
        at += whole_vectors((sizes[l] + 1) * whole_rows(sizes[l + 1], itemsize), itemsize)
        for k in range(5):
            plan[l, NOW + k] = at + k * wide
        at += 5 * wide
    # the sums over `lanes` rows of weights at a time may read rows behind the last
    plan[layers, WEIGHTS] = at + whole_rows(1, itemsize) * whole_rows(sizes[layers], itemsize)
    return plan


@inner
def _copy_weights(sizes, plan, params, space, begin, back):
    """Weights and biases into the work space, or `back`."""
    one, at = np.int64(1), np.int64(0)
    for l in range(sizes.size - 1):
        n_in, n_out = sizes[l], sizes[l + 1]
        w, row = begin + plan[l, WEIGHTS], whole_rows(n_out, space.itemsize)
        if back:
            copy(n_in + 1, n_out, space, w, row, one, params, at, n_out, one)
        else:
            copy(n_in + 1, n_out, params, at, n_out, one, space, w, row, one)
        at += (n_in + 1) * n_out


@njit
def _swept_epoch(
    X,
    Y,
    weight,
    order,
    sizes,
    activations,
    loss,
    parameter,
    decision,
    params,
    rate,
    l2,
    plan,
    space,
    begin,
    rows,
    sparse,
    results,
):
    """One epoch: every weight is read and written once a sample (see `sweep`), above the inputs read once more. Unchecked."""
    layers, n_in, top = activations.size, sizes[0], activations.size - 1
    one, every, last, n_out = np.int64(1), np.int64(-1), activations[top], sizes[layers]
    share = rate * params.dtype.type(l2)
    space[:] = 0
    results[:] = 0
    _copy_weights(sizes, plan, params, space, begin, False)
    now, before, x_before = np.int64(NOW), np.int64(BEFORE), order[0] * n_in
    for s in range(order.size):
        t = order[s]
        x = t * n_in
        if share != 0 and s > 0:
            _shrink(sizes, plan, space, begin, share)
        # Step 3: forward propagation, a(l) = f(W(l)^T a(l-1) + b(l)); the weights take the update by the sample before on the way.
        listed = rows_of_terms(n_in, X, x, X, x_before, rows, 0) if sparse else every
        for l in range(layers):
            a, step, w = begin + plan[l, now], begin + plan[l, STEP], begin + plan[l, WEIGHTS]
            z = begin + plan[l, INPUT] if takes_input(activations[l]) else a
            wide = whole_rows(sizes[l + 1], space.itemsize)
            if l == 0:
                sweep(n_in, wide, listed, X, x, X, x_before, rows, 0, space, w, space, step, space, z)
            else:
                sweep(
                    sizes[l],
                    wide,
                    every,
                    space,
                    begin + plan[l - 1, now],
                    space,
                    begin + plan[l - 1, before],
                    rows,
                    0,
                    space,
                    w,
                    space,
                    step,
                    space,
                    z,
                )
            if activations[l] == SOFTMAX:
                softmax_row(sizes[l + 1], space, z, one, space, a, one)
            else:
                activate(activations[l], wide, space, z, one, space, a, one)
        # Step 4: backpropagation, from the output layer down; s = alpha delta is what the next sweep takes off.
        delta = begin + plan[top, DELTA]
        if loss >= LOWEST_ADDRESS:
            call_own(
                loss, n_out, 1, 1, space, begin + plan[top, now], Y, t * n_out, weight, t, space, delta, results, 0
            )
        row_loss(
            loss,
            last,
            decision,
            n_out,
            space,
            begin + plan[top, now],
            Y,
            t * n_out,
            weight[t],
            rate,
            parameter,
            0,
            space,
            delta,
            space,
            begin + plan[top, STEP],
            results,
            0,
        )
        if not np.isfinite(results[0]):
            results[2] = 1 + s
            break
        for l in range(top, 0, -1):
            below = begin + plan[l - 1, INPUT if takes_input(activations[l - 1]) else now]
            errors_below(
                activations[l - 1],
                sizes[l],
                whole_rows(sizes[l + 1], space.itemsize),
                space,
                begin + plan[l, WEIGHTS],
                space,
                begin + plan[l, DELTA],
                space,
                below,
                rate,
                space,
                begin + plan[l - 1, DELTA],
                space,
                begin + plan[l - 1, STEP],
            )
        now, before, x_before = before, now, x
    if results[2] == 1:
        return  # nothing was learnt
    if results[2] > 0:
        for l in range(layers):  # the weights have taken the update before the failure: the next is none
            step = begin + plan[l, STEP]
            space[step : step + whole_rows(sizes[l + 1], space.itemsize)] = 0
    # The update by the last sample, whose loss is finite; the sums go nowhere.
    if share != 0 and results[2] == 0:
        _shrink(sizes, plan, space, begin, share)
    for l in range(layers):
        z, step, w = begin + plan[l, now], begin + plan[l, STEP], begin + plan[l, WEIGHTS]
        wide = whole_rows(sizes[l + 1], space.itemsize)
        if l == 0:
            sweep(n_in, wide, every, X, x_before, X, x_before, rows, 0, space, w, space, step, space, z)
        else:
            a = begin + plan[l - 1, before]
            sweep(sizes[l], wide, every, space, a, space, a, rows, 0, space, w, space, step, space, z)
    _copy_weights(sizes, plan, params, space, begin, True)


@inner
def _shrink(sizes, plan, space, begin, share):
    """W <- (1 - share) w for all weights, but not the biases."""
    for l in range(sizes.size - 1):
        at = begin + plan[l, WEIGHTS]
        for i in range(at, at + sizes[l] * whole_rows(sizes[l + 1], space.itemsize)):
            space[i] -= share * space[i]


_swept_epochs = sample_epochs(_swept_epoch)


@njit
def _lean_epoch(
    X, Y, weight, order, sizes, activations, loss, parameter, decision, params, rate, l2, starts, space, results
):
    """One epoch of a tiny network; its losses have no parameter. Unchecked."""
    layers, one, at = activations.size, np.int64(1), np.int64(0)
    space[:] = 0
    for l in range(layers):
        copy(sizes[l] + 1, sizes[l + 1], params, at, sizes[l + 1], one, space, starts[l], LEAN, one)
        at += (sizes[l] + 1) * sizes[l + 1]
    learn_lean(
        order.size,
        X,
        0,
        Y,
        0,
        weight,
        0,
        order,
        0,
        sizes,
        0,
        layers,
        activations,
        0,
        starts,
        0,
        loss,
        decision,
        space,
        0,
        rate,
        params.dtype.type(1) - rate * params.dtype.type(l2),
        space,
        starts[layers],
        results,
        0,
    )
    at = 0
    for l in range(layers):
        copy(sizes[l] + 1, sizes[l + 1], space, starts[l], LEAN, one, params, at, sizes[l + 1], one)
        at += (sizes[l] + 1) * sizes[l + 1]


_lean_epochs = sample_epochs(_lean_epoch)


@python_or_compiled
def lean_space(sizes, params):
    """Where the weights of each layer begin, behind them the outputs and the end; and the memory."""
    starts = np.zeros(sizes.size + 1, np.int64)
    for l in range(sizes.size - 1):
        starts[l + 1] = starts[l] + (sizes[l] + 1) * LEAN
    starts[sizes.size] = starts[sizes.size - 1] + (sizes.size - 1) * LEAN
    return starts, np.empty(starts[sizes.size], params.dtype)


@python_or_compiled
def sweep_space(X, sizes, params, l2):
    """Plan and memory for `_swept_epoch`, its begin, room for a list of inputs, and whether rows without terms are left out."""
    plan = plan_online(sizes, params.itemsize)
    space = np.empty(plan[sizes.size - 1, WEIGHTS] + 16, params.dtype)
    zeros_pay = l2 == 0 and X.shape[1] >= SPARSE_INPUTS and np.count_nonzero(X) < (1 - SPARSE) * X.size
    return plan, space, aligned(space), np.empty(sizes[0], np.int64), zeros_pay


@python_or_compiled
def check_online(X, Y, weight, sizes, activations, loss, loss_parameter, decision, params):
    """Raise ValueError unless the arguments of an epoch fit together."""
    check_network(sizes, activations, params)
    layers = activations.size
    check_loss(loss, loss_parameter, activations[layers - 1], sizes[layers])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError(
            "online_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) came as", X.shape, Y.shape
        )
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError(
            "online_epoch: Y and weight must have a row per row of X; (X, Y, weight) came as",
            X.shape,
            Y.shape,
            weight.shape,
        )


@python_or_compiled
def online_epoch(X, Y, weight, order, sizes, activations, loss, loss_parameter, decision, params, learning_rate, l2):
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
    loss_parameter : array, shape (sizes[-1],), or (0,) where the loss has none
        See `output_delta`.
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
    X, Y, weight, sizes, activations = frozen(X), frozen(Y), frozen(weight), frozen(sizes), frozen(activations)
    loss_parameter = frozen(loss_parameter)
    check_online(X, Y, weight, sizes, activations, loss, loss_parameter, decision, params)
    stop = order.size
    if stop > 0 and (order.min() < 0 or order.max() >= X.shape[0]):
        stop = np.argmax((order < 0) | (order >= X.shape[0]))
    results, rate = np.zeros(3), params.dtype.type(learning_rate)
    if stop > 0 and is_lean(sizes, activations, loss):
        starts, space = lean_space(sizes, params)
        _lean_epoch(
            X,
            Y,
            weight,
            order[:stop],
            sizes,
            activations,
            loss,
            loss_parameter,
            decision,
            params,
            rate,
            l2,
            starts,
            space,
            results,
        )
    elif stop > 0:
        plan, space, begin, rows, sparse = sweep_space(X, sizes, params, l2)
        _swept_epoch(
            X,
            Y,
            weight,
            order[:stop],
            sizes,
            activations,
            loss,
            loss_parameter,
            decision,
            params,
            rate,
            l2,
            plan,
            space,
            begin,
            rows,
            sparse,
            results,
        )
    if stop < order.size:
        raise ValueError(
            "online_epoch: order must hold sample numbers from 0 to n-1; (position, number, n) came as",
            stop,
            order[stop],
            X.shape[0],
        )
    if stop == 0:
        return np.nan, np.nan
    return results[0] / stop, results[1] / stop


def prepare_online(X, Y, weight, sizes, activations, loss, loss_parameter, decision, params, learning_rate, l2):
    """
    Check once and reserve memory once for many epochs.

    Parameters
    ----------
    X, Y, weight, sizes, activations, loss, loss_parameter, decision, params, learning_rate, l2
        As in `online_epoch`; the loss may be the number of an `OwnLoss`.

    Returns
    -------
    callable
        ``epoch(order)`` runs an epoch as `online_epoch` does. `order` is not checked: at least one number of a sample. Returns a
        `Pass`; its batches are the samples, and the penalty is left out.
    """
    loss, arrays = int(loss), (X, Y, weight, sizes, activations, loss_parameter)
    X, Y, weight, sizes, activations, loss_parameter = map(frozen, arrays)
    check_online(X, Y, weight, sizes, activations, loss, loss_parameter, decision, params)
    lean = is_lean(sizes, activations, loss)
    learn, several = (_lean_epoch, _lean_epochs) if lean else (_swept_epoch, _swept_epochs)
    work = lean_space(sizes, params) if lean else sweep_space(X, sizes, params, l2)
    net = Net(sizes, activations, loss, loss_parameter, decision)
    return Samplewise(
        learn, several, Samples(X, Y, weight), net, params, params.dtype.type(learning_rate), float(l2), work
    )
