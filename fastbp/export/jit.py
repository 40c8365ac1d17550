"""Compiles a network to a function for your own ``@njit`` functions, or to a C function, for SciPy for instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.internal import POLICY, infer_row, rescale, row_space

from ..model.predictor import FLOAT64
from ..tables.raw_inputs import Inputs

if TYPE_CHECKING:
    from ..model.network import Network

# Bytes of work space on the caller's stack; a thread may have as little as 512 KiB.
_MOST_STACK = 1 << 18


def _stack(count: int, dtype: np.dtype[Any]) -> Any:
    """A function for compiled code: the address of `count` elements, which last until its caller returns."""
    element = types.float32 if dtype == np.float32 else types.float64

    def typed(context: Any) -> tuple[Any, Callable[..., Any]]:
        def emit(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            size = context.get_constant(types.intp, count)
            return cgutils.alloca_once(builder, context.get_data_type(element), size=size)

        return types.CPointer(element)(), emit

    return intrinsic(typed)


def _evaluation(net: Network) -> Any:
    """A function (x, out) for compiled code: writes the outputs for one row, and returns whether x is finite."""
    inputs = Inputs.of(net)
    source, fill, flag, lower, width = inputs.source, inputs.fill, inputs.flag, inputs.lower, inputs.width
    least, most = inputs.least, inputs.most
    scaling, sizes, activations, params, rescaling = net.kernel_arguments
    units, dtype = net.sizes[-1], net.dtype
    bounds = np.empty((2, 0), dtype) if net.target_range is None else net.target_range.astype(dtype)
    space_size = int(row_space(sizes, dtype.itemsize))
    if 8 * len(source) + (space_size + units) * dtype.itemsize > _MOST_STACK:
        raise ValueError(
            f"jit: expected a network whose rows fit {_MOST_STACK} bytes of stack, got one of sizes {net.sizes}"
        )
    stacked_inputs, stacked_space = _stack(len(source), FLOAT64), _stack(space_size, dtype)
    stacked_outputs = _stack(units, dtype)

    @njit(**POLICY)  # type: ignore[untyped-decorator]
    def evaluate(x: Any, out: Any) -> bool:
        row = carray(stacked_inputs(), (1, sizes[0]))
        for j in range(sizes[0]):
            value = np.float64(x[source[j]])
            missing = value != value
            if np.isfinite(value):  # an infinite one is reported
                value = min(max(value, least[source[j]]), most[source[j]])
            value = np.float64(missing) if flag[j] else fill[j] if missing else value
            row[0, j] = min(max((value - lower[j]) / width[j], 0.0), 1.0) if width[j] > 0 else value
        space, y = carray(stacked_space(), space_size), carray(stacked_outputs(), (1, units))
        finite = infer_row(row, 0, scaling, (sizes, activations, params), space, y)
        if rescaling.shape[1] > 0:
            rescale((1, units), rescaling, 0, y, 0)
        if bounds.shape[1] > 0:
            for k in range(units):
                y[0, k] = min(max(y[0, k], bounds[0, k]), bounds[1, k])
        for k in range(units):
            out[k] = y[0, k]
        return finite

    return evaluate


def jit(net: Network) -> Any:
    """See `Network.jit`."""
    evaluate, count, units = _evaluation(net), Inputs.of(net).count, net.sizes[-1]

    @njit(**POLICY)  # type: ignore[untyped-decorator]
    def predict(x: Any, out: Any) -> None:
        if x.size != count or out.size != units:
            raise ValueError(
                "predict: expected x with a number for each input of the network, and out with one for each output"
            )
        if not evaluate(x, out):
            raise ValueError("predict: expected finite numbers in x")

    return predict


def c_function(net: Network) -> Any:
    """See `Network.cfunc`."""
    if net.sizes[-1] != 1:
        raise ValueError(
            f"cfunc: expected a network with one output, got {net.sizes[-1]}; call net.jit() in your own function"
        )
    evaluate, count, stacked_output = _evaluation(net), Inputs.of(net).count, _stack(1, FLOAT64)

    @cfunc(types.float64(types.intc, types.CPointer(types.float64)))
    def function(n: Any, x: Any) -> Any:
        out = carray(stacked_output(), (1,))
        if n != count or not evaluate(carray(x, (count,)), out):
            return np.nan
        return out[0]

    vars(function.ctypes)["owner"] = function  # the address keeps the code and the weights alive
    return function
