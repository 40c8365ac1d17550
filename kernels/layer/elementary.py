"""
exp, log, tanh, logistic, softplus, erf and sign of a vector, for use inside machine-code routines.

Each function takes the assembler and a vector and returns a vector: branch-free, without tables, at most one division,
within 2 ulp everywhere (ufunc.py gives the error of each). Denormal numbers are kept, infinities go to the limits, NaN
stays NaN.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ..compiler.assembler import Assembler
from ..compiler.values import Float, Integer

# Minimax polynomials, lowest coefficient first, computed for this file and rounded to the dtype, by bytes of a number.
# The error is that of the polynomial with its rounded coefficients, relative to the function on the left.

# expm1(r) = r + r^2 P(r), |r| <= log(2) / 2: 2^-26.1 and 2^-55.5
_EXPM1 = {
    4: (0.4999999701976776, 0.1666654348373413, 0.04166753962635994, 0.008366541005671024, 0.001386111369356513),
    8: (
        0.5000000000000006,
        0.16666666666666607,
        0.04166666666657382,
        0.008333333333377964,
        0.001388888893229534,
        0.00019841269744114092,
        2.4801504550172986e-05,
        2.755738507111429e-06,
        2.7626286161150333e-07,
        2.5060904274433078e-08,
    ),
}
# 2 atanh(s / 2) = s + s^3 P(s^2), |s| <= 2 / 3: 2^-27.7 and 2^-59.4
_ATANH = {
    4: (0.08333302289247513, 0.012506699189543724, 0.0021877363324165344, 0.0005470075411722064),
    8: (
        0.08333333333333288,
        0.012500000000048722,
        0.0022321428553133365,
        0.00043402781173238587,
        8.877804794147e-05,
        1.8782414774852354e-05,
        4.059156023923043e-06,
        9.235832637727093e-07,
        1.59112213879135e-07,
        8.1135288310422e-08,
    ),
}
# erf(x) = x + x P(x^2), |x| <= 1: 2^-29.4 and 2^-56.0
_ERF = {
    4: (
        0.12837916612625122,
        -0.3761262595653534,
        0.11283578723669052,
        -0.026853347197175026,
        0.005187162198126316,
        -0.0007997853099368513,
        7.806903886375949e-05,
    ),
    8: (
        0.12837916709551256,
        -0.37612638903183343,
        0.1128379167093695,
        -0.026866170641959168,
        0.005223977596736451,
        -0.0008548325485043958,
        0.00012055280498436734,
        -1.4924465683692415e-05,
        1.6444151178421294e-06,
        -1.6183995972381727e-07,
        1.361671882163571e-08,
        -7.607842737543689e-10,
    ),
}
# erf(x) = 1 - exp(-P(x)), 1 <= x <= 4 and 1 <= x <= 6: 2^-29.8 and 2^-56.3
_ERFC = {
    4: (
        0.00034152535954490304,
        1.1270891427993774,
        0.6381449699401855,
        0.10310658812522888,
        -0.021837962791323662,
        0.002947627566754818,
        -0.00018637544417288154,
    ),
    8: (
        1.796195106699408e-07,
        1.1283773292682462,
        0.6366284889138293,
        0.10274725208067896,
        -0.019078154729222203,
        -0.00028049042529707197,
        0.0017690030227773337,
        -0.0006411750105704774,
        4.4824222713104106e-05,
        7.036555806608668e-05,
        -4.503684687953124e-05,
        1.651373683267783e-05,
        -4.326984129857483e-06,
        8.505620726295821e-07,
        -1.2570311040642517e-07,
        1.3626507721809901e-08,
        -1.025687133310335e-09,
        4.7959860313701925e-11,
        -1.049617445543273e-12,
    ),
}

# log(2) in two parts. The first has 15 (42) bits: its products with whole numbers below 2^9 (2^11) are exact.
_LOG2 = {4: (0.693145751953125, 1.4286068203094173e-06), 8: (0.6931471805598903, 5.497923018708371e-14)}
_FRACTION = {4: 23, 8: 52}  # bits of a number after the exponent
_BIAS = {4: 127, 8: 1023}  # the exponent of 1
_LEAST = {4: -104.0, 8: -746.0}  # e^x rounds to 0 here and below
_MOST = {4: 89.0, 8: 710.0}  # e^x overflows here and above
_DEEP = 64  # a small e^x is computed 2^64 times too large, so that a denormal result is rounded once


def exp(v: Assembler, x: Float) -> Float:
    """e^x."""
    x = v.min(v.max(x, _LEAST[v.size]), _MOST[v.size])
    # e^x = 2^n (1 + t) = 2^(n-1) (1 + t) 2, and for x < 0 = 2^(n+64) (1 + t) 2^-64: 2^n itself may be out of range
    t, bits = _expm1(v, x, -1)
    low = x < 0
    scale = v.where(low, bits + ((_DEEP + 1) << _FRACTION[v.size]), bits).from_bits()
    return v.fma(t, scale, scale) * v.where(low, 2.0**-_DEEP, v.const(2))


def logistic(v: Assembler, x: Float) -> Float:
    """1 / (1 + e^-x)."""
    # With e = e^-|x|, which cannot overflow, and q = e / (1 + e) it is 1 - q for x >= 0 and q = e - e q for x < 0: the
    # error of q hardly counts in either.
    e = _exp_negative(v, x)
    q = e / (1 + e)
    top = v.where(x < 0, e, 1)
    return v.fma(-top, q, top)


def softplus(v: Assembler, x: Float) -> Float:
    """log(1 + e^x)."""
    # max(x, 0) + log(1 + e^-|x|)
    e = _exp_negative(v, x)
    s, g = _log1p(v, e)
    return v.max(x, 0) + v.fma(s, g, e)


def tanh(v: Assembler, x: Float) -> Float:
    """The hyperbolic tangent of x."""
    # beyond these, tanh rounds to 1
    y = v.min(abs(x), {4: 9.1, 8: 19.1}[v.size])
    # w = expm1(2 y) / 2 = 2^n t + (2^n - 1) / 2
    t, bits = _expm1(v, y, unit=0.5)
    scale = bits.from_bits()
    w = v.fma(scale, t, v.fma(scale, 0.5, -0.5))
    # tanh(y) = w / (1 + w) = b + (w - b - b w) / (1 + w): for small y, b = y makes the quotient small, and its error
    b = v.where(y < 0.5, y, 0)
    return v.copysign(b + v.fma(-b, w, w - b) / (w + 1), x)


def log(v: Assembler, x: Float) -> Float:
    """The natural logarithm of x; NaN for x < 0."""
    fraction, bias = _FRACTION[v.size], _BIAS[v.size]
    half = {4: 0x3F3504F3, 8: 0x3FE6A09E667F3BCD}[v.size]  # the bits of sqrt(1/2)
    # x = 2^k (1 + f), sqrt(1/2) <= 1 + f < sqrt(2); a denormal x is made normal first
    tiny = x < 2.0 ** (1 - bias)
    y = v.where(tiny, x * 2.0 ** (fraction + 1), x)
    bits = y.bits() - half + (bias << fraction)
    f = ((bits & (1 << fraction) - 1) + half).from_bits() - 1
    # k, biased, becomes a number when it is put into the fraction of 2^23 (2^52)
    shifted = (bits >> fraction | (bias + fraction) << fraction).from_bits()
    unit = 2.0**fraction + bias
    k = shifted - v.where(tiny, v.const(unit + fraction + 1), unit)
    # log(x) = k log(2) + log(1 + f) = k log(2) + f + s g, the small parts first
    s, g = _log1p(v, f)
    high, low = _LOG2[v.size]
    found = v.where(x < math.inf, v.fma(k, high, f + v.fma(s, g, k * low)), x)
    return v.where(x > 0, found, v.where(x == 0, v.const(-math.inf), math.nan))


def erf(v: Assembler, x: Float) -> Float:
    """The error function, 2 / sqrt(pi) times the integral of e^(-t^2) from 0 to x."""
    y = abs(x)
    near = v.fma(x, _polynomial(v, x * x, _ERF[v.size]), x)
    # erf rounds to 1 from 4 (6) on. 1 - e^-P = (1 - 2^n) - 2^n t, and 1 - 2^n is exact.
    top = v.min(y, {4: 4.0, 8: 6.0}[v.size])
    t, bits = _expm1(v, -_polynomial(v, top, _ERFC[v.size]))
    scale = bits.from_bits()
    far = 1 - scale - t * scale
    return v.where(y < 1, near, v.copysign(far, x))


def sign(v: Assembler, x: Float, above: Any = 1, below: Any = -1) -> Float:
    """`above` for x > 0, `below` for x < 0; 0 stays 0, and NaN stays."""
    return v.where(x > 0, above, v.where(x < 0, below, x))


def _expm1(v: Assembler, x: Float, shift: int = 0, unit: float = 1.0) -> tuple[Float, Integer]:
    """
    Split e^(x/unit) = 2^n (1 + t/unit), n a whole number, into t and the bits of 2^(n+shift); `unit` is a power of 2.

    Where 2^(n+shift) is out of range, the bits have wrapped around: the caller brings them back. For NaN they are
    arbitrary, and t is NaN.
    """
    # n = x / (unit log(2)), rounded to a whole number by adding a number whose last bit counts 1. The last bits of the
    # sum hold n + shift + bias: moved to the place of the exponent they are 2^(n+shift).
    anchor = 1.5 * 2.0 ** _FRACTION[v.size] + _BIAS[v.size] + shift
    anchored = v.fma(x, 1 / (unit * math.log(2)), anchor)
    n = anchored - anchor
    bits = anchored.bits() << _FRACTION[v.size]
    # r = x - n unit log(2): exact with the first part of log(2); what the second part rounds off r hardly moves P
    high, low = _LOG2[v.size]
    exact, small = v.fma(n, -unit * high, x), n * (unit * low)
    r = exact - small
    # t = unit expm1(r / unit) = r + r^2 P(r / unit) / unit
    p = _polynomial(v, r, [c / unit ** (j + 1) for j, c in enumerate(_EXPM1[v.size])])
    return exact + v.fma(r * r, p, -small), bits


def _exp_negative(v: Assembler, x: Float) -> Float:
    """e^-|x|."""
    return exp_up_to_1(v, -abs(x))


def exp_up_to_1(v: Assembler, x: Float) -> Float:
    """e^x for x <= 0: the bits of `exp`, with fewer instructions."""
    t, bits = _expm1(v, v.max(x, _LEAST[v.size]), _DEEP)
    scale = bits.from_bits()
    return v.fma(t, scale, scale) * 2.0**-_DEEP


def expm1_negative(v: Assembler, x: Float) -> Float:
    """e^x - 1 for x <= 0; larger x count as 0."""
    # e^x - 1 = (2^n - 1) + 2^n t; from -60 on it rounds to -1
    t, bits = _expm1(v, v.max(v.min(x, 0), -60))
    scale = bits.from_bits()
    return v.fma(t, scale, scale - 1)


def exp_negative_normal(v: Assembler, x: Float) -> Float:
    """e^-|x|, but not below the least normal number: one multiplication sooner than where denormals are to be right."""
    least = {4: -87.0, 8: -708.0}[v.size]
    t, bits = _expm1(v, v.max(-abs(x), least))
    scale = bits.from_bits()
    return v.fma(t, scale, scale)


def _log1p(v: Assembler, f: Float) -> tuple[Float, Float]:
    """`s` and `g` with log(1 + f) = f + s g, for sqrt(1/2) - 1 <= f <= 1."""
    # s = 2 f / (2 + f): log(1 + f) = 2 atanh(s / 2) = s + s^3 P(s^2) = f + s (s^2 P(s^2) - f / 2)
    # The last form is the most accurate: s has been rounded and f has not, and s g is the smaller part.
    s = f / v.fma(f, 0.5, 1)
    w = s * s
    return s, v.fma(w, _polynomial(v, w, _ATANH[v.size]), f * -0.5)


def _polynomial(v: Assembler, x: Float, coefficients: Sequence[float]) -> Float:
    """The polynomial, lowest coefficient first: neighbours merge (Estrin) down to 4 terms, which Horner's rule sums."""
    terms: list[Any] = [v.const(c) for c in coefficients]
    while True:
        # a + b x + c x^2 + d x^3 + ... = (a + b x) + (c + d x) x^2 + ...
        terms = [v.fma(b, x, a) for a, b in zip(terms[::2], terms[1::2], strict=False)] + terms[len(terms) & ~1 :]
        x = x * x
        if len(terms) <= 4:
            break
    value = terms.pop()
    while terms:
        value = v.fma(value, x, terms.pop())
    return value
