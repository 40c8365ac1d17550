"""Prints results: names on the left, values on the right, in columns."""

from __future__ import annotations

from collections.abc import Sequence

from ..model import words
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables import Columns

MOST_COLUMNS = 30


def show(rows: Sequence[tuple[str, str]]) -> None:
    """Print names and values."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")


def first_ones(values: Sequence[object]) -> str:
    """The first values, and how many there are."""
    return ", ".join(map(str, values[:10])) + (f", ... ({len(values)} in all)" if len(values) > 10 else "")


def show_columns(columns: Columns) -> None:
    """Print what became of each column, and an empty line."""
    lines = str(columns).splitlines()
    print("\n".join(lines[: MOST_COLUMNS + 1]))
    if len(lines) > MOST_COLUMNS + 1:
        print(f"... and {len(lines) - MOST_COLUMNS - 1} more")
    print()


def show_scores(parts: Sequence[tuple[str, int, dict[str, float], dict[str, float]]]) -> None:
    """Print a table of scores; for each part its name, its number of rows, its scores and those of the baseline."""
    columns = [scores for *_, model, baseline in parts for scores in (model, baseline)]
    table = [["", *(cell for part, rows, _, _ in parts for cell in (f"{part} ({rows})", "baseline"))]]
    for name in dict.fromkeys(name for _, _, model, _ in parts for name in model):
        table.append([name, *(_number(scores[name]) if name in scores else "-" for scores in columns)])
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for first, *rest in table:
        cells = [f"{cell:>{width}}" for cell, width in zip(rest, widths[1:], strict=True)]
        print("  ".join([f"{first:{widths[0]}}", *cells]))


def _number(score: float) -> str:
    if abs(score) >= 1000:
        return f"{score:.0f}"
    return f"{score:.4f}" if abs(score) >= 0.01 or score == 0 else f"{score:.3g}"


def summary(model: Network | Ensemble) -> list[tuple[str, str]]:
    """A model and its training."""
    net = members(model)[0]
    kinds = words.layers(members(model))
    shown = [text if len(kinds) == 1 else f"{text} ({count} of the networks)" for text, _, count in kinds]
    sizes = sorted({parameters for _, parameters, _ in kinds})
    parameters = str(sizes[0]) if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    epochs = len(net.history.get("loss", ()))
    best = f", the best was {net.best_epoch}" if net.best_epoch != epochs else ""

    rows = [
        ("task", net.task),
        *(("layers", text) for text in shown),
        ("parameters", f"{parameters} ({net.dtype})" + " in each network" * isinstance(model, Ensemble)),
    ]
    if net.classes is not None:
        rows.append(("classes", first_ones(net.classes.tolist())))
    rows.append(("loss", net.loss))
    rows += _quality(model)
    if isinstance(model, Ensemble):
        drawn = ", trained on rows drawn with replacement" if model.options.get("bootstrap") else ""
        seconds = sum(each.train_seconds for each in model.networks)
        ensemble = ("ensemble", f"{len(model.networks)} networks{drawn}")
        done = ("epochs", f"{words.epochs(model.networks)} of each network")
        return [ensemble, *rows, done, ("seconds", f"{seconds:.2f} to train, summed over the networks")]
    return [
        *rows,
        ("epochs", f"{epochs} of {net.options.get('epochs', epochs)}{best}"),
        ("stopped", words.why_stopped(net)),
        ("seconds", f"{net.train_seconds:.2f} to train, {net.compile_seconds:.2f} to compile or load kernels"),
    ]


def _quality(model: Network | Ensemble) -> list[tuple[str, str]]:
    """The quality of the training, and what its pilots have found; nothing of a single run."""
    options = model.options
    rows = [("quality", str(options["quality"]))] if "quality" in options else []
    if "pilots" in options:
        found = "which are the result" if words.are_pilots(model) else "which found the number of epochs"
        loss = f"their validation loss was {options['pilot_loss']:.4g}"
        rows.append(("pilots", f"{options['pilots']} networks, {found}; {loss}"))
    return rows
