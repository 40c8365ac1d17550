"""Block sizes by the caches: within their bounds for every processor, and cuts that cover everything once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp.kernels.product import blocking

counts = st.integers(0, 10_000)


@pytest.mark.parametrize(
    ("first", "second", "vector_bytes", "rows"),
    [
        (32 << 10, 512 << 10, 32, 256),  # Zen 2 and 3
        (48 << 10, 2 << 20, 32, 384),  # Alder Lake and later
        (32 << 10, 1 << 20, 64, 256),  # Skylake-X, Zen 4
        (48 << 10, 1 << 20, 64, 256),  # Zen 5
        (128 << 10, 12 << 20, 16, 512),  # Apple
    ],
)
def test_blocks_fit_the_caches(first, second, vector_bytes, rows):
    depth = blocking.rows_at_once(first, vector_bytes)
    assert depth == rows
    height = blocking.tile_rows(second, depth)
    assert height % blocking.MR == 0
    assert height * depth * 4 <= second // 4


@given(first=st.integers(1 << 12, 1 << 20), second=st.integers(1 << 16, 1 << 26), last=st.integers(1 << 16, 1 << 30))
def test_blocks_have_bounds_whatever_the_system_says(first, second, last):
    depth = blocking.rows_at_once(first, 32)
    assert 256 <= depth <= 512
    assert depth % 8 == 0
    assert 32 <= blocking.tile_rows(second, depth) <= 256
    assert 1 << 18 <= blocking.packed_elements(last) <= 1 << 20


@given(count=counts, most=st.integers(1, 600).map(lambda eighth: 8 * eighth))
def test_pieces_are_about_equal(count, most):
    length = blocking.cut(count, most)
    assert length % 8 == 0
    assert 0 < length <= most
    assert -(-count // length) <= max(1, -(-count // most))


@given(count=counts, parts=st.integers(1, 40), size=st.integers(1, 100))
def test_parts_cover_everything_once(count, parts, size):
    starts = [blocking.block_start(t, parts, count, size) for t in range(parts + 1)]
    assert starts[0] == 0
    assert starts[-1] == count
    assert starts == sorted(starts)
    assert all(start % size == 0 or start == count for start in starts)


@given(
    n=counts, m=counts, few=st.booleans(), split=st.booleans(), apart=st.booleans(), itemsize=st.sampled_from([4, 8])
)
def test_there_is_a_block_wherever_there_is_something_to_do(n, m, few, split, apart, itemsize):
    bands, chunks = blocking.blocks_of(n, m, few, split, apart, itemsize)
    assert bands * chunks > 0 or n == 0 or m == 0
    assert chunks <= max(1, -(-m // blocking.panel_columns(itemsize)))
    assert few or n <= bands * (blocking.MC + blocking.MR)


@given(n=st.integers(1, blocking.FEW_ROWS), m=st.integers(1, 400), itemsize=st.sampled_from([4, 8]))
def test_threads_that_work_apart_have_columns_of_their_own(n, m, itemsize):
    bands, chunks = blocking.blocks_of(n, m, True, True, True, itemsize)
    if m > blocking.panel_columns(itemsize):
        assert bands == 1
        assert chunks >= 2
