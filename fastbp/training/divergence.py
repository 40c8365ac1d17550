"""What to say when numbers are no longer finite: where it happened, and what to try."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from ..model import network
from ..options import Architecture, Hyperparameters
from ..second_order.options import NAMES


class DivergenceWarning(RuntimeWarning):
    """Training stopped because the loss or the weights were no longer finite."""


def message(net: Architecture, hyper: Hyperparameters, params: NDArray[Any], X: Any, where: str, scaled: bool) -> str:
    """One sentence: what happened, where, and what to try; `scaled`: whether inputs are standardised."""
    if hyper.optimizer in NAMES:
        return f"training could not begin: {_first_culprit(net, params, X)} not finite; try scale=True, or another init"
    more = "or clip_norm=1.0" if scaled else "clip_norm=1.0, and scale=True"
    return (
        f"training diverged in {where}: {_first_culprit(net, params, X)} no longer finite with "
        f"optimizer={hyper.optimizer!r} and learning_rate={hyper.learning_rate:g}; "
        f"try a learning_rate of {hyper.learning_rate / 10:g}, {more}"
    )


def _first_culprit(net: Architecture, params: NDArray[Any], X: Any) -> str:
    """
    What is no longer finite first, from the inputs up.

    Parameters
    ----------
    net : Architecture
    params : array
        The weights when it was noticed.
    X : C-contiguous array or InPieces, shape (n, features)
        The samples of the batch.
    """
    weights = network.layers(params, net.sizes)
    a, where = X, ""
    for number, (W, b, name) in enumerate(zip(*weights, net.activations, strict=True), 1):
        where = f"layer {number} ({W.shape[0]} to {W.shape[1]} units, {name})"
        if not (np.isfinite(W).all() and np.isfinite(b).all()):
            return f"the weights of {where} were"
        if isinstance(a, np.ndarray):
            z = np.empty((len(a), W.shape[1]), params.dtype)
            kernels.linear_forward(a, W, b, z)
            kernels.activation_forward(kernels.ACTIVATIONS[name], z, z)
        else:
            z = a.first_outputs(net, params)
        if not np.isfinite(z).all():
            return f"the outputs of {where} were"
        a = z
    if net.custom_loss is not None:
        return "the custom loss was"
    return f"the loss of outputs of {where} up to {np.abs(a).max():.3g} was"
