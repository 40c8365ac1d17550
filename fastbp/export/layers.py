"""Converts between a network and a plain list of layers, for libraries that cannot store the scaler."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.network import Network

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]


def folded(net: Network) -> list[Layer]:
    """Weights and biases in float64, with the standardisation of inputs and targets in the first and the last layer."""
    layers = [(W.astype(np.float64), b.astype(np.float64)) for W, b in zip(net.weights, net.biases, strict=True)]
    W, b = layers[0]
    W = W / net.x_scale[:, None]
    layers[0] = W, b - net.x_mean @ W
    if net.task == "regression":  # targets are only scaled if the last activation is the identity
        W, b = layers[-1]
        layers[-1] = W * net.y_scale, b * net.y_scale + net.y_mean
    return layers


def network(
    layers: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    activations: Sequence[str],
    dtype: np.dtype[Any],
    *,
    origin: str,
    scaler: tuple[NDArray[Any] | None, NDArray[Any] | None] = (None, None),
    **attributes: Any,
) -> Network:
    """
    Network from layers that another library trained.

    Parameters
    ----------
    layers : sequence of (W, b)
        Shapes (d_in, d_out) and (d_out,).
    activations : sequence of str
        One for each layer.
    dtype : float32 or float64
    origin : str
        Where the weights come from, for `Network.options`.
    scaler : (mean, scale) of arrays or None
        The standardisation of the inputs.
    **attributes
        Other attributes of `Network`: task, loss, loss_parameter and classes.

    Raises
    ------
    ValueError
        Layers that do not fit together or to the classes, or a weight that is not finite in `dtype`.
    """
    fit = all(W.ndim == 2 and b.shape == W.shape[1:] and W.dtype.kind == b.dtype.kind == "f" for W, b in layers)
    if not fit or any(V.shape[1] != W.shape[0] for (V, _), (W, _) in itertools.pairwise(layers)):
        shapes = [(W.shape, b.shape) for W, b in layers]
        raise ValueError(f"expected weights and biases of layers that fit together, got shapes {shapes}")
    sizes = (layers[0][0].shape[0], *(W.shape[1] for W, _ in layers))
    classes = attributes.get("classes")
    if classes is not None and len(classes) != max(2, sizes[-1]):
        raise ValueError(f"expected {max(2, sizes[-1])} classes for {sizes[-1]} outputs, got {len(classes)}")
    with np.errstate(over="ignore"):
        params = np.concatenate([part.ravel().astype(dtype) for part in itertools.chain.from_iterable(layers)])
    if not np.isfinite(params).all():
        raise ValueError("expected finite weights, got NaN or infinite ones")
    (x_mean, x_scale), task, units = scaler, attributes["task"], sizes[-1]
    return Network(
        sizes=sizes,
        layer_activations=tuple(activations),
        params=params,
        x_mean=np.zeros(sizes[0]) if x_mean is None else x_mean.astype(np.float64),
        x_scale=np.ones(sizes[0]) if x_scale is None else x_scale.astype(np.float64),
        y_mean=np.zeros(units),
        y_scale=np.ones(units),
        single_output=task == "classification" or (task == "regression" and units == 1),
        options={"init": origin},
        **attributes,
    )
