"""Optimizers of all samples at once: they converge where they should, say why they stop, and repeat bit for bit."""

import itertools
import pickle

import naive
import numpy as np
import pytest
from scipy import sparse
from scipy.optimize import minimize

import fastbp
from fastbp import memory
from fastbp.data import scaling
from fastbp.second_order import levenberg_marquardt, line_search
from fastbp.second_order.options import DAMPED, NAMES, QUASI_NEWTON
from fastbp.training import learner

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (150, 2))
SMOOTH = np.sin(2 * X[:, 0]) + X[:, 1] ** 2
NOISY = SMOOTH + 0.1 * rng.normal(size=150)
TWO, THREE = (SMOOTH > 1).astype(int), np.digitize(SMOOTH, [0, 1.5])
PLAN = {"hidden": (6,), "activation": "tanh", "seed": 1, "progress": False}
LM = PLAN | {"optimizer": "levenberg_marquardt"}


def naive_steps(net, y, steps, l2=0.0):
    """Levenberg-Marquardt in NumPy, from first weights: costs after each step, and the weights."""
    names, sizes = net.layer_activations, net.sizes
    w = net.params.copy()
    A, b = (X - X.mean(0)) / X.std(0), ((y - y.mean()) / y.std())[:, None]
    decay = l2 * np.concatenate([[1.0] * (i * j) + [0.0] * j for i, j in itertools.pairwise(sizes)])

    def cost(w):
        r, _ = naive.residual_jacobian(names, sizes, w, A, "squared_error", b, np.ones(len(A)))
        return (r**2).sum() / 2 / len(A) + decay @ w**2 / 2

    damping, up, costs = 1e-3, 2.0, []
    for _ in range(steps):
        r, J = naive.residual_jacobian(names, sizes, w, A, "squared_error", b, np.ones(len(A)))
        J = J.reshape(len(A), -1)
        g, H = J.T @ r[:, 0] / len(A) + decay * w, J.T @ J / len(A) + np.diag(decay)
        while True:
            step = np.linalg.solve(H + damping * np.eye(len(w)), -g)
            promised = step @ (damping * step - g) / 2
            gain = (cost(w) - cost(w + step)) / promised
            if gain > 0:
                w, damping, up = w + step, damping * max(0.1, 1 - (2 * gain - 1) ** 3), 2.0
                break
            damping, up = damping * up, up * 2
        costs.append(cost(w))
    return costs, w


@pytest.mark.parametrize("l2", [0.0, 0.01])
def test_the_steps_are_those_of_numpy(l2):
    start = fastbp.train(X, SMOOTH, **LM | {"epochs": 0})
    net = fastbp.train(X, SMOOTH, **LM | {"epochs": 12, "l2": l2})
    costs, w = naive_steps(start, SMOOTH, 12, l2)
    penalty = l2 / 2 * sum((W**2).sum() for W in net.weights)
    assert net.history["loss"][-1] + penalty == pytest.approx(costs[-1], rel=1e-6)
    np.testing.assert_allclose(net.params, w, atol=1e-5)
    assert list(net.history) == ["loss", "damping", "gradient_norm", "seconds"]
    assert net.history["damping"][0] == 1e-3
    if not l2:
        assert (np.diff(net.history["loss"]) < 0).all()


def test_errors_as_small_as_numbers_allow():
    teacher = fastbp.train(X, NOISY, **LM | {"hidden": (3,), "epochs": 20})
    net = fastbp.train(X, teacher.predict(X), **LM | {"hidden": (3,), "epochs": 300})
    assert net.stop_reason in ("converged", "no_step")
    assert abs(net.predict(X) - teacher.predict(X)).max() < 1e-6
    assert net.dtype == np.float64


@pytest.mark.thorough
def test_float32():
    net = fastbp.train(X, SMOOTH, **LM | {"dtype": "float32", "epochs": 400, "tolerance": 0.0})
    assert net.dtype == np.float32
    assert net.history["loss"][-1] < 1e-4


def test_the_other_names():
    assert fastbp.train(X, NOISY, **LM | {"optimizer": "lm", "epochs": 2}).options["optimizer"] == "levenberg_marquardt"
    with pytest.raises(ValueError, match="did you mean 'bayesian'"):
        fastbp.train(X, NOISY, optimizer="bayes")


