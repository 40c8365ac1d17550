"""Transposition in registers."""

from __future__ import annotations

from collections.abc import Callable

from ..compiler.assembler import Assembler
from ..compiler.values import Address, Float, Integer, Mask


def transpose_block(
    v: Assembler,
    shape: tuple[Integer, Integer],
    row: Callable[[Integer], Address],
    T: Address,
    t_row: Integer,
    scale: Float | None = None,
    stored: Mask | None = None,
) -> None:
    """
    Up to `lanes` rows of m elements become columns: T_ji = scale S_ij, blocks of lanes x lanes turned in registers.

    `shape` is n, m; `row(r)` is the address of row r of S; rows from n on count as zeros. `stored` masks the lanes of T
    that are written.
    """
    n, m = shape
    inside = v.first(n)
    rows = [row(v.min(v.index(r), n - 1)) for r in range(v.lanes)]
    half = v.lanes // 2
    low = [x for i in range(half) for x in (i, v.lanes + i)]
    high = [x for i in range(half, v.lanes) for x in (i, v.lanes + i)]

    def turned(j: Integer, mask: Mask | None = None) -> list[Float]:
        x = [S[j, mask] for S in rows]
        step = v.lanes
        while step > 1:  # interleave vector i with vector i + half, log2(lanes) times
            x = [v.shuffle(x[i], x[i + half], order) for i in range(half) for order in (low, high)]
            step //= 2
        x = [scale * y for y in x] if scale is not None else x
        return [v.where(inside, y, 0) for y in x]

    whole = v.round_down(m, v.lanes)
    for j in v.range(0, whole, v.lanes):
        for q, y in enumerate(turned(j)):
            T[(j + q) * t_row, stored] = y
    with v.when(whole < m):
        for q, y in enumerate(turned(whole, v.first(m - whole))):
            j = whole + q
            with v.when(j < m):
                T[j * t_row, stored] = y
