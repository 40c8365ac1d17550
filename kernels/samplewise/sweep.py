"""
One sweep of the weights per sample: the update by one sample and the forward sums of the next in the same pass.

Per-sample learning reads and writes every weight for every sample. If the update by a sample waits until the forward pass of the
next sample reads the same weight, each weight is read and written once: with the same arithmetic, in the same order.
"""

from __future__ import annotations

import functools

from ..compiler.assembler import I64, REGISTERS, VECTOR_BYTES, Assembler, Value
from ..compiler.routine import routine
from ..layer.activation import BACKWARD

# Bytes of a vector here, and what rows of weights are multiples of: a sweep waits for stores, and two short ones go faster than a long one.
SWEEP_BYTES = min(VECTOR_BYTES, 32)
# Vectors of outputs whose sums and steps stay in registers during a sweep.
VECTORS = 8 if REGISTERS == 32 else 5


@routine("iiiaanAaA")
def sweep(
    v: Assembler,
    n: Value,
    m: Value,
    listed: Value,
    x: Value,
    x_before: Value,
    rows: Value,
    W: Value,
    step: Value,
    z: Value,
) -> None:
    """
    One layer: w_ij <- w_ij - x'_i s_j and b_j <- b_j - s_j by the sample before, then z_j = b_j + sum_i x_i w_ij.

    Row i of `W` holds the m weights of input i (m: whole vectors), row n the biases. Where `listed` is not negative, only that many
    rows are swept, those numbered in `rows`: the others have x_i = x'_i = 0, and no term. (Where several rows are summed at once, the
    terms that are left then meet in another order: the result differs by rounding.)
    """
    v = Assembler(v.b, v.size, SWEEP_BYTES)
    b = v.b
    vectors = b.sdiv(m, I64(v.lanes))
    chunks = b.sdiv(b.add(vectors, I64(VECTORS - 1)), I64(VECTORS))
    dense = b.icmp_signed("<", listed, I64(0))

    def chunk(c: Value) -> None:
        first, last = (b.sdiv(b.mul(vectors, k), chunks) for k in (c, b.add(c, I64(1))))
        at = b.mul(first, I64(v.lanes))
        arguments = [x, x_before, rows, v.at(W, at), v.at(step, at), v.at(z, at), v.at(W, b.add(at, b.mul(n, m))), m]
        for width in range(1, VECTORS + 1):
            with b.if_then(b.icmp_signed("==", b.sub(last, first), I64(width))), b.if_else(dense) as (every, some):
                with every:
                    v.outlined(f"every.{width}", functools.partial(_sweep_columns, v, width, False), n, *arguments)
                with some:
                    v.outlined(f"some.{width}", functools.partial(_sweep_columns, v, width, True), listed, *arguments)

    v.loop(0, chunks, 1, chunk)


def _sweep_columns(
    v: Assembler,
    width: int,
    listed: bool,
    n: Value,
    x: Value,
    x_before: Value,
    rows: Value,
    W: Value,
    step: Value,
    z: Value,
    bias: Value,
    m: Value,
) -> None:
    """The sweep of `width` vectors of columns; few vectors take several rows at a time, so that enough sums run at once."""
    b = v.b
    together = {1: 8, 2: 4, 3: 2, 4: 2}.get(width, 1)
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


@routine("iiiaaasAA")
def errors_below(
    v: Assembler,
    kind: Value,
    n: Value,
    m: Value,
    W: Value,
    delta: Value,
    a: Value,
    rate: Value,
    below: Value,
    step: Value,
) -> None:
    """
    Error signals of the layer below: delta_i = f'(z_i) sum_j w_ij delta_j for n units, and s_i = alpha delta_i.

    Rows of `W` hold m weights (whole vectors); `lanes` of them are summed at a time, and so many rows behind the last are
    readable. `a` holds the outputs of the layer below (its inputs: see `takes_input`), `kind` is the code of its activation.
    """
    v = Assembler(v.b, v.size, SWEEP_BYTES)
    b = v.b
    alpha = v.broadcast(rate)

    def units(i: Value) -> None:
        starts = [v.at(W, b.mul(b.add(i, I64(r)), m)) for r in range(v.lanes)]

        def column(j: Value, *sums: Value) -> list[Value]:
            d = v.load(v.at(delta, j))
            return [v.fma(v.load(v.at(start, j)), d, total) for start, total in zip(starts, sums, strict=True)]

        sums = v.sums(v.loop(0, m, v.lanes, column, [v.const(0)] * v.lanes))
        sums = v.select(v.first(b.sub(n, i)), sums, v.const(0))
        v.store(sums, v.at(below, i))
        for code, times in BACKWARD.items():
            with b.if_then(b.icmp_signed("==", kind, I64(code))):
                found = times(v, v.load(v.at(a, i)), sums)
                v.store(found, v.at(below, i))
                v.store(v.mul(alpha, found), v.at(step, i))

    v.loop(0, n, v.lanes, units)


@routine("iaaN", result="i")
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