def test_fewer_residuals_than_weights():
    few = slice(0, 15)
    for l2 in (0.0, 0.01):
        plan = LM | {"epochs": 8, "l2": l2}
        small = fastbp.train(X[few], NOISY[few], **plan)
        takes_rows = levenberg_marquardt.LevenbergMarquardt.takes_rows
        try:
            levenberg_marquardt.LevenbergMarquardt.takes_rows = False
            large = fastbp.train(X[few], NOISY[few], **plan)
        finally:
            levenberg_marquardt.LevenbergMarquardt.takes_rows = takes_rows
        np.testing.assert_allclose(small.params, large.params, atol=1e-4)
        np.testing.assert_allclose(small.history["loss"], large.history["loss"], rtol=1e-4, atol=1e-12)


@pytest.mark.parametrize("optimizer", [*QUASI_NEWTON, "levenberg_marquardt"])
@pytest.mark.parametrize("y", [TWO, THREE], ids=["logistic", "softmax"])
def test_the_minimum_of_a_convex_problem(optimizer, y):
    """Logistic regression with a penalty has one minimum, which SciPy finds, too."""
    plan = PLAN | {"hidden": (), "optimizer": optimizer, "l2": 0.02, "tolerance": 1e-13}
    net = fastbp.train(X, y, **plan)
    A, sizes = (X - X.mean(0)) / X.std(0), net.sizes
    Y = np.eye(3)[y] if sizes[-1] > 1 else y[:, None].astype(float)

    def cost(w):
        W, b = w[: 2 * sizes[-1]].reshape(2, -1), w[2 * sizes[-1] :]
        a = naive.activation_forward(net.layer_activations[-1], A @ W + b)
        return naive.loss("log_loss", net.layer_activations[-1], a, Y).mean() + 0.01 * (W**2).sum()

    best = minimize(cost, np.zeros(net.params.size), tol=1e-12)
    assert cost(net.params) <= best.fun + 1e-8


