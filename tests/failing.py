"""
Attacks on what a program is given by the system: its n-th allocation or system call fails.

A server imports fastbp with `failing.c` loaded before the C library, and does each action once. For each n it forks a
child, which arms the library, does the action, disarms it, and does the action again: that must go well.
"""

import collections
import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
ALLOCATIONS, CALLS = 1, 2
RIGHT, ERROR, RUST = "right", "error", "ended by Rust, whose allocations end the process if they fail"
# Bytes of an allocation from which it must be survived: those are arrays and buffers. Smaller ones are the libraries'
# own, some of which end the process (Rust's, which safetensors is written in) or use what they did not get (Numba's
# _typeof.cpp).
LEAST = 4096
GCC = shutil.which("gcc") if sys.platform == "linux" else None


def library(folder):
    """The path of the compiled `failing.c`."""
    built = Path(folder) / "failing.so"
    command = [GCC, "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", built, HERE / "failing.c", "-ldl"]
    subprocess.run(command, check=True)
    return built


def attack(folder, action, kind, forever=False, *, error=None, size=LEAST, code=None):
    """
    Let each call fail, one at a time, in an action of `failing_actions` (or of the Python in `code`, which defines it).

    Parameters
    ----------
    folder : path
        Working folder.
    action : str
    kind : ALLOCATIONS or CALLS
    forever : bool
    error : int, optional
        The code that a failing call gives; ENOMEM or EIO by default.
    size : int
        Bytes of the least allocation that is counted.

    Returns
    -------
    Counter
        How often each thing happened: `RIGHT`, `ERROR`, or a description of what must not happen.
    """
    environment = os.environ | {"LD_PRELOAD": str(library(folder)), "NUMBA_NUM_THREADS": "1"}
    error = error or (errno.ENOMEM if kind == ALLOCATIONS else errno.EIO)
    asked = {"action": action, "kind": kind, "forever": forever, "error": error, "size": size, "code": code}
    command = [sys.executable, HERE / "failing.py", json.dumps(asked)]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-4000:]
    return collections.Counter(json.loads(done.stdout.splitlines()[-1]))


def outcome(status, said):
    """What happened in a child, from its exit status and what it said."""
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) == signal.SIGABRT and "memory allocation of" in said and " bytes failed" in said:
            return RUST
        return f"killed by {signal.Signals(os.WTERMSIG(status)).name}: {said[-300:]}"
    if os.WEXITSTATUS(status):
        return f"exit status {os.WEXITSTATUS(status)}: {said[-600:]}"
    return said.splitlines()[-1] if said else "nothing was said"


def serve(asked):
    """Do the attacks, and print the counts."""
    import ctypes
    import faulthandler

    sys.path.insert(0, str(HERE))
    if asked["code"]:
        found = {}
        exec(asked["code"], found)
        act, check = found["act"], found.get("check", lambda: None)
    else:
        import failing_actions

        act, check = failing_actions.ACTIONS[asked["action"]]
    faulthandler.enable()
    failing = ctypes.CDLL(None)
    failing.failing_disarm.restype = ctypes.c_long
    failing.failing_arm.argtypes = [ctypes.c_int, ctypes.c_long, ctypes.c_int, ctypes.c_int, ctypes.c_size_t]
    act()
    wanted = act()()
    failing.failing_arm(asked["kind"], 2**60, 0, 0, asked["size"])
    act()
    total = failing.failing_disarm()
    counts = collections.Counter()
    for n in range(1, total + 1):
        counts[child(asked, failing, n, act, check, wanted)] += 1
    print(json.dumps(counts), flush=True)


def child(asked, failing, n, act, check, wanted):
    """The outcome where call number n fails."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        os.dup2(write, 1)
        os.dup2(write, 2)
        signal.alarm(60)
        failing.failing_arm(asked["kind"], n, asked["forever"], asked["error"], asked["size"])
        try:
            found, error = act(), None
        except BaseException as raised:  # also what must not be raised
            found, error = None, raised
        failing.failing_disarm()
        status = told(error, found, wanted, act, check)
        sys.stdout.flush()
        os._exit(status)
    os.close(write)
    with os.fdopen(read, errors="replace") as pipe:
        said = pipe.read()
    return outcome(os.waitpid(pid, 0)[1], said)


def told(error, found, wanted, act, check):
    """Print what became of an attacked action, and do it again, undisturbed; returns the exit status."""
    import traceback

    try:
        check()
        assert error is not None or found() == wanted, "wrong numbers, and no error"
        assert act()() == wanted, "the action has another result afterwards"
        if error is None:
            print(f"\n{RIGHT}")
            return 0
        # NumPy says so where a buffer of a ufunc could not be had.
        numpy = isinstance(error, SystemError) and "set" in str(error)
        if numpy or isinstance(error, MemoryError | OSError | ValueError | ImportError | RuntimeWarning):
            print(f"\n{ERROR}")
            return 0
        raise error
    except BaseException:
        traceback.print_exc()
        return 1


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
