"""
Per-sample learning of many tiny networks of equal shape side by side, one in each lane of the vectors.

One tiny network alone waits for results (see lean.py); here the others go on meanwhile. Every lane takes the steps of
`learn_lean` for its own network, in the same order, and so has the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from llvmlite import ir

from ._native import routine
from .lean import ACTIVATE, DERIVE, LEAN, entropy
from .loss import ARGMAX, LOG_LOSS, THRESHOLD
from .simd import I64, VECTOR_BYTES, Assembler, Value

# Bytes of a row, which holds one number of each network: two vectors, whose waits overlap.
ROW_BYTES = 2 * VECTOR_BYTES


@routine("iiaaannniiiiaaAAFF", "d")
def learn_lanes(w: Assembler, networks: Value, count: Value, X: Value, Y: Value, weight: Value, order: Value, sizes: Value,
                activations: Value, layers: Value, n_units: Value, loss: Value, decision: Value, rate: Value, keep: Value, W: Value,
                units: Value, losses: Value, corrects: Value) -> Value:  # fmt: skip
    """
    One epoch of as many networks as a row has lanes, of which the first `networks` have results.

    `W` has a row per parameter, in the order of the parameters, and `order` one per sample. `units` is room for three rows per unit,
    inputs included, and LEAN more. Writes the mean loss of each network, NaN where a weight is no longer finite, and its share of right
    decisions. Returns the sum of the losses.
    """
    b = w.b
    v, d = Assembler(b, w.size, ROW_BYTES), Assembler(b, 8, ROW_BYTES // w.size * 8)
    zero, one = v.const(0), v.const(1)
    indices = ir.VectorType(I64, v.lanes)

    def item(p: Value, i: Value) -> Value:
        return b.load(b.gep(p, [i], source_etype=I64), typ=I64, align=8)

    def row(p: Value, i: Value) -> Value:
        return v.at(p, b.mul(i, I64(v.lanes)))

    def double(x: Value) -> Value:
        return b.fpext(x, d.vector) if v.size == 4 else x

    def total(terms: Sequence[Value]) -> Value:
        """Their sum as `learn_lean` adds up its lanes, zeros behind the last unit."""
        x = [*terms, *[zero] * (LEAN - len(terms))]
        return v.add(v.add(x[0], x[2]), v.add(x[1], x[3]))

    n_in, n_out, last = item(sizes, I64(0)), item(sizes, layers), item(activations, b.sub(layers, I64(1)))
    deltas, steps, targets = row(units, n_units), row(units, b.mul(n_units, I64(2))), row(units, b.mul(n_units, I64(3)))
    shrink, minus_alpha = v.load(keep), v.neg(v.load(rate))
    log_loss = b.zext(b.icmp_signed("==", loss, I64(LOG_LOSS)), I64)

    def forward() -> tuple[Value, Value]:
        """Step 3: a(l) = f(W(l)^T a(l-1) + b(l)). Returns the ends of the weights and of the units."""

        def layer(l: Value, weights: Value, below: Value) -> list[Value]:
            d_in, d_out = item(sizes, l), item(sizes, b.add(l, I64(1)))
            here, biases = b.add(below, d_in), b.add(weights, b.mul(d_in, d_out))
            for m in range(1, LEAN + 1):
                with b.if_then(b.icmp_signed("==", d_out, I64(m))):

                    def term(i: Value, *z: Value, m: int = m) -> list[Value]:
                        a, p = v.load(row(units, b.add(below, i))), row(W, b.add(weights, b.mul(i, I64(m))))
                        return [v.fma(a, v.load(v.at(p, j * v.lanes)), z[j]) for j in range(m)]

                    z = v.loop(0, d_in, 1, term, [v.load(v.at(row(W, biases), j * v.lanes)) for j in range(m)])
                    for j in range(m):
                        v.store(z[j], v.at(row(units, here), j * v.lanes))
            kind = item(activations, l)

            def activate(j: Value) -> None:
                p = row(units, b.add(here, j))
                z = v.load(p)
                v.store(v.chosen({code: lambda f=f: f(v, z) for code, f in ACTIVATE.items()}, kind), p)

            v.loop(0, d_out, 1, activate)
            return [b.add(biases, d_out), here]

        weights, top = v.loop(0, layers, 1, layer, [I64(0), I64(0)])
        return weights, top

    def judge(top: Value, t: Value, importance: Value) -> Value:
        """Delta of the outputs, and alpha times it; the sum of the losses."""

        def outputs(m: int) -> Value:
            terms = []
            for j in range(m):
                at = b.mul(b.add(top, I64(j)), I64(v.lanes))
                a, y = v.load(v.at(units, at)), v.gather_at(Y, b.add(b.mul(t, v.splat(n_out, indices)), ir.Constant(indices, [I64(j)] * v.lanes)))
                e = v.sub(a, y)
                kinds = {code: lambda f=f, a=a, e=e: f(v, a, e) for code, f in DERIVE.items()}
                delta = v.chosen({1: lambda e=e: e, 0: lambda kinds=kinds: v.chosen(kinds, last)}, log_loss)
                delta = v.mul(importance, delta)
                v.store(delta, v.at(deltas, at))
                v.store(v.mul(minus_alpha, delta), v.at(steps, at))
                v.store(y, v.at(targets, j * v.lanes))
                terms.append(v.chosen({1: lambda a=a, y=y: entropy(v, a, y), 0: lambda e=e: v.mul(v.const(0.5), v.mul(e, e))}, log_loss))
            return total(terms)

        return v.chosen({m: lambda m=m: outputs(m) for m in range(1, LEAN + 1)}, n_out)

    def backward(weights: Value, top: Value) -> None:
        """Step 4, from the output layer down: delta_i = f'(z_i) sum_j delta_j w_ij by the old weights, w_ij <- w_ij - alpha a_i delta_j."""

        def layer(k: Value, end: Value, here: Value) -> list[Value]:
            l = b.sub(b.sub(layers, I64(1)), k)
            d_in, d_out, inner = item(sizes, l), item(sizes, b.add(l, I64(1))), b.icmp_signed(">", l, I64(0))
            below, biases = b.sub(here, d_in), b.sub(end, d_out)
            weights = b.sub(biases, b.mul(d_in, d_out))
            kind = item(activations, b.select(inner, b.sub(l, I64(1)), l))
            for m in range(1, LEAN + 1):
                with b.if_then(b.icmp_signed("==", d_out, I64(m))):
                    delta = [v.load(v.at(row(deltas, here), j * v.lanes)) for j in range(m)]
                    step = [v.load(v.at(row(steps, here), j * v.lanes)) for j in range(m)]

                    def unit(i: Value, *, m: int = m, delta: list[Value] = delta, step: list[Value] = step) -> None:
                        at, p = b.mul(b.add(below, i), I64(v.lanes)), row(W, b.add(weights, b.mul(i, I64(m))))
                        a, old = v.load(v.at(units, at)), [v.load(v.at(p, j * v.lanes)) for j in range(m)]
                        with b.if_then(inner):
                            sums = total([v.mul(old[j], delta[j]) for j in range(m)])
                            # -alpha f'(z) is ready before the sums are
                            for x, into in ((one, deltas), (minus_alpha, steps)):
                                slope = v.chosen({code: lambda f=f, x=x: f(v, a, x) for code, f in DERIVE.items()}, kind)
                                v.store(v.mul(sums, slope), v.at(into, at))
                        for j in range(m):
                            v.store(v.fma(a, step[j], v.mul(shrink, old[j])), v.at(p, j * v.lanes))

                    v.loop(0, d_in, 1, unit)
                    for j in range(m):
                        p = v.at(row(W, biases), j * v.lanes)
                        v.store(v.add(v.load(p), step[j]), p)
            return [weights, below]

        v.loop(0, layers, 1, layer, [weights, top])

    def largest(p: Value) -> Value:
        """The number of the first largest output, as a number."""
        start = [v.load(p), zero, zero]

        def output(j: Value, top: Value, first: Value, number: Value) -> list[Value]:
            x, number = v.load(row(p, j)), v.add(number, one)
            more = v.compare(">", x, top)
            return [v.select(more, x, top), v.select(more, number, first), number]

        return v.loop(1, n_out, 1, output, start)[1]

    def differing(p: Value) -> Value:
        """1 where an output and its target are not on one side of 1/2."""

        def output(j: Value, found: Value) -> list[Value]:
            sides = [v.compare(">", v.load(row(q, j)), v.const(0.5)) for q in (p, targets)]
            return [v.select(b.xor(*sides), one, found)]

        return v.loop(0, n_out, 1, output, [zero])[0]

    def sample(s: Value, lost: Value, right: Value) -> list[Value]:
        t = b.load(b.gep(order, [b.mul(s, I64(v.lanes))], source_etype=I64), typ=indices, align=8)
        x = b.mul(t, v.splat(n_in, indices))
        v.loop(0, n_in, 1, lambda i: v.store(v.gather_at(X, b.add(x, v.splat(i, indices))), row(units, i)))
        importance = v.gather_at(weight, t)
        weights, top = forward()
        terms = judge(top, t, importance)
        backward(weights, top)
        a = row(units, top)
        met = v.chosen({
            ARGMAX: lambda: v.select(v.compare("==", largest(a), largest(targets)), one, zero),
            THRESHOLD: lambda: v.sub(one, differing(a)),
            -1: lambda: zero,
        }, decision)  # fmt: skip
        return [b.fadd(lost, double(v.mul(terms, importance))), b.fadd(right, double(met))]

    lost, right = w.loop(0, count, 1, sample, [d.const(0), d.const(0)])
    ends = w.loop(0, layers, 1, lambda l, at: [b.add(at, b.mul(b.add(item(sizes, l), I64(1)), item(sizes, b.add(l, I64(1)))))], [I64(0)])
    (lost,) = w.loop(0, ends[0], 1, lambda i, lost: [b.fadd(lost, double(v.mul(v.load(row(W, i)), zero)))], [lost])
    samples, mask = d.broadcast(b.sitofp(count, d.scalar)), d.first(networks)
    lost = d.div(lost, samples)
    d.store(lost, losses, mask)
    d.store(d.div(right, samples), corrects, mask)
    return d.sum(lost)