LOSSES = {
    "huber": {"loss": "huber", "huber_delta": 0.3},
    "absolute_error": {"loss": "absolute_error"},
    "log_cosh": {"loss": "log_cosh"},
    "quantile": {"loss": "quantile", "quantile": (0.2, 0.8)},
    "poisson": {"loss": "poisson"},
    "two classes": {"y": TWO, "l2": 1e-3},
    "three classes": {"y": THREE, "l2": 1e-3},
    "labels": {"y": np.column_stack([TWO, THREE > 1]), "l2": 1e-3},
    "two outputs": {"y": np.column_stack([NOISY, X[:, 0] ** 2])},
    "no hidden layer": {"hidden": ()},
    "relu": {"activation": "relu"},
    "weights": {"sample_weight": abs(X[:, 0])},
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("optimizer", ["levenberg_marquardt", "lbfgs"])
def test_every_loss_is_lowered(name, optimizer):
    options = {"y": abs(NOISY) if name == "poisson" else NOISY, "l2": 0.0, **LOSSES[name]}
    y = options.pop("y")
    net = fastbp.train(X, y, **PLAN | options | {"optimizer": optimizer, "epochs": 40})
    adam = fastbp.train(X, y, **PLAN | options | {"epochs": 40, "dtype": "float64"})
    assert net.history["loss"][-1] < 1.02 * adam.history["loss"][-1]
    assert np.isfinite(net.params).all()


def test_whole_weights_are_equal_samples():
    times = rng.integers(1, 4, 150)
    for optimizer in NAMES:
        if optimizer == "bayesian":  # takes the number of samples into account
            continue
        plan = PLAN | {"optimizer": optimizer, "epochs": 5}
        weighted = fastbp.train(X, NOISY, sample_weight=times, **plan)
        repeated = fastbp.train(np.repeat(X, times, axis=0), np.repeat(NOISY, times), **plan)
        np.testing.assert_allclose(weighted.params, repeated.params, atol=1e-7)


@pytest.mark.parametrize("optimizer", NAMES)
def test_the_same_bits_with_threads_and_among_many(optimizer):
    plan = PLAN | {"optimizer": optimizer, "epochs": 6}
    big, y = np.tile(X, (20, 1)), np.tile(NOISY, 20)
    one, two = (fastbp.train(big, y, **plan | {"threads": count}) for count in (1, 2))
    np.testing.assert_array_equal(one.params, two.params)
    many = fastbp.train_many(big, y, [{"seed": 1}, {"seed": 2}], **{k: v for k, v in plan.items() if k != "seed"})
    np.testing.assert_array_equal(many[0].params, one.params)
    if optimizer == "bayesian":
        np.testing.assert_array_equal(many[0].posterior.root, one.posterior.root)


def test_inputs_of_other_kinds(monkeypatch):
    """Sparse samples, and samples that are standardised when they are read, give the same steps."""
    for optimizer in ("levenberg_marquardt", "lbfgs"):
        plan = PLAN | {"optimizer": optimizer, "epochs": 6}
        wanted = fastbp.train(X, NOISY, **plan)
        monkeypatch.setattr(scaling, "COPIED", 1)
        monkeypatch.setattr("fastbp.runtime.blocks.BLOCK", 1000)
        found = fastbp.train(X, NOISY, **plan)
        monkeypatch.undo()
        np.testing.assert_allclose(found.params, wanted.params, atol=1e-7)
        thin = np.where(abs(X) > 1, X, 0)
        dense = fastbp.train(thin / abs(thin).max(0), NOISY, **plan, init=_first(thin, NOISY))
        found = fastbp.train(sparse.csr_array(thin), NOISY, **plan)
        assert found.history["loss"][-1] < 1
        assert dense.history["loss"][-1] < 1


def _first(A, y):
    return fastbp.train(A, y, **PLAN | {"epochs": 0, "dtype": "float64"})


# Stopping


def test_why_it_stops():
    seen = []
    options = LM | {"epochs": 50, "callback": seen.append}
    net = fastbp.train(X, SMOOTH, **options | {"target_loss": 1e-3})
    assert net.stop_reason == "target_loss"
    assert net.history["loss"][-1] <= 1e-3 < net.history["loss"][-2]
    assert [epoch.damping for epoch in seen] == net.history["damping"].tolist()
    assert [epoch.gradient_norm for epoch in seen] == net.history["gradient_norm"].tolist()
    assert seen[0].effective_parameters is None
    assert fastbp.train(X, NOISY, **LM | {"epochs": 2000, "l2": 0.1}).stop_reason == "converged"
    net = fastbp.train(X, NOISY, **LM | {"epochs": 2000, "validation": 0.3, "patience": 5})
    assert net.stop_reason == "patience"
    assert net.best_epoch == len(net.history["loss"]) - 5
    assert fastbp.train(X, NOISY, **LM | {"tolerance": 0.0, "max_seconds": 1e-9}).stop_reason == "max_seconds"
    linear = fastbp.train(X, X @ [1.0, 2.0], **PLAN | {"hidden": (), "optimizer": "bfgs"})
    assert linear.stop_reason in ("converged", "no_step")
    assert linear.history["loss"][-1] < 1e-20


@pytest.mark.parametrize("optimizer", NAMES)
def test_odd_data(optimizer):
    plan = PLAN | {"optimizer": optimizer, "epochs": 15, "task": "regression"}
    same = np.column_stack([X, np.ones(150), X[:, 0]])
    for A, y in (
        (same, NOISY),
        (X[:1], NOISY[:1]),
        (X[:2], NOISY[:2]),
        (X, np.ones(150)),
        (np.zeros((20, 2)), NOISY[:20]),
    ):
        net = fastbp.train(A, y, **plan)
        assert np.isfinite(net.params).all()
        assert np.isfinite(net.predict(A)).all()
    big = fastbp.train(X * 1e150, NOISY, **plan)
    assert np.isfinite(big.predict(X * 1e150)).all()
    with pytest.raises(ValueError, match="finite"):
        fastbp.train(np.full((5, 2), np.nan), NOISY[:5], **plan)
    with pytest.raises(ValueError, match="not all 0"):
        fastbp.train(X, NOISY, sample_weight=np.zeros(150), **plan)


def test_a_first_loss_that_is_not_finite():
    with pytest.raises(FloatingPointError, match=r"could not begin.*scale=True"):
        fastbp.train(X * 1e300, NOISY, **LM | {"hidden": (), "scale": False, "activation": "relu"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"batch_size": 32},
            "batch_size: expected None or all 150 samples with optimizer='levenberg_marquardt', got 32",
        ),
        ({"learning_rate": 0.1}, "learning_rate: expected None with optimizer"),
        ({"schedule": "cosine"}, "schedule: expected 'constant' with"),
        ({"warmup": 2}, "warmup: expected 0 with"),
        ({"dropout": 0.1}, "dropout: expected 0 with"),
        ({"clip_norm": 1.0}, "clip_norm: expected None with"),
        ({"quality": "best"}, "quality: expected 'single' with optimizer='levenberg_marquardt'"),
        ({"damping": 0}, "damping: expected a finite number above 0"),
        ({"damping_up": 1}, "damping_up: expected a finite number above 1"),
        ({"damping_down": "a"}, "damping_down: expected a finite number"),
        ({"damping_limit": 1e-5}, "damping_limit: expected at least damping=0.001"),
        ({"tolerance": -1}, "tolerance: expected a finite number at least 0"),
        (
            {"loss": (lambda y, a: (a - y) ** 2, lambda y, a: 2 * (a - y))},
            "loss: .* custom loss; use optimizer='lbfgs'",
        ),
        ({"optimizer": "adam", "damping": 0.1}, "damping: expected optimizer='levenberg_marquardt' or 'bayesian'"),
        ({"optimizer": "bfgs", "damping": 0.1}, "damping: .* it would have no effect"),
        ({"optimizer": "adam", "tolerance": 0.1}, "tolerance: .* it would have no effect"),
        ({"optimizer": "bayesian", "l2": 0.1}, "l2: expected 0 with optimizer='bayesian'"),
        ({"optimizer": "bayesian", "loss": "huber"}, "loss: expected 'squared_error' or 'log_loss'"),
    ],
)
def test_options_that_do_not_go_together(options, message):
    with pytest.raises(ValueError, match=message):
        fastbp.train(X, NOISY, **LM | options)


