"""
Makes the test files of a format: `PYTHONPATH=CHECKOUT python tests/models/make.py`, with the code of that format.

CHECKOUT is a checkout of the last commit that wrote the format, outside of this repository, with a link
`fastbp/kernels` to its folder `kernels`. The files are written next to this one, and their predictions, by the same
code, into predictions.json; a file that is there already stays as it is. samples.json has the samples: those of a
checkpoint must not change, because it holds a digest of them.
"""

import contextlib
import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

import fastbp

HERE = Path(__file__).parent
SAMPLES = json.loads((HERE / "samples.json").read_text())
X, Y = np.array(SAMPLES["array"]["X"]), np.array(SAMPLES["array"]["y"])
FRAME, TARGETS = pd.DataFrame(SAMPLES["table"]["X"]), np.array(SAMPLES["table"]["y"])
CLASSES = np.array(["hi", "lo", "mid"])[np.digitize(Y, [-1.0, 1.0])]
DAYS = np.where(Y > 0, "2024-02-29", "1969-12-31").astype("datetime64[D]")
SEED = {"seed": 0, "progress": False}
PLAN = {"hidden": 4, "epochs": 5, **SEED}
RUN = PLAN | {"validation": 0.2}
# The table has no hidden layers, for which the defaults have changed most.
OWN = {"array": {"dropout": 0.1}, "table": {"hidden": ()}}


class BrokenOffError(Exception):
    """Ends a training."""


def networks():
    """Models of every kind, with their names and some samples."""
    plan = SEED | {"epochs": 5, "hidden": (4, 3)}
    yield "classes", fastbp.train(X, CLASSES, **plan, activation=("selu", "softplus"), dtype="float64"), X
    yield "dates", fastbp.train(X, DAYS, **plan, activation=("tanh", "elu")), X
    yield "labels", fastbp.train(X, (X > 0).astype(int), **plan, task="multilabel", activation=("silu", "logistic")), X
    yield "regression", fastbp.train(X, np.stack([Y, Y**2], axis=1), **plan, activation=("gelu", "mish")), X
    if hasattr(fastbp, "ensemble"):  # from format 4 on
        yield "ensemble", fastbp.ensemble(X, CLASSES, n=2, **PLAN), X
        yield "table-ensemble", fastbp.ensemble(FRAME, TARGETS, n=2, bootstrap=True, **PLAN), FRAME


def predictions(model, given):
    """What the model says about the first four samples, as JSON."""
    rows = model.predict(given[:4]) if model.task == "regression" else model.predict_proba(given[:4])
    few = X[:4].tolist() if given is X else {name: values[:4] for name, values in SAMPLES["table"]["X"].items()}
    labels = {} if model.classes is None else {"classes": model.classes.astype(str).tolist()}
    return {"given": few} | labels | {"predict" if model.task == "regression" else "predict_proba": rows.tolist()}


def checkpoint(path, given):
    """Write a checkpoint after three of five epochs; returns what it predicts, and what it should at the end."""

    which, y = ("array", Y) if given is X else ("table", TARGETS)
    options = RUN | OWN[which]

    def stop(seen):
        if seen.epoch == 3:
            raise BrokenOffError

    with contextlib.suppress(BrokenOffError):
        fastbp.train(given, y, **options, callback=stop, checkpoint=path, checkpoint_every=1)
    so_far = fastbp.load(path).predict(given[:4]).tolist()
    end = predictions(fastbp.train(given, y, **options), given)
    return {"resume": which, "so_far": so_far} | end


def format_of(path):
    """The format of a file."""
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return json.loads(header["__metadata__"]["fastbp"])["format"]


def main(folder):
    """Make the files that are missing; `folder` holds them until their names are known."""
    path, made = folder / "new.fbp", []

    def keep(what, predicted):
        name = f"{format_of(path)}-{what}.fbp"
        if name not in known:
            known[name] = predicted
            shutil.copy(path, HERE / name)
            made.append(name)
        path.unlink()

    known = json.loads((HERE / "predictions.json").read_text())
    for what, model, given in networks():
        model.save(path)
        keep(what, predictions(model, given))
    if hasattr(fastbp, "resume"):  # from format 3 on
        keep("checkpoint", checkpoint(path, X))
        keep("table-checkpoint", checkpoint(path, FRAME))
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(known[name])}" for name in sorted(known))
    (HERE / "predictions.json").write_text("{\n" + lines + "\n}\n")
    print(f"{fastbp.__file__}: made {', '.join(made) or 'nothing'}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary))
