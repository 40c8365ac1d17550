"""The second process: it compiles what the first one needs next, fails without harm, and ends with it."""

import json
import os
import signal
import subprocess
import sys
import time

import numba
import pytest
from test_jit import run

import fastbp.kernels as kernels
from fastbp import ahead, compilation
from fastbp.kernels.compiler import routine

# Prints how the second process ended, and the functions that the first one compiled for its prediction.
XOR = """
import json
import fastbp
from fastbp import ahead
from numba.core import event
X, y = [[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0]
{before}
net = fastbp.train(X, y, hidden=8, seed=1, epochs=1000)
counted = event.RecordingListener()
with event.install_listener("numba:compile", counted):
    assert net.predict(X).tolist() == y
names = [happening.data["dispatcher"].py_func.__name__ for kind, happening in counted.buffer]
process = ahead._helper and ahead._helper.process
if process:
    ahead._helper.end()
print(json.dumps([process and process.returncode, names]))
"""


def result(before, **environment):
    """The exit code of the second process, None if there was none, and what the first one compiled to predict."""
    done = run(XOR.format(before=before), **{"NUMBA_NUM_THREADS": None} | environment)
    assert done.stderr == ""
    return json.loads(done.stdout)


def junk(folder):
    """Files in the cache that are not whole kernels or routines."""
    return [path.name for path in folder.rglob("*") if path.is_file() and path.suffix not in (".nbc", ".o")]


needs_two_cores = pytest.mark.skipif(numba.config.NUMBA_DEFAULT_NUM_THREADS < 2, reason="one core")


@pytest.mark.thorough
@needs_two_cores
def test_the_second_process_compiles_the_first_prediction(tmp_path):
    assert result("", NUMBA_CACHE_DIR=tmp_path) == [0, []]
    assert not junk(tmp_path)
    # all is in the cache: no second process
    assert result("", NUMBA_CACHE_DIR=tmp_path) == [None, []]


@pytest.mark.thorough
@needs_two_cores
@pytest.mark.skipif(sys.platform == "win32", reason="processes are not killed by signals")
def test_if_it_is_killed_the_first_process_compiles_alone(tmp_path):
    before = """
init = ahead.Helper.__init__
def killed(self, *arguments):
    init(self, *arguments)
    self.process.kill()
ahead.Helper.__init__ = killed
"""
    code, names = result(before, NUMBA_CACHE_DIR=tmp_path)
    assert code == -signal.SIGKILL
    assert "few_rows" in names


def test_if_it_fails_the_first_process_goes_on(monkeypatch):
    monkeypatch.setattr(ahead, "PROGRAM", "raise SystemExit(3)")
    helper = ahead.Helper(["infer few"], "float32")
    monkeypatch.setattr(ahead, "_helper", helper)
    assert ahead.is_coming("infer few", "float32")
    assert not ahead.is_coming("infer few", "float64")
    assert not ahead.is_coming("infer many", "float32")
    ahead.wait("infer few")
    assert not ahead.is_coming("infer few", "float32")
    assert helper.process.returncode == 3


def test_waiting_for_it_is_announced(monkeypatch, capsys):
    monkeypatch.setattr(compilation, "_ready", set())
    monkeypatch.setattr(ahead, "_helper", ahead.Helper(["infer few"], "float32"))
    compilation.prepare(["infer few"], "float32", True)
    assert "compiled kernels once for this processor" in capsys.readouterr().err


def test_a_program_that_cannot_be_started_is_done_without(monkeypatch):
    def fails(*arguments, **options):
        raise OSError

    monkeypatch.setattr(ahead, "_helper", None)
    monkeypatch.setattr(ahead, "_may_start", lambda: True)
    monkeypatch.setattr(ahead.subprocess, "Popen", fails)
    ahead.start("wide", ["infer few"], "float32")
    assert not ahead.is_coming("infer few", "float32")


@pytest.mark.parametrize(("first", "routines"), [("wide sparse", True), ("narrow", True), ("online", False)])
def test_it_compiles_routines_that_the_loop_calls(monkeypatch, first, routines):
    started = []
    monkeypatch.setattr(ahead, "_helper", None)
    monkeypatch.setattr(ahead, "_may_start", lambda: True)
    monkeypatch.setattr(ahead, "Helper", lambda *arguments: started.append(arguments) or "started")
    ahead.start("tiny online", ["infer few"], "float32")
    assert not started
    for _ in range(2):  # there is one at most
        ahead.start(first, ["infer few"], "float32")
    assert started == [([*ahead.ROUTINES, "infer few"] if routines else ["infer few"], "float32")]


FIRST = """
import os, signal, sys, time
from fastbp import ahead
helper = ahead.Helper([*ahead.ROUTINES, "infer few"], "float32")
print(helper.process.pid, flush=True)
helper.wait(ahead.ROUTINES[0])
"""


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="looks for processes by signals")
@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), signal.SIGKILL)", "os.kill(os.getpid(), signal.SIGINT)"])
def test_it_ends_with_the_first_process(tmp_path, end):
    environment = os.environ | {"NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "always", "-c", FIRST + end]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=False)
    assert "ahead" not in done.stderr
    for _ in range(100):
        try:
            os.kill(int(done.stdout), 0)
        except ProcessLookupError:
            break
        time.sleep(0.1)
    else:
        pytest.fail("the second process goes on")
    assert not junk(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="no groups of processes")
def test_ctrl_c_on_the_terminal_does_not_reach_it(tmp_path):
    helper = ahead.Helper(["infer few"], "float32")
    try:
        assert os.getpgid(helper.process.pid) != os.getpgid(0)
    finally:
        helper.end()


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="processes are not stopped by signals")
def test_if_somebody_has_stopped_it_it_is_killed_at_the_end(monkeypatch):
    helper = ahead.Helper(["infer few"], "float32")
    os.kill(helper.process.pid, signal.SIGSTOP)
    helper.end()
    assert helper.process.returncode == -signal.SIGKILL


def test_when_there_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(numba.config, "NUMBA_NUM_THREADS", 2)
    monkeypatch.setattr(kernels, "cache_folder", lambda: tmp_path / "not" / "yet" / "there")
    monkeypatch.setattr(sys, "executable", "/usr/bin/python3.11")
    monkeypatch.setattr(ahead.multiprocessing, "parent_process", lambda: None)
    assert ahead._may_start()
    for owner, name, value in (
        (numba.config, "NUMBA_NUM_THREADS", 1),
        (sys, "executable", None),
        (sys, "executable", "/usr/bin/uwsgi"),
        (ahead.multiprocessing, "parent_process", lambda: 1),
        (kernels, "cache_folder", lambda: type(tmp_path)(os.devnull) / "fastbp" / "unknown"),
        (os, "access", lambda *arguments: False),
    ):
        with monkeypatch.context() as changed:
            changed.setattr(owner, name, value)
            assert not ahead._may_start()
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    assert not ahead._may_start()


def test_the_routines_are_those_of_the_training_loop():
    assert set(ahead.ROUTINES) <= routine._routines.keys()
    code = """
        import fastbp
        from fastbp import ahead, compilation
        from fastbp.kernels.compiler import routine
        compilation.prepare(["wide", "narrow"], "float32", False)
        assert {routine._symbol(name, 4) for name in ahead.ROUTINES} <= routine._loaded.keys()
    """
    run(code)