def test_custom_losses_of_quasi_newton():
    pair = (lambda y, a: 0.5 * (a - y) ** 2, lambda y, a: a - y)
    own, built_in = (
        fastbp.train(X, NOISY, **PLAN | {"optimizer": "lbfgs", "epochs": 10, "loss": loss})
        for loss in (pair, "squared_error")
    )
    np.testing.assert_allclose(own.params, built_in.params, atol=1e-8)


def test_a_matrix_that_does_not_fit(monkeypatch):
    monkeypatch.setattr(memory, "limit", lambda: 25_000_000)
    for optimizer in (*DAMPED, "bfgs"):
        message = rf"optimizer: the matrices of '{optimizer}' for 1201 weights would take .*MB.*'lbfgs' takes"
        with pytest.raises(ValueError, match=message):
            fastbp.train(np.tile(X, (20, 1)), np.tile(NOISY, 20), **PLAN | {"optimizer": optimizer, "hidden": (300,)})
    fastbp.train(X, NOISY, **PLAN | {"optimizer": "lbfgs", "hidden": (300,), "epochs": 1})


# The line search


@pytest.mark.parametrize("first", [1e-3, 0.1, 1.0, 30.0, 1e6])
@pytest.mark.parametrize("seed", range(12))
def test_strong_wolfe_conditions(seed, first):
    random = np.random.default_rng(seed)
    a, b, c, d = random.normal(), random.uniform(0.5, 3), random.normal(), random.uniform(0.01, 2)

    def at(t):
        value = d * (t - 2) ** 2 + c * np.sin(b * t + a)
        return line_search.Point(t, value, 2 * d * (t - 2) + c * b * np.cos(b * t + a), t)

    start = at(0.0)
    if start.slope >= 0:
        return
    found = line_search.strong_wolfe(at, start, first)
    assert found.value <= start.value + 1e-4 * found.t * start.slope
    assert abs(found.slope) <= 0.9 * abs(start.slope)


