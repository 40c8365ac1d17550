"""
The overhead of a Dask cluster: the measured constants and the tables of the page on large clusters.

Run ``python bench/compare/cluster_costs.py`` with ``pip install -e ".[dask]"``, not on Windows. Scheduler and workers
are processes on this machine, connected by loopback. The costs are CPU seconds of the client, the scheduler and the
workers, which hardly depend on what else is running. To measure the scheduler with many workers, all of these are in
one process, which only answers. Results for more workers are computed: see ``cluster_model.py``. Prints Markdown.
"""

import contextlib
import itertools
import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from unittest.mock import patch

import distributed
import numpy as np
from cluster_model import Sending, Step, size, step_tables, table
from distributed import Client, as_completed

import fastbp
from fastbp.many import cluster, executors

NETWORKS = {"64-64-10": (64, 64, 10), "784-64-10": (784, 64, 10), "784-500-200-10": (784, 500, 200, 10)}
PROCESSES, TOGETHER = (1, 2, 3), (1, 10, 100)  # workers in separate processes, and in one process
TASKS, VARIANTS, STEPS = 1000, 600, 30
BLOCK = 32_000_000  # bytes of samples that are sent


@dataclass
class Seconds:
    """Wall-clock seconds, and CPU seconds of the client, the scheduler, and all processes with workers."""

    clock: float = 0.0
    client: float = 0.0
    scheduler: float = 0.0
    workers: float = 0.0

    def __truediv__(self, count):
        return Seconds(*(value / count for value in vars(self).values()))


@contextlib.contextmanager
def started(processes, each=1):
    """A client of a cluster with so many processes, each with so many workers of one thread."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        local = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0"}
        address = os.path.join(folder, "scheduler.json")
        of_scheduler = local | {"scheduler_file": address, "port": 0}
        of_worker = local | {"nthreads": 1, "memory_limit": 0, "local_directory": folder}
        worker = {"cls": "distributed.Worker", "opts": of_worker}
        stack.enter_context(process({"cls": "distributed.Scheduler", "opts": of_scheduler}))
        client = stack.enter_context(Client(scheduler_file=address))
        for _ in range(processes):
            stack.enter_context(process({f"worker {k}": worker for k in range(each)}, client.scheduler.address))
        client.wait_for_workers(processes * each, timeout=300)
        yield client


@contextlib.contextmanager
def process(spec, *scheduler):
    """A scheduler or workers, until the end of the block."""
    command = [sys.executable, "-m", "dask", "spec", *scheduler, "--spec", json.dumps(spec)]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        running.kill()
        running.wait()


def process_seconds(client):
    """CPU seconds so far, of the client, the scheduler, and all processes with workers."""
    by_process = {}
    for process, seconds in client.run(lambda: (os.getpid(), time.process_time())).values():
        by_process[process] = max(seconds, by_process.get(process, 0.0))
    return time.process_time(), client.run_on_scheduler(time.process_time), sum(by_process.values())


@contextlib.contextmanager
def measured(client):
    """The seconds of a block."""
    taken, before, start = Seconds(), process_seconds(client), time.perf_counter()
    yield taken
    taken.clock = time.perf_counter() - start
    taken.client, taken.scheduler, taken.workers = np.subtract(process_seconds(client), before)


# Measurements


def empty_tasks(client, broadcast=True, at_once=False):
    """
    Tasks that do nothing, submitted and awaited as in `fastbp.many.cluster`.

    `broadcast`: they depend on data that every worker has; `at_once`: all are in one message.
    """
    samples = client.scatter(0, broadcast=True, hash=False) if broadcast else 0
    with measured(client) as taken:
        if at_once:
            futures = client.map(nothing, range(TASKS), samples=samples, pure=False, retries=3)
        else:
            futures = [client.submit(nothing, k, samples, pure=False, retries=3, priority=-k) for k in range(TASKS)]
        for _ in as_completed(futures, loop=client.loop, with_results=True):
            pass
    return taken / TASKS


def nothing(number, samples):
    return number


def networks(client):
    """Seconds of a network of `fastbp.train_many`, and the bytes of its options and of its result."""
    X, y = np.random.default_rng(0).normal(size=(500, 64)).astype(np.float32), np.arange(500) % 10
    variants = [{"seed": k, "learning_rate": 1e-4 * (1 + k)} for k in range(VARIANTS)]
    options = {"hidden": (32,), "epochs": 4, "progress": False}
    fastbp.train_many(X, y, variants[:20], engine=client, **options)
    with measured(client) as taken:
        nets = fastbp.train_many(X, y, variants, engine=client, **options)
    with patch.object(executors.ThreadExecutor, "run", autospec=True, side_effect=executors.ThreadExecutor.run) as run:
        fastbp.train_many(X, y, variants[:20], threads=1, **options)
    work = run.call_args.args[1]
    return taken / VARIANTS, by_item(work), by_item(cluster.Outcome([nets[k] for k in range(20)]).results)


def by_item(items):
    """Bytes that each item adds to a message."""
    return (len(pickle.dumps(items)) - len(pickle.dumps(items[:1]))) / (len(items) - 1)


def transfers(client):
    """Bytes per second: scattered to every worker, and gathered from one."""
    block = np.random.default_rng(0).bytes(BLOCK)
    rates = []
    for _ in range(5):
        start = time.perf_counter()
        future = client.scatter(np.frombuffer(block, np.uint8), broadcast=True, hash=False)
        scattered = time.perf_counter()
        client.gather(future)
        gathered = time.perf_counter()
        rates.append((len(client.nthreads()) * BLOCK / (scattered - start), BLOCK / (gathered - scattered)))
        future.release()
    return np.median(rates, axis=0)


class Echo:
    """In place of a worker's shards: receives weights, and returns a gradient of the same size."""

    def gradient(self, params):
        return params + 1


