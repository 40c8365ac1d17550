"""NumPy's shuffle for the streams of many networks at once, one a lane of the vectors: the bits of `random`, sooner."""

from __future__ import annotations

from ..compiler.assembler import Assembler
from ..compiler.processor import VECTOR_BYTES
from ..compiler.routine import routine
from ..compiler.values import I64, Address, Integer, Mask
from .random import FACTOR_HIGH, FACTOR_LOW, HALF, HELD, HIGH, INCREMENT_HIGH, INCREMENT_LOW, LOW

# Streams at a time: two vectors, whose waits overlap.
STREAMS_BYTES = 2 * VECTOR_BYTES
_FACTOR_HIGH, _FACTOR_LOW, _WORD = int(FACTOR_HIGH), int(FACTOR_LOW), 0xFFFFFFFF


@routine("iinNN", vector_bytes=STREAMS_BYTES)
def shuffle_lanes(v: Assembler, n: Integer, lanes: Integer, active: Address, streams: Address, orders: Address) -> None:
    """
    Column k of `orders` becomes 0, ..., n - 1 as `shuffle` leaves it with the stream in column k of `streams`.

    n < 2^32. Both have rows of `lanes` elements, whole vectors of streams. Where `active` is 0, the stream is not drawn
    from.
    """
    for first in v.range(0, lanes, v.lanes):
        every, column = active[first] != 0, orders + first
        for i in v.range(n):
            column[lanes * i] = v.broadcast(i)

        def part(k: int, first: Integer = first) -> Address:
            """Element k of each stream."""
            return streams + (first + lanes * k)

        increment = part(INCREMENT_HIGH)[0], part(INCREMENT_LOW)[0]
        state = [part(HIGH)[0], part(LOW)[0], part(HELD)[0] != 0, part(HALF)[0]]
        for k in v.range(1, n, carry=state):
            i = n - k
            most, bits = v.broadcast(i), v.broadcast(v.index(-1) >> i.leading_zeros())
            # j: a random number of as many bits as i has, drawn again where it is above i
            draw = [every, most, *state]
            for turn in v.repeat(draw):
                drawing, j, *before = draw
                found, after = _next_32(v, drawing, before, increment)
                j = v.where(drawing, found & bits, j)
                drawing = drawing & j.unsigned(">", most)
                draw[:] = [drawing, j, *after]
                turn.again = v.any(drawing)
            _, j, *state[:] = draw
            # swap i and j
            here, there = column + lanes * i, j * v.broadcast(lanes) + (v.broadcast(first) + v.arange(I64))
            x = here[0]
            here[0] = orders.gather(there)
            orders.scatter(x, there)
        high, low, held, half = state
        for x, k in [(high, HIGH), (low, LOW), (held.to(I64), HELD), (half, HALF)]:
            part(k)[0] = x


def _next_32(v: Assembler, drawing: Mask, state: list, increment: tuple) -> tuple[Integer, list]:
    """32 random bits for the streams that draw, and the state of all streams after that."""
    high, low, held, half = state
    fresh = drawing & ~held
    # state <- state x factor + increment, modulo 2^128
    new = low * _FACTOR_LOW
    new_low = new + increment[1]
    carried = new_low.unsigned("<", new).to(I64)
    new_high = _high_product(low, _FACTOR_LOW) + high * _FACTOR_LOW + low * _FACTOR_HIGH + increment[0] + carried
    # 64 bits: the halves folded, and rotated by the first six bits
    number = (new_high ^ new_low).rotate_right(new_high >> 58)
    found = v.where(held, half, number & _WORD)
    high, low, half = v.where(fresh, new_high, high), v.where(fresh, new_low, low), v.where(fresh, number >> 32, half)
    return found, [high, low, held ^ drawing, half]


def _high_product(x: Integer, factor: int) -> Integer:
    """The high half of the product of 64-bit numbers."""
    x0, x1, f0, f1 = x & _WORD, x >> 32, factor & _WORD, factor >> 32
    left, right = x1 * f0, x0 * f1
    carry = (x0 * f0 >> 32) + (left & _WORD) + (right & _WORD)
    return x1 * f1 + (left >> 32) + ((right >> 32) + (carry >> 32))
