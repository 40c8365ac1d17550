"""Activation functions f, and their derivatives f' written in the output a = f(z) (lecture L7, L27, L28)."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ..compiler.assembler import Assembler
from ..compiler.jit import njit, python_or_compiled
from ..compiler.memory import steps
from ..compiler.processor import SUMMED_BYTES
from ..compiler.routine import routine
from ..compiler.values import Address, Float, Integer
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
# Klambauer et al. (2017): with these, outputs keep mean 0 and variance 1 from layer to layer
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772
# Vectors of elements that are copied at a time, where they lie apart.
SPREAD = 8


def _exponential(v: Assembler, z: Float, positive: float, negative: float) -> Float:
    """`positive` z where z > 0, else `negative` (e^z - 1)."""
    below = negative * elementary.expm1_negative(v, z)
    return v.where(z > 0, positive * z, below)


def _where_positive(v: Assembler, a: Float, delta: Float, positive: float, otherwise: Any) -> Float:
    """`positive` delta where a > 0, else `otherwise` delta; NaN stays."""
    return delta * v.where(a <= 0, otherwise, v.const(positive))


def _softplus_slope(v: Assembler, a: Float, delta: Float) -> Float:
    # f' = 1 / (1 + e^-z) = 1 - e^-a = 2 t / (1 + t), t = tanh(a / 2), which keeps the digits of a small a
    t = elementary.tanh(v, a * 0.5)
    return delta * ((t + t) / (1 + t))


def _normal_cdf(v: Assembler, z: Float) -> Float:
    """Phi(z) = (1 + erf(z / sqrt 2)) / 2."""
    return v.fma(0.5, elementary.erf(v, z * math.sqrt(0.5)), 0.5)


def _gelu_slope(v: Assembler, z: Float, delta: Float) -> Float:
    # f' = Phi(z) + z phi(z), phi the normal density
    density = 1 / math.sqrt(2 * math.pi) * elementary.exp(v, z * z * -0.5)
    return delta * v.fma(z, density, _normal_cdf(v, z))


def _silu_slope(v: Assembler, z: Float, delta: Float) -> Float:
    # f' = s + z s (1 - s), s = 1 / (1 + e^-z)
    s = elementary.logistic(v, z)
    return delta * v.fma(z * s, 1 - s, s)


def _mish_parts(v: Assembler, z: Float) -> tuple[Float, Float]:
    """`e` = e^z and n = e (e + 2), with which tanh(log(1 + e^z)) = n / (n + 2): 1 in every digit from z = 20 on."""
    e = elementary.exp(v, v.min(z, 20))
    return e, e * (e + 2)


def _mish(v: Assembler, z: Float) -> Float:
    _, n = _mish_parts(v, z)
    return z * (n / (n + 2))


def _mish_slope(v: Assembler, z: Float, delta: Float) -> Float:
    # f' = n / (n + 2) + 4 z e (e + 1) / (n + 2)^2
    z = v.max(v.min(z, 20), -1000)  # both ends are flat, and 4 z may not overflow
    e, n = _mish_parts(v, z)
    r = 1 / (n + 2)
    return delta * (r * v.fma(4 * z * r, e * (e + 1), n))


# a = f(z), a vector at a time
FORWARD: dict[int, Callable[[Assembler, Float], Float]] = {
    IDENTITY: lambda v, z: z,
    LOGISTIC: elementary.logistic,  # a = 1 / (1 + exp(-z))
    TANH: elementary.tanh,
    RELU: lambda v, z: v.max(z, 0),  # NaN stays NaN
    LEAKY_RELU: lambda v, z: v.max(z, z * LEAK),
    ELU: lambda v, z: _exponential(v, z, 1, 1),
    SELU: lambda v, z: _exponential(v, z, SELU_SCALE, SELU_SCALE * SELU_ALPHA),
    SOFTPLUS: elementary.softplus,  # log(1 + e^z)
    HARD_SIGMOID: lambda v, z: v.min(v.max(v.fma(z, 1 / 6, 0.5), 0), 1),
    EXP: elementary.exp,
    GELU: lambda v, z: z * _normal_cdf(v, z),
    SILU: lambda v, z: z * elementary.logistic(v, z),
    MISH: _mish,  # z tanh(log(1 + e^z))
}
# delta f'(z) from a = f(z); from z for GELU, SILU and MISH, which take the same value twice
BACKWARD: dict[int, Callable[[Assembler, Float, Float], Float]] = {
    IDENTITY: lambda v, a, delta: delta,
    LOGISTIC: lambda v, a, delta: delta * (a * (1 - a)),
    TANH: lambda v, a, delta: delta * (1 - a * a),
    RELU: lambda v, a, delta: v.where(a <= 0, 0, delta),  # NaN stays
    LEAKY_RELU: lambda v, a, delta: _where_positive(v, a, delta, 1, LEAK),
    ELU: lambda v, a, delta: _where_positive(v, a, delta, 1, a + 1),  # e^z = a + 1
    SELU: lambda v, a, delta: _where_positive(v, a, delta, SELU_SCALE, a + SELU_SCALE * SELU_ALPHA),
    SOFTPLUS: _softplus_slope,
    HARD_SIGMOID: lambda v, a, delta: v.where((a <= 0) | (a >= 1), 0, delta * (1 / 6)),
    EXP: lambda v, a, delta: delta * a,
    GELU: _gelu_slope,
    SILU: _silu_slope,
    MISH: _mish_slope,
}


@python_or_compiled
def takes_input(kind):
    """Whether f' of an activation is computed from its input z, not from its output a."""
    return GELU <= kind <= MISH


