"""Losses: their names and parameters, and custom losses, which are checked before they are used."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numba.extending import is_jitted
from numpy.typing import NDArray

import fastbp.kernels as kernels

from . import checks

Functions = tuple[Callable[..., Any], Callable[..., Any]]
CUSTOM = "own"  # the name of every custom loss, also in files
# Losses of numbers; classes and labels have log_loss.
REGRESSION = tuple(name for name in kernels.LOSSES if name != "log_loss")
# Default level of quantiles, and default error at which Huber's loss turns from a square into a line.
LEVEL, DELTA = 0.5, 1.0


def parameters(loss: str, quantile: Any, huber_delta: Any) -> tuple[float, ...]:
    """Parameters of a loss: the levels of quantile, the delta of huber, none of the others."""
    if loss == "quantile":
        several = isinstance(quantile, Sequence | np.ndarray) and not isinstance(quantile, str)
        levels = quantile if several else (quantile,)
        found = tuple(checks.real("quantile", level, above=0, below=1) for level in levels)
        if not found or list(found) != sorted(set(found)):
            raise ValueError(
                f"quantile: expected a level between 0 and 1, or several in increasing order, got {quantile!r}"
            )
        return found
    if loss == "huber":
        return (checks.real("huber_delta", huber_delta, above=0),)
    return ()


def functions_of(loss: Any) -> Functions:
    """The loss and its derivative that the user passes as a custom loss."""
    if isinstance(loss, tuple | list) and len(loss) == 2 and all(callable(f) for f in loss):
        for f in loss:
            # Numba counts positional arguments only
            taken = inspect.signature(f.py_func if is_jitted(f) else f).parameters
            if len(taken) != 2:
                raise ValueError(
                    f"loss: expected two functions of two numbers (y, yhat), got one of {len(taken)}: {f!r}"
                )
        return loss[0], loss[1]
    raise ValueError(
        f"loss: expected a name, or a pair of functions (y, yhat), the loss and its derivative in yhat; got {loss!r}"
    )


@functools.lru_cache(maxsize=64)
def compiled(functions: Functions, dtype: str) -> kernels.CustomLoss:
    """A custom loss as the kernels take it; compiled once."""
    return kernels.CustomLoss(*functions, dtype)


def check_derivative(functions: Functions, y: NDArray[Any], outputs: str) -> None:
    """
    Compare the derivative of a custom loss with finite differences, at targets out of `y` and outputs around them.

    Parameters
    ----------
    functions : pair of function
        J(y, a) and dJ/da.
    y : array, shape (n, outputs)
        Targets as the kernels see them.
    outputs : str
        Output activation: probabilities for ``"logistic"`` and ``"softmax"``, positive numbers for ``"exp"``.

    Raises
    ------
    ValueError
        They disagree (the message has the first such point and both numbers), or a value is not finite.

    Notes
    -----
    Central differences (J(y, a + h) - J(y, a - h)) / 2h, in float64. At a corner of J, which may lie between two
    points, one of the two one-sided slopes is enough.
    """
    random = np.random.default_rng(0)
    targets = random.choice(np.unique(y[np.isfinite(y)]) if y.size else np.zeros(1), 60).astype(np.float64)
    if outputs in ("logistic", "softmax"):
        found = random.uniform(0.02, 0.98, targets.size)
    elif outputs == "exp":
        found = random.uniform(0.2, 3, targets.size) * (1 + np.abs(targets))
    else:
        found = targets + random.normal(scale=np.repeat([0.1, 1.0, 4.0], 20))
    call = compiled(functions, "float64")
    for t, a in zip(targets.tolist(), found.tolist(), strict=True):
        h = 1e-6 * max(1.0, abs(a))
        (here, slope), (above, _), (below, _) = (call.at(t, x) for x in (a, a + h, a - h))
        where = f"at y={t:.6g}, yhat={a:.6g}"
        if not np.isfinite([here, above, below, slope]).all():
            raise ValueError(
                f"loss: expected finite numbers, got a loss of {here:g} and a derivative of {slope:g} {where}"
            )
        sides = (above - here) / h, (here - below) / h
        tolerance = 1e-4 * (1 + max(map(abs, sides))) + 1e-9 * abs(here) / h
        if not min(sides) - tolerance <= slope <= max(sides) + tolerance:
            raise ValueError(
                f"loss: the derivative disagrees with finite differences {where}: "
                f"expected {(above - below) / (2 * h):.6g}, got {slope:.6g}"
            )
