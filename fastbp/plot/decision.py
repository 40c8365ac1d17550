"""Inference and decision over the plane of two inputs (lecture L3, L5, L9), also as an animation of the training."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
from matplotlib.animation import FuncAnimation
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, Normalize, to_rgb
from numpy.typing import ArrayLike, NDArray

from ..model.ensemble import Ensemble, members
from ..model.network import Network
from . import style
from .samples import Samples, add_key, draw_points, read_samples

RESOLUTION = 201  # points along each side where the network is evaluated
PALE = 0.45  # how close the background is to the colour of a class that the network is sure of
SHADES = 21  # of a probability: a GIF has only 256 colours, and it needs some for the samples
MARGIN = 0.15


def boundary(net: Network | Ensemble, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    Inference as the background, the decision as a line, and the samples on it (lecture L3, L5, L9).

    Parameters
    ----------
    net : Network or Ensemble
        With two inputs, for classification or for regression on one target.
    X : array-like or frame, shape (n, 2)
        Samples.
    y : array-like, shape (n,)
        Their labels or numbers.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        A network with other inputs or targets, or samples that do not fit it.

    Notes
    -----
    Two classes: the background is the probability of the second class, and the line is where it is 1/2. Several
    classes: the background is the colour of the most probable class, paler where the network is less sure. Regression:
    colours and thin contour lines show the prediction, on the same scale as the samples, so that a well-fitted sample
    has the colour of its surroundings.
    """
    samples = _read(net, X, y)
    ax = style.axes(ax)
    plane = _Plane(ax, samples)
    plane.show(net)
    plane.finish()
    return ax


def boundary_animation(
    networks: Iterable[tuple[int, Network | Ensemble]], X: ArrayLike, y: ArrayLike, ax: Axes | None = None
) -> FuncAnimation:
    """
    The picture of `boundary` while a network learns: one frame for each of `networks`.

    Parameters
    ----------
    networks : iterable of (int, Network or Ensemble)
        Each epoch and the network after it, in the order to show.
    X : array-like or frame, shape (n, 2)
        Samples.
    y : array-like, shape (n,)
        Their labels or numbers.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib.animation.FuncAnimation
        Keep it in a variable: it stops when it is garbage-collected. ``animation.save("boundary.gif",
        writer="pillow")`` writes a file.

    Raises
    ------
    ValueError
        No network, or as in `boundary`.

    Notes
    -----
    The networks can come from calls of `fastbp.train` that continue one another, as below; Adam starts afresh in each.
    For a single run, copy the weights in a callback, ``lambda epoch: kept.append((epoch.epoch,
    epoch.params.copy()))``, and put them into the trained network: ``[(epoch, dataclasses.replace(net,
    params=weights)) for epoch, weights in kept]``.

    Examples
    --------
    >>> import fastbp
    >>> from fastbp import plot
    >>> X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
    >>> net = fastbp.train(X, y, hidden=(8,), epochs=10, seed=1)
    >>> networks = [(10, net)]
    >>> for epoch in range(20, 60, 10):
    ...     net = fastbp.train(X, y, init=net, epochs=10, seed=epoch)
    ...     networks.append((epoch, net))
    >>> animation = plot.boundary_animation(networks, X, y)
    """
    frames = _frames(networks)
    samples, *_ = [_read(net, X, y) for _, net in frames]
    ax = style.axes(ax)
    plane = _Plane(ax, samples)
    score = "R²" if samples.classes is None else "accuracy"

    def show(frame: int) -> list[Artist]:
        epoch, net = frames[frame]
        ax.set_title(f"epoch {epoch}: {score} {net.score(X, y):.2f}")
        return plane.show(net)

    show(0)
    plane.finish()
    return FuncAnimation(ax.figure.canvas.figure, show, frames=len(frames), interval=200, repeat_delay=2000)


def _frames(networks: Iterable[tuple[int, Network | Ensemble]]) -> list[tuple[int, Network | Ensemble]]:
    try:
        frames = [(int(epoch), net) for epoch, net in networks]
    except (TypeError, ValueError):
        raise ValueError(f"networks: expected pairs of an epoch and a network, got {networks!r}") from None
    if not frames:
        raise ValueError("networks: expected at least one pair of an epoch and a network, got none")
    return frames


