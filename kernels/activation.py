"""Activation functions f, and their derivatives f' written in the output a = f(z) (lecture L7, L27, L28)."""

import math

import numpy as np

from ._jit import jit

IDENTITY, LOGISTIC, TANH, RELU, SOFTMAX = 0, 1, 2, 3, 4
ACTIVATIONS = {"identity": IDENTITY, "logistic": LOGISTIC, "tanh": TANH, "relu": RELU, "softmax": SOFTMAX}


@jit
def activate_row(kind, z, a):
    """One sample: a = f(z), 1-D arrays of one length; `a` may be `z`. Unchecked."""
    one = z.dtype.type(1)
    if kind == LOGISTIC:
        # a = 1 / (1 + exp(-z))
        for j in range(z.size):
            a[j] = one / (one + math.exp(-z[j]))
    elif kind == TANH:
        for j in range(z.size):
            a[j] = math.tanh(z[j])
    elif kind == RELU:
        # max(0, z), written so that NaN stays NaN
        for j in range(z.size):
            a[j] = z.dtype.type(0) if z[j] < 0 else z[j]
    elif kind == SOFTMAX:
        # a_j = exp(z_j - max z) / sum_k exp(z_k - max z): the shift changes nothing and cannot overflow
        top = -z.dtype.type(np.inf)
        for j in range(z.size):
            top = max(top, z[j])
        total = z.dtype.type(0)
        for j in range(z.size):
            a[j] = math.exp(z[j] - top)
            total += a[j]
        for j in range(z.size):
            a[j] /= total
    else:
        for j in range(z.size):
            a[j] = z[j]


@jit
def multiply_derivative_row(kind, a, delta):
    """One sample: delta_j *= f'(z_j), from the outputs a_j; 1-D arrays of one length. Unchecked."""
    one = a.dtype.type(1)
    if kind == LOGISTIC:
        # f' = a (1 - a)
        for j in range(a.size):
            delta[j] *= a[j] * (one - a[j])
    elif kind == TANH:
        # f' = 1 - a^2
        for j in range(a.size):
            delta[j] *= one - a[j] * a[j]
    elif kind == RELU:
        # f' = 1 where a > 0, else 0; written so that a NaN is not hidden
        for j in range(a.size):
            delta[j] = a.dtype.type(0) if a[j] <= 0 else delta[j]


@jit
def activation_forward(kind, z, out):
    """
    Apply an activation function: a = f(z).

    Parameters
    ----------
    kind : int
        ``IDENTITY``, ``LOGISTIC`` 1/(1+exp(-z)), ``TANH``, ``RELU`` max(0, z) or ``SOFTMAX``
        exp(z_j)/sum_k exp(z_k) over each row.
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
        raise ValueError("activation_forward: kind must be one of the activation codes 0 to 4, got", kind)
    if out.shape != z.shape:
        raise ValueError("activation_forward: out must have the shape of z; (z, out) came as", z.shape, out.shape)
    for i in range(z.shape[0]):
        activate_row(kind, z[i], out[i])


@jit
def activation_derivative(kind, a, out):
    """
    Derivative f'(z) of an element-wise activation, from its output a = f(z).

    Parameters
    ----------
    kind : int
        ``IDENTITY`` (1), ``LOGISTIC`` a(1-a), ``TANH`` 1-a^2 or ``RELU`` (1 where a > 0, else 0).
    a : array, shape (n, d)
        Outputs of the activation.
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
        raise ValueError("activation_derivative: kind must be an element-wise activation code 0 to 3, got", kind)
    if out.shape != a.shape:
        raise ValueError("activation_derivative: out must have the shape of a; (a, out) came as", a.shape, out.shape)
    for i in range(a.shape[0]):
        for j in range(a.shape[1]):
            out[i, j] = 1
        multiply_derivative_row(kind, a[i], out[i])
