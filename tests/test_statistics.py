"""
Statistical checks: what is drawn at random has the distribution that it should have.

There are 32 checks: of orders, rows set aside, folds, bootstraps and a search's numbers (chance_orders.py), of first
weights and seeds (chance_seeds.py), of dropout and weighted mini-batches (chance_batches.py). Each gives a p-value, and
fails if it is below ALPHA = 1e-6 (chance.py). So the false-alarm rate of all together is at most 32e-6, one in 31 000.
The seeds are fixed: a run repeats the one before, and only a change of what is drawn can raise a false alarm.
FASTBP_STATISTICS_SEED=n draws other numbers, at the same rate.

That they can fail is tested, too: each finds sabotaged variants of what it checks, such as shuffles that swap with any
element, He's weights for Glorot's, dropout without its factor. The long test draws the p-values of 100 other seeds.

What must not depend on chance at all is elsewhere: bits on any number of threads, with or without a progress bar
(test_repeatable.py), NumPy's random numbers (test_random.py, test_lanes.py), weights and repeated rows in full batches
(test_weights.py).
"""

from pathlib import Path

import chance_batches  # noqa: F401
import chance_orders  # noqa: F401
import chance_seeds  # noqa: F401
import pytest
from chance import ALPHA, CHECKS, SABOTAGE, SEED, p_value
from scipy import stats

TRUST = Path(__file__).resolve().parents[1] / "docs" / "trust.md"


@pytest.mark.parametrize("name", CHECKS)
def test_nothing_is_found_where_all_is_right(name):
    assert p_value(CHECKS, name) >= ALPHA


@pytest.mark.parametrize("name", SABOTAGE)
def test_sabotage_is_found(name):
    assert p_value(SABOTAGE, name) < ALPHA


def test_the_false_alarm_rate_is_as_stated():
    assert f"There are {len(CHECKS)} checks" in __doc__
    assert f"at most {len(CHECKS) * ALPHA * 1e6:.0f}e-6" in __doc__
    assert f"{len(CHECKS)} checks" in TRUST.read_text(encoding="utf-8")


def test_every_check_can_fail():
    assert {of for of, _ in CHECKS.values()} == {of for of, _ in SABOTAGE.values()}


@pytest.mark.long
@pytest.mark.parametrize("name", CHECKS)
def test_p_values_are_as_small_as_by_chance(name):
    """Those of 100 other seeds; the p-value of a check may be larger than uniform numbers, as its parts may be many."""
    found = [p_value(CHECKS, name, SEED + k) for k in range(1, 101)]
    assert stats.kstest(found, "uniform", alternative="greater").pvalue >= ALPHA
    assert min(found) >= ALPHA / len(found)
