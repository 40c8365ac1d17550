"""A report on a training: a single HTML page that needs no other files and no internet."""

from __future__ import annotations

import io
import itertools
import os
import re
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import jinja2
import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from .. import plot, tables
from ..data.targets import targets_of
from ..model import storage, words
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables import encoders, frames, hints, text
from ..training.train import DEFAULTS
from .importance import permutation_importance
from .scores import baseline, scores

MOST_COLUMNS = 100  # in the table of columns
MOST_BARS = 30
MOST_ROWS = 2000  # on which importances are measured; of a wide table fewer, so that
MOST_NUMBERS = 10**9  # is the most numbers to compute with
REPEATS = 5
MISTAKES, MISTAKE_COLUMNS, LONGEST = 10, 12, 40
BINS = 12
MOST_VALUES = 3  # of an option in which the networks of an ensemble differ
ONE_SIDED = 0.8  # share of a class from which accuracy says little

# options whose default depends on the run
FILLED_IN = (
    *("hidden", "learning_rate", "schedule", "batch_size", "epochs", "validation", "patience", "encode"),
    *("seed", "threads"),
)

Pair = tuple[Any, ArrayLike]


@dataclass(frozen=True)
class _Part:
    """The training or validation rows: raw columns, and the targets as the user passed them."""

    name: str
    X: pd.DataFrame
    y: NDArray[Any]


@dataclass(frozen=True)
class _Picture:
    """A drawing as an SVG element, its width in inches; a large one does not shrink in a narrow window."""

    name: str
    caption: str
    svg: Markup
    width: float
    large: bool = False


@dataclass(frozen=True)
class _Bar:
    """A line of a bar chart: its label, its length in per cent of the longest one, and its value."""

    label: str
    length: float
    value: str


def write(
    path: str | os.PathLike[str],
    model: Network | Ensemble,
    training: Pair,
    validation: Pair | None,
    *,
    table: str,
    target: str,
) -> None:
    """
    Write the report on a training.

    Parameters
    ----------
    path : path
        The HTML file; an old one is replaced completely or not at all.
    model : Network or Ensemble
        As `fastbp.train` or `fastbp.ensemble` returned it.
    training, validation : pair of frame and array
        Raw columns and targets of the training and of the validation rows (None: there is no validation set). The index
        of the frames says where a row is found, and its name what it counts: lines of a file, for instance.
    table, target : str
        What the data and the target are called.

    Raises
    ------
    OSError
        The file cannot be written.
    ValueError
        Rows that do not fit the network.
    """
    net = members(model)[0]
    parts = [_part("training", training), *([] if validation is None else [_part("validation", validation)])]
    evaluated = parts[-1]
    measured = [(scores(model, part.X, part.y), baseline(net, parts[0].y, part.y)) for part in parts]
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined)
    environment.trim_blocks = environment.lstrip_blocks = True
    page = environment.from_string(resources.files(__package__).joinpath("report.html").read_text(encoding="utf-8"))
    scores_of_parts = [
        (_name(name), [_words(one.get(name)) for pair in measured for one in pair])
        for name in measured[0][0] | measured[-1][0]
    ]
    columns = _columns(net, parts)
    html = page.render(
        net=net,
        who="network" if isinstance(model, Network) else "ensemble",
        count=len(members(model)),
        table=table,
        target=target,
        parts=parts,
        evaluated=evaluated.name,
        summary=_summary(model, parts, table, target, measured[-1]),
        columns=columns[:MOST_COLUMNS],
        more_columns=len(columns) - MOST_COLUMNS,
        distributions=_distributions(net, np.concatenate([part.y for part in parts])),
        warnings=_warnings(net, parts),
        scores=scores_of_parts,
        baseline=_guess(net),
        pictures=_pictures(model, evaluated),
        repeats=REPEATS,
        importances=_importances(model, evaluated),
        score="R²" if net.task == "regression" else "accuracy",
        mistakes=_mistakes(model, evaluated),
        row_name=evaluated.X.index.name or "row",
        shown=[_words(name) for name in evaluated.X.columns[:MISTAKE_COLUMNS]],
        layers=list(zip(net.sizes, net.sizes[1:], net.layer_activations, strict=False)),
        kinds=words.layers(members(model)),
        options=_options(model),
    )
    storage.write_atomically(path, html.encode("utf-8", "replace"))


