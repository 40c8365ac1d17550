"""
A loss of the user's own: two scalar functions, compiled into one function of a tile of samples that the kernels call by address.

So the training loops, compiled once and kept on disk, need not be compiled again for it, and the two functions are inlined into a loop
over the samples as a built-in loss would be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core.errors import TypingError
from numba.extending import intrinsic, is_jitted

from ..compiler import assembler
from ..compiler.jit import POLICY, numba_config


class OwnLoss:
    """
    A loss of one's own, as the whole-network kernels take it: ``int(own)`` stands where a loss code stands.

    Parameters
    ----------
    loss, derivative : function
        J(y, a) and dJ/da(y, a) of one output a and its target y, numbers both; Numba functions, or Python functions that Numba
        can compile. A sample's loss is the sum over its outputs.
    dtype : float32 or float64
        Type of the numbers that they are given.

    Raises
    ------
    ValueError
        Numba cannot compile them; the message ends with its reason.

    Notes
    -----
    Keep this object for as long as kernels use its address.
    """

    def __init__(self, loss: Callable[..., Any], derivative: Callable[..., Any], dtype: Any) -> None:
        self.dtype = np.dtype(dtype)
        kind = {4: types.float32, 8: types.float64}[self.dtype.itemsize]
        array, doubles, count = types.CPointer(kind), types.CPointer(types.float64), types.int64
        with numba_config(DISABLE_JIT=0):
            try:
                value, slope = (f if is_jitted(f) else njit(**POLICY)(f) for f in (loss, derivative))
            except TypeError:
                raise ValueError(
                    f"loss: expected two functions of two numbers (y, yhat), got {loss!r} and {derivative!r}"
                ) from None

            def tile(units, samples, stride, a, y, weight, delta, result):
                # weight J is added to result[0], weight dJ/da goes to delta; unit k of sample s lies at k stride + s
                size = units * stride
                outputs, targets, errors = carray(a, size), carray(y, size), carray(delta, size)
                importance, total = carray(weight, samples), 0.0
                for k in range(units):
                    for s in range(samples):
                        i = k * stride + s
                        total += importance[s] * value(targets[i], outputs[i])
                        errors[i] = importance[s] * slope(targets[i], outputs[i])
                carray(result, 1)[0] += total

            try:
                self.function = cfunc(types.void(count, count, count, array, array, array, array, doubles), **POLICY)(
                    tile
                )
            except Exception as error:  # whatever Numba raises for code that it cannot compile
                raise ValueError(
                    f"loss: expected two functions of two numbers (y, yhat) that Numba can compile; {error}"
                ) from None

    def __int__(self) -> int:
        return int(self.function.address)

    def at(self, y: float, a: float) -> tuple[float, float]:
        """Loss and derivative at one point, as the kernels compute them."""
        values, result = [np.array([x], self.dtype) for x in (a, y, 1, 0)], np.zeros(1)
        self.function.ctypes(1, 1, 1, *map(np.ctypeslib.as_ctypes, (*values, result)))
        return float(result[0]), float(values[3][0])


@intrinsic
def call_own(
    context, loss, units, samples, stride, a, a_at, y, y_at, weight, weight_at, delta, delta_at, result, result_at
):
    """
    Losses and their slopes of a tile, by the loss of one's own at the address `loss`.

    Unit k of sample s lies at k stride + s in `a`, `y` and `delta`, which is overwritten with weight dJ/da; adds weight J to result[0].
    """
    arrays = (a, y, weight, delta, result)
    if any(not (isinstance(given, types.Array) and given.aligned) for given in arrays):
        raise TypingError("call_own: aligned arrays expected")
    number = types.intp
    expected = [number] * 4 + [x for given in arrays for x in (given, number)]

    def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        arguments = list(values[1:4])
        for k in range(4, len(values), 2):
            array = context.make_array(signature.args[k])(context, builder, values[k])
            element = context.get_data_type(signature.args[k].dtype)
            arguments.append(builder.gep(array.data, [values[k + 1]], source_etype=element))
        kind = ir.FunctionType(ir.VoidType(), [assembler.I64] * 3 + [assembler.POINTER] * 5)
        function = builder.inttoptr(values[0], kind.as_pointer())
        builder.call(function, arguments)
        return context.get_dummy_value()

    return types.void(*expected), call
