"""Update rules: what is done to the weights w with the gradient g = dJ/dw."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiler.assembler import Assembler
from ..compiler.jit import inner, python_or_compiled
from ..compiler.routine import routine
from ..compiler.values import DOUBLE, Address, Float, Integer, Mask
from ..product.dot import SUMS, summed
from .elementary import sign

# GRADIENT is no optimizer: it keeps the gradient as its state and leaves the weights alone.
SGD, MOMENTUM, NESTEROV, ADAM, ADAMW, NADAM, RMSPROP, RPROP, GRADIENT = range(9)
OPTIMIZERS = {
    "sgd": SGD,
    "momentum": MOMENTUM,
    "nesterov": NESTEROV,
    "adam": ADAM,
    "adamw": ADAMW,
    "nadam": NADAM,
    "rmsprop": RMSPROP,
    "rprop": RPROP,
}
RULES = OPTIMIZERS | {"gradient": GRADIENT}
# Bounds of the step sizes of rprop (Riedmiller and Braun, 1993)
LEAST_STEP, LARGEST_STEP = 1e-6, 50.0


@python_or_compiled
def states_of(optimizer):
    """Arrays of state that a rule keeps, each of the size of the parameters."""
    return 0 if optimizer == SGD else 2 if keeps_means(optimizer) or optimizer == RPROP else 1


@python_or_compiled
def keeps_means(optimizer):
    """Whether a rule is of Adam's family: running means of the gradient and of its square."""
    return ADAM <= optimizer <= NADAM


@routine("ia", result="d", lanes=SUMS)
def sum_of_squares(v: Assembler, count: Integer, x: Address) -> Float:
    """Return sum x_i^2 of `count` numbers."""

    def add(i: Integer, mask: Mask | None, total: Float) -> Float:
        wide = x[i, mask].to(DOUBLE)
        return v.fma(wide, wide, total)

    return summed(v, count, v.const(0).to(DOUBLE), add)


@routine("iiAa(AA)(ssssss)")
def update(
    v: Assembler, optimizer: Integer, count: Integer, w: Address, g: Address, states: tuple, pace: tuple
) -> None:
    """
    One update of `count` weights by the rule of code `optimizer`, in one pass, with the gradient g + decay w.

    Parameters
    ----------
    optimizer, count : number
    w, g : array
        Weights, and their gradient.
    states : first, second
        State of the rule, not touched where it has none.
    pace : rate, ahead, beta1, beta2, epsilon, decay
        `rate` is alpha, for Adam's family alpha_t, and `ahead` what nadam multiplies the gradient by (see
        `step_rates`). For adamw, `decay` is not in the gradient: w <- w - decay w.
    """
    first, second = states
    alpha, ahead, b1, b2, eps, decay = (v.broadcast(x) for x in pace)
    least_square = v.where(eps > 0, v.tiny, v.const(0))  # what is divided by its root alone must not turn into 0
    minus_alpha = -alpha
    decays = decay != 0  # else an infinite weight would turn into 0 inf = NaN

    def gradient(i: Integer, mask: Mask | None) -> tuple[Float, Float]:
        weight = w[i, mask]
        return weight, v.fma(decay, v.where(decays, weight, 0), g[i, mask])

    def state(x: Float, least: Any = v.tiny) -> Float:
        """Numbers of a state, denormal ones as 0: they would stay denormal as they decay, and that can be slow."""
        return v.where(abs(x) < least, 0, x)

    def sgd(i: Integer, mask: Mask | None) -> None:
        # w <- w - alpha g
        weight, slope = gradient(i, mask)
        w[i, mask] = v.fma(minus_alpha, slope, weight)

    def momentum(i: Integer, mask: Mask | None) -> None:
        # v <- mu v - alpha g;  w <- w + v
        weight, slope = gradient(i, mask)
        first[i, mask] = velocity = state(v.fma(b1, first[i, mask], minus_alpha * slope))
        w[i, mask] = weight + velocity

    def nesterov(i: Integer, mask: Mask | None) -> None:
        # v <- mu v - alpha g;  w <- w + mu v - alpha g
        weight, slope = gradient(i, mask)
        first[i, mask] = velocity = state(v.fma(b1, first[i, mask], minus_alpha * slope))
        w[i, mask] = weight + v.fma(b1, velocity, minus_alpha * slope)

    def means(i: Integer, mask: Mask | None, slope: Float) -> tuple[Float, Float]:
        # m <- b1 m + (1 - b1) g;  s <- b2 s + (1 - b2) g^2;  m and sqrt(s) + eps
        m = state(v.fma(b1, first[i, mask], (1 - b1) * slope))
        s = state(v.fma(b2, second[i, mask], (1 - b2) * slope * slope), least_square)
        first[i, mask], second[i, mask] = m, s
        return m, v.sqrt(s) + eps

    def adam(i: Integer, mask: Mask | None) -> None:
        # w <- w - alpha_t m / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        m, size = means(i, mask, slope)
        w[i, mask] = weight - alpha * m / size

    def adamw(i: Integer, mask: Mask | None) -> None:
        # w <- w - decay w - alpha_t m / (sqrt(s) + eps)
        weight = w[i, mask]
        m, size = means(i, mask, g[i, mask])
        kept = v.fma(-decay, v.where(decays, weight, 0), weight)
        w[i, mask] = kept - alpha * m / size

    def nadam(i: Integer, mask: Mask | None) -> None:
        # w <- w - (alpha_t m + ahead g) / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        m, size = means(i, mask, slope)
        w[i, mask] = weight - v.fma(alpha, m, ahead * slope) / size

    def rmsprop(i: Integer, mask: Mask | None) -> None:
        # s <- b2 s + (1 - b2) g^2;  w <- w - alpha g / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        first[i, mask] = s = state(v.fma(b2, first[i, mask], (1 - b2) * slope * slope), least_square)
        w[i, mask] = weight - alpha * slope / (v.sqrt(s) + eps)

    def rprop(i: Integer, mask: Mask | None) -> None:
        # step <- b2 step where g g' > 0, b1 step where g g' < 0, g' the gradient before; g then counts as 0
        # w <- w - step sign g
        weight, slope = gradient(i, mask)
        before, step = first[i, mask], second[i, mask]
        step = v.where(step == 0, alpha, step)  # the first update
        turn = sign(v, slope) * sign(v, before)
        longer, shorter = v.min(step * b2, LARGEST_STEP), v.max(step * b1, LEAST_STEP)
        step = v.where(turn > 0, longer, v.where(turn < 0, shorter, step))
        slope = v.where(turn < 0, 0, slope)
        first[i, mask], second[i, mask] = slope, step
        w[i, mask] = v.fma(-step, sign(v, slope), weight)

    def keep(i: Integer, mask: Mask | None) -> None:
        # state <- g
        _, first[i, mask] = gradient(i, mask)

    rules = {
        SGD: sgd,
        MOMENTUM: momentum,
        NESTEROV: nesterov,
        ADAM: adam,
        ADAMW: adamw,
        NADAM: nadam,
        RMSPROP: rmsprop,
        RPROP: rprop,
        GRADIENT: keep,
    }
    for code in v.cases(optimizer, rules):
        for i, mask in v.vectors(count):
            rules[code](i, mask)


