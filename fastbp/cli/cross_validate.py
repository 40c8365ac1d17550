"""`fastbp cross-validate`: how good networks are on rows that they have not learnt from."""

from __future__ import annotations

import argparse
import json
import math

from ..many.cross_validation import CrossValidation, cross_validate
from ..tables import files
from . import training
from .config import Options


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    known = Options(command)
    training.add_table(known)
    known.add("--folds", type=int, default=5, metavar="N", help="parts of the rows; each is tested once (default: 5)")
    known.add(
        "--repeats", type=int, default=1, metavar="N", help="times that this is done, with other folds (default: 1)"
    )
    known.add(
        "--groups",
        metavar="COLUMN",
        help="rows with the same value, of a patient for instance, stay in one fold; not learnt from",
    )
    training.add_options(known)
    training.add_outputs(command, known)
    return known


def run(a: argparse.Namespace) -> None:
    """Print the score of each fit, and their mean."""
    table = files.read(a.table, a.categories or ())
    groups = None if a.groups is None else table.target([a.groups], "classification")
    X, y = training.read(a, table, *([] if a.groups is None else [a.groups]))
    options = training.options_of(a)
    beside = {"folds": a.folds, "repeats": a.repeats, "threads": a.threads, "progress": a.progress}
    with table.naming_lines():
        found = cross_validate(X, y, groups=groups, **beside, **options)
    task = next(net for k, net in enumerate(found.networks) if k not in found.networks.failures).task
    score = "R^2" if task == "regression" else "accuracy"
    if a.json:
        print(json.dumps(_facts(a, found, task, score)))
        return
    rows = [
        (f"{k // a.folds + 1}", f"{k % a.folds + 1}", f"{len(test)}", f"{value:.4f}")
        for k, (test, value) in enumerate(zip(found.tests, found.scores, strict=True))
    ]
    for line in [("repeat", "fold", "rows", score), *rows]:
        print("".join(f"{cell:>10}" for cell in line))
    print(
        f"\nmean  {found.mean:.4f} +- {found.standard_error:.4f} (standard error, corrected for overlapping training parts)"
    )
    print(f"seed  {found.seed}")


def _facts(a: argparse.Namespace, found: CrossValidation, task: str, score: str) -> dict[str, object]:
    """All that the table says, and more, as values for JSON; null where a network is missing."""
    scores = [value if math.isfinite(value) else None for value in found.scores.tolist()]
    whole = None not in scores
    return {
        "table": a.table,
        "target": a.target,
        "task": task,
        "folds": a.folds,
        "repeats": a.repeats,
        "score": score,
        "scores": scores,
        "rows": list(map(len, found.tests)),
        "mean": found.mean if whole else None,
        "standard_error": found.standard_error if whole else None,
        "seed": found.seed,
        "warnings": a.warnings,
    }