def test_a_search_along_a_cliff():
    def at(t):
        return line_search.Point(t, -t if t < 1e-3 else np.inf, -1.0 if t < 1e-3 else np.nan, None)

    found = line_search.strong_wolfe(at, at(0.0), 1.0)
    assert 0 < found.t < 1e-3

    def up(t):
        return line_search.Point(t, t, -1.0, None)

    assert line_search.strong_wolfe(up, up(0.0), 1.0) is None


# Bayesian regularisation


def test_the_evidence():
    """alpha, beta and gamma fulfil their equations at the end, with a Hessian by NumPy; R R^T is its inverse."""
    net = fastbp.train(X, NOISY, **PLAN | {"optimizer": "bayesian"})
    assert net.stop_reason == "converged"
    gamma, beta = net.history["effective_parameters"][-1], net.history["noise_precision"][-1]
    assert 5 < gamma < net.params.size
    A, b = (X - X.mean(0)) / X.std(0), ((NOISY - NOISY.mean()) / NOISY.std())[:, None]
    r, J = naive.residual_jacobian(net.layer_activations, net.sizes, net.params, A, "squared_error", b, np.ones(150))
    J, R = J.reshape(150, -1), net.posterior.matrix
    assert beta == pytest.approx((150 - gamma) / (r**2).sum(), rel=0.02)
    assert net.posterior.noise == pytest.approx(1 / beta)
    prior = np.linalg.inv(R @ R.T) - beta * J.T @ J
    alpha = np.diag(prior)
    np.testing.assert_allclose(prior, np.diag(alpha), atol=1e-4 * abs(beta * J.T @ J).max())
    group = np.repeat([0, 1, 2, 3], [12, 6, 6, 1])
    for k in range(4):
        at = group == k
        own = (1 - alpha * np.diag(R @ R.T))[at].sum()
        assert own == pytest.approx(alpha[at].mean() * (net.params[at] ** 2).sum(), rel=0.1)
    # near the noise that was added
    assert np.sqrt(net.posterior.noise) * net.y_scale[0] == pytest.approx(0.1, rel=0.15)


def test_intervals_hold_as_many_targets_as_they_should():
    random = np.random.default_rng(5)
    A = random.uniform(-2, 2, (400, 1))
    net = fastbp.train(A, np.sin(2 * A[:, 0]) + 0.2 * random.normal(size=400), **PLAN | {"optimizer": "bayesian"})
    B = random.uniform(-2, 2, (4000, 1))
    y = np.sin(2 * B[:, 0]) + 0.2 * random.normal(size=4000)
    for level in (0.5, 0.9, 0.99):
        low, high = net.predict_interval(B, level)
        assert low.shape == high.shape == (4000,)
        assert np.mean((low <= y) & (y <= high)) == pytest.approx(level, abs=0.03)
    low, high = net.predict_interval(B, 0.95, noise=False)
    wide_low, wide_high = net.predict_interval(B)
    assert (wide_low < low).all()
    assert (high < wide_high).all()
    np.testing.assert_allclose((low + high) / 2, net.predict(B), atol=1e-10)
    far = np.diff(net.predict_interval([[0.0], [6.0]], noise=False), axis=0)[0]
    assert far[1] > 3 * far[0]


def test_intervals_of_several_outputs_and_of_ensembles(tmp_path):
    Y = np.column_stack([NOISY, 50 * X[:, 0] + 1])
    plan = {k: v for k, v in PLAN.items() if k != "seed"} | {"optimizer": "bayesian", "epochs": 30}
    net = fastbp.train(X, Y, seed=1, **plan)
    low, high = net.predict_interval(X)
    assert low.shape == (150, 2)
    net.save(tmp_path / "net.fbp")
    for other in (fastbp.load(tmp_path / "net.fbp"), pickle.loads(pickle.dumps(net))):
        np.testing.assert_array_equal(other.predict_interval(X), (low, high))
    several = fastbp.ensemble(X, NOISY, 3, seed=0, **plan)
    low, high = several.predict_interval(X, 0.95)
    variances = [((n.predict_interval(X, 0.95)[1] - n.predict(X)) / 1.959964) ** 2 for n in several.networks]
    total = np.mean(variances, axis=0) + np.var([n.predict(X) for n in several.networks], axis=0)
    np.testing.assert_allclose(high - several.predict(X), 1.959964 * np.sqrt(total), rtol=1e-5)
    several.save(tmp_path / "several.fbp")
    np.testing.assert_array_equal(fastbp.load(tmp_path / "several.fbp").predict_interval(X), (low, high))


