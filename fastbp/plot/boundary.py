"""The decision boundary of a network of two inputs, still and moving (L3, L5, L9)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from numpy.typing import ArrayLike, NDArray

from ..network import Network
from .style import BLUE, COLOURS, RED, new_axes, samples_of, scatter

RESOLUTION = 201  # points a side
PROBABILITY = LinearSegmentedColormap.from_list("probability", [BLUE, "white", RED])


def boundary(net: Network, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    Draw what a network says at every point of the plane of its two inputs (L3, L5, L9).

    Inference is the background: the probability of the second of two classes, the most probable of several (the stronger, the
    more probable), or the prediction in regression. The decision is the line, where the probability is 1/2 or the class changes.

    Parameters
    ----------
    net : Network
        Of two inputs.
    X : array-like or frame, shape (n, 2)
    y : array-like, shape (n,)
        What the samples are.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    Axes

    Raises
    ------
    ValueError
        A network of other than two inputs, one of several outputs in regression or multilabel, or samples that do not fit it.
    """
    inputs, known = _checked(net, X, y)
    ax = new_axes(ax)
    plane = _Plane(net, inputs)
    mappable = plane.draw(ax, net)
    if net.task == "regression":
        ax.figure.colorbar(mappable, ax=ax, label="prediction")
    elif len(plane.classes) == 2:
        ax.figure.colorbar(mappable, ax=ax, label=f"probability of {plane.classes[1]}", ticks=[0, 0.25, 0.5, 0.75, 1])
    _samples(ax, net, inputs, known, plane)
    return ax


def boundary_animation(
    networks: Sequence[tuple[int, Network]], X: ArrayLike, y: ArrayLike, ax: Axes | None = None, interval: int = 200
) -> FuncAnimation:
    """
    Let the boundary move through the networks of several epochs.

    Parameters
    ----------
    networks : sequence of (epoch, Network)
        In `fastbp.train` a callback sees ``epoch.params``; ``dataclasses.replace(net, params=...)`` is the network with them.
    X, y
        As in `boundary`.
    ax : matplotlib Axes, optional
        Where to draw; by default in a new figure.
    interval : int
        Milliseconds a frame.

    Returns
    -------
    FuncAnimation
        Keep it as long as it shall move; ``animation.save("xor.gif", writer="pillow")`` writes it.

    Raises
    ------
    ValueError
        No network, and as in `boundary`.
    """
    networks = list(networks)
    if not networks:
        raise ValueError("networks: expected at least one (epoch, Network), got none")
    for _, net in networks:
        inputs, known = _checked(net, X, y)
    ax = new_axes(ax)
    plane = _Plane(networks[-1][1], inputs)
    _samples(ax, networks[-1][1], inputs, known, plane)
    drawn: list[Any] = []

    def frame(k: int) -> list[Any]:
        epoch, net = networks[k]
        for artist in drawn:
            artist.remove()
        before = set(ax.get_children())
        plane.draw(ax, net)
        drawn[:] = [artist for artist in ax.get_children() if artist not in before]
        ax.set_title(f"after {epoch} {'pass' if epoch == 1 else 'passes'}")
        return drawn

    figure = ax.get_figure(root=True)
    assert figure is not None
    return FuncAnimation(figure, frame, frames=len(networks), interval=interval, init_func=list)


def _checked(net: Network, X: ArrayLike, y: ArrayLike) -> tuple[NDArray[Any], NDArray[Any]]:
    if net.sizes[0] != 2:
        raise ValueError(f"net: expected a network of two inputs, got {net.sizes[0]}")
    if net.task != "classification" and net.sizes[-1] != 1:
        raise ValueError(f"net: expected a network of one output for {net.task}, got {net.sizes[-1]}")
    return samples_of(net, X, y)


class _Plane:
    """A grid around the samples, and how a network's answers on it are drawn."""

    def __init__(self, net: Network, inputs: NDArray[Any]) -> None:
        low, high = inputs.min(axis=0), inputs.max(axis=0)
        margin = 0.2 * np.where(high > low, high - low, 1)
        self.axes = [np.linspace(a, b, RESOLUTION) for a, b in zip(low - margin, high + margin, strict=True)]
        self.points = np.stack(np.meshgrid(*self.axes), axis=-1).reshape(-1, 2)
        self.classes = [] if net.task == "regression" else [0, 1] if net.classes is None else net.classes.tolist()

    def draw(self, ax: Axes, net: Network) -> Any:
        """Draw background and line; returns what a colour bar takes."""
        shape = (RESOLUTION, RESOLUTION)
        if net.task == "regression":
            return ax.contourf(*self.axes, net.predict(self.points).reshape(shape), levels=20, cmap="viridis", zorder=0)
        proba = net.predict_proba(self.points)
        if len(self.classes) == 2:
            p = proba[:, -1].reshape(shape)
            mappable = self._image(ax, p, cmap=PROBABILITY, vmin=0, vmax=1, alpha=0.6)
            if p.min() < 0.5 < p.max():
                ax.contour(*self.axes, p, levels=[0.5], colors="black", linewidths=1.5, zorder=1)
            return mappable
        best = proba.argmax(axis=1)
        strength = (proba.max(axis=1, keepdims=True) * 0.5)[:, :1]
        colours = np.array([to_rgb(COLOURS[k % len(COLOURS)]) for k in range(len(self.classes))])
        mappable = self._image(ax, (1 - strength * (1 - colours[best])).reshape(*shape, 3))
        for k in range(len(self.classes)):
            mine = (best == k).reshape(shape)
            if mine.any() and not mine.all():
                ax.contour(*self.axes, mine, levels=[0.5], colors="black", linewidths=1, zorder=1)
        return mappable

    def _image(self, ax: Axes, values: NDArray[Any], **style: Any) -> Any:
        extent = (self.axes[0][0], self.axes[0][-1], self.axes[1][0], self.axes[1][-1])
        return ax.imshow(values, origin="lower", extent=extent, aspect="auto", interpolation="bilinear", zorder=0, **style)


def _samples(ax: Axes, net: Network, inputs: NDArray[Any], known: NDArray[Any], plane: _Plane) -> None:
    names = net.feature_names or ("x1", "x2")
    if net.task == "regression":
        ax.scatter(inputs[:, 0], inputs[:, 1], 14, color="white", edgecolor="black", zorder=3)
    else:
        classes = plane.classes if net.task == "classification" else sorted(set(known.tolist()))
        scatter(ax, inputs, known, net.task, classes)
    ax.set(xlabel=names[0], ylabel=names[1], xlim=plane.axes[0][[0, -1]], ylim=plane.axes[1][[0, -1]])
