"""Whether a network fits the memory: its bytes are counted before they are asked for."""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

import fastbp.kernels as kernels
from fastbp.kernels.internal import copies, is_narrow, is_plain, memory_of

from .options import Architecture, Hyperparameters

# Arrays of the size of the parameters that every run holds: the weights, those before the epoch, the best, those of the
# network returned.
COPIES = 4
# Where Linux says how much the control group of a process may take (versions 2 and 1).
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@functools.cache
def limit() -> int | None:
    """Bytes that this process may take: the machine's memory, or less if its control group says so; None if unknown."""
    known = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in map(Path, _GROUPS):
        text = path.read_text().strip() if path.is_file() else ""
        known += [int(text)] if text.isdigit() else []  # or "max"
    return min(known, default=None)


def shown(count: int) -> str:
    """Bytes for people to read."""
    power = min(4, max(0, (len(str(count)) - 1) // 3))
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


def require(name: str, what: str, count: int) -> None:
    """Raise ValueError for argument `name` if `what` takes more bytes than there are; without a limit, NumPy will."""
    most = limit()
    if most is not None and count > most:
        raise ValueError(f"{name}: {what} would take {shown(count)} of memory, of which there are {shown(most)}")


def require_training(net: Architecture, hyper: Hyperparameters, n: int, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if the network, its batches or the targets of n samples do not fit; the parameters given do."""
    size = dtype.itemsize
    own = network_bytes(net, hyper, dtype)
    shape = "-".join(map(str, net.sizes))
    require("hidden", f"a network of {shape} units with the state of {hyper.optimizer}", own)
    largest = min(hyper.batch_size, n)
    require("batch_size", f"the network and batches of {largest} samples", own + batch_bytes(net, hyper, n, dtype))
    require("y", f"targets of {n} samples for {net.sizes[-1]} units", n * net.sizes[-1] * size)


def network_bytes(net: Architecture, hyper: Hyperparameters, dtype: np.dtype[Any]) -> int:
    """What depends on the weights alone: copies of them, and the optimizer's state."""
    arrays = COPIES + kernels.states_of(kernels.OPTIMIZERS[hyper.optimizer])
    return dtype.itemsize * arrays * _weights(net)


def batch_bytes(net: Architecture, hyper: Hyperparameters, n: int, dtype: np.dtype[Any]) -> int:
    """Work space and gradients of the largest batch of n samples."""
    largest, size = min(hyper.batch_size, n), dtype.itemsize
    narrow = is_narrow(largest, _weights(net) * size)
    plain = is_plain(kernels.OPTIMIZERS[hyper.optimizer], largest) and hyper.clip_norm is None
    shares = np.zeros(len(net.activations))
    shares[: len(hyper.dropout)] = hyper.dropout
    need = memory_of(net.size_array, net.activation_codes, shares, largest, size, narrow, plain)
    return size * int(need.space + need.gradient + (0 if narrow else copies(parallel=False)))


def _weights(net: Architecture) -> int:
    # Python's numbers, which do not overflow: the network may be far too large
    return sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(net.sizes))
