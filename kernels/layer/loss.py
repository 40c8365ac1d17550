"""Losses, and the error signal delta = dJ/dz of the output layer (lecture L27), by sample and by tile of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from llvmlite import ir

from ..compiler.assembler import I64, Assembler, Value
from ..compiler.jit import python_or_compiled
from ..compiler.routine import routine
from . import elementary
from .activation import BACKWARD, LOGISTIC, SOFTMAX, takes_input

SQUARED_ERROR, LOG_LOSS, POISSON, ABSOLUTE_ERROR, HUBER, LOG_COSH, QUANTILE = range(7)
LOSSES = {
    "squared_error": SQUARED_ERROR,
    "log_loss": LOG_LOSS,
    "poisson": POISSON,
    "absolute_error": ABSOLUTE_ERROR,
    "huber": HUBER,
    "log_cosh": LOG_COSH,
    "quantile": QUANTILE,
}
# A larger number is the address of a loss of one's own (see custom_loss.py); no machine has code so low.
LOWEST_ADDRESS = 1 << 16
# Losses with a parameter p for each output.
PARAMETRIC = (HUBER, QUANTILE)

# How a right answer is told: not at all (regression), every unit on the target's side of 1/2 (one logistic
# unit, multilabel), or the largest unit where the target's is (several classes).
NO_DECISION, THRESHOLD, ARGMAX = 0, 1, 2


def _huber(v: Assembler, e: Value, p: Value) -> Value:
    # e^2 / 2 for |e| <= d, then p (|e| - p / 2)
    size = v.abs(e)
    return v.select(v.compare(">", size, p), v.mul(p, v.fma(p, v.const(-0.5), size)), v.mul(v.const(0.5), v.mul(e, e)))


def _log_cosh(v: Assembler, e: Value, p: Value) -> Value:
    # |e| + log(1 + exp(-2 |e|)) - log 2; for small e, where its terms cancel, e^2 / 2 - e^4 / 12 + e^6 / 45
    size, square = v.abs(e), v.mul(e, e)
    far = v.sub(v.add(size, elementary.softplus(v, v.mul(size, v.const(-2)))), v.const(math.log(2)))
    near = v.mul(square, v.fma(square, v.fma(square, v.const(1 / 45), v.const(-1 / 12)), v.const(0.5)))
    return v.select(v.compare("<", size, v.const({4: 0.1, 8: 0.01}[v.size])), near, far)


def _quantile(v: Assembler, e: Value, p: Value) -> Value:
    # (1 - p) e for e > 0, else -p e
    return v.select(v.compare(">", e, v.const(0)), v.mul(v.sub(v.const(1), p), e), v.mul(v.neg(p), e))


def _sign(v: Assembler, e: Value, above: Value, below: Value) -> Value:
    """`above` for e > 0, `below` for e < 0; 0 stays 0, and NaN stays."""
    return v.select(v.compare(">", e, v.const(0)), above, v.select(v.compare("<", e, v.const(0)), below, e))


# Losses of one output: J and dJ/da, from the error e = a - y and the parameter p of the loss
PLAIN: dict[int, tuple[Callable[..., Value], Callable[..., Value]]] = {
    SQUARED_ERROR: (lambda v, e, p: v.mul(v.mul(v.const(0.5), e), e), lambda v, e, p: e),  # J = 1/2 (a - y)^2
    ABSOLUTE_ERROR: (lambda v, e, p: v.abs(e), lambda v, e, p: _sign(v, e, v.const(1), v.const(-1))),
    HUBER: (_huber, lambda v, e, p: v.max(v.min(e, p), v.neg(p))),
    LOG_COSH: (_log_cosh, lambda v, e, p: elementary.tanh(v, e)),
    QUANTILE: (_quantile, lambda v, e, p: _sign(v, e, v.sub(v.const(1), p), v.neg(p))),
}


def _poisson(v: Assembler, a: Value, y: Value) -> Value:
    """J = y log(y / a) - y + a: half the deviance, 0 where a = y."""
    least = v.const(2.0 ** (-126 if v.size == 4 else -1022))
    ratio = v.div(v.max(y, least), v.max(a, least))
    return v.fma(y, elementary.log(v, ratio), v.sub(a, y))


@python_or_compiled
def takes_outputs(loss):
    """Whether a loss goes with its output activation: dJ/dz = a - y, the derivative of either cancels."""
    return loss in (LOG_LOSS, POISSON)


@routine("iiiiiiaaaaAF")
def tile_loss(
    v: Assembler,
    loss: Value,
    activation: Value,
    decision: Value,
    units: Value,
    count: Value,
    stride: Value,
    a: Value,
    y: Value,
    weight: Value,
    parameter: Value,
    delta: Value,
    result: Value,
) -> None:
    """
    Loss, decision and error signal for a tile of samples, one sample a column.

    Unit k of sample s lies at k stride + s in the outputs `a`, the targets `y` and `delta`, which is overwritten with weight dJ/da
    (with weight dJ/dz for softmax outputs and for log-loss and poisson, whose derivatives belong together with that of their
    outputs). Adds the weighted losses of the first `count` samples to result[0] and the number decided rightly to result[1].
    `parameter` holds one number per unit for the losses that have one. Of a loss of one's own both were done by `custom_loss.call_own`.
    """
    b = v.b
    zero, one = v.const(0), v.const(1)
    is_softmax, taken = b.icmp_signed("==", activation, I64(SOFTMAX)), b.icmp_signed("==", loss, I64(LOG_LOSS))
    independent = b.icmp_signed("==", activation, I64(LOGISTIC))
    tiny = v.const(float(np.finfo(np.float32 if v.size == 4 else np.float64).eps))

    def samples(s: Value) -> None:
        def at(p: Value, k: Value) -> Value:
            return v.at(p, b.add(s, b.mul(k, stride)))

        w = v.load(v.at(weight, s))
        valid = v.first(b.sub(count, s))

        def judge(
            k: Value, best: Value, wanted: Value, said: Value, meant: Value, wrong: Value, number: Value
        ) -> list[Value]:
            ak, yk = v.load(at(a, k)), v.load(at(y, k))
            larger, higher = v.compare(">", ak, best), v.compare(">", yk, wanted)
            half = v.const(0.5)
            differs = b.xor(v.compare(">", ak, half), v.compare(">", yk, half))
            return [
                v.select(larger, ak, best),
                v.select(higher, yk, wanted),
                v.select(larger, number, said),
                v.select(higher, number, meant),
                v.select(differs, one, wrong),
                v.add(number, one),
            ]

        with b.if_then(b.icmp_signed("!=", decision, I64(NO_DECISION))):
            # the first unit wins a tie, and where a NaN comes first
            start = [v.load(at(a, I64(0))), v.load(at(y, I64(0))), zero, zero, zero, zero]
            _, _, said, meant, wrong, _ = v.loop(0, units, 1, judge, start)
            argmax = b.icmp_signed("==", decision, I64(ARGMAX))
            met = b.select(
                argmax,
                v.compare("==", said, meant),
                b.and_(v.compare("==", wrong, zero), v.splat(b.not_(argmax), v.mask_type)),
            )
            _add(v, result, 1, v.sum(v.select(b.and_(met, valid), one, zero)))

        def each(when: Value, of_unit: Callable[[Value, Value, Value], Value | None]) -> None:
            """Add `of_unit(k, a_k, y_k)` over the units to the loss."""

            def unit(k: Value, total: Value) -> list[Value]:
                value = of_unit(k, v.load(at(a, k)), v.load(at(y, k)))
                return [total if value is None else v.add(total, value)]

            with b.if_then(when):
                (lost,) = v.loop(0, units, 1, unit, [zero])
                _add(v, result, 0, v.sum(v.select(valid, v.mul(w, lost), zero)))

        for code, (value, slope) in PLAIN.items():

            def plain(
                k: Value, ak: Value, yk: Value, code: int = code, value: Any = value, slope: Any = slope
            ) -> Value:
                e = v.sub(ak, yk)
                p = v.broadcast(v.load_scalar(v.at(parameter, k))) if code in PARAMETRIC else zero
                v.store(v.mul(w, slope(v, e, p)), at(delta, k))
                return value(v, e, p)

            each(b.icmp_signed("==", loss, I64(code)), plain)

        def logarithm(k: Value, ak: Value, yk: Value) -> Value:
            # J = -sum_k y_k log a_k; the clip keeps the loss of a saturated unit finite, delta is exact without it
            v.store(v.mul(w, v.sub(ak, yk)), at(delta, k))
            return v.neg(v.mul(yk, elementary.log(v, v.max(ak, tiny))))

        def complement(k: Value, ak: Value, yk: Value) -> Value:
            # ... - sum_k (1 - y_k) log(1 - a_k) where the units are independent
            return v.neg(v.mul(v.sub(one, yk), elementary.log(v, v.max(v.sub(one, ak), tiny))))

        def poisson(k: Value, ak: Value, yk: Value) -> Value:
            v.store(v.mul(w, v.sub(ak, yk)), at(delta, k))
            return _poisson(v, ak, yk)

        each(taken, logarithm)
        each(b.and_(independent, taken), complement)
        each(b.icmp_signed("==", loss, I64(POISSON)), poisson)

        with b.if_then(b.and_(is_softmax, b.not_(taken))):
            # delta_k = a_k (e_k - sum_j a_j e_j), e = dJ/da
            (mean,) = v.loop(0, units, 1, lambda k, m: [v.fma(v.load(at(a, k)), v.load(at(delta, k)), m)], [zero])
            v.loop(
                0, units, 1, lambda k: v.store(v.mul(v.load(at(a, k)), v.sub(v.load(at(delta, k)), mean)), at(delta, k))
            )

    v.loop(0, count, v.lanes, samples)


@routine("iiiiaassaAAF")
def row_loss(
    v: Assembler,
    loss: Value,
    activation: Value,
    decision: Value,
    units: Value,
    a: Value,
    y: Value,
    weight: Value,
    rate: Value,
    parameter: Value,
    delta: Value,
    step: Value,
    result: Value,
) -> None:
    """
    Loss, decision and error signal of one sample, whose units lie side by side in `a`, `y` and `delta`.

    `delta` is overwritten with weight dJ/dz and `step` with alpha times that, in whole vectors, zeros behind the last unit. Adds the
    weighted loss to result[0], and to result[1] whether it was decided rightly. `parameter` holds one number per unit for the losses
    that have one. Of a loss of one's own, loss and weight dJ/da were done by `custom_loss.call_own`.
    """
    b = v.b
    zero, one = v.const(0), v.const(1)
    is_softmax, independent = (
        b.icmp_signed("==", activation, I64(SOFTMAX)),
        b.icmp_signed("==", activation, I64(LOGISTIC)),
    )
    logs, counts = (b.icmp_signed("==", loss, I64(code)) for code in (LOG_LOSS, POISSON))
    taken, importance, alpha = b.or_(logs, counts), v.broadcast(weight), v.broadcast(rate)
    tiny = v.const(float(np.finfo(np.float32 if v.size == 4 else np.float64).eps))

    def each(
        body: Callable[..., Sequence[Value] | None], carried: Sequence[Value] = (), when: Value | None = None
    ) -> list[Value]:
        """`body(i, mask, a, y, *carried)` for each vector of units."""

        def vector(i: Value, *now: Value) -> Sequence[Value] | None:
            mask = v.first(b.sub(units, i))
            return body(i, mask, v.load(v.at(a, i), mask), v.load(v.at(y, i), mask), *now)

        return v.loop(0, units if when is None else b.select(when, units, I64(0)), v.lanes, vector, carried)

    lost = [zero]
    for code, (value, slope) in PLAIN.items():

        def plain(
            i: Value,
            mask: Value,
            ak: Value,
            yk: Value,
            total: Value,
            code: int = code,
            value: Any = value,
            slope: Any = slope,
        ) -> list[Value]:
            e = v.sub(ak, yk)
            p = v.load(v.at(parameter, i), mask) if code in PARAMETRIC else zero
            v.store(v.select(mask, v.mul(importance, slope(v, e, p)), zero), v.at(delta, i))
            return [v.add(total, v.select(mask, value(v, e, p), zero))]

        lost = each(plain, lost, b.icmp_signed("==", loss, I64(code)))

    # J = -sum_k y_k log a_k (- sum_k (1 - y_k) log(1 - a_k) where the units are independent)
    def logarithm(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        return [v.sub(total, v.mul(yk, elementary.log(v, v.max(ak, tiny))))]

    def complement(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        return [v.sub(total, v.mul(v.sub(one, yk), elementary.log(v, v.max(v.sub(one, ak), tiny))))]

    lost = each(logarithm, lost, logs)
    lost = each(complement, lost, b.and_(independent, logs))
    lost = each(lambda i, mask, ak, yk, total: [v.add(total, v.select(mask, _poisson(v, ak, yk), zero))], lost, counts)
    _add(v, result, 0, b.fmul(weight, v.sum(lost[0])))

    # delta_k = f'(z_k) dJ/da_k; a_k (e_k - sum_j a_j e_j) for softmax; a_k - y_k where the derivatives of loss and outputs cancel
    def mean(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        return [v.fma(ak, v.load(v.at(delta, i), mask), total)]

    both = v.broadcast(v.sum(each(mean, [zero], b.and_(b.not_(taken), is_softmax))[0]))
    for kind in (None, SOFTMAX, *(code for code in BACKWARD if not takes_input(code))):
        case = taken if kind is None else b.and_(b.not_(taken), b.icmp_signed("==", activation, I64(kind)))

        def error(i: Value, mask: Value, ak: Value, yk: Value, kind: int | None = kind) -> None:
            if kind is None:
                e = v.mul(importance, v.sub(ak, yk))
            elif kind == SOFTMAX:
                e = v.mul(ak, v.sub(v.load(v.at(delta, i)), both))
            else:
                e = BACKWARD[kind](v, ak, v.load(v.at(delta, i)))
            e = v.select(mask, e, zero)
            v.store(
                e, v.at(delta, i)
            )  # whole vectors: what was stored under a mask is not forwarded to the loads that follow
            v.store(v.mul(alpha, e), v.at(step, i))

        each(error, when=case)

    half = v.const(0.5)
    with b.if_then(b.icmp_signed("==", decision, I64(THRESHOLD))):

        def side(i: Value, mask: Value, ak: Value, yk: Value, wrong: Value) -> list[Value]:
            return [v.select(b.xor(v.compare(">", ak, half), v.compare(">", yk, half)), one, wrong)]

        (wrong,) = each(side, [zero])
        _add(v, result, 1, b.select(b.fcmp_ordered("==", v.sum(wrong), v.scalar(0)), v.scalar(1), v.scalar(0)))
    with b.if_then(b.icmp_signed("==", decision, I64(ARGMAX))):
        numbers = ir.Constant(v.vector, [v.scalar(i) for i in range(v.lanes)])
        least = v.const(-math.inf)

        def largest(i: Value, mask: Value, ak: Value, yk: Value, *best: Value) -> list[Value]:
            here = v.add(numbers, v.broadcast(b.sitofp(i, v.scalar)))
            found = []
            for x, top, place in ((ak, *best[:2]), (yk, *best[2:])):
                above = b.and_(mask, v.compare(">", x, top))
                found += [v.select(above, x, top), v.select(above, here, place)]
            return found

        start = [least, zero, least, zero]
        top, place, highest, wanted = each(largest, start)
        said, meant = (_first_largest(v, x, at) for x, at in ((top, place), (highest, wanted)))
        _add(v, result, 1, b.select(b.fcmp_ordered("==", said, meant), v.scalar(1), v.scalar(0)))


def _first_largest(v: Assembler, x: Value, place: Value) -> Value:
    """The least `place` among the lanes where x is largest."""
    top, width = x, v.lanes
    while width > 1:
        width //= 2
        top = v.max(top, v.shuffle(top, top, [(i + width) % v.lanes for i in range(v.lanes)]))
    first, width = v.select(v.compare("==", x, top), place, v.const(math.inf)), v.lanes
    while width > 1:
        width //= 2
        first = v.min(first, v.shuffle(first, first, [(i + width) % v.lanes for i in range(v.lanes)]))
    return v.b.extract_element(first, I64(0))


def _add(v: Assembler, result: Value, i: int, x: Value) -> None:
    """Add a number to element i of an array of float64."""
    p = v.b.gep(result, [I64(i)], source_etype=ir.DoubleType())
    wide = v.b.fpext(x, ir.DoubleType()) if v.size == 4 else x
    v.b.store(v.b.fadd(v.b.load(p, typ=ir.DoubleType(), align=8), wide), p, align=8)
