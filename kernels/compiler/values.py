"""
The values of a running routine, with operators: routines write their formulas with them.

A routine is emitted once and runs later. While it is emitted, Python handles objects of the four classes below, each
for something that will exist when the routine runs: `Float`, `Integer` and `Mask` are one number or a vector of them,
an `Address` is a place in an array. ``delta * (a * (1 - a))`` emits three instructions, in this order, and returns
their result. Python numbers in a formula become constants; values of two types do not mix.

Arithmetic is IEEE: no flag allows LLVM to reorder it, so NaN stays NaN, and a routine rounds alike in every build.
"""

from __future__ import annotations

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
DOUBLE, POINTER = ir.DoubleType(), ir.PointerType()
Number = Any  # a Python number, or a value of the class that it is combined with


def element_of(kind: ir.Type) -> ir.Type:
    """The type of each number that a value of this type holds."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


def like(kind: ir.Type, element: ir.Type) -> ir.Type:
    """The type of as many numbers of type `element`."""
    return ir.VectorType(element, kind.count) if isinstance(kind, ir.VectorType) else element


def constant(kind: ir.Type, number: float) -> ir.Constant:
    """One number, or a vector of it."""
    if isinstance(kind, ir.VectorType):
        return ir.Constant(kind, [kind.element(number)] * kind.count)
    return kind(number)


def operand(kind: ir.Type, x: Number) -> Any:
    """A value of this type as llvmlite knows it, or a Python number as a constant of it; TypeError if x is neither."""
    if isinstance(x, Value):
        if x.type != kind:
            raise TypeError(f"a value of type {kind} expected, got {x!r}")
        return x.x
    whole = isinstance(element_of(kind), ir.IntType)
    if not isinstance(x, numbers.Integral if whole else numbers.Real):
        raise TypeError(f"{'an integer' if whole else 'a number'} or a value of type {kind} expected, got {x!r}")
    return constant(kind, x)


def call(b: ir.IRBuilder, name: str, result: ir.Type, arguments: Sequence[Any]) -> Any:
    """Call one of LLVM's own functions."""
    kind = ir.FunctionType(result, [x.type for x in arguments])
    function = b.module.globals.get(name) or ir.Function(b.module, kind, name)
    return b.call(function, arguments)


def suffix(kind: ir.Type) -> str:
    """How LLVM writes a type in the name of a function."""
    element = element_of(kind)
    name = f"i{element.width}" if isinstance(element, ir.IntType) else {"float": "f32", "double": "f64"}[str(element)]
    return f"v{kind.count}{name}" if isinstance(kind, ir.VectorType) else name


class Value:
    """
    Something that exists when the routine runs.

    llvmlite knows it by `x`; `b` is the builder that emits what follows.
    """

    __slots__ = ("b", "x")
    __hash__ = None  # type: ignore[assignment]

    def __init__(self, b: ir.IRBuilder, x: Any) -> None:
        self.b, self.x = b, x

    @property
    def type(self) -> Any:
        """LLVM's type."""
        return self.x.type

    def __bool__(self) -> bool:
        raise TypeError(
            "this is not known before the routine runs: where(), when() or if_else() of the assembler choose by it"
        )

    def __eq__(self, other: object) -> Any:
        raise TypeError(f"{self!r} cannot be compared")

    def __repr__(self) -> str:
        return f"{type(self).__name__} ({self.type})"

    def same(self, x: Any) -> Any:
        """Another value of this kind."""
        return type(self)(self.b, x)

    def operand(self, other: Number) -> Any:
        """The other side of an operator, as llvmlite knows it."""
        if isinstance(other, Value) and (type(other) is not type(self) or other.type != self.type):
            raise TypeError(f"two values of one type expected, got {self!r} and {other!r}")
        return operand(self.type, other)


def _binary(emit: str) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """An operator, and the one for a Python number on its left."""

    def operator(self: Value, other: Number) -> Any:
        return self.same(getattr(self.b, emit)(self.x, self.operand(other)))

    def reflected(self: Value, other: Number) -> Any:
        return self.same(getattr(self.b, emit)(self.operand(other), self.x))

    return operator, reflected


def _comparison(emit: str, how: str) -> Callable[..., Any]:
    def operator(self: Value, other: Number) -> Mask:
        return Mask(self.b, getattr(self.b, emit)(how, self.x, self.operand(other)))

    return operator


