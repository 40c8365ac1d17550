"""Statistical checks of what a mini-batch learns from: what dropout leaves out, and rows with weights."""

import math

import numpy as np
from chance import check, frequencies, independent_counts, least, mean, normal
from scipy import stats
from tasks import Task, frozen

from fastbp import kernels

# Dropout: functions of a share, the shape of a layer's outputs, and seed, update and layer; 0 or the factor of each.


def dropped(share, shape, *numbers):
    out = np.empty(shape)
    kernels.dropout(np.ones(shape), share, *numbers, out)
    return out


def share_of_six_bits(share, shape, *numbers):
    """The share is rounded to 1/64."""
    return np.where(dropped(round(share * 64) / 64, shape, *numbers) > 0, 1 / (1 - share), 0)


def not_scaled(share, shape, *numbers):
    return np.where(dropped(share, shape, *numbers) > 0, 1.0, 0.0)


def last_unit_more_often(share, shape, *numbers):
    found = dropped(share, shape, *numbers)
    found[:, -1] *= dropped(0.2, shape, *numbers[:-1], 9)[:, -1] > 0
    return found


def some_numbers(random):
    """A seed and an update."""
    return int(random.integers(2**62)), int(random.integers(2**30))


@check([dropped], [share_of_six_bits, not_scaled, last_unit_more_often])
def dropout_keeps_its_share_and_the_mean(dropout, random):
    """How many are kept is binomial, everywhere in the layer, and each has the factor that keeps the mean."""
    found = []
    for share in (0.1, 0.9):
        n, d = 3000, 500
        factors = dropout(share, (n, d), *some_numbers(random), 1)
        kept = factors > 0
        found.append(stats.binomtest(int(kept.sum()), kept.size, 1 - share).pvalue)
        found += [independent_counts(kept.sum(axis=axis), kept.shape[axis], 1 - share) for axis in (0, 1)]
        found.append(normal((factors.mean() - 1) * math.sqrt(kept.size * (1 - share) / share)))
        if not np.allclose(factors[kept], 1 / (1 - share), rtol=1e-15):
            return 0.0
    return least(found)


def along(axis, dropout, share, random):
    """What is kept for eight neighbouring samples, units, updates, layers or seeds, a row for each eight."""
    seed, step = some_numbers(random)
    if axis in ("sample", "unit"):
        kept = dropout(share, (600, 600), seed, step, 1) > 0
        return (kept if axis == "unit" else kept.T).reshape(-1, 8)
    numbers = [(seed + k * (axis == "seed"), step + k * (axis == "step"), k * (axis == "layer")) for k in range(8)]
    return np.stack([dropout(share, (200, 200), *own).ravel() > 0 for own in numbers], axis=1)


