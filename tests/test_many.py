"""Many networks at once: each bit for bit as if trained alone, and unaffected by the failure of another."""

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_jit import run

import fastbp
from fastbp.many import side_by_side
from fastbp.training import prepare

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(2, 3, (90, 4))
CLASSES = np.array(["a", "b", "c"])[(np.abs(X[:, 0] - 2) + X[:, 1]).argsort().argsort() // 30]
NUMBERS = X @ [1.0, -2.0, 0.5, 0.0]
COMMON = {"epochs": 3, "hidden": 4, "seed": 1}
VARIANTS = [
    {},
    {"seed": 5, "hidden": (6, 3), "activation": "tanh"},
    {"optimizer": "sgd", "batch_size": 1, "learning_rate": 0.01, "scale": False},
    {"validation": 0.3, "patience": 1, "metric": "score", "dtype": "float64"},
    {"rows": np.arange(0, 90, 2), "l2": 0.01},
    {"rows": X[:, 3] > 1, "sample_weight": np.arange(90) % 3 + 0.5, "class_weight": "balanced"},
    {"rows": [5, 5, 40, 41, 60, 89, 3, 4, 80], "batch_size": 2, "dropout": 0.2},
    {"schedule": "cosine", "clip_norm": 0.5, "epochs": 7, "shuffle": False},
    {"init": "he", "optimizer": "rprop"},
    {"y": np.roll(CLASSES, 3), "hidden": ()},
]


def same(a, b):
    history = all(np.array_equal(a.history[name], b.history[name]) for name in a.history if name != "seconds")
    options = {**a.options, "threads": 0} == {**b.options, "threads": 0}
    return (
        history and options and a.params.tobytes() == b.params.tobytes() and a.x_scale.tobytes() == b.x_scale.tobytes()
    )


def alone(inputs, y, variant, **common):
    said = common | variant
    rows, y = said.pop("rows", slice(None)), said.pop("y", y)
    if said.get("sample_weight") is not None:
        said["sample_weight"] = said["sample_weight"][rows]
    inputs = inputs.iloc[rows] if hasattr(inputs, "iloc") else inputs[rows]
    return fastbp.train(inputs, y if isinstance(y, str) else y[rows], progress=False, **said)


@pytest.mark.parametrize("threads", [1, None])
def test_each_is_bit_for_bit_as_if_trained_alone(threads):
    nets = fastbp.train_many(X, CLASSES, VARIANTS, threads=threads, progress=False, **COMMON)
    assert len(nets) == len(VARIANTS)
    assert not nets.failures
    for net, variant in zip(nets, VARIANTS, strict=True):
        assert same(net, alone(X, CLASSES, variant, **COMMON))


@settings(max_examples=5, deadline=None)
@given(
    rows=st.lists(st.integers(0, 89), min_size=3, max_size=40), seed=st.integers(0, 2**70), threads=st.integers(1, 2)
)
def test_any_rows(rows, seed, threads):
    threads = min(threads, fastbp.config()["threads"])
    (net,) = fastbp.train_many(
        X, NUMBERS, [{"rows": rows, "seed": seed}], threads=threads, epochs=2, batch_size=5, hidden=3
    )
    assert same(net, alone(X, NUMBERS, {"rows": rows, "seed": seed}, epochs=2, batch_size=5, hidden=3))


def test_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 2, "high", "low"), "y": NUMBERS})
    variants = [{"seed": 2}, {"rows": np.arange(50, 90)}, {"validation": 0.2}]
    for net, variant in zip(fastbp.train_many(frame, "y", variants, **COMMON), variants, strict=True):
        assert same(net, alone(frame, "y", variant, **COMMON))


def test_networks_continue_training():
    first = fastbp.train_many(X, CLASSES, [{"seed": k} for k in range(3)], **COMMON | {"seed": None})
    again = fastbp.train_many(X, CLASSES, [{"init": net, "seed": 7} for net in first], epochs=2)
    for net, start in zip(again, first, strict=True):
        assert same(net, fastbp.train(X, CLASSES, init=start, seed=7, epochs=2, progress=False))


