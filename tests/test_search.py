"""`fastbp.search`: what is drawn, which trials continue, and that the bits are those of `fastbp.train`."""

import itertools
import json
import math
import re
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastbp
from fastbp.cli import main
from fastbp.many import jobs, rounds
from fastbp.many.search import Uniform, draw

RANDOM = np.random.default_rng(0)
X = RANDOM.uniform(-1, 1, (150, 3))
CLASSES = np.where(X[:, 0] * X[:, 1] > 0, "same", "other")
SPACE = {
    "learning_rate": Uniform(1e-4, 0.3, log=True),
    "hidden": [(4,), (16,), (8, 4)],
    "l2": lambda random: random.choice([0.0, 1e-3]).item(),
}
COMMON = {"epochs": 27, "seed": 3, "progress": False}


def search(n=27, **more):
    return fastbp.search(X, CLASSES, SPACE, n, **COMMON | more)


def test_the_best_third_of_each_round_continues_to_three_times_the_epochs():
    rounds = []
    found = search(callback=lambda trials: rounds.append(list(trials)))
    assert [sorted(trial.epochs for trial in trials) for trials in rounds] == [
        [1] * 27,
        [1] * 18 + [3] * 9,
        [1] * 18 + [3] * 6 + [9] * 3,
        [1] * 18 + [3] * 6 + [9] * 2 + [27],
    ]
    for before, after in itertools.pairwise(rounds):
        longest = before[0].epochs
        same_round = [trial for trial in before if trial.epochs == longest]
        went_on = {trial.number for trial in after if trial.epochs > longest}
        assert went_on == {trial.number for trial in sorted(same_round, key=lambda trial: trial.loss)[: len(went_on)]}
    assert list(found.trials) == rounds[-1]
    assert found.best is found.trials[0]


def test_trials_are_bit_for_bit_as_if_trained_alone():
    found = search(9, validation=0.3)
    for trial in found.trials:
        # the rate is constant, so that fewer epochs are the beginning of more
        net = fastbp.train(X, CLASSES, validation=0.3, **COMMON | {"epochs": trial.epochs}, **trial.options)
        assert trial.loss == net.history["validation_loss"].min()
        assert trial.best_epoch == net.best_epoch
        assert trial.accuracy == net.history["validation_accuracy"][net.best_epoch - 1]
    best = fastbp.train(X, CLASSES, **COMMON | {"epochs": found.best.best_epoch}, **found.best.options)
    assert found.network.params.tobytes() == best.params.tobytes()
    assert found.network.stop_reason == "epochs"


def test_a_schedule_spans_all_rounds():
    (best, *_) = search(9, schedule="cosine").trials
    net = fastbp.train(X, CLASSES, validation=0.2, schedule="cosine", **COMMON, **best.options)
    assert best.loss == net.history["validation_loss"].min()


def test_a_search_is_repeatable_on_any_number_of_threads():
    one, two = search(9, threads=1), search(9)
    assert one.trials == two.trials
    assert one.network.params.tobytes() == two.network.params.tobytes()
    assert search(9, seed=4).trials != one.trials


def test_patience_metric_and_regression():
    y = X[:, 0] * X[:, 1]
    more = {"patience": 2, "metric": "score", "validation": (X[:40], y[:40])}
    found = fastbp.search(X, y, {"hidden": [4, 8]}, **more, **COMMON)
    assert {trial.accuracy for trial in found.trials} == {None}
    assert found.best.loss <= found.trials[1].loss
    assert repr(found) == f"<search of 2 trials: hidden={found.best.options['hidden']}; loss {found.best.loss:.4g}>"


def test_the_table():
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(search(9).table())
    assert list(table) == ["number", "learning_rate", "hidden", "l2", "epochs", "best_epoch", "loss", "accuracy"]
    assert sorted(table["number"]) == list(range(9))


def test_frames():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "high", "low"), "y": CLASSES})
    found = fastbp.search(frame, "y", {"hidden": [4, 16]}, **COMMON)
    assert found.network.score(frame, CLASSES) > 0.8


@pytest.mark.parametrize(("quality", "epochs"), [("default", None), ("fast", 20)])
def test_a_quality_at_the_end_trains_with_the_best_options(quality, epochs):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "high", "low"), "y": CLASSES})
    own = {"seed": 3, "epochs": epochs, "l2": 1e-3}
    found = fastbp.search(frame, "y", {"hidden": [4, 16]}, quality=quality, metric="score", **own)
    alone = fastbp.train(frame, "y", quality=quality, **own, **found.best.options)
    assert type(found.network) is type(alone) is (fastbp.Network if quality == "fast" else fastbp.Ensemble)
    assert found.network.options == alone.options
    assert ("pilots" in alone.options) == (epochs is None)
    np.testing.assert_array_equal(found.network.predict_proba(frame), alone.predict_proba(frame))
    assert all(isinstance(trial.accuracy, float) for trial in found.trials)


