"""A small vector assembler over llvmlite: what the machine-code routines of this package are written with."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

import llvmlite.binding as llvm
from llvmlite import ir

I1, I32, I64 = ir.IntType(1), ir.IntType(32), ir.IntType(64)
POINTER = ir.PointerType()
Value = Any  # an llvmlite value: a number, a vector or an address that exists when the routine runs


def host_features() -> dict[str, bool]:
    """What the processor can do, by LLVM's names."""
    return dict(llvm.get_host_cpu_features())


def vector_bytes() -> int:
    """Bytes of a vector register: 64 with AVX-512, 32 with AVX2, else 16; ``FASTBP_VECTOR_BYTES`` overrides it, to test each."""
    chosen = os.environ.get("FASTBP_VECTOR_BYTES")
    if chosen:
        if chosen not in ("16", "32", "64"):
            raise ValueError(f"FASTBP_VECTOR_BYTES: expected 16, 32 or 64, got {chosen!r}")
        return int(chosen)
    features = host_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


VECTOR_BYTES = vector_bytes()
# AVX-512 and ARM have 32 vector registers, older x86 has 16. Tested widths keep the tiles of the machine that they stand for.
REGISTERS = 32 if VECTOR_BYTES == 64 or llvm.get_process_triple().startswith(("aarch64", "arm64")) else 16
_FUSED = bool(host_features().get("fma")) or llvm.get_process_triple().startswith(("aarch64", "arm64"))


