"""A process for one candidate: on requests over a pipe, it prepares a case, runs it, and returns the time."""

import importlib
import multiprocessing
import os
import time
import traceback

import isa

THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")
# By default, idle threads of MKL (ms) and OpenBLAS (log2 of cycles) spin for a tenth of a second or more, and disturb
# the next candidate.
SLEEP_SOONER = {"KMP_BLOCKTIME": "20", "OPENBLAS_THREAD_TIMEOUT": "24"}
XLA_ONE_THREAD = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"


class WorkerError(Exception):
    """An error of a candidate, with its traceback."""


class Worker:
    """
    The parent's end of the pipe.

    Parameters
    ----------
    candidate : str
        The file is ``with_<candidate>.py``.
    threads : int
        Threads, and processor cores, that it may use.
    daemon : bool
        Always ends with this process, but cannot start processes itself.
    """

    def __init__(self, candidate, threads, daemon=True):
        self.candidate, self.threads = candidate, threads
        # Read when the libraries are loaded.
        os.environ.update(dict.fromkeys(THREAD_VARIABLES, str(threads)) | SLEEP_SOONER)
        os.environ["XLA_FLAGS"] = " ".join([XLA_ONE_THREAD] * (threads == 1) + [isa.XLA_AVX2] * isa.held())
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=serve, args=(other, candidate, threads), daemon=daemon)
        self.process.start()
        other.close()  # the child's end; if it stayed open here, the death of the child would go unnoticed
        self.version = self._answer()

    def _answer(self):
        try:
            failure, answer = self.pipe.recv()
        except EOFError:
            failure = f"its process has ended with exit code {self.process.exitcode}"
        if failure:
            raise WorkerError(f"{self.candidate} on {self.threads} threads: {failure}")
        return answer

    def ask(self, what, argument):
        """Return the answer of a method of `Candidate`."""
        self.pipe.send((what, argument))
        return self._answer()

    def close(self):
        self.pipe.send(None)
        self.process.join()


class Candidate:
    """The child's end: one library, and its current case."""

    def __init__(self, name, threads):
        self.held = isa.hold(name)
        self.module, self.threads = importlib.import_module(f"with_{name}"), threads
        self.step = None

    def prepare(self, case):
        """Set the case up, run it once (this compiles), and return the result as an array."""
        self.step = None  # frees the previous case
        self.step, result = getattr(self.module, case.kind)(case, self.threads)
        self.step()
        return result()

    def measure(self, at_least):
        """Mean seconds of a run, over as many runs as take `at_least` seconds."""
        runs, started = 0, time.perf_counter()
        while True:
            self.step()
            runs += 1
            taken = time.perf_counter() - started
            if taken >= at_least:
                return taken / runs / getattr(self.module, "EPOCHS", 1)

    def ran(self, _):
        """What the libraries say about the instructions that they ran."""
        said = self.module.ran() if hasattr(self.module, "ran") else ""
        return "; ".join(filter(None, (said, self.held))) or "its own choice"

    def peak(self, dtype):
        """GFLOP/s that the processor can do on one thread, measured by fastbp."""
        return self.module.peak(dtype)


def serve(pipe, name, threads):
    """Answer until the message is None; each answer is (failure or None, value or None)."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    try:
        candidate = Candidate(name, threads)
        pipe.send((None, candidate.module.version()))
    except (ImportError, OSError) as error:  # the package, or the library that ctypes looks for, is not installed
        pipe.send((str(error), None))
        return
    while (message := pipe.recv()) is not None:
        try:
            pipe.send((None, getattr(candidate, message[0])(message[1])))
        except Exception:
            pipe.send((traceback.format_exc(), None))