def _part(name: str, pair: Pair) -> _Part:
    X, y = pair
    if not isinstance(X, pd.DataFrame):
        X = pd.DataFrame(X, columns=[f"x{k + 1}" for k in range(np.shape(X)[1])])
    return _Part(name, X, np.asarray(y))


def _words(value: Any) -> str:
    """Any value of a table as short text."""
    if isinstance(value, float | np.floating):
        return "–" if np.isnan(value) else f"{value:.4g}"
    if isinstance(value, list | tuple | np.ndarray):
        return ", ".join(map(_words, value)) or "none"
    if value is None or value is pd.NA or value is pd.NaT:
        return "–"
    words = " ".join(str(value).split())
    return words if len(words) <= LONGEST else words[: LONGEST - 1] + "…"


def _name(score: str) -> str:
    return score.replace("^2", "²")


def _summary(
    model: Network | Ensemble,
    parts: list[_Part],
    table: str,
    target: str,
    measured: tuple[dict[str, float], dict[str, float]],
) -> str:
    net, several = members(model)[0], len(members(model)) > 1
    read, there = len(_encoded(net, parts[0]).names), parts[0].X.shape[1]
    of = f"{read} of the {there} columns" if read < there else f"the {there} columns" if there > 1 else "the column"
    rows = f"{'They were' if several else 'It was'} trained on {len(parts[0].y)} rows"
    if parts[1:]:
        untouched = ", and nothing was chosen on them" if "quality" in model.options else ""
        rows += f"; {len(parts[1].y)} rows were set aside for validation{untouched}"
    name, score = next(iter(measured[0].items()))
    guess = measured[1][name]
    worse = guess <= score if name in ("MAE", "RMSE") else guess >= score
    verdict = f": the {'ensemble' if several else 'network'} is no better than that" if worse else ""
    who = f"The {len(members(model))} networks predict" if several else "The network predicts"
    return (
        f"{who} {target} {'together ' if several else ''}from {of} of {table} ({net.task}). {rows}. "
        f"On the {parts[-1].name} rows, {'their' if several else 'its'} {_name(name)} is {score:.3g}. "
        f"The baseline, which {_guess(net)}, has {guess:.3g}{verdict}. {_pilots(model)}{_end(model)}"
    )


def _pilots(model: Network | Ensemble) -> str:
    """How the number of epochs was found, if pilots found it."""
    if "pilots" not in model.options:
        return ""
    if words.are_pilots(model):
        return (
            "The training ended before a network had learnt from all of the training rows: this is the result of the "
            "pilots, which learn from a part of them, to find out how long to train. "
        )
    return (
        f"How long to train was found out with {model.options['pilots']} further networks, the pilots: each learnt "
        "from a part of the training rows, and its validation loss was measured on the others; in the best epochs it "
        f"was {model.options['pilot_loss']:.3g} on average. "
    )


def _end(model: Network | Ensemble) -> str:
    """When and why training stopped, and which weights were kept."""
    nets = members(model)
    epochs = words.epochs(nets)
    reasons = " or ".join(dict.fromkeys(words.STOP_REASONS[net.stop_reason] for net in nets))
    if isinstance(model, Network):
        kept = f"; the weights kept are those of epoch {model.best_epoch}" if str(model.best_epoch) != epochs else ""
        more = f" It was still getting better: {words.MORE_MAY_HELP}." if words.was_improving(model) else ""
        return f"Training stopped after epoch {epochs}: {reasons}{kept}.{more}"
    early = any(net.best_epoch != len(net.history.get("loss", ())) for net in nets)
    kept = "; the weights kept are those of each network's best epoch" if early else ""
    improving = sum(map(words.was_improving, nets))
    more = f" {improving} of them were still getting better: {words.MORE_MAY_HELP}." if improving else ""
    return f"The training of each network stopped after {epochs} epochs: {reasons}{kept}.{more}"


def _guess(net: Network) -> str:
    if net.task == "classification":
        return "always predicts the most frequent class"
    if net.task == "multilabel":
        return "always predicts the frequency of each label"
    return f"always predicts the {'quantiles' if net.loss == 'quantile' else 'mean'} of the training rows"


def _encoded(net: Network, part: _Part) -> tables.Columns:
    names = [str(name) for name in part.X]
    if net.columns is None:
        return tables.plain_columns(names, [0.0] * len(names))
    return net.columns if net.columns.named else net.columns.called(names)


