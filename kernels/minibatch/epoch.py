"""
Mini-batch learning: one epoch a call, with any of the optimizers (L25, L29).

The samples of a batch lie in microbatches, one sample a column (see `network.layout`). There are two ways through a
batch: `narrow` for few weights, and `wide`. Here are their arguments, checked, and their memory.
"""

import itertools
from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import frozen, python_or_compiled
from ..compiler.memory import aligned
from ..layer.evaluation import check_decision, check_loss
from ..layer.optimizer import GRADIENT, SGD, rates_of, states_of
from ..network.arguments import Net, Rule, Samples, Training, Updates, Work
from ..network.epochs import Batches, batch_epochs
from ..network.forward import check_network
from ..network.layout import ERROR_ROWS_AT, GROUP, PACKED_FROM, PARAMS_AT, PARTS, layout_of, microbatch_stride
from .inputs import read_inputs
from .narrow import learn_narrow, learn_narrow_serial
from .steps import COPY, MICROBATCH, SUM_LENGTH, blocks_of, is_plain, segments_of
from .wide import learn_wide, learn_wide_serial

# With fewer bytes of parameters a network is narrow. None of its layers is packed.
NARROW = PACKED_FROM
# Multiply-adds of a forward pass of a batch from which threads pay, in the narrow way and in the wide one.
PARALLEL_NARROW, PARALLEL_WIDE = 500_000, 2_000_000
# Updates that can be counted.
LAST_STEP = 1 << 62

narrow_epochs, wide_epochs = batch_epochs(learn_narrow_serial), batch_epochs(learn_wide_serial)


@python_or_compiled
def is_narrow(batch_size, param_bytes):
    """Whether batches of this size go through a network of so many bytes of parameters by `narrow`."""
    return batch_size > GROUP and param_bytes < NARROW


class Memory(NamedTuple):
    """
    What batches take: the layout of microbatches of `stride` columns, and elements of space and of gradients.

    The losses of each of so many `parts` of a batch are added up.
    """

    layout: Any
    stride: Any
    space: Any
    gradient: Any
    parts: Any


@python_or_compiled
def memory_of(sizes, activations, dropout, batch_size, itemsize, narrow, plain):
    """What batches of at most `batch_size` samples take; `plain` needs no gradient (see `wide`)."""
    stride = microbatch_stride(min(batch_size, GROUP if narrow else MICROBATCH), itemsize)
    layout, layers = layout_of(sizes, activations, dropout, stride, itemsize), sizes.size - 1
    groups = (batch_size + GROUP - 1) // GROUP
    parts = min(groups, PARTS) if narrow else 1  # gradients that are added up at the same time
    microbatches = parts if narrow else (batch_size + MICROBATCH - 1) // MICROBATCH
    # where sums of gradients are cut, there is room for two
    gradients = (0 if plain and not narrow else parts) * (2 if batch_size > parts * SUM_LENGTH else 1)
    space, gradient = microbatches * layout[layers, ERROR_ROWS_AT], gradients * layout[layers, PARAMS_AT]
    return Memory(layout, stride, space, gradient, parts if narrow else groups)


@python_or_compiled
def copies(parallel):
    """Elements of the weights that are copied into tiles at a time, for each of the parts of a layer."""
    return COPY * (PARTS if parallel else 1)


@python_or_compiled
def workspace(batch_size, net, dropout, params, plain, sparse, parallel):
    """Memory for passes in batches of at most so many samples, in the narrow or in the wide way."""
    sizes, itemsize = net.sizes, params.itemsize
    narrow = is_narrow(batch_size, params.nbytes) and not sparse
    need = memory_of(sizes, net.activations, dropout, batch_size, itemsize, narrow, plain)
    blocks, segments = 0, 0
    for l in range(sizes.size - 1):
        blocks += blocks_of(sizes[l], sizes[l + 1], itemsize)
        segments += 0 if narrow or need.gradient == 0 else segments_of(sizes[l], sizes[l + 1], itemsize)
    tiles = np.empty(0 if narrow else copies(parallel), params.dtype)
    space = np.empty(need.space + 16, params.dtype)
    gradient = np.empty(need.gradient, params.dtype)
    # results: loss and right decisions of each part of a batch, the penalty, and 1 + the batch that failed
    squares, results = np.empty(segments), np.empty(2 * need.parts + 2)
    return Work(need.layout, need.stride, blocks, tiles, space, aligned(space), gradient, squares, results)


