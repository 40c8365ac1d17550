"""The elementary functions over whole arrays: out_i = f(x_i)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba import types
from numba.core.errors import TypingError
from numba.extending import overload

from . import elementary
from ._jit import jit
from ._native import routine
from .simd import Assembler, Value


def _over(function: Callable[[Assembler, Value], Value]) -> Any:
    """A function (x, out) for compiled code: checks both arrays and runs out_i = f(x_i)."""
    name = function.__name__
    message = f"{name}: out must have the shape of x; (x, out) came as"

    def loop(v: Assembler, x: Value, out: Value, count: Value) -> None:
        def body(i: Value, mask: Value | None) -> None:
            # out_i = f(x_i)
            v.store(function(v, v.load(v.at(x, i), mask)), v.at(out, i), mask)

        v.each_vector(count, body)

    loop.__name__, loop.__module__ = name, __name__
    run = routine("aai")(loop)

    def checked(x: Any, out: Any) -> None:
        raise NotImplementedError("for compiled code only")

    @overload(checked)
    def compiled(x: Any, out: Any) -> Any:
        fits = all(isinstance(a, types.Array) and a.layout == "C" and a.aligned for a in (x, out))
        if not (fits and x.dtype in (types.float32, types.float64) and out.dtype == x.dtype and out.mutable):
            raise TypingError(f"{name}: x and out must be C-contiguous arrays of one dtype, float32 or float64; (x, out) came as {x, out}")

        def apply(x: Any, out: Any) -> None:
            if out.shape != x.shape:
                raise ValueError(message, x.shape, out.shape)
            run(x, 0, out, 0, x.size)

        return apply

    return checked


_exp, _log, _tanh = _over(elementary.exp), _over(elementary.log), _over(elementary.tanh)
_logistic, _softplus, _erf = _over(elementary.logistic), _over(elementary.softplus), _over(elementary.erf)


@jit
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
        When the kernel is compiled: an array that is not C-contiguous, of another dtype, or read-only.

    Notes
    -----
    At most 1.1 ulp off. Denormal results are right; e^x overflows to infinity and underflows to 0 where it should. NaN
    stays NaN. Reads and writes 1 element each; a result does not depend on its place in the array or the vector width.
    """
    _exp(x, out)


@jit
def log(x, out):
    """log."""
    _log(x, out)


@jit
def tanh(x, out):
    """tanh."""
    _tanh(x, out)


@jit
def logistic(x, out):
    """logistic."""
    _logistic(x, out)


@jit
def softplus(x, out):
    """softplus."""
    _softplus(x, out)


@jit
def erf(x, out):
    """erf."""
    _erf(x, out)
