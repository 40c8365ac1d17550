"""Copies that change the order of a matrix: packed operands of large products, and transposition."""

from __future__ import annotations

import functools

from ..compiler.assembler import Assembler
from ..compiler.processor import CACHE_LINE
from ..compiler.routine import routine
from ..compiler.values import Address, Float, Integer
from .blocking import MR
from .tile import panels
from .transpose import transpose_block

# Rows that are copied panel after panel: few, so that few pages are open at once.
BLOCK = 8


@routine("(ii)(aii)(Aii)")
def copy(v: Assembler, shape: tuple, S: tuple, T: tuple) -> None:
    """T_ij = S_ij for n x m matrices: arrays, and their steps from row to row and from column to column."""
    (n, m), (S, s_row, s_column), (T, t_row, t_column) = shape, S, T
    for i in v.range(n):
        source, target = (S + i * s_row).strided(s_column), (T + i * t_row).strided(t_column)
        for j, mask in v.vectors(m):
            target[j, mask] = source[j, mask]


@routine("(ii)(ai)sA")
def pack_rows(v: Assembler, shape: tuple, B: tuple, alpha: Float, out: Address) -> None:
    """Panels of alpha B, depth x m with contiguous rows: panel after panel, in each row after row, whole vectors."""
    (depth, m), (B, b_row), scale = shape, B, v.broadcast(alpha)
    for k0 in v.range(0, depth, BLOCK):
        stop = v.min(k0 + BLOCK, depth)
        for width, j, left in panels(v, m):
            last = None if left is None else v.first(left)
            source, target = B + j, out + j * depth
            for k in v.range(k0, stop):
                for i in range(width):
                    if i * v.lanes * v.size % 64 == 0:
                        (source + (k + BLOCK) * b_row).prefetch(i * v.lanes)
                    x = (source + k * b_row)[i * v.lanes, last if i == width - 1 else None]
                    (target + k * (width * v.lanes))[i * v.lanes] = scale * x


@routine("(ii)(ai)sA")
def pack_transposed(v: Assembler, shape: tuple, B: tuple, alpha: Float, out: Address) -> None:
    """The same of a B whose columns are contiguous and b_column apart."""
    (depth, m), (B, b_column), scale = shape, B, v.broadcast(alpha)
    for width, j, _ in panels(v, m):
        for i in range(width):
            column = j + i * v.lanes
            source, target = (
                (B + column * b_column, b_column),
                (out + j * depth + i * v.lanes, v.index(width * v.lanes)),
            )
            v.outlined("turn", functools.partial(_turn, v), (m - column, depth), source, target, scale)


def _turn(v: Assembler, shape: tuple, source: tuple, target: tuple, scale: Float) -> None:
    """Columns of B, `source`, become rows of a panel."""
    (S, s_row), (T, t_row) = source, target
    transpose_block(v, shape, lambda r: S + r * s_row, T, t_row, scale)


@routine("(ii)(aii)(Ai)")
def pack_tiles(v: Assembler, shape: tuple, A: tuple, out: tuple) -> None:
    """Tiles of A, n x depth: every MR rows, column after column, out_tile apart. Nothing is written after row n."""
    (n, depth), (A, a_row, a_column), (out, out_tile) = shape, A, out
    whole, tile = v.round_down(n, MR), Assembler(v.b, v.size, MR)

    def columns(i: Integer, tiles: int) -> None:
        """Whole lines of the cache at a time: rows of A are contiguous, and its columns may be pages apart."""
        for k in v.range(depth):
            for q in range(tiles):
                source, target = A + (i + q * MR) + k * a_column, out + (i // MR + q) * out_tile
                (target + k * MR).with_lanes(MR)[0] = source.with_lanes(MR)[0]

    def rows(i: Integer) -> None:
        source, target = (A + i * a_row).with_lanes(MR), (out + (i // MR) * out_tile).with_lanes(MR)
        transpose_block(tile, (v.index(MR), depth), lambda r: source + r * a_row, target, v.index(MR))

    def element(i: Integer, k: Integer) -> None:
        target = out + (i // MR) * out_tile + (k * MR + i % MR)
        target.set_item(0, (A + i * a_row + k * a_column).item())

    with v.if_else(a_row == 1) as (down, others):
        with down:
            together = max(1, CACHE_LINE // (MR * v.size))
            lines = v.round_down(n, together * MR)
            for i in v.range(0, lines, together * MR):
                columns(i, together)
            for i in v.range(lines, whole, MR):
                columns(i, 1)
        with others, v.if_else(a_column == 1) as (across, scattered):
            with across:
                for i in v.range(0, whole, MR):
                    rows(i)
            with scattered:
                for i in v.range(whole):
                    for k in v.range(depth):
                        element(i, k)
    for i in v.range(whole, n):
        for k in v.range(depth):
            element(i, k)


@routine("(ii)(ai)s(Ai)")
def transpose(v: Assembler, shape: tuple, S: tuple, scale: Float, out: tuple) -> None:
    """
    T_ji = scale S_ij for S of n x m with contiguous rows. Rows of T are written in whole vectors, zeros after column n.

    So `out_row` is at least n rounded up to whole vectors.
    """
    (n, m), (S, s_row), (T, t_row), factor = shape, S, out, v.broadcast(scale)
    for i in v.range(0, n, v.lanes):
        transpose_block(v, (n - i, m), lambda r, i=i: S + (i + r) * s_row, T + i, t_row, factor)


@routine("(ii)(ai)(Ai)")
def transpose_exact(v: Assembler, shape: tuple, S: tuple, out: tuple) -> None:
    """T_ji = S_ij; nothing is written after column n of T."""
    (n, m), (S, s_row), (T, t_row) = shape, S, out
    with v.if_else(n < v.lanes) as (few, many):
        with few:
            transpose_block(v, (n, m), lambda r: S + r * s_row, T, t_row, stored=v.first(n))
        with many:
            # the last block overlaps the one before: masked stores are slow
            for i in v.range(0, n, v.lanes):
                first = v.min(i, n - v.lanes)
                transpose_block(v, (v.index(v.lanes), m), lambda r, i=first: S + (i + r) * s_row, T + first, t_row)


@routine("(ii)a(Ai)")
def read_transposed(v: Assembler, shape: tuple, X: Address, out: tuple) -> None:
    """T_ji = X_ij for n rows of m elements, one after another; zeros after column n of T, in whole vectors."""
    (n, m), (T, t_row) = shape, out
    for i in v.range(0, n, v.lanes):
        transpose_block(v, (n - i, m), lambda r, i=i: X + (i + r) * m, T + i, t_row)


@routine("(ii)(an)(Ai)")
def gather_transposed(v: Assembler, shape: tuple, source: tuple, out: tuple) -> None:
    """T_ji = X_(order_i)j for n rows of X, of m contiguous columns; zeros after column n of T, in whole vectors."""
    (n, m), (X, order), (T, t_row) = shape, source, out
    for i in v.range(0, n, v.lanes):
        transpose_block(v, (n - i, m), lambda r, i=i: X + order.item(i + r) * m, T + i, t_row)
