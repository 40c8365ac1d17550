"""
Many networks at once: fastbp compared with loops, joblib's processes, and programs that vectorise over the networks.

These are written as users of JAX and PyTorch write them ("JAX vmap", "torch.func"), and also by hand, in the fastest
variant found for each case ("JAX by hand", "PyTorch bmm").

Run ``python bench/compare/many.py`` with the packages of ``pip install -e ".[peers]"``; missing packages are skipped.
The cases: 32 networks on scikit-learn's digits, 10 000 on XOR by the lecture's rule, and repeated cross-validation on
Spambase, whose ``spambase.csv`` (a line of names, the label in the last column) is in the folder ``FASTBP_DATA`` or
given by ``--spambase``. scikit-learn has no squared error of logistic units, and so no XOR.

Every candidate runs in its own process on the same number of threads and cores, in float32; they take turns, with a
pause before each. First, four networks train for an epoch from fastbp's weights in fastbp's orders; a candidate does
not count if its weights then differ by more than rounding, or if its mean loss at the end is more than four standard
errors from fastbp's. A turn goes from raw data and seeds to trained weights; compiling, initial weights, and for JAX
and PyTorch also the standardisation, are done in advance. A candidate that would take more than a minute trains a part
of the networks (JAX, PyTorch: for a part of the epochs); its time is scaled up, and marked with ~. Prints a Markdown
table of medians.
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

from many_cases import all_cases, rows_of
from peers import PAUSE, Workers, header, machine, number, row
from worker import WorkerError

# Names of the candidates, and what they do a part of if everything would take too long: those that vectorise over
# networks need all networks.
CANDIDATES = {
    "many_fastbp": ("fastbp", "networks"),
    "many_sklearn": ("scikit-learn", "networks"),
    "many_jax_vmap": ("JAX vmap", "epochs"),
    "many_jax": ("JAX by hand", "epochs"),
    "many_torch_func": ("torch.func", "epochs"),
    "many_torch": ("PyTorch bmm", "epochs"),
}
LEAST = {"networks": 8, "epochs": 1}
AT_LEAST = 0.07  # seconds of a turn
AT_MOST, PART = 60, 50  # if the whole case takes more seconds, this part of it is done
CHECKED, NEAR = 4, 4  # networks whose weights are compared; standard errors between mean losses
# Differences of weights, as shares of the largest change. If rounding decides on which side of its kink a ReLU is, the
# weights of that unit differ by more, so one in a hundred may.
TOLERANCE, COMPARED = 1e-4, 0.99
HEADER = ("case", "candidate", "threads", "seconds", "times fastbp's", "mean loss", "accuracy", "")


class Run:
    """A case in one process: the weights after an epoch, the part that is done, its outcome, and seconds of turns."""

    def __init__(self, case, worker):
        self.worker, self.seconds = worker, []
        check = replace(case, networks=min(CHECKED, case.networks), epochs=1, same_orders=True)
        self.weights = worker.ask("prepare", check)
        self.name, kind = CANDIDATES[worker.candidate]
        count = getattr(case, kind)
        part_count = min(count, max(LEAST[kind], count // PART))
        part, scale = replace(case, **{kind: part_count}), count / part_count
        worker.ask("prepare", part)
        whole = scale * worker.ask("measure", 0) <= AT_MOST
        self.part, self.scale = (case, 1) if whole else (part, scale)
        self.complete = self.part.epochs == case.epochs
        self.losses, self.accuracies = self.part.outcome(worker.ask("prepare", self.part))
        self.error = self.losses.std(ddof=1) / np.sqrt(len(self.losses))

    def take_turn(self):
        time.sleep(PAUSE)
        self.seconds.append(self.scale * self.worker.ask("measure", AT_LEAST))

    def faults(self, case, ours):
        """Why it does not count: how its result differs from that of fastbp's run."""
        before = rows_of(case.layers(range(len(ours.weights))))
        difference = np.quantile(np.abs(self.weights - ours.weights), COMPARED) / np.abs(ours.weights - before).max()
        apart = abs(self.losses.mean() - ours.losses.mean()) / np.hypot(self.error, ours.error)
        about = f"{case.name}: {self.worker.candidate}, {self.worker.threads} threads"
        print(f"{about}: weights differ by {difference:.0e}", file=sys.stderr)
        if difference > TOLERANCE:
            yield f"weights differ by {difference:.0e}"
        if self.complete and apart > NEAR:
            yield f"mean losses are {apart:.0f} standard errors apart"


def prepared(case, workers, threads):
    """A run for each candidate that can do the case; fastbp's first."""
    for candidate in case.candidates:
        worker = workers[candidate, threads, False]  # not a daemon: joblib starts processes
        if worker is None:
            continue
        try:
            yield Run(case, worker)
        except WorkerError as error:
            print(f"skipped in {case.name}: {error}", file=sys.stderr)


def report(case, runs):
    """Print the rows of a case on so many threads, and at the end fastbp compared with the best peer."""
    ours, counted = runs[0], {}
    for run in runs:
        seconds, faults = median(run.seconds), list(run.faults(case, ours))
        if run is not ours and not faults:
            counted[run.name] = seconds
        loss = f"{run.losses.mean():.4f} ± {run.error:.4f}" if run.complete else ""
        accuracy = f"{run.accuracies.mean():.4f}" if run.complete else ""
        notes = [f"not counted: {fault}" for fault in faults]
        if run.scale > 1:
            notes.append(f"{run.part.networks} networks, {run.part.epochs} epochs, scaled up")
        taken, ratio = "~" * (run.scale > 1) + number(seconds), f"{seconds / median(ours.seconds):.2g} ×"
        row(case.title, run.name, str(run.worker.threads), taken, ratio, loss, accuracy, "; ".join(notes))
    if counted:
        best = min(counted, key=counted.get)
        ratio = counted[best] / median(ours.seconds)
        mark = "" if ratio >= 1 else "loses"
        row(case.title, f"best peer: {best}", str(ours.worker.threads), "", f"**{ratio:.2g} ×**", "", "", mark)


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--cases", default="digits,xor,folds", help="comma-separated")
    parser.add_argument("--threads", default="1,2", help="numbers of threads, comma-separated")
    parser.add_argument("--rounds", type=int, default=5, help="turns of each candidate")
    parser.add_argument("--quick", action="store_true", help="run a small part of each case once, as a test")
    parser.add_argument("--spambase", default=Path(os.environ.get("FASTBP_DATA", ""), "spambase.csv"), metavar="FILE")
    options = parser.parse_args()
    rounds = 1 if options.quick else options.rounds
    cases = {case.name: case for case in all_cases(options.spambase)}
    versions = {}
    header(*HEADER)
    for name in options.cases.split(","):
        if name not in cases:
            print(f"skipped: {name}, there is no file {options.spambase}", file=sys.stderr)
            continue
        case = cases[name]
        if options.quick:
            case = replace(case, networks=max(CHECKED, case.networks // PART), epochs=max(2, case.epochs // PART))
        with closing(Workers()) as workers:  # so that only the candidates for one case share the memory
            by_threads = [list(prepared(case, workers, int(threads))) for threads in options.threads.split(",")]
            for _ in range(rounds):
                for run in itertools.chain(*by_threads):
                    run.take_turn()
            for runs in by_threads:
                report(case, runs)
                versions |= dict.fromkeys(run.worker.version for run in runs)
    print(f"\n{machine()}; {', '.join(versions)}; medians of {rounds} rounds")


if __name__ == "__main__":
    main()
