"""The samples in the space of each layer, and how the layers bend it (lecture L7, L9, L12)."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from numpy.typing import ArrayLike, NDArray

import fastbp.kernels as kernels

from .. import checks
from ..model.network import Network
from . import style
from .samples import Samples, add_key, draw_points, read_samples

LINES, STEPS = 11, 101  # lines of the grid in each direction, and points along each
IDLE = 0.01  # a unit is idle if its f' is below this share of its largest value for every sample
LARGEST_SLOPE = {"identity": 1.0, "logistic": 0.25, "tanh": 1.0, "relu": 1.0}
NAMED = 5  # idle units listed by number


def layer_space(net: Network, X: ArrayLike, y: ArrayLike, layer: int, ax: Axes | None = None) -> Axes:
    """
    The samples in the space of one layer (lecture L7, L9, L12).

    Parameters
    ----------
    net : Network
        For classification, or for regression on one target.
    X : array-like or frame, shape (n, features)
        Samples.
    y : array-like, shape (n,)
        Their labels or numbers.
    layer : int
        0: the inputs of the first layer, 1: the first hidden layer, ...
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        A layer that does not exist, a network with several targets, or samples that do not fit it.

    Notes
    -----
    Two units are the two axes. If there are more, the axes are the first two principal components of the samples. A
    single unit is the horizontal axis, and the target is the vertical one, where the samples of a class are spread so
    that none hides another.

    In a network with two inputs, the grid of their plane is drawn, too, bent as the layers bend it.

    A line of text in the picture lists the units of a hidden layer that have stopped learning, because their derivative
    f' is below 1 % of its largest value for every sample: relu units whose output is 0 (*dead*), and logistic or tanh
    units whose output is near its bounds (*saturated*).
    """
    samples = read_samples(net, X, y)
    layer = checks.integer("layer", layer, 0)
    if layer >= len(net.sizes):
        raise ValueError(f"layer: expected at most {len(net.sizes) - 1}, the last layer of this network, got {layer}")
    ax = style.axes(ax)
    _draw(ax, net, samples, layer, net.activations(samples.X)[layer], _bent_grid(net, samples)[layer])
    add_key(ax, samples)
    return ax


def layer_spaces(net: Network, X: ArrayLike, y: ArrayLike, ax: Any = None) -> Any:
    """
    The samples in the spaces of all layers, side by side, from the inputs to the output (lecture L7, L9, L12).

    Parameters
    ----------
    net : Network
        For classification, or for regression on one target.
    X : array-like or frame, shape (n, features)
        Samples.
    y : array-like, shape (n,)
        Their labels or numbers.
    ax : array of matplotlib axes, optional
        One for each layer, including the inputs.

    Returns
    -------
    array of matplotlib axes, shape (layers + 1,) or that of `ax`

    Raises
    ------
    ValueError
        A network with several targets, samples that do not fit it, or another number of axes.

    See Also
    --------
    layer_space : One of these pictures, explained.
    """
    samples = read_samples(net, X, y)
    axes = style.row_of_axes(ax, len(net.sizes))
    activations, grid = net.activations(samples.X), _bent_grid(net, samples)
    for layer, one in enumerate(axes.flat):
        _draw(one, net, samples, layer, activations[layer], grid[layer])
    add_key(axes.flat[-1], samples)
    return axes


def _draw(ax: Axes, net: Network, samples: Samples, layer: int, a: NDArray[Any], grid: NDArray[Any]) -> None:
    if a.shape[1] == 1:
        height = samples.targets
        if samples.classes is not None:
            # Spread, so that no sample hides another; by the golden ratio, which is even within each class.
            height = height + 0.6 * (np.arange(len(a)) * 0.618 % 1 - 0.5)
            ax.set_yticks(range(len(samples.classes)), [str(label) for label in samples.classes.tolist()])
        draw_points(ax, np.column_stack([a[:, 0], height]), samples)
        ax.set(xlabel=_unit(net, samples, layer, 0), ylabel="y")
    else:
        directions, labels = _directions(net, samples, layer, a)
        centre = a.mean(axis=0) if a.shape[1] > 2 else 0
        lines = ((grid - centre) @ directions).reshape(-1, STEPS, 2)
        ax.add_collection(LineCollection(list(lines), colors="0.75", linewidths=0.7, zorder=1))
        draw_points(ax, (a - centre) @ directions, samples)
        ax.set(xlabel=labels[0], ylabel=labels[1])
    idle = _idle_units(net, layer, a)
    if idle:
        low, high = ax.get_ylim()
        ax.set_ylim(low, high + 0.12 * (high - low))  # room for the text
        ax.text(0.5, 0.98, idle, transform=ax.transAxes, ha="center", va="top")
    ax.set_title(_title(net, layer))


def _title(net: Network, layer: int) -> str:
    if layer == 0:
        return "inputs"
    name = "output" if layer == len(net.sizes) - 1 else f"layer {layer}"
    units = net.sizes[layer]
    return f"{name}: {units} {net.layer_activations[layer - 1]} {'unit' if units == 1 else 'units'}"


def _unit(net: Network, samples: Samples, layer: int, unit: int) -> str:
    if layer > 0:
        return f"unit {unit + 1} of layer {layer}"
    scaled = net.x_mean[unit] != 0 or net.x_scale[unit] != 1
    return samples.names[unit] + (" (standardised)" if scaled else "")


def _directions(net: Network, samples: Samples, layer: int, a: NDArray[Any]) -> tuple[NDArray[Any], list[str]]:
    """Two directions in the space of the layer, shape (units, 2), and their labels."""
    if a.shape[1] == 2:
        return np.eye(2), [_unit(net, samples, layer, k) for k in range(2)]
    centred = (a - a.mean(axis=0)).astype(np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)  # in ascending order
    shares = variances / max(variances.sum(), np.finfo(np.float64).tiny)
    first_two = directions[:, [-1, -2]]
    largest = np.abs(first_two).argmax(axis=0)
    labels = [f"principal component {k} ({100 * shares[-k]:.0f} % of variance)" for k in (1, 2)]
    return first_two * np.sign(first_two[largest, [0, 1]]), labels  # eigh returns eigenvectors with arbitrary signs


def _bent_grid(net: Network, samples: Samples) -> list[NDArray[Any]]:
    """
    Lines of a grid over the plane of two inputs, in the space of every layer.

    For each layer the points of all lines, STEPS for each, shape (n, units); none if there are not two inputs.
    """
    if net.sizes[0] != 2:
        return [np.empty((0, units)) for units in net.sizes]
    (few1, few2), (many1, many2) = ([np.linspace(*ends, n) for ends in samples.limits(0.05)] for n in (LINES, STEPS))
    vertical = np.stack(np.meshgrid(few1, many2, indexing="ij"), axis=-1)
    horizontal = np.stack(np.meshgrid(many1, few2), axis=-1)
    return net.activations(np.concatenate([vertical, horizontal]).reshape(-1, 2))


def _idle_units(net: Network, layer: int, a: NDArray[Any]) -> str:
    """List the units of a hidden layer whose derivative is near 0 for every sample."""
    if layer in (0, len(net.sizes) - 1):  # outputs are meant to reach their bounds
        return ""
    kind = net.layer_activations[layer - 1]
    if kind not in LARGEST_SLOPE:  # units with other activations do not become idle
        return ""
    slope = np.empty_like(a)
    kernels.activation_derivative(kernels.ACTIVATIONS[kind], a, slope)
    idle = np.flatnonzero((slope < IDLE * LARGEST_SLOPE[kind]).all(axis=0)) + 1
    if len(idle) == 0:
        return ""
    names = ", ".join(map(str, idle[:NAMED])) + (f", ... ({len(idle)} in all)" if len(idle) > NAMED else "")
    return f"{'unit' if len(idle) == 1 else 'units'} {names} {'dead' if kind == 'relu' else 'saturated'}"
