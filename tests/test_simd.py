"""The vector assembler: each operation as a small routine of its own against NumPy, its edges in guarded memory, and the widths."""

import ctypes
import itertools
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

from fastbp.kernels.compiler import assembler, cache, routine
from fastbp.kernels.compiler.assembler import I64

every_dtype = pytest.mark.parametrize("dtype", DTYPES)
numbers = itertools.count()


def lanes(dtype):
    return assembler.VECTOR_BYTES // np.dtype(dtype).itemsize


def assemble(dtype, parameters, emit, result=""):
    """The routine as a function of arrays and numbers; nothing is kept on disk."""
    itemsize = np.dtype(dtype).itemsize
    machine = llvm.Target.from_triple(llvm.get_process_triple()).create_target_machine(
        cpu=llvm.get_host_cpu_name(), features=llvm.get_host_cpu_features().flatten(), opt=3, jit=True
    )
    symbol = f"test.{next(numbers)}"
    code = routine._compile(routine.Routine(symbol, parameters, result, emit), symbol, itemsize, machine)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    scalar = ctypes.c_float if itemsize == 4 else ctypes.c_double
    kinds = {"a": ctypes.c_void_p, "i": ctypes.c_int64, "s": scalar, "": None}
    function = ctypes.CFUNCTYPE(kinds[result], *[kinds[letter] for letter in parameters])(
        engine.get_function_address(symbol)
    )
    function.engine = engine  # its memory

    def call(*arguments):
        return function(*[x.ctypes.data if isinstance(x, np.ndarray) else x for x in arguments])

    return call


def draw(dtype, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def elementwise(dtype, operation, *operands):
    """The operation on whole vectors: all operands in, one result out."""
    n = lanes(dtype)

    def emit(v, *p):
        v.store(operation(v, *[v.load(q) for q in p[:-1]]), p[-1])

    out = np.empty_like(operands[0])
    call = assemble(dtype, "a" * (len(operands) + 1), emit)
    for i in range(0, out.size, n):
        call(*[x[i : i + n] for x in operands], out[i : i + n])
    return out


# Memory


@every_dtype
def test_loads_and_stores_end_where_the_mask_ends(dtype):
    def emit(v, x, out, count):
        # two vectors, the second behind the first
        for i in range(2):
            mask = v.first(v.b.sub(count, I64(i * v.lanes)))
            v.store(v.load(v.at(x, i * v.lanes), mask), v.at(out, i * v.lanes), mask)

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
    call, n = assemble(dtype, "aai", lambda v, x, out, count: v.store(v.load(x, v.first(count)), out)), lanes(dtype)
    x = draw(dtype, n)
    for count in [-(2**40), -1, *range(n + 1), 2 * n, 2**32, 2**40]:
        out = np.full(n, np.nan, dtype)
        call(x, out, count)
        np.testing.assert_array_equal(out, np.where(np.arange(n) < count, x, 0))


@every_dtype
@pytest.mark.parametrize("step", [1, 2, 3, 17, -1, -2])
def test_gather_and_scatter(dtype, step):
    def emit(v, x, out, x_step, out_step, count):
        mask = v.first(count)
        v.scatter(v.gather(x, x_step, mask), out, out_step, mask)

    def emit_whole(v, x, out, x_step, out_step):
        v.scatter(v.gather(x, x_step), out, out_step)

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
def test_gather_and_scatter_anywhere(dtype):
    n = lanes(dtype)
    places = np.random.default_rng(1).permutation(3 * n)[:n]

    def emit(v, x, out):
        offsets = ir.Constant(ir.VectorType(I64, n), [I64(int(i)) for i in places])
        v.scatter_at(v.add(v.gather_at(x, offsets), v.const(1)), out, offsets)

    arena = Arena(dtype)
    x, out = draw(dtype, 3 * n), arena.put(np.zeros(3 * n), written=True)
    assemble(dtype, "aa", emit)(arena.put(x), out)
    np.testing.assert_array_equal(out, np.where(np.isin(np.arange(3 * n), places), x + dtype(1), 0))
    arena.check()


@every_dtype
def test_scalars_and_addresses(dtype):
    def emit(v, x, out, i):
        v.store_scalar(v.load_scalar(v.at(x, i)), v.at(out, 1))
        v.store(v.broadcast(v.load_scalar(v.at(x, 2))), v.at(out, 2))

    arena, n = Arena(dtype), lanes(dtype)
    x, out = arena.put(draw(dtype, 9)), arena.space(n + 3)
    assemble(dtype, "aai", emit)(x, out, 7)
    np.testing.assert_array_equal(out, [np.nan, x[7], *[x[2]] * n, np.nan])
    arena.check()


@every_dtype
def test_every_vector_of_an_array(dtype):
    def emit(v, x, out, count):
        v.each_vector(count, lambda i, mask: v.store(v.add(v.load(v.at(x, i), mask), v.const(1)), v.at(out, i), mask))

    call = assemble(dtype, "aai", emit)
    for n in range(3 * lanes(dtype) + 2):
        arena = Arena(dtype)
        x, out = arena.put(draw(dtype, n)), arena.space(n)
        call(x, out, n)
        np.testing.assert_array_equal(out, x + dtype(1))
        arena.check()


# Arithmetic

OPERATIONS = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "neg": np.negative,
    "abs": np.abs,
    "sqrt": np.sqrt,
    "copysign": np.copysign,
}


