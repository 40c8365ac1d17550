"""Targets: the task that y calls for, and y as numbers and classes."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, options
from ..runtime import blocks
from ..tables import numerals, text

if TYPE_CHECKING:
    from ..model.network import Network

# With task="auto", integers with more different values than this are numbers for regression, not classes.
MOST_CLASSES = 100
# Labels of which more than half differ are no classes, if there are at least so many, and they are numbers or dates in
# the form of text; other text is none if nearly all of it differs.
FEWEST, NEARLY_ALL = 20, 0.9
# Types of objects that stand for a missing value, by name.
_NOTHING = ("NoneType", "NAType")


@dataclass(frozen=True)
class Targets:
    """y, read: the task, the sorted classes (None unless it is classification), and a 2-D array or class numbers."""

    task: str
    classes: NDArray[Any] | None
    values: NDArray[Any]
    single: bool  # y was 1-D, or had one column: predictions are 1-D

    @property
    def outputs(self) -> int:
        """Number of target columns; in classification, of classes."""
        return int(self.values.shape[1]) if self.classes is None else len(self.classes)

    def take(self, rows: Any) -> Targets:
        """The targets of these rows."""
        return Targets(self.task, self.classes, self.values[rows], self.single)

    def indicators(self, units: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Classes for `units` output units: one-hot, or 0 and 1 for a single unit."""
        if units == 1:
            return self.values.astype(dtype)[:, None]
        found = np.empty((len(self.values), units), dtype)
        for rows in blocks.pieces(*found.shape):
            np.equal(self.values[rows, None], np.arange(units), out=found[rows], casting="unsafe")
        return found


def read(y: ArrayLike, task: str, n: int) -> Targets:
    """
    Read the user's `y` for `n` samples.

    Parameters
    ----------
    y : array-like, shape (n,) or (n, outputs)
        Numbers, or labels of any sortable type.
    task : str
        ``"auto"`` or one of `options.TASKS`.
    n : int
        Number of samples in X.

    Raises
    ------
    ValueError
        Wrong shape or length, missing values, one class only, or values that do not fit the task.
    """
    checks.one_of("task", task, ("auto", *options.TASKS))
    array = _read_labels(y)
    if array.ndim not in (1, 2):
        raise ValueError(f"y: expected 1 or 2 dimensions, got {array.ndim} (shape {array.shape})")
    if len(array) != n:
        raise ValueError(f"y: expected one target for each of the {n} samples of X, got {len(array)}")
    if array.ndim == 2 and array.shape[1] == 0:
        raise ValueError(f"y: expected at least one column, got shape {array.shape}")
    single = array.ndim == 1 or array.shape[1] == 1
    if single:
        array = array.reshape(-1)
    if task == "auto":
        task = _guess(array)
        if task == "classification" and array.dtype.kind in "OUSM":
            _require_repeated(array)
    if task == "classification":
        if not single:
            hint = "task='multilabel' takes 0/1 columns"
            raise ValueError(f"y: expected one column of labels for classification, got shape {array.shape}; {hint}")
        return _classes(array)
    values = checks.numeric("y", array)
    checks.finite("y", values)
    values = values.reshape(n, -1)
    if task == "multilabel":
        if not _binary(values):
            raise ValueError(f"y: expected only 0 and 1 for multilabel, got {values[~np.isin(values, (0, 1))][0]!r}")
        return Targets(task, None, values.astype(np.uint8), False)
    return Targets(task, None, values, single)


def like(y: ArrayLike, network_targets: Targets, n: int, name: str = "y") -> Targets:
    """Read further targets (for validation or a score), of the same kind as those of the network; no new labels."""
    classes = network_targets.classes
    if classes is None:
        other = read(y, network_targets.task, n)
        if other.outputs != network_targets.outputs:
            raise ValueError(f"{name}: expected {network_targets.outputs} target columns, got {other.outputs}")
        return other
    array = labels(y, n, name)
    codes = {label: k for k, label in enumerate(classes.tolist())}
    numbers = np.empty(n, np.int64)
    for rows in blocks.pieces(n, 1):  # lists of Python numbers take several times the memory
        numbers[rows] = [codes.get(label, -1) for label in array[rows].tolist()]
    if n and numbers.min() < 0:
        unseen = array[[int(np.argmin(numbers))]].tolist()[0]
        raise ValueError(f"{name}: expected labels seen in training ({_some(classes)}), got {unseen!r}")
    return Targets("classification", classes, numbers, True)


def labels(y: ArrayLike, n: int, name: str = "y") -> NDArray[Any]:
    """`y` as a 1-D array of `n` labels."""
    array = _read_labels(y, name).reshape(-1)
    if len(array) != n:
        raise ValueError(f"{name}: expected one label for each of the {n} samples, got {len(array)}")
    return array


def _some(classes: NDArray[Any]) -> str:
    shown = ", ".join(repr(c) for c in classes[:5].tolist())
    return shown + (", ..." if len(classes) > 5 else "")


def _read_labels(y: ArrayLike, name: str = "y") -> NDArray[Any]:
    if hasattr(y, "toarray") and hasattr(y, "nnz"):
        raise ValueError(f"{name}: expected a dense array, got a sparse {type(y).__name__}; pass {name}.toarray()")
    checks.require_unmasked(name, y)
    try:
        array = np.asarray(y)
    except ValueError as error:
        got = f"{type(y).__name__} ({error})"
        raise ValueError(f"{name}: expected numbers or labels, all rows of one length; got {got}") from None
    if array.dtype.kind in "cV":
        raise ValueError(f"{name}: expected real numbers or labels, got dtype {array.dtype}")
    return _of_numbers(array) if array.dtype.kind == "O" else array


