"""`Network.to_c`: the network as one C99 file that needs only the C library."""

from __future__ import annotations

import ctypes
import os
import re
import shutil
import subprocess
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .. import storage
from ..inputs import Inputs
from ..network import Network
from . import c_source, verify
from .verify import Answers, Array

_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-shared", "-fPIC")


def to_c(net: Network, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
    """Write `net` to a C file; see `Network.to_c`."""
    name = identifier(Path(path).stem)
    source, raw = c_source.text(net, name), verify.raw_rows(net, X)
    if compiler() is None:
        warnings.warn("to_c: no C compiler was found, the file was not compared with the network", UserWarning, stacklevel=3)
    else:
        verify.require("to_c", net, Inputs.of(net).expand(raw), answers(net, source, name, raw))
    storage.write_atomically(path, source.encode())


def identifier(stem: str) -> str:
    """A name for C out of that of a file."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII).lstrip("_")
    return name if name and not name[0].isdigit() else f"net_{name}".rstrip("_")


def compiler() -> str | None:
    """Path of the machine's C compiler, if it has one."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def answers(net: Network, source: str, name: str, raw: Array) -> Answers:
    """Compile the file with every warning an error, and ask it about rows of raw values."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        code, built = Path(folder, "net.c"), Path(folder, "net.so")
        code.write_text(source, encoding="utf-8")
        done = subprocess.run([str(compiler()), *_FLAGS, str(code), "-o", str(built), "-lm"], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"to_c: the C compiler refused the file, which was not kept: {done.stderr.strip()}")
        return _ask(net, ctypes.CDLL(str(built)), name, raw)


def _ask(net: Network, library: ctypes.CDLL, name: str, raw: Array) -> Answers:
    """Call the functions of the compiled file, row after row."""
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(raw, net.dtype)
    predict = getattr(library, f"{name}_predict")

    def call(function: Any, *arrays: Array) -> list[Any]:
        return [function(*(ctypes.c_void_p(row.ctypes.data) for row in rows)) for rows in zip(*arrays, strict=True)]

    outputs = np.empty((len(raw), net.sizes[-1]), net.dtype)
    if net.task == "regression":
        call(predict, x, outputs)
        return Answers(outputs)
    call(getattr(library, f"{name}_forward"), x, outputs)
    if net.classes is None:
        probabilities, labels = np.empty_like(outputs), np.empty(outputs.shape, np.intc)
        call(predict, x, probabilities, labels)
        return Answers(outputs, probabilities, labels)
    probabilities = np.empty((len(raw), len(net.classes)), net.dtype)
    return Answers(outputs, probabilities, net.classes[call(predict, x, probabilities)])
