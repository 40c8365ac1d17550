"""Checkpoints: a run continues to the same end, bit for bit, whatever happened to it; no other run does."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
from command import assert_one_line, run

import fastbp
from fastbp.model import storage
from fastbp.second_order.options import NAMES

rng = np.random.default_rng(0)
X = rng.normal(size=(120, 4))
Y = X @ [1.0, -2.0, 0.5, 0.0] + 0.1 * rng.normal(size=120)
LABELS = np.where(Y > 0, "high", "low")
QUIET = {"seed": 3, "progress": False}
PLAN = {"hidden": (6, 3), "epochs": 12, "validation": 0.2, **QUIET}


class BreakOff(Exception):  # noqa: N818
    """Ends a run in these tests."""


def broken_off(path, X, y, epoch, **options):
    """Train until after `epoch`, and leave a checkpoint."""

    def stop(seen):
        if seen.epoch == epoch:
            raise BreakOff

    with pytest.raises(BreakOff):
        fastbp.train(X, y, checkpoint=path, checkpoint_every=1, callback=stop, **options)


def assert_same(a, b):
    np.testing.assert_array_equal(a.params, b.params)
    assert a.history.keys() == b.history.keys()
    for key in a.history.keys() - {"seconds"}:
        np.testing.assert_array_equal(a.history[key], b.history[key])
    assert (a.stop_reason, a.best_epoch, dict(a.options)) == (b.stop_reason, b.best_epoch, dict(b.options))
    np.testing.assert_array_equal(a.predict(X[:5]), b.predict(X[:5]))


RUNS = {
    **{name: {"optimizer": name} for name in fastbp.kernels.OPTIMIZERS},
    **{name: {"optimizer": name, "activation": "tanh"} for name in NAMES},
    "float64": {"dtype": "float64", "dropout": (0.2, 0.1)},
    "sample by sample": {"optimizer": "sgd", "batch_size": 1, "learning_rate": 0.01},
    "tiny, sample by sample": {"hidden": (3,), "activation": "logistic", "optimizer": "sgd", "batch_size": 1}
    | {"validation": None},
    "no validation": {"validation": None, "target_loss": 1e-9},
    "in order": {"shuffle": False, "clip_norm": 0.5, "l2": 0.01},
    "cosine": {"schedule": "cosine", "warmup": 2},
    "patience": {"patience": 1, "learning_rate": 0.05, "metric": "score"},
}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_that_is_broken_off_continues_to_the_same_end(name, tmp_path):
    options = PLAN | RUNS[name]
    wanted = fastbp.train(X, LABELS, **options)
    path = tmp_path / "run.fbp"
    broken_off(path, X, LABELS, min(5, len(wanted.history["loss"])), **options)
    assert fastbp.load(path).stop_reason == "unfinished"
    assert_same(fastbp.resume(path, X, LABELS, progress=False), wanted)
    # the file of a finished run holds the network
    assert_same(fastbp.load(path), wanted)
    assert_same(fastbp.resume(path, X, LABELS), wanted)


def test_what_a_file_cannot_hold_is_passed_again(tmp_path):
    def loss(y, a):
        return 0.5 * (a - y) ** 2

    def slope(y, a):
        return a - y

    given = {
        "loss": (loss, slope),
        "validation": (X[:30], Y[:30]),
        "metric": lambda y, p: -abs(y - p).mean(),
        "sample_weight": abs(Y),
    }
    options = PLAN | given
    wanted, path = fastbp.train(X, Y, **options), tmp_path / "run.fbp"
    broken_off(path, X, Y, 4, **options)
    for name in given:
        with pytest.raises(ValueError, match=rf"^{name}: .*pass it again"):
            fastbp.resume(path, X, Y, **{k: v for k, v in given.items() if k != name})
    for name, other in {"validation": (X[:30], -Y[:30]), "sample_weight": abs(Y) + 1}.items():
        with pytest.raises(ValueError, match=rf"^{name}: expected what the run in .* was begun with"):
            fastbp.resume(path, X, Y, **given | {name: other})
    assert_same(fastbp.resume(path, X, Y, **given), wanted)


def test_a_frame_and_a_network_to_start_from(tmp_path):
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "yes", "no"), "c": X[:, 2]})
    first = fastbp.train(frame, LABELS, **PLAN)
    options = QUIET | {"epochs": 8, "init": first, "class_weight": {"low": 2.0}}
    wanted, path = fastbp.train(frame, LABELS, **options), tmp_path / "run.fbp"
    broken_off(path, frame, LABELS, 3, **options)
    found = fastbp.resume(path, frame, LABELS, class_weight={"low": 2.0})
    np.testing.assert_array_equal(found.params, wanted.params)
    assert found.predict(frame).tolist() == wanted.predict(frame).tolist()
    with pytest.raises(ValueError, match="sample_weight: expected what the run"):
        fastbp.resume(path, frame, LABELS, class_weight={"low": 3.0})


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """The bytes of a checkpoint after epoch 5 of 12."""
    path = tmp_path_factory.mktemp("begun") / "run.fbp"
    broken_off(path, X, LABELS, 5, **PLAN)
    return path.read_bytes()


@pytest.fixture
def path(begun, tmp_path):
    path = tmp_path / "run.fbp"
    path.write_bytes(begun)
    return path


OTHERS = {
    "X": [*((rows, LABELS) for rows in (X + 1e-12, X[::-1], X.astype(np.float32), X[:, :3])), (X[:-1], LABELS[:-1])],
    "y": [(X, np.where(Y > 0.5, "high", "low")), (X, np.where(Y > 0, "much", "little"))],
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_data_are_refused(name, path):
    for data in OTHERS[name]:
        with pytest.raises(ValueError, match=f"^{name}: expected what the run in .*run.fbp' was begun with"):
            fastbp.resume(path, *data)


def test_other_options_are_refused_and_equal_ones_are_not(path):
    others = {"epochs": 13, "hidden": (6, 4), "learning_rate": 0.1, "seed": 4, "dtype": "float64"}
    others |= {"validation": (X, LABELS), "shuffle": False, "class_weight": {"low": 2.0}}
    for name, value in others.items():
        with pytest.raises(ValueError, match=rf"^{name}: expected .*with which the run in .* was begun, got"):
            fastbp.resume(path, X, LABELS, **{name: value})
    with pytest.raises(ValueError, match="did you mean 'hidden'"):
        fastbp.resume(path, X, LABELS, hiden=3)
    with pytest.raises(ValueError, match="checkpoint_every: expected an integer"):
        fastbp.resume(path, X, LABELS, checkpoint_every=0)
    fastbp.resume(path, X, LABELS, hidden=[6, 3], epochs=np.int64(12), seed=3, validation=0.2)


def test_a_network_is_no_checkpoint(path):
    net = fastbp.resume(path, X, LABELS)
    net.save(path)
    with pytest.raises(ValueError, match="it holds a network, and not the state of a run"):
        fastbp.resume(path, X, LABELS)
    with pytest.raises(FileNotFoundError):
        fastbp.resume(path.with_name("none"), X, LABELS)


def test_a_file_that_is_there_is_not_written_over(path, begun):
    with pytest.raises(
        ValueError, match=r"checkpoint: expected a file that does not exist yet, got .*continue with fastbp\.resume"
    ):
        fastbp.train(X, LABELS, checkpoint=path, **PLAN)
    assert path.read_bytes() == begun


def test_a_place_that_cannot_be_written_is_an_error_before_training(tmp_path):
    with pytest.raises(FileNotFoundError, match="checkpoint: the file cannot be written"):
        fastbp.train(X, LABELS, checkpoint=tmp_path / "none" / "run.fbp", callback=lambda seen: 1 / 0, **PLAN)


def test_another_version_is_named(path):
    with storage.sound(path):
        header, tensors = storage.read(path)
    header["run"]["versions"]["fastbp"] = "0.0.1"
    storage.write(path, header, tensors)
    with pytest.warns(RuntimeWarning, match=r"begun with .*0\.0\.1.*the last bits may differ"):
        fastbp.resume(path, X, LABELS)


def test_how_often_it_is_written(tmp_path, monkeypatch):
    written = []
    real = storage.write
    monkeypatch.setattr(
        storage,
        "write",
        lambda path, header, tensors: (
            written.append(len(tensors["history.loss"]) if "history.loss" in tensors else 0)
            or real(path, header, tensors)
        ),
    )
    fastbp.train(X, LABELS, checkpoint=tmp_path / "a", checkpoint_every=5, **PLAN)
    assert written == [0, 5, 10, 12]
    written.clear()
    fastbp.train(X, LABELS, checkpoint=tmp_path / "b", **PLAN)  # takes less than ten seconds
    assert written == [0, 12]


# Damage


def same_or_refused(path, wanted):
    """Whether the file is refused; if it is not, it must lead to the same end."""
    try:
        fastbp.load(path)
        found = fastbp.resume(path, X, LABELS)
    except ValueError as refusal:
        return str(refusal).startswith("path: expected a")
    assert_same(found, wanted)
    return False


def damage(path, begun, flips, cuts):
    wanted = fastbp.train(X, LABELS, **PLAN)
    chance = random.Random(0)
    for length in [0, 1, 7, 8, 9, len(begun) - 1, *(chance.randrange(len(begun)) for _ in range(cuts))]:
        path.write_bytes(begun[:length])
        assert same_or_refused(path, wanted)
    refused = 0
    for _ in range(flips):
        place, bit = chance.randrange(len(begun)), chance.randrange(8)
        path.write_bytes(begun[:place] + bytes([begun[place] ^ 1 << bit]) + begun[place + 1 :])
        refused += same_or_refused(path, wanted)
    assert refused >= 0.9 * flips  # spaces at the end of a safetensors header do not matter


def test_a_file_that_is_cut_or_has_a_flipped_bit_is_refused(path, begun):
    damage(path, begun, flips=100, cuts=20)


@pytest.mark.long
def test_many_flipped_bits_and_cuts(path, begun):
    damage(path, begun, flips=20_000, cuts=2_000)


# Processes that are killed, and disks that are full

CHILD = """
    import os, random, signal, sys, time, warnings
    import numpy as np
    import fastbp

    folder, kills = sys.argv[1], int(sys.argv[2])
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 4))
    y = X[:, 0] * X[:, 1] > 0
    options = {"hidden": (40, 30), "epochs": 60, "validation": 0.2, "dropout": 0.1, "seed": 1, "progress": False}
    wanted = fastbp.train(X, y, **options)
    took, killed, rounds, chance = 0.3, 0, 0, random.Random(7)
    while killed < kills:
        path, rounds, ended = os.path.join(folder, f"run{rounds}.fbp"), rounds + 1, False
        while not ended:
            child = os.fork()  # a training of its own, without the time that it takes to start Python
            if child == 0:
                if os.path.exists(path):
                    fastbp.resume(path, X, y)
                else:
                    fastbp.train(X, y, checkpoint=path, checkpoint_every=1, **options)
                os._exit(0)
            started = time.perf_counter()
            if killed < kills:
                time.sleep(chance.uniform(0, took))
                os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            ended = os.WIFEXITED(status)
            assert ended or os.WTERMSIG(status) == signal.SIGKILL, status
            assert not ended or os.WEXITSTATUS(status) == 0, status
            killed += not ended
            if os.path.exists(path):
                epochs = len(fastbp.load(path).history.get("loss", ()))  # the newest, or the one before
        assert epochs == 60
        found = fastbp.load(path)
        assert (found.params == wanted.params).all() and found.stop_reason == wanted.stop_reason
        assert all((found.history[k] == wanted.history[k]).all() for k in wanted.history if k != "seconds")
    assert sorted(os.listdir(folder)) == sorted(f"run{k}.fbp" for k in range(rounds)), os.listdir(folder)
    print(killed, rounds)
