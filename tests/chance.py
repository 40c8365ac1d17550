"""
P-values of statistical checks, and the list of these checks.

A check takes a *subject*, what is drawn in one way or another, and a generator, from which the subject's seeds come. It
returns a p-value: if the subject is right, it is at most x with probability at most x, for every x, as far as counts of
20 and more, and means of thousands, are normal. Where several p-values are one check, the smallest is taken that many
times (Bonferroni). Each check names the right subject, and sabotaged ones that it must detect.
"""

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import stats

# The false-alarm probability of one check.
ALPHA = 1e-6
SEED = int(os.environ.get("FASTBP_STATISTICS_SEED", "0"))

# Checks, each a function and the right subject; and the same with sabotaged subjects, which must be found out.
CHECKS: dict[str, tuple[Callable[..., float], Any]] = {}
SABOTAGE: dict[str, tuple[Callable[..., float], Any]] = {}


def check(right, wrong):
    """Add a check to the lists; subjects are functions or classes, and all have names."""

    def added(p_value):
        for found, subjects in ((CHECKS, right), (SABOTAGE, wrong)):
            found.update({f"{p_value.__name__}-{one.__name__}": (p_value, one) for one in subjects})
        return p_value

    return added


def p_value(found, name, seed=SEED):
    """Of a check in one of the lists, with the random numbers of a seed."""
    of, subject = found[name]
    return of(subject, np.random.default_rng([seed, *name.encode()]))


def least(p_values):
    """One p-value of several: any of them may be the one that finds something."""
    p_values = list(p_values)
    return min(1.0, len(p_values) * min(p_values))


def normal(z):
    """Of a standard normal number, or the smallest p-value of several."""
    return least(2 * stats.norm.sf(np.abs(np.atleast_1d(z)).ravel()))


def frequencies(counts, shares):
    """Of counts of disjoint outcomes that have these probabilities (chi-square); rare outcomes are counted together."""
    counts, expected = np.ravel(counts), np.sum(counts) * np.broadcast_to(shares, np.shape(counts)).ravel()
    assert abs(expected.sum() - counts.sum()) < 1e-6 * counts.sum()
    if counts[expected == 0].any():
        return 0.0
    first = np.argsort(expected)
    rare = int((expected < 20).sum())
    if rare:  # and so many others that together they are not
        rare = max(rare, int(np.searchsorted(np.cumsum(expected[first]), 20)) + 1)
        counts, expected = (np.append(of[first[rare:]], of[first[:rare]].sum()) for of in (counts, expected))
    return float(stats.chi2.sf(((counts - expected) ** 2 / expected).sum(), len(counts) - 1))


def equally_often(outcomes, kinds):
    """Of outcomes, one a row, that are equally likely to be any of so many."""
    counts = np.unique(outcomes, axis=0, return_counts=True)[1]
    if len(counts) > kinds:
        return 0.0
    return frequencies(np.append(counts, np.zeros(kinds - len(counts), int)), 1 / kinds)


def independent_counts(counts, n, share):
    """Of independent counts of n trials each, with this probability of success (chi-square with known variances)."""
    z = (np.ravel(counts) - n * share) / np.sqrt(n * share * (1 - share))
    return float(stats.chi2.sf((z**2).sum(), z.size))


def drawn_rows(counts, times, size):
    """Of how often each of n rows was among `size` rows drawn without replacement, `times` times."""
    n = len(counts)
    share = size / n
    # The counts of a draw add up to `size`: their covariance matrix is a multiple of I - 1/n.
    scaled = (np.asarray(counts) - times * share) ** 2 / (times * share * (1 - share))
    return float(stats.chi2.sf(scaled.sum() * (n - 1) / n, n - 1))


def places(orders):
    """Of how often each element is at each place in random orders, one a row."""
    times, n = orders.shape
    counts = np.zeros((n, n))
    np.add.at(counts, (np.broadcast_to(np.arange(n), orders.shape), orders), 1)
    # Rows and columns of a permutation matrix add up to 1: its covariance is that of (n - 1)^2 free numbers.
    statistic = ((counts - times / n) ** 2).sum() * (n - 1) / times
    return float(stats.chi2.sf(statistic, (n - 1) ** 2))


def uniform(values, low, high):
    """Of numbers that are uniform from low to high (Kolmogorov and Smirnov), and of their variance."""
    rounding = np.finfo(values.dtype).eps
    values = (np.ravel(values).astype(np.float64) - low) / (high - low)
    if values.min() < -rounding or values.max() > 1 + rounding:
        return 0.0
    squares = (values - 0.5) ** 2  # of mean 1 / 12 and variance 1 / 180
    variance = (squares.mean() - 1 / 12) * np.sqrt(180 * values.size)
    return least([stats.kstest(values, "uniform").pvalue, normal(variance)])


def uncorrelated(x, y, variance):
    """Of pairs of independent numbers of mean 0 and this variance, whose products are averaged."""
    x, y = np.ravel(x), np.ravel(y)
    return normal((x.astype(np.float64) * y).sum() / (variance * np.sqrt(x.size)))


def mean(values, expected):
    """Of independent values of this mean, column by column (t-test)."""
    return least(np.ravel(stats.ttest_1samp(values, expected, axis=0).pvalue))


def same_distribution(one, other):
    """Of two samples of one distribution (Kolmogorov and Smirnov)."""
    return float(stats.ks_2samp(one, other).pvalue)
