"""Machine-code routines: compiled once, kept as object files, found again by cached callers, and what they refuse."""

import itertools
import os
import shutil
import subprocess
import sys
import textwrap
from collections import namedtuple

import numba
import numpy as np
import pytest
from naive import DTYPES
from numba.core.errors import TypingError
from test_jit import run

from fastbp import kernels
from fastbp.kernels.compiler import routine
from fastbp.kernels.compiler.values import DOUBLE
from fastbp.kernels.layer import ufunc

# Compiles a routine without Numba, and prints how often it was compiled, and its result, which is that of exp.
READY = """
    import ctypes
    import llvmlite.binding as llvm
    import numpy as np
    from fastbp.kernels.compiler import routine
    from fastbp.kernels import cache_folder
    from fastbp.kernels.layer import ufunc

    compiled, compile_ = [], routine._optimised
    routine._optimised = lambda made, *rest: compiled.append(made.name) or compile_(made, *rest)
    for dtype in (np.float32, np.float64, np.float32):
        x, out, itemsize = np.linspace(-1, 1, 50).astype(dtype), np.empty(50, dtype), np.dtype(dtype).itemsize
        routine.ready("layer.ufunc.exp", itemsize)
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        call(llvm.address_of_symbol(routine._symbol("layer.ufunc.exp", itemsize)))(x.ctypes.data, out.ctypes.data, 50)
        np.testing.assert_allclose(out, np.exp(x), rtol=1e-6)
    files = [routine._object_file(routine._symbol("layer.ufunc.exp", size)) for size in (4, 8)]
    print(len(compiled), all(file.is_relative_to(cache_folder()) for file in files))
"""


def objects(folder):
    return sorted(folder.rglob("*.o"))


def test_a_routine_is_compiled_once_per_dtype_and_a_second_process_reuses_it(tmp_path):
    assert run(READY, NUMBA_CACHE_DIR=tmp_path).stdout == "2 True\n"
    before = {file: file.stat().st_mtime_ns for file in objects(tmp_path)}
    assert [file.name.split("-")[0] for file in before] == sorted(
        routine._symbol("layer.ufunc.exp", size) for size in (4, 8)
    )
    assert run(READY, NUMBA_CACHE_DIR=tmp_path).stdout == "0 True\n"
    assert {file: file.stat().st_mtime_ns for file in objects(tmp_path)} == before
    assert {file.suffix for file in tmp_path.rglob("*") if file.is_file()} == {".o"}  # no temporary file is left


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """The files of a process that has compiled."""
    folder = tmp_path_factory.mktemp("kept")
    run(READY, NUMBA_CACHE_DIR=folder)
    return folder


@pytest.mark.parametrize(
    "damage",
    ["changed", *(pytest.param(x, marks=pytest.mark.thorough) for x in ("empty", "short", "cut", "grown", "folder"))],
)
def test_a_damaged_file_is_compiled_anew(damage, kept, tmp_path):
    shutil.copytree(kept, tmp_path, dirs_exist_ok=True)
    whole = [file.read_bytes() for file in objects(tmp_path)]
    for file, data in zip(objects(tmp_path), whole, strict=True):
        middle = len(data) // 2
        if damage == "folder":  # it can be neither read nor replaced
            file.unlink()
            file.mkdir()
            continue
        file.write_bytes(
            {
                "empty": b"",
                "short": data[:20],
                "cut": data[:-1],
                "grown": data + b"\0",
                "changed": data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :],
            }[damage]
        )
    assert run(READY, NUMBA_CACHE_DIR=tmp_path).stdout == "2 True\n"
    if damage == "folder":
        assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    else:
        assert [file.read_bytes() for file in objects(tmp_path)] == whole


def test_a_folder_that_cannot_be_written_does_not_matter(tmp_path):
    # Inside a regular file, not even root can make a folder.
    (tmp_path / "file").touch()
    assert run(READY, NUMBA_CACHE_DIR=tmp_path / "file" / "below").stdout == "2 True\n"


def test_another_processor_has_its_own_files(monkeypatch):
    mine = routine._object_file("x")
    monkeypatch.setattr(routine, "target", lambda: ("another", ""))
    assert routine._object_file("x").name != mine.name
    assert routine._object_file("x").parent == mine.parent == kernels.cache_folder()


