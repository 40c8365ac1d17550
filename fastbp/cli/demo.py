"""`fastbp demo`: scripts of the gallery."""

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
        "--plot", nargs="?", const=True, metavar="FOLDER", help="show the pictures too, or write them to a folder"
    )


def run(a: argparse.Namespace) -> None:
    """Run the demo, or those that are run by default."""
    if a.name is None and a.plot in runner.DEMOS:
        raise ValueError(
            f"--plot: {a.plot} is a demo, its name comes first: fastbp demo {a.plot} --plot; a folder may be ./{a.plot}"
        )
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal may not have all symbols of the lecture
    for k, name in enumerate([a.name] if a.name else runner.DEFAULT):
        print(end="\n" if k else "")
        runner.run(name, a.plot)
