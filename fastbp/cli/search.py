"""`fastbp search`: options found by trial, and the network that is trained with the best."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from typing import Any

from ..many.search import Search, Trial, Uniform, search
from ..runtime.progress import Bar
from ..tables import files
from . import show, training
from .config import Options
from .outputs import check_writable, naming

# What is searched where nothing is said.
USUAL = ["learning-rate=0.0001..0.1", "hidden=16|32|64|128|64,32", "l2=0|0.0001|0.001|0.01", "dropout=0|0.1|0.3"]
# Trials that are shown after each round, and in the end.
MOST, MOST_AT_THE_END = 5, 10


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    known = Options(command)
    training.add_table(known)
    known.add(
        "--save",
        required=True,
        metavar="MODEL",
        help="the file to write the network to that is trained with the best options",
    )
    known.add("--trials", type=int, default=64, metavar="N", help="choices of options (default: 64)")
    known.add(
        "--space",
        action="append",
        metavar="OPTION=VALUES",
        help=f"values of an option to choose from, hidden=32|64|64,32, or a range, learning-rate=1e-4..1e-1; repeat it for several "
        f"(default: {' '.join(USUAL)})",
    )
    training.add_options(known)
    training.add_outputs(command, known)
    command.set_defaults(known=known)
    return known


def run(a: argparse.Namespace) -> None:
    """Search, train with the best options, save; the best trials are shown after each round."""
    check_writable("--save", a.save, a.table)
    space = dict(_values(a.known, text) for text in a.space or USUAL)
    table = files.read(a.table, a.categories or ())
    X, y = training.read(a, table)
    options = {name: value for name, value in training.options_of(a).items() if name not in space}
    live = sys.stderr.isatty() if a.progress is None else a.progress

    def tell(trials: list[Trial]) -> None:
        if live:
            Bar.write("\n".join(_table(trials, space, MOST)) + "\n", file=sys.stderr)

    with table.naming_lines():
        found = search(X, y, space, a.trials, threads=a.threads, progress=a.progress, callback=tell, **options)
    with naming(a.save):
        found.network.save(a.save)
    if a.json:
        print(json.dumps(_facts(a, found), default=str))
        return
    print("\n".join(_table(found.trials, space, MOST_AT_THE_END)))
    print()
    show.show([*show.summary(found.network), ("saved", a.save)])


def _values(known: Options, text: str) -> tuple[str, Any]:
    """An option, and the values among which to choose, from ``OPTION=VALUES``."""
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--space: expected OPTION=VALUES, such as hidden=32|64, got {text!r}")
    option = known.action("--space", name.strip().removeprefix("--").replace("_", "-"))
    low, dots, high = values.partition("..")
    if not dots:
        return option.dest, [_value(option, value) for value in values.split("|")]
    bounds = [_value(option, bound) for bound in (low, high)]
    if not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds):
        raise ValueError(f"--space: expected a range only of an option that is a number, got {text!r}")
    first, last = bounds
    try:
        return option.dest, Uniform(first, last, log=first > 0 and last >= 10 * first, integer=option.type is int)
    except ValueError as error:
        raise ValueError(f"--space: {option.dest}: {error}") from None


def _value(option: argparse.Action, text: str) -> Any:
    kind = option.type or str
    assert callable(kind)
    try:
        value = kind(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise ValueError(f"--space: {option.dest}: {error}") from None
    if option.choices is not None and value not in option.choices:
        raise ValueError(f"--space: {option.dest}: expected one of {', '.join(map(str, option.choices))}, got {text!r}")
    return value


def _table(trials: Sequence[Trial], space: dict[str, Any], most: int) -> list[str]:
    """Lines of a table of the best trials."""
    classes = any(trial.accuracy is not None for trial in trials)
    rows = [["trial", *space, "epochs", "loss", *["accuracy"] * classes]]
    for trial in trials[:most]:
        options = [_shown(trial.options[name]) for name in space]
        accuracy = ["-" if trial.accuracy is None else f"{trial.accuracy:.4f}"] * classes
        rows.append([str(trial.number), *options, str(trial.epochs), f"{trial.loss:.4g}", *accuracy])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return lines if len(trials) <= most else [*lines, f"... and {len(trials) - most} more"]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _facts(a: argparse.Namespace, found: Search) -> dict[str, Any]:
    """All that the table says, and more, as values for JSON."""
    trials = [{name: None if value != value else value for name, value in row.items()} for row in found.table()]
    best = {"options": found.best.options, "loss": found.best.loss, "accuracy": found.best.accuracy}
    seed = found.network.options["seed"]
    return {
        "table": a.table,
        "target": a.target,
        "best": best,
        "trials": trials,
        "seed": seed,
        "saved": a.save,
        "warnings": a.warnings,
    }
