"""The first weights of a network, and the random numbers of a run."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks, options


def random_streams(seed: int) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Independent generators of a run: for the first weights, the validation split, and the order of the samples."""
    first, split, order = np.random.SeedSequence(seed).spawn(3)
    return np.random.default_rng(first), np.random.default_rng(split), np.random.default_rng(order)


def initial_parameters(
    net: options.Architecture, init: str | None, random: np.random.Generator, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """
    Draw all weights and biases at random (lecture L26), uniform in (-r, r).

    r = sqrt(6 / (d_in + d_out)) for glorot, sqrt(6 / d_in) for he, 1 for uniform; biases use the bound of their layer's
    weights. Drawn in float64, so that both dtypes start from the same numbers. glorot is the default for relu too: with its
    smaller numbers than he, small tables were learnt better.
    """
    bounds = parameter_bounds(net, init)
    return random.uniform(-bounds, bounds).astype(dtype)


def parameter_bounds(net: options.Architecture, init: str | None) -> NDArray[np.float64]:
    """Return r of each weight and bias, see `initial_parameters`."""
    if init is not None:
        checks.one_of("init", init, options.INITS)
    parts = []
    for n_in, n_out in itertools.pairwise(net.sizes):
        bound = {"glorot": (6 / (n_in + n_out)) ** 0.5, "he": (6 / n_in) ** 0.5, "uniform": 1.0}[init or "glorot"]
        parts.append(np.full((n_in + 1) * n_out, bound))
    return np.concatenate(parts)