"""


def killed_at_random(folder, kills):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(folder), str(kills)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[0] == str(kills)


@pytest.mark.thorough
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_runs_that_are_killed_at_random_moments_reach_the_same_end(tmp_path):
    killed_at_random(tmp_path, 20)


@pytest.mark.long
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_many_kills(tmp_path):
    killed_at_random(tmp_path, 1000)


FULL = """
    import sys, warnings
    import numpy as np
    import fastbp

    path, fill, empty = sys.argv[1], sys.argv[2], sys.argv[3]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 4))
    y = X[:, 0] > 0
    options = {"hidden": (200,), "epochs": 8, "seed": 1, "progress": False}
    wanted = fastbp.train(X, y, **options)

    def disk(seen):
        exec(fill if seen.epoch == 3 else empty if seen.epoch == 6 and len(sys.argv) > 4 else "")

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = fastbp.train(X, y, checkpoint=path, checkpoint_every=1, callback=disk, **options)
    assert (found.params == wanted.params).all()
    texts = [str(warning.message) for warning in caught]
    assert len(texts) == (3 if len(sys.argv) > 4 else 6), texts
    assert all("could not be written (" in text and "the one before is still there" in text for text in texts), texts
    kept = fastbp.load(path)
    assert len(kept.history["loss"]) == (8 if len(sys.argv) > 4 else 3)
    exec(empty)
    assert (fastbp.resume(path, X, y).params == wanted.params).all()
    print("ok")
