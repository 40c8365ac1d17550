"""The time until the first result: compilation, loading from the cache, importing."""

import os
import subprocess
import sys
import tempfile
import time

TRAIN = """
import fastbp
net = fastbp.train([[0, 0], [0, 1], [1, 0], [1, 1]], [0, 1, 1, 0], hidden=8, seed=1, progress=False)
assert net.predict([[0, 0], [0, 1], [1, 0], [1, 1]]).tolist() == [0, 1, 1, 0]
"""
IMPORT = """
import time
import numba
started = time.perf_counter()
import fastbp
print(time.perf_counter() - started)
"""


def _run(code, folder):
    """Seconds of a new process with its compile cache in `folder`, and its output."""
    command, environment = [sys.executable, "-c", code], os.environ | {"NUMBA_CACHE_DIR": folder}
    started = time.perf_counter()
    output = subprocess.check_output(command, cwd=folder, env=environment, text=True)
    return time.perf_counter() - started, output


class Start:
    """Seconds from starting Python to the predictions of a trained XOR network, and seconds of the import."""

    timeout = 300

    def setup_cache(self):
        with tempfile.TemporaryDirectory() as folder:
            cold, _ = _run(TRAIN, folder)
            warm = min(_run(TRAIN, folder)[0] for _ in range(3))
            importing = min(float(_run(IMPORT, folder)[1]) for _ in range(3))
        return {"cold": cold, "warm": warm, "import": importing}

    setup_cache.timeout = 300

    def track_cold_start(self, seconds):
        return seconds["cold"]

    def track_warm_start(self, seconds):
        return seconds["warm"]

    def track_import_over_numba(self, seconds):
        return seconds["import"]

    track_cold_start.unit = track_warm_start.unit = track_import_over_numba.unit = "seconds"
