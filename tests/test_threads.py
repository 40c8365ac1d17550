"""Threads and forks: when parallel regions are entered, what is restored, and that nothing hangs, dies or differs."""

import importlib.metadata
import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from test_jit import run

from fastbp import kernels

two_threads = pytest.mark.skipif(numba.config.NUMBA_NUM_THREADS < 2, reason="one processor")
forks = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")


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


@two_threads
def test_none_is_the_callers_number():
    before = numba.get_num_threads()
    try:
        for count in (1, 2):
            numba.set_num_threads(count)
            with kernels.threads(None) as allowed:
                assert allowed is (count > 1)
                assert numba.get_num_threads() == count
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
    before = numba.get_num_threads()
    with pytest.raises(ValueError, match="number of threads"), kernels.threads(numba.config.NUMBA_NUM_THREADS + 1):
        pass
    assert numba.get_num_threads() == before
    with kernels.threads(2) as allowed:
        assert allowed is True


ALLOWED = """
    import os, threading
    import numba, numpy as np
    from tqdm import tqdm
    from fastbp import kernels

    def allowed():
        with kernels.threads(2) as answer:
            return answer

    def in_a_thread(work):
        found = []
        thread = threading.Thread(target=lambda: found.append(work()))
        thread.start()
        thread.join()
        return found[0]

    def beside_a_thread():
        stop = threading.Event()
        thread = threading.Thread(target=stop.wait)
        thread.start()
        found = allowed()
        stop.set()
        thread.join()
        return found

    @numba.njit(parallel=True)
    def in_a_region(found):
        for i in numba.prange(found.size):
            with numba.objmode(answer="int64"):
                answer = int(allowed())
            found[i] = answer

    found = np.zeros(4, np.int64)
    tqdm([])
    print(threading.active_count(), allowed(), in_a_thread(allowed), beside_a_thread(), end=" ")
    in_a_region(found)
    print(found.any(), allowed(), end=" ", flush=True)
    pid = os.fork()
    if pid == 0:
        os._exit(18 if allowed() else 17)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@pytest.mark.thorough
@two_threads
@forks
@pytest.mark.parametrize(("layer", "other"), [("workqueue", False), ("omp", True)])
def test_a_layer_that_is_not_threadsafe_is_entered_only_when_nobody_else_can_be_in_it(layer, other):
    if layer == "omp" and not importlib.util.find_spec("numba.np.ufunc.omppool"):
        pytest.skip("Numba was built without OpenMP")
    assert run(ALLOWED, NUMBA_THREADING_LAYER=layer).stdout == f"2 True {other} {other} {other} True 17\n"


FORK = """
    import os, sys
    import numba, numpy as np

    @numba.njit(parallel=True)
    def users(out):
        for i in numba.prange(out.size):
            out[i] = i

    users(np.zeros(9))
    pid = os.fork()
    if pid == 0:
        from fastbp import kernels
        A, out = np.ones((200, 200)), np.zeros((200, 200))
        with kernels.threads(2) as allowed:
            (kernels.matmul_parallel if allowed else kernels.matmul)(A, A, out)
        os._exit(17 if not allowed and (out == 200).all() else 18)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""


@two_threads
@forks
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="GNU OpenMP")
def test_a_child_of_a_process_in_which_others_had_threads_stays_serial():
    # Only the child imports the package, which cannot know what happened before.
    assert run(FORK).stdout == "17\n"


LOCKED = """
    import os, signal, threading
    import numba
    from numba.core import event
    from tqdm import tqdm
    from fastbp import kernels

    within, go_on = threading.Event(), threading.Event()

    class Slow(event.Listener):
        def on_start(self, happening):
            within.set()
            go_on.wait(0.3)
        def on_end(self, happening):
            pass

    event.register("numba:compile", Slow())
    compiling = threading.Thread(target=lambda: numba.njit(lambda x: x + 1)(1))
    compiling.start()
    within.wait()
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        go_on.set()
        os._exit(17 if numba.njit(lambda x: x + 2)(1) == 3 else 18)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    compiling.join()
"""


@forks
def test_a_fork_waits_for_the_compiler():
    assert run(LOCKED).stdout == "17\n"


KILLED = """
    import os, signal
    import fastbp
    from tqdm import tqdm

    lock = tqdm.get_lock()
    pid = os.fork()
    if pid == 0:
        lock.acquire()
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
    print(lock.mp_lock.acquire(timeout=0.1))
    signal.alarm(60)
    for progress in (False, True):
        fastbp.train([[0], [1]], [0, 1], epochs=2, progress=progress)
    print("trained")
"""


@pytest.mark.thorough
@forks
def test_a_child_that_is_killed_while_it_holds_the_lock_of_the_bars_blocks_nobody():
    assert run(KILLED).stdout == "False\ntrained\n"


# Long: every program of `parallel_programs` on every threading layer

ROUNDS = {"plain": 5, "settings": 5, "python_threads": 50, "one_network": 50, "pools": 4}
ROUNDS |= {"fork_after_the_users_region": 10, "fork_before_the_import": 10, "threads_in_a_fork": 10}
ROUNDS |= {"fork_while_compiling": 15, "next_to_the_users_region": 20, "within_the_users_region": 20}
ROUNDS |= {"kernels_in_the_users_region": 50, "joblib_workers": 4, "dask_workers": 4, "the_end_comes": 1}
NEEDS = {"joblib_workers": "joblib", "dask_workers": "distributed"}


def with_layer(layer):
    """Environment variables that make Numba use the layer; skips the test if it is not available."""
    variables = os.environ | {"NUMBA_THREADING_LAYER": layer}
    if layer == "tbb":  # pip installs the library next to Python's, where the loader does not look
        try:
            paths = [
                file.locate() for file in importlib.metadata.files("tbb") or () if file.name.startswith("libtbb.so")
            ]
        except importlib.metadata.PackageNotFoundError:
            pytest.skip("no tbb")
        variables["LD_LIBRARY_PATH"] = os.pathsep.join([str(Path(path).resolve().parent) for path in paths[:1]])
    elif layer == "omp" and not importlib.util.find_spec("numba.np.ufunc.omppool"):
        pytest.skip("Numba was built without OpenMP")
    return variables


@pytest.mark.long
@two_threads
@forks
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layer", ["omp", "tbb", "workqueue"])
@pytest.mark.parametrize("name", ROUNDS)
def test_programs_are_bit_for_bit_as_on_one_thread(name, layer, dtype):
    pytest.importorskip(NEEDS.get(name, "numba"))
    program = Path(__file__).with_name("parallel_programs.py")
    command = [sys.executable, "-W", "ignore", str(program), name, str(ROUNDS[name]), dtype]
    done = subprocess.run(command, env=with_layer(layer), capture_output=True, text=True, timeout=1200, check=False)
    print(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(f"layer {layer}\n")
