"""`fastbp export`: a network as ONNX, C or Python code, compared with the network itself."""

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
    add("model", metavar="MODEL", help="a file that fastbp train has saved")
    add(
        "--to",
        required=True,
        choices=tuple(ENDINGS),
        help="ONNX, one file of C99, or Python code that needs nothing but NumPy",
    )
    add("--output", metavar="FILE", help="default: the name of the model, with the ending .onnx, .c or .py")
    add(
        "--table",
        metavar="TABLE",
        help="CSV or Parquet file; compare the predictions for its rows (default: for rows drawn at random)",
    )


def run(a: argparse.Namespace) -> None:
    """Write the network in another form."""
    path = a.output or str(Path(a.model).with_suffix(ENDINGS[a.to]))
    check_writable("--output", path, a.model, *([a.table] if a.table else []))
    model = storage.load(a.model)
    X, rows = None, "rows drawn at random"
    naming_lines: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
    if a.table:
        table = files.read(a.table, predict.text_names(model))
        X, naming_lines = predict.inputs(model, table), table.naming_lines()
        rows = f"{len(X)} rows of {table.path}"
    write = {"onnx": model.to_onnx, "c": model.to_c, "numpy": model.to_numpy}[a.to]
    try:
        with naming_lines:
            write(path, X)
    except RuntimeError as error:  # it did not answer as the network does
        raise ValueError(f"{a.model}: {error}") from None
    net = members(model)[0]
    names = Inputs.of(net).names or [f"{net.sizes[0]} numbers, in the order of the training"]
    show([("written", path), ("inputs", ", ".join(names)), ("compared on", rows)])
