"""Activation functions f, and their derivatives f' written in the output a = f(z) (lecture L7, L27, L28)."""

from __future__ import annotations

import math
from collections.abc import Callable

from ..compiler.assembler import I64, Assembler, Value
from ..compiler.jit import njit, python_or_compiled
from ..compiler.memory import steps
from ..compiler.routine import routine
from . import elementary

IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, ELU, SELU, SOFTPLUS, HARD_SIGMOID, EXP, GELU, SILU, MISH, SOFTMAX = range(
    14
)
ACTIVATIONS = {
    "identity": IDENTITY,
    "logistic": LOGISTIC,
    "tanh": TANH,
    "relu": RELU,
    "leaky_relu": LEAKY_RELU,
    "elu": ELU,
    "selu": SELU,
    "softplus": SOFTPLUS,
    "hard_sigmoid": HARD_SIGMOID,
    "exp": EXP,
    "gelu": GELU,
    "silu": SILU,
    "mish": MISH,
    "softmax": SOFTMAX,
}
LEAK = 0.01  # slope of the leaky ReLU for z < 0
# Klambauer et al. (2017): with these, outputs of mean 0 and variance 1 stay so from layer to layer
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def _exponential(v: Assembler, z: Value, positive: float, negative: float) -> Value:
    """`positive` z where z > 0, else `negative` (e^z - 1)."""
    below = v.mul(v.const(negative), elementary.expm1_negative(v, z))
    return v.select(v.compare(">", z, v.const(0)), v.mul(v.const(positive), z), below)


def _where_positive(v: Assembler, a: Value, delta: Value, positive: float, otherwise: Value) -> Value:
    """`positive` delta where a > 0, else `otherwise` delta; NaN stays."""
    return v.mul(delta, v.select(v.compare("<=", a, v.const(0)), otherwise, v.const(positive)))


def _softplus_slope(v: Assembler, a: Value, delta: Value) -> Value:
    # f' = 1 / (1 + e^-z) = 1 - e^-a = 2 t / (1 + t), t = tanh(a / 2), which keeps the digits of a small a
    t = elementary.tanh(v, v.mul(a, v.const(0.5)))
    return v.mul(delta, v.div(v.add(t, t), v.add(v.const(1), t)))


def _hard_sigmoid_slope(v: Assembler, a: Value, delta: Value) -> Value:
    flat = v.b.or_(v.compare("<=", a, v.const(0)), v.compare(">=", a, v.const(1)))
    return v.select(flat, v.const(0), v.mul(delta, v.const(1 / 6)))


def _normal_cdf(v: Assembler, z: Value) -> Value:
    """Phi(z) = (1 + erf(z / sqrt 2)) / 2."""
    return v.fma(v.const(0.5), elementary.erf(v, v.mul(z, v.const(math.sqrt(0.5)))), v.const(0.5))


def _gelu_slope(v: Assembler, z: Value, delta: Value) -> Value:
    # f' = Phi(z) + z phi(z), phi the normal density
    density = v.mul(v.const(1 / math.sqrt(2 * math.pi)), elementary.exp(v, v.mul(v.mul(z, z), v.const(-0.5))))
    return v.mul(delta, v.fma(z, density, _normal_cdf(v, z)))


def _silu_slope(v: Assembler, z: Value, delta: Value) -> Value:
    # f' = s + z s (1 - s), s = 1 / (1 + e^-z)
    s = elementary.logistic(v, z)
    return v.mul(delta, v.fma(v.mul(z, s), v.sub(v.const(1), s), s))


def _mish_parts(v: Assembler, z: Value) -> tuple[Value, Value]:
    """`e` = e^z and n = e (e + 2), with which tanh(log(1 + e^z)) = n / (n + 2): 1 in every digit from z = 20 on."""
    e = elementary.exp(v, v.min(z, v.const(20)))
    return e, v.mul(e, v.add(e, v.const(2)))


def _mish(v: Assembler, z: Value) -> Value:
    _, n = _mish_parts(v, z)
    return v.mul(z, v.div(n, v.add(n, v.const(2))))


