"""`config` and `show_config`: versions, processor, threads and cache of an installation."""

import os

import numba
import pytest
from test_jit import run

import fastbp
from fastbp import kernels

KEYS = ["fastbp", "python", "numpy", "numba", "llvmlite", "platform", "processor", "cores"]
KEYS += ["vector bytes", "threads", "threading layer", "cache folder"]


def test_config():
    found = fastbp.config(peak=False)
    assert list(found) == KEYS
    assert all(isinstance(value, str | int) and str(value) for value in found.values())
    assert found["numba"] == numba.__version__
    assert found["cores"] == os.cpu_count()
    assert found["vector bytes"] == kernels.VECTOR_BYTES
    assert found["threads"] == numba.config.NUMBA_NUM_THREADS
    assert found["cache folder"] == str(kernels.cache_folder())
    assert found["fastbp"] != "not installed"


def test_the_peak_is_measured():
    found = fastbp.config()
    assert list(found) == [*KEYS, "peak float32", "peak float64"]
    single, double = found["peak float32"], found["peak float64"]
    # any processor reaches a tenth of scalar multiply-adds, and none does more than 16 vectors per nanosecond
    assert 0.1 < double < single < 1000
    assert 1.2 < single / double < 4  # a vector holds half as many numbers


def test_show_config(capsys):
    assert fastbp.show_config() is None
    lines = capsys.readouterr().out.splitlines()
    assert [line[:16].strip() for line in lines] == [*KEYS, "peak float32", "peak float64"]
    assert all(line.endswith(" GFLOP/s, one thread") == line.startswith("peak") for line in lines)
    fastbp.show_config(peak=False)
    assert [line[:16].strip() for line in capsys.readouterr().out.splitlines()] == KEYS


def test_nothing_is_compiled_without_the_peak(tmp_path):
    code = """
        import fastbp
        from fastbp.kernels.compiler import routine, peak
        fastbp.show_config(peak=False)
        assert not routine._loaded and not peak._run.signatures
    """
    run(code, NUMBA_CACHE_DIR=tmp_path)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.mark.thorough
@pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")
def test_the_threading_layer_is_named_once_it_is_in_use():
    code = """
        import numpy as np
        import fastbp
        from fastbp import kernels
        print(fastbp.config(peak=False)["threading layer"])
        with kernels.threads(2):
            kernels.matmul_parallel(np.ones((9, 9)), np.ones((9, 9)), np.empty((9, 9)))
        print(fastbp.config(peak=False)["threading layer"])
    """
    for chosen in (None, "workqueue"):
        before, after = run(code, NUMBA_THREADING_LAYER=chosen).stdout.splitlines()
        assert before.startswith("none yet; the first to load of " if chosen is None else "none yet; workqueue")
        assert after in (("tbb", "omp", "workqueue") if chosen is None else ("workqueue",))
