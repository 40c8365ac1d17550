"""The vector assembler: each operation in a small routine against NumPy, array ends in guarded memory, and widths."""

import ctypes
import itertools
import operator
import os
import subprocess
import sys

import llvmlite.binding as llvm
import numpy as np
import pytest
from llvmlite import ir
from naive import DTYPES, Arena
from test_jit import run
from widths import run_at_other_widths

from fastbp.kernels.compiler import assembler, cache, processor, routine
from fastbp.kernels.compiler.values import DOUBLE, I32, I64, Float, Integer

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
serial = itertools.count()


def lanes(dtype):
    return processor.VECTOR_BYTES // np.dtype(dtype).itemsize


def assemble(dtype, parameters, emit, result="", **options):
    """The routine as a function of arrays and numbers; it is not kept on disk."""
    itemsize = np.dtype(dtype).itemsize
    cpu, features = processor.target()
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=cpu, features=features, opt=3, jit=True
    )
    symbol = f"test.{next(serial)}"
    made = routine.Routine(symbol, parameters, result, emit, **options)
    code = machine.emit_object(routine._optimised(made, symbol, itemsize, machine))
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    scalar, pointer = ctypes.c_float if itemsize == 4 else ctypes.c_double, ctypes.c_void_p
    kinds = dict.fromkeys("afn", pointer) | {"i": ctypes.c_int64, "s": scalar, "d": ctypes.c_double, "": None}
    function = ctypes.CFUNCTYPE(kinds[result], *[kinds[letter] for letter in made.letters.lower()])(
        engine.get_function_address(symbol)
    )
    function.engine = engine  # owns the code

    def call(*arguments):
        return function(*[x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments])

    return call


