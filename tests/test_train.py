"""`fastbp.train`: the lecture's tables, real data, every task, every way to stop."""

import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from tasks import LECTURE

import fastbp

XOR_X = np.array([[0, 0], [0, 1], [1, 0], [1, 1]])
XOR_Y = np.array([0, 1, 1, 0])


@pytest.fixture(scope="module")
def blobs():
    """Three classes in the plane, overlapping a little."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    return np.array([[0, 0], [3, 0], [0, 3]])[y] + rng.normal(size=(300, 2)), y


def test_tasks_are_read_from_y(blobs):
    X = blobs[0]
    rng = np.random.default_rng(0)
    cases = {
        "regression": [rng.normal(size=300), rng.normal(size=(300, 2)), np.arange(300), rng.integers(0, 5, (300, 2))],
        "classification": [
            rng.integers(0, 3, 300),
            np.array(["a", "b"])[rng.integers(0, 2, 300)],
            rng.random(300) < 0.5,
            XOR_Y.repeat(75) * 1.0,
        ],
        "multilabel": [rng.integers(0, 2, (300, 3)), rng.random((300, 2)) < 0.5],
    }
    for task, targets in cases.items():
        for y in targets:
            assert fastbp.train(X, y, epochs=1, hidden=(3,), seed=0).task == task


@pytest.mark.parametrize(
    "labels",
    [["x", "y", "z"], [-7, 0, 12], [2.0, 3.0, 9.0], np.array(["2020-01-01", "2021-01-01", "2022-01-01"], "M8[D]")],
)
def test_labels_come_back_as_they_were_given(labels, blobs, tmp_path):
    X, y = blobs[0], np.array(labels)[blobs[1]]
    net = fastbp.train(X, y, task="classification", seed=0)
    assert net.predict(X).dtype == y.dtype
    assert (net.predict(X) == y).mean() == net.score(X, y) > 0.85
    net.save(tmp_path / "net.fbp")
    again = fastbp.load(tmp_path / "net.fbp")
    assert (again.predict(X) == net.predict(X)).all()
    assert again.predict(X).dtype == y.dtype


def test_multilabel_and_several_outputs(blobs):
    X, y = blobs
    many = (y[:, None] == np.arange(3)) | (X > 1).any(axis=1, keepdims=True)
    net = fastbp.train(X, many, seed=0)
    assert net.task == "multilabel"
    assert net.predict(X).shape == net.predict_proba(X).shape == (300, 3)
    assert net.score(X, many) > 0.6
    net = fastbp.train(X, np.column_stack([X.sum(axis=1), 100 * X[:, 0] + 5]), seed=0, epochs=100)
    assert net.predict(X).shape == (300, 2)
    assert net.score(X, np.column_stack([X.sum(axis=1), 100 * X[:, 0] + 5])) > 0.98


def test_one_unit_per_class_with_squared_error(blobs):
    """The lecture's way to classify: logistic units and 1/2 sum (yhat - y)^2."""
    net = fastbp.train(*blobs, hidden=(8,), **{**LECTURE, "epochs": 30}, seed=0)
    assert net.sizes[-1] == 3
    assert net.score(*blobs) > 0.85
    np.testing.assert_allclose(net.predict_proba(blobs[0]).sum(axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_every_optimizer_and_activation_learns(optimizer, activation, blobs):
    net = fastbp.train(
        *blobs, hidden=(8,), optimizer=optimizer, activation=activation, seed=0, learning_rate=0.01, epochs=60
    )
    assert net.history["loss"][-1] < net.history["loss"][0]
    assert net.score(*blobs) > 0.8


def test_both_dtypes_start_alike_and_stay_close(blobs):
    nets = [fastbp.train(*blobs, seed=0, dtype=dtype, epochs=5) for dtype in ("float32", "float64")]
    assert nets[0].dtype == np.float32
    assert nets[1].dtype == np.float64
    np.testing.assert_allclose(nets[0].params, nets[1].params, atol=1e-4)


def test_the_seed_makes_a_run_repeatable_and_is_recorded(blobs):
    first, second = fastbp.train(*blobs, seed=5, validation=0.2), fastbp.train(*blobs, seed=5, validation=0.2)
    assert (first.params == second.params).all()
    drawn = fastbp.train(*blobs, epochs=2)
    assert (fastbp.train(*blobs, epochs=2, seed=drawn.options["seed"]).params == drawn.params).all()
    assert (drawn.params != fastbp.train(*blobs, epochs=2).params).any()


def test_threads_do_not_change_a_bit():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(1000, 100)), rng.integers(0, 10, 1000)
    options = {"hidden": (200, 100), "batch_size": 256, "epochs": 2, "seed": 0}
    one, two = fastbp.train(X, y, threads=1, **options), fastbp.train(X, y, threads=2, **options)
    assert (one.params == two.params).all()
    assert (one.history["loss"] == two.history["loss"]).all()


class TestStopping:
    def test_epochs(self, blobs):
        net = fastbp.train(*blobs, epochs=7, seed=0)
        assert net.stop_reason == "epochs"
        assert len(net.history["loss"]) == 7

    def test_target_accuracy_holds_for_the_network_returned(self):
        net = fastbp.train(XOR_X, XOR_Y, hidden=(4,), **LECTURE, target_accuracy=1.0, seed=0)
        assert net.stop_reason == "target_accuracy"
        assert net.score(XOR_X, XOR_Y) == 1
        assert len(net.history["loss"]) < net.options["epochs"]

    def test_target_loss_holds_for_the_network_returned(self):
        net = fastbp.train(XOR_X, XOR_Y, hidden=(4,), **LECTURE, target_loss=0.02, seed=0)
        assert net.stop_reason == "target_loss"
        assert np.mean(0.5 * (net.forward(XOR_X)[:, 0] - XOR_Y) ** 2) <= 0.02

    def test_max_seconds(self, blobs):
        net = fastbp.train(*blobs, epochs=10**9, max_seconds=0.2, seed=0)
        assert net.stop_reason == "max_seconds"
        assert net.history["seconds"][-1] >= 0.2 > net.history["seconds"][-2]

    def test_patience_keeps_the_best_weights(self, blobs):
        X, y = blobs
        net = fastbp.train(
            X[:60], y[:60], validation=(X[60:], y[60:]), patience=5, epochs=3000, learning_rate=0.02, seed=0
        )
        watched = net.history["validation_loss"]
        assert net.stop_reason == "patience"
        assert net.best_epoch == 1 + int(watched.argmin()) == len(watched) - 5
        p = net.predict_proba(X[60:]).astype(np.float64)
        np.testing.assert_allclose(-np.log(p[np.arange(240), y[60:]]).mean(), watched.min(), rtol=1e-4)
        assert net.score(X[60:], y[60:]) == pytest.approx(net.history["validation_accuracy"][net.best_epoch - 1])

    def test_callback_sees_every_epoch_and_can_stop(self, blobs):
        seen = []

        def callback(epoch):
            seen.append(epoch)
            assert not epoch.params.flags.writeable
            return epoch.epoch == 3

        net = fastbp.train(*blobs, callback=callback, validation=0.3, seed=0)
        assert net.stop_reason == "callback"
        assert [e.epoch for e in seen] == [1, 2, 3]
        assert [e.loss for e in seen] == net.history["loss"].tolist()
        assert seen[-1].validation_loss == net.history["validation_loss"][-1]

    def test_an_exception_in_the_callback_reaches_the_caller(self, blobs):
        with pytest.raises(KeyError, match="mine"):
            fastbp.train(*blobs, callback=lambda epoch: {}["mine"])

    @pytest.mark.skipif(os.name != "posix", reason="signals are sent as on POSIX")
    def test_ctrl_c_returns_the_network_so_far(self):
        program = """
            import sys, warnings, fastbp
            def callback(epoch):
                if epoch.epoch == 300:
                    print("go", flush=True)
            with warnings.catch_warnings(record=True) as seen:
                warnings.simplefilter("always")
                X, y, options = [[0., 1.], [1., 0.]], [0, 1], {"seed": 0, "callback": callback, "progress": False}
                net = fastbp.train(X * 50, y * 50, epochs=10**9, **options)
            warned = "interrupted" in str(seen[0].message)
            print(net.stop_reason, net.score(X, y), len(net.history["loss"]) >= 300, warned)
        """
        child = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
        assert child.stdout.readline() == "go\n"
        child.send_signal(signal.SIGINT)
        assert child.communicate(timeout=60)[0].split() == ["interrupted", "1.0", "True", "True"]
        assert child.returncode == 0


class TestDivergence:
    def test_in_the_first_epoch_is_an_error(self):
        X = np.linspace(1, 1000, 50)[:, None]
        with pytest.raises(FloatingPointError, match=r"epoch 1.*learning_rate"):
            fastbp.train(X, X[:, 0], optimizer="sgd", learning_rate=1e6, scale=False, seed=0)

    @pytest.mark.parametrize(
        ("options", "where"),
        [
            (
                {"learning_rate": 10.0},
                r"epoch 1, batch 4 of 10: the loss of outputs of layer 3 \(8 to 1 units, identity\) up to .* was",
            ),
            (
                {"learning_rate": 0.35, "activation": "exp"},
                r"epoch 1, batch \d+ of 10: the outputs of layer 1 \(5 to 8 units, exp\) were",
            ),
            (
                {"learning_rate": 3.0, "hidden": (), "batch_size": 1},
                r"epoch 1: the weights of layer 1 \(5 to 1 units, identity\) were",
            ),
        ],
    )
    def test_the_layer_is_named_and_what_to_try(self, options, where):
        X = np.random.default_rng(0).normal(size=(300, 5))
        rate = f"{options['learning_rate'] / 10:g}"
        with pytest.raises(
            FloatingPointError,
            match=rf"diverged in {where} no longer finite .*; try a learning_rate of {rate}, or clip_norm",
        ):
            fastbp.train(X, X[:, 0], **{"optimizer": "sgd", "hidden": (8, 8), "seed": 0} | options)

    def test_later_returns_the_last_finite_weights(self):
        X = np.linspace(-1, 1, 64)[:, None]
        steep = {"optimizer": "sgd", "learning_rate": 8, "batch_size": 64, "scale": False}
        with pytest.warns(fastbp.DivergenceWarning, match="diverged in epoch"):
            net = fastbp.train(X, 3 * X[:, 0], hidden=(), epochs=1000, seed=0, **steep)
        assert net.stop_reason == "diverged"
        assert np.isfinite(net.params).all()
        assert np.isfinite(net.history["loss"]).all()
        assert 0 < len(net.history["loss"]) < 1000


def test_weights_of_samples_are_repetitions():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=40)
    twice = rng.integers(1, 3, 40)
    options = {"batch_size": 1000, "shuffle": False, "scale": False, "dtype": "float64", "epochs": 20, "seed": 0}
    weighted = fastbp.train(X, y, sample_weight=twice, **options)
    repeated = fastbp.train(X.repeat(twice, axis=0), y.repeat(twice), **options)
    np.testing.assert_allclose(weighted.params, repeated.params, rtol=1e-9, atol=1e-12)


