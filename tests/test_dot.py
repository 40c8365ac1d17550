"""The dot product of the optimizers of all samples, with equal bits on every processor."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import DTYPES

from fastbp.kernels import internal


@pytest.mark.parametrize("dtype", DTYPES)
@given(n=st.integers(0, 70), seed=st.integers(0, 2**32 - 1))
def test_dot_product(dtype, n, seed):
    random = np.random.default_rng(seed)
    x, y = random.normal(size=(2, n)).astype(dtype)
    exact = math.fsum((x.astype(np.float64) * y).tolist())
    bound = (n + 1) * np.finfo(dtype).eps * float(np.abs(x.astype(np.float64) * y).sum())
    assert abs(internal.dot(x, y) - exact) <= bound


def test_sixteen_sums_run_side_by_side():
    # 1 is lost when it is added to 2^53, but not where it is in another sum
    x = np.zeros(32)
    x[[0, 1, 16]] = 2.0**53, 1.0, 1.0
    assert internal.dot(x, np.ones(32)) == (2.0**53 + 1.0) + 1.0
    x[16], x[17] = 0.0, 1.0
    assert internal.dot(x, np.ones(32)) == 2.0**53 + 2.0


def test_what_is_not_finite_stays():
    x = np.ones(20)
    for odd in (np.nan, np.inf, -np.inf):
        x[19] = odd
        np.testing.assert_equal(internal.dot(x, np.ones(20)), odd)
