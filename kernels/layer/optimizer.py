"""Update rules: what is done to the weights w with the gradient g = dJ/dw."""

from __future__ import annotations

import numpy as np

from ..compiler.assembler import I64, Assembler, Value
from ..compiler.jit import exact, python_or_compiled
from ..compiler.routine import routine

# GRADIENT is no optimizer: it keeps the gradient as its state, and the weights stay.
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


@routine("ia", result="d")
def sum_of_squares(v: Assembler, count: Value, x: Value) -> Value:
    """Return sum x_i^2 of `count` numbers."""
    b = v.b
    double = Assembler(b, 8, 8 * v.lanes)
    whole = b.and_(count, I64(-v.lanes))

    def squares(i: Value, total: Value, mask: Value | None = None) -> list[Value]:
        wide = v.load(v.at(x, i), mask)
        wide = b.fpext(wide, double.vector) if v.size == 4 else wide
        return [double.fma(wide, wide, total)]

    (total,) = v.loop(0, whole, v.lanes, squares, [double.const(0)])
    (total,) = v.loop(whole, count, v.lanes, lambda i, t: squares(i, t, v.first(b.sub(count, i))), [total])
    return double.sum(total)


@routine("iiAaAAssssss")
def update(
    v: Assembler,
    optimizer: Value,
    count: Value,
    w: Value,
    g: Value,
    first: Value,
    second: Value,
    rate: Value,
    pace: Value,
    beta1: Value,
    beta2: Value,
    epsilon: Value,
    decay: Value,
) -> None:
    """
    One update of `count` weights by the rule of code `optimizer`, in one pass, with the gradient g + decay w.

    `first` and `second` are the state of the rule (not touched where it has none), `rate` is alpha, for Adam's family alpha_t, and
    `pace` what nadam multiplies the gradient by (see `step_rates`). For adamw, `decay` is not in the gradient: w <- w - decay w.
    """
    alpha, ahead, b1, b2, eps, shrink = (v.broadcast(x) for x in (rate, pace, beta1, beta2, epsilon, decay))
    least = v.const(2.0 ** (-126 if v.size == 4 else -1022))
    least_square = v.select(
        v.compare(">", eps, v.const(0)), least, v.const(0)
    )  # what is divided by its root alone, must not turn into 0
    minus_alpha = v.neg(alpha)
    decays = v.compare("!=", shrink, v.const(0))  # else an infinite weight would turn into 0 inf = NaN

    def gradient(i: Value, mask: Value | None) -> tuple[Value, Value]:
        weight = v.load(v.at(w, i), mask)
        return weight, v.fma(shrink, v.select(decays, weight, v.const(0)), v.load(v.at(g, i), mask))

    def state(x: Value, least: Value = least) -> Value:
        """Numbers of a state; 0 where they are denormal: as they decay they would stay so for ever, and such arithmetic can be slow."""
        return v.select(v.compare("<", v.abs(x), least), v.const(0), x)

    def sgd(i: Value, mask: Value | None) -> None:
        # w <- w - alpha g
        weight, slope = gradient(i, mask)
        v.store(v.fma(minus_alpha, slope, weight), v.at(w, i), mask)

    def momentum(i: Value, mask: Value | None) -> None:
        # v <- mu v - alpha g;  w <- w + v
        weight, slope = gradient(i, mask)
        velocity = state(v.fma(b1, v.load(v.at(first, i), mask), v.mul(minus_alpha, slope)))
        v.store(velocity, v.at(first, i), mask)
        v.store(v.add(weight, velocity), v.at(w, i), mask)

    def nesterov(i: Value, mask: Value | None) -> None:
        # v <- mu v - alpha g;  w <- w + mu v - alpha g
        weight, slope = gradient(i, mask)
        velocity = state(v.fma(b1, v.load(v.at(first, i), mask), v.mul(minus_alpha, slope)))
        v.store(velocity, v.at(first, i), mask)
        v.store(v.add(weight, v.fma(b1, velocity, v.mul(minus_alpha, slope))), v.at(w, i), mask)

    def means(i: Value, mask: Value | None, slope: Value) -> tuple[Value, Value]:
        # m <- b1 m + (1 - b1) g;  s <- b2 s + (1 - b2) g^2
        m = v.fma(b1, v.load(v.at(first, i), mask), v.mul(v.sub(v.const(1), b1), slope))
        s = v.fma(b2, v.load(v.at(second, i), mask), v.mul(v.mul(v.sub(v.const(1), b2), slope), slope))
        m, s = state(m), state(s, least_square)
        v.store(m, v.at(first, i), mask)
        v.store(s, v.at(second, i), mask)
        return m, v.add(v.sqrt(s), eps)

    def adam(i: Value, mask: Value | None) -> None:
        # w <- w - alpha_t m / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        m, size = means(i, mask, slope)
        v.store(v.sub(weight, v.div(v.mul(alpha, m), size)), v.at(w, i), mask)

    def adamw(i: Value, mask: Value | None) -> None:
        # w <- w - decay w - alpha_t m / (sqrt(s) + eps)
        weight = v.load(v.at(w, i), mask)
        m, size = means(i, mask, v.load(v.at(g, i), mask))
        kept = v.fma(v.neg(shrink), v.select(decays, weight, v.const(0)), weight)
        v.store(v.sub(kept, v.div(v.mul(alpha, m), size)), v.at(w, i), mask)

    def nadam(i: Value, mask: Value | None) -> None:
        # w <- w - (alpha_t m + pace g) / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        m, size = means(i, mask, slope)
        v.store(v.sub(weight, v.div(v.fma(alpha, m, v.mul(ahead, slope)), size)), v.at(w, i), mask)

    def rmsprop(i: Value, mask: Value | None) -> None:
        # s <- b2 s + (1 - b2) g^2;  w <- w - alpha g / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        s = state(
            v.fma(b2, v.load(v.at(first, i), mask), v.mul(v.mul(v.sub(v.const(1), b2), slope), slope)), least_square
        )
        v.store(s, v.at(first, i), mask)
        v.store(v.sub(weight, v.div(v.mul(alpha, slope), v.add(v.sqrt(s), eps))), v.at(w, i), mask)

    def rprop(i: Value, mask: Value | None) -> None:
        # step <- b2 step where g g' > 0, b1 step where g g' < 0 (g' of the update before; g then counts as 0);  w <- w - step sign g
        weight, slope = gradient(i, mask)
        before, step = v.load(v.at(first, i), mask), v.load(v.at(second, i), mask)
        step = v.select(v.compare("==", step, v.const(0)), alpha, step)  # the first update
        zero, turn = v.const(0), v.mul(_sign(v, slope), _sign(v, before))
        longer, shorter = v.min(v.mul(step, b2), v.const(LARGEST_STEP)), v.max(v.mul(step, b1), v.const(LEAST_STEP))
        turned = v.compare("<", turn, zero)
        step = v.select(v.compare(">", turn, zero), longer, v.select(turned, shorter, step))
        slope = v.select(turned, zero, slope)
        v.store(slope, v.at(first, i), mask)
        v.store(step, v.at(second, i), mask)
        v.store(v.fma(v.neg(step), _sign(v, slope), weight), v.at(w, i), mask)

    def keep(i: Value, mask: Value | None) -> None:
        # state <- g
        v.store(gradient(i, mask)[1], v.at(first, i), mask)

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
    for code, rule in rules.items():
        with v.b.if_then(v.b.icmp_signed("==", optimizer, I64(code))):
            v.each_vector(count, rule)


def _sign(v: Assembler, x: Value) -> Value:
    """1, -1 or 0; NaN stays."""
    return v.select(v.compare(">", x, v.const(0)), v.const(1), v.select(v.compare("<", x, v.const(0)), v.const(-1), x))


@exact
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


@exact
def step_rates(optimizer, step, learning_rate, l2, beta1, beta2):
    """
    `rate`, `pace` and `decay` of `update` in update number `step` (from 1) with this learning rate and penalty.

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
