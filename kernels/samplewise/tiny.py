"""
Per-sample learning of tiny networks: every layer above the inputs fits in one short vector and never leaves the registers.

Here the time is not in the arithmetic but in waiting for results: one sample's update must be done before the next can be
read. So nothing is stored that is read again as a whole, and no call is made, between the first sample of an epoch and the last.
"""

from __future__ import annotations

from llvmlite import ir

from ..compiler.assembler import I32, I64, Assembler, Value
from ..compiler.jit import python_or_compiled
from ..compiler.routine import routine
from ..layer import elementary
from ..layer.activation import BACKWARD, FORWARD, IDENTITY, LOGISTIC, RELU, TANH
from ..layer.loss import ARGMAX, LOG_LOSS, THRESHOLD

# Units of a layer at most, and inputs.
LEAN, LEAN_INPUTS = 4, 16


@python_or_compiled
def is_lean(sizes, activations, loss):
    """Whether a network is learnt by `learn_lean`: a tiny one with the lecture's activations and losses."""
    fits = sizes[0] <= LEAN_INPUTS and loss <= LOG_LOSS
    for l in range(1, sizes.size):
        fits = fits and sizes[l] <= LEAN and activations[l - 1] <= RELU
    return fits


def _logistic(v: Assembler, z: Value) -> Value:
    """1 / (1 + e^-z), sooner than `elementary.logistic`: its last step is the division, at up to 2.5 instead of 1.7 ulp."""
    e = elementary.exp_negative_normal(v, z)
    one = v.const(1)
    return v.div(v.select(v.compare("<", z, v.const(0)), e, one), v.add(one, e))


def entropy(v: Assembler, a: Value, y: Value) -> Value:
    """-y log a - (1 - y) log(1 - a), the log-loss of a logistic unit; finite, also where `a` has been rounded to 0 or 1."""
    one, tiny = v.const(1), v.const(2.0**-23 if v.size == 4 else 2.0**-52)
    return v.neg(
        v.fma(y, elementary.log(v, v.max(a, tiny)), v.mul(v.sub(one, y), elementary.log(v, v.max(v.sub(one, a), tiny))))
    )


ACTIVATE = {IDENTITY: FORWARD[IDENTITY], LOGISTIC: _logistic, TANH: FORWARD[TANH], RELU: FORWARD[RELU]}
DERIVE = {code: BACKWARD[code] for code in ACTIVATE}