def test_class_weight_moves_the_decision(blobs):
    X, y = blobs
    plain = fastbp.train(X, y == 1, seed=0)
    heavy = fastbp.train(X, y == 1, seed=0, class_weight={True: 20.0})
    assert heavy.predict(X).sum() > plain.predict(X).sum()
    counts = np.bincount(y)
    by_hand = fastbp.train(X, y, seed=0, sample_weight=(len(y) / (3 * counts))[y])
    balanced = fastbp.train(X, y, seed=0, class_weight="balanced")
    np.testing.assert_allclose(balanced.params, by_hand.params, rtol=1e-4, atol=1e-5)


def test_l2_shrinks_the_weights(blobs):
    sizes = [sum((W**2).sum() for W in fastbp.train(*blobs, seed=0, l2=l2).weights) for l2 in (0.0, 0.01, 1.0)]
    assert sizes[0] > sizes[1] > sizes[2]


def test_warm_start_continues_from_a_network(blobs):
    X, y = blobs
    half = fastbp.train(X, y, epochs=10, seed=0)
    more = fastbp.train(X, y, init=half, epochs=10, seed=1)
    assert more.history["loss"][0] < half.history["loss"][0]
    assert (more.x_mean == half.x_mean).all()
    assert more.options["init"] == "network"
    subset = fastbp.train(X[y < 2], y[y < 2], init=half, epochs=1, seed=1)
    assert subset.classes.tolist() == [0, 1, 2]


