"""Losses, and the error signal delta = dJ/dz of the output layer (lecture L27), by sample and by tile of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from llvmlite import ir

from . import elementary
from ._jit import jit, python_or_compiled
from ._native import routine
from .activation import BACKWARD, IDENTITY, LOGISTIC, SOFTMAX, multiply_derivative
from .layout import steps
from .simd import I64, Assembler, Value

SQUARED_ERROR, LOG_LOSS = 0, 1
LOSSES = {"squared_error": SQUARED_ERROR, "log_loss": LOG_LOSS}

# How a right answer is told: not at all (regression), every unit on the target's side of 1/2 (one logistic
# unit, multilabel), or the largest unit where the target's is (several classes).
NO_DECISION, THRESHOLD, ARGMAX = 0, 1, 2


@routine("iiiiiiaaaAF")
def tile_loss(v: Assembler, loss: Value, activation: Value, decision: Value, units: Value, count: Value, stride: Value, a: Value,
              y: Value, weight: Value, delta: Value, result: Value) -> None:  # fmt: skip
    """
    Loss, decision and error signal for a tile of samples, one sample a column.

    Unit k of sample s lies at k stride + s in the outputs `a`, the targets `y` and `delta`, which is overwritten with weight dJ/da
    (with weight dJ/dz for log-loss and for softmax, whose derivatives belong together). Adds the weighted losses of the first
    `count` samples to result[0] and the number decided rightly to result[1].
    """
    b = v.b
    zero, one = v.const(0), v.const(1)
    is_softmax, squared = b.icmp_signed("==", activation, I64(SOFTMAX)), b.icmp_signed("==", loss, I64(SQUARED_ERROR))
    independent = b.icmp_signed("==", activation, I64(LOGISTIC))
    tiny = v.const(float(np.finfo(np.float32 if v.size == 4 else np.float64).eps))

    def samples(s: Value) -> None:
        def at(p: Value, k: Value) -> Value:
            return v.at(p, b.add(s, b.mul(k, stride)))

        w = v.load(v.at(weight, s))
        valid = v.first(b.sub(count, s))

        def judge(k: Value, best: Value, wanted: Value, said: Value, meant: Value, wrong: Value, number: Value) -> list[Value]:
            ak, yk = v.load(at(a, k)), v.load(at(y, k))
            v.store(v.mul(w, v.sub(ak, yk)), at(delta, k))
            larger, higher = v.compare(">", ak, best), v.compare(">", yk, wanted)
            half = v.const(0.5)
            differs = b.xor(v.compare(">", ak, half), v.compare(">", yk, half))
            return [
                v.select(larger, ak, best), v.select(higher, yk, wanted), v.select(larger, number, said), v.select(higher, number, meant),
                v.select(differs, one, wrong), v.add(number, one),
            ]  # fmt: skip

        # the first unit wins a tie, and where a NaN comes first
        start = [v.load(at(a, I64(0))), v.load(at(y, I64(0))), zero, zero, zero, zero]
        _, _, said, meant, wrong, _ = v.loop(0, units, 1, judge, start)
        argmax, threshold = (b.icmp_signed("==", decision, I64(code)) for code in (ARGMAX, THRESHOLD))
        met = b.select(argmax, v.compare("==", said, meant), b.and_(v.compare("==", wrong, zero), v.splat(threshold, v.mask_type)))
        right = v.sum(v.select(b.and_(met, valid), one, zero))

        def squares(k: Value, total: Value) -> list[Value]:
            # J = 1/2 sum_k (a_k - y_k)^2
            e = v.sub(v.load(at(a, k)), v.load(at(y, k)))
            return [v.fma(v.mul(v.const(0.5), e), e, total)]

        def logarithms(k: Value, total: Value) -> list[Value]:
            # J = -sum_k y_k log a_k; the clip keeps the loss of a saturated unit finite, delta is exact without it
            ak, yk = v.load(at(a, k)), v.load(at(y, k))
            total = v.sub(total, v.mul(yk, elementary.log(v, v.max(ak, tiny))))
            return [total]

        def complements(k: Value, total: Value) -> list[Value]:
            # ... - sum_k (1 - y_k) log(1 - a_k) where the units are independent
            ak, yk = v.load(at(a, k)), v.load(at(y, k))
            return [v.sub(total, v.mul(v.sub(one, yk), elementary.log(v, v.max(v.sub(one, ak), tiny))))]

        none = I64(0)
        (lost,) = v.loop(0, b.select(squared, units, none), 1, squares, [zero])
        (lost,) = v.loop(0, b.select(squared, none, units), 1, logarithms, [lost])
        (lost,) = v.loop(0, b.select(b.and_(independent, b.not_(squared)), units, none), 1, complements, [lost])
        lost = v.sum(v.select(valid, v.mul(w, lost), zero))
        _add(v, result, 0, lost)
        _add(v, result, 1, right)

        with b.if_then(b.and_(is_softmax, squared)):
            # delta_k = a_k (e_k - sum_j a_j e_j)
            (mean,) = v.loop(0, units, 1, lambda k, m: [v.fma(v.load(at(a, k)), v.load(at(delta, k)), m)], [zero])
            v.loop(0, units, 1, lambda k: v.store(v.mul(v.load(at(a, k)), v.sub(v.load(at(delta, k)), mean)), at(delta, k)))

    v.loop(0, count, v.lanes, samples)


@routine("iiiiaassAAF")
def row_loss(v: Assembler, loss: Value, activation: Value, decision: Value, units: Value, a: Value, y: Value, weight: Value, rate: Value,
             delta: Value, step: Value, result: Value) -> None:  # fmt: skip
    """
    Loss, decision and error signal of one sample, whose units lie side by side in `a`, `y` and `delta`.

    `delta` is overwritten with weight dJ/dz and `step` with alpha times that, in whole vectors, zeros behind the last unit. Adds the
    weighted loss to result[0], and to result[1] whether it was decided rightly.
    """
    b = v.b
    zero, one = v.const(0), v.const(1)
    squared, is_softmax = b.icmp_signed("==", loss, I64(SQUARED_ERROR)), b.icmp_signed("==", activation, I64(SOFTMAX))
    independent, importance, alpha = b.icmp_signed("==", activation, I64(LOGISTIC)), v.broadcast(weight), v.broadcast(rate)
    tiny = v.const(float(np.finfo(np.float32 if v.size == 4 else np.float64).eps))

    def each(body: Callable[..., Sequence[Value] | None], carried: Sequence[Value] = (), when: Value | None = None) -> list[Value]:
        """`body(i, mask, a, y, *carried)` for each vector of units."""

        def vector(i: Value, *now: Value) -> Sequence[Value] | None:
            mask = v.first(b.sub(units, i))
            return body(i, mask, v.load(v.at(a, i), mask), v.load(v.at(y, i), mask), *now)

        return v.loop(0, units if when is None else b.select(when, units, I64(0)), v.lanes, vector, carried)

    # J = 1/2 sum_k (a_k - y_k)^2, or -sum_k y_k log a_k (- sum_k (1 - y_k) log(1 - a_k) where the units are independent)
    def square(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        e = v.sub(ak, yk)
        return [v.fma(v.mul(v.const(0.5), e), e, total)]

    def logarithm(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        return [v.sub(total, v.mul(yk, elementary.log(v, v.max(ak, tiny))))]

    def complement(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        return [v.sub(total, v.mul(v.sub(one, yk), elementary.log(v, v.max(v.sub(one, ak), tiny))))]

    lost = each(square, [zero], squared)
    lost = each(logarithm, lost, b.not_(squared))
    lost = each(complement, lost, b.and_(independent, b.not_(squared)))
    _add(v, result, 0, b.fmul(weight, v.sum(lost[0])))

    # delta_k = f'(z_k) e_k; a_k (e_k - sum_j a_j e_j) for softmax; e_k for log-loss, whose derivative cancels theirs
    def mean(i: Value, mask: Value, ak: Value, yk: Value, total: Value) -> list[Value]:
        return [v.fma(ak, v.sub(ak, yk), total)]

    both = v.broadcast(v.sum(each(mean, [zero], b.and_(squared, is_softmax))[0]))
    for kind in (None, SOFTMAX, *BACKWARD):
        case = b.not_(squared) if kind is None else b.and_(squared, b.icmp_signed("==", activation, I64(kind)))

        def error(i: Value, mask: Value, ak: Value, yk: Value, kind: int | None = kind) -> None:
            e = v.sub(ak, yk)
            if kind == SOFTMAX:
                e = v.mul(ak, v.sub(e, both))
            elif kind is not None:
                e = BACKWARD[kind](v, ak, e)
            e = v.select(mask, v.mul(importance, e), zero)
            v.store(e, v.at(delta, i))  # whole vectors: what was stored under a mask is not forwarded to the loads that follow
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


@jit
def output_delta_row(loss, activation, a, y, delta):
    """One sample: delta = dJ/dz of the output layer from its outputs a and targets y. Unchecked."""
    # e_k = a_k - y_k
    for k in range(a.size):
        delta[k] = a[k] - y[k]
    # The derivative of log-loss cancels that of the logistic and of softmax: delta = e.
    if loss == SQUARED_ERROR:
        if activation == SOFTMAX:
            # delta_k = a_k (e_k - sum_j a_j e_j)
            mean = a.dtype.type(0)
            for k in range(a.size):
                mean += a[k] * delta[k]
            for k in range(a.size):
                delta[k] = a[k] * (delta[k] - mean)
        else:
            # delta_k = f'(z_k) e_k; for logistic units a_k (1 - a_k) e_k
            multiply_derivative(activation, a.size, a, 0, steps(a)[0], delta, 0, steps(delta)[0])


@jit
def loss_row(loss, activation, a, y):
    """One sample: its loss as float64. Unchecked."""
    total = 0.0
    if loss == SQUARED_ERROR:
        # J = 1/2 sum_k (a_k - y_k)^2
        for k in range(a.size):
            e = np.float64(a[k]) - np.float64(y[k])
            total += 0.5 * e * e
        return total
    # A saturated unit gives exactly 0 or 1; the clip keeps its loss finite, delta is exact without it.
    tiny = np.float64(np.finfo(a.dtype).eps)
    for k in range(a.size):
        p = np.float64(a[k])
        if y[k] != 0:
            # J = -sum_k y_k log a_k
            total -= y[k] * math.log(tiny if p < tiny else p)
        if activation == LOGISTIC and y[k] != 1:
            # ... - sum_k (1 - y_k) log(1 - a_k) where the units are independent
            total -= (1.0 - y[k]) * math.log(tiny if 1.0 - p < tiny else 1.0 - p)
    return total


@jit
def correct_row(decision, a, y):
    """One sample: 1 if the decision is right, else 0. Unchecked."""
    if decision == ARGMAX:
        best, wanted = 0, 0
        for k in range(1, a.size):
            if a[k] > a[best]:
                best = k
            if y[k] > y[wanted]:
                wanted = k
        return 1 if best == wanted else 0
    for k in range(a.size):
        if (a[k] > 0.5) != (y[k] > 0.5):
            return 0
    return 1 if decision == THRESHOLD else 0


@jit
def output_delta(loss, activation, a, y, out):
    """
    Error signal of the output layer: delta = dJ/dz, one row per sample.

    Parameters
    ----------
    loss : int
        ``SQUARED_ERROR`` J = 1/2 sum_k (a_k - y_k)^2, or ``LOG_LOSS`` -sum_k y_k log a_k (plus
        -sum_k (1-y_k) log(1-a_k) for logistic units).
    activation : int
        Code of the output activation. Log-loss goes with ``LOGISTIC`` and ``SOFTMAX``.
    a, y : array, shape (n, d)
        Outputs and targets.
    out : array, shape (n, d)
        Overwritten with delta. Must not overlap `a` or `y`.

    Raises
    ------
    ValueError
        Codes that do not go together, or shapes that differ.

    Notes
    -----
    Lecture L27: e_k = a_k - y_k; delta_k = a_k (1 - a_k) e_k for logistic units and squared error;
    delta_k = e_k for log-loss. Samples are independent.
    """
    check_loss(loss, activation)
    if y.shape != a.shape or out.shape != a.shape:
        raise ValueError("output_delta: y and out must have the shape of a; (a, y, out) came as", a.shape, y.shape, out.shape)
    for i in range(a.shape[0]):
        output_delta_row(loss, activation, a[i], y[i], out[i])


@python_or_compiled
def check_decision(decision):
    """Raise ValueError unless the code is known."""
    if decision < NO_DECISION or decision > ARGMAX:
        raise ValueError("decision must be one of the decision codes 0 to 2, got", decision)


@python_or_compiled
def check_loss(loss, activation):
    """Raise ValueError unless the two codes are known and go together."""
    if loss != SQUARED_ERROR and loss != LOG_LOSS:
        raise ValueError("loss must be one of the loss codes 0 and 1, got", loss)
    if activation < IDENTITY or activation > SOFTMAX:
        raise ValueError("the output activation must be one of the activation codes 0 to 4, got", activation)
    if loss == LOG_LOSS and activation != LOGISTIC and activation != SOFTMAX:
        raise ValueError("log-loss needs logistic or softmax outputs (codes 1 and 4), got", activation)


@jit
def evaluate(loss, activation, decision, a, y, weight):
    """
    Mean loss and share of right decisions of given outputs: (1/n) sum_i weight_i J_i, and (1/n) sum_i [sample i is decided rightly].

    Parameters
    ----------
    loss, activation, decision : int
        Codes of the loss, the output activation and the decision (``NO_DECISION``, ``THRESHOLD``, ``ARGMAX``).
    a, y : array, shape (n, d)
        Outputs and targets.
    weight : array, shape (n,)
        Weights of the samples in the loss, of mean 1.

    Returns
    -------
    (float, float)
        Mean weighted loss, and the share of right decisions (unweighted). NaN where n is 0.

    Raises
    ------
    ValueError
        Codes that do not go together, or shapes that differ.
    """
    check_loss(loss, activation)
    check_decision(decision)
    if y.shape != a.shape or weight.shape[0] != a.shape[0]:
        raise ValueError("evaluate: y must have the shape of a, weight its length; (a, y, weight) came as", a.shape, y.shape, weight.shape)
    if a.shape[0] == 0:
        return np.nan, np.nan
    total, correct = 0.0, 0
    for i in range(a.shape[0]):
        total += weight[i] * loss_row(loss, activation, a[i], y[i])
        correct += correct_row(decision, a[i], y[i])
    return total / a.shape[0], correct / a.shape[0]
