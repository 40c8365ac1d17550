"""What all pictures share: colours that colour-blind people can distinguish, markers, and the axes to draw on."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from ..model.ensemble import Ensemble
from ..model.network import Network

BLUE, VERMILION, GREEN, SKY = "#0072B2", "#D55E00", "#009E73", "#56B4E9"
# Of classes: one for each of the ten digits. Each class differs from the others in both colour and marker.
COLOURS = (BLUE, VERMILION, GREEN, "#E69F00", "#CC79A7", SKY, "#000000", "#999933", "#882255", "#888888")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "p", "<", ">")
SURFACE = "viridis"  # colour map of numbers


def colour(k: int) -> str:
    """Colour of class k."""
    return COLOURS[k % len(COLOURS)]


def marker(k: int) -> str:
    """Marker of class k; when the colours repeat, the markers shift, so that classes with the same colour differ."""
    return MARKERS[(k + k // len(COLOURS)) % len(MARKERS)]


def axes(ax: Axes | None, figsize: tuple[float, float] | None = None) -> Axes:
    """`ax`, or the axes of a new figure of `figsize` inches."""
    if ax is None:
        return plt.subplots(figsize=figsize, layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ValueError(f"ax: expected matplotlib axes, got {ax!r}")
    return ax


def row_of_axes(ax: Any, count: int) -> Any:
    """`ax` as an array of `count` axes; or those of a new figure, side by side."""
    if ax is None:
        return plt.subplots(1, count, figsize=(1 + 3.6 * count, 4), layout="constrained", squeeze=False)[1][0]
    array = np.atleast_1d(np.asarray(ax, object))
    if array.size != count or not all(isinstance(one, Axes) for one in array.flat):
        raise ValueError(f"ax: expected an array of {count} matplotlib axes, got {ax!r}")
    return array


def require_network(net: object) -> None:
    """Raise ValueError unless `net` is a network."""
    if not isinstance(net, Network):
        raise ValueError(f"net: expected a fastbp.Network, got {net!r}")


def require_model(net: object) -> None:
    """Raise ValueError unless `net` is a network or an ensemble."""
    if not isinstance(net, Network | Ensemble):
        raise ValueError(f"net: expected a fastbp.Network or a fastbp.Ensemble, got {net!r}")
