"""What a network says against what is true: which classes it takes for which, and its numbers beside the true ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from ..data.targets import targets_of
from ..model.network import Network
from . import style

MOST_CLASSES = 20
MOST_POINTS = 5000
MOST_VECTORS = 1000  # more points are drawn as one image in files of shapes, such as SVG
LONGEST = 18  # letters of a label


def confusion(net: Network, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    How many samples of each class the network takes for which: the confusion matrix.

    Parameters
    ----------
    net : Network
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
    A row for each true class, a column for each predicted one; what is right lies on the diagonal. Each field has a number of samples and
    its share of the row, which is also its colour. Beyond 20 classes, all but the 20 most frequent ones are taken as one.
    """
    true, predicted = _read(net, X, y, "classification")
    assert net.classes is not None
    right = (true == predicted).mean()
    labels = [_label(label) for label in net.classes.tolist()]
    if len(labels) > MOST_CLASSES:
        frequent = np.sort(np.argsort(-np.bincount(true, minlength=len(labels)), kind="stable")[:MOST_CLASSES])
        place = np.full(len(labels), MOST_CLASSES)
        place[frequent] = np.arange(MOST_CLASSES)
        true, predicted = place[true], place[predicted]
        labels = [*(labels[k] for k in frequent), f"{len(labels) - MOST_CLASSES} others"]
    n = len(labels)
    counts = np.bincount(true * n + predicted, minlength=n * n).reshape(n, n)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = max(2.6, 0.4 * n)
    ax = style.axes(ax, (side + 1.2, side + 1.2))
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for i, k in np.ndindex(n, n):
        if counts[i, k]:
            colour = "white" if shares[i, k] > 0.5 else "black"
            ax.text(
                k,
                i,
                f"{counts[i, k]}\n{shares[i, k]:.0%}",
                ha="center",
                va="center",
                color=colour,
                fontsize=9 if n <= 8 else 7,
            )
    steep = n > 3 and max(map(len, labels)) > 3
    ax.set_xticks(range(n), labels, parse_math=False, rotation=90 if steep else 0)
    ax.set_yticks(range(n), labels, parse_math=False)
    ax.set(xlabel="predicted class", ylabel="true class", title=f"{right:.1%} of {len(true)} right")
    return ax


def predicted(net: Network, X: ArrayLike, y: ArrayLike, ax: Axes | None = None) -> Axes:
    """
    Predicted numbers against true ones, and the line on which both are equal.

    Parameters
    ----------
    net : Network
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
    Of several quantiles, the point is the one whose level is nearest to 1/2, and a line goes from the lowest to the highest. Each output
    has its own colour and marker. Of more than 5000 samples every second, third, ... is drawn; R² is that of all.
    """
    true, outputs = _read(net, X, y, "regression")
    step = -(-len(true) // MOST_POINTS)
    points, levels = outputs[:, net.central], max(1, len(net.loss_parameter))
    ax = style.axes(ax, (4.8, 4.8))
    many = len(true) // step > MOST_VECTORS
    for k in range(true.shape[1]):
        x, colour = true[::step, k], style.colour(k)
        if levels > 1:
            low, high = outputs[::step, k * levels], outputs[::step, (k + 1) * levels - 1]
            ax.vlines(x, low, high, color=colour, alpha=0.25, linewidth=1, rasterized=many)
        look: dict[str, Any] = {"s": 14, "alpha": 0.5, "linewidths": 0, "marker": style.marker(k), "rasterized": many}
        ax.scatter(x, points[::step, k], color=colour, label=f"output {k + 1}", **look)
    ends = [min(true.min(), points.min()), max(true.max(), points.max())]
    ax.plot(ends, ends, color="black", linewidth=1, linestyle="--", label="predicted = true")
    title = f"R² {net.score(X, y):.3f}, {len(true)} samples" if len(true) > 1 else "1 sample"
    ax.set(xlabel="true", ylabel="predicted", title=title)
    if true.shape[1] > 1:
        ax.legend(framealpha=0.9)
    return ax


def _read(net: Network, X: ArrayLike, y: ArrayLike, task: str) -> tuple[NDArray[Any], NDArray[Any]]:
    """Numbers of the true classes and of the predicted ones; in regression true numbers and all outputs."""
    style.require_network(net)
    if net.task != task:
        raise ValueError(f"net: expected a network for {task}, got one for {net.task}")
    outputs = net.predict_proba(X).argmax(axis=1) if task == "classification" else net.forward(X)
    if len(outputs) == 0:
        raise ValueError("X: expected at least one sample, got none")
    return targets_of(net, y, "auto", len(outputs)).values, outputs


def _label(label: object) -> str:
    text = " ".join(str(label).split())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
