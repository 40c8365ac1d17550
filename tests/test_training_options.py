"""What `fastbp.train` offers beyond the lecture, each compared with something that needs no network."""

import numpy as np
import pytest
from naive import finite_difference
from numba import njit

import fastbp
from fastbp import options, schedules
from fastbp.kernels.minibatch import narrow
from fastbp.training import learner as local

RNG = np.random.default_rng(0)
X = RNG.normal(size=(300, 4))
Y = 2 * X[:, 0] + np.sin(2 * X[:, 1]) + 0.3 * RNG.normal(size=300)
LABELS = np.where(Y > 0, "up", "down")
QUIET = {"progress": False, "seed": 0}


def constant(y, **options):
    """The number that a network learns for `y` if its inputs are constant."""
    nothing = np.zeros((len(y), 1))
    plan = {"hidden": (), "optimizer": "sgd", "batch_size": len(y), "learning_rate": 0.5}
    plan |= {"epochs": 4000, "scale": False, "dtype": "float64"}
    net = fastbp.train(nothing, y, task="regression", **QUIET, **plan | options)
    return np.squeeze(net.predict(nothing)[0])


# Losses: the best constant is a known statistic


def test_the_best_constants():
    y = RNG.gamma(2.0, size=101)
    assert constant(y) == pytest.approx(y.mean(), abs=1e-9)
    assert constant(y, loss="poisson") == pytest.approx(y.mean(), abs=1e-9)
    # where the slope jumps, descent with a constant step size ends within one step
    falling = {"schedule": "cosine", "learning_rate": 1.0}
    assert constant(y, loss="absolute_error", **falling) == pytest.approx(np.median(y), abs=1e-3)
    found = constant(y, loss="quantile", quantile=[0.1, 0.5, 0.9], **falling)
    np.testing.assert_allclose(found, np.sort(y)[[10, 50, 90]], atol=0.02)
    huber, delta = constant(y, loss="huber", huber_delta=0.3), 0.3
    assert np.clip(huber - y, -delta, delta).mean() == pytest.approx(0, abs=1e-9)
    assert np.tanh(constant(y, loss="log_cosh") - y).mean() == pytest.approx(0, abs=1e-9)


def test_a_share_of_the_targets_lies_below_each_quantile():
    net = fastbp.train(X, Y, loss="quantile", quantile=(0.1, 0.5, 0.9), epochs=300, schedule="cosine", **QUIET)
    below = (Y[:, None] < net.predict(X)).mean(axis=0)
    np.testing.assert_allclose(below, (0.1, 0.5, 0.9), atol=0.02)
    assert net.predict(X).shape == (300, 3)
    assert net.score(X, Y) == pytest.approx(
        1 - ((Y - net.predict(X)[:, 1]) ** 2).sum() / ((Y - Y.mean()) ** 2).sum(), abs=1e-6
    )
    several = fastbp.train(X, np.column_stack([Y, -Y]), loss="quantile", quantile=(0.2, 0.8), epochs=60, **QUIET)
    assert several.predict(X).shape == (300, 4)
    assert several.score(X, np.column_stack([Y, -Y])) > 0.3


def test_quantiles_are_kept_in_the_file_and_training_continues(tmp_path):
    net = fastbp.train(X, Y, loss="quantile", quantile=(0.1, 0.9), epochs=3, **QUIET)
    net.save(tmp_path / "model.fbp")
    again = fastbp.load(tmp_path / "model.fbp")
    assert again.loss_parameter == (0.1, 0.9)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    assert fastbp.train(X, Y, init=again, epochs=2, **QUIET).loss_parameter == (0.1, 0.9)
    with pytest.raises(
        ValueError, match=r"quantile: expected \(0.1, 0.9\), as in the network given as init, got \(0.3,\)"
    ):
        fastbp.train(X, Y, init=again, quantile=0.3, **QUIET)


# A custom loss


@njit
def fourth(y, a):
    return (a - y) ** 4 / 4


@njit
def cubed(y, a):
    return (a - y) ** 3


def half_square(y, a):
    return 0.5 * (a - y) ** 2


def error(y, a):
    return a - y


