"""Nodes whose values are matrices: copies, sums, products, activations, and those of the loss functions' inputs."""

from ..compiler.jit import njit
from ..compiler.memory import steps
from ..layer.activation import SOFTMAX, multiply_derivative
from ..layer.backprop import bias_gradient
from ..product.matmul import multiply as product


@njit
def copy_forward(X, out):
    """
    Copy node, forward: Y = X, once for each place where X is used (L19).

    Parameters
    ----------
    X : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if out.shape != X.shape:
        raise ValueError("copy_forward: out must have the shape of X; (X, out) are", X.shape, out.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = X[i, j]


@njit
def copy_backward(dY1, dY2, out):
    """
    Copy node, backward: dX = dY1 + dY2, the gradients of two copies (L19; more copies are added one by one).

    Parameters
    ----------
    dY1, dY2 : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with dX. May be `dY1` or `dY2`.

    Raises
    ------
    ValueError
        Shapes that differ.

    Notes
    -----
    The multivariable chain rule (L17): dz/dx = sum_i dz/dy_i dy_i/dx, here with dy_i/dx = 1.
    """
    if dY2.shape != dY1.shape or out.shape != dY1.shape:
        raise ValueError(
            "copy_backward: dY1, dY2 and out must have one shape; they are", dY1.shape, dY2.shape, out.shape
        )
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            # dX = sum_k dY_k
            out[i, j] = dY1[i, j] + dY2[i, j]


@njit
def add_forward(X1, X2, out):
    """
    Addition node, forward: Y = X1 + X2 (L20).

    Parameters
    ----------
    X1, X2 : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y. May be `X1` or `X2`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if X2.shape != X1.shape or out.shape != X1.shape:
        raise ValueError("add_forward: X1, X2 and out must have one shape; they are", X1.shape, X2.shape, out.shape)
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = X1[i, j] + X2[i, j]


@njit
def add_backward(dY, dX1, dX2):
    """
    Addition node, backward: dX1 = dY and dX2 = dY (L20).

    Parameters
    ----------
    dY : array, shape (n, d)
    dX1, dX2 : array, shape (n, d)
        Overwritten.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if dX1.shape != dY.shape or dX2.shape != dY.shape:
        raise ValueError(
            "add_backward: dX1 and dX2 must have the shape of dY; (dY, dX1, dX2) are", dY.shape, dX1.shape, dX2.shape
        )
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            dX1[i, j] = dY[i, j]
            dX2[i, j] = dY[i, j]


@njit
def transpose_forward(X, out):
    """
    Transpose node, forward: Y = X^T (L21).

    Parameters
    ----------
    X : array, shape (n, d)
    out : array, shape (d, n)
        Overwritten with Y. Must not overlap `X`.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    if out.shape[0] != X.shape[1] or out.shape[1] != X.shape[0]:
        raise ValueError("transpose_forward: out must have the shape of X turned; (X, out) are", X.shape, out.shape)
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[j, i] = X[i, j]


@njit
def transpose_backward(dY, dX):
    """
    Transpose node, backward: dX = dY^T (L21).

    Parameters
    ----------
    dY : array, shape (d, n)
    dX : array, shape (n, d)
        Overwritten. Must not overlap `dY`.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    transpose_forward(dY, dX)


@njit
def multiply_forward(X1, X2, out):
    """
    Element-wise multiplication node, forward: y_ij = x1_ij x2_ij (L22).

    Parameters
    ----------
    X1, X2 : array, shape (n, d)
    out : array, shape (n, d)
        Overwritten with Y. May be `X1` or `X2`.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if X2.shape != X1.shape or out.shape != X1.shape:
        raise ValueError(
            "multiply_forward: X1, X2 and out must have one shape; they are", X1.shape, X2.shape, out.shape
        )
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[i, j] = X1[i, j] * X2[i, j]


@njit
def multiply_backward(dY, X1, X2, dX1, dX2):
    """
    Element-wise multiplication node, backward: dX1 = dY * X2 and dX2 = dY * X1, element by element (L22).

    Parameters
    ----------
    dY, X1, X2 : array, shape (n, d)
    dX1, dX2 : array, shape (n, d)
        Overwritten. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes that differ.
    """
    if X1.shape != dY.shape or X2.shape != dY.shape or dX1.shape != dY.shape or dX2.shape != dY.shape:
        raise ValueError(
            "multiply_backward: all arrays must have the shape of dY; (dY, X1, X2, dX1, dX2) are",
            dY.shape,
            X1.shape,
            X2.shape,
            dX1.shape,
            dX2.shape,
        )
    for i in range(dY.shape[0]):
        for j in range(dY.shape[1]):
            dX1[i, j] = dY[i, j] * X2[i, j]
            dX2[i, j] = dY[i, j] * X1[i, j]


