"""Memory: X in a file or larger than memory, the same bits with and without a copy, and errors if X cannot fit."""

import math
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest

import fastbp
from fastbp import memory, options
from fastbp.data import samples, scaling, targets
from fastbp.runtime import blocks
from fastbp.training import first_weights, learner
from fastbp.training.train import DEFAULTS

RANDOM = np.random.default_rng(0)
N, FEATURES = 420, 70
X = RANDOM.normal(5, 3, (N, FEATURES)).astype(np.float32)
ZEROS = np.where(RANDOM.random(X.shape) < 0.7, 0, X)
CLASSES, NUMBERS = RANDOM.integers(0, 3, N), X[:, :2] @ [1.0, -2.0]
WEIGHT = RANDOM.uniform(0.5, 2, N)
OWN = {"validation": (X[:50], NUMBERS[:50], WEIGHT[:50])}
CASES = {
    **{
        name: (X, CLASSES, {"optimizer": name, "validation": 0.2})
        for name in ("adam", "sgd", "momentum", "nesterov", "adamw", "nadam")
    },
    "rmsprop, cosine": (X, NUMBERS, {"optimizer": "rmsprop", "schedule": "cosine", "warmup": 1.5, "dtype": "float64"}),
    "rprop": (X, NUMBERS, {"optimizer": "rprop"}),
    "narrow": (X, CLASSES, {"hidden": 4, "batch_size": 100, "l2": 0.01, "target_loss": 1e-9}),
    "wide, two threads": (X, CLASSES, {"hidden": 300, "batch_size": 128, "threads": 2}),
    "dropout": (X, CLASSES, {"dropout": 0.3, "one_cycle": True}),
    "clipped": (X, CLASSES, {"clip_norm": 0.1}),
    "as it is": (X, NUMBERS, {"scale": False, "validation": 0.3, "learning_rate": 1e-4}),
    "in order": (X, NUMBERS, {"shuffle": False, "sample_weight": WEIGHT, "dtype": "float64", **OWN}),
    "metric": (X, CLASSES, {"metric": "score", "validation": 0.3, "patience": 1, "class_weight": "balanced"}),
    "per sample": (X, CLASSES, {"optimizer": "sgd", "batch_size": 1, "l2": 0.001, "learning_rate": 0.01}),
    "per sample, zeros": (
        ZEROS,
        CLASSES,
        {"optimizer": "sgd", "batch_size": 1, "scale": False, "learning_rate": 0.01, "validation": 0.2},
    ),
    "per sample, few zeros": (
        np.where(RANDOM.random(X.shape) < 0.3, 0, X),
        CLASSES,
        {"optimizer": "sgd", "batch_size": 1, "scale": False, "learning_rate": 0.01, "validation": 0.2},
    ),
    "tiny": (
        X[:, :3],
        CLASSES > 0,
        {"optimizer": "sgd", "batch_size": 1, "hidden": 2, "activation": "tanh", "validation": 0.2},
    ),
}


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of some dozen samples; returns a function that has inputs gathered or copied."""
    monkeypatch.setattr(blocks, "BLOCK", 1 << 11)
    monkeypatch.setattr(blocks, "PIECE", 1 << 14)
    return lambda copied: monkeypatch.setattr(scaling, "COPIED", 1 << 40 if copied else 0)


def learnt(X, y, **said):
    said = {"seed": 1, "epochs": 2, "hidden": 8, "progress": False} | said
    said |= {"schedule": "one_cycle"} if said.pop("one_cycle", False) else {}
    return fastbp.train(X, y, **said)


def same(a, b):
    history = all(np.array_equal(a.history[name], b.history[name]) for name in a.history if name != "seconds")
    return (
        history
        and a.params.tobytes() == b.params.tobytes()
        and a.stop_reason == b.stop_reason
        and a.best_epoch == b.best_epoch
    )


@pytest.mark.parametrize("case", CASES)
def test_gathered_and_copied_inputs_give_the_same_bits(case, small_blocks, monkeypatch):
    inputs, y, said = CASES[case]
    read, real = [], scaling.Gathered.read
    monkeypatch.setattr(
        scaling.Gathered, "read", lambda self, rows, out: (read.append(len(rows)), real(self, rows, out))
    )
    small_blocks(copied=True)
    copied = learnt(inputs, y, **said)
    assert not read
    small_blocks(copied=False)
    gathered = learnt(inputs, y, **said)
    assert len([rows for rows in read if rows]) >= 2 * (1 if case == "rprop" else 2)  # epochs, blocks
    assert same(copied, gathered)
    if said.get("batch_size") != 1:  # weights do not depend on the ends of blocks
        monkeypatch.setattr(blocks, "BLOCK", 1 << 40)
        whole = learnt(inputs, y, **said)
        assert whole.params.tobytes() == copied.params.tobytes()
        for name in copied.history.keys() - {"seconds"}:
            np.testing.assert_allclose(whole.history[name], copied.history[name], rtol=1e-12)


def test_frames_are_gathered_too(small_blocks):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(
        {"a": X[:, 0], "b": np.where(X[:, 1] > 4, "high", "low"), "c": np.where(X[:, 2] > 5, X[:, 2], np.nan)}
    )
    nets = []
    for copied in (True, False):
        small_blocks(copied)
        nets.append(learnt(frame, CLASSES, validation=0.2))
    assert same(*nets)


@pytest.mark.parametrize("dtype", ["float32", ">f4", "float64", "float16", "uint8", "bool", "int64", "longdouble"])
def test_the_bits_depend_on_the_numbers_only(dtype, small_blocks, tmp_path):
    values = (X > 5 if dtype == "bool" else np.floor(X).clip(0)).astype(dtype)
    np.save(tmp_path / "X.npy", values)
    wide = np.zeros((N, 2 * FEATURES), dtype)
    wide[:, ::2] = values
    stored = {
        "array": values.astype(np.float32),
        "file": np.load(tmp_path / "X.npy", mmap_mode="r"),
        "columns": np.asfortranarray(values),
        "strided": wide[:, ::2],
    }
    nets = []
    for copied in (True, False):
        small_blocks(copied)
        nets += [learnt(array, CLASSES, epochs=1, validation=0.2) for array in stored.values()]
        expected = nets[0].predict_proba(values.astype(np.float64))
        assert all(nets[0].predict_proba(array).tobytes() == expected.tobytes() for array in stored.values())
    assert all(same(nets[0], net) and net.x_scale.tobytes() == nets[0].x_scale.tobytes() for net in nets)


def test_moments_are_accurate_and_constant_columns_are_known():
    n = 30_000
    values = np.stack(
        [RANDOM.normal(1e6, 1e-3, n), RANDOM.exponential(1, n), np.full(n, 0.1), np.full(n, -1e9)], axis=1
    )
    mean, deviation = scaling.moments(values)
    for k in range(2):
        exact = math.fsum(values[:, k]) / n
        spread = math.sqrt(math.fsum((x - exact) ** 2 for x in values[:, k].tolist()) / n)
        assert mean[k] == pytest.approx(exact, rel=4e-16)
        assert deviation[k] == pytest.approx(spread, rel=1e-12)
    assert mean[2:].tolist() == [0.1, -1e9]
    assert deviation[2:].tolist() == [0, 0]


def test_a_failed_batch_is_named_by_its_number_in_the_epoch(small_blocks):
    texts = []
    inputs = np.where(np.arange(N)[:, None] == 333, 1e30, X)
    said = {"optimizer": "sgd", "scale": False, "shuffle": False, "learning_rate": 1e-9, "activation": "identity"}
    for batch_size in (20, 1):
        for copied in (True, False):
            small_blocks(copied)
            with pytest.raises(FloatingPointError) as raised:
                learnt(inputs, NUMBERS, batch_size=batch_size, **said)
            texts.append(str(raised.value))
    assert texts[0] == texts[1]
    assert texts[2] == texts[3]
    assert "batch 17 of 21" in texts[0]
    assert "sample 334 in its order" in texts[2]


def test_numbers_out_of_range_are_refused_when_they_are_read(small_blocks):
    small_blocks(copied=False)
    with pytest.raises(ValueError, match=r"X: expected numbers within the range of float32, got 1e\+300"):
        learnt(np.where(np.arange(N)[:, None] == 333, 1e300, X.astype(np.float64)), NUMBERS, scale=False)


def peak(function):
    """The function's result, and the most bytes that NumPy and Python held during its second call."""
    function()
    tracemalloc.start()
    try:
        return function(), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_no_memory_of_the_size_of_the_inputs_is_taken(tmp_path, monkeypatch):
    monkeypatch.setattr(scaling, "COPIED", 0)
    monkeypatch.setattr(blocks, "BLOCK", 1 << 20)
    monkeypatch.setattr(samples, "MOST_NUMBERS", 1000)
    n, columns = 3500, 2000  # a truth value for each would take 7 MB
    stored = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", ">f4", (n, columns))
    stored[:] = RANDOM.integers(0, 100, (n, columns))
    file = np.load(tmp_path / "X.npy", mmap_mode="r")
    y = np.arange(n) % 3
    net, most = peak(lambda: learnt(file, y, epochs=1, batch_size=32, validation=0.2))
    # one block for training and one for validation, the work spaces next to them, and 100 bytes per sample
    assert most < 2 * blocks.BLOCK + 3_000_000 + 100 * n
    expected = net.predict(np.asarray(file, np.float64))
    found, most = peak(lambda: net.predict(file))
    assert most < 3 * blocks.BLOCK + 40 * n
    assert (found == expected).all()
    assert peak(lambda: net.score(file, y))[1] < 3 * blocks.BLOCK + 40 * n


