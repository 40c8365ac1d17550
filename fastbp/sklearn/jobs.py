"""How many threads a fit takes, alone and among the jobs of joblib."""

from __future__ import annotations

import threading

from joblib.parallel import get_active_backend

from ..compilation import thread_count


def threads_here() -> int:
    """Threads of a fit: all that Numba has (joblib divides them among its processes); one in a job on a thread."""
    in_a_job = get_active_backend()[0].nesting_level > 0
    return thread_count(1 if in_a_job and threading.current_thread() is not threading.main_thread() else None)
