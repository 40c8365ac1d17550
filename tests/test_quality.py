"""Several networks for one table: pilots find the number of epochs, members learn from all rows; what comes of it."""

import pickle
import time
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from test_many import same

import fastbp
from fastbp.data import division, samples, scaling
from fastbp.training import first_weights, prepare
from fastbp.training.quality import LEVELS
from fastbp.training.source import MemorySource
from fastbp.training.train import DEFAULTS

N = 120
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "kind": RNG.choice(["a", "b"], N)})
X = FRAME[["x", "z"]].to_numpy()
NUMBERS = np.sin(3 * X[:, 0]) + X[:, 1] ** 2
CLASSES = np.array(["high", "low", "middle"])[(NUMBERS > 0.5).astype(int) + (X[:, 0] > 0.5)]
TASKS = {
    "numbers": NUMBERS,
    "several": np.c_[NUMBERS, X[:, 0]],
    "classes": CLASSES,
    "two": CLASSES == "low",
    "labels": np.c_[NUMBERS > 0.5, X > 0].astype(int),
}
QUICK = {"hidden": (6, 5), "seed": 3, "progress": False}
# of the first member
MEMBER_SEED = int(np.random.SeedSequence(3).spawn(2)[1].generate_state(1)[0])
NEEDS_THREADS = pytest.mark.skipif(fastbp.config()["threads"] < 2, reason="one processor")


def networks(model):
    return model.networks if isinstance(model, fastbp.Ensemble) else (model,)


def learnt(rows=FRAME, y=NUMBERS, **options):
    return fastbp.train(rows, y, **QUICK | {"quality": "fast"} | options)


def same_models(a, b):
    if isinstance(a, fastbp.Network):
        return same(a, b)
    return a.options == b.options and len(a.networks) == len(b.networks) and all(map(same, a.networks, b.networks))


def prepared(rows, y, **options):
    """The run that `fastbp.train` would prepare."""
    return prepare.prepare_run(rows, y, DEFAULTS | QUICK | {"quality": "fast"} | options, MemorySource(1))


# What is trained


@NEEDS_THREADS
@pytest.mark.parametrize("y", TASKS.values(), ids=TASKS)
def test_the_seed_alone_determines_the_bits(y):
    one, two, again = (learnt(y=y, quality="default", threads=threads) for threads in (1, 2, 2))
    assert same_models(one, two)
    assert same_models(two, again)
    other = learnt(y=y, quality="default", seed=4)
    assert not any(np.array_equal(a.params, b.params) for a in one.networks for b in other.networks)


def test_a_seed_that_is_drawn_is_recorded():
    for quality in ("fast", "default"):
        found = learnt(quality=quality, epochs=1, seed=None)
        assert same_models(found, learnt(quality=quality, epochs=1, seed=found.options["seed"]))


def test_the_result_of_each_quality():
    assert isinstance(learnt(), fastbp.Network)
    assert learnt().options.items() >= {"quality": "fast", "seed": 3, "pilots": 2}.items()
    for quality in ("default", "best"):
        found = learnt(quality=quality)
        assert isinstance(found, fastbp.Ensemble)
        assert len(found.networks) == LEVELS[quality].most
        assert found.options.items() >= {"quality": quality, "n": len(found.networks), "seed": 3, "pilots": 4}.items()
        assert len({net.options["seed"] for net in found.networks}) == len(found.networks)
        kinds = {(net.options["epochs"], *net.options["activation"]) for net in found.networks}
        assert len(kinds) == 1 if quality == "default" else len(kinds) > 1
        assert all(net.stop_reason == "epochs" for net in found.networks)
    assert same_models(learnt(quality="default"), learnt(quality="auto"))


def test_much_work_is_shared_by_fewer_members(monkeypatch):
    monkeypatch.setitem(LEVELS, "default", replace(LEVELS["default"], work=1e6))
    assert len(learnt(quality="default").networks) == LEVELS["default"].fewest


