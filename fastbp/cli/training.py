"""What `fastbp train` and `fastbp cross-validate` have in common: the table, and the options of a training."""

from __future__ import annotations

import argparse
from typing import Any

import fastbp.kernels as kernels

from .. import compilation, losses, options, schedules
from ..tables import files
from ..training.train import DEFAULTS
from .config import Options

Part = tuple[Any, Any]  # raw columns and targets


def add_table(known: Options) -> None:
    """Add the table, and what its columns are for."""
    add = known.add
    add(
        "table",
        metavar="TABLE",
        help="CSV or Parquet file, - for stdin; text, dates, booleans and missing values are understood",
    )
    add(
        "--target",
        required=True,
        action="append",
        metavar="COLUMN",
        help="what to predict; repeat it for several columns of numbers",
    )
    add("--drop", action="append", metavar="COLUMN", help="a column not to learn from; repeat it for several")
    add(
        "--categories",
        action="append",
        metavar="COLUMN",
        help="a column whose numbers are codes, as zip codes are; repeat it for several",
    )


def add_options(known: Options) -> None:
    """Add the options of `fastbp.train`."""
    add = known.add
    add("--task", default="auto", choices=("auto", *options.TASKS), help="default: auto, from the values of the target")
    add(
        "--hidden",
        type=_hidden,
        default=(64,),
        metavar="64,32",
        help="units of each hidden layer; none: a linear unit (default: 64)",
    )
    add("--activation", default="relu", choices=options.ELEMENTWISE, help="of the hidden layers (default: relu)")
    add(
        "--output",
        default="auto",
        choices=("auto", *kernels.ACTIVATIONS),
        help="activation of the last layer (default: auto)",
    )
    add("--loss", default="auto", choices=("auto", *kernels.LOSSES), help="default: auto")
    add(
        "--quantile",
        type=_levels,
        default=losses.LEVEL,
        metavar="0.1,0.9",
        help="level of --loss quantile, or several (default: 0.5)",
    )
    add(
        "--huber-delta",
        type=float,
        default=losses.DELTA,
        metavar="D",
        help="where --loss huber turns into a line (default: 1)",
    )
    add("--optimizer", default="adam", choices=tuple(kernels.OPTIMIZERS), help="default: adam")
    add("--learning-rate", type=float, metavar="RATE", help="default: by optimizer and width")
    add("--schedule", default="constant", choices=schedules.SCHEDULES, help="of the learning rate (default: constant)")
    add("--warmup", type=float, default=0.0, metavar="N", help="epochs in which the learning rate rises (default: 0)")
    add("--batch-size", type=int, metavar="N", help="rows per update (default: by the number of rows)")
    add("--epochs", type=int, metavar="N", help="passes over the rows at most (default: by their number)")
    add("--target-loss", type=float, metavar="LOSS", help="stop at this loss of the training rows")
    add("--target-accuracy", type=float, metavar="SHARE", help="stop at this accuracy of the training rows, 0 to 1")
    add("--max-seconds", type=float, metavar="S", help="stop after this time")
    add(
        "--validation",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="set aside, to choose the best epoch by; 0: none (default: 0.2)",
    )
    add("--patience", type=int, metavar="N", help="stop when the validation loss has not fallen for N epochs")
    add("--l2", type=float, default=0.0, metavar="F", help="weight of the penalty on large weights (default: 0)")
    add(
        "--dropout",
        type=float,
        default=0.0,
        metavar="P",
        help="share of hidden units left out in training (default: 0)",
    )
    add("--clip-norm", type=float, metavar="LENGTH", help="cut gradients that are longer")
    add("--no-scale", dest="scale", action="store_false", help="do not standardise the columns")
    add("--dtype", default="float32", choices=compilation.DTYPES, help="default: float32")
    add("--seed", type=int, metavar="N", help="make the run repeatable")
    add("--threads", type=int, metavar="N", help="threads at most (default: all)")


def add_outputs(command: argparse.ArgumentParser, known: Options) -> None:
    """Add how results are shown, and the file that options may come from."""
    add = known.add
    add("--json", action="store_true", help="one JSON object instead of tables")
    add(
        "--config",
        metavar="FILE.toml",
        help="options from a file, by their long names, and the table; those typed here win",
    )
    bar = command.add_mutually_exclusive_group()
    add("--quiet", group=bar, dest="progress", action="store_false", default=None, help="no progress bar")
    add(
        "--progress",
        group=bar,
        action="store_true",
        default=None,
        help="a progress bar also where the output is not a terminal",
    )


def options_of(a: argparse.Namespace) -> dict[str, Any]:
    """Options of `fastbp.train` that were given, or are the defaults of the command line."""
    return {name: getattr(a, name) for name in DEFAULTS if hasattr(a, name)} | {"validation": a.validation or None}


def read(a: argparse.Namespace, table: files.Table, *other: str) -> Part:
    """Columns to learn from, and targets; the other columns are neither."""
    drop, categories = [*(a.drop or []), *other], a.categories or []
    if len(set(a.target)) < len(a.target):
        raise ValueError("--target: expected columns that differ, got one twice")
    table.require([*a.target, *drop, *categories])
    names = [name for name in table.names if name not in {*a.target, *drop}]
    if not names:
        raise ValueError(
            f"{table.path}: there are no columns beside the target; expected at least one to predict it from"
        )
    for name in categories:
        if name not in names:
            raise ValueError(f"--categories: {name!r} is not learnt from; name another column, or leave it out")
    y = table.target(a.target, a.task)
    if a.validation and len(y) < 2:
        raise ValueError(
            f"{table.path}: there is only one row; expected more, to learn from some and to set some aside"
        )
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
