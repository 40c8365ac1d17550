"""The command line `fastbp`: train on a table, predict, export, look into a model, compile ahead, see the demos."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, NoReturn

from .. import TableWarning, __version__
from ..runtime.progress import Bar
from . import cross_validate, demo, export, info, predict, search, train, warmup
from .config import Options

COMMANDS = {
    "train": (train, "train a network on a table"),
    "cross-validate": (cross_validate, "tell how good networks are on rows of a table that they have not learnt from"),
    "search": (search, "find good options for a table, and train a network with the best"),
    "predict": (predict, "predict the rows of a table"),
    "export": (export, "write a network as ONNX, C or Python code that runs without fastbp"),
    "info": (info, "show what is in a model file"),
    "warmup": (warmup, "compile all kernels ahead"),
    "demo": (demo, "run a script of the gallery, from house prices to handwritten digits"),
}
EPILOG = """exit status:
  0    done
  1    a file, a table or an option cannot be used; one line on stderr says why
  2    the command line cannot be read
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
        Exit status: 0, 1 after an error, which is told in one line on stderr, or 130 after Ctrl-C.

    Raises
    ------
    SystemExit
        After --help, --version (status 0), and arguments that cannot be read (status 2).
    """
    arguments = argparse.Namespace()
    try:
        arguments = _parsed(list(sys.argv[1:] if argv is None else argv))
        with _warnings_in_one_line() as arguments.warnings:
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


def _parsed(argv: list[str]) -> argparse.Namespace:
    parser, options = _parser()
    known = options.get(argv[0]) if argv else None
    if known is not None:
        argv[1:1] = known.from_file(argv[1:])
    arguments = parser.parse_args(argv)
    arguments.typed = set() if known is None else known.typed(argv)
    return arguments


def _parser() -> tuple[_Parser, dict[str, Options | None]]:
    """Return the parser, and for each command the options that may come from a file."""
    parser = _Parser(
        prog="fastbp",
        description="Train neural networks by backpropagation on the CPU, and predict with them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"fastbp {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    added = {}
    for name, (module, text) in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".", allow_abbrev=False)
        added[name] = module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser, added


class _Parser(argparse.ArgumentParser):
    """argparse, with usage errors in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"fastbp: error: {message}; see {self.prog} --help\n")


def _tell(text: str) -> None:
    Bar.write(f"fastbp: {' '.join(text.split())}", file=sys.stderr)  # above a progress bar, if there is one


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[list[str]]:
    """Show every warning in one line, and keep its text."""
    said: list[str] = []

    def show(message: Warning | str, *_: Any, **__: Any) -> None:
        text = " ".join(str(message).split())
        if text not in said:  # several threads may warn of the same table
            said.append(text)
            _tell(f"warning: {message}")

    with warnings.catch_warnings():
        for category in (RuntimeWarning, TableWarning):
            warnings.filterwarnings("default", category=category)
        warnings.showwarning = show
        yield said


def _in_words(error: Exception, arguments: dict[str, Any]) -> str:
    """Return the message, with options, the table and the target by their names on the command line."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename or 'output'}: {error.strerror}"
    name, colon, rest = str(error).partition(":")
    if colon and name in ("X", "y") and "table" in arguments:
        table = "stdin" if arguments["table"] == "-" else arguments["table"]
        column = (
            f" target {', '.join(map(repr, arguments['target']))}:" if name == "y" and "target" in arguments else ""
        )
        return f"{table}:{column}{rest}"
    if colon and name in arguments and name not in ("table", "model"):
        return f"--{name.replace('_', '-')}:{rest}"
    return str(error)
