"""What is learnt with where options are left to fastbp: for arrays, for tables, and with options that say otherwise."""

import numpy as np
import pandas as pd
import pytest

import fastbp

N = 600
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame({"x": RNG.normal(size=N), "z": RNG.normal(size=N), "kind": RNG.choice(["a", "b"], N)})
NUMBERS = np.sin(3 * FRAME["x"]) + FRAME["z"] ** 2
CLASSES = np.where(NUMBERS > 1, "high", "low")
OF_A_TABLE = {"schedule": "cosine", "encode": "piecewise", "validation": 0.15, "patience": 16}
PLAIN = {"hidden": [64], "schedule": "constant", "encode": "standard", "validation": None, "patience": None}


def used(X, y, **options):
    """The options of a run."""
    return fastbp.train(X, y, seed=0, progress=False, **options).options


def test_tables():
    found = used(FRAME, NUMBERS, quality="single")
    assert found.items() >= (OF_A_TABLE | {"hidden": [128, 128], "learning_rate": 0.002, "epochs": 100}).items()
    found = used(FRAME, CLASSES, quality="single")
    assert found.items() >= (OF_A_TABLE | {"hidden": [64, 64], "learning_rate": 0.003}).items()
    assert used(FRAME[:200], CLASSES[:200], quality="single")["validation"] == 0.2


def test_tables_of_many_numbers():
    rows = np.arange(2500) % N
    frame, y = FRAME.iloc[rows], NUMBERS.iloc[rows]
    found = used(frame, y, epochs=1)
    assert found.items() >= (OF_A_TABLE | {"hidden": [64, 64, 64], "learning_rate": 0.004, "batch_size": 64}).items()
    assert used(frame, y, quality="single", max_seconds=1e-9)["epochs"] == 40
    found = used(frame[:-1], y[:-1], epochs=1)
    assert found.items() >= {"hidden": [128, 128], "learning_rate": 0.002, "batch_size": 32}.items()
    found = used(frame, CLASSES[rows], epochs=1)
    assert found.items() >= {"hidden": [64, 64], "learning_rate": 0.003, "batch_size": 32}.items()
    assert used(frame, y, epochs=1, batch_size=16)["batch_size"] == 16
    assert used(frame.iloc[:, :2].to_numpy(), y, epochs=1)["batch_size"] == 32


@pytest.mark.parametrize("y", [NUMBERS, CLASSES])
def test_a_table_is_learnt_by_several_networks_that_see_all_rows(y):
    found = fastbp.train(FRAME, y, seed=0, hidden=(8,), progress=False)
    assert isinstance(found, fastbp.Ensemble)
    assert found.options["quality"] == "default"
    for net in found.networks:
        wanted = {"schedule": "cosine", "encode": "piecewise", "validation": None, "patience": None, "samples": N}
        assert net.options.items() >= wanted.items()


def test_a_file_is_a_table(tmp_path):
    FRAME.assign(y=CLASSES).to_csv(tmp_path / "t.csv", index=False)
    assert used(tmp_path / "t.csv", "y", quality="single").items() >= OF_A_TABLE.items()
    found = fastbp.train(tmp_path / "t.csv", "y", seed=0, hidden=(8,), progress=False)
    assert (found.options["quality"], found.networks[0].options["encode"]) == ("default", "piecewise")


@pytest.mark.parametrize(
    ("rows", "more"), [(49, {}), (N, {"optimizer": "sgd"}), (N, {"scale": False}), (N, {"optimizer": "rprop"})]
)
def test_tables_with_the_defaults_of_arrays(rows, more):
    assert used(FRAME[:rows], CLASSES[:rows], epochs=1, **more).items() >= PLAIN.items()


def test_arrays():
    found = used(FRAME[["x", "z"]].to_numpy(), NUMBERS, epochs=1)
    assert found.items() >= (PLAIN | {"learning_rate": 0.001}).items()


@pytest.mark.parametrize(
    "chosen",
    [
        {"hidden": [8]},
        {"hidden": []},
        {"schedule": "constant"},
        {"encode": "standard"},
        {"validation": None},
        {"validation": 0.3},
        {"patience": 3},
        {"learning_rate": 0.01},
        {"epochs": 2},
    ],
)
def test_what_you_choose_takes_precedence(chosen):
    found = used(FRAME, NUMBERS, **{"epochs": 1} | chosen)
    assert found.items() >= chosen.items()
    if "validation" in chosen:
        assert found["patience"] is None


def test_a_trained_network_goes_on_as_it_is():
    net = fastbp.train(FRAME, NUMBERS, seed=0, epochs=1, progress=False)
    found = used(FRAME, NUMBERS, init=net, epochs=1)
    assert (found["hidden"], found["schedule"], found["validation"]) == ([128, 128], "constant", None)