class Float(Value):
    """A floating-point number, or a vector of them."""

    __slots__ = ()

    __add__, __radd__ = _binary("fadd")
    __sub__, __rsub__ = _binary("fsub")
    __mul__, __rmul__ = _binary("fmul")
    __truediv__, __rtruediv__ = _binary("fdiv")

    def __neg__(self) -> Float:
        return self.same(self.b.fneg(self.x))

    def __abs__(self) -> Float:
        return self.same(call(self.b, f"llvm.fabs.{suffix(self.type)}", self.type, [self.x]))

    # false where either side is NaN, but true for "!="
    __lt__, __le__, __gt__, __ge__, __eq__ = (_comparison("fcmp_ordered", how) for how in ("<", "<=", ">", ">=", "=="))
    __ne__ = _comparison("fcmp_unordered", "!=")

    def to(self, element: ir.Type) -> Float:
        """The same numbers as float32 or float64 (an LLVM type)."""
        if element_of(self.type) == element:
            return self
        convert = self.b.fpext if element == DOUBLE else self.b.fptrunc
        return self.same(convert(self.x, like(self.type, element)))

    def to_unsigned(self, element: ir.IntType) -> Integer:
        """The same numbers without their fractions, as integers of an LLVM type; none of them is negative."""
        return Integer(self.b, self.b.fptoui(self.x, like(self.type, element)))

    def bits(self) -> Integer:
        """Their bits, as integers."""
        return Integer(self.b, self.b.bitcast(self.x, like(self.type, I64 if element_of(self.type) == DOUBLE else I32)))


class Integer(Value):
    """An integer (of 64 bits unless said otherwise), or a vector of them. Comparisons are signed, shifts are not."""

    __slots__ = ()

    __add__, __radd__ = _binary("add")
    __sub__, __rsub__ = _binary("sub")
    __mul__, __rmul__ = _binary("mul")
    __and__, __rand__ = _binary("and_")
    __or__, __ror__ = _binary("or_")
    __xor__, __rxor__ = _binary("xor")
    __lshift__, _ = _binary("shl")
    __rshift__, _ = _binary("lshr")
    __lt__, __le__, __gt__, __ge__ = (_comparison("icmp_signed", how) for how in ("<", "<=", ">", ">="))
    __eq__, __ne__ = (_comparison("icmp_signed", how) for how in ("==", "!="))

    def __floordiv__(self, other: Number) -> Integer:
        """Rounds towards zero, which differs from Python for negative numbers."""
        return self.same(self.b.sdiv(self.x, self.operand(other)))

    def __mod__(self, power: int) -> Integer:
        """The remainder by a power of two, from 0 on."""
        if power < 1 or power & (power - 1):
            raise ValueError(f"a power of two expected, got {power}")
        return self & (power - 1)

    def unsigned(self, how: str, other: Number) -> Mask:
        """Compare as numbers without a sign: ``i.unsigned("<", j)``."""
        return Mask(self.b, self.b.icmp_unsigned(how, self.x, self.operand(other)))

    def rotate_right(self, count: Integer) -> Integer:
        """The bits, turned right by `count` places each."""
        return self.same(call(self.b, f"llvm.fshr.{suffix(self.type)}", self.type, [self.x, self.x, count.x]))

    def leading_zeros(self) -> Integer:
        """How many bits before the first 1; no number is 0."""
        return self.same(self.b.ctlz(self.x, I1(1)))

    def cut(self, element: ir.IntType) -> Integer:
        """The low bits: as many as a number of this LLVM type has."""
        kind = like(self.type, element)
        return self if self.type == kind else self.same(self.b.trunc(self.x, kind))

    def to(self, element: ir.Type) -> Float:
        """The same numbers as float32 or float64 (an LLVM type)."""
        return Float(self.b, self.b.sitofp(self.x, like(self.type, element)))

    def from_bits(self) -> Float:
        """The floating-point numbers that have these bits."""
        element = DOUBLE if element_of(self.type) == I64 else ir.FloatType()
        return Float(self.b, self.b.bitcast(self.x, like(self.type, element)))


class Mask(Value):
    """A truth value, or a vector of them."""

    __slots__ = ()

    __and__, _ = _binary("and_")
    __or__, _ = _binary("or_")
    __xor__, _ = _binary("xor")

    def __invert__(self) -> Mask:
        return self.same(self.b.not_(self.x))

    def to(self, element: ir.IntType) -> Integer:
        """1 where it is true, else 0, as integers of an LLVM type."""
        return Integer(self.b, self.b.zext(self.x, like(self.type, element)))


