"""Confusion matrices, and predicted against true numbers: what is drawn is what the network predicts."""

import io

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection, PathCollection

import fastbp
from fastbp import plot

pytestmark = pytest.mark.filterwarnings("error")

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (120, 2))
QUICK = {"hidden": 5, "epochs": 40, "seed": 0}
SEVERAL = np.array(["left", "middle", "right, and $far$ away from it all"])[
    np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.3, 0.3])
]
NUMBER = X[:, 0] + 0.1 * rng.normal(size=120)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def fields(ax):
    return {(round(text.get_position()[1]), round(text.get_position()[0])): text.get_text() for text in ax.texts}


def names(labels):
    return [label.get_text() for label in labels]


def test_each_field_has_its_number_and_share():
    net = fastbp.train(X, SEVERAL, **QUICK)
    ax = plot.confusion(net, X, SEVERAL)
    ax.figure.canvas.draw()
    expected, said = {}, net.predict(X)
    for i, true in enumerate(net.classes):
        for k, label in enumerate(net.classes):
            count = ((true == SEVERAL) & (label == said)).sum()
            share = count / (true == SEVERAL).sum()
            assert ax.images[0].get_array()[i, k] == pytest.approx(share)
            if count:
                expected[i, k] = f"{count}\n{share:.0%}"
    assert fields(ax) == expected
    shown = ["left", "middle", "right, and $far$ …"]
    assert names(ax.get_xticklabels()) == names(ax.get_yticklabels()) == shown
    assert ax.get_title() == f"{net.score(X, SEVERAL):.1%} of 120 correct"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("predicted class", "true class")


def test_rare_classes_are_merged_into_one():
    y = np.concatenate([np.repeat(np.arange(18), 6), [18, 18, 18, 19, 19, 20, 21, 22, 22, 23, 24, 25]])
    net = fastbp.train(X, y, task="classification", **QUICK)
    ax = plot.confusion(net, X, y)
    assert names(ax.get_yticklabels()) == [*map(str, range(20)), "6 others"]
    said = net.predict(X)
    counts = {place: int(text.split()[0]) for place, text in fields(ax).items()}
    assert sum(counts.values()) == 120
    assert sum(count for (i, _), count in counts.items() if i == 20) == (y >= 20).sum()
    assert sum(count for (_, k), count in counts.items() if k == 20) == (said >= 20).sum()
    assert ax.get_title() == f"{(said == y).mean():.1%} of 120 correct"


def test_classes_without_samples_have_an_empty_row():
    net = fastbp.train(X, SEVERAL, **QUICK)
    ax = plot.confusion(net, X[SEVERAL == "left"], SEVERAL[SEVERAL == "left"])
    assert {i for i, _ in fields(ax)} == {0}


def test_points_are_true_and_predicted_numbers():
    net = fastbp.train(X, NUMBER, **QUICK)
    ax = plot.predicted(net, X, NUMBER)
    (points,) = (c for c in ax.collections if isinstance(c, PathCollection))
    np.testing.assert_allclose(points.get_offsets(), np.column_stack([NUMBER, net.predict(X)]), rtol=1e-6)
    (line,) = ax.lines
    assert (line.get_xdata() == line.get_ydata()).all()
    assert ax.get_title() == f"R² {net.score(X, NUMBER):.3f}, 120 samples"
    assert plot.predicted(net, X[:1], NUMBER[:1]).get_title() == "1 sample"


def test_each_output_has_its_colour_and_marker():
    net = fastbp.train(X, np.column_stack([NUMBER, -NUMBER]), **QUICK)
    ax = plot.predicted(net, X, np.column_stack([NUMBER, -NUMBER]))
    one, two = ax.collections
    assert (one.get_facecolor() != two.get_facecolor()).any()
    assert len(one.get_paths()[0].vertices) != len(two.get_paths()[0].vertices)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["output 1", "output 2", "predicted = true"]


