"""Targets: what task y asks for, y as the matrix the kernels learn, and outputs as the labels the user gave."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, options
from ..runtime import blocks

if TYPE_CHECKING:
    from ..model.network import Network

# Integer targets with more different values than this are numbers to regress on, not classes (task="auto").
MOST_CLASSES = 100


@dataclass(frozen=True)
class Targets:
    """y, read: the task, the classes in order (None but in classification), and y as a 2-D array or class numbers."""

    task: str
    classes: NDArray[Any] | None
    values: NDArray[Any]
    single: bool  # y was 1-D, or had one column: predictions are 1-D

    @property
    def outputs(self) -> int:
        """Number of target columns; of classes in classification."""
        return int(self.values.shape[1]) if self.classes is None else len(self.classes)

    def take(self, rows: Any) -> Targets:
        """The targets of these rows."""
        return Targets(self.task, self.classes, self.values[rows], self.single)

    def indicators(self, units: int, dtype: np.dtype[Any]) -> NDArray[Any]:
        """Classes for so many output units: one-hot, or 0 and 1 for a single unit."""
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
    if task == "classification":
        if not single:
            raise ValueError(
                f"y: expected one column of labels for classification, got shape {array.shape}; task='multilabel' takes 0/1 columns"
            )
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
    """Read further targets (validation, score) in the terms of those trained on; labels unseen there are refused."""
    classes = network_targets.classes
    if classes is None:
        other = read(y, network_targets.task, n)
        if other.outputs != network_targets.outputs:
            raise ValueError(f"{name}: expected {network_targets.outputs} target columns, got {other.outputs}")
        return other
    array = labels(y, n, name)
    codes = {label: k for k, label in enumerate(classes.tolist())}
    numbers = np.empty(n, np.int64)
    for rows in blocks.pieces(n, 1):  # lists of Python's numbers take a multiple of the memory
        numbers[rows] = [codes.get(label, -1) for label in array[rows].tolist()]
    if n and numbers.min() < 0:
        unseen = array[[int(np.argmin(numbers))]].tolist()[0]
        raise ValueError(f"{name}: expected labels seen in training ({_some(classes)}), got {unseen!r}")
    return Targets("classification", classes, numbers, True)


def labels(y: ArrayLike, n: int, name: str = "y") -> NDArray[Any]:
    """`y` as a 1-D array of `n` labels."""
    array = _read_labels(y).reshape(-1)
    if len(array) != n:
        raise ValueError(f"{name}: expected one label for each of the {n} samples, got {len(array)}")
    return array


def _some(classes: NDArray[Any]) -> str:
    shown = ", ".join(repr(c) for c in classes[:5].tolist())
    return shown + (", ..." if len(classes) > 5 else "")


def _read_labels(y: ArrayLike) -> NDArray[Any]:
    if hasattr(y, "toarray") and hasattr(y, "nnz"):
        raise ValueError(f"y: expected a dense array, got a sparse {type(y).__name__}; pass y.toarray()")
    try:
        array = np.asarray(y)
    except ValueError as error:
        raise ValueError(
            f"y: expected numbers or labels, all rows of one length; got {type(y).__name__} ({error})"
        ) from None
    if array.dtype.kind in "cV":
        raise ValueError(f"y: expected real numbers or labels, got dtype {array.dtype}")
    return array


def _guess(array: NDArray[Any]) -> str:
    """Task of `array`: floats are numbers (but for 0.0 and 1.0 alone), other types are classes if few."""
    if array.dtype.kind == "O":
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


def _binary(array: NDArray[Any]) -> bool:
    return all(np.isin(array[rows], (0, 1)).all() for rows in blocks.pieces(len(array), array[:1].size))


def _classes(array: NDArray[Any]) -> Targets:
    without = missing(array)
    if len(without):
        raise ValueError(
            f"y: expected a label for each sample, got {array[without[0]]!r} at row {without[0]} ({len(without)} such in all)"
        )
    if array.dtype.kind == "f":
        checks.finite("y", array)
        if not (array == np.floor(array)).all():
            fraction = array[array != np.floor(array)][0]
            raise ValueError(
                f"y: expected labels for classification, got the fraction {fraction}; pass task='regression' for numbers"
            )
    try:
        parts = [np.unique(array[rows], return_inverse=True) for rows in blocks.pieces(len(array), 1)]
        classes = np.unique(np.concatenate([part for part, _ in parts])) if parts else array
    except TypeError:
        kinds = sorted({type(label).__name__ for label in array.tolist()})
        raise ValueError(f"y: expected labels of one sortable type, got {' and '.join(kinds)}") from None
    if len(classes) < 2:
        came = f"only {classes.tolist()[0]!r}" if len(classes) else "no sample"
        raise ValueError(f"y: expected at least two classes for classification, got {came}")
    numbers = np.concatenate([np.searchsorted(classes, part)[inverse] for part, inverse in parts])
    return Targets("classification", classes, numbers, True)


def missing(array: NDArray[Any]) -> Any:
    """Numbers of the labels that are none."""
    if array.dtype.kind != "O":
        return np.flatnonzero(array != array)  # NaN and NaT
    return [i for i, label in enumerate(array) if label is None or label != label or type(label).__name__ == "NAType"]


def targets_of(network: Network, y: ArrayLike, task: str, n: int) -> Targets:
    """Read `y` in the terms of a trained network."""
    if task not in ("auto", network.task):
        raise ValueError(f"task: expected {network.task!r}, as in the network given as init, got {task!r}")
    values = np.empty((0, network.sizes[-1] // max(1, len(network.loss_parameter))))
    return like(y, Targets(network.task, network.classes, values, network.single_output), n)