METHODS = "actors, through the scheduler", "actors, directly", "tasks"


def steps(client, sizes):
    """Seconds of the messages of a data-parallel step, including the sum of the gradients, by each of the `METHODS`."""
    params = np.zeros(count(sizes), np.float32)
    addresses = list(client.nthreads())
    actors = [client.submit(Echo, actor=True, workers=[address], pure=False).result() for address in addresses]

    def by_actors():
        return sum(answer.result() for answer in [actor.gradient(params) for actor in actors])

    def by_tasks():
        tasks = [client.submit(np.add, params, 1, workers=[address], pure=False) for address in addresses]
        return sum(client.gather(tasks))

    for direct, step in ((False, by_actors), (True, by_actors), (False, by_tasks)):
        client.direct_to_workers = direct
        step()
        with measured(client) as taken:
            for _ in range(STEPS):
                step()
        yield taken / STEPS
    client.direct_to_workers = False


def count(sizes):
    return sum((i + 1) * j for i, j in itertools.pairwise(sizes))


def row_seconds(sizes):
    """CPU seconds of one thread for a row in training."""
    random = np.random.default_rng(0)
    X, y = random.normal(size=(4096, sizes[0])).astype(np.float32), random.integers(10, size=4096)
    options = {"hidden": sizes[1:-1], "batch_size": 256, "threads": 1, "seed": 0, "progress": False, "scale": False}
    fastbp.train(X, y, epochs=1, **options)
    taken = []
    for epochs in (2, 22):
        start = time.process_time()
        fastbp.train(X, y, epochs=epochs, **options)
        taken.append(time.process_time() - start)
    return (taken[1] - taken[0]) / (20 * len(X))


def ms(*seconds):
    return [f"{1e3 * value:.3g}" for value in seconds]


CLOCK = ["ms, clock", "client", "scheduler", "workers"]


def sending():
    """Print the costs of tasks, networks and samples, and return the model of many networks."""
    tasks, rates, clients = [], [], []
    for processes in PROCESSES:
        with started(processes) as client:
            at_once, one_by_one = empty_tasks(client, at_once=True), empty_tasks(client)
            network, sent, back = networks(client)
            clients.append((one_by_one.client, network.client))
            rates.append([str(processes), *(f"{rate / 1e6:,.0f} MB/s" for rate in transfers(client))])
        for name, taken in {"empty task": one_by_one, "empty task of one message": at_once, "network": network}.items():
            tasks.append([str(processes), name, *ms(*vars(taken).values())])
    print(f"\n{table(['processes', '', *CLOCK], tasks)}\n")
    print(table(["processes", "scatter to all", "gather"], rates))
    print(f"\nnetworks 64-32-10: {sent:,.0f} bytes of options each, {back:,.0f} bytes back")
    of_scheduler, loads = [], []
    for workers in TOGETHER:
        with started(1, workers) as client:
            without, with_samples = empty_tasks(client, broadcast=False), empty_tasks(client)
            at_once = empty_tasks(client, at_once=True)
        loads.append(with_samples.scheduler)
        of_scheduler.append([str(workers), *ms(without.scheduler, with_samples.scheduler, at_once.scheduler)])
    head = ["workers in one process", "scheduler, ms of a task", "with samples on all", "of one message"]
    print("\n" + table(head, of_scheduler))
    by_task, by_network = np.median(clients, axis=0).tolist()
    return Sending(float(np.median(loads)), by_task, by_network, sent + back)


def stepping():
    """Print the costs of a step's messages, and return the models of data-parallel training."""
    rows, messages = [], {name: [] for name in NETWORKS}
    for processes in PROCESSES:
        with started(processes) as client:
            for name, sizes in NETWORKS.items():
                parameters = f"{name}, {size(4 * count(sizes))}"
                for method, taken in zip(METHODS, steps(client, sizes), strict=True):
                    rows.append([parameters, str(processes), method, *ms(*vars(taken).values())])
                    if method == METHODS[0]:
                        messages[name].append(max(taken.client, taken.scheduler) / processes)
    print("\n" + table(["parameters", "processes", "step by", *CLOCK], rows) + "\n")
    for name, sizes in NETWORKS.items():
        seconds, parameters = row_seconds(sizes), 4 * count(sizes)
        print(f"{name}: {1e6 * seconds:.3g} µs of one thread for a row of a batch")
        yield Step(size(parameters), parameters, float(np.median(messages[name])), seconds)


def main():
    print(f"Dask {distributed.__version__}, {os.cpu_count()} cores; CPU seconds, except for the clock", flush=True)
    model = sending()
    print("\n" + model.table() + "\n", flush=True)
    for text in step_tables(list(stepping())):
        print("\n" + text)


if __name__ == "__main__":
    main()
