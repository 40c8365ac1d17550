"""
fastbp compared with its peers: matrix products, per-sample learning, mini-batches, prediction, many networks at once.

Run ``python bench/peers.py`` with the packages of ``pip install -e ".[peers]"``; missing packages are skipped, and so
is FANN without Debian's libfann2. Every candidate runs in its own process on the same number of threads and cores; they
take turns, with a pause before each. After the first epoch, weights (or outputs) are compared with NumPy's in float64;
a candidate that differs by more than the case's tolerance does not count. Hand-written peers do not compute the loss
that fastbp reports. Prints a Markdown table of medians; details of each candidate go to stderr, everything to ``--json
FILE``. Many networks at once (``--only many``) have a separate table, the last, which ``compare/many.py`` prints.
"""

import argparse
import json
import math
import os
import re
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path
from statistics import geometric_mean, median

import llvmlite.binding as llvm
import numpy as np

sys.path.insert(0, str(Path(__file__).parent / "candidates"))

import isa
import with_numpy
from cases import all_cases
from worker import Worker, WorkerError

PAUSE, AT_LEAST = 0.06, 0.07  # seconds: before each turn, so that threads fall asleep; of each measurement
MANY = "many: networks at once"
HEADER = ("case", "threads", "unit", "fastbp", "best peer", "its value", "ratio", "target", "of peak", "")
OWN = ("fastbp", "fastbp_train")  # not peers
TRAIN_HEADER = ("case", "threads", "unit", "kernel", "fastbp.train", "of the kernel", "of the best peer")
SPEEDUP_HEADER = ("case", "unit", "1 thread", "{} threads", "ratio", "target", "")


def machine():
    """The processor, its vector width, and whether the candidates are held to less."""
    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    held = ", all candidates held to AVX2" if isa.held() else ""
    vectors = f"{bits}-bit vectors{held}"
    return f"{llvm.get_host_cpu_name()}, {os.cpu_count()} cores, {vectors}, Python {sys.version.split()[0]}"


def number(value):
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def row(*cells):
    print("| " + " | ".join(cells) + " |", flush=True)


def header(*cells):
    row(*cells)
    print("|---" * len(cells) + "|", flush=True)


def verdict(ratio, target):
    """Ratio, target and a mark, as the last cells of a row."""
    mark = "loses" if ratio < min(1, target) else "below target" if ratio < target else ""
    return f"{ratio:.2f} ×", f"{target:g} ×", mark


class Workers(dict):
    """
    Processes by (candidate, threads), started when first needed; None if a package is not installed.

    ``ran`` is what each candidate says about the instructions that it ran.
    """

    def __init__(self):
        super().__init__()
        self.ran = {}

    def __missing__(self, key):
        try:
            self[key] = Worker(*key)
        except WorkerError as error:
            print(f"skipped: {error}", file=sys.stderr)
            self[key] = None
        return self[key]

    def close(self):
        for worker in filter(None, self.values()):
            said = self.ran.setdefault(worker.candidate, [])
            said += [answer] if (answer := worker.ask("ran", None)) not in said else []
            worker.close()
        self.clear()


def compare(case, workers, rounds):
    """
    Prepare a case in every worker, compare the results with the reference, and let the workers take turns.

    Returns
    -------
    list of dict
        Per worker: ``candidate``, ``threads``, ``difference``, ``counted``, and ``rates``, the amount per second of
        each round; for fastbp also ``peaks``, the GFLOP/s that the processor can do, measured beside it.
    """
    reference, before = with_numpy.reference(case), case.before()
    largest, runs = np.abs(reference - before).max(), []
    for worker in workers:
        try:
            outcome = worker.ask("prepare", case)
        except WorkerError as error:
            print(f"skipped in {case.title}: {error}", file=sys.stderr)
            continue
        difference = float(np.abs(outcome - reference).max() / largest)
        run = {"candidate": worker.candidate, "threads": worker.threads}
        runs.append((worker, run | {"difference": difference, "counted": difference <= case.tolerance}))
    seconds, peaks = defaultdict(list), defaultdict(list)
    for _ in range(rounds):
        for worker, _ in runs:
            time.sleep(PAUSE)
            seconds[worker].append(worker.ask("measure", AT_LEAST))
            if worker.candidate == "fastbp":
                peaks[worker].append(worker.threads * worker.ask("peak", case.dtype))
    return [run | {"rates": [case.amount / s for s in seconds[worker]], "peaks": peaks[worker]} for worker, run in runs]


