"""Batches as scikit-learn defines them: its loss, its penalty, its weights of samples; two ways to learn from one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from . import checks
from .fit import thread_count
from .network import layers
from .options import Architecture

Array = NDArray[Any]


def flat(W: list[Array], b: list[Array], dtype: Any) -> Array:
    """All parameters in one new array, layer after layer, as the kernels take them."""
    return np.concatenate([part.ravel() for pair in zip(W, b, strict=True) for part in pair], dtype=dtype)


class Batches:
    """
    Loss, gradient and update of one batch after another, on fixed data.

    Parameters
    ----------
    X : C-contiguous array of the dtype of params, or sparse matrix (CSR), shape (n, features)
    Y : array, shape (n, outputs)
    sample_weight : array, shape (n,), or None
    net : Architecture
        Units and activations of every layer, and the loss.
    alpha : float
        Weight of the penalty alpha/2 sum w^2, which is divided by the number (or the weight) of the samples of a batch.
    params, state : array and list of array
        Parameters, and state of the optimizer, updated in place.
    """

    def __init__(self, X: Any, Y: Array, sample_weight: Array | None, net: Architecture, alpha: float, params: Array,
                 state: list[Array]) -> None:  # fmt: skip
        self.X, self.Y = X, checks.frozen(np.ascontiguousarray(Y, params.dtype))
        self.sample_weight, self.net, self.alpha = sample_weight, net, alpha
        self.params, self.state = params, state
        self.W, self.b = layers(params, net.sizes)

    def prepare(self, optimizer: str, learning_rate: float, beta1: float, beta2: float, epsilon: float) -> None:
        """Choose the rule of the updates that follow."""
        self.optimizer, self.numbers = optimizer, (learning_rate, beta1, beta2, epsilon)

    def run(self, batch: Array, step: int) -> float:
        """One update by the samples `batch`, number `step` from 0 on; returns their loss from before it, penalty included."""
        weight = None if self.sample_weight is None else self.sample_weight[batch]
        total = float(len(batch) if weight is None else weight.sum())
        # not by BLAS, whose threads would go on spinning beside ours
        squares = sum(float(np.einsum("ij,ij->", W, W)) for W in self.W) if self.alpha else 0.0
        return self._update(batch, weight, total, step) + 0.5 * self.alpha * squares / total

    def _update(self, batch: Array, weight: Array | None, total: float, step: int) -> float:
        raise NotImplementedError


class FusedBatches(Batches):
    """In one compiled loop over all layers: for dense samples, and the outputs that it knows."""

    def __init__(self, X: Array, *rest: Any) -> None:
        super().__init__(X, *rest)
        self.importance = np.ones(len(X), self.params.dtype)
        self.threads = thread_count(None)
        self.prepared: dict[int, Callable[..., Any]] = {}

    def prepare(self, *rule: Any) -> None:
        """Choose the rule of the updates that follow."""
        super().prepare(*rule)
        self.prepared.clear()

    def _update(self, batch: Array, weight: Array | None, total: float, step: int) -> float:
        if weight is not None:
            # scikit-learn divides by the sum of the batch's weights, the kernels by its number of samples
            self.importance[batch] = weight * (len(batch) / total)
        loss, _, _ = self._batch(len(batch), self.alpha / total)(batch, step)
        return float(loss) / (self.Y.shape[1] if self.net.loss == "squared_error" else 1)  # squared_error: mean over the outputs

    def _batch(self, rows: int, l2: float) -> Callable[..., Any]:
        """Return the compiled batch of so many samples; it serves all such batches if the penalty is the same for all."""
        if rows in self.prepared:
            return self.prepared[rows]
        first, second = (*self.state, *[np.empty(0, self.params.dtype)] * 2)[:2]

        def prepared(parallel: bool) -> Callable[..., Any]:
            data = (checks.frozen(self.X), self.Y, checks.frozen(self.importance), rows, rows)
            net = (self.net.size_array, self.net.activation_codes, self.net.loss_code, kernels.NO_DECISION)
            rule = (kernels.OPTIMIZERS[self.optimizer], first, second, *self.numbers)
            return kernels.prepare_minibatch(*data, *net, self.params, *rule, l2, parallel)

        run = serial = prepared(False)
        if self.threads > 1 and kernels.parallel_pays(self.net.sizes, rows, self.params.itemsize):
            parallel = prepared(True)

            def run(batch: Array, step: int) -> Any:
                with kernels.threads(self.threads) as allowed:
                    return (parallel if allowed else serial)(batch, step)

        if self.sample_weight is None:
            self.prepared[rows] = run
        return run


class LayeredBatches(Batches):
    """Layer after layer with the drop-in kernels: for sparse samples (CSR), and for exponential outputs."""

    def __init__(self, X: Any, *rest: Any) -> None:
        super().__init__(X, *rest)
        from sklearn.neural_network._base import LOSS_FUNCTIONS

        binary = self.net.loss == "log_loss" and self.net.activations[-1] == "logistic"
        self.loss_function = LOSS_FUNCTIONS["binary_log_loss" if binary else self.net.loss]
        self.gradient = np.empty_like(self.params)
        self.dW, self.db = layers(self.gradient, self.net.sizes)

    def _update(self, batch: Array, weight: Array | None, total: float, step: int) -> float:
        x = self.X[batch] if isinstance(self.X, np.ndarray) else None
        a = outputs(self.X if x is None else x, batch, self.W, self.b, self.net.activations)
        y = self.Y[batch]
        loss = float(self.loss_function(y, a[-1], weight))
        # delta = dJ/dz = (a - y) / total: each of these losses goes with its outputs
        delta = (a[-1] - y) / y.dtype.type(total)
        if weight is not None:
            delta *= weight[:, None].astype(y.dtype)
        for l in range(len(self.W) - 1, -1, -1):
            kernels.bias_gradient(delta, self.db[l])
            if l > 0:
                kernels.weight_gradient(a[l - 1], delta, self.dW[l])
                below = np.empty_like(a[l - 1])
                kernels.hidden_delta(kernels.ACTIVATIONS[self.net.activations[l - 1]], delta, self.W[l], a[l - 1], below)
            elif x is not None:
                kernels.weight_gradient(x, delta, self.dW[0])
            else:
                kernels.csr_weight_gradient(self.X.data, self.X.indices, self.X.indptr, batch, delta, self.dW[0])
            if self.alpha:
                kernels.sgd_update(self.dW[l], self.W[l], -self.alpha / total)  # dW <- dW + alpha/total W
            delta = below if l > 0 else delta
        rate, beta1, beta2, epsilon = self.numbers
        if self.optimizer == "adam":
            kernels.adam_update(self.params, self.gradient, *self.state, step + 1, rate, beta1, beta2, epsilon)
        elif self.optimizer == "sgd":
            kernels.sgd_update(self.params, self.gradient, rate)
        else:
            update = kernels.nesterov_update if self.optimizer == "nesterov" else kernels.momentum_update
            update(self.params, self.gradient, self.state[0], rate, beta1)
        return loss


def outputs(X: Any, rows: Array, W: list[Array], b: list[Array], activations: Sequence[str]) -> list[Array]:
    """Outputs of every layer for the samples of a dense array, or for some `rows` of a sparse matrix in compressed rows."""
    found: list[Array] = []
    for l, name in enumerate(activations):
        a = np.empty((len(rows), W[l].shape[1]), W[l].dtype)
        if l > 0 or isinstance(X, np.ndarray):
            kernels.linear_forward(found[-1] if l > 0 else X, W[l], b[l], a)
        else:
            kernels.csr_linear_forward(X.data, X.indices, X.indptr, rows, W[0], b[0], a)
        if name == "exp":
            kernels.exp(a, a)
        else:
            kernels.activation_forward(kernels.ACTIVATIONS[name], a, a)
        found.append(a)
    return found