def test_many_networks_have_them_too():
    nets = fastbp.train_many(FRAME, CLASSES, [{"seed": 1}, {"seed": 2, "hidden": (5,)}], epochs=2, progress=False)
    for net, hidden in zip(nets, ([64, 64], [5]), strict=True):
        assert net.options.items() >= (OF_A_TABLE | {"hidden": hidden}).items()
    alone = fastbp.train(FRAME, CLASSES, seed=2, hidden=(5,), epochs=2, progress=False)
    np.testing.assert_array_equal(nets[1].params, alone.params)


def test_a_run_goes_on_from_its_checkpoint(tmp_path):
    whole = fastbp.train(FRAME, CLASSES, seed=3, epochs=20, progress=False)
    path = tmp_path / "run.fbp"
    options = {"checkpoint": path, "checkpoint_every": 3, "callback": lambda epoch: epoch.epoch == 7}
    fastbp.train(FRAME, CLASSES, seed=3, epochs=20, progress=False, **options)
    again = fastbp.load(path)
    assert again.options["validation"] == 0.15
    assert whole.options.items() >= OF_A_TABLE.items()


def test_a_table_is_learnt_better_than_with_the_defaults_of_arrays():
    rest, new = slice(0, 450), slice(450, N)
    plain = {"hidden": (64,), "schedule": "constant", "encode": "standard", "validation": None, "learning_rate": 0.001}
    ways = ({"quality": "single"} | plain, {"quality": "single"}, {})
    nets = [fastbp.train(FRAME[rest], NUMBERS[rest], seed=0, progress=False, **way) for way in ways]
    scores = [net.score(FRAME[new], NUMBERS[new]) for net in nets]
    assert scores[1] > scores[0]
    assert scores[2] > scores[0]


def test_raw_values_may_be_an_array():
    numbers = FRAME[["x", "z"]]
    net = fastbp.train(numbers, NUMBERS, seed=0, epochs=3, progress=False)
    np.testing.assert_allclose(net.predict(numbers.to_numpy()), net.predict(numbers), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=f"X: expected {net.sizes[0]} features, got 3"):
        net.predict(np.zeros((4, 3)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("n", "features", "condition"), [(60, 3, 1), (500, 40, 1), (2000, 10, 1e4), (3000, 100, 1)])
def test_the_linear_unit_equals_least_squares(n, features, condition, dtype):
    random = np.random.default_rng(n)
    turned = np.linalg.qr(random.normal(size=(features, features)))[0]
    X = random.normal(size=(n, features)) * np.geomspace(1, condition**-0.5, features) @ turned
    y = X @ random.normal(size=features) * 3 + 5
    y += y.std() * random.normal(size=n)
    with_bias = np.column_stack([X, np.ones(n)])
    least = ((with_bias @ np.linalg.lstsq(with_bias, y, rcond=None)[0] - y) ** 2).sum()
    net = fastbp.train(X, y, hidden=(), dtype=dtype, seed=0)
    assert ((net.predict(X) - y) ** 2).sum() < 1.01 * least


def test_logistic_regression_equals_scikit_learn():
    linear_model = pytest.importorskip("sklearn.linear_model")
    random = np.random.default_rng(0)
    X = random.normal(size=(3000, 50))
    y = (X @ random.normal(size=(50, 3)) / 5 + random.gumbel(size=(3000, 3))).argmax(axis=1)
    known = linear_model.LogisticRegression(C=np.inf, max_iter=1000).fit(X, y)
    losses = [
        -np.log(one.predict_proba(X)[np.arange(len(y)), y]).mean()
        for one in (known, fastbp.train(X, y, hidden=(), seed=0))
    ]
    assert losses[1] < 1.01 * losses[0]


def test_only_adams_kin_without_hidden_layers_has_other_rates():
    X, y = RNG.normal(size=(100, 3)), NUMBERS[:100].to_numpy()
    assert used(X, y, hidden=(), epochs=1).items() >= {"schedule": "cosine", "learning_rate": 0.03}.items()
    assert (
        used(X, y, hidden=(), epochs=1, schedule="constant").items()
        >= {"schedule": "constant", "learning_rate": 0.01}.items()
    )
    assert (
        used(X, y, hidden=(), epochs=1, optimizer="sgd").items()
        >= {"schedule": "constant", "learning_rate": 0.1}.items()
    )
    start = fastbp.train(X, y, hidden=(), epochs=1, seed=0)
    assert used(X, y, init=start, epochs=1)["schedule"] == "constant"