def test_routines_have_different_names():
    # The linker knows routines by name: two of one name would be one.
    names = list(routine._routines)
    symbols = {routine._symbol(name, size) for name, size in itertools.product(names, (4, 8))}
    assert len(symbols) == 2 * len(names) > 30
    assert {"product.tile.gemm", "product.pack.copy", "layer.ufunc.exp", "layer.optimizer.update"} <= set(names)


# Users' functions, which Numba keeps in their own files

USER = """
import numpy as np
from numba import njit
from fastbp import kernels

@njit(cache=True)
def product(A, B):
    out = np.zeros((4, 4))
    kernels.KERNEL
    kernels.sgd_update(out, np.ones_like(out), 0.5)
    return out
"""
CALL = """
    import sys
    sys.path.insert(0, FOLDER)
    import numpy as np
    import user
    A, B = np.arange(32.0).reshape(2, 4, 4)
    print((user.product(A, B) == WANTED - 0.5).all(), sum(user.product.stats.cache_hits.values()))
"""


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="about compiled code")
def test_a_cached_caller_finds_its_routines_again(tmp_path):
    (tmp_path / "user.py").write_text(USER.replace("KERNEL", "activation_forward(kernels.RELU, A, out)"))
    code, cache = CALL.replace("FOLDER", repr(str(tmp_path))).replace("WANTED", "A"), tmp_path / "cache"
    assert run(code, NUMBA_CACHE_DIR=cache).stdout == "True 0\n"
    files = objects(cache)
    for file in files:
        file.unlink()
    assert run(code, NUMBA_CACHE_DIR=cache).stdout == "True 1\n"
    assert objects(cache) == files != []


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="about compiled code")
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("kernel", "wanted"), [("activation_forward(kernels.RELU, A, out)", "A"), ("matmul(A, B, out)", "A @ B")]
)
def test_cached_callers_find_their_routines_again(kernel, wanted, tmp_path):
    # `user.product` calls `below.product`, which calls kernels: Numba keeps a copy of the callee's code within the
    # caller's.
    (tmp_path / "below.py").write_text(USER.replace("KERNEL", kernel))
    caller = "import below, numba\n@numba.njit(cache=True)\ndef product(A, B):\n    return below.product(A, B)\n"
    (tmp_path / "user.py").write_text(caller)
    cache = tmp_path / "cache"
    user = CALL.replace("FOLDER", repr(str(tmp_path))).replace("WANTED", wanted)
    below = user.replace("user", "below")
    for code, said in ((below, "True 0\n"), (below, "True 1\n"), (user, "True 0\n"), (user, "True 1\n")):
        assert run(code, NUMBA_CACHE_DIR=cache).stdout == said
    # without the object files, and then without any of the package's files
    files = objects(cache)
    assert files
    for file in files:
        file.unlink()
    assert run(below, NUMBA_CACHE_DIR=cache).stdout == "True 1\n"
    assert objects(cache) == files
    for file in (cache / "fastbp").rglob("*.*"):
        file.unlink()
    assert run(user, NUMBA_CACHE_DIR=cache).stdout == "True 1\n"


# One kernel, in a new process.
ONE = """
    import numpy as np
    from fastbp import kernels
    A, out = np.arange(9.0).reshape(3, 3), np.empty((3, 3))
    kernels.KERNEL
    print((out == WANTED).all())
"""
PRODUCT, GRADIENT = (
    ONE.replace("KERNEL", kernel).replace("WANTED", wanted)
    for kernel, wanted in [("matmul(A, A, out)", "A @ A"), ("weight_gradient(A, A, out)", "A.T @ A")]
)


@pytest.mark.thorough
def test_a_caller_of_a_cached_kernel_finds_its_routines_again(tmp_path):
    # The second process compiles a caller of what the first one has cached; the third one takes the caller from the
    # cache. NUMBA_DISABLE_JIT is about the user's functions: what is compiled then is as good as what is compiled
    # otherwise.
    for code, off in ((PRODUCT, 1), (GRADIENT, 0), (GRADIENT, 1)):
        assert run(code, NUMBA_CACHE_DIR=tmp_path, NUMBA_DISABLE_JIT=off).stdout == "True\n"


