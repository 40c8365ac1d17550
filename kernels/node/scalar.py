"""The scalar steps of the computation graph (L15): 1/x, c + x, e^x, a x and -x, for every element of a matrix."""

from ..compiler.jit import njit
from ..layer.ufunc import exp


@njit
def reciprocal_forward(X, out):
    """
    Reciprocal node, forward: y = 1/x (L15).

    Parameters
    ----------
    X : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y. May be `X`.

    Raises
    ------
    ValueError
        Shapes that differ.

    Notes
    -----
    Infinity where x is 0.
    """
    if out.shape != X.shape:
        raise ValueError("reciprocal_forward: out must have the shape of X; (X, out) are", X.shape, out.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = X.dtype.type(1) / X[i, j]


@njit
def reciprocal_backward(dY, X, dX):
    """
    Reciprocal node, backward: dx = -dy/x^2 (L15).

    Parameters
    ----------
    dY, X : array, shape (n, d)
    dX : array, shape (n, d)
        Overwritten. May be `dY`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if X.shape != dY.shape or dX.shape != dY.shape:
        raise ValueError(
            "reciprocal_backward: X and dX must have the shape of dY; (dY, X, dX) are", dY.shape, X.shape, dX.shape
        )
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            # d(1/x)/dx = -1/x^2
            dX[i, j] = -dY[i, j] / (X[i, j] * X[i, j])


@njit
def shift_forward(c, X, out):
    """
    Shift node, forward: y = c + x (L15).

    Parameters
    ----------
    c : float
    X : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y. May be `X`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if out.shape != X.shape:
        raise ValueError("shift_forward: out must have the shape of X; (X, out) are", X.shape, out.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = X.dtype.type(c) + X[i, j]


@njit
def shift_backward(dY, dX):
    """
    Shift node, backward: dx = dy (L15).

    Parameters
    ----------
    dY : array, shape (n, d)
    dX : array, shape (n, d)
        Overwritten. May be `dY`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if dX.shape != dY.shape:
        raise ValueError("shift_backward: dX must have the shape of dY; (dY, dX) are", dY.shape, dX.shape)
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            # d(c + x)/dx = 1
            dX[i, j] = dY[i, j]


@njit
def exp_forward(X, out):
    """
    Exponential node, forward: y = e^x (L15).

    Parameters
    ----------
    X : C-contiguous array, shape (n, d)
    out : C-contiguous array, shape (n, d)
        Overwritten with Y. May be `X`.

    Raises
    ------
    ValueError
        Shapes that differ.
    numba.core.errors.TypingError
        An array that is not C-contiguous.

    Notes
    -----
    This is `fastbp.kernels.exp`: error at most 1 ulp.
    """
    exp(X, out)


@njit
def exp_backward(dY, Y, dX):
    """
    Exponential node, backward: dx = dy e^x, from the node's value Y = e^X (L15).

    Parameters
    ----------
    dY, Y : array, shape (n, d)
    dX : array, shape (n, d)
        Overwritten. May be `dY`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if Y.shape != dY.shape or dX.shape != dY.shape:
        raise ValueError(
            "exp_backward: Y and dX must have the shape of dY; (dY, Y, dX) are", dY.shape, Y.shape, dX.shape
        )
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            # de^x/dx = e^x
            dX[i, j] = dY[i, j] * Y[i, j]


@njit
def scale_forward(a, X, out):
    """
    Scale node, forward: y = a x (L15).

    Parameters
    ----------
    a : float
    X : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y. May be `X`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if out.shape != X.shape:
        raise ValueError("scale_forward: out must have the shape of X; (X, out) are", X.shape, out.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = X.dtype.type(a) * X[i, j]


@njit
def scale_backward(dY, a, dX):
    """
    Scale node, backward: dx = a dy (L15).

    Parameters
    ----------
    dY : array, shape (n, d)
    a : float
    dX : array, shape (n, d)
        Overwritten. May be `dY`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    scale_forward(a, dY, dX)


@njit
def negate_forward(X, out):
    """
    Negation node, forward: y = -x (L16).

    Parameters
    ----------
    X : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y. May be `X`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if out.shape != X.shape:
        raise ValueError("negate_forward: out must have the shape of X; (X, out) are", X.shape, out.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = -X[i, j]


@njit
def negate_backward(dY, dX):
    """
    Negation node, backward: dx = -dy (L16).

    Parameters
    ----------
    dY : array, shape (n, d)
    dX : array, shape (n, d)
        Overwritten. May be `dY`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    negate_forward(dY, dX)
