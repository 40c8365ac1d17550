"""
Coverage-guided fuzzing of a target: `python tests/fuzz/run.py TARGET --runs N --seconds S`, with atheris (PyPI).

The corpus in tests/fuzz/corpus/TARGET is only read; what is found beyond it goes to `--keep`. An input that fails is
written there, too, and the exit status is not 0. `python tests/fuzz/run.py --all --seconds S` fuzzes one target after
another. Prints the runs of each.
"""

import argparse
import contextlib
import os
import pkgutil
import re
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
# Bytes of an input, MB of memory and seconds of a run at most
LONGEST, MOST_MEMORY, SLOWEST = 4096, 4096, 20
MEMORY = "/dev/shm"


def fuzz(name, runs, seconds, seed, keep):
    """Fuzz in this process; libFuzzer ends it."""
    import atheris
    from kept import MODELS

    import fastbp.kernels

    for module in pkgutil.walk_packages(fastbp.kernels.__path__, "fastbp.kernels."):
        import_module(module.name)  # before anything is instrumented: Numba compiles it
    with atheris.instrument_imports(include=["fastbp", "tomllib"], enable_loader_override=False):
        import targets

    flags = [
        f"-runs={runs}",
        f"-max_total_time={seconds}",
        f"-seed={seed}",
        f"-max_len={LONGEST}",
        "-print_final_stats=1",
    ]
    flags += [f"-rss_limit_mb={MOST_MEMORY}", f"-timeout={SLOWEST}", f"-artifact_prefix={keep}{os.sep}", "-verbosity=0"]
    read = MODELS if name == "load" else HERE / "corpus" / name
    folders = [str(folder) for folder in (keep, read) if folder.is_dir()]
    atheris.Setup([sys.argv[0], *flags, *folders], getattr(targets, name))
    atheris.Fuzz()


def run(name, *, runs=-1, seconds=0, seed=1, keep=None):
    """Fuzz in a process of its own; returns how many runs there were. RuntimeError with its output if it failed."""
    with contextlib.ExitStack() as stack:
        # files are read from memory, if there is such a folder
        memory = stack.enter_context(tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None))
        keep = keep or stack.enter_context(tempfile.TemporaryDirectory())
        command = [sys.executable, __file__, name, "--runs", runs, "--seconds", seconds, "--seed", seed, "--keep", keep]
        environment = os.environ | {"TMPDIR": memory}
        pipes = {"stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        done = subprocess.run(list(map(str, command)), env=environment, **pipes)
        if done.returncode != 0:
            failed = [f"{path.name}: {path.read_bytes()!r}" for path in Path(keep).glob("*-*")]
            raise RuntimeError("\n".join([done.stderr[-6000:], *failed]))
    return int(re.search(r"stat::number_of_executed_units: (\d+)", done.stderr)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add("target", nargs="?")
    add("--all", action="store_true", help="all targets, one after another, each in a process of its own")
    add("--runs", type=int, default=-1)
    add("--seconds", type=int, default=0)
    add("--seed", type=int, default=1)
    add("--keep", type=Path, help="a folder for inputs that reach more code, and for those that fail")
    asked = parser.parse_args()
    if not asked.all:
        fuzz(asked.target, asked.runs, asked.seconds, asked.seed, asked.keep or Path(tempfile.mkdtemp()))
        return
    from targets import TARGETS

    for target in TARGETS:
        count = run(target.__name__, runs=asked.runs, seconds=asked.seconds, seed=asked.seed, keep=asked.keep)
        print(f"{target.__name__}: {count}", flush=True)


if __name__ == "__main__":
    main()
