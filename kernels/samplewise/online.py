"""Per-sample learning: the lecture's algorithm as it stands, one epoch a call (L26-L29)."""

from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import frozen, inner, njit, python_or_compiled
from ..compiler.memory import aligned, whole_rows, whole_vectors
from ..layer.activation import SOFTMAX, activate, softmax_row, takes_input
from ..layer.custom_loss import call_custom
from ..layer.evaluation import check_decision, check_loss
from ..layer.loss import LOWEST_ADDRESS, row_loss
from ..network.arguments import Net, Samples
from ..network.epochs import Samplewise, sample_epochs
from ..network.forward import check_network
from .sweep import errors_below, move_panels, rows_of_terms, shrink, sweep
from .tiny import TINY_UNITS, is_tiny, learn_tiny

# Share of zeros among the inputs from which rows without terms are left out of the sweep, and inputs from which it is
# looked for.
SPARSE, SPARSE_INPUTS = 0.5, 64
# In place of the number of listed inputs: a sweep takes all inputs.
EVERY = np.int64(-1)


class Rates(NamedTuple):
    """The learning rate alpha, of the dtype, and the weight of the penalty."""

    alpha: Any
    l2: Any


class TinyMemory(NamedTuple):
    """
    Memory of the epochs of a tiny network.

    In `space`, the weights of layer l begin at ``starts[l]``, and the outputs at ``starts[layers]`` (see `learn_tiny`).
    ``results``: sums of losses and of right decisions, and from 1 on the number of the sample whose loss was not
    finite.
    """

    starts: Any
    space: Any
    results: Any


class SweepMemory(NamedTuple):
    """
    Memory of the epochs of a larger one.

    In `space`, the weights of layer l begin at ``starts[l]``: a row of ``widths[l]`` per input, and a row of biases.
    For its units, from ``units[l, ...]`` on: ``NOW`` and ``BEFORE`` the outputs for this sample and the one before
    (they take turns), ``DELTA`` the errors, ``STEP`` alpha times them, and ``INPUT`` the inputs z, for activations
    whose f' is computed from these. ``rows`` is room for a list of inputs, and ``sparse`` says whether inputs without
    terms are left out. ``results`` as in `TinyMemory`.
    """

    starts: Any
    widths: Any
    units: Any
    space: Any
    rows: Any
    sparse: Any
    results: Any


NOW, BEFORE, DELTA, STEP, INPUT = range(5)


@python_or_compiled
def tiny_space(sizes, params):
    """Memory for `_tiny_epoch`."""
    layers = sizes.size - 1
    starts = np.zeros(layers + 1, np.int64)
    for l in range(layers):
        starts[l + 1] = starts[l] + (sizes[l] + 1) * TINY_UNITS
    return TinyMemory(starts, np.empty(starts[layers] + layers * TINY_UNITS, params.dtype), np.zeros(3))


@python_or_compiled
def sweep_space(X, sizes, params, l2):
    """Memory for `_swept_epoch`."""
    layers, itemsize, end = sizes.size - 1, params.itemsize, 0
    starts, widths, units = np.empty(layers, np.int64), np.empty(layers, np.int64), np.empty((layers, 5), np.int64)
    for l in range(layers):
        starts[l], widths[l] = end, whole_rows(sizes[l + 1], itemsize)
        end += whole_vectors((sizes[l] + 1) * widths[l], itemsize)
        for k in range(5):
            units[l, k] = end
            end += whole_vectors(widths[l], itemsize)
    # the sums over `lanes` rows of weights at a time may read rows after the last
    end += whole_rows(1, itemsize) * widths[layers - 1]
    flat = np.empty(end + 16, params.dtype)
    begin = aligned(flat)
    zeros_pay = l2 == 0 and X.shape[1] >= SPARSE_INPUTS and np.count_nonzero(X != 0) < (1 - SPARSE) * X.size
    space, rows = flat[begin : begin + end], np.empty(sizes[0], np.int64)
    return SweepMemory(starts, widths, units, space, rows, zeros_pay, np.zeros(3))


