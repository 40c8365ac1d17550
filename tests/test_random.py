"""NumPy's random numbers in compiled code: the same bits as `numpy.random.default_rng`."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.kernels.network import random as kernels


def both(seed, child):
    """NumPy's generator and our stream, for the same child of a seed."""
    words = np.array([(seed >> shift) & 0xFFFFFFFF for shift in range(0, max(1, seed.bit_length()), 32)], np.uint32)
    stream = np.empty(kernels.LENGTH, np.uint64)
    kernels.seed_child(words, child, stream)
    return np.random.default_rng(np.random.SeedSequence(seed).spawn(child + 1)[child]), stream


@given(
    seed=st.one_of(st.integers(0, 2**200), st.sampled_from([2**32 - 1, 2**32, 2**128 - 1, 2**128])),
    child=st.integers(0, 5),
    lengths=st.lists(st.integers(0, 70), max_size=8),
)
def test_streams_have_numpys_bits(seed, child, lengths):
    random, stream = both(seed, child)
    for n in lengths:
        order, numbers = np.arange(n), np.empty(n)
        kernels.shuffle(stream, order)
        np.testing.assert_array_equal(order, random.permutation(n))
        kernels.fill_uniform(stream, np.full(n, -0.1), np.full(n, 0.3), numbers)
        np.testing.assert_array_equal(numbers, random.uniform(-0.1, 0.3, n))
    state = random.bit_generator.state
    assert [int(stream[0]) << 64 | int(stream[1]), int(stream[2]) << 64 | int(stream[3])] == list(
        state["state"].values()
    )
    assert stream[kernels.HELD] == state["has_uint32"]


@pytest.mark.parametrize("n", [1000, 4097, 65_536, 100_000])
def test_long_orders(n):
    random, stream = both(1, 2)
    order = np.arange(n)
    kernels.shuffle(stream, order)
    np.testing.assert_array_equal(order, random.permutation(n))