class Address(Value):
    """
    A place in an array. ``p + i`` is the place `i` elements on.

    ``p[i]`` is the vector that begins there, and ``p[i] = x`` writes one; ``p[i, mask]`` reads or writes only the lanes
    of the mask, and reads zeros in the others (a mask of None has all lanes).
    """

    __slots__ = ("element", "lanes")

    def __init__(self, b: ir.IRBuilder, x: Any, element: ir.Type, lanes: int) -> None:
        super().__init__(b, x)
        self.element, self.lanes = element, lanes

    def same(self, x: Any) -> Address:
        """Another address in an array of this kind."""
        return Address(self.b, x, self.element, self.lanes)

    def with_lanes(self, lanes: int) -> Address:
        """The same place, read and written in vectors of so many lanes."""
        return Address(self.b, self.x, self.element, lanes)

    def __add__(self, elements: Number) -> Address:
        index = operand(I64, elements)
        return self.same(self.b.gep(self.x, [index], source_etype=self.element))

    def _at(self, key: Any) -> tuple[Any, Mask | None]:
        """Where a vector begins, as llvmlite knows it, and its mask."""
        index, mask = key if isinstance(key, tuple) else (key, None)
        return (self.x if isinstance(index, int) and index == 0 else (self + index).x), mask

    def __getitem__(self, key: Any) -> Any:
        p, mask = self._at(key)
        kind = ir.VectorType(self.element, self.lanes)
        if mask is None:
            return self._wrap(self.b.load(p, typ=kind, align=self._size))
        arguments = [p, *self._alignment(), mask.x, constant(kind, 0)]
        return self._wrap(call(self.b, f"llvm.masked.load.{suffix(kind)}.p0", kind, arguments))

    def __setitem__(self, key: Any, value: Number) -> None:
        p, mask = self._at(key)
        kind = ir.VectorType(self.element, self.lanes)
        x = operand(kind, value)
        if mask is None:
            self.b.store(x, p, align=self._size)
        else:
            arguments = [x, p, *self._alignment(), mask.x]
            call(self.b, f"llvm.masked.store.{suffix(kind)}.p0", ir.VoidType(), arguments)

    def prefetch(self, index: Number = 0) -> None:
        """Have the line of the cache around the number `index` elements on read soon; it need not exist."""
        p = self._at(index)[0]
        call(self.b, "llvm.prefetch.p0", ir.VoidType(), [p, I32(0), I32(3), I32(1)])

    def item(self, index: Number = 0) -> Any:
        """The number `index` elements on."""
        return self._wrap(self.b.load(self._at(index)[0], typ=self.element, align=self._size))

    def set_item(self, index: Number, value: Number) -> None:
        """Write one number."""
        self.b.store(operand(self.element, value), self._at(index)[0], align=self._size)

    def broadcast(self, index: Number = 0) -> Any:
        """The vector of the number `index` elements on."""
        return self._wrap(splat(self.b, self.item(index).x, self.lanes))

    def strided(self, step: Integer) -> Strided:
        """The elements `step` apart, from this one on."""
        return Strided(self, step)

    def gather(self, places: Integer, mask: Mask | None = None) -> Any:
        """The vector of the numbers that lie `places` elements on."""
        kind = ir.VectorType(self.element, self.lanes)
        arguments = [self._each(places), *self._alignment(), self._every(mask), constant(kind, 0)]
        return self._wrap(call(self.b, f"llvm.masked.gather.{suffix(kind)}.v{self.lanes}p0", kind, arguments))

    def scatter(self, value: Value, places: Integer, mask: Mask | None = None) -> None:
        """Write each lane `places` elements on."""
        kind = ir.VectorType(self.element, self.lanes)
        arguments = [operand(kind, value), self._each(places), *self._alignment(), self._every(mask)]
        call(self.b, f"llvm.masked.scatter.{suffix(kind)}.v{self.lanes}p0", ir.VoidType(), arguments)

    def _each(self, places: Integer) -> Any:
        addresses = self.b.gep(self.x, [places.x], source_etype=self.element)
        addresses.type = ir.VectorType(POINTER, self.lanes)
        return addresses

    def _every(self, mask: Mask | None) -> Any:
        return constant(ir.VectorType(I1, self.lanes), 1) if mask is None else mask.x

    @property
    def _size(self) -> int:
        return 4 if self.element in (ir.FloatType(), I32) else 8

    def _alignment(self) -> list[Any]:
        """LLVM took the alignment of masked accesses as an argument until version 21."""
        return [I32(self._size)] if llvm.llvm_version_info[0] < 22 else []

    def _wrap(self, x: Any) -> Any:
        return (Integer if isinstance(self.element, ir.IntType) else Float)(self.b, x)


class Strided:
    """Every step-th element of an array: ``p[i]`` and ``p[i, mask]`` as for an `Address`, counting only these."""

    def __init__(self, p: Address, step: Integer) -> None:
        self._p, self._step = p, step

    def _places(self) -> Integer:
        lanes = self._p.lanes
        kind = ir.VectorType(I64, lanes)
        numbers = ir.Constant(kind, [I64(i) for i in range(lanes)])
        return Integer(self._p.b, self._p.b.mul(numbers, splat(self._p.b, self._step.x, lanes)))

    def __getitem__(self, key: Any) -> Any:
        index, mask = key if isinstance(key, tuple) else (key, None)
        return (self._p + index * self._step).gather(self._places(), mask)

    def __setitem__(self, key: Any, value: Value) -> None:
        index, mask = key if isinstance(key, tuple) else (key, None)
        (self._p + index * self._step).scatter(value, self._places(), mask)


def splat(b: ir.IRBuilder, x: Any, lanes: int) -> Any:
    """The vector of one of llvmlite's values."""
    kind = ir.VectorType(x.type, lanes)
    one = b.insert_element(ir.Constant(kind, ir.Undefined), x, I32(0))
    return b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), order_of([0] * lanes))


def order_of(lanes: Sequence[int]) -> ir.Constant:
    """The numbers of the lanes of a shuffle."""
    return ir.Constant(ir.VectorType(I32, len(lanes)), [I32(i) for i in lanes])
