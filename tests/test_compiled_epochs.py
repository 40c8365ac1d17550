"""Many epochs in one compiled call: the same network, history and end as with one call per epoch."""

import numpy as np
import pytest

import fastbp
from fastbp.many import rounds
from fastbp.training import compiled_epochs
from fastbp.training.train import DEFAULTS

rng = np.random.default_rng(0)
X = rng.normal(size=(90, 4))
SIDE, KIND = (X[:, 0] * X[:, 1] > 0).astype(int), rng.integers(0, 3, 90)
LECTURE = {"optimizer": "sgd", "batch_size": 1, "activation": "logistic"}
LECTURE |= {"output": "logistic", "loss": "squared_error", "y": SIDE}
CASES = {
    "tiny, sample by sample": LECTURE | {"hidden": (2,), "l2": 0.01, "dtype": "float64"},
    "sample by sample": LECTURE | {"hidden": (7,)},
    "wide": {"batch_size": 20, "y": KIND},
    "narrow": {"batch_size": 70, "y": KIND, "dtype": "float64"},
    "many groups": {"batch_size": 900, "hidden": (5,), "y": np.tile(KIND, 10), "epochs": 4},
    "in order": {"batch_size": 20, "shuffle": False, "y": KIND},
    "validated": {"batch_size": 20, "validation": 0.3, "y": SIDE},
    "patient": {"batch_size": 20, "validation": 0.3, "patience": 3, "learning_rate": 0.05, "epochs": 200, "y": SIDE},
    "patient, sample by sample": LECTURE
    | {"hidden": (7,), "validation": 0.3, "patience": 3, "learning_rate": 1.0, "epochs": 200},
    "scheduled": {"batch_size": 20, "schedule": "cosine", "warmup": 2, "optimizer": "adamw", "l2": 0.1, "y": X[:, 2]},
    "custom loss": {"batch_size": 20, "loss": (lambda y, a: (a - y) ** 4 / 4, lambda y, a: (a - y) ** 3), "y": X[:, 2]},
    "large weights": {"batch_size": 20, "hidden": (300, 300), "epochs": 3, "y": KIND},
}


