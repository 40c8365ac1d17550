"""The time until the first result: compilation, loading from the cache, importing; and how much is compiled."""

import tempfile

from .starts import PROGRAMS, functions_compiled, start

TURNS = 5


class Start:
    """From starting Python to the predictions of a trained XOR network."""

    timeout = 300

    def setup_cache(self):
        with tempfile.TemporaryDirectory() as folder:
            functions = functions_compiled(folder)
        with tempfile.TemporaryDirectory() as folder:
            cold = start(PROGRAMS["fastbp"], folder)[0]
            warm = [start(PROGRAMS["fastbp"], folder)[:2] for _ in range(TURNS)]
            numba = min(start(PROGRAMS["import numba"], folder)[0] for _ in range(TURNS))
            importing = min(start(PROGRAMS["import fastbp"], folder)[0] for _ in range(TURNS))
        return {
            "cold": cold,
            "warm": min(seconds for seconds, _ in warm) - numba,
            "import": importing - numba,
            "memory": min(megabytes for _, megabytes in warm),
            "functions": functions,
        }

    setup_cache.timeout = 300

    def track_cold_start(self, found):
        return found["cold"]

    def track_warm_start_over_numba(self, found):
        return found["warm"]

    def track_import_over_numba(self, found):
        return found["import"]

    def track_peak_memory(self, found):
        return found["memory"]

    def track_functions_compiled(self, found):
        return found["functions"]

    track_cold_start.unit = track_warm_start_over_numba.unit = track_import_over_numba.unit = "seconds"
    track_peak_memory.unit, track_functions_compiled.unit = "MB", "functions"
