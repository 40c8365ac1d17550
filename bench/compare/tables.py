"""
Raw tables: how wrong fastbp's defaults are and how long they take, beside gradient boosting and scikit-learn's MLP.

Run ``python bench/compare/tables.py FOLDER`` with the packages of ``pip install -e ".[peers]"``; missing packages are
skipped. The folder has tables NAME.csv.gz, each with NAME.json: its ``target``, and its ``task``, ``"classification"``
or ``"regression"``. Of each, at most ``--rows`` rows are drawn, and split several times into four fifths to train on
and a fifth to test on. The models take turns on every split, with a pause before each, on two threads. All run with the
defaults of their libraries; fastbp at each quality.

Errors are divided by those of scikit-learn's HistGradientBoosting on the same split: the share of wrong classes and the
log-loss, or the root mean squared error. Prints a Markdown table of their geometric means over the tables, then of each
table; a win or a loss counts where the difference exceeds two standard errors over the splits.
"""

import argparse
import gc
import json
import os
import sys
import time
import warnings
from importlib.util import find_spec
from pathlib import Path
from statistics import median

os.environ.setdefault("OMP_NUM_THREADS", "2")
sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "candidates"))

import numpy as np
import pandas as pd
from peers import PAUSE, header, machine, row
from table_models import MODELS, outcome

BASE = "HistGradientBoosting"
MEASURES = {"classification": ("accuracy error", "log-loss"), "regression": ("RMSE",)}


def read(path, rows):
    """The raw columns of a table, its target, and its task."""
    about = json.loads(path.read_text())
    frame = pd.read_csv(path.with_suffix(".csv.gz"))
    if len(frame) > rows:
        frame = frame.sample(rows, random_state=0)
    frame = frame[frame[about["target"]].notna()].reset_index(drop=True)
    y = frame.pop(about["target"])
    if about["task"] == "classification":
        return frame, pd.factorize(y, sort=True)[0], about["task"]
    return frame, y.to_numpy(np.float64), about["task"]


def split(y, task, seed):
    """Numbers of the rows to train on and to test on; of each class a fifth."""
    from sklearn.model_selection import train_test_split

    stratify = y if task == "classification" else None
    return train_test_split(np.arange(len(y)), test_size=0.2, random_state=seed, stratify=stratify)


def errors(found, y, task):
    """The errors of a model, in the order of `MEASURES`."""
    if task == "regression":
        return (float(np.sqrt(np.mean((found - y) ** 2))),)
    wrong = max(np.mean(found.argmax(axis=1) != y), 0.5 / len(y))  # so that ratios of perfect models exist
    sure = np.clip(found[np.arange(len(y)), y], 1e-7, 1)
    return float(wrong), float(-np.log(sure).mean())


def measure(frame, y, task, name, seed):
    """Errors, and seconds from raw rows to predictions of raw rows."""
    train, test = split(y, task, seed)
    X, X_test = frame.iloc[train].reset_index(drop=True), frame.iloc[test].reset_index(drop=True)
    gc.collect()
    time.sleep(PAUSE)
    started = time.perf_counter()
    found = outcome(name, X, y[train], X_test, task, seed)
    return *errors(found, y[test], task), time.perf_counter() - started


def compared(found, splits):
    """
    Ratios of each model's errors and times to the base's, by model and measure: (ratio, its standard error).

    `found` has (errors..., seconds) by model and split.
    """
    base = np.array(found[BASE])
    ratios = {}
    for name, values in found.items():
        values = np.array(values)
        difference = (values - base) / base.mean(axis=0)
        error = difference.std(axis=0, ddof=1) / np.sqrt(splits) if splits > 1 else np.full(base.shape[1], np.nan)
        ratio = values.mean(axis=0) / base.mean(axis=0)
        ratio[-1] = median(values[:, -1]) / median(base[:, -1])
        ratios[name] = list(zip(ratio, error, strict=True))
    return ratios


def geometric(values):
    return f"{np.exp(np.mean(np.log(values))):.3f}" if values else ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=8000)
    parser.add_argument("--splits", type=int, default=5)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--tables", nargs="+", help="names of tables; by default all of the folder")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    names = [name for name in dict.fromkeys([BASE, *args.models]) if find_spec(MODELS[name][0])]
    paths = sorted(path for path in args.folder.glob("*.json") if not args.tables or path.stem in args.tables)
    print(f"{machine()}; at most {args.rows} rows, {args.splits} splits, 2 threads\n", flush=True)
    header("table", "model", *("accuracy error", "log-loss", "RMSE"), "seconds, times HistGradientBoosting's")
    whole = {name: {} for name in names}  # ratios by measure, over the tables
    clear = {name: [0, 0] for name in names}
    for path in paths:
        frame, y, task = read(path, args.rows)
        found = {name: [] for name in names}
        some = np.linspace(0, len(y) - 1, 200).astype(int)
        for name in names:  # compiles, and loads libraries
            outcome(name, frame.iloc[some], y[some], frame[:10], task, 0)
        for seed in range(args.splits):
            for name in names[seed % len(names) :] + names[: seed % len(names)]:
                found[name].append(measure(frame, y, task, name, seed))
        for name, ratios in compared(found, args.splits).items():
            cells = dict.fromkeys(("accuracy error", "log-loss", "RMSE"), "")
            for measure_name, (ratio, error) in zip(MEASURES[task], ratios[:-1], strict=True):
                cells[measure_name] = f"{ratio:.3f} ± {error:.3f}"
                whole[name].setdefault(measure_name, []).append(ratio)
            ratio, error = ratios[len(MEASURES[task]) - 1]
            clear[name][0] += ratio < 1 - 2 * error
            clear[name][1] += ratio > 1 + 2 * error
            whole[name].setdefault("seconds", []).append(ratios[-1][0])
            row(path.stem, name, *cells.values(), f"{ratios[-1][0]:.2f}")
        sys.stdout.flush()
    print()
    header("model", "accuracy error", "log-loss", "RMSE", "seconds", "clear wins", "clear losses")
    for name in names:
        means = [geometric(whole[name].get(key)) for key in ("accuracy error", "log-loss", "RMSE", "seconds")]
        row(name, *means, *map(str, clear[name]))


if __name__ == "__main__":
    main()