def test_quantiles_are_a_point_in_an_interval():
    y = np.column_stack([NUMBER, 2 * NUMBER])
    net = fastbp.train(X, y, loss="quantile", quantile=(0.1, 0.5, 0.8), **QUICK)
    ax = plot.predicted(net, X, y)
    said = net.predict(X)
    points = [c.get_offsets() for c in ax.collections if isinstance(c, PathCollection)]
    intervals = [np.array(c.get_segments()) for c in ax.collections if isinstance(c, LineCollection)]
    for k in (0, 1):
        np.testing.assert_allclose(points[k], np.column_stack([y[:, k], said[:, 3 * k + 1]]), rtol=1e-6)
        np.testing.assert_allclose(intervals[k][:, :, 0], y[:, [k, k]])
        np.testing.assert_allclose(intervals[k][:, :, 1], said[:, [3 * k, 3 * k + 2]], rtol=1e-6)


def test_many_samples_are_thinned_and_drawn_as_one_image():
    net = fastbp.train(X, NUMBER, **QUICK)
    many, y = np.resize(X, (12_001, 2)), np.resize(NUMBER, 12_001)
    ax = plot.predicted(net, many, y)
    (points,) = ax.collections
    np.testing.assert_allclose(points.get_offsets()[:, 0], y[::3])
    file = io.BytesIO()
    ax.figure.savefig(file, format="svg")
    assert file.tell() < 200_000


def test_axes_that_are_given_are_drawn_on():
    fig, (left, right) = plt.subplots(1, 2)
    net, other = fastbp.train(X, SEVERAL, **QUICK), fastbp.train(X, NUMBER, **QUICK)
    assert plot.confusion(net, X, SEVERAL, ax=left) is left
    assert plot.predicted(other, X, NUMBER, ax=right) is right
    assert plt.get_fignums() == [fig.number]


def test_an_ensemble_predicts_together():
    team = fastbp.ensemble(X, SEVERAL, 3, **QUICK)
    ax, counts = plot.confusion(team, X, SEVERAL), {}
    for i, true in enumerate(team.classes):
        for k, label in enumerate(team.classes):
            count = ((true == SEVERAL) & (label == team.predict(X))).sum()
            counts |= {(i, k): f"{count}\n{count / (true == SEVERAL).sum():.0%}"} if count else {}
    assert fields(ax) == counts
    assert ax.get_title() == f"{team.score(X, SEVERAL):.1%} of 120 correct"
    team = fastbp.ensemble(X, np.stack([NUMBER, X[:, 1]], axis=1), 2, loss="quantile", quantile=(0.1, 0.5), **QUICK)
    ax = plot.predicted(team, X, np.stack([NUMBER, X[:, 1]], axis=1))
    for k, dots in enumerate(artist for artist in ax.collections if isinstance(artist, PathCollection)):
        np.testing.assert_allclose(dots.get_offsets()[:, 1], team.predict(X)[:, 2 * k + 1], rtol=1e-6)


def test_bad_input():
    net, other = fastbp.train(X, SEVERAL, **QUICK), fastbp.train(X, NUMBER, **QUICK)
    labels = fastbp.train(X, X > 0, **QUICK)
    for call, message in (
        (
            lambda: plot.confusion(other, X, NUMBER),
            "net: expected a network for classification, got one for regression",
        ),
        (
            lambda: plot.confusion(labels, X, X > 0),
            "net: expected a network for classification, got one for multilabel",
        ),
        (lambda: plot.predicted(net, X, SEVERAL), "net: expected a network for regression, got one for classification"),
        (lambda: plot.confusion("net", X, SEVERAL), "net: expected a fastbp.Network or a fastbp.Ensemble, got 'net'"),
        (lambda: plot.confusion(net, X, np.full(120, "up")), "y: expected labels seen in training .* got 'up'"),
        (
            lambda: plot.predicted(other, X, NUMBER[:9]),
            "y: expected one target for each of the 120 samples of X, got 9",
        ),
        (lambda: plot.predicted(other, X[:0], []), "X: expected at least one sample"),
    ):
        with pytest.raises(ValueError, match=message):
            call()
    assert not plt.get_fignums()
