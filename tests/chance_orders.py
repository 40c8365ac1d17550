"""Statistical checks of random orders, of rows that are set aside or drawn, and of a search's numbers."""

import math

import numpy as np
from chance import check, drawn_rows, equally_often, frequencies, independent_counts, least, places, uniform
from scipy import stats
from tasks import frozen

from fastbp import kernels
from fastbp.data import targets
from fastbp.data.division import Division, held_out_rows
from fastbp.kernels.network import random as streams_of
from fastbp.many.cross_validation import _divided
from fastbp.many.ensembles import _drawn
from fastbp.many.search import Uniform, draw
from fastbp.training.first_weights import random_streams


def some_seeds(random, count):
    return random.integers(2**32, size=count, dtype=np.uint32)


def streams(random, count):
    """Streams of as many seeds, as those that draw the orders of a run."""
    found = np.empty((count, streams_of.LENGTH), np.uint64)
    streams_of.uniform_rows(
        some_seeds(random, count), np.arange(count + 1), np.empty(0), 2, found, np.empty((count, 0))
    )
    return found


# Orders: functions of a number of elements, how many seeds, and of how many epochs; shape (seeds, epochs, elements).


def by_kernel(n, count, epochs, random):
    found = np.tile(np.arange(n), (count, epochs, 1))
    for stream, orders in zip(streams(random, count), found, strict=True):
        for order in orders:
            streams_of.shuffle(stream, order)
    return found


def in_lanes(n, count, epochs, random):
    """Those of `online_many`, read off what networks of one bias learn: a step leaves a 16th of what was there."""
    X, Y, weight = frozen(np.zeros((n, 1))), frozen(np.arange(n)[:, None], np.float64), frozen(np.ones(n))
    layers = frozen([1, 1], np.int64), frozen([kernels.ACTIVATIONS["identity"]], np.int64)
    network = (*layers, kernels.LOSSES["squared_error"], kernels.NO_DECISION)
    stream, rates, found = streams(random, count), np.full(count, 15 / 16), []
    for _ in range(epochs):
        params, measured, failed = np.zeros((count, 2)), np.empty((2, 1, count)), np.empty(count, np.int64)
        learning = (params, rates, np.zeros(count), stream, True)
        kernels.online_many(X, Y, weight, *network, *learning, *measured, failed)
        digits = np.round(params[:, 1] * 16 / 15 * 16 ** (n - 1)).astype(np.int64)
        found.append(digits[:, None] >> 4 * np.arange(n) & 15)  # the last sample weighs most
    return np.stack(found, axis=1)[:, :, ::-1]


def swapped_with_any(n, count, epochs, random):
    """Each element is swapped with any other, not only with those before it."""
    orders, rows = np.tile(np.arange(n), (count * epochs, 1)), np.arange(count * epochs)
    for i in range(n):
        j = random.integers(n, size=len(rows))
        orders[rows, i], orders[rows, j] = orders[rows, j], orders[rows, i]
    return orders.reshape(count, epochs, n)


def of_too_few_bits(n, count, epochs, random):
    """Fisher and Yates, with the rests of numbers of two bits more than n has: small rests come more often."""
    orders, rows = np.tile(np.arange(n), (count * epochs, 1)), np.arange(count * epochs)
    for i in range(n - 1, 0, -1):
        j = random.integers(1 << n.bit_length() + 1, size=len(rows)) % (i + 1)
        orders[rows, i], orders[rows, j] = orders[rows, j], orders[rows, i]
    return orders.reshape(count, epochs, n)


def never_at_its_place(n, count, epochs, random):
    """One cycle through all elements (Sattolo)."""
    orders, rows = np.tile(np.arange(n), (count * epochs, 1)), np.arange(count * epochs)
    for i in range(n - 1, 0, -1):
        j = random.integers(i, size=len(rows))
        orders[rows, i], orders[rows, j] = orders[rows, j], orders[rows, i]
    return orders.reshape(count, epochs, n)


def the_same_again(n, count, epochs, random):
    return np.repeat(by_kernel(n, count, 1, random), epochs, axis=1)


def from_the_order_before(n, count, epochs, random):
    """Two elements of the order before are swapped."""
    found = the_same_again(n, count, epochs, random)
    for k in range(1, epochs):
        found[:, k] = found[:, k - 1]
        i, j = random.integers(n, size=(2, count))
        rows = np.arange(count)
        found[rows, k, i], found[rows, k, j] = found[rows, k, j], found[rows, k, i]
    return found


@check([by_kernel, in_lanes], [swapped_with_any, of_too_few_bits, never_at_its_place])
def every_order_is_equally_likely(orders, random):
    return equally_often(orders(5, 24_000, 1, random)[:, 0], 120)


