"""
Per-sample learning of tiny networks: each layer above the inputs is one short vector, and never leaves the registers.

Here the time goes not into arithmetic but into waiting for results: one sample's update must be done before the next
sample. So nothing is stored that is read again as a whole, and no call is made, between the first sample of an epoch
and the last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..compiler.assembler import Assembler
from ..compiler.jit import python_or_compiled
from ..compiler.routine import routine
from ..compiler.values import DOUBLE, I64, Address, Float, Integer, Mask
from ..layer import elementary
from ..layer.activation import BACKWARD, FORWARD, IDENTITY, LOGISTIC, RELU, TANH
from ..layer.loss import ARGMAX, LOG_LOSS, THRESHOLD

# Units of a layer at most, which is also the lanes of its vector; and inputs.
TINY_UNITS, TINY_INPUTS = 4, 16


@python_or_compiled
def is_tiny(sizes, activations, loss):
    """Whether a network is learnt by `learn_tiny`: few units, with the lecture's activations and losses."""
    fits = sizes[0] <= TINY_INPUTS and loss <= LOG_LOSS
    for l in range(1, sizes.size):
        fits = fits and sizes[l] <= TINY_UNITS and activations[l - 1] <= RELU
    return fits


# What a tiny network computes, here and in `learn_lanes`: in a vector of the units of a layer, or of one unit of many
# networks.


def _logistic(v: Assembler, z: Float) -> Float:
    """1 / (1 + e^-z), sooner than `elementary.logistic`: it ends with the division, at up to 2.5 instead of 1.7 ulp."""
    e = elementary.exp_negative_normal(v, z)
    return v.where(z < 0, e, 1) / (1 + e)


# a = f(z), and delta f'(z) from a
ACTIVATE = {IDENTITY: FORWARD[IDENTITY], LOGISTIC: _logistic, TANH: FORWARD[TANH], RELU: FORWARD[RELU]}
DERIVE = {code: BACKWARD[code] for code in ACTIVATE}


def output_error(v: Assembler, log_loss: Mask, kind: Integer, a: Float, e: Float) -> Float:
    """The error dJ/dz of outputs a of an activation, e = a - y: e for the log-loss, f'(z) e for the squared error."""
    return v.cond(log_loss, lambda: e, lambda: v.switch(kind, DERIVE, v, a, e))


def output_loss(v: Assembler, log_loss: Mask, a: Float, y: Float, e: Float) -> Float:
    """J of each output: the log-loss of a logistic unit, or e^2 / 2."""
    return v.cond(log_loss, lambda: _entropy(v, a, y), lambda: 0.5 * (e * e))


def _entropy(v: Assembler, a: Float, y: Float) -> Float:
    """-y log a - (1 - y) log(1 - a); finite, also where `a` has been rounded to 0 or 1."""
    tiny = 2.0**-23 if v.size == 4 else 2.0**-52
    return -v.fma(y, elementary.log(v, v.max(a, tiny)), (1 - y) * elementary.log(v, v.max(1 - a, tiny)))


@routine("i(aaan)(ninnii)A(AA)(ss)F", lanes=TINY_UNITS)
def learn_tiny(
    v: Assembler,
    count: Integer,
    samples: tuple,
    net: tuple,
    params: Address,
    memory: tuple,
    pace: tuple,
    results: Address,
) -> None:
    """
    One epoch of `count` samples.

    Parameters
    ----------
    samples : X, Y, weight, order
    net : sizes, layers, activations, starts, loss, decision
    params : weights and biases, updated in place
    memory : W, units
        Room for the weights of layer l from element starts[l] on: TINY_UNITS per input and then as many biases, zeros
        after the last unit; and for TINY_UNITS outputs per layer, inputs excluded.
    pace : alpha, and the factor that an update leaves of a weight
    results : overwritten with the sums of losses and of right decisions
    """
    (X, Y, weight, order), (sizes, layers, activations, _, loss, decision) = samples, net
    (W, units), (rate, keep) = memory, pace
    n_out, last = sizes.item(layers), activations.item(layers - 1)
    valid = v.arange(I64) < v.broadcast(n_out)
    shrink, minus_alpha = v.broadcast(keep), -v.broadcast(rate)
    log_loss = loss == LOG_LOSS
    for mine, row, mask in _rows(v, net, params, W):
        row[0] = mine[0, mask]
    sums = [Float(v.b, DOUBLE(0)), Float(v.b, DOUBLE(0))]
    for s in v.range(count, carry=sums):
        t = order.item(s)
        x, y, importance = X + t * sizes.item(0), (Y + t * n_out)[0, valid], weight.item(t)
        a = _forward(v, net, W, x, units)
        e = a - y
        delta = output_error(v, log_loss, last, a, e)
        delta = v.where(valid, v.broadcast(importance) * delta, 0)
        _backward(v, net, W, x, units, delta, (shrink, minus_alpha))
        lost = v.sum(v.where(valid, output_loss(v, log_loss, a, y, e), 0)) * importance
        met = _decided(v, decision, a, y, valid)
        sums[:] = [sums[0] + lost.to(DOUBLE), sums[1] + met.to(DOUBLE)]
    for mine, row, mask in _rows(v, net, params, W):
        mine[0, mask] = row[0]
    for i, found in enumerate(sums):
        results.set_item(i, found)


