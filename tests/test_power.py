"""Power cuts after every call of a save, a checkpoint, an export and a compilation: nothing is lost or half there."""

import functools
import os
import random
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import power
import pytest

import fastbp
from fastbp.graph import Drawing
from fastbp.kernels.compiler import cache
from fastbp.model import storage

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc"))), None)
recorded = pytest.mark.skipif(
    sys.platform != "linux" or COMPILER is None, reason="calls are recorded on Linux, by a library that gcc compiles"
)
MODELS = Path(__file__).parent / "models"
# Temporary files: what a power cut may leave besides
LEFTOVERS = r"\..+\.[0-9a-f]{16}"
X = np.random.default_rng(0).normal(size=(60, 3))
Y = X[:, 0] - X[:, 1]
PLAN = {"hidden": (3,), "epochs": 6, "seed": 1, "validation": 0.2, "checkpoint_every": 2, "progress": False}


@pytest.fixture(scope="module", name="record")
def recorder(tmp_path_factory):
    """A function that runs a program in a folder, in a process that is recorded."""
    folder = tmp_path_factory.mktemp("library")
    library = power.build(folder, COMPILER)
    return functools.partial(power.record, library, PYTHONPATH=str(Path(__file__).parent))


def survived(recording, most, sample=10, **options):
    """Try power cuts, so many states after each call at most; return their number, and some different states."""
    count, seen, kept, chance = 0, set(), [], random.Random(1)
    durable = options.get("folders", True)
    for cut in recording.survey(most, **options):
        count += 1
        assert recording.broken(cut, LEFTOVERS, durable) == [], f"after {recording.calls[: cut.calls]}"
        key = hash(tuple(sorted(cut.tree.items())))
        if key not in seen:
            seen.add(key)
            place = len(kept) if len(kept) < sample else chance.randrange(len(seen))
            kept[place : place + 1] = [cut.tree] if place < sample else []
    print(f"{len(recording.events)} calls, {count} states, {len(seen)} different")
    return count, kept


# Saves

SAVE = """
    import sys, fastbp
    for source in sys.argv[1:]:
        fastbp.load(source).save("net.fbp")
        saved("net.fbp")
"""


def saves(record, folder, names):
    sources = [str(MODELS / f"{name}.fbp") for name in names]
    return record(SAVE, folder, *sources)


def is_saved_again(trees, folder):
    """Whether the model loads wherever it is, and can be saved there and next to what is left over."""
    for number, tree in enumerate(trees):
        place = folder / f"state{number}"
        power.put(tree, place)
        path = place / "net.fbp"
        if "net.fbp" in tree:
            fastbp.load(path)
        wanted = fastbp.load(MODELS / "3-classes.fbp")
        wanted.save(path)
        assert fastbp.load(path).params.tobytes() == wanted.params.tobytes()
        assert power.contents(place).keys() == tree.keys() | {"net.fbp"}


@recorded
@pytest.mark.parametrize("before", [True, False])
def test_a_saved_network_survives(before, record, tmp_path):
    folder = tmp_path / "saves"
    folder.mkdir()
    if before:
        fastbp.load(MODELS / "3-classes.fbp").save(folder / "net.fbp")
    recording = saves(record, folder, ["3-regression", "3-columns"])
    count, trees = survived(recording, 300)
    assert count > 600
    assert any(len(tree) > 1 for tree in trees)  # a temporary file is left
    is_saved_again(trees, tmp_path)
    survived(recording, 300, folders=False)  # as on Windows: an earlier file or the last one


@recorded
@pytest.mark.thorough
@pytest.mark.parametrize("names", [["3-regression", "7-text", "8-posterior"], ["4-ensemble", "3-labels", "4-ensemble"]])
def test_saved_networks_and_ensembles_survive(names, record, tmp_path):
    folder = tmp_path / "saves"
    folder.mkdir()
    shutil.copy(MODELS / "4-ensemble.fbp", folder / "net.fbp")
    recording = saves(record, folder, names)
    for seed in range(5):
        _, trees = survived(recording, 2000, 20, seed=seed)
        is_saved_again(trees, tmp_path / str(seed))
        survived(recording, 2000, seed=seed, folders=False)


