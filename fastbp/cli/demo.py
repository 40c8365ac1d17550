"""`fastbp demo`: the scripts of the gallery."""

from __future__ import annotations

import argparse
import io
import sys

from ..demos import runner


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    command.usage = "%(prog)s [-h] [NAME] [--plot [FOLDER]]"
    names = f"{', '.join(runner.DEMOS)} (default: {', '.join(runner.DEFAULT)})"
    command.add_argument("name", nargs="?", choices=runner.DEMOS, metavar="NAME", help=names)
    command.add_argument(
        "--plot", nargs="?", const=True, metavar="FOLDER", help="show the pictures, too, or write them to a folder"
    )


def run(args: argparse.Namespace) -> None:
    """Run the demo, or those that are run by default."""
    if args.name is None and args.plot in runner.DEMOS:
        name = args.plot
        raise ValueError(
            f"--plot: expected a folder, got the demo {name}; write fastbp demo {name} --plot, or ./{name}"
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have all symbols of the lecture
    for k, name in enumerate([args.name] if args.name else runner.DEFAULT):
        print(end="\n" if k else "")
        runner.run(name, args.plot)