def draw(dtype, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def integers(v, number):
    """The vector of one integer, as wide as the numbers of the routine."""
    return v.broadcast(v.index(number).cut(v.integer))


def elementwise(dtype, operation, *operands):
    """The operation on whole vectors: all operands in, one result out."""
    n = lanes(dtype)

    def emit(v, *p):
        p[-1][0] = operation(v, *[q[0] for q in p[:-1]])

    out = np.empty_like(operands[0])
    call = assemble(dtype, "a" * (len(operands) + 1), emit)
    for i in range(0, out.size, n):
        call(*[x[i : i + n] for x in operands], out[i : i + n])
    return out


def of_integers(operation, *operands):
    """The operation on pairs of integers of 64 bits."""
    whole = [np.array(x, np.int64) for x in operands]
    out = np.empty(whole[0].size, np.int64)

    def emit(v, *p):
        *p, out, count = p
        for i in v.range(count):
            out.set_item(i, operation(v, *[q.item(i) for q in p]))

    assemble(np.float64, "n" * len(whole) + "ni", emit)(*whole, out, out.size)
    return out


# Memory


@every_dtype
def test_loads_and_stores_end_where_the_mask_ends(dtype):
    def emit(v, x, out, count):
        # two vectors, one after the other
        for i in range(0, 2 * v.lanes, v.lanes):
            mask = v.first(count - i)
            out[i, mask] = x[i, mask]

    call, n = assemble(dtype, "aai", emit), lanes(dtype)
    x = draw(dtype, 2 * n)
    for count in range(2 * n + 2):
        arena = Arena(dtype)
        out = arena.space(min(count, 2 * n))
        call(arena.put(x[:count]), out, count)
        np.testing.assert_array_equal(out, x[:count])
        arena.check()


@every_dtype
def test_lanes_outside_the_mask_are_zeros(dtype):
    def emit(v, x, out, count):
        out[0] = x[0, v.first(count)]

    call, n = assemble(dtype, "aai", emit), lanes(dtype)
    x = draw(dtype, n)
    for count in [-(2**40), -1, *range(n + 1), 2 * n, 2**32, 2**40]:
        out = np.full(n, np.nan, dtype)
        call(x, out, count)
        np.testing.assert_array_equal(out, np.where(np.arange(n) < count, x, 0))


@every_dtype
def test_without_a_mask_whole_vectors_are_read_and_written(dtype):
    def emit(v, x, out, i):
        out[i, None] = x[i, None]
        out[i + v.lanes] = x[0]
        out[0] = 3

    arena, n = Arena(dtype), lanes(dtype)
    x, out = arena.put(draw(dtype, 2 * n)), arena.space(3 * n)
    assemble(dtype, "aai", emit)(x, out, n)
    np.testing.assert_array_equal(out, [*[3] * n, *x[n:], *x[:n]])
    arena.check()


@every_dtype
@pytest.mark.parametrize("step", [1, 2, 3, 17, -1, -2])
def test_elements_with_gaps_between_them(dtype, step):
    def emit(v, x, out, x_step, out_step, count):
        mask = v.first(count)
        out.strided(out_step)[0, mask] = x.strided(x_step)[0, mask]

    def emit_whole(v, x, out, x_step, out_step):
        out.strided(out_step)[0] = x.strided(x_step)[0]

    n = lanes(dtype)
    call, whole = assemble(dtype, "aaiii", emit), assemble(dtype, "aaii", emit_whole)
    size = (n - 1) * abs(step) + 1
    x, first = draw(dtype, size), size - 1 if step < 0 else 0
    for count, spread in itertools.product(range(n + 1), ("x", "out")):
        arena = Arena(dtype)
        # one side with gaps, the other without
        with_gaps, dense = arena.put(x, written=spread == "out"), arena.put(x[:n], written=spread == "x")
        source, target = (with_gaps, dense) if spread == "x" else (dense, with_gaps)
        wanted = target.copy()
        inside = slice(first, None, step) if step < 0 else slice(0, None, step)
        if spread == "x":
            wanted[:count] = x[inside][:count]
            steps, places = (step, 1), (source[first:], target)
        else:
            wanted[inside][:count] = source[:count]
            steps, places = (1, step), (source, target[first:])
        call(*places, *steps, count)
        np.testing.assert_array_equal(target, wanted)
        arena.check()
        if count == n:
            whole(*places, *steps)
            np.testing.assert_array_equal(target, wanted)


@every_dtype
def test_vectors_of_elements_with_gaps_between_them(dtype):
    def emit(v, x, out, step, count):
        x, out = x.strided(step), out.strided(v.index(2))
        for i, mask in v.vectors(count):
            out[i, mask] = x[i, mask] + 1

    call, n = assemble(dtype, "aaii", emit), lanes(dtype)
    for count in range(2 * n + 2):
        arena = Arena(dtype)
        x, out = arena.put(draw(dtype, 3 * count)), arena.put(np.zeros(2 * count), written=True)
        call(x, out, 3, count)
        np.testing.assert_array_equal(out[::2], x[::3] + dtype(1))
        assert not out[1::2].any()
        arena.check()


@every_dtype
def test_gather_and_scatter_anywhere(dtype):
    n = lanes(dtype)
    places = np.random.default_rng(1).permutation(3 * n)[:n]

    def emit(v, x, out, count):
        offsets = Integer(v.b, ir.Constant(ir.VectorType(I64, n), [I64(int(i)) for i in places]))
        out.scatter(x.gather(offsets) + 1, offsets)
        (out + 3 * n).scatter(x.gather(offsets, v.first(count)) - 1, offsets, v.first(count))

    call = assemble(dtype, "aai", emit)
    for count in range(n + 1):
        arena = Arena(dtype)
        x, out = draw(dtype, 3 * n), arena.put(np.zeros(6 * n), written=True)
        call(arena.put(x), out, count)
        chosen, few = np.isin(np.arange(3 * n), places), np.isin(np.arange(3 * n), places[:count])
        np.testing.assert_array_equal(out, [*np.where(chosen, x + dtype(1), 0), *np.where(few, x - dtype(1), 0)])
        arena.check()


@every_dtype
def test_scalars_and_addresses(dtype):
    def emit(v, x, out, i):
        out.set_item(1, x.item(i))
        out[2] = x.broadcast(2)
        (out + 2 + v.lanes).set_item(0, 4.5)
        (out + (i - 4)).set_item(v.lanes, (x + i).item(-1))

    arena, n = Arena(dtype), lanes(dtype)
    x, out = arena.put(draw(dtype, 9)), arena.space(n + 5)
    assemble(dtype, "aai", emit)(x, out, 7)
    wanted = np.array([np.nan, x[7], *[x[2]] * n, 4.5, np.nan, np.nan], dtype)
    wanted[3 + n] = x[6]
    np.testing.assert_array_equal(out, wanted)
    arena.check()


@every_dtype
def test_arrays_of_other_numbers(dtype):
    def emit(v, sums, codes, x, i):
        sums.set_item(i, sums.item(i) + x.item().to(DOUBLE))
        codes.set_item(i, codes.item(i) * 2 + 1)

    sums, codes, x = np.arange(3.0), np.arange(3), np.array([0.1], dtype)
    assemble(dtype, "fnai", emit)(sums, codes, x, 2)
    np.testing.assert_array_equal(sums, [0, 1, 2 + float(x[0])])
    np.testing.assert_array_equal(codes, [0, 1, 5])


@every_dtype
def test_the_same_place_in_vectors_of_another_length(dtype):
    def emit(v, x, out):
        (out + 1).with_lanes(2)[0] = x.with_lanes(2)[1] * 2

    arena = Arena(dtype)
    x, out = arena.put(draw(dtype, 3)), arena.space(4)
    assemble(dtype, "aa", emit)(x, out)
    np.testing.assert_array_equal(out, [np.nan, 2 * x[1], 2 * x[2], np.nan])
    arena.check()


@every_dtype
def test_stack_memory_and_zeros(dtype):
    def emit(v, x, out):
        room, zeros = v.stack(3 * v.lanes), v.zeros(2 * v.lanes)
        for i in range(3):
            room[i * v.lanes] = x[0] * i
        for i in range(3):
            out[i * v.lanes] = room[(2 - i) * v.lanes]
        out[3 * v.lanes] = zeros[v.lanes]

    n = lanes(dtype)
    x, out = draw(dtype, n), np.full(4 * n, np.nan, dtype)
    assemble(dtype, "aa", emit)(x, out)
    np.testing.assert_array_equal(out.reshape(4, n), [2 * x, x, 0 * x, 0 * x])


# Arithmetic


def special(dtype):
    """All pairs of numbers of all kinds, as two arrays of whole vectors."""
    info = np.finfo(dtype)
    kinds = [0.0, 1.0, 1.5, 3.0, info.tiny, info.smallest_subnormal, info.max, np.inf, np.nan]
    pairs = np.array(list(itertools.product([*kinds, *np.negative(kinds)], repeat=2)), dtype)
    return np.resize(pairs.T, (2, -(-len(pairs) // lanes(dtype)) * lanes(dtype)))


def assert_same_numbers(got, wanted):
    """Assert that they are equal, including the signs of zeros, and that NaN is where it is wanted."""
    np.testing.assert_array_equal(got, wanted)
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(wanted[known]))


FUNCTIONS = {"sqrt": np.sqrt, "copysign": np.copysign}


@every_dtype
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv", "neg", "abs"])
def test_operators(name, dtype):
    operation = getattr(operator, name)
    operands = special(dtype)[: 1 if name in ("neg", "abs") else 2]
    with np.errstate(all="ignore"):
        wanted = operation(*operands)
    assert_same_numbers(elementwise(dtype, lambda v, *x: operation(*x), *operands), wanted)


@every_dtype
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    operands = special(dtype)[: 2 if name == "copysign" else 1]
    with np.errstate(all="ignore"):
        wanted = FUNCTIONS[name](*operands)
    assert_same_numbers(elementwise(dtype, lambda v, *x: getattr(v, name)(*x), *operands), wanted)


@every_dtype
@pytest.mark.parametrize("number", [2, -3, 0.1, 0, np.inf, np.float32(0.1), np.float64(0.1), np.int64(7)])
@pytest.mark.parametrize("name", ["add", "sub", "mul", "truediv"])
def test_operators_with_a_number_on_either_side(name, number, dtype):
    operation, (x, _) = getattr(operator, name), special(dtype)
    constant = dtype(number)
    with np.errstate(all="ignore"):
        right, left = operation(x, constant), operation(constant, x)
    assert_same_numbers(elementwise(dtype, lambda v, x: operation(x, number), x), right)
    if not isinstance(number, np.generic):  # NumPy's numbers ask for an array on their right
        assert_same_numbers(elementwise(dtype, lambda v, x: operation(number, x), x), left)


@every_dtype
def test_a_formula_is_evaluated_in_the_order_in_which_it_is_written(dtype):
    x, y, z = draw(dtype, 3, 4 * lanes(dtype))
    for formula in (
        lambda x, y, z: x + y + z,
        lambda x, y, z: x + (y + z),
        lambda x, y, z: x * (y * (1 - z)),
        lambda x, y, z: 0.5 * x * x / y - z,
        lambda x, y, z: -x * y + z,
    ):
        np.testing.assert_array_equal(
            elementwise(dtype, lambda v, *p, formula=formula: formula(*p), x, y, z), formula(x, y, z)
        )


@every_dtype
def test_multiply_add(dtype):
    n = lanes(dtype)
    x, y, z = draw(dtype, 3, 4 * n)
    got = elementwise(dtype, lambda v, x, y, z: v.fma(x, y, z), x, y, z)
    wanted = x.astype(np.longdouble) * y + z
    assert (
        np.abs(got - wanted) <= (1 if processor.FUSED else 2) * np.finfo(dtype).eps * (np.abs(x * y) + np.abs(z))
    ).all()
    eps = np.finfo(dtype).eps
    x, y, z = (np.full(n, number, dtype) for number in (1 + eps, 1 - eps, -1))
    got = elementwise(dtype, lambda v, x, y, z: v.fma(x, y, z), x, y, z)
    assert (got == (-(eps**2) if processor.FUSED else 0)).all()  # (1 + e) (1 - e) - 1 = -e^2, rounded once


@every_dtype
def test_multiply_add_takes_numbers_in_every_place(dtype):
    x = draw(dtype, lanes(dtype))
    for emit, wanted in [
        (lambda v, x: v.fma(x, 2, 1), x * dtype(2) + dtype(1)),
        (lambda v, x: v.fma(2, x, 1), x * dtype(2) + dtype(1)),
        (lambda v, x: v.fma(2, 0.5, x), x + dtype(1)),
    ]:
        np.testing.assert_allclose(elementwise(dtype, emit, x), wanted, rtol=1e-6)


RELATIONS = {
    "<": (operator.lt, np.less),
    "<=": (operator.le, np.less_equal),
    "==": (operator.eq, np.equal),
    "!=": (operator.ne, np.not_equal),
    ">=": (operator.ge, np.greater_equal),
    ">": (operator.gt, np.greater),
}


@every_dtype
@pytest.mark.parametrize("how", RELATIONS)
def test_comparisons_and_selection(how, dtype):
    # for NaN, which is among the numbers, only != holds
    x, y = special(dtype)
    compare, relation = RELATIONS[how]
    got = elementwise(dtype, lambda v, x, y: v.where(compare(x, y), x, v.const(7)), x, y)
    np.testing.assert_array_equal(got, np.where(relation(x, y), x, dtype(7)))
    for number in (1.5, 0, np.nan):
        right = elementwise(dtype, lambda v, x, number=number: v.where(compare(x, number), 1, v.const(0)), x)
        np.testing.assert_array_equal(right, relation(x, dtype(number)))
        left = elementwise(dtype, lambda v, x, number=number: v.where(compare(number, x), 1, v.const(0)), x)
        np.testing.assert_array_equal(left, relation(dtype(number), x))


@every_dtype
def test_selection_takes_numbers_and_no_mask(dtype):
    x, y = draw(dtype, 2, lanes(dtype))
    for emit, wanted in [
        (lambda v, x, y: v.where(x < y, 1, y), np.where(x < y, dtype(1), y)),
        (lambda v, x, y: v.where(x < y, x, -0.5), np.where(x < y, x, dtype(-0.5))),
        (lambda v, x, y: v.where(x < y, 1, 0), np.where(x < y, dtype(1), dtype(0))),
        (lambda v, x, y: v.where(None, x, y), x),
    ]:
        np.testing.assert_array_equal(elementwise(dtype, emit, x, y), wanted)


@every_dtype
def test_selection_by_one_truth_value(dtype):
    def emit(v, x, y, out, i):
        out[0] = v.where(i == 3, x, y)[0]  # of addresses
        out[v.lanes] = v.where(i > 3, x[0], y[0])
        out.set_item(2 * v.lanes, v.where(i < 3, i, -1).to(v.scalar))

    call, n = assemble(dtype, "aaai", emit), lanes(dtype)
    x, y = draw(dtype, 2, n)
    for i in (2, 3, 4):
        out = np.empty(2 * n + 1, dtype)
        call(x, y, out, i)
        np.testing.assert_array_equal(out, [*(x if i == 3 else y), *(x if i > 3 else y), i if i < 3 else -1])


@every_dtype
def test_masks_combine(dtype):
    x, y = special(dtype)
    a, b = x > y, x == 1
    for emit, wanted in [
        (lambda a, b: a & b, a & b),
        (lambda a, b: a | b, a | b),
        (lambda a, b: a ^ b, a ^ b),
        (lambda a, b: ~a & ~b, ~a & ~b),
    ]:
        got = elementwise(dtype, lambda v, x, y, emit=emit: v.where(emit(x > y, x == 1), 1, v.const(0)), x, y)
        np.testing.assert_array_equal(got, wanted)
        counted = elementwise(dtype, lambda v, x, y, emit=emit: emit(x > y, x == 1).to(v.integer).to(v.scalar), x, y)
        np.testing.assert_array_equal(counted, wanted)


@every_dtype
def test_least_and_most_keep_nan(dtype):
    x, limit = special(dtype)
    x, limit = x[~np.isnan(limit)], limit[~np.isnan(limit)]
    x, limit = (np.resize(a, -(-a.size // lanes(dtype)) * lanes(dtype)) for a in (x, limit))
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.max(x, y), x, limit), np.maximum(x, limit))
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.min(x, y), x, limit), np.minimum(x, limit))
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x: v.max(v.min(x, 2), -1), x), np.clip(x, -1, 2))
    # a NaN in the limit does not count
    nan = np.full_like(x, np.nan)
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.max(x, y), x, nan), x)
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.min(x, y), x, nan), x)