THREADS = """
    import numpy as np
    from fastbp import kernels
    A = np.random.default_rng(0).normal(size=(200, 300))
    out = np.empty((200, 200))
    with kernels.threads(2):
        kernels.matmul_parallel(A, A.T, out)
    print(abs(out - A @ A.T).max() < 1e-12)
"""


@pytest.mark.thorough
def test_a_cached_parallel_kernel_finds_its_routines_again():
    # in the cache of these tests: the second process, if not already the first, loads it from there
    for _ in range(2):
        assert run(THREADS).stdout == "True\n"


# What is refused


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def square(dtype=np.float64):
    return np.ones((3, 3), dtype)


# Kernels with arrays of one dtype: how to call them with those arrays, and which of them they write.
CALLS = {
    "matmul": (3, kernels.matmul, [2]),
    "weight_gradient": (3, kernels.weight_gradient, [2]),
    "hidden_delta": (4, lambda *x: kernels.hidden_delta(1, *x), [3]),
    "activation_forward": (2, lambda *x: kernels.activation_forward(1, *x), [1]),
    "sgd_update": (2, lambda *x: kernels.sgd_update(*x, 0.1), [0]),
    "rprop_update": (4, lambda *x: kernels.rprop_update(*x, 0.1, 0.5, 1.2), [0, 2, 3]),
    "adam_update": (4, lambda *x: kernels.adam_update(*x, 1, 0.1, 0.9, 0.9, 1e-8), [0, 2, 3]),
    "exp": (2, ufunc.exp, [1]),
}
PRODUCTS = ("matmul", "weight_gradient", "hidden_delta")


of_several_arrays = pytest.mark.parametrize(
    "name",
    [
        # products are refused as `activation_forward` is, by the same lines, and take seconds to compile
        pytest.param(name, marks=pytest.mark.thorough if name in PRODUCTS else ())
        for name in CALLS
        if name != "exp"
    ],
)


@pytest.mark.parametrize(
    "dtype", [np.int64, np.complex128, *(pytest.param(x, marks=pytest.mark.thorough) for x in (np.int32, np.bool_))]
)
@pytest.mark.parametrize("name", CALLS)
def test_other_numbers_are_refused(name, dtype):
    count, call, _ = CALLS[name]
    with pytest.raises(TypingError, match="float32 or float64"):
        call(*[square(dtype) for _ in range(count)])


@of_several_arrays
def test_a_mix_of_dtypes_is_refused(name):
    count, call, _ = CALLS[name]
    for first, second in (DTYPES, DTYPES[::-1]):
        for odd in range(count):
            with pytest.raises(
                TypingError, match=r"an aligned array of float(32|64) expected next to one of float(32|64), got"
            ):
                call(*[square(second if k == odd else first) for k in range(count)])


@of_several_arrays
def test_what_is_written_must_not_be_read_only_and_the_rest_may_be(name):
    count, call, written = CALLS[name]
    for k in range(count):
        arrays = [_read_only(square()) if i == k else square() for i in range(count)]
        if k in written:
            with pytest.raises(TypingError, match=r"read-?only"):
                call(*arrays)
        else:
            call(*arrays)
        assert (arrays[k] == 1).all() or k not in written


def test_order_is_of_int64():
    arguments = [np.ones((5, 2)), np.ones((5, 1)), np.ones(5), np.arange(5, dtype=np.int32), 2]
    arguments += [np.array([2, 1]), np.array([1]), 0, np.empty(0), 0, np.ones(3)]
    arguments += [0, np.empty(0), np.empty(0), 0, 0.1, 0.9, 0.9, 1e-8, 0.0]
    with pytest.raises(TypingError, match="an aligned array of int64 expected"):
        kernels.minibatch_epoch(*arguments)


@pytest.mark.parametrize(
    "name", ["activation_forward", *(pytest.param(x, marks=pytest.mark.thorough) for x in PRODUCTS)]
)
def test_fields_of_packed_records_are_refused(name):
    # the steps between their elements are not multiples of the element size
    field = np.ones(9, np.dtype([("a", np.uint8), ("b", np.float64)]))["b"].reshape(3, 3)
    field[...] = 1
    count, call, _ = CALLS[name]
    for odd in range(count):
        arrays = [field if k == odd else square() for k in range(count)]
        with pytest.raises(ValueError, match="packed records"):
            call(*arrays)
    assert (field == 1).all()


