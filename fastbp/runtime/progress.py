"""Progress bars that no other process can hold up."""

from __future__ import annotations

import threading
from typing import Any

from tqdm.auto import tqdm

from fastbp.kernels.internal import hold_at_fork


class Bar(tqdm):  # type: ignore[misc]
    """
    A bar of tqdm, shown or not, whose lock is this process's own.

    tqdm's lock is shared with all processes that were forked: one that is killed while it holds the lock stops the others for ever, also
    where no bar is shown. And no thread is started to watch the bar: forks, and some of Numba's threading layers, want to be alone.
    """

    monitor_interval = 0
    _lock: Any = threading.RLock()


hold_at_fork(Bar._lock)
