"""
Dropout: during training each unit of a hidden layer is left out of a sample's pass with probability p (Hinton et al., 2012).

Whether a unit is left out is a hash of the seed, the update, the layer, the unit and the place of the sample in its batch. So
nothing is kept between the forward and the backward pass, and the result does not depend on the number of threads.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir

from ..compiler.assembler import I64, Assembler, Value
from ..compiler.jit import inner, njit
from ..compiler.memory import steps
from ..compiler.routine import routine

# 2^64 and 2^32 over the golden ratio: multiples of them are spread evenly.
_GOLDEN_64, _GOLDEN_32 = 0x9E3779B97F4A7C15, 0x9E3779B9
_WORD = 0xFFFFFFFF


@inner
def layer_key(seed, step, layer):
    """The number that the hashes of one layer in one update begin with."""
    return np.int64(_mixed(np.uint64(seed) ^ _mixed(np.uint64(step) * np.uint64(_GOLDEN_64) + np.uint64(layer))))


@inner
def _mixed(x):
    """A number of 64 bits, each of which depends on each bit of x (the finaliser of splitmix64, Steele et al., 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


@routine("iiiiidaiiAii")
def drop(
    v: Assembler,
    key: Value,
    unit: Value,
    units: Value,
    first: Value,
    samples: Value,
    share: Value,
    a: Value,
    a_unit: Value,
    a_sample: Value,
    out: Value,
    out_unit: Value,
    out_sample: Value,
) -> None:
    """
    a'_us = a_us / (1 - p) where the hash of unit and sample says keep, else 0; on deltas the same factors.

    Units unit ... unit + units of the layer, samples first ... first + samples of the batch: unit u of sample s lies at
    u a_unit + s a_sample. `out` may be `a`.
    """
    b = v.b
    double = ir.DoubleType()
    factor = b.fdiv(double(1), b.fsub(double(1), share))
    scale = v.broadcast(b.fptrunc(factor, v.scalar) if v.size == 4 else factor)
    least = v.splat(_lane(v, b.fptoui(b.fmul(share, double(2.0**32)), I64)), v.integers)
    plain = b.and_(b.icmp_signed("==", a_sample, I64(1)), b.icmp_signed("==", out_sample, I64(1)))
    spread = ir.Constant(v.integers, [v.integer(i * _GOLDEN_32 & _WORD) for i in range(v.lanes)])

    def short(x: Value) -> Value:
        """The last 32 bits of each lane."""
        return x if v.size == 4 else b.and_(x, v.const_int(_WORD))

    def mixed(x: Value) -> Value:
        """Each of 32 bits depends on each of x (lowbias32, Wellons, 2018)."""
        for shift, by in ((16, 0x7FEB352D), (15, 0x846CA68B)):
            x = short(b.mul(b.xor(x, b.lshr(x, v.const_int(shift))), v.const_int(by)))
        return b.xor(x, b.lshr(x, v.const_int(16)))

    def row(u: Value) -> None:
        word = b.add(key, b.add(unit, u))
        for shift, by in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            word = b.mul(b.xor(word, b.lshr(word, I64(shift))), I64(by))
        word = b.add(b.xor(word, b.lshr(word, I64(31))), b.mul(first, I64(_GOLDEN_32)))
        source, target = v.at(a, b.mul(u, a_unit)), v.at(out, b.mul(u, out_unit))

        def chosen(i: Value, x: Value) -> Value:
            begin = v.splat(_lane(v, b.and_(b.add(word, b.mul(i, I64(_GOLDEN_32))), I64(_WORD))), v.integers)
            return v.select(
                b.icmp_unsigned(">=", mixed(short(b.add(begin, spread))), least), v.mul(scale, x), v.const(0)
            )

        def whole(i: Value, mask: Value | None) -> None:
            v.store(chosen(i, v.load(v.at(source, i), mask)), v.at(target, i), mask)

        def gaps(i: Value, mask: Value | None) -> None:
            x = v.gather(v.at(source, b.mul(i, a_sample)), a_sample, mask)
            v.scatter(chosen(i, x), v.at(target, b.mul(i, out_sample)), out_sample, mask)

        with b.if_else(plain) as (contiguous, spread_out):
            with contiguous:
                v.each_vector(samples, whole)
            with spread_out:
                v.each_vector(samples, gaps)

    v.loop(0, units, 1, row)


def _lane(v: Assembler, x: Value) -> Value:
    """A number of 64 bits as one lane."""
    return v.b.trunc(x, v.integer) if v.size == 4 else x


@njit
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
    (a_sample, a_unit), (out_sample, out_unit) = steps(a), steps(out)
    drop(
        layer_key(seed, step, layer),
        0,
        a.shape[1],
        0,
        a.shape[0],
        share,
        a,
        0,
        a_unit,
        a_sample,
        out,
        0,
        out_unit,
        out_sample,
    )
