"""Compiles a model to a function for your own ``@njit`` functions, or to a C function, for SciPy for instance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numba import carray, cfunc, njit, types  # type: ignore[attr-defined]
from numba.core import cgutils
from numba.extending import intrinsic

from fastbp.kernels.internal import POLICY, infer_row, rescale, row_space

from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..model.predictor import FLOAT64
from ..tables.raw_inputs import Inputs
from . import verify

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


def _constants(net: Network) -> tuple[Any, ...]:
    """What `_outputs` reads of a network: arrays of the same types for all networks of an ensemble."""
    inputs = Inputs.of(net)
    bounds = np.empty((2, 0), net.dtype) if net.target_range is None else net.target_range.astype(net.dtype)
    encoding = inputs.source, inputs.fill, inputs.flag, inputs.lower, inputs.width, inputs.least, inputs.most
    return *encoding, *net.kernel_arguments, bounds


def _outputs(nets: tuple[Network, ...]) -> Any:
    """
    A function (x, constants, y) for compiled code: writes the outputs of a network, and returns whether x is finite.

    It is compiled only once for all networks, which may differ in their layers.
    """
    units, dtype = nets[0].sizes[-1], nets[0].dtype
    widest = max(net.sizes[0] for net in nets)
    space_size = max(int(row_space(net.kernel_arguments[1], dtype.itemsize)) for net in nets)
    if 8 * widest + (space_size + units) * dtype.itemsize + 8 * (units + 1) > _MOST_STACK:
        sizes = max((net.sizes for net in nets), key=max)
        raise ValueError(
            f"jit: expected a network whose rows fit {_MOST_STACK} bytes of stack, got one of sizes {sizes}"
        )
    stacked_inputs, stacked_space = _stack(widest, FLOAT64), _stack(space_size, dtype)

    @njit(**POLICY, forceinline=True)  # type: ignore[untyped-decorator]
    def outputs(x: Any, constants: Any, y: Any) -> bool:
        source, fill, flag, lower, width, least, most = constants[:7]
        scaling, sizes, activations, params, rescaling, bounds = constants[7:]
        row = carray(stacked_inputs(), (1, sizes[0]))
        for j in range(sizes[0]):
            value = np.float64(x[source[j]])
            missing = value != value
            if np.isfinite(value):  # an infinite one is reported
                value = min(max(value, least[source[j]]), most[source[j]])
            value = np.float64(missing) if flag[j] else fill[j] if missing else value
            row[0, j] = min(max((value - lower[j]) / width[j], 0.0), 1.0) if width[j] > 0 else value
        space = carray(stacked_space(), space_size)
        finite = infer_row(row, 0, scaling, (sizes, activations, params), space, y)
        if rescaling.shape[1] > 0:
            rescale((1, units), rescaling, 0, y, 0)
        if bounds.shape[1] > 0:
            for k in range(units):
                y[0, k] = min(max(y[0, k], bounds[0, k]), bounds[1, k])
        return finite

    return outputs


def _evaluation(model: Network | Ensemble) -> Any:
    """A function (x, out) for compiled code: writes what the model answers for a row; returns whether x is finite."""
    nets = members(model)
    outputs, units, dtype = _outputs(nets), nets[0].sizes[-1], nets[0].dtype
    stacked_outputs = _stack(units, dtype)
    if isinstance(model, Network):
        constants = _constants(model)

        @njit(**POLICY)  # type: ignore[untyped-decorator]
        def evaluate(x: Any, out: Any) -> bool:
            y = carray(stacked_outputs(), (1, units))
            finite = outputs(x, constants, y)
            for k in range(units):
                out[k] = y[0, k]
            return finite

        return evaluate
    each, count, columns = tuple(map(_constants, nets)), len(nets), _columns(model)
    stacked_total, one, number = _stack(columns, FLOAT64), columns > units, dtype.type
    several = model.task == "classification" and units > 1
    shares = np.array([several and net.layer_activations[-1] != "softmax" for net in nets])

    @njit(**POLICY)  # type: ignore[untyped-decorator]
    def mean(x: Any, out: Any) -> bool:
        y, total = carray(stacked_outputs(), (1, units)), carray(stacked_total(), columns)
        for k in range(columns):
            total[k] = 0
        finite = True
        for i in range(count):
            finite &= outputs(x, each[i], y)
            if shares[i]:
                _divide_by_sum(y)
            if one:  # the first of two classes has no unit of its own
                total[0] += number(1) - y[0, 0]
            for k in range(units):
                total[one + k] += y[0, k]
        for k in range(columns):
            out[k] = number(total[k] / count)
        return finite

    return mean


@njit(**POLICY)  # type: ignore[untyped-decorator]
def _divide_by_sum(y: Any) -> None:
    """Probabilities of several classes with a logistic unit each, as from `Network.predict_proba`."""
    units, total = y.shape[1], y.dtype.type(0)
    for k in range(units):
        total += y[0, k]
    for k in range(units):
        y[0, k] = y[0, k] / total if total > 0 else y.dtype.type(1) / units


def _columns(model: Network | Ensemble) -> int:
    """Numbers that the compiled function writes."""
    units = members(model)[0].sizes[-1]
    return len(model.classes) if isinstance(model, Ensemble) and model.classes is not None else units


def jit(model: Network | Ensemble) -> Any:
    """See `Exports.jit`."""
    verify.require_equal_inputs("jit", model)
    evaluate, count, columns = _evaluation(model), Inputs.of(members(model)[0]).count, _columns(model)

    @njit(**POLICY)  # type: ignore[untyped-decorator]
    def predict(x: Any, out: Any) -> None:
        if x.size != count or out.size != columns:
            raise ValueError(
                "predict: expected x with a number for each input of the network, and out with one for each output"
            )
        if not evaluate(x, out):
            raise ValueError("predict: expected finite numbers in x")

    return predict


def c_function(model: Network | Ensemble) -> Any:
    """See `Exports.cfunc`."""
    units = members(model)[0].sizes[-1]
    if units != 1:
        raise ValueError(f"cfunc: expected a network with one output, got {units}; call its jit() in your own function")
    verify.require_equal_inputs("cfunc", model)
    count, columns = Inputs.of(members(model)[0]).count, _columns(model)
    evaluate, stacked_output = _evaluation(model), _stack(columns, FLOAT64)

    @cfunc(types.float64(types.intc, types.CPointer(types.float64)))
    def function(n: Any, x: Any) -> Any:
        out = carray(stacked_output(), (columns,))
        if n != count or not evaluate(carray(x, (count,)), out):
            return np.nan
        return out[columns - 1]

    vars(function.ctypes)["owner"] = function  # the address keeps the code and the weights alive
    return function
