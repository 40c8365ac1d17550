"""`fastbp train`: a table in, a model file out, and how good it is."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fastbp.kernels as kernels

from .. import compilation, data, losses, options, schedules, storage, targets
from ..network import Network
from ..scores import baseline, scores
from ..tables import files
from ..train import DEFAULTS, resume, train
from . import info, show
from .config import Options
from .outputs import check_writable, make_folder, naming

Part = tuple[Any, Any]  # raw columns and targets


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    known = Options(command)
    add = known.add
    add("table", metavar="TABLE", help="CSV or Parquet file, - for stdin; text, dates, booleans and missing values are understood")
    add("--target", required=True, action="append", metavar="COLUMN", help="what to predict; repeat it for several columns of numbers")
    add("--save", required=True, metavar="MODEL", help="the file to write the network to")
    add("--drop", action="append", metavar="COLUMN", help="a column not to learn from; repeat it for several")
    add(
        "--categories",
        action="append",
        metavar="COLUMN",
        help="a column whose numbers are codes, as zip codes are; repeat it for several",
    )
    add("--task", default="auto", choices=("auto", *options.TASKS), help="default: auto, from the values of the target")
    add("--hidden", type=_hidden, default=(64,), metavar="64,32", help="units of each hidden layer; none: a linear unit (default: 64)")
    add("--activation", default="relu", choices=options.ELEMENTWISE, help="of the hidden layers (default: relu)")
    add("--output", default="auto", choices=("auto", *kernels.ACTIVATIONS), help="activation of the last layer (default: auto)")
    add("--loss", default="auto", choices=("auto", *kernels.LOSSES), help="default: auto")
    add("--quantile", type=_levels, default=losses.LEVEL, metavar="0.1,0.9", help="level of --loss quantile, or several (default: 0.5)")
    add("--huber-delta", type=float, default=losses.DELTA, metavar="D", help="where --loss huber turns into a line (default: 1)")
    add("--optimizer", default="adam", choices=tuple(kernels.OPTIMIZERS), help="default: adam")
    add("--learning-rate", type=float, metavar="RATE", help="default: by optimizer and width")
    add("--schedule", default="constant", choices=schedules.SCHEDULES, help="of the learning rate (default: constant)")
    add("--warmup", type=float, default=0.0, metavar="N", help="epochs in which the learning rate rises (default: 0)")
    add("--batch-size", type=int, metavar="N", help="rows per update (default: by the number of rows)")
    add("--epochs", type=int, metavar="N", help="passes over the rows at most (default: by their number)")
    add("--target-loss", type=float, metavar="LOSS", help="stop at this loss of the training rows")
    add("--target-accuracy", type=float, metavar="SHARE", help="stop at this accuracy of the training rows, 0 to 1")
    add("--max-seconds", type=float, metavar="S", help="stop after this time")
    add("--validation", type=float, default=0.2, metavar="SHARE", help="set aside, to choose the best epoch by; 0: none (default: 0.2)")
    add("--patience", type=int, metavar="N", help="stop when the validation loss has not fallen for N epochs")
    add("--l2", type=float, default=0.0, metavar="F", help="weight of the penalty on large weights (default: 0)")
    add("--dropout", type=float, default=0.0, metavar="P", help="share of hidden units left out in training (default: 0)")
    add("--clip-norm", type=float, metavar="LENGTH", help="cut gradients that are longer")
    add("--no-scale", dest="scale", action="store_false", help="do not standardise the columns")
    add("--dtype", default="float32", choices=compilation.DTYPES, help="default: float32")
    add("--seed", type=int, metavar="N", help="make the run repeatable")
    add("--threads", type=int, metavar="N", help="threads at most (default: all)")
    begin = command.add_mutually_exclusive_group()
    add("--checkpoint", group=begin, metavar="FILE", help="a new file to keep the run in, so that --resume can go on with it")
    add("--resume", group=begin, metavar="FILE", help="go on with the run that this file keeps; table and options as they were")
    add("--checkpoint-every", type=int, metavar="N", help="epochs from one writing of that file to the next (default: ten seconds)")
    add("--plot", metavar="FOLDER", help="write pictures: learning-curves.png, and confusion.png or predicted.png")
    add("--report", metavar="FILE.html", help="write a report to read in a browser")
    add("--json", action="store_true", help="one JSON object instead of tables")
    add("--config", metavar="FILE.toml", help="options from a file, by their long names, and the table; those typed here win")
    bar = command.add_mutually_exclusive_group()
    add("--quiet", group=bar, dest="progress", action="store_false", default=None, help="no progress bar")
    add(
        "--progress",
        group=bar,
        action="store_true",
        default=None,
        help="a progress bar also where the output is not a terminal",
    )
    return known


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


def run(a: argparse.Namespace) -> None:
    """Train, save, and tell how good the network is."""
    _check_outputs(a)
    table = files.read(a.table, a.categories or ())
    X, y = _read(a, table)
    with table.naming_lines():
        net = _trained(a, X, y)
    with naming(a.save):
        net.save(a.save)
    parts = _parts(net, X, y)
    measured = [(name, len(yp), scores(net, Xp, yp), baseline(net, parts["training"][1], yp)) for name, (Xp, yp) in parts.items()]
    written = [("saved", a.save)]
    if a.plot:
        with naming(a.plot):
            written += [("plot", path) for path in _plot(net, parts, Path(a.plot))]
    if a.report:
        with naming(a.report):
            report, target = _module("--report", "report"), ", ".join(a.target)
            report.write(a.report, net, parts["training"], parts.get("validation"), table=table.path, target=target)
        written.append(("report", a.report))
    if a.json:
        print(json.dumps(_facts(a, net, measured, written), default=str))
        return
    if net.columns is not None:
        show.show_columns(net.columns)
    show.show(show.summary(net))
    print()
    show.show_scores(measured)
    print()
    show.show(written)


def _trained(a: argparse.Namespace, X: Any, y: Any) -> Network:
    """Train, from the start or from a checkpoint; options of the run that were typed must then be those that it was begun with."""
    options = {name: getattr(a, name) for name in DEFAULTS if hasattr(a, name)} | {"validation": a.validation or None}
    beside = {"threads": a.threads, "progress": a.progress, "checkpoint_every": a.checkpoint_every}
    if a.resume:
        return resume(a.resume, X, y, **beside, **{name: options[name] for name in options if name in a.typed})
    return train(X, y, **beside, checkpoint=a.checkpoint, **options)


def _check_outputs(a: argparse.Namespace) -> None:
    """Tell before the training what would fail after it."""
    check_writable("--save", a.save, a.table)
    for option, path in (("--checkpoint", a.checkpoint), ("--resume", a.resume)):
        if path:
            check_writable(option, path, a.table, a.save)
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError('the scores need scikit-learn; install it with: pip install "fastbp[cli]"')
    if a.report:
        check_writable("--report", a.report, a.table)
        if Path(a.report).absolute() == Path(a.save).absolute():
            raise ValueError(f"--report: {a.report!r} is the file of the model; choose another name")
        _module("--report", "report")
    if a.plot:
        _module("--plot", "plot")
        make_folder("--plot", a.plot)


def _module(option: str, name: str) -> Any:
    try:
        return importlib.import_module(f"fastbp.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(f'{option} needs {error.name}; install it with: pip install "fastbp[cli]"') from None


def _read(a: argparse.Namespace, table: files.Table) -> Part:
    """Columns to learn from, and targets."""
    drop, categories = a.drop or [], a.categories or []
    if len(set(a.target)) < len(a.target):
        raise ValueError("--target: expected columns that differ, got one twice")
    table.require([*a.target, *drop, *categories])
    names = [name for name in table.names if name not in {*a.target, *drop}]
    if not names:
        raise ValueError(f"{table.path}: there are no columns beside the target; expected at least one to predict it from")
    for name in categories:
        if name not in names:
            raise ValueError(f"--categories: {name!r} is not learnt from; name another column, or leave it out")
    y = table.target(a.target, a.task)
    if a.validation and len(y) < 2:
        raise ValueError(f"{table.path}: there is only one row; expected more, to learn from some and to set some aside")
    X = table.frame[names]
    return X.assign(**{name: X[name].astype("category") for name in categories}), y


def _parts(net: Network, X: Any, y: Any) -> dict[str, Part]:
    """Rows learnt from and, if there are any, those set aside; the seed tells which is which."""
    _, random, _ = data.random_streams(net.options["seed"])  # draws the split of `fastbp.train` once more
    held = data.held_rows(targets.read(y, net.task, len(X)), net.options["validation"], random)
    parts = [("training", ~held), ("validation", held)]
    return {name: (X[rows], y[rows]) for name, rows in parts if rows.any()}


def _plot(net: Network, parts: dict[str, Part], folder: Path) -> list[str]:
    """Write the pictures, and return their paths."""
    from matplotlib.figure import Figure

    from .. import plot

    watched = parts.get("validation", parts["training"])
    pictures: dict[str, Callable[[Any], object]] = {}
    if len(net.history["loss"]):
        pictures["learning-curves.png"] = lambda ax: plot.learning_curves(net, ax)
    if net.task == "classification":
        pictures["confusion.png"] = lambda ax: plot.confusion(net, *watched, ax)
    if net.task == "regression":
        pictures["predicted.png"] = lambda ax: plot.predicted(net, *watched, ax)
    for name, draw in pictures.items():
        figure, image = Figure(layout="constrained"), io.BytesIO()
        draw(figure.subplots())
        figure.savefig(image, format="png", dpi=150)
        storage.write_atomically(folder / name, image.getvalue())
    return [str(folder / name) for name in pictures]


def _facts(a: argparse.Namespace, net: Network, measured: list[Any], written: list[tuple[str, str]]) -> dict[str, Any]:
    """Everything that the tables say, and more, as values for JSON."""
    return {
        "table": a.table,
        "target": a.target,
        **info.facts(net),
        "rows": {name: rows for name, rows, _, _ in measured},
        "scores": {name: found for name, _, found, _ in measured},
        "baseline": {name: guess for name, _, _, guess in measured},
        "saved": a.save,
        "plots": [path for what, path in written if what == "plot"],
        "report": a.report,
        "warnings": a.warnings,
    }
