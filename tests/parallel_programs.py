"""
Programs that train and predict from many threads and processes at once; `test_threads` runs each in its own process.

``python parallel_programs.py NAME ROUNDS DTYPE``: every result must be bit for bit that of a run on one thread.
"""

import concurrent.futures as futures
import multiprocessing
import os
import signal
import sys
import threading
import time

import numba
import numpy as np

AT_ONCE = 8
DTYPE = "float32"


def learn(threads=2):
    """Weights and probabilities of a network that is large enough to be trained and used on several threads."""
    import fastbp

    rng = np.random.default_rng(0)
    X, more = rng.normal(size=(800, 30)), rng.normal(size=(3000, 30))
    y = (X[:, 0] * X[:, 1] > 0).astype(int)
    net = fastbp.train(
        X, y, hidden=(64, 32), epochs=2, batch_size=400, seed=1, threads=threads, dtype=DTYPE, progress=False
    )
    return net.params.tobytes() + net.predict_proba(more).tobytes()


def task(k):
    """A worker's task: some ask for threads, some do not. Returns None if Numba's number of threads has changed."""
    before = numba.get_num_threads()
    result = learn(1 + k % 2 if k else None)
    return result if numba.get_num_threads() == before else None


def child_task(dtype):
    """A task in a pool: a spawned process does not inherit the dtype, so it is passed."""
    global DTYPE
    DTYPE = dtype
    return learn(None)  # joblib's workers have one thread


@numba.njit(parallel=True, nogil=True)
def sums(A):
    """A user's parallel function."""
    out = np.zeros(A.shape[0])
    for i in numba.prange(A.shape[0]):
        for _ in range(20):
            out[i] += np.sin(A[i]).sum()
    return out


@numba.njit(parallel=True)
def learn_in_each(found):
    """Train within a parallel region, through the interpreter."""
    for i in numba.prange(found.size):
        with numba.objmode(good="int64"):
            good = int(learn() == WANTED)
        found[i] = good


WANTED = b""


def wait_for(pid):
    """The exit status of a child; a child that hangs is killed, and counts as 99."""
    for _ in range(1200):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.05)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    return 99


def forked(work):
    """Run the work in a forked child; returns whether it succeeded."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            code = 0 if work() else 2
        finally:
            os._exit(code)
    return wait_for(pid) == 0


# Programs: each yields, for one result after another, whether it is right


def plain(rounds):
    """One thread, without anything else: parallel regions are entered where nothing prevents it."""
    from fastbp import kernels

    for _ in range(rounds):
        with kernels.threads(2) as allowed:
            yield allowed
        yield learn() == WANTED


def python_threads(rounds):
    with futures.ThreadPoolExecutor(AT_ONCE) as pool:
        for _ in range(rounds):
            yield from (found == WANTED for found in pool.map(task, range(AT_ONCE)))


def one_network(rounds):
    """Threads share a network that has not predicted before."""
    import fastbp

    rng = np.random.default_rng(0)
    net = fastbp.train(
        rng.normal(size=(50, 30)), rng.normal(size=50), hidden=(64,), epochs=1, seed=0, dtype=DTYPE, progress=False
    )
    few, many = rng.normal(size=(3, 30)), rng.normal(size=(5000, 30))
    inputs = [few, many, few.astype("float32"), many.astype("float32")]
    wanted = [net.predict(X).tobytes() for X in inputs]
    for _ in range(rounds):
        fresh = fastbp.Network(**{name: getattr(net, name) for name in net.__dataclass_fields__})
        start = threading.Barrier(AT_ONCE)

        def predict(k, fresh=fresh, start=start):
            start.wait()
            return fresh.predict(inputs[k % 4]).tobytes() == wanted[k % 4]

        with futures.ThreadPoolExecutor(AT_ONCE) as pool:
            yield from pool.map(predict, range(AT_ONCE))


def pools(rounds):
    """Every way to start a process, after the parent has trained with threads."""
    yield learn() == WANTED
    for method in multiprocessing.get_all_start_methods():
        for _ in range(rounds):
            with futures.ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
                yield from (found == WANTED for found in pool.map(child_task, [DTYPE] * 4))
    yield learn() == WANTED


def fork_after_the_users_region(rounds):
    """A user's parallel function, not the package, has started the threads; the child computes what to compare with."""
    __import__("fastbp")
    sums(np.ones((100, 10)))
    for _ in range(rounds):
        yield forked(lambda: learn() == learn(1))


def fork_before_the_import(rounds):
    """As before, but only the child imports the package."""
    assert "fastbp" not in sys.modules
    sums(np.ones((100, 10)))
    for _ in range(rounds):
        yield forked(lambda: learn() == learn(1))


def threads_in_a_fork(rounds):
    """Threads in a child, and in a child of the child."""
    yield learn() == WANTED
    for _ in range(rounds):
        yield forked(lambda: all(python_threads(1)) and forked(lambda: learn() == WANTED))