def _read(model: Network | Ensemble, X: ArrayLike, y: ArrayLike) -> Samples:
    style.require_model(model)
    net = members(model)[0]
    samples = read_samples(net, X, y)
    if net.columns is not None and net.columns.exported.count == 2:  # the plane of the two raw values
        exported = net.columns.exported
        values = ~(exported.flag | exported.piece)
        return replace(samples, X=samples.X[:, values], names=tuple(itertools.compress(samples.names, values)))
    if net.sizes[0] != 2:
        raise ValueError(f"net: expected a network with two inputs, whose plane can be drawn, got {net.sizes[0]}")
    return samples


class _Plane:
    """The plane of the inputs, coloured by one network after another."""

    def __init__(self, ax: Axes, samples: Samples) -> None:
        self.ax, self.samples = ax, samples
        limits = samples.limits(MARGIN)
        self.x1, self.x2 = (np.linspace(low, high, RESOLUTION) for low, high in limits)
        self.inputs = np.stack(np.meshgrid(self.x1, self.x2), axis=-1).reshape(-1, 2)
        norm, cmap = (samples.norm, style.SURFACE) if samples.classes is None else (Normalize(0, 1), _two_colours())
        blank, extent = np.zeros((RESOLUTION, RESOLUTION)), (*limits[0], *limits[1])
        self.image = ax.imshow(blank, extent=extent, origin="lower", aspect="auto", norm=norm, cmap=cmap, zorder=0)
        self.lines: list[Artist] = []

    def show(self, net: Network | Ensemble) -> list[Artist]:
        """Show the inference and the decision of `net` instead of the previous ones."""
        for line in self.lines:
            line.remove()
        if net.task == "regression":
            shown = net.predict(self.inputs).reshape(RESOLUTION, RESOLUTION)
            self.lines = self._contours(shown, np.linspace(*self.image.get_clim(), 9)[1:-1], 0.5)
        else:
            inference = net.predict_proba(self.inputs).reshape(RESOLUTION, RESOLUTION, -1)
            two = inference.shape[-1] == 2
            shown = inference[:, :, 1] if two else _several_colours(inference)
            leads = [_lead(inference, k) for k in range(1 if two else inference.shape[-1])]
            self.lines = [line for lead in leads for line in self._contours(lead, [0.0], 1.5)]
        self.image.set_data(shown)
        return [self.image, *self.lines]

    def finish(self) -> None:
        """Draw what does not depend on the network: the samples and the legend."""
        ax, samples = self.ax, self.samples
        draw_points(ax, samples.X, samples)
        ax.set(xlabel=samples.names[0], ylabel=samples.names[1])
        if samples.classes is not None:
            ax.plot([], [], color="black", label="decision")
            if len(samples.classes) == 2:
                ax.figure.colorbar(self.image, ax=ax, label=f"inference: probability of {samples.classes[1]}")
        add_key(ax, samples)

    def _contours(self, values: NDArray[Any], levels: Any, width: float) -> list[Artist]:
        inside = [level for level in np.unique(levels) if values.min() < level < values.max()]
        if not inside:
            return []
        return [self.ax.contour(self.x1, self.x2, values, inside, colors="black", linewidths=width)]


def _pale(colour: str) -> tuple[float, ...]:
    return tuple(1 - PALE * (1 - part) for part in to_rgb(colour))


def _two_colours() -> LinearSegmentedColormap:
    """From the first class through white, where the network is not sure, to the second."""
    colours = [_pale(style.colour(0)), (1, 1, 1), _pale(style.colour(1))]
    return LinearSegmentedColormap.from_list("two classes", colours, SHADES)


def _lead(inference: NDArray[Any], k: int) -> NDArray[Any]:
    """By how much class k is more probable than the best of the others."""
    return inference[:, :, k] - np.delete(inference, k, axis=-1).max(axis=-1)


def _several_colours(inference: NDArray[Any]) -> NDArray[np.float64]:
    """Colour of the most probable class; white where all are equally probable."""
    classes = inference.shape[-1]
    colours = np.array([_pale(style.colour(k)) for k in range(classes)])
    sure = (inference.max(axis=-1, keepdims=True) - 1 / classes) / (1 - 1 / classes)
    return 1 - np.round(sure * SHADES) / SHADES * (1 - colours[inference.argmax(axis=-1)])