def test_targets_of_classes_are_built_in_the_dtype():
    n = 300_000
    y = targets.read(RANDOM.integers(0, 10, n), "auto", n)
    Y, most = peak(lambda: y.indicators(10, np.dtype("float32")))
    assert most < 1.1 * Y.nbytes
    assert (Y.argmax(axis=1) == y.values).all()
    assert (Y.sum(axis=1) == 1).all()


def test_no_outputs_are_held_where_only_classes_are_asked_for():
    net, inputs = learnt(X[:, :2], CLASSES), np.ones((200_000, 2), np.float32)
    found, most = peak(lambda: net.predict(inputs))
    assert most < 2.2 * found.nbytes  # the numbers of the classes, and their labels
    assert (found == net.classes[net.predict_proba(inputs[:1]).argmax()]).all()


CHILD = """
import resource, sys
import numpy as np, fastbp
from fastbp.data import scaling
path, limited, copied = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "copied"
file = np.load(path, mmap_mode="r")
y = np.arange(len(file)) % 2
said = dict(seed=0, epochs=1, hidden=8, batch_size=256, threads=1, progress=False)
scaling.COPIED = 0
net = fastbp.train(file[:2000], y[:2000], **said)  # loads what is compiled
net.predict(file[:2000])
scaling.COPIED = 1 << 40 if copied else 0
owned = next(int(line.split()[1]) * 1024 for line in open("/proc/self/status") if line.startswith("VmData"))
resource.setrlimit(resource.RLIMIT_DATA, (owned + limited,) * 2)  # what a process owns; files are not counted
net = fastbp.train(file, y, **said)
print(len(net.predict(file)), net.score(file, y) >= 0)
"""


