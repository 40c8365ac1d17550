"""`fastbp search`: tries options, and trains a network with the best."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from ..many.search import Search, Trial, Uniform, search
from ..runtime import progress
from ..training.defaults import SINGLE
from . import show, training
from .config import Options
from .outputs import check_writable, naming

# What is searched without --space.
DEFAULT_SPACE = [
    "learning-rate=0.0001..0.1",
    "hidden=16|32|64|128|64,32",
    "l2=0|0.0001|0.001|0.01",
    "dropout=0|0.1|0.3",
]
# The most trials that are shown after each round, and at the end.
SHOWN, SHOWN_AT_THE_END = 5, 10


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    options = Options(command)
    training.add_table(options)
    saved = "the file to write the model to that is trained with the best options"
    options.add("--save", saved, required=True, metavar="MODEL")
    options.add("--trials", "choices of options (default: 64)", type=int, default=64, metavar="N")
    options.add("--restarts", "first weights of each choice (default: 1)", type=int, default=1, metavar="N")
    space = (
        "values of an option to choose from, hidden=32|64|64,32, or a range, learning-rate=1e-4..1e-1; "
        f"repeat it for several (default: {' '.join(DEFAULT_SPACE)})"
    )
    options.add("--space", space, action="append", metavar="OPTION=VALUES")
    training.add_options(options, SINGLE)
    training.add_outputs(command, options)
    command.set_defaults(known_options=options)
    return options


def run(args: argparse.Namespace) -> None:
    """Search, train with the best options, and save; show the best trials after each round."""
    check_writable("--save", args.save, args.table)
    space = dict(_values(args.known_options, text) for text in args.space or DEFAULT_SPACE)
    table = training.opened(args)
    X, y = training.read(args, table)
    options = {name: value for name, value in training.options_of(args, table, y).items() if name not in space}
    options |= {"threads": args.threads, "progress": args.progress}
    live = progress.shown(args.progress)

    def show_best(trials: list[Trial]) -> None:
        if live:
            progress.write("\n".join(_table(trials, space, SHOWN)) + "\n")

    with table.naming_lines():
        found = search(X, y, space, args.trials, restarts=args.restarts, callback=show_best, **options)
    with naming(args.save):
        found.network.save(args.save)
    if args.json:
        print(json.dumps(_facts(args, found), default=str))
        return
    print("\n".join(_table(found.trials, space, SHOWN_AT_THE_END)))
    print()
    show.show([*show.summary(found.network), ("saved", args.save)])


def _values(options: Options, text: str) -> tuple[str, Any]:
    """An option and the values to choose from, given ``OPTION=VALUES``."""
    name, equals, values = text.partition("=")
    if not equals or not values:
        raise ValueError(f"--space: expected OPTION=VALUES, such as hidden=32|64, got {text!r}")
    option = options.action("--space", name.strip().removeprefix("--").replace("_", "-"))
    low, dots, high = values.partition("..")
    if not dots:
        return option.dest, [_value(option, value) for value in values.split("|")]
    bounds = [_value(option, bound) for bound in (low, high)]
    if not all(isinstance(bound, int | float) and not isinstance(bound, bool) for bound in bounds):
        raise ValueError(f"--space: expected a range only for an option that takes a number, got {text!r}")
    least, greatest = bounds
    log = least > 0 and greatest >= 10 * least
    try:
        return option.dest, Uniform(least, greatest, log=log, integer=option.type is int)
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
    """Lines of a table of the best trials, `most` at most."""
    classes = any(trial.accuracy is not None for trial in trials)
    names = [*space, *(["seed"] if any("seed" in trial.options for trial in trials) else [])]
    rows = [["trial", *names, "epochs", "loss", *["accuracy"] * classes]]
    for trial in trials[:most]:
        options = [_shown(trial.options[name]) for name in names]
        accuracy = ["-" if trial.accuracy is None else f"{trial.accuracy:.4f}"] * classes
        rows.append([str(trial.number), *options, str(trial.epochs), f"{trial.loss:.4g}", *accuracy])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(f"{cell:>{width}}" for cell, width in zip(row, widths, strict=True)) for row in rows]
    return lines if len(trials) <= most else [*lines, f"... and {len(trials) - most} more"]


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _facts(args: argparse.Namespace, found: Search) -> dict[str, Any]:
    """Everything in the table, and more, as values for JSON."""
    trials = [{name: None if value != value else value for name, value in row.items()} for row in found.table()]
    best = {"options": found.best.options, "loss": found.best.loss, "accuracy": found.best.accuracy}
    facts = {"table": args.table, "target": args.target, "best": best, "trials": trials}
    return facts | {"seed": found.network.options["seed"], "saved": args.save, "warnings": args.warnings}
