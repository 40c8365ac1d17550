"""Learning curves: the loss over the epochs, and where training stopped (lecture L29)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from ..model import words
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from . import style


def learning_curves(net: Network | Ensemble, ax: Axes | None = None) -> Axes:
    """
    Loss and validation loss over the epochs; the epoch where training stopped, and why (lecture L29).

    Parameters
    ----------
    net : Network or Ensemble
        Returned by `fastbp.train` or `fastbp.ensemble`. Of an ensemble, each network has its own thin lines.
    ax : matplotlib axes, optional

    Returns
    -------
    matplotlib axes

    Raises
    ------
    ValueError
        A network without a history: one that was constructed.

    Notes
    -----
    The scale of the loss is logarithmic if it spans more than a factor of 10. A vertical line marks the epoch whose
    weights were kept: the one with the lowest validation loss; of an ensemble, a dot on each line.
    """
    style.require_model(net)
    nets = members(net)
    if any(len(one.history.get("loss", ())) == 0 for one in nets):
        raise ValueError(f"net: expected a network trained for at least one epoch, got {net!r} without a history")
    ax = style.axes(ax)
    shown = _of_each(nets, ax) if isinstance(net, Ensemble) else _of_one(net, ax)
    if 0 < 10 * shown.min() < shown.max():
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel=f"mean loss ({nets[0].loss.replace('_', ' ')})", title="learning curves")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax


def _of_one(net: Network, ax: Axes) -> NDArray[Any]:
    """Draw the curves of a network; returns all losses."""
    loss = net.history["loss"]
    epochs, shown = np.arange(1, len(loss) + 1), loss
    ax.plot(epochs, loss, color=style.BLUE, label="training")
    if "validation_loss" in net.history:
        validation = net.history["validation_loss"]
        shown = np.concatenate([loss, validation])
        ax.plot(epochs, validation, color=style.VERMILION, linestyle="--", label="validation")
        ax.axvline(net.best_epoch, color=style.GREEN, linestyle=":", linewidth=2, label=f"best epoch: {net.best_epoch}")
    stop = f"stopped after epoch {len(loss)}:\n" + words.why_stopped(net).replace(": ", ":\n")
    ax.plot(epochs[-1], loss[-1], "X", color="black", markersize=9, label=stop, clip_on=False)
    return shown


def _of_each(nets: Sequence[Network], ax: Axes) -> NDArray[Any]:
    """Draw the curves of the networks of an ensemble; returns all losses."""
    kinds = {"loss": ("training", style.BLUE, "-"), "validation_loss": ("validation", style.VERMILION, "--")}
    found = []
    for key, (name, colour, line) in kinds.items():
        losses = [net.history[key] for net in nets if key in net.history]
        for k, loss in enumerate(losses):
            label = f"{name}, {len(losses)} networks" if k == 0 else None  # a label that all share
            ax.plot(np.arange(1, len(loss) + 1), loss, color=colour, linestyle=line, linewidth=0.8, label=label)
        found += losses
    validated = [net for net in nets if "validation_loss" in net.history]
    if validated:
        at = [net.best_epoch for net in validated]
        best = [net.history["validation_loss"][net.best_epoch - 1] for net in validated]
        ax.plot(at, best, "o", color=style.GREEN, markersize=5, label="best epochs")
    reasons = " or\n".join(dict.fromkeys(words.why_stopped(net).replace(": ", ":\n") for net in nets))
    ends = [(len(net.history["loss"]), net.history["loss"][-1]) for net in nets]
    stop = f"stopped after {words.epochs(nets)} epochs:\n{reasons}"
    ax.plot(*zip(*ends, strict=True), "X", color="black", markersize=6, label=stop, clip_on=False)
    return np.concatenate(found)
