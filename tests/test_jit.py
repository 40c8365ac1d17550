"""The JIT policy: imports compile nothing, Numba's own settings stay, and guarantees about the machine code."""

import os
import subprocess
import sys
import textwrap

import numba
import numpy as np
import pytest

from fastbp.kernels.compiler import jit


def run(code, **environment):
    """Run Python code in a new process, with these environment variables set (None: unset)."""
    variables = {k: str(v) for k, v in (os.environ | environment).items() if v is not None}
    command = [sys.executable, "-W", "always", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done


# Importing


def test_import_compiles_nothing(tmp_path):
    code = """
        import pkgutil
        import sys
        import fastbp
        from fastbp.kernels.compiler import routine
        from numba.core.registry import CPUDispatcher
        for found in pkgutil.walk_packages(fastbp.kernels.__path__, "fastbp.kernels."):
            __import__(found.name)
        modules = [module for name, module in sys.modules.items() if name.startswith("fastbp.kernels")]
        found = {f for module in modules for f in vars(module).values() if isinstance(f, CPUDispatcher)}
        print(len(found) >= 25, sum(len(f.signatures) for f in found))
        print(len(routine._routines) >= 15, len(routine._loaded))
    """
    assert run(code, NUMBA_CACHE_DIR=tmp_path).stdout.split() == ["True", "0", "True", "0"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Numba's own settings


@pytest.mark.parametrize("chosen", ["", "mine"])
def test_numbas_own_setting_is_left_alone(chosen, tmp_path):
    # Cached functions of other packages stay where they were.
    folder = str(tmp_path / chosen) if chosen else None
    code = """
        import numba
        before = numba.config.CACHE_DIR
        import fastbp
        print([before, numba.config.CACHE_DIR])
    """
    assert run(code, NUMBA_CACHE_DIR=folder, XDG_CACHE_HOME=tmp_path).stdout == f"{[folder or ''] * 2}\n"


def test_numbas_own_setting_comes_back_after_an_error(monkeypatch):
    monkeypatch.setattr(numba.config, "CACHE_DIR", "mine")
    monkeypatch.setattr(numba.config, "DISABLE_JIT", 1)
    seen = []

    def fail():
        with jit.numba_config(CACHE_DIR="ours", DISABLE_JIT=0):
            seen.append((numba.config.CACHE_DIR, numba.config.DISABLE_JIT))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [("ours", 0)]
    assert (numba.config.CACHE_DIR, numba.config.DISABLE_JIT) == ("mine", 1)


# What the policy guarantees about the machine code


def test_comparisons_with_nan_survive_the_optimizer():
    @jit.njit
    def kept(x):
        return np.array([x != x, np.isnan(x), x > 0, x == np.inf])

    assert kept(np.nan).tolist() == [True, True, False, False]
    assert kept(np.inf).tolist() == [False, False, True, True]


def test_a_part_that_returns_arrays_has_to_count_them():
    def first(x):
        return x, 1

    for part, works in ((jit.inner(first), False), (jit.inner(first, arrays=True), True)):
        caller = numba.njit(lambda x, part=part: part(x)[0].sum())
        if works:
            assert caller(np.ones(3)) == 3
        else:
            with pytest.raises(
                numba.TypingError, match=r"first returns arrays: make it a part by @inner\(arrays=True\)"
            ):
                caller(np.ones(3))
