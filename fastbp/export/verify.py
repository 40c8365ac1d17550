"""Runs every export on some rows before you get it, and compares its predictions with those of the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables.raw_inputs import Inputs

Array = NDArray[Any]
# Two ways to compute the same network differ by the rounding of the terms of a sum (6e-8 of their size in float32,
# 1e-16 in float64), times the number of terms and layers, and the slopes of the layers above. This leaves room for a
# factor of 1000 in float32, and of a million in float64. A wrong weight, formula or order of inputs exceeds it by far.
TOLERANCE = {"float32": 1e-4, "float64": 1e-9}
_DRAWN, _MISSING = 1000, 0.1  # rows to draw if there are none, and the share of their values that are missing


@dataclass(frozen=True)
class Answers:
    """Predictions of a network or an export for some rows; None for what it does not have."""

    outputs: Array | None  # as of `Network.forward`
    probabilities: Array | None = None
    labels: Array | None = None


def require_equal_inputs(export: str, model: Network | Ensemble, of_raw: bool = True) -> None:
    """
    Raise ValueError unless one row fits all networks.

    That is a row of raw values, NaN for a missing number, or else (not `of_raw`) what `encode` returns.
    """
    if isinstance(model, Ensemble):
        model._require_equal_columns(export, of_raw)


def raw_rows(model: Network | Ensemble, X: ArrayLike | None) -> NDArray[np.float64]:
    """Rows of raw values to compare on: X if given, otherwise training rows if known, otherwise random rows."""
    net = members(model)[0]
    inputs = Inputs.of(net)
    if X is None:
        return _drawn(net, inputs) if net.examples is None else net.examples
    if net.columns is not None and net.columns.named and checks.feature_names(X) is not None:
        raw = net.columns.encode_raw(X)
    else:
        raw = _collapsed(inputs, net.encode(X).astype(np.float64))
    if len(raw) == 0:
        raise ValueError("X: expected at least one row to compare on, got none")
    return raw


def _collapsed(inputs: Inputs, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Raw values from rows of inputs."""
    raw = np.empty((len(values), inputs.count))
    itself = ~(inputs.flag | inputs.piece)
    raw[:, inputs.source[itself]] = values[:, itself]
    for k in np.flatnonzero(inputs.flag):
        raw[values[:, k] != 0, inputs.source[k]] = np.nan
    return raw


def _drawn(net: Network, inputs: Inputs) -> NDArray[np.float64]:
    """Normally distributed rows with the scaler's means and deviations; some values are missing where they may be."""
    random = np.random.default_rng(0)
    first = np.array([np.flatnonzero((inputs.source == k) & ~inputs.flag)[0] for k in range(inputs.count)])
    raw = random.normal(net.x_mean[first], net.x_scale[first], (_DRAWN, inputs.count))
    raw[(random.random(raw.shape) < _MISSING) & ~np.isnan(inputs.fill[first])] = np.nan
    return raw


def own_answers(net: Network, inputs: Array) -> Answers:
    """The predictions of the network itself."""
    if net.task == "regression":
        return Answers(net.forward(inputs))
    return Answers(net.forward(inputs), net.predict_proba(inputs), net.predict(inputs))


def answers_of(model: Network | Ensemble, raw: Array) -> Answers:
    """The predictions of a model itself for rows of raw values."""
    answers = [own_answers(net, Inputs.of(net).expand(raw)) for net in members(model)]
    if isinstance(model, Network):
        return answers[0]
    if model.task == "regression":
        return Answers(model._mean(np.asarray(each.outputs) for each in answers))
    probabilities = model._mean(np.asarray(each.probabilities) for each in answers)
    return Answers(None, probabilities, model._decision(probabilities))


def differences(own: Answers, exported: Answers, least: Array | None = None) -> dict[str, NDArray[np.float64]]:
    """
    How far each number of an export is from the model's.

    Parameters
    ----------
    own, exported : Answers
        The answers for the same rows.
    least : array, shape (outputs,), or None
        In regression, `terms`.

    Returns
    -------
    dict of str to array, shape (n, columns)
        By name of the answer, relative to the size of the column: 1 for probabilities, otherwise its largest magnitude,
        or that of the terms in the sum of the output unit, if they are larger. Infinite if only one of the two numbers
        is finite.
    """
    found = {}
    with np.errstate(all="ignore"):
        for name in ("outputs", "probabilities"):
            theirs = getattr(exported, name)
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
    """Size of the terms that the last layer's units add, on the scale of the targets; None except in regression."""
    if net.task != "regression":
        return None
    below = np.abs(net.activations(inputs)[-2].astype(np.float64))
    total = below @ np.abs(net.weights[-1]) + np.abs(net.biases[-1])
    return np.where(np.isfinite(total), total, 0).max(axis=0) * net.y_scale + np.abs(net.y_mean)


def require(export: str, model: Network | Ensemble, raw: Array, exported: Answers) -> None:
    """
    Raise RuntimeError unless the predictions of an export are those of the model.

    Parameters
    ----------
    export : str
        The name of the export, for the message.
    model : Network or Ensemble
    raw : array, shape (n, raw values)
    exported : Answers
        The answers of the export for these rows.
    """
    own, tolerance = answers_of(model, raw), TOLERANCE[model.dtype.name]
    sizes = [size for net in members(model) if (size := terms(net, Inputs.of(net).expand(raw))) is not None]
    for name, relative in differences(own, exported, np.max(sizes, axis=0) if sizes else None).items():
        if relative.max() > tolerance:
            row, column = map(int, np.unravel_index(int(relative.argmax()), relative.shape))
            place = f"row {row} of X, column {column} of the {name}"
            _refuse(export, model, place, getattr(own, name)[row, column], getattr(exported, name)[row, column])
    if exported.labels is not None:
        assert own.labels is not None
        wrong = (own.labels != exported.labels) & _decided(model, own.probabilities, tolerance)
        if wrong.any():
            first = tuple(int(k) for k in np.argwhere(wrong)[0])
            _refuse(export, model, f"row {first[0]} of X, the label", own.labels[first], exported.labels[first])


def _decided(model: Network | Ensemble, probabilities: Any, tolerance: float) -> Any:
    """Where rounding cannot change the decision."""
    if model.task == "multilabel":
        return np.abs(probabilities - 0.5) > tolerance
    best = np.sort(probabilities, axis=1)[:, -2:]
    return best[:, 1] - best[:, 0] > tolerance


def _refuse(export: str, model: Network | Ensemble, place: str, expected: Any, got: Any) -> None:
    hint = "; train with dtype='float64' if inputs are large compared with their spread"
    raise RuntimeError(
        f"{export}: the export differs from the network, and was not kept: {place}: "
        f"expected {expected!s}, got {got!s}, which differs by more than the rounding of {model.dtype}"
        + hint
        * (model.dtype == np.float32)
    )
