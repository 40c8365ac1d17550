"""
The elementary functions over whole arrays: out_i = f(x_i).

Errors are in units in the last place (ulp): the spacing of numbers of the dtype at the true result. They were measured
with fused multiply-add, in float32 at every x of the main range, in float64 at some 10^7. NaN stays NaN, denormal
numbers are kept, and a result depends neither on its place in the array nor on the width of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core.errors import TypingError
from numba.extending import overload

from ..compiler.assembler import Assembler
from ..compiler.jit import njit
from ..compiler.routine import routine
from ..compiler.values import Address, Float, Integer
from . import elementary


def _over(function: Callable[[Assembler, Float], Float]) -> Any:
    """A function (x, out) for compiled code: checks both arrays and runs out_i = f(x_i)."""
    name = function.__name__
    message = f"{name}: out must have the shape of x; (x, out) are"

    def loop(v: Assembler, x: Address, out: Address, count: Integer) -> None:
        for i, mask in v.vectors(count):
            # out_i = f(x_i)
            out[i, mask] = function(v, x[i, mask])

    loop.__name__, loop.__module__ = name, __name__
    run = routine("aAi")(loop)

    def checked(x: Any, out: Any) -> None:
        raise NotImplementedError("for compiled code only")

    @overload(checked)
    def compiled(x: Any, out: Any) -> Any:
        fits = all(isinstance(a, types.Array) and a.layout == "C" and a.aligned for a in (x, out))
        if not (fits and x.dtype in (types.float32, types.float64) and out.dtype == x.dtype and out.mutable):
            raise TypingError(
                f"{name}: x and out must be C-contiguous arrays of one dtype, float32 or float64, and out writable; "
                f"(x, out) are ({x}, {out})"
            )

        def apply(x: Any, out: Any) -> None:
            if out.shape != x.shape:
                raise ValueError(message, x.shape, out.shape)
            run(x, 0, out, 0, x.size)

        return apply

    return checked


_exp, _log, _tanh = _over(elementary.exp), _over(elementary.log), _over(elementary.tanh)
_logistic, _softplus, _erf = _over(elementary.logistic), _over(elementary.softplus), _over(elementary.erf)


@njit
def exp(x, out):
    """
    Exponential function: out = e^x.

    Parameters
    ----------
    x : C-contiguous array, any shape, float32 or float64
        Arguments.
    out : C-contiguous array of the same shape and dtype
        Overwritten with the results. May be `x` itself; must not overlap it otherwise.

    Raises
    ------
    ValueError
        `out` of another shape.
    numba.core.errors.TypingError
        An array that is not C-contiguous or of another dtype, or an `out` that is read-only: raised on compilation.

    Notes
    -----
    Error at most 1.0 ulp. Overflows to infinity, and underflows to 0 by way of the denormal numbers. Reads and writes
    1 element each; nothing is allocated.
    """
    _exp(x, out)


@njit
def log(x, out):
    """
    Natural logarithm: out = log(x).

    Parameters
    ----------
    x, out
        As in `exp`.

    Raises
    ------
    ValueError, numba.core.errors.TypingError
        As in `exp`.

    Notes
    -----
    Error at most 1.0 ulp. -infinity at 0 and NaN below.
    """
    _log(x, out)


@njit
def tanh(x, out):
    """
    Hyperbolic tangent: out = (e^x - e^-x) / (e^x + e^-x).

    Parameters
    ----------
    x, out
        As in `exp`.

    Raises
    ------
    ValueError, numba.core.errors.TypingError
        As in `exp`.

    Notes
    -----
    Error at most 1.8 ulp, also of the smallest results. Keeps the sign of 0.
    """
    _tanh(x, out)


@njit
def logistic(x, out):
    """
    Logistic function: out = 1 / (1 + e^-x).

    Parameters
    ----------
    x, out
        As in `exp`.

    Raises
    ------
    ValueError, numba.core.errors.TypingError
        As in `exp`.

    Notes
    -----
    Error at most 1.7 ulp, also of the smallest results.
    """
    _logistic(x, out)


@njit
def softplus(x, out):
    """
    Softplus, the smooth max(x, 0): out = log(1 + e^x).

    Parameters
    ----------
    x, out
        As in `exp`.

    Raises
    ------
    ValueError, numba.core.errors.TypingError
        As in `exp`.

    Notes
    -----
    Error at most 1.9 ulp, also of the smallest results. Its derivative is the logistic function.
    """
    _softplus(x, out)


@njit
def erf(x, out):
    """
    Error function: out = 2 / sqrt(pi) times the integral of e^(-t^2) over t from 0 to x.

    Parameters
    ----------
    x, out
        As in `exp`.

    Raises
    ------
    ValueError, numba.core.errors.TypingError
        As in `exp`.

    Notes
    -----
    Error at most 1.1 ulp in float32, 1.6 in float64. Keeps the sign of 0. The normal distribution function is (1 +
    erf(x / sqrt(2))) / 2.
    """
    _erf(x, out)
