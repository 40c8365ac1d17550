"""`fastbp train`: a table in, a model file out, and how good it is."""

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
from ..data import samples, targets
from ..many.ensembles import ensemble
from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..report.scores import baseline, scores
from ..tables import files
from ..train import resume, train
from ..training import first_weights
from . import info, show, training
from .config import Options
from .outputs import check_writable, make_folder, naming
from .training import Part


def add_arguments(command: argparse.ArgumentParser) -> Options:
    """Add the arguments of the command."""
    known = Options(command)
    add = known.add
    training.add_table(known)
    add("--save", required=True, metavar="MODEL", help="the file to write the network to")
    training.add_options(known)
    add("--ensemble", type=int, metavar="N", help="train N networks that differ by chance, which predict together")
    add("--bootstrap", action="store_true", help="each network of the ensemble learns from rows drawn with replacement")
    begin = command.add_mutually_exclusive_group()
    add(
        "--checkpoint",
        group=begin,
        metavar="FILE",
        help="a new file to keep the run in, so that --resume can go on with it",
    )
    add(
        "--resume",
        group=begin,
        metavar="FILE",
        help="go on with the run that this file keeps; table and options as they were",
    )
    add(
        "--checkpoint-every",
        type=int,
        metavar="N",
        help="epochs from one writing of that file to the next (default: ten seconds)",
    )
    add("--plot", metavar="FOLDER", help="write pictures: learning-curves.png, and confusion.png or predicted.png")
    add("--report", metavar="FILE.html", help="write a report to read in a browser")
    training.add_outputs(command, known)
    return known


def run(a: argparse.Namespace) -> None:
    """Train, save, and tell how good the network is."""
    _check_outputs(a)
    table = files.read(a.table, a.categories or ())
    X, y = training.read(a, table)
    with table.naming_lines():
        model, parts = _trained(a, X, y) if a.ensemble is None else _ensemble(a, X, y)
    with naming(a.save):
        model.save(a.save)
    net = members(model)[0]
    measured = [
        (name, len(yp), scores(model, Xp, yp), baseline(net, parts["training"][1], yp))
        for name, (Xp, yp) in parts.items()
    ]
    written = [("saved", a.save)]
    if a.plot:
        with naming(a.plot):
            written += [("plot", path) for path in _plot(net, parts, Path(a.plot))]
    if a.report:
        with naming(a.report):
            report, target = _module("--report", "report.page"), ", ".join(a.target)
            report.write(a.report, net, parts["training"], parts.get("validation"), table=table.path, target=target)
        written.append(("report", a.report))
    if a.json:
        print(json.dumps(_facts(a, model, measured, written), default=str))
        return
    if net.columns is not None:
        show.show_columns(net.columns)
    show.show(show.summary(model))
    print()
    show.show_scores(measured)
    print()
    show.show(written)


def _trained(a: argparse.Namespace, X: Any, y: Any) -> tuple[Network, dict[str, Part]]:
    """Train, from the start or from a checkpoint; options of the run that were typed must then be those that it was begun with."""
    options = training.options_of(a)
    beside = {"threads": a.threads, "progress": a.progress, "checkpoint_every": a.checkpoint_every}
    if a.resume:
        net = resume(a.resume, X, y, **beside, **{name: options[name] for name in options if name in a.typed})
    else:
        net = train(X, y, **beside, checkpoint=a.checkpoint, **options)
    return net, _parts(X, y, targets.read(y, net.task, len(X)), net.options["validation"], net.options["seed"])


def _ensemble(a: argparse.Namespace, X: Any, y: Any) -> tuple[Ensemble, dict[str, Part]]:
    """Train an ensemble; the rows set aside are the same for all networks, so that it can be measured on them."""
    seed = secrets.randbits(32) if a.seed is None else checks.integer("seed", a.seed, 0)
    target = targets.read(y, a.task, len(X))
    parts = _parts(X, y, target, a.validation or None, seed)
    options = training.options_of(a) | {"task": target.task, "validation": parts.get("validation")}
    n, (X, y) = checks.integer("ensemble", a.ensemble, 1), parts["training"]
    beside = {"bootstrap": a.bootstrap, "threads": a.threads, "progress": a.progress}
    return ensemble(X, y, n, **beside, **options | {"seed": seed}), parts


def _parts(X: Any, y: Any, target: targets.Targets, validation: float | None, seed: int) -> dict[str, Part]:
    """Rows to learn from and, if there are any, those to set aside, drawn from the seed as `fastbp.train` does."""
    held = samples.held_rows(target, validation, first_weights.random_streams(seed)[1])
    parts = [("training", ~held), ("validation", held)]
    return {name: (X[rows], y[rows]) for name, rows in parts if rows.any()}


def _check_outputs(a: argparse.Namespace) -> None:
    """Tell before the training what would fail after it."""
    check_writable("--save", a.save, a.table)
    if a.bootstrap and a.ensemble is None:
        raise ValueError("--bootstrap: expected --ensemble N beside it")
    for name in ("checkpoint", "resume", "checkpoint_every", "plot", "report") if a.ensemble is not None else ():
        if getattr(a, name) is not None:
            raise ValueError(f"--{name.replace('_', '-')}: expected a single network; leave out --ensemble, or this")
    for option, path in (("--checkpoint", a.checkpoint), ("--resume", a.resume)):
        if path:
            check_writable(option, path, a.table, a.save)
    if importlib.util.find_spec("sklearn") is None:
        raise ImportError('the scores need scikit-learn; install it with: pip install "fastbp[cli]"')
    if a.report:
        check_writable("--report", a.report, a.table)
        if Path(a.report).absolute() == Path(a.save).absolute():
            raise ValueError(f"--report: {a.report!r} is the file of the model; choose another name")
        _module("--report", "report.page")
    if a.plot:
        _module("--plot", "plot")
        make_folder("--plot", a.plot)


def _module(option: str, name: str) -> Any:
    try:
        return importlib.import_module(f"fastbp.{name}")
    except ModuleNotFoundError as error:
        raise ImportError(f'{option} needs {error.name}; install it with: pip install "fastbp[cli]"') from None


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


def _facts(
    a: argparse.Namespace, model: Network | Ensemble, measured: list[Any], written: list[tuple[str, str]]
) -> dict[str, Any]:
    """Everything that the tables say, and more, as values for JSON."""
    return {
        "table": a.table,
        "target": a.target,
        **info.facts(model),
        "rows": {name: rows for name, rows, _, _ in measured},
        "scores": {name: found for name, _, found, _ in measured},
        "baseline": {name: guess for name, _, _, guess in measured},
        "saved": a.save,
        "plots": [path for what, path in written if what == "plot"],
        "report": a.report,
        "warnings": a.warnings,
    }
