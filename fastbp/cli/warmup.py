"""`fastbp warmup`: compile all kernels now."""

from __future__ import annotations

import argparse

import fastbp.kernels as kernels

from .. import compilation
from .show import show


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    command.add_argument("--dtype", choices=compilation.DTYPES, help="default: both")


def run(args: argparse.Namespace) -> None:
    """Compile, and print the data types, the time and the cache folder."""
    seconds = compilation.warmup(args.dtype or compilation.DTYPES)
    ready = f"ready for {args.dtype or ' and '.join(compilation.DTYPES)}"
    show([("kernels", ready), ("seconds", f"{seconds:.2f}"), ("kept in", str(kernels.cache_folder()))])
