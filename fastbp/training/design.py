"""The network and the hyperparameters that the user's options ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .. import checks, compilation, losses, options
from ..data.targets import Targets
from ..model.network import Network
from ..options import DEFAULT_HIDDEN, Architecture, Hyperparameters
from .defaults import AUTO, encoding_of

ENCODINGS = ("standard", "piecewise", AUTO)
DEFAULT_ACTIVATION = "relu"


def design(
    target: Targets, inputs: int, n: int, validates: bool, asked: Mapping[str, Any]
) -> tuple[Architecture, Hyperparameters]:
    """
    The network and the hyperparameters, with all defaults filled in.

    Parameters
    ----------
    target : Targets
    inputs : int
        Inputs of the network.
    n : int
        Training samples.
    validates : bool
        Whether there is a validation set.
    asked : mapping
        Options of `fastbp.train`.

    Raises
    ------
    ValueError
        An option that is not valid, or does not go with another.
    """
    checks.one_of("dtype", asked["dtype"], compilation.DTYPES)
    checks.boolean("scale", asked["scale"])
    checks.one_of("encode", asked["encode"], ENCODINGS)
    checks.boolean("shuffle", asked["shuffle"])
    metric, init = asked["metric"], asked["init"]
    if not callable(metric):
        checks.one_of("metric", metric, ("loss", "score"))
    if metric != "loss" and not validates:
        raise ValueError(
            f"metric: expected 'loss' without a validation set, got {metric!r}; pass validation=0.1, for instance"
        )
    if isinstance(init, Network):
        net = _continued(init, inputs, asked)
    else:
        net = options.architecture(inputs, target.outputs, target.task, asked)
    if net.loss == "poisson" and target.values.min() < 0:
        raise ValueError(f"y: expected numbers of at least 0 for the loss 'poisson', got {target.values.min():g}")
    return net, options.hyperparameters(n, net, asked, validates)


def _continued(start: Network, inputs: int, asked: Mapping[str, Any]) -> Architecture:
    """The architecture of `start`; the options must agree with it, or have their default values."""
    if inputs != start.sizes[0]:
        raise ValueError(f"X: expected the {start.sizes[0]} features of the network given as init, got {inputs}")
    layers, loss = len(start.sizes) - 2, asked["loss"]
    custom = start.loss == losses.CUSTOM
    if custom and isinstance(loss, str):
        raise ValueError(
            "loss: expected the two functions that the network given as init was trained with, "
            f"got {loss!r}; it does not keep them"
        )
    units = options.hidden_units(asked["hidden"])
    activations = options.hidden_activations(asked["activation"], layers)
    levels = losses.parameters("quantile", asked["quantile"], None)
    delta = losses.parameters("huber", None, asked["huber_delta"])
    parameter, names, encoding = start.loss_parameter, start.layer_activations, encoding_of(start)
    known: list[tuple[str, Any, Any, Any]] = [  # name, value, default, value of the network
        ("hidden", units, DEFAULT_HIDDEN, start.sizes[1:-1]),
        ("activation", activations, (DEFAULT_ACTIVATION,) * layers, names[:-1]),
        ("output", asked["output"], "auto", names[-1]),
        ("loss", "auto" if custom else loss, "auto", start.loss),
        ("encode", asked["encode"], encoding, encoding),
        ("quantile", levels, (losses.LEVEL,), parameter if start.loss == "quantile" else None),
        ("huber_delta", delta, (losses.DELTA,), parameter if start.loss == "huber" else None),
    ]
    for name, value, default, kept in known:
        if value not in (default, kept):
            raise ValueError(f"{name}: expected {kept!r}, as in the network given as init, got {value!r}; leave it out")
    return replace(start.architecture, custom_loss=losses.functions_of(loss) if custom else None)
