"""`show_config`: versions, processor and settings of this installation, for bug reports and benchmarks."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import llvmlite.binding as llvm
import numba

import fastbp.kernels as kernels


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    """The vendor's name of the processor, if the system knows it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def _threading_layer() -> str:
    """The layer in use, or those that Numba will try, in this order."""
    try:
        return str(numba.threading_layer())  # type: ignore[attr-defined]
    except ValueError:
        chosen = str(numba.config.THREADING_LAYER)  # type: ignore[attr-defined]
        order = " > ".join(numba.config.THREADING_LAYER_PRIORITY)  # type: ignore[attr-defined]
        return f"none yet; the first to load of {order}" if chosen == "default" else f"none yet; {chosen}"


def config(peak: bool = True) -> dict[str, str | int | float]:
    """
    Versions, processor and settings of this installation.

    Parameters
    ----------
    peak : bool
        Also measure the peak of one thread: the first call compiles a loop of multiply-adds, and each call runs it for
        a tenth of a second.

    Returns
    -------
    dict
        Versions, processor, vector width, threading layer, threads, cache folder and, in GFLOP/s, the measured peaks.
    """
    facts: dict[str, str | int | float] = {
        "fastbp": _version("fastbp"),
        "python": sys.version.split()[0],
        "numpy": _version("numpy"),
        "numba": _version("numba"),
        "llvmlite": f"{_version('llvmlite')} (LLVM {'.'.join(map(str, llvm.llvm_version_info))})",
        "platform": platform.platform(),
        "processor": f"{_processor()} ({llvm.get_host_cpu_name()} to LLVM)",
        "cores": os.cpu_count() or 1,
        "vector bytes": kernels.VECTOR_BYTES,
        "threads": int(numba.config.NUMBA_NUM_THREADS),  # type: ignore[attr-defined]
        "threading layer": _threading_layer(),
        "cache folder": str(kernels.cache_folder()),
    }
    if peak:
        facts |= {f"peak {dtype}": round(kernels.peak_gflops(dtype), 1) for dtype in ("float32", "float64")}
    return facts


def show_config(peak: bool = True) -> None:
    """
    Print versions, processor, vector width, threading layer, threads, cache folder and measured peak.

    Parameters
    ----------
    peak : bool
        Also measure the peak of one thread; see `config`.

    Examples
    --------
    >>> import fastbp
    >>> fastbp.show_config(peak=False)  # doctest: +SKIP
    """
    for name, value in config(peak).items():
        unit = " GFLOP/s, one thread" if name.startswith("peak") else ""
        print(f"{name:16s} {value}{unit}")
