"""Predictions compared with the truth: the confusion matrix, and predicted against true numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from ..data.targets import targets_of
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from . import style

MOST_CLASSES = 20
MOST_POINTS = 5000
MOST_VECTORS = 1000  # in vector formats such as SVG, more points are drawn as one image
LONGEST = 18  # characters of a label


def confusion(net: Network | Ensemble, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    The confusion matrix: how many samples of each class the model assigns to each class.

    Parameters
    ----------
    net : Network or Ensemble
        For classification.
    X : array-like or frame, shape (n, features)
        Samples.
    y : array-like, shape (n,)
        Their labels.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        A network of another task, or samples that do not fit it.

    Notes
    -----
    A row for each true class, a column for each predicted class; correct predictions are on the diagonal. Each cell has
    the number of samples and their share of the row, which is also its colour. If there are more than 20 classes, all
    but the 20 most frequent ones are shown as one.
    """
    true, predicted = _read(net, X, y, "classification")
    assert net.classes is not None
    accuracy = (true == predicted).mean()
    labels = [_label(label) for label in net.classes.tolist()]
    if len(labels) > MOST_CLASSES:
        frequent = np.sort(np.argsort(-np.bincount(true, minlength=len(labels)), kind="stable")[:MOST_CLASSES])
        position = np.full(len(labels), MOST_CLASSES)
        position[frequent] = np.arange(MOST_CLASSES)
        true, predicted = position[true], position[predicted]
        labels = [*(labels[k] for k in frequent), f"{len(labels) - MOST_CLASSES} others"]
    n = len(labels)
    counts = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.6, 0.4 * n)
    ax = style.axes(ax, (side + 1.2, side + 1.2))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    centred: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 9 if n <= 8 else 7}
    for i, k in np.ndindex(n, n):
        if counts[i, k]:
            colour = "white" if shares[i, k] > 0.5 else "black"
            ax.text(k, i, f"{counts[i, k]}\n{shares[i, k]:.0%}", color=colour, **centred)
    upright = n > 3 and max(map(len, labels)) > 3
    ax.set_xticks(range(n), labels, parse_math=False, rotation=90 if upright else 0)
    ax.set_yticks(range(n), labels, parse_math=False)
    ax.set(xlabel="predicted class", ylabel="true class", title=f"{accuracy:.1%} of {len(true)} correct")
    return ax


def predicted(net: Network | Ensemble, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    Predicted numbers against true ones, and the line where both are equal.

    Parameters
    ----------
    net : Network or Ensemble
        For regression.
    X : array-like or frame, shape (n, features)
        Samples.
    y : array-like, shape (n,) or (n, outputs)
        Their numbers.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        A network of another task, or samples that do not fit it.

    Notes
    -----
    If there are several quantiles, the point is the one whose level is nearest to 1/2, and a line goes from the lowest
    to the highest. Each output has its own colour and marker. If there are more than 5000 samples, only every second,
    third, ... is drawn; R² is that of all.
    """
    true, outputs = _read(net, X, y, "regression")
    step = -(-len(true) // MOST_POINTS)
    first = members(net)[0]
    points, levels = outputs[:, first.central], max(1, len(first.loss_parameter))
    ax = style.axes(ax, (4.8, 4.8))
    many = len(true) // step > MOST_VECTORS
    for k in range(true.shape[1]):
        x, colour = true[::step, k], style.colour(k)
        if levels > 1:
            low, high = outputs[::step, k * levels], outputs[::step, (k + 1) * levels - 1]
            ax.vlines(x, low, high, color=colour, alpha=0.25, linewidth=1, rasterized=many)
        dots: dict[str, Any] = {"s": 14, "alpha": 0.5, "linewidths": 0, "marker": style.marker(k), "rasterized": many}
        ax.scatter(x, points[::step, k], color=colour, label=f"output {k + 1}", **dots)
    ends = [min(true.min(), points.min()), max(true.max(), points.max())]
    ax.plot(ends, ends, color="black", linewidth=1, linestyle="--", label="predicted = true")
    title = f"R² {net.score(X, y):.3f}, {len(true)} samples" if len(true) > 1 else "1 sample"
    ax.set(xlabel="true", ylabel="predicted", title=title)
    if true.shape[1] > 1:
        ax.legend(framealpha=0.9)
    return ax


def _read(net: Network | Ensemble, X: ArrayLike, y: ArrayLike, task: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Indices of the true and the predicted classes; in regression, true numbers and all outputs."""
    style.require_model(net)
    if net.task != task:
        raise ValueError(f"net: expected a network for {task}, got one for {net.task}")
    outputs = net.predict_proba(X).argmax(axis=1) if task == "classification" else net.predict(X)
    if len(outputs) == 0:
        raise ValueError("X: expected at least one sample, got none")
    if task == "regression":
        outputs = outputs.reshape(len(outputs), -1)
    return targets_of(members(net)[0], y, "auto", len(outputs)).values, outputs


def _label(label: object) -> str:
    text = " ".join(str(label).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