def trained(monkeypatch, several, more=()):
    """The network, and the number of calls for all of its epochs."""
    calls = []
    advance = compiled_epochs.CompiledEpochs.advance
    monkeypatch.setattr(
        compiled_epochs.CompiledEpochs, "advance", lambda self, *rest: calls.append(1) or advance(self, *rest)
    )
    monkeypatch.setattr(compiled_epochs.CompiledEpochs, "ready", lambda self: several)
    options = {"hidden": (7,), "epochs": 23, "seed": 3, "threads": 1} | dict(more)
    y = options.pop("y")
    net = fastbp.train(np.tile(X, (len(y) // len(X), 1)), y, **options)
    monkeypatch.undo()
    return net, len(calls)


def _matrix():
    """All cases in both dtypes; the default run has one dtype per case, so that few loops are compiled."""
    for case, options in CASES.items():
        for dtype in ("float32", "float64"):
            yield pytest.param(case, dtype, marks=() if dtype == options.get("dtype", "float32") else pytest.mark.long)


@pytest.mark.parametrize(("case", "dtype"), list(_matrix()))
def test_same_bits_as_one_call_per_epoch(monkeypatch, case, dtype):
    options = CASES[case] | {"dtype": dtype}
    (single, none), (found, calls) = (trained(monkeypatch, several, options) for several in (False, True))
    assert none == 0
    assert 0 < calls <= len(found.history["loss"])
    np.testing.assert_array_equal(found.params, single.params)
    assert (found.stop_reason, found.best_epoch, list(found.history)) == (
        single.stop_reason,
        single.best_epoch,
        list(single.history),
    )
    for name, values in single.history.items():
        if name != "seconds":
            np.testing.assert_array_equal(found.history[name], values)
    assert (np.diff(found.history["seconds"]) >= 0).all()
    assert 0 < found.history["seconds"][-1] <= found.train_seconds


def test_few_calls(monkeypatch):
    net, calls = trained(monkeypatch, True, {"y": KIND, "batch_size": 20, "epochs": 1000})
    assert len(net.history["loss"]) == 1000
    assert calls < 100


@pytest.mark.parametrize(
    ("case", "rate"), [("wide", 1e30), ("sample by sample", 1e30), ("tiny, sample by sample", 1e38)]
)
def test_divergence_is_reported_the_same(monkeypatch, case, rate):
    options = CASES[case] | {"learning_rate": rate, "optimizer": "sgd", "activation": "relu"}
    options |= {"output": "auto", "loss": "auto"}
    messages = []
    for several in (False, True):
        with pytest.raises(FloatingPointError) as error:
            trained(monkeypatch, several, options)
        messages.append(str(error.value))
    assert messages[0] == messages[1]


def test_late_divergence_leaves_the_weights_from_before(monkeypatch):
    steep = {"y": X[:, 2], "optimizer": "sgd", "learning_rate": 2.5}
    steep |= {"batch_size": 20, "hidden": (), "scale": False, "epochs": 300}
    nets = []
    for several in (False, True):
        with pytest.warns(fastbp.DivergenceWarning) as warned:
            nets.append((trained(monkeypatch, several, steep)[0], str(warned[0].message)))
    (single, said), (found, says) = nets
    assert said == says
    assert single.stop_reason == found.stop_reason == "diverged"
    np.testing.assert_array_equal(found.params, single.params)
    np.testing.assert_array_equal(found.history["loss"], single.history["loss"])


def test_rounds(monkeypatch):
    # a run that pauses continues in another call, with the order of samples where it was
    asked = DEFAULTS | {"hidden": (7,), "epochs": 20, "seed": 3, "batch_size": 20, "validation": 0.3}
    monkeypatch.setattr(compiled_epochs.CompiledEpochs, "ready", lambda self: True)
    first = rounds.train_round(X, KIND, asked, rounds.Round(7, None))
    second = rounds.train_round(X, KIND, asked, rounds.Round(20, first.state))
    monkeypatch.undo()
    whole = fastbp.train(X, KIND, hidden=(7,), epochs=20, seed=3, batch_size=20, validation=0.3)
    np.testing.assert_array_equal(second.network.params, whole.params)
    assert first.network.stop_reason == "unfinished"


def test_it_is_compiled_once_it_pays(monkeypatch):
    monkeypatch.setattr(compiled_epochs, "COMPILED_FROM", 30)
    monkeypatch.setattr(compiled_epochs, "_run_singly", compiled_epochs.Counter())
    monkeypatch.setattr(
        compiled_epochs.compilation, "_ready", set(compiled_epochs.compilation._ready) - {("wide epochs", "float32")}
    )
    calls = []
    advance = compiled_epochs.CompiledEpochs.advance
    monkeypatch.setattr(
        compiled_epochs.CompiledEpochs, "advance", lambda self, *rest: calls.append(1) or advance(self, *rest)
    )
    announced = []
    prepare = compiled_epochs.compilation.prepare
    monkeypatch.setattr(
        compiled_epochs.compilation,
        "prepare",
        lambda names, dtype, progress, *rest: (
            announced.append((names, progress)) or prepare(names, dtype, progress, *rest)
        ),
    )
    options = {"hidden": (7,), "epochs": 20, "seed": 3, "batch_size": 20, "threads": 1}
    fastbp.train(X, KIND, **options)
    assert not calls
    fastbp.train(X, KIND, **options, progress=True)
    assert calls
    assert announced[-1] == (["wide epochs"], True)
    before = len(calls)
    for more in (
        {"callback": lambda epoch: None},
        {"max_seconds": 100.0},
        {"target_loss": 0.0},
        {"dropout": 0.1},
        {"clip_norm": 1.0},
    ):
        fastbp.train(X, KIND, **options | more)
    assert len(calls) == before


def test_streams_are_numpys():
    one, other = np.random.default_rng(5), np.random.default_rng(6)
    one.integers(0, 9, 3, dtype=np.int32)
    compiled_epochs.set_state(other, compiled_epochs.stream_of(one))
    assert one.bit_generator.state == other.bit_generator.state
