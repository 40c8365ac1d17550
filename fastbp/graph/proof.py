"""`check`: compares the backward pass with finite differences (the lecture's "how is it proved?", L19 to L24)."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .nodes import Array
from .variable import Variable, read

# With the formula below, the truncation error, h^4, and the rounding error, eps/h, are both near 1e-12.
STEP = 2.0**-12


@dataclass(frozen=True)
class Row:
    """
    One input of `check`, at its worst element.

    Attributes
    ----------
    name : str
    element : tuple of int
        Index of the worst element.
    backward, difference : float
        The gradient of this element by the backward pass, and by finite differences.
    error : float
        |backward - difference| / max(1, |difference|).
    """

    name: str
    element: tuple[int, ...]
    backward: float
    difference: float
    error: float


@dataclass(frozen=True)
class Check:
    """
    The table that `check` returns; print it to see one line per input.

    Attributes
    ----------
    rows : tuple of Row
    """

    rows: tuple[Row, ...]

    @property
    def worst(self) -> float:
        """Largest error of all inputs; NaN if any is."""
        return float(np.max([row.error for row in self.rows]))

    def __str__(self) -> str:
        lines = [("input", "worst element", "backward", "finite difference", "error")]
        for row in self.rows:
            place = f"[{', '.join(map(str, row.element))}]" if row.element else "-"
            lines.append((row.name, place, f"{row.backward:.10g}", f"{row.difference:.10g}", f"{row.error:.1e}"))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True)) for line in lines
        )


def check(f: Callable[..., Variable], inputs: Sequence[ArrayLike]) -> Check:
    """
    Compare the backward pass of a function with finite differences, element by element.

    Parameters
    ----------
    f : callable
        Takes one `Variable` per input and returns one, of any shape; always the same for the same inputs.
    inputs : sequence of number or array-like
        Where to compare. The backward pass has their dtype, the differences are computed in float64.

    Returns
    -------
    Check
        The worst element of each input. If the backward pass is correct, ``worst`` is near 1e-12 in float64, and near
        1e-6 in float32.

    Raises
    ------
    ValueError
        No input, or a function that does not return a `Variable`.

    Notes
    -----
    dJ/dx = (8 (J(x+h) - J(x-h)) - (J(x+2h) - J(x-2h))) / 12h with h = max(1, abs(x))/4096, for each element x in turn
    (the lecture's limit, L13). For a value Y that is not a scalar, J = sum r_ij y_ij with fixed random r_ij, so that
    every element counts. Within 2h of a kink (relu at 0), the difference is not the derivative.

    Examples
    --------
    >>> from fastbp import graph
    >>> table = graph.check(lambda X, W: X @ W, [[[1.0, 2.0]], [[3.0], [4.0]]])
    >>> table.worst < 1e-10
    True
    """
    arrays = [read(f"inputs[{k}]", x) for k, x in enumerate(inputs)]
    if not arrays:
        raise ValueError("inputs: expected at least one, got none")
    variables = [Variable(np.array(x)) for x in arrays]
    result = f(*variables)
    if not isinstance(result, Variable):
        raise ValueError(f"f: expected a function that returns a Variable, got {type(result).__name__}")
    weight = np.random.default_rng(0).normal(size=result.shape) if result.shape else np.ones(())
    result.backward(weight.astype(result.dtype))

    exact = [x.astype(np.float64) for x in arrays]

    def objective() -> float:
        return float(np.sum(weight.astype(result.dtype) * f(*(Variable(np.array(x)) for x in exact)).value))

    rows = []
    for name, variable, x in zip(_names(f, len(arrays)), variables, exact, strict=True):
        grad = np.zeros(x.shape) if variable.grad is None else variable.grad.astype(np.float64)
        difference = _differences(objective, x)
        error = np.abs(grad - difference) / np.maximum(1, np.abs(difference))
        if error.size:
            worst = np.unravel_index(np.argmax(error), x.shape)
            figures = (float(values[worst]) for values in (grad, difference, error))
            rows.append(Row(name, tuple(map(int, worst)), *figures))
    return Check(tuple(rows))


def _differences(objective: Callable[[], float], x: Array) -> Array:
    """Return dJ/dx of each element, which is changed in place and restored."""
    result = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        before = float(x[index])
        h = STEP * max(1.0, abs(before))
        J = []
        for steps in (1, -1, 2, -2):
            x[index] = before + steps * h
            J.append(objective())
        x[index] = before
        result[index] = (8 * (J[0] - J[1]) - (J[2] - J[3])) / (12 * h)
    return result


def _names(f: Callable[..., Variable], count: int) -> list[str]:
    """Names of the arguments of f, or numbers if they are unknown."""
    try:
        parameters = list(inspect.signature(f).parameters.values())
    except (TypeError, ValueError):
        parameters = []
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return names[:count] if len(names) >= count else [f"input {k}" for k in range(count)]
