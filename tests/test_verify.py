"""`fastbp info --verify`: the digest of predictions in a model file is that of this machine."""

import json
from pathlib import Path

import numpy as np
import pytest
from command import assert_one_line, run
from safetensors import safe_open
from safetensors.numpy import load_file

import fastbp
from fastbp.model import fingerprint, storage

MODELS = Path(__file__).parent / "models"
SAVED = sorted(path.name for path in MODELS.glob("9-*.fbp") if "checkpoint" not in path.name)
X = np.random.default_rng(0).normal(size=(40, 3))


def trained(**options):
    return fastbp.train(X, X[:, 0] * X[:, 1], **{"seed": 0, "epochs": 2, "hidden": 3, "progress": False} | options)


def header(path):
    with safe_open(path, framework="np") as file:
        return json.loads(file.metadata()["fastbp"])


@pytest.mark.parametrize("name", SAVED)
def test_files_that_another_machine_saved(name):
    storage.verify(MODELS / name)


def test_the_digest_of_predictions_is_in_the_file(tmp_path, capsys):
    net = trained()
    net.save(tmp_path / "net.fbp")
    wanted = fingerprint.digest(net)
    assert header(tmp_path / "net.fbp")["predictions"] == wanted
    assert storage.verify(tmp_path / "net.fbp")[1] == [wanted]
    status, shown, _ = run(capsys, "info", tmp_path / "net.fbp", "--verify", "--json")
    assert status == 0
    assert json.loads(shown)["verified"] == [wanted]
    assert wanted in run(capsys, "info", tmp_path / "net.fbp", "--verify")[1]


def test_each_network_of_an_ensemble_has_one(tmp_path):
    nets = fastbp.ensemble(X, X[:, 0], 2, seed=0, epochs=2, progress=False)
    nets.save(tmp_path / "nets.fbp")
    assert storage.verify(tmp_path / "nets.fbp")[1] == [fingerprint.digest(net) for net in nets.networks]


def test_every_weight_counts():
    net = trained(activation="tanh")
    state = {name: getattr(net, name) for name in net.__dataclass_fields__} | {"target_range": None}
    digests = {fingerprint.digest(type(net)(**state))}
    for k in range(net.params.size):
        changed = np.array(net.params)
        changed[k] *= 1.001
        digests.add(fingerprint.digest(type(net)(**state | {"params": changed})))
    assert len(digests) == net.params.size + 1


def test_rows_are_the_ones_that_the_page_gives():
    net = trained()
    golden, rows = 0x9E3779B97F4A7C15, fingerprint.fixed_rows(net)
    for i in range(16):
        for j in range(3):
            u = ((i * 3 + j + 1) * golden % 2**64) >> 11
            assert rows[i, j] == (u * 2.0**-51 - 2) * net.x_scale[j] + net.x_mean[j]


def test_rows_out_of_range_have_the_digest_of_nothing():
    net = trained()
    state = {name: getattr(net, name) for name in net.__dataclass_fields__}
    huge = type(net)(**state | {"x_scale": np.full(3, 1e-300), "x_mean": np.full(3, 1e300)})
    assert len(fingerprint.digest(huge)) == 64


def changed(tmp_path, change):
    trained().save(tmp_path / "net.fbp")
    found = header(tmp_path / "net.fbp") | change
    storage.write(tmp_path / "net.fbp", found, load_file(tmp_path / "net.fbp"))
    return tmp_path / "net.fbp"


def test_another_digest_is_an_error(tmp_path, capsys):
    path = changed(tmp_path, {"predictions": "0" * 64})
    with pytest.raises(ValueError, match=r"the predictions of the network .* SHA-256 0{64}, as on the machine that"):
        storage.verify(path)
    assert_one_line(*run(capsys, "info", path, "--verify"), "--verify: expected the predictions of the network")


@pytest.mark.parametrize("name", ["8-regression.fbp", "7-ensemble.fbp"])
def test_earlier_files_have_none(name):
    with pytest.raises(ValueError, match=r"of format .; files have one since format 9"):
        storage.verify(MODELS / name)


def test_checkpoints_have_none(tmp_path):
    trained(checkpoint=tmp_path / "run.fbp")
    with pytest.raises(ValueError, match="is a checkpoint"):
        storage.verify(tmp_path / "run.fbp")
