"""The command line `fastbp`: train on a table, predict, export, show a model, compile in advance, run the demos."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from .. import TableWarning, __version__
from ..runtime import progress
from . import cross_validate, demo, export, info, predict, search, train, warmup
from .config import Options

COMMANDS = {
    "train": (train, "train a network on a table"),
    "cross-validate": (
        cross_validate,
        "measure how well networks predict rows of a table that they did not learn from",
    ),
    "search": (search, "find good options for a table, and train a network with the best"),
    "predict": (predict, "predict the rows of a table"),
    "export": (export, "write a network as ONNX, C or Python code that runs without fastbp"),
    "info": (info, "show what is in a model file"),
    "warmup": (warmup, "compile all kernels in advance"),
    "demo": (demo, "run a script of the gallery, from house prices to handwritten digits"),
}
EPILOG = """exit status:
  0    done
  1    a file, a table or an option cannot be used; one line on stderr says why
  2    the command line cannot be parsed
  130  interrupted by Ctrl-C"""


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
        Exit status: 0, 1 after an error, which is reported in one line on stderr, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After --help and --version (status 0), and if the arguments cannot be parsed (status 2).
    """
    arguments = argparse.Namespace()
    try:
        arguments = _parsed(list(sys.argv[1:] if argv is None else argv))
        with _warnings_in_one_line() as arguments.warnings:
            arguments.run(arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        _report("interrupted")
        return 130
    except BrokenPipeError:  # the reader of the output has gone, as in `fastbp predict ... | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at exit
        return 1
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        _report(f"error: {_message(error, vars(arguments))}")
        return 1
    except MemoryError:
        _report("error: there is not enough memory")
        return 1
    return 0


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser, options = _parser()
    of_command = options.get(argv[0]) if argv else None
    if of_command is not None:
        argv[1:1] = of_command.from_file(argv[1:])
    arguments = parser.parse_args(argv)
    arguments.typed = set() if of_command is None else of_command.typed(argv)
    return arguments


def _parser() -> tuple[_Parser, dict[str, Options | None]]:
    """Return the parser, and each command's options that may come from a file."""
    parser = _Parser(
        prog="fastbp",
        description="Train neural networks by backpropagation on the CPU, and predict with them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    options = {}
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        options[name] = module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser, options


class _Parser(argparse.ArgumentParser):
    """argparse, with usage errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fastbp: error: {message}; see {self.prog} --help\n")


def _report(text: str) -> None:
    progress.write(f"fastbp: {' '.join(text.split())}")


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[list[str]]:
    """Show every warning in one line, and yield the list of their texts."""
    shown: list[str] = []

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if text not in shown:  # several threads may warn about the same table
            shown.append(text)
            _report(f"warning: {message}")

    with warnings.catch_warnings():
        for category in (RuntimeWarning, TableWarning):
            warnings.filterwarnings("default", category=category)
        warnings.showwarning = show
        yield shown


def _message(error: Exception, arguments: dict[str, Any]) -> str:
    """Return the message, with the command line's names of options, the table and the target."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    name, colon, rest = str(error).partition(":")
    if colon and name in ("X", "y") and "table" in arguments:
        table = "stdin" if arguments["table"] == "-" else arguments["table"]
        target = arguments.get("target") if name == "y" else None
        column = f" target {', '.join(map(repr, target))}:" if target is not None else ""
        return f"{table}:{column}{rest}"
    if colon and name in arguments and name not in ("table", "model"):
        return f"--{name.replace('_', '-')}:{rest}"
    return str(error)
