"""The table and the options of training, for `fastbp train`, `fastbp cross-validate` and `fastbp search`."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

import numpy as np

import fastbp.kernels as kernels

from .. import checks, compilation, losses, schedules
from ..options import ELEMENTWISE, TASKS
from ..second_order import options as second_order
from ..tables import files
from ..training.defaults import AUTO, QUALITIES
from ..training.design import ENCODINGS
from ..training.train import DEFAULTS
from . import reading
from .config import Options

Part = tuple[Any, Any, Any]  # raw columns, targets, and weights or None


def add_table(options: Options) -> None:
    """Add the table, how it is read, and the roles of its columns."""
    add = options.add
    column = {"action": "append", "metavar": "COLUMN"}
    add("table", f"{reading.TABLE}; text, dates, booleans, missing values are fine", metavar="TABLE")
    reading.add_format(add)
    add("--target", "what to predict; repeat it for several columns of numbers", required=True, **column)
    add("--drop", "a column not to learn from; repeat it for several", **column)
    add("--categories", "a column whose numbers are codes, such as zip codes; repeat it for several", **column)
    text = "rows with the same value, such as a patient, are never divided between training and what measures it"
    add("--groups", f"{text}; not learnt from", metavar="COLUMN")
    add(
        "--time",
        "a date or number: rows are measured on newer ones than they learn from; not learnt from",
        metavar="COLUMN",
    )
    add("--sample-weight", "weight of each row, in training and in scores; not learnt from", metavar="COLUMN")
    weights = "balanced, or the weight of a class, such as spam=2; repeat it for several (default: 1 each)"
    add("--class-weight", weights, action="append", metavar="LABEL=WEIGHT")


def add_options(options: Options, quality: str = AUTO, validation: float | None = 0.2) -> None:
    """Add the options of `fastbp.train`, with these defaults of two; None: the command chooses the validation rows."""

    def choice(name: str, text: str, default: str | None, choices: Iterable[str]) -> None:
        options.add(name, text, default=default, choices=tuple(choices))

    def number(name: str, text: str, metavar: str, kind: Any = float, default: Any = None) -> None:
        options.add(name, text, type=kind, default=default, metavar=metavar)

    text = (
        "single: one run; fast, default, best: one, several, many networks, for as many epochs as pilots find; auto: "
        f"default for a table, or single with an option that is about one run (default: {quality})"
    )
    choice("--quality", text, quality, QUALITIES)
    choice("--task", "default: auto, from the values of the target", "auto", ("auto", *TASKS))
    number(
        "--hidden",
        "units of each hidden layer; none: a linear unit (default: 64,64; for numbers 128,128)",
        "64,32",
        _hidden,
    )
    choice("--activation", "of the hidden layers (default: relu)", "relu", ELEMENTWISE)
    choice("--output", "activation of the last layer (default: auto)", "auto", ("auto", *kernels.ACTIVATIONS))
    choice("--loss", "default: auto", "auto", ("auto", *kernels.LOSSES))
    number("--quantile", "one or more levels of --loss quantile (default: 0.5)", "0.1,0.9", _levels, losses.LEVEL)
    number("--huber-delta", "error above which --loss huber is linear (default: 1)", "D", default=losses.DELTA)
    choice("--optimizer", "default: adam", "adam", (*kernels.OPTIMIZERS, *second_order.NAMES, *second_order.SHORT))
    number("--learning-rate", "default: depends on optimizer and width", "RATE")
    choice("--schedule", "of the learning rate (default: cosine)", None, schedules.SCHEDULES)
    number("--warmup", "epochs in which the learning rate rises (default: 0)", "N", default=0.0)
    number("--batch-size", "rows per update (default: depends on the number of rows)", "N", int)
    number("--epochs", "passes over the rows, the most of a single run (default: depends on the rows)", "N", int)
    number("--target-loss", "stop at this loss on the training rows", "LOSS")
    number("--target-accuracy", "stop at this accuracy on the training rows, 0 to 1", "SHARE")
    number("--max-seconds", "stop after this time", "S")
    of_train = "as in fastbp.train" if validation is None else validation
    share = "share of rows, of each class, to measure the result on; in a single run they choose the best epoch"
    share += f" (default: {of_train})"
    number("--validation", share, "SHARE", default=validation)
    number("--patience", "stop when the validation loss has not fallen for N epochs", "N", int)
    number("--l2", "weight of the penalty on large weights (default: 0)", "F", default=0.0)
    number("--dropout", "share of hidden units dropped in training (default: 0)", "P", default=0.0)
    number("--clip-norm", "shorten gradients that are longer than this", "LENGTH")
    damped = {
        "damping": ("damping of the first step", "D"),
        "damping_up": ("its factor after a step that fails", "F"),
        "damping_down": ("its divisor after one that succeeds, at most", "F"),
        "damping_limit": ("where the run ends", "D"),
    }
    for name, (text, metavar) in damped.items():
        default = second_order.DAMPING[name]
        text = f"of levenberg_marquardt and bayesian: {text} (default: {default:g})"
        number(f"--{name.replace('_', '-')}", text, metavar, default=default)
    converged = "stop when the loss falls by less than this share (default: 1e-6; 1e-4 with bayesian)"
    number("--tolerance", f"with an optimizer of all rows at once, {converged}", "SHARE")
    options.add("--no-scale", "do not standardise the columns", dest="scale", action="store_false")
    choice("--encode", "of numbers: as they are, or piece by piece, too (default, auto: piecewise)", None, ENCODINGS)
    choice("--dtype", "default: float32, or float64 with an optimizer of all rows", None, compilation.DTYPES)
    number("--seed", "make the run repeatable", "N", int)
    number("--threads", "the most threads to use (default: all)", "N", int)


def add_outputs(command: argparse.ArgumentParser, options: Options) -> None:
    """Add how results are shown, and the file that options may come from."""
    bar = command.add_mutually_exclusive_group()
    options.add("--json", "print one JSON object instead of tables", action="store_true")
    config = "read options (by their long names) and the table from a file; those typed here take precedence"
    options.add("--config", config, metavar="FILE.toml")
    options.add("--quiet", "no progress bar", group=bar, dest="progress", action="store_false", default=None)
    always = "show a progress bar even if the output is not a terminal"
    options.add("--progress", always, group=bar, action="store_true", default=None)


def options_of(args: argparse.Namespace, table: files.Table, y: Any) -> dict[str, Any]:
    """The options of `fastbp.train`: those that were typed, and the command line's defaults."""
    options = {name: getattr(args, name) for name in DEFAULTS if hasattr(args, name)}
    options |= {name: None if column is None else column.to_numpy() for name, column in _roles(args, table).items()}
    missing = None if args.missing is None else tuple(args.missing)
    return options | {
        "validation": args.validation or None,
        "missing": missing,
        "class_weight": _class_weight(args.class_weight, y),
    }