@inner
def _move_weights(sizes, memory, params, back):
    """Weights and biases into the memory of an epoch, or `back`."""
    at = np.int64(0)
    for l in range(sizes.size - 1):
        rows, n_out = sizes[l] + 1, sizes[l + 1]
        move_panels(back, (rows, memory.widths[l], n_out), (memory.space, memory.starts[l], params, at))
        at += rows * n_out


@njit
def _tiny_epoch(samples, net, params, rates, memory, order):
    """One epoch of a tiny network; its losses have no parameter. Unchecked."""
    X, Y, weight = samples
    sizes, activations, loss, _, decision = net
    starts, space, results = memory
    layers, keep = activations.size, params.dtype.type(1) - rates.alpha * params.dtype.type(rates.l2)
    layers_of = (sizes, 0, layers, activations, 0, starts, 0, loss, decision)
    room = (space, 0, space, starts[layers])
    learn_tiny(
        order.size, (X, 0, Y, 0, weight, 0, order, 0), layers_of, params, 0, room, (rates.alpha, keep), results, 0
    )


@njit
def _swept_epoch(samples, net, params, rates, memory, order):
    """One epoch: each weight is read and written once a sample, those above the inputs read once more. Unchecked."""
    # The loop calls no function that takes arrays: Numba would count references at each call, for half as long again.
    X, Y, weight = samples
    sizes, activations, loss, parameter, decision = net
    starts, widths, units, space, rows, sparse, results = memory
    alpha, n_in, n_out, top = rates.alpha, sizes[0], sizes[activations.size], activations.size - 1
    one, share = np.int64(1), alpha * params.dtype.type(rates.l2)
    for k in range(space.size):  # Numba compiles a loop sooner than space[:] = 0
        space[k] = 0
    for k in range(results.size):
        results[k] = 0
    _move_weights(sizes, memory, params, False)
    now, before, x_before = np.int64(NOW), np.int64(BEFORE), order[0] * n_in
    for s in range(order.size + 1):
        ended = s == order.size  # once more, for the update by the last sample: the outputs go nowhere
        t = order[s - 1 if ended else s]
        x, y = t * n_in, t * n_out
        if share != 0 and s > 0:
            for l in range(activations.size):
                shrink((sizes[l], widths[l]), share, space, starts[l])
        # Step 3: forward propagation, a(l) = f(W(l)^T a(l-1) + b(l)); the weights take the update by the sample before
        # on the way.
        listed = rows_of_terms(n_in, X, x, X, x_before, rows, 0) if sparse and not ended else EVERY
        for l in range(activations.size):
            kind, w, step, a = activations[l], starts[l], units[l, STEP], units[l, now]
            z = units[l, INPUT] if takes_input(kind) else a
            if l == 0:
                inputs = (X, x, X, x_before, rows, 0)
                sweep((n_in, widths[0], listed), inputs, (space, w, space, step, space, z))
            else:
                inputs = (space, units[l - 1, now], space, units[l - 1, before], rows, 0)
                sweep((sizes[l], widths[l], EVERY), inputs, (space, w, space, step, space, z))
            # made within the branches, these tuples would have their references counted
            summed, output = (space, z, one), (space, a, one)
            if kind == SOFTMAX:
                softmax_row(sizes[l + 1], summed, output)
            else:
                activate(kind, widths[l], summed, output)
        if ended:
            break
        # Step 4: backpropagation, from the output layer down; s = alpha delta is what the next sweep takes off.
        a, delta, step = units[top, now], units[top, DELTA], units[top, STEP]
        if loss >= LOWEST_ADDRESS:
            call_custom(loss, (n_out, 1, 1), (space, a, Y, y, weight, t, space, delta), (results, 0))
        codes, answer = (loss, activations[top], decision), (space, a, Y, y, parameter, 0)
        row_loss(codes, n_out, answer, (weight[t], alpha), (space, delta, space, step), results, 0)
        if not np.isfinite(results[0]):
            results[2] = 1 + s
            break
        for l in range(top, 0, -1):
            kind = activations[l - 1]
            a = units[l - 1, INPUT if takes_input(kind) else now]
            above = (space, starts[l], space, units[l, DELTA])
            below = (space, units[l - 1, DELTA], space, units[l - 1, STEP])
            errors_below(kind, (sizes[l], widths[l]), above, space, a, alpha, below)
        now, before, x_before = before, now, x
    if results[2] != 1:  # else nothing was learnt
        _move_weights(sizes, memory, params, True)