def special(dtype):
    """All pairs of numbers of all kinds, as two whole numbers of vectors."""
    info = np.finfo(dtype)
    kinds = [0.0, 1.0, 1.5, 3.0, info.tiny, info.smallest_subnormal, info.max, np.inf, np.nan]
    pairs = np.array(list(itertools.product([*kinds, *np.negative(kinds)], repeat=2)), dtype)
    return np.resize(pairs.T, (2, -(-len(pairs) // lanes(dtype)) * lanes(dtype)))


@every_dtype
@pytest.mark.parametrize("name", OPERATIONS)
def test_operations(name, dtype):
    operands = special(dtype)[: 2 if name in ("add", "sub", "mul", "div", "copysign") else 1]
    with np.errstate(all="ignore"):
        wanted = OPERATIONS[name](*operands)
    got = elementwise(dtype, lambda v, *x: getattr(v, name)(*x), *operands)
    np.testing.assert_array_equal(got, wanted)
    known = ~np.isnan(wanted)
    np.testing.assert_array_equal(np.signbit(got[known]), np.signbit(wanted[known]))


@every_dtype
def test_multiply_add(dtype):
    n = lanes(dtype)
    x, y, z = draw(dtype, 3, 4 * n)
    got = elementwise(dtype, lambda v, x, y, z: v.fma(x, y, z), x, y, z)
    wanted = x.astype(np.longdouble) * y + z
    assert (
        np.abs(got - wanted) <= (1 if assembler._FUSED else 2) * np.finfo(dtype).eps * (np.abs(x * y) + np.abs(z))
    ).all()
    eps = np.finfo(dtype).eps
    x, y, z = (np.full(n, number, dtype) for number in (1 + eps, 1 - eps, -1))
    got = elementwise(dtype, lambda v, x, y, z: v.fma(x, y, z), x, y, z)
    assert (got == (-(eps**2) if assembler._FUSED else 0)).all()  # (1 + e) (1 - e) - 1 = -e^2, rounded once


@every_dtype
@pytest.mark.parametrize("how", ["<", "<=", "==", "!=", ">=", ">"])
def test_comparisons_and_selection(how, dtype):
    x, y = special(dtype)
    relation = {
        "<": np.less,
        "<=": np.less_equal,
        "==": np.equal,
        "!=": np.not_equal,
        ">=": np.greater_equal,
        ">": np.greater,
    }[how]
    got = elementwise(dtype, lambda v, x, y: v.select(v.compare(how, x, y), x, v.const(7)), x, y)
    np.testing.assert_array_equal(got, np.where(relation(x, y), x, dtype(7)))


@every_dtype
def test_least_and_most_keep_nan(dtype):
    x, limit = special(dtype)
    x, limit = x[~np.isnan(limit)], limit[~np.isnan(limit)]
    x, limit = (np.resize(a, -(-a.size // lanes(dtype)) * lanes(dtype)) for a in (x, limit))
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.max(x, y), x, limit), np.maximum(x, limit))
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.min(x, y), x, limit), np.minimum(x, limit))
    # a NaN in the limit does not count
    nan = np.full_like(x, np.nan)
    np.testing.assert_array_equal(elementwise(dtype, lambda v, x, y: v.max(x, y), x, nan), x)


@every_dtype
def test_bits(dtype):
    x, _ = special(dtype)
    kind = np.uint32 if dtype == np.float32 else np.uint64
    got = elementwise(dtype, lambda v, x: v.from_bits(v.b.xor(v.bits(x), v.const_int(5))), x)
    np.testing.assert_array_equal(got.view(kind), x.view(kind) ^ kind(5))


@every_dtype
def test_turned_bits(dtype):
    kind, bits = (np.uint32, 32) if dtype == np.float32 else (np.uint64, 64)
    x = np.random.default_rng(0).integers(0, 2**bits, 3 * lanes(dtype), kind)
    for count in (0, 1, 5, bits - 1):
        got = elementwise(
            dtype, lambda v, x, count=count: v.from_bits(v.rotate_right(v.bits(x), v.const_int(count))), x.view(dtype)
        )
        np.testing.assert_array_equal(got.view(kind), x >> kind(count) | x << kind((bits - count) % bits))


@every_dtype
def test_any_lane(dtype):
    def emit(v, x):
        return v.b.select(v.any(v.compare(">", v.load(x), v.const(0))), v.scalar(1), v.scalar(0))

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
    """The sum in the order that the assembler promises: halves first."""
    while x.size > 1:
        x = x[: x.size // 2] + x[x.size // 2 :]
    return x[0]


def neighbours(x):
    """The sums of rows, neighbours first."""
    while x.shape[1] > 1:
        x = x[:, ::2] + x[:, 1::2]
    return x[:, 0]


@every_dtype
def test_sum_of_the_lanes(dtype):
    n = lanes(dtype)
    x = draw(dtype, n)
    assert assemble(dtype, "a", lambda v, x: v.sum(v.load(x)), "s")(x) == halves(x)


@every_dtype
def test_sums_of_vectors_are_those_of_each(dtype):
    n = lanes(dtype)
    x, out = draw(dtype, n, n), np.empty(n, dtype)
    assemble(dtype, "aa", lambda v, x, out: v.store(v.sums([v.load(v.at(x, i * n)) for i in range(n)]), out))(x, out)
    np.testing.assert_array_equal(out, neighbours(x))


# Control


@every_dtype
def test_loops_carry_values(dtype):
    def emit(v, x, out, start, stop, step):
        def body(i, total, count):
            return [v.add(total, v.load(v.at(x, i))), v.b.add(count, I64(1))]

        total, count = v.loop(start, stop, step, body, [v.const(5), I64(0)])
        v.store(total, out)
        v.store_scalar(v.b.sitofp(count, v.scalar), v.at(out, v.lanes))

    n = lanes(dtype)
    call, x = assemble(dtype, "aaiii", emit), draw(dtype, 9 + n)
    for start, stop, step in [
        (0, 7, 1),
        (2, 7, 2),
        (2, 6, 2),
        (3, 4, 9),
        (0, 0, 1),
        (5, 5, 2),
        (6, 2, 1),
        (0, -3, 1),
        (-2, 0, 3),
    ]:
        out, wanted = np.full(n + 1, np.nan, dtype), np.full(n, 5, dtype)
        call(x[2:], out, start, stop, step)
        turns = range(start, stop, step)
        for i in turns:
            wanted += x[2 + i : 2 + i + n]
        np.testing.assert_array_equal(out, [*wanted, len(turns)])


@every_dtype
def test_loops_in_loops_and_branches(dtype):
    def emit(v, out, n, m):
        def row(i, total):
            def column(j, total):
                with v.b.if_then(v.b.icmp_signed("==", i, j)):
                    v.store_scalar(v.b.sitofp(i, v.scalar), v.at(out, i))
                return [v.b.add(total, I64(1))]

            return v.loop(0, m, 1, column, [total])

        (total,) = v.loop(0, n, 1, row, [I64(0)])
        v.store_scalar(v.b.sitofp(total, v.scalar), v.at(out, n))

    call = assemble(dtype, "aii", emit)
    for n, m in [(0, 4), (4, 0), (3, 5), (5, 3)]:
        out = np.full(n + 1, -1, dtype)
        call(out, n, m)
        np.testing.assert_array_equal(out, [*[i if i < m else -1 for i in range(n)], n * m])


@every_dtype
def test_repeats_until_told_to_stop(dtype):
    def emit(v, x, out):
        def halve(i, x):
            i, x = v.b.add(i, I64(1)), v.mul(x, v.const(0.5))
            return v.any(v.compare(">", x, v.const(1))), [i, x]

        i, x = v.repeat(halve, [I64(0), v.load(x)])
        v.store(x, out)
        v.store_scalar(v.b.sitofp(i, v.scalar), v.at(out, v.lanes))

    call, n = assemble(dtype, "aa", emit), lanes(dtype)
    for most, turns in [(0.5, 1), (2, 1), (2.5, 2), (100, 7)]:
        x, out = np.full(n, 0.25, dtype), np.empty(n + 1, dtype)
        x[n // 2] = most
        call(x, out)
        np.testing.assert_array_equal(out, [*(x / 2**turns), turns])


@every_dtype
def test_the_branch_of_a_kind(dtype):
    def emit(v, out, kind):
        v.store(v.chosen({3: lambda: v.const(30), 5: lambda: v.const(50), -1: lambda: v.const(-10)}, kind), out)

    call, out = assemble(dtype, "ai", emit), np.empty(lanes(dtype), dtype)
    for kind, wanted in [(3, 30), (5, 50), (-1, -10), (0, -10), (2**40, -10)]:
        call(out, kind)
        assert (out == wanted).all()


@every_dtype
def test_outlined_code_exists_once(dtype):
    emitted = []

    def emit(v, x, out):
        def twice(p, q, add):
            emitted.append(p)
            v.store(v.add(v.load(p), v.broadcast(add)), q)

        for i in range(3):
            v.outlined("twice", twice, v.at(x, i * v.lanes), v.at(out, i * v.lanes), v.scalar(i))
        v.store(v.const(9), v.at(out, 3 * v.lanes))  # the builder is back in the routine

    n = lanes(dtype)
    x, out = draw(dtype, 3 * n), np.empty(4 * n, dtype)
    assemble(dtype, "aa", emit)(x, out)
    np.testing.assert_array_equal(
        out, np.concatenate([x + np.repeat(np.arange(3, dtype=dtype), n), np.full(n, 9, dtype)])
    )
    assert len(emitted) == 1


# Widths


@pytest.mark.thorough
def test_every_width():
    run_at_other_widths(["simd"], lambda width: "test")


SAY = "from fastbp.kernels.compiler import assembler, cache; print(assembler.VECTOR_BYTES, cache.source_digest())"


@pytest.mark.thorough
def test_each_width_has_a_cache_folder_of_its_own():
    said = {width: run(SAY, FASTBP_VECTOR_BYTES=width).stdout for width in (16, 32, 64)}
    assert [text.split()[0] for text in said.values()] == ["16", "32", "64"]
    assert len({text.split()[1] for text in said.values()}) == 3
    for unset in (None, ""):
        assert run(SAY, FASTBP_VECTOR_BYTES=unset).stdout in said.values()
    assert said[assembler.VECTOR_BYTES].split()[1] == cache.source_digest()


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