def _rows(v: Assembler, net: tuple, params: Address, W: Address) -> Iterator[tuple[Address, Address, Mask]]:
    """Each row of weights and biases: where it lies among the parameters and in `W`, and the lanes of its units."""
    sizes, layers, _, starts, _, _ = net
    mine = [params]
    for l in v.range(layers, carry=mine):
        n_out, Wl, first = sizes.item(l + 1), W + starts.item(l), mine[0]
        rows, mask = sizes.item(l) + 1, v.arange(I64) < v.broadcast(n_out)
        for i in v.range(rows):
            yield first + i * n_out, Wl + i * TINY_UNITS, mask
        mine[0] = first + rows * n_out


def _forward(v: Assembler, net: tuple, W: Address, x: Address, units: Address) -> Float:
    """Step 3: a(l) = f(W(l)^T a(l-1) + b(l)); the outputs of layer l are kept at units + TINY_UNITS l."""
    sizes, layers, activations, starts, _, _ = net
    outputs = [v.const(0), x]  # of the layer below: their vector, and where they lie
    for l in v.range(layers, carry=outputs):
        n_in, Wl, below = sizes.item(l), W + starts.item(l), outputs[1]
        z = [Wl[n_in * TINY_UNITS]]
        for i in v.range(n_in, carry=z):
            z[0] = v.fma(below.broadcast(i), Wl[i * TINY_UNITS], z[0])
        a, here = v.switch(activations.item(l), ACTIVATE, v, z[0]), units + l * TINY_UNITS
        here[0] = a
        outputs[:] = [a, here]
    return outputs[0]


def _backward(v: Assembler, net: tuple, W: Address, x: Address, units: Address, delta: Float, pace: tuple) -> None:
    """
    Step 4, from the output layer down: delta_i = f'(z_i) sum_j delta_j w_ij by the old weights.

    Then w_ij <- w_ij - alpha a_i delta_j and b_j <- b_j - alpha delta_j.
    """
    (sizes, layers, activations, starts, _, _), (shrink, minus_alpha) = net, pace
    errors = [delta, minus_alpha * delta]
    for k in v.range(layers, carry=errors):
        delta, step = errors
        l = layers - 1 - k
        inner = l > 0
        n_in, Wl, below = sizes.item(l), W + starts.item(l), units + (l - 1) * TINY_UNITS
        source = v.where(inner, below, x)
        sums = [v.const(0)]
        for i in v.range(n_in, carry=sums):
            Wi = Wl + i * TINY_UNITS
            w = Wi[0]
            sums[0] = v.where(v.arange(I64) == v.broadcast(i), _everywhere(v, w * delta, _plus), sums[0])
            Wi[0] = v.fma(source.broadcast(i), step, shrink * w)
        biases = Wl + n_in * TINY_UNITS
        biases[0] = biases[0] + step
        a, kind = v.where(inner, below, units)[0], activations.item(v.where(inner, l - 1, l))
        # -alpha f'(z) is ready before the sums are
        slope, minus_alpha_slope = (v.switch(kind, DERIVE, v, a, q) for q in (v.const(1), minus_alpha))
        errors[:] = [sums[0] * slope, sums[0] * minus_alpha_slope]


def _decided(v: Assembler, decision: Integer, a: Float, y: Float, valid: Mask) -> Float:
    """1 if the sample was decided rightly, else 0."""
    differs = valid & ((a > 0.5) ^ (y > 0.5))

    def argmax() -> Float:
        same = _largest(v, a, valid) == _largest(v, y, valid)
        return v.sum(v.where(same, v.const(1 / TINY_UNITS), 0))

    def threshold() -> Float:
        return v.where(v.sum(v.where(differs, v.const(1), 0)) == 0, v.number(1), 0)

    return v.switch(decision, {ARGMAX: argmax, THRESHOLD: threshold, -1: lambda: v.number(0)})


def _largest(v: Assembler, x: Float, valid: Mask) -> Float:
    """The number of the first largest valid lane, in all lanes."""
    x = v.where(valid, x, float("-inf"))
    first = v.where(x == _everywhere(v, x, v.max), v.arange(), TINY_UNITS)
    return _everywhere(v, first, v.min)


def _everywhere(v: Assembler, x: Float, combine: Callable[[Float, Float], Float]) -> Float:
    """All lanes combined, in all lanes."""
    x = combine(x, v.shuffle(x, x, [2, 3, 0, 1]))
    return combine(x, v.shuffle(x, x, [1, 0, 3, 2]))


def _plus(x: Float, y: Float) -> Float:
    return x + y