@inner
def power(base, exponent):
    """
    Raise `base` to a whole number >= 0, by repeated squaring.

    NumPy's powers differ from Numba's, and from processor to processor. These are IEEE multiplications alone, the same
    everywhere. The relative error is at most (1 + u)^(exponent - 1) - 1, u = 2^-53, as if one multiplied in a row.
    """
    result, left = 1.0, np.int64(exponent)
    while left > 0:
        if left & 1:
            result *= base
        base *= base
        left >>= 1
    return result


@inner
def step_rates(optimizer, step, learning_rate, l2, beta1, beta2):
    """
    `rate`, `ahead` and `decay` of `update` in update number `step` (from 1) with this learning rate and penalty.

    For Adam alpha_t = alpha sqrt(1 - b2^t) / (1 - b1^t), which undoes that both means began at 0. Nadam (Dozat, 2016)
    looks one step ahead: it takes b1 alpha sqrt(1 - b2^t) / (1 - b1^(t+1)) of the mean and
    (1 - b1) alpha sqrt(1 - b2^t) / (1 - b1^t) of the gradient.
    """
    decay = learning_rate * l2 if optimizer == ADAMW else 1.0 * l2  # 1.0: of one type, also where an integer was given
    if optimizer < ADAM or optimizer > NADAM:  # not `keeps_means`: one function less to compile before the first epoch
        return 1.0 * learning_rate, 0.0, decay
    begun = power(beta1, step)  # the share of the mean that is still the 0 at which it began
    rate = learning_rate * np.sqrt(1.0 - power(beta2, step))
    if optimizer == NADAM:
        return beta1 * rate / (1.0 - beta1 * begun), (1.0 - beta1) * rate / (1.0 - begun), decay
    return rate / (1.0 - begun), 0.0, decay


@python_or_compiled
def rates_of(batches, learning_rate, l2):
    """Learning rates and penalties of so many batches, from one number each or one for each batch."""
    rates, penalties = np.empty(batches), np.empty(batches)
    rates[:], penalties[:] = learning_rate, l2
    return rates, penalties
