"""The inputs of an exported network: raw numbers, some of which may be missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .encoders import UNLIMITED

if TYPE_CHECKING:
    from ..model.network import Network


@dataclass(frozen=True, eq=False)
class Inputs:
    """
    How the raw values that an exported network takes become the inputs of its first layer.

    Attributes
    ----------
    names : tuple of str or None
        Name of each raw value; None if the network does not know them.
    source : integer array, shape (inputs of the network,)
        The raw value that each input comes from.
    fill : float64 array, shape (inputs of the network,)
        Replaces a missing raw value (NaN); NaN if the value must not be missing.
    flag : bool array, shape (inputs of the network,)
        The input is 1 if the raw value is missing, otherwise 0.
    lower, width : float64 array, shape (inputs of the network,)
        The input is a piece of the raw value x, clip((x - lower) / width, 0, 1); it is x itself where the width is 0.
    least, most : float64 array, shape (raw values,)
        The range that each raw value is cut to first. The largest numbers of float64 cut nothing.
    """

    names: tuple[str, ...] | None
    source: NDArray[np.int64]
    fill: NDArray[np.float64]
    flag: NDArray[np.bool_]
    lower: NDArray[np.float64]
    width: NDArray[np.float64]
    least: NDArray[np.float64]
    most: NDArray[np.float64]

    @classmethod
    def of(cls, net: Network) -> Inputs:
        """The inputs of an export of `net`."""
        return cls.plain(None, net.sizes[0]) if net.columns is None else net.columns.exported

    @classmethod
    def plain(cls, names: tuple[str, ...] | None, count: int) -> Inputs:
        """Raw values that are used as they are."""
        nothing, limits = np.zeros(count), [np.full(count, limit) for limit in UNLIMITED]
        return cls(names, np.arange(count), np.full(count, np.nan), np.zeros(count, bool), nothing, nothing, *limits)

    @property
    def count(self) -> int:
        """Number of raw values."""
        return int(self.source.max()) + 1

    @property
    def is_plain(self) -> bool:
        """Whether the raw values are used as they are."""
        return not (self.cuts or (self.flag | self.piece).any()) and bool(np.isnan(self.fill).all())

    @property
    def piece(self) -> NDArray[np.bool_]:
        """Which inputs are pieces."""
        return self.width > 0

    @property
    def cuts(self) -> bool:
        """Whether a raw value is cut to a range."""
        return bool((self.least > UNLIMITED[0]).any() or (self.most < UNLIMITED[1]).any())

    def expand(self, raw: NDArray[Any], cut: bool = True) -> NDArray[np.float64]:
        """
        Inputs of the network from raw values.

        Parameters
        ----------
        raw : array, shape (n, raw values)
        cut : bool
            Whether raw values may lie outside of their ranges.

        Returns
        -------
        array, shape (n, inputs of the network)
        """
        if cut:
            raw = np.minimum(np.maximum(raw, self.least), self.most)  # of few rows, faster than np.clip
        values = raw[:, self.source].astype(np.float64, copy=False)
        missing = np.isnan(values)
        np.copyto(values, self.fill, where=missing)
        values[:, self.flag] = missing[:, self.flag]
        piece = self.piece
        values[:, piece] = np.clip((values[:, piece] - self.lower[piece]) / self.width[piece], 0, 1)
        return values
