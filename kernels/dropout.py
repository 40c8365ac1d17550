"""
Dropout: during training each unit of a hidden layer is left out of a sample's pass with probability p (Hinton et al., 2012).

Whether a unit is left out is a hash of the seed, the update, the layer, the unit and the place of the sample in its batch. So
nothing is kept between the forward and the backward pass, and the result does not depend on the number of threads.
"""

import numpy as np

from ._jit import inner, jit

_WORD = np.uint64(0xFFFFFFFF)


@inner
def layer_key(seed, step, layer):
    """The number that the hashes of one layer in one update begin with."""
    return _mixed(np.uint64(seed) ^ _mixed(np.uint64(step) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(layer)))


@inner
def _mixed(x):
    """A number of 64 bits, each of which depends on each bit of x (the finaliser of splitmix64)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@inner
def drop(share, key, unit, units, first, samples, source, source_at, source_unit, source_sample, target, target_at, target_unit,
         target_sample):  # fmt: skip
    """
    a'_us = a_us / (1 - p) where the hash of unit and sample says keep, else 0; on deltas the same factors.

    Units unit ... unit + units of the layer, samples first ... first + samples of the batch; the number of unit u and sample s lies
    u source_unit + s source_sample behind source_at.
    """
    factor = target.dtype.type(1 / (1 - share))
    below = np.uint32(min(share * 2.0**32, 2.0**32 - 1))
    for u in range(units):
        word = np.uint32(_mixed(key + np.uint64(unit + u)) & _WORD)
        p, q = source_at + u * source_unit, target_at + u * target_unit
        for s in range(samples):
            x = np.uint32(word + np.uint32(first + s) * np.uint32(0x9E3779B9))
            x = np.uint32((x ^ (x >> np.uint32(16))) * np.uint32(0x7FEB352D))
            x = np.uint32((x ^ (x >> np.uint32(15))) * np.uint32(0x846CA68B))
            x = np.uint32(x ^ (x >> np.uint32(16)))
            value = source[p + s * source_sample]
            target[q + s * target_sample] = value * factor if x >= below else target.dtype.type(0)


@jit
def dropout(a, share, seed, step, layer, out):
    """
    Leave units out at random: a' = a / (1 - p) with probability 1 - p, else 0.

    Parameters
    ----------
    a : array, shape (n, d)
        Outputs of a hidden layer, one sample a row; in the backward pass its delta, with the same numbers behind.
    share : float
        p, in [0, 1).
    seed, step, layer : int
        What the choice depends on, beside the places of sample and unit: the same numbers leave out the same units.
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
        raise ValueError("dropout: out must have the shape of a; (a, out) came as", a.shape, out.shape)
    key = layer_key(seed, step, layer)
    for s in range(a.shape[0]):
        for u in range(a.shape[1]):
            drop(share, key, u, 1, s, 1, a[s], u, 0, 0, out[s], u, 0, 0)