@recorded
@pytest.mark.long
def test_every_state_of_a_save(record, tmp_path):
    folder = tmp_path / "saves"
    folder.mkdir()
    recording = saves(record, folder, ["3-regression", "3-labels"])
    largest = max(len(event.data) for event in recording.events if event.call == "write")
    count, trees = survived(recording, 10**7, 200, block=largest // 9 + 1)
    assert count >= 100_000
    is_saved_again(trees, tmp_path)


# Checkpoints

TRAIN = """
    import sys, fastbp
    from fastbp.training.checkpoint import CheckpointWriter
    from test_power import PLAN, X, Y
    save = CheckpointWriter.save

    def report(self, state):
        save(self, state)
        saved("run.fbp")

    CheckpointWriter.save = report
    if sys.argv[1] == "train":
        fastbp.train(X, Y, checkpoint="run.fbp", **PLAN)
    else:
        fastbp.resume("run.fbp", X, Y, progress=False)
"""


def continues(trees, folder):
    """Whether the run reaches the same end from each of these states, and clears away what was left over."""
    wanted = fastbp.train(X, Y, **{key: value for key, value in PLAN.items() if key != "checkpoint_every"})
    for number, tree in enumerate(trees):
        place = folder / f"state{number}"
        power.put(tree, place)
        path = place / "run.fbp"
        if "run.fbp" in tree:
            found = fastbp.resume(path, X, Y, progress=False)
        else:
            found = fastbp.train(X, Y, checkpoint=path, **PLAN)
        for net in (found, fastbp.load(path)):
            assert net.params.tobytes() == wanted.params.tobytes()
        assert power.contents(place).keys() == {"run.fbp"}


@pytest.fixture
def begun(tmp_path):
    """A folder with the checkpoint of a run that was broken off, and with a file that it left when it wrote."""
    folder = tmp_path / "begun"
    folder.mkdir()

    def stop(epoch):
        if epoch.epoch == 3:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fastbp.train(X, Y, checkpoint=folder / "run.fbp", callback=stop, **PLAN)
    (folder / f".run.fbp.{'0' * 16}").write_bytes(b"half")
    return folder


@recorded
def test_a_checkpoint_survives(record, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    recording = record(TRAIN, folder, "train")
    assert len(recording.versions["run.fbp"]) == 6  # none; after epochs 0, 2, 4 and 6; at the end
    count, trees = survived(recording, 200)
    assert count > 800
    continues(trees, tmp_path)


@recorded
@pytest.mark.thorough
def test_a_resumed_run_survives(record, begun, tmp_path):
    recording = record(TRAIN, begun, "resume")
    assert any(event.call == "unlink" for event in recording.events)
    for seed in range(5):
        _, trees = survived(recording, 2000, 20, seed=seed)
        continues(trees, tmp_path / str(seed))
        survived(recording, 2000, seed=seed, folders=False)


@recorded
@pytest.mark.long
def test_many_states_of_a_run(record, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    recording = record(TRAIN, folder, "train")
    count, trees = survived(recording, 50_000, 1000)
    assert count > 200_000
    continues(trees, tmp_path)


# Exports and the command line

EXPORTS = """
    import sys
    import numpy as np
    import fastbp
    from fastbp import graph

    net = fastbp.load(sys.argv[1])
    net.to_onnx("net.onnx"); saved("net.onnx")
    net.to_c("net.c"); saved("net.c")
    net.to_numpy("net.py"); saved("net.py")
    graph.draw(graph.Variable(np.ones(2), name="x") * 2.0).save("graph.svg"); saved("graph.svg")
"""
COMMANDS = """
    import os
    from fastbp.cli import main
    typed = ["train", "table.csv", "--target", "y", "--epochs", "2", "--hidden", "3", "--seed", "1", "--quiet"]
    assert main([*typed, "--save", "net.fbp", "--plot", "new/plots", "--report", "report.html"]) == 0
    for path in ("net.fbp", "new/plots/learning-curves.png", "new/plots/predicted.png", "report.html"):
        saved(path)
    assert main(["predict", "net.fbp", "table.csv", "--output", "out.csv"]) == 0
    saved("out.csv")
    assert main(["export", "net.fbp", "--to", "numpy"]) == 0
    saved("net.py")
    assert main(["demo", "xor", "--plot", "demo"]) == 0
    for name in sorted(os.listdir("demo")):
        saved(f"demo/{name}")
"""


@recorded
@pytest.mark.thorough
@pytest.mark.parametrize("program", ["exports", "commands"])
def test_what_was_written_survives(program, record, tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    if program == "exports":
        for name in ("net.onnx", "net.c", "net.py", "graph.svg"):
            (folder / name).write_text("old")
        recording, block = record(EXPORTS, folder, str(MODELS / "3-regression.fbp")), 512
    else:
        rows = [f"{a},{b},{a - b}" for a, b in X[:, :2].round(3)]
        (folder / "table.csv").write_text("\n".join(["a,b,y", *rows]))
        recording, block = record(COMMANDS, folder), 4096
    survived(recording, 300, block=block)
    survived(recording, 20, block=block, folders=False)


# The compile cache

COMPILE = """
    import fastbp
    X = [[0, 0], [0, 1], [1, 0], [1, 1]]
    net = fastbp.train(X, [0, 1, 1, 0], hidden=(4,), seed=0, epochs=20, progress=False)
    print(net.params.tobytes().hex(), net.predict_proba(X).tobytes().hex())
"""


def compiled(folder):
    """What the program prints with this cache."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder), "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-c", textwrap.dedent(COMPILE)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout


def cuts_of_a_compilation(record, folder, most, runs):
    whole = folder / "cache"
    (whole / "fastbp" / cache.source_digest()).mkdir(parents=True)  # without it, there is no file to look at
    recording = record(COMPILE, whole, NUMBA_CACHE_DIR=str(whole), NUMBA_NUM_THREADS="1")
    kept = {path: data for path, data in power.contents(whole).items() if data is not None}
    wanted, seen, count, states = compiled(whole), set(), 0, []
    for cut in recording.survey(most, block=4096):
        count += 1
        if random.Random(count).random() < 0.01:
            states.append(cut.tree)
        for path, data in cut.tree.items():
            if path in kept and (path, data) not in seen:
                seen.add((path, data))
                file = folder / Path(path).name
                file.write_bytes(data)
                assert (cache.read(file) is None) == (data != kept[path])
    print(f"{len(recording.events)} calls, {count} states, {len(seen)} different files")
    for number, tree in enumerate(random.Random(0).sample(states, runs)):
        state = folder / f"state{number}"
        power.put(tree, state)
        assert compiled(state) == wanted
        settled = power.contents(state)
        assert compiled(state) == wanted
        assert power.contents(state) == settled  # the second time, all that is needed was found


@recorded
@pytest.mark.thorough
def test_the_cache_is_right_after_a_power_cut(record, tmp_path):
    cuts_of_a_compilation(record, tmp_path, 10, 2)


@recorded
@pytest.mark.long
def test_the_cache_is_right_after_many_power_cuts(record, tmp_path):
    cuts_of_a_compilation(record, tmp_path, 300, 10)


# Other systems


def test_a_file_that_another_program_has_open(tmp_path, monkeypatch):
    path, checkpoint, other = tmp_path / "net.fbp", tmp_path / "run.fbp", fastbp.load(MODELS / "3-regression.fbp")
    fastbp.load(MODELS / "3-classes.fbp").save(path)
    before, replace = path.read_bytes(), os.replace

    def refuse(source, target):
        raise PermissionError(13, "Access is denied", source, None, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(PermissionError, match="another program has it open") as raised:
        other.save(path)
    assert raised.value.filename == str(path)
    assert power.contents(tmp_path) == {"net.fbp": before}
    with pytest.raises(PermissionError, match=r"checkpoint: the file cannot be written .*another program has it open"):
        fastbp.train(X, Y, checkpoint=checkpoint, **PLAN)
    monkeypatch.setattr(os, "replace", replace)

    def hold(epoch):
        monkeypatch.setattr(os, "replace", refuse if epoch.epoch < 5 else replace)

    with pytest.warns(RuntimeWarning, match="could not be written .*another program has it open.*still there"):
        fastbp.train(X, Y, checkpoint=checkpoint, callback=hold, **PLAN)
    assert fastbp.load(checkpoint).stop_reason == "epochs"
    assert power.contents(tmp_path).keys() == {"net.fbp", "run.fbp"}


def test_on_macos_the_disk_empties_its_cache(tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    called = []
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(fcntl, "F_FULLFSYNC", 51, raising=False)
    monkeypatch.setattr(fcntl, "fcntl", lambda file, call: called.append(call))
    monkeypatch.setattr(os, "fsync", lambda file: called.append("fsync"))
    storage.write_atomically(tmp_path / "a", b"")
    assert called == [51, 51]  # the file, and its name

    def fail(file, call):
        raise OSError("not on this file system")

    monkeypatch.setattr(fcntl, "fcntl", fail)
    storage.write_atomically(tmp_path / "a", b"")
    assert called == [51, 51, "fsync", "fsync"]


def test_a_drawing_that_fails_keeps_the_earlier_one(tmp_path, monkeypatch):
    Drawing("<svg/>").save(tmp_path / "a.svg")

    def full(file):
        raise OSError("no space left")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="no space left"):
        Drawing("<svg></svg>").save(tmp_path / "a.svg")
    assert power.contents(tmp_path) == {"a.svg": b"<svg/>"}