def test_validation_share_is_stratified_and_left_out(blobs):
    X, y = blobs
    net = fastbp.train(X, y, validation=0.25, epochs=1, seed=0)
    assert net.options["samples"] == sum(n - round(n / 4) for n in np.bincount(y))


def test_scaling_lives_inside_the_network(blobs):
    X, y = blobs
    far = X * [1e6, 1e-6] + [1e9, -5]
    net = fastbp.train(far, y, seed=0)
    assert net.score(far, y) == pytest.approx(fastbp.train(X, y, seed=0).score(X, y), abs=0.02)
    target = 1e5 * X[:, 0] + 7e6
    assert fastbp.train(far, target, seed=0).score(far, target) > 0.98


def test_history_and_options_are_filled_in(blobs):
    net = fastbp.train(*blobs, seed=0, validation=0.2)
    assert set(net.history) == {"loss", "accuracy", "validation_loss", "validation_accuracy", "seconds"}
    assert len({len(v) for v in net.history.values()}) == 1
    assert net.options["learning_rate"] == 0.001
    assert net.options["batch_size"] == 32
    assert net.options["epochs"] == 20000 // 240
    assert net.train_seconds > 0
    assert net.compile_seconds >= 0


@pytest.mark.parametrize("name", ["digits", "breast_cancer", "wine", "diabetes"])
def test_real_data_with_the_defaults(name):
    """Bounds well below the scores of the README's benchmark: they catch defaults that no longer work."""
    datasets = pytest.importorskip("sklearn.datasets")
    X, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    train, test = order[: len(X) * 4 // 5], order[len(X) * 4 // 5 :]
    floor = {"digits": 0.95, "breast_cancer": 0.93, "wine": 0.93, "diabetes": 0.3}[name]
    assert fastbp.train(X[train], y[train], seed=0).score(X[test], y[test]) > floor
