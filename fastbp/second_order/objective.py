"""What the optimizers minimise: the mean loss of all samples plus a penalty, with its derivatives."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels
from fastbp.kernels import internal
from fastbp.kernels.internal import GaussNewton, residual_jacobian

from ..data.samples import Ready
from ..data.scaling import Gathered, Window
from ..data.sparse import SparseRows
from ..options import Architecture
from ..runtime import blocks
from ..training.passes import Passes, UpdateRule

Array = NDArray[Any]


def penalised(net: Architecture) -> NDArray[np.bool_]:
    """Which parameters l2 applies to: the weights, and not the biases."""
    pairs = itertools.pairwise(net.sizes)
    return np.concatenate([np.repeat([True, False], [n_in * n_out, n_out]) for n_in, n_out in pairs])


def dot(a: Array, b: Array) -> float:
    """The sum of a_i b_i by our own kernel: BLAS has other bits for each processor and number of threads."""
    return float(internal.dot(a, b))


def length(a: Array) -> float:
    """The norm of a vector."""
    return math.sqrt(dot(a, a))


def product(A: Array, b: Array) -> Array:
    """A b by our own kernel, for the same reason."""
    out = np.empty((len(A), 1))
    kernels.matmul(A, b[:, np.newaxis], out)
    return out[:, 0]


class Objective:
    """
    Mean loss of all samples + 1/2 sum_i decay_i w_i^2.

    Parameters
    ----------
    net : Architecture
    samples : Ready
    decay : float64 array, shape (P,)
        May be changed in place.
    threads : int
    """

    def __init__(self, net: Architecture, samples: Ready, decay: NDArray[np.float64], threads: int) -> None:
        self.net, self.samples, self.decay, self.threads = net, samples, decay, threads
        self.n = len(samples.X)
        self._sums: GaussNewton | None = None
        self._pass: tuple[Passes, Array, Array] | None = None

    def kernel_names(self, dtype: np.dtype[Any], curvature: bool) -> list[str]:
        """The kernels of `normal`, or, without curvature, those of `gradient`; and those of `loss`."""
        if not curvature:
            return [*self._passes(dtype)[0].kernel_names, "forward", "evaluate"]
        return ["gauss newton parallel" if self.threads > 1 else "gauss newton", "forward", "evaluate"]

    @property
    def residuals(self) -> int:
        """How many squares the loss is the sum of."""
        return self.n * self.net.sizes[-1]

    def penalty(self, params: Array) -> float:
        """1/2 sum_i decay_i w_i^2."""
        return 0.5 * dot(self.decay, np.square(params, dtype=np.float64))

    def loss(self, params: Array) -> tuple[float, float]:
        """Mean loss without the penalty, and the share of right decisions; infinite where it cannot be computed."""
        if not np.isfinite(params).all():
            return np.inf, 0.0
        found, rows = [], []
        for X, Y, weight in self._blocks(dense=False):
            found.append(self.net.measure(self._outputs(X, params), Y, weight))
            rows.append(len(Y))
        loss, correct = blocks.mean(found, rows)
        return (loss, correct) if np.isfinite(loss) else (np.inf, correct)

    def _outputs(self, X: Any, params: Array) -> Array:
        if isinstance(X, np.ndarray) and kernels.forward_parallel_pays(self.net.sizes, len(X)):
            with kernels.threads(self.threads) as allowed:
                if allowed:
                    out = np.empty((len(X), self.net.sizes[-1]), params.dtype)
                    kernels.forward_parallel(X, self.net.size_array, self.net.activation_codes, params, out)
                    return out
        return self.net.outputs(X, params)

    def normal(self, params: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The Gauss-Newton matrix J^T J of the mean loss above its diagonal, and the gradient, without the penalty."""
        P, dtype = len(params), params.dtype
        matrix, gradient = np.zeros((P, P), dtype), np.zeros(P, dtype)
        if self._sums is None:
            longest = max(part.stop - part.start for part in self._parts())
            self._sums = GaussNewton(*self._network(dtype), longest, params)
        with kernels.threads(self.threads) as allowed:
            for samples in self._blocks(dense=True):
                self._sums(*samples, params, matrix, gradient, parallel=allowed)
        matrix /= dtype.type(self.n)
        return matrix.astype(np.float64, copy=False), gradient.astype(np.float64) / self.n

    def rows(self, params: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Residuals r and their Jacobian J: the mean loss is 1/2 sum r^2 + constant near the parameters."""
        J = np.empty((self.residuals, len(params)), params.dtype)
        r, done = np.empty(self.residuals, params.dtype), 0
        for X, Y, weight in self._blocks(dense=True):
            end = done + Y.size
            residual_jacobian((X, Y, weight), *self._network(params.dtype), params, J[done:end], r[done:end])
            done = end
        scale = 1 / np.sqrt(self.n)
        return J.astype(np.float64, copy=False) * scale, r.astype(np.float64) * scale

    def gradient(self, params: Array) -> tuple[float, float, NDArray[np.float64]]:
        """Mean loss and share of right decisions, both without the penalty, and the gradient of loss and penalty."""
        if not np.isfinite(params).all():
            return np.inf, 0.0, np.zeros(len(params))
        passes, own, found = self._passes(params.dtype)
        own[:] = params
        total, losses, rows = np.zeros(len(params)), [], []
        for order in self._orders():
            one = passes.run(order, 0, 1.0, 0.0)
            total += np.multiply(found, len(order) / self.n, dtype=np.float64)
            losses.append((one.loss, one.correct))
            rows.append(len(order))
        loss, correct = blocks.mean(losses, rows)
        finite = bool(np.isfinite(loss) and np.isfinite(total).all())
        return loss if finite else np.inf, correct, total + self.decay * params

    def _network(self, dtype: np.dtype[Any]) -> tuple[Any, ...]:
        code, parameter = self.net.loss_for(dtype)
        return self.net.size_array, self.net.activation_codes, code, parameter

    def _parts(self) -> list[slice]:
        X = self.samples.X
        if isinstance(X, np.ndarray):
            return [slice(0, self.n)]
        return blocks.parts(self.n, 8 * X.shape[1])

    def _blocks(self, dense: bool) -> Iterator[tuple[Any, Array, Array]]:
        """Inputs, targets and weights, all at once if the inputs are an array."""
        X, Y, weight = self.samples.X, self.samples.Y, self.samples.weight
        for part in self._parts():
            block = X if isinstance(X, np.ndarray) else X[part]
            if dense and isinstance(block, SparseRows):
                block = block.dense()
            yield block, Y[part], weight[part]

    def _passes(self, dtype: np.dtype[Any]) -> tuple[Passes, Array, Array]:
        """Passes that compute the gradient of all samples; the parameters that they take, and where they put it."""
        if self._pass is None:
            X, Y, weight = self.samples.X, self.samples.Y, self.samples.weight
            longest = max(part.stop - part.start for part in self._parts()) if isinstance(X, Gathered) else self.n
            self._window = Window(X, Y, weight, longest)
            params, found = (np.zeros(self.decay.size, dtype) for _ in range(2))
            rule = UpdateRule("gradient", [found], (0.0, 0.0, 0.0))
            taken = self._window.X, self._window.Y, self._window.weight
            passes = Passes(taken, self.net, params, rule, longest, threads=self.threads, rows=longest)
            self._pass = passes, params, found
        return self._pass

    def _orders(self) -> Iterator[Any]:
        """Numbers of the samples of each block of a pass, where the passes find them."""
        parts = self._parts() if isinstance(self.samples.X, Gathered) else [slice(0, self.n)]
        for part in parts:
            yield self._window.read(np.arange(part.start, part.stop))
