"""The rows of a table as numbers; the inputs of a network are made of those rows that are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .columns import Columns


class Encoded:
    """
    Inputs of a network, not yet standardised, of which only a few rows at a time are made.

    Parameters
    ----------
    columns : Columns
    values : array
        What `Columns.read` returns.
    """

    ndim, dtype = 2, np.dtype(np.float64)

    def __init__(self, columns: Columns, values: NDArray[Any]) -> None:
        self.columns, self.values = columns, values
        self.shape = len(values), len(columns.inputs)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> NDArray[np.float64]:
        inputs = self.columns.expand(np.atleast_2d(self.values[rows]))
        return inputs[0] if isinstance(rows, int | np.integer) else inputs
