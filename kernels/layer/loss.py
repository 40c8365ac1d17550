"""Losses, and the error signal delta = dJ/dz of the output layer (lecture L27), by sample and by tile of samples."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..compiler.assembler import Assembler
from ..compiler.jit import python_or_compiled
from ..compiler.processor import SUMMED_BYTES
from ..compiler.routine import routine
from ..compiler.values import DOUBLE, I64, Address, Float, Integer, Mask
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
LOSS_CODES = len(LOSSES)
# A larger number is the address of a custom loss (see custom_loss.py); no machine has code so low.
LOWEST_ADDRESS = 1 << 16
# Losses with a parameter p for each output.
PARAMETRIC = (HUBER, QUANTILE)

# What makes an answer right: nothing does (regression), every unit on the target's side of 1/2 (one logistic unit,
# multilabel), or the largest unit where the target's is (several classes).
NO_DECISION, THRESHOLD, ARGMAX = 0, 1, 2


@python_or_compiled
def takes_outputs(loss):
    """Whether a loss goes with its output activation: dJ/dz = a - y, as the derivatives of the two cancel."""
    return loss in (LOG_LOSS, POISSON)


def _huber(v: Assembler, e: Float, p: Float) -> Float:
    # e^2 / 2 for |e| <= p, then p (|e| - p / 2)
    size = abs(e)
    return v.where(size > p, p * v.fma(p, -0.5, size), 0.5 * (e * e))


def _log_cosh(v: Assembler, e: Float) -> Float:
    # |e| + log(1 + exp(-2 |e|)) - log 2; for small e, where its terms cancel, e^2 / 2 - e^4 / 12 + e^6 / 45
    size, square = abs(e), e * e
    far = size + elementary.softplus(v, size * -2) - math.log(2)
    near = square * v.fma(square, v.fma(square, 1 / 45, -1 / 12), 0.5)
    return v.where(size < {4: 0.1, 8: 0.01}[v.size], near, far)


def _log(v: Assembler, a: Float) -> Float:
    # the clip keeps the loss of a saturated unit finite; delta is exact without it
    return elementary.log(v, v.max(a, v.eps))


def _poisson(v: Assembler, a: Float, y: Float) -> Float:
    # y log(y / a) - y + a: half the deviance, 0 where a = y
    ratio = v.max(y, v.tiny) / v.max(a, v.tiny)
    return v.fma(y, elementary.log(v, ratio), a - y)


# J of an output a with target y, e = a - y, and the parameter p of the loss
VALUES: dict[int, Callable[[Assembler, Float, Float, Any], Float]] = {
    SQUARED_ERROR: lambda v, a, y, p: 0.5 * (a - y) * (a - y),  # 1/2 e^2
    ABSOLUTE_ERROR: lambda v, a, y, p: abs(a - y),
    HUBER: lambda v, a, y, p: _huber(v, a - y, p),
    LOG_COSH: lambda v, a, y, p: _log_cosh(v, a - y),
    QUANTILE: lambda v, a, y, p: v.where(a - y > 0, (1 - p) * (a - y), -p * (a - y)),
    LOG_LOSS: lambda v, a, y, p: -(y * _log(v, a)),
    POISSON: lambda v, a, y, p: _poisson(v, a, y),
}
# dJ/da
SLOPES: dict[int, Callable[[Assembler, Float, Float, Any], Float]] = {
    SQUARED_ERROR: lambda v, a, y, p: a - y,
    ABSOLUTE_ERROR: lambda v, a, y, p: elementary.sign(v, a - y),
    HUBER: lambda v, a, y, p: v.max(v.min(a - y, p), -p),
    LOG_COSH: lambda v, a, y, p: elementary.tanh(v, a - y),
    QUANTILE: lambda v, a, y, p: elementary.sign(v, a - y, 1 - p, -p),
}
# dJ/dz of those that go with their outputs
ERRORS: dict[int, Callable[[Assembler, Float, Float, Any], Float]] = {
    LOG_LOSS: lambda v, a, y, p: a - y,
    POISSON: lambda v, a, y, p: a - y,
}


@dataclass(frozen=True)
class _Vector:
    """Outputs `a` and targets `y`, their place in the arrays, their first unit, and the lanes that count."""

    a: Float
    y: Float
    i: Integer
    unit: Integer
    mask: Mask | None = None


class _Tile:
    """A tile of samples, one sample a lane: a vector holds one unit of them, and the loops run over the units."""

    def __init__(
        self, v: Assembler, s: Integer, shape: tuple, operands: tuple, delta: Address, result: Address
    ) -> None:
        (self.units, count, self.stride), (self.a, self.y, weight, self.parameters) = shape, operands
        self.v, self.s, self.delta, self.result = v, s, delta, result
        self.weight, self.valid = weight[s], v.first(count - s)

    def each(self, carry: list[Any] | None = None, condition: Mask | None = None) -> Iterator[_Vector]:
        """The vectors; none where the condition is false."""
        stop = self.units if condition is None else self.v.where(condition, self.units, 0)
        for k in self.v.range(stop, carry=carry):
            i = self.s + k * self.stride
            yield _Vector(self.a[i], self.y[i], i, k)

    def parameter(self, x: _Vector) -> Float:
        """The parameters of the loss."""
        return self.parameters.broadcast(x.unit)

    def put(self, x: _Vector, error: Float) -> None:
        """Write the error signal."""
        self.delta[x.i] = error

    def total(self, x: Float) -> Float:
        """The sum over the units, from the sum of the vectors."""
        return x

    def add_loss(self, lost: Float) -> None:
        """Add the weighted loss to result[0]: that of as many samples at a time as the shortest vectors hold."""
        for some in self.v.parts(self.v.where(self.valid, self.weight * lost, 0), 16):
            _add(self.result, 0, self.v.sum(some))

    def add_decision(self, right: Mask) -> None:
        """Add how many samples were decided rightly to result[1]."""
        _add(self.result, 1, self.v.sum(self.v.where(right & self.valid, self.v.const(1), 0)))

    def least(self) -> tuple[Float, Float]:
        """What the largest output and target must exceed: the first unit, which wins a tie, and stays if it is NaN."""
        return self.a[self.s], self.y[self.s]

    def numbers(self, x: _Vector) -> Float:
        """The numbers of the units."""
        return self.v.broadcast(x.unit.to(self.v.scalar))

    def first_of(self, top: Float, number: Float) -> Float:
        """The number of the first unit that has the largest value, from the largest value of each lane."""
        return number


class _Row:
    """One sample, one unit a lane: a vector holds as many of its units as there are lanes."""

    def __init__(
        self, v: Assembler, units: Integer, operands: tuple, scales: tuple, errors: tuple, result: Address
    ) -> None:
        (self.a, self.y, self.parameters), (self.importance, rate), (self.delta, self.step) = operands, scales, errors
        self.v, self.units, self.result = v, units, result
        self.weight, self.rate = v.broadcast(self.importance), v.broadcast(rate)

    def each(self, carry: list[Any] | None = None, condition: Mask | None = None) -> Iterator[_Vector]:
        """The vectors; none where the condition is false."""
        stop = self.units if condition is None else self.v.where(condition, self.units, 0)
        for i in self.v.range(0, stop, self.v.lanes, carry=carry):
            mask = self.v.first(self.units - i)
            yield _Vector(self.a[i, mask], self.y[i, mask], i, i, mask)

    def parameter(self, x: _Vector) -> Float:
        """The parameters of the loss."""
        return self.parameters[x.i, x.mask]

    def put(self, x: _Vector, error: Float) -> None:
        """Write the error signal, and alpha times that."""
        # whole vectors: what was stored under a mask is not forwarded to the loads that follow
        self.delta[x.i] = error = self.v.where(x.mask, error, 0)
        self.step[x.i] = self.rate * error

    def total(self, x: Float) -> Float:
        """The sum over the units, from the sum of the vectors."""
        return self.v.sum(x)

    def add_loss(self, lost: Float) -> None:
        """Add the weighted loss to result[0]."""
        _add(self.result, 0, self.importance * self.v.sum(lost))

    def add_decision(self, right: Mask) -> None:
        """Add 1 to result[1] if the sample was decided rightly."""
        _add(self.result, 1, right.to(I64).to(DOUBLE))

    def least(self) -> tuple[Float, Float]:
        """What the largest output and target must exceed."""
        return self.v.const(-math.inf), self.v.const(-math.inf)

    def numbers(self, x: _Vector) -> Float:
        """The numbers of the units."""
        return self.v.arange() + self.v.broadcast(x.unit.to(self.v.scalar))

    def first_of(self, top: Float, number: Float) -> Float:
        """The number of the first unit that has the largest value, from the largest value of each lane."""
        v = self.v
        return v.lane(-v.largest(-v.where(top == v.largest(top), number, math.inf)), 0)


def _add(result: Address, i: int, x: Float) -> None:
    result.set_item(i, result.item(i) + x.to(DOUBLE))


def _add_loss(v: Assembler, loss: Integer, activation: Integer, units: _Tile | _Row, slopes: dict) -> None:
    """Add the loss, and write weight dJ/da, or dJ/dz, for those losses that `slopes` has."""
    for code in v.cases(loss, VALUES):
        lost = [v.const(0)]
        for x in units.each(lost):
            p = units.parameter(x) if code in PARAMETRIC else None
            lost[0] += v.where(x.mask, VALUES[code](v, x.a, x.y, p), 0)
            if code in slopes:
                units.delta[x.i] = v.where(x.mask, units.weight * slopes[code](v, x.a, x.y, p), 0)
        if code == LOG_LOSS:
            # J = -sum_k y_k log a_k, and - sum_k (1 - y_k) log(1 - a_k) where the units are independent
            for x in units.each(lost, activation == LOGISTIC):
                lost[0] += v.where(x.mask, -((1 - x.y) * _log(v, 1 - x.a)), 0)
        units.add_loss(lost[0])


def _add_decision(v: Assembler, decision: Integer, units: _Tile | _Row) -> None:
    """Add whether the decision is right."""
    with v.when(decision == THRESHOLD):
        wrong = [v.const(0)]
        for x in units.each(wrong):
            wrong[0] = v.where((x.a > 0.5) ^ (x.y > 0.5), 1, wrong[0])
        units.add_decision(units.total(wrong[0]) == 0)
    with v.when(decision == ARGMAX):
        a, y = units.least()
        best = [a, v.const(0), y, v.const(0)]  # the largest output and its number, the largest target and its number
        for x in units.each(best):
            numbers = units.numbers(x)
            for k, value in ((0, x.a), (2, x.y)):
                above = value > best[k] if x.mask is None else x.mask & (value > best[k])
                best[k : k + 2] = v.where(above, value, best[k]), v.where(above, numbers, best[k + 1])
        units.add_decision(units.first_of(*best[:2]) == units.first_of(*best[2:]))


def _through_softmax(v: Assembler, units: _Tile | _Row) -> None:
    """Turn dJ/da into the error signal of softmax outputs: delta_k = a_k (e_k - sum_j a_j e_j), e = dJ/da."""
    total = [v.const(0)]
    for x in units.each(total):
        total[0] = v.fma(x.a, units.delta[x.i, x.mask], total[0])
    mean = v.broadcast(units.total(total[0]))
    for x in units.each():
        units.put(x, x.a * (units.delta[x.i] - mean))


@routine("(iii)(iii)(aaaa)AF")
def tile_loss(v: Assembler, codes: tuple, shape: tuple, operands: tuple, delta: Address, result: Address) -> None:
    """
    Loss, decision and error signal for a tile of samples, one sample a column.

    Parameters
    ----------
    codes : loss, activation, decision
    shape : units, count, stride
        Unit k of sample s lies at k stride + s in `a`, `y` and `delta`. Samples from `count` on do not count.
    operands : a, y, weight, parameter
        Outputs, targets, a weight per sample, and a parameter per unit for the losses that have one.
    delta : array
        Overwritten with weight dJ/da; with weight dJ/dz for softmax outputs, and for log-loss and poisson, whose
        derivatives cancel against those of their outputs. For a custom loss it holds weight dJ/da already (see
        `call_custom`).
    result : array of float64
        The weighted losses are added to result[0], but for a custom loss, and the number decided rightly to result[1].
    """
    (loss, activation, decision), (_, count, _) = codes, shape
    for s in v.range(0, count, v.lanes):
        tile = _Tile(v, s, shape, operands, delta, result)
        _add_decision(v, decision, tile)
        _add_loss(v, loss, activation, tile, SLOPES | ERRORS)
        with v.when((activation == SOFTMAX) & (loss != LOG_LOSS)):
            _through_softmax(v, tile)


@routine("(iii)i(aaa)(ss)(AA)F", vector_bytes=SUMMED_BYTES)
def row_loss(
    v: Assembler, codes: tuple, units: Integer, operands: tuple, scales: tuple, errors: tuple, result: Address
) -> None:
    """
    Loss, decision and error signal of one sample, whose units lie side by side.

    Parameters
    ----------
    codes : loss, activation, decision
    units : number
    operands : a, y, parameter
        Outputs, targets, and a parameter per unit for the losses that have one.
    scales : weight, rate
        The weight of the sample, and the learning rate alpha.
    errors : delta, step
        Overwritten with weight dJ/dz, and with alpha times that, in whole vectors: zeros after the last unit. For a
        custom loss `delta` holds weight dJ/da already (see `call_custom`).
    result : array of float64
        The weighted loss is added to result[0], but for a custom loss, and to result[1] whether it was decided rightly.
    """
    loss, activation, decision = codes
    row = _Row(v, units, operands, scales, errors, result)
    _add_loss(v, loss, activation, row, SLOPES)
    with v.if_else((loss == LOG_LOSS) | (loss == POISSON)) as (cancels, goes_on):
        with cancels:
            for x in row.each():
                row.put(x, row.weight * (x.a - x.y))
        with goes_on:
            for kind in v.cases(activation, [SOFTMAX, *(code for code in BACKWARD if not takes_input(code))]):
                if kind == SOFTMAX:
                    _through_softmax(v, row)
                    continue
                for x in row.each():  # delta_k = f'(z_k) dJ/da_k
                    row.put(x, BACKWARD[kind](v, x.a, row.delta[x.i]))
    _add_decision(v, decision, row)
