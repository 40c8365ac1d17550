"""What determines the bits, in this process and on the workers of a Dask cluster, which must match."""

from __future__ import annotations

import functools
from typing import Any

from distributed import Client

from fastbp.kernels.internal import FUSED

from .config import config


@functools.cache
def installation() -> dict[str, Any]:
    """What determines the bits, in this process."""
    here = config(peak=False)
    same = {name: here[name] for name in ("fastbp", "numpy", "numba", "llvmlite")}
    return same | {"fused multiply-add": FUSED}


def require_same(name: str, address: str, here: dict[str, Any], there: Any) -> None:
    """Raise RuntimeError unless the worker has the same; `there` may also be the exception that it raised."""
    if isinstance(there, Exception):
        raise RuntimeError(f"{name}: expected fastbp {here['fastbp']} on worker {address}, got {there}")
    for what, wanted in here.items():
        if there[what] != wanted:
            raise RuntimeError(
                f"{name}: expected {what} {wanted}, as here, on worker {address}, got {there[what]}; "
                "its networks may have other bits"
            )


def connected(name: str, client: Any) -> dict[str, int]:
    """
    Threads of each worker of a cluster.

    Parameters
    ----------
    name : str
        What errors call the client.
    client : distributed.Client

    Raises
    ------
    ValueError
        Something else, or a client for coroutines.
    RuntimeError
        The client is closed, or there is no worker, or one that would give other bits than this process.
    """
    if not isinstance(client, Client):
        raise ValueError(f"{name}: expected a distributed.Client, got {client!r}")
    if client.asynchronous:
        raise ValueError(f"{name}: expected a client that waits for results, got one that is asynchronous")
    if client.status != "running":
        raise RuntimeError(
            f"{name}: expected a client that is connected to its cluster, got one that is {client.status}"
        )
    try:
        threads, here, there = client.nthreads(), installation(), client.run(installation, on_error="return")
    except Exception as error:
        raise RuntimeError(f"{name}: expected a client that is connected to its cluster, got {error!r}") from error
    if not threads:
        raise RuntimeError(f"{name}: expected a cluster with workers, got none at {client.scheduler.address}")
    for address, found in there.items():
        if not isinstance(found, OSError):  # it was lost meanwhile
            require_same(name, address, here, found)
    return dict(threads)
