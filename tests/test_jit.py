"""The JIT policy: nothing is compiled by importing, where machine code is kept, and when threads may be entered."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numba
import numpy as np
import pytest

from fastbp import kernels
from fastbp.kernels import _jit

two_threads = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")

UPDATE = """
    import numpy as np
    from fastbp import kernels
    w = np.ones(3)
    kernels.sgd_update(w, np.full(3, 2.0), 0.25)
    stats = kernels.sgd_update.stats
    print(w.tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def run(code, **environment):
    """Run Python code in a process of its own, with these environment variables set (None: unset)."""
    variables = {k: str(v) for k, v in (os.environ | environment).items() if v is not None}
    command = [sys.executable, "-W", "always", "-c", textwrap.dedent(code)]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    return done


# Importing


def test_import_compiles_nothing(tmp_path):
    code = """
        import pkgutil
        import fastbp
        from fastbp.kernels import _native
        from numba.core.registry import CPUDispatcher
        modules = [__import__(f"fastbp.kernels.{m.name}", fromlist=["x"]) for m in pkgutil.iter_modules(fastbp.kernels.__path__)]
        found = {f for module in modules for f in vars(module).values() if isinstance(f, CPUDispatcher)}
        print(len(found) >= 25, sum(len(f.signatures) for f in found), len(_native._routines) >= 15, len(_native._loaded))
    """
    assert run(code, NUMBA_CACHE_DIR=tmp_path).stdout.split() == ["True", "0", "True", "0"]
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


# Numba's own settings


@pytest.mark.parametrize("chosen", ["", "mine"])
def test_numbas_own_setting_is_left_alone(chosen, tmp_path):
    # Other people's cached functions stay where they were.
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
        with _jit.numba_config(CACHE_DIR="ours", DISABLE_JIT=0):
            seen.append((numba.config.CACHE_DIR, numba.config.DISABLE_JIT))
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert seen == [("ours", 0)]
    assert (numba.config.CACHE_DIR, numba.config.DISABLE_JIT) == ("mine", 1)


def test_a_folder_that_cannot_be_written_warns_and_works(tmp_path):
    # Below a regular file: not even root can make a folder there. Nor may the kernels end up beside their sources,
    # where Numba would not see an edit in another file.
    (tmp_path / "file").touch()
    before = set(Path(_jit.__file__).parent.rglob("*.nb?"))
    done = run(UPDATE, NUMBA_CACHE_DIR=tmp_path / "file" / "below")
    assert done.stdout.startswith("[0.5, 0.5, 0.5] 0 ")
    left = set(Path(_jit.__file__).parent.rglob("*.nb?")) - before
    for file in left:
        file.unlink()
    assert not left
    assert done.stderr.count("cannot write its compile cache") == 1


# Threads


@two_threads
def test_threads_sets_and_restores_the_callers_number():
    before = numba.get_num_threads()
    numba.set_num_threads(1)
    try:
        with kernels.threads(2) as allowed:
            assert allowed is True
            assert numba.get_num_threads() == 2
        assert numba.get_num_threads() == 1
        with pytest.raises(KeyError), kernels.threads(2):
            raise KeyError
        assert numba.get_num_threads() == 1
    finally:
        numba.set_num_threads(before)


@pytest.mark.parametrize("count", [1, 0])
def test_one_thread_stays_serial(count):
    before = numba.get_num_threads()
    with kernels.threads(count) as allowed:
        assert allowed is False
        assert numba.get_num_threads() == before


@two_threads
def test_nested_threads_stay_serial():
    with kernels.threads(2) as outer, kernels.threads(2) as inner:
        assert (outer, inner) == (True, False)
    with kernels.threads(2) as again:
        assert again is True


@two_threads
def test_too_many_threads_leave_nothing_locked():
    with pytest.raises(ValueError, match="number of threads"), kernels.threads(numba.config.NUMBA_NUM_THREADS + 1):
        pass
    with kernels.threads(2) as allowed:
        assert allowed is True


@two_threads
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
@pytest.mark.parametrize("held", [False, True], ids=["after", "during"])
def test_a_forked_child_stays_serial(held):
    # In a process of its own: after a parallel run, a child that enters threads may be killed.
    code = """
        import os
        import numpy as np
        from fastbp import kernels

        def learn():
            X, Y, params = np.ones((150, 2)), np.ones((150, 1)), np.full(3, 0.1)
            for array in (X, Y):
                array.flags.writeable = False
            weight, sizes, activations = np.ones(150), np.array([2, 1]), np.array([1])
            for array in (weight, sizes, activations):
                array.flags.writeable = False
            none = np.empty(0)
            with kernels.threads(2) as allowed:
                run = kernels.minibatch_epoch_parallel if allowed else kernels.minibatch_epoch
                run(X, Y, weight, np.arange(150), 150, sizes, activations, 0, none, 0, params, 0, none, none, 0, 0.1, 0.9, 0.999, 1e-8, 0.0)
            return allowed, params

        def child(wanted):
            pid = os.fork()
            if pid == 0:
                allowed, params = learn()
                os._exit(17 if allowed is False and (params == wanted).all() else 18)
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        allowed, params = learn()
        if HELD:
            with kernels.threads(2):
                print(allowed, child(params))
        else:
            print(allowed, child(params))
    """
    assert run(code.replace("HELD", str(held))).stdout == "True 17\n"


# What the policy promises of the machine code


def test_comparisons_with_nan_survive_the_optimizer():
    @_jit.jit
    def kept(x):
        return np.array([x != x, np.isnan(x), x > 0, x == np.inf])

    assert kept(np.nan).tolist() == [True, True, False, False]
    assert kept(np.inf).tolist() == [False, False, True, True]
