"""NumPy's shuffle for the streams of many networks at once, one in each lane of the vectors: the same bits as random.py, sooner."""

from __future__ import annotations

from llvmlite import ir

from ..compiler.assembler import I1, I64, VECTOR_BYTES, Assembler, Value
from ..compiler.routine import routine
from .random import FACTOR_HIGH, FACTOR_LOW, HALF, HELD, HIGH, INCREMENT_HIGH, INCREMENT_LOW, LOW

# Streams at a time: two vectors, whose waits overlap.
STREAMS_BYTES = 2 * VECTOR_BYTES


@routine("iinNN")
def shuffle_lanes(w: Assembler, n: Value, lanes: Value, active: Value, streams: Value, orders: Value) -> None:
    """
    Column k of `orders` becomes 0, ..., n - 1 as `shuffle` leaves it with the stream in column k of `streams`, n < 2^32.

    Both have rows of `lanes` elements, whole vectors of streams. Where `active` is 0, the stream is not drawn from.
    """
    b = w.b
    v = Assembler(b, 8, STREAMS_BYTES)
    word, bits = v.const_int(0xFFFFFFFF), v.const_int(32)

    def row(p: Value, first: Value, i: Value | int) -> Value:
        return v.at(p, b.add(first, b.mul(lanes, I64(i) if isinstance(i, int) else i)))

    def load(p: Value) -> Value:
        return v.bits(v.load(p))

    def store(x: Value, p: Value) -> None:
        v.store(v.from_bits(x), p)

    def product(x: Value, factor: int) -> Value:
        """The low half."""
        return b.mul(x, v.const_int(factor))

    def high_product(x: Value, factor: int) -> Value:
        """The high half of the product."""
        x0, x1, f0, f1 = b.and_(x, word), b.lshr(x, bits), factor & 0xFFFFFFFF, factor >> 32
        left, right = product(x1, f0), product(x0, f1)
        carry = b.add(b.add(b.lshr(product(x0, f0), bits), b.and_(left, word)), b.and_(right, word))
        return b.add(b.add(product(x1, f1), b.lshr(left, bits)), b.add(b.lshr(right, bits), b.lshr(carry, bits)))

    def some(first: Value) -> None:
        increment_high, increment_low = (
            load(row(streams, first, INCREMENT_HIGH)),
            load(row(streams, first, INCREMENT_LOW)),
        )
        every = b.icmp_signed("!=", load(row(active, first, 0)), v.const_int(0))
        numbers = b.add(v.splat(first, v.integers), ir.Constant(v.integers, [I64(k) for k in range(v.lanes)]))
        v.loop(0, n, 1, lambda i: store(v.splat(i, v.integers), row(orders, first, i)))

        def next_32(drawing: Value, high: Value, low: Value, held: Value, half: Value) -> list[Value]:
            """32 random bits for the streams that draw, and the streams behind them."""
            fresh = b.and_(drawing, b.not_(held))
            new = product(low, int(FACTOR_LOW))
            top = b.add(
                b.add(high_product(low, int(FACTOR_LOW)), product(high, int(FACTOR_LOW))),
                product(low, int(FACTOR_HIGH)),
            )
            new_low = b.add(new, increment_low)
            carried = b.zext(b.icmp_unsigned("<", new_low, new), v.integers)
            new_high = b.add(b.add(top, increment_high), carried)
            folded, turn = b.xor(new_high, new_low), b.lshr(new_high, v.const_int(58))
            number = v.rotate_right(folded, turn)
            found = b.select(held, half, b.and_(number, word))
            high, low, half = (
                b.select(fresh, new_high, high),
                b.select(fresh, new_low, low),
                b.select(fresh, b.lshr(number, bits), half),
            )
            return [found, high, low, b.xor(held, drawing), half]

        def swap(k: Value, *stream: Value) -> list[Value]:
            i = b.sub(n, k)
            most = v.splat(i, v.integers)
            mask = v.splat(b.lshr(I64(-1), b.ctlz(i, I1(1))), v.integers)

            def draw(drawing: Value, j: Value, *stream: Value) -> tuple[Value, list[Value]]:
                found, *stream = next_32(drawing, *stream)
                j = b.select(drawing, b.and_(found, mask), j)
                drawing = b.and_(drawing, b.icmp_unsigned(">", j, most))
                return v.any(drawing), [drawing, j, *stream]

            _, j, *stream = v.repeat(draw, [every, most, *stream])
            here, there = row(orders, first, i), b.add(b.mul(j, v.splat(lanes, v.integers)), numbers)
            x = v.load(here)
            v.store(v.gather_at(orders, there), here)
            v.scatter_at(x, orders, there)
            return stream

        held = b.icmp_signed("!=", load(row(streams, first, HELD)), v.const_int(0))
        state = [load(row(streams, first, HIGH)), load(row(streams, first, LOW)), held, load(row(streams, first, HALF))]
        high, low, held, half = v.loop(1, n, 1, swap, state)
        for x, part in [(high, HIGH), (low, LOW), (b.zext(held, v.integers), HELD), (half, HALF)]:
            store(x, row(streams, first, part))

    v.loop(0, lanes, v.lanes, some)
