"""The compile cache: where machine code is kept, what it distinguishes, and files damaged or not writable."""

import os
import shutil
import signal
import stat
import sys
import types
from pathlib import Path

import numba
import numpy as np
import pytest
from numba.core import event
from test_jit import run

from fastbp import kernels
from fastbp.kernels.compiler import cache, jit

UPDATE = """
    import numpy as np
    from fastbp import kernels
    w = np.ones(3)
    kernels.sgd_update(w, np.full(3, 2.0), 0.25)
    stats = kernels.sgd_update.stats
    print(w.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A cache folder for this test alone."""
    place = tmp_path / "fastbp" / "digest"
    monkeypatch.setattr(cache, "cache_folder", lambda: place)
    cache._warn_uncached.cache_clear()
    return place


def kernel(parallel=False):
    """A small kernel, as in a new process."""

    def third(x):
        return x[2] * 2

    return jit.njit(third, parallel=parallel)


def hits(function, *arguments, wanted=6.0):
    """Call the function; returns how often it was found in the cache."""
    assert function(*arguments or (np.arange(4.0) + 1,)) == wanted
    return sum(function.stats.cache_hits.values())


def files(folder):
    return sorted(path for path in folder.rglob("*") if path.is_file())


# The folder


def test_numba_cache_dir_is_honoured_and_a_second_process_reuses_it(tmp_path):
    assert run(UPDATE, NUMBA_CACHE_DIR=tmp_path).stdout == "[0.5, 0.5, 0.5] 0 1\n"
    found = list(tmp_path.rglob("*.nbc"))
    assert found
    assert all(file.parent == tmp_path / "fastbp" / cache.source_digest() for file in found)
    assert run(UPDATE, NUMBA_CACHE_DIR=tmp_path).stdout == "[0.5, 0.5, 0.5] 1 0\n"


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="their cache folders have other names")
def test_without_numba_cache_dir_the_users_cache_is_taken(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.cache_folder.__wrapped__() == tmp_path / "fastbp" / cache.source_digest()
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.cache_folder.__wrapped__() == tmp_path / ".cache" / "fastbp" / cache.source_digest()


@pytest.mark.parametrize("name", ["VECTOR_BYTES", "FIRST", "SECOND", "LAST"])
def test_processors_with_other_constants_have_folders_of_their_own(monkeypatch, name):
    # Work space that Python reserves by its own constants must be that of the compiled code.
    mine = cache.source_digest()
    monkeypatch.setattr(cache, name, 2 * getattr(cache, name))
    assert cache.source_digest() != mine


def test_any_change_of_a_source_changes_the_folder(tmp_path, monkeypatch):
    # A copy of the sources, with an edit in a file whose functions other kernels call.
    tree = tmp_path / "kernels"
    shutil.copytree(cache.TREE, tree)
    first = cache.source_digest()
    monkeypatch.setattr(cache, "TREE", tree)
    assert cache.source_digest() == first
    (tree / "__pycache__").mkdir(exist_ok=True)
    (tree / "__pycache__" / "more.pyc").write_bytes(b"written by Python")
    assert cache.source_digest() == first
    edited = next(tree.rglob("matmul.py"))
    edited.write_bytes(edited.read_bytes() + b"\n# edited\n")
    seen = {first, cache.source_digest()}
    edited = edited.rename(tree / "renamed.py")
    seen.add(cache.source_digest())
    (tree / "room").mkdir()
    edited.rename(tree / "room" / "renamed.py")
    assert len(seen | {cache.source_digest()}) == 4


@pytest.mark.parametrize("module", ["numba", "llvmlite"])
def test_another_version_of_the_compiler_has_its_own_folder(module, monkeypatch):
    first = cache.source_digest()
    monkeypatch.setattr(getattr(cache, module), "__version__", "0.1")
    assert cache.source_digest() != first


def test_without_sources_nothing_is_kept(tmp_path, monkeypatch):
    # In a zip file, another version could not be distinguished.
    monkeypatch.setattr(cache, "TREE", tmp_path / "none.zip" / "kernels")
    assert cache.cache_folder.__wrapped__().parts[:3] == Path(os.devnull, "fastbp").parts[:3]


def test_cache_folder_is_named_by_the_digest():
    assert kernels.cache_folder().name == cache.source_digest()


@pytest.mark.skipif(os.name != "posix", reason="POSIX permissions")
def test_folders_are_for_their_owner_alone(folder):
    assert hits(kernel()) == 0
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder.parent, folder, *files(folder))] == [
        0o700,
        0o700,
        0o600,
    ]


# What the cache distinguishes


def test_a_kernel_is_found_again(folder):
    assert hits(kernel()) == 0
    (file,) = files(folder)
    before = file.read_bytes()
    assert hits(kernel()) == 1
    assert file.read_bytes() == before


@pytest.mark.filterwarnings("ignore::numba.NumbaPerformanceWarning")  # nothing in the kernel can run in parallel
def test_every_signature_and_the_parallel_version_have_their_own_files(folder):
    # When two processes compile at once, Numba's index may name the code of another signature.
    kinds = [np.arange(4.0) + 1, np.arange(4, dtype=np.float32) + 1, np.arange(4) + 1]
    assert [hits(kernel(), x) for x in kinds] == [0, 0, 0]
    assert len(files(folder)) == 3
    assert hits(kernel(parallel=True)) == 0
    assert len(files(folder)) == 4
    assert hits(kernel(parallel=True).serial) == 1
    assert [hits(kernel(), x) for x in kinds] == [1, 1, 1]