def child(path, limited, way, code=CHILD):
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(limited), way], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout.split(), done.stderr


@pytest.mark.thorough
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_DATA counts what a process owns on Linux only")
def test_a_process_with_little_memory_learns_from_a_large_file(tmp_path):
    n, columns = 100_000, 256
    file = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.uint8, (n, columns))
    for start in range(0, n, 10_000):
        file[start : start + 10_000] = RANDOM.integers(0, 256, (10_000, columns), np.uint8)
    file.flush()
    limited = 24 << 20  # the standardised inputs take 102 MB
    code, said, error = child(tmp_path / "X.npy", limited, "gathered")
    assert (code, said) == (0, [str(n), "True"]), error
    code, _, error = child(tmp_path / "X.npy", limited, "copied")
    assert code != 0
    assert "MemoryError" in error


REFUSED = {
    "hidden: a network of 70-1000000-1000000-1 units with the state of adam would take 24 TB": {
        "hidden": (10**6, 10**6)
    },
    "hidden: a network of 70-1000000000000000000000000-1 units": {"hidden": 10**24},
}


def test_what_cannot_fit_is_refused_with_the_bytes(monkeypatch):
    for text, said in REFUSED.items():
        with pytest.raises(ValueError, match=f"{text}.* of memory, of which there are [0-9]+"):
            learnt(X, NUMBERS, **said)
    net = learnt(X, CLASSES)
    for predict in (net.predict, net.predict_proba):
        with pytest.raises(
            ValueError, match=r"X: predictions for 10000000000000 rows would take (80|120) TB of memory"
        ):
            predict(np.broadcast_to(np.float32(1), (10**13, FEATURES)))
    monkeypatch.setattr(memory, "limit", lambda: 300_000)
    with pytest.raises(
        ValueError, match=r"batch_size: the network and batches of 420 samples would take [0-9.]+ [kM]B of memory"
    ):
        learnt(X, NUMBERS, batch_size=10**9, hidden=100)
    learnt(X, NUMBERS, batch_size=8)
    with pytest.raises(
        ValueError,
        match="y: targets of 20000 samples for 4 units would take 320 kB of memory, of which there are 300 kB",
    ):
        learnt(np.arange(20_000.0)[:, None], np.arange(20_000) % 4)
    monkeypatch.setattr(memory, "limit", lambda: None)
    learnt(X, NUMBERS, batch_size=8)


