"""A small vector assembler over llvmlite: constants, loops and branches to emit machine-code routines with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from llvmlite import ir

from .processor import FUSED, VECTOR_BYTES
from .values import (
    DOUBLE,
    I32,
    I64,
    POINTER,
    Address,
    Float,
    Integer,
    Mask,
    Number,
    Value,
    call,
    constant,
    operand,
    order_of,
    splat,
    suffix,
)


class Turn:
    """A turn of `Assembler.repeat`; set `again` to say whether another one follows."""

    again: Mask


class Assembler:
    """
    Emits one routine over vectors of `lanes` numbers of one dtype.

    Loops and branches are Python's ``for`` and ``with`` around the code that they repeat or choose: the body is emitted
    where you write it. Formulas use the operators of the values (see values.py).

    Parameters
    ----------
    builder : llvmlite.ir.IRBuilder
        Emits the instructions.
    itemsize : int
        Bytes of a number: 4 or 8.
    lanes : int, optional
        Numbers of a vector; by default as many as fit in a register.
    """

    def __init__(self, builder: ir.IRBuilder, itemsize: int, lanes: int | None = None) -> None:
        self.b, self.size = builder, itemsize
        self.lanes = lanes or VECTOR_BYTES // itemsize
        self.scalar = ir.FloatType() if itemsize == 4 else DOUBLE
        self.integer = I32 if itemsize == 4 else I64  # of the same width: for the bits of a number
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.eps = 2.0 ** (-23 if itemsize == 4 else -52)  # from 1 to the next number
        self.tiny = 2.0 ** (-126 if itemsize == 4 else -1022)  # the least normal number

    # Constants

    def const(self, number: float) -> Float:
        """The vector of one number."""
        return Float(self.b, constant(self.vector, number))

    def number(self, number: float) -> Float:
        """One number of the dtype."""
        return Float(self.b, self.scalar(number))

    def index(self, number: int) -> Integer:
        """An integer of 64 bits, the type that counts the elements of arrays."""
        return Integer(self.b, I64(number))

    def arange(self, element: ir.Type | None = None, step: int = 1) -> Any:
        """The vector 0, step, 2 step, ...: of the dtype, or of another LLVM type."""
        element = element or self.scalar
        if isinstance(element, ir.IntType):
            numbers = [element(i * step & (1 << element.width) - 1) for i in range(self.lanes)]
            return Integer(self.b, ir.Constant(ir.VectorType(element, self.lanes), numbers))
        numbers = [element(i * step) for i in range(self.lanes)]
        return Float(self.b, ir.Constant(ir.VectorType(element, self.lanes), numbers))

    def first(self, count: Integer) -> Mask:
        """The mask of the first `count` lanes; all of them where `count` is larger."""
        lanes, top = self.arange(self.integer), self.min(count, self.lanes)
        return lanes < self.broadcast(top.cut(self.integer))

    # Memory

    def address(self, x: Any, element: ir.Type | None = None) -> Address:
        """A place in an array of the dtype, or of another LLVM type; llvmlite knows it by `x`."""
        return Address(self.b, x, element or self.scalar, self.lanes)

    def zeros(self, count: int) -> Address:
        """`count` zeros that are only read."""
        zeros = ir.GlobalVariable(self.b.module, ir.ArrayType(self.scalar, count), "zeros")
        zeros.initializer, zeros.linkage, zeros.global_constant = ir.Constant(zeros.value_type, None), "internal", True
        return self._at(zeros)

    def stack(self, count: int) -> Address:
        """Memory for `count` numbers, for as long as the routine runs."""
        room = self.b.alloca(self.scalar, count)
        room.align = VECTOR_BYTES
        return self._at(room)

    def _at(self, x: Any) -> Address:
        """The address of what llvmlite takes for an array with a type of its own."""
        p = self.b.gep(x, [I64(0)], source_etype=self.scalar)
        p.type = POINTER
        return self.address(p)

    # Arithmetic

    def broadcast(self, x: Value) -> Any:
        """The vector of one number or truth value; a vector stays as it is."""
        return x if isinstance(x.type, ir.VectorType) else x.same(splat(self.b, x.x, self.lanes))

    def fma(self, x: Number, y: Number, z: Number) -> Float:
        """The sum x y + z, rounded once where the processor can."""
        kind = next(q.type for q in (x, y, z) if isinstance(q, Float))
        arguments = [operand(kind, q) for q in (x, y, z)]
        return Float(self.b, call(self.b, f"llvm.{'fma' if FUSED else 'fmuladd'}.{suffix(kind)}", kind, arguments))

    def sqrt(self, x: Float) -> Float:
        """The square root of x."""
        return x.same(call(self.b, f"llvm.sqrt.{suffix(x.type)}", x.type, [x.x]))

    def copysign(self, x: Float, sign: Float) -> Float:
        """|x| with the sign of `sign`."""
        return x.same(call(self.b, f"llvm.copysign.{suffix(x.type)}", x.type, [x.x, sign.x]))

    def where(self, mask: Mask | None, x: Number, y: Number) -> Any:
        """Lane by lane x where the mask is true, else y (a mask of None is that of all lanes)."""
        if mask is None:
            return x
        model = next(q for q in (x, y, self.const(0)) if isinstance(q, Value))
        return model.same(self.b.select(mask.x, model.operand(x), model.operand(y)))

    def max(self, x: Any, least: Number) -> Any:
        """The larger of x and `least`; a NaN in x stays."""
        return self.where(x < least, least, x)

    def min(self, x: Any, most: Number) -> Any:
        """The smaller of x and `most`; a NaN in x stays."""
        return self.where(x > most, most, x) if isinstance(x, Float) else self.where(x < most, x, most)

    def round_down(self, count: Integer, size: int) -> Integer:
        """The largest multiple of `size` up to `count`."""
        return count // size * size if size & (size - 1) else count & -size

    def any(self, mask: Mask) -> Mask:
        """Whether a lane of the mask is true."""
        bits = ir.IntType(mask.type.count)
        return Mask(self.b, self.b.icmp_unsigned("!=", self.b.bitcast(mask.x, bits), bits(0)))

    def shuffle(self, x: Any, y: Any, order: Sequence[int]) -> Any:
        """Lanes of x (0 ... lanes - 1) and of y (from `lanes` on), in this order."""
        return x.same(self.b.shuffle_vector(x.x, y.x, order_of(order)))

    def joined(self, parts: Sequence[Any]) -> Any:
        """One vector of several, one after another; their number is a power of two."""
        while len(parts) > 1:
            parts = [
                x.same(self.b.shuffle_vector(x.x, y.x, order_of(range(2 * x.type.count))))
                for x, y in zip(parts[::2], parts[1::2], strict=True)
            ]
        return parts[0]

    def parts(self, x: Any, size: int) -> list[Any]:
        """Vectors of `size` bytes, of which x consists."""
        lanes, count = size // self.size, x.type.count
        return [x.same(self.b.shuffle_vector(x.x, x.x, order_of(range(i, i + lanes)))) for i in range(0, count, lanes)]

    def lane(self, x: Any, i: int) -> Any:
        """The number in lane i."""
        return x.same(self.b.extract_element(x.x, I32(i)))

    def sum(self, x: Float) -> Float:
        """The sum of all lanes, halves first."""
        lanes = width = x.type.count
        while width > 1:
            width //= 2
            x += self.shuffle(x, x, [i + width if i < width else i for i in range(lanes)])
        return self.lane(x, 0)

    def sums(self, rows: Sequence[Float]) -> Float:
        """The vector of the sums of `lanes` vectors, neighbours first."""
        rows = list(rows)
        while len(rows) > 1:
            half, n = len(rows) // 2, self.lanes
            # Lane i of a vector belongs to row i % (number of rows merged into it).
            merged = self.lanes // len(rows)
            low, high = [], []
            for block in range(n // (2 * merged)):
                for source in (0, n):
                    for i in range(merged):
                        low.append(source + block * 2 * merged + i)
                        high.append(source + block * 2 * merged + merged + i)
            pairs = [(rows[2 * i], rows[2 * i + 1]) for i in range(half)]
            rows = [self.shuffle(x, y, low) + self.shuffle(x, y, high) for x, y in pairs]
        return rows[0]

    def largest(self, x: Float) -> Float:
        """The largest lane, in all lanes."""
        lanes = width = x.type.count
        while width > 1:
            width //= 2
            x = self.max(x, self.shuffle(x, x, [(i + width) % lanes for i in range(lanes)]))
        return x

    # Loops. Values that change from turn to turn are in a list, `carry`: the body puts new ones there.

    def range(self, *bounds: Integer | int, carry: list[Any] | None = None) -> Iterator[Integer]:
        """
        ``for i in range(stop)``, ``(start, stop)`` or ``(start, stop, step)``, step > 0.

        The values in the list `carry` live in registers: in the body the list holds those of this turn, the body puts
        those of the next turn there, and after the loop it holds the last ones.
        """
        start, stop, step = (0, *bounds, 1) if len(bounds) == 1 else (*bounds, 1)[:3]
        start, stop, step = (self.index(x) if isinstance(x, int) else x for x in (start, stop, step))
        b, carry = self.b, [] if carry is None else carry
        first = list(carry)
        before, head, done = b.block, b.append_basic_block(), b.append_basic_block()
        b.cbranch((start < stop).x, head, done)
        b.position_at_end(head)
        i = b.phi(I64)
        now = [b.phi(x.type) for x in first]
        carry[:] = [x.same(phi) for x, phi in zip(first, now, strict=True)]
        yield Integer(b, i)
        then = list(carry)
        following = Integer(b, i) + step
        b.cbranch((following < stop).x, head, done)
        last = b.block
        for phi, begin, again in [(i, start, following), *zip(now, first, then, strict=True)]:
            phi.add_incoming(begin.x, before)
            phi.add_incoming(again.x, last)
        b.position_at_end(done)
        results = [b.phi(x.type) for x in first]
        for phi, begin, again in zip(results, first, then, strict=True):
            phi.add_incoming(begin.x, before)
            phi.add_incoming(again.x, last)
        carry[:] = [x.same(phi) for x, phi in zip(first, results, strict=True)]

    def vectors(self, count: Integer) -> Iterator[tuple[Integer, Mask | None]]:
        """``for i, mask in vectors(count)``: each whole vector of `count` elements (mask None), then the rest."""
        whole = self.round_down(count, self.lanes)
        for i in self.range(0, whole, self.lanes):
            yield i, None
        with self.when(whole < count):
            yield whole, self.first(count - whole)

    def repeat(self, carry: list[Any]) -> Iterator[Turn]:
        """``for turn in repeat(carry)``: again while the body sets ``turn.again`` to true; `carry` as in `range`."""
        b, turn, first = self.b, Turn(), list(carry)
        before, head, done = b.block, b.append_basic_block(), b.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        now = [b.phi(x.type) for x in first]
        carry[:] = [x.same(phi) for x, phi in zip(first, now, strict=True)]
        yield turn
        b.cbranch(turn.again.x, head, done)
        for phi, begin, again in zip(now, first, carry, strict=True):
            phi.add_incoming(begin.x, before)
            phi.add_incoming(again.x, b.block)
        b.position_at_end(done)

    # Branches

    @contextmanager
    def when(self, condition: Mask) -> Iterator[None]:
        """``with when(condition)``: run the body if it is true."""
        with self.b.if_then(condition.x):
            yield

    def if_else(self, condition: Mask) -> AbstractContextManager[Any]:
        """``with if_else(condition) as (yes, no)``: run the body of ``with yes`` or that of ``with no``."""
        return self.b.if_else(condition.x)

    def cases(self, kind: Integer, codes: Sequence[int] | Mapping[int, Any]) -> Iterator[int]:
        """``for code in cases(kind, codes)``: the body is emitted for each code; the one for `kind` runs."""
        for code in codes:
            with self.when(kind == code):
                yield code

    def cond(self, condition: Mask, yes: Callable[[], Any], no: Callable[[], Any]) -> Any:
        """The value of `yes` if the condition is true, else that of `no`; the other is not computed."""
        return self._merged([(condition, yes)], no)

    def switch(self, kind: Integer, branches: Mapping[int, Callable[..., Any]], *arguments: Any) -> Any:
        """``branches[kind](*arguments)``; the last branch serves all other kinds."""
        *chosen, (_, last) = branches.items()
        tests = [(lambda code=code: kind == code, lambda f=f: f(*arguments)) for code, f in chosen]
        return self._merged(tests, lambda: last(*arguments))

    def _merged(self, tests: Sequence[tuple[Any, Callable[[], Any]]], otherwise: Callable[[], Any]) -> Any:
        """The value of the first branch whose test is true, else of `otherwise`."""
        b, end, found = self.b, self.b.append_basic_block(), []
        for test, branch in tests:
            here, there = b.append_basic_block(), b.append_basic_block()
            b.cbranch((test() if callable(test) else test).x, here, there)
            b.position_at_end(here)
            found.append((branch(), b.block))
            b.branch(end)
            b.position_at_end(there)
        found.append((otherwise(), b.block))
        b.branch(end)
        b.position_at_end(end)
        phi = b.phi(found[0][0].type)
        for value, block in found:
            phi.add_incoming(value.x, block)
        return found[0][0].same(phi)

    def outlined(self, name: str, body: Callable[..., None], *arguments: Any) -> None:
        """
        Run `body(*arguments)` as a function within the routine: its code exists once, however often you call it.

        Arguments are values, or tuples of values.
        """
        module, flat = self.b.module, _flat(arguments)
        if name not in module.globals:
            kinds = [POINTER if isinstance(x, Address) else x.type for x in flat]
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            outer = self.b.block
            self.b.position_at_end(function.append_basic_block())
            inside = iter([x.same(p) for x, p in zip(flat, function.args, strict=True)])
            body(*_nested(arguments, inside))
            self.b.ret_void()
            self.b.position_at_end(outer)
        self.b.call(module.globals[name], [x.x for x in flat])


def _flat(arguments: Sequence[Any]) -> list[Value]:
    """All values within nested tuples."""
    return [value for x in arguments for value in (_flat(x) if isinstance(x, tuple) else [x])]


def _nested(model: Sequence[Any], values: Iterator[Value]) -> tuple[Any, ...]:
    """Tuples nested as in the model, of these values."""
    return tuple(_nested(x, values) if isinstance(x, tuple) else next(values) for x in model)
