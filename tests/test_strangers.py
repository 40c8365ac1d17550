"""Untrusted files are loaded or rejected with a ValueError, whatever is in them; files of earlier versions load."""

import collections
import contextlib
import json
import os
import pickle
import shutil
import signal
import tracemalloc
import warnings
from pathlib import Path

import hostile
import numpy as np
import pandas as pd
import pytest

import fastbp
from fastbp.model import storage
from fastbp.model.ensemble import members

MODELS = Path(__file__).parent / "models"
KNOWN = json.loads((MODELS / "predictions.json").read_text())
FILES = sorted(MODELS.glob("*.fbp"))
X = np.array(KNOWN["3-checkpoint.fbp"]["X"])
Y = X @ [1.0, -2.0, 0.5]
# The most memory that reading may take: a constant, and a number per byte of the file (JSON's "[" becomes 88 bytes).
LEAST_BYTES, BYTES_A_BYTE = 1 << 20, 100


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_earlier_versions_are_read(path, tmp_path):
    known, net = KNOWN[path.name], fastbp.load(path)
    if "X" in known:
        with warnings.catch_warnings():  # if the processor has another vector width
            warnings.simplefilter("ignore", RuntimeWarning)
            net = fastbp.resume(shutil.copy(path, tmp_path), X, Y)
    given = known["given"]
    given = pd.DataFrame(given) if isinstance(given, dict) else np.array(given)
    for what in {"predict", "predict_proba", "predict_interval"} & set(known):
        np.testing.assert_allclose(getattr(net, what)(given), known[what], rtol=1e-5, atol=1e-6)


def test_pickles_of_earlier_versions_are_read():
    # They were made before the modules moved into folders; see fastbp/earlier.py.
    known = pickle.loads((MODELS / "pickles.pickle").read_bytes())
    found = {name: pickle.loads(data) for name, data in known["pickles"].items()}
    network, given = found["network"], pd.DataFrame(known["given"])
    np.testing.assert_allclose(network.predict_proba(given), known["probabilities"], rtol=1e-5, atol=1e-6)
    names = ["Network", "Ensemble", "Networks", "Search", "CrossValidation"]
    assert [type(value).__name__ for value in found.values()] == names
    again = pickle.loads(pickle.dumps(found))
    for one in (found["networks"][0], again["network"], again["networks"][0]):
        assert (one.params == network.params).all()
    np.testing.assert_array_equal(found["ensemble"].predict(given), again["ensemble"].predict(given))
    assert repr(found["search"]) == repr(again["search"])
    assert repr(found["cross_validation"]) == repr(again["cross_validation"])


def test_every_format_has_test_files():
    assert {path.stem.split("-")[0] for path in FILES} == {str(n) for n in range(1, storage.FORMAT + 1)}
    assert {path.name for path in FILES} == set(KNOWN)


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
                fastbp.resume(path, X, Y, callback=lambda seen: True, progress=False)
                return "went on"
        return "read"
    finally:
        signal.alarm(0)


def attack(folder, count, seed):
    """Read `count` changed files; returns how often each thing happened, and the most memory for the size of a file."""
    rng, found, path = np.random.default_rng(seed), collections.Counter(), folder / f"{seed}.fbp"
    bases = [(file.read_bytes(), KNOWN[file.name]) for file in FILES]
    bases = [
        (data, known | {"given": pd.DataFrame(g) if isinstance(g := known["given"], dict) else np.array(g)})
        for data, known in bases
    ]
    checkpoint, ensemble = (bases[FILES.index(MODELS / name)] for name in ("3-checkpoint.fbp", "4-ensemble.fbp"))
    before = signal.signal(signal.SIGALRM, _hangs)
    try:
        for _ in range(count):
            which = rng.random()
            base, known = checkpoint if which < 0.4 else ensemble if which < 0.55 else bases[rng.integers(len(bases))]
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