def test_the_limit_is_that_of_the_machine_or_of_the_control_group(tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "_GROUPS", (tmp_path / "max",))
    machine = memory.limit.__wrapped__()
    if hasattr(os, "sysconf"):
        assert machine > 1 << 26
    for text, expected in (("max\n", machine), ("1048576\n", 1 << 20)):
        (tmp_path / "max").write_text(text)
        assert memory.limit.__wrapped__() == expected


@pytest.mark.parametrize(
    ("hidden", "batch_size", "optimizer"),
    [
        ((8,), 400, "adam"),
        ((300, 200), 32, "sgd"),
        ((500,), 400, "momentum"),
        ((500,), 3000, "sgd"),
        ((8,), 20_000, "adam"),
    ],
)
def test_the_estimated_bytes_are_those_that_training_takes(hidden, batch_size, optimizer):
    n = max(N, batch_size)
    asked = DEFAULTS | {"hidden": hidden, "optimizer": optimizer, "batch_size": batch_size, "epochs": 1}
    asked |= {"schedule": "constant"}
    net = options.architecture(FEATURES, 1, "regression", asked)
    hyper = options.hyperparameters(n, net, asked, False)
    dtype = np.dtype("float32")
    params = first_weights.initial_parameters(net, None, RANDOM, dtype)
    ready = samples.Ready(np.resize(X, (n, FEATURES)), np.resize(NUMBERS.astype(dtype), (n, 1)), np.ones(n, dtype))
    _, taken = peak(
        lambda: learner.LocalLearner(net, hyper, ready, None, first_weights.first_state(net, hyper, params, None), 0, 1)
    )
    counted = memory.network_bytes(net, hyper, dtype) + memory.batch_bytes(net, hyper, n, dtype)
    counted -= (memory.COPIES - 1) * params.nbytes
    assert counted == pytest.approx(taken, rel=0.1, abs=20_000)


@pytest.mark.long
def test_ten_million_rows(tmp_path):
    n, columns = 10_000_000, 12
    truth = RANDOM.normal(size=(columns,))
    file = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n, columns))
    y = np.empty(n, np.int64)
    for start in range(0, n, 100_000):
        rows = slice(start, start + 100_000)
        file[rows] = RANDOM.normal(1000, 0.5, (100_000, columns))
        y[rows] = np.digitize((file[rows] - np.float32(1000)) @ truth, np.linspace(-1.5, 1.5, 9))
    file.flush()
    found = scaling.moments(file)
    for k in (0, columns - 1):
        column = np.asarray(file[:, k], np.float64)
        mean = math.fsum(column) / n
        assert found[0][k] == pytest.approx(mean, rel=4e-16)
        assert found[1][k] == pytest.approx(math.sqrt(math.fsum(np.square(column - mean)) / n), rel=1e-12)
    del column
    small = learnt(file[:20_000], y[:20_000], hidden=32, epochs=1)
    tracemalloc.start()
    net = learnt(file, y, hidden=32, epochs=1, batch_size=256, validation=0.01)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # the targets of 10 classes, and what else each sample takes
    assert most < n * (10 * 4 + 60) + 20_000_000
    assert net.score(file, y) > max(0.9, small.score(file[:20_000], y[:20_000]))


@pytest.mark.long
def test_a_file_larger_than_the_memory(tmp_path):
    if not hasattr(os, "sysconf"):
        pytest.skip("nobody says how much memory there is")
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    columns = 4096
    n = int(1.1 * total) // columns
    free = os.statvfs(tmp_path).f_bavail * os.statvfs(tmp_path).f_frsize
    if free < 1.2 * n * columns:
        pytest.skip(f"no room for a file of {memory.shown(n * columns)}")
    path = tmp_path / "X.npy"
    try:
        file, step = np.lib.format.open_memmap(path, "w+", np.uint8, (n, columns)), 8192
        noise, bright = RANDOM.integers(0, 200, (step, columns), np.uint8), (RANDOM.random(n) < 0.5).astype(np.uint8)
        for start in range(0, n, step):
            rows = bright[start : start + step, None]
            file[start : start + step] = np.roll(noise, start // step, axis=0)[: len(rows)] + 50 * rows
        del file
        code = CHILD.replace("np.arange(len(file)) % 2", "np.load(path + '.y.npy')").replace(
            "threads=1", "threads=1, shuffle=False"
        )
        np.save(f"{path}.y.npy", bright)
        code, said, error = child(path, 400 << 20, "gathered", code)
        assert (code, said) == (0, [str(n), "True"]), error
    finally:
        path.unlink(missing_ok=True)