def _roles(args: argparse.Namespace, table: files.Table) -> dict[str, Any]:
    """Columns that are not learnt from but say more about the rows, by the names of their options."""
    return {
        name: None if getattr(args, name) is None else table.frame[getattr(args, name)]
        for name in ("groups", "time", "sample_weight")
    }


def _class_weight(words: list[str] | None, y: Any) -> Any:
    """The option `class_weight` from what was typed; labels are those of the table, written out."""
    if words is None or words == ["balanced"]:
        return words and "balanced"
    labels = {str(label): label for label in np.unique(y).tolist()}
    labels |= {str(int(label)): label for label in labels.values() if isinstance(label, float) and label.is_integer()}
    found = {}
    for word in words:
        label, equals, weight = word.rpartition("=")
        if not equals:
            raise ValueError(f"--class-weight: expected balanced, or LABEL=WEIGHT such as spam=2, got {word!r}")
        checks.one_of("--class-weight", label, labels)
        try:
            found[labels[label]] = float(weight)
        except ValueError:
            raise ValueError(f"--class-weight: expected a number after =, got {word!r}") from None
    return found


def opened(args: argparse.Namespace) -> files.Table:
    """The table; what was found about it is shown."""
    table = files.read(args.table, args.categories or (), reading.chosen(args))
    reading.show_notes(table)
    return table


def read(args: argparse.Namespace, table: files.Table) -> tuple[Any, Any]:
    """Columns to learn from, and targets."""
    roles = [name for name in (args.groups, args.time, args.sample_weight) if name is not None]
    drop, categories = [*(args.drop or []), *roles], args.categories or []
    if len(set(args.target)) < len(args.target):
        raise ValueError("--target: expected different columns, got one twice")
    table.require([*args.target, *drop, *categories])
    names = [name for name in table.names if name not in {*args.target, *drop}]
    if not names:
        raise ValueError(f"{table.path}: expected at least one column to predict the target from, got none")
    for name in categories:
        if name not in names:
            raise ValueError(f"--categories: {name!r} is not learnt from; name another column, or leave it out")
    y = table.target(args.target, args.task)
    if args.validation and len(y) < 2:
        raise ValueError(f"{table.path}: expected at least two rows, one of them for validation, got one")
    X = table.frame[names]
    return X.assign(**{name: X[name].astype("category") for name in categories}), y


def _hidden(text: str) -> tuple[int, ...]:
    """Units of each hidden layer."""
    if text.strip() == "none":
        return ()
    try:
        return tuple(int(units) for units in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected numbers of units such as 64,32, or none, got {text!r}") from None


def _levels(text: str) -> tuple[float, ...]:
    """Levels of quantiles."""
    try:
        return tuple(float(level) for level in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"expected levels such as 0.1,0.5,0.9, got {text!r}") from None
