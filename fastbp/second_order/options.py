"""Names and options of the optimizers that take all samples at once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

import fastbp.kernels as kernels

from .. import checks

if TYPE_CHECKING:
    from ..options import Architecture

# Optimizers that take a step on all samples at a time, and find out how long it may be.
DAMPED, QUASI_NEWTON = ("levenberg_marquardt", "bayesian"), ("bfgs", "lbfgs")
NAMES = DAMPED + QUASI_NEWTON
SHORT = {"lm": "levenberg_marquardt"}
# How damping begins and changes.
DAMPING = {"damping": 1e-3, "damping_up": 2.0, "damping_down": 10.0, "damping_limit": 1e10}
# The options that only some optimizers have: which, and the default.
_OWN: dict[str, tuple[tuple[str, ...], float | None]] = {
    **{name: (DAMPED, default) for name, default in DAMPING.items()},
    "tolerance": (NAMES, None),
}
_TOLERANCE = dict.fromkeys(NAMES, 1e-6) | {"bayesian": 1e-4}
# Steps by default; and the pairs of step and change of the gradient that lbfgs keeps.
STEPS, PAIRS = 1000, 10


def name_of(optimizer: Any) -> str:
    """The name of an optimizer; it may have been given a shorter one."""
    name = SHORT.get(optimizer, optimizer) if isinstance(optimizer, str) else optimizer
    return checks.one_of("optimizer", name, (*kernels.OPTIMIZERS, *NAMES, *SHORT))


def own_options(optimizer: str, asked: Mapping[str, Any]) -> dict[str, float | None]:
    """The options that only some optimizers have, checked; None for the others."""
    found: dict[str, float | None] = {}
    for name, (owners, default) in _OWN.items():
        value = asked[name]
        if optimizer not in owners:
            if value is not None and value != default:
                wanted = f"optimizer={' or '.join(map(repr, owners))}; with {optimizer!r} it would have no effect"
                raise ValueError(f"{name}: expected {wanted}, got {value!r}")
            found[name] = None
        elif name in ("damping_up", "damping_down"):
            found[name] = checks.real(name, value, above=1)
        else:
            value = _TOLERANCE[optimizer] if value is None else value
            found[name] = (
                checks.real(name, value, above=0) if name != "tolerance" else checks.real(name, value, least=0)
            )
    if found["damping"] and found["damping_limit"] and found["damping"] > found["damping_limit"]:
        raise ValueError(
            f"damping_limit: expected at least damping={found['damping']!r}, got {found['damping_limit']!r}"
        )
    return found


def check(optimizer: str, n: int, net: Architecture, asked: Mapping[str, Any]) -> None:
    """Raise ValueError for options of batches, and losses, that an optimizer of all samples at once does not have."""
    without = f"with optimizer={optimizer!r}"
    size = asked["batch_size"]
    if size is not None and checks.integer("batch_size", size, 1) < n:
        raise ValueError(f"batch_size: expected None or all {n} samples {without}, got {size!r}")
    for name, default, why in (
        ("learning_rate", None, "which finds out how long a step may be"),
        ("schedule", "constant", "which has no learning rate"),
        ("warmup", 0, "which has no learning rate"),
        ("dropout", 0, "which compares the losses of one network"),
        ("clip_norm", None, "which limits its steps itself"),
    ):
        value = asked[name]
        if value is not None and (default is None or not np.all(np.asarray(value) == default)):
            raise ValueError(f"{name}: expected {default!r} {without}, {why}, got {value!r}")
    if optimizer == "bayesian":
        if net.loss not in ("squared_error", "log_loss"):
            raise ValueError(f"loss: expected 'squared_error' or 'log_loss' {without}, got {net.loss!r}")
        if checks.real("l2", asked["l2"], least=0):
            raise ValueError(f"l2: expected 0 {without}, which finds the penalty itself, got {asked['l2']!r}")
    elif optimizer == "levenberg_marquardt" and net.custom_loss is not None:
        raise ValueError(f"loss: expected one of fastbp's own {without}, got a custom loss; use optimizer='lbfgs'")