def test_fields_of_aligned_records_are_taken():
    kind = np.dtype([("a", np.int32), ("b", np.float64)], align=True)
    A, B, out = (np.zeros(9, kind)["b"].reshape(3, 3) for _ in range(3))
    A[...], B[...] = np.random.default_rng(0).normal(size=(2, 3, 3))
    kernels.matmul(A, B, out)
    np.testing.assert_allclose(out, A @ B, rtol=1e-14)


@pytest.mark.skipif(numba.config.DISABLE_JIT, reason="about compiled code")
def test_unaligned_arrays_of_compiled_code_are_refused_when_it_is_compiled():
    @numba.njit
    def user(records, out):
        kernels.activation_forward(1, records.b.reshape(3, 3), out)

    @numba.njit
    def exponential(records, out):
        ufunc.exp(records.b, out)

    records = np.ones(3, np.dtype([("a", np.uint8), ("b", np.float64)]))
    with pytest.raises(TypingError):
        user(records, square())
    with pytest.raises(TypingError):
        exponential(records, np.ones(3))


# Groups of arguments


@pytest.fixture(autouse=True)
def _nothing_of_these_tests_is_kept(monkeypatch, request):
    """The cache folder depends on the sources of the kernels, not on those of the tests."""
    if "group" in request.node.name:
        monkeypatch.setattr(routine, "read", lambda file: None)
        monkeypatch.setattr(routine, "keep", lambda file, code: None)


@routine.routine("i(ai)(Ai)s")
def line(v, count, x, out, slope):
    """out_i = slope x_i + i, with steps; the arrays come first, as an emitter receives them."""
    (x, x_step), (out, out_step) = x, out
    for i in v.range(count):
        out.set_item(i * out_step, slope * x.item(i * x_step) + i.to(v.scalar))


@routine.routine("(a)(nFiid)(si)", "d")
def mixed(v, first, others, last):
    """Letters of all kinds in groups."""
    (x,), (codes, sums, i, j, shift), (factor, k) = first, others, last
    sums.set_item(j, sums.item(j) + shift)
    return (x.item(codes.item(i)) * factor).to(DOUBLE) + k.to(DOUBLE)


compiled_only = pytest.mark.skipif(numba.config.DISABLE_JIT, reason="about compiled code")


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_reach_the_emitter_as_tuples(dtype):
    @numba.njit
    def run_line(x, at, out, slope):
        line(4, (x, at, 2), (out, 1, 3), slope)

    x, out = np.arange(20).astype(dtype), np.full(20, -1, dtype)
    for slope in (dtype(0.5), 2, np.float64(0.5)):  # numbers are converted to the dtype
        run_line(x, 3, out, slope)
        wanted = np.full(20, -1, dtype)
        wanted[1:13:3] = dtype(slope) * x[3:11:2] + np.arange(4, dtype=dtype)
        np.testing.assert_array_equal(out, wanted)


@compiled_only
@pytest.mark.parametrize("dtype", DTYPES)
def test_groups_of_all_kinds_of_arguments(dtype):
    @numba.njit
    def run_mixed(x, codes, sums, i, shift, factor):
        return mixed((x, 0), (codes, 1, sums, 2, i, True, shift), (factor, i))

    x, codes, sums = np.arange(9).astype(dtype), np.array([0, 7, 5, 3]), np.zeros(5)
    for i in range(3):
        assert run_mixed(x, codes, sums, i, 0.25, 3) == 3 * codes[1 + i] + i
    np.testing.assert_array_equal(sums, [0, 0, 0, 0.75, 0])
    assert run_mixed(x, codes, sums, np.int32(1), 1, np.float32(0.5)) == 0.5 * codes[2] + 1