def _columns(net: Network, parts: list[_Part]) -> list[dict[str, Any]]:
    """How each raw column is used, and what its values are like."""
    frame, encoded = pd.concat([part.X for part in parts]), _encoded(net, parts[0])
    forms = {encoder.name: encoder.format for encoder in encoded.encoders if isinstance(encoder, encoders.Date)}
    rows = []
    for row in encoded.rows:
        column = frames.read(frame, row.name)
        missing = column.missing.mean()
        values = _describe(column, row.kind, forms.get(row.name))
        rows.append({"row": row, "missing": f"{missing:.1%}" if missing else "", "values": values})
    return rows


def _describe(column: frames.Column, kind: str, form: str | None) -> str:
    """The range of numbers and dates; else the most frequent values."""
    values = column.values
    if column.kind == "text":
        words: NDArray[Any] = column.words
        empty: Any = None
        if kind == "number":
            words, empty = text.read_number(words), np.nan
        elif kind == "date":
            words, empty = text.read_date(words, form or "ISO"), np.datetime64("NaT", "us")
        values = column.each(words, empty)
    there = pd.Series(values).dropna()
    if there.empty:
        return ""
    if there.dtype.kind == "f" and column.kind != "boolean":
        return f"{there.min():.4g} to {there.max():.4g}, median {there.median():.4g}"
    if there.dtype.kind == "M":
        return f"{there.min():%Y-%m-%d} to {there.max():%Y-%m-%d}"
    counts = (there.map({0.0: "no", 1.0: "yes"}) if column.kind == "boolean" else there).value_counts()
    more = f", … ({len(counts)} different)" if len(counts) > 3 else ""
    return ", ".join(f"{_words(value)} ({count})" for value, count in counts[:3].items()) + more


def _distributions(net: Network, y: NDArray[Any]) -> list[tuple[str, list[_Bar]]]:
    """Bar charts of the targets."""
    known = targets_of(net, y, "auto", len(y))
    if net.classes is not None:
        counts = np.bincount(known.values, minlength=known.outputs)
        return [("Rows of each class", _bars(list(map(_words, net.classes.tolist())), counts))]
    columns = known.values.T
    if net.task == "multilabel":
        labels = [f"label {k + 1}" for k in range(len(columns))]
        return [("Rows that have each label", _bars(labels, known.values.sum(axis=0)))]
    charts = []
    for k, column in enumerate(columns):
        counts, edges = np.histogram(column.astype(np.float64), BINS)
        title = "Rows by the value of the target" + (f", output {k + 1}" if len(columns) > 1 else "")
        charts.append((title, _bars([f"{a:.4g} to {b:.4g}" for a, b in itertools.pairwise(edges)], counts)))
    return charts


def _bars(labels: Sequence[str], counts: NDArray[Any]) -> list[_Bar]:
    """A bar for each of the most frequent labels, in their order, and one for the rest."""
    kept = np.sort(np.argsort(-counts, kind="stable")[:MOST_BARS])
    bars = [(labels[k], int(counts[k])) for k in kept]
    if len(labels) > len(kept):
        bars.append((f"{len(labels) - len(kept)} others", int(counts.sum() - counts[kept].sum())))
    longest = max(count for _, count in bars) or 1
    return [_Bar(label, 100 * count / longest, str(count)) for label, count in bars]


def _warnings(net: Network, parts: list[_Part]) -> list[str]:
    """What to keep in mind when reading the rest."""
    alone = "No rows were set aside: all scores are of the training rows, and flatter the network."
    texts = [] if parts[1:] else [alone]
    known = targets_of(net, parts[0].y, "auto", len(parts[0].y)).values
    if net.task == "regression":
        return texts + [f"{warning[0].upper()}{warning[1:]}." for warning in map(hints.skewed, known.T) if warning]
    if net.classes is not None:
        shares = np.bincount(known) / len(known)
        if shares.max() >= ONE_SIDED:
            label = _words(net.classes.tolist()[int(shares.argmax())])
            one_sided = f"The target is one-sided: {shares.max():.0%} of the rows are of the class {label}."
            texts.append(f"{one_sided} Accuracy says little then.")
    return texts