def _mish_slope(v: Assembler, z: Value, delta: Value) -> Value:
    # f' = n / (n + 2) + 4 z e (e + 1) / (n + 2)^2
    z = v.max(v.min(z, v.const(20)), v.const(-1000))  # both ends are flat, and 4 z may not overflow
    e, n = _mish_parts(v, z)
    r = v.div(v.const(1), v.add(n, v.const(2)))
    return v.mul(delta, v.mul(r, v.fma(v.mul(v.mul(v.const(4), z), r), v.mul(e, v.add(e, v.const(1))), n)))


# a = f(z), a vector at a time
FORWARD: dict[int, Callable[[Assembler, Value], Value]] = {
    IDENTITY: lambda v, z: z,
    LOGISTIC: elementary.logistic,  # a = 1 / (1 + exp(-z))
    TANH: elementary.tanh,
    RELU: lambda v, z: v.max(z, v.const(0)),  # max(0, z); NaN stays NaN
    LEAKY_RELU: lambda v, z: v.max(z, v.mul(z, v.const(LEAK))),
    ELU: lambda v, z: _exponential(v, z, 1, 1),
    SELU: lambda v, z: _exponential(v, z, SELU_SCALE, SELU_SCALE * SELU_ALPHA),
    SOFTPLUS: elementary.softplus,  # log(1 + e^z)
    HARD_SIGMOID: lambda v, z: v.min(v.max(v.fma(z, v.const(1 / 6), v.const(0.5)), v.const(0)), v.const(1)),
    EXP: elementary.exp,
    GELU: lambda v, z: v.mul(z, _normal_cdf(v, z)),
    SILU: lambda v, z: v.mul(z, elementary.logistic(v, z)),
    MISH: _mish,  # z tanh(log(1 + e^z))
}
# delta f'(z) from a = f(z); for GELU, SILU and MISH, which take the same value twice, from z
BACKWARD: dict[int, Callable[[Assembler, Value, Value], Value]] = {
    IDENTITY: lambda v, a, delta: delta,
    LOGISTIC: lambda v, a, delta: v.mul(delta, v.mul(a, v.sub(v.const(1), a))),  # f' = a (1 - a)
    TANH: lambda v, a, delta: v.mul(delta, v.sub(v.const(1), v.mul(a, a))),  # f' = 1 - a^2
    RELU: lambda v, a, delta: v.select(
        v.compare("<=", a, v.const(0)), v.const(0), delta
    ),  # f' = 1 where a > 0; NaN stays
    LEAKY_RELU: lambda v, a, delta: _where_positive(v, a, delta, 1, v.const(LEAK)),
    ELU: lambda v, a, delta: _where_positive(v, a, delta, 1, v.add(a, v.const(1))),  # e^z = a + 1
    SELU: lambda v, a, delta: _where_positive(v, a, delta, SELU_SCALE, v.add(a, v.const(SELU_SCALE * SELU_ALPHA))),
    SOFTPLUS: _softplus_slope,
    HARD_SIGMOID: _hard_sigmoid_slope,
    EXP: lambda v, a, delta: v.mul(delta, a),
    GELU: _gelu_slope,
    SILU: _silu_slope,
    MISH: _mish_slope,
}


@python_or_compiled
def takes_input(kind):
    """Whether f' of an activation is computed from its input z, not from its output a."""
    return GELU <= kind <= MISH


def _for_each_kind(v: Assembler, kind: Value, emit: Callable[[int], None]) -> None:
    for code in FORWARD:
        with v.b.if_then(v.b.icmp_signed("==", kind, I64(code))):
            emit(code)


