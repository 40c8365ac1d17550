"""
NumPy's random numbers inside compiled code: the streams of `numpy.random.default_rng`, bit for bit.

A stream is PCG64 (O'Neill, "PCG: A family of simple fast space-efficient statistically good algorithms for random
number generation", 2014): a 128-bit linear congruential generator whose halves are folded and rotated. Its seed is
mixed by `numpy.random.SeedSequence`.
"""

import numpy as np

from ..compiler.jit import inner, njit

# Elements of a stream: the state and the increment, high half first; whether half of a number is left over, and that
# half.
HIGH, LOW, INCREMENT_HIGH, INCREMENT_LOW, HELD, HALF, LENGTH = range(7)
# The multiplier of the generator.
FACTOR_HIGH, FACTOR_LOW = np.uint64(2549297995355413924), np.uint64(4865540595714422341)
# What SeedSequence mixes with: a hash of what comes in, one of what goes out, their factors, and two multipliers.
IN, IN_FACTOR = np.uint32(0x43B0D7E5), np.uint32(0x931E8875)
OUT, OUT_FACTOR = np.uint32(0x8B51F9DD), np.uint32(0x58F38DED)
LEFT, RIGHT = np.uint32(0xCA01F9DD), np.uint32(0x4973F715)
# Words of its pool.
POOL = 4
WORD, BITS = np.uint64(0xFFFFFFFF), np.uint64(32)


@inner
def _high_product(a, b):
    """The high half of the product of two uint64."""
    a0, a1, b0, b1 = a & WORD, a >> BITS, b & WORD, b >> BITS
    low, left, right = a0 * b0, a1 * b0, a0 * b1
    carry = (low >> BITS) + (left & WORD) + (right & WORD)
    return a1 * b1 + (left >> BITS) + (right >> BITS) + (carry >> BITS)


@inner
def _advance(stream):
    """Step the generator: state <- state x factor + increment, modulo 2^128."""
    high, low = stream[HIGH], stream[LOW]
    new = low * FACTOR_LOW
    top = _high_product(low, FACTOR_LOW) + high * FACTOR_LOW + low * FACTOR_HIGH
    stream[LOW] = new + stream[INCREMENT_LOW]
    stream[HIGH] = top + stream[INCREMENT_HIGH] + (np.uint64(1) if stream[LOW] < new else np.uint64(0))


@inner
def next_64(stream):
    """64 random bits."""
    _advance(stream)
    high = stream[HIGH]
    folded, turn = high ^ stream[LOW], high >> np.uint64(58)
    return (folded >> turn) | (folded << ((np.uint64(64) - turn) & np.uint64(63)))


@inner
def next_32(stream):
    """32 random bits: the low half of a number, and at the next call its high half."""
    if stream[HELD]:
        stream[HELD] = 0
        return stream[HALF]
    number = next_64(stream)
    stream[HELD], stream[HALF] = 1, number >> BITS
    return number & WORD


@inner
def next_up_to(stream, most, mask):
    """A random number from 0 to `most`: numbers of the bits of `mask`, which are ones, until one is not larger."""
    while True:
        found = (next_32(stream) if most <= WORD else next_64(stream)) & mask
        if found <= most:
            return found


@njit
def shuffle(stream, order):
    """
    Shuffle in place, as ``numpy.random.Generator.shuffle`` does (Fisher and Yates). Unchecked.

    Parameters
    ----------
    stream : uint64 array, shape (LENGTH,)
        Updated.
    order : int64 array, shape (n,)
    """
    one = np.uint64(1)
    mask = one
    while mask < order.size - 1:
        mask = mask << one | one
    for i in range(order.size - 1, 0, -1):
        if i <= mask >> one:
            mask >>= one
        j = next_up_to(stream, np.uint64(i), mask)
        order[i], order[j] = order[j], order[i]


