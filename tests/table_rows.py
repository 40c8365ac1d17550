"""Random rows of a table: as the inputs of a network in plain NumPy, and in pieces as the kernels take them."""

import itertools

import numpy as np

from fastbp import kernels


class TableRows:
    """
    Numbers, some of which are cut into pieces or have missing values, and categories.

    Attributes
    ----------
    dense : float64 array, shape (n, inputs)
        The standardised inputs.
    rows : kernels.PieceRows
        Made of raw values by `kernels.encode_pieces`.
    """

    def __init__(self, n, numbers, categories, seed, dtype=np.float64):
        rng = np.random.default_rng(seed)
        inputs, fields, edges, heights, moments, raw = [], [], [], [], [], []
        for _ in range(numbers):
            pieces, flag = int(rng.choice([0, 2, 3, 16])), bool(rng.integers(2))
            x, fill, mean, scale = rng.normal(size=n) * 3, *rng.normal(size=2), rng.uniform(0.5, 2)
            missing = rng.random(n) < 0.3
            b = np.cumsum(rng.uniform(0.1, 1, pieces + 1)) - 3 if pieces else np.empty(0)
            x[rng.random(n) < 0.2] = rng.choice(b) if pieces else 0.0  # at an edge
            filled, at = np.where(missing, fill, x), len(inputs)
            inputs.append((filled - mean) / scale)
            inputs += [missing.astype(np.float64)] * flag
            for low, high in itertools.pairwise(b):
                share = np.clip((filled - low) / (high - low), 0, 1)
                inputs.append(np.where(missing, 0, share) if flag else share)
            fields.append((len(heights), at, at + 1 if flag else -1, at + 1 + flag, pieces))
            v = (b - mean) / scale
            heights += [(fill - mean) / scale] * flag + ([v[0] - 1, *v, v[-1] + 1] if pieces else [0, 1])
            edges += [np.nan] * (flag + 1) + b.tolist() + [np.nan]
            moments.append((mean, 1 / scale, fill))
            raw.append(np.where(missing, np.nan, x))
        places = np.empty((n, numbers + categories), np.int64)
        for k in range(categories):
            values = int(rng.integers(1, 5))
            chosen = rng.integers(-1, values, n)
            places[:, numbers + k] = np.where(chosen < 0, -1, len(inputs) + chosen)
            inputs += [(chosen == value).astype(np.float64) for value in range(values)]
        self.dense = np.array(inputs, np.float64).reshape(len(inputs), n).T
        self.raw = np.array(raw, np.float64).reshape(numbers, n).T
        self.columns = np.array(fields, np.int64).reshape(numbers, 5)
        self.edges, self.moments = np.array(edges, np.float64), np.array(moments, np.float64).reshape(numbers, 3).T
        shares = np.empty((n, numbers), dtype)
        self.finite = kernels.encode_pieces(self.raw, self.columns, self.edges, self.moments, places, shares)
        self.rows = kernels.PieceRows(places, shares, self.columns, np.array(heights, dtype))