@pytest.mark.parametrize(
    ("rows", "y", "options"),
    [
        *((FRAME, y, {}) for y in TASKS.values()),
        (FRAME, NUMBERS, {"sample_weight": np.arange(N) % 3 + 0.5}),
        (FRAME, CLASSES, {"class_weight": "balanced", "encode": "standard"}),
        (FRAME, CLASSES, {"class_weight": {"low": 3.0}, "schedule": "constant", "dropout": 0.2}),
        (FRAME, NUMBERS, {"hidden": (), "dtype": "float64"}),
        (FRAME, NUMBERS, {"loss": "quantile", "quantile": (0.1, 0.9), "schedule": "one_cycle", "clip_norm": 1.0}),
        (FRAME, NUMBERS, {"loss": "huber", "warmup": 4, "l2": 0.01, "init": "he", "shuffle": False}),
        (FRAME, NUMBERS, {"optimizer": "rprop"}),
        (FRAME, NUMBERS, {"optimizer": "sgd", "batch_size": 1, "encode": "piecewise"}),
        (X, NUMBERS, {}),
        (X, CLASSES, {"encode": "piecewise", "batch_size": 7}),
        (X, NUMBERS, {"encode": "auto", "learning_rate": 0.01}),
        (X, NUMBERS, {"scale": False}),
    ],
)
def test_a_member_is_a_single_run_on_all_rows(rows, y, options):
    found = learnt(rows, y, **options)
    wanted = {"quality": "single", "validation": None, "seed": MEMBER_SEED, "epochs": found.options["epochs"]}
    alone = learnt(rows, y, **options | wanted)
    added = {"quality": "fast", "seed": 3, "pilots": 2, "pilot_loss": found.options["pilot_loss"]}
    assert same(found, replace(alone, options=dict(alone.options) | added))
    assert found.options["samples"] == N
    for model in learnt(rows, y, quality="default", epochs=2, **options).networks:
        wanted = {"seed": model.options["seed"], "validation": None}
        assert same(model, learnt(rows, y, **options | {"quality": "single", "epochs": 2} | wanted))


@pytest.mark.parametrize("way", ["copied", "gathered", "pieces"])
def test_pilots_do_not_see_the_rows_that_they_are_measured_on(way, monkeypatch):
    monkeypatch.setattr(scaling, "COPIED", 0 if way == "gathered" else 1 << 40)
    run = prepared(*(FRAME, NUMBERS) if way == "pieces" else (X, NUMBERS))
    held_out = division.held_out_rows(run.target, 0.2, first_weights.random_streams(5)[1])
    options = {"seed": 5, "epochs": 6, "patience": 9}
    before = run.member(options, held_out).train()
    assert before.options["samples"] == N - held_out.sum()

    ready, wrong = run.source.training, held_out[:, None]
    rows = ready.X
    if way == "copied":
        rows = np.where(wrong, 9, rows)
    elif way == "pieces":
        rows = rows[np.where(held_out, 0, np.arange(N))]
    else:
        rows = scaling.Gathered("X", np.where(wrong, 9, X), None, rows.mean, rows.scale, rows.dtype)
    run.source.training = samples.Ready(rows, np.where(wrong, -7, ready.Y), np.where(held_out, 50, ready.weight))
    after = run.member(options, held_out).train()
    np.testing.assert_array_equal(before.history["loss"], after.history["loss"])
    assert (before.history["validation_loss"] != after.history["validation_loss"]).all()


def test_pilots_decide_how_long_members_learn(monkeypatch):
    trained, real = [], prepare.Run.train
    monkeypatch.setattr(prepare.Run, "train", lambda run: (trained.append(real(run)), trained[-1])[1])
    found = learnt(threads=1)
    pilots, (member,) = trained[:2], trained[2:]
    assert all(net.history["validation_loss"].argmin() + 1 == net.best_epoch for net in pilots)
    assert member.options["epochs"] == round(LEVELS["fast"].longer * np.mean([net.best_epoch for net in pilots]))
    losses = [net.history["validation_loss"].min() for net in pilots]
    assert found.options["pilot_loss"] == pytest.approx(np.mean(losses))
    assert len({net.options["seed"] for net in trained}) == 3
    trained.clear()
    learnt(threads=1, schedule="constant")
    assert trained[2].options["epochs"] == round(np.mean([net.best_epoch for net in trained[:2]]))


def test_the_number_of_epochs_may_be_given():
    found = learnt(quality="default", epochs=3)
    assert {net.options["epochs"] for net in found.networks} == {3}
    assert "pilots" not in found.options
    first = learnt(quality="default", epochs=0)
    assert {len(net.history) for net in first.networks} == {0}
    assert first.predict(FRAME).shape == (N,)