@inner
def _fraction(stream):
    """A random number from 0 to 1, of 53 bits."""
    return (next_64(stream) >> np.uint64(11)) * 2.0**-53


@inner
def _within(low, high, number):
    """Where in an interval; rounded after each step, as NumPy does."""
    return low + (high - low) * number


@njit
def fill_uniform(stream, low, high, out):
    """
    Random numbers from low to high, as ``numpy.random.Generator.uniform`` draws them. Unchecked.

    Parameters
    ----------
    stream : uint64 array, shape (LENGTH,)
        Updated.
    low, high : float64 arrays, shape (n,)
    out : array, shape (n,)
    """
    for i in range(low.size):
        out[i] = _within(low[i], high[i], _fraction(stream))


@njit
def uniform_rows(seeds, starts, bounds, child, streams, out):
    """
    Streams of many seeds, and the first numbers of each between -bound and bound. Unchecked.

    Parameters
    ----------
    seeds : uint32 array, shape (words,)
        All seeds, one after the other, each as `seed_child` takes it.
    starts : int64 array, shape (k + 1,)
        Where each begins, and the end of the last.
    bounds : float64 array, shape (m,)
        One for each number of a stream.
    child : int
        See `seed_child`.
    streams : uint64 array, shape (k, LENGTH)
        Overwritten: the streams after these numbers.
    out : array, shape (k, m)
        Overwritten.
    """
    low = -bounds
    for k in range(streams.shape[0]):
        seed_child(seeds[starts[k] : starts[k + 1]], child, streams[k])
        fill_uniform(streams[k], low, bounds, out[k])


@inner
def _hashed(value, constant, factor):
    """A word mixed with a running constant, and the next constant."""
    next_constant = np.uint32(constant * factor)
    value = np.uint32((value ^ constant) * next_constant)
    return value ^ (value >> np.uint32(16)), next_constant


@inner
def _mixed(x, y):
    result = np.uint32(LEFT * x - RIGHT * y)
    return result ^ (result >> np.uint32(16))


@njit
def seed_child(seed, child, stream):
    """
    Start the stream of ``default_rng(SeedSequence(seed).spawn(child + 1)[child])``. Unchecked.

    Parameters
    ----------
    seed : uint32 array, shape (words,)
        The seed, its low words first; as many as it needs, one at least.
    child : int
    stream : uint64 array, shape (LENGTH,)
        Overwritten.
    """
    words = max(POOL, seed.size)  # a key follows the seed, filled up with zeros
    pool, constant = np.zeros(POOL, np.uint32), IN
    for i in range(POOL):
        pool[i], constant = _hashed(seed[i] if i < seed.size else np.uint32(0), constant, IN_FACTOR)
    for i in range(POOL):
        for j in range(POOL):
            if i != j:
                hashed, constant = _hashed(pool[i], constant, IN_FACTOR)
                pool[j] = _mixed(pool[j], hashed)
    for i in range(POOL, words + 1):
        for j in range(POOL):
            hashed, constant = _hashed(seed[i] if i < words else np.uint32(child), constant, IN_FACTOR)
            pool[j] = _mixed(pool[j], hashed)
    constant = OUT
    state = np.zeros(2 * POOL, np.uint64)
    for i in range(2 * POOL):
        hashed, constant = _hashed(pool[i % POOL], constant, OUT_FACTOR)
        state[i] = hashed
    first, second, third, fourth = [state[2 * i] | (state[2 * i + 1] << BITS) for i in range(4)]
    one = np.uint64(1)
    stream[HIGH], stream[LOW], stream[HELD], stream[HALF] = 0, 0, 0, 0
    stream[INCREMENT_HIGH], stream[INCREMENT_LOW] = (third << one) | (fourth >> np.uint64(63)), (fourth << one) | one
    _advance(stream)
    low = stream[LOW] + second
    stream[HIGH] += first + (one if low < second else np.uint64(0))
    stream[LOW] = low
    _advance(stream)