def fork_while_compiling(rounds):
    """Other threads keep compiling, training and drawing bars while this one forks children that compile."""
    import fastbp

    stop = threading.Event()

    def compile_on():
        while not stop.is_set():
            numba.njit(lambda x: x + 1.5)(1.0)

    def train_on():
        while not stop.is_set():
            learn()

    def child():
        own = fastbp.train(
            [[0.0], [1.0]], [0.0, 1.0], hidden=(), epochs=3, loss=(OWN_LOSS, OWN_SLOPE), progress=True, seed=0
        )
        return numba.njit(lambda x: x + 2.5)(1.0) == 3.5 and np.isfinite(own.params).all() and learn() == WANTED

    others = [threading.Thread(target=work) for work in (compile_on, train_on, train_on)]
    for thread in others:
        thread.start()
    try:
        for _ in range(rounds):
            yield forked(child)
    finally:
        stop.set()
        for thread in others:
            thread.join()
    yield learn() == WANTED


def OWN_LOSS(y, yhat):  # noqa: N802
    return (y - yhat) ** 2


def OWN_SLOPE(y, yhat):  # noqa: N802
    return 2 * (yhat - y)


def next_to_the_users_region(rounds):
    """A user's thread runs a parallel function while this one uses the package; then vice versa."""
    A = np.random.default_rng(0).normal(size=(300, 200))
    wanted, stop, wrong = sums(A), threading.Event(), []

    def user():
        while not stop.is_set():
            if not (sums(A) == wanted).all():
                wrong.append(1)

    other = threading.Thread(target=user)
    other.start()
    try:
        yield from (learn() == WANTED for _ in range(rounds))
    finally:
        stop.set()
        other.join()
    found = []
    other = threading.Thread(target=lambda: found.extend(learn() == WANTED for _ in range(rounds)))
    other.start()
    while other.is_alive():
        yield bool((sums(A) == wanted).all())
    other.join()
    yield len(found) == rounds and all(found) and not wrong


def within_the_users_region(rounds):
    """Train and predict in the body of a prange."""
    for _ in range(rounds):
        found = np.zeros(6, np.int64)
        learn_in_each(found)
        yield bool(found.all())
    yield learn() == WANTED


def kernels_in_the_users_region(rounds):
    """Compiled code calls serial kernels on all threads."""
    from fastbp import kernels

    @numba.njit(parallel=True)
    def products(A, out):
        for i in numba.prange(A.shape[0]):
            kernels.matmul(A[i], A[i].T, out[i])
            kernels.activation_forward(kernels.TANH, out[i], out[i])

    A = np.random.default_rng(0).normal(size=(64, 20, 30)).astype(DTYPE)
    wanted = np.empty((64, 20, 20), DTYPE)
    for a, out in zip(A, wanted, strict=True):
        kernels.matmul(a, a.T, out)
        kernels.activation_forward(kernels.TANH, out, out)
    for _ in range(rounds):
        found = np.empty_like(wanted)
        products(A, found)
        yield found.tobytes() == wanted.tobytes()


def joblib_workers(rounds):
    joblib = __import__("joblib")
    yield learn() == WANTED
    for backend in ("loky", "threading", "multiprocessing"):
        for _ in range(rounds):
            results = joblib.Parallel(n_jobs=2 if backend != "threading" else AT_ONCE, backend=backend)(
                joblib.delayed(child_task)(DTYPE) for _ in range(AT_ONCE)
            )
            yield from (found == WANTED for found in results)


def dask_workers(rounds):
    distributed = __import__("distributed")
    yield learn() == WANTED
    for processes in (True, False):
        cluster = distributed.LocalCluster(
            n_workers=2, threads_per_worker=2, processes=processes, dashboard_address=None
        )
        with cluster, distributed.Client(cluster) as client:
            for _ in range(rounds):
                results = client.gather([client.submit(child_task, DTYPE, pure=False) for _ in range(AT_ONCE)])
                yield from (found == WANTED for found in results)


def settings(rounds):
    """Numba's own settings do not change."""
    before = {name: value for name, value in vars(numba.config).items() if name.isupper()}
    count = numba.get_num_threads()
    for _ in range(rounds):
        yield learn() == WANTED
        yield {name: value for name, value in vars(numba.config).items() if name.isupper()} == before
        yield numba.get_num_threads() == count


def the_end_comes(rounds):
    """The program ends while threads are training."""
    for _ in range(3):
        threading.Thread(target=lambda: [learn() for _ in range(10**6)], daemon=True).start()
    time.sleep(1)
    yield True


def main(name, rounds, dtype):
    global WANTED, DTYPE
    DTYPE = dtype
    WANTED = b"" if name in ("fork_after_the_users_region", "fork_before_the_import") else learn(1)
    results = list(globals()[name](rounds))
    print(f"{sum(results)} of {len(results)} right, layer {numba.threading_layer()}")
    sys.exit(0 if results and all(results) else 3)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