@check([by_kernel, in_lanes], [swapped_with_any, of_too_few_bits, never_at_its_place])
def each_of_12_is_equally_often_at_each_place(orders, random):
    return places(orders(12, 12_000, 1, random)[:, 0])


@check([by_kernel], [swapped_with_any, of_too_few_bits])
def each_of_64_is_equally_often_at_each_place(orders, random):
    return places(orders(64, 8000, 1, random)[:, 0])


@check([by_kernel, in_lanes], [the_same_again, from_the_order_before])
def the_orders_of_two_epochs_are_independent(orders, random):
    return equally_often(orders(4, 14_400, 2, random).reshape(-1, 8), 24 * 24)


# Rows that are set aside: functions of targets, groups or None, a share, and a generator; True for each.

NUMBERS, CLASSES = np.linspace(0, 1, 6) ** 2, np.array(list("abababab"))
SIX, EIGHT = targets.read(NUMBERS, "regression", 6), targets.read(CLASSES, "classification", 8)
TWELVE, PAIRS = targets.read(np.linspace(0, 1, 12) ** 2, "regression", 12), np.arange(12) // 2


def set_aside(y, groups, share, random):
    seed = int(random.integers(2**63))
    return held_out_rows(y, share, random_streams(seed)[1], Division(groups))


def an_interval(y, groups, share, random):
    """So many rows from anywhere on: each equally often, but neighbours together."""
    n = len(y.values)
    return np.roll(np.arange(n) < round(share * n), random.integers(n))


def without_classes_and_groups(y, groups, share, random):
    n = len(y.values)
    return np.isin(np.arange(n), random.permutation(n)[: round(share * n)])


def last_rows_more_often(y, groups, share, random):
    n = len(y.values)
    return np.isin(np.arange(n), np.argsort(random.uniform(size=n) + np.linspace(0, 0.3, n))[-round(share * n) :])


@check([set_aside], [an_interval, without_classes_and_groups, last_rows_more_often])
def every_part_of_few_rows_is_set_aside_equally_often(held_out, random):
    """Of numbers, of two classes in proportion, and of whole groups."""
    of_numbers = [held_out(SIX, None, 0.5, random) for _ in range(1000)]
    of_classes = [held_out(EIGHT, None, 0.5, random) for _ in range(1800)]
    of_groups = [held_out(TWELVE, PAIRS, 0.5, random) for _ in range(1000)]
    return least(equally_often(rows, kinds) for rows, kinds in ((of_numbers, 20), (of_classes, 36), (of_groups, 20)))


def not_the_last_row(y, groups, share, random):
    """Among the first n - 1 rows."""
    n = len(y.values)
    return np.isin(np.arange(n), random.permutation(n - 1)[: round(share * n)])


@check([set_aside], [not_the_last_row, last_rows_more_often])
def each_row_is_set_aside_equally_often(held_out, random):
    y = targets.read(np.linspace(0, 1, 50) ** 2, "regression", 50)
    return drawn_rows(sum(held_out(y, None, 0.3, random).astype(int) for _ in range(2000)), 2000, 15)


# Folds: functions of targets, groups or None, how many, and a generator; the numbers of the rows of each.


def folds_of(y, groups, folds, random):
    return [test for _, test in _divided(y, Division(groups), folds, random)]


def rotated(y, groups, folds, random):
    """Dealt unshuffled, from any row on: each row is in each fold equally often."""
    n = len(y.values)
    first = random.integers(n)
    return [(np.arange(k, n, folds) + first) % n for k in range(folds)]


def shuffled_alone(y, groups, folds, random):
    """Neither in proportion nor in whole groups."""
    order = random.permutation(len(y.values))
    return [order[k::folds] for k in range(folds)]


def fold_of_each(parts, n):
    """The fold of each row; None unless each is in one."""
    rows = np.concatenate(parts)
    if len(rows) != n or len(np.unique(rows)) != n:
        return None
    found = np.empty(n, int)
    for k, part in enumerate(parts):
        found[part] = k
    return found


def one_row_twice(y, groups, folds, random):
    parts = folds_of(y, groups, folds, random)
    return [parts[0], *(np.append(part[1:], parts[0][0]) for part in parts[1:])]


@check([folds_of], [rotated, shuffled_alone, one_row_twice])
def every_division_into_folds_is_equally_likely(folds, random):
    """Of numbers, of two classes in proportion, and of whole groups; each row is in one fold."""
    found = []
    for y, groups, parts, kinds in ((SIX, None, 3, 90), (EIGHT, None, 2, 36), (TWELVE, PAIRS, 3, 90)):
        n = len(y.values)
        outcomes = [fold_of_each(folds(y, groups, parts, random), n) for _ in range(30 * kinds)]
        if any(outcome is None for outcome in outcomes):
            return 0.0
        found.append(equally_often(outcomes, kinds))
    return least(found)


