"""Variants: what differs among many networks, read and checked before any is trained."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..data import reading, targets
from ..data.division import held_out_rows
from ..data.targets import targets_of
from ..model.network import Network
from ..training import first_weights
from ..training.defaults import filled
from ..training.design import design
from ..training.train import DEFAULTS
from .side_by_side import VARYING

# What a variant may contain besides options of `fastbp.train`.
DATA = ("rows", "y")
# Least times on a fast machine: seconds for a multiply-add and its part of the gradient, a sample, an epoch, a network.
_MULTIPLY_ADD, _SAMPLE, _EPOCH, _NETWORK = 1e-10, 2e-8, 3e-5, 2e-3


@dataclass(frozen=True)
class Variant:
    """
    One network to train.

    Attributes
    ----------
    name : str
        For messages.
    number : int
    rows : int64 array or None
        Numbers of its samples; None: all.
    y : array, name or None
        Its own targets, for all samples; None: the common ones.
    asked : dict
        All options of `fastbp.train`.
    others : tuple or None
        Its own options besides `side_by_side.VARYING`. None: it has its own samples or targets.
    """

    name: str
    number: int
    rows: NDArray[np.int64] | None
    y: Any
    asked: dict[str, Any]
    others: tuple[tuple[str, Any], ...] | None

    @property
    def key(self) -> Any:
        """Equal for variants that differ only in `side_by_side.VARYING`."""
        return self.number if self.others is None else self.others


@dataclass(frozen=True)
class Common:
    """
    The common data and options of many networks, read and checked; without the rows of weight 0.

    Attributes
    ----------
    table : array or frame
        X, without y.
    y : array
        As the user passed it.
    target : Targets
        y, as read.
    options : dict
        Those that the user passed, and the task: from some of the rows alone, another one might be guessed.
    n : int
        Rows that the user passed.
    rows : int64 array or None
        Numbers of the samples among these; None: all.
    """

    table: Any
    y: NDArray[Any]
    target: targets.Targets
    options: dict[str, Any]
    n: int
    rows: NDArray[np.int64] | None


def read_common(
    function: Callable[..., Any], X: Any, y: Any, options: Mapping[str, Any], excluded: Sequence[str] = ()
) -> Common:
    """
    Read and check the common data and options of many networks, before rows are drawn for each.

    Parameters
    ----------
    function : callable
        For the message about an unknown option.
    X, y
        As in `fastbp.train`.
    options : mapping
        Options of `fastbp.train`, except the seed.
    excluded : sequence of str
        Further ones that it does not have.
    """
    for key in options:
        checks.option(function, key, [one for one in DEFAULTS if one not in ("seed", *excluded)])
    read, table, options = read_counted(X, y, options)
    names = read.names
    whole = Variant("", 0, None, None, DEFAULTS | options | {"seed": 0}, None)
    target, _ = _estimate(whole, read.y, len(table), len(names) if names else table.shape[1], names is not None)
    inputs = table[[name for name in table.columns if name != y]] if isinstance(y, str) and names else table
    n = len(table) if read.counted is None else read.total
    return Common(inputs, np.asarray(read.y), target, options | {"task": target.task}, n, read.counted)


def read_counted(X: Any, y: Any, options: Mapping[str, Any]) -> tuple[reading.Table, Any, dict[str, Any]]:
    """X and y, the rows of X, and the options, all without the rows of weight 0."""
    read = reading.read_table(X, y, options)
    found = dict(options) | {"sample_weight": read.sample_weight}
    table = read.X if read.rows is None else read.X[read.rows]
    for name in ("groups", "time"):
        values = found.get(name)
        if isinstance(values, str):  # a column that is not learnt from
            found[name] = table[values].to_numpy()
            table = table[[other for other in table.columns if other != values]]
        elif values is not None and read.counted is not None:
            found[name] = np.asarray(values)[read.counted]
    return read, table, found


def variant_list(variants: Any) -> list[Any]:
    """The variants as a list; raises ValueError unless there is at least one."""
    if isinstance(variants, str | Mapping) or not isinstance(variants, Iterable):
        raise ValueError(f"variants: expected a sequence of dicts, got {type(variants).__name__}")
    found = list(variants)
    if not found:
        raise ValueError("variants: expected at least one, got none")
    return found


def read_variant(name: str, number: int, variant: Any, common: dict[str, Any], n: int) -> Variant:
    """
    Read one variant.

    Parameters
    ----------
    name : str
        For messages.
    number : int
    variant : dict
        As the user passed it.
    common : dict
        All options of `fastbp.train`, for what the variant leaves out.
    n : int
        Number of samples.
    """
    if not isinstance(variant, Mapping):
        raise ValueError(f"{name}: expected a dict of options, got {variant!r}")
    own = dict(variant)
    rows, y = (own.pop(key, None) for key in DATA)
    for key in own.keys() - DEFAULTS.keys():
        checks.one_of(name, key, [*DEFAULTS, *DATA])
    asked = common | own
    asked["seed"] = secrets.randbits(32) if asked["seed"] is None else checks.integer(f"{name}: seed", asked["seed"], 0)
    shared = rows is None and y is None and isinstance(asked["init"], str | None)
    others = tuple((key, _mark(value)) for key, value in sorted(own.items()) if key not in VARYING) if shared else None
    return Variant(name, number, None if rows is None else _rows(f"{name}: rows", rows, n), y, asked, others)


def _mark(value: Any) -> Any:
    """Equal for equal plain values; for arrays, whose text may omit what differs, and functions, the identity."""
    values = value if isinstance(value, tuple | list) else (value,)
    plain = all(item is None or isinstance(item, str | int | float | np.generic) for item in values)
    return repr(value) if plain else id(value)


def _rows(name: str, rows: Any, n: int) -> NDArray[np.int64]:
    array = np.asarray(rows)
    if array.dtype == bool and array.shape == (n,):
        array = np.flatnonzero(array)
    if array.ndim != 1 or array.dtype.kind not in "iu" or not array.size:
        got = f"{array.dtype} of shape {array.shape}"
        raise ValueError(f"{name}: expected numbers of samples, or a truth value for each of {n}, got {got}")
    if array.min() < 0 or array.max() >= n:
        raise ValueError(f"{name}: expected numbers from 0 to {n - 1}, got {array.min()} to {array.max()}")
    return array.astype(np.int64)


@dataclass(frozen=True)
class Estimate:
    """Rough estimate of the seconds that the training of a variant takes, and its epochs."""

    seconds: float
    epochs: int


def estimates(variants: Sequence[Variant], y: Any, n: int, inputs: int, frame: bool) -> list[Estimate]:
    """
    Check all variants, and estimate the time that each takes.

    Parameters
    ----------
    variants : sequence of Variant
    y : array-like
        The common targets.
    n, inputs : int
        Samples, and their features.
    frame : bool
        Whether the samples are in a frame.

    Raises
    ------
    ValueError
        An option is not valid, or the targets of a variant are of another kind.
    """
    found: list[Estimate] = []
    known: dict[Any, Estimate] = {}
    reference: targets.Targets | None = None
    for variant in variants:
        try:
            if variant.key in known:  # all but `side_by_side.VARYING` has been checked
                _check_varying(variant.asked)
            else:
                target, known[variant.key] = _estimate(variant, y, n, inputs, frame)
                reference = reference or target
                if _kind(target) != _kind(reference):
                    wanted = f"targets like those of {variants[0].name} ({_in_words(reference)})"
                    raise ValueError(f"expected {wanted}, got {_in_words(target)}")
        except ValueError as error:
            raise ValueError(f"{variant.name}: {error}") from None
        found.append(known[variant.key])
    return found


def _check_varying(asked: Mapping[str, Any]) -> None:
    checks.real("l2", asked["l2"], least=0)
    if asked["learning_rate"] is not None:
        checks.real("learning_rate", asked["learning_rate"], above=0)


def _estimate(variant: Variant, y: Any, n: int, inputs: int, frame: bool) -> tuple[targets.Targets, Estimate]:
    asked, own = variant.asked, y if variant.y is None else variant.y
    start, weight = asked["init"] if isinstance(asked["init"], Network) else None, asked["sample_weight"]
    if variant.rows is not None:
        weight = None if weight is None else checks.weights("sample_weight", n, weight)[variant.rows]
        own, n = np.asarray(own)[variant.rows], len(variant.rows)
    weight, rows = reading.weighted_rows(n, weight)
    if rows is not None:
        own, n = targets.of_rows(own, n, rows), len(rows)
    target = targets.read(own, asked["task"], n) if start is None else targets_of(start, own, asked["task"], n)
    reading.sample_weights(n, weight, asked["class_weight"], target)
    asked = filled(asked, None if frame else inputs, True, target, n)
    validation = asked["validation"]
    split_random = first_weights.random_streams(asked["seed"])[1]
    held_out = int(held_out_rows(target, validation, split_random).sum())
    in_pieces = start is not None and start.columns is not None and inputs == len(start.columns.encoders)
    columns = start.sizes[0] if start and (frame or in_pieces) else inputs
    net, hyper = design(target, columns, n - held_out, held_out > 0 or validation is not None, asked)
    weights = sum(n_in * n_out for n_in, n_out in itertools.pairwise(net.sizes))
    seconds = _NETWORK + hyper.epochs * (_EPOCH + (n - held_out) * (_SAMPLE + weights * _MULTIPLY_ADD))
    return target, Estimate(seconds, hyper.epochs)


def _kind(target: targets.Targets) -> tuple[Any, ...]:
    return target.task, target.outputs, None if target.classes is None else target.classes.tolist()


def _in_words(target: targets.Targets) -> str:
    return f"{target.task}, {target.outputs} {'outputs' if target.classes is None else 'classes'}"


def grouped(variants: Sequence[Variant]) -> list[list[Variant]]:
    """Groups of variants that differ only in `side_by_side.VARYING`."""
    groups: dict[Any, list[Variant]] = {}
    for variant in variants:
        groups.setdefault(variant.key, []).append(variant)
    return list(groups.values())
