"""Transposition in registers."""

from __future__ import annotations

from collections.abc import Callable

from ..compiler.assembler import I64, Assembler, Value


def transpose_block(
    v: Assembler,
    n: Value,
    m: Value,
    row: Callable[[Value], Value],
    target: Value,
    t_row: Value,
    scale: Value | None = None,
    stored: Value | None = None,
) -> None:
    """
    Up to `lanes` rows of m elements become columns: T_ji = scale S_ij, blocks of lanes x lanes turned in registers.

    `row(r)` is the address of row r; rows from n on are taken for zeros. `stored` masks the lanes of T that are written.
    """
    b = v.b
    last = b.sub(n, I64(1))
    inside = v.first(n)
    rows = [row(b.select(b.icmp_signed("<", I64(r), last), I64(r), last)) for r in range(v.lanes)]
    half = v.lanes // 2
    low = [x for i in range(half) for x in (i, v.lanes + i)]
    high = [x for i in range(half, v.lanes) for x in (i, v.lanes + i)]

    def turned(j: Value, mask: Value | None) -> list[Value]:
        x = [v.load(v.at(p, j), mask) for p in rows]
        step = v.lanes
        while step > 1:  # interleave vector i with vector i + half, log2(lanes) times
            x = [v.shuffle(x[i], x[i + half], order) for i in range(half) for order in (low, high)]
            step //= 2
        x = [v.mul(scale, y) for y in x] if scale is not None else x
        return [v.select(inside, y, v.const(0)) for y in x]

    def block(j: Value) -> None:
        for q, y in enumerate(turned(j, None)):
            v.store(y, v.at(target, b.mul(b.add(j, I64(q)), t_row)), stored)

    whole = b.and_(m, I64(-v.lanes))
    v.loop(0, whole, v.lanes, block)
    with b.if_then(b.icmp_signed("<", whole, m)):
        for q, y in enumerate(turned(whole, v.first(b.sub(m, whole)))):
            column = b.add(whole, I64(q))
            with b.if_then(b.icmp_signed("<", column, m)):
                v.store(y, v.at(target, b.mul(column, t_row)), stored)