def test_auto_at_the_end_is_as_in_train():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": X[:, 1]})
    space = {"hidden": [4, 8]}
    assert isinstance(fastbp.search(frame, CLASSES, space, quality="auto").network, fastbp.Ensemble)
    for data, own in ((frame, {"epochs": 9}), (X, {})):  # the epochs of a single run are those of the best trial
        found = fastbp.search(data, CLASSES, space, quality="auto", seed=1, **own)
        assert isinstance(found.network, fastbp.Network)
        assert found.network.options["epochs"] == found.best.best_epoch


def test_failed_trials_come_last():
    found = fastbp.search(X, X[:, 0], {"learning_rate": [1e30, 0.01]}, optimizer="sgd", **COMMON)
    best, failed = found.trials
    assert best.options == {"learning_rate": 0.01}
    assert math.isnan(failed.loss)
    assert "training diverged" in str(failed.failure)
    with pytest.raises(RuntimeError, match=r"all failed, the first with trial \d: training diverged"):
        fastbp.search(X, X[:, 0], {"learning_rate": [1e30, 1e29]}, optimizer="sgd", **COMMON)


def test_ctrl_c_before_any_trial(monkeypatch):
    def prepare(*_, **__):
        raise jobs.NotTrainedError

    monkeypatch.setattr(rounds, "prepare_run", prepare)
    with pytest.raises(KeyboardInterrupt):
        search(9)


def test_a_callback_may_stop():
    found = search(9, callback=lambda trials: True)
    assert {trial.epochs for trial in found.trials} == {3}


BAD = {
    "space: expected at least two points to choose from, got one": {"space": {"hidden": [4], "l2": [0]}},
    "space: expected a dict from options to what to choose from": {"space": []},
    "space: expected one of .*, got 'hiden'; did you mean 'hidden'": {"space": {"hiden": [3, 4]}},
    "space: expected one of .*, got 'seed'": {"space": {"seed": [3, 4]}},
    r"space\['hidden'\]: expected values to choose from, got none": {"space": {"hidden": []}},
    r"space\['l2'\]: expected a list, a Uniform, something with rvs or a function, got 3": {"space": {"l2": 3}},
    r"trial 0: learning_rate: expected a finite number above 0, got -1": {"space": {"learning_rate": [-1, -1]}},
    "validation: expected a validation set to compare the trials on, got None": {"validation": None},
    "n: expected an integer of at least 1, got 0": {"n": 0},
    "space: expected one of .*, got 'quality'": {"space": {"quality": ["fast", "best"]}},
    "quality: expected one of .*, got 'fats'; did you mean 'fast'": {"quality": "fats"},
    "trial 0: quality: expected 'single' with target_loss": {"quality": "fast", "target_loss": 0.1},
    "search: expected one of .*, got 'epoch'; did you mean 'epochs'": {"epoch": 3},
}


@pytest.mark.parametrize("text", BAD)
def test_bad_input(text):
    said = {"space": SPACE} | COMMON | BAD[text]
    with pytest.raises(ValueError, match=text):
        fastbp.search(X, CLASSES, **said)


@given(
    low=st.floats(1e-6, 1e3),
    more=st.floats(1.5, 1e3),
    log=st.booleans(),
    integer=st.booleans(),
    seed=st.integers(0, 99),
)
def test_uniform(low, more, log, integer, seed):
    low, high = (math.ceil(low), math.ceil(low * more) + 1) if integer else (low, low * more)
    number = Uniform(low, high, log=log, integer=integer).draw(np.random.default_rng(seed))
    assert low <= number <= high
    assert isinstance(number, int if integer else float)


def test_whole_numbers_and_scales_are_drawn_evenly():
    random = np.random.default_rng(0)
    numbers = [Uniform(1, 3, integer=True).draw(random) for _ in range(600)]
    assert all(150 < numbers.count(k) < 250 for k in (1, 2, 3))
    assert 200 < sum(Uniform(1e-4, 1, log=True).draw(random) < 1e-2 for _ in range(600)) < 400
    for low, high in ((-2, 2), (-2.5, 2.5), (-2.0, 2.9)):
        numbers = [Uniform(low, high, integer=True).draw(random) for _ in range(1000)]
        assert all(150 < numbers.count(k) < 250 for k in (-2, -1, 0, 1, 2))