@routine("iiaiAi")
def activate(v: Assembler, kind: Value, count: Value, z: Value, z_step: Value, a: Value, a_step: Value) -> None:
    """Emit a = f(z) for `count` elements that lie z_step and a_step apart; `a` may be `z`."""
    b = v.b
    plain = b.and_(b.icmp_signed("==", z_step, I64(1)), b.icmp_signed("==", a_step, I64(1)))

    def emit(code: int) -> None:
        f = FORWARD[code]
        with b.if_else(plain) as (contiguous, spread):
            with contiguous:
                v.each_vector(count, lambda i, mask: v.store(f(v, v.load(v.at(z, i), mask)), v.at(a, i), mask))
            with spread:
                v.each_vector(
                    count,
                    lambda i, mask: v.scatter(
                        f(v, v.gather(v.at(z, b.mul(i, z_step)), z_step, mask)), v.at(a, b.mul(i, a_step)), a_step, mask
                    ),
                )

    _for_each_kind(v, kind, emit)


@routine("iiaiAi")
def multiply_derivative(
    v: Assembler, kind: Value, count: Value, a: Value, a_step: Value, delta: Value, delta_step: Value
) -> None:
    """Emit delta_j *= f'(z_j) for `count` elements, from the outputs a_j (inputs z_j: see `takes_input`)."""
    b = v.b
    plain = b.and_(b.icmp_signed("==", a_step, I64(1)), b.icmp_signed("==", delta_step, I64(1)))

    def emit(code: int) -> None:
        times = BACKWARD[code]

        def whole(i: Value, mask: Value | None) -> None:
            p = v.at(delta, i)
            v.store(times(v, v.load(v.at(a, i), mask), v.load(p, mask)), p, mask)

        def gaps(i: Value, mask: Value | None) -> None:
            p = v.at(delta, b.mul(i, delta_step))
            v.scatter(
                times(v, v.gather(v.at(a, b.mul(i, a_step)), a_step, mask), v.gather(p, delta_step, mask)),
                p,
                delta_step,
                mask,
            )

        with b.if_else(plain) as (contiguous, spread):
            with contiguous:
                v.each_vector(count, whole)
            with spread:
                v.each_vector(count, gaps)

    _for_each_kind(v, kind, emit)


@routine("iiiA")
def softmax_columns(v: Assembler, units: Value, count: Value, stride: Value, z: Value) -> None:
    """
    Softmax in place for a tile of samples, one sample a column: unit k of sample s at k stride + s.

    a_k = exp(z_k - max z) / sum_j exp(z_j - max z): the shift changes nothing and cannot overflow. Whole vectors of samples.
    """

    def samples(s: Value) -> None:
        def at(k: Value) -> Value:
            return v.at(z, v.b.add(s, v.b.mul(k, stride)))

        (top,) = v.loop(0, units, 1, lambda k, top: [v.max(v.load(at(k)), top)], [v.const(-math.inf)])

        def power(k: Value, total: Value) -> list[Value]:
            e = elementary.exp(v, v.sub(v.load(at(k)), top))
            v.store(e, at(k))
            return [v.add(total, e)]

        (total,) = v.loop(0, units, 1, power, [v.const(0)])
        scale = v.div(v.const(1), total)
        v.loop(0, units, 1, lambda k: v.store(v.mul(v.load(at(k)), scale), at(k)))

    v.loop(0, count, v.lanes, samples)


@routine("iaiAi")
def softmax_row(v: Assembler, units: Value, z: Value, z_step: Value, a: Value, a_step: Value) -> None:
    """Softmax for one sample, whose units lie z_step and a_step apart; `a` may be `z`."""
    # a_j = exp(z_j - max z) / sum_k exp(z_k - max z), the sum over lanes first and then over the lanes
    b = v.b

    def load(p: Value, step: Value, i: Value, mask: Value) -> Value:
        return v.gather(v.at(p, b.mul(i, step)), step, mask)

    def larger(i: Value, top: Value) -> list[Value]:
        mask = v.first(b.sub(units, i))
        return [v.select(mask, v.max(load(z, z_step, i, mask), top), top)]

    (tops,) = v.loop(0, units, v.lanes, larger, [v.const(-math.inf)])
    width = v.lanes
    while width > 1:
        width //= 2
        tops = v.max(tops, v.shuffle(tops, tops, [(i + width) % v.lanes for i in range(v.lanes)]))

    def power(i: Value, total: Value) -> list[Value]:
        mask = v.first(b.sub(units, i))
        e = elementary.exp(v, v.sub(load(z, z_step, i, mask), tops))
        v.scatter(e, v.at(a, b.mul(i, a_step)), a_step, mask)
        return [v.add(total, v.select(mask, e, v.const(0)))]

    (totals,) = v.loop(0, units, v.lanes, power, [v.const(0)])
    scale = v.broadcast(b.fdiv(v.scalar(1), v.sum(totals)))

    def normalise(i: Value) -> None:
        mask = v.first(b.sub(units, i))
        v.scatter(v.mul(scale, load(a, a_step, i, mask)), v.at(a, b.mul(i, a_step)), a_step, mask)

    v.loop(0, units, v.lanes, normalise)


