"""Sizes of tiles and blocks, by the registers and caches of this processor; no choice here changes a bit."""

from __future__ import annotations

from ..compiler.jit import python_or_compiled
from ..compiler.processor import FIRST, LAST, REGISTERS, SECOND, VECTOR_BYTES

# A tile of C has MR rows and up to NR vectors: 24 of 32 registers, or 12 of 16. The others hold a row of B and an
# element of A. So many sums run at once because a multiply-add takes four cycles, and two begin in each.
MR, NR = (8, 3) if REGISTERS == 32 else (4, 3)


def rows_at_once(first: int, vector_bytes: int) -> int:
    """
    KC: rows of B that are packed at a time, by the bytes of the first cache.

    A panel of them is read once per tile, and stays in three quarters of the cache. Fewer than 256 do not pay, even if
    the panel comes from the second cache: C is read and written once per KC rows.
    """
    return min(512, max(256, first * 3 // 4 // (NR * vector_bytes) // 8 * 8))


def tile_rows(second: int, depth: int) -> int:
    """MC: rows of A that meet a block of panels, by the bytes of the second cache: they stay in a quarter of it."""
    return min(256, max(32, second // 4 // (4 * depth) // MR * MR))


def packed_elements(last: int) -> int:
    """Elements of packed B that stay in a quarter of the last cache, up to 4 MB of float32."""
    return min(1 << 20, max(1 << 18, last // 4 // 4))


KC = rows_at_once(FIRST, VECTOR_BYTES)
# Panels of B that MC rows of A meet in a block.
MC, BLOCK_PANELS = tile_rows(SECOND, KC), 16
# Rows of C that use each panel of B too seldom for packing it all at once, and the panels that they meet in a block.
FEW_ROWS, FEW_PANELS = 384, 4
# PACKED elements of B are packed at a time: NC columns or fewer.
PACKED = packed_elements(LAST)
# Bytes of A that stay in a quarter of the second cache, although every thread reads all of them.
SMALL = SECOND // 4
NC = PACKED // KC


@python_or_compiled
def panel_columns(itemsize):
    """Columns of a whole panel: NR vectors."""
    return NR * VECTOR_BYTES // itemsize


@python_or_compiled
def cut(count, most):
    """How long each of the fewest pieces is of which none is longer than `most`: multiples of 8, about equal."""
    pieces = max(1, (count + most - 1) // most)
    return max(1, (count + 8 * pieces - 1) // (8 * pieces)) * 8


@python_or_compiled
def blocks_of(n, m, few, split, apart, itemsize):
    """
    Bands of rows and chunks of columns that C is cut into.

    A block fits the second cache; for threads (`split`) there are sixteen or more, as far as none gets too small. A C
    of `few` rows is one band, unless it has too few panels for the threads. If they work `apart`, each on its own
    columns of B, two panels are enough: for the caller then cuts between any two vectors.
    """
    panels = (m + panel_columns(itemsize) - 1) // panel_columns(itemsize)
    bands, chunks = (n + MC - 1) // MC, (panels + BLOCK_PANELS - 1) // BLOCK_PANELS
    if few:
        bands, chunks = 1, (panels + FEW_PANELS - 1) // FEW_PANELS
    if split and few and (panels >= 16 or (apart and panels >= 2)):
        chunks = max(chunks, min(16, panels & -2))
    elif split:
        bands = max(bands, min(8, n // 16))
        bands += bands & 1  # a half each for two threads
        chunks = max(chunks, min(panels, (16 + bands - 1) // max(bands, 1)))
    return bands, chunks


@python_or_compiled
def block_start(t, parts, count, size):
    """Where part t of `parts` begins, when `count` is cut into about equal parts, in whole `size`."""
    return min(count, (count + size - 1) // size * t // parts * size)
