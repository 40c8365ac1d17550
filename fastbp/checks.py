"""Checks of what the user passes in: an error names the argument, what was expected and what it got."""

from __future__ import annotations

import decimal
import difflib
import functools
import inspect
import math
import numbers
from collections.abc import Callable, Collection, Iterable
from typing import Any, ParamSpec, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from fastbp.kernels import internal

from .runtime import blocks

Floats = NDArray[np.floating[Any]]
P = ParamSpec("P")
T = TypeVar("T")
# What other libraries call an option of `fastbp.train`.
_ELSEWHERE = {
    "hidden": ("hidden_layer_sizes", "layers", "units", "neurons"),
    "learning_rate": ("lr", "learning_rate_init", "eta"),
    "l2": ("alpha", "weight_decay"),
    "epochs": ("max_iter", "iterations"),
    "optimizer": ("solver",),
    "loss": ("criterion",),
    "seed": ("random_state",),
    "threads": ("n_jobs",),
    "progress": ("verbose",),
    "validation": ("validation_split", "validation_fraction", "validation_data", "eval_set"),
    "patience": ("early_stopping", "n_iter_no_change"),
    "dropout": ("dropout_rate",),
    "scale": ("standardize", "normalize"),
}


def one_of(name: str, value: object, valid: Iterable[str]) -> str:
    """`value` if it is one of the names in `valid`; the error suggests the nearest one."""
    valid = list(valid)
    if isinstance(value, str) and value in valid:
        return value
    hint = _nearest(value, valid) if isinstance(value, str) else ""
    raise ValueError(f"{name}: expected one of {', '.join(map(repr, valid))}, got {value!r}{hint}")


def _nearest(name: str, valid: Collection[str], cutoff: float = 0.4) -> str:
    """The end of a message that suggests the nearest valid name, if one is near."""
    elsewhere = [own for own, others in _ELSEWHERE.items() if name in others and own in valid]
    near = elsewhere or difflib.get_close_matches(name.lower(), valid, n=1, cutoff=cutoff)
    return f"; did you mean {near[0]!r}?" if near else ""


def option(function: Callable[..., Any], name: str, options: Iterable[str]) -> None:
    """Raise ValueError unless a further argument of `function` is one of these; the error names its own ones, too."""
    own = [own for own in inspect.signature(function).parameters if own not in ("X", "y", "options")]
    if name not in options:
        one_of(function.__name__, name, dict.fromkeys([*options, *own]))


