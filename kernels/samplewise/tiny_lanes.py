"""
Per-sample learning of many tiny networks of equal shape side by side, one in each lane of the vectors.

One tiny network alone waits for results (see tiny.py); here the others go on meanwhile. Every lane takes the steps of
`learn_tiny` for its own network, in the same order, and so has the same bits. The two share the formulas of a layer,
but not the loops: there a vector holds the units of a layer, and here one unit of each network.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..compiler.assembler import Assembler
from ..compiler.processor import VECTOR_BYTES
from ..compiler.routine import routine
from ..compiler.values import DOUBLE, Address, Float, Integer
from ..layer.loss import ARGMAX, LOG_LOSS, THRESHOLD
from .tiny import ACTIVATE, DERIVE, TINY_UNITS, output_error, output_loss

# Bytes of a row, which holds one number of each network: two vectors, whose waits overlap.
ROW_BYTES = 2 * VECTOR_BYTES
# Widths of layers, each of which has code of its own: its sums and errors stay in registers.
WIDTHS = range(1, TINY_UNITS + 1)


@routine("(ii)(aaan)(nniiiii)(aa)(AAA)(FF)", "d", vector_bytes=ROW_BYTES)
def learn_lanes(
    v: Assembler, counts: tuple, samples: tuple, net: tuple, pace: tuple, memory: tuple, results: tuple
) -> Float:
    """
    One epoch of as many networks as a row has lanes. Returns the sum of the losses of all lanes.

    Parameters
    ----------
    counts : networks, steps
        How many of the networks have results, and the samples that each learns.
    samples : X, Y, weight, order
        `order` has a row of sample numbers for each step.
    net : sizes, activations, layers, units, parameters, loss, decision
        Units and parameters are counted, the inputs among the units.
    pace : alpha, and the factor that an update leaves of a weight; a row each
    memory : W, before, units
        `W` has a row per parameter, in the order of the parameters, and is copied to `before` first; `units` is room
        for three rows per unit, and TINY_UNITS rows.
    results : losses, corrects
        Overwritten with each network's mean loss, NaN where a weight is no longer finite, and its share of right
        decisions.
    """
    (networks, count), (X, Y, weight, order), (W, before, units) = counts, samples, memory
    sizes, activations, layers, n_units, n_params, loss, decision = net
    (rate, keep), (losses, corrects) = pace, results
    n_in, n_out = sizes.item(0), sizes.item(layers)
    top = n_units - n_out
    # after the outputs of all units: their errors delta, -alpha delta, and the targets
    deltas, steps, targets = (_row(v, units, n_units * k) for k in (1, 2, 3))
    shrink, minus_alpha = keep[0], -rate[0]
    last, log_loss = activations.item(layers - 1), loss == LOG_LOSS
    outputs = _row(v, units, top)

    for i in v.range(n_params):
        _row(v, before, i)[0] = _row(v, W, i)[0]
    zero = v.const(0)
    sums = [zero.to(DOUBLE), zero.to(DOUBLE)]
    for s in v.range(count, carry=sums):
        t = order[s * v.lanes]
        x = t * v.broadcast(n_in)
        for i in v.range(n_in):
            _row(v, units, i)[0] = (X + i).gather(x)
        importance = weight.gather(t)
        _forward(v, net, W, units)
        y, factors = (Y, t, targets), (importance, minus_alpha)
        lost = _judge(v, (top, n_out, last, log_loss), (units, deltas, steps), y, factors) * importance
        _backward(v, net, top, W, (units, deltas, steps), (shrink, minus_alpha))
        right = _decided(v, decision, n_out, outputs, targets)
        sums[:] = [sums[0] + lost.to(DOUBLE), sums[1] + right.to(DOUBLE)]
    finite = [zero]  # 0, or NaN
    for i in v.range(n_params, carry=finite):
        finite[0] += _row(v, W, i)[0] * 0
    samples, mask = v.broadcast(count.to(DOUBLE)), v.first(networks)
    mean = (sums[0] + finite[0].to(DOUBLE)) / samples
    losses[0, mask] = mean
    corrects[0, mask] = sums[1] / samples
    return v.sum(mean)


def _row(v: Assembler, p: Address, i: Integer) -> Address:
    """Row i."""
    return p + i * v.lanes


def _read(v: Assembler, p: Address, count: int) -> list[Float]:
    """The rows from p on."""
    return [p[j * v.lanes] for j in range(count)]


def _write(v: Assembler, p: Address, rows: Sequence[Float]) -> None:
    """Overwrite the rows from p on."""
    for j, x in enumerate(rows):
        p[j * v.lanes] = x


def _total(v: Assembler, terms: Sequence[Float]) -> Float:
    """Their sum as `learn_tiny` adds up its lanes, zeros after the last unit."""
    x = [*terms, *[v.const(0)] * (TINY_UNITS - len(terms))]
    return (x[0] + x[2]) + (x[1] + x[3])


def _forward(v: Assembler, net: tuple, W: Address, units: Address) -> None:
    """Step 3: a(l) = f(W(l)^T a(l-1) + b(l))."""
    sizes, activations, layers, *_ = net
    at = [v.index(0), v.index(0)]  # the rows of a layer's weights, and of its inputs
    for l in v.range(layers, carry=at):
        weights, below = at
        d_in, d_out, kind = sizes.item(l), sizes.item(l + 1), activations.item(l)
        here, biases = below + d_in, weights + d_in * d_out
        for m in v.cases(d_out, WIDTHS):
            z = _read(v, _row(v, W, biases), m)
            for i in v.range(d_in, carry=z):
                a = _row(v, units, below + i)[0]
                w = _row(v, W, weights + i * m)
                z[:] = [v.fma(a, w[j * v.lanes], z_j) for j, z_j in enumerate(z)]
            _write(v, _row(v, units, here), z)
        for j in v.range(d_out):
            unit = _row(v, units, here + j)
            unit[0] = v.switch(kind, ACTIVATE, v, unit[0])
        at[:] = [biases + d_out, here]


def _judge(v: Assembler, layer: tuple, memory: tuple, y: tuple, factors: tuple) -> Float:
    """The errors of the outputs, and these times -alpha; returns the sum of their losses. The targets are kept."""
    (top, n_out, kind, log_loss), (units, deltas, steps) = layer, memory
    (Y, t, targets), (importance, minus_alpha) = y, factors
    first = t * v.broadcast(n_out)

    def of_width(m: int) -> Float:
        losses = []
        for j in range(m):
            at = (top + j) * v.lanes
            a, y = units[at], (Y + j).gather(first)
            e = a - y
            delta = importance * output_error(v, log_loss, kind, a, e)
            deltas[at] = delta
            steps[at] = minus_alpha * delta
            targets[j * v.lanes] = y
            losses.append(output_loss(v, log_loss, a, y, e))
        return _total(v, losses)

    return v.switch(n_out, {m: lambda m=m: of_width(m) for m in WIDTHS})


def _backward(v: Assembler, net: tuple, top: Integer, W: Address, memory: tuple, pace: tuple) -> None:
    """
    Step 4, from the output layer down: delta_i = f'(z_i) sum_j delta_j w_ij by the old weights.

    Then w_ij <- w_ij - alpha a_i delta_j and b_j <- b_j - alpha delta_j.
    """
    sizes, activations, layers, _, n_params, *_ = net
    (units, deltas, steps), (shrink, minus_alpha) = memory, pace
    at = [n_params, top]  # the row after a layer's weights, and that of its units
    for k in v.range(layers, carry=at):
        end, here = at
        l = layers - 1 - k
        inner = l > 0
        d_in, d_out = sizes.item(l), sizes.item(l + 1)
        below, biases, kind = here - d_in, end - d_out, activations.item(v.where(inner, l - 1, l))
        weights = biases - d_in * d_out
        for m in v.cases(d_out, WIDTHS):
            delta, step = (_read(v, _row(v, q, here), m) for q in (deltas, steps))
            for i in v.range(d_in):
                unit, Wi = (below + i) * v.lanes, _row(v, W, weights + i * m)
                a, w = units[unit], _read(v, Wi, m)
                with v.when(inner):
                    total = _total(v, [w_j * delta_j for w_j, delta_j in zip(w, delta, strict=True)])
                    # -alpha f'(z) is ready before the sums are
                    for q, x in ((deltas, v.const(1)), (steps, minus_alpha)):
                        q[unit] = total * v.switch(kind, DERIVE, v, a, x)
                _write(v, Wi, [v.fma(a, s_j, shrink * w_j) for w_j, s_j in zip(w, step, strict=True)])
            b = _row(v, W, biases)
            _write(v, b, [b[j * v.lanes] + s_j for j, s_j in enumerate(step)])
        at[:] = [weights, below]


def _decided(v: Assembler, decision: Integer, n_out: Integer, outputs: Address, targets: Address) -> Float:
    """1 where a sample was decided rightly, else 0."""

    def largest(p: Address) -> Float:
        """The number of the first largest."""
        found = [p[0], v.const(0), v.const(0)]
        for j in v.range(1, n_out, carry=found):
            most, first, number = found
            x, number = _row(v, p, j)[0], number + 1
            found[:] = [v.where(x > most, x, most), v.where(x > most, number, first), number]
        return found[1]

    def on_one_side() -> Float:
        """Whether each output lies on its target's side of 1/2."""
        right = [v.const(1)]
        for j in v.range(n_out, carry=right):
            a, y = (_row(v, p, j)[0] for p in (outputs, targets))
            right[0] = v.where((a > 0.5) ^ (y > 0.5), 0, right[0])
        return right[0]

    def same_largest() -> Float:
        return v.where(largest(outputs) == largest(targets), v.const(1), 0)

    return v.switch(decision, {ARGMAX: same_largest, THRESHOLD: on_one_side, -1: lambda: v.const(0)})