"""


def full_disk(path, fill, empty):
    for more in ((), ("free again",)):
        command = [sys.executable, "-c", textwrap.dedent(FULL), str(path), fill, empty, *more]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.stdout == "ok\n", done.stderr
        assert os.listdir(path.parent) == [path.name]
        path.unlink()


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform == "win32", reason="no limits of this kind")
def test_a_full_disk_costs_the_newest_checkpoint_only(tmp_path):
    limit = "import resource as r; r.setrlimit(r.RLIMIT_FSIZE, ({}, r.getrlimit(r.RLIMIT_FSIZE)[1]))"
    full_disk(tmp_path / "run.fbp", limit.format(1000), limit.format("r.RLIM_INFINITY"))


@pytest.mark.long
def test_a_full_file_system(tmp_path):
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True
    ).returncode:
        pytest.skip("file systems cannot be mounted here")
    try:
        write = f"with open({str(tmp_path / '.full')!r}, 'wb', 0) as file:\n        while file.write(b'0' * 512): pass"
        fill = f"try:\n    {write}\nexcept OSError: pass"
        empty = f"import os; os.path.exists({str(tmp_path / '.full')!r}) and os.unlink({str(tmp_path / '.full')!r})"
        full_disk(tmp_path / "run.fbp", fill, empty)
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_ctrl_c_keeps_the_last_epoch(tmp_path):
    code = """
        import sys, warnings
        import numpy as np
        import fastbp

        X = np.random.default_rng(0).normal(size=(4000, 8))
        options = {"hidden": (16,), "seed": 1, "progress": False}
        seen = lambda epoch: print(epoch.epoch, flush=True)
        warnings.simplefilter("ignore")
        net = fastbp.train(X, X[:, 0], epochs=100_000, checkpoint=sys.argv[1], callback=seen, **options)
        epochs = len(net.history["loss"])
        assert net.stop_reason == "interrupted" == fastbp.load(sys.argv[1]).stop_reason
        assert epochs == len(fastbp.load(sys.argv[1]).history["loss"])
        wanted = fastbp.train(X, X[:, 0], epochs=epochs, **options)
        assert (net.params == wanted.params).all() and (fastbp.load(sys.argv[1]).params == wanted.params).all()
        stop = fastbp.resume(sys.argv[1], X, X[:, 0], callback=lambda epoch: epoch.epoch == epochs + 3)
        wanted = fastbp.train(X, X[:, 0], epochs=epochs + 3, **options)
        assert (stop.params == wanted.params).all()
        print("same")
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path / "run.fbp")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "1\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=100)[0].endswith("same\n")
    assert child.returncode == 0