@njit
def add_bias_forward(X, b, out):
    """
    Add-bias node, forward: y_ij = x_ij + b_j, one bias for each column (L23).

    Parameters
    ----------
    X : array, shape (n, d)
    b : array, shape (d,)
    out : array, shape (n, d)
        Overwritten with Y. May be `X`.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    if b.shape[0] != X.shape[1] or out.shape != X.shape:
        raise ValueError(
            "add_bias_forward: expected X (n, d), b (d,) and out (n, d); they are", X.shape, b.shape, out.shape
        )
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            out[i, j] = X[i, j] + b[j]


@njit
def add_bias_backward(dY, dX, db):
    """
    Add-bias node, backward: dX = dY and db_j = sum_i dy_ij, over the samples (L23).

    Parameters
    ----------
    dY : array, shape (n, d)
    dX : array, shape (n, d)
        Overwritten.
    db : array, shape (d,)
        Overwritten. Must not overlap `dY`.

    Raises
    ------
    ValueError
        Shapes that do not fit.
    """
    if dX.shape != dY.shape or db.shape[0] != dY.shape[1]:
        raise ValueError(
            "add_bias_backward: expected dY (n, d), dX (n, d) and db (d,); they are", dY.shape, dX.shape, db.shape
        )
    copy_forward(dY, dX)
    bias_gradient(dY, db)


@njit
def matmul_backward(dY, X, W, dX, dW):
    """
    Matmul node, backward: dX = dY W^T and dW = X^T dY (L24).

    Parameters
    ----------
    dY : array, shape (n, m)
    X : array, shape (n, k)
    W : array, shape (k, m)
    dX : array, shape (n, k)
        Overwritten. Must not overlap the others.
    dW : array, shape (k, m)
        Overwritten. Must not overlap the others.

    Raises
    ------
    ValueError
        Shapes that do not fit.

    Notes
    -----
    4 n k m flops.
    """
    if X.shape[1] != W.shape[0] or dY.shape[0] != X.shape[0] or dY.shape[1] != W.shape[1]:
        raise ValueError(
            "matmul_backward: expected dY (n, m), X (n, k) and W (k, m); they are", dY.shape, X.shape, W.shape
        )
    if dX.shape != X.shape or dW.shape != W.shape:
        raise ValueError(
            "matmul_backward: dX and dW must have the shapes of X and W; (X, W, dX, dW) are",
            X.shape,
            W.shape,
            dX.shape,
            dW.shape,
        )
    product(dY, W.T, dX, 1, False)
    product(X.T, dY, dW, 1, False)


@njit
def activation_backward(kind, A, dA, dZ):
    """
    Activation node, backward: dz_ij = f'(z_ij) da_ij, from the node's value A = f(Z) (L7, L25).

    Parameters
    ----------
    kind : int
        Code of the activation; for ``SOFTMAX`` dz_ij = a_ij (da_ij - sum_k a_ik da_ik).
    A, dA : array, shape (n, d)
        A: the inputs Z for ``GELU``, ``SILU`` and ``MISH``.
    dZ : array, shape (n, d)
        Overwritten. May be `dA`.

    Raises
    ------
    ValueError
        Unknown `kind`, or shapes that differ.
    """
    if kind < 0 or kind > SOFTMAX:
        raise ValueError("activation_backward: kind must be one of the codes of ACTIVATIONS, got", kind)
    if dA.shape != A.shape or dZ.shape != A.shape:
        raise ValueError(
            "activation_backward: dA and dZ must have the shape of A; (A, dA, dZ) are", A.shape, dA.shape, dZ.shape
        )
    for i in range(A.shape[0]):
        mean = A.dtype.type(0)
        if kind == SOFTMAX:
            for j in range(A.shape[1]):
                mean += A[i, j] * dA[i, j]
        for j in range(A.shape[1]):
            dZ[i, j] = A[i, j] * (dA[i, j] - mean) if kind == SOFTMAX else dA[i, j]
        if kind != SOFTMAX:
            multiply_derivative(kind, A.shape[1], (A[i], 0, steps(A)[1]), (dZ[i], 0, steps(dZ)[1]))


@njit
def sum_forward(X):
    """
    Sum node, forward: J = sum_ij x_ij.

    Parameters
    ----------
    X : array, shape (n, d)

    Returns
    -------
    float
        Summed in float64.
    """
    total = 0.0
    for i in range(X.shape[0]):
        for j in range(X.shape[1]):
            total += X[i, j]
    return total


@njit
def sum_backward(dJ, dX):
    """
    Sum node, backward: dx_ij = dJ.

    Parameters
    ----------
    dJ : float
    dX : array, shape (n, d)
        Overwritten.
    """
    for i in range(dX.shape[0]):
        for j in range(dX.shape[1]):
            dX[i, j] = dJ