def suggesting(function: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function: Python's error about an unknown keyword argument names the nearest valid one, too."""
    valid = inspect.signature(function).parameters.keys()

    @functools.wraps(function)
    def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        unknown = next((name for name in kwargs if name not in valid), None)
        if unknown is not None:
            got = f"{function.__qualname__}() got an unexpected keyword argument {unknown!r}"
            raise TypeError(got + _nearest(unknown, valid, 0.6))
        return function(*args, **kwargs)

    return checked


def integer(name: str, value: object, least: int) -> int:
    """`value` as an int of at least `least`."""
    # int first: this is faster
    if isinstance(value, int | numbers.Integral) and not isinstance(value, bool) and int(value) >= least:
        return int(value)
    raise ValueError(f"{name}: expected an integer of at least {least}, got {value!r}")


def real(
    name: str, value: object, *, above: float = -math.inf, least: float = -math.inf, below: float = math.inf
) -> float:
    """`value` as a finite float, greater than `above`, at least `least`, less than `below`."""
    if isinstance(value, float | numbers.Real) and not isinstance(value, bool):  # float first: this is faster
        try:
            number = float(value)
        except OverflowError:  # an int that no float can be
            number = math.inf
        if math.isfinite(number) and number > above and number >= least and number < below:
            return number
    bounds = [f"above {above:g}"] * (above > -math.inf) + [f"at least {least:g}"] * (least > -math.inf)
    bounds += [f"below {below:g}"] * (below < math.inf)
    raise ValueError(f"{name}: expected a finite number{' ' if bounds else ''}{' and '.join(bounds)}, got {value!r}")


def boolean(name: str, value: object) -> bool:
    """`value` as a bool."""
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ValueError(f"{name}: expected True or False, got {value!r}")


def is_true(value: object) -> bool:
    """Whether a value, such as what a callback returned, is True, also as NumPy's."""
    return isinstance(value, bool | np.bool_) and bool(value)


def words(name: str, value: object) -> tuple[str, ...] | None:
    """`value` as several texts, or None."""
    if value is None:
        return None
    if isinstance(value, Iterable) and not isinstance(value, str):
        found = tuple(value)
        if all(isinstance(word, str) for word in found):
            return found
    raise ValueError(f"{name}: expected a sequence of texts or None, got {value!r}")


def feature_names(X: Any) -> tuple[str, ...] | None:
    """Column names of a pandas or polars frame (None where X has no such names)."""
    columns = getattr(X, "columns", None)
    if columns is None or callable(columns) or not all(isinstance(c, str) for c in columns):
        return None
    names = tuple(columns)
    repeated = sorted({c for c in names if names.count(c) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise ValueError(f"X: expected column names that differ, got {repeated[0]!r} more than once")
    return names


def require_unmasked(name: str, values: Any) -> None:
    """Raise ValueError if values are masked: what lies under the mask is no number of the user's."""
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        raise ValueError(f"{name}: expected an array without masked values, got {np.ma.count_masked(values)} of them")


def is_sparse(X: Any) -> bool:
    """Whether X is a sparse matrix of SciPy, which need not be installed."""
    return hasattr(X, "tocsr") and hasattr(X, "nnz")


def _as_array(name: str, values: Any) -> NDArray[Any]:
    if hasattr(values, "toarray") and hasattr(values, "nnz"):
        raise ValueError(f"{name}: expected a dense array, got a sparse {type(values).__name__}; pass {name}.toarray()")
    require_unmasked(name, values)
    try:
        return np.asarray(values)
    except ValueError as error:
        raise ValueError(
            f"{name}: expected an array of numbers, all rows of one length; got {type(values).__name__} ({error})"
        ) from None


def _reject_text(name: str, array: NDArray[Any]) -> None:
    for place in np.ndindex(array.shape):
        value = array[place]
        if not isinstance(value, numbers.Real | np.bool_ | decimal.Decimal):
            where = ", ".join(f"{word} {i}" for word, i in zip(("row", "column"), place, strict=False))
            raise ValueError(f"{name}: expected numbers, got {value!r} of type {type(value).__name__} at {where}")


def numeric(name: str, values: Any) -> NDArray[Any]:
    """`values` as an array of booleans, integers or floats; not copied, and not checked for NaN."""
    array = _as_array(name, values)
    if array.dtype.kind == "O":
        _reject_text(name, array)
        return array.astype(np.float64)
    if array.dtype.kind not in "biuf":
        kinds = {"c": "complex numbers", "U": "text", "S": "text", "M": "dates", "m": "time spans"}
        what = kinds.get(array.dtype.kind, str(array.dtype))
        raise ValueError(f"{name}: expected real numbers, got {what} (dtype {array.dtype})")
    return array


def finite(name: str, array: NDArray[Any], rows: NDArray[np.int64] | None = None) -> None:
    """Raise unless all numbers, or those of the rows of these numbers, are finite; the error names the first."""
    if array.dtype.kind != "f":
        return
    first, count = None, 0
    for piece in blocks.pieces(len(array) if rows is None else len(rows), array[:1].size):
        good = np.isfinite(array[piece if rows is None else rows[piece]])
        if not good.all():
            at, *rest = (int(i) for i in np.argwhere(~good)[0])
            at += piece.start
            first = first or (at if rows is None else int(rows[at]), *rest)
            count += int((~good).sum())
    if first is not None:
        where = ", ".join(f"{word} {i}" for word, i in zip(("row", "column"), first, strict=False))
        raise ValueError(f"{name}: expected finite numbers, got {array[first]} at {where} ({count} such in all)")


def samples(name: str, X: ArrayLike, columns: int | None = None, rows: NDArray[np.int64] | None = None) -> NDArray[Any]:
    """
    `X` as a 2-D array of numbers, one sample a row, with `columns` columns, if given, or at least one.

    All are finite, or, if their numbers are given, those of some rows.
    """
    array = numeric(name, X)
    if array.ndim != 2:
        hint = f"; for one feature pass {name}.reshape(-1, 1), for one sample {name}.reshape(1, -1)"
        got = f"{array.ndim} (shape {array.shape}){hint if array.ndim == 1 else ''}"
        raise ValueError(f"{name}: expected 2 dimensions (samples, features), got {got}")
    if columns is not None and array.shape[1] != columns:
        raise ValueError(f"{name}: expected {columns} features, got {array.shape[1]} (shape {array.shape})")
    if columns is None and array.shape[1] == 0:
        raise ValueError(f"{name}: expected at least one feature, got shape {array.shape}")
    finite(name, array, rows)
    return array


def weights(name: str, n: int, values: ArrayLike | None) -> NDArray[np.float64]:
    """Weights of n samples, by default 1 each."""
    if values is None:
        return np.ones(n)
    weight = numeric(name, values).astype(np.float64)
    if weight.shape != (n,):
        raise ValueError(f"{name}: expected shape ({n},), got {weight.shape}")
    finite(name, weight)
    if weight.min() < 0 or weight.sum() == 0:
        raise ValueError(f"{name}: expected numbers of at least 0, not all 0, got a minimum of {weight.min():g}")
    return weight


def is_lazy(X: Any) -> bool:
    """Whether X is a Dask collection; Dask need not be installed."""
    return hasattr(X, "__dask_graph__") and not isinstance(X, type)


def in_memory(name: str, X: Any) -> Any:
    """X; raises ValueError if it is a Dask collection."""
    if is_lazy(X):
        got = f"a dask {type(X).__name__}; only fastbp.train takes one"
        raise ValueError(f"{name}: expected an array or a frame in memory, got {got}")
    return X


def cast(name: str, array: NDArray[Any], dtype: np.dtype[Any]) -> Floats:
    """`array` in `dtype`, C-contiguous and aligned; raises if a finite number would become infinite."""
    with np.errstate(over="ignore"):
        result = np.require(array, dtype, ["C", "A"])
    if result.dtype.itemsize < array.dtype.itemsize:
        for rows in blocks.pieces(len(array), array[:1].size):
            in_range(name, result[rows], array[rows])
    return result


def in_range(name: str, result: NDArray[Any], array: NDArray[Any], rows: Any = ...) -> None:
    """Raise unless `result` is finite: the numbers of `array`, or of those rows of it, converted to float32."""
    if result.dtype.itemsize < 8 and not np.isfinite(result).all():
        largest = np.abs(array[rows]).max()
        raise ValueError(
            f"{name}: expected numbers within the range of {result.dtype}, got {largest:g}; pass dtype='float64'"
        )


# A read-only view: arrays that kernels only read have one type, whether the user's array is writable or not.
frozen = internal.frozen