# The command line


def test_the_command_line_continues_a_run(capsys, tmp_path):
    table, model, kept = tmp_path / "t.csv", tmp_path / "m.fbp", tmp_path / "run.fbp"
    pd.DataFrame(X, columns=list("abcd")).assign(kind=LABELS).to_csv(table, index=False)
    typed = ["train", table, "--target", "kind", "--save", model, "--quiet"]
    plan = ["--epochs", 9, "--hidden", "5", "--seed", 3]
    assert run(capsys, *typed, *plan)[0] == 0
    wanted = fastbp.load(model)
    assert run(capsys, *typed, *plan, "--checkpoint", kept)[0] == 0
    with storage.sound(kept):
        assert json.dumps(storage.read(kept)[0]["run"]["said"]["hidden"]) == "[5]"
    assert_one_line(
        *run(capsys, *typed, *plan, "--checkpoint", kept), "--checkpoint: expected a file that does not exist yet"
    )
    assert_one_line(
        *run(capsys, *typed, "--resume", kept, "--hidden", "64"), "--hidden: expected [5], with which the run in"
    )
    assert run(capsys, *typed, "--resume", kept, "--hidden", "5")[0] == 0
    assert_same(fastbp.load(model), wanted)
    table.write_text(table.read_text().replace("high", "high up"))
    assert_one_line(*run(capsys, *typed, "--resume", kept), "t.csv: target 'kind': expected what the run in")
    assert run(capsys, *typed, "--resume", kept, "--checkpoint", kept)[0] == 2


def test_a_posterior_is_found_again(tmp_path):
    options = QUIET | {"hidden": (4,), "activation": "tanh", "optimizer": "bayesian", "epochs": 40}
    wanted, path = fastbp.train(X, Y, **options), tmp_path / "run.fbp"
    broken_off(path, X, Y, 20, **options)
    for _ in range(2):  # continued, and complete
        found = fastbp.resume(path, X, Y, progress=False)
        np.testing.assert_array_equal(found.posterior.root, wanted.posterior.root)
        assert found.posterior.noise == wanted.posterior.noise