def the_same_for_two_samples(share, shape, *numbers):
    return np.repeat(dropped(share, (shape[0] // 2, shape[1]), *numbers), 2, axis=0)


def the_same_for_two_units(share, shape, *numbers):
    return np.repeat(dropped(share, (shape[0], shape[1] // 2), *numbers), 2, axis=1)


def the_same_for_two_updates(share, shape, seed, step, layer):
    return dropped(share, shape, seed, step // 2, layer)


def the_same_in_two_layers(share, shape, seed, step, layer):
    return dropped(share, shape, seed, step, layer // 2)


def the_same_for_two_seeds(share, shape, seed, step, layer):
    return dropped(share, shape, seed // 2, step, layer)


@check(
    [dropped],
    [
        the_same_for_two_samples,
        the_same_for_two_units,
        the_same_for_two_updates,
        the_same_in_two_layers,
        the_same_for_two_seeds,
    ],
)
def dropout_is_independent_of_everything_else(dropout, random):
    """All patterns of eight neighbours, as often as of independent choices."""
    found, bits = [], np.arange(256)[:, None] >> np.arange(8) & 1
    for share in (0.5, 0.3):
        likely = np.where(bits, 1 - share, share).prod(axis=1)
        for axis in ("sample", "unit", "step", "layer", "seed"):
            patterns = along(axis, dropout, share, random) @ (1 << np.arange(8))
            found.append(frequencies(np.bincount(patterns, minlength=256), likely))
    return least(found)


# Dropout in a linear network: the mean of its outputs and of their gradient is that without it. Functions of a
# generator: outputs and gradients of many passes, a row each, and those without dropout. The loss |a - y| of small y
# is a - y, so that the loss and its gradient are those of the output.

FAR, SHARES = -1000.0, np.array([0.4, 0.2, 0.0])


def learnt(params, shares, random, count):
    """The mean output of a batch, and the step of its gradient."""
    task = Task((3, 20, 10, 1), 16, hidden="identity", pair=("absolute_error", "identity"), decision="none")
    task.Y = frozen(np.full((16, 1), FAR))
    now, (seed, step), found = params.copy(), some_numbers(random), []
    epoch = task.prepared(now, 16, "sgd", task.states("sgd"), dropout=shares, seed=seed)
    for k in range(count):
        now[:] = params
        loss = epoch(task.order, step + k, 1.0, 0.0).loss
        found.append([loss + FAR, *(params - now)[:-1]])  # the last bias has the gradient 1 in any case
    return np.array(found)


PARAMS = np.random.default_rng(0).uniform(-0.5, 0.5, 80 + 210 + 11)


def in_training(random):
    return learnt(PARAMS, SHARES, random, 3000), learnt(PARAMS, 0 * SHARES, random, 1)[0]


def scaled_in_use_as_well(random):
    """What the second layer gives is multiplied by 1 - p without dropout, too."""
    less = PARAMS.copy()
    less[290:300] *= 1 - SHARES[1]
    return learnt(PARAMS, SHARES, random, 3000), learnt(less, 0 * SHARES, random, 1)[0]


def other_shares(random):
    """A tenth less remains of the first layer than the factor says."""
    less = PARAMS.copy()
    less[:60] *= 0.9
    return learnt(less, SHARES, random, 3000), learnt(PARAMS, 0 * SHARES, random, 1)[0]


@check([in_training], [scaled_in_use_as_well, other_shares])
def dropout_in_a_linear_network_keeps_the_mean(passes, random):
    found, plain = passes(random)
    return mean(found, plain)


# Weights: functions of a generator; gradients of mini-batches in random orders, a row each.
#
# A weight of k stands for k equal rows, and in full batches exactly so (test_weights.py). Mini-batches of weighted rows
# and of repeated ones are different by design: the copies of a row come in several batches, while a heavy row comes in
# one. So the gradients vary more, and an epoch has fewer updates; scores have another distribution. What must be equal
# is the mean of the gradient, whatever the batch size. That is why the kernels divide by the number of rows of a batch,
# and not by their weight: the mean of such quotients would be another one.

TIMES = np.array([1, 1, 2, 1, 7, 1, 1, 3, 1, 1, 1, 4])


REPEATED = np.repeat(np.arange(len(TIMES)), TIMES)


def gradients(rows, weight, orders):
    """Of the batches that have these of the rows."""
    task = Task((2, 3, 1), len(TIMES), hidden="tanh", pair=("squared_error", "identity"), decision="none")
    task.X, task.Y = frozen(task.X[rows]), frozen(4 * task.Y[rows] ** 4)
    task.weight, task.order = frozen(weight / weight.mean()), np.arange(len(rows))
    now, found = task.params.copy(), []
    epoch = task.prepared(now, len(rows), "sgd", task.states("sgd"))
    for order in orders:
        now[:] = task.params
        epoch(order, 0, 1.0, 0.0)
        found.append(task.params - now)
    return np.array(found)


def random_batches(n, random):
    return [random.permutation(n)[:5] for _ in range(12_000)]


def of_weights(random):
    return gradients(np.arange(len(TIMES)), TIMES, random_batches(len(TIMES), random))


def of_repeated_rows(random):
    return gradients(REPEATED, np.ones(len(REPEATED)), random_batches(len(REPEATED), random))


def without_weights(random):
    return gradients(np.arange(len(TIMES)), np.ones(len(TIMES)), random_batches(len(TIMES), random))


def divided_by_the_weight_of_the_batch(random):
    orders = random_batches(len(TIMES), random)
    found = gradients(np.arange(len(TIMES)), TIMES, orders)
    return found * TIMES.mean() / np.array([[TIMES[order].mean()] for order in orders])


@check([of_weights, of_repeated_rows], [without_weights, divided_by_the_weight_of_the_batch])
def gradients_of_mini_batches_have_the_mean_of_all_repeated_rows(of_batches, random):
    (whole,) = gradients(REPEATED, np.ones(len(REPEATED)), [np.arange(len(REPEATED))])
    return mean(of_batches(random), whole)