# The user's validation samples


@pytest.mark.parametrize("rows", [FRAME, X])
@pytest.mark.parametrize("quality", ["fast", "default"])
def test_a_fraction_is_set_aside(rows, quality):
    held_out = division.held_out_rows(prepared(rows, NUMBERS).target, 0.25, first_weights.random_streams(3)[1])
    wrong = np.where(held_out, NUMBERS[::-1] * 3, NUMBERS)
    found, other = (learnt(rows, y, quality=quality, validation=0.25) for y in (NUMBERS, wrong))
    assert all(np.array_equal(a.params, b.params) for a, b in zip(networks(found), networks(other), strict=True))
    for model, y in ((found, NUMBERS), (other, wrong)):
        assert model.options["validation_score"] == pytest.approx(model.score(rows[held_out], y[held_out]), abs=1e-5)
        assert {net.options["samples"] for net in networks(model)} == {N - held_out.sum()}
    assert found.options["validation_score"] != other.options["validation_score"]
    wanted = {"seed": MEMBER_SEED, "epochs": networks(found)[0].options["epochs"], "validation": None}
    alone = learnt(rows[~held_out], NUMBERS[~held_out], quality="single", **wanted)
    np.testing.assert_array_equal(networks(found)[0].params, alone.params)


@pytest.mark.parametrize("name", TASKS)
def test_samples_of_the_user(name):
    y, rest, own = TASKS[name], slice(0, 90), slice(90, N)
    found = learnt(FRAME[rest], y[rest], quality="default", validation=(FRAME[own], y[own]))
    assert found.options["validation_score"] == pytest.approx(found.score(FRAME[own], y[own]), abs=1e-5)
    other = learnt(FRAME[rest], y[rest], quality="default", validation=(FRAME[own], y[own][::-1]))
    without = learnt(FRAME[rest], y[rest], quality="default")
    for model in (other, without):
        assert all(np.array_equal(a.params, b.params) for a, b in zip(found.networks, model.networks, strict=True))
    assert "validation_score" not in without.options


# Samples and their weights


@pytest.mark.filterwarnings("ignore:the target is heavily skewed")
def test_weights():
    plain = learnt()
    assert np.array_equal(learnt(sample_weight=np.full(N, 4.0)).params, plain.params)
    weights = np.where(X[:, 0] > 0, 1.0, 0.0)
    found = learnt(sample_weight=weights)
    assert not np.array_equal(found.params, plain.params)
    assert np.array_equal(found.params, learnt(FRAME[weights > 0], NUMBERS[weights > 0]).params)
    heavy = np.ones(N)
    heavy[7] = 1e9  # in some pilots the only row that counts is among those held out
    assert np.isfinite(learnt(sample_weight=heavy).predict(FRAME)).all()
    found = learnt(y=CLASSES, class_weight={"low": 0.0, "high": 0.0})
    assert (found.predict(FRAME) == "middle").all()


@pytest.mark.parametrize("encode", ["standard", "piecewise"])
def test_memory_maps(encode, tmp_path, monkeypatch):
    rows = np.repeat(X, 5, axis=0).astype(np.float32)
    np.save(tmp_path / "X.npy", rows)
    y, found = np.repeat(NUMBERS, 5), []
    for copied in (1 << 40, 0):
        monkeypatch.setattr(scaling, "COPIED", copied)
        inputs = rows if copied else np.load(tmp_path / "X.npy", mmap_mode="r")
        made = prepared(inputs, y, encode=encode).training.X
        assert isinstance(made, scaling.Gathered) == (not copied and encode == "standard")
        found += [
            learnt(inputs, y, encode=encode, quality="default", validation=validation) for validation in (None, 0.3)
        ]
    assert same_models(found[0], found[2])
    assert same_models(found[1], found[3])


@pytest.mark.parametrize("n", [3, 10, 49])
def test_very_few_rows(n):
    auto = learnt(FRAME[:n], NUMBERS[:n], quality="auto")
    assert same(auto, learnt(FRAME[:n], NUMBERS[:n], quality="single"))
    for quality in ("fast", "default"):
        found = learnt(FRAME[:n], NUMBERS[:n], quality=quality, hidden=3)
        assert {net.options["samples"] for net in networks(found)} == {n}