SIDE_BY_SIDE = {"optimizer": "sgd", "batch_size": 1, "hidden": 2}


@pytest.mark.parametrize(
    "way",
    [SIDE_BY_SIDE, {}, {"validation": (X[:9], CLASSES[:9])}, {"validation": 0.2}, {"validation": np.float32(0.2)}],
)
def test_alike_variants(way):
    variants = [{"learning_rate": 0.3}, {"seed": 4}, {"l2": 0.1}, {"seed": 2**70, "learning_rate": 0.01, "l2": 0.2}]
    nets = fastbp.train_many(X, CLASSES, variants, progress=False, **COMMON | way)
    for net, variant in zip(nets, variants, strict=True):
        assert same(net, alone(X, CLASSES, variant, **COMMON | way))


def test_alike_variants_share_their_examples():
    one, other = fastbp.train_many(X, CLASSES, [{"seed": 1}, {"seed": 2}], **COMMON | {"seed": None})
    assert one.examples is other.examples


@pytest.mark.parametrize("way", [SIDE_BY_SIDE, {}])
def test_long_arrays_are_distinguished(way):
    # their text is the same, because NumPy abbreviates it
    inputs, y, weights = np.tile(X, (20, 1)), np.tile(CLASSES, 20), np.ones((3, 1800))
    weights[1, 900], weights[2, 901] = 50, 50
    variants = [{"sample_weight": weight} for weight in weights]
    nets = fastbp.train_many(inputs, y, variants, progress=False, **COMMON | way)
    for net, variant in zip(nets, variants, strict=True):
        assert same(net, alone(inputs, y, variant, **COMMON | way))


def test_inputs_that_cannot_be_used_fail_each_network():
    for options in ({}, SIDE_BY_SIDE):
        with pytest.warns(RuntimeWarning, match="3 of 3 networks are missing"):
            nets = fastbp.train_many(np.sign(X) * 1.7e308, CLASSES, [{"seed": k} for k in range(3)], **options)
        for k in range(3):
            with pytest.raises(ValueError, match=rf"variants\[{k}\]: X: "):
                nets[k]


def test_a_seed_is_drawn_for_each():
    one, two = fastbp.train_many(X, CLASSES, [{}, {}], epochs=1)
    assert one.options["seed"] != two.options["seed"]


def test_a_failure_does_not_affect_the_others():
    def metric(known, predicted):
        raise ValueError("no metric")

    variants = [
        {"seed": 1},
        {"optimizer": "sgd", "learning_rate": 1e30},
        {"metric": metric, "validation": 0.2},
        {"seed": 2},
    ]
    with pytest.warns(
        RuntimeWarning, match=r"2 of 4 networks are missing; the first is variants\[1\]: training diverged in epoch 1"
    ):
        nets = fastbp.train_many(X, NUMBERS, variants, progress=False, **COMMON)
    assert list(nets.failures) == [1, 2]
    for k in (0, 3):
        assert same(nets[k], alone(X, NUMBERS, variants[k], **COMMON))
    with pytest.raises(FloatingPointError, match=r"variants\[1\]: training diverged"):
        nets[1]
    with pytest.raises(ValueError, match=r"variants\[2\]: no metric"):
        nets[2]
    with pytest.raises(FloatingPointError, match=r"variants\[1\]: training diverged"):
        _ = nets.params
    assert next(iter(nets[3:])) is nets[3]
    assert repr(nets) == "<4 networks, 2 of them failed>"


