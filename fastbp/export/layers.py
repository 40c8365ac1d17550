"""A network as a plain list of layers, and back: all that a library without a place for the scaler can hold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.network import Network

Layer = tuple[NDArray[np.float64], NDArray[np.float64]]


def folded(net: Network) -> list[Layer]:
    """Weights and biases in float64: the first layer takes inputs that are not standardised, the last gives numbers on their scale."""
    found = [(W.astype(np.float64), b.astype(np.float64)) for W, b in zip(net.weights, net.biases, strict=True)]
    W, b = found[0]
    W = W / net.x_scale[:, None]
    found[0] = W, b - net.x_mean @ W
    if net.task == "regression":  # targets are only scaled where the last activation is the identity
        W, b = found[-1]
        found[-1] = W * net.y_scale, b * net.y_scale + net.y_mean
    return found


def network(
    layers: Sequence[tuple[NDArray[Any], NDArray[Any]]],
    activations: Sequence[str],
    dtype: np.dtype[Any],
    *,
    task: str,
    loss: str,
    origin: str,
    classes: NDArray[Any] | None = None,
    loss_parameter: tuple[float, ...] = (),
    x_mean: NDArray[Any] | None = None,
    x_scale: NDArray[Any] | None = None,
) -> Network:
    """
    Network of layers that another library trained.

    Parameters
    ----------
    layers : sequence of (W, b)
        Shapes (d_in, d_out) and (d_out,).
    activations : sequence of str
        One for each layer.
    dtype : float32 or float64
    task, loss, classes, loss_parameter
        As in `Network`.
    origin : str
        Where the weights come from, for `Network.options`.
    x_mean, x_scale : array, optional
        The standardisation of the inputs.

    Raises
    ------
    ValueError
        A weight that is not finite in `dtype`.
    """
    sizes = (layers[0][0].shape[0], *(W.shape[1] for W, _ in layers))
    with np.errstate(over="ignore"):
        params = np.concatenate([part.ravel().astype(dtype) for part in itertools.chain.from_iterable(layers)])
    if not np.isfinite(params).all():
        raise ValueError("expected finite weights, got others")
    units = sizes[-1]
    return Network(
        task=task,
        sizes=sizes,
        layer_activations=tuple(activations),
        loss=loss,
        params=params,
        x_mean=np.zeros(sizes[0]) if x_mean is None else x_mean.astype(np.float64),
        x_scale=np.ones(sizes[0]) if x_scale is None else x_scale.astype(np.float64),
        y_mean=np.zeros(units),
        y_scale=np.ones(units),
        classes=classes,
        single_output=task == "classification" or (task == "regression" and units == 1),
        loss_parameter=loss_parameter,
        options={"init": origin},
    )
