"""The command line `fastbp`: train on a table, predict, look into a model, compile ahead, see the demos."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from tqdm import tqdm

import fastbp.kernels as kernels

from . import __version__, compilation, data, demo, losses, options, schedules, storage, table, targets
from .network import STOP_REASONS, Network
from .train import train


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 after an error, which is told in one line on stderr, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After --help, --version (status 0), and arguments that cannot be read (status 2).
    """
    arguments = _parser().parse_args(argv)
    try:
        with _warnings_in_one_line():
            arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _tell("interrupted")
        return 130
    except BrokenPipeError:  # who read the output has gone, as in `fastbp predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        return 1
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        _tell(f"error: {_in_words(error, vars(arguments))}")
        return 1
    return 0


def _tell(text: str) -> None:
    tqdm.write(f"fastbp: {' '.join(text.split())}", file=sys.stderr)  # above a progress bar, if there is one


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("default", category=RuntimeWarning)
        warnings.showwarning = lambda message, *_, **__: _tell(f"warning: {message}")
        yield


def _in_words(error: Exception, arguments: dict[str, Any]) -> str:
    """Return the message, with options, the table and the target by their names on the command line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    name, colon, rest = str(error).partition(":")
    if colon and name in arguments:
        return f"--{name.replace('_', '-')}:{rest}"
    if colon and name in ("X", "y") and "table" in arguments:
        column = f" target {', '.join(map(repr, arguments['target']))}:" if name == "y" and "target" in arguments else ""
        return f"{arguments['table']}:{column}{rest}"
    return str(error)


class _Parser(argparse.ArgumentParser):
    """argparse, with usage errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fastbp: error: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastbp", description="Train neural networks by backpropagation on the CPU, and predict with them.")
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name, run, add_arguments, text in (
        ("train", _train, _train_arguments, "train a network on a CSV table"),
        ("predict", _predict, _predict_arguments, "predict the rows of a CSV table"),
        ("info", _info, _info_arguments, "show what is in a model file"),
        ("warmup", _warmup, _warmup_arguments, "compile all kernels ahead"),
        ("demo", _demo, _demo_arguments, "run a script of the gallery, from house prices to handwritten digits"),
    ):
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        add_arguments(command)
        command.set_defaults(run=run)
    return parser


def _train_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("table", metavar="TABLE", help="CSV file: column names in the first line, numbers in all columns but the target")
    add("--target", required=True, action="append", metavar="COLUMN", help="what to predict; repeat it for several columns of numbers")
    add("--save", required=True, metavar="MODEL", help="the file to write the network to")
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
    add(
        "--validation",
        type=float,
        default=0.2,
        metavar="SHARE",
        help="set aside, to choose the best epoch by; 0: none (default: 0.2)",
    )
    add("--patience", type=int, metavar="N", help="stop when the validation loss has not fallen for N epochs")
    add("--l2", type=float, default=0.0, metavar="F", help="weight of the penalty on large weights (default: 0)")
    add("--dropout", type=float, default=0.0, metavar="P", help="share of hidden units left out in training (default: 0)")
    add("--clip-norm", type=float, metavar="LENGTH", help="cut gradients that are longer")
    add("--no-scale", dest="scale", action="store_false", help="do not standardise the columns")
    add("--dtype", default="float32", choices=compilation.DTYPES, help="default: float32")
    add("--seed", type=int, metavar="N", help="make the run repeatable")
    add("--threads", type=int, metavar="N", help="threads at most (default: all)")
    bar = command.add_mutually_exclusive_group()
    bar.add_argument("--quiet", dest="progress", action="store_false", default=None, help="no progress bar")
    bar.add_argument("--progress", action="store_true", default=None, help="a progress bar also where the output is not a terminal")


