"""`Columns`: how the columns of a frame become the inputs of a network, learnt once, applied to every later frame."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, get_type_hints

import numpy as np
from numpy.typing import NDArray

from .. import checks
from ..runtime.lazy import cached_property
from . import files, fitting, frames
from .encoders import DATE_PARTS, KINDS, Category, Date, Encoder, Number
from .fitting import Row
from .raw_inputs import Inputs


@dataclass(frozen=True)
class Columns:
    """
    How the columns of a frame become the inputs of a network. Plain data, kept in the model file.

    Numbers are filled with their median where they are missing, text has an input for each frequent value, dates are taken apart; a further
    input tells of missing values where there were some. ``print(net.columns)`` shows what became of each column.

    Attributes
    ----------
    encoders : tuple of Number, Category or Date
        In the order of the inputs.
    rows : tuple of Row
        What became of each column of the frame, also of those that are left out.
    """

    encoders: tuple[Encoder, ...]
    rows: tuple[Row, ...]

    @classmethod
    def fit(cls, frame: Any, names: Sequence[str], training: NDArray[np.bool_]) -> tuple[Columns, NDArray[np.float64]]:
        """
        Learn from the rows of the training part, and encode all rows: each column is read once.

        Parameters
        ----------
        frame : DataFrame
        names : sequence of str
            The columns to learn from.
        training : bool array, shape (n,)

        Returns
        -------
        Columns
        array, shape (n, raw values)
            As `encode_raw` gives it.

        Raises
        ------
        ValueError
            No column is left.
        """
        found, raw = [], []
        for name in names:
            column = frames.read(frame, name)
            encoder, row = fitting.fit(column, training)
            found.append((encoder, row))
            if encoder is not None:
                raw.append(encoder.encode(column))
        columns = cls.of(found)
        return columns, np.concatenate(raw, axis=1)

    @classmethod
    def of(cls, found: Sequence[tuple[Encoder | None, Row]]) -> Columns:
        """What was learnt from each column; raises ValueError where none is left."""
        encoders, rows = zip(*found, strict=True) if found else ((), ())
        if not any(encoders):
            reasons = "; ".join(f"{row.name!r}: {row.note}" for row in rows[:5])
            raise ValueError(
                f"expected at least one column to learn from, but all are left out ({reasons or 'there are none'})"
            )
        return cls(tuple(filter(None, encoders)), rows)

    def __str__(self) -> str:
        table = [
            ("column", "read as", "inputs", ""),
            *((row.name or "(no name)", row.kind, str(row.inputs), row.note) for row in self.rows),
        ]
        widths = [max(len(line[k]) for line in table) for k in range(3)]
        return "\n".join(f"{a:{widths[0]}}  {b:{widths[1]}}  {c:>{widths[2]}}  {d}".rstrip() for a, b, c, d in table)

    @property
    def names(self) -> tuple[str, ...]:
        """Columns that a frame must have for `encode`."""
        return tuple(encoder.name for encoder in self.encoders)

    @cached_property
    def inputs(self) -> tuple[str, ...]:
        """Name of each input of the network."""
        exported = self.exported
        return tuple(
            f"{self._parts[k]} (missing)" if flag else self._parts[k]
            for k, flag in zip(exported.source, exported.flag, strict=True)
        )

    @cached_property
    def _parts(self) -> tuple[str, ...]:
        return tuple(itertools.chain.from_iterable(encoder.parts for encoder in self.encoders))

    @cached_property
    def exported(self) -> Inputs:
        """How raw values, with NaN for missing ones, become inputs: what an exported network does by itself."""
        source: list[int] = []
        fill: list[float] = []
        flag: list[bool] = []
        at = 0
        for encoder in self.encoders:
            places = list(range(at, at + len(encoder.parts)))
            fills, flags = list(encoder.fills), [False] * len(places)
            if isinstance(encoder, Number) and encoder.flag:
                places, fills, flags = places * 2, fills * 2, [False, True]
            source += places
            fill += fills
            flag += flags
            at += len(encoder.parts)
        return Inputs(self._parts, np.array(source), np.array(fill), np.array(flag))

    @cached_property
    def scaled(self) -> NDArray[np.bool_]:
        """Whether each input is standardised: what is only ever 0 or 1 is not, nor are points on circles."""
        parts = np.array(list(itertools.chain.from_iterable(encoder.scaled for encoder in self.encoders)))
        return parts[self.exported.source] & ~self.exported.flag

    def require(self, frame: Any) -> None:
        """Raise ValueError unless the frame has all columns of `names`."""
        there = dict.fromkeys(map(str, frame.columns))
        missing = [name for name in self.names if name not in there]
        if missing:
            near = difflib.get_close_matches(missing[0], there, n=1)
            hint = f"; did {near[0]!r} get another name?" if near and len(missing) == 1 else ""
            raise ValueError(
                f"expected the columns that the network was trained on; missing: {files.some(missing)}{hint}"
            )

    def encode_raw(self, frame: Any) -> NDArray[np.float64]:
        """
        Raw values of every row, as exported networks take them.

        Parameters
        ----------
        frame : DataFrame
            Columns in any order; others than `names` are ignored.

        Returns
        -------
        array, shape (n, raw values)

        Raises
        ------
        ValueError
            A column is missing, or holds something else than in training.
        """
        self.require(frame)
        return np.concatenate([encoder.encode(frames.read(frame, encoder.name)) for encoder in self.encoders], axis=1)

    def encode(self, frame: Any) -> NDArray[np.float64]:
        """
        Inputs of the network for every row, not yet standardised; see `encode_raw`.

        Returns
        -------
        array, shape (n, inputs)
        """
        return self.exported.expand(self.encode_raw(frame))

    def to_json(self) -> dict[str, Any]:
        """Plain data for the model file."""
        kinds = {kind: name for name, kind in KINDS.items()}
        encoders = [{"kind": kinds[type(encoder)]} | asdict(encoder) for encoder in self.encoders]
        return {"encoders": encoders, "rows": [asdict(row) for row in self.rows]}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Columns:
        """Read what `to_json` wrote; ValueError, KeyError or TypeError where it is something else."""
        encoders = []
        for given in stored["encoders"]:
            rest = dict(given)
            encoders.append(_checked(KINDS[rest.pop("kind")], rest))
        columns = cls(tuple(encoders), tuple(_checked(Row, row) for row in stored["rows"]))
        names = columns.names
        if not names or len(set(names)) < len(names):
            raise ValueError("its columns have no names that differ")
        return columns


def _checked(kind: type[Any], given: dict[str, Any]) -> Any:
    """An instance of a dataclass from JSON, every field of the type that it must have."""
    hints = get_type_hints(kind)
    if set(given) != {field.name for field in fields(kind)}:
        raise ValueError(f"impossible columns {given}")
    values = {}
    for name, value in given.items():
        wanted = hints[name]
        if wanted == tuple[str, ...]:
            good = isinstance(value, list) and all(isinstance(v, str) for v in value)
            value = tuple(value) if good else value
        elif wanted is float:
            good = isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))
        else:
            good = isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))
        if not good:
            raise ValueError(f"impossible columns: {name} is {value!r}")
        values[name] = value
    result = kind(**values)
    if isinstance(result, Date) and not set(result.kept) <= set(DATE_PARTS):
        raise ValueError(f"impossible parts of a date {result.kept}")
    if isinstance(result, Category | Date) and not result.parts:
        raise ValueError(f"column {result.name!r} has no inputs")
    return result


def text_names(*columns: Columns | None) -> frozenset[str]:
    """Columns of a table in which what looks like a number is text for a network, or for one of several."""
    encoders = itertools.chain.from_iterable(known.encoders for known in columns if known is not None)
    return frozenset(encoder.name for encoder in encoders if isinstance(encoder, Category | Date))


def opened(X: Any, *columns: Columns | None) -> Any:
    """X, or the frame that is in the file of this name."""
    if not isinstance(X, str | os.PathLike):
        return X
    return files.read(os.fspath(X), text_names(*columns)).frame


def inputs(name: str, X: Any, columns: Columns | None, count: int) -> NDArray[Any]:
    """The `count` inputs of a network from the argument `name`: a table through `columns`, anything else as the inputs themselves."""
    X = opened(X, columns)
    if columns is None or checks.feature_names(X) is None:
        return checks.samples(name, X, count)
    try:
        return columns.encode(X)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def plain_columns(names: Sequence[str], means: Sequence[float]) -> Columns:
    """Columns of numbers, each filled with its mean where it is missing."""
    return Columns(tuple(map(Number, names, means)), tuple(Row(name, "number", 1, "") for name in names))
