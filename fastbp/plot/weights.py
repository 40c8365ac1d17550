"""Pictures of weights: the Hinton diagram of a matrix, and the network with its connections (lecture L25)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..model.network import Network
from . import style

MOST = 16  # if a layer has more units, only some are drawn
WIDEST = 5.0  # points; the width of the line of the largest weight of a layer
CROWD = 8  # in larger layers, lines are thinner
SIGNS: dict[str, dict[str, Any]] = {
    "w > 0": {"color": style.BLUE, "linestyle": "-"},
    "w < 0": {"color": style.VERMILION, "linestyle": "--"},
}


def hinton(W: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    Hinton diagram of a weight matrix: squares with an area proportional to ``|w|``, white if w > 0, black if w < 0.

    Parameters
    ----------
    W : array-like, shape (d_in, d_out)
        Rows are inputs, columns are units, as in ``net.weights`` (lecture L25).
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        Not a matrix of finite numbers.
    """
    matrix = checks.numeric("W", W)
    if matrix.ndim != 2 or matrix.size == 0:
        raise ValueError(f"W: expected a matrix (inputs, units) with at least one weight, got shape {matrix.shape}")
    checks.finite("W", matrix)
    matrix = matrix.astype(np.float64)
    d_in, d_out = matrix.shape
    ax = style.axes(ax, (min(max(4, 2 + 0.16 * d_out), 10), min(max(3.5, 1.5 + 0.16 * d_in), 10)))
    largest = np.abs(matrix).max()
    rows, columns = np.nonzero(matrix)
    weights = matrix[rows, columns]
    half = 0.48 * np.sqrt(np.abs(weights) / largest) if largest > 0 else np.empty(0)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half[:, None, None]
    squares = np.column_stack([columns, rows])[:, None, :] + 1 + corners
    colours = np.where(weights > 0, "white", "black")
    ax.add_collection(PolyCollection(list(squares), facecolors=colours, edgecolors="none"))
    ax.set(facecolor="0.55", aspect="equal", xlim=(0.4, d_out + 0.6), ylim=(d_in + 0.6, 0.4))
    ax.set(xlabel="unit", ylabel="input", title=f"white: w > 0, black: w < 0\nlargest |w| = {largest:.3g}")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    return ax


def network(net: Network, ax: Axes | None = None) -> Axes:
    """
    The units of a network and their connections (lecture L25).

    The larger ``|w|``, the wider the line; its colour and dashes show the sign.

    Parameters
    ----------
    net : Network
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        Not a network.

    Notes
    -----
    Widths are relative to the largest weight of the layer. Biases are not drawn. If a layer has more than 16 units, the
    first 15 are drawn, and an ellipsis; the label below says how many there are.
    """
    style.require_network(net)
    ax = style.axes(ax)
    centres = [_centres(layer, units) for layer, units in enumerate(net.sizes)]
    for W, below, above in zip(net.weights, centres[:-1], centres[1:], strict=True):
        _connect(ax, W, below, above)
    for layer, (units, drawn) in enumerate(zip(net.sizes, centres, strict=True)):
        ax.plot(*drawn.T, "o", color="white", markeredgecolor="black", markersize=12, zorder=3)
        if len(drawn) < units:
            ax.text(layer, drawn[-1, 1] - 1, "⋮", ha="center", va="center", fontsize=14)
    for centre, name in zip(centres[0], net.input_names or [f"x{k + 1}" for k in range(net.sizes[0])], strict=False):
        ax.annotate(name, centre, (-12, 0), textcoords="offset points", ha="right", va="center")
    for centre, name in zip(centres[-1], _output_names(net), strict=False):
        ax.annotate(name, centre, (12, 0), textcoords="offset points", va="center")
    half = min(max(net.sizes), MOST) / 2
    ax.set(xlim=(-0.3, len(centres) - 0.7), ylim=(-half, 1.3 * half), yticks=[], title="-".join(map(str, net.sizes)))
    ax.set_xticks(range(len(centres)), [_caption(net, layer, len(drawn)) for layer, drawn in enumerate(centres)])
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    lines = [Line2D([], [], linewidth=2, **line) for line in SIGNS.values()]
    ax.legend(lines, list(SIGNS), loc="upper right", ncols=2, frameon=False)
    return ax


def _centres(layer: int, units: int) -> NDArray[np.float64]:
    """Centres of the units that are drawn, from the top, shape (units drawn, 2)."""
    slots = min(units, MOST)
    drawn = units if units <= MOST else MOST - 1  # the ellipsis takes the last slot
    return np.column_stack([np.full(drawn, float(layer)), (slots - 1) / 2 - np.arange(drawn)])


def _connect(ax: Axes, W: NDArray[Any], below: NDArray[np.float64], above: NDArray[np.float64]) -> None:
    drawn = W[: len(below), : len(above)]
    widest = WIDEST * min(1, CROWD / max(drawn.shape))
    widths = widest * np.abs(drawn) / max(np.abs(W).max(), np.finfo(W.dtype).tiny)
    for line, has_sign in zip(SIGNS.values(), (drawn > 0, drawn < 0), strict=True):
        ends = [(below[i], above[j]) for i, j in np.argwhere(has_sign)]
        ax.add_collection(LineCollection(ends, linewidths=widths[has_sign], alpha=0.8, **line))


def _caption(net: Network, layer: int, drawn: int) -> str:
    last = len(net.sizes) - 1
    name = "inputs" if layer == 0 else "output" if layer == last else f"layer {layer}"
    kind = "" if layer == 0 else f"\n{net.layer_activations[layer - 1]}"
    return name + kind + (f"\n{drawn} of {net.sizes[layer]} drawn" if drawn < net.sizes[layer] else "")


def _output_names(net: Network) -> list[str]:
    """Names of the outputs: the probability of a class (the second of two), or a number."""
    if net.classes is not None:
        return [f"p({label})" for label in net.classes.tolist()[-net.sizes[-1] :]]
    return ["y"] if net.sizes[-1] == 1 else [f"y{k + 1}" for k in range(net.sizes[-1])]
