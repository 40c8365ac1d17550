"""What an exported network takes: raw numbers, of which some may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from ..model.network import Network


@dataclass(frozen=True, eq=False)
class Inputs:
    """
    How the raw values that an exported network takes become the inputs of its first layer.

    Attributes
    ----------
    names : tuple of str or None
        Name of each raw value; None where the network does not know them.
    source : integer array, shape (inputs of the network,)
        The raw value that each input comes from.
    fill : float64 array, shape (inputs of the network,)
        What the input is where the raw value is missing (NaN); NaN: the value must not be missing.
    flag : bool array, shape (inputs of the network,)
        The input is 1 where the raw value is missing, and 0 where it is not.
    """

    names: tuple[str, ...] | None
    source: NDArray[np.int64]
    fill: NDArray[np.float64]
    flag: NDArray[np.bool_]

    @classmethod
    def of(cls, net: Network) -> Inputs:
        """What an export of `net` takes."""
        return cls.plain(None, net.sizes[0]) if net.columns is None else net.columns.exported

    @classmethod
    def plain(cls, names: tuple[str, ...] | None, count: int) -> Inputs:
        """Raw values that are the inputs."""
        return cls(names, np.arange(count), np.full(count, np.nan), np.zeros(count, bool))

    @property
    def count(self) -> int:
        """Number of raw values."""
        return int(self.source.max()) + 1

    @property
    def is_plain(self) -> bool:
        """Whether the raw values are the inputs as they are."""
        return not self.flag.any() and bool(np.isnan(self.fill).all())

    def expand(self, raw: NDArray[Any]) -> NDArray[np.float64]:
        """
        Inputs of the network from raw values.

        Parameters
        ----------
        raw : array, shape (n, raw values)

        Returns
        -------
        array, shape (n, inputs of the network)
        """
        values = raw[:, self.source].astype(np.float64, copy=False)
        missing = np.isnan(values)
        np.copyto(values, self.fill, where=missing)
        values[:, self.flag] = missing[:, self.flag]
        return values
