"""Untrusted files are loaded or rejected with a ValueError, whatever is in them."""

import collections
import contextlib
import os
import signal
import tracemalloc
import warnings

import hostile
import numpy as np
import pytest
from kept import FILES, KNOWN, MODELS, rows, samples

import fastbp
from fastbp.model import storage
from fastbp.model.ensemble import members

X, Y = samples("array")
# The most memory that reading may take: a constant, and a number per byte of the file (JSON's "[" becomes 88 bytes).
LEAST_BYTES, BYTES_A_BYTE = 1 << 20, 100


class TooSlowError(BaseException):
    """Ends a call that hangs."""


def _hangs(*_):
    raise TooSlowError


def read_as_a_stranger(path, data, known):
    """Load, predict and resume; returns what happened. Errors other than ValueError are raised."""
    path.write_bytes(data)
    signal.alarm(10)
    try:
        try:
            net = fastbp.load(path)
        except ValueError as refusal:
            return "refused" if str(refusal).startswith("path: expected a") else f"refused, but {refusal}"
        for given in (np.zeros((2, members(net)[0].sizes[0])), known["given"]):
            with contextlib.suppress(ValueError):
                net.predict(given)
        if b"run.params" in data:
            with contextlib.suppress(ValueError):
                fastbp.resume(path, *samples(known["resume"]), callback=lambda seen: True, progress=False)
                return "went on"
        return "read"
    finally:
        signal.alarm(0)


def attack(folder, count, seed):
    """Read `count` changed files; returns how often each thing happened, and the most memory for the size of a file."""
    rng, found, path = np.random.default_rng(seed), collections.Counter(), folder / f"{seed}.fbp"
    bases = [(file.read_bytes(), KNOWN[file.name]) for file in FILES]
    bases = [(data, known | {"given": rows(known["given"])}) for data, known in bases]
    checkpoints = [base for base in bases if "resume" in base[1]]
    ensembles = [base for base in bases if b"networks" in base[0]]
    before = signal.signal(signal.SIGALRM, _hangs)
    try:
        for _ in range(count):
            which = rng.random()
            chosen = checkpoints if which < 0.4 else ensembles if which < 0.55 else bases
            base, known = chosen[rng.integers(len(chosen))]
            data = hostile.mutated(base, rng)
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    found[read_as_a_stranger(path, data, known)] += 1
            except BaseException:
                path.rename(path.with_suffix(".found"))  # kept for a closer look
                raise
    finally:
        signal.signal(signal.SIGALRM, before)
    return found


needs_alarm = pytest.mark.skipif(not hasattr(signal, "alarm"), reason="no alarm")


@needs_alarm
def test_changed_files_are_loaded_or_rejected(tmp_path):
    found = attack(tmp_path, 1000, seed=0)
    assert set(found) == {"refused", "read", "went on"}
    assert min(found.values()) >= 30, found


@needs_alarm
@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 11))
def test_a_million_changed_files(tmp_path, seed):
    found = attack(tmp_path, 100_000, seed)
    print(found)
    assert set(found) == {"refused", "read", "went on"}
    assert min(found.values()) >= 5000, found


def most_memory(path):
    """The most bytes in use while a file was loaded or rejected."""
    tracemalloc.start()
    try:
        with contextlib.suppress(ValueError):
            fastbp.load(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_reading_takes_memory_by_the_size_of_the_file(tmp_path):
    path, rng = tmp_path / "m.fbp", np.random.default_rng(0)
    header, tensors = hostile.parts((MODELS / "3-classes.fbp").read_bytes())
    labels = [f"label {k}" for k in range(3)]
    lies = [
        {"classes": {"dtype": "<U100000000", "labels": labels}},
        {"classes": {"dtype": "S100000000", "labels": labels}},
        {"sizes": [10**9, 10**9, 3]},
        {"options": [[]] * 100_000},
        {"columns": {"encoders": [{}] * 50_000, "rows": []}},
        {"loss_parameter": [0.5] * 100_000},
    ]
    whole = {"format": 4, "options": {}, "networks": [header]}
    lies += [
        whole | {"networks": [{}] * 100_000},
        whole | {"networks": [header] * 1000},
        whole | {"networks": {"0": header}},
    ]
    files = [(header | lie, tensors) for lie in lies]
    sizes = []
    for lie, arrays in files:
        storage.write(path, lie, arrays)
        sizes.append((most_memory(path), path.stat().st_size))
    for _ in range(100):
        path.write_bytes(hostile.mutated((MODELS / "3-classes.fbp").read_bytes(), rng))
        sizes.append((most_memory(path), path.stat().st_size))
    assert all(most < LEAST_BYTES + BYTES_A_BYTE * size for most, size in sizes), max(sizes)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names")
def test_nothing_waits_for_a_pipe(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="not an ordinary file"):
        fastbp.load(tmp_path / "pipe")


def test_a_checkpoint_cannot_name_a_table_to_read(tmp_path):
    path, table = tmp_path / "run.fbp", tmp_path / "secret.csv"
    table.write_text("a,b,c\n1,2,3\n")
    header, tensors = hostile.parts((MODELS / "3-checkpoint.fbp").read_bytes())
    header["run"]["said"]["validation"] = [str(table), [1.0]]
    storage.write(path, header, tensors)
    with pytest.raises(ValueError, match="impossible options"):
        fastbp.resume(path, X, Y)


def test_large_seeds():
    for seed in (2**63, 2**64 + 1, 10**40):
        fastbp.train(X, Y, seed=seed, hidden=(4,), dropout=0.1, epochs=1)