@routine("iaaanninniiAssAF")
def learn_lean(
    w: Assembler,
    count: Value,
    X: Value,
    Y: Value,
    weight: Value,
    order: Value,
    sizes: Value,
    layers: Value,
    activations: Value,
    starts: Value,
    loss: Value,
    decision: Value,
    W: Value,
    rate: Value,
    keep: Value,
    units: Value,
    results: Value,
) -> None:
    """
    One epoch. `W` holds per layer, from element starts[l] on, LEAN weights per input and then LEAN biases, zeros behind the last unit.

    `units` is room for LEAN outputs per layer, inputs excluded. Losses and right decisions are added to `results`.
    """
    b = w.b
    v = Assembler(b, w.size, LEAN * w.size)
    number = ir.IntType(64)
    iota = ir.Constant(ir.VectorType(I64, LEAN), [I64(i) for i in range(LEAN)])

    def item(p: Value, i: Value) -> Value:
        return b.load(b.gep(p, [i], source_etype=I64), typ=number, align=8)

    def everywhere(x: Value) -> Value:
        """The sum of all lanes, in all lanes."""
        x = v.add(x, v.shuffle(x, x, [2, 3, 0, 1]))
        return v.add(x, v.shuffle(x, x, [1, 0, 3, 2]))

    n_out, last = item(sizes, layers), item(activations, b.sub(layers, I64(1)))
    valid = b.icmp_signed("<", iota, v.splat(n_out, iota.type))
    shrink, minus_alpha = v.broadcast(keep), v.neg(v.broadcast(rate))
    log_loss, zero, one = b.icmp_signed("==", loss, I64(LOG_LOSS)), v.const(0), v.const(1)

    def forward(x: Value) -> Value:
        """Step 3: a(l) = f(W(l)^T a(l-1) + b(l)); the outputs of layer l are kept at units + LEAN l."""

        def layer(l: Value, a: Value, source: Value) -> list[Value]:
            n_in, weights = item(sizes, l), v.at(W, item(starts, l))

            def term(i: Value, z: Value) -> list[Value]:
                return [
                    v.fma(v.broadcast(v.load_scalar(v.at(source, i))), v.load(v.at(weights, b.mul(i, I64(LEAN)))), z)
                ]

            (z,) = v.loop(0, n_in, 1, term, [v.load(v.at(weights, b.mul(n_in, I64(LEAN))))])
            a = v.chosen({code: lambda f=f: f(v, z) for code, f in ACTIVATE.items()}, item(activations, l))
            target = v.at(units, b.mul(l, I64(LEAN)))
            v.store(a, target)
            return [a, target]

        return v.loop(0, layers, 1, layer, [zero, x])[0]

    def backward(x: Value, delta: Value) -> None:
        """Step 4, from the output layer down: delta_i = f'(z_i) sum_j delta_j w_ij by the old weights, w_ij <- w_ij - alpha a_i delta_j."""

        def layer(k: Value, delta: Value, step: Value) -> list[Value]:
            l = b.sub(b.sub(layers, I64(1)), k)
            inner = b.icmp_signed(">", l, I64(0))
            n_in, weights = item(sizes, l), v.at(W, item(starts, l))
            below = v.at(units, b.mul(b.sub(l, I64(1)), I64(LEAN)))
            source = b.select(inner, below, x)

            def row(i: Value, sums: Value) -> list[Value]:
                p = v.at(weights, b.mul(i, I64(LEAN)))
                old = v.load(p)
                here = b.icmp_signed("==", iota, v.splat(i, iota.type))
                sums = v.select(here, everywhere(v.mul(old, delta)), sums)
                v.store(v.fma(v.broadcast(v.load_scalar(v.at(source, i))), step, v.mul(shrink, old)), p)
                return [sums]

            (sums,) = v.loop(0, n_in, 1, row, [zero])
            p = v.at(weights, b.mul(n_in, I64(LEAN)))
            v.store(v.add(v.load(p), step), p)
            a = v.load(b.select(inner, below, units))
            kind = item(activations, b.select(inner, b.sub(l, I64(1)), l))
            # -alpha f'(z) is ready before the sums are
            slope, pace = (
                v.chosen({code: lambda f=f, x=x: f(v, a, x) for code, f in DERIVE.items()}, kind)
                for x in (one, minus_alpha)
            )
            return [v.mul(sums, slope), v.mul(sums, pace)]

        v.loop(0, layers, 1, layer, [delta, v.mul(minus_alpha, delta)])

    def largest(x: Value) -> Value:
        """The number of the first largest valid lane, in all lanes."""
        x = v.select(valid, x, v.const(float("-inf")))
        top = v.max(x, v.shuffle(x, x, [2, 3, 0, 1]))
        top = v.max(top, v.shuffle(top, top, [1, 0, 3, 2]))
        numbers = ir.Constant(v.vector, [v.scalar(i) for i in range(LEAN)])
        first = v.select(v.compare("==", x, top), numbers, v.const(LEAN))
        first = v.min(first, v.shuffle(first, first, [2, 3, 0, 1]))
        return v.min(first, v.shuffle(first, first, [1, 0, 3, 2]))

    def sample(s: Value, lost: Value, right: Value) -> list[Value]:
        t = item(order, s)
        x = v.at(X, b.mul(t, item(sizes, I64(0))))
        y = v.load(v.at(Y, b.mul(t, n_out)), valid)
        importance = v.load_scalar(v.at(weight, t))
        a = forward(x)
        e = v.sub(a, y)
        kinds = {code: lambda f=f: f(v, a, e) for code, f in DERIVE.items()}
        delta = v.chosen({1: lambda: e, 0: lambda: v.chosen(kinds, last)}, b.zext(log_loss, I64))
        delta = v.select(valid, v.mul(v.broadcast(importance), delta), zero)
        backward(x, delta)
        losses = v.chosen(
            {1: lambda: entropy(v, a, y), 0: lambda: v.mul(v.const(0.5), v.mul(e, e))}, b.zext(log_loss, I64)
        )
        total = b.fmul(v.sum(v.select(valid, losses, zero)), importance)
        half = v.const(0.5)
        differs = b.and_(valid, b.xor(v.compare(">", a, half), v.compare(">", y, half)))
        met = v.chosen(
            {
                ARGMAX: lambda: v.sum(v.select(v.compare("==", largest(a), largest(y)), v.const(1 / LEAN), zero)),
                THRESHOLD: lambda: b.select(
                    b.fcmp_ordered("==", v.sum(v.select(differs, one, zero)), v.scalar(0)), v.scalar(1), v.scalar(0)
                ),
                -1: lambda: v.scalar(0),
            },
            decision,
        )
        total, met = (b.fpext(q, ir.DoubleType()) if v.size == 4 else q for q in (total, met))
        return [b.fadd(lost, total), b.fadd(right, met)]

    for i, found in enumerate(w.loop(0, count, 1, sample, [ir.DoubleType()(0), ir.DoubleType()(0)])):
        b.store(found, b.gep(results, [I32(i)], source_etype=ir.DoubleType()), align=8)
