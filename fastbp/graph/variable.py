"""Variables of the computation graph: every operator adds a node, and `backward` visits the nodes in reverse."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import nodes
from .nodes import Array, Node


def read(argument: str, value: ArrayLike) -> Array:
    """
    Numbers as an array of float32 or float64; integers become float64.

    Raises
    ------
    ValueError
        Not real numbers, or more than two axes.
    """
    if isinstance(value, Variable):
        raise ValueError(f"{argument}: expected numbers, got a Variable; pass its .value")
    try:
        array = np.asarray(value)
    except ValueError:
        expected = "a scalar, a vector or a matrix of numbers"
        raise ValueError(f"{argument}: expected {expected}, got rows of different lengths") from None
    if array.dtype.kind in "biu":
        array = array.astype(np.float64)
    if array.dtype not in (np.float32, np.float64):
        raise ValueError(f"{argument}: expected real numbers (float32, float64 or integers), got dtype {array.dtype}")
    if array.ndim > 2:
        raise ValueError(f"{argument}: expected a scalar, a vector or a matrix, got shape {array.shape}")
    return array.astype(array.dtype.newbyteorder("="), copy=False)


class Variable:
    """
    A value in a computation graph, and dJ/dvalue after `backward`.

    Parameters
    ----------
    value : number or array-like, shape (), (d,) or (n, d)
        float32 stays float32, everything else becomes float64. An array is not copied. Change it only between a
        `backward` and its next use: `backward` raises an error if values have changed since they were used.
    name : str, optional
        For drawings and messages.

    Attributes
    ----------
    value : array
        Read-only if a node has computed it; otherwise you may set it.
    grad : array of the same shape, or None
        dJ/dvalue from the last `backward` that reached this variable (lecture L18). It replaces the previous one: to
        add the gradients of several losses, call `backward` on their sum.

    Notes
    -----
    Operators are NumPy's: ``X @ W``, ``X + Y``, ``X - Y``, ``X * Y``, ``X / Y``, ``-X``, ``X.T``, ``X.sum()``. Only
    numbers (the lecture's c + x and a x, L15) and the bias of a layer, (n, d) + (d,), are broadcast; the gradient of
    the bias is summed over the samples (L23). Plain numbers and arrays among the operands are constants with the dtype
    of the variable.

    Examples
    --------
    >>> from fastbp import graph
    >>> x, y = graph.Variable(6), graph.Variable(-2)
    >>> f = x * y
    >>> f.backward()
    >>> float(f), float(x.grad), float(y.grad)
    (-12.0, -2.0, 6.0)
    """

    __array_ufunc__ = None  # array + variable uses the operators below

    def __init__(self, value: ArrayLike, name: str | None = None) -> None:
        if name is not None and not isinstance(name, str):
            raise ValueError(f"name: expected text, got {name!r}")
        self._value = read("value", value)
        self.name = name
        self.grad: Array | None = None
        self._constant = False
        self._node: Node | None = None
        self._inputs: tuple[Variable, ...] = ()
        self._digests: tuple[int, ...] = ()  # of the inputs as they were when the node used them
        self._input_grads: tuple[Array, ...] | None = None  # one per input, after `backward`

    def __repr__(self) -> str:
        name = "" if self.name is None else f", name={self.name!r}"
        return f"Variable({np.array2string(self.value, separator=', ', prefix='Variable(', threshold=20)}{name})"

    @property
    def value(self) -> Array:
        """The numbers."""
        return self._value

    @value.setter
    def value(self, value: ArrayLike) -> None:
        if self._node is not None:
            raise ValueError(f"value: expected a variable without inputs, got the result of {self._node.name}")
        array = read("value", value).astype(self.dtype, copy=False)
        if array.shape != self.shape:
            raise ValueError(f"value: expected shape {self.shape} as before, got {array.shape}")
        self._value = array

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the value."""
        return self._value.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 or float64."""
        return self._value.dtype

    def __float__(self) -> float:
        if self.shape:
            raise TypeError(f"only a scalar can be a float, this variable has shape {self.shape}")
        return float(self._value)

    # Operators

    def __add__(self, other: Variable | ArrayLike) -> Variable:
        if _is_number(other):
            return apply(nodes.shift(float(other)), self)  # type: ignore[arg-type]
        return _add(self, self._operand("addition", other))

    def __radd__(self, other: ArrayLike) -> Variable:
        return self + other if _is_number(other) else _add(self._operand("addition", other), self)

    def __neg__(self) -> Variable:
        return apply(nodes.NEGATE, self)

    def __sub__(self, other: Variable | ArrayLike) -> Variable:
        return self + (-other if isinstance(other, Variable) else -read("subtraction", other))

    def __rsub__(self, other: ArrayLike) -> Variable:
        return -self + other

    def __mul__(self, other: Variable | ArrayLike) -> Variable:
        if _is_number(other):
            return apply(nodes.scale(float(other)), self)  # type: ignore[arg-type]
        return _multiply(self, self._operand("element-wise multiplication", other))

    def __rmul__(self, other: ArrayLike) -> Variable:
        if _is_number(other):
            return self * other
        return _multiply(self._operand("element-wise multiplication", other), self)

    def __truediv__(self, other: Variable | ArrayLike) -> Variable:
        if isinstance(other, Variable):
            return self * apply(nodes.RECIPROCAL, other)
        divisor = read("division", other)
        if not divisor.all():
            raise ValueError("division: expected a divisor without zeros, got one with a 0")
        return self * (1 / divisor)

    def __rtruediv__(self, other: ArrayLike) -> Variable:
        reciprocal = apply(nodes.RECIPROCAL, self)
        return reciprocal if _is_number(other) and float(other) == 1 else reciprocal * other  # type: ignore[arg-type]

    def __matmul__(self, other: Variable | ArrayLike) -> Variable:
        return _matmul(self, self._operand("matmul", other))

    def __rmatmul__(self, other: ArrayLike) -> Variable:
        return _matmul(self._operand("matmul", other), self)

    @property
    def T(self) -> Variable:  # noqa: N802 (as in NumPy)
        """The transposed matrix (L21)."""
        if len(self.shape) != 2:
            raise ValueError(f"transpose: expected a matrix, got {_described(self)}")
        return apply(nodes.TRANSPOSE, self)

    def sum(self) -> Variable:
        """Sum of all elements, a scalar."""
        return apply(nodes.SUM, self)

    def _operand(self, node: str, other: Variable | ArrayLike) -> Variable:
        """The other operand; a plain array becomes a constant of this variable's dtype."""
        if isinstance(other, Variable):
            return other
        constant = Variable(read(node, other).astype(self.dtype, copy=False))
        constant._constant = True
        return constant

    # Backward

    def backward(self, gradient: ArrayLike | None = None) -> None:
        """
        Set `grad` of every variable that this one, J, was computed from to dJ/dvariable.

        Parameters
        ----------
        gradient : array-like of this variable's shape, optional
            The gradient from above; 1 by default for a scalar, required for a vector or matrix.

        Raises
        ------
        ValueError
            No `gradient` for a variable that is not a scalar, or one of another shape.
        RuntimeError
            `backward` has already visited a node, or an array was changed in place after a node had used it.

        Notes
        -----
        Lecture L14, L17 to L19: visits the nodes in reverse order, and adds the gradients of a value that is used
        several times.
        """
        if gradient is None and self.shape:
            advice = "take a loss or .sum() of it, or pass the gradient from above"
            raise ValueError(f"backward: expected a scalar, got {_described(self)}; {advice}")
        above = np.ones((), self.dtype) if gradient is None else read("gradient", gradient).astype(self.dtype)
        if above.shape != self.shape:
            raise ValueError(f"gradient: expected shape {self.shape}, as the variable has, got {above.shape}")
        order = computed_from(self)
        for variable in order:
            variable._check_unchanged()
        grads: dict[int, list[Array]] = {id(self): [above]}
        for variable in reversed(order):
            grad = nodes.add_copies(grads.pop(id(variable)))
            grad.flags.writeable = False
            if variable._constant:
                continue
            variable.grad = grad
            if variable._node is not None:
                values = (x.value for x in variable._inputs)
                variable._input_grads = variable._node.backward(grad, variable.value, *values)
                for x, dx in zip(variable._inputs, variable._input_grads, strict=True):
                    grads.setdefault(id(x), []).append(dx)

    def _check_unchanged(self) -> None:
        if self._input_grads is not None:
            raise RuntimeError(
                f"backward: has already visited {_described(self)}; compute the forward pass again, "
                "or call backward once, on the sum of the losses"
            )
        for x, digest in zip(self._inputs, self._digests, strict=True):
            if x._node is None and _digest(x.value) != digest:
                assert self._node is not None
                raise RuntimeError(
                    f"backward: {_described(x)} was changed after {self._node.name} had used it; "
                    "compute the forward pass again after the change"
                )


def apply(node: Node, *inputs: Variable) -> Variable:
    """
    Compute a node's value, and remember how.

    Raises
    ------
    ValueError
        The inputs have different dtypes.
    """
    for x in inputs[1:]:
        if x.dtype != inputs[0].dtype:
            raise ValueError(f"{node.name}: expected variables of one dtype, got {inputs[0].dtype} and {x.dtype}")
    value = node.forward(*(x.value for x in inputs))
    value.flags.writeable = False
    result = Variable(value)
    result._node, result._inputs = node, inputs
    result._digests = tuple(_digest(x.value) if x._node is None else 0 for x in inputs)
    return result


def computed_from(J: Variable) -> list[Variable]:
    """All variables that J was computed from, and J itself, each after its inputs."""
    order: list[Variable] = []
    seen: set[int] = set()
    stack = [(J, False)]
    while stack:
        variable, ready = stack.pop()
        if ready:
            order.append(variable)
        elif id(variable) not in seen:
            seen.add(id(variable))
            stack.append((variable, True))
            stack.extend((x, False) for x in reversed(variable._inputs))
    return order


def _digest(value: Array) -> int:
    return zlib.crc32(np.ascontiguousarray(value).data)


def _is_number(x: Any) -> bool:
    return not isinstance(x, Variable) and np.ndim(x) == 0 and np.isrealobj(x) and np.asarray(x).dtype.kind in "biuf"


def _described(x: Variable) -> str:
    kind = "a scalar" if not x.shape else f"a variable of shape {x.shape}"
    return kind if x.name is None else f"{x.name!r}, {kind}"


def _add(x: Variable, y: Variable) -> Variable:
    if x.shape == y.shape:
        return apply(nodes.ADD, x, y)
    for X, b in ((x, y), (y, x)):
        if len(X.shape) == 2 and b.shape == X.shape[1:]:
            return apply(nodes.ADD_BIAS, X, b)
    raise ValueError(
        "addition: expected two operands of the same shape, or (n, d) and a bias (d,), "
        f"got shapes {x.shape} and {y.shape}; nothing else is broadcast"
    )


def _multiply(x: Variable, y: Variable) -> Variable:
    if x.shape != y.shape:
        raise ValueError(
            f"element-wise multiplication: expected operands of the same shape, got shapes {x.shape} and {y.shape}; "
            "nothing is broadcast, and @ is the matrix product"
        )
    return apply(nodes.MULTIPLY, x, y)


def _matmul(x: Variable, y: Variable) -> Variable:
    if not x.shape or not y.shape or x.shape[-1] != y.shape[0]:
        raise ValueError(f"matmul: expected shapes (n, k) and (k, m), got {x.shape} and {y.shape}")
    return apply(nodes.MATMUL, x, y)