def test_too_few_rows():
    with pytest.raises(ValueError, match="quality: expected 'single' for 2 rows, too few to set some aside, got"):
        learnt(X[:2], NUMBERS[:2])


def test_rare_classes():
    once = np.where(np.arange(N) == 60, "rare", "often")
    found = learnt(y=once, quality="auto")
    assert found.classes.tolist() == ["often", "rare"]
    assert found.predict_proba(FRAME)[:, 1].max() < 0.9
    many = np.array([f"class {k % 40}" for k in range(51)])
    found = learnt(FRAME[:51], many, quality="auto")
    assert (len(found.networks), found.predict_proba(FRAME).shape) == (8, (N, 40))
    assert learnt(FRAME[:51], many, quality="single").options["validation"] == 0.2


def test_nothing_to_learn():
    found = learnt(y=np.full(N, 3.0), task="regression", quality="auto")
    np.testing.assert_allclose(found.predict(FRAME), 3, atol=0.1)
    with pytest.raises(ValueError, match="y: expected at least two classes"):
        learnt(y=np.ones(N), quality="auto")
    alike = FRAME.iloc[np.zeros(N, int)]
    with pytest.raises(ValueError, match="X: expected at least one column to learn from, but all are left out"):
        learnt(alike, quality="auto")
    found = learnt(np.ones((N, 2)), quality="default")
    np.testing.assert_allclose(found.predict(np.ones((1, 2))), NUMBERS.mean(), atol=0.1)


# The result


@pytest.mark.parametrize("quality", ["fast", "default"])
@pytest.mark.parametrize("name", TASKS)
def test_files_and_pickles(quality, name, tmp_path):
    found = learnt(y=TASKS[name], quality=quality, validation=0.2, epochs=2)
    found.save(tmp_path / "model.fbp")
    for again in (fastbp.load(tmp_path / "model.fbp"), pickle.loads(pickle.dumps(found))):
        assert same_models(found, again)
        np.testing.assert_array_equal(found.predict(FRAME), again.predict(FRAME))
    assert found.options["quality"] == quality
    assert found.predict(FRAME).shape == TASKS[name].shape
    assert found.score(FRAME, TASKS[name]) <= 1


def test_several_networks_are_better_than_one():
    rest, new = slice(0, 80), slice(80, N)
    one, several = (fastbp.train(FRAME[rest], NUMBERS[rest], quality=q, seed=0) for q in ("single", "auto"))
    assert several.score(FRAME[new], NUMBERS[new]) > one.score(FRAME[new], NUMBERS[new])


@pytest.mark.parametrize("quality", ["best", "default"])
@pytest.mark.parametrize("epochs", [None, 5])
def test_max_seconds(quality, epochs):
    rows = np.random.default_rng(1).normal(size=(20_000, 3))
    frame = pd.DataFrame(rows, columns=list("abc"))
    options = {"max_seconds": 1 if epochs is None else 0.1, "epochs": epochs, "seed": 0, "progress": False}
    found = fastbp.train(frame, rows[:, 0] * rows[:, 1], quality=quality, **options)
    assert 1 <= len(found.networks) <= LEVELS[quality].most
    for net in found.networks:
        pilot = "validation_loss" in net.history  # on a slow machine, these are the result
        assert net.stop_reason in ("epochs", *["max_seconds"] * (pilot or epochs is not None), *["patience"] * pilot)
        assert net.options["samples"] == (17_000 if pilot else 20_000)
        assert len(net.history["loss"]) >= 1


@pytest.mark.parametrize("quality", ["fast", "default"])
def test_without_time_for_members_the_pilots_are_the_result(quality):
    found = learnt(quality=quality, max_seconds=1e-9)
    for net in networks(found):
        assert net.options["samples"] < N
        assert len(net.history["loss"]) == net.best_epoch == 1
    assert found.predict(FRAME).shape == (N,)


@pytest.mark.thorough
def test_compiling_takes_none_of_the_seconds(monkeypatch):
    trained, real = [], prepare.Run.train

    def train(run):
        seconds = 0.0 if trained else 3.0
        trained.append(run)
        time.sleep(seconds)
        return replace(real(run), compile_seconds=seconds)

    learnt(quality="best")  # compiles
    monkeypatch.setattr(prepare.Run, "train", train)
    found = learnt(quality="best", max_seconds=2.5, threads=1)
    assert not any("validation_loss" in net.history for net in found.networks)