LIKE = r"variants\[1\]: expected targets like those of variants\[0\] \(classification, 3 classes\), got "
BAD = {
    r"variants: expected at least one, got none": [],
    r"variants: expected a sequence of dicts, got dict": {"seed": 1},
    r"variants\[1\]: expected a dict of options, got 3": [{}, 3],
    r"variants\[1\]: expected one of .*, got 'hiden'; did you mean 'hidden'\?": [{}, {"hiden": 3}],
    r"variants\[1\]: expected one of .*, got 'threads'": [{}, {"threads": 3}],
    r"variants\[2\]: patience: expected a validation set": [{}, {}, {"patience": 3}],
    r"variants\[0\]: learning_rate: expected a finite number above 0, got -1": [{"learning_rate": -1}],
    r"variants\[1\]: rows: expected numbers from 0 to 89, got 3 to 90": [{}, {"rows": [3, 90]}],
    r"variants\[1\]: rows: expected numbers of samples, or a truth value for each of 90, got bool of shape \(3,\)": [
        {},
        {"rows": [True] * 3},
    ],
    LIKE + "classification, 2 classes": [{}, {"rows": np.flatnonzero(CLASSES != "a")}],
    r"variants\[1\]: expected targets like .* \(classification, 3 classes\), got regression, 1 outputs": [
        {},
        {"y": NUMBERS},
    ],
    r"variants\[1\]: sample_weight: expected shape \(90,\), got \(3,\)": [{}, {"sample_weight": np.ones(3)}],
    r"variants\[1\]: sample_weight: expected shape \(90,\), got \(4,\)": [
        {},
        {"rows": range(4), "sample_weight": np.ones(4)},
    ],
    r"variants\[0\]: y: expected numbers of at least 0 for the loss 'poisson', got -": [
        {"y": NUMBERS, "loss": "poisson", "seed": k} for k in range(4)
    ],
}


@pytest.mark.parametrize("text", BAD)
def test_mistakes_are_reported_before_anything_is_trained(text, monkeypatch):
    monkeypatch.setattr(prepare.Run, "train", lambda *a, **k: pytest.fail("trained"))
    with pytest.raises(ValueError, match=text):
        fastbp.train_many(X, CLASSES, BAD[text], epochs=1)


def test_wrong_common_options_are_named():
    with pytest.raises(ValueError, match=r"train_many: expected one of .*, got 'epoch'; did you mean 'epochs'"):
        fastbp.train_many(X, CLASSES, [{}], epoch=1)


def test_the_longest_start_first(monkeypatch):
    begun, real = [], prepare.prepare_run
    monkeypatch.setattr(
        prepare, "prepare_run", lambda X, y, asked, *more: (begun.append(asked["seed"]), real(X, y, asked, *more))[1]
    )
    variants = [
        {"epochs": 1},
        {"epochs": 9},
        {"epochs": 3, "hidden": 1},
        {"epochs": 9, "rows": np.arange(0, 90, 5)},
        {"epochs": 9, "hidden": 64},
    ]
    fastbp.train_many(X, CLASSES, [{"seed": k} | variant for k, variant in enumerate(variants)], threads=1, hidden=4)
    assert begun == [4, 1, 3, 2, 0]


INTERRUPTED = """
    import os, signal, threading, warnings
    import numpy as np, fastbp
    X = np.random.default_rng(0).normal(size=(200, 5))
    y = X[:, 0] * X[:, 1]
    fastbp.train(X, y, epochs=1, progress=False)
    variants = [{"epochs": 2}, {"epochs": 3}, {"epochs": 5_000_000}, {"epochs": 4}]
    threading.Timer(2.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        nets = fastbp.train_many(X, y, variants, seed=1, threads=2, hidden=2, progress=False)
    reasons = [net.stop_reason for net in (nets[0], nets[1], nets[3])]
    print(reasons, nets.failures[2], [str(warning.message) for warning in caught])
    print(signal.getsignal(signal.SIGINT) is signal.default_int_handler, threading.active_count())
"""


