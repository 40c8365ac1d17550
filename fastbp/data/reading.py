"""What users pass as X and y, and what else they say about its rows: read, without the rows of weight 0."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, tables
from . import division, targets
from .division import PLAIN, Division
from .sparse import SparseRows
from .targets import Targets


@dataclass(frozen=True)
class Table:
    """
    X and y as the user passed them, without the rows of weight 0.

    Attributes
    ----------
    X : array or frame
    y : array-like
    names : tuple of str or None
        The columns of a frame to learn from; None: X is an array.
    sample_weight : float64 array or None
        Weight of each sample; None: all are 1.
    rows : int64 array or None
        Numbers of the samples among the rows of X, which may be too large to copy; None: all rows.
    missing : sequence of str or None
        Text of a frame that counts as missing.
    division : Division
        What must be kept together when samples are set aside.
    counted : int64 array or None
        Numbers of the samples among the rows that the user passed; None: all.
    total : int
        Rows that the user passed.
    """

    X: Any
    y: Any
    names: tuple[str, ...] | None
    sample_weight: NDArray[np.float64] | None = None
    rows: NDArray[np.int64] | None = None
    missing: Sequence[str] | None = None
    division: Division = PLAIN
    counted: NDArray[np.int64] | None = None
    total: int = 0

    def __len__(self) -> int:
        return len(self.X) if self.rows is None else len(self.rows)

    def take(self, rows: NDArray[np.int64], weight: NDArray[np.float64] | None = None) -> Table:
        """The samples of these numbers, perhaps with other weights."""
        if weight is None and self.sample_weight is not None:
            weight = self.sample_weight[rows]
        counted = rows if self.counted is None else self.counted[rows]
        of_rows = {"y": targets.of_rows(self.y, len(self), rows), "sample_weight": weight, "counted": counted}
        of_rows["division"] = self.division.take(rows)
        if self.names is not None and not checks.is_lazy(getattr(self.X, "frame", self.X)):
            return replace(self, X=targets.take_rows(self.X, rows), **of_rows)
        return replace(self, rows=rows if self.rows is None else self.rows[rows], **of_rows)


def read_table(X: Any, y: Any, options: Mapping[str, Any]) -> Table:
    """
    X and y, and those of the options that say more about the rows; y may be the name of a column.

    A row of weight 0 need not even have finite numbers.
    """
    given, missing = checks.in_memory("X", X), checks.words("missing", options.get("missing"))
    X = tables.opened(given, missing=missing)
    names = checks.feature_names(X)
    sparse = isinstance(X, SparseRows) or checks.is_sparse(X)
    if names is not None and np.ndim(y) == 0 and not isinstance(y, str) and y in list(getattr(given, "columns", names)):
        y = str(y)
    if names is None and isinstance(y, str):
        raise ValueError(f"y: expected one target for each sample, got the name {y!r}; X must be a table for that")
    if names is None:
        X = SparseRows.of("X", X, finite=False) if sparse else checks.numeric("X", X)
    n = len(X) if sparse or np.ndim(X) else 0
    weight, counted = weighted_rows(n, options.get("sample_weight"))
    if sparse:
        X.require_finite("X", counted)
    elif names is None:
        X = checks.samples("X", X, rows=counted)
    if n == 0:
        raise ValueError(f"X: expected at least one sample, got shape {X.shape}")
    parting, unused = division.read(X, options, n, y)
    if names is not None and isinstance(y, str):
        checks.one_of("y", y, names)
        y, unused = X[y].to_numpy(), (y, *unused)
    names = None if names is None else tuple(name for name in names if name not in unused)
    table = Table(X, y, names, weight, None, missing, parting, None, n)
    return table if counted is None else replace(table, sample_weight=None).take(counted, weight)


def weighted_rows(n: int, sample_weight: ArrayLike | None) -> tuple[NDArray[np.float64] | None, Any]:
    """The weights above 0 of n rows, and the numbers of their rows; None if there are no others."""
    if sample_weight is None:
        return None, None
    weight = checks.weights("sample_weight", n, sample_weight)
    rows = np.flatnonzero(weight)
    return (weight, None) if len(rows) == n else (weight[rows], rows)


def sample_weights(
    n: int, sample_weight: ArrayLike | None, class_weight: Mapping[Any, float] | str | None, y: Targets
) -> NDArray[np.float64]:
    """Weight of each sample: its sample weight times that of its class."""
    weight = checks.weights("sample_weight", n, sample_weight)
    if class_weight is None:
        return weight
    if y.classes is None:
        raise ValueError(f"class_weight: expected None for {y.task}, which has no classes; use sample_weight")
    if isinstance(class_weight, str):
        checks.one_of("class_weight", class_weight, ("balanced",))
        counts = np.bincount(y.values, weights=weight, minlength=len(y.classes))
        factors = weight.sum() / (len(y.classes) * np.where(counts > 0, counts, 1))
    elif isinstance(class_weight, Mapping):
        labels = y.classes.tolist()
        for label in class_weight:
            if label not in labels:
                raise ValueError(f"class_weight: expected the labels of y, got {label!r}")
        factors = np.array([checks.real(f"class_weight[{k!r}]", class_weight.get(k, 1.0), least=0) for k in labels])
    else:
        raise ValueError(f"class_weight: expected 'balanced' or a dict of label to weight, got {class_weight!r}")
    weight = weight * factors[y.values]
    if weight.sum() == 0:
        raise ValueError("class_weight: expected a weight above 0 for a class that occurs, got 0 for all")
    return weight


def weighted(
    table: Table, y: Targets, class_weight: Mapping[Any, float] | str | None
) -> tuple[Table, Targets, NDArray[np.float64]]:
    """The table, its targets and the weight of each sample, without those of a class whose weight is 0."""
    weight = sample_weights(len(table), table.sample_weight, class_weight, y)
    if (weight > 0).all():
        return table, y, weight
    rows = np.flatnonzero(weight)
    return table.take(rows), y.take(rows), weight[rows]