@pytest.mark.parametrize("batch_size", [32, 1])
def test_a_custom_loss_is_like_a_built_in_one(batch_size):
    plan = {"epochs": 3, "optimizer": "sgd", "learning_rate": 0.01, "batch_size": batch_size, "dtype": "float64"}
    for target, more in ((Y, {}), (LABELS, {"loss": "squared_error"})):
        ours, built = (
            fastbp.train(X, target, **QUIET, **plan, **{**more, **own}) for own in ({"loss": (half_square, error)}, {})
        )
        np.testing.assert_allclose(ours.params, built.params, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(ours.history["loss"], built.history["loss"], rtol=1e-9)


def test_a_custom_loss_is_minimised_and_saved_and_training_continues(tmp_path):
    y = RNG.normal(size=51) ** 2
    best = constant(y, loss=(fourth, cubed), learning_rate=0.05)
    assert ((best - y) ** 3).mean() == pytest.approx(0, abs=1e-9)
    net = fastbp.train(X, Y, loss=(fourth, cubed), epochs=2, validation=0.2, **QUIET)
    net.save(tmp_path / "model.fbp")
    again = fastbp.load(tmp_path / "model.fbp")
    assert again.loss == "own"
    assert fastbp.train(X, Y, init=again, loss=(fourth, cubed), epochs=1, **QUIET).sizes == net.sizes
    with pytest.raises(ValueError, match="loss: expected the two functions"):
        fastbp.train(X, Y, init=again, **QUIET)


def not_compilable(y, a):
    return open(y)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (
            (fourth, lambda y, a: -((a - y) ** 3)),
            r"loss: the derivative disagrees .* at y=\S+, yhat=\S+: expected \S+, got",
        ),
        ((lambda y, a: np.log(a - 1e9), lambda y, a: 1.0), "loss: expected finite numbers, got a loss of nan"),
        ((not_compilable, cubed), "loss: expected two functions of two numbers .* that Numba can compile"),
        ((fourth, lambda a: a), "loss: expected two functions of two numbers"),
        ((fourth,), "loss: expected a name, or a pair of functions"),
        (len, "loss: expected a name, or a pair of functions"),
    ],
)
def test_a_wrong_loss_is_refused(loss, message):
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, Y, loss=loss, epochs=1, **QUIET)


def late(y, a):
    return 0.5 * (a - y) ** 2 if abs(y - 1) > 1e-6 else np.nan


@pytest.mark.parametrize(
    ("batch_size", "where"), [(32, "epoch 1, batch 4 of 10"), (1, "epoch 1, sample 101 in its order")]
)
def test_a_custom_loss_that_is_not_a_number_stops_with_epoch_and_batch(batch_size, where):
    y = np.arange(300) / 100  # the check looks at 60 of them, but not at the one that matters
    plan = {"loss": (late, error), "scale": False, "shuffle": False}
    plan |= {"optimizer": "sgd", "learning_rate": 1e-3, "epochs": 3}
    with pytest.raises(FloatingPointError, match=f"training diverged in {where}: the custom loss was no longer finite"):
        fastbp.train(X, y, task="regression", batch_size=batch_size, **QUIET, **plan)


def test_a_kink_is_no_mistake():
    fastbp.train(X, Y, loss=(lambda y, a: abs(a - y), lambda y, a: np.sign(a - y)), epochs=1, **QUIET)


# Activations


@pytest.mark.parametrize("name", options.ELEMENTWISE)
def test_the_slope_of_the_outputs_by_the_inputs(name):
    net = fastbp.train(X, Y, hidden=(6, 5), activation=["tanh", name], epochs=2, dtype="float64", **QUIET)
    found = net.input_gradient(X[:3])
    for i in range(3):
        wanted = finite_difference(lambda x: net.forward(x[None])[0, 0], X[i])
        np.testing.assert_allclose(found[i, 0], wanted, atol=1e-7)
    assert len(net.activations(X)) == 4
    assert net.layer_activations == ("tanh", name, "identity")


# Dropout, clipping, rules, rates


def test_dropout_is_for_training_only():
    nets = [fastbp.train(X, Y, dropout=p, epochs=5, hidden=(16, 8), **QUIET) for p in (0.4, 0.4, [0.4, 0.0], 0.0)]
    np.testing.assert_array_equal(nets[0].params, nets[1].params)
    assert len({net.params.tobytes() for net in nets}) == 3
    np.testing.assert_array_equal(nets[0].predict(X), nets[0].predict(X))
    one_by_one = fastbp.train(
        X, Y, dropout=0.4, optimizer="sgd", batch_size=1, epochs=20, hidden=(16, 8), learning_rate=0.01, **QUIET
    )
    assert one_by_one.score(X, Y) > 0.8


