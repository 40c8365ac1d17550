"""No kernel reads or writes anything outside its arrays: all are called on arrays between protected pages."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import guarded
import pytest
from guard_attacks import MATRICES, NETWORKS, PLANTED
from numba import config

from fastbp import kernels
from fastbp.kernels import node
from fastbp.kernels.compiler import processor

pytestmark = pytest.mark.skipif(not guarded.GUARDS, reason="pages are guarded by mprotect")
# Public functions that take no arrays, or only the sizes of a network.
WITHOUT_ARRAYS = {"CustomLoss", "Pass", "cache_folder", "forward_parallel_pays", "infer_parallel_pays"}
WITHOUT_ARRAYS |= {"matmul_parallel_pays", "parallel_pays", "parameter_count", "peak_gflops", "states_of"}
WITHOUT_ARRAYS |= {"PieceRows", "takes_input", "threads"}


class Attack:
    """A process that makes calls, and may die of them."""

    def __init__(self, folder, first, examples, *, seed=0, strided=False, parallel=False, width=processor.VECTOR_BYTES):
        self.file = folder / f"{first}-{seed}-{strided}-{parallel}-{width}.txt"
        numbers = [str(int(x)) for x in (examples, seed, strided, parallel)]
        with open(self.file, "w") as said:
            self.process = subprocess.Popen(
                [sys.executable, "guard_attacks.py", first, *numbers],
                cwd=Path(__file__).parent,
                text=True,
                stdout=said,
                stderr=subprocess.PIPE,
                env=os.environ | {"FASTBP_VECTOR_BYTES": str(width)},
            )

    def end(self, timeout=600):
        """What it was doing last, and its exit status, which is negative if a signal killed it."""
        try:
            _, self.errors = self.process.communicate(timeout=timeout)
        finally:
            self.process.kill()
        return self.file.read_text().strip(), self.process.returncode

    def survives(self, timeout=600):
        last, status = self.end(timeout)
        assert status == 0, f"{last}\n{self.errors}"
        assert last.startswith("survived; ")
        return last


def test_every_public_kernel_is_attacked():
    functions = {name for name in kernels.__all__ if callable(getattr(kernels, name))} | {
        f"node.{name}" for name in node.__all__
    }
    assert set(MATRICES) | set(NETWORKS) == functions - WITHOUT_ARRAYS
    assert functions >= WITHOUT_ARRAYS
    assert not set(MATRICES) & set(NETWORKS)


@pytest.mark.thorough
def test_kernels_stay_within_their_arrays(tmp_path):
    Attack(tmp_path, "", 2).survives()


# Each attack runs in a forked process, so that the imports are made only once
EVERY_PLANTED = """
import os, sys
import guard_attacks
for name in guard_attacks.PLANTED:
    child = os.fork()
    if child == 0:
        for number in (1, 2):
            os.dup2(os.open(f"{sys.argv[1]}/{name}.{number}", os.O_CREAT | os.O_RDWR), number)
        guard_attacks.main(name, 1, 0, 0, 0)
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@pytest.mark.thorough
def test_kernels_that_do_not_are_found(tmp_path):
    command = [sys.executable, "-c", EVERY_PLANTED, str(tmp_path)]
    done = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=600, check=True)
    for name, status in zip(PLANTED, done.stdout.split(), strict=True):
        last, errors = ((tmp_path / f"{name}.{number}").read_text() for number in (1, 2))
        assert last.startswith(f"{name}, example 0 of seed 0: ")
        if "gap" in name:
            assert int(status) == 1
            assert "written outside an array of shape (3,)" in errors
        else:
            assert int(status) in (-signal.SIGSEGV, -signal.SIGBUS)
            assert "guard_attacks.py" in errors  # where it happened


# Thousands of examples of every kernel


@pytest.mark.long
@pytest.mark.parametrize("strided", [False, True])
def test_kernels_of_matrices_with_many_examples(strided, tmp_path):
    for name in MATRICES:
        Attack(tmp_path, name, 4000, seed=1, strided=strided).survives(3000)


@pytest.mark.long
@pytest.mark.parametrize("parallel", [False, True])
def test_kernels_of_networks_with_many_examples(parallel, tmp_path):
    if parallel and config.NUMBA_NUM_THREADS < 2:
        pytest.skip("needs two threads")
    for name in NETWORKS:
        Attack(tmp_path, name, 3000, seed=2, parallel=parallel).survives(3000)


@pytest.mark.long
@pytest.mark.parametrize("width", sorted({16, 32, 64} - {processor.VECTOR_BYTES}))
def test_vectors_of_other_widths(width, tmp_path):
    for first in (*MATRICES, *NETWORKS):
        Attack(tmp_path, first, 500, seed=3, strided=True, width=width).survives(3000)


# Bounds checks in compiled code

FILES = ["activation_loss", "backprop", "custom_loss", "dropout", "elementary", "epochs", "forward", "inference"]
FILES += ["lanes", "lecture", "matmul", "node", "online", "optimizer", "sparse", "sparse_epoch"]


@pytest.mark.long
def test_no_index_is_out_of_bounds(tmp_path):
    """The tests of the kernels pass while Numba checks the indices of its arrays (not those in the routines)."""
    files = [f"test_{name}.py" for name in FILES]
    command = [sys.executable, "-m", "pytest", "-q", "-n", "1", "-p", "no:cacheprovider", *files]
    command += ["-m", "not long", "-k", "not width and not allocat"]
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        command, cwd=Path(__file__).parent, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
