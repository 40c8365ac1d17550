"""Several networks for one table: networks that diverge, Ctrl-C, what is refused, and many results at once."""

import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from test_many import same
from test_quality import FRAME, NUMBERS, N, X, learnt, prepared, same_models

import fastbp
from fastbp.training import prepare
from fastbp.training.quality import finished

# Failures


@pytest.mark.parametrize("quality", ["fast", "default"])
@pytest.mark.parametrize(("rows", "rate"), [(FRAME, 1e6), (FRAME, 1e30), (X, 1e30)])
def test_divergence_of_all(quality, rows, rate):
    with pytest.raises(FloatingPointError, match=r"training diverged in epoch 1, .* of layer .* no longer finite"):
        learnt(rows, quality=quality, hidden=(64, 64), learning_rate=rate)


def diverging(monkeypatch, numbers, at_once):
    """Let the runs of these numbers diverge, in the first epoch or later."""
    count, real = [], prepare.Run.train

    def train(run):
        count.append(run)
        net = real(run)
        if len(count) - 1 not in numbers:
            return net
        if at_once:
            raise FloatingPointError(f"training diverged ({len(count) - 1})")
        return replace(net, stop_reason="diverged")

    monkeypatch.setattr(prepare.Run, "train", train)


@pytest.mark.parametrize(("at_once", "text"), [(True, r"; the first is training diverged \(5\)$"), (False, "$")])
def test_divergence_of_some(at_once, text, monkeypatch):
    diverging(monkeypatch, {0, 5, 7}, at_once)
    with pytest.warns(RuntimeWarning, match="2 of 8 networks diverged" + text) as warned:
        found = learnt(quality="default", threads=1)
    assert warned[0].filename == learnt.__code__.co_filename  # the line that calls fastbp.train
    assert (len(found.networks), found.options["n"], found.options["pilots"]) == (6, 6, 3 if at_once else 4)
    assert {net.options["samples"] for net in found.networks} == {N}


def test_late_divergence_of_all_members(monkeypatch):
    diverging(monkeypatch, set(range(4, 12)), at_once=False)
    with pytest.warns(RuntimeWarning, match="8 of 8 networks diverged; the result is as trained so far"):
        found = learnt(quality="default", threads=1)
    assert {net.options["samples"] for net in found.networks} == {N - 24}  # the pilots


def test_divergence_of_all_members(monkeypatch):
    diverging(monkeypatch, set(range(4, 12)), at_once=True)
    with pytest.raises(FloatingPointError, match=r"diverged \(4\)"):
        learnt(quality="default", threads=1)


# In each case, the program waits in its run number `stop` until Ctrl-C has come, and for a second one if `twice`.
INTERRUPTED = """
    import signal, sys, time, warnings
    import numpy as np, pandas as pd, fastbp
    from fastbp.runtime import interruption
    from fastbp.training import prepare
    x = np.random.default_rng(0).normal(size=(60, 2))
    frame, y = pd.DataFrame(x, columns=["a", "b"]), x[:, 0] * x[:, 1]
    real = prepare.Run.train

    def case(stop, twice, quality, epochs, many):
        count, aborted = [], []

        def train(run):
            count.append(1)
            if len(count) - 1 == stop:
                print("go", flush=True)
                while not interruption.shared.get().came:
                    time.sleep(0.01)
                if twice:
                    print("go", flush=True)
                    while not aborted:
                        time.sleep(0.01)
            return real(run)

        prepare.Run.train = train
        options = {"quality": quality, "epochs": epochs, "hidden": 3, "threads": 1, "progress": False}
        try:
            if many:
                nets = fastbp.train_many(frame, y, [{"seed": 1}, {"seed": 2}], **options)
                return len(nets[0].networks), nets.failures
            found = fastbp.train(frame, y, seed=1, **options)
            nets = getattr(found, "networks", [found])
            reasons, rows = sorted(net.stop_reason for net in nets), {net.options["samples"] for net in nets}
            return found.options["interrupted"], reasons, rows, found.predict(frame).shape
        except KeyboardInterrupt:
            return "KeyboardInterrupt"
        finally:
            aborted.append(True)

    for arguments in eval(sys.argv[1]):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            result = case(*arguments)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        print(result, [str(warning.message) for warning in seen], flush=True)
"""
SO_FAR = "; the result is as trained so far']"
NOT_TRAINED = "(8, {1: NotTrainedError('variants[1]: Ctrl-C came before the network was trained')})"
CASES = {
    (0, False, "default", None, False): ("(True, ['interrupted'], {48}, (60,))", f"after 0 of 8 networks{SO_FAR}"),
    (1, False, "fast", None, False): ("(True, ['patience'], {48}, (60,))", f"after 0 of 1 networks{SO_FAR}"),
    (4, False, "default", None, False): (f"(True, {['patience'] * 4}, {{48}}, ", f"after 0 of 8 networks{SO_FAR}"),
    (6, False, "default", None, False): ("(True, ['epochs', 'epochs'], {60}, ", "after 2 of 8 networks']"),
    (0, False, "default", 99, False): ("(True, ['interrupted'], {60}, ", f"after 0 of 8 networks{SO_FAR}"),
    (0, True, "default", None, False): ("KeyboardInterrupt", "[]"),
    (14, False, "default", None, True): (NOT_TRAINED, "1 of 2 networks are missing"),
    (18, False, "default", None, True): (NOT_TRAINED, "1 of 2 networks are missing"),
}


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
def test_ctrl_c():
    command = [sys.executable, "-c", textwrap.dedent(INTERRUPTED), repr(list(CASES))]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    for (_, twice, *_), (begin, inside) in CASES.items():
        for _ in range(1 + twice):
            assert child.stdout.readline() == "go\n"
            child.send_signal(signal.SIGINT)
        line = child.stdout.readline()
        assert line.startswith(begin)
        assert inside in line
    assert child.wait(timeout=60) == 0