@every_dtype
def test_bits(dtype):
    x, _ = special(dtype)
    kind = np.uint32 if dtype == np.float32 else np.uint64
    got = elementwise(dtype, lambda v, x: (x.bits() ^ integers(v, 5)).from_bits(), x)
    np.testing.assert_array_equal(got.view(kind), x.view(kind) ^ kind(5))
    got = elementwise(dtype, lambda v, x: (x.bits() ^ 5).from_bits(), x)
    np.testing.assert_array_equal(got.view(kind), x.view(kind) ^ kind(5))


@every_dtype
def test_inverted_bits(dtype):
    kind, bits = (np.uint32, 32) if dtype == np.float32 else (np.uint64, 64)
    x = np.random.default_rng(0).integers(0, 2**bits, 3 * lanes(dtype), kind)
    for count in (0, 1, 5, bits - 1):
        got = elementwise(
            dtype, lambda v, x, count=count: x.bits().rotate_right(integers(v, count)).from_bits(), x.view(dtype)
        )
        np.testing.assert_array_equal(got.view(kind), x >> kind(count) | x << kind((bits - count) % bits))


@every_dtype
def test_conversions(dtype):
    def emit(v, x, wide, narrow, integers, i):
        wide.with_lanes(v.lanes)[0] = x[0].to(DOUBLE)
        narrow[0] = (x[0].to(DOUBLE) * 3).to(v.scalar)
        narrow[v.lanes] = (v.arange(v.integer, 3) - 4).to(v.scalar)
        integers.set_item(0, i.cut(I32).to(DOUBLE).bits())
        integers.set_item(1, (i > 5).to(I64))
        integers.set_item(2, i.to(DOUBLE).to_unsigned(I64))
        integers.set_item(3, i.leading_zeros())

    n = lanes(dtype)
    call, x = assemble(dtype, "afani", emit), draw(dtype, n)
    for i in (1, 5, 6, 2**32 + 3, 2**40):
        wide, narrow, integers = np.empty(n), np.empty(2 * n, dtype), np.empty(4, np.int64)
        call(x, wide, narrow, integers, i)
        np.testing.assert_array_equal(wide, x)
        np.testing.assert_array_equal(narrow, [*(x.astype(np.float64) * 3).astype(dtype), *(3 * np.arange(n) - 4)])
        np.testing.assert_array_equal(integers, [np.float64(i % 2**32).view(np.int64), i > 5, i, 64 - i.bit_length()])


