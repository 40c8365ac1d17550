"""The update rules as drop-in kernels, and a kernel that shortens a gradient that is too long."""

import numpy as np

from ..compiler.jit import inner, njit
from .optimizer import ADAM, ADAMW, MOMENTUM, NADAM, NESTEROV, RMSPROP, RPROP, SGD, step_rates, sum_of_squares, update


@inner
def _update(optimizer, w, g, states, step, rates):
    """One update by `update`; `rates` are learning_rate, beta1, beta2, epsilon and l2."""
    kind, (first, second), (learning_rate, beta1, beta2, epsilon, l2) = w.dtype.type, states, rates
    rate, ahead, decay = step_rates(optimizer, step, learning_rate, l2, beta1, beta2)
    w, g, first, second = w.reshape(-1), g.reshape(-1), first.reshape(-1), second.reshape(-1)
    numbers = (kind(rate), kind(ahead), kind(beta1), kind(beta2), kind(epsilon), kind(decay))
    update(optimizer, w.size, w, 0, g, 0, (first, 0, second, 0), numbers)


@njit
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
        raise ValueError("sgd_update: g must have the shape of w; (w, g) are", w.shape, g.shape)
    _update(SGD, w, g, (w, w), 1, (learning_rate, 0.0, 0.0, 0.0, 0.0))


@njit
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
        raise ValueError(
            "momentum_update: g and velocity must have the shape of w; they are", w.shape, g.shape, velocity.shape
        )
    _update(MOMENTUM, w, g, (velocity, velocity), 1, (learning_rate, momentum, 0.0, 0.0, 0.0))


@njit
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
        raise ValueError(
            "nesterov_update: g and velocity must have the shape of w; they are", w.shape, g.shape, velocity.shape
        )
    _update(NESTEROV, w, g, (velocity, velocity), 1, (learning_rate, momentum, 0.0, 0.0, 0.0))


@njit
def adam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon):  # noqa: PLR0913
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
        raise ValueError(
            "adam_update: g, m and v must have the shape of w; (w, g, m, v) are", w.shape, g.shape, m.shape, v.shape
        )
    if step < 1:
        raise ValueError("adam_update: step counts from 1, got", step)
    _update(ADAM, w, g, (m, v), step, (learning_rate, beta1, beta2, epsilon, 0.0))


@njit
def adamw_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon, weight_decay):  # noqa: PLR0913
    """
    Adam with decoupled weight decay: w <- w - alpha weight_decay w - alpha_t m / (sqrt(v) + eps).

    Parameters
    ----------
    w, g, m, v, step, learning_rate, beta1, beta2, epsilon
        As in `adam_update`.
    weight_decay : float
        Share of a weight that is taken off per unit of alpha.

    Raises
    ------
    ValueError
        As `adam_update`.

    Notes
    -----
    Loshchilov and Hutter (2019): the decay does not pass through the running means.
    """
    if g.shape != w.shape or m.shape != w.shape or v.shape != w.shape:
        raise ValueError(
            "adamw_update: g, m and v must have the shape of w; (w, g, m, v) are", w.shape, g.shape, m.shape, v.shape
        )
    if step < 1:
        raise ValueError("adamw_update: step counts from 1, got", step)
    _update(ADAMW, w, g, (m, v), step, (learning_rate, beta1, beta2, epsilon, weight_decay))


@njit
def nadam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon):  # noqa: PLR0913
    """
    Nesterov and Adam: w <- w - r (b1 m / (1 - b1^(t+1)) + (1 - b1) g / (1 - b1^t)) / (sqrt(v) + eps).

    Parameters
    ----------
    w, g, m, v, step, learning_rate, beta1, beta2, epsilon
        As in `adam_update`.

    Raises
    ------
    ValueError
        As `adam_update`.

    Notes
    -----
    Dozat (2016), with a constant b1; r = alpha sqrt(1 - b2^t).
    """
    if g.shape != w.shape or m.shape != w.shape or v.shape != w.shape:
        raise ValueError(
            "nadam_update: g, m and v must have the shape of w; (w, g, m, v) are", w.shape, g.shape, m.shape, v.shape
        )
    if step < 1:
        raise ValueError("nadam_update: step counts from 1, got", step)
    _update(NADAM, w, g, (m, v), step, (learning_rate, beta1, beta2, epsilon, 0.0))


@njit
def rmsprop_update(w, g, square, learning_rate, decay, epsilon):
    """
    RMSprop: s <- rho s + (1 - rho) g^2; w <- w - alpha g / (sqrt(s) + eps).

    Parameters
    ----------
    w : C-contiguous array, any shape
        Weights, updated in place.
    g : C-contiguous array of the same shape
        Gradient.
    square : C-contiguous array of the same shape
        s, updated in place; zeros before the first step.
    learning_rate, decay, epsilon : float
        alpha, rho in [0, 1), and eps.

    Raises
    ------
    ValueError
        `g` or `square` of another shape.
    """
    if g.shape != w.shape or square.shape != w.shape:
        raise ValueError(
            "rmsprop_update: g and square must have the shape of w; they are", w.shape, g.shape, square.shape
        )
    _update(RMSPROP, w, g, (square, square), 1, (learning_rate, 0.0, decay, epsilon, 0.0))


@njit
def rprop_update(w, g, before, size, learning_rate, shrink, grow):
    """
    Resilient backpropagation, by the signs of the gradient of all samples: w <- w - step sign g, a step per weight.

    Parameters
    ----------
    w : C-contiguous array, any shape
        Weights, updated in place.
    g : C-contiguous array of the same shape
        Gradient.
    before, size : C-contiguous array of the same shape
        The gradient of the update before and the steps, updated in place; zeros before the first step.
    learning_rate : float
        The first step.
    shrink, grow : float
        Factors of a step where the gradient has turned (0.5), and where it has not (1.2).

    Raises
    ------
    ValueError
        `g`, `before` or `size` of another shape.

    Notes
    -----
    Riedmiller and Braun (1993); without the step back of the first version (iRprop-): where the gradient has turned,
    the weight waits for one update. Steps stay between 1e-6 and 50.
    """
    if g.shape != w.shape or before.shape != w.shape or size.shape != w.shape:
        raise ValueError(
            "rprop_update: g, before and size must have the shape of w; they are",
            w.shape,
            g.shape,
            before.shape,
            size.shape,
        )
    _update(RPROP, w, g, (before, size), 1, (learning_rate, shrink, grow, 0.0, 0.0))


@njit
def clip_gradient(g, most):
    """
    Scale a gradient down where its length sqrt(sum g^2) is more than `most`, in place.

    Parameters
    ----------
    g : C-contiguous array, any shape
        Gradient; all parameters of a network together keep their direction.
    most : float
        Largest length.

    Returns
    -------
    float
        The length before.
    """
    flat = g.reshape(-1)
    length = np.sqrt(sum_of_squares(flat.size, flat, 0))
    if length > most:
        scale = g.dtype.type(most / length)
        for i in range(flat.size):
            flat[i] *= scale
    return length
