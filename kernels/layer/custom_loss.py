"""
A custom loss: two scalar functions, compiled into one function of a tile of samples that the kernels call by address.

The training loops, compiled once and kept on disk, need not be compiled again for it, and the two functions are inlined
into a loop over the samples as a built-in loss would be.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import carray, cfunc, njit, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic, is_jitted

from ..compiler.jit import POLICY, numba_config
from ..compiler.values import I64, POINTER


class CustomLoss:
    """
    A custom loss, as the whole-network kernels take it: pass ``int(loss)`` where they take a loss code.

    Parameters
    ----------
    loss, derivative : function
        J(y, a) and dJ/da(y, a) of one output a and its target y, numbers both; Numba functions, or Python functions
        that Numba can compile. A sample's loss is the sum over its outputs.
    dtype : float32 or float64
        Type of their arguments.

    Raises
    ------
    ValueError
        Numba cannot compile them; the message ends with the reason.

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
def call_custom(context, loss, shape, operands, result):
    """
    Losses and their slopes of a tile, by the custom loss at the address `loss`.

    Parameters
    ----------
    loss : number
    shape : units, samples, stride
        Unit k of sample s lies at k stride + s in `a`, `y` and `delta`.
    operands : a, y, weight, delta
        Outputs, targets and the weight of each sample; `delta` is overwritten with weight dJ/da. Each array comes with
        the offset of its first element: (a, a_at, y, y_at, ...).
    result : result
        An array of float64, with its offset: weight J is added to its first element.
    """
    arrays = [kind for group in (operands, result) for kind in group.types[::2]]
    if any(not (isinstance(given, types.Array) and given.aligned) for given in arrays):
        raise TypingError("call_custom: aligned arrays expected")
    number = types.intp
    groups = [[x for array in group.types[::2] for x in (array, number)] for group in (operands, result)]
    expected = [number, types.UniTuple(number, 3), *map(types.BaseTuple.from_types, groups)]

    def call(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        address, *groups = values
        numbers, *pairs = (cgutils.unpack_tuple(builder, group) for group in groups)
        arguments = list(numbers)
        for kind, pair in zip(signature.args[2:], pairs, strict=True):
            for array_kind, value, offset in zip(kind.types[::2], pair[::2], pair[1::2], strict=True):
                array, element = context.make_array(array_kind)(context, builder, value), array_kind.dtype
                arguments.append(builder.gep(array.data, [offset], source_etype=context.get_data_type(element)))
        function = ir.FunctionType(ir.VoidType(), [I64] * 3 + [POINTER] * 5)
        builder.call(builder.inttoptr(address, function.as_pointer()), arguments)
        return context.get_dummy_value()

    return types.void(*expected), call