@every_dtype
def test_float64_sums_of_the_dtype(dtype):
    def emit(v, x, count):
        total = [v.const(0).to(DOUBLE)]
        for i in v.range(0, count, v.lanes, carry=total):
            wide = x[i, v.first(count - i)].to(DOUBLE)
            total[0] = v.fma(wide, wide, total[0])
        return v.sum(total[0])

    n = 5 * lanes(dtype) + 1
    x = draw(dtype, n)
    np.testing.assert_allclose(assemble(dtype, "ai", emit, "d")(x, n), (x.astype(float) ** 2).sum(), rtol=1e-15)


@every_dtype
def test_constants(dtype):
    def emit(v, out):
        rows = v.const(1.1), v.arange(), v.arange(step=-2), integers(v, -3).to(v.scalar), v.broadcast(v.number(2.5))
        for i, row in enumerate(rows):
            out[i * v.lanes] = row
        assert v.broadcast(rows[0]) is rows[0]

    n = lanes(dtype)
    out = np.empty((5, n), dtype)
    assemble(dtype, "a", emit)(out)
    i = np.arange(n, dtype=dtype)
    np.testing.assert_array_equal(out, [np.full(n, 1.1, dtype), i, -2 * i, 0 * i - 3, 0 * i + dtype(2.5)])
    v = assembler.Assembler(ir.IRBuilder(), np.dtype(dtype).itemsize)
    assert (v.eps, v.tiny) == (np.finfo(dtype).eps, np.finfo(dtype).tiny)


