"""joblib's processes, for libraries that do not train many networks on threads."""

from functools import cache
from multiprocessing.util import Finalize

import joblib
from joblib.externals.loky import get_reusable_executor

# Seconds that idle processes stay alive: longer than the turns of all other candidates.
IDLE = 3600


def spread(function, calls, threads):
    """`function` of the arguments of each call, on as many processes as `threads`; in this process if that is 1."""
    if threads > 1:
        _end_with_parent()
    with joblib.parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE):
        return joblib.Parallel(n_jobs=threads)(joblib.delayed(function)(*call) for call in calls)


@cache
def _end_with_parent():
    """End joblib's processes before this one, which would otherwise wait for them when it exits."""
    Finalize(None, lambda: get_reusable_executor(reuse=True).terminate(kill_workers=True), exitpriority=1)
