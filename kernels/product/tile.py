"""The register tile: a block of C that stays in registers while the products of A and B run through it."""

from __future__ import annotations

import functools
from collections.abc import Iterator

from ..compiler.assembler import Assembler
from ..compiler.processor import CACHE_LINE
from ..compiler.routine import routine
from ..compiler.values import Float, Integer
from .blocking import MR, NR
from .transpose import transpose_block

# Rows of B that `gemm` can hold on the stack.
STACKED = 256


def panels(v: Assembler, m: Integer) -> Iterator[tuple[int, Integer, Integer | None]]:
    """
    Cut m columns into panels: `width` vectors from column j on, and the columns of the last one if it is not whole.

    Three vectors a panel as long as more than four are left; then 2 + 2, 3, 2 or 1.
    """
    vectors = (m + (v.lanes - 1)) // v.lanes
    threes = (vectors - 2) // NR  # of 0 and 1 vectors: 0, as division goes towards zero
    for p in v.range(threes):
        yield NR, p * (NR * v.lanes), None
    done = threes * NR
    left = vectors - done
    four = left == 4
    with v.when(four):
        yield 2, done * v.lanes, None
    done, left = v.where(four, done + 2, done), v.where(four, 2, left)
    exact = vectors * v.lanes == m
    j = done * v.lanes
    for width in v.cases(left, range(1, NR + 1)):
        with v.if_else(exact) as (whole, part):
            with whole:
                yield width, j, None
            with part:
                yield width, j, m - (j + (width - 1) * v.lanes)


@routine("(iii)(aiii)(aii)(ai)(Ai)s")
def gemm(v: Assembler, shape: tuple, A: tuple, B: tuple, start: tuple, C: tuple, floor: Float) -> None:
    """
    C_ij = max(floor, S_ij + sum_k A_ik B_kj) for an n x m block C whose rows are contiguous, and k < depth.

    Parameters
    ----------
    shape : n, m, depth
    A : A, a_row, a_column, a_tile
        Element (i, k) at (i // MR) a_tile + (i % MR) a_row + k a_column: any strides, or packed tiles.
    B : B, b_row, b_column
        Rows contiguous and b_row apart (b_column = 1); packed panels (b_row = 0, b_column = their depth); or columns
        contiguous and b_column apart (b_row = -1): then depth is at most STACKED, and each panel is turned into rows on
        the stack.
    start : S, start_row
        Rows start_row apart; C itself to add to it, a bias with rows 0 apart, or nothing (start_row = -1).
    C : C, c_row
    floor : number
        -infinity, or 0 for ReLU.

    Notes
    -----
    Nothing outside the operands is read or written.
    """
    (n, m, depth), (B, b_row, b_column), (S, start_row), (C, c_row) = shape, B, start, C
    none = start_row < 0
    zeros, start_row = v.zeros(NR * v.lanes), v.where(none, 0, start_row)
    packed, turned = b_row == 0, b_row < 0
    stack = v.stack(STACKED * NR * v.lanes)
    for width, j, left in panels(v, m):
        first = v.where(none, zeros, S + j)
        row = v.where(packed | turned, width * v.lanes, b_row)
        with v.when(turned):
            for i in range(width):
                column = j + i * v.lanes
                source, target = (B + column * b_column, b_column), (stack + i * v.lanes, row)
                v.outlined("turn", functools.partial(_turn, v), (m - column, depth), source, target)
        operands = A, (v.where(turned, stack, B + j * b_column), row), (first, start_row), (C + j, c_row)
        name = f"panel.{width}.{'whole' if left is None else 'part'}"
        size = (n, depth) if left is None else (n, depth, left)
        v.outlined(name, functools.partial(_panel, v, width), size, *operands, floor)


def _turn(v: Assembler, shape: tuple, source: tuple, target: tuple) -> None:
    """Columns of B, `source`, become rows."""
    (S, s_row), (T, t_row) = source, target
    transpose_block(v, shape, lambda r: S + r * s_row, T, t_row)


def _panel(v: Assembler, width: int, shape: tuple, A: tuple, B: tuple, start: tuple, C: tuple, floor: Float) -> None:
    """
    All rows of a panel of `width` vectors of columns, MR at a time.

    `shape` is n and depth, and the columns of the last vector if it is not whole.
    """
    (n, depth, *left), (A, a_row, a_column, a_tile), (S, start_row), (C, c_row) = shape, A, start, C
    masks = [None] * (width - 1) + [v.first(left[0]) if left else None]
    least = v.broadcast(floor)

    def rows(count: int, i: Integer) -> None:
        Ai = A + (i // MR) * a_tile + (i % MR) * a_row
        operands = (Ai, a_row, a_column), B, (S + i * start_row, start_row), (C + i * c_row, c_row)
        _tile(v, (count, masks, depth), *operands, least)

    for i in v.range(0, v.round_down(n, MR), MR):
        rows(MR, i)
    count = MR // 2
    while count:  # the rows that are left: halves of a tile, as the bits of n say
        with v.when(n & count != 0):
            rows(count, n & (-2 * count))
        count //= 2


def _tile(
    v: Assembler, shape: tuple[int, list, Integer], A: tuple, B: tuple, start: tuple, C: tuple, least: Float
) -> None:
    """C = max(least, S + A B) for one tile: `shape` is its rows, the masks of its vectors, and the depth."""
    rows, masks, depth = shape
    (A, a_row, a_column), (B, b_row), (S, start_row), (C, c_row) = A, B, start, C
    cells = [(r, j) for r in range(rows) for j in range(len(masks))]
    c = [(S + start_row * r)[j * v.lanes, masks[j]] for r, j in cells]
    for r in range(rows if rows == MR else 0):  # of the next tile
        for j in range(0, NR * v.lanes, CACHE_LINE // v.size):
            (C + c_row * (MR + r)).prefetch(j)
    for k in v.range(depth, carry=c):
        Bk, Ak = B + k * b_row, A + k * a_column
        b = [Bk[j * v.lanes, mask] for j, mask in enumerate(masks)]
        a = [Ak.broadcast(a_row * r) for r in range(rows)]
        # c_rj += a_rk b_kj
        c[:] = [v.fma(a[r], b[j], c_rj) for (r, j), c_rj in zip(cells, c, strict=True)]
    for (r, j), c_rj in zip(cells, c, strict=True):
        (C + c_row * r)[j * v.lanes, masks[j]] = v.max(c_rj, least)
