"""The register tile: a block of C that stays in registers while the products of A and B run through it."""

from __future__ import annotations

import functools
from typing import Any

from llvmlite import ir

from ..compiler.assembler import I64, REGISTERS, VECTOR_BYTES, Assembler, Value
from ..compiler.routine import routine
from .transpose import transpose_block

# A tile of ROWS rows and up to VECTORS vectors of C: 24 of 32 registers, or 12 of 16. The others hold a row of B and an
# element of A. So many sums run at once because a multiply-add takes four cycles, and two begin in each.
ROWS, VECTORS = (8, 3) if REGISTERS == 32 else (4, 3)
# Rows of B that `gemm` can hold on the stack.
STACKED = 256


def panel_columns(itemsize: int) -> int:
    """Columns of a whole panel: VECTORS vectors."""
    return VECTORS * (VECTOR_BYTES // itemsize)


def panels(v: Assembler, m: Value, run: Any) -> None:
    """
    Cut m columns into panels and emit `run(width, masked, j)` for each: `width` vectors from vector j on.

    Three vectors a panel as long as more than four are left; then 2 + 2, 3, 2 or 1. `masked`: the last vector is a part.
    """
    b = v.b
    vectors = b.sdiv(b.add(m, I64(v.lanes - 1)), I64(v.lanes))
    threes = b.sdiv(b.sub(vectors, I64(2)), I64(VECTORS))  # of 0 and 1 vectors: 0, as division goes towards zero
    v.loop(0, threes, 1, lambda p: run(VECTORS, False, b.mul(p, I64(VECTORS))))
    done = b.mul(threes, I64(VECTORS))
    left = b.sub(vectors, done)
    four = b.icmp_signed("==", left, I64(4))
    with b.if_then(four):
        run(2, False, done)
    done = b.select(four, b.add(done, I64(2)), done)
    left = b.select(four, I64(2), left)
    exact = b.icmp_signed("==", b.mul(vectors, I64(v.lanes)), m)
    for width in range(1, VECTORS + 1):
        with b.if_then(b.icmp_signed("==", left, I64(width))), b.if_else(exact) as (whole, part):
            with whole:
                run(width, False, done)
            with part:
                run(width, True, done)


@routine("iiiaiiiaiiaiAis")
def gemm(
    v: Assembler,
    n: Value,
    m: Value,
    depth: Value,
    A: Value,
    a_row: Value,
    a_column: Value,
    a_tile: Value,
    B: Value,
    b_row: Value,
    b_column: Value,
    start: Value,
    start_row: Value,
    C: Value,
    c_row: Value,
    floor: Value,
) -> None:
    """
    C_ij = max(floor, S_ij + sum_k A_ik B_kj) for an n x m block C whose rows are contiguous.

    `A`: element (i, k) at (i // ROWS) a_tile + (i % ROWS) a_row + k a_column: any strides, or packed tiles.
    `B`: rows contiguous and b_row apart (b_column = 1); packed panels (b_row = 0, b_column = their depth); or columns contiguous and
    b_column apart (b_row = -1): then depth is at most STACKED, and each panel is turned into rows on the stack.
    `start`: S, rows start_row apart; C itself to add to it, a bias with rows 0 apart, or nothing (start_row = -1).
    `floor`: -infinity, or 0 for ReLU. Nothing outside the operands is read or written.
    """
    b = v.b
    none = b.icmp_signed("<", start_row, I64(0))
    zeros = ir.GlobalVariable(b.module, ir.ArrayType(v.scalar, VECTORS * v.lanes), "zeros")
    zeros.initializer, zeros.linkage, zeros.global_constant = ir.Constant(zeros.value_type, None), "internal", True
    start_row = b.select(none, I64(0), start_row)
    packed, turned = b.icmp_signed("==", b_row, I64(0)), b.icmp_signed("<", b_row, I64(0))
    stack = b.alloca(v.scalar, STACKED * VECTORS * v.lanes)
    stack.align = VECTOR_BYTES
    common = [n, depth, A, a_row, a_column, a_tile, start_row, c_row, floor]

    def run(width: int, masked: bool, j: Value) -> None:
        at = b.mul(j, I64(v.lanes))
        left = b.sub(m, b.add(at, I64((width - 1) * v.lanes)))  # columns in the last vector
        first = b.select(none, zeros, v.at(start, at))
        row = b.select(b.or_(packed, turned), I64(width * v.lanes), b_row)
        with b.if_then(turned):
            for i in range(width):
                column = b.add(at, I64(i * v.lanes))
                v.outlined(
                    "turn",
                    turn,
                    b.sub(m, column),
                    depth,
                    v.at(B, b.mul(column, b_column)),
                    b_column,
                    v.at(stack, i * v.lanes),
                    row,
                )
        panel = b.select(turned, stack, v.at(B, b.mul(at, b_column)))
        name, body = f"panel.{width}.{'part' if masked else 'whole'}", functools.partial(_panel, v, width, masked)
        v.outlined(name, body, *common, panel, row, first, v.at(C, at), left)

    def turn(n: Value, m: Value, source: Value, s_row: Value, target: Value, t_row: Value) -> None:
        transpose_block(v, n, m, lambda r: v.at(source, v.b.mul(r, s_row)), target, t_row)

    panels(v, m, run)


def _panel(
    v: Assembler,
    width: int,
    masked: bool,
    n: Value,
    depth: Value,
    A: Value,
    a_row: Value,
    a_column: Value,
    a_tile: Value,
    start_row: Value,
    c_row: Value,
    floor: Value,
    B: Value,
    b_row: Value,
    start: Value,
    C: Value,
    left: Value,
) -> None:
    """All rows of a panel of `width` vectors of columns, ROWS at a time; `left` columns in the last vector."""
    b = v.b
    mask = v.first(left) if masked else None
    least = v.broadcast(floor)

    def rows(count: int, i: Value) -> None:
        Ai = v.at(v.at(A, b.mul(b.sdiv(i, I64(ROWS)), a_tile)), b.mul(b.and_(i, I64(ROWS - 1)), a_row))
        _tile(
            v,
            count,
            width,
            mask,
            depth,
            Ai,
            a_row,
            a_column,
            B,
            b_row,
            v.at(start, b.mul(i, start_row)),
            start_row,
            v.at(C, b.mul(i, c_row)),
            c_row,
            least,
        )

    v.loop(0, b.and_(n, I64(-ROWS)), ROWS, lambda i: rows(ROWS, i))
    count = ROWS // 2
    while count:  # the rows that are left: halves of a tile, as the bits of n say
        with b.if_then(b.icmp_signed("!=", b.and_(n, I64(count)), I64(0))):
            rows(count, b.and_(n, I64(-2 * count)))
        count //= 2


def _tile(
    v: Assembler,
    rows: int,
    width: int,
    mask: Value | None,
    depth: Value,
    A: Value,
    a_row: Value,
    a_column: Value,
    B: Value,
    b_row: Value,
    start: Value,
    start_row: Value,
    C: Value,
    c_row: Value,
    least: Value,
) -> None:
    """C = max(least, S + A B) for one tile of `rows` rows and `width` vectors; `mask` is that of the last vector."""
    b = v.b
    cells = [(r, j, mask if j == width - 1 else None) for r in range(rows) for j in range(width)]

    def cell(base: Value, row: Value, r: int, j: int) -> Value:
        return v.at(v.at(base, b.mul(row, I64(r))), j * v.lanes)

    sums = [v.load(cell(start, start_row, r, j), m) for r, j, m in cells]

    def step(k: Value, *c: Value) -> list[Value]:
        # c_rj += a_rk b_kj
        Bk, Ak = v.at(B, b.mul(k, b_row)), v.at(A, b.mul(k, a_column))
        bk = [v.load(v.at(Bk, j * v.lanes), mask if j == width - 1 else None) for j in range(width)]
        ak = [v.broadcast(v.load_scalar(v.at(Ak, b.mul(a_row, I64(r))))) for r in range(rows)]
        return [v.fma(ak[r], bk[j], c[r * width + j]) for r, j, _ in cells]

    sums = v.loop(0, depth, 1, step, sums)
    for (r, j, m), x in zip(cells, sums, strict=True):
        v.store(v.max(x, least), cell(C, c_row, r, j), m)
