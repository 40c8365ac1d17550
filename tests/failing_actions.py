"""What is attacked: actions that return what must be equal, and checks of the files that they leave."""

import contextlib
import hashlib
import io
import os
import warnings
from pathlib import Path

import numpy as np

import fastbp
from fastbp import cli

warnings.simplefilter("error", RuntimeWarning)  # they say what went wrong
X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] * X[:, 1]
PLAN = {"seed": 0, "epochs": 3, "hidden": (4,), "progress": False, "threads": 1}
NET = fastbp.train(X, Y, **PLAN)
CLASSIFIER = fastbp.train(X, np.digitize(Y, [-0.3, 0.3]), **PLAN)
OTHER = fastbp.train(X, Y, **PLAN | {"seed": 1})
NET.save("kept.fbp")
Path("table.csv").write_text("a,b,y\n" + "".join(f"{k % 7},{k % 5},{k % 7 * (k % 5)}\n" for k in range(60)))


def digest(*arrays):
    return hashlib.sha256(b"".join(np.ascontiguousarray(a).tobytes() for a in arrays)).hexdigest()


def of_files(*names):
    return hashlib.sha256(b"".join(Path(name).read_bytes() for name in names)).hexdigest()


def train():
    net = fastbp.train(X, Y, **PLAN, validation=0.2, callback=lambda epoch: None)
    return lambda: digest(net.params)


def samplewise():
    net = fastbp.train(X, Y, **PLAN, optimizer="sgd", batch_size=1)
    return lambda: digest(net.params)


def damped():
    net = fastbp.train(X, Y, **PLAN, optimizer="lm")
    return lambda: digest(net.params)


def checkpoint():
    with contextlib.suppress(FileNotFoundError):
        os.unlink("run.fbp")
    fastbp.train(X, Y, **PLAN, checkpoint="run.fbp", checkpoint_every=1)
    net = fastbp.resume("run.fbp", X, Y, progress=False)
    return lambda: digest(net.params)


def save():
    OTHER.save("kept.fbp")
    return lambda: digest(fastbp.load("kept.fbp").params)


def load():
    net = fastbp.load("kept.fbp")
    return lambda: digest(net.params)


def predict():
    found = NET.predict(X), NET.predict(X[:2]), CLASSIFIER.predict_proba(X), CLASSIFIER.predict(X)
    return lambda: digest(*found)


def export():
    NET.to_numpy("net_.py")
    return lambda: of_files("net_.py")


def command():
    said = io.StringIO()
    train = ["train", "table.csv", "--target", "y", "--save", "cli.fbp", "--epochs", "3", "--seed", "1", "--quiet"]
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        status = cli.main(train) or cli.main(["predict", "cli.fbp", "table.csv", "--output", "out.csv"])
    if status:
        text = said.getvalue()
        assert text.count("fastbp: error: ") == 1, text
        assert "Traceback" not in text, text
        raise OSError(text)
    return lambda: of_files("out.csv")


def whole(*names):
    """A check that model files are whole, if they are there."""

    def check():
        for name in names:
            if os.path.exists(name):
                fastbp.load(name)

    return check


NOTHING = whole()
ACTIONS = {
    "train": (train, NOTHING),
    "samplewise": (samplewise, NOTHING),
    "damped": (damped, NOTHING),
    "checkpoint": (checkpoint, whole("run.fbp")),
    "save": (save, whole("kept.fbp")),
    "load": (load, NOTHING),
    "predict": (predict, NOTHING),
    "export": (export, NOTHING),
    "command": (command, whole("cli.fbp")),
}
