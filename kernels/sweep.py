"""
One sweep of the weights per sample: the update by one sample and the forward sums of the next in the same pass.

Per-sample learning reads and writes every weight for every sample. If the update by a sample waits until the forward pass of the
next sample reads the same weight, each weight is read and written once: with the same arithmetic, in the same order.
"""

from __future__ import annotations

import functools

from ._native import routine
from .simd import I64, REGISTERS, Assembler, Value

# Vectors of outputs whose sums and steps stay in registers during a sweep of `sweep_inputs`.
VECTORS = 8 if REGISTERS == 32 else 5
# Rows that `sweep_units` takes at a time: so many sums run at once.
ROWS = 4


@routine("iiiaanaaaa")
def sweep_inputs(v: Assembler, n: Value, m: Value, listed: Value, x: Value, x_before: Value, rows: Value, W: Value, step: Value,
                 z: Value, bias: Value) -> None:  # fmt: skip
    """
    First layer: w_ij <- w_ij - x'_i s_j and b_j <- b_j - s_j by the sample before, then z_j = b_j + sum_i x_i w_ij.

    Row i of `W` holds the m weights of input i (m: whole vectors). Where `listed` is not negative, only that many rows are swept, those
    numbered in `rows`: the others have x_i = x'_i = 0, and no term.
    """
    b = v.b
    vectors = b.sdiv(m, I64(v.lanes))
    chunks = b.sdiv(b.add(vectors, I64(VECTORS - 1)), I64(VECTORS))
    dense = b.icmp_signed("<", listed, I64(0))

    def chunk(c: Value) -> None:
        first, last = (b.sdiv(b.mul(vectors, k), chunks) for k in (c, b.add(c, I64(1))))
        at = b.mul(first, I64(v.lanes))
        arguments = [x, x_before, rows, v.at(W, at), v.at(step, at), v.at(z, at), v.at(bias, at), m]
        for width in range(1, VECTORS + 1):
            with b.if_then(b.icmp_signed("==", b.sub(last, first), I64(width))):
                with b.if_else(dense) as (every, some):
                    with every:
                        v.outlined(f"every.{width}", functools.partial(_sweep_columns, v, width, False), n, *arguments)
                    with some:
                        v.outlined(f"some.{width}", functools.partial(_sweep_columns, v, width, True), listed, *arguments)

    v.loop(0, chunks, 1, chunk)


