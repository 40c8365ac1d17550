"""`Columns`: how the columns of a frame become the inputs of a network; learnt once, applied to every later frame."""

from __future__ import annotations

import difflib
import itertools
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..runtime.lazy import cached_property
from . import files, fitting, frames, numerals, unread
from .encoders import DATE_PARTS, KINDS, UNLIMITED, Category, Date, Encoder, Number
from .fitting import Row
from .raw_inputs import Inputs

# Inputs for each row of weights that they are replaced by, from which `kernels.layer.piecewise` pays.
PAYS = 4


@dataclass(frozen=True)
class Columns:
    """
    How the columns of a frame become the inputs of a network. Plain data, saved in the model file.

    A missing number is replaced by the column's median, text gets one input for each frequent value, and dates are
    split into their parts. A column with missing values gets one more input that marks them. Piecewise-linear numbers
    get further inputs: how much of each piece of the column's range lies below the number. ``print(net.columns)`` shows
    what became of each column.

    Attributes
    ----------
    encoders : tuple of Number, Category or Date
        In the order of the inputs.
    rows : tuple of Row
        What became of each column of the frame, including those that are left out.
    named : bool
        Whether the columns of a frame are found by their names. Those of an array are found by their places, and called
        "x1", "x2" and so on.
    missing : tuple of str or None
        Text that counts as missing; None: the usual, see `fastbp.train`.
    """

    encoders: tuple[Encoder, ...]
    rows: tuple[Row, ...]
    named: bool = True
    missing: tuple[str, ...] | None = None

    @classmethod
    def fit(
        cls,
        frame: Any,
        names: Sequence[str],
        training: NDArray[np.int64],
        weight: NDArray[np.float64] | None = None,
        piecewise: bool = False,
        missing: Sequence[str] | None = None,
    ) -> tuple[Columns, NDArray[np.float64]]:
        """
        Learn from the training rows, and encode all rows; each column is read only once.

        Parameters
        ----------
        frame : DataFrame
        names : sequence of str
            The columns to learn from.
        training : int64 array
            Numbers of the training rows.
        weight : float64 array or None
            Weight of each of them; None: all have the same.
        piecewise : bool
            Whether numbers are encoded piece by piece, too.
        missing : sequence of str or None
            Text that counts as missing.

        Returns
        -------
        Columns
        array
            As `read` returns it.

        Raises
        ------
        ValueError
            No column can be learnt from.
        """
        fitted, values, pieces = [], [], fitting.pieces(len(names)) if piecewise else 0
        for name in names:
            column = frames.read(frame, name, missing)
            encoder, row = fitting.fit(column, training, weight, pieces)
            fitted.append((encoder, row))
            if encoder is not None:
                values.append(encoder.read(column, []))
        columns = cls.of(fitted, missing)
        return columns, columns._cut(values)

    @classmethod
    def fit_array(
        cls, X: NDArray[Any], training: NDArray[np.int64], weight: NDArray[np.float64] | None = None
    ) -> Columns:
        """
        Learn from the training rows of an array of finite numbers how its columns are encoded piece by piece.

        Parameters
        ----------
        X : array, shape (n, features)
        training, weight
            As for `fit`.
        """
        encoders, rows = zip(*fitting.fit_array(X, training, weight), strict=True)
        return cls(encoders, rows, named=False)

    @classmethod
    def of(cls, fitted: Sequence[tuple[Encoder | None, Row]], missing: Sequence[str] | None = None) -> Columns:
        """Columns from the results of `fitting.fit`; ValueError if none can be learnt from."""
        encoders, rows = zip(*fitted, strict=True) if fitted else ((), ())
        if not any(encoders):
            reasons = "; ".join(f"{row.name!r}: {row.note}" for row in rows[:5]) or "there are none"
            raise ValueError(f"expected at least one column to learn from, but all are left out ({reasons})")
        return cls(tuple(filter(None, encoders)), rows, missing=None if missing is None else tuple(missing))

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("encoders", "rows", "named", "missing")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # pickles of earlier versions also hold what is computed from the encoders, and all their columns have names
        vars(self).update(encoders=state["encoders"], rows=state["rows"])
        vars(self).update(named=state.get("named", True), missing=state.get("missing"))

    def __str__(self) -> str:
        table = [("column", "read as", "inputs", "")]
        table += [(row.name or "(no name)", row.kind, str(row.inputs), row.note) for row in self.rows]
        widths = [max(len(line[k]) for line in table) for k in range(3)]
        return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in table)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that a frame must have for `encode`."""
        return tuple(encoder.name for encoder in self.encoders)

    def called(self, names: Sequence[str]) -> Columns:
        """The columns of an array under the names that they have in a frame."""
        encoders = (replace(encoder, name=name) for encoder, name in zip(self.encoders, names, strict=True))
        rows = (replace(row, name=name) for row, name in zip(self.rows, names, strict=True))
        return Columns(tuple(encoders), tuple(rows))

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Name of each input of the network."""
        names: list[str] = []
        for encoder in self.encoders:
            names += encoder.parts
            if isinstance(encoder, Number):
                names += [f"{encoder.name} (missing)"] * encoder.flag
                names += [f"{encoder.name} ({a:g} to {b:g})" for a, b in itertools.pairwise(encoder.edges)]
        return tuple(names)

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple(itertools.chain.from_iterable(encoder.parts for encoder in self.encoders))

    @cached_property
    def exported(self) -> Inputs:
        """How raw values, NaN where one is missing, become inputs; an exported network does this itself."""
        found: list[tuple[int, float, bool, float, float]] = []  # source, fill, flag, lower and width of each input
        start = 0
        for encoder in self.encoders:
            fills = encoder.fills if self.named else (math.nan,)  # in an array, a missing number is an error
            found += [(start + k, fill, False, 0.0, 0.0) for k, fill in enumerate(fills)]
            if isinstance(encoder, Number):
                found += [(start, encoder.fill, True, 0.0, 0.0)] * encoder.flag
                # where an input marks missing numbers, they are 0 in each piece: filled with its lower end
                pieces = itertools.pairwise(encoder.edges)
                found += [(start, a if encoder.flag else fills[0], False, a, b - a) for a, b in pieces]
            start += len(encoder.parts)
        limits = np.array([limits for encoder in self.encoders for limits in encoder.ranges]).T
        return Inputs(self._parts if self.named else None, *map(np.array, zip(*found, strict=True)), *limits)

    @cached_property
    def _limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """The least and the largest of each number that is read; places of categories are not cut."""
        ranges = [[UNLIMITED] if isinstance(one, Category) else one.ranges for one in self.encoders]
        least, most = np.array(list(itertools.chain.from_iterable(ranges))).T
        return least, most

    def _cut(self, values: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """What all encoders have read, with the numbers within their limits."""
        found = np.concatenate(values, axis=1)
        return np.clip(found, *self._limits, out=found)

    @cached_property
    def scaled(self) -> NDArray[np.bool_]:
        """Whether each input is standardised: inputs that are 0 or 1 are not, nor are points on circles."""
        parts = np.array(list(itertools.chain.from_iterable(encoder.scaled for encoder in self.encoders)))
        return parts[self.exported.source] & ~self.exported.flag & ~self.exported.piece

    @cached_property
    def _scaled(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Where `read` has each input that is standardised, and what replaces a missing one."""
        places, fills, at = list[int](), list[float](), 0
        for encoder in self.encoders:
            if isinstance(encoder, Category):
                at += 1
                continue
            for scaled, fill in zip(encoder.scaled, encoder.fills, strict=True):
                places += [at] * scaled
                fills += [fill] * scaled
                at += 1
        return np.array(places, np.int64), np.array(fills)

    def scaled_inputs(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Those inputs of `expand` that are standardised, in their order; all others need not be made for them."""
        places, fills = self._scaled
        found = values[:, places].astype(np.float64, copy=False)
        np.copyto(found, fills, where=np.isnan(found))
        return found

    def require(self, frame: Any) -> None:
        """Raise ValueError unless the frame has all columns of `names`."""
        present = dict.fromkeys(map(str, frame.columns))
        missing = [name for name in self.names if name not in present]
        if missing:
            close = difflib.get_close_matches(missing[0], present, n=1)
            hint = f"; was it renamed to {close[0]!r}?" if close and len(missing) == 1 else ""
            listed = files.first_names(missing)
            raise ValueError(f"expected the columns that the network was trained on; missing: {listed}{hint}")

    def read(self, frame: Any) -> NDArray[Any]:
        """
        The columns as numbers: raw values, but for a category only the place of the one that is 1, or -1.

        Parameters
        ----------
        frame : DataFrame
            Columns in any order; only those of `names` are used. For columns without names an array, not copied.

        Returns
        -------
        array, shape (n, numbers)

        Raises
        ------
        ValueError
            A column is missing, or its values are of another kind than in training.
        """
        if not self.named:
            return checks.samples("X", frame, len(self.encoders))
        self.require(frame)
        found: list[unread.Unread] = []
        values = self._cut(
            [encoder.read(frames.read(frame, encoder.name, self.missing), found) for encoder in self.encoders]
        )
        unread.handle(found)
        return values

    def raw(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Raw values, shape (n, raw values), of what `read` returns."""
        if not self.named:
            return values.astype(np.float64, copy=False)
        widths = [1 if isinstance(encoder, Category) else len(encoder.parts) for encoder in self.encoders]
        parts = np.split(values, np.cumsum(widths)[:-1], axis=1)
        return np.concatenate([encoder.raw(part) for encoder, part in zip(self.encoders, parts, strict=True)], axis=1)

    def encode_raw(self, frame: Any) -> NDArray[np.float64]:
        """
        Raw values of every row, as exported networks take them; see `read`.

        Returns
        -------
        array, shape (n, raw values)
        """
        return self.raw(self.read(frame))

    @cached_property
    def in_pieces(self) -> bool:
        """Whether the first layer works on pieces and categories instead of on inputs, because these are many more."""
        kinds = [isinstance(encoder, Category) for encoder in self.encoders]
        terms = sum(1 if category else 2 * len(e.parts) for e, category in zip(self.encoders, kinds, strict=True))
        return len(self.inputs) >= PAYS * terms

    def expand(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Inputs of the network, shape (n, inputs), not yet standardised, of what `read` returns."""
        return self.exported.expand(self.raw(values), cut=False)

    def encode(self, frame: Any) -> NDArray[np.float64]:
        """
        Inputs of the network for every row, not yet standardised; see `read`.

        Returns
        -------
        array, shape (n, inputs)
        """
        return self.expand(self.read(frame))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model file."""
        kinds = {kind: name for name, kind in KINDS.items()}
        encoders = [{"kind": kinds[type(encoder)]} | asdict(encoder) for encoder in self.encoders]
        more: dict[str, Any] = {} if self.named else {"named": False}
        more |= {} if self.missing is None else {"missing": list(self.missing)}
        return {"encoders": encoders, "rows": [asdict(row) for row in self.rows]} | more

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Columns:
        """Read what `to_json` wrote; ValueError, KeyError or TypeError if it is something else."""
        encoders = []
        for entry in stored["encoders"]:
            settings = dict(entry)
            kind = KINDS[settings.pop("kind")]
            if kind is Number:
                settings.setdefault("edges", [])  # files up to format 4 have none
            if kind in (Number, Date):
                settings.setdefault("limits", [])  # files up to format 5 have none
                settings.setdefault("marks", [])  # and these and the form, files up to format 6
            if kind is Number:
                settings.setdefault("form", [])
            encoders.append(_checked(kind, settings))
        named, missing = stored.get("named", True), checks.words("missing", stored.get("missing"))
        columns = cls(tuple(encoders), tuple(_checked(Row, row) for row in stored["rows"]), named, missing)
        numbers = (isinstance(encoder, Number) and not encoder.flag for encoder in encoders)
        if not isinstance(named, bool) or not (named or (all(numbers) and len(encoders) == len(columns.rows))):
            raise ValueError("its columns without names are not numbers")
        names = columns.names
        if not names or len(set(names)) < len(names):
            raise ValueError("its columns do not have distinct names")
        return columns


def _checked(kind: type[Any], stored: dict[str, Any]) -> Any:
    """An instance of a dataclass from JSON, after a check of the fields' names and types."""
    hints = get_type_hints(kind)
    if set(stored) != {field.name for field in fields(kind)}:
        raise ValueError(f"invalid columns {stored}")
    values = {}
    for name, value in stored.items():
        expected = hints[name]
        if expected == tuple[str, ...]:
            valid = isinstance(value, list | tuple) and all(isinstance(v, str) for v in value)
            value = tuple(value) if valid else value
        elif expected == tuple[float, ...]:
            valid = isinstance(value, list | tuple) and all(map(_is_number, value))
            value = tuple(map(float, value)) if valid else value
        elif expected is float:
            valid = _is_number(value)
        else:
            valid = isinstance(value, expected) and not (expected is int and isinstance(value, bool))
        if not valid:
            raise ValueError(f"invalid columns: {name} is {value!r}")
        values[name] = value
    result = kind(**values)
    if isinstance(result, Number) and not (np.diff(result.edges) > 0).all():
        raise ValueError(f"invalid columns: the edges of {result.name!r} do not increase")
    if isinstance(result, Number | Date) and result.limits and not _is_range(result.limits):
        raise ValueError(f"invalid columns: the limits of {result.name!r} are {result.limits}")
    if isinstance(result, Date) and not set(result.kept) <= set(DATE_PARTS):
        raise ValueError(f"invalid parts of a date {result.kept}")
    if isinstance(result, Number) and result.form and not numerals.is_form(result.form):
        raise ValueError(f"invalid columns: the numbers of {result.name!r} are written as {result.form}")
    if isinstance(result, Category | Date) and not result.parts:
        raise ValueError(f"column {result.name!r} has no inputs")
    return result


def _is_range(limits: tuple[float, ...]) -> bool:
    return len(limits) == 2 and limits[0] <= limits[1]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def difference(columns: Sequence[Columns], of_raw: bool) -> str | None:
    """
    Name of a column of a table that some of these encode in different ways; None if there is no such column.

    With `of_raw` only raw values are compared: what replaces a missing number, and its pieces, may differ.
    """
    first, *others = [
        {e.name: e.name if of_raw and isinstance(e, Number) else e for e in one.encoders} for one in columns
    ]
    for other in others:
        unequal = [name for name in {**first, **other} if first.get(name) != other.get(name)]
        moved = [name for name, another in zip(first, other, strict=False) if name != another]
        if unequal or moved:
            return (unequal or moved)[0]
    return None


def plain_columns(names: Sequence[str], means: Sequence[float]) -> Columns:
    """Columns of numbers whose missing values are replaced by the mean."""
    return Columns(tuple(map(Number, names, means)), tuple(Row(name, "number", 1, "") for name in names))
