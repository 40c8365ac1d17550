"""scikit-learn's lists of weights as the arrays that kernels take, and outputs for sparse samples."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import issparse

import fastbp.kernels as kernels

from ..model.network import layers
from ..options import Architecture
from ..training.passes import Array


def read(X: Any, dtype: Any) -> Any:
    """A sparse matrix in compressed rows, or a contiguous array."""
    return X.tocsr().astype(dtype, copy=False) if issparse(X) else np.ascontiguousarray(X, dtype)


def flat(W: list[Array], b: list[Array], dtype: Any) -> Array:
    """All parameters in one new array, layer after layer, as the kernels take them."""
    return np.concatenate([part.ravel() for pair in zip(W, b, strict=True) for part in pair], dtype=dtype)


def sparse_outputs(X: Any, params: Array, net: Architecture) -> Array:
    """Outputs for all rows of a sparse matrix: the first layer takes it, a network of the other layers the rest."""
    W, b = layers(params[: (net.sizes[0] + 1) * net.sizes[1]], net.sizes[:2])
    a = np.empty((X.shape[0], net.sizes[1]), params.dtype)
    kernels.csr_linear_forward(X.data, X.indices, X.indptr, np.arange(X.shape[0]), W[0], b[0], a)
    kernels.activation_forward(kernels.ACTIVATIONS[net.activations[0]], a, a)
    if len(net.activations) == 1:
        return a
    rest = Architecture(net.sizes[1:], net.activations[1:], net.loss, net.task)
    return rest.outputs(a, params[W[0].size + b[0].size :])
