"""Update rules: what is done to the weights w with the gradient g = dJ/dw."""

from __future__ import annotations

import numpy as np

from ._jit import inner, jit
from ._native import routine
from .simd import I64, Assembler, Value

SGD, MOMENTUM, NESTEROV, ADAM = 0, 1, 2, 3
OPTIMIZERS = {"sgd": SGD, "momentum": MOMENTUM, "nesterov": NESTEROV, "adam": ADAM}


@routine("iiAaAAsssss")
def update(v: Assembler, optimizer: Value, count: Value, w: Value, g: Value, first: Value, second: Value, rate: Value, beta1: Value,
           beta2: Value, epsilon: Value, decay: Value) -> None:  # fmt: skip
    """
    One update of `count` weights by the rule of code `optimizer`, in one pass, with the gradient g + decay w.

    `first` and `second` are the state of the rule (not touched where it has none), `rate` is alpha, for adam alpha_t.
    """
    alpha, b1, b2, eps, shrink = (v.broadcast(x) for x in (rate, beta1, beta2, epsilon, decay))
    minus_alpha = v.neg(alpha)
    decays = v.compare("!=", shrink, v.const(0))  # else an infinite weight would turn into 0 inf = NaN

    def gradient(i: Value, mask: Value | None) -> tuple[Value, Value]:
        weight = v.load(v.at(w, i), mask)
        return weight, v.fma(shrink, v.select(decays, weight, v.const(0)), v.load(v.at(g, i), mask))

    def sgd(i: Value, mask: Value | None) -> None:
        # w <- w - alpha g
        weight, slope = gradient(i, mask)
        v.store(v.fma(minus_alpha, slope, weight), v.at(w, i), mask)

    def momentum(i: Value, mask: Value | None) -> None:
        # v <- mu v - alpha g;  w <- w + v
        weight, slope = gradient(i, mask)
        velocity = v.fma(b1, v.load(v.at(first, i), mask), v.mul(minus_alpha, slope))
        v.store(velocity, v.at(first, i), mask)
        v.store(v.add(weight, velocity), v.at(w, i), mask)

    def nesterov(i: Value, mask: Value | None) -> None:
        # v <- mu v - alpha g;  w <- w + mu v - alpha g
        weight, slope = gradient(i, mask)
        velocity = v.fma(b1, v.load(v.at(first, i), mask), v.mul(minus_alpha, slope))
        v.store(velocity, v.at(first, i), mask)
        v.store(v.add(weight, v.fma(b1, velocity, v.mul(minus_alpha, slope))), v.at(w, i), mask)

    def adam(i: Value, mask: Value | None) -> None:
        # m <- b1 m + (1 - b1) g;  s <- b2 s + (1 - b2) g^2;  w <- w - alpha_t m / (sqrt(s) + eps)
        weight, slope = gradient(i, mask)
        m = v.fma(b1, v.load(v.at(first, i), mask), v.mul(v.sub(v.const(1), b1), slope))
        s = v.fma(b2, v.load(v.at(second, i), mask), v.mul(v.mul(v.sub(v.const(1), b2), slope), slope))
        v.store(m, v.at(first, i), mask)
        v.store(s, v.at(second, i), mask)
        v.store(v.sub(weight, v.div(v.mul(alpha, m), v.add(v.sqrt(s), eps))), v.at(w, i), mask)

    for code, rule in {SGD: sgd, MOMENTUM: momentum, NESTEROV: nesterov, ADAM: adam}.items():
        with v.b.if_then(v.b.icmp_signed("==", optimizer, I64(code))):
            v.each_vector(count, rule)


@inner
def adam_rate(step, learning_rate, beta1, beta2):
    """alpha_t = alpha sqrt(1 - b2^t) / (1 - b1^t), which undoes that both means began at 0."""
    return learning_rate * np.sqrt(1.0 - beta2**step) / (1.0 - beta1**step)


