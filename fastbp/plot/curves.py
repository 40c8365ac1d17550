"""Learning curves: the loss over the epochs, and where training stopped (lecture L29)."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from ..model.network import STOP_REASONS, Network
from . import style


def learning_curves(net: Network, ax: Axes | None = None) -> Axes:
    """
    Loss and validation loss over the epochs; the epoch where training stopped, and why (lecture L29).

    Parameters
    ----------
    net : Network
        Returned by `fastbp.train`.
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
    weights were kept: the one with the lowest validation loss.
    """
    style.require_network(net)
    loss = net.history.get("loss", np.empty(0))
    if len(loss) == 0:
        raise ValueError(f"net: expected a network trained for at least one epoch, got {net!r} without a history")
    ax = style.axes(ax)
    epochs = np.arange(1, len(loss) + 1)
    ax.plot(epochs, loss, color=style.BLUE, label="training")
    shown = loss
    if "validation_loss" in net.history:
        validation = net.history["validation_loss"]
        shown = np.concatenate([loss, validation])
        ax.plot(epochs, validation, color=style.VERMILION, linestyle="--", label="validation")
        ax.axvline(net.best_epoch, color=style.GREEN, linestyle=":", linewidth=2, label=f"best epoch: {net.best_epoch}")
    stop = f"stopped after epoch {len(loss)}:\n{STOP_REASONS[net.stop_reason]}"
    ax.plot(epochs[-1], loss[-1], "X", color="black", markersize=9, label=stop, clip_on=False)
    if 0 < 10 * shown.min() < shown.max():
        ax.set_yscale("log")
    ax.set(xlabel="epoch", ylabel=f"mean loss ({net.loss.replace('_', ' ')})", title="learning curves")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend()
    return ax
