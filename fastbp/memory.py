"""Whether a network fits the memory: its bytes are counted before they are asked for."""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

import fastbp.kernels as kernels
from fastbp.kernels.internal import (
    ERRORS,
    GROUP,
    LONG,
    NARROW,
    PACKED_FROM,
    PARTS,
    TILE,
    is_plain,
    plan_tile,
    whole_vectors,
)

from .options import Architecture, Hyperparameters

# Arrays of the size of the parameters that every run holds: the weights, those before the epoch, the best, those of the network returned.
COPIES = 4
# Where Linux says how much the control group of a process may take (versions 2 and 1).
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@functools.cache
def limit() -> int | None:
    """Bytes that there are for this process: the machine's memory, or less if its control group says so; None where nobody knows."""
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
    """Raise ValueError for the argument `name` if so many bytes for `what` cannot be had; where the limit is not known, NumPy will."""
    most = limit()
    if most is not None and count > most:
        raise ValueError(f"{name}: {what} would take {shown(count)} of memory, of which there are {shown(most)}")


def require_training(net: Architecture, plan: Hyperparameters, n: int, dtype: np.dtype[Any]) -> None:
    """Raise ValueError if the network, its batches or the targets of n samples cannot be held; the parameters that there are must fit."""
    size = dtype.itemsize
    own = network_bytes(net, plan, dtype)
    shape = "-".join(map(str, net.sizes))
    require("hidden", f"a network of {shape} units with the state of {plan.optimizer}", own)
    largest = min(plan.batch_size, n)
    require("batch_size", f"the network and batches of {largest} samples", own + batch_bytes(net, plan, n, dtype))
    require("y", f"targets of {n} samples for {net.sizes[-1]} units", n * net.sizes[-1] * size)


def network_bytes(net: Architecture, plan: Hyperparameters, dtype: np.dtype[Any]) -> int:
    """What depends on the weights alone: their copies, the state of the optimizer, the packed weights of large layers."""
    count = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(net.sizes))
    arrays = COPIES + kernels.states_of(kernels.OPTIMIZERS[plan.optimizer])
    packed = sum(
        n_in * n_out for n_in, n_out in itertools.pairwise(net.sizes) if n_in * n_out * dtype.itemsize >= PACKED_FROM
    )
    return dtype.itemsize * (arrays * count + packed)


def batch_bytes(net: Architecture, plan: Hyperparameters, n: int, dtype: np.dtype[Any]) -> int:
    """Work space and gradients of the largest batch of n samples, as `minibatch.workspace` reserves them."""
    largest, size = min(plan.batch_size, n), dtype.itemsize
    count = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(net.sizes))
    narrow = largest > GROUP and count * size <= NARROW
    columns = GROUP if narrow else TILE
    plain = is_plain(kernels.OPTIMIZERS[plan.optimizer], largest) and plan.clip_norm is None
    parts = -(-largest // columns)
    if narrow:
        parts = min(parts, PARTS)
    long = largest > (parts if narrow else 1) * LONG
    gradients = (parts if narrow else 0 if plain else 1) * (2 if long else 1)
    shares = np.zeros(len(net.activations))
    shares[: len(plan.dropout)] = plan.dropout
    stride = whole_vectors(min(largest, columns), size)
    plan_of_tile = plan_tile(net.size_array, net.activation_codes, shares, stride, size)
    return size * (parts * int(plan_of_tile[-1, ERRORS]) + gradients * count)