@pytest.mark.parametrize("bounds", [(2, 1), (0, 0)])
def test_empty_intervals(bounds):
    with pytest.raises(ValueError, match="high: expected a finite number above"):
        Uniform(*bounds)
    with pytest.raises(ValueError, match="low: expected a finite number above 0"):
        Uniform(0, 1, log=True)
    with pytest.raises(ValueError, match=r"high: expected a whole number from 1\.2 to high, got none up to 1\.8"):
        Uniform(1.2, 1.8, integer=True)


@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=3), n=st.integers(1, 30), seed=st.integers(0, 99))
def test_points_of_lists_are_drawn_once(sizes, n, seed):
    space = {name: list(range(size)) for name, size in zip(("epochs", "batch_size", "warmup"), sizes, strict=False)}
    if math.prod(sizes) < 2:
        return
    found = draw(space, n, np.random.default_rng(seed))
    assert len(found) == len({tuple(trial.values()) for trial in found}) == min(n, math.prod(sizes))


def test_distributions_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        (one, two) = draw({"learning_rate": stats.loguniform(1e-3, 1e-1)}, 2, np.random.default_rng(0))
    assert 1e-3 <= one["learning_rate"] != two["learning_rate"] <= 1e-1


# The command line


@pytest.fixture
def table(tmp_path):
    pd = pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    path = tmp_path / "table.csv"
    pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 0, "high", "low"), "y": CLASSES}).to_csv(path, index=False)
    return str(path)


def fastbp_search(table, *arguments):
    return main(
        ["search", table, "--target", "y", "--save", str(Path(table).with_name("best.fbp")), "--quiet", *arguments]
    )


def test_the_command_line(table, capsys):
    space = ["--space", "learning-rate=1e-3..1e-1", "--space", "hidden=4|8,4|none"]
    space += ["--space", "epochs=27..54", "--space", "activation=tanh|relu"]
    assert fastbp_search(table, "--trials", "9", "--seed", "1", "--json", *space) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["trials"]) == 9
    assert {tuple(trial["hidden"]) for trial in facts["trials"]} <= {(4,), (8, 4), ()}
    assert all(1e-3 <= trial["learning_rate"] <= 1e-1 for trial in facts["trials"])
    net = fastbp.load(facts["saved"])
    best = facts["best"]["options"]
    assert "activation" in best
    assert [net.options[name] for name in ("learning_rate", "hidden")] == [best["learning_rate"], list(best["hidden"])]
    assert fastbp_search(table, "--trials", "4", "--space", "hidden=4|8", "--epochs", "3") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["trial", "hidden", "epochs", "loss", "accuracy"]
    assert lines[1].split()[2] in ("1", "3")


def test_a_quality_on_the_command_line(table, capsys):
    command = ["--trials", "2", "--space", "hidden=4|8", "--seed", "1", "--quality"]
    assert fastbp_search(table, *command, "best", "--max-seconds", "2") == 0
    out = capsys.readouterr().out
    assert re.search("^quality     best\npilots      4 networks, which found the number of epochs", out, re.MULTILINE)
    assert isinstance(fastbp.load(str(Path(table).with_name("best.fbp"))), fastbp.Ensemble)
    assert fastbp_search(table, *command, "fast", "--target-loss", "0.1") == 1
    assert "quality: expected 'single' with target_loss" in capsys.readouterr().err


def test_the_table_is_shown_after_each_round(table, capsys):
    command = ["search", table, "--target", "y", "--save", str(Path(table).with_name("m.fbp"))]
    assert main([*command, "--progress", "--trials", "9", "--epochs", "9"]) == 0
    assert capsys.readouterr().err.count("learning_rate") == 3


@pytest.mark.parametrize(
    ("space", "text"),
    [
        ("hiden=3", "--space: expected one of .*, got 'hiden'; did you mean 'hidden'"),
        ("hidden", "--space: expected OPTION=VALUES, such as hidden=32|64, got 'hidden'"),
        ("hidden=3", "--space: expected at least two points to choose from, got one"),
        ("hidden=x|3", "--space: hidden: expected numbers of units"),
        ("l2=x|3", "--space: l2: could not convert string to float"),
        ("activation=relu|rulu", "--space: activation: expected one of .*, got 'rulu'"),
        ("hidden=3..4", "--space: expected a range only for an option that takes a number, got 'hidden=3..4'"),
        ("l2=1..0", "--space: l2: high: expected a finite number above 1, got 0"),
    ],
)
def test_bad_spaces_on_the_command_line(space, text, table, capsys):
    assert fastbp_search(table, "--space", space) == 1
    assert re.search(text.replace("|", r"\|"), capsys.readouterr().err)
