"""
Dropout: in training, each unit of a hidden layer is left out for a sample with probability p (Hinton et al., 2012).

Whether a unit is left out is a hash of the seed, the update, the layer, the unit and the place of the sample in its
batch. So nothing is kept between the forward and the backward pass, and the result does not depend on the number of
threads.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..compiler.assembler import Assembler
from ..compiler.jit import inner, njit
from ..compiler.memory import steps
from ..compiler.routine import routine
from ..compiler.values import I64, Float, Integer

# 2^64 and 2^32 over the golden ratio: multiples of them are spread evenly.
_GOLDEN_64, _GOLDEN_32 = 0x9E3779B97F4A7C15, 0x9E3779B9
_WORD = 0xFFFFFFFF


@inner
def layer_key(seed, step, layer):
    """The number that the hashes of one layer in one update begin with."""
    return np.int64(_mixed(np.uint64(seed) ^ _mixed(np.uint64(step) * np.uint64(_GOLDEN_64) + np.uint64(layer))))


@inner
def _mixed(x):
    """64 bits, each of which depends on each bit of x (the finaliser of splitmix64, Steele et al., 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@routine("i(ii)(ii)d(aii)(Aii)")
def drop(v: Assembler, key: Integer, units: tuple, samples: tuple, share: Float, a: tuple, out: tuple) -> None:
    """
    a'_us = a_us / (1 - p) where the hash of unit and sample says keep, else 0; on deltas the same factors.

    Parameters
    ----------
    key : number of `layer_key`
    units : unit, units
        The first unit, counted in the layer, and how many.
    samples : first, samples
        The first sample, counted in the batch, and how many.
    share : p
    a, out : array, and its steps from unit to unit, sample to sample
        `out` may be `a`.
    """
    (unit, units), (first, samples), (a, a_unit, a_sample), (out, out_unit, out_sample) = units, samples, a, out
    scale = v.broadcast((1 / (1 - share)).to(v.scalar))
    least = v.broadcast((share * 2.0**32).to_unsigned(I64).cut(v.integer))
    plain = (a_sample == 1) & (out_sample == 1)
    spread = v.arange(v.integer, _GOLDEN_32)

    def short(x: Integer) -> Integer:
        """The last 32 bits of each lane."""
        return x if v.size == 4 else x & _WORD

    def mixed(x: Integer) -> Integer:
        """Each of 32 bits depends on each of x (lowbias32, Wellons, 2018)."""
        for shift, by in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = short((x ^ (x >> shift)) * by)
        return x ^ (x >> 16)

    for u in v.range(units):
        word = key + (unit + u)
        for shift, by in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            word = (word ^ (word >> shift)) * by
        word = (word ^ (word >> 31)) + first * _GOLDEN_32
        source, target = a + u * a_unit, out + u * out_unit

        def some(source: Any, target: Any, word: Integer = word) -> None:
            for i, mask in v.vectors(samples):
                begin = v.broadcast(((word + i * _GOLDEN_32) & _WORD).cut(v.integer))
                keep = mixed(short(begin + spread)).unsigned(">=", least)
                target[i, mask] = v.where(keep, scale * source[i, mask], 0)

        with v.if_else(plain) as (contiguous, gaps):
            with contiguous:
                some(source, target)
            with gaps:
                some(source.strided(a_sample), target.strided(out_sample))


@njit
def dropout(a, share, seed, step, layer, out):
    """
    Leave units out at random: a' = a / (1 - p) with probability 1 - p, else 0.

    Parameters
    ----------
    a : array, shape (n, d)
        Outputs of a hidden layer, one sample a row; in the backward pass its delta, with the same numbers after it.
    share : float
        p, in [0, 1).
    seed, step, layer : int
        What the choice depends on, with the places of sample and unit: the same numbers leave out the same units.
    out : array, shape (n, d)
        Overwritten. May be `a`.

    Raises
    ------
    ValueError
        `share` outside [0, 1), or `out` of another shape.

    Notes
    -----
    The mean of a' is a: nothing is left out, and nothing scaled, when the network is used.
    """
    if not 0 <= share < 1:
        raise ValueError("dropout: share must be at least 0 and less than 1, got", share)
    if out.shape != a.shape:
        raise ValueError("dropout: out must have the shape of a; (a, out) are", a.shape, out.shape)
    (a_sample, a_unit), (out_sample, out_unit) = steps(a), steps(out)
    key = layer_key(seed, step, layer)
    drop(key, (0, a.shape[1]), (0, a.shape[0]), share, (a, 0, a_unit, a_sample), (out, 0, out_unit, out_sample))
