"""Every export is run on some rows before it is handed out, and must answer as the network does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables.encoders import Number
from ..tables.raw_inputs import Inputs

Array = NDArray[Any]
# Two ways to compute one network in one type differ by the rounding of a sum's terms (6e-8 and 1e-16 of their size each), times the
# number of terms and layers, and the slopes of the layers behind. That leaves room for a factor of 1000 in float32, and of a million
# in float64. A wrong weight, formula or order of the inputs is far off.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
_DRAWN, _MISSING = 1000, 0.1  # rows that are drawn where there are none, and the share of their values that are missing


@dataclass(frozen=True)
class Answers:
    """What a network or an export of it says to some rows; None for what it does not say."""

    outputs: Array | None  # as `Network.forward`
    probabilities: Array | None = None
    labels: Array | None = None


def require_equal_inputs(export: str, model: Network | Ensemble) -> None:
    """Raise ValueError unless one row of raw values, NaN where a number is missing, fits all networks."""
    read = [
        {e.name: e.name if isinstance(e, Number) else e for e in net.columns.encoders}
        for net in members(model)
        if net.columns is not None
    ]
    for own in read:
        if list(own.items()) != list(read[0].items()):
            name = next(name for name in {**read[0], **own} if read[0].get(name) != own.get(name))
            raise ValueError(
                f"{export}: expected networks that make the same inputs of a table's columns, those of the ensemble differ in {name!r}; "
                "train it without bootstrap, and with samples of your own as validation, or none"
            )


def raw_rows(model: Network | Ensemble, X: ArrayLike | None) -> NDArray[np.float64]:
    """Rows of raw values to verify on: those of the user, else training rows, else rows drawn at random."""
    net = members(model)[0]
    inputs = Inputs.of(net)
    if X is None:
        return _drawn(net, inputs) if net.examples is None else net.examples
    if net.columns is not None and checks.feature_names(X) is not None:
        raw = net.columns.encode_raw(X)
    else:
        raw = _collapsed(inputs, net.encode(X).astype(np.float64))
    if len(raw) == 0:
        raise ValueError("X: expected at least one row to verify on, got none")
    return raw


def _collapsed(inputs: Inputs, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw values of rows of inputs."""
    raw = np.empty((len(values), inputs.count))
    raw[:, inputs.source[~inputs.flag]] = values[:, ~inputs.flag]
    for k in np.flatnonzero(inputs.flag):
        raw[values[:, k] != 0, inputs.source[k]] = np.nan
    return raw


def _drawn(net: Network, inputs: Inputs) -> NDArray[np.float64]:
    """Normally distributed rows as the scaler expects them, some values missing where they may be."""
    random = np.random.default_rng(0)
    first = np.array([np.flatnonzero((inputs.source == k) & ~inputs.flag)[0] for k in range(inputs.count)])
    raw = random.normal(net.x_mean[first], net.x_scale[first], (_DRAWN, inputs.count))
    raw[(random.random(raw.shape) < _MISSING) & ~np.isnan(inputs.fill[first])] = np.nan
    return raw


def own_answers(net: Network, inputs: Array) -> Answers:
    """What the network itself says."""
    if net.task == "regression":
        return Answers(net.forward(inputs))
    return Answers(net.forward(inputs), net.predict_proba(inputs), net.predict(inputs))


def answers_of(model: Network | Ensemble, raw: Array) -> Answers:
    """What a model itself says to rows of raw values."""
    told = [own_answers(net, Inputs.of(net).expand(raw)) for net in members(model)]
    if isinstance(model, Network):
        return told[0]
    if model.task == "regression":
        return Answers(model._mean(np.asarray(each.outputs) for each in told))
    probabilities = model._mean(np.asarray(each.probabilities) for each in told)
    return Answers(None, probabilities, model._decision(probabilities))


def differences(own: Answers, came: Answers, least: Array | None = None) -> dict[str, NDArray[np.float64]]:
    """
    How far each number of an export is from the model's.

    Parameters
    ----------
    own, came : Answers
        The answers to the same rows.
    least : array, shape (outputs,), or None
        In regression, `terms`.

    Returns
    -------
    dict of str to array, shape (n, columns)
        By name of the answer, relative to the size of the column: 1 for probabilities, else its largest magnitude, or that of the
        terms that the output's unit sums, if they are larger. Infinite where only one side is finite.
    """
    found = {}
    with np.errstate(all="ignore"):
        for name in ("outputs", "probabilities"):
            theirs = getattr(came, name)
            if theirs is None:
                continue
            ours, theirs = getattr(own, name).astype(np.float64), np.asarray(theirs, np.float64)
            if theirs.shape != ours.shape:
                raise RuntimeError(f"expected {name} of shape {ours.shape}, got {theirs.shape}")
            finite = np.isfinite(ours)
            size = np.abs(np.where(finite, ours, 0)).max(axis=0)
            size = np.ones_like(size) if least is None else np.maximum(size, least)
            relative = np.abs(theirs - ours) / np.where(size > 0, size, 1)
            relative[~np.isfinite(theirs)] = np.inf
            relative[~finite] = np.where(np.isfinite(theirs[~finite]), np.inf, 0)
            found[name] = relative
    return found


def terms(net: Network, inputs: Array) -> NDArray[np.float64] | None:
    """Size of what the units of the last layer sum, on the scale of the targets; None but in regression."""
    if net.task != "regression":
        return None
    above = np.abs(net.activations(inputs)[-2].astype(np.float64))
    found = above @ np.abs(net.weights[-1]) + np.abs(net.biases[-1])
    return np.where(np.isfinite(found), found, 0).max(axis=0) * net.y_scale + np.abs(net.y_mean)


def require(export: str, model: Network | Ensemble, raw: Array, came: Answers) -> None:
    """
    Raise RuntimeError unless an export answers as the model does.

    Parameters
    ----------
    export : str
        Named in the message.
    model : Network or Ensemble
    raw : array, shape (n, raw values)
    came : Answers
        What the export said to these rows.
    """
    own, tolerance = answers_of(model, raw), TOLERANCE[model.dtype.name]
    sizes = [size for net in members(model) if (size := terms(net, Inputs.of(net).expand(raw))) is not None]
    for name, relative in differences(own, came, np.max(sizes, axis=0) if sizes else None).items():
        if relative.max() > tolerance:
            row, column = map(int, np.unravel_index(int(relative.argmax()), relative.shape))
            place = f"row {row} of X, column {column} of the {name}"
            _refuse(export, model, place, getattr(own, name)[row, column], getattr(came, name)[row, column])
    if came.labels is not None:
        assert own.labels is not None
        wrong = (own.labels != came.labels) & _decided(model, own.probabilities, tolerance)
        if wrong.any():
            at = tuple(int(k) for k in np.argwhere(wrong)[0])
            _refuse(export, model, f"row {at[0]} of X, the label", own.labels[at], came.labels[at])


def _decided(model: Network | Ensemble, probabilities: Any, tolerance: float) -> Any:
    """Where rounding cannot turn the decision."""
    if model.task == "multilabel":
        return np.abs(probabilities - 0.5) > tolerance
    best = np.sort(probabilities, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0] > tolerance


def _refuse(export: str, model: Network | Ensemble, place: str, expected: Any, came: Any) -> None:
    hint = (
        "; train with dtype='float64' where inputs are large against their spread" if model.dtype == np.float32 else ""
    )
    raise RuntimeError(
        f"{export}: the export does not answer as the network does, and was not kept: {place}: expected {expected!s}, got {came!s}, "
        f"which differs by more than the rounding of {model.dtype}{hint}"
    )