def report(case, runs, threads):
    """
    Print a case's row for one number of threads.

    Returns
    -------
    ratio : float
        Of fastbp to the best peer.
    train : list of str
        The row of `fastbp.train`, if it was measured.
    """
    rates = {run["candidate"]: median(run["rates"]) for run in runs if run["threads"] == threads and run["counted"]}
    peak = next((median(run["peaks"]) for run in runs if run["threads"] == threads and run["peaks"]), math.nan)
    for run in (run for run in runs if run["threads"] == threads):
        rate = f"{run['candidate']:>14} {number(median(run['rates'])):>10} {case.unit}"
        note = "" if run["counted"] else f": more than {case.tolerance:.0e}, not counted"
        print(f"{rate}, differs by {run['difference']:.0e}{note}", file=sys.stderr)
    ours, train = (rates.pop(name, math.nan) for name in OWN)
    if not rates:
        return math.nan, []
    best = max(rates, key=rates.get)
    ratio = ours / rates[best]
    *comparison, mark = verdict(ratio, case.target)
    share = f"{ours / case.amount * case.gflop / peak:.0%}" if case.limited else ""
    cells = case.title, str(threads), case.unit, number(ours)
    row(*cells, best, number(rates[best]), *comparison, share, mark)
    compared = number(train), f"{train / ours:.2f} ×", f"{train / rates[best]:.2f} ×"
    return ratio, [] if math.isnan(train) else [*cells, *compared]


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add("--only", default="", metavar="PATTERN", help="regular expression: only cases whose kind or title matches")
    add("--isa", choices=("native", "avx2"), default="native", help="avx2: no candidate uses wider vectors")
    add("--threads", default="1,2", help="numbers of threads, comma-separated")
    add("--dtype", default="float32,float64", help="of the products; networks are in float32")
    add("--rounds", type=int, default=7, help="turns of each candidate")
    add("--mnist", default="", metavar="FILE", help="MNIST's images, gzipped IDX, next to the file of the labels")
    add("--json", metavar="FILE", help="where to write every round")
    options = parser.parse_args()
    isa.choose(options.isa)
    counts = [int(count) for count in options.threads.split(",")]
    every = all_cases(options.dtype.split(","), options.mnist)
    cases = [case for case in every if re.search(options.only, f"{case.kind}: {case.title}")]
    if cases:
        tables(cases, counts, options)
    if re.search(options.only, MANY):
        print(flush=True)
        command = [sys.executable, Path(__file__).parent / "compare" / "many.py"]
        subprocess.run([*command, "--threads", options.threads, "--rounds", str(options.rounds)], check=True)


def tables(cases, counts, options):
    """Compare all cases, and print the table of the peers and the speedup by threads."""
    workers, kind, versions, raw = Workers(), None, {}, []
    ratios, speedups, trained = defaultdict(list), [], []
    header(*HEADER)
    for case in cases:
        if case.kind != kind:  # so that only the candidates for one kind of case share the memory
            workers.close()
            kind = case.kind
        print(case.title, file=sys.stderr)
        asked = [workers[name, threads] for threads in counts for name in case.candidates]
        available = [worker for worker in asked if worker is not None]
        versions |= dict.fromkeys(worker.version for worker in available)
        runs = compare(case, available, options.rounds)
        raw.append({"case": case.title, "unit": case.unit, "target": case.target, "runs": runs})
        for threads in counts:
            ratio, train = report(case, runs, threads)
            trained += [train] if train else []
            if case.kind == "product":
                ratios[case.dtype, threads].append(ratio)
        ours = {run["threads"]: median(run["rates"]) for run in runs if run["candidate"] == "fastbp"}
        if case.kind in ("minibatch", "predict") and len(counts) > 1:
            speedups.append((case, ours[counts[0]], ours[counts[-1]]))
    workers.close()

    for (dtype, threads), values in ratios.items():
        *comparison, mark = verdict(geometric_mean(values), 1.05 if threads == 1 else 1.0)
        row(f"products, geometric mean {dtype}", str(threads), "", "", "", "", *comparison, "", mark)
    if trained:
        print()
        header(*TRAIN_HEADER)
        for cells in trained:
            row(*cells)
    if speedups:
        print()
        header(*(cell.format(counts[-1]) for cell in SPEEDUP_HEADER))
        for case, one, more in speedups:
            row(case.title, case.unit, number(one), number(more), *verdict(more / one, case.speedup))
    about = f"{machine()}; {', '.join(versions)}"
    print(f"\n{about}; medians of {options.rounds} rounds\n")
    for candidate, said in workers.ran.items():
        print(f"- {candidate}: {'; '.join(said)}")
    if options.json:
        with open(options.json, "w") as file:
            json.dump({"machine": about, "ran": workers.ran, "cases": raw}, file, indent=1)


if __name__ == "__main__":
    main()
