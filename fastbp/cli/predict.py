"""`fastbp predict`: reads a table and writes predictions, piece by piece."""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from .. import tables
from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables import files
from ..tables.raw_inputs import Inputs
from . import reading
from .outputs import check_writable, naming


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    add = command.add_argument
    add("model", metavar="MODEL", help="a file saved by fastbp train")
    add("table", metavar="TABLE", help=f"{reading.TABLE}; columns are found by name, others are ignored")
    reading.add_format(lambda name, text, **settings: add(name, help=text, **settings), missing=False)
    add("--strict", action="store_true", help="a cell that cannot be read as in training is an error, not a warning")
    add("--output", metavar="FILE", help="write the predictions here (default: to the screen)")
    add("--json", action="store_true", help="write one JSON object per line instead of CSV")
    kind = command.add_mutually_exclusive_group()
    kind.add_argument("--proba", action="store_true", help="write the probability of each class")
    interval = "write the bounds of the interval that has a target with this probability (with optimizer bayesian)"
    kind.add_argument("--interval", type=float, metavar="P", help=interval)
    threshold = "choose the second of two classes above this probability (default: 0.5)"
    kind.add_argument("--threshold", type=float, metavar="P", help=threshold)


def run(args: argparse.Namespace) -> None:
    """Write a prediction for each row."""
    if args.output:
        check_writable("--output", args.output, args.model, args.table)
    model = storage.load(args.model)
    if model.task == "regression" and args.proba:
        raise ValueError("--proba: there are no probabilities in regression; leave it out")
    if model.task == "regression" and args.threshold is not None:
        raise ValueError("--threshold: there is nothing to decide in regression; leave it out")
    if args.output:
        with naming(args.output), storage.written_whole(args.output, "x", encoding="utf-8", newline="") as file:
            _write(model, args, file)
    else:
        _write(model, args, sys.stdout)


def _write(model: Network | Ensemble, args: argparse.Namespace, file: Any) -> None:
    first, notes, not_read = True, set[str](), dict[str, tables.Unread]()
    missing = next((net.columns.missing for net in members(model) if net.columns is not None), None)
    for table in files.stream(args.table, text_names(model), reading.chosen(args, missing)):
        if not notes.issuperset(table.notes):
            reading.show_notes(table)
            notes |= set(table.notes)
        X = inputs(model, table)
        handling = tables.strict() if args.strict else tables.gathered()
        with table.naming_lines(), handling as found:
            predicted, names = _predictions(model, X, args)
        for one in found or ():
            known = not_read.get(one.column)
            placed = replace(one, row=table.place(int(one.row)))
            not_read[one.column] = placed if known is None else replace(known, count=known.count + one.count)
        if args.json:
            file.writelines(_json_lines(predicted, names))
        else:
            file.write(files.to_csv(predicted, names, header=first))
        first = False
    if not_read:
        text = tables.message(list(not_read.values()))
        warnings.warn(f"{args.table}: {text}", tables.TableWarning, stacklevel=2)


def text_names(model: Network | Ensemble) -> frozenset[str]:
    """Names of the columns that are read as text."""
    return tables.text_names(*(net.columns for net in members(model)))


def inputs(model: Network | Ensemble, table: files.Table) -> Any:
    """Return the inputs of the model from the rows of a table."""
    if model.feature_names is not None:
        table.require(model.feature_names)
        return table.frame
    expected, got = Inputs.of(members(model)[0]).count, len(table.names)
    if got != expected:
        raise ValueError(f"{table.path}: expected {expected} columns, as in training without column names, got {got}")
    return table.numbers()


def _predictions(model: Network | Ensemble, X: Any, args: argparse.Namespace) -> tuple[Any, list[str]]:
    """Return predictions or probabilities, and the names of their columns."""
    if args.interval is not None:
        bounds = np.array([model.predict(X), *model.predict_interval(X, args.interval)])
        predicted = np.moveaxis(bounds, 0, -1).reshape(len(bounds[0]), -1)
        ends = [""] if bounds.ndim == 2 else [f"_{k}" for k in range(1, bounds.shape[-1] + 1)]
        return predicted, [name + end for end in ends for name in ("prediction", "low", "high")]
    if args.proba:
        predicted = model.predict_proba(X)
    else:
        predicted = model.predict(X) if args.threshold is None else model.predict(X, args.threshold)
    if predicted.ndim == 1:
        return predicted, ["prediction"]
    if args.proba and model.classes is not None:
        return predicted, [str(label) for label in model.classes.tolist()]
    return predicted, [f"prediction_{k}" for k in range(1, predicted.shape[1] + 1)]


def _json_lines(predicted: Any, names: list[str]) -> list[str]:
    rows = predicted.reshape(len(predicted), -1)
    if rows.dtype.kind == "f":
        rows = rows.astype(str).astype(float)  # 0.1 in float32 is written as 0.1
    return [json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) + "\n" for row in rows.tolist()]
