"""Update rules: what is done to the weights w with the gradient g = dJ/dw."""

import numpy as np

from ._jit import jit

SGD, MOMENTUM, NESTEROV, ADAM = 0, 1, 2, 3
OPTIMIZERS = {"sgd": SGD, "momentum": MOMENTUM, "nesterov": NESTEROV, "adam": ADAM}


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
    rate = w.dtype.type(learning_rate)
    w, g = w.reshape(-1), g.reshape(-1)
    for i in range(w.size):
        w[i] -= rate * g[i]


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
    rate, mu = w.dtype.type(learning_rate), w.dtype.type(momentum)
    w, g, v = w.reshape(-1), g.reshape(-1), velocity.reshape(-1)
    for i in range(w.size):
        v[i] = mu * v[i] - rate * g[i]
        w[i] += v[i]


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
    rate, mu = w.dtype.type(learning_rate), w.dtype.type(momentum)
    w, g, v = w.reshape(-1), g.reshape(-1), velocity.reshape(-1)
    for i in range(w.size):
        v[i] = mu * v[i] - rate * g[i]
        w[i] += mu * v[i] - rate * g[i]


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
    one = w.dtype.type(1)
    rate = w.dtype.type(learning_rate * np.sqrt(1.0 - beta2**step) / (1.0 - beta1**step))
    b1, b2, eps = w.dtype.type(beta1), w.dtype.type(beta2), w.dtype.type(epsilon)
    w, g, m, v = w.reshape(-1), g.reshape(-1), m.reshape(-1), v.reshape(-1)
    for i in range(w.size):
        m[i] = b1 * m[i] + (one - b1) * g[i]
        v[i] = b2 * v[i] + (one - b2) * g[i] * g[i]
        w[i] -= rate * m[i] / (np.sqrt(v[i]) + eps)


@jit
def update(optimizer, w, g, first, second, step, learning_rate, beta1, beta2, epsilon):
    """One update by the rule of code `optimizer`; `first` and `second` are its state (empty where unused). Unchecked."""
    if optimizer == ADAM:
        adam_update(w, g, first, second, step, learning_rate, beta1, beta2, epsilon)
    elif optimizer == NESTEROV:
        nesterov_update(w, g, first, learning_rate, beta1)
    elif optimizer == MOMENTUM:
        momentum_update(w, g, first, learning_rate, beta1)
    else:
        sgd_update(w, g, learning_rate)