def _of_numbers(array: NDArray[Any]) -> NDArray[Any]:
    """Objects that are numbers but not Python's or NumPy's own, such as the Decimal of a database, as float64."""
    values = array.reshape(-1).tolist()
    types = set(map(type, values))
    if not any(issubclass(one, Decimal | Fraction) for one in types):
        return array
    if not all(issubclass(one, numbers.Real | Decimal) or one.__name__ in _NOTHING for one in types):
        return array
    return np.array([np.nan if type(v).__name__ in _NOTHING else float(v) for v in values]).reshape(array.shape)


def _guess(array: NDArray[Any]) -> str:
    """Task of `array`: floats are numbers (unless all are 0.0 or 1.0), other types are classes if there are few."""
    if array.dtype.kind == "O":
        if not {type(value).__name__ for value in array.reshape(-1).tolist()}.isdisjoint(_NOTHING):
            # an error follows that names the first
            return "classification" if array.ndim == 1 else "regression"
        try:
            array = np.array(array.tolist())
        except ValueError:
            return "classification"
    binary = array.dtype.kind in "biuf" and array.size > 0 and _binary(array)
    if array.ndim == 2:
        return "multilabel" if binary else "regression"
    if binary or array.dtype.kind not in "iuf":
        return "classification"
    if array.dtype.kind == "f":
        return "regression"
    few = len(np.unique(array)) <= max(2, min(MOST_CLASSES, len(array) // 2))
    return "classification" if few else "regression"


def _require_repeated(array: NDArray[Any]) -> None:
    """Raise ValueError if nearly all labels differ: these are no classes, but numbers or dates in another form."""
    different = {str(label) for label in array.tolist()}
    if len(array) < FEWEST or 2 * len(different) <= len(array):
        return
    words = sorted(different)
    form = numerals.only_form(words)
    unread = np.isnan(text.read_number(np.array(words, object)))
    if array.dtype.kind == "M" or text.date_formats(np.array(words, object), np.ones(len(words), np.int64)):
        looks, remedy = "dates", "turn them into numbers, such as days since the first one"
    elif form is None and numerals.forms(words):
        looks, remedy = "numbers, but it is unclear which of their marks begins the fraction", "turn them into floats"
    elif form is not None:
        looks = f"numbers written as {form}" if form != numerals.PLAIN else "numbers in the form of text"
        remedy = "turn them into floats" + (", such as by y.astype(float)" if form == numerals.PLAIN else "")
    elif 2 * unread.sum() < len(words):
        looks, remedy = f"numbers, but for {words[int(unread.argmax())]!r}", "correct such cells, and pass floats"
    elif len(different) <= NEARLY_ALL * len(array):
        return
    else:
        looks, remedy = "names, identifiers or free text", "choose another target"
    got = f"{len(different)} different ones in {len(array)} rows, such as {words[0]!r}"
    raise ValueError(
        f"y: expected numbers, or labels that occur several times, got {got}; they look like {looks}: {remedy}, "
        "or pass task='classification' if they are labels"
    )


def _binary(array: NDArray[Any]) -> bool:
    return all(np.isin(array[rows], (0, 1)).all() for rows in blocks.pieces(len(array), array[:1].size))


def _classes(array: NDArray[Any]) -> Targets:
    without = missing(array)
    if len(without):
        first = without[0]
        got = f"{array[first]!r} at row {first} ({len(without)} such in all)"
        raise ValueError(f"y: expected a label for each sample, got {got}")
    if array.dtype.kind == "f":
        checks.finite("y", array)
        if not (array == np.floor(array)).all():
            fraction = array[array != np.floor(array)][0]
            hint = "pass task='regression' for numbers"
            raise ValueError(f"y: expected labels for classification, got the fraction {fraction}; {hint}")
    try:
        parts = [np.unique(array[rows], return_inverse=True) for rows in blocks.pieces(len(array), 1)]
        classes = np.unique(np.concatenate([part for part, _ in parts])) if parts else array
    except TypeError:
        kinds = sorted({type(label).__name__ for label in array.tolist()})
        raise ValueError(f"y: expected labels of one sortable type, got {' and '.join(kinds)}") from None
    if len(classes) < 2:
        got = f"only {classes.tolist()[0]!r}" if len(classes) else "no sample"
        raise ValueError(f"y: expected at least two classes for classification, got {got}")
    numbers = np.concatenate([np.searchsorted(classes, part)[inverse] for part, inverse in parts])
    return Targets("classification", classes, numbers, True)


def missing(array: NDArray[Any]) -> Any:
    """Numbers of the rows without a label."""
    if array.dtype.kind != "O":
        return np.flatnonzero(array != array)  # NaN and NaT
    return [i for i, label in enumerate(array) if type(label).__name__ in _NOTHING or label != label]


def targets_of(network: Network, y: ArrayLike, task: str, n: int) -> Targets:
    """Read `y` as targets of a trained network."""
    if task not in ("auto", network.task):
        raise ValueError(f"task: expected {network.task!r}, as in the network given as init, got {task!r}")
    values = np.empty((0, network.sizes[-1] // max(1, len(network.loss_parameter))))
    return like(y, Targets(network.task, network.classes, values, network.single_output), n)


def of_rows(y: Any, n: int, rows: NDArray[np.int64]) -> Any:
    """The targets of some of n rows; all, if there are not n, which will be an error."""
    y = y if hasattr(y, "shape") else np.asarray(y)
    return take_rows(y, rows) if len(y) == n else y


def take_rows(table: Any, rows: NDArray[np.int64]) -> Any:
    """Rows of an array or a frame."""
    return table.iloc[rows] if hasattr(table, "iloc") else table[rows]