class Assembler:
    """
    Emits one routine over vectors of one dtype; `b` is the llvmlite builder beneath.

    A vector holds `lanes` numbers. Addresses count in elements. Arithmetic is IEEE: no flag allows LLVM to
    reorder it, so a NaN stays a NaN and every build of a routine rounds alike.
    """

    def __init__(self, builder: ir.IRBuilder, itemsize: int, width: int = VECTOR_BYTES) -> None:
        self.b, self.size = builder, itemsize
        self.lanes = width // itemsize
        self.scalar = ir.FloatType() if itemsize == 4 else ir.DoubleType()
        self.integer = I32 if itemsize == 4 else I64  # of the same width: for the bits of a number
        self.vector = ir.VectorType(self.scalar, self.lanes)
        self.integers = ir.VectorType(self.integer, self.lanes)
        self.mask_type = ir.VectorType(I1, self.lanes)

    # Constants and addresses

    def const(self, number: float) -> Value:
        """The vector of one number."""
        return ir.Constant(self.vector, [self.scalar(number)] * self.lanes)

    def const_int(self, number: int) -> Value:
        """The integer vector of one number."""
        return ir.Constant(self.integers, [self.integer(number)] * self.lanes)

    def at(self, p: Value, index: Value | int) -> Value:
        """The address `index` elements behind `p`."""
        return self.b.gep(p, [I64(index) if isinstance(index, int) else index], source_etype=self.scalar)

    # Memory

    def load(self, p: Value, mask: Value | None = None) -> Value:
        """The vector at `p`; lanes outside `mask` are 0 and are not read."""
        if mask is None:
            return self.b.load(p, typ=self.vector, align=self.size)
        return self._masked("load", self.vector, [p], [mask, self.const(0)])

    def store(self, x: Value, p: Value, mask: Value | None = None) -> None:
        """Write the vector to `p`; lanes outside `mask` are not written."""
        if mask is None:
            self.b.store(x, p, align=self.size)
        else:
            self._masked("store", ir.VoidType(), [x, p], [mask])

    def _masked(self, what: str, result: Any, head: list[Value], tail: list[Value]) -> Value:
        arguments = [*head, *_alignment(self.size), *tail]
        kind = ir.FunctionType(result, [a.type for a in arguments])
        return self.b.call(self._declared(f"llvm.masked.{what}.{self._suffix}.p0", kind), arguments)

    def gather(self, p: Value, step: Value, mask: Value | None = None) -> Value:
        """The vector of the numbers at p, p + step, p + 2 step, ...: for arrays with gaps."""
        return self.gather_at(p, self._steps(step), mask)

    def scatter(self, x: Value, p: Value, step: Value, mask: Value | None = None) -> None:
        """Write the lanes to p, p + step, p + 2 step, ..."""
        self.scatter_at(x, p, self._steps(step), mask)

    def gather_at(self, p: Value, offsets: Value, mask: Value | None = None) -> Value:
        """The vector of the numbers that lie `offsets` elements behind p, a vector of int64."""
        arguments = [self._addresses(p, offsets), *_alignment(self.size), self._every(mask), self.const(0)]
        kind = ir.FunctionType(self.vector, [x.type for x in arguments])
        return self.b.call(self._declared(f"llvm.masked.gather.{self._suffix}.v{self.lanes}p0", kind), arguments)

    def scatter_at(self, x: Value, p: Value, offsets: Value, mask: Value | None = None) -> None:
        """Write the lanes to where they belong, `offsets` elements behind p."""
        arguments = [x, self._addresses(p, offsets), *_alignment(self.size), self._every(mask)]
        kind = ir.FunctionType(ir.VoidType(), [y.type for y in arguments])
        self.b.call(self._declared(f"llvm.masked.scatter.{self._suffix}.v{self.lanes}p0", kind), arguments)

    def _steps(self, step: Value) -> Value:
        indices = ir.Constant(ir.VectorType(I64, self.lanes), [I64(i) for i in range(self.lanes)])
        return self.b.mul(indices, self.splat(step, indices.type))

    def _addresses(self, p: Value, offsets: Value) -> Value:
        addresses = self.b.gep(p, [offsets], source_etype=self.scalar)
        addresses.type = ir.VectorType(POINTER, self.lanes)
        return addresses

    def _every(self, mask: Value | None) -> Value:
        return ir.Constant(self.mask_type, [I1(1)] * self.lanes) if mask is None else mask

    def load_scalar(self, p: Value) -> Value:
        """The number at `p`."""
        return self.b.load(p, typ=self.scalar, align=self.size)

    def store_scalar(self, x: Value, p: Value) -> None:
        """Write one number."""
        self.b.store(x, p, align=self.size)

    def first(self, count: Value) -> Value:
        """The mask of the first `count` lanes; all of them where `count` is larger."""
        lanes = ir.Constant(self.integers, [self.integer(i) for i in range(self.lanes)])
        top = self.b.select(self.b.icmp_signed("<", count, I64(self.lanes)), count, I64(self.lanes))
        top = self.b.trunc(top, self.integer) if self.size == 4 else top
        return self.b.icmp_signed("<", lanes, self.splat(top, self.integers))

    # Arithmetic

    def broadcast(self, number: Value) -> Value:
        """The vector of one number that is known when the routine runs."""
        return self.splat(number, self.vector)

    def splat(self, number: Value, kind: Any) -> Value:
        """The vector of type `kind` that holds one number or bit."""
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), number, I32(0))
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), _order([0] * self.lanes))

    def add(self, x: Value, y: Value) -> Value:
        """The sum x + y."""
        return self.b.fadd(x, y)

    def sub(self, x: Value, y: Value) -> Value:
        """The difference x - y."""
        return self.b.fsub(x, y)

    def mul(self, x: Value, y: Value) -> Value:
        """The product x y."""
        return self.b.fmul(x, y)

    def div(self, x: Value, y: Value) -> Value:
        """The quotient x / y."""
        return self.b.fdiv(x, y)

    def neg(self, x: Value) -> Value:
        """-x."""
        return self.b.fneg(x)

    def fma(self, x: Value, y: Value, z: Value) -> Value:
        """X y + z, rounded once where the processor can."""
        return self._call("fma" if _FUSED else "fmuladd", x, y, z)

    def abs(self, x: Value) -> Value:
        """|x|."""
        return self._call("fabs", x)

    def sqrt(self, x: Value) -> Value:
        """The square root of x."""
        return self._call("sqrt", x)

    def copysign(self, x: Value, sign: Value) -> Value:
        """|x| with the sign of `sign`."""
        return self._call("copysign", x, sign)

    def compare(self, how: str, x: Value, y: Value) -> Value:
        """The mask of the lanes where x `how` y; false where either is NaN, but true for "!="."""
        return self.b.fcmp_unordered(how, x, y) if how == "!=" else self.b.fcmp_ordered(how, x, y)

    def select(self, mask: Value, x: Value, y: Value) -> Value:
        """X where the mask is set, else y."""
        return self.b.select(mask, x, y)

    def max(self, x: Value, least: Value) -> Value:
        """max(x, least); a NaN in x stays."""
        return self.select(self.compare("<", x, least), least, x)

    def min(self, x: Value, most: Value) -> Value:
        """min(x, most); a NaN in x stays."""
        return self.select(self.compare(">", x, most), most, x)

    def bits(self, x: Value) -> Value:
        """The bits of a vector of numbers, as integers."""
        return self.b.bitcast(x, self.integers)

    def from_bits(self, x: Value) -> Value:
        """The numbers that have these bits."""
        return self.b.bitcast(x, self.vector)

    def rotate_right(self, x: Value, count: Value) -> Value:
        """The bits of a vector of integers, turned right by `count` places each."""
        kind = ir.FunctionType(self.integers, [self.integers] * 3)
        return self.b.call(self._declared(f"llvm.fshr.v{self.lanes}i{8 * self.size}", kind), [x, x, count])

    def any(self, mask: Value) -> Value:
        """Whether a lane of the mask is set."""
        bits = ir.IntType(self.lanes)
        return self.b.icmp_unsigned("!=", self.b.bitcast(mask, bits), bits(0))

    def sum(self, x: Value) -> Value:
        """The sum of all lanes, halves first."""
        width = self.lanes
        while width > 1:
            width //= 2
            order = [i + width if i < width else i for i in range(self.lanes)]
            x = self.b.fadd(x, self.b.shuffle_vector(x, x, _order(order)))
        return self.b.extract_element(x, I32(0))

    def sums(self, rows: Sequence[Value]) -> Value:
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
            rows = [
                self.b.fadd(self.b.shuffle_vector(x, y, _order(low)), self.b.shuffle_vector(x, y, _order(high)))
                for x, y in pairs
            ]
        return rows[0]

    def shuffle(self, x: Value, y: Value, order: Sequence[int]) -> Value:
        """Lanes of x (0 ... lanes - 1) and of y (from `lanes` on), in this order."""
        return self.b.shuffle_vector(x, y, _order(order))

    def _call(self, name: str, *arguments: Value) -> Value:
        kind = ir.FunctionType(self.vector, [self.vector] * len(arguments))
        return self.b.call(self._declared(f"llvm.{name}.{self._suffix}", kind), arguments)

    @property
    def _suffix(self) -> str:
        return f"v{self.lanes}f{8 * self.size}"

    def _declared(self, name: str, kind: ir.FunctionType) -> Value:
        return self.b.module.globals.get(name) or ir.Function(self.b.module, kind, name)

    # Control

    def loop(
        self,
        start: Value | int,
        stop: Value,
        step: Value | int,
        body: Callable[..., Sequence[Value] | None],
        carried: Sequence[Value] = (),
    ) -> list[Value]:
        """
        ``for i in range(start, stop, step)``, step > 0: `body(i, *carried)` returns the carried values of the next turn.

        The carried values live in registers. Returns those behind the last turn.
        """
        b = self.b
        start, step = (I64(x) if isinstance(x, int) else x for x in (start, step))
        before, head, done = b.block, b.append_basic_block(), b.append_basic_block()
        b.cbranch(b.icmp_signed("<", start, stop), head, done)
        b.position_at_end(head)
        i = b.phi(I64)
        now = [b.phi(x.type) for x in carried]
        then = list(body(i, *now) or ())
        following = b.add(i, step)
        b.cbranch(b.icmp_signed("<", following, stop), head, done)
        last = b.block
        for phi, first, again in [(i, start, following), *zip(now, carried, then, strict=True)]:
            phi.add_incoming(first, before)
            phi.add_incoming(again, last)
        b.position_at_end(done)
        results = [b.phi(x.type) for x in carried]
        for phi, first, again in zip(results, carried, then, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(again, last)
        return results

    def repeat(self, body: Callable[..., tuple[Value, Sequence[Value]]], carried: Sequence[Value]) -> list[Value]:
        """`body(*carried)` returns whether to do it again, and the carried values of the next turn; returns those behind the last."""
        b = self.b
        before, head, done = b.block, b.append_basic_block(), b.append_basic_block()
        b.branch(head)
        b.position_at_end(head)
        now = [b.phi(x.type) for x in carried]
        again, then = body(*now)
        b.cbranch(again, head, done)
        for phi, first, following in zip(now, carried, then, strict=True):
            phi.add_incoming(first, before)
            phi.add_incoming(following, b.block)
        b.position_at_end(done)
        return list(then)

    def chosen(self, kinds: dict[int, Callable[[], Value]], kind: Value) -> Value:
        """The value of the branch of this kind; the last is for all others."""
        b, end, found = self.b, self.b.append_basic_block(), []
        for k, (code, emit) in enumerate(kinds.items()):
            if k + 1 < len(kinds):
                here, otherwise = b.append_basic_block(), b.append_basic_block()
                b.cbranch(b.icmp_signed("==", kind, I64(code)), here, otherwise)
                b.position_at_end(here)
            found.append((emit(), b.block))
            b.branch(end)
            if k + 1 < len(kinds):
                b.position_at_end(otherwise)
        b.position_at_end(end)
        phi = b.phi(found[0][0].type)
        for value, block in found:
            phi.add_incoming(value, block)
        return phi

    def outlined(self, name: str, body: Callable[..., None], *arguments: Value) -> None:
        """Call a function of the routine's own that runs `body(*arguments)`: its code exists once, however often it is called."""
        module = self.b.module
        if name not in module.globals:
            kinds = [POINTER if isinstance(x.type, ir.PointerType) else x.type for x in arguments]
            function = ir.Function(module, ir.FunctionType(ir.VoidType(), kinds), name)
            function.linkage = "internal"
            function.attributes.add("noinline")
            outer, self.b = self.b, ir.IRBuilder(function.append_basic_block())
            body(*function.args)
            self.b.ret_void()
            self.b = outer
        self.b.call(module.globals[name], arguments)

    def each_vector(self, count: Value, body: Callable[[Value, Value | None], None]) -> None:
        """`body(i, mask)` for every whole vector of `count` elements (mask None), and once more for what is left."""
        whole = self.b.and_(count, I64(-self.lanes))
        self.loop(0, whole, self.lanes, lambda i: body(i, None))
        with self.b.if_then(self.b.icmp_signed("<", whole, count)):
            body(whole, self.first(self.b.sub(count, whole)))


def _order(lanes: Sequence[int]) -> ir.Constant:
    return ir.Constant(ir.VectorType(I32, len(lanes)), [I32(i) for i in lanes])


def _alignment(size: int) -> list[Value]:
    """LLVM took the alignment of masked accesses as an argument until version 21."""
    return [I32(size)] if llvm.llvm_version_info[0] < 22 else []
