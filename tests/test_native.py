"""Machine-code routines: compiled once, kept as object files, found again by cached callers, and what they refuse."""

import itertools
import os
import shutil
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest
from naive import DTYPES
from numba.core.errors import TypingError
from test_jit import run

from fastbp import kernels
from fastbp.kernels.compiler import routine
from fastbp.kernels.layer import ufunc

# Compiles a routine without Numba, and says how often it was compiled; its result is that of exp.
READY = """
    import ctypes
    import llvmlite.binding as llvm
    import numpy as np
    from fastbp.kernels.compiler import routine
    from fastbp.kernels import cache_folder
    from fastbp.kernels.layer import ufunc

    compiled, compile_ = [], routine._compile
    routine._compile = lambda made, *rest: compiled.append(made.name) or compile_(made, *rest)
    for dtype in (np.float32, np.float64, np.float32):
        x, out, itemsize = np.linspace(-1, 1, 50).astype(dtype), np.empty(50, dtype), np.dtype(dtype).itemsize
        routine.ready("layer.ufunc.exp", itemsize)
        call = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
        call(llvm.address_of_symbol(routine._symbol("layer.ufunc.exp", itemsize)))(x.ctypes.data, out.ctypes.data, 50)
        np.testing.assert_allclose(out, np.exp(x), rtol=1e-6)
    print(len(compiled), all(routine._object_file(routine._symbol("layer.ufunc.exp", size)).is_relative_to(cache_folder()) for size in (4, 8)))
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
        if damage == "folder":  # cannot be read, nor replaced
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
    # Below a regular file: not even root can make a folder there.
    (tmp_path / "file").touch()
    assert run(READY, NUMBA_CACHE_DIR=tmp_path / "file" / "below").stdout == "2 True\n"


def test_another_processor_has_files_of_its_own(monkeypatch):
    mine = routine._object_file("x")
    monkeypatch.setattr(routine.llvm, "get_host_cpu_name", lambda: "another")
    assert routine._object_file("x").name != mine.name
    assert routine._object_file("x").parent == mine.parent == kernels.cache_folder()


def test_routines_have_names_of_their_own():
    # The linker knows them by name: two of one name would be one.
    names = list(routine._routines)
    symbols = {routine._symbol(name, size) for name, size in itertools.product(names, (4, 8))}
    assert len(symbols) == 2 * len(names) > 30
    assert {"product.tile.gemm", "product.pack.copy", "layer.ufunc.exp", "layer.optimizer.update"} <= set(names)


# Users' own functions, kept by Numba in files of their own

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
    # `user.product` calls `below.product`, which calls kernels: Numba keeps a copy of the callee's code within the caller's.
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


# One kernel, in a process of its own.
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
    # The second process compiles a caller of what the first one has cached; the third one takes the caller from the cache.
    # NUMBA_DISABLE_JIT is about the user's functions: what is compiled then is as good as what is compiled otherwise.
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
    # in the cache of these tests: the second process, if not the first, loads it from there
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


of_several_arrays = pytest.mark.parametrize(
    "name",
    [
        # refused as `matmul` refuses them, by the same lines
        pytest.param(name, marks=pytest.mark.thorough if name in ("weight_gradient", "hidden_delta") else ())
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
                TypingError, match=r"an aligned array of float(32|64) expected beside one of float(32|64), got"
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
    arguments = [
        np.ones((5, 2)),
        np.ones((5, 1)),
        np.ones(5),
        np.arange(5, dtype=np.int32),
        2,
        np.array([2, 1]),
        np.array([1]),
        0,
        np.empty(0),
        0,
        np.ones(3),
        0,
        np.empty(0),
        np.empty(0),
        0,
        0.1,
        0.9,
        0.9,
        1e-8,
        0.0,
    ]
    with pytest.raises(TypingError, match="an aligned array of int64 expected"):
        kernels.minibatch_epoch(*arguments)


@pytest.mark.parametrize(
    "name",
    [
        "matmul",
        "activation_forward",
        *(pytest.param(x, marks=pytest.mark.thorough) for x in ("weight_gradient", "hidden_delta")),
    ],
)
def test_fields_of_packed_records_are_refused(name):
    # their elements lie no whole numbers of elements apart
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


@pytest.mark.thorough
def test_processes_may_write_at_once(tmp_path):
    # Files are replaced as wholes: whoever comes last leaves a good one.
    env = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(READY)]
    several = [subprocess.Popen(command, env=env, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for process in several:
        out, _ = process.communicate(timeout=300)
        assert process.returncode == 0
        assert out.endswith("True\n")
    assert run(READY, NUMBA_CACHE_DIR=tmp_path).stdout == "0 True\n"
