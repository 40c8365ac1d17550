"""`fastbp info`: shows what is in a model file."""

from __future__ import annotations

import argparse
import json
import math
from typing import Any

from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from . import show


def add_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of the command."""
    command.add_argument("model", metavar="MODEL", help="a file saved by fastbp train")
    command.add_argument(
        "--verify", action="store_true", help="compute predictions again, and compare them with those when it was saved"
    )
    command.add_argument("--json", action="store_true", help="one JSON object instead of tables")


def run(args: argparse.Namespace) -> None:
    """Print the network, its columns and its options; for an ensemble, those of its first network."""
    model, digests = storage.verify(args.model) if args.verify else (storage.load(args.model), [])
    net = members(model)[0]
    if args.json:
        print(json.dumps(facts(model) | ({"verified": digests} if args.verify else {})))
        return
    if net.columns is not None:
        show.show_columns(net.columns)
    rows = show.summary(model)
    if model.feature_names is not None:
        rows.append(("features", show.first_ones(model.feature_names)))
    if "validation_score" in model.options:
        score = "R^2" if model.task == "regression" else "accuracy"
        rows.append(("validation", f"{score} {model.options['validation_score']:.4f}"))
    if isinstance(model, Ensemble):
        rows.append(("seed", str(model.options.get("seed", "-"))))
    else:
        best = [f"{key} {value:.4g}" for key, value in _best_epoch(net).items()]
        rows.append((f"epoch {net.best_epoch}", ", ".join(best)))
    if args.verify:
        rows.append(("verified", f"predictions as when it was saved (SHA-256 {show.first_ones(digests)})"))
    show.show(rows)
    print("\noptions of the first network" if isinstance(model, Ensemble) else "\noptions")
    show.show([(f"  {key}", _option(value)) for key, value in net.options.items()])


def facts(model: Network | Ensemble) -> dict[str, Any]:
    """A model, its training and its columns, as values for JSON."""
    if isinstance(model, Ensemble):
        return {"task": model.task, "ensemble": dict(model.options), "networks": list(map(facts, model.networks))}
    net = model
    rows = net.columns.rows if net.columns is not None else ()
    columns = [{"name": row.name, "kind": row.kind, "inputs": row.inputs, "note": row.note} for row in rows]
    best = {key: value for key, value in _best_epoch(net).items() if math.isfinite(value)}  # JSON has no NaN
    return {
        "task": net.task,
        "sizes": net.sizes,
        "activations": net.layer_activations,
        "loss": net.loss,
        "parameters": len(net.params),
        "classes": None if net.classes is None else net.classes.tolist(),
        "columns": columns,
        "epochs": len(net.history.get("loss", ())),
        "best_epoch": net.best_epoch,
        "at_best_epoch": best,
        "stop_reason": net.stop_reason,
        "train_seconds": net.train_seconds,
        "compile_seconds": net.compile_seconds,
        "seed": net.options.get("seed"),
        "options": dict(net.options),
    }


def _best_epoch(net: Network) -> dict[str, float]:
    found = {key: values[net.best_epoch - 1] for key, values in net.history.items() if len(values) and key != "seconds"}
    return {key.replace("_", " "): float(value) for key, value in found.items()}


def _option(value: object) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) or "none" if isinstance(value, list) else str(value)
