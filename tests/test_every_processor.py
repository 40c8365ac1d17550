"""
The same bits on every processor with fused multiply-add.

`tests/bits.json` has digests of many small trainings and calls (`bench/compare/bits_cases.py`), the same for every
machine. Here they are computed again as other processors would: with vectors of 16, 32 and 64 bytes, and with NumPy and
its BLAS held to older instructions. Where arithmetic changes on purpose, write the file again:
``python bench/compare/bits_cases.py >tests/bits.json``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from fastbp.kernels import internal
from fastbp.kernels.compiler import processor

ROOT = Path(__file__).parents[1]
DIGESTS = json.loads((ROOT / "tests" / "bits.json").read_text())
# Which of its instructions NumPy is not to use, by the start of their names, and the processor that its BLAS is held to
HELD = {64: ((), None), 32: (("AVX512", "X86_V4"), "Haswell"), 16: ("", "Nehalem")}
WIDTHS = [pytest.param(width, id=f"{width} bytes") for width in ((16,) if processor._ARM else (16, 32, 64))]

pytestmark = pytest.mark.skipif(not internal.FUSED, reason="this processor has no fused multiply-add")


def held(width):
    """Environment of a process with vectors of so many bytes, and NumPy of a processor that has no wider ones."""
    starts, core = HELD[width]
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    off = [name for name in found if name.startswith(starts)]
    environment = os.environ | {"FASTBP_VECTOR_BYTES": str(width), "NUMBA_NUM_THREADS": "2"}
    environment |= {"NPY_DISABLE_CPU_FEATURES": " ".join(off)} if off else {}
    return environment | ({"OPENBLAS_CORETYPE": core} if core and not processor._ARM else {})


def computed(width, every):
    """The digest of each N-th case."""
    command = [sys.executable, str(ROOT / "bench" / "compare" / "bits_cases.py"), "--every", str(every)]
    done = subprocess.run(command, env=held(width), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def assert_same(width, every):
    found = computed(width, every)
    assert len(found) == len(DIGESTS) // every
    differ = {name: value for name, value in found.items() if value != DIGESTS.get(name)}
    assert not differ, f"{len(differ)} of {len(found)}: {differ}"


@pytest.mark.thorough
@pytest.mark.parametrize("width", WIDTHS)
def test_some_have_the_same_bits(width):
    assert_same(width, 11)


@pytest.mark.long
@pytest.mark.parametrize("width", WIDTHS)
def test_all_have_the_same_bits(width):
    assert_same(width, 1)
