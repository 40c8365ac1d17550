"""
Seconds per epoch of data-parallel training: a Dask array on worker processes of one thread, and an array in memory.

Run ``python bench/compare/data_parallel.py [rows [batch size ...]]``. The methods take turns; in each turn, the first
epoch compiles, and the others count. Prints the fastest in a Markdown table: other load on the machine only adds to it.
"""

import os
import sys
from contextlib import nullcontext

os.environ["OMP_NUM_THREADS"] = "1"  # for libraries other than fastbp

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import fastbp

HIDDEN, FEATURES, CLASSES = (256, 128), 64, 10
TURNS, EPOCHS = 3, 3


def problem(n):
    """A Dask array in 16 chunks, and the classes of its rows."""
    X = da.random.default_rng(0).normal(size=(n, FEATURES), chunks=(-(-n // 16), FEATURES)).astype(np.float32)
    W = np.random.default_rng(1).normal(size=(FEATURES, CLASSES)).astype(np.float32)
    return X, (X @ W).argmax(axis=1).compute()


def seconds(X, y, batch_size, workers=0, threads=None):
    """Seconds of the fastest epoch, on so many worker processes, or in this process if there are none."""
    options = {"hidden": HIDDEN, "epochs": 1 + EPOCHS, "batch_size": batch_size, "threads": threads}
    cluster = nullcontext()
    if workers:
        cluster = LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
    with cluster, Client(cluster) if workers else nullcontext():
        net = fastbp.train(X, y, seed=0, progress=False, **options)
    return np.diff(net.history["seconds"]).min()


def main(n, batch_sizes):
    """Measure, and print."""
    X, y = problem(n)
    array = X.compute()
    methods = {f"NumPy array, threads={k}": {"X": array, "threads": k} for k in (1, 2)}
    methods |= {f"Dask array without a client, threads={k}": {"X": X, "threads": k} for k in (1, 2)}
    methods |= {f"Dask array, {k} worker process{'es' * (k > 1)}": {"X": X, "workers": k} for k in (1, 2)}
    network = "-".join(map(str, (FEATURES, *HIDDEN, CLASSES)))
    print(f"| {n} rows, {network} | " + " | ".join(f"batches of {size}" for size in batch_sizes) + " |")
    print("|---" * (1 + len(batch_sizes)) + "|")
    best = {(method, size): np.inf for method in methods for size in batch_sizes}
    for _ in range(TURNS):
        for method, size in best:
            best[method, size] = min(best[method, size], seconds(y=y, batch_size=size, **methods[method]))
    for method in methods:
        print(f"| {method} | " + " | ".join(f"{best[method, size]:.3f}" for size in batch_sizes) + " |")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["500000"])[0]), [int(size) for size in sys.argv[2:]] or [8192, 65536])