@routine("ii(ai)(Ai)")
def activate(v: Assembler, kind: Integer, count: Integer, z: tuple, a: tuple) -> None:
    """Compute a = f(z) for `count` elements; `z` and `a` are (array, step) and may be the same."""

    def apply(kind: Integer, count: Integer, z: Address, a: Address) -> None:
        for code in v.cases(kind, FORWARD):
            for i, mask in v.vectors(count):
                a[i, mask] = FORWARD[code](v, z[i, mask])

    _apply(v, apply, (kind, count), z, a, False)


@routine("ii(ai)(Ai)")
def multiply_derivative(v: Assembler, kind: Integer, count: Integer, a: tuple, delta: tuple) -> None:
    """Compute delta_j *= f'(z_j) for `count` elements, from a_j (z_j: see `takes_input`); both are (array, step)."""

    def apply(kind: Integer, count: Integer, a: Address, delta: Address) -> None:
        for code in v.cases(kind, BACKWARD):
            for i, mask in v.vectors(count):
                delta[i, mask] = BACKWARD[code](v, a[i, mask], delta[i, mask])

    _apply(v, apply, (kind, count), a, delta, True)


def _apply(v: Assembler, apply: Callable[..., None], work: tuple, source: tuple, target: tuple, changed: bool) -> None:
    """
    Run `apply` on two arrays; on copies of some elements at a time, where they do not lie one after another.

    So the formulas are there once: they are most of the code, and of the time in which it is compiled. `changed`: the
    target is read, too.
    """
    (kind, count), (s, s_step), (t, t_step), some = work, source, target, SPREAD * v.lanes
    s_copy, t_copy = v.stack(some), v.stack(some)
    with v.if_else((s_step == 1) & (t_step == 1)) as (contiguous, spread):
        with contiguous:
            v.outlined("apply", apply, kind, count, s, t)
        with spread:
            for start in v.range(0, count, some):
                left = v.min(count - start, some)
                sources, targets = (s + start * s_step).strided(s_step), (t + start * t_step).strided(t_step)
                for i, mask in v.vectors(left):
                    s_copy[i, mask] = sources[i, mask]
                    if changed:
                        t_copy[i, mask] = targets[i, mask]
                v.outlined("apply", apply, kind, left, s_copy, t_copy)
                for i, mask in v.vectors(left):
                    targets[i, mask] = t_copy[i, mask]


