"""
The first second: from starting Python to a trained XOR and its first predictions, in fastbp, scikit-learn and JAX.

Run ``python bench/compare/first_second.py [TURNS]`` with the packages of ``pip install -e ".[peers]"``; missing
packages are skipped. Every run is a new process, with bytecode there from the start. The candidates take turns: each
with an empty compile cache, and again with the cache that it has filled. Prints a Markdown table of medians, then each
target and what was measured. Not for Windows, which does not say how much memory a process took.
"""

import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[1]))

from peers import header, machine, row
from starts import PROGRAMS, functions_compiled, start

MODULES = {"scikit-learn": "sklearn", "JAX": "jax"}
COLD_TIMES_SKLEARN, WARM_OVER_NUMBA, IMPORT_OVER_NUMBA, MEGABYTES = 2.5, 0.5, 0.1, 130


def measure(names, turns):
    """Medians by name: seconds with an empty cache, seconds and peak memory with a full one."""
    cold, warm = {name: [] for name in names}, {name: [] for name in names}
    for turn in range(turns + 1):
        for name in names:
            with tempfile.TemporaryDirectory() as folder:
                first, second = start(PROGRAMS[name], folder), start(PROGRAMS[name], folder)
            if turn:  # before the first one, files may have to be read from the disk
                cold[name].append(first[0])
                warm[name].append(second[:2])
    return {name: (median(cold[name]), *map(median, zip(*warm[name], strict=True))) for name in names}


def verdict(what, found, target):
    print(f"- {what}: {found:.3g}, target {target:g}{'' if found <= target else ', missed'}")


def main(turns=5):
    names = [name for name in PROGRAMS if name not in MODULES or find_spec(MODULES[name])]
    with tempfile.TemporaryDirectory() as folder:
        functions = functions_compiled(folder)
    found = measure(names, int(turns))
    print(f"{machine()}; medians of {turns} turns\n")
    header("process", "empty cache, s", "full cache, s", "over `import numba`, s", "peak memory with a full cache, MB")
    numba = found["import numba"][1]
    for name, (cold, warm, megabytes) in found.items():
        row(name, f"{cold:.2f}", f"{warm:.2f}", f"{warm - numba:.2f}", f"{megabytes:.0f}")
    print()
    if "scikit-learn" in found:
        ratio = found["fastbp"][0] / found["scikit-learn"][0]
        verdict("empty cache, times scikit-learn's", ratio, COLD_TIMES_SKLEARN)
    verdict("full cache, seconds over `import numba`", found["fastbp"][1] - numba, WARM_OVER_NUMBA)
    verdict("`import fastbp`, seconds over `import numba`", found["import fastbp"][1] - numba, IMPORT_OVER_NUMBA)
    verdict("peak memory, MB", found["fastbp"][2], MEGABYTES)
    print(f"- functions through Numba's front end with an empty cache: {functions}")


if __name__ == "__main__":
    main(*sys.argv[1:])
