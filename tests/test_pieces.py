"""Tables whose numbers are encoded piece by piece: what is learnt, trained, saved, exported and shown."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import r2_score

import fastbp
from fastbp.report.importance import permutation_importance
from fastbp.tables import Columns, Encoded
from fastbp.tables import columns as rules
from fastbp.tables.fitting import _edges

N = 400
RNG = np.random.default_rng(0)
FRAME = pd.DataFrame(
    {
        "x": RNG.normal(size=N) * 100,
        "few": RNG.integers(0, 6, N),
        "yes": RNG.random(N) < 0.5,
        "two": RNG.integers(0, 2, N),
        "colour": RNG.choice(["red", "green", "blue"], N),
        "gaps": np.where(RNG.random(N) < 0.1, np.nan, RNG.exponential(size=N)),
        "when": pd.Timestamp("2024-01-01") + pd.to_timedelta(RNG.integers(0, 365, N), "D"),
    }
)
WAVES = np.sin(FRAME["x"] / 20) + (FRAME["few"] == 3) + (FRAME["colour"] == "red") * 0.5
OPTIONS = {"encode": "piecewise", "hidden": (16, 8), "epochs": 30, "seed": 3, "progress": False}


def learn(values):
    return Columns.fit(pd.DataFrame({"a": values}), ["a"], np.arange(len(values)), piecewise=True)[0]


def test_pieces_have_the_same_number_of_rows():
    values = RNG.exponential(size=1000)
    (encoder,) = learn(values).encoders
    assert len(encoder.edges) == 17
    np.testing.assert_allclose(
        encoder.edges, np.sort(values)[np.r_[0, np.arange(1, 17) * 1000 // 16 - (np.arange(1, 17) * 1000 % 16 == 0)]]
    )
    counts = np.histogram(values, encoder.edges)[0]
    assert counts.min() > 60


@given(
    values=st.lists(st.integers(-3, 3) | st.integers(-40, 40) | st.floats(-1e300, 1e300), min_size=1, max_size=200),
    zeros=st.integers(0, 200),
    pieces=st.integers(3, 16),
)
def test_edges(values, zeros, pieces):
    values = np.array([*values, *[0] * zeros], float)
    distinct, counts = np.unique(values, return_counts=True)
    edges, frequent = np.array(_edges(*np.unique(values, return_counts=True), pieces)), counts > len(values) / pieces
    if len(distinct) < 3:
        assert not edges.size
        return
    assert (np.diff(edges) > 0).all()
    assert (edges[0], edges[-1]) == (distinct[0], distinct[-1])
    assert 3 <= len(edges) <= pieces + 1
    assert set(distinct[frequent]) <= set(edges) <= set(distinct)
    # Between two neighbours there are no more of the other values than each piece left for them would have.
    inside = np.searchsorted(edges, values[~np.isin(values, edges)])
    assert np.bincount(inside, minlength=1).max() <= counts[~frequent].sum() / (pieces - frequent.sum())
    if not frequent.any():
        shares = np.linspace(0, 1, pieces + 1)
        np.testing.assert_array_equal(edges, np.unique(np.quantile(values, shares, method="inverted_cdf")))


def test_other_values_have_the_pieces_that_a_frequent_value_leaves_them():
    (encoder,) = learn(np.r_[np.zeros(900), np.arange(1, 101)]).encoders
    assert encoder.edges[:2] == (0, 1)
    assert len(encoder.edges) == 17
    counts = np.histogram(np.arange(1, 101), encoder.edges[1:])[0]
    assert counts.min() >= 6


def test_inputs_are_the_shares_of_the_pieces_below_the_number():
    columns = learn([0.0, 1.0, 2.0, 4.0] * 30)
    assert columns.encoders[0].edges[0] == 0
    edges = np.array(columns.encoders[0].edges)
    later = np.array([-5.0, 0.0, 0.25, 1.0, 3.0, 4.0, 99.0])
    found = columns.encode(pd.DataFrame({"a": later}))
    wanted = np.clip((later[:, None] - edges[:-1]) / np.diff(edges), 0, 1)
    np.testing.assert_allclose(found, np.hstack([np.append(later[:-1], 1.75 + 20 * np.sqrt(2.1875))[:, None], wanted]))
    assert columns.inputs[1] == f"a ({edges[0]:g} to {edges[1]:g})"


def test_missing_numbers_fill_no_piece_where_some_were_missing_in_training():
    found = learn([1.0, 2.0, 3.0, np.nan] * 30).encode(pd.DataFrame({"a": [np.nan]}))[0]
    assert found[:2].tolist() == [2, 1]
    assert not found[2:].any()
    columns = learn([1.0, 2.0, 3.0] * 30)
    np.testing.assert_array_equal(*(columns.encode(pd.DataFrame({"a": [x]})) for x in (np.nan, 2.0)))


@pytest.mark.parametrize("values", [[True, False], [0.0, 7.0], ["red", "blue"], [0.0] * 99 + [1.0]])
def test_few_values_are_in_no_pieces(values):
    columns = learn(values * 60)
    assert not columns.exported.piece.any()


def test_numbers_out_of_all_bounds_are_in_no_pieces():
    assert not learn([-1.5e308, 0.0, 1.0, 1.5e308] * 30).exported.piece.any()


@pytest.mark.parametrize(("columns", "count"), [(1, 16), (40, 12), (200, 6)])
def test_pieces_of_many_columns_are_fewer(columns, count):
    frame = pd.DataFrame(RNG.normal(size=(50, columns)), columns=[f"c{k}" for k in range(columns)])
    fitted = Columns.fit(frame, list(frame), np.arange(50), piecewise=True)[0]
    assert all(len(encoder.edges) == count + 1 for encoder in fitted.encoders)


def test_the_table_of_columns_counts_them():
    columns = fastbp.train(FRAME, WAVES, **OPTIONS).columns
    assert {row.name: row.inputs for row in columns.rows} == {
        "x": 17,
        "few": 6,
        "yes": 1,
        "two": 1,
        "colour": 3,
        "gaps": 18,
        "when": len([name for name in columns.inputs if name.startswith("when")]),
    }
    assert "16 pieces" in str(columns)


def test_a_function_that_bends_often_is_learnt_better():
    new = FRAME.sample(frac=1, random_state=0)[: N // 4]
    rest = FRAME.drop(new.index)
    scores = [
        r2_score(WAVES[new.index], fastbp.train(rest, WAVES[rest.index], **OPTIONS | {"encode": way}).predict(new))
        for way in ("standard", "piecewise")
    ]
    assert scores[1] > scores[0] + 0.2


@pytest.mark.parametrize("options", [{}, {"validation": 0.2, "patience": 9}, {"dropout": 0.1, "clip_norm": 1.0}])
@pytest.mark.parametrize("kind", ["numbers", "two", "three", "labels"])
def test_training_on_pieces_is_training_on_their_inputs(kind, options, monkeypatch):
    y = {"numbers": WAVES, "two": WAVES > 0, "three": np.digitize(WAVES, [-0.5, 0.5])}.get(kind)
    y = np.stack([WAVES > 0, FRAME["few"] > 2], axis=1).astype(int) if kind == "labels" else y
    found = []
    for pays in (1, 1e9):
        monkeypatch.setattr(rules, "PAYS", pays)
        found.append(fastbp.train(FRAME, y, **OPTIONS | options | {"dtype": "float64", "epochs": 5}))
        assert found[-1].columns.in_pieces == (pays == 1)
    pieces, inputs = found
    np.testing.assert_allclose(pieces.params, inputs.params, rtol=1e-6, atol=1e-9)
    for name, values in inputs.history.items():
        if name != "seconds":
            np.testing.assert_allclose(pieces.history[name], values, rtol=1e-9)


def test_a_table_of_text_is_learnt_without_its_inputs(monkeypatch):
    random = np.random.default_rng(3)
    words = np.array([f"w{k}" for k in range(40)])
    frame = pd.DataFrame({"a": words[random.integers(0, 40, N)], "b": words[random.integers(0, 9, N)]})
    frame.loc[::7, "b"] = None
    y = frame["a"].str.len() + frame["b"].isna() + random.normal(size=N)
    found = []
    for pays in (rules.PAYS, 1e9):
        monkeypatch.setattr(rules, "PAYS", pays)
        found.append(fastbp.train(frame, y, **OPTIONS | {"dtype": "float64", "epochs": 5}))
    assert (found[0].columns.in_pieces, found[1].columns.in_pieces) == (True, False)
    np.testing.assert_allclose(found[0].params, found[1].params, rtol=1e-6, atol=1e-9)
    later = frame[:50].assign(a=["unseen", None, *frame["a"][2:50]])
    for rows in (later, later[:1], later[:0]):
        np.testing.assert_allclose(found[0].predict(rows), found[1].predict(rows), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("rows", [0, 1, 7, N])
def test_predictions_of_a_table_and_of_its_inputs(rows, task, monkeypatch):
    monkeypatch.setattr(rules, "PAYS", 1)
    net = fastbp.train(FRAME, WAVES if task == "regression" else WAVES > 0, **OPTIONS)
    assert net.columns.in_pieces
    some = FRAME[:rows].assign(colour=["new", "red", None, "blue"] * (rows // 4) + ["red"] * (rows % 4))
    np.testing.assert_allclose(net.forward(some), net.forward(net.encode(some)), rtol=1e-4, atol=1e-5)
    if task == "classification":
        np.testing.assert_array_equal(net.predict(some), net.predict(net.encode(some)))


def test_the_same_bits_for_any_number_of_threads():
    frame = pd.concat([FRAME] * 10)
    options = OPTIONS | {"hidden": (128, 128), "batch_size": 512, "epochs": 3}
    one, two = (fastbp.train(frame, np.tile(WAVES, 10), threads=threads, **options) for threads in (1, 2))
    np.testing.assert_array_equal(one.params, two.params)


@pytest.mark.parametrize(
    ("rate", "what"),
    [
        (1e6, r"the loss of outputs of layer 3 \(8 to 1 units, identity\)"),
        (1e30, "the outputs of layer 2"),
        (1e39, "the weights of layer 1"),
    ],
)
def test_divergence_is_reported(rate, what):
    with pytest.raises(FloatingPointError, match=f"diverged in epoch 1, batch 2 of 10: {what}.* no longer finite"):
        fastbp.train(FRAME, WAVES, learning_rate=rate, **OPTIONS)


def test_rows_are_read_as_they_are_asked_for():
    columns, values = Columns.fit(FRAME, list(FRAME), np.arange(N), piecewise=True)
    encoded, dense = Encoded(columns, values), columns.encode(FRAME)
    assert encoded.shape == dense.shape
    for rows in (slice(3, 9), np.array([5, 1, 5]), slice(0, 0), 7):
        np.testing.assert_array_equal(encoded[rows], dense[rows])


def test_files_pickles_and_checkpoints_keep_pieces(tmp_path):
    whole = fastbp.train(FRAME, WAVES, **OPTIONS)
    whole.save(tmp_path / "net.fbp")
    again = fastbp.load(tmp_path / "net.fbp")
    assert again.columns == whole.columns
    np.testing.assert_array_equal(again.predict(FRAME), whole.predict(FRAME))

    def stop(epoch):
        return epoch.epoch == 11

    fastbp.train(FRAME, WAVES, checkpoint=tmp_path / "run.fbp", checkpoint_every=5, callback=stop, **OPTIONS)
    resumed = fastbp.resume(tmp_path / "run.fbp", FRAME, WAVES)
    assert resumed.options["encode"] == "piecewise"
    longer = fastbp.train(FRAME[::2], WAVES[::2], init=whole, epochs=2, seed=0, progress=False)
    assert longer.columns == whole.columns


def test_edges_in_a_file_are_checked():
    stored = json.loads(json.dumps(learn([0.0, 1.0, 2.0] * 30).to_json()))
    assert Columns.from_json(stored) == learn([0.0, 1.0, 2.0] * 30)
    for edges in ([0.0, 0.0, 1.0], [1.0, 0.0], ["a"], "ab", [None], [True, 2.0], [0.0, float("inf")]):
        stored["encoders"][0]["edges"] = edges
        with pytest.raises(ValueError, match="invalid columns"):
            Columns.from_json(stored)
    del stored["encoders"][0]["edges"]  # as files had it before
    assert Columns.from_json(stored).encoders[0].edges == ()


def test_many_networks_on_pieces():
    nets = fastbp.train_many(FRAME, WAVES, [{"seed": k} for k in range(3)], **OPTIONS | {"seed": None})
    alone = fastbp.train(FRAME, WAVES, **OPTIONS | {"seed": 2})
    np.testing.assert_array_equal(nets[2].params, alone.params)
    found = fastbp.cross_validate(FRAME, WAVES, folds=3, **OPTIONS | {"epochs": 60})
    assert found.mean > 0.3


def test_importance_is_of_whole_columns():
    net = fastbp.train(FRAME, WAVES, **OPTIONS)
    found = permutation_importance(net, FRAME, WAVES, seed=0)
    assert {one.name for one in found} == set(FRAME)
    assert found[0].name == "x"


def test_bad_options():
    with pytest.raises(ValueError, match="encode: expected one of 'standard', 'piecewise', 'auto', got 'bins'"):
        fastbp.train(FRAME, WAVES, encode="bins")
