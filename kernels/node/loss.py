"""The losses as nodes of the computation graph: J, summed over samples and outputs, and its gradient in the outputs."""

import numpy as np

from ..compiler.jit import inner, njit, python_or_compiled
from ..layer.activation import IDENTITY, LOGISTIC, SOFTMAX
from ..layer.evaluation import row_space, sample_loss
from ..layer.loss import LOG_LOSS, NO_DECISION, SQUARED_ERROR


@inner(arrays=True)
def _total(loss, activation, A, Y):
    """Sum of the losses of all samples. Unchecked."""
    space, results = row_space(A), np.zeros(2)
    for i in range(A.shape[0]):
        sample_loss((loss, activation, NO_DECISION), space, A[i], Y[i], 1, space, results)
    return results[0]


@njit
def squared_error_forward(A, Y):
    """
    Squared-error node, forward: J = 1/2 sum_nk (a_nk - y_nk)^2 (L27).

    Parameters
    ----------
    A, Y : array, shape (n, d)
        Outputs and targets.

    Returns
    -------
    float
        Summed in float64.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if Y.shape != A.shape:
        raise ValueError("squared_error_forward: Y must have the shape of A; (A, Y) are", A.shape, Y.shape)
    return _total(SQUARED_ERROR, IDENTITY, A, Y)


@njit
def squared_error_backward(dJ, A, Y, dA):
    """
    Squared-error node, backward: da_nk = dJ (a_nk - y_nk), the lecture's e_k (L27).

    Parameters
    ----------
    dJ : float
    A, Y : array, shape (n, d)
    dA : array, shape (n, d)
        Overwritten. May be `A` or `Y`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if Y.shape != A.shape or dA.shape != A.shape:
        raise ValueError(
            "squared_error_backward: Y and dA must have the shape of A; (A, Y, dA) are", A.shape, Y.shape, dA.shape
        )
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            # e_k = a_k - y_k
            dA[i, k] = A.dtype.type(dJ) * (A[i, k] - Y[i, k])


@njit
def log_loss_forward(A, Y):
    """
    Log-loss node, forward: J = -sum_nk y_nk log a_nk, for outputs that are probabilities of classes (softmax).

    Parameters
    ----------
    A, Y : array, shape (n, d)
        Probabilities and targets: each row of either sums to 1.

    Returns
    -------
    float
        Summed in float64. A probability below the machine epsilon counts as the epsilon.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if Y.shape != A.shape:
        raise ValueError("log_loss_forward: Y must have the shape of A; (A, Y) are", A.shape, Y.shape)
    return _total(LOG_LOSS, SOFTMAX, A, Y)


@njit
def log_loss_backward(dJ, A, Y, dA):
    """
    Log-loss node, backward: da_nk = -dJ y_nk / a_nk.

    Parameters
    ----------
    dJ : float
    A, Y : array, shape (n, d)
    dA : array, shape (n, d)
        Overwritten. May be `A` or `Y`.

    Raises
    ------
    ValueError
        Shapes that differ.

    Notes
    -----
    A probability below the machine epsilon counts as the epsilon, so a unit that underflowed to 0 passes on gradient 0;
    `fastbp.kernels.output_delta`, which takes loss and activation together, keeps a - y.
    """
    if Y.shape != A.shape or dA.shape != A.shape:
        raise ValueError(
            "log_loss_backward: Y and dA must have the shape of A; (A, Y, dA) are", A.shape, Y.shape, dA.shape
        )
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            # d(-y log a)/da = -y / a
            dA[i, k] = -A.dtype.type(dJ) * Y[i, k] / _at_least_epsilon(A[i, k])


@njit
def binary_log_loss_forward(A, Y):
    """
    Binary log-loss node, forward: J = -sum_nk y_nk log a_nk + (1 - y_nk) log(1 - a_nk), for independent outputs.

    Parameters
    ----------
    A, Y : array, shape (n, d)
        Probabilities and targets, in [0, 1].

    Returns
    -------
    float
        Summed in float64. A probability below the machine epsilon counts as the epsilon.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if Y.shape != A.shape:
        raise ValueError("binary_log_loss_forward: Y must have the shape of A; (A, Y) are", A.shape, Y.shape)
    return _total(LOG_LOSS, LOGISTIC, A, Y)


@njit
def binary_log_loss_backward(dJ, A, Y, dA):
    """
    Binary log-loss node, backward: da_nk = dJ ((1 - y_nk) / (1 - a_nk) - y_nk / a_nk).

    Parameters
    ----------
    dJ : float
    A, Y : array, shape (n, d)
    dA : array, shape (n, d)
        Overwritten. May be `A` or `Y`.

    Raises
    ------
    ValueError
        Shapes that differ.

    Notes
    -----
    Probabilities near 0 and 1 as in `log_loss_backward`.
    """
    if Y.shape != A.shape or dA.shape != A.shape:
        raise ValueError(
            "binary_log_loss_backward: Y and dA must have the shape of A; (A, Y, dA) are", A.shape, Y.shape, dA.shape
        )
    one = A.dtype.type(1)
    for i in range(A.shape[0]):
        for k in range(A.shape[1]):
            a, y = A[i, k], Y[i, k]
            # d(-y log a - (1 - y) log(1 - a))/da = (1 - y) / (1 - a) - y / a
            dA[i, k] = A.dtype.type(dJ) * ((one - y) / _at_least_epsilon(one - a) - y / _at_least_epsilon(a))


@python_or_compiled
def _at_least_epsilon(p):
    """Return p, or the machine epsilon where p is below it; NaN stays."""
    tiny = np.finfo(type(p)).eps
    return tiny if p < tiny else p
