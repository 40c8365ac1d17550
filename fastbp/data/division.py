"""Which samples are set aside: drawn at random, in whole groups, or the newest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..tables import frames, text
from . import targets
from .targets import Targets

VALIDATION = "expected a fraction between 0 and 1, (Xv, yv) or (Xv, yv, weights)"


@dataclass(frozen=True)
class Division:
    """
    What must be kept together, or in order, when samples are set aside.

    Attributes
    ----------
    groups : int64 array or None
        Number of each sample's group.
    time : int64 array or None
        Place of each sample in time; equal for those of the same time.
    """

    groups: NDArray[np.int64] | None = None
    time: NDArray[np.int64] | None = None

    @property
    def name(self) -> str | None:
        """The option that asks for it."""
        return "groups" if self.groups is not None else "time" if self.time is not None else None

    def take(self, rows: NDArray[np.int64]) -> Division:
        """That of the samples of these numbers."""
        return Division(*(None if one is None else one[rows] for one in (self.groups, self.time)))

    def held_out(self, y: Targets, fraction: float, random: np.random.Generator) -> NDArray[np.bool_]:
        """About this fraction of the samples, True for each."""
        if self.time is not None:
            return newest(self.time, fraction)
        return whole_groups(y, self.groups, fraction, random) if self.groups is not None else drawn(y, fraction, random)


PLAIN = Division()


def held_out_rows(
    y: Targets, validation: Any, random: np.random.Generator, division: Division = PLAIN
) -> NDArray[np.bool_]:
    """Which samples to set aside, True for each: a fraction of them, or none."""
    n = len(y.values)
    if validation is None or isinstance(validation, tuple | list):
        return np.zeros(n, bool)
    if isinstance(validation, bool) or not isinstance(validation, float | np.floating):
        raise ValueError(f"validation: {VALIDATION}, got {validation!r}")
    fraction = checks.real("validation", validation, above=0, below=1)
    chosen = division.held_out(y, fraction, random)
    if chosen.all() or not chosen.any():
        raise ValueError(
            f"validation: expected a fraction that leaves samples on both sides, got {fraction} of {n} samples"
        )
    return chosen


def drawn(y: Targets, fraction: float, random: np.random.Generator) -> NDArray[np.bool_]:
    """`fraction` of every class, drawn at random, True for each; at least one sample of each stays in training."""
    n = len(y.values)
    groups = [np.arange(n)] if y.classes is None else [np.flatnonzero(y.values == k) for k in range(len(y.classes))]
    chosen = np.zeros(n, bool)
    for group in groups:
        count = min(len(group) - 1, round(fraction * len(group)))
        chosen[random.permutation(group)[: max(count, 0)]] = True
    if not chosen.any():  # of very small classes, the fraction of each is none: it is drawn from all of them
        spare = np.concatenate([random.permutation(group)[1:] for group in groups])
        chosen[random.permutation(spare)[: round(fraction * n)]] = True
    return chosen


def counted(y: Targets, groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Samples of each class (of numbers, there is one) in each group."""
    of_class = np.zeros(len(groups), np.int64) if y.classes is None else y.values
    counts = np.zeros((int(groups.max()) + 1, int(of_class.max()) + 1), np.int64)
    np.add.at(counts, (groups, of_class), 1)
    return counts


def whole_groups(
    y: Targets, groups: NDArray[np.int64], fraction: float, random: np.random.Generator
) -> NDArray[np.bool_]:
    """
    Whole groups, True for each of their samples: about `fraction` of every class, and never all of one.

    Groups are taken in random order, each if the samples held out come closer to what is wanted.
    """
    counts = counted(y, groups)
    total, held = counts.sum(axis=0), np.zeros(counts.shape[1], np.int64)
    wanted, chosen = fraction * total, np.zeros(len(counts), bool)
    for group in random.permutation(len(counts)):
        more = held + counts[group]
        closer = np.abs(more - wanted).sum() < np.abs(held - wanted).sum()
        if closer and not ((more == total) & (total > 0)).any():
            held, chosen[group] = more, True
    if not chosen.any():
        spare = [k for k in random.permutation(len(counts)) if not ((counts[k] == total) & (total > 0)).any()]
        if not spare:
            got = f"{len(counts)} group{'s' * (len(counts) > 1)}"
            raise ValueError(f"groups: expected some that can be set aside without all samples of a class, got {got}")
        chosen[min(spare, key=lambda k: counts[k].sum())] = True
    return chosen[groups]