@python_or_compiled
def check_pass(order, rows, step):
    """Raise ValueError unless the numbers in `order` are those of rows, and `step` is one of updates."""
    if step < 0 or step > LAST_STEP:
        raise ValueError("minibatch_epoch: step counts the updates made so far, from 0; got", step)
    if not order.flags.c_contiguous:
        raise ValueError("minibatch_epoch: X, Y, order, first and second must be C-contiguous")
    if order.size > 0 and (order.min() < 0 or order.max() >= rows):
        raise ValueError(
            "minibatch_epoch: order must hold sample numbers from 0 to n-1; (smallest, largest, n) are",
            order.min(),
            order.max(),
            rows,
        )


@python_or_compiled
def check_minibatch(samples, rows, net, params, rule, order, batch_size, step):
    """Raise ValueError unless the arguments of a pass over so many rows fit together."""
    X, Y, weight, sizes, first, second = samples.X, samples.Y, samples.weight, net.sizes, rule.first, rule.second
    check_network(sizes, net.activations, params)
    layers = net.activations.size
    check_loss(net.loss, net.loss_parameter, net.activations[layers - 1], sizes[layers])
    check_decision(net.decision)
    if X.shape[1] != sizes[0] or Y.shape[1] != sizes[layers]:
        raise ValueError(
            "minibatch_epoch: X and Y must have sizes[0] and sizes[-1] columns; (X, Y) are", X.shape, Y.shape
        )
    if Y.shape[0] != rows or weight.shape[0] != rows:
        raise ValueError(
            "minibatch_epoch: Y and weight must have a row per row of X; (X, Y, weight) are",
            X.shape,
            Y.shape,
            weight.shape,
        )
    if rule.optimizer < SGD or rule.optimizer > GRADIENT:
        raise ValueError("minibatch_epoch: optimizer must be one of the optimizer codes 0 to 8, got", rule.optimizer)
    states = states_of(rule.optimizer)
    if (states > 0 and first.size != params.size) or (states > 1 and second.size != params.size):
        raise ValueError(
            "minibatch_epoch: first and second must have the size of params; (params, first, second) have",
            params.size,
            first.size,
            second.size,
        )
    if not (X.flags.c_contiguous and Y.flags.c_contiguous and first.flags.c_contiguous and second.flags.c_contiguous):
        raise ValueError("minibatch_epoch: X, Y, order, first and second must be C-contiguous")
    if batch_size < 1:
        raise ValueError("minibatch_epoch: batch_size must be at least 1, got", batch_size)
    check_pass(order, rows, step)


@python_or_compiled
def frozen_net(sizes, activations, loss, loss_parameter, decision):
    """A network as the loops take it."""
    return Net(frozen(sizes), frozen(activations), loss, frozen(loss_parameter), decision)