@compiled_only
def test_groups_may_be_variables_and_named_tuples():
    @numba.njit
    def run_line(point, x, out):
        source = (x, 0, 1)
        line(len(x), source, point, 2.0)

    Target = namedtuple("Target", "out at step")
    x, out = np.arange(4.0), np.empty(5)
    run_line(Target(out, 1, 1), x, out)
    np.testing.assert_array_equal(out[1:], 2 * x + np.arange(4))
    with pytest.raises(TypingError, match=r"line: a named tuple of .* expected, got Target"):
        run_line(Target(out, 1.0, 1), x, out)


GROUPED = r"line: arguments grouped as i\(ai\)\(Ai\)s expected, got"


@compiled_only
@pytest.mark.parametrize(
    ("call", "message"),
    [
        # arguments in other groups than those of the parameters
        (lambda x, out: line(4, x, 0, 1, out, 0, 1, 2.0), GROUPED),
        (lambda x, out: line(4, (x, 0, 1), (out, 0, 1, 2.0)), GROUPED),
        (lambda x, out: line(4, (x, 0), (1, out, 0, 1), 2.0), GROUPED),
        (lambda x, out: line((4, x, 0), (1, out, 0, 1), 2.0), GROUPED),
        (lambda x, out: line((4,), (x, 0, 1), (out, 0, 1), 2.0), GROUPED),
        (lambda x, out: line(4, (x, 0, 1), (out, 0, 1), (2.0,)), GROUPED),
        # too few, or too many
        (lambda x, out: line(4, (x, 0), (out, 0, 1), 2.0), "line: 8 arguments expected, got 7"),
        (lambda x, out: line(4, (x, 0, 1), (out, 0, 1, 1), 2.0), "line: 8 arguments expected, got 9"),
        (lambda x, out: line(4, (), (out, 0, 1), 2.0), "line: 8 arguments expected, got 5"),
        # of other kinds
        (lambda x, out: line(4, (0, x, 1), (out, 0, 1), 2.0), "line: arrays of float32 or float64 expected, got"),
        (lambda x, out: line(4, (x, x, 1), (out, 0, 1), 2.0), r"line: a number expected, got array"),
        (lambda x, out: line(4, (x, 0, (1,)), (out, 0, 1), 2.0), r"line: a number expected, got Uni"),
        (lambda x, out: line(x, (x, 0, 1), (out, 0, 1), 2.0), r"line: a number expected, got array"),
        (lambda x, out: line(4, (x, 0, 1), (out, 0, 1), "2"), r"line: a number expected, got"),
        (lambda x, out: line(4, (x, 0, 1), (2.0, 0, 1), 2.0), "line: an aligned array of float64 expected"),
        (lambda x, out: line(4, (x, 0, 1), ((out,), 0, 1), 2.0), "line: an aligned array of float64 expected"),
        (
            lambda x, out: line(4, (x, 0, 1), (out.astype(np.float32), 0, 1), 2.0),
            "line: an aligned array of float64 exp",
        ),
        (
            lambda x, out: mixed((x, 0), (out, 0, out, 0, 0, 0, 1.0), (1.0, 0)),
            "mixed: an aligned array of int64 expected",
        ),
    ],
)
def test_other_groups_are_refused(call, message):
    with pytest.raises(TypingError, match=message):
        numba.njit(call)(np.ones(9), np.ones(9))


@compiled_only
def test_arrays_in_groups_that_are_written_must_not_be_read_only():
    @numba.njit
    def run_line(x, out):
        line(4, (x, 0, 1), (out, 0, 1), 2.0)

    with pytest.raises(TypingError, match=r"line: this array is written, and must not be read-only"):
        run_line(np.ones(4), _read_only(np.ones(4)))
    run_line(_read_only(np.ones(4)), np.ones(4))


def test_groups_of_parameters_and_of_values():
    for parameters, wanted in [
        ("abc", [0, 1, 2]),
        ("(ab)c", [(0, 1), 2]),
        ("a(bc)(d)e", [0, (1, 2), (3,), 4]),
        ("(abc)", [(0, 1, 2)]),
        ("", []),
    ]:
        assert routine.grouped(parameters, range(10)) == wanted


@pytest.mark.thorough
def test_processes_may_write_at_once(tmp_path):
    # Files are replaced as a whole: whoever comes last leaves a good one.
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(READY)]
    several = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in several:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        assert out.endswith("True\n")
    assert run(READY, NUMBA_CACHE_DIR=tmp_path).stdout == "0 True\n"
