"""Functions of variables: the scalar steps without an operator (L15), activations (L7) and losses (L27)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from fastbp.kernels import node as kernel

from . import nodes
from .nodes import Array
from .variable import Variable, apply, read


def _variable(argument: str, x: Variable) -> Variable:
    if not isinstance(x, Variable):
        raise ValueError(f"{argument}: expected a Variable, got {type(x).__name__}")
    return x


def exp(x: Variable) -> Variable:
    """
    Exponential: y = e^x, element by element (L15). Backward: dx = e^x dy.

    Parameters
    ----------
    x : Variable

    Returns
    -------
    Variable
        Of the same shape.

    Raises
    ------
    ValueError
        Not a `Variable`.
    """
    return apply(nodes.EXP, _variable("x", x))


def reciprocal(x: Variable) -> Variable:
    """
    Reciprocal: y = 1/x, element by element (L15). Backward: dx = -dy/x^2.

    Parameters
    ----------
    x : Variable

    Returns
    -------
    Variable
        Of the same shape.

    Raises
    ------
    ValueError
        Not a `Variable`.
    """
    return apply(nodes.RECIPROCAL, _variable("x", x))


def logistic(z: Variable) -> Variable:
    """
    Logistic activation: a = 1 / (1 + e^-z), element by element (L7). Backward: dz = a (1 - a) da (L27).

    Parameters
    ----------
    z : Variable

    Returns
    -------
    Variable
        Of the same shape.

    Raises
    ------
    ValueError
        Not a `Variable`.
    """
    return apply(nodes.activation("logistic"), _variable("z", z))


def tanh(z: Variable) -> Variable:
    """
    Hyperbolic tangent: a = tanh z, element by element (L7). Backward: dz = (1 - a^2) da.

    Parameters
    ----------
    z : Variable

    Returns
    -------
    Variable
        Of the same shape.

    Raises
    ------
    ValueError
        Not a `Variable`.
    """
    return apply(nodes.activation("tanh"), _variable("z", z))


def relu(z: Variable) -> Variable:
    """
    Rectified linear unit: a = max(0, z), element by element (L7). Backward: dz = da if a > 0, otherwise 0.

    Parameters
    ----------
    z : Variable

    Returns
    -------
    Variable
        Of the same shape.

    Raises
    ------
    ValueError
        Not a `Variable`.
    """
    return apply(nodes.activation("relu"), _variable("z", z))


def softmax(z: Variable) -> Variable:
    """
    Softmax: a_j = e^z_j / sum_k e^z_k over each row. Backward: dz_j = a_j (da_j - sum_k a_k da_k).

    Parameters
    ----------
    z : Variable

    Returns
    -------
    Variable
        Of the same shape.

    Raises
    ------
    ValueError
        Not a `Variable`.
    """
    return apply(nodes.activation("softmax"), _variable("z", z))


def squared_error(A: Variable, Y: ArrayLike) -> Variable:
    """
    J = 1/2 sum (a - y)^2 over all samples and outputs; backward dA = A - Y (L27).

    Parameters
    ----------
    A : Variable
        Outputs.
    Y : number or array-like of the shape of A
        Targets.

    Returns
    -------
    Variable
        A scalar.

    Raises
    ------
    ValueError
        Different shapes, or targets that are not plain numbers.
    """
    targets = _targets("squared_error", A, Y)
    forward, backward = kernel.squared_error_forward, kernel.squared_error_backward
    return apply(nodes.loss("squared error", "½Σ(a−y)²", forward, backward, targets), A)


def log_loss(A: Variable, Y: ArrayLike) -> Variable:
    """
    J = -sum y log a over all samples and classes; backward dA = -Y/A. For outputs of `softmax`.

    Parameters
    ----------
    A : Variable, shape (n, classes)
        Probabilities.
    Y : array-like, shape (n, classes)
        Targets: 1 in the column of the class, otherwise 0.

    Returns
    -------
    Variable
        A scalar.

    Raises
    ------
    ValueError
        Different shapes, or targets that are not plain numbers.
    """
    targets = _targets("log_loss", A, Y)
    return apply(nodes.loss("log-loss", "−Σ y log a", kernel.log_loss_forward, kernel.log_loss_backward, targets), A)


def binary_log_loss(A: Variable, Y: ArrayLike) -> Variable:
    """
    J = -sum y log a + (1 - y) log(1 - a); backward dA = (1 - Y)/(1 - A) - Y/A. For outputs of `logistic`.

    Parameters
    ----------
    A : Variable
        Probabilities.
    Y : number or array-like of the shape of A
        Targets 0 and 1.

    Returns
    -------
    Variable
        A scalar.

    Raises
    ------
    ValueError
        Different shapes, or targets that are not plain numbers.
    """
    targets = _targets("binary_log_loss", A, Y)
    forward, backward = kernel.binary_log_loss_forward, kernel.binary_log_loss_backward
    return apply(nodes.loss("binary log-loss", "−Σ y log a + (1−y) log(1−a)", forward, backward, targets), A)


def _targets(loss: str, A: Variable, Y: ArrayLike) -> Array:
    _variable("A", A)
    targets = np.array(read("Y", Y), A.dtype)  # a copy, so that the node's targets cannot change
    if targets.shape != A.shape:
        raise ValueError(f"Y: expected targets of shape {A.shape} for {loss}, as A has, got {targets.shape}")
    return targets
