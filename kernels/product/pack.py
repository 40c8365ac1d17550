"""Copies that change the order of a matrix: packed operands of large products, and transposition."""

from __future__ import annotations

from llvmlite import ir

from ..compiler.assembler import I64, Assembler, Value
from ..compiler.routine import routine
from .tile import ROWS, panels
from .transpose import transpose_block

# Rows that are copied panel after panel: few, so that few pages are open at once.
BLOCK = 8


@routine("iiaiiAii")
def copy(
    v: Assembler, n: Value, m: Value, S: Value, s_row: Value, s_column: Value, T: Value, t_row: Value, t_column: Value
) -> None:
    """T_ij = S_ij for n x m matrices of any steps."""
    b = v.b

    def row(i: Value) -> None:
        source, target = v.at(S, b.mul(i, s_row)), v.at(T, b.mul(i, t_row))

        def some(j: Value, mask: Value | None) -> None:
            x = v.gather(v.at(source, b.mul(j, s_column)), s_column, mask)
            v.scatter(x, v.at(target, b.mul(j, t_column)), t_column, mask)

        v.each_vector(m, some)

    v.loop(0, n, 1, row)


@routine("iiaisA")
def pack_rows(v: Assembler, depth: Value, m: Value, B: Value, b_row: Value, alpha: Value, out: Value) -> None:
    """Panels of alpha B, depth x m with contiguous rows: panel after panel, in each row after row, whole vectors."""
    b, scale = v.b, v.broadcast(alpha)

    def block(k0: Value) -> None:
        stop = b.add(k0, I64(BLOCK))
        stop = b.select(b.icmp_signed("<", stop, depth), stop, depth)

        def panel(width: int, masked: bool, j: Value) -> None:
            at = b.mul(j, I64(v.lanes))
            mask = v.first(b.sub(m, b.add(at, I64((width - 1) * v.lanes)))) if masked else None
            source, target = v.at(B, at), v.at(out, b.mul(at, depth))

            def row(k: Value) -> None:
                for i in range(width):
                    x = v.load(v.at(v.at(source, b.mul(k, b_row)), i * v.lanes), mask if i == width - 1 else None)
                    v.store(v.mul(scale, x), v.at(v.at(target, b.mul(k, I64(width * v.lanes))), i * v.lanes))

            v.loop(k0, stop, 1, row)

        panels(v, m, panel)

    v.loop(0, depth, BLOCK, block)


@routine("iiaisA")
def pack_transposed(v: Assembler, depth: Value, m: Value, B: Value, b_column: Value, alpha: Value, out: Value) -> None:
    """The same of a B whose columns are contiguous and b_column apart."""
    b, scale = v.b, v.broadcast(alpha)

    def panel(width: int, masked: bool, j: Value) -> None:
        first, row = b.mul(j, I64(v.lanes)), I64(width * v.lanes)
        for i in range(width):
            at = b.add(first, I64(i * v.lanes))
            target = v.at(v.at(out, b.mul(first, depth)), i * v.lanes)
            v.outlined("columns", turn, b.sub(m, at), depth, v.at(B, b.mul(at, b_column)), b_column, target, row, scale)

    def turn(n: Value, m: Value, source: Value, s_row: Value, target: Value, t_row: Value, scale: Value) -> None:
        transpose_block(v, n, m, lambda r: v.at(source, v.b.mul(r, s_row)), target, t_row, scale, None)

    panels(v, m, panel)


