"""The compile cache: a folder for machine code, and files that are read whole or not at all."""

from __future__ import annotations

import functools
import hashlib
import os
import pickle
import sys
import tempfile
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import llvmlite
import llvmlite.binding as llvm
import numba
from numba.core.caching import _Cache
from numba.core.compiler import CompileResult
from numba.core.runtime import _nrt_python
from numba.core.serialize import dumps

from .processor import FIRST, LAST, SECOND, VECTOR_BYTES
from .threads import hold_at_fork

PACKAGE = __name__.rsplit(".", 2)[0]
TREE = Path(__file__).parents[1]  # of all kernels

# Numba's settings that change the machine code of a function, and that a process may change between two compilations
SETTINGS = (
    "BOUNDSCHECK",
    "DEBUGINFO_DEFAULT",
    "DEBUG_ARRAY_OPT_RUNTIME",
    "DEBUG_NRT",
    "EXTEND_VARIABLE_LIFETIMES",
    "LLVM_REFPRUNE_FLAGS",
    "LLVM_REFPRUNE_PASS",
    "LOOP_VECTORIZE",
    "NRT_STATS",
    "OPT",
    "PARFOR_MAX_TUPLE_SIZE",
    "SLP_VECTORIZE",
    "USING_SVML",
)
# Held while a file is written.
_writing = threading.Lock()
hold_at_fork(_writing)


def source_digest() -> str:
    """
    Digest of kernel sources, compilers and what constants are chosen by; empty if no source can be read (a zip file).

    Compiled code holds the constants, and Python reserves memory by them: they have to be of one processor.
    """
    chosen_by = VECTOR_BYTES, FIRST, SECOND, LAST
    digest = hashlib.sha256(f"{chosen_by} {numba.__version__} {llvmlite.__version__}".encode())
    paths = {path.relative_to(TREE): path for path in TREE.rglob("*.py*")}
    sources = sorted(name for name in paths if "__pycache__" not in name.parts)
    for name in sources:
        digest.update(name.as_posix().encode() + b"\0" + paths[name].read_bytes() + b"\0")
    return digest.hexdigest()[:16] if sources else ""


def place_of(function: Callable[..., Any]) -> str:
    """The path of a function's file below kernels/, with dots: files in different folders may have the same name."""
    return function.__module__.removeprefix(f"{PACKAGE}.")


def _user_cache() -> Path:
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        root = "~/Library/Caches"
    else:
        root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "fastbp"


@functools.cache
def cache_folder() -> Path:
    """
    Folder of the compiled kernels: below ``NUMBA_CACHE_DIR`` if that is set, else in the user's cache.

    Its name is a digest of the sources of all kernels, the versions of Numba and llvmlite and the width of a vector:
    after an edit or an upgrade it is another folder. It is made when the first file is kept, for its owner alone. If
    the user has no home, or the sources cannot be read, it is a folder that cannot be made: nothing is kept.
    """
    digest, chosen = source_digest(), os.environ.get("NUMBA_CACHE_DIR")
    if digest:
        try:
            return (Path(chosen) / "fastbp" if chosen else _user_cache()) / digest
        except RuntimeError:
            pass
    return Path(os.devnull) / "fastbp" / (digest or "unknown")


def _signed(file: Path, data: bytes) -> bytes:
    return hashlib.sha256(file.name.encode() + b"\0" + data).digest()


def read(file: Path) -> bytes | None:
    """What `keep` wrote into the file; None if it is missing, damaged, or another file under its name."""
    try:
        found = file.read_bytes()
    except OSError:
        return None
    return found[32:] if _signed(file, found[32:]) == found[:32] else None


def keep(file: Path, data: bytes) -> None:
    """Write the file whole or not at all, in folders for the user alone; without it the next process compiles again."""
    try:
        file.parents[2].mkdir(parents=True, exist_ok=True)
        for folder in (file.parents[1], file.parent):  # somebody may have deleted them
            folder.mkdir(mode=0o700, exist_ok=True)
        with _writing:
            handle, temporary = tempfile.mkstemp(dir=file.parent)
            try:
                with os.fdopen(handle, "wb") as stream:
                    stream.write(_signed(file, data) + data)
                os.replace(temporary, file)
            except BaseException:
                os.unlink(temporary)
                raise
    except OSError as error:
        if read(file) is None:  # otherwise another process was faster, and holds the file open (Windows)
            _warn_uncached(error.strerror)


