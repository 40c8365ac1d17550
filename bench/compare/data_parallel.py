"""
Seconds per epoch of data-parallel training: the rows of a Dask array on worker processes of one thread each, and the same rows in memory.

python bench/compare/data_parallel.py [rows] [batch size ...]
"""

import os
import sys

import dask.array as da
import numpy as np
from distributed import Client, LocalCluster

import fastbp

HIDDEN, FEATURES, CLASSES, EPOCHS = (256, 128), 64, 10, 3


def seconds(X, y, **more):
    """Median seconds of an epoch; the first compiles, and brings rows into caches."""
    net = fastbp.train(X, y, hidden=HIDDEN, epochs=1 + EPOCHS, seed=0, progress=False, **more)
    return float(np.median(np.diff(net.history["seconds"])))


def main(n, batch_sizes):
    random = da.random.default_rng(0)
    X = random.normal(size=(n, FEATURES), chunks=(max(1, n // 16), FEATURES)).astype(np.float32)
    W = np.random.default_rng(1).normal(size=(FEATURES, CLASSES)).astype(np.float32)
    y = (X @ W).argmax(axis=1).compute()
    inputs = X.compute()
    print(f"{n} rows, {FEATURES}-{'-'.join(map(str, HIDDEN))}-{CLASSES}, float32")
    for batch_size in batch_sizes:
        for threads in (1, 2):
            print(
                f"  batches of {batch_size}: NumPy array, threads={threads}: {seconds(inputs, y, batch_size=batch_size, threads=threads):.3f} s"
            )
        for threads in (1, 2):
            print(
                f"  batches of {batch_size}: dask array here, threads={threads}: {seconds(X, y, batch_size=batch_size, threads=threads):.3f} s"
            )
        for workers in (1, 2):
            cluster = LocalCluster(n_workers=workers, threads_per_worker=1, host="127.0.0.1", dashboard_address=None)
            with cluster, Client(cluster):
                print(f"  batches of {batch_size}: dask array, {workers} worker processes: {seconds(X, y, batch_size=batch_size):.3f} s")


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    main(int((sys.argv[1:] or ["1000000"])[0]), [int(size) for size in sys.argv[2:]] or [8192, 65536])
