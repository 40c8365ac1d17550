"""
Seconds per epoch of data-parallel training: rows of a Dask array on worker processes of one thread each, beside the same rows in memory.

Run ``python bench/compare/data_parallel.py [rows [batch size ...]]``. The ways take turns; in each, one epoch compiles and some
count. Prints the least of them in a Markdown table: what others do on the machine only ever adds to it.
"""

import os
import sys
from contextlib import nullcontext

os.environ["OMP_NUM_THREADS"] = "1"  # of what is not fastbp

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
    """Least seconds of an epoch, on so many worker processes, or here."""
    cluster = (
        LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
        if workers
        else nullcontext()
    )
    with cluster, Client(cluster) if workers else nullcontext():
        net = fastbp.train(
            X, y, hidden=HIDDEN, epochs=1 + EPOCHS, batch_size=batch_size, seed=0, progress=False, threads=threads
        )
    return np.diff(net.history["seconds"]).min()


def main(n, batch_sizes):
    """Measure, and print."""
    X, y = problem(n)
    array = X.compute()
    ways = {f"NumPy array, threads={k}": {"X": array, "threads": k} for k in (1, 2)}
    ways |= {f"Dask array without a client, threads={k}": {"X": X, "threads": k} for k in (1, 2)}
    ways |= {f"Dask array, {k} worker process{'es' * (k > 1)}": {"X": X, "workers": k} for k in (1, 2)}
    print(
        f"| {n} rows, {FEATURES}-{'-'.join(map(str, HIDDEN))}-{CLASSES} | "
        + " | ".join(f"batches of {size}" for size in batch_sizes)
        + " |"
    )
    print("|---" * (1 + len(batch_sizes)) + "|")
    found = {(way, size): np.inf for way in ways for size in batch_sizes}
    for _ in range(TURNS):
        for way, size in found:
            found[way, size] = min(found[way, size], seconds(y=y, batch_size=size, **ways[way]))
    for way in ways:
        print(f"| {way} | " + " | ".join(f"{found[way, size]:.3f}" for size in batch_sizes) + " |")


if __name__ == "__main__":
    main(int((sys.argv[1:] or ["500000"])[0]), [int(size) for size in sys.argv[2:]] or [8192, 65536])