@every_dtype
def test_any_lane(dtype):
    def emit(v, x):
        return v.any(x[0] > 0).to(I64).to(v.scalar)

    call, n = assemble(dtype, "a", emit, "s"), lanes(dtype)
    assert call(np.zeros(n, dtype)) == 0
    for row in np.eye(n, dtype=dtype):
        assert call(row) == 1


@every_dtype
def test_shuffles(dtype):
    n = lanes(dtype)
    x, y = draw(dtype, 2, n)
    order = [(3 * i + 1) % (2 * n) for i in range(n)]
    np.testing.assert_array_equal(
        elementwise(dtype, lambda v, x, y: v.shuffle(x, y, order), x, y), np.concatenate([x, y])[order]
    )


def halves(x):
    """The sum in the order that the assembler guarantees: halves first."""
    while x.size > 1:
        x = x[: x.size // 2] + x[x.size // 2 :]
    return x[0]


def neighbours(x):
    """The sums of rows, adding neighbours first."""
    while x.shape[1] > 1:
        x = x[:, ::2] + x[:, 1::2]
    return x[:, 0]


@every_dtype
def test_sum_of_the_lanes(dtype):
    n = lanes(dtype)
    x = draw(dtype, n)
    assert assemble(dtype, "a", lambda v, x: v.sum(x[0]), "s")(x) == halves(x)
    for i in range(n):
        assert assemble(dtype, "a", lambda v, x, i=i: v.lane(x[0], i), "s")(x) == x[i]


@every_dtype
def test_sums_of_vectors_are_those_of_each(dtype):
    def emit(v, x, out):
        out[0] = v.sums([x[i * n] for i in range(n)])

    n = lanes(dtype)
    x, out = draw(dtype, n, n), np.empty(n, dtype)
    assemble(dtype, "aa", emit)(x, out)
    np.testing.assert_array_equal(out, neighbours(x))


@every_dtype
def test_the_largest_lane(dtype):
    n = lanes(dtype)
    for seed in range(5):
        x = draw(dtype, n, seed=seed)
        np.testing.assert_array_equal(elementwise(dtype, lambda v, x: v.largest(x), x), np.full(n, x.max()))


# Integers


INTEGERS = np.array([-(2**62), -9, -8, -1, 0, 1, 2, 7, 8, 9, 100, 2**40 + 3])


@pytest.mark.parametrize("name", ["add", "sub", "mul", "and_", "or_", "xor"])
def test_operators_of_integers(name):
    operation, pairs = getattr(operator, name), np.array(list(itertools.product(INTEGERS[1:], repeat=2))).T
    np.testing.assert_array_equal(of_integers(lambda v, x, y: operation(x, y), *pairs), operation(*pairs))
    for number in (3, -5):
        np.testing.assert_array_equal(
            of_integers(lambda v, x, k=number: operation(x, k), INTEGERS), operation(INTEGERS, number)
        )
        np.testing.assert_array_equal(
            of_integers(lambda v, x, k=number: operation(k, x), INTEGERS), operation(number, INTEGERS)
        )


@pytest.mark.parametrize("how", RELATIONS)
def test_comparisons_of_integers(how):
    compare, pairs = RELATIONS[how][0], np.array(list(itertools.product(INTEGERS, repeat=2))).T
    np.testing.assert_array_equal(of_integers(lambda v, x, y: compare(x, y).to(I64), *pairs), compare(*pairs))
    np.testing.assert_array_equal(of_integers(lambda v, x: compare(x, 7).to(I64), INTEGERS), compare(INTEGERS, 7))
    np.testing.assert_array_equal(of_integers(lambda v, x: compare(7, x).to(I64), INTEGERS), compare(7, INTEGERS))
    if how not in ("==", "!="):
        unsigned = of_integers(lambda v, x, y: x.unsigned(how, y).to(I64), *pairs)
        np.testing.assert_array_equal(unsigned, compare(*pairs.view(np.uint64)))


def test_quotients_remainders_and_shifts_of_integers():
    x = INTEGERS
    for k in (1, 2, 3, 8, 24):
        np.testing.assert_array_equal(of_integers(lambda v, x, k=k: x // k, x), np.sign(x) * (abs(x) // k))
        positive = x[x >= 0]
        down = of_integers(lambda v, x, k=k: v.round_down(x, k), positive)
        np.testing.assert_array_equal(down, positive // k * k)
    for k in (1, 2, 8, 64):
        np.testing.assert_array_equal(of_integers(lambda v, x, k=k: x % k, INTEGERS), x % k)
    for k in (0, 1, 13):
        np.testing.assert_array_equal(of_integers(lambda v, x, k=k: x << k, INTEGERS), x << k)
        np.testing.assert_array_equal(
            of_integers(lambda v, x, k=k: x >> k, INTEGERS).view(np.uint64), x.view(np.uint64) >> k
        )
    for power in (0, -8, 3, 12):
        with pytest.raises(ValueError, match=f"a power of two expected, got {power}"):
            of_integers(lambda v, x, power=power: x % power, INTEGERS)


def test_smaller_and_larger_of_integers():
    pairs = np.array(list(itertools.product(INTEGERS, repeat=2))).T
    np.testing.assert_array_equal(of_integers(lambda v, x, y: v.min(x, y), *pairs), np.minimum(*pairs))
    np.testing.assert_array_equal(of_integers(lambda v, x, y: v.max(x, y), *pairs), np.maximum(*pairs))
    np.testing.assert_array_equal(of_integers(lambda v, x: v.min(v.max(x, 0), 8), INTEGERS), np.clip(INTEGERS, 0, 8))


# Loops and branches


@every_dtype
def test_every_vector_of_an_array(dtype):
    def emit(v, x, out, count):
        for i, mask in v.vectors(count):
            out[i, mask] = x[i, mask] + 1

    call = assemble(dtype, "aai", emit)
    for n in range(3 * lanes(dtype) + 2):
        arena = Arena(dtype)
        x, out = arena.put(draw(dtype, n)), arena.space(n)
        call(x, out, n)
        np.testing.assert_array_equal(out, x + dtype(1))
        arena.check()


BOUNDS = [(0, 7, 1), (2, 7, 2), (2, 6, 2), (3, 4, 9), (0, 0, 1), (5, 5, 2), (6, 2, 1), (0, -3, 1), (-2, 0, 3)]


@every_dtype
def test_loops_carry_values(dtype):
    def emit(v, x, out, start, stop, step):
        carry = [v.const(5), v.index(0)]
        for i in v.range(start, stop, step, carry=carry):
            total, count = carry
            carry[:] = total + x[i], count + 1
        total, count = carry
        out[0] = total
        out.set_item(v.lanes, count.to(v.scalar))

    n = lanes(dtype)
    call, x = assemble(dtype, "aaiii", emit), draw(dtype, 9 + n)
    for start, stop, step in BOUNDS:
        out, wanted = np.full(n + 1, np.nan, dtype), np.full(n, 5, dtype)
        call(x[2:], out, start, stop, step)
        turns = range(start, stop, step)
        for i in turns:
            wanted += x[2 + i : 2 + i + n]
        np.testing.assert_array_equal(out, [*wanted, len(turns)])


def test_bounds_of_loops_are_numbers_or_values():
    def emit(v, out, n):
        for k, bounds in enumerate([(n,), (4,), (1, n), (n, 9), (0, n, 2), (1, 9, 3)]):
            total = [v.index(0)]
            for i in v.range(*bounds, carry=total):
                total[0] += i
            out.set_item(k, total[0])

    call, out = assemble(np.float64, "ni", emit), np.empty(6, np.int64)
    for n in range(1, 8):
        call(out, n)
        turns = range(n), range(4), range(1, n), range(n, 9), range(0, n, 2), range(1, 9, 3)
        np.testing.assert_array_equal(out, [sum(turn) for turn in turns])


def test_values_that_the_body_leaves_alone_are_carried():
    def emit(v, n):
        carry = [v.index(1), v.index(10)]
        for _ in v.range(n, carry=carry):
            carry[0] += carry[1]
        return carry[0] + carry[1]

    call = assemble(np.float64, "i", emit, "i")
    assert [call(n) for n in (0, 1, 3)] == [11, 21, 41]


@every_dtype
def test_loops_in_loops_and_branches(dtype):
    def emit(v, out, n, m):
        total = [v.index(0)]
        for i in v.range(n, carry=total):
            for j in v.range(m, carry=total):
                with v.when(i == j):
                    out.set_item(i, i.to(v.scalar))
                total[0] += 1
        out.set_item(n, total[0].to(v.scalar))

    call = assemble(dtype, "aii", emit)
    for n, m in [(0, 4), (4, 0), (3, 5), (5, 3)]:
        out = np.full(n + 1, -1, dtype)
        call(out, n, m)
        np.testing.assert_array_equal(out, [*[i if i < m else -1 for i in range(n)], n * m])


@every_dtype
def test_repeats_until_the_body_says_otherwise(dtype):
    def emit(v, x, out):
        carry = [v.index(0), x[0]]
        for turn in v.repeat(carry):
            carry[:] = carry[0] + 1, carry[1] * 0.5
            turn.again = v.any(carry[1] > 1)
        turns, halved = carry
        out[0] = halved
        out.set_item(v.lanes, turns.to(v.scalar))

    call, n = assemble(dtype, "aa", emit), lanes(dtype)
    for most, turns in [(0.5, 1), (2, 1), (2.5, 2), (100, 7)]:
        x, out = np.full(n, 0.25, dtype), np.empty(n + 1, dtype)
        x[n // 2] = most
        call(x, out)
        np.testing.assert_array_equal(out, [*(x / 2**turns), turns])


def test_branches_of_one_truth_value():
    def emit(v, out, i):
        with v.when((i > 2) & (i < 5)):
            out.set_item(0, 1)
        with v.if_else(i % 2 == 0) as (even, odd):
            with even:
                out.set_item(1, 10)
            with odd, v.when(i == 3):
                out.set_item(1, 30)
        out.set_item(2, v.cond(i < 4, lambda: i * 2, lambda: i - 100))

    call = assemble(np.float64, "ni", emit)
    for i in range(7):
        out = np.zeros(3, np.int64)
        call(out, i)
        wanted = [2 < i < 5, 10 if i % 2 == 0 else 30 if i == 3 else 0, 2 * i if i < 4 else i - 100]
        np.testing.assert_array_equal(out, wanted)


def test_what_is_not_chosen_is_not_computed():
    def emit(v, x, i):  # the other branch would read where there is no memory
        return v.cond(i == 0, lambda: v.index(5), lambda: x.item(i))

    call = assemble(np.float64, "ni", emit, "i")
    x = np.array([1, 2])
    assert [call(0, 0), call(x, 1)] == [5, 2]


@every_dtype
def test_the_branch_of_a_kind(dtype):
    def emit(v, out, kind):
        out[0] = v.switch(kind, {3: lambda: v.const(30), 5: lambda: v.const(50), -1: lambda: v.const(-10)})
        times = {0: lambda x, y: x * y, 1: lambda x, y: x + y}
        out[v.lanes] = v.switch(kind, times, v.const(3), v.const(4))

    call, n = assemble(dtype, "ai", emit), lanes(dtype)
    out = np.empty(2 * n, dtype)
    for kind, wanted in [(3, 30), (5, 50), (-1, -10), (0, -10), (2**40, -10)]:
        call(out, kind)
        assert (out[:n] == wanted).all()
        assert (out[n:] == (12 if kind == 0 else 7)).all()


def test_the_code_of_each_case_is_run_for_its_kind_alone():
    def emit(v, out, kind):
        for code in v.cases(kind, [2, 4, -3]):
            out.set_item(0, code * 10)
        for code, name in {1: "one", 4: "four"}.items():
            for same in v.cases(kind, {code: name}):
                out.set_item(1, same * 100)

    call = assemble(np.float64, "ni", emit)
    for kind in (-3, 0, 1, 2, 4, 2**33 + 2):
        out = np.zeros(2, np.int64)
        call(out, kind)
        np.testing.assert_array_equal(
            out, [kind * 10 if kind in (2, 4, -3) else 0, kind * 100 if kind in (1, 4) else 0]
        )


@every_dtype
def test_outlined_code_exists_once(dtype):
    emitted = []

    def emit(v, x, out):
        def plus(p, q, add):
            emitted.append(p)
            q[0] = p[0] + v.broadcast(add)

        for i in range(3):
            v.outlined("plus", plus, x + i * v.lanes, out + i * v.lanes, v.number(i))
        out[3 * v.lanes] = v.const(9)  # the builder is back in the routine

    n = lanes(dtype)
    x, out = draw(dtype, 3 * n), np.empty(4 * n, dtype)
    assemble(dtype, "aa", emit)(x, out)
    np.testing.assert_array_equal(
        out, np.concatenate([x + np.repeat(np.arange(3, dtype=dtype), n), np.full(n, 9, dtype)])
    )
    assert len(emitted) == 1


@every_dtype
def test_outlined_code_takes_tuples(dtype):
    def emit(v, x, out, count):
        def scaled(shape, operands, factors):
            (n,), (x, (out, at)), (first, factor) = shape, operands, factors
            assert isinstance(n, Integer)
            assert isinstance(first, Float)
            for i in v.range(n):
                out.set_item(at + i, (x.item(i) - first) * factor)

        for k in range(2):
            v.outlined("scaled", scaled, (count,), (x, (out, count * k)), (x.item(), v.number(k + 2)))

    n = 5
    x, out = draw(dtype, n), np.empty(2 * n, dtype)
    assemble(dtype, "aai", emit)(x, out, n)
    np.testing.assert_array_equal(out.reshape(2, n), [(x - x[0]) * dtype(2), (x - x[0]) * dtype(3)])


@every_dtype
def test_vectors_of_another_length_than_a_register(dtype):
    def emit(v, x, out, count):
        seen.append(v.lanes)
        for i, mask in v.vectors(count):
            out[i, mask] = x[i, mask] * 2

    itemsize = np.dtype(dtype).itemsize
    for options, wanted in [({"lanes": 4}, 4), ({"lanes": 32}, 32), ({"vector_bytes": 16}, 16 // itemsize)]:
        seen = []
        call = assemble(dtype, "aai", emit, **options)
        assert seen == [wanted]
        for n in (0, 1, wanted, 2 * wanted + 1):
            arena = Arena(dtype)
            x, out = arena.put(draw(dtype, n)), arena.space(n)
            call(x, out, n)
            np.testing.assert_array_equal(out, 2 * x)
            arena.check()


# What is refused


def refused(emit, message, parameters="aai", dtype=np.float32):
    with pytest.raises(TypeError, match=message):
        assemble(dtype, parameters, emit)


def test_a_value_has_no_truth_before_the_routine_runs():
    message = r"not known before the routine runs: where\(\), when\(\) or if_else\(\)"
    refused(lambda v, x, out, n: 1 if n > 0 else 2, message)
    refused(lambda v, x, out, n: 1 if x[0] > 0 else 2, message)
    refused(lambda v, x, out, n: n and 1, message)
    refused(lambda v, x, out, n: 0 < n < 5, message)
    refused(lambda v, x, out, n: not x[0], message)


def test_values_of_two_types_do_not_mix():
    vector = rf"<{lanes(np.float32)} x float>"
    both = rf"two values of one type expected, got Float \({vector}\) and "
    refused(lambda v, x, out, n: x[0] + n, both + r"Integer \(i64\)")
    refused(lambda v, x, out, n: x[0] * x.item(), both + r"Float \(float\)")
    refused(lambda v, x, out, n: x[0] < n, both + r"Integer \(i64\)")
    refused(lambda v, x, out, n: x[0] + x[0].to(DOUBLE), both + rf"Float \({vector.replace('float', 'double')}\)")
    refused(lambda v, x, out, n: v.where(n > 0, x[0], n), both + r"Integer \(i64\)")
    refused(lambda v, x, out, n: n + x.item(), r"got Integer \(i64\) and Float \(float\)")
    refused(lambda v, x, out, n: n + (n > 0), r"got Integer \(i64\) and Mask \(i1\)")
    refused(lambda v, x, out, n: (n > 0) & (x[0] > 0), rf"got Mask \(i1\) and Mask \({vector.replace('float', 'i1')}\)")
    refused(lambda v, x, out, n: v.fma(x[0], x[0], n), rf"a value of type {vector} expected, got Integer \(i64\)")


def test_what_is_stored_and_where_must_fit():
    vector = rf"<{lanes(np.float32)} x float>"
    refused(lambda v, x, out, n: out.set_item(0, n), r"a value of type float expected, got Integer \(i64\)")
    refused(lambda v, x, out, n: operator.setitem(out, 0, x.item()), rf"type {vector} expected, got Float \(float\)")
    refused(lambda v, x, out, n: x + x.item(), r"a value of type i64 expected, got Float \(float\)")
    refused(lambda v, x, out, n: x[x.item()], r"a value of type i64 expected, got Float \(float\)")
    refused(lambda v, x, out, n: out.scatter(n, v.arange(I64)), rf"type {vector} expected, got Integer \(i64\)")


def test_other_things_are_no_numbers():
    refused(lambda v, x, out, n: n + 0.5, r"an integer or a value of type i64 expected, got 0\.5")
    refused(lambda v, x, out, n: x + 0.5, r"an integer or a value of type i64 expected, got 0\.5")
    refused(lambda v, x, out, n: x[0] + "1", "a number or a value of type .* expected, got '1'")
    refused(lambda v, x, out, n: x[0] == None, "a number or a value of type .* expected, got None")  # noqa: E711


def test_what_has_no_order_is_not_compared():
    refused(lambda v, x, out, n: x == out, r"Address \(ptr\) cannot be compared")
    refused(lambda v, x, out, n: (n > 0) == (n > 1), r"Mask \(i1\) cannot be compared")
    refused(lambda v, x, out, n: (n > 0) != (n > 1), r"Mask \(i1\) cannot be compared")


# Widths


@pytest.mark.thorough
def test_every_width():
    run_at_other_widths(["assembler"], lambda width: "test")


SAY = "from fastbp.kernels.compiler import cache, processor; print(processor.VECTOR_BYTES, cache.source_digest())"


@pytest.mark.thorough
def test_each_width_has_its_own_cache_folder():
    said = {width: run(SAY, FASTBP_VECTOR_BYTES=width).stdout for width in (16, 32, 64)}
    assert [text.split()[0] for text in said.values()] == ["16", "32", "64"]
    assert len({text.split()[1] for text in said.values()}) == 3
    for unset in (None, ""):
        assert run(SAY, FASTBP_VECTOR_BYTES=unset).stdout in said.values()
    assert said[processor.VECTOR_BYTES].split()[1] == cache.source_digest()


@pytest.mark.parametrize("width", ["8", "16 ", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("128", "wide"))])
def test_another_width_is_refused(width):
    done = subprocess.run(
        [sys.executable, "-c", SAY],
        env=os.environ | {"FASTBP_VECTOR_BYTES": width},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"FASTBP_VECTOR_BYTES: expected 16, 32 or 64, got {width!r}" in done.stderr
