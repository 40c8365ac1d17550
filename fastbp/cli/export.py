"""`fastbp export`: writes a network as ONNX, C or Python code, and compares it with the network itself."""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

from ..model import storage
from ..model.ensemble import members
from ..tables import files
from ..tables.raw_inputs import Inputs
from . import predict
from .outputs import check_writable
from .show import show

ENDINGS = {"onnx": ".onnx", "c": ".c", "numpy": ".py"}


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = command.add_argument
    add("model", metavar="MODEL", help="a file saved by fastbp train")
    formats = "ONNX, one file of C99, or Python code that only needs NumPy"
    add("--to", required=True, choices=tuple(ENDINGS), help=formats)
    add("--output", metavar="FILE", help="default: the name of the model, with the ending .onnx, .c or .py")
    rows = "CSV or Parquet file; compare the predictions for its rows (default: for rows drawn at random)"
    add("--table", metavar="TABLE", help=rows)


def run(args: argparse.Namespace) -> None:
    """Write the network in another format."""
    path = args.output or str(Path(args.model).with_suffix(ENDINGS[args.to]))
    check_writable("--output", path, args.model, *([args.table] if args.table else []))
    model = storage.load(args.model)
    X, rows = None, "rows drawn at random"
    naming_lines: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if args.table:
        table = files.read(args.table, predict.text_names(model))
        X, naming_lines = predict.inputs(model, table), table.naming_lines()
        rows = f"{len(X)} rows of {table.path}"
    write = {"onnx": model.to_onnx, "c": model.to_c, "numpy": model.to_numpy}[args.to]
    try:
        with naming_lines:
            write(path, X)
    except RuntimeError as error:  # its answers differ from the network's
        raise ValueError(f"{args.model}: {error}") from None
    net = members(model)[0]
    inputs = Inputs.of(net)
    names = inputs.names or [f"{inputs.count} numbers, in the order of the training columns"]
    show([("written", path), ("inputs", ", ".join(names)), ("compared on", rows)])
