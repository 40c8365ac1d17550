"""The training of a model in words: why it stopped, and who found its number of epochs."""

from __future__ import annotations

from collections.abc import Sequence

from .ensemble import Ensemble, members
from .network import Network

# Why a training stopped (lecture L29), in words
STOP_REASONS = {
    "epochs": "all epochs done",
    "target_loss": "the target loss was reached",
    "target_accuracy": "the target accuracy was reached",
    "max_seconds": "the time was up",
    "patience": "the validation loss (or metric) no longer improved",
    "converged": "the loss hardly fell any more",
    "no_step": "no step lowered the loss any more",
    "callback": "a callback asked for it",
    "interrupted": "interrupted by Ctrl-C",
    "diverged": "the loss or a weight was no longer finite",
    "unfinished": "a checkpoint, written during training",
}
MORE_MAY_HELP = "more epochs may help"


def why_stopped(net: Network) -> str:
    """Why the training stopped, and whether it was still getting better."""
    reason = STOP_REASONS[net.stop_reason]
    return f"{reason}, and still getting better: {MORE_MAY_HELP}" if was_improving(net) else reason


def was_improving(net: Network) -> bool:
    """Whether a run ended because all epochs were done, and its best one is in the last tenth of them."""
    epochs = len(net.history.get("validation_loss", ()))
    return net.stop_reason == "epochs" and epochs > 1 and 10 * net.best_epoch > 9 * epochs


def epochs(nets: Sequence[Network]) -> str:
    """How many epochs the training had: of several networks, the fewest and the most."""
    counts = sorted({len(net.history.get("loss", ())) for net in nets})
    return str(counts[0]) if len(counts) == 1 else f"{counts[0]} to {counts[-1]}"


def layers(nets: Sequence[Network]) -> list[tuple[str, int, int]]:
    """The layers of networks in words, each kind once, with its number of parameters and of networks."""
    found: dict[tuple[str, int], int] = {}
    for net in nets:
        units = [f"{n} {activation}" for n, activation in zip(net.sizes[1:], net.layer_activations, strict=True)]
        kind = " - ".join([f"{net.sizes[0]} inputs", *units]), len(net.params)
        found[kind] = found.get(kind, 0) + 1
    return [(text, parameters, count) for (text, parameters), count in found.items()]


def are_pilots(model: Network | Ensemble) -> bool:
    """Whether the networks are the pilots of a quality, whose training ended too early: only these validate."""
    return "pilots" in model.options and any("validation_loss" in net.history for net in members(model))
