"""`fastbp train`: trains a network on a table, saves it, and prints its scores."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import io
import json
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .. import checks
from ..data import reading, targets
from ..data.division import held_out_rows
from ..many.ensembles import ensemble
from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..report.scores import baseline, scores
from ..training import first_weights
from ..training.defaults import AUTO, SINGLE
from ..training.train import resume, train
from . import info, show, training
from .config import Options
from .outputs import check_writable, make_folder, naming
from .training import Part


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    options = Options(command)
    add = options.add
    training.add_table(options)
    add("--save", "the file to write the model to", required=True, metavar="MODEL")
    training.add_options(options)
    add("--ensemble", "train N single runs with different seeds, which predict together", type=int, metavar="N")
    add("--bootstrap", "each network of the ensemble learns from rows drawn with replacement", action="store_true")
    start = command.add_mutually_exclusive_group()
    add("--checkpoint", "a new file that stores the run, so that --resume can continue it", group=start, metavar="FILE")
    add("--resume", "continue the run in this file, with the same table and options", group=start, metavar="FILE")
    add("--checkpoint-every", "write that file every N epochs (default: every ten seconds)", type=int, metavar="N")
    add("--plot", "write pictures: learning-curves.png, and confusion.png or predicted.png", metavar="FOLDER")
    add("--report", "write a report to read in a browser", metavar="FILE.html")
    training.add_outputs(command, options)
    return options


def run(args: argparse.Namespace) -> None:
    """Train, save, and print the scores."""
    _check_outputs(args)
    table = training.opened(args)
    X, y = training.read(args, table)
    with table.naming_lines():
        options = training.options_of(args, table, y)
        model, parts = (_trained if args.ensemble is None else _ensemble)(args, options, X, y)
    with naming(args.save):
        model.save(args.save)
    net = members(model)[0]
    _, y_training, of_training = parts["training"]
    measured = [
        (name, len(y), scores(model, X, y, weight), baseline(net, y_training, y, of_training, weight))
        for name, (X, y, weight) in parts.items()
    ]
    written = [("saved", args.save)]
    if args.plot:
        with naming(args.plot):
            written += [("plot", path) for path in _plot(model, parts, Path(args.plot))]
    if args.report:
        with naming(args.report):
            report, target = _module("--report", "report.page"), ", ".join(args.target)
            shown = [part and part[:2] for part in (parts["training"], parts.get("validation"))]
            report.write(args.report, model, *shown, table=table.path, target=target)
        written.append(("report", args.report))
    if args.json:
        print(json.dumps(_facts(args, model, measured, written), default=str))
        return
    if net.columns is not None:
        show.show_columns(net.columns)
    show.show(show.summary(model))
    print()
    show.show_scores(measured)
    print()
    show.show(written)


def _trained(
    args: argparse.Namespace, options: dict[str, Any], X: Any, y: Any
) -> tuple[Network | Ensemble, dict[str, Part]]:
    """Train from the start, or from a checkpoint; then the options that were typed must be those of its run."""
    model: Network | Ensemble
    common = {"threads": args.threads, "progress": args.progress, "checkpoint_every": args.checkpoint_every}
    if args.resume:
        typed = {name: options[name] for name in options if name in args.typed and name != "quality"}  # it is single
        model = resume(args.resume, X, y, **common, **typed)
    else:
        model = train(X, y, checkpoint=args.checkpoint, **common, **options)
    validation = members(model)[0].options["validation"]
    return model, _parts(X, y, options | {"task": model.task}, validation, model.options["seed"])


def _ensemble(args: argparse.Namespace, options: dict[str, Any], X: Any, y: Any) -> tuple[Ensemble, dict[str, Part]]:
    """Train an ensemble; all networks have the same validation rows, so that it can be measured on them."""
    seed = secrets.randbits(32) if args.seed is None else checks.integer("seed", args.seed, 0)
    task = targets.read(y, args.task, len(X)).task
    parts = _parts(X, y, options | {"task": task}, args.validation or None, seed)
    X, y, weight = parts["training"]
    del options["quality"], options["groups"], options["time"]  # the validation rows are the same for all
    options |= {"task": task, "validation": parts.get("validation"), "sample_weight": weight, "seed": seed}
    options |= {"bootstrap": args.bootstrap, "threads": args.threads, "progress": args.progress}
    return ensemble(X, y, checks.integer("ensemble", args.ensemble, 1), **options), parts


def _parts(X: Any, y: Any, options: dict[str, Any], validation: float | None, seed: int) -> dict[str, Part]:
    """Training rows and, if there are any, validation rows, as `fastbp.train` divides them."""
    table = reading.read_table(X, y, options)
    target = targets.read(table.y, options["task"], len(table))
    table, target, _ = reading.weighted(table, target, options["class_weight"])
    held = held_out_rows(target, validation, first_weights.random_streams(seed)[1], table.division)
    weight, found = table.sample_weight, {}
    for name, rows in (("training", ~held), ("validation", held)):
        if rows.any():
            found[name] = table.X[rows], table.y[rows], None if weight is None else weight[rows]
    return found


def _check_outputs(args: argparse.Namespace) -> None:
    """Check before training what would otherwise fail after it."""
    check_writable("--save", args.save, args.table)
    if args.bootstrap and args.ensemble is None:
        raise ValueError("--bootstrap: expected --ensemble N, too")
    for name in ("ensemble", "checkpoint", "resume"):
        if getattr(args, name) is not None and args.quality not in (AUTO, SINGLE):
            raise ValueError(f"--quality: expected 'single' with --{name}, got {args.quality!r}; leave one of them out")
    for name in ("checkpoint", "resume", "checkpoint_every") if args.ensemble is not None else ():
        if getattr(args, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')}: expected a single network; leave out --ensemble, or this")
    for option, path in (("--checkpoint", args.checkpoint), ("--resume", args.resume)):
        if path:
            check_writable(option, path, args.table, args.save)
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError('the scores need scikit-learn; install it with: pip install "fastbp[cli]"')
    if args.report:
        check_writable("--report", args.report, args.table)
        if Path(args.report).absolute() == Path(args.save).absolute():
            raise ValueError(f"--report: {args.report!r} is the model file; choose another name")
        _module("--report", "report.page")
    if args.plot:
        _module("--plot", "plot")
        make_folder("--plot", args.plot)


def _module(option: str, name: str) -> Any:
    try:
        return importlib.import_module(f"fastbp.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(f'{option} needs {error.name}; install it with: pip install "fastbp[cli]"') from None


def _plot(model: Network | Ensemble, parts: dict[str, Part], folder: Path) -> list[str]:
    """Write the pictures, and return their paths."""
    from matplotlib.figure import Figure

    from .. import plot

    shown = parts.get("validation", parts["training"])
    pictures: dict[str, Callable[[Any], object]] = {}
    if all(len(net.history["loss"]) for net in members(model)):
        pictures["learning-curves.png"] = lambda ax: plot.learning_curves(model, ax)
    if model.task == "classification":
        pictures["confusion.png"] = lambda ax: plot.confusion(model, *shown[:2], ax)
    if model.task == "regression":
        pictures["predicted.png"] = lambda ax: plot.predicted(model, *shown[:2], ax)
    for name, draw in pictures.items():
        figure, image = Figure(layout="constrained"), io.BytesIO()
        draw(figure.subplots())
        figure.savefig(image, format="png", dpi=150)
        storage.write_atomically(folder / name, image.getvalue())
    return [str(folder / name) for name in pictures]


def _facts(
    args: argparse.Namespace, model: Network | Ensemble, measured: list[Any], written: list[tuple[str, str]]
) -> dict[str, Any]:
    """Everything in the printed tables, and more, as values for JSON."""
    return {
        "table": args.table,
        "target": args.target,
        **info.facts(model),
        "rows": {name: rows for name, rows, _, _ in measured},
        "scores": {name: found for name, _, found, _ in measured},
        "baseline": {name: guess for name, _, _, guess in measured},
        "saved": args.save,
        "plots": [path for what, path in written if what == "plot"],
        "report": args.report,
        "warnings": args.warnings,
    }