def newest(time: NDArray[np.int64], fraction: float) -> NDArray[np.bool_]:
    """The newest samples, True for each: about `fraction`, and all of the same time together."""
    in_order = np.sort(time)
    cut = in_order[min(len(time) - 1, len(time) - round(fraction * len(time)))]
    chosen = time >= cut
    if chosen.all():
        chosen = time > cut
    if not chosen.any():
        raise ValueError("time: expected samples of at least two times, got all of the same")
    return chosen


def read(X: Any, options: Mapping[str, Any], n: int, y: Any = None) -> tuple[Division, tuple[str, ...]]:
    """
    Read the options `groups` and `time` for the n rows of X, whose column y is the target.

    Returns
    -------
    Division
    tuple of str
        The columns of X that they name, which are not learnt from.
    """
    groups, time = options.get("groups"), options.get("time")
    if groups is not None and time is not None:
        raise ValueError("time: expected None with groups, as the newest samples may be of any group; leave one out")
    named = tuple(one for one in (groups, time) if isinstance(one, str))
    groups, time = _column("groups", X, groups, y), _column("time", X, time, y)
    of_group = None if groups is None else numbers_of_groups(groups, n)
    return Division(of_group, None if time is None else places_in_time(time, n)), named


def _column(name: str, X: Any, values: Any, y: Any) -> Any:
    """The column of X that an option names; anything else as it is."""
    if not isinstance(values, str):
        return values
    known = checks.feature_names(X)
    if known is None:
        one = name.removesuffix("s")
        raise ValueError(
            f"{name}: expected a {one} for each sample, got the name {values!r}; X must be a table for that"
        )
    checks.one_of(name, values, [other for other in known if not (isinstance(y, str) and other == y)])
    return X[values].to_numpy()


def numbers_of_groups(groups: Any, n: int) -> NDArray[np.int64]:
    """Number of the group of each sample."""
    labels = targets.labels(groups, n, "groups")
    missing = targets.missing(labels)
    if len(missing):
        raise ValueError(f"groups: expected a group for each sample, got {labels[missing[0]]!r} at row {missing[0]}")
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels.tolist()])


def places_in_time(time: Any, n: int) -> NDArray[np.int64]:
    """Place of each sample in time: of numbers, dates, or text of dates in one form."""
    array = targets.labels(time, n, "time")
    read = frames.read({"time": _Series(array)}, "time")
    values = read.values
    if read.kind == "text":
        numbers, formats = text.read_number(read.words), text.date_formats(read.words, read.counts)
        if not np.isnan(numbers).any():
            values = read.each(numbers, np.nan)
        elif len(formats) == 1:
            values = read.each(text.read_date(read.words, formats[0]), np.datetime64("NaT", "us"))
        else:
            got = f"{read.words[0]!r}" + (f", which {' and '.join(formats)} fit" if formats else "")
            raise ValueError(f"time: expected numbers or dates (as text best like 2024-12-31), got {got}")
    missing = np.isnat(values) if values.dtype.kind == "M" else np.isnan(values)
    if missing.any():
        row = int(missing.argmax())
        raise ValueError(f"time: expected a time for each sample, got {array[row]!r} at row {row}")
    return np.unique(values, return_inverse=True)[1]


class _Series:
    """An array that `tables.frames` reads as a column."""

    def __init__(self, array: NDArray[Any]) -> None:
        self.array, self.dtype = array, array.dtype

    def to_numpy(self) -> NDArray[Any]:
        """The array."""
        return self.array


def require_use(division: Division, held_out: bool, quality: bool) -> None:
    """Raise ValueError if nothing is set aside, so that the division would have no effect."""
    if division.name is not None and not (held_out or quality):
        wanted = "a fraction as validation, such as validation=0.2, that it decides on"
        raise ValueError(f"{division.name}: expected {wanted}; without one it would have no effect")