def test_functions_of_one_name_in_two_folders_are_distinguished(folder):
    # kernels/layer/loss.py and kernels/node/loss.py may have the same function on the same line.
    functions = [types.FunctionType(kernel().py_func.__code__, {}) for _ in range(2)]
    for room, function in zip(("layer", "node"), functions, strict=True):
        function.__module__ = f"fastbp.kernels.{room}.loss"
        assert hits(jit.njit(function)) == 0
    assert [file.name.split(".kernel")[0] for file in files(folder)] == ["layer.loss", "node.loss"]


def test_code_with_and_without_bounds_checks_is_never_mixed(folder, monkeypatch):
    short = np.ones(2)
    for checked in (None, 1, None, 1, 0):
        monkeypatch.setattr(numba.config, "BOUNDSCHECK", checked)
        function = kernel()
        hits(function)
        if checked:
            with pytest.raises(IndexError):
                function(short)
        else:
            function(short)
    assert len(files(folder)) == 3


@pytest.mark.parametrize("name", cache.SETTINGS)
def test_other_settings_of_numba_are_distinguished(name, folder, monkeypatch):
    assert hasattr(numba.config, name)
    found = [kernel()._cache._key((), numba.core.registry.cpu_target.target_context.codegen())]
    monkeypatch.setattr(numba.config, name, "another")
    found.append(kernel()._cache._key((), numba.core.registry.cpu_target.target_context.codegen()))
    assert found[0] != found[1]


# Damaged files


def damaged(data, how):
    middle = len(data) // 2
    return {
        "empty": b"",
        "short": data[:20],
        "half": data[:middle],
        "cut": data[:-1],
        "grown": data + b"\0",
        "garbage": os.urandom(999),
        "zeros": bytes(len(data)),
        "swapped": data[middle:] + data[:middle],
    }[how]


@pytest.mark.parametrize("how", ["empty", "short", "half", "cut", "grown", "garbage", "zeros", "swapped"])
def test_a_damaged_file_is_replaced(how, folder):
    hits(kernel())
    (file,) = files(folder)
    whole = file.read_bytes()
    file.write_bytes(damaged(whole, how))
    assert hits(kernel()) == 0
    assert files(folder) == [file]
    assert hits(kernel()) == 1


def test_every_flipped_bit_is_noticed(folder):
    hits(kernel())
    (file,) = files(folder)
    whole = file.read_bytes()
    for place in [0, 31, 32, len(whole) - 1, *np.random.default_rng(0).integers(len(whole), size=200).tolist()]:
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << place % 8]) + whole[place + 1 :])
        assert cache.read(file) is None
    file.write_bytes(whole)
    assert hits(kernel()) == 1


def test_a_file_under_the_name_of_another_is_not_used(folder):
    hits(kernel())
    (first,) = files(folder)
    hits(kernel(), np.arange(4) + 1)
    (second,) = set(files(folder)) - {first}
    second.write_bytes(first.read_bytes())
    assert hits(kernel(), np.arange(4) + 1) == 0


# Files that cannot be written


def test_a_folder_that_cannot_be_written_warns_once_and_works(tmp_path, monkeypatch):
    # Inside a regular file, not even root can make a folder.
    (tmp_path / "file").touch()
    monkeypatch.setattr(cache, "cache_folder", lambda: tmp_path / "file" / "fastbp" / "digest")
    cache._warn_uncached.cache_clear()
    with pytest.warns(RuntimeWarning, match=r"cannot write its compile cache .* \(File exists\)") as caught:
        assert [hits(kernel()), hits(kernel())] == [0, 0]
    assert len(caught) == 1


def test_a_folder_in_the_place_of_a_file_stays_and_causes_a_warning(folder):
    hits(kernel())
    (file,) = files(folder)
    file.unlink()
    file.mkdir()
    with pytest.warns(RuntimeWarning, match="cannot write its compile cache"):
        assert hits(kernel()) == 0
    assert not files(folder)


def test_a_folder_that_was_deleted_is_made_again(folder):
    hits(kernel())
    for path in (*files(folder), folder, folder.parent):
        path.unlink() if path.is_file() else path.rmdir()
    assert [hits(kernel()), hits(kernel())] == [0, 1]


def test_a_file_that_does_not_fit_the_disk_is_not_kept(folder):
    resource = pytest.importorskip("resource")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    try:
        with pytest.warns(RuntimeWarning, match=r"cannot write its compile cache .* \(File too large\)"):
            assert hits(kernel()) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert not files(folder)
    assert [hits(kernel()), hits(kernel())] == [0, 1]


# Ctrl-C


class CtrlC(event.Listener):
    """Sends SIGINT to this process whenever Numba has begun or ended a pass of its compiler."""

    def __init__(self, at_start):
        self.on_start, self.on_end = (self.send, self.pass_by) if at_start else (self.pass_by, self.send)

    on_start = on_end = None  # abstract, set above

    def send(self, happening):
        signal.raise_signal(signal.SIGINT)

    def pass_by(self, happening):
        pass


@pytest.mark.parametrize("at_start", [True, False])
def test_ctrl_c_waits_for_the_end_of_a_compilation(at_start, folder):
    function, before = kernel(), signal.getsignal(signal.SIGINT)
    with event.install_listener("numba:run_pass", CtrlC(at_start)), pytest.raises(KeyboardInterrupt):
        function(np.ones(3))
    assert signal.getsignal(signal.SIGINT) is before
    assert len(function.signatures) == 1
    assert [hits(function), hits(kernel())] == [0, 1]
