"""`fastbp predict`: a table in, predictions out, piece by piece."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .. import storage, tables
from ..network import Network
from ..tables import files
from .outputs import check_writable, naming


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = command.add_argument
    add("model", metavar="MODEL", help="a file that fastbp train has saved")
    add("table", metavar="TABLE", help="CSV or Parquet file of any length, - for stdin; columns are found by name, others are ignored")
    add("--output", metavar="FILE", help="write the predictions here (default: to the screen)")
    add("--json", action="store_true", help="a JSON object in each line instead of CSV")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="the probability of each class")
    kind.add_argument("--threshold", type=float, metavar="P", help="choose the second of two classes above this probability (default: 0.5)")


def run(a: argparse.Namespace) -> None:
    """Write a prediction for each row."""
    if a.output:
        check_writable("--output", a.output, a.model, a.table)
    net = storage.load(a.model)
    if net.task == "regression" and (a.proba or a.threshold is not None):
        option, what = ("--proba", "there are no probabilities") if a.proba else ("--threshold", "there is nothing to decide")
        raise ValueError(f"{option}: {what} in regression; leave it out")
    if a.output:
        with naming(a.output), storage.written_whole(a.output, "x", encoding="utf-8", newline="") as file:
            _write(net, a, file)
    else:
        _write(net, a, sys.stdout)


def _write(net: Network, a: argparse.Namespace, file: Any) -> None:
    first = True
    for table in files.stream(a.table, tables.text_names(net.columns)):
        predicted, names = _predictions(net, inputs(net, table), a)
        if a.json:
            file.writelines(_json_lines(predicted, names))
        else:
            file.write(files.to_csv(predicted, names, header=first))
        first = False


def inputs(net: Network, table: files.Table) -> Any:
    """Return the inputs of the network from the rows of a table."""
    if net.columns is not None:
        table.require(net.columns.names)
        with table.naming_lines():
            return net.columns.encode(table.frame)
    if len(table.names) != net.sizes[0]:
        raise ValueError(
            f"{table.path}: the network takes {net.sizes[0]} columns, and does not know their names; got {len(table.names)} columns"
        )
    return table.numbers()


def _predictions(net: Network, X: Any, a: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return what is asked for, and the names of its columns."""
    predicted = net.predict_proba(X) if a.proba else net.predict(X) if a.threshold is None else net.predict(X, a.threshold)
    if predicted.ndim == 1:
        return predicted, ["prediction"]
    if a.proba and net.classes is not None:
        return predicted, [str(label) for label in net.classes.tolist()]
    return predicted, [f"prediction_{k}" for k in range(1, predicted.shape[1] + 1)]


def _json_lines(predicted: Any, names: list[str]) -> list[str]:
    rows = predicted.reshape(len(predicted), -1)
    if rows.dtype.kind == "f":
        rows = rows.astype(str).astype(float)  # 0.1 stays 0.1 in float32 too
    return [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows.tolist()]
