"""What each node of the graph computes on arrays, forward and backward: thin calls of `fastbp.kernels.node`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels
from fastbp.kernels import node as kernel

Array = NDArray[Any]


class Node(NamedTuple):
    """
    One kind of node.

    Attributes
    ----------
    name : str
        Its name in messages.
    symbol : str
        Its label in drawings.
    forward : callable
        ``Y = forward(*X)``, a new array from the values of the inputs.
    backward : callable
        ``dX = backward(dY, Y, *X)``, a new array for each input.
    """

    name: str
    symbol: str
    forward: Callable[..., Array]
    backward: Callable[..., tuple[Array, ...]]


def _matrix(x: Array) -> Array:
    """Return the array in the one form that the kernels are compiled for: two axes, contiguous, read-only."""
    view = np.ascontiguousarray(x).reshape(x.shape if x.ndim == 2 else (1, x.size))
    view.flags.writeable = False
    return view


def _call(write: Any, *arguments: Array | float | int, out: tuple[Array, ...]) -> tuple[Array, ...]:
    """Call a kernel that writes to new arrays with the shapes of `out`, and return them."""
    results = tuple(np.empty(x.shape, x.dtype) for x in out)
    matrices = [r.reshape(r.shape if r.ndim == 2 else (1, r.size)) for r in results]
    write(*(_matrix(x) if isinstance(x, np.ndarray) else x for x in arguments), *matrices)
    return results


def _scalar(value: float, like: Array) -> Array:
    return np.array(value, like.dtype)


def _element_wise(name: str, symbol: str, forward: Any, backward: Callable[..., tuple[Array, ...]]) -> Node:
    """Return a node whose value has the shape of its inputs."""
    return Node(name, symbol, lambda *X: _call(forward, *X, out=X[:1])[0], backward)


# The lecture's nodes for matrices (L20 to L24); the copy node (L19) is `add_copies` below.

ADD = _element_wise(
    "addition", "+", kernel.add_forward, lambda dY, Y, X1, X2: _call(kernel.add_backward, dY, out=(X1, X2))
)
MULTIPLY = _element_wise(
    "element-wise multiplication",
    "⊙",
    kernel.multiply_forward,
    lambda dY, Y, X1, X2: _call(kernel.multiply_backward, dY, X1, X2, out=(X1, X2)),
)
TRANSPOSE = Node(
    "transpose",
    "T",
    lambda X: _call(kernel.transpose_forward, X, out=(X.T,))[0],
    lambda dY, Y, X: _call(kernel.transpose_backward, dY, out=(X,)),
)


def _add_bias(X: Array, b: Array) -> Array:
    out = np.empty(X.shape, X.dtype)
    kernel.add_bias_forward(_matrix(X), _matrix(b)[0], out)
    return out


def _add_bias_backward(dY: Array, Y: Array, X: Array, b: Array) -> tuple[Array, Array]:
    dX, db = np.empty(X.shape, X.dtype), np.empty(b.shape, b.dtype)
    kernel.add_bias_backward(_matrix(dY), dX, db)
    return dX, db


ADD_BIAS = Node("add-bias", "+ b", _add_bias, _add_bias_backward)


def _operands(X: Array, W: Array) -> tuple[Array, Array]:
    """The operands as matrices: a vector on the left is a row, a vector on the right is a column."""
    return _matrix(X), _matrix(W) if W.ndim == 2 else _matrix(W[:, None])


def _matmul(X: Array, W: Array) -> Array:
    rows, columns = _operands(X, W)
    out = np.empty((rows.shape[0], columns.shape[1]), X.dtype)
    kernel.matmul_forward(rows, columns, out)
    return out.reshape(X.shape[:-1] + W.shape[1:])


def _matmul_backward(dY: Array, Y: Array, X: Array, W: Array) -> tuple[Array, Array]:
    rows, columns = _operands(X, W)
    dX, dW = np.empty(rows.shape, X.dtype), np.empty(columns.shape, W.dtype)
    kernel.matmul_backward(_matrix(dY.reshape(len(rows), columns.shape[1])), rows, columns, dX, dW)
    return dX.reshape(X.shape), dW.reshape(W.shape)


MATMUL = Node("matmul", "@", _matmul, _matmul_backward)


# The lecture's scalar steps (L15), element by element

NEGATE = _element_wise(
    "negation", "−", kernel.negate_forward, lambda dY, Y, X: _call(kernel.negate_backward, dY, out=(X,))
)
EXP = _element_wise(
    "exponential", "exp", kernel.exp_forward, lambda dY, Y, X: _call(kernel.exp_backward, dY, Y, out=(X,))
)
RECIPROCAL = _element_wise(
    "reciprocal", "1/x", kernel.reciprocal_forward, lambda dY, Y, X: _call(kernel.reciprocal_backward, dY, X, out=(X,))
)


def shift(c: float) -> Node:
    """Return the node c + x."""
    return Node(
        "shift",
        f"{c:.4g} + x",
        lambda X: _call(kernel.shift_forward, c, X, out=(X,))[0],
        lambda dY, Y, X: _call(kernel.shift_backward, dY, out=(X,)),
    )


def scale(a: float) -> Node:
    """Return the node a x."""
    return Node(
        "scale",
        f"{a:.4g} · x",
        lambda X: _call(kernel.scale_forward, a, X, out=(X,))[0],
        lambda dY, Y, X: _call(kernel.scale_backward, dY, a, out=(X,)),
    )


# Activations and losses


def activation(name: str) -> Node:
    """Return the node f(z) of an activation."""
    kind = kernels.ACTIVATIONS[name]
    return Node(
        name,
        name,
        lambda Z: _call(kernel.activation_forward, kind, Z, out=(Z,))[0],
        lambda dA, A, Z: _call(kernel.activation_backward, kind, A, dA, out=(Z,)),
    )


SUM = Node(
    "sum",
    "Σ",
    lambda X: _scalar(kernel.sum_forward(_matrix(X)), X),
    lambda dJ, J, X: _call(kernel.sum_backward, float(dJ), out=(X,)),
)


def loss(name: str, symbol: str, forward: Any, backward: Any, Y: Array) -> Node:
    """Return the node of a loss J(a) for the targets Y."""
    return Node(
        name,
        symbol,
        lambda A: _scalar(forward(_matrix(A), _matrix(Y)), A),
        lambda dJ, J, A: _call(backward, float(dJ), A, Y, out=(A,)),
    )


def add_copies(gradients: list[Array]) -> Array:
    """Copy node, backward: dX = sum_k dY_k, the sum of the gradients from all uses of a value (L17, L19)."""
    total = gradients[0]
    for dY in gradients[1:]:
        (total,) = _call(kernel.copy_backward, total, dY, out=(total,))
    return total
