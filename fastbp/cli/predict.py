"""`fastbp predict`: a table in, predictions out, piece by piece."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from .. import tables
from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables import files
from .outputs import check_writable, naming


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = command.add_argument
    add("model", metavar="MODEL", help="a file that fastbp train has saved")
    add(
        "table",
        metavar="TABLE",
        help="CSV or Parquet file of any length, - for stdin; columns are found by name, others are ignored",
    )
    add("--output", metavar="FILE", help="write the predictions here (default: to the screen)")
    add("--json", action="store_true", help="a JSON object in each line instead of CSV")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="the probability of each class")
    kind.add_argument(
        "--threshold",
        type=float,
        metavar="P",
        help="choose the second of two classes above this probability (default: 0.5)",
    )


def run(a: argparse.Namespace) -> None:
    """Write a prediction for each row."""
    if a.output:
        check_writable("--output", a.output, a.model, a.table)
    model = storage.load(a.model)
    if model.task == "regression" and (a.proba or a.threshold is not None):
        option, what = (
            ("--proba", "there are no probabilities") if a.proba else ("--threshold", "there is nothing to decide")
        )
        raise ValueError(f"{option}: {what} in regression; leave it out")
    if a.output:
        with naming(a.output), storage.written_whole(a.output, "x", encoding="utf-8", newline="") as file:
            _write(model, a, file)
    else:
        _write(model, a, sys.stdout)


def _write(model: Network | Ensemble, a: argparse.Namespace, file: Any) -> None:
    first = True
    for table in files.stream(a.table, text_names(model)):
        X = inputs(model, table)
        with table.naming_lines():
            predicted, names = _predictions(model, X, a)
        if a.json:
            file.writelines(_json_lines(predicted, names))
        else:
            file.write(files.to_csv(predicted, names, header=first))
        first = False


def text_names(model: Network | Ensemble) -> frozenset[str]:
    """Columns that are read as text."""
    return tables.text_names(*(net.columns for net in members(model)))


def inputs(model: Network | Ensemble, table: files.Table) -> Any:
    """Return what the model takes from the rows of a table."""
    if model.feature_names is not None:
        table.require(model.feature_names)
        return table.frame
    net = members(model)[0]
    if len(table.names) != net.sizes[0]:
        raise ValueError(
            f"{table.path}: the network takes {net.sizes[0]} columns, and does not know their names; got {len(table.names)} columns"
        )
    return table.numbers()


def _predictions(model: Network | Ensemble, X: Any, a: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return what is asked for, and the names of its columns."""
    predicted = (
        model.predict_proba(X)
        if a.proba
        else model.predict(X)
        if a.threshold is None
        else model.predict(X, a.threshold)
    )
    if predicted.ndim == 1:
        return predicted, ["prediction"]
    if a.proba and model.classes is not None:
        return predicted, [str(label) for label in model.classes.tolist()]
    return predicted, [f"prediction_{k}" for k in range(1, predicted.shape[1] + 1)]


def _json_lines(predicted: Any, names: list[str]) -> list[str]:
    rows = predicted.reshape(len(predicted), -1)
    if rows.dtype.kind == "f":
        rows = rows.astype(str).astype(float)  # 0.1 stays 0.1 in float32 too
    return [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows.tolist()]
