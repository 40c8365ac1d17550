"""The first weights of a network, the random numbers of a run, and its state before the first epoch."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import checks, options
from ..second_order import learner as second_order
from ..second_order.options import NAMES
from .state import TrainingState

# Numbers that are drawn at a time: they stay in the second cache until they are rounded to the type of the weights.
DRAWN = 1 << 15


def random_streams(seed: int) -> tuple[np.random.Generator, np.random.Generator, np.random.Generator]:
    """Independent generators for the first weights, the validation split, and the order of the samples."""
    first, split, order = np.random.SeedSequence(seed).spawn(3)
    return np.random.default_rng(first), np.random.default_rng(split), np.random.default_rng(order)


def initial_parameters(
    net: options.Architecture, init: str | None, random: np.random.Generator, dtype: np.dtype[Any]
) -> NDArray[Any]:
    """
    Draw all weights and biases at random (lecture L26), uniform in (-r, r).

    r = sqrt(6 / (d_in + d_out)) for glorot, sqrt(6 / d_in) for he, 1 for uniform; biases have the bound of their
    layer's weights. They are drawn in float64, so that both dtypes start from the same numbers. glorot is the default
    for relu, too: its numbers are smaller than those of he, with which small tables were learnt less well.
    """
    layers = _bounds(net, init)
    params, start = np.empty(sum(count for count, _ in layers), dtype), 0
    for count, bound in layers:
        for first in range(start, start + count, DRAWN):
            part = params[first : min(first + DRAWN, start + count)]
            part[:] = random.uniform(-bound, bound, len(part))
        start += count
    return params


def parameter_bounds(net: options.Architecture, init: str | None) -> NDArray[np.float64]:
    """r of each weight and bias, see `initial_parameters`."""
    return np.concatenate([np.full(count, bound) for count, bound in _bounds(net, init)])


def _bounds(net: options.Architecture, init: str | None) -> list[tuple[int, float]]:
    """Parameters of each layer, and their r."""
    if init is not None:
        checks.one_of("init", init, options.INITS)
    layers = []
    for n_in, n_out in itertools.pairwise(net.sizes):
        bound = {"glorot": math.sqrt(6 / (n_in + n_out)), "he": math.sqrt(6 / n_in), "uniform": 1.0}[init or "glorot"]
        layers.append(((n_in + 1) * n_out, bound))
    return layers


def first_state(
    net: options.Architecture, hyper: options.Hyperparameters, params: NDArray[Any], random: np.random.Generator | None
) -> TrainingState:
    """The state before the first epoch."""
    if hyper.optimizer in NAMES:
        return TrainingState.initial(params, second_order.initial_state(net, hyper, params), random)
    count = kernels.states_of(kernels.OPTIMIZERS[hyper.optimizer])
    return TrainingState.initial(params, [np.zeros_like(params) for _ in range(count)], random)
