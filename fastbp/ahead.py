"""A second process, which compiles what a training will need next, while this one compiles its loop."""

from __future__ import annotations

import atexit
import multiprocessing
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
import numpy as np

import fastbp.kernels as kernels
from fastbp.kernels.internal import end_process, ready

# Routines of the loops over mini-batches, those that take longest to compile first: the first process needs about as
# long to get to them as the second one to start.
ROUTINES = (
    "product.tile.gemm",
    "layer.activation.activate",
    "product.pack.pack_tiles",
    "layer.loss.tile_loss",
    "layer.activation.multiply_derivative",
    "product.pack.transpose",
    "layer.optimizer.update",
)
# What the second process runs. It finds packages where the first one does.
PROGRAM = """
import os, sys
try:
    sys.path[:] = sys.argv[3:]
    from fastbp import ahead, compilation
    ahead.work(compilation.prepare, sys.argv[1].split(","), sys.argv[2])
finally:
    os._exit(0)
"""
_helper: Helper | None = None


class Helper:
    """
    The second process. It keeps what it compiles in the cache on disk, and writes a line for each name.

    It ends with this process, however that ends: its input is then closed. What it does not deliver, this process
    compiles itself.

    Parameters
    ----------
    names : sequence of str
        Routines out of `ROUTINES` and kernels out of `compilation.KERNELS`, in the order in which they are compiled.
    dtype : str
    """

    def __init__(self, names: Sequence[str], dtype: str) -> None:
        self.coming, self.dtype, self.owner = set(names), dtype, os.getpid()
        environment = os.environ | {"NUMBA_CACHE_DIR": str(kernels.cache_folder().parents[1])}
        # Ctrl-C in the terminal is for this process alone.
        apart: dict[str, Any] = {"start_new_session": True}
        if sys.platform == "win32":
            apart = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, ",".join(names), dtype, *map(str, sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment,
            **apart,
        )
        atexit.register(self.end)

    def is_coming(self, name: str, dtype: str) -> bool:
        """Whether it compiles the kernel, or will do so."""
        if os.getpid() != self.owner:  # a fork
            return False
        self.process.poll()  # lets the system forget it, if it has ended
        return name in self.coming and dtype == self.dtype

    def wait(self, name: str) -> None:
        """Wait until the kernel is in the cache, or the process has ended."""
        while name in self.coming:
            line = self.process.stdout.readline()  # type: ignore[union-attr]
            self.coming = self.coming - {line.decode().strip()} if line else set()
        if not self.coming:
            self.end()

    def end(self) -> None:
        """End the process, if it has not ended, and forget it."""
        if os.getpid() != self.owner:
            return
        self.coming = set()
        with suppress(OSError):
            self.process.stdin.close()  # type: ignore[union-attr]
        self.process.stdout.close()  # type: ignore[union-attr]
        try:
            self.process.wait(1)
        except subprocess.TimeoutExpired:  # somebody has stopped it
            self.process.kill()
            self.process.wait()
        atexit.unregister(self.end)


def start(first: str, others: Sequence[str], dtype: str) -> None:
    """
    Start the second process, unless there has been one, or it would not help.

    It takes 0.6 s to start and to load what Numba compiles with; a tiny loop is compiled by then, larger ones take 1 to
    2 s more.

    Parameters
    ----------
    first : str
        The kernel that this process compiles now.
    others : sequence of str
        Kernels that it needs next.
    dtype : str
    """
    global _helper
    if _helper is None and not first.startswith("tiny") and _may_start():
        routines = ROUTINES if first.split()[0] in ("narrow", "wide") else ()
        with suppress(OSError):
            _helper = Helper([*routines, *others], dtype)


def is_coming(name: str, dtype: str) -> bool:
    """Whether the second process compiles the kernel, or will do so."""
    return _helper is not None and _helper.is_coming(name, dtype)


def wait(name: str) -> None:
    """Wait until a kernel that is coming is in the cache on disk; if the second process fails, it is not."""
    if _helper is not None:
        _helper.wait(name)


def _may_start() -> bool:
    """Whether a second process can run Python on a core of its own, and leave code where this one finds it."""
    threads = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
    if threads < 2 or multiprocessing.parent_process() is not None:
        return False
    if getattr(sys, "frozen", False) or not Path(sys.executable or "").stem.lower().startswith("python"):
        return False  # a program with Python inside, which would start once more
    folder = kernels.cache_folder()
    while not folder.exists():
        folder = folder.parent
    return folder.is_dir() and os.access(folder, os.W_OK)


def work(prepare: Callable[[Sequence[str], str, bool], object], names: Sequence[str], dtype: str) -> None:
    """Compile these kernels and routines; the main function of the second process."""
    threading.Thread(target=_end_with_input, daemon=True).start()
    for name in names:
        if name in ROUTINES:
            ready(name, np.dtype(dtype).itemsize)
        else:
            prepare([name], dtype, False)
        print(name, flush=True)


def _end_with_input() -> None:
    """End this process as soon as the first one has ended, or closes the pipe."""
    while os.read(0, 1):
        pass
    end_process()