# What goes with it


@pytest.mark.parametrize("quality", ["fast", "default", "best"])
def test_options_of_one_run_are_refused(quality, tmp_path):
    single = f"quality: expected 'single' {{}}, got '{quality}'"
    net = learnt(quality="single", epochs=1)
    for options, why in (
        ({"target_loss": 0.1}, "with target_loss, which is about one run"),
        ({"target_accuracy": 0.9}, "with target_accuracy, which is about one run"),
        ({"patience": 3}, "with patience, which is about one run"),
        ({"metric": "score", "validation": 0.2}, "with metric, which judges the epochs of one run"),
        ({"callback": print}, "with a callback, which is about one run"),
        ({"checkpoint": tmp_path / "run.fbp"}, "with a checkpoint, which is about one run"),
        ({"init": net}, "with a network given as init"),
    ):
        with pytest.raises(ValueError, match=single.format(why)):
            learnt(quality=quality, **options)
    assert not list(tmp_path.iterdir())


def test_dask_collections_are_refused():
    array = pytest.importorskip("dask.array")
    with pytest.raises(ValueError, match="quality: expected 'single' for a Dask collection, got 'fast'"):
        learnt(array.from_array(X), NUMBERS)


@pytest.mark.parametrize("quality", ["fats", None, 3, ["fast"], True])
def test_unknown_names(quality):
    with pytest.raises(ValueError, match="quality: expected one of 'auto', 'single', 'fast', 'default', 'best', got"):
        learnt(quality=quality)


@pytest.mark.parametrize(
    "options",
    [
        {"epochs": 3},
        {"target_loss": 100.0},
        {"patience": 2},
        {"metric": "score"},
        {"callback": lambda epoch: epoch.epoch == 2},
        {"optimizer": "sgd"},
        {"scale": False},
    ],
)
def test_auto_is_a_single_run_with(options):
    assert same(learnt(quality="auto", **options), learnt(quality="single", **options))


def test_auto_is_a_single_run_of_arrays_and_from_a_network_or_with_a_checkpoint(tmp_path):
    assert same(learnt(X, quality="auto"), learnt(X, quality="single"))
    net = learnt(quality="single", epochs=1)
    assert isinstance(fastbp.train(FRAME, NUMBERS, init=net, seed=0, progress=False), fastbp.Network)
    assert isinstance(learnt(quality="auto", checkpoint=tmp_path / "run.fbp"), fastbp.Network)


# Many at once


@pytest.mark.parametrize("options", [{}, {"quality": "fast"}, {"quality": "single"}, {"epochs": 3}])
def test_cross_validation(options):
    found = fastbp.cross_validate(FRAME, NUMBERS, folds=3, seed=1, hidden=4, progress=False, **options)
    assert np.isfinite(found.scores).all()
    rest = np.delete(np.arange(N), found.tests[1])
    model = found.networks[1]
    assert isinstance(model, fastbp.Network if options else fastbp.Ensemble)
    wanted = {"quality": "auto", "hidden": 4, "seed": model.options["seed"]} | options
    alone = learnt(FRAME.iloc[rest], NUMBERS[rest], **wanted)
    assert same_models(model, alone)


@pytest.mark.parametrize("options", [{}, {"optimizer": "sgd", "batch_size": 1, "hidden": 2}, {"validation": 0.2}])
@pytest.mark.parametrize("rows", [FRAME, X])
def test_many(options, rows):
    variants = [{"seed": 1}, {"seed": 2}, {"seed": 3, "learning_rate": 0.02}, {"seed": 4}]
    common = {"hidden": 4, "quality": "fast", "progress": False} | options
    nets = fastbp.train_many(rows, NUMBERS, variants, **common)
    for net, variant in zip(nets, variants, strict=True):
        assert (net.options["quality"], net.options["seed"]) == ("fast", variant["seed"])
        assert same(net, fastbp.train(rows, NUMBERS, **common | variant))


def test_ensembles_of_single_runs_only():
    with pytest.raises(ValueError, match=r"ensemble: expected one of .*, got 'quality'"):
        fastbp.ensemble(FRAME, NUMBERS, 2, quality="fast")
    with pytest.raises(ValueError, match=r"variants\[1\]: quality: expected one of .*, got 'fats'"):
        fastbp.train_many(FRAME, NUMBERS, [{}, {"quality": "fats"}])
    found = fastbp.ensemble(FRAME, NUMBERS, 2, epochs=1, seed=0)
    assert all("quality" not in net.options for net in found.networks)


def test_a_prepared_run_of_each_quality():
    assert same_models(finished(prepared(FRAME, NUMBERS), 1), learnt())
    single = {"quality": "single", "epochs": 2}
    assert same(finished(prepared(FRAME, NUMBERS, **single), 1), learnt(**single))