def _sweep_columns(v: Assembler, width: int, listed: bool, n: Value, x: Value, x_before: Value, rows: Value, W: Value, step: Value,
                   z: Value, bias: Value, m: Value) -> None:  # fmt: skip
    """The sweep of `width` vectors of columns; few vectors take several rows at a time, so that enough sums run at once."""
    b = v.b
    together = max(1, 8 // width) if width <= 4 else 1
    minus = [v.neg(v.load(v.at(step, j * v.lanes))) for j in range(width)]
    start = []
    for j in range(width):
        p = v.at(bias, j * v.lanes)
        value = v.add(v.load(p), minus[j])
        v.store(value, p)
        start.append(value)

    def row(k: Value, sums: list[Value]) -> list[Value]:
        i = b.load(b.gep(rows, [k], source_etype=I64), typ=I64, align=8) if listed else k
        now, before = v.broadcast(v.load_scalar(v.at(x, i))), v.broadcast(v.load_scalar(v.at(x_before, i)))
        found = []
        for j in range(width):
            p = v.at(v.at(W, b.mul(i, m)), j * v.lanes)
            # w_ij <- w_ij - x'_i s_j;  z_j += x_i w_ij
            w = v.fma(before, minus[j], v.load(p))
            v.store(w, p)
            found.append(v.fma(now, w, sums[j]))
        return found

    def several(k: Value, *sums: Value) -> list[Value]:
        found: list[Value] = []
        for r in range(together):
            found += row(b.add(k, I64(r)), list(sums[r * width : (r + 1) * width]))
        return found

    whole = b.mul(b.sdiv(n, I64(together)), I64(together))
    sums = v.loop(0, whole, together, several, start + [v.const(0)] * (width * (together - 1)))
    while len(sums) > width:
        half = len(sums) // width // 2 * width
        sums = [v.add(p, q) for p, q in zip(sums[:half], sums[half:], strict=True)]
    sums = v.loop(whole, n, 1, lambda k, *s: row(k, list(s)), sums)
    for j in range(width):
        v.store(sums[j], v.at(z, j * v.lanes))


@routine("iiaaaaa")
def sweep_units(v: Assembler, n: Value, m: Value, W: Value, x: Value, x_before: Value, step: Value, z: Value) -> None:
    """
    A layer above: w_ji <- w_ji - s_j x'_i by the sample before, then z_j = sum_i w_ji x_i.

    Row j of `W` holds the m weights of unit j (m: whole vectors), its bias among them: the input that belongs to it is 1.
    """
    b = v.b

    def rows(count: int, j: Value) -> None:
        steps = [v.broadcast(v.neg(v.load_scalar(v.at(step, b.add(j, I64(r)))))) for r in range(count)]
        starts = [v.at(W, b.mul(b.add(j, I64(r)), m)) for r in range(count)]

        def column(i: Value, *sums: Value) -> list[Value]:
            now, before = v.load(v.at(x, i)), v.load(v.at(x_before, i))
            found = []
            for r in range(count):
                # w_ji <- w_ji - s_j x'_i;  z_j += w_ji x_i
                w = v.fma(steps[r], before, v.load(v.at(starts[r], i)))
                v.store(w, v.at(starts[r], i))
                found.append(v.fma(w, now, sums[r]))
            return found

        for r, total in enumerate(v.loop(0, m, v.lanes, column, [v.const(0)] * count)):
            v.store_scalar(v.sum(total), v.at(z, b.add(j, I64(r))))

    whole = b.and_(n, I64(-ROWS))
    v.loop(0, whole, ROWS, lambda j: rows(ROWS, j))
    v.loop(whole, n, 1, lambda j: rows(1, j))


@routine("iiaaa")
def errors_below(v: Assembler, n: Value, m: Value, W: Value, delta: Value, below: Value) -> None:
    """below_i = sum_j w_ji delta_j, over the n rows of `W`, for m inputs (whole vectors)."""
    b = v.b

    def columns(width: int, i: Value) -> None:
        def unit(j: Value, *sums: Value) -> list[Value]:
            d = v.broadcast(v.load_scalar(v.at(delta, j)))
            row = v.at(v.at(W, b.mul(j, m)), i)
            return [v.fma(d, v.load(v.at(row, k * v.lanes)), sums[k]) for k in range(width)]

        for k, total in enumerate(v.loop(0, n, 1, unit, [v.const(0)] * width)):
            v.store(total, v.at(v.at(below, i), k * v.lanes))

    whole = b.mul(b.sdiv(m, I64(4 * v.lanes)), I64(4 * v.lanes))
    v.loop(0, whole, 4 * v.lanes, lambda i: columns(4, i))
    v.loop(whole, m, v.lanes, lambda i: columns(1, i))


@routine("iaan", result="i")
def rows_of_terms(v: Assembler, n: Value, x: Value, x_before: Value, rows: Value) -> Value:
    """Number the i with x_i != 0 or x'_i != 0 in `rows`, and return how many there are."""
    b = v.b

    def element(i: Value, count: Value) -> list[Value]:
        b.store(i, b.gep(rows, [count], source_etype=I64), align=8)
        zero = v.scalar(0)
        some = b.or_(*(b.fcmp_unordered("!=", v.load_scalar(v.at(p, i)), zero) for p in (x, x_before)))
        return [b.add(count, b.zext(some, I64))]

    (count,) = v.loop(0, n, 1, element, [I64(0)])
    return count