def test_intervals_that_cannot_be():
    lm, classes = fastbp.train(X, NOISY, **LM | {"epochs": 1}), PLAN | {"optimizer": "bayesian", "epochs": 5}
    for net in (lm, fastbp.train(X, TWO, **classes)):
        with pytest.raises(ValueError, match="predict_interval: expected regression with optimizer='bayesian', got"):
            net.predict_interval(X)
    net = fastbp.train(X, NOISY, **PLAN | {"optimizer": "bayesian", "epochs": 30})
    for level in (0, 1, "a"):
        with pytest.raises(ValueError, match="level: expected"):
            net.predict_interval(X, level)
    with pytest.raises(ValueError, match="noise: expected True or False"):
        net.predict_interval(X, noise=2)


def test_classes_with_a_prior():
    net = fastbp.train(X, THREE, **PLAN | {"optimizer": "bayesian"})
    assert (net.history["noise_precision"][-1]) == 1
    assert 1 < net.history["effective_parameters"][-1] < net.params.size
    assert net.score(X, THREE) > 0.9


# Many


def test_restarts():
    options = {k: v for k, v in LM.items() if k != "seed"} | {"hidden": (3,), "epochs": 20}
    found = fastbp.search(X, NOISY, {}, restarts=4, seed=7, **options)
    assert sorted(trial.options["seed"] for trial in found.trials) == [7, 8, 9, 10]
    assert found.best.loss == min(trial.loss for trial in found.trials)
    alone = fastbp.train(X, NOISY, **options | {"seed": found.best.options["seed"], "epochs": found.best.best_epoch})
    np.testing.assert_array_equal(alone.params, found.network.params)
    # all on the same validation samples, those of the first seed
    known = fastbp.train(X, NOISY, **options | {"seed": 7, "validation": 0.2})
    assert known.history["validation_loss"].min() == next(t.loss for t in found.trials if t.options["seed"] == 7)


def test_restarts_of_several_choices():
    groups = rng.integers(0, 20, 150)
    options = {k: v for k, v in LM.items() if k not in ("seed", "hidden")} | {"epochs": 9, "seed": 1, "groups": groups}
    space = {"hidden": [(2,), (4,), (6,)], "l2": [0.0, 1e-3, 1e-2]}
    weight = rng.integers(0, 3, 150)
    found = fastbp.search(X, NOISY, space, 9, restarts=2, sample_weight=weight, **options)
    assert len(found.trials) == 18
    longest = [trial for trial in found.trials if trial.epochs > 3]
    assert {(trial.options["hidden"], trial.options["l2"]) for trial in longest} != set()
    assert len({(trial.options["hidden"], trial.options["l2"]) for trial in longest}) == len(longest)
    with pytest.raises(ValueError, match="restarts: expected an integer of at least 1"):
        fastbp.search(X, NOISY, space, restarts=0)
    with pytest.raises(ValueError, match="space: expected a dict"):
        fastbp.search(X, NOISY, {})


def test_a_run_that_has_converged_is_not_behind_longer_ones():
    options = {k: v for k, v in LM.items() if k != "hidden"} | {"epochs": 90, "tolerance": 1e-2}
    found = fastbp.search(X, NOISY, {"hidden": [(1,), (2,), (8,), (12,)]}, 4, **options)
    furthest = found.trials[:1]
    assert furthest[0].loss == min(t.loss for t in found.trials if t.options == furthest[0].options)


def test_cross_validation():
    found = fastbp.cross_validate(X, NOISY, folds=3, **LM | {"epochs": 10})
    assert len(found.scores) == 3
    assert found.scores.mean() > 0.9


def test_the_second_order_learner_is_a_learner():
    assert learner.LocalLearner.finished is None
    assert dict(learner.LocalLearner.measures) == {}


def test_a_callback_may_return_numpys_true():
    net = fastbp.train(X, NOISY, **LM | {"callback": lambda epoch: np.float64(epoch.epoch) >= 3})
    assert (net.stop_reason, len(net.history["loss"])) == ("callback", 3)
