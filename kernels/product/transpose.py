"""Transposition in registers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
    # AVX2 has no instruction that interleaves two vectors: what crosses their halves takes more. So pieces of 16 bytes
    # are read, and small matrices of them turned side by side. AVX-512 has one, and reads whole vectors.
    piece = v.lanes if v.lanes * v.size > 32 else min(16 // v.size, v.lanes)
    small, pieces = Assembler(v.b, v.size, piece), range(0, v.lanes, piece)

    def turned(j: Integer, masks: Sequence[Mask | None]) -> list[Float]:
        found: list[Float] = []
        for column, mask in zip(pieces, masks, strict=True):
            x = [
                v.joined([rows[first + r].with_lanes(piece)[j + column, mask] for first in pieces])
                for r in range(piece)
            ]
            found += _interleaved(v, x, piece)
        found = [scale * y for y in found] if scale is not None else found
        return [v.where(inside, y, 0) for y in found]

    whole = v.round_down(m, v.lanes)
    for j in v.range(0, whole, v.lanes):
        for q, y in enumerate(turned(j, [None] * len(pieces))):
            T[(j + q) * t_row, stored] = y
    with v.when(whole < m):
        for q, y in enumerate(turned(whole, [small.first(m - whole - column) for column in pieces])):
            j = whole + q
            with v.when(j < m):
                T[j * t_row, stored] = y


def _interleaved(v: Assembler, x: list[Float], piece: int) -> list[Float]:
    """Turn `piece` vectors as matrices of piece x piece, one in each piece of the vectors."""
    half, firsts = piece // 2, range(0, v.lanes, piece)
    low = [k for first in firsts for i in range(half) for k in (first + i, first + v.lanes + i)]
    high = [k + half for k in low]
    step = piece
    while step > 1:  # interleave vector i with vector i + half, log2(piece) times
        x = [v.shuffle(x[i], x[i + half], order) for i in range(half) for order in (low, high)]
        step //= 2
    return x