@routine("iiiA")
def softmax_columns(v: Assembler, units: Integer, count: Integer, stride: Integer, z: Address) -> None:
    """
    Softmax in place for a tile of samples, one sample a column: unit k of sample s at k stride + s.

    a_k = exp(z_k - max z) / sum_j exp(z_j - max z): the shift changes nothing and cannot overflow. Whole vectors of
    samples.
    """
    for s in v.range(0, count, v.lanes):
        top, total = [v.const(-math.inf)], [v.const(0)]
        for k in v.range(units, carry=top):
            top[0] = v.max(z[s + k * stride], top[0])
        for k in v.range(units, carry=total):
            e = elementary.exp_up_to_1(v, z[s + k * stride] - top[0])
            z[s + k * stride] = e
            total[0] += e
        scale = 1 / total[0]
        for k in v.range(units):
            z[s + k * stride] = z[s + k * stride] * scale


@routine("i(ai)(Ai)", vector_bytes=SUMMED_BYTES)
def softmax_row(v: Assembler, units: Integer, z: tuple, a: tuple) -> None:
    """Softmax for one sample; `z` and `a` are (array, step) and may be the same."""
    # a_j = exp(z_j - max z) / sum_k exp(z_k - max z), the sum over lanes first and then over the lanes
    z, a = z[0].strided(z[1]), a[0].strided(a[1])
    tops, total = [v.const(-math.inf)], [v.const(0)]
    for i in v.range(0, units, v.lanes, carry=tops):
        mask = v.first(units - i)
        tops[0] = v.where(mask, v.max(z[i, mask], tops[0]), tops[0])
    top = v.largest(tops[0])
    for i in v.range(0, units, v.lanes, carry=total):
        mask = v.first(units - i)
        e = elementary.exp_up_to_1(v, z[i, mask] - top)
        a[i, mask] = e
        total[0] += v.where(mask, e, 0)
    scale = v.broadcast(1 / v.sum(total[0]))
    for i in v.range(0, units, v.lanes):
        mask = v.first(units - i)
        a[i, mask] = scale * a[i, mask]


@njit
def activation_forward(kind, z, out):
    """
    Apply an activation function: a = f(z).

    Parameters
    ----------
    kind : int
        ``IDENTITY``, ``LOGISTIC`` 1/(1+exp(-z)), ``TANH``, ``RELU`` max(0, z), ``LEAKY_RELU`` max(z, 0.01 z), ``ELU``
        (exp(z)-1 below 0), ``SELU`` (an ELU scaled so that variances stay), ``SOFTPLUS`` log(1+exp(z)),
        ``HARD_SIGMOID`` z/6+1/2 cut to 0..1, ``EXP``, ``GELU`` z Phi(z), ``SILU`` z/(1+exp(-z)), ``MISH`` z
        tanh(log(1+exp(z))), or ``SOFTMAX`` exp(z_j)/sum_k exp(z_k) over each row.
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
        raise ValueError("activation_forward: kind must be one of the codes of ACTIVATIONS, got", kind)
    if out.shape != z.shape:
        raise ValueError("activation_forward: out must have the shape of z; (z, out) are", z.shape, out.shape)
    for i in range(z.shape[0]):
        if kind == SOFTMAX:
            softmax_row(z.shape[1], (z[i], 0, steps(z)[1]), (out[i], 0, steps(out)[1]))
        else:
            activate(kind, z.shape[1], (z[i], 0, steps(z)[1]), (out[i], 0, steps(out)[1]))


@njit
def activation_derivative(kind, a, out):
    """
    Derivative f'(z) of an element-wise activation, from its output a = f(z).

    Parameters
    ----------
    kind : int
        ``IDENTITY`` (1), ``LOGISTIC`` a(1-a), ``TANH`` 1-a^2, ``RELU`` (1 where a > 0, else 0), or any other but
        ``SOFTMAX``.
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
        raise ValueError("activation_derivative: kind must be the code of an element-wise activation, got", kind)
    if out.shape != a.shape:
        raise ValueError("activation_derivative: out must have the shape of a; (a, out) are", a.shape, out.shape)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = 1
        multiply_derivative(kind, a.shape[1], (a[i], 0, steps(a)[1]), (out[i], 0, steps(out)[1]))
