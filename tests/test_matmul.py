"""Matrix products: against NumPy in every layout, around block sizes, bit for bit the same by every code path."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, DTYPES, LAYOUTS, Arena, assert_close, linear_forward, matmul, page_end
from numba import config, njit
from numba.core.errors import TypingError
from widths import run_at_other_widths

from fastbp import kernels
from fastbp.kernels.compiler import processor
from fastbp.kernels.product import blocking, tile
from fastbp.kernels.product import matmul as blocks

side = st.integers(0, 19)
seeds = st.integers(0, 2**32 - 1)
every_dtype = pytest.mark.parametrize("dtype", DTYPES)
costly_dtypes = pytest.mark.parametrize("dtype", COSTLY_DTYPES)


def user_matmul(times, A, B, out):
    for _ in range(times):
        kernels.matmul(A, B, out)


def user_linear_forward(times, X, W, b, out):
    for _ in range(times):
        kernels.linear_forward(X, W, b, out)


# A user's own compiled functions, for arrays of any layout.
M, V = "float64[:, :]", "float64[:]"
SIGNATURES = {user_matmul: f"void(int64, {M}, {M}, {M})", user_linear_forward: f"void(int64, {M}, {M}, {V}, {M})"}


@functools.cache
def compiled(function):
    return njit(SIGNATURES[function])(function)


@functools.cache
def any_layout(dtype):
    """`matmul` if the factors are 1 and 0, else `scaled_matmul`; compiled once per dtype, for arrays of any layout."""
    kind = f"{np.dtype(dtype).name}[:, :]"

    def call(A, B, out, alpha, beta):
        if alpha == 1 and beta == 0:
            kernels.matmul(A, B, out)
        else:
            kernels.scaled_matmul(alpha, A, B, beta, out)

    return njit(f"void({kind}, {kind}, {kind}, float64, float64)")(call)


def in_threads(count):
    def call(A, B, out):
        with kernels.threads(count) as allowed:
            assert allowed == (count > 1)
            kernels.matmul_parallel(A, B, out)

    return call


def check_matmul(call, arena, n, k, m, seed):
    rng = np.random.default_rng(seed)
    A, B, out = arena.put(rng.normal(size=(n, k))), arena.put(rng.normal(size=(k, m))), arena.space(n, m)
    call(A, B, out)
    assert_close(out, matmul(A, B), scale=matmul(abs(A), abs(B)))
    arena.check()


def check_linear_forward(call, arena, n, k, m, seed):
    rng = np.random.default_rng(seed)
    X, W, b = arena.put(rng.normal(size=(n, k))), arena.put(rng.normal(size=(k, m))), arena.put(rng.normal(size=m))
    out = arena.space(n, m)
    call(X, W, b, out)
    assert_close(out, linear_forward(X, W, b), scale=linear_forward(abs(X), abs(W), abs(b)))
    arena.check()


@every_dtype
@given(n=side, k=side, m=side, seed=seeds)
def test_matmul(dtype, n, k, m, seed):
    check_matmul(kernels.matmul, Arena(dtype), n, k, m, seed)


@costly_dtypes
@given(n=side, k=side, m=side, seed=seeds)
def test_linear_forward(dtype, n, k, m, seed):
    check_linear_forward(kernels.linear_forward, Arena(dtype), n, k, m, seed)


@given(n=side, k=side, m=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_matmul_in_users_njit(n, k, m, seed, layout):
    check_matmul(functools.partial(compiled(user_matmul), 1), Arena(layout=layout), n, k, m, seed)


@given(n=side, k=side, m=side, seed=seeds, layout=st.sampled_from(LAYOUTS))
def test_linear_forward_in_users_njit(n, k, m, seed, layout):
    check_linear_forward(functools.partial(compiled(user_linear_forward), 1), Arena(layout=layout), n, k, m, seed)


def test_matmul_takes_views_from_python():
    check_matmul(kernels.matmul, Arena(layout="strided"), 7, 5, 6, seed=0)


def test_mixed_layouts():
    # As in the backward pass: one operand is transposed, the other is not.
    rng = np.random.default_rng(0)
    A, B, out = rng.normal(size=(5, 9)), rng.normal(size=(5, 3)), np.empty((9, 3))
    kernels.matmul(A.T, B, out)
    assert_close(out, matmul(A.T, B), scale=matmul(abs(A.T), abs(B)))


# Edges


def edges(dtype):
    """Shapes around the register tile, the blocks, and the switches between code paths."""
    lanes = processor.VECTOR_BYTES // np.dtype(dtype).itemsize
    widths = sorted({w + d for w in (0, *(lanes * i for i in range(1, 9))) for d in (-1, 0, 1) if w + d >= 0})
    rows = range(1, 2 * blocking.MR + 2)
    yield from itertools.product((0, 1, blocking.MR - 1, blocking.MR + 3), (0, 1, 5), widths)
    yield from itertools.product(rows, (1, 7), (1, lanes, 2 * lanes + 1, 3 * lanes, 4 * lanes + 3))
    around = {size * i + d for size in (tile.STACKED, blocking.KC) for i in (1, 2) for d in (-1, 0, 1)}
    for depth in sorted(around):
        yield from [
            (1, depth, 1),
            (3, depth, lanes + 1),
            (blocks.PACKED_ROWS, depth, 3 * lanes),
            (9, depth, 3 * lanes + 1),
        ]
    for n in (blocks.PACKED_ROWS - 1, blocks.PACKED_ROWS, blocks.PACKED_ROWS + 1, blocking.MC - 1, blocking.MC + 1):
        yield from [
            (n, 3, 5),
            (n, blocking.KC + 44, 2 * lanes),
            (n, blocking.KC + 1, 3 * lanes * blocking.BLOCK_PANELS + 1),
        ]
    for n in (blocking.FEW_ROWS, blocking.FEW_ROWS + 1):
        yield from [(n, 3, 2 * lanes + 1), (n, tile.STACKED + 1, lanes)]
    yield blocks.PACKED_ROWS + 1, blocking.KC + 1, blocking.NC + 3


def operands(dtype, n, k, m, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)).astype(dtype), rng.normal(size=(k, m)).astype(dtype)


@costly_dtypes
def test_edges_in_every_layout(dtype):
    # Operands and result with contiguous rows or columns, and all three with gaps.
    call = any_layout(dtype)
    for number, (n, k, m) in enumerate(edges(dtype)):
        A, B = operands(dtype, n, k, m)
        wanted, scale = matmul(A, B), matmul(abs(A), abs(B))
        every = list(itertools.product(("C", "transposed"), repeat=3))
        # each shape in some of the layouts, large shapes in all
        found = []
        for layouts in (every if n * k * m > 4000 else [every[number % 8], every[(number * 5 + 3) % 8]]) + [
            ("strided",) * 3
        ]:
            arenas = [Arena(dtype, layout) for layout in layouts]
            a, b, out = arenas[0].put(A), arenas[1].put(B), arenas[2].space(n, m)
            call(a, b, out, 1.0, 0.0)
            assert_close(out, wanted, scale=scale)
            for arena in arenas:
                arena.check()
            found.append(out.tobytes())
        assert len(set(found)) == 1, (n, k, m)


@every_dtype
def test_nothing_outside_the_operands_is_read(dtype):
    # Each ends right before a protected page: reading past the end would end the process.
    for n, k, m in [(1, 1, 1), (3, 5, 7), (8, 4, 16), (9, 3, 49), (17, 2, 31), (33, 300, 5), (40, 257, 33)]:
        A, B = operands(dtype, n, k, m)
        for a, b, out in [
            (page_end(A), page_end(B), page_end(np.zeros((n, m), dtype))),
            (page_end(A.T).T, page_end(B.T).T, page_end(np.zeros((m, n), dtype)).T),
            (page_end(A), page_end(B.T).T, page_end(np.zeros((n, m), dtype))),
            (page_end(A.T).T, page_end(B), page_end(np.zeros((n, m), dtype))),
        ]:
            any_layout(dtype)(a, b, out, 1.0, 0.0)
            assert_close(out, matmul(A, B), scale=matmul(abs(A), abs(B)))


def test_operands_and_the_result_may_be_reversed():
    A, B = operands(np.float64, 9, 11, 10)
    same = np.lib.stride_tricks.as_strided(B[3], B.shape, (0, B.itemsize))
    turns = [(1, 1), (-1, 1), (1, -1), (-1, -1)]
    for a, b, (down, across), beta in itertools.product(
        (A, A[::-1], A[:, ::-1], A[::2, ::3]), (B, B[::-1], B[:, ::-1], B.T.copy().T[::-1], same), turns, (0.0, 1.0)
    ):
        b = b[: a.shape[1]]
        arena = Arena()
        out = arena.put(np.full((a.shape[0], b.shape[1]), 2.0), written=True)[::down, ::across]
        any_layout(np.float64)(a, b, out, 1.0, beta)
        assert_close(out, matmul(a, b) + 2 * beta, scale=matmul(abs(a), abs(b)) + 2)
        if not (a.flags.forc or b.flags.forc or out.flags.forc):  # types that are compiled anyway
            in_threads(1)(a, b, out)
            assert_close(out, matmul(a, b), scale=matmul(abs(a), abs(b)))
        arena.check()


def test_rows_may_be_the_same_row():
    row = np.arange(5.0)
    A, out = np.broadcast_to(row, (12, 5)), np.empty((12, 3))
    B = np.broadcast_to(np.arange(5.0)[:, None], (5, 3))
    any_layout(np.float64)(np.lib.stride_tricks.as_strided(row, (12, 5), (0, 8)), np.array(B), out, 1.0, 0.0)
    np.testing.assert_array_equal(out, A @ B)
    any_layout(np.float64)(np.array(A), np.lib.stride_tricks.as_strided(row, (5, 3), (8, 0)), out, 1.0, 0.0)
    np.testing.assert_array_equal(out, A @ B)


# alpha and beta

FACTORS = [(1, 0), (1, 1), (1, -0.5), (0, 0), (0, 1), (-2.5, 0), (-2.5, 1), (0.5, 2)]


@every_dtype
@pytest.mark.parametrize(("alpha", "beta"), FACTORS)
def test_factors(alpha, beta, dtype):
    for (n, k, m), layout in itertools.product([(3, 4, 5), (9, 0, 7), (33, 260, 50), (0, 3, 2)], (*LAYOUTS, "turned")):
        arena = Arena(dtype, "C" if layout == "turned" else layout)
        A, B = operands(dtype, n, k, m)
        before = np.random.default_rng(1).normal(size=(n, m)).astype(dtype)
        out = arena.put(before, written=True)
        a, b = arena.put(A), arena.put(B.T).T if layout == "turned" else arena.put(B)
        any_layout(dtype)(a, b, out, alpha, beta)
        assert_close(
            out,
            alpha * matmul(A, B) + beta * before.astype(np.float64),
            scale=abs(alpha) * matmul(abs(A), abs(B)) + 2 * abs(before),
        )
        arena.check()


@every_dtype
@pytest.mark.parametrize("layout", LAYOUTS)
def test_without_beta_the_result_is_not_read(layout, dtype):
    for n, k, m in [(3, 4, 5), (5, 0, 3), (40, 300, 50)]:
        arena = Arena(dtype, layout)
        A, B = operands(dtype, n, k, m)
        out = arena.space(n, m)  # full of NaN
        any_layout(dtype)(arena.put(A), arena.put(B), out, 2.0, 0.0)
        assert_close(out, 2 * matmul(A, B), scale=2 * matmul(abs(A), abs(B)))
        arena.check()


def test_with_beta_it_is():
    out = np.full((2, 2), np.nan)
    kernels.scaled_matmul(1.0, np.ones((2, 2)), np.ones((2, 2)), 1.0, out)
    assert np.isnan(out).all()


def test_factors_from_python():
    A, B, out = np.ones((2, 3)), np.ones((3, 4)), np.full((2, 4), 2.0)
    kernels.scaled_matmul(0.5, A, B, 3.0, out)
    assert (out == 7.5).all()
    kernels.scaled_matmul(1, A, B, 0, out)
    assert (out == 3).all()


# Large products, and the same bits by every code path


def three_forms(dtype, n, d_in, d_out):
    """The products of a layer of n samples: Y = X W, dX = D W^T, dW = X^T D, as views of plain arrays."""
    rng = np.random.default_rng(7)
    X, W, D = (rng.normal(size=shape).astype(dtype) for shape in ((n, d_in), (d_in, d_out), (n, d_out)))
    return {"Y": (X, W), "dX": (D, W.T), "dW": (X.T, D)}


def chain(A, B):
    """`matmul` on processors that round x y + z once: one chain of multiply-adds in the order of k."""
    total = np.zeros((A.shape[0], B.shape[1]), A.dtype)
    for k in range(A.shape[1]):
        # for numbers of few bits, exact in float64 except for the last rounding
        total = (total.astype(np.float64) + A[:, k, None].astype(np.float64) * B[k].astype(np.float64)).astype(A.dtype)
    return total


@costly_dtypes
@pytest.mark.parametrize("form", ["Y", "dX", "dW"])
def test_large_products(form, dtype):
    A, B = three_forms(dtype, 400, 700, 500)[form]
    arena = Arena(dtype)
    out = arena.space(A.shape[0], B.shape[1])
    call = any_layout(dtype)
    call(A, B, out, 1.0, 0.0)
    assert_close(out, matmul(A, B), scale=matmul(abs(A), abs(B)))
    arena.check()
    # Few rows of A, or few columns of B, are read in other ways: from the operands, transposed on the stack, packed.
    some_rows = [(slice(0, 1), slice(None)), (slice(7, 7 + blocks.PACKED_ROWS - 1), slice(None))]
    some_columns = [(slice(None), slice(3, 8)), (slice(90, 100), slice(100, 160)), (slice(0, 200), slice(0, 400))]
    for rows, columns in some_rows + some_columns:
        part = np.empty(out[rows, columns].shape, dtype)
        call(A[rows], B[:, columns], part, 1.0, 0.0)
        np.testing.assert_array_equal(part, out[rows, columns])
    # so does the transposed product
    turned = np.empty(out.shape[::-1], dtype)
    call(B.T, A.T, turned, 1.0, 0.0)
    np.testing.assert_array_equal(turned.T, out)
    # as do copies in another layout
    for a, b in ((np.asfortranarray(A), np.ascontiguousarray(B)), (np.ascontiguousarray(A), np.asfortranarray(B))):
        again = np.empty_like(out)
        call(a, b, again, 1.0, 0.0)
        np.testing.assert_array_equal(again, out)
    for count in (1, 2):
        if count <= config.NUMBA_NUM_THREADS:
            again = arena.space(*out.shape)
            in_threads(count)(A, B, again)
            np.testing.assert_array_equal(again, out)
    arena.check()


@costly_dtypes
def test_threads_give_the_same_bits(dtype):
    if config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor")
    lanes = processor.VECTOR_BYTES // np.dtype(dtype).itemsize
    shapes = [(0, 3, 4), (3, 0, 4), (1, 1, 1), (5, 7, 9), (31, 513, 3 * lanes + 1)]
    shapes += [(33, 257, 48 * lanes + 5), (385, 256, 40), (385, 40, 97)]
    for (n, k, m), a_layout, b_layout in itertools.product(shapes, ("C", "transposed"), ("C", "transposed")):
        A, B = Arena(dtype, a_layout), Arena(dtype, b_layout)
        a, b = (arena.put(x) for arena, x in zip((A, B), operands(dtype, n, k, m), strict=True))
        for layout in ("C", "transposed", "strided") if a_layout == b_layout else ("C",):
            arena = Arena(dtype, layout)
            serial, parallel = arena.space(n, m), arena.space(n, m)
            any_layout(dtype)(a, b, serial, 1.0, 0.0)
            in_threads(2)(a, b, parallel)
            np.testing.assert_array_equal(serial, parallel)
            arena.check()


@pytest.mark.skipif(not processor.FUSED, reason="x y + z is rounded twice")
def test_an_element_is_one_chain_of_multiply_adds():
    # float32 numbers of 8 bits: only the rounding to float32 makes their products and sums in float64 inexact
    rng, shapes = np.random.default_rng(0), ((40, 600), (600, 70))
    A, B = (np.float32(rng.integers(-128, 128, shape) * 2.0 ** rng.integers(-9, 9, shape)) for shape in shapes)
    out = np.empty((40, 70), np.float32)
    any_layout(np.float32)(A, B, out, 1.0, 0.0)
    np.testing.assert_array_equal(out, chain(A, B))


# Wrong arguments


@pytest.mark.parametrize("via", ["python", "njit", "scaled", "parallel"])
@pytest.mark.parametrize(
    "shapes", [((2, 3), (4, 5), (2, 5)), ((2, 3), (3, 5), (1, 5)), ((2, 3), (3, 5), (2, 6)), ((2, 0), (1, 5), (2, 5))]
)
def test_matmul_refuses_shapes_and_writes_nothing(shapes, via):
    calls = {
        "python": kernels.matmul,
        "parallel": in_threads(1),
        "scaled": lambda A, B, out: kernels.scaled_matmul(2.0, A, B, 1.0, out),
    }
    call = calls.get(via, functools.partial(compiled(user_matmul), 1))
    arena = Arena()
    arrays = [arena.put(np.ones(shape)) for shape in shapes]
    with pytest.raises(ValueError, match="matmul"):
        call(*arrays)
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize(
    "shapes",
    [
        ((2, 3), (4, 5), 5, (2, 5)),
        ((2, 3), (3, 5), 4, (2, 5)),
        ((2, 3), (3, 5), 6, (2, 5)),
        ((2, 3), (3, 5), 5, (3, 5)),
        ((2, 3), (3, 5), 5, (2, 1)),
    ],
)
def test_linear_forward_refuses_shapes_and_writes_nothing(shapes, via):
    call = kernels.linear_forward if via == "python" else functools.partial(compiled(user_linear_forward), 1)
    arena = Arena()
    arrays = [arena.put(np.ones(shape)) for shape in shapes]
    with pytest.raises(ValueError, match="linear_forward"):
        call(*arrays)
    arena.check()


@pytest.mark.thorough
def test_matmul_parallel_refuses_what_matmul_refuses():
    call, one = in_threads(1), np.ones((3, 3))
    for arrays in (
        [one.astype(int)] * 3,
        [one, one.astype(np.float32), one.copy()],
        [one, one, one.astype(np.float32)],
    ):
        with pytest.raises(TypingError, match="float32"):
            call(*arrays)
    fixed = one.copy()
    fixed.flags.writeable = False
    with pytest.raises(TypingError, match="read-only"):
        call(one, one, fixed)
    assert (fixed == 1).all()
    packed = np.ones(9, np.dtype([("a", np.uint8), ("b", np.float64)]))["b"].reshape(3, 3)
    for arrays in itertools.permutations([packed, one, one.copy()]):
        with pytest.raises(ValueError, match="packed records"):
            call(*arrays)
    call(fixed, fixed.T, one)
    assert (one == 3).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_matmul_carries_values_that_are_not_finite(value):
    A, B, out = np.ones((5, 7)), np.ones((7, 3)), np.zeros((5, 3))
    A[2, 4] = value
    kernels.matmul(A, B, out)
    np.testing.assert_array_equal(out, A @ B)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_large_products_carry_them_too(value):
    for A, B in three_forms(np.float64, 100, 300, 130).values():
        A, B, out = A.copy("A"), B.copy("A"), np.empty((A.shape[0], B.shape[1]))
        A[-1, -1], B[0, 0] = value, value
        any_layout(np.float64)(A, B, out, 1.0, 0.0)
        odd = np.zeros(out.shape, bool)
        odd[-1], odd[:, 0] = True, True
        np.testing.assert_array_equal(np.isfinite(out), ~odd)


# Allocations


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.parametrize(("user", "inputs"), [(user_matmul, 2), (user_linear_forward, 3)])
def test_no_allocation(allocations, user, inputs):
    square, row = np.ones((9, 9)), np.ones(9)
    arguments = [square, square, row][:inputs]
    counts = [allocations(compiled(user), times, *arguments, np.empty((9, 9))) for times in (1, 1000)]
    assert counts[0] == counts[1]


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_small_and_transposed_products_allocate_nothing(allocations):
    few, many = blocks.PACKED_ROWS - 1, blocking.FEW_ROWS
    cases = {
        "few rows": (np.ones((few, 600)), np.ones((600, 700))),
        "turned": (np.ones((few, 300)), np.ones((500, 300)).T),
        "turned, more rows": (np.ones((many, 30)), np.ones((50, 30)).T),
        "small": (np.ones((50, 20)), np.ones((20, 9))),
    }
    for name, (A, B) in cases.items():
        arguments = (A, B, np.empty((A.shape[0], B.shape[1])))
        assert allocations(compiled(user_matmul), 1, *arguments) == allocations(compiled(user_matmul), 5, *arguments), (
            name
        )
    A, B = np.ones((400, 700)), np.ones((700, 500))
    arguments = (A, B, np.empty((400, 500)))
    assert allocations(compiled(user_matmul), 5, *arguments) - allocations(compiled(user_matmul), 1, *arguments) == 4


# Vector widths


@pytest.mark.thorough
def test_every_width():
    # small and large products, one dtype each, because their callers are compiled anew
    chosen = "(edges or outside or large_products or factors) and not python and not {}"
    run_at_other_widths(["matmul"], lambda width: chosen.format("float32" if width == 16 else "float64"))
