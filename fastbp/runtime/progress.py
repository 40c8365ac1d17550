"""Progress bars that other processes cannot block."""

from __future__ import annotations

import threading
from typing import Any

from tqdm.auto import tqdm

from fastbp.kernels.internal import hold_at_fork


class Bar(tqdm):  # type: ignore[misc]
    """
    A tqdm bar, shown or not, with a lock that belongs to this process.

    tqdm's lock is shared with all forked processes: if one is killed while it holds the lock, the others wait forever,
    even without a visible bar. No monitor thread is started, since forks and some of Numba's threading layers do not
    tolerate other threads.
    """

    monitor_interval = 0
    _lock: Any = threading.RLock()


hold_at_fork(Bar._lock)
