"""Variants: what is different for each of many networks, read and checked before any is trained."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..data import samples, targets
from ..data.targets import targets_of
from ..model.network import Network
from ..train import DEFAULTS
from ..training import first_weights, prepare
from .side_by_side import OWN as TINY

# What a variant may say beside options of `fastbp.train`.
OWN = ("rows", "y")
# What a training takes at least, on a fast machine: seconds for a multiply-add and its part of the gradient, a sample, an epoch, a network.
_MULTIPLY_ADD, _SAMPLE, _EPOCH, _NETWORK = 1e-10, 2e-8, 3e-5, 2e-3


@dataclass(frozen=True)
class Variant:
    """
    One network to train.

    Attributes
    ----------
    name : str
        What errors call it.
    number : int
    rows : int64 array or None
        Numbers of its samples; None: all.
    y : array, name or None
        Its own targets, for all samples; None: those that all have.
    asked : dict
        All options of `fastbp.train`.
    others : tuple or None
        What it says beside `side_by_side.OWN`: equal for variants that are alike. None: it has samples or targets of its own.
    """

    name: str
    number: int
    rows: NDArray[np.int64] | None
    y: Any
    asked: dict[str, Any]
    others: tuple[tuple[str, Any], ...] | None

    @property
    def key(self) -> Any:
        """Equal for variants that are alike."""
        return self.number if self.others is None else self.others


def in_common(
    who: str, X: Any, y: Any, options: Mapping[str, Any]
) -> tuple[Any, NDArray[Any], targets.Targets, dict[str, Any]]:
    """
    Data and options that many networks have in common, checked before rows are drawn for each.

    Parameters
    ----------
    who : str
        Named where an option is unknown.
    X, y
        As in `fastbp.train`.
    options : mapping
        Options of `fastbp.train`, but for the seed.

    Returns
    -------
    array or frame
        X, without y.
    array
        y, as it was given.
    Targets
        y, as read.
    dict
        The options, with the task: some of the rows could be taken for another.
    """
    for key in options:
        checks.one_of(who, key, [key for key in DEFAULTS if key != "seed"])
    table, values, names = samples.read_table(X, y)
    whole = Variant("", 0, None, None, DEFAULTS | dict(options) | {"seed": 0}, None)
    target, _ = _design(whole, values, len(table), len(names or table[0]), names is not None)
    return (
        table[list(names)] if isinstance(y, str) and names else table,
        np.asarray(values),
        target,
        dict(options) | {"task": target.task},
    )


def listed(variants: Any) -> list[Any]:
    """The variants as a list; raises ValueError unless there is one at least."""
    if isinstance(variants, str | Mapping) or not isinstance(variants, Iterable):
        raise ValueError(f"variants: expected a sequence of dicts, got {type(variants).__name__}")
    found = list(variants)
    if not found:
        raise ValueError("variants: expected at least one, got none")
    return found


def read(name: str, number: int, variant: Any, common: dict[str, Any], n: int) -> Variant:
    """What one variant says, which errors call `name`; what it does not is as in `common`, all options of `fastbp.train`."""
    if not isinstance(variant, Mapping):
        raise ValueError(f"{name}: expected a dict of options, got {variant!r}")
    own = dict(variant)
    rows, y = (own.pop(key, None) for key in OWN)
    for key in own.keys() - DEFAULTS.keys():
        checks.one_of(name, key, [*DEFAULTS, *OWN])
    asked = common | own
    asked["seed"] = secrets.randbits(32) if asked["seed"] is None else checks.integer(f"{name}: seed", asked["seed"], 0)
    shared = rows is None and y is None and isinstance(asked["init"], str | None)
    others = tuple((key, _mark(value)) for key, value in sorted(own.items()) if key not in TINY) if shared else None
    return Variant(name, number, None if rows is None else _rows(f"{name}: rows", rows, n), y, asked, others)


def _mark(value: Any) -> Any:
    """Equal for equal values; of arrays, whose text may leave out what differs, and of functions for the same object alone."""
    values = value if isinstance(value, tuple | list) else (value,)
    return (
        repr(value)
        if all(item is None or isinstance(item, str | int | float | np.generic) for item in values)
        else id(value)
    )


def _rows(name: str, rows: Any, n: int) -> NDArray[np.int64]:
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (n,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        raise ValueError(
            f"{name}: expected numbers of samples, or a truth value for each of {n}, got {array.dtype} of shape {array.shape}"
        )
    if array.min() < 0 or array.max() >= n:
        raise ValueError(f"{name}: expected numbers from 0 to {n - 1}, got {array.min()} to {array.max()}")
    return array.astype(np.int64)


@dataclass(frozen=True)
class Design:
    """What a variant is going to be: seconds that its training may take, roughly, and its epochs."""

    seconds: float
    epochs: int


def designs_of(variants: Sequence[Variant], y: Any, n: int, inputs: int, frame: bool) -> list[Design]:
    """The design of each variant; raises ValueError for options that are not valid, and for targets of another kind."""
    found: list[Design] = []
    known: dict[Any, Design] = {}
    reference: targets.Targets | None = None
    for variant in variants:
        try:
            if variant.key in known:  # all but `side_by_side.OWN` has been looked at
                _check_own(variant.asked)
            else:
                target, known[variant.key] = _design(variant, y, n, inputs, frame)
                reference = reference or target
                if _kind(target) != _kind(reference):
                    raise ValueError(
                        f"expected targets like those of {variants[0].name} ({_told(reference)}), got {_told(target)}"
                    )
        except ValueError as error:
            raise ValueError(f"{variant.name}: {error}") from None
        found.append(known[variant.key])
    return found


def _check_own(asked: Mapping[str, Any]) -> None:
    checks.real("l2", asked["l2"], least=0)
    if asked["learning_rate"] is not None:
        checks.real("learning_rate", asked["learning_rate"], above=0)


def _design(variant: Variant, y: Any, n: int, inputs: int, frame: bool) -> tuple[targets.Targets, Design]:
    asked, own = variant.asked, y if variant.y is None else variant.y
    start, weight = asked["init"] if isinstance(asked["init"], Network) else None, asked["sample_weight"]
    if variant.rows is not None:
        weight = None if weight is None else samples.own_weights("sample_weight", n, weight)[variant.rows]
        own, n = np.asarray(own)[variant.rows], len(variant.rows)
    target = targets.read(own, asked["task"], n) if start is None else targets_of(start, own, asked["task"], n)
    samples.sample_weights(n, weight, asked["class_weight"], target)
    validation = asked["validation"]
    held = int(samples.held_rows(target, validation, first_weights.random_streams(asked["seed"])[1]).sum())
    columns = start.sizes[0] if frame and start else inputs
    net, plan = prepare.designed(target, columns, n - held, held > 0 or validation is not None, **asked)
    weights = sum(n_in * n_out for n_in, n_out in itertools.pairwise(net.sizes))
    seconds = _NETWORK + plan.epochs * (_EPOCH + (n - held) * (_SAMPLE + weights * _MULTIPLY_ADD))
    return target, Design(seconds, plan.epochs)


def _kind(target: targets.Targets) -> tuple[Any, ...]:
    return target.task, target.outputs, None if target.classes is None else target.classes.tolist()


def _told(target: targets.Targets) -> str:
    return f"{target.task}, {target.outputs} {'outputs' if target.classes is None else 'classes'}"


def alike(variants: Sequence[Variant]) -> list[list[Variant]]:
    """Variants of the same data and options, but for `side_by_side.OWN`."""
    groups: dict[Any, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(variant.key, []).append(variant)
    return list(groups.values())