@routine("iiaiiAi")
def pack_tiles(
    v: Assembler, n: Value, depth: Value, A: Value, a_row: Value, a_column: Value, out: Value, out_tile: Value
) -> None:
    """Tiles of A, n x depth: every ROWS rows, column after column, out_tile apart. Behind row n nothing is written."""
    b = v.b
    short = ir.VectorType(v.scalar, ROWS)
    whole = b.and_(n, I64(-ROWS))
    contiguous = b.icmp_signed("==", a_row, I64(1))

    def copy(i: Value, k: Value) -> None:
        p, q = (
            v.at(v.at(A, b.mul(i, a_row)), b.mul(k, a_column)),
            v.at(v.at(out, b.mul(b.sdiv(i, I64(ROWS)), out_tile)), b.mul(k, I64(ROWS))),
        )
        with b.if_else(contiguous) as (at_once, singly):
            with at_once:
                b.store(b.load(p, typ=short, align=v.size), q, align=v.size)
            with singly:
                for r in range(ROWS):
                    v.store_scalar(v.load_scalar(v.at(p, b.mul(a_row, I64(r)))), v.at(q, r))

    def copy_one(i: Value, k: Value) -> None:
        last = v.at(v.at(out, b.mul(b.sdiv(i, I64(ROWS)), out_tile)), b.add(b.mul(k, I64(ROWS)), b.sub(i, whole)))
        v.store_scalar(v.load_scalar(v.at(v.at(A, b.mul(i, a_row)), b.mul(k, a_column))), last)

    v.loop(0, whole, ROWS, lambda i: v.loop(0, depth, 1, lambda k: copy(i, k)) and None)
    v.loop(whole, n, 1, lambda i: v.loop(0, depth, 1, lambda k: copy_one(i, k)) and None)


@routine("iiaisAi")
def transpose(
    v: Assembler, n: Value, m: Value, S: Value, s_row: Value, scale: Value, out: Value, out_row: Value
) -> None:
    """
    T_ji = scale S_ij for S of n x m with contiguous rows. Rows of T are written in whole vectors, zeros behind column n.

    So `out_row` is at least n rounded up to whole vectors.
    """
    factor = v.broadcast(scale)

    def rows(i: Value) -> None:
        transpose_block(
            v, v.b.sub(n, i), m, lambda r: v.at(S, v.b.mul(v.b.add(i, r), s_row)), v.at(out, i), out_row, factor
        )

    v.loop(0, n, v.lanes, rows)


@routine("iiaiAi")
def transpose_exact(v: Assembler, n: Value, m: Value, S: Value, s_row: Value, out: Value, out_row: Value) -> None:
    """T_ji = S_ij; nothing behind column n of T is written."""

    def rows(i: Value) -> None:
        left = v.b.sub(n, i)
        source = lambda r: v.at(S, v.b.mul(v.b.add(i, r), s_row))  # noqa: E731
        with v.b.if_else(v.b.icmp_signed("<", left, I64(v.lanes))) as (part, whole):
            with part:
                transpose_block(v, left, m, source, v.at(out, i), out_row, None, v.first(left))
            with whole:
                transpose_block(v, left, m, source, v.at(out, i), out_row)

    v.loop(0, n, v.lanes, rows)


@routine("iiaAi")
def read_transposed(v: Assembler, n: Value, m: Value, X: Value, out: Value, out_row: Value) -> None:
    """T_ji = X_ij for n rows of m elements, one after another; zeros behind column n of T, in whole vectors."""
    b = v.b
    v.loop(
        0,
        n,
        v.lanes,
        lambda i: transpose_block(v, b.sub(n, i), m, lambda r: v.at(X, b.mul(b.add(i, r), m)), v.at(out, i), out_row),
    )


@routine("iianAi")
def gather_transposed(v: Assembler, n: Value, m: Value, X: Value, order: Value, out: Value, out_row: Value) -> None:
    """T_ji = X_(order_i)j for n rows of X, which has m contiguous columns; zeros behind column n of T, in whole vectors."""
    b = v.b

    def rows(i: Value) -> None:
        def row(r: Value) -> Value:
            number = b.load(b.gep(order, [b.add(i, r)], source_etype=I64), typ=I64, align=8)
            return v.at(X, b.mul(number, m))

        transpose_block(v, b.sub(n, i), m, row, v.at(out, i), out_row)

    v.loop(0, n, v.lanes, rows)
