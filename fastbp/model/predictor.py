"""Raw values in, outputs and decisions out: the layer between `Network.predict` and the compiled kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels
from fastbp.kernels.internal import FEW, check_infer, few_rows

from .. import compilation, memory, tables
from ..data.pieces import PieceEncoder
from ..options import Architecture
from ..runtime import blocks

FLOAT64 = np.dtype(np.float64)
_NOTHING = np.empty(0, np.int64)
# Rows whose outputs are held at a time if only decisions are asked for.
MANY = 1 << 16


class Predictor:
    """
    A network made ready for `kernels.infer`.

    One row takes about two microseconds, so whatever need not be done at each call is done here.

    Parameters
    ----------
    net : Architecture
    params : array
    scaling, rescaling : float64 array, shape (2, inputs) and (2, outputs)
        Mean and deviation of each input, and of each output.
    target_range : float64 array, shape (2, outputs), or None
        To which the outputs are cut.
    """

    def __init__(
        self,
        net: Architecture,
        params: NDArray[Any],
        scaling: NDArray[np.float64],
        rescaling: NDArray[np.float64],
        target_range: NDArray[np.float64] | None = None,
    ) -> None:
        self.sizes, self.dtype = net.sizes, params.dtype
        self.inputs, self.outputs = net.sizes[0], net.sizes[-1]
        limits = None if target_range is None else target_range.astype(params.dtype)
        # Python's numbers are compared faster.
        self.limits = limits if limits is None or self.outputs > 1 else limits[:, 0].tolist()
        scaling = np.array([scaling[0], 1 / scaling[1]])
        # Writable copies: Numba takes 40 ns longer to find the type of a read-only array.
        sizes, activations = net.size_array.copy(), net.activation_codes.copy()
        self.constants = _if_any(scaling), sizes, activations, params, _if_any(rescaling)
        nothing = np.empty((0, self.inputs)), *self.constants, np.empty((0, self.outputs), self.dtype), _NOTHING
        check_infer(*nothing)  # once: the kernel for few rows does not check
        # The kernel for few rows, by the type of X; None until it is compiled
        self.of_own_type: Callable[..., bool] | None = None
        self.of_float64: Callable[..., bool] | None = None

    def __call__(self, X: Any, threshold: float, decide: bool) -> NDArray[Any] | None:
        """Outputs, or the number of each row's class; None if X must be checked or converted first."""
        if type(X) is not np.ndarray:
            return None
        shape, dtype, flags = X.shape, X.dtype, X.flags
        if len(shape) != 2 or shape[1] != self.inputs:
            return None
        # The kernel for few rows takes writable arrays; a large read-only one, such as a file, is not copied.
        if not (flags.carray or (shape[0] > FEW and flags.c_contiguous and flags.aligned)):
            return None
        kernel = self.of_own_type if dtype is self.dtype else self.of_float64 if dtype is FLOAT64 else None
        if kernel is None or shape[0] > FEW:
            return self._prepared(X, threshold, decide) if dtype in (self.dtype, FLOAT64) else None
        return self._called(kernel, X, threshold, decide)

    def fitting(self, X: NDArray[Any]) -> NDArray[Any]:
        """X in a form that the kernels take."""
        dtype = self.dtype if X.dtype == self.dtype else FLOAT64
        return np.require(X, dtype, ["C", "A", "W"]) if len(X) <= FEW else np.require(X, dtype, ["C", "A"])

    def space(self, n: int, decide: bool) -> NDArray[Any]:
        """Memory for the outputs of n rows, or the numbers of their classes; raises ValueError if it is too much."""
        memory.require("X", f"predictions for {n} rows", n * (8 if decide else self.outputs * self.dtype.itemsize))
        return np.empty(n, np.int64) if decide else np.empty((n, self.outputs), self.dtype)

    def _prepared(self, X: NDArray[Any], threshold: float, decide: bool) -> NDArray[Any] | None:
        """The same for many rows, and for the first call with few."""
        n = len(X)
        way = "few" if n <= FEW else "parallel" if kernels.infer_parallel_pays(self.sizes, n) else "many"
        self._make_ready(way, X.dtype)  # outside the threads: compiling their kernel enters them
        with kernels.threads(None if way == "parallel" else 1) as allowed:
            if way == "parallel" and not allowed:
                way = "many"
                self._make_ready(way, X.dtype)
            result = self._called(compilation.INFER[way], X, threshold, decide)
        if way == "few" and X.dtype == self.dtype:
            self.of_own_type = few_rows
        elif way == "few":
            self.of_float64 = few_rows
        return result

    def _make_ready(self, way: str, raw: np.dtype[Any]) -> None:
        compilation.prepare([compilation.infer_name(way, raw, self.dtype)], self.dtype, None)

    def _called(
        self, kernel: Callable[..., Any], X: NDArray[Any], threshold: float, decide: bool
    ) -> NDArray[Any] | None:
        n = len(X)
        if decide and n > MANY:  # the outputs are not needed
            decision, out = self.space(n, True), self.space(MANY, False)
            for start in range(0, n, MANY):
                rows = X[start : start + MANY]
                if not kernel(rows, *self.constants, threshold, out[: len(rows)], decision[start : start + MANY]):
                    return None
            return decision
        out = np.empty((n, self.outputs), self.dtype) if n <= MANY else self.space(n, False)
        decision = np.empty(n, np.int64) if decide else _NOTHING
        if not kernel(X, *self.constants, threshold, out, decision):
            return None
        if self.limits is not None:
            least, most = self.limits
            # Of a single number, two calls of NumPy would take half as long as the whole prediction.
            if out.size != 1 or not least <= out.item() <= most:
                np.minimum(np.maximum(out, least, out=out), most, out=out)
        return decision if decide else out


class PiecePredictor:
    """
    A network made ready for the rows of a table whose first layer takes pieces, see `kernels.PieceRows`.

    Parameters
    ----------
    net : Architecture
        Of at least two layers.
    params : array
    encoder : PieceEncoder
    rescaling, target_range
        As of `Predictor`.
    """

    def __init__(
        self,
        net: Architecture,
        params: NDArray[Any],
        encoder: PieceEncoder,
        rescaling: NDArray[np.float64],
        target_range: NDArray[np.float64] | None,
    ) -> None:
        self.net, self.params, self.encoder = net, params, encoder
        units, first = net.sizes[1], (net.sizes[0] + 1) * net.sizes[1]
        rest = replace(net, sizes=net.sizes[1:], activations=net.activations[1:])
        nothing = np.array([np.zeros(units), np.ones(units)])
        self.rest = Predictor(rest, params[first:].copy(), nothing, rescaling, target_range)

    def __call__(self, X: Any, threshold: float, decide: bool) -> NDArray[Any] | None:
        """Outputs, or the number of each row's class; None if X is no table."""
        values = tables.read("X", X, self.encoder.columns)
        if values is None:
            return None
        found = self.rest.space(len(values), decide)
        for rows in blocks.parts(len(values), 8 * values.shape[1]):
            a = self.encoder(values[rows]).first_outputs(self.net, self.params)
            outputs = self.rest(a, threshold, decide)
            if outputs is None:
                raise ValueError(f"X: expected rows whose first layer is finite in {a.dtype}, got infinite outputs")
            found[rows] = outputs
        return found


def _if_any(moments: NDArray[np.float64]) -> NDArray[np.float64]:
    """Moments as the kernel takes them: no columns if they would change nothing."""
    return np.empty((2, 0)) if not moments[0].any() and (moments[1] == 1).all() else moments
