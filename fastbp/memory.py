"""Whether a network fits the memory: its bytes are counted before they are asked for."""

from __future__ import annotations

import functools
import itertools
import os
from pathlib import Path
from typing import Any

import numpy as np

import fastbp.kernels as kernels
from fastbp.kernels.internal import copies, gauss_newton_bytes, is_narrow, is_plain, memory_of

from .options import Architecture, Hyperparameters
from .second_order.options import NAMES, PAIRS, QUASI_NEWTON

# Arrays of the size of the parameters that every run holds: the weights, those before the epoch, the best, those of the
# network returned.
COPIES = 4
# Parameters whose number squared an int64 holds many times.
LARGE = 1 << 28
# Where Linux says how much the control group of a process may take (versions 2 and 1).
_GROUPS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")


@functools.cache
def limit() -> int | None:
    """Bytes that this process may take: the machine's memory, or less if its control group says so; None if unknown."""
    known = []
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        known.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in map(Path, _GROUPS):
        text = path.read_text("ascii").strip() if path.is_file() else ""
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
    if hyper.optimizer in NAMES:
        _require_second_order(net, hyper.optimizer, n)
        require("y", f"targets of {n} samples for {net.sizes[-1]} units", n * net.sizes[-1] * size)
        return
    own = network_bytes(net, hyper, dtype)
    shape = "-".join(map(str, net.sizes))
    require("hidden", f"a network of {shape} units with the state of {hyper.optimizer}", own)
    largest = min(hyper.batch_size, n)
    require("batch_size", f"the network and batches of {largest} samples", own + batch_bytes(net, hyper, n, dtype))
    require("y", f"targets of {n} samples for {net.sizes[-1]} units", n * net.sizes[-1] * size)


def _require_second_order(net: Architecture, optimizer: str, n: int) -> None:
    """Raise ValueError if the matrices of an optimizer do not fit; the message says which one needs less."""
    need, most, P = second_order_bytes(net, optimizer, n), limit(), _weights(net)
    if most is None or need <= most:
        return
    less = second_order_bytes(net, "lbfgs", n)
    instead = f"; optimizer='lbfgs' takes {shown(less)}" if less <= most and optimizer != "lbfgs" else ""
    what = f"the matrices of {optimizer!r} for {P} weights"
    raise ValueError(f"optimizer: {what} would take {shown(need)} of memory, of which there are {shown(most)}{instead}")


def second_order_bytes(net: Architecture, optimizer: str, n: int) -> int:
    """What an optimizer of all samples at once takes, in float64, besides the samples."""
    P, residuals = _weights(net), n * net.sizes[-1]
    if optimizer in QUASI_NEWTON:
        known = 8 * P * (COPIES + 2 * (PAIRS if optimizer == "lbfgs" else P))
        if P >= LARGE:
            return known
        shares, narrow = np.zeros(len(net.activations)), is_narrow(n, 8 * P)
        need = memory_of(net.size_array, net.activation_codes, shares, n, 8, narrow, False)
        return known + 8 * int(need.space + need.gradient)
    if optimizer == "levenberg_marquardt" and residuals < P:
        return 8 * (3 * residuals * P + 2 * residuals * residuals)
    matrices = 8 * P * P * (5 if optimizer == "bayesian" else 2)
    return matrices + (gauss_newton_bytes(net.size_array, n, P, 8) if P < LARGE else 8 * P * P)


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
