"""`to_c`: writes a network or an ensemble as one C99 file that needs only the C library."""

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

from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from . import c_source, verify
from .verify import Answers, Array

_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic", "-O2", "-shared", "-fPIC")


def to_c(model: Network | Ensemble, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
    """Write `model` to a C file; see `Network.to_c`."""
    verify.require_equal_inputs("to_c", model)
    name = identifier(Path(path).stem)
    source, raw = c_source.text(model, name), verify.raw_rows(model, X)
    if compiler() is None:
        message = "to_c: no C compiler was found, the file was not compared with the network"
        warnings.warn(message, UserWarning, stacklevel=3)
    else:
        verify.require("to_c", model, raw, answers(model, source, name, raw))
    storage.write_atomically(path, source.encode())


def identifier(stem: str) -> str:
    """A C identifier from the name of a file."""
    name = re.sub(r"\W", "_", stem, flags=re.ASCII).lstrip("_")
    return name if name and not name[0].isdigit() else f"net_{name}".rstrip("_")


def compiler() -> str | None:
    """Path of a C compiler on this machine, if there is one."""
    return next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)


def answers(model: Network | Ensemble, source: str, name: str, raw: Array) -> Answers:
    """Compile the file, with every warning an error, and call it for rows of raw values."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        code, library = Path(folder, "net.c"), Path(folder, "net.so")
        code.write_text(source, encoding="utf-8")
        command = [str(compiler()), *_FLAGS, str(code), "-o", str(library), "-lm"]
        done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
        if done.returncode:
            raise RuntimeError(f"to_c: the C compiler refused the file, which was not kept: {done.stderr.strip()}")
        return _call(model, ctypes.CDLL(str(library)), name, raw)


def _call(model: Network | Ensemble, library: ctypes.CDLL, name: str, raw: Array) -> Answers:
    """Call the functions of the compiled file, row by row."""
    net = members(model)[0]
    with np.errstate(over="ignore"):
        x = np.ascontiguousarray(raw, net.dtype)
    predict = getattr(library, f"{name}_predict")

    def call(function: Any, *arrays: Array) -> list[Any]:
        return [function(*(ctypes.c_void_p(row.ctypes.data) for row in rows)) for rows in zip(*arrays, strict=True)]

    outputs = np.empty((len(raw), net.sizes[-1]), net.dtype)
    if net.task == "regression":
        call(predict, x, outputs)
        return Answers(outputs)
    if model is net:
        call(getattr(library, f"{name}_forward"), x, outputs)
    forward = outputs if model is net else None  # an ensemble only has probabilities
    if net.classes is None:
        probabilities, labels = np.empty_like(outputs), np.empty(outputs.shape, np.intc)
        call(predict, x, probabilities, labels)
        return Answers(forward, probabilities, labels)
    probabilities = np.empty((len(raw), len(net.classes)), net.dtype)
    return Answers(forward, probabilities, net.classes[call(predict, x, probabilities)])