@njit
def activation_forward(kind, z, out):
    """
    Apply an activation function: a = f(z).

    Parameters
    ----------
    kind : int
        ``IDENTITY``, ``LOGISTIC`` 1/(1+exp(-z)), ``TANH``, ``RELU`` max(0, z), ``LEAKY_RELU`` max(z, 0.01 z), ``ELU`` (exp(z)-1
        below 0), ``SELU`` (an ELU scaled so that variances stay), ``SOFTPLUS`` log(1+exp(z)), ``HARD_SIGMOID`` z/6+1/2 cut to
        0..1, ``EXP``, ``GELU`` z Phi(z), ``SILU`` z/(1+exp(-z)), ``MISH`` z tanh(log(1+exp(z))), or ``SOFTMAX``
        exp(z_j)/sum_k exp(z_k) over each row.
    z : array, shape (n, d)
        Inputs of n samples.
    out : array, shape (n, d)
        Overwritten with a. May be `z` itself.

    Raises
    ------
    ValueError
        Unknown `kind`, or `out` of another shape.

    Notes
    -----
    Lecture L7. Reads and writes n*d elements; samples are independent. Any memory layout; fastest when
    rows are contiguous.
    """
    if kind < IDENTITY or kind > SOFTMAX:
        raise ValueError("activation_forward: kind must be one of the activation codes 0 to 13, got", kind)
    if out.shape != z.shape:
        raise ValueError("activation_forward: out must have the shape of z; (z, out) came as", z.shape, out.shape)
    for i in range(z.shape[0]):
        if kind == SOFTMAX:
            softmax_row(z.shape[1], z[i], 0, steps(z)[1], out[i], 0, steps(out)[1])
        else:
            activate(kind, z.shape[1], z[i], 0, steps(z)[1], out[i], 0, steps(out)[1])


@njit
def activation_derivative(kind, a, out):
    """
    Derivative f'(z) of an element-wise activation, from its output a = f(z).

    Parameters
    ----------
    kind : int
        ``IDENTITY`` (1), ``LOGISTIC`` a(1-a), ``TANH`` 1-a^2, ``RELU`` (1 where a > 0, else 0), or any other but ``SOFTMAX``.
    a : array, shape (n, d)
        Outputs of the activation; for ``GELU``, ``SILU`` and ``MISH``, which take a value twice, its inputs z.
    out : array, shape (n, d)
        Overwritten with f'. Must not overlap `a`.

    Raises
    ------
    ValueError
        `kind` is not element-wise, or `out` has another shape.

    Notes
    -----
    Lecture L25, L27. Softmax is not element-wise; its derivative is folded into `output_delta`.
    """
    if kind < IDENTITY or kind >= SOFTMAX:
        raise ValueError("activation_derivative: kind must be an element-wise activation code 0 to 12, got", kind)
    if out.shape != a.shape:
        raise ValueError("activation_derivative: out must have the shape of a; (a, out) came as", a.shape, out.shape)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = 1
        multiply_derivative(kind, a.shape[1], a[i], 0, steps(a)[1], out[i], 0, steps(out)[1])
