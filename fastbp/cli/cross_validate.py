"""`fastbp cross-validate`: how well networks predict rows that they did not learn from."""

from __future__ import annotations

import argparse
import json
import math

from ..many.cross_validation import CrossValidation, cross_validate
from ..model.ensemble import Ensemble
from ..model.network import Network
from ..training.defaults import AUTO, SINGLE
from . import training
from .config import Options


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    options = Options(command)
    training.add_table(options)
    add = options.add
    add("--folds", "parts of the rows; each is tested once (default: 5)", type=int, default=5, metavar="N")
    add("--repeats", "how often to repeat it, with other folds (default: 1)", type=int, default=1, metavar="N")
    training.add_options(options, validation=None)
    training.add_outputs(command, options)
    return options


def run(args: argparse.Namespace) -> None:
    """Print the score of each fit, and their mean."""
    table = training.opened(args)
    X, y = training.read(args, table)
    options = training.options_of(args, table, y)
    if args.validation is None:  # the folds measure: no rows are set aside for that
        options["validation"] = AUTO if args.patience is None else 0.2
    options |= {"folds": args.folds, "repeats": args.repeats, "threads": args.threads, "progress": args.progress}
    with table.naming_lines():
        found = cross_validate(X, y, **options)
    score = "R^2" if _first(found).task == "regression" else "accuracy"
    if args.json:
        print(json.dumps(_facts(args, found, score)))
        return
    rows = [
        (f"{k // args.folds + 1}", f"{k % args.folds + 1}", f"{len(test)}", f"{value:.4f}")
        for k, (test, value) in enumerate(zip(found.tests, found.scores, strict=True))
    ]
    for line in [("repeat", "fold", "rows", score), *rows]:
        print("".join(f"{cell:>10}" for cell in line))
    mean = f"{found.mean:.4f} +- {found.standard_error:.4f}"
    print(f"\nmean     {mean} (standard error, corrected for overlapping training sets)")
    print(f"quality  {_quality(found)}")
    print(f"seed     {found.seed}")


def _first(found: CrossValidation) -> Network | Ensemble:
    """The first model that was trained."""
    return next(found.networks[k] for k in range(len(found.networks)) if k not in found.networks.failures)


def _quality(found: CrossValidation) -> str:
    return str(_first(found).options.get("quality", SINGLE))


def _facts(args: argparse.Namespace, found: CrossValidation, score: str) -> dict[str, object]:
    """Everything in the table, and more, as values for JSON; null if a network is missing."""
    scores = [value if math.isfinite(value) else None for value in found.scores.tolist()]
    complete = None not in scores
    return {
        "table": args.table,
        "target": args.target,
        "task": _first(found).task,
        "quality": _quality(found),
        "folds": args.folds,
        "repeats": args.repeats,
        "score": score,
        "scores": scores,
        "rows": list(map(len, found.tests)),
        "mean": found.mean if complete else None,
        "standard_error": found.standard_error if complete else None,
        "seed": found.seed,
        "warnings": args.warnings,
    }
