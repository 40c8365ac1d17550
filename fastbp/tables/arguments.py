"""What users pass as X: a table, the path of one, an array of raw values, or the inputs of a network."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from . import files
from .columns import Columns
from .encoded import Encoded
from .encoders import Category, Date
from .formats import Format


def text_names(*columns: Columns | None) -> frozenset[str]:
    """Names of the columns that at least one network reads as text or dates, even if their cells look like numbers."""
    encoders = itertools.chain.from_iterable(one.encoders for one in columns if one is not None)
    return frozenset(encoder.name for encoder in encoders if isinstance(encoder, Category | Date))


def opened(X: Any, *columns: Columns | None, missing: Sequence[str] | None = None) -> Any:
    """X itself, with text as names of its columns if it is a frame; or the frame in the file if X is a path."""
    if isinstance(X, str | os.PathLike):
        of_network = next(
            (one.missing for one in columns if one is not None), None if missing is None else tuple(missing)
        )
        return files.read(os.fspath(X), text_names(*columns), Format(missing=of_network)).frame
    return named_by_text(X, *columns)


def named_by_text(X: Any, *columns: Columns | None) -> Any:
    """
    A frame whose columns have other names than text, such as numbers, with these as text; anything else as it is.

    So is a frame without any of the names that a network knows: it has the numbers of an array.
    """
    if not hasattr(X, "set_axis") or checks.is_lazy(X) or all(isinstance(name, str) for name in X.columns):
        return X
    names = [str(name) for name in X.columns]
    if not all(one is None or set(names) & set(one.names) for one in columns):
        return X
    repeated = next((name for name, count in Counter(names).items() if count > 1), None)
    if repeated is not None:
        raise ValueError(f"X: expected column names that differ as text, got {repeated!r} more than once")
    return X.set_axis(names, axis=1)


def inputs(name: str, X: Any, columns: Columns | None, count: int) -> NDArray[Any]:
    """The `count` inputs of a network from the argument `name`: a table, an array of raw values, or the inputs."""
    X = opened(X, columns)
    if columns is None:
        return checks.samples(name, X, count)
    values = read(name, X, columns)
    if values is not None:
        return columns.expand(values)
    raw = columns.exported.count
    if raw != count and np.shape(X)[1:] == (raw,):
        return columns.exported.expand(checks.samples(name, X, raw))
    return checks.samples(name, X, count)


def read(name: str, X: Any, columns: Columns) -> NDArray[Any] | None:
    """
    What `Columns.read` returns of the argument `name`; None of an array, unless its columns need no names.

    If X is already `Encoded`, it is not read again.
    """
    if isinstance(X, Encoded) and (X.columns is columns or X.columns == columns):
        return X.values
    if not columns.named:
        array, raw = checks.numeric(name, X), len(columns.encoders)
        has_inputs = raw != len(columns.inputs) and array.shape[1:] == (len(columns.inputs),)
        return None if has_inputs else checks.samples(name, array, raw)
    if checks.feature_names(X) is None:
        return None
    try:
        return columns.read(X)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