def end_process() -> NoReturn:
    """End this process at once, from any thread, but leave no file half written."""
    _writing.acquire()
    os._exit(0)


@functools.cache
def _warn_uncached(reason: str) -> None:
    warnings.warn(
        f"fastbp cannot write its compile cache {cache_folder()} ({reason}): every process compiles the kernels again. "
        "Set NUMBA_CACHE_DIR to a folder that can be written.",
        RuntimeWarning,
        stacklevel=3,
    )


@functools.cache
def _link_runtime() -> None:
    """Make the functions of Numba's runtime in C known to the linker, as Numba does before it compiles the rest."""
    for name, address in _nrt_python.c_helpers.items():
        llvm.add_symbol(name if name.startswith("_") else f"NRT_{name}", address)


class KernelCache(_Cache):
    """
    Machine code of one kernel, a file for each signature; takes the place of Numba's own cache in a dispatcher.

    Numba's cache keeps an index and numbered files: two processes that compile two signatures at once may give them the
    same number, and the index then names the wrong code. It also trusts whatever it reads, and a full disk ends the
    compilation.

    Parameters
    ----------
    function : function
        The kernel in plain Python.
    parallel : bool
        Whether it is compiled for threads: the same function may be compiled both ways.
    """

    def __init__(self, function: Callable[..., Any], *, parallel: bool) -> None:
        code, self._function = function.__code__, function
        version = "parallel" if parallel else "serial"
        name = f"{place_of(function)}.{function.__qualname__}-{version}-{code.co_firstlineno}"
        self._name, path = name.replace("<", "").replace(">", ""), Path(code.co_filename)
        # the digest in the name of the folder covers the sources of this package only
        self._source = b"" if path.is_relative_to(TREE) else hashlib.sha256(path.read_bytes()).digest()

    @property
    def cache_path(self) -> str:
        """The folder, as Numba's statistics show it."""
        return str(cache_folder())

    @property
    def kept(self) -> bool:
        """Whether there is machine code for any signature."""
        return any(cache_folder().glob(f"{self._name}-*"))

    def _key(self, signature: Any, codegen: Any) -> tuple[Any, ...]:
        """Everything that distinguishes this machine code from other code with the same digest."""
        closure = tuple(cell.cell_contents for cell in self._function.__closure__ or ())
        code = hashlib.sha256(
            self._function.__code__.co_code + self._source + (dumps(closure) if closure else b"")
        ).hexdigest()
        settings = tuple(str(getattr(numba.config, name, None)) for name in SETTINGS)
        python = sys.implementation.cache_tag, getattr(sys, "abiflags", "")
        return signature, codegen.magic_tuple(), settings, python, code

    def _file(self, key: tuple[Any, ...]) -> Path:
        return cache_folder() / f"{self._name}-{hashlib.sha256(repr(key).encode()).hexdigest()[:16]}.nbc"

    def load_overload(self, signature: Any, context: Any) -> Any:
        """
        The compiled signature, or None.

        Numba's own cache first brings up to date what compiling needs: it imports all that Numba knows of NumPy, and
        SciPy if it is there, and compiles a part of its runtime: 0.3 s and 60 MB. Machine code that is compiled needs
        no more than the addresses of the runtime's functions.
        """
        _link_runtime()
        key = self._key(signature, context.codegen())
        data = read(self._file(key))
        found, payload = (None, ()) if data is None else pickle.loads(data)
        return CompileResult._rebuild(context, *payload) if found == key else None

    def save_overload(self, signature: Any, result: Any) -> None:
        """Keep the machine code, unless it holds addresses of this process."""
        if not result.library.has_dynamic_globals:
            key = self._key(signature, result.codegen)
            keep(self._file(key), dumps((key, result._reduce())))

    def enable(self) -> None:
        """Do nothing: the cache is always on."""

    disable = flush = enable