@jit
def sgd_update(w, g, learning_rate):
    """
    Gradient descent: w <- w - alpha g.

    Parameters
    ----------
    w : C-contiguous array, any shape
        Weights, updated in place.
    g : C-contiguous array of the same shape
        Gradient.
    learning_rate : float
        alpha.

    Raises
    ------
    ValueError
        `g` of another shape.

    Notes
    -----
    Lecture L27. Reads 2 and writes 1 element per weight.
    """
    if g.shape != w.shape:
        raise ValueError("sgd_update: g must have the shape of w; (w, g) came as", w.shape, g.shape)
    zero = w.dtype.type(0)
    w, g = w.reshape(-1), g.reshape(-1)
    update(SGD, w.size, w, 0, g, 0, w, 0, w, 0, w.dtype.type(learning_rate), zero, zero, zero, zero)


@jit
def momentum_update(w, g, velocity, learning_rate, momentum):
    """
    Gradient descent with momentum: v <- mu v - alpha g; w <- w + v.

    Parameters
    ----------
    w : C-contiguous array, any shape
        Weights, updated in place.
    g : C-contiguous array of the same shape
        Gradient.
    velocity : C-contiguous array of the same shape
        v, updated in place; zeros before the first step.
    learning_rate, momentum : float
        alpha, and mu in [0, 1).

    Raises
    ------
    ValueError
        `g` or `velocity` of another shape.
    """
    if g.shape != w.shape or velocity.shape != w.shape:
        raise ValueError("momentum_update: g and velocity must have the shape of w; they came as", w.shape, g.shape, velocity.shape)
    zero = w.dtype.type(0)
    w, g, v = w.reshape(-1), g.reshape(-1), velocity.reshape(-1)
    update(MOMENTUM, w.size, w, 0, g, 0, v, 0, v, 0, w.dtype.type(learning_rate), w.dtype.type(momentum), zero, zero, zero)


@jit
def nesterov_update(w, g, velocity, learning_rate, momentum):
    """
    Nesterov's momentum: v <- mu v - alpha g; w <- w + mu v - alpha g.

    Parameters
    ----------
    w, g, velocity, learning_rate, momentum
        As in `momentum_update`.

    Raises
    ------
    ValueError
        `g` or `velocity` of another shape.

    Notes
    -----
    The form of Bengio et al. (2013) that scikit-learn uses: the weights kept are those of the look-ahead point.
    """
    if g.shape != w.shape or velocity.shape != w.shape:
        raise ValueError("nesterov_update: g and velocity must have the shape of w; they came as", w.shape, g.shape, velocity.shape)
    zero = w.dtype.type(0)
    w, g, v = w.reshape(-1), g.reshape(-1), velocity.reshape(-1)
    update(NESTEROV, w.size, w, 0, g, 0, v, 0, v, 0, w.dtype.type(learning_rate), w.dtype.type(momentum), zero, zero, zero)


@jit
def adam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon):
    """
    Adam: m <- b1 m + (1-b1) g; v <- b2 v + (1-b2) g^2; w <- w - alpha_t m / (sqrt(v) + eps).

    Parameters
    ----------
    w : C-contiguous array, any shape
        Weights, updated in place.
    g : C-contiguous array of the same shape
        Gradient.
    m, v : C-contiguous array of the same shape
        Running means of the gradient and of its square, updated in place; zeros before the first step.
    step : int
        Number of this update, from 1.
    learning_rate, beta1, beta2, epsilon : float
        alpha, b1 and b2 in [0, 1), and eps.

    Raises
    ------
    ValueError
        `g`, `m` or `v` of another shape, or `step` below 1.

    Notes
    -----
    alpha_t = alpha sqrt(1 - b2^t) / (1 - b1^t): the efficient form at the end of section 2 of Kingma and Ba
    (2015), as in scikit-learn; in the paper's other form, and in PyTorch, eps is added after the correction.
    """
    if g.shape != w.shape or m.shape != w.shape or v.shape != w.shape:
        raise ValueError("adam_update: g, m and v must have the shape of w; (w, g, m, v) came as", w.shape, g.shape, m.shape, v.shape)
    if step < 1:
        raise ValueError("adam_update: step counts from 1, got", step)
    kind = w.dtype.type
    rate = kind(adam_rate(step, learning_rate, beta1, beta2))
    w, g, m, v = w.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    update(ADAM, w.size, w, 0, g, 0, m, 0, v, 0, rate, kind(beta1), kind(beta2), kind(epsilon), kind(0))