def _predict_arguments(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("model", metavar="MODEL", help="a file that fastbp train has saved")
    add("table", metavar="TABLE", help="CSV file; columns are found by name, those that the network does not know are ignored")
    add("--output", metavar="FILE", help="write the predictions here (default: to the screen)")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="the probability of each class")
    kind.add_argument("--threshold", type=float, metavar="P", help="choose the second of two classes above this probability (default: 0.5)")


def _info_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", metavar="MODEL", help="a file that fastbp train has saved")


def _warmup_arguments(command: argparse.ArgumentParser) -> None:
    command.add_argument("--dtype", choices=compilation.DTYPES, help="default: both")


def _demo_arguments(command: argparse.ArgumentParser) -> None:
    command.usage = "%(prog)s [-h] [NAME] [--plot [FOLDER]]"
    names = f"{', '.join(demo.DEMOS)} (default: {', '.join(demo.DEFAULT)})"
    command.add_argument("name", nargs="?", choices=demo.DEMOS, metavar="NAME", help=names)
    command.add_argument("--plot", nargs="?", const=True, metavar="FOLDER", help="show the pictures too, or write them to a folder")


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


def _train(a: argparse.Namespace) -> None:
    _check_writable("--save", a.save, a.table)
    rows = table.read(a.table)
    if len(set(a.target)) < len(a.target):
        raise ValueError("--target: expected columns that differ, got one twice")
    y = rows.target(a.target, a.task)
    names = [name for name in rows.names if name not in a.target]
    if not names:
        raise ValueError(f"{a.table}: there are no columns beside the target; expected at least one to predict it from")
    X = rows.features(names)
    net = train(
        X,
        y,
        task=a.task,
        hidden=a.hidden,
        activation=a.activation,
        output=a.output,
        loss=a.loss,
        quantile=a.quantile,
        huber_delta=a.huber_delta,
        optimizer=a.optimizer,
        learning_rate=a.learning_rate,
        schedule=a.schedule,
        warmup=a.warmup,
        batch_size=a.batch_size,
        epochs=a.epochs,
        target_loss=a.target_loss,
        target_accuracy=a.target_accuracy,
        max_seconds=a.max_seconds,
        validation=a.validation or None,
        patience=a.patience,
        l2=a.l2,
        dropout=a.dropout,
        clip_norm=a.clip_norm,
        scale=a.scale,
        dtype=a.dtype,
        seed=a.seed,
        threads=a.threads,
        progress=a.progress,
    )
    net.save(a.save)
    _show([*_summary(net), *_scores(net, X, y), ("saved", a.save)])


