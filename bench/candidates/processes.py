"""joblib's processes, for libraries that have no threads for many networks."""

from functools import cache
from multiprocessing.util import Finalize

import joblib
from joblib.externals.loky import get_reusable_executor

# Seconds that idle processes stay: longer than the turns of all others.
IDLE = 3600


def spread(function, calls, threads):
    """What `function` returns for the arguments of each call, on so many processes of one thread each; on one thread, in this process."""
    if threads > 1:
        _end_with_this()
    with joblib.parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE):
        return joblib.Parallel(n_jobs=threads)(joblib.delayed(function)(*call) for call in calls)


@cache
def _end_with_this():
    """A process waits at its end for those that it has started; this comes before."""
    Finalize(None, lambda: get_reusable_executor(reuse=True).terminate(kill_workers=True), exitpriority=1)