def _pictures(model: Network | Ensemble, part: _Part) -> list[_Picture]:
    pictures = []
    if all(len(net.history.get("loss", ())) for net in members(model)):
        curves = _svg("curves", (5.2, 3.8), lambda ax: plot.learning_curves(model, ax))
        pictures.append(_Picture("curves", "Loss over the epochs, and where training stopped", curves, 5.2))
    if model.classes is not None:
        fields = min(len(model.classes), plot.outcome.MOST_CLASSES + 1)
        size = 1.2 + max(2.6, 0.4 * fields)
        matrix = _svg("confusion", (size, size), lambda ax: plot.confusion(model, part.X, part.y, ax))
        caption = f"Confusion matrix of the {part.name} rows: number and share of each true class"
        pictures.append(_Picture("confusion", caption, matrix, size, fields > 8))
    elif model.task == "regression":
        points = _svg("predicted", (4.2, 4.2), lambda ax: plot.predicted(model, part.X, part.y, ax))
        pictures.append(_Picture("predicted", f"Predicted against true numbers of the {part.name} rows", points, 4.2))
    return pictures


def _svg(name: str, size: tuple[float, float], draw: Callable[[Axes], object]) -> Markup:
    """A picture as an SVG element, without pyplot, so that the user's figures and settings stay as they are."""
    file = io.StringIO()
    settings: dict[Any, Any] = {"svg.hashsalt": name, "svg.fonttype": "none"}  # the same ids in each run; text as text
    with mpl.style.context(["default", settings]), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")  # the browser has other fonts
        figure = Figure(size, layout="constrained")
        draw(figure.subplots())
        figure.savefig(file, format="svg", dpi=200, metadata={"Date": None})
    svg = file.getvalue()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    # Ids must differ from those of the other pictures; the page has the namespaces.
    svg = re.sub(r"<[^>]*>", lambda tag: re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}-", tag[0]), svg)
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
    return Markup(svg.replace("<svg", f'<svg role="img" aria-labelledby="{name}-caption"', 1))


def _importances(model: Network | Ensemble, part: _Part) -> list[_Bar]:
    net = members(model)[0]
    width = len(members(model)) * net.sizes[0] * len(_encoded(net, part).names)
    count = min(len(part.y), MOST_ROWS, max(100, MOST_NUMBERS // (REPEATS * width)))
    seed = model.options.get("seed")
    rows = np.sort(np.random.default_rng(seed).permutation(len(part.y))[:count])
    found = permutation_importance(model, part.X.iloc[rows], part.y[rows], repeats=REPEATS, seed=seed)[:MOST_BARS]
    longest = max(found[0].mean, 1e-9)
    return [
        _Bar(_words(one.name), 100 * max(one.mean, 0) / longest, f"{round(one.mean, 3) + 0:.3f} ± {one.deviation:.3f}")
        for one in found
    ]


def _mistakes(model: Network | Ensemble, part: _Part) -> list[dict[str, Any]]:
    """The worst rows: those with the lowest probability of the true class (labels), or the largest errors."""
    net = members(model)[0]
    true, predicted = targets_of(net, part.y, "auto", len(part.y)).values, model.predict(part.X)
    if net.task == "regression":
        predicted = predicted.reshape(len(true), -1)[:, net.central]
        badness = np.abs(predicted.astype(np.float64) - true).mean(axis=1)
        measure, wrong = badness, np.ones(len(true), bool)
    else:
        proba = model.predict_proba(part.X)
        if net.classes is not None:
            measure, wrong = proba[np.arange(len(true)), true], predicted != net.classes[true]
            true = net.classes[true]
        else:
            measure, wrong = np.where(true, proba, 1 - proba).prod(axis=1), (predicted != true).any(axis=1)
        badness = -measure
    order = np.argsort(-badness, kind="stable")
    return [
        {
            "row": part.X.index[k],
            "true": _words(true[k]),
            "predicted": _words(predicted[k]),
            "measure": _words(measure[k]),
            "cells": [_words(value) for value in part.X.iloc[k, :MISTAKE_COLUMNS]],
        }
        for k in order[wrong[order]][:MISTAKES]
    ]


def _options(model: Network | Ensemble) -> list[tuple[str, str, str]]:
    """Name, value and default of each option: of an ensemble, its own and those of its networks."""
    options, nets = {name: _words(value) for name, value in model.options.items()}, members(model)
    for name in nets[0].options:
        values = list(dict.fromkeys(_words(net.options.get(name)) for net in nets))
        options.setdefault(name, " or ".join(values) if len(values) <= MOST_VALUES else "different ones")
    defaults = {name: _words(value) for name, value in DEFAULTS.items()} | dict.fromkeys(FILLED_IN, "auto")
    return [(name, value, defaults.get(name, "")) for name, value in options.items()]
