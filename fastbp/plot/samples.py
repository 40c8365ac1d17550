"""Samples in pictures: read in the terms of a network, and drawn as points, by class or by number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..data.targets import targets_of
from ..model.network import Network
from . import style


@dataclass(frozen=True)
class Samples:
    """Inputs (n, features); targets (n,): numbers, or indices into `classes`; names of the features."""

    X: NDArray[Any]
    targets: NDArray[Any]
    classes: NDArray[Any] | None
    names: tuple[str, ...]

    @property
    def norm(self) -> Normalize:
        """The range of the targets, for a colour map."""
        return Normalize(self.targets.min(), self.targets.max())

    def limits(self, margin: float) -> list[tuple[float, float]]:
        """The range of each feature, and a `margin` on both sides: a share of the range."""
        low, high = self.X.min(axis=0).astype(float), self.X.max(axis=0).astype(float)
        space = margin * np.where(high > low, high - low, 1)
        return list(zip(low - space, high + space, strict=True))


def read_samples(net: Network, X: ArrayLike, y: ArrayLike) -> Samples:
    """Read the user's samples as `net` does."""
    style.require_network(net)
    if net.task == "multilabel" or (net.task == "regression" and net.sizes[-1] > 1):
        raise ValueError(f"net: expected a network of one target, got {net.sizes[-1]} in {net.task}")
    inputs = net.encode(X)
    if len(inputs) == 0:
        raise ValueError(f"X: expected at least one sample, got shape {inputs.shape}")
    targets = targets_of(net, y, "auto", len(inputs)).values.reshape(-1)
    names = net.input_names or checks.feature_names(X) or tuple(f"x{k + 1}" for k in range(net.sizes[0]))
    return Samples(inputs, targets, net.classes, names)


def draw_points(ax: Axes, points: NDArray[Any], samples: Samples) -> None:
    """Draw `points`, shape (n, 2): colour and marker by class, or colour by number."""
    size = np.clip(12_000 / len(points), 25, 80)  # few points may be large
    look: dict[str, Any] = {"s": size, "linewidths": 0.6, "zorder": 3}
    if samples.classes is None:
        ax.scatter(
            points[:, 0],
            points[:, 1],
            c=samples.targets,
            cmap=style.SURFACE,
            norm=samples.norm,
            edgecolors="white",
            **look,
        )
        return
    for k, label in enumerate(samples.classes.tolist()):
        own = points[samples.targets == k]
        look |= {"facecolor": style.colour(k), "edgecolors": "black", "marker": style.marker(k), "label": str(label)}
        ax.scatter(own[:, 0], own[:, 1], **look)


def add_key(ax: Axes, samples: Samples) -> None:
    """Tell what the points mean: a legend of the classes, or a colour bar of the numbers."""
    if samples.classes is None:
        ax.figure.colorbar(ScalarMappable(samples.norm, style.SURFACE), ax=ax, label="y")
    elif len(samples.classes) <= 3:
        ax.legend(framealpha=0.9)
    else:
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1), borderaxespad=0, frameon=False)
