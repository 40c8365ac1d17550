"""Files of every earlier format are read, and predict what they did; checkpoints continue to the end that they had."""

import contextlib
import pickle
import shutil
import warnings

import hostile
import numpy as np
import pytest
from kept import FILES, KNOWN, MODELS, assert_as_known, rows, samples

import fastbp
from fastbp.model import storage

CHECKPOINTS = [path for path in FILES if "resume" in KNOWN[path.name]]


def written(folder, path, **changes):
    """A copy of a file with other values in its header."""
    header, tensors = hostile.parts(path.read_bytes())
    storage.write(folder / "changed.fbp", header | changes, tensors)
    return folder / "changed.fbp"


@pytest.mark.parametrize("path", [path for path in FILES if path not in CHECKPOINTS], ids=lambda path: path.stem)
def test_files_of_earlier_versions_are_read(path):
    assert_as_known(fastbp.load(path), KNOWN[path.name])


def test_a_network_of_format_1_knows_its_columns():
    net, given = fastbp.load(MODELS / "1-columns.fbp"), rows(KNOWN["1-columns.fbp"]["given"])
    assert net.feature_names == ("a", "b", "c")
    np.testing.assert_array_equal(net.predict_proba(given[["c", "a", "b"]]), net.predict_proba(given))
    filled = net.predict_proba(given.assign(b=net.x_mean[1]))
    np.testing.assert_array_equal(net.predict_proba(given.assign(b=np.nan)), filled)


@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_checkpoints_of_earlier_versions_continue_to_their_end(path, tmp_path):
    known, begun = KNOWN[path.name], fastbp.load(path)
    assert begun.stop_reason == "unfinished"
    if "so_far" in known:
        np.testing.assert_allclose(begun.predict(rows(known["given"])), known["so_far"], rtol=1e-5, atol=1e-6)
    with warnings.catch_warnings():  # if the processor has another vector width
        warnings.simplefilter("ignore", RuntimeWarning)
        net = fastbp.resume(shutil.copy(path, tmp_path), *samples(known["resume"]))
    assert net.stop_reason == "epochs"
    assert_as_known(net, known)
    # the run goes on with what it was begun with, whatever the defaults are now
    for name in ("learning_rate", "schedule", "batch_size", "epochs"):
        assert net.options[name] == begun.options[name]
    assert net.columns == begun.columns
    np.testing.assert_array_equal(net.x_mean, begun.x_mean)
    # what it has written last is a file of this version
    assert_as_known(fastbp.load(tmp_path / path.name), known)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # if the processor has another vector width
@pytest.mark.parametrize("path", CHECKPOINTS, ids=lambda path: path.stem)
def test_checkpoints_of_earlier_versions_refuse_other_data(path, tmp_path):
    X, y = samples(KNOWN[path.name]["resume"])
    changed = X.copy()
    changed[changed.columns[0] if hasattr(X, "columns") else (0, 0)] += 1
    others = {"y": (X, y + 1), "X": (X[:-1], y[:-1])}
    if path.name != "3-table-checkpoint.fbp":  # its dates cannot be compared
        others["X"] = changed, y
    for name, data in others.items():
        copy = shutil.copy(path, tmp_path)
        with pytest.raises(ValueError, match=rf"^{name}: expected what the run in"):
            fastbp.resume(copy, *data)


def test_dates_of_format_3_are_not_compared(tmp_path):
    # Their sines and cosines were those of NumPy, whose last bits depend on the processor.
    for name, outcome in {
        "3-table-checkpoint.fbp": pytest.warns(RuntimeWarning, match="^the dates in X cannot be compared"),
        "8-table-checkpoint.fbp": pytest.raises(ValueError, match=r"^X: expected what the run in"),
        "3-checkpoint.fbp": pytest.raises(ValueError, match=r"^X: expected what the run in"),
    }.items():
        run = hostile.parts((MODELS / name).read_bytes())[0]["run"]
        run["data"]["X"][0] = "0" * 64
        path = written(tmp_path, MODELS / name, run=run)
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore", RuntimeWarning)
            stack.enter_context(outcome)
            fastbp.resume(path, *samples(KNOWN[name]["resume"]))


def test_every_format_has_files():
    kinds = {path.stem: storage.read(path)[0] for path in FILES}
    assert {path.name for path in FILES} == set(KNOWN)
    assert all(name.split("-")[0] == str(header["format"]) for name, header in kinds.items())
    found = {what: set() for what in ("network", "checkpoint", "ensemble")}
    for header in kinds.values():
        what = "ensemble" if "networks" in header else "checkpoint" if "run" in header else "network"
        found[what].add(header["format"])
    every = set(range(1, storage.FORMAT + 1))
    assert found == {"network": every - {4}, "checkpoint": every - {1, 2, 4}, "ensemble": every - {1, 2, 3}}


def test_a_newer_format_is_refused(tmp_path):
    path = written(tmp_path, MODELS / "8-regression.fbp", format=storage.FORMAT + 1)
    wanted = f"it has format {storage.FORMAT + 1}, this version of fastbp reads up to {storage.FORMAT}; update fastbp"
    with pytest.raises(ValueError, match=wanted):
        fastbp.load(path)


def test_pickles_of_earlier_versions_are_read():
    # They were made before the modules moved into folders; see fastbp/earlier.py.
    known = pickle.loads((MODELS / "pickles.pickle").read_bytes())
    found = {name: pickle.loads(data) for name, data in known["pickles"].items()}
    network, given = found["network"], rows(known["given"])
    np.testing.assert_allclose(network.predict_proba(given), known["probabilities"], rtol=1e-5, atol=1e-6)
    names = ["Network", "Ensemble", "Networks", "Search", "CrossValidation"]
    assert [type(value).__name__ for value in found.values()] == names
    again = pickle.loads(pickle.dumps(found))
    for one in (found["networks"][0], again["network"], again["networks"][0]):
        assert (one.params == network.params).all()
    np.testing.assert_array_equal(found["ensemble"].predict(given), again["ensemble"].predict(given))
    assert repr(found["search"]) == repr(again["search"])
    assert repr(found["cross_validation"]) == repr(again["cross_validation"])