@pytest.mark.thorough
@pytest.mark.skipif(os.name == "nt", reason="signals")
@pytest.mark.skipif(fastbp.config()["threads"] < 2, reason="one processor")
def test_ctrl_c_keeps_what_is_finished():
    missing = "variants[2]: Ctrl-C came before the network was trained"
    messages = ["1 of 4 networks are missing; the first is " + missing]
    assert run(INTERRUPTED).stdout == f"{['epochs'] * 3} {missing} {messages}\nTrue 1\n"


def test_within_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(fastbp.train_many(X, CLASSES, [{}, {}], **COMMON)))
    thread.start()
    thread.join()
    assert same(found[0][1], alone(X, CLASSES, {}, **COMMON))


# Tiny networks, which are trained side by side

TINY = {"optimizer": "sgd", "batch_size": 1, "hidden": 2, "epochs": 5, "activation": "logistic"}
SIDES = np.where(X[:, 0] > X[:, 1], "left", "right")


@pytest.fixture
def together(monkeypatch):
    """How many networks were trained side by side in each call."""
    calls, real = [], side_by_side.train_side_by_side
    monkeypatch.setattr(
        side_by_side, "train_side_by_side", lambda *given: (calls.append(len(given[-1])), real(*given))[1]
    )
    return calls


OTHERS = [
    {},
    {"dtype": "float64", "hidden": (3, 4)},
    {"shuffle": False, "loss": "squared_error"},
    {"init": "uniform"},
    {"scale": False, "hidden": (), "class_weight": "balanced"},
    {"sample_weight": np.arange(90.0)},
]


@pytest.mark.parametrize("more", OTHERS)
@pytest.mark.parametrize("y", [SIDES, NUMBERS], ids=["classes", "numbers"])
def test_tiny_networks_side_by_side(more, y, together):
    if "class_weight" in more and y is NUMBERS:
        more = more | {"class_weight": None}
    variants = [{"seed": 1}, {"seed": 2**70, "l2": 0.1}, {"seed": 0, "learning_rate": 0.02}] + [
        {"seed": 10 + k} for k in range(40)
    ]
    nets = fastbp.train_many(X, y, variants, progress=False, **TINY | {"learning_rate": 0.01} | more)
    assert sum(together) == 43
    params = nets.params
    assert (params == [net.params for net in nets]).all()
    assert (nets.params == params).all()
    for net, variant in zip(nets, variants, strict=True):
        other = alone(X, y, variant, **TINY | {"learning_rate": 0.01} | more)
        assert same(net, other)
        assert (net.stop_reason, net.best_epoch) == (other.stop_reason, other.best_epoch)
        assert net is nets[variants.index(variant)]
        assert (net.predict(X) == other.predict(X)).all()


def test_tiny_networks_of_several_kinds(together):
    variants = [{"hidden": 1 + k % 3, "seed": k} for k in range(12)] + [
        {"seed": 3, "validation": 0.2},
        {"seed": 3, "rows": range(50)},
    ]
    nets = fastbp.train_many(X, NUMBERS, variants, **TINY)
    assert sorted(together) == [4, 4, 4]
    for net, variant in zip(nets, variants, strict=True):
        assert same(net, alone(X, NUMBERS, variant, **TINY))


def test_tiny_networks_that_diverge_are_reported_as_if_alone(together):
    variants = [{"seed": k, "learning_rate": 1e30 if k in (3, 30) else 0.05} for k in range(50)]
    with pytest.warns(
        RuntimeWarning, match=r"2 of 50 networks are missing; the first is variants\[3\]: training diverged in epoch 1"
    ):
        nets = fastbp.train_many(X, NUMBERS, variants, **TINY)
    assert sum(together) == 50
    assert list(nets.failures) == [3, 30]
    for k in {*range(50)} - {3, 30}:
        assert same(nets[k], alone(X, NUMBERS, variants[k], **TINY))
    with pytest.raises(ValueError, match=r"variants\[2\]: learning_rate: expected a finite number above 0, got 0"):
        fastbp.train_many(X, NUMBERS, [{"seed": k, "learning_rate": 2 - k} for k in range(4)], **TINY)
    assert sum(together) == 50
