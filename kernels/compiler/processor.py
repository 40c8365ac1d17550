"""The processor that code is made for: its vectors and registers, its instructions by LLVM's names, its caches."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import llvmlite.binding as llvm
import numba

_ARM = llvm.get_process_triple().startswith(("aarch64", "arm64"))
# The processors whose widest vectors these are, by LLVM's names: FASTBP_VECTOR_BYTES makes any x86 one of them. The
# narrowest keeps the fused multiply-add, as ARM has it: so all widths have the same bits. (To LLVM it brings AVX along,
# whose registers are of 32 bytes: they are left alone.)
_X86 = {16: ("x86-64-v2", "+fma,+prefer-128-bit"), 32: ("x86-64-v3", "")}
# Bytes of the vectors whose lanes are added up with each other: the same on every processor, so that the order of the
# additions is. Where registers are shorter, LLVM makes a vector of two; where they are longer, it leaves half of them
# alone.
SUMMED_BYTES = 32
# Bytes of the first and second cache of a core, and of the last one, where the system does not give them.
CACHES = (32 << 10, 512 << 10, 8 << 20)
# Bytes that the caches read and keep together.
CACHE_LINE = 64


def host_features() -> dict[str, bool]:
    """What this machine's processor can do, by LLVM's names."""
    return dict(llvm.get_host_cpu_features())


def _widest() -> int:
    """Bytes of this machine's vector registers: 64 with AVX-512, 32 with AVX2, else 16."""
    features = host_features()
    return 64 if features.get("avx512f") else 32 if features.get("avx2") else 16


def vector_bytes() -> int:
    """Bytes of the vectors to compile for: this machine's, or ``FASTBP_VECTOR_BYTES``, for tests and measurements."""
    chosen = os.environ.get("FASTBP_VECTOR_BYTES")
    if not chosen:
        return _widest()
    if chosen not in ("16", "32", "64"):
        raise ValueError(f"FASTBP_VECTOR_BYTES: expected 16, 32 or 64, got {chosen!r}")
    return int(chosen)


VECTOR_BYTES = vector_bytes()
_LIMITED = _widest() > VECTOR_BYTES and not _ARM


def target() -> tuple[str, str]:
    """
    Name and features, for LLVM, of the processor to compile for.

    It is this machine's; with narrower vectors than it has, one that has no wider ones: without their instructions and
    registers, the code is what such a processor runs.
    """
    if _widest() > VECTOR_BYTES and not _ARM:
        return _X86[VECTOR_BYTES]
    return llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()


if _widest() > VECTOR_BYTES and not _ARM:
    # for everything that Numba compiles in this process, if it has not begun
    numba.config.CPU_NAME, numba.config.CPU_FEATURES = target()

# AVX-512 and ARM have 32 vector registers, older x86 has 16. A width that is tested elsewhere has the tiles of its own
# machines.
REGISTERS = 32 if VECTOR_BYTES == 64 or _ARM else 16
# Whether a multiply-add is one instruction, rounded once.
FUSED = _ARM or bool(host_features().get("fma"))


def _bytes(text: str) -> int:
    """What Linux means by 48K or 32M."""
    unit = {"K": 10, "M": 20, "G": 30}.get(text[-1:], 0)
    return int(text.rstrip("KMG")) << unit


def _linux_caches() -> dict[int, int]:
    """Bytes of a core's data caches by level."""
    found = {}
    for folder in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        level, kind, size = ((folder / name).read_text("ascii").strip() for name in ("level", "type", "size"))
        if kind != "Instruction":
            found[int(level)] = _bytes(size)
    return found


def _mac_caches() -> dict[int, int]:
    """The same of a fast core of a Mac; its second cache is its last."""
    import ctypes

    libc, found = ctypes.CDLL(None), {}
    for level, name in enumerate((b"hw.perflevel0.l1dcachesize", b"hw.perflevel0.l2cachesize"), start=1):
        value, size = ctypes.c_int64(0), ctypes.c_size_t(8)
        if libc.sysctlbyname(name, ctypes.byref(value), ctypes.byref(size), None, ctypes.c_size_t(0)) == 0:
            found[level] = value.value
    return found


def caches() -> tuple[int, int, int]:
    """Bytes of the first and second data cache of a core, and of the last cache; `CACHES` where they are not known."""
    try:
        found = _linux_caches() if sys.platform == "linux" else _mac_caches() if sys.platform == "darwin" else {}
    except (OSError, ValueError, AttributeError):
        found = {}
    first, second, last = (found.get(level) or size for level, size in enumerate(CACHES, start=1))
    return first, second, max(second, last)


FIRST, SECOND, LAST = caches()
