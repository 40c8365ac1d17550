"""The processor that code is made for: narrower vectors take wider instructions away, and the caches are read."""

import os
import platform
import re
import subprocess
import sys

import pytest

from fastbp.kernels.compiler import processor

X86 = platform.machine().lower() in ("x86_64", "amd64")
ASSEMBLY = """
import numba, numpy as np
from fastbp.kernels.compiler import routine

name = "product.tile.gemm"
routine.ready(name, 4)
_, machine = routine._engine
print(machine.emit_assembly(routine._optimised(routine._routines[name], "again", 4, machine)))

@numba.njit(fastmath=True)
def axpy(a, x, y):
    for i in range(x.size):
        y[i] += a * x[i]

axpy(np.float32(2), np.ones(99, np.float32), np.ones(99, np.float32))
print(*axpy.inspect_asm().values())
"""


def assembly(width):
    environment = os.environ | {"FASTBP_VECTOR_BYTES": str(width), "NUMBA_DISABLE_JIT": "0"}
    done = subprocess.run(
        [sys.executable, "-c", ASSEMBLY], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(re.findall(r"%([xyz]mm\d+|k[1-7])\b", done.stdout))


@pytest.mark.skipif(not X86, reason="other processors have vectors of one width")
@pytest.mark.parametrize(("width", "widest"), [(16, "x"), (32, "y")])
def test_narrower_vectors_leave_wider_registers_alone(width, widest):
    if width > processor._widest():
        pytest.skip("this processor has no such vectors")
    allowed = {f"{kind}mm{i}" for kind in "xy"[: "xyz".index(widest) + 1] for i in range(16)}
    used = assembly(width)
    assert used <= allowed
    assert f"{widest}mm15" in used  # all of them are used


def test_caches_of_this_machine():
    first, second, last = processor.caches()
    assert 8 << 10 <= first <= 1 << 20
    assert first <= second <= last
    if sys.platform == "linux" and os.path.isdir("/sys/devices/system/cpu/cpu0/cache/index0"):
        said = subprocess.run(["getconf", "LEVEL1_DCACHE_SIZE"], capture_output=True, text=True, check=False).stdout
        assert not said.strip().isdigit() or int(said) in (0, first)


@pytest.mark.parametrize("error", [OSError, ValueError])
def test_unknown_caches_have_the_usual_sizes(monkeypatch, error):
    def broken():
        raise error

    monkeypatch.setattr(processor, "_linux_caches", broken)
    monkeypatch.setattr(processor, "_mac_caches", broken)
    assert processor.caches() == processor.CACHES
    monkeypatch.setattr(processor, "_linux_caches", dict)
    monkeypatch.setattr(processor, "_mac_caches", dict)
    assert processor.caches() == processor.CACHES


@pytest.mark.parametrize(("text", "size"), [("48K", 48 << 10), ("32M", 32 << 20), ("512", 512)])
def test_sizes_as_linux_writes_them(text, size):
    assert processor._bytes(text) == size