def test_a_step_is_never_longer_than_the_clipped_gradient():
    start = fastbp.train(X, Y, epochs=0, dtype="float64", **QUIET)
    plan = {"epochs": 1, "optimizer": "sgd", "learning_rate": 1.0, "batch_size": 300, "dtype": "float64"}
    free, cut = (
        fastbp.train(X, Y, init=start, clip_norm=most, **plan, **QUIET).params - start.params for most in (None, 0.01)
    )
    assert np.linalg.norm(free) > 0.1
    np.testing.assert_allclose(cut, free * (0.01 / np.linalg.norm(free)), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("optimizer", ["adamw", "nadam", "rmsprop", "rprop"])
def test_further_rules_find_the_least_squares(optimizer):
    wanted = np.linalg.lstsq(np.column_stack([X, np.ones(300)]), Y, rcond=None)[0]
    plan = {"hidden": (), "scale": False, "batch_size": 300, "epochs": 3000}
    plan |= {"dtype": "float64", "schedule": "cosine", "learning_rate": 0.05}
    net = fastbp.train(X, Y, optimizer=optimizer, **plan, **QUIET)
    np.testing.assert_allclose(net.params, wanted, atol=1e-3)


def test_what_dropout_and_clipping_need_is_compiled_before_the_clock_starts(monkeypatch):
    compiled, epoch = [], local.LocalLearner.epoch

    def watched(learner, order):
        before = len(narrow.learn_narrow_serial.signatures)
        found = epoch(learner, order)
        compiled.append(len(narrow.learn_narrow_serial.signatures) - before)
        return found

    monkeypatch.setattr(local.LocalLearner, "epoch", watched)
    fastbp.train(X, Y, dropout=0.1, clip_norm=1.0, batch_size=100, epochs=2, dtype="float64", threads=1, **QUIET)
    assert compiled == [0, 0]


def test_schedules():
    def near(name, warmup=0.0):
        return schedules.factors(name, 0, 101, 101, warmup)

    assert (near("constant") == 1).all()
    cosine = near("cosine")
    np.testing.assert_allclose(cosine, (1 + np.cos(np.pi * np.arange(101) / 101)) / 2, rtol=1e-12)
    cycle = near("one_cycle")
    assert cycle[0] == pytest.approx(1 / 25)
    assert cycle.max() == cycle[30] == 1
    assert cycle[-1] == pytest.approx(1 / 250_000)
    assert (np.diff(cycle[:31]) > 0).all()
    assert (np.diff(cycle[30:]) < 0).all()
    np.testing.assert_allclose(near("constant", 10)[:12], [*np.arange(1, 11) / 10, 1, 1], rtol=1e-12)
    assert near("cosine", 10)[10] == 1
    np.testing.assert_array_equal(
        np.concatenate([schedules.factors("one_cycle", k, 1, 101, 0) for k in range(101)]), cycle
    )


def test_the_rate_follows_the_schedule():
    # a linear unit by gradient descent, in NumPy
    w, b, step = np.zeros(4), 0.0, 0
    start = fastbp.train(X, Y, hidden=(), epochs=0, scale=False, dtype="float64", **QUIET)
    w, b = start.weights[0][:, 0].copy(), start.biases[0][0]
    for _ in range(6):
        for rows in (slice(0, 200), slice(200, 300)):
            rate = 0.3 * (1 + np.cos(np.pi * max(0, step - 3) / 9)) / 2 * min(1, (step + 1) / 3)
            e = X[rows] @ w + b - Y[rows]
            w, b, step = w - rate * X[rows].T @ e / len(e), b - rate * e.mean(), step + 1
    plan = {"optimizer": "sgd", "learning_rate": 0.3, "schedule": "cosine"}
    plan |= {"warmup": 1.5, "batch_size": 200, "epochs": 6, "shuffle": False}
    net = fastbp.train(X, Y, init=start, dtype="float64", **plan, **QUIET)
    np.testing.assert_allclose(net.params, [*w, b], rtol=1e-10)


# What is measured on the validation set


def test_the_metric_decides():
    seen = []

    def hits(y_true, y_pred):
        seen.append((y_true, y_pred))
        return float((y_true == y_pred).mean())

    net = fastbp.train(X, LABELS, validation=(X[:80], LABELS[:80]), metric=hits, epochs=12, **QUIET)
    found = net.history["validation_metric"]
    assert net.best_epoch == 1 + int(np.argmax(found))
    assert net.score(X[:80], LABELS[:80]) == found.max()
    np.testing.assert_array_equal(seen[0][0], LABELS[:80])
    assert set(seen[0][1]) <= {"up", "down"}
    np.testing.assert_allclose(found, net.history["validation_accuracy"], atol=1e-12)
    r2 = fastbp.train(
        X, Y, validation=(X[:80], Y[:80]), metric="score", patience=2, epochs=200, learning_rate=0.1, **QUIET
    )
    assert r2.score(X[:80], Y[:80]) == r2.history["validation_metric"].max()
    assert r2.stop_reason == "patience"
    assert len(r2.history["loss"]) == r2.best_epoch + 2


def test_samples_to_validate_with_may_have_weights():
    weight = np.arange(80.0)
    net = fastbp.train(X, Y, validation=(X[:80], Y[:80], weight), epochs=1, scale=False, dtype="float64", **QUIET)
    wanted = np.average((net.predict(X[:80]) - Y[:80]) ** 2 / 2, weights=weight)
    assert net.history["validation_loss"][0] == pytest.approx(wanted, rel=1e-9)
    with pytest.raises(ValueError, match=r"validation\[2\]: expected shape \(80,\), got \(3,\)"):
        fastbp.train(X, Y, validation=(X[:80], Y[:80], [1, 2, 3]), **QUIET)


def test_without_epochs_a_network_has_its_initial_weights():
    net = fastbp.train(X, LABELS, epochs=0, **QUIET)
    assert net.predict(X).shape == (300,)
    assert not net.history
    np.testing.assert_array_equal(net.params, fastbp.train(X, LABELS, epochs=0, **QUIET).params)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"dropout": 1.0}, "dropout: expected a finite number at least 0 and below 1, got 1.0"),
        ({"dropout": [0.1, 0.2]}, "dropout: expected one share, or one for each of the 1 hidden layers, got 2"),
        ({"clip_norm": 0}, "clip_norm: expected a finite number above 0, got 0"),
        ({"schedule": "cosin"}, "schedule: expected one of .* did you mean 'cosine'"),
        ({"warmup": -1}, "warmup: expected a finite number at least 0"),
        ({"warmup": 1, "schedule": "one_cycle"}, "warmup: expected 0 with schedule='one_cycle'"),
        ({"loss": "quantile", "quantile": 1.5}, "quantile: expected a finite number above 0 and below 1, got 1.5"),
        ({"loss": "quantile", "quantile": [0.9, 0.1]}, "quantile: expected a level .* increasing order"),
        ({"loss": "quantile", "quantile": []}, "quantile: expected a level"),
        ({"loss": "huber", "huber_delta": 0}, "huber_delta: expected a finite number above 0"),
        ({"loss": "poisson", "output": "identity"}, "output: expected 'exp' with the loss 'poisson'"),
        ({"loss": "poisson"}, "y: expected numbers of at least 0 for the loss 'poisson', got -"),
        ({"output": "gelu"}, r"output \(for regression\): expected one of"),
        ({"metric": "score"}, "metric: expected 'loss' without a validation set"),
        ({"metric": "f1", "validation": 0.2}, "metric: expected one of 'loss', 'score', got 'f1'"),
        (
            {"metric": lambda t, p: float("nan"), "validation": 0.2},
            r"metric: expected a number from metric\(y_true, y_pred\), got nan",
        ),
    ],
)
def test_what_is_refused(given, message):
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, Y, **QUIET, **{"epochs": 2} | given)


def test_losses_of_numbers_are_not_for_classes():
    with pytest.raises(
        ValueError, match="loss: expected one of 'log_loss', 'squared_error' or two functions for classification"
    ):
        fastbp.train(X, LABELS, loss="huber", **QUIET)