def _check_writable(option: str, path: str, *inputs: str) -> None:
    """Tell before the work is done, not after it, that the result cannot be written."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option}: there is no folder {str(folder)!r}; make it, or choose another")
    if os.path.isdir(path):
        raise ValueError(f"{option}: {path!r} is a folder; name a file")
    if not os.access(path if os.path.exists(path) else folder, os.W_OK):
        raise ValueError(f"{option}: {path!r} cannot be written; choose another place")
    if any(os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other) for other in inputs):
        raise ValueError(f"{option}: {path!r} is read from; choose another name")


def _scores(net: Network, X: Any, y: Any) -> list[tuple[str, str]]:
    """Scores of the saved weights on the rows learnt from and on those set aside; the seed tells which is which."""
    held = np.zeros(len(X), bool)
    share = net.options["validation"]
    if share is not None:
        _, random, _ = data.random_streams(net.options["seed"])  # draws the split of `fastbp.train` once more
        held = data.held_out(targets.read(y, net.task, len(X)), share, random)
    name = "R^2" if net.task == "regression" else "accuracy"
    parts = [("training", ~held), ("validation", held)]
    return [(f"{part} {name}", f"{net.score(X[rows], y[rows]):.4f}  ({rows.sum()} rows)") for part, rows in parts if rows.any()]


def _summary(net: Network) -> list[tuple[str, str]]:
    layers = zip(net.sizes[1:], net.layer_activations, strict=True)
    epochs = len(net.history.get("loss", ()))
    best = f", the best was {net.best_epoch}" if net.best_epoch != epochs else ""
    rows = [
        ("task", net.task),
        ("layers", " - ".join([f"{net.sizes[0]} inputs", *(f"{units} {activation}" for units, activation in layers)])),
        ("parameters", f"{len(net.params)} ({net.dtype})"),
    ]
    if net.classes is not None:
        rows.append(("classes", _some(net.classes.tolist())))
    return [
        *rows,
        ("loss", net.loss),
        ("epochs", f"{epochs} of {net.options.get('epochs', epochs)}{best}"),
        ("stopped", STOP_REASONS[net.stop_reason]),
        ("seconds", f"{net.train_seconds:.2f} to train, {net.compile_seconds:.2f} to compile or load kernels"),
    ]


def _some(things: Sequence[object]) -> str:
    return ", ".join(map(str, things[:10])) + (f", ... ({len(things)} in all)" if len(things) > 10 else "")


def _show(rows: list[tuple[str, str]]) -> None:
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")


def _predict(a: argparse.Namespace) -> None:
    if a.output:
        _check_writable("--output", a.output, a.model, a.table)
    net = storage.load(a.model)
    rows = table.read(a.table)
    names = list(net.feature_names or rows.names)
    if len(names) != net.sizes[0]:
        raise ValueError(f"{a.table}: {a.model} takes {net.sizes[0]} columns, and does not know their names; got {len(names)} columns")
    predicted, columns = _predictions(net, rows.features(names), a.proba, a.threshold)
    text = table.to_csv(predicted, columns)
    if a.output:
        Path(a.output).write_text(text, encoding="utf-8", newline="")
    else:
        sys.stdout.write(text)


def _predictions(net: Network, X: Any, proba: bool, threshold: float | None) -> tuple[Any, list[str]]:
    """Return what is asked for, and the names of its columns."""
    if proba:
        if net.task == "regression":
            raise ValueError("--proba: there are no probabilities in regression; leave it out")
        predicted = net.predict_proba(X)
    elif threshold is None:
        predicted = net.predict(X)
    elif net.task == "regression":
        raise ValueError("--threshold: there is nothing to decide in regression; leave it out")
    else:
        predicted = net.predict(X, threshold)
    if predicted.ndim == 1:
        return predicted, ["prediction"]
    if proba and net.classes is not None:
        return predicted, [str(label) for label in net.classes.tolist()]
    return predicted, [f"prediction_{k}" for k in range(1, predicted.shape[1] + 1)]


def _info(a: argparse.Namespace) -> None:
    net = storage.load(a.model)
    best = [(key.replace("_", " "), values[net.best_epoch - 1]) for key, values in net.history.items() if len(values) and key != "seconds"]
    rows = _summary(net)
    if net.feature_names is not None:
        rows.append(("features", _some(net.feature_names)))
    rows.append((f"epoch {net.best_epoch}", ", ".join(f"{key} {value:.4g}" for key, value in best)))
    _show(rows)
    print("\noptions")
    _show([(f"  {key}", _option(value)) for key, value in net.options.items()])


def _option(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)


def _warmup(a: argparse.Namespace) -> None:
    seconds = compilation.warmup(a.dtype or compilation.DTYPES)
    ready = f"ready for {a.dtype or ' and '.join(compilation.DTYPES)}"
    _show([("kernels", ready), ("seconds", f"{seconds:.2f}"), ("kept in", str(kernels.cache_folder()))])


def _demo(a: argparse.Namespace) -> None:
    if a.name is None and a.plot in demo.DEMOS:
        raise ValueError(f"--plot: {a.plot} is a demo, its name comes first: fastbp demo {a.plot} --plot; a folder may be ./{a.plot}")
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have all symbols of the lecture
    for k, name in enumerate([a.name] if a.name else demo.DEFAULT):
        print(end="\n" if k else "")
        demo.run(name, a.plot)
