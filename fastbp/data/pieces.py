"""Samples in pieces: what the first layer of a network that was trained on a table takes, see `kernels.PieceRows`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from ..options import Architecture
from ..tables import Category, Columns, Number

Array = NDArray[Any]


class PieceEncoder:
    """
    Makes samples in pieces of the rows of a table.

    Parameters
    ----------
    columns : Columns
    mean, scale : float64 array, shape (inputs,)
        Standardisation of the inputs.
    dtype : float32 or float64
    """

    def __init__(self, columns: Columns, mean: Array, scale: Array, dtype: np.dtype[Any]) -> None:
        self.columns, self.inputs, self.dtype = columns, len(columns.inputs), dtype
        fields: list[tuple[int, ...]] = []
        edges, heights, moments = list[float](), list[float](), list[tuple[float, ...]]()
        # places among what `Columns.read` returns; the first input of each category
        numbers, categories, firsts = list[int](), list[int](), list[int]()
        at = read = 0
        for encoder in columns.encoders:
            if isinstance(encoder, Category):
                categories.append(read)
                firsts.append(at)
                at, read = at + len(encoder.parts), read + 1
                continue
            inner = encoder.edges if isinstance(encoder, Number) else ()
            flag = isinstance(encoder, Number) and encoder.flag
            for fill in encoder.fills:
                v = (np.array(inner) - mean[at]) / scale[at]
                nodes = [v[0] - 1, *v, v[-1] + 1] if inner else [0.0, 1.0]
                own = [(fill - mean[at]) / scale[at]] * flag + nodes
                fields.append((len(heights), at, at + 1 if flag else -1, at + 1 + flag, max(0, len(inner) - 1)))
                edges += [np.nan] * (flag + 1) + list(inner) + [np.nan]
                heights += own
                moments.append((mean[at], 1 / scale[at], fill))
                numbers.append(read)
                at, read = at + 1 + flag + max(0, len(inner) - 1), read + 1
        self.fields = np.array(fields, np.int64).reshape(-1, 5)
        self.edges, self.heights = np.array(edges, np.float64), np.array(heights, dtype)
        self.moments = np.array(moments, np.float64).reshape(-1, 3).T.copy()
        self.numbers, self.categories, self.firsts = numbers, categories, np.array(firsts, np.float64)

    def __call__(self, values: Array) -> InPieces:
        """Rows of what `Columns.read` returns, in pieces; ValueError if a number is out of the range of the dtype."""
        n, numbers = len(values), len(self.numbers)
        places = np.empty((n, numbers + len(self.categories)), np.int64)
        shares = np.empty((n, numbers), self.dtype)
        raw = values[:, self.numbers].astype(np.float64, copy=False)
        if not kernels.encode_pieces(raw, self.fields, self.edges, self.moments, places, shares):
            largest = np.nanmax(np.abs(raw))
            raise ValueError(f"X: expected numbers that can be standardised in {self.dtype}, got {largest:g}")
        chosen = values[:, self.categories]
        places[:, numbers:] = np.where(chosen < 0, -1, chosen + self.firsts)
        return InPieces(kernels.PieceRows(places, shares, self.fields, self.heights), self.inputs)


class InPieces:
    """Standardised inputs of samples, in pieces; `rows` is what the kernels take."""

    def __init__(self, rows: kernels.PieceRows, inputs: int) -> None:
        self.rows, self.shape = rows, (len(rows.places), inputs)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> InPieces:
        return InPieces(self.rows._replace(places=self.rows.places[rows], shares=self.rows.shares[rows]), self.shape[1])

    def first_outputs(self, net: Architecture, params: Array) -> Array:
        """What the first layer puts out."""
        inputs, units = net.sizes[:2]
        weights = params[: (inputs + 1) * units].reshape(inputs + 1, units)
        z, nodes = np.empty((len(self), units), params.dtype), np.empty((len(self.rows.heights), units), params.dtype)
        kernels.piecewise_linear_forward(self.rows, np.arange(len(self)), weights, nodes, z)
        kernels.activation_forward(net.activation_codes[0], z, z)
        return z

    def outputs(self, net: Architecture, params: Array) -> Array:
        """What the last of several layers puts out."""
        a, first = self.first_outputs(net, params), (net.sizes[0] + 1) * net.sizes[1]
        out = np.empty((len(self), net.sizes[-1]), params.dtype)
        kernels.forward(a, net.size_array[1:], net.activation_codes[1:], params[first:], out)
        return out