_swept_epochs, _tiny_epochs = sample_epochs(_swept_epoch), sample_epochs(_tiny_epoch)


@python_or_compiled
def check_online(samples, net, params):
    """Raise ValueError unless the arguments of an epoch fit together."""
    X, Y, weight = samples
    sizes, activations, loss, loss_parameter, decision = net
    check_network(sizes, activations, params)
    layers = activations.size
    check_loss(loss, loss_parameter, activations[layers - 1], sizes[layers])
    check_decision(decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError("online_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) are", X.shape, Y.shape)
    if Y.shape[0] != X.shape[0] or weight.shape[0] != X.shape[0]:
        raise ValueError(
            "online_epoch: Y and weight must have a row per row of X; (X, Y, weight) are",
            X.shape,
            Y.shape,
            weight.shape,
        )


@python_or_compiled
def online_epoch(  # noqa: PLR0913
    X, Y, weight, order, sizes, activations, loss, loss_parameter, decision, params, learning_rate, l2
):
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
    a_i delta_j, b_j <- b_j - alpha delta_j. 6 flops a weight, 4 in the first layer. Each weight of the first layer is
    read and written once a sample, each above it read once more. Sequential by nature. Work space for a copy of the
    weights is allocated once a call, nothing per sample.
    """
    X, Y, weight, sizes, activations = frozen(X), frozen(Y), frozen(weight), frozen(sizes), frozen(activations)
    samples, net = Samples(X, Y, weight), Net(sizes, activations, loss, frozen(loss_parameter), decision)
    check_online(samples, net, params)
    stop = order.size
    if stop > 0 and (order.min() < 0 or order.max() >= X.shape[0]):
        stop = np.argmax((order < 0) | (order >= X.shape[0]))
    rates, results = Rates(params.dtype.type(learning_rate), l2), np.zeros(3)
    if stop > 0 and is_tiny(sizes, activations, loss):
        tiny = tiny_space(sizes, params)
        _tiny_epoch(samples, net, params, rates, tiny, order[:stop])
        results = tiny.results
    elif stop > 0:
        swept = sweep_space(X, sizes, params, l2)
        _swept_epoch(samples, net, params, rates, swept, order[:stop])
        results = swept.results
    if stop < order.size:
        raise ValueError(
            "online_epoch: order must hold sample numbers from 0 to n-1; (position, number, n) are",
            stop,
            order[stop],
            X.shape[0],
        )
    if stop == 0:
        return np.nan, np.nan
    return results[0] / stop, results[1] / stop


def prepare_online(  # noqa: PLR0913
    X, Y, weight, sizes, activations, loss, loss_parameter, decision, params, learning_rate, l2
):
    """
    Check once and reserve memory once for many epochs.

    Parameters
    ----------
    X, Y, weight, sizes, activations, loss, loss_parameter, decision, params, learning_rate, l2
        As in `online_epoch`; the loss may be the number of an `CustomLoss`.

    Returns
    -------
    callable
        ``epoch(order)`` runs an epoch as `online_epoch` does. `order` is not checked: at least one number of a sample.
        Returns a `Pass`; its batches are the samples, and the penalty is left out.
    """
    X, Y, weight, sizes, activations, loss_parameter = map(frozen, (X, Y, weight, sizes, activations, loss_parameter))
    samples, net = Samples(X, Y, weight), Net(sizes, activations, int(loss), loss_parameter, decision)
    check_online(samples, net, params)
    rates = Rates(params.dtype.type(learning_rate), float(l2))
    if is_tiny(sizes, activations, net.loss):
        return Samplewise(_tiny_epoch, _tiny_epochs, (samples, net, params, rates, tiny_space(sizes, params)))
    return Samplewise(_swept_epoch, _swept_epochs, (samples, net, params, rates, sweep_space(X, sizes, params, l2)))