@check([folds_of], [rotated])
def pairs_of_rows_share_a_fold_as_often_as_they_should(folds, random):
    """One pair of each division, so that the counts of the pairs are independent."""
    n, times, together = 50, 200, np.zeros(25, int)
    y = targets.read(np.linspace(0, 1, n) ** 2, "regression", n)
    for k in range(25 * times):
        fold = fold_of_each(folds(y, None, 5, random), n)
        pair = k % 25
        together[pair] += fold[2 * pair] == fold[2 * pair + 1]
    return independent_counts(together, times, 9 / 49)


# Bootstrap: functions of targets and a generator; the numbers of the rows drawn.


def in_turn(y, random):
    """Without replacement."""
    return random.permutation(len(y.values))


def modulo(y, random):
    """The rest of five bits: the first rows come more often."""
    return random.integers(32, size=len(y.values)) % len(y.values)


@check([_drawn], [in_turn, modulo])
def each_row_is_drawn_a_binomial_number_of_times(drawn, random):
    """Of all numbers, and of each class."""
    labels = np.repeat(["a", "b"], [10, 20])
    found = []
    for y in (targets.read(np.linspace(0, 1, 30) ** 2, "regression", 30), targets.read(labels, "classification", 30)):
        times = np.array([np.bincount(drawn(y, random), minlength=30) for _ in range(6000)])
        for rows in [slice(None)] if y.classes is None else [slice(0, 10), slice(10, 30)]:
            of_part = times[:, rows]
            n = of_part.shape[1]
            if (of_part.sum(axis=1) != n).any():
                return 0.0
            found.append(frequencies(of_part.sum(axis=0), 1 / n))
            # one row of each draw: the numbers of different rows depend on each other
            one = of_part[np.arange(len(of_part)), np.arange(len(of_part)) % n]
            binomial = stats.binom.pmf(np.arange(n + 1), n, 1 / n)
            found.append(frequencies(np.bincount(one, minlength=n + 1), binomial))
    return least(found)


# Numbers of a search: classes like `Uniform`.


class TowardsZero(Uniform):
    """Whole numbers by cutting digits off: 0 stands for all from -1 to 1."""

    def draw(self, random):
        return int(random.uniform(self.low, self.high + 1))


class WithoutHigh(Uniform):
    def draw(self, random):
        return int(random.integers(math.ceil(self.low), math.floor(self.high)))


class NeverLog(Uniform):
    def draw(self, random):
        return Uniform(self.low, self.high, integer=self.integer).draw(random)


class AlwaysLog(Uniform):
    def draw(self, random):
        return Uniform(self.low + 4, self.high + 4, log=True).draw(random) - 4


def numbers(kind, random, count=10_000):
    return np.array([kind.draw(random) for _ in range(count)])


@check([Uniform], [NeverLog, AlwaysLog])
def numbers_of_an_interval_are_uniform(kind, random):
    logs = np.log(numbers(kind(1e-4, 10, log=True), random))
    return least([uniform(numbers(kind(-3, 5), random), -3, 5), uniform(logs, math.log(1e-4), math.log(10))])


@check([Uniform], [TowardsZero, WithoutHigh, NeverLog])
def whole_numbers_of_an_interval_are_uniform(kind, random):
    """Both ends are among them; on a logarithmic scale, each is as often as the numbers up to the next one."""
    found = []
    for low, high in ((3, 12), (-2, 2), (-2.5, 3.5)):
        drawn = numbers(kind(low, high, integer=True), random)
        if drawn.min() < low or drawn.max() > high:
            return 0.0
        found.append(equally_often(drawn, math.floor(high) - math.ceil(low) + 1))
    counts = np.bincount(numbers(kind(1, 40, log=True, integer=True), random), minlength=41)[1:]
    found.append(frequencies(counts, np.diff(np.log(np.arange(1, 42))) / math.log(41)))
    return least(found)


def with_replacement(space, n, random):
    return [{name: values[random.integers(len(values))] for name, values in space.items()} for _ in range(n)]


@check([draw], [with_replacement])
def points_of_lists_are_equally_likely(drawn, random):
    """Three of six, in any order."""
    space = {"hidden": [4, 8], "batch_size": [16, 32, 64]}
    trials = [[tuple(one.values()) for one in drawn(space, 3, random)] for _ in range(4800)]
    return equally_often(np.array(trials).reshape(4800, 6), 120)