@python_or_compiled
def minibatch_epoch(  # noqa: PLR0913
    X,
    Y,
    weight,
    order,
    batch_size,
    sizes,
    activations,
    loss,
    loss_parameter,
    decision,
    params,
    optimizer,
    first,
    second,
    step,
    learning_rate,
    beta1,
    beta2,
    epsilon,
    l2,
):
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
    order : C-contiguous int64 array, shape (m,)
        Numbers of the samples in the order in which batches take them; the last batch may be smaller.
    batch_size : int
        Samples per update, at least 1.
    sizes, activations : int64 arrays, shapes (layers + 1,) and (layers,)
        Units per layer, and the code of each layer's activation.
    loss, decision, optimizer : int
        Codes of the loss, of the decision that counts as right, and of the update rule; by `GRADIENT` the weights stay,
        and `first` becomes the gradient of the last batch.
    loss_parameter : array, shape (sizes[-1],), or (0,) where the loss has none
        See `output_delta`.
    params : C-contiguous array, shape (parameter_count(sizes),)
        All weights and biases, updated in place (layout: `parameter_count`).
    first, second : C-contiguous arrays, shape (parameter_count(sizes),) or (0,) where the rule has no use for them
        State of the optimizer, updated in place: the velocity, Adam's two means, ... as the rule's own kernel takes
        them.
    step : int
        Updates made before this call.
    learning_rate, beta1, beta2, epsilon : float
        alpha; momentum or Adam's b1, b2 and eps; rmsprop takes b2, and rprop b1 and b2 as its factors.
    l2 : float
        Weight of the penalty l2/2 sum w^2 (biases are free); for adamw of the decay.

    Returns
    -------
    (float, float, int)
        Mean loss of the samples, each before its batch's update; the share decided rightly; updates made so far.
        NaN, NaN where `order` is empty.

    Raises
    ------
    ValueError
        Shapes, layouts or codes that do not fit, or a sample number outside 0..n-1.

    Notes
    -----
    Lecture L25, row-wise: dW = A^T delta / B, db = sum delta / B, delta(l-1) = (delta(l) W^T) f'(z). 6 flops a weight
    and sample, 4 in the first layer. Work space is allocated once a
    call, nothing per batch.
    """
    samples = Samples(frozen(X), frozen(Y), frozen(weight))
    net = frozen_net(sizes, activations, loss, loss_parameter, decision)
    rule = Rule(optimizer, first, second, beta1, beta2, epsilon, 0)
    check_minibatch(samples, X.shape[0], net, params, rule, order, batch_size, step)
    if order.size == 0:
        return np.nan, np.nan, step
    n, batch_size = order.size, min(batch_size, order.size)
    batches = (n + batch_size - 1) // batch_size
    work = workspace(batch_size, net, np.zeros(activations.size), params, is_plain(optimizer, batch_size), False, False)
    training = Training(net, params, rule, work)
    rates, penalties = rates_of(batches, learning_rate, l2)
    updates = Updates(batch_size, step, rates, penalties)
    if is_narrow(batch_size, params.nbytes):
        learn_narrow_serial(samples, None, None, training, order, updates)
    else:
        learn_wide_serial(samples, None, None, None, None, training, order, updates)
    # In order, as `epochs.mean` does. Each is divided before the next is summed: LLVM may divide both by a reciprocal.
    loss = np.cumsum(work.results[:-2:2])[-1] / n
    correct = np.cumsum(work.results[1:-2:2])[-1] / n
    return loss, correct, step + batches


def prepare_minibatch(  # noqa: PLR0913
    X,
    Y,
    weight,
    n,
    batch_size,
    sizes,
    activations,
    loss,
    loss_parameter,
    decision,
    params,
    optimizer,
    first,
    second,
    beta1,
    beta2,
    epsilon,
    *,
    dropout=None,
    clip=np.inf,
    seed=0,
    parallel=False,
):
    """
    Check once and reserve memory once for many passes over n samples.

    Parameters
    ----------
    X : array, shape (samples, sizes[0]), or tuple (data, indices, indptr), or PieceRows
        Samples, dense, or as a sparse matrix in compressed rows (indices and indptr int64), or in pieces; the last two
        are not made dense.
    Y, weight, batch_size, sizes, activations, loss, loss_parameter, decision, params
        As in `minibatch_epoch`.
    optimizer, first, second, beta1, beta2, epsilon
        As in `minibatch_epoch`.
    n : int
        Samples of the longest pass.
    dropout : array, shape (layers,), optional
        Share of each layer's units that is dropped; 0 for the last layer (see `dropout`).
    clip : float
        Length to which the gradient of a batch's loss is cut (see `clip_gradient`).
    seed : int
        What is dropped depends on it.
    parallel : bool
        Use the threads that `threads` has set: the result has the same bits.

    Returns
    -------
    callable
        ``epoch(order, step, learning_rate, l2)`` makes a pass: at most n numbers of samples (not checked but for their
        count), updates made so far, and rates and penalties, one number or an array of one per batch. Returns a `Pass`.

    Notes
    -----
    A pass ends before the update of the first batch whose loss is not finite: the weights are then those before it.
    Threads take samples or units, and then blocks of weights; each writes to places of its own, so there is no race.
    """
    rows, X, csr, pieces = read_inputs(X, sizes, params.dtype)
    dense, samples = csr is None and pieces is None, Samples(X, frozen(Y), frozen(weight))
    shares = np.zeros(len(activations)) if dropout is None else np.array(dropout, np.float64)
    if shares.shape != activations.shape or not ((shares >= 0) & (shares < 1)).all() or shares[-1] != 0:
        raise ValueError(
            "prepare_minibatch: dropout must hold a share in [0, 1) per layer, 0 for the last, got", dropout
        )
    net = frozen_net(sizes, activations, int(loss), loss_parameter, decision)
    rule = Rule(optimizer, first, second, float(beta1), float(beta2), float(epsilon), seed)
    check_minibatch(samples, rows, net, params, rule, np.zeros(0, np.int64), batch_size, 0)
    if n < 1:
        raise ValueError("prepare_minibatch: n, the samples of a pass, must be at least 1, got", n)
    batch_size = min(batch_size, n)
    narrow = is_narrow(batch_size, params.nbytes) and dense
    loops = (
        [learn_narrow_serial, learn_narrow, narrow_epochs] if narrow else [learn_wide_serial, learn_wide, wide_epochs]
    )
    # None where there is nothing of the kind: the loops are compiled without it
    more = shares if shares.any() else None, float(clip) if clip < np.inf else None
    data = (samples, *more) if narrow else (samples, csr, pieces, *more)
    plain = is_plain(optimizer, batch_size) and dense and clip == np.inf
    work = workspace(batch_size, net, shares, params, plain, not dense, parallel)
    # compiled for the usual cases alone
    several = None if parallel or shares.any() or clip < np.inf or not dense else loops[2]
    return Batches(loops[parallel], several, data, Training(net, params, rule, work), n, batch_size)


def minibatch_epoch_parallel(  # noqa: PLR0913
    X,
    Y,
    weight,
    order,
    batch_size,
    sizes,
    activations,
    loss,
    loss_parameter,
    decision,
    params,
    optimizer,
    first,
    second,
    step,
    learning_rate,
    beta1,
    beta2,
    epsilon,
    l2,
):
    """
    One pass of mini-batch learning, on the threads that `threads` has set: bit for bit what `minibatch_epoch` gives.

    Parameters
    ----------
    X, Y, weight, order, batch_size, sizes, activations, loss, loss_parameter, decision, params
        As in `minibatch_epoch`.
    optimizer, first, second, step, learning_rate, beta1, beta2, epsilon, l2
        As in `minibatch_epoch`. Called from Python, inside ``with threads(n)``.

    Returns
    -------
    (float, float, int)
        As `minibatch_epoch`.

    Raises
    ------
    ValueError
        As `minibatch_epoch`.
    """
    if order.size == 0:
        rule = Rule(optimizer, first, second, beta1, beta2, epsilon, 0)
        net = frozen_net(sizes, activations, loss, loss_parameter, decision)
        check_minibatch(Samples(X, Y, weight), len(X), net, params, rule, order, batch_size, step)
        return np.nan, np.nan, step
    epoch = prepare_minibatch(
        X,
        Y,
        weight,
        order.size,
        batch_size,
        sizes,
        activations,
        loss,
        loss_parameter,
        decision,
        params,
        optimizer,
        first,
        second,
        beta1,
        beta2,
        epsilon,
        parallel=True,
    )
    check_pass(order, len(X), step)
    found = epoch(order, step, learning_rate, l2)
    return found.loss, found.correct, step - (-order.size // batch_size)


def parallel_pays(sizes, batch_size, itemsize=4):
    """
    Whether threads make mini-batches of a network faster than one thread.

    Parameters
    ----------
    sizes : sequence of int
        Units per layer, inputs first.
    batch_size : int
    itemsize : int
        Bytes of a number.

    Returns
    -------
    bool
        Decided by measurement (docs/performance.md): by the multiply-adds of a batch.
    """
    weights = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(sizes))
    return weights * batch_size >= (PARALLEL_NARROW if is_narrow(batch_size, weights * itemsize) else PARALLEL_WIDE)
