"""
Per-sample learning of many tiny networks of equal shape side by side, one in each lane of the vectors.

One tiny network alone waits for results (see tiny.py); here the others go on meanwhile. Every lane takes the steps of
`learn_lean` for its own network, in the same order, and so has the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from llvmlite import ir

from ..compiler.assembler import I64, VECTOR_BYTES, Assembler, Value
from ..compiler.routine import routine
from ..layer.loss import ARGMAX, LOG_LOSS, THRESHOLD
from .tiny import ACTIVATE, DERIVE, LEAN, entropy

# Bytes of a row, which holds one number of each network: two vectors, whose waits overlap.
ROW_BYTES = 2 * VECTOR_BYTES
# Widths of layers, each of which has code of its own: its sums and errors stay in registers.
WIDTHS = range(1, LEAN + 1)


@routine("iiaaannniiiiiaaAAAFF", "d")
def learn_lanes(
    w: Assembler,
    networks: Value,
    count: Value,
    X: Value,
    Y: Value,
    weight: Value,
    order: Value,
    sizes: Value,
    activations: Value,
    layers: Value,
    n_units: Value,
    n_params: Value,
    loss: Value,
    decision: Value,
    rate: Value,
    keep: Value,
    W: Value,
    before: Value,
    units: Value,
    losses: Value,
    corrects: Value,
) -> Value:
    """
    One epoch of as many networks as a row has lanes, the first `networks` of which have results.

    `W` has a row per parameter, in the order of the parameters, and is copied to `before` first. `order` has a row of sample numbers
    for each of the `count` steps; `units` is room for three rows per unit, inputs included, and LEAN rows. Writes each network's mean
    loss, NaN where a weight is no longer finite, and its share of right decisions. Returns the sum of the losses of all lanes.
    """
    b = w.b
    v, d = Assembler(b, w.size, ROW_BYTES), Assembler(b, 8, ROW_BYTES // w.size * 8)
    zero, half, one = v.const(0), v.const(0.5), v.const(1)
    indices = ir.VectorType(I64, v.lanes)

    def item(p: Value, i: Value) -> Value:
        return b.load(b.gep(p, [i], source_etype=I64), typ=I64, align=8)

    def row(p: Value, i: Value) -> Value:
        return v.at(p, b.mul(i, I64(v.lanes)))

    def rows(p: Value, i: Value, m: int) -> list[Value]:
        return [v.at(row(p, i), j * v.lanes) for j in range(m)]

    def double(x: Value) -> Value:
        return b.fpext(x, d.vector) if v.size == 4 else x

    def total(terms: Sequence[Value]) -> Value:
        """Their sum as `learn_lean` adds up its lanes, zeros behind the last unit."""
        x = [*terms, *[zero] * (LEAN - len(terms))]
        return v.add(v.add(x[0], x[2]), v.add(x[1], x[3]))

    def slope(kind: Value, a: Value, delta: Value) -> Value:
        """Delta f'(z)."""
        return v.chosen({code: lambda f=f: f(v, a, delta) for code, f in DERIVE.items()}, kind)

    def of_width(width: Value, emit: Callable[[int], None]) -> None:
        for m in WIDTHS:
            with b.if_then(b.icmp_signed("==", width, I64(m))):
                emit(m)

    n_in, n_out = item(sizes, I64(0)), item(sizes, layers)
    top = b.sub(n_units, n_out)
    # behind the outputs of all units: their errors delta, -alpha delta, and the targets
    deltas, steps, targets = (row(units, b.mul(n_units, I64(k))) for k in (1, 2, 3))
    shrink, minus_alpha = v.load(keep), v.neg(v.load(rate))
    last, log_loss = item(activations, b.sub(layers, I64(1))), b.zext(b.icmp_signed("==", loss, I64(LOG_LOSS)), I64)

    def forward() -> None:
        """Step 3: a(l) = f(W(l)^T a(l-1) + b(l))."""

        def layer(l: Value, weights: Value, below: Value) -> list[Value]:
            d_in, d_out, kind = item(sizes, l), item(sizes, b.add(l, I64(1))), item(activations, l)
            here, biases = b.add(below, d_in), b.add(weights, b.mul(d_in, d_out))

            def inputs(m: int) -> None:
                def term(i: Value, *z: Value) -> list[Value]:
                    a = v.load(row(units, b.add(below, i)))
                    return [
                        v.fma(a, v.load(p), x)
                        for p, x in zip(rows(W, b.add(weights, b.mul(i, I64(m))), m), z, strict=True)
                    ]

                z = v.loop(0, d_in, 1, term, [v.load(p) for p in rows(W, biases, m)])
                for x, p in zip(z, rows(units, here, m), strict=True):
                    v.store(x, p)

            def output(j: Value) -> None:
                p = row(units, b.add(here, j))
                z = v.load(p)
                v.store(v.chosen({code: lambda f=f: f(v, z) for code, f in ACTIVATE.items()}, kind), p)

            of_width(d_out, inputs)
            v.loop(0, d_out, 1, output)
            return [b.add(biases, d_out), here]

        v.loop(0, layers, 1, layer, [I64(0), I64(0)])

    def judge(t: Value, importance: Value) -> Value:
        """The errors of the outputs; returns the sum of their losses."""
        first = b.mul(t, v.splat(n_out, indices))

        def outputs(m: int) -> Value:
            losses = []
            for j in range(m):
                at = b.mul(b.add(top, I64(j)), I64(v.lanes))
                a, y = v.load(v.at(units, at)), v.gather_at(v.at(Y, j), first)
                e = v.sub(a, y)
                delta = v.mul(importance, v.chosen({1: lambda e=e: e, 0: lambda a=a, e=e: slope(last, a, e)}, log_loss))
                v.store(delta, v.at(deltas, at))
                v.store(v.mul(minus_alpha, delta), v.at(steps, at))
                v.store(y, v.at(targets, j * v.lanes))
                losses.append(
                    v.chosen({1: lambda a=a, y=y: entropy(v, a, y), 0: lambda e=e: v.mul(half, v.mul(e, e))}, log_loss)
                )
            return total(losses)

        return v.chosen({m: lambda m=m: outputs(m) for m in WIDTHS}, n_out)

    def backward() -> None:
        """Step 4, from the output layer down: delta_i = f'(z_i) sum_j delta_j w_ij by the old weights, w_ij <- w_ij - alpha a_i delta_j."""

        def layer(k: Value, end: Value, here: Value) -> list[Value]:
            l = b.sub(b.sub(layers, I64(1)), k)
            d_in, d_out, inner = item(sizes, l), item(sizes, b.add(l, I64(1))), b.icmp_signed(">", l, I64(0))
            below, biases, kind = (
                b.sub(here, d_in),
                b.sub(end, d_out),
                item(activations, b.select(inner, b.sub(l, I64(1)), l)),
            )
            weights = b.sub(biases, b.mul(d_in, d_out))

            def outputs(m: int) -> None:
                delta, step = ([v.load(p) for p in rows(q, here, m)] for q in (deltas, steps))

                def unit(i: Value) -> None:
                    at, places = b.mul(b.add(below, i), I64(v.lanes)), rows(W, b.add(weights, b.mul(i, I64(m))), m)
                    a, old = v.load(v.at(units, at)), [v.load(p) for p in places]
                    with b.if_then(inner):
                        sums = total([v.mul(x, y) for x, y in zip(old, delta, strict=True)])
                        # -alpha f'(z) is ready before the sums are
                        for x, q in ((one, deltas), (minus_alpha, steps)):
                            v.store(v.mul(sums, slope(kind, a, x)), v.at(q, at))
                    for x, y, p in zip(old, step, places, strict=True):
                        v.store(v.fma(a, y, v.mul(shrink, x)), p)

                v.loop(0, d_in, 1, unit)
                for y, p in zip(step, rows(W, biases, m), strict=True):
                    v.store(v.add(v.load(p), y), p)

            of_width(d_out, outputs)
            return [weights, below]

        v.loop(0, layers, 1, layer, [n_params, top])

    def largest(p: Value) -> Value:
        """The number of the first largest of the outputs, or targets, at p."""

        def output(j: Value, most: Value, first: Value, number: Value) -> list[Value]:
            x, number = v.load(row(p, j)), v.add(number, one)
            more = v.compare(">", x, most)
            return [v.select(more, x, most), v.select(more, number, first), number]

        return v.loop(1, n_out, 1, output, [v.load(p), zero, zero])[1]

    def on_one_side(p: Value) -> Value:
        """1 where each output lies on its target's side of 1/2, else 0."""

        def output(j: Value, right: Value) -> list[Value]:
            sides = (v.compare(">", v.load(row(q, j)), half) for q in (p, targets))
            return [v.select(b.xor(*sides), zero, right)]

        return v.loop(0, n_out, 1, output, [one])[0]

    def sample(s: Value, lost: Value, right: Value) -> list[Value]:
        t = b.load(b.gep(order, [b.mul(s, I64(v.lanes))], source_etype=I64), typ=indices, align=8)
        x, outputs = b.mul(t, v.splat(n_in, indices)), row(units, top)
        v.loop(0, n_in, 1, lambda i: v.store(v.gather_at(v.at(X, i), x), row(units, i)))
        importance = v.gather_at(weight, t)
        forward()
        found = v.mul(judge(t, importance), importance)
        backward()
        met = v.chosen(
            {
                ARGMAX: lambda: v.select(v.compare("==", largest(outputs), largest(targets)), one, zero),
                THRESHOLD: lambda: on_one_side(outputs),
                -1: lambda: zero,
            },
            decision,
        )
        return [b.fadd(lost, double(found)), b.fadd(right, double(met))]

    v.loop(0, n_params, 1, lambda i: v.store(v.load(row(W, i)), row(before, i)))
    lost, right = v.loop(0, count, 1, sample, [d.const(0), d.const(0)])
    (finite,) = v.loop(0, n_params, 1, lambda i, x: [v.add(x, v.mul(v.load(row(W, i)), zero))], [zero])
    samples, mask = d.broadcast(b.sitofp(count, d.scalar)), d.first(networks)
    lost = d.div(b.fadd(lost, double(finite)), samples)
    d.store(lost, losses, mask)
    d.store(d.div(right, samples), corrects, mask)
    return d.sum(lost)
