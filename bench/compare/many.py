"""
Many networks at once: fastbp beside loops, joblib's processes, and programs that vectorise over the networks.

These are written as users of JAX and PyTorch write them ("JAX vmap", "torch.func"), and once more by hand, for each work as it was fastest
("JAX by hand", "PyTorch bmm").

Run ``python bench/compare/many.py`` with the packages of ``pip install -e ".[peers]"``; what is missing is left out. The works: 32 networks
on scikit-learn's digits, 10 000 on XOR in the lecture's way, and repeated cross-validation on Spambase, whose ``spambase.csv`` (a line of
names, the label in the last column) lies in the folder ``FASTBP_DATA`` or where ``--spambase`` says. scikit-learn has no squared error of
logistic units, and so no XOR.

Every candidate works in a process of its own on equal threads and processor cores, in turn, with a pause before each, in float32. First,
four networks learn for an epoch from fastbp's weights in fastbp's orders; a candidate is not counted whose weights then differ by more than
rounding, or whose mean loss in the end is more than four standard errors from fastbp's. A turn is from raw data and seeds to trained
weights; compiling, first weights, and for JAX and PyTorch standardising too, are done ahead. What would take more than a minute does a part
of the networks (JAX, PyTorch: of the epochs), is scaled up, and marked with ~. Prints a Markdown table of medians.
"""

import argparse
import itertools
import os
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "candidates"))

from many_works import all_works, rows_of
from peers import PAUSE, Workers, machine, number, row
from worker import WorkerError

# Names of the candidates, and what they do a part of where all would take too long: those that vectorise over networks need all of these.
CANDIDATES = {
    "many_fastbp": ("fastbp", "networks"),
    "many_sklearn": ("scikit-learn", "networks"),
    "many_jax_vmap": ("JAX vmap", "epochs"),
    "many_jax": ("JAX by hand", "epochs"),
    "many_torch_func": ("torch.func", "epochs"),
    "many_torch": ("PyTorch bmm", "epochs"),
}
LEAST = {"networks": 8, "epochs": 1}
AT_LEAST, AT_MOST, PART = (
    0.07,
    60,
    50,
)  # seconds of a turn, seconds of the whole work, and the share that is done beyond
REHEARSED, NEAR = 4, 4  # networks whose weights are compared; standard errors between mean losses
# Differences of weights, as shares of the largest change: where rounding decides on which side of its kink a ReLU is, those of one unit
# differ by more, so the check is of all but one in a hundred.
TOLERANCE, COMPARED = 1e-4, 0.99
HEADER = "| work | candidate | threads | seconds | times fastbp's | mean loss | accuracy | |\n|---|---|---|---|---|---|---|---|"


class Run:
    """A work in one process: its weights after an epoch, the part of the work that is done, its outcome, and the seconds of the turns."""

    def __init__(self, work, worker):
        self.worker, self.seconds = worker, []
        self.weights = worker.ask(
            "prepare", replace(work, networks=min(REHEARSED, work.networks), epochs=1, given=True)
        )
        self.name, kind = CANDIDATES[worker.candidate]
        part = replace(work, **{kind: min(getattr(work, kind), max(LEAST[kind], getattr(work, kind) // PART))})
        worker.ask("prepare", part)
        scale = getattr(work, kind) / getattr(part, kind)
        whole = scale * worker.ask("measure", 0) <= AT_MOST
        self.part, self.scale = (work, 1) if whole else (part, scale)
        self.to_the_end = self.part.epochs == work.epochs
        self.losses, self.rights = self.part.outcome(worker.ask("prepare", self.part))
        self.error = self.losses.std(ddof=1) / np.sqrt(len(self.losses))

    def take_turn(self):
        time.sleep(PAUSE)
        self.seconds.append(self.scale * self.worker.ask("measure", AT_LEAST))

    def faults(self, work, ours):
        """Why it is not counted beside fastbp's run: it has not done the same."""
        before = rows_of(work.layers(range(len(ours.weights))))
        difference = np.quantile(np.abs(self.weights - ours.weights), COMPARED) / np.abs(ours.weights - before).max()
        apart = abs(self.losses.mean() - ours.losses.mean()) / np.hypot(self.error, ours.error)
        print(
            f"{work.name}: {self.worker.candidate}, {self.worker.threads} threads: weights differ by {difference:.0e}",
            file=sys.stderr,
        )
        if difference > TOLERANCE:
            yield f"weights differ by {difference:.0e}"
        if self.to_the_end and apart > NEAR:
            yield f"mean losses are {apart:.0f} standard errors apart"


def prepared(work, workers, threads):
    """A run for each candidate that can do the work; fastbp's first."""
    for candidate in work.candidates:
        worker = workers[candidate, threads, False]  # no daemon: joblib starts processes
        if worker is None:
            continue
        try:
            yield Run(work, worker)
        except WorkerError as error:
            print(f"left out of {work.name}: {error}", file=sys.stderr)


def report(work, runs):
    """Print the rows of a work on so many threads, and last how fastbp stands to the best peer."""
    ours, counted = runs[0], {}
    for run in runs:
        seconds, faults = median(run.seconds), list(run.faults(work, ours))
        if run is not ours and not faults:
            counted[run.name] = seconds
        outcome = (
            (f"{run.losses.mean():.4f} ± {run.error:.4f}", f"{run.rights.mean():.4f}") if run.to_the_end else ("", "")
        )
        notes = [f"not counted: {fault}" for fault in faults]
        if run.scale > 1:
            notes.append(f"{run.part.networks} networks, {run.part.epochs} epochs, scaled up")
        about = "~" if run.scale > 1 else ""
        cells = (f"{about}{number(seconds)}", f"{seconds / median(ours.seconds):.2g} ×", *outcome, "; ".join(notes))
        row(work.title, run.name, str(run.worker.threads), *cells)
    if counted:
        best = min(counted, key=counted.get)
        ratio = counted[best] / median(ours.seconds)
        ends = ("", "", "" if ratio >= 1 else "loses")
        row(work.title, f"best peer: {best}", str(ours.worker.threads), "", f"**{ratio:.2g} ×**", *ends)


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--work", default="digits,xor,folds", help="works, comma-separated")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, comma-separated")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each candidate")
    parser.add_argument("--quick", action="store_true", help="a little of each work, once: does it run?")
    parser.add_argument("--spambase", default=Path(os.environ.get("FASTBP_DATA", ""), "spambase.csv"), metavar="FILE")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    works = {work.name: work for work in all_works(options.spambase)}
    versions = {}
    print(HEADER)
    for name in options.work.split(","):
        if name not in works:
            print(f"left out: {name}, for {options.spambase} is not there", file=sys.stderr)
            continue
        work = works[name]
        if options.quick:
            work = replace(work, networks=max(REHEARSED, work.networks // PART), epochs=max(2, work.epochs // PART))
        with closing(Workers()) as workers:  # those of one work at a time share the memory
            by_threads = [list(prepared(work, workers, int(threads))) for threads in options.threads.split(",")]
            for _ in range(rounds):
                for run in itertools.chain(*by_threads):
                    run.take_turn()
            for runs in by_threads:
                report(work, runs)
                versions |= dict.fromkeys(run.worker.version for run in runs)
    print(f"\n{machine()}; {', '.join(versions)}; medians of {rounds} rounds")


if __name__ == "__main__":
    main()
