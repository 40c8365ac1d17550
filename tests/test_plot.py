"""The plots: they show the network's numbers, on the given axes and nowhere else, and every mark has a name."""

import dataclasses
import importlib
import sys

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.contour import ContourSet

import fastbp
from fastbp import plot
from fastbp.model.words import STOP_REASONS

# Warnings of matplotlib are mistakes in a plot: an empty contour, a legend without entries, a layout that fails
pytestmark = pytest.mark.filterwarnings("error")

rng = np.random.default_rng(0)
X = rng.uniform(-1, 1, (60, 2))
TARGETS = {
    "two classes": np.where(X[:, 0] * X[:, 1] > 0, "same", "opposite"),
    "three classes": np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.3, 0.3]),
    "regression": np.sin(3 * X[:, 0]) + X[:, 1] ** 2,
}
CLASSES = ("two classes", "three classes")


@pytest.fixture(scope="module")
def nets():
    quick = {"hidden": (5, 2), "activation": "tanh", "epochs": 200, "scale": False, "validation": 0.2, "seed": 0}
    return {name: fastbp.train(X, y, **quick) for name, y in TARGETS.items()}


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def drawn(ax, kind):
    return [artist for artist in ax.collections if isinstance(artist, kind)]


def points(ax):
    return np.concatenate([np.asarray(scatter.get_offsets()) for scatter in drawn(ax, PathCollection)])


def legend(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def by_class(net, name, rows):
    return np.concatenate([rows[TARGETS[name] == label] for label in net.classes])


def changed(net, layer, unit, bias):
    """The network with one hidden unit switched off or saturated: its weights are 0, its bias is as given."""
    params = net.params.copy()
    other = dataclasses.replace(net, params=params)
    at = sum((a + 1) * b for a, b in zip(net.sizes[: layer - 1], net.sizes[1:layer], strict=True))
    d_in, d_out = other.weights[layer - 1].shape
    params[at : at + d_in * d_out].reshape(d_in, d_out)[:, unit] = 0
    params[at + d_in * d_out + unit] = bias
    return dataclasses.replace(net, params=params)


# boundary


def test_the_line_lies_where_the_probability_is_one_half(nets):
    net = nets["two classes"]
    ax = plot.boundary(net, X, TARGETS["two classes"])
    (line,) = drawn(ax, ContourSet)
    vertices = np.concatenate([path.vertices for path in line.get_paths()])
    assert len(vertices) > 100
    assert np.abs(net.predict_proba(vertices)[:, 1] - 0.5).max() < 0.01
    assert legend(ax) == ["opposite", "same", "decision"]


def test_the_lines_lie_where_the_two_most_probable_classes_meet(nets):
    net = nets["three classes"]
    ax = plot.boundary(net, X, TARGETS["three classes"])
    lines = drawn(ax, ContourSet)
    assert len(lines) == 3  # around the field of each class
    vertices = np.concatenate([path.vertices for line in lines for path in line.get_paths()])
    best = np.sort(net.predict_proba(vertices), axis=1)
    assert np.abs(best[:, -1] - best[:, -2]).max() < 0.02
    assert legend(ax) == ["0", "1", "2", "decision"]


def test_the_background_is_the_inference(nets):
    for name in ("two classes", "regression"):
        ax = plot.boundary(nets[name], X, TARGETS[name])
        (image,) = ax.images
        left, right, bottom, top = image.get_extent()
        corners = [[left, bottom], [right, bottom], [left, top], [right, top]]
        said = nets[name].predict_proba(corners)[:, 1] if name in CLASSES else nets[name].predict(corners)
        np.testing.assert_allclose(np.asarray(image.get_array())[[0, 0, -1, -1], [0, -1, 0, -1]], said, rtol=1e-4)
    assert image.get_clim() == (TARGETS["regression"].min(), TARGETS["regression"].max())


def test_the_most_probable_class_gives_the_colour_and_its_probability_the_strength(nets):
    net, y = nets["three classes"], TARGETS["three classes"]
    unsure = dataclasses.replace(net, params=net.params * 0)  # all probabilities are 1/3
    assert np.allclose(plot.boundary(unsure, X, y).images[0].get_array(), 1)
    ax = plot.boundary(net, X, y)
    image = np.asarray(ax.images[0].get_array())
    colours = [mpl.colors.to_rgb(scatter.get_facecolor()[0]) for scatter in drawn(ax, PathCollection)]
    proba = net.predict_proba([[-1, 0], [0, 0], [1, 0]])
    assert (proba.argmax(axis=1) == [0, 1, 2]).all()
    left, right, *_ = ax.images[0].get_extent()
    for k, x in enumerate((-1, 0, 1)):
        shade = image[100, round((x - left) / (right - left) * 200)]
        hue, hues = 1 - shade, 1 - np.array(colours)  # the differences from white
        assert np.argmax(hues @ hue / np.linalg.norm(hues, axis=1)) == k


@pytest.mark.parametrize("name", TARGETS)
def test_the_samples_are_where_they_are(nets, name):
    ax = plot.boundary(nets[name], X, TARGETS[name])
    expected = by_class(nets[name], name, X) if name in CLASSES else X
    np.testing.assert_allclose(points(ax), expected)
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("x1", "x2")


def test_a_network_with_a_single_prediction_has_no_line(nets):
    for name, y in TARGETS.items():
        flat = dataclasses.replace(nets[name], params=nets[name].params * 0)
        assert not drawn(plot.boundary(flat, X, y), ContourSet)
    constant = fastbp.train(X, np.full(60, 5.5), hidden=(), epochs=1, seed=0)
    plot.boundary(constant, X, np.full(60, 5.5))


def test_classes_differ_by_colour_and_by_marker():
    many = np.arange(60) % 20
    net = fastbp.train(X, many, task="classification", hidden=(), epochs=1, seed=0)
    scatters = drawn(plot.boundary(net, X, many), PathCollection)
    looks = [(tuple(s.get_facecolor()[0]), s.get_paths()[0].vertices.tobytes()) for s in scatters]
    assert len(set(looks)) == 20
    assert len({colour for colour, _ in looks[:10]}) == len({marker for _, marker in looks[:10]}) == 10


def test_a_frame_gives_the_axes_their_names():
    frame = pd.DataFrame({"length": X[:, 0], "width": X[:, 1]})
    net = fastbp.train(frame, TARGETS["two classes"], hidden=(), epochs=5, seed=0)
    ax = plot.boundary(net, frame[["width", "length"]], TARGETS["two classes"])
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("length", "width")
    np.testing.assert_allclose(points(ax), by_class(net, "two classes", X))
    plain = fastbp.train(frame, TARGETS["two classes"], hidden=(), epochs=5, seed=0, encode="standard")
    assert plot.layer_space(plain, frame, TARGETS["two classes"], 0).get_xlabel() == "length (standardised)"


def test_the_animation_has_a_frame_for_each_network(nets, tmp_path):
    net, y = nets["two classes"], TARGETS["two classes"]
    networks = [
        (epoch, dataclasses.replace(net, params=net.params * np.float32(epoch / 30))) for epoch in (0, 10, 20, 30)
    ]
    fig, ax = plt.subplots(figsize=(3, 3))
    animation = plot.boundary_animation(iter(networks), X, y, ax=ax)
    path = tmp_path / "boundary.gif"
    animation.save(path, writer="pillow", dpi=40)
    with Image.open(path) as file:
        assert file.n_frames == 4
    assert ax.get_title() == f"epoch 30: accuracy {net.score(X, y):.2f}"
    assert len(drawn(ax, ContourSet)) == len(ax.images) == 1  # those of earlier frames are gone
    still = plot.boundary(net, X, y)
    assert (ax.images[0].get_array() == still.images[0].get_array()).all()
    assert plt.get_fignums() == [fig.number, still.figure.number]


# layer_space, layer_spaces


def test_two_units_are_the_axes(nets):
    for name in CLASSES:
        ax = plot.layer_space(nets[name], X, TARGETS[name], 2)
        np.testing.assert_allclose(points(ax), by_class(nets[name], name, nets[name].activations(X)[2]))
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("unit 1 of layer 2", "unit 2 of layer 2")
    ax = plot.layer_space(nets["regression"], X, TARGETS["regression"], 2)
    np.testing.assert_allclose(points(ax), nets["regression"].activations(X)[2])


def test_with_more_units_the_axes_are_principal_components(nets):
    a = nets["regression"].activations(X)[1].astype(float)
    ax = plot.layer_space(nets["regression"], X, TARGETS["regression"], 1)
    U, s, _ = np.linalg.svd(a - a.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(points(ax)), np.abs(U[:, :2] * s[:2]), rtol=1e-4, atol=1e-4)
    share = s**2 / (s**2).sum()
    assert ax.get_xlabel() == f"principal component 1 ({100 * share[0]:.0f} % of variance)"
    assert ax.get_ylabel() == f"principal component 2 ({100 * share[1]:.0f} % of variance)"


def test_one_unit_is_the_horizontal_axis_and_the_target_the_vertical_one(nets):
    ax = plot.layer_space(nets["regression"], X, TARGETS["regression"], 3)
    np.testing.assert_allclose(
        points(ax), np.column_stack([nets["regression"].activations(X)[3], TARGETS["regression"]]), rtol=1e-6
    )
    net, y = nets["two classes"], TARGETS["two classes"]
    ax = plot.layer_space(net, X, y, 3)
    np.testing.assert_allclose(points(ax)[:, 0], by_class(net, "two classes", net.activations(X)[3])[:, 0])
    assert [label.get_text() for label in ax.get_yticklabels()] == ["opposite", "same"]
    assert (net.classes[np.round(points(ax)[:, 1]).astype(int)] == np.sort(y)).all()


def test_the_grid_is_bent_as_the_layers_bend_it(nets):
    net = nets["two classes"]
    axes = plot.layer_spaces(net, X, TARGETS["two classes"])
    (flat,), (bent,) = (drawn(axes[k], LineCollection) for k in (0, 2))
    assert len(flat.get_segments()) == len(bent.get_segments()) == 22
    for k, (line, image) in enumerate(zip(flat.get_segments(), bent.get_segments(), strict=True)):
        assert np.ptp(line, axis=0)[k // 11] == 0  # one input is constant along the line: first x1, then x2
        np.testing.assert_allclose(image, net.activations(line)[2], atol=1e-5)
    assert not drawn(axes[3], LineCollection)
    three = fastbp.train(np.column_stack([X, X[:, :1]]), TARGETS["two classes"], hidden=(2,), epochs=1, seed=0)
    (none,) = drawn(plot.layer_space(three, np.column_stack([X, X[:, :1]]), TARGETS["two classes"], 1), LineCollection)
    assert not none.get_segments()


@pytest.mark.parametrize(
    ("activation", "bias", "word"),
    [("relu", -1, "dead"), ("logistic", 7, "saturated"), ("tanh", -7, "saturated"), ("tanh", 1, None)],
)
def test_units_that_have_stopped_learning_are_named(activation, bias, word):
    y = TARGETS["two classes"]
    net = fastbp.train(X, y, hidden=(3, 8), activation=activation, epochs=1, seed=1)

    def named(ax):
        return [text.get_text() for text in ax.texts]

    assert named(plot.layer_space(net, X, y, 1)) == []
    one = changed(net, 1, 2, bias)
    assert named(plot.layer_space(one, X, y, 1)) == ([f"unit 3 {word}"] if word else [])
    for unit in range(8):
        one = changed(one, 2, unit, bias)
    axes = plot.layer_spaces(one, X, y)
    assert named(axes[2]) == ([f"units 1, 2, 3, 4, 5, ... (8 in all) {word}"] if word else [])
    assert named(axes[0]) == named(axes[3]) == []


def test_a_layer_in_which_all_samples_are_one_point(nets):
    flat = dataclasses.replace(nets["two classes"], params=nets["two classes"].params * 0)
    ax = plot.layer_space(flat, X, TARGETS["two classes"], 1)
    assert (points(ax) == 0).all()
    assert ax.get_xlabel() == "principal component 1 (0 % of variance)"
    plot.layer_space(flat, X[:1], TARGETS["two classes"][:1], 1)


def test_layer_spaces_is_a_row_of_layer_space(nets):
    net, y = nets["three classes"], TARGETS["three classes"]
    axes = plot.layer_spaces(net, X, y)
    assert [ax.get_title() for ax in axes] == [
        "inputs",
        "layer 1: 5 tanh units",
        "layer 2: 2 tanh units",
        "output: 3 softmax units",
    ]
    for layer, ax in enumerate(axes):
        one = plot.layer_space(net, X, y, layer)
        assert (points(one) == points(ax)).all()
        assert (one.get_xlabel(), one.get_ylabel()) == (ax.get_xlabel(), ax.get_ylabel())
        plt.close(one.figure)
    assert [ax.get_legend() is not None for ax in axes] == [False, False, False, True]


# learning_curves


def test_learning_curves_are_the_history(nets):
    net = nets["two classes"]
    ax = plot.learning_curves(net)
    training, validation, best, stop = ax.lines
    assert (training.get_ydata() == net.history["loss"]).all()
    assert (validation.get_ydata() == net.history["validation_loss"]).all()
    assert set(best.get_xdata()) == {net.best_epoch}
    assert (stop.get_xdata(), stop.get_ydata()) == (200, net.history["loss"][-1])
    assert legend(ax) == [
        "training",
        "validation",
        f"best epoch: {net.best_epoch}",
        "stopped after epoch 200:\nall epochs done, and still getting better:\nmore epochs may help",
    ]
    assert net.best_epoch > 180
    assert ax.get_ylabel() == "mean loss (log loss)"


def test_a_run_that_was_still_getting_better_says_so(nets):
    net, more = nets["two classes"], "still getting better:\nmore epochs may help"
    for best_epoch, reason, is_better in (
        (181, "epochs", True),
        (200, "epochs", True),
        (180, "epochs", False),
        (200, "max_seconds", False),
    ):
        run = dataclasses.replace(net, best_epoch=best_epoch, stop_reason=reason)
        assert (more in legend(plot.learning_curves(run))[-1]) == is_better
    without = {"loss": net.history["loss"]}  # nobody knows
    assert more not in legend(plot.learning_curves(dataclasses.replace(net, history=without)))[-1]


def test_learning_curves_of_an_ensemble_are_those_of_its_networks():
    y = TARGETS["two classes"]
    team = fastbp.ensemble(X, y, 3, hidden=(5,), epochs=60, validation=0.2, patience=5, seed=0, learning_rate=0.03)
    ax = plot.learning_curves(team)
    *curves, best, ends = ax.lines
    for k, net in enumerate(team.networks):
        assert (curves[k].get_ydata() == net.history["loss"]).all()
        assert (curves[k + 3].get_ydata() == net.history["validation_loss"]).all()
    lengths = [len(net.history["loss"]) for net in team.networks]
    assert best.get_xdata().tolist() == [net.best_epoch for net in team.networks]
    assert list(ends.get_xdata()) == lengths
    assert len(set(lengths)) > 1
    training, validation, dots, stop = legend(ax)
    assert (training, validation, dots) == ("training, 3 networks", "validation, 3 networks", "best epochs")
    assert stop.startswith(f"stopped after {min(lengths)} to {max(lengths)} epochs:\n{STOP_REASONS['patience']}")
    same = legend(plot.learning_curves(fastbp.ensemble(X, y, 2, hidden=(), epochs=3)))
    assert same == ["training, 2 networks", "stopped after 3 epochs:\nall epochs done"]


def test_the_plane_of_an_ensemble_has_its_mean(nets):
    for name in CLASSES:
        one, other = (fastbp.train(X, TARGETS[name], hidden=(5,), epochs=60, seed=seed) for seed in (1, 2))
        team, width = fastbp.Ensemble((one, other)), plot.decision.RESOLUTION
        (image,) = plot.boundary(team, X, TARGETS[name]).images
        left, right, bottom, top = image.get_extent()
        plane = np.stack(np.meshgrid(np.linspace(left, right, width), np.linspace(bottom, top, width)), axis=-1)
        proba = team.predict_proba(plane.reshape(-1, 2)).reshape(width, width, -1)
        shown = proba[:, :, 1] if name == "two classes" else plot.decision._several_colours(proba)
        np.testing.assert_allclose(image.get_array(), shown, atol=1e-6)


def test_every_reason_to_stop_is_given_in_words(nets):
    net = fastbp.train(X, TARGETS["regression"], hidden=(), epochs=3, seed=0)
    stopped = [dataclasses.replace(net, stop_reason=reason) for reason in STOP_REASONS]
    reasons = {legend(plot.learning_curves(net))[-1] for net in stopped}
    assert len(reasons) == len(STOP_REASONS)
    assert not any("_" in words for words in reasons)
    assert legend(plot.learning_curves(net))[:-1] == ["training"]  # no validation part, no best epoch


def test_the_loss_has_a_logarithmic_scale_where_it_spans_more_than_a_decade(nets):
    for losses, scale in (([1.0, 0.11], "linear"), ([1.0, 0.09], "log"), ([1.0, 0.0], "linear")):
        net = dataclasses.replace(nets["regression"], history={"loss": np.array(losses)})
        assert plot.learning_curves(net).get_yscale() == scale


# hinton, network


def test_the_area_of_a_square_is_proportional_to_the_weight():
    W = np.array([[1.0, -0.25, 0.0], [-4.0, 2.0, 0.5]])
    ax = plot.hinton(W)
    (squares,) = drawn(ax, PolyCollection)
    centres, areas = zip(
        *((path.vertices[:4].mean(axis=0), np.ptp(path.vertices, axis=0).prod()) for path in squares.get_paths()),
        strict=True,
    )
    rows, columns = np.nonzero(W)
    np.testing.assert_allclose(np.array(areas) / max(areas), np.abs(W[rows, columns]) / 4)
    np.testing.assert_allclose(centres, np.column_stack([columns, rows]) + 1)  # row i is input i, column j is unit j
    assert (squares.get_facecolor()[:, 0] == (W[rows, columns] > 0)).all()
    assert ax.yaxis_inverted()
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("unit", "input")
    assert not plot.hinton(np.zeros((2, 2))).collections[0].get_paths()


def test_the_width_of_a_connection_is_proportional_to_its_weight(nets):
    net = nets["two classes"]
    ax = plot.network(net)
    collections = iter(drawn(ax, LineCollection))
    for layer, W in enumerate(net.weights):
        found = {}
        for sign in (1, -1):
            lines = next(collections)
            for segment, width in zip(lines.get_segments(), lines.get_linewidths(), strict=True):
                assert tuple(segment[:, 0]) == (layer, layer + 1)
                i, j = ((units - 1) / 2 - y for units, y in zip(W.shape, segment[:, 1], strict=True))
                found[round(i), round(j)] = sign * width
        signed = np.array([[found[i, j] for j in range(W.shape[1])] for i in range(W.shape[0])])
        np.testing.assert_allclose(signed, 5 * W / np.abs(W).max(), rtol=1e-5)
    assert legend(ax) == ["w > 0", "w < 0"]
    assert {text.get_text() for text in ax.texts} == {"x1", "x2", "p(same)"}
    assert [label.get_text() for label in ax.get_xticklabels()] == [
        "inputs",
        "layer 1\ntanh",
        "layer 2\ntanh",
        "output\nlogistic",
    ]


def test_signs_differ_by_colour_and_by_dash(nets):
    positive, negative = drawn(plot.network(nets["regression"]), LineCollection)[:2]
    assert not np.array_equal(positive.get_color(), negative.get_color())
    assert positive.get_linestyle()[0][1] is None
    assert negative.get_linestyle()[0][1] is not None


def test_only_the_first_units_of_a_big_layer_are_drawn():
    net = fastbp.train(X, TARGETS["regression"], hidden=(16, 17), epochs=1, seed=0)
    ax = plot.network(net)
    assert [len(line.get_xdata()) for line in ax.lines] == [2, 16, 15, 1]
    assert [text.get_text() for text in ax.texts].count("⋮") == 1
    assert [label.get_text() for label in ax.get_xticklabels()][1:3] == [
        "layer 1\nrelu",
        "layer 2\nrelu\n15 of 17 drawn",
    ]


# activations, bumps, bump_error, captured


def test_activations_are_drawn_with_their_derivatives():
    f = {
        "identity": lambda z: z,
        "logistic": lambda z: 1 / (1 + np.exp(-z)),
        "tanh": np.tanh,
        "relu": lambda z: np.maximum(z, 0),
    }
    axes = plot.activations(tuple(f))
    assert [ax.get_title() for ax in axes] == list(f)
    for ax, function in zip(axes, f.values(), strict=True):
        value, slope = ax.lines[:2]
        z = np.asarray(value.get_xdata()).ravel()
        np.testing.assert_allclose(np.ravel(value.get_ydata()), function(z), atol=1e-12)
        smooth = np.abs(z) > 1e-3
        difference = (function(z + 1e-6) - function(z - 1e-6)) / 2e-6
        np.testing.assert_allclose(np.ravel(slope.get_ydata())[smooth], difference[smooth], atol=1e-8)
        assert legend(ax) == ["f(z)", "f'(z)"]


def test_bumps_are_drawn_with_the_function_and_their_sum():
    ax = plot.bumps(np.exp, 4, (-1, 1))
    *heaps, f, total = ax.lines
    assert len(heaps) == 4
    x = np.asarray(f.get_xdata())
    assert (x[0], x[-1]) == (-1, 1)
    np.testing.assert_allclose(f.get_ydata(), np.exp(x))
    np.testing.assert_allclose(total.get_ydata(), fastbp.bumps(np.exp, 4, (-1, 1)).predict(x[:, None]))
    np.testing.assert_allclose(np.sum([heap.get_ydata() for heap in heaps], axis=0), total.get_ydata())
    assert legend(ax) == ["4 bumps", "f", "sum of the bumps"]
    error = np.abs(np.subtract(f.get_ydata(), total.get_ydata())).max()
    assert ax.get_title() == f"largest error {error:.2g}"


def test_bump_error_falls_on_logarithmic_scales():
    ax = plot.bump_error(np.exp, (5, 10, 20))
    largest, mean, _ = ax.lines
    for line in (largest, mean):
        assert list(line.get_xdata()) == [5, 10, 20]
        assert (np.diff(line.get_ydata()) < 0).all()
    x = np.linspace(0, 1, 2001)
    error = np.abs(fastbp.bumps(np.exp, 10).predict(x[:, None]) - np.exp(x))
    assert (largest.get_ydata()[1], mean.get_ydata()[1]) == pytest.approx((error.max(), error.mean()))
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")


def test_captured_share_counts_the_points_in_the_box():
    points = [[0.1, 0.1, 0.9], [0.1, 0.8, 0.1], [0.41, 0.41, 0.41], [0.42, 0.1, 0.1]]
    assert plot.captured_share(points, 0.42).tolist() == [0.75, 0.5, 0.25]
    uniform = np.random.default_rng(1).uniform(size=(100_000, 4))
    np.testing.assert_allclose(plot.captured_share(uniform, 0.42), 0.42 ** np.arange(1, 5), atol=0.005)


def test_captured_shows_the_expected_share_a_sample_and_the_lecture():
    expected, sample, lecture = plot.captured().lines
    np.testing.assert_allclose(expected.get_ydata(), 0.42 ** np.arange(1, 11))
    assert np.abs(np.subtract(sample.get_ydata(), expected.get_ydata())).max() < 0.05
    assert list(lecture.get_ydata()) == [0.42, 0.14, 0.07, 0.03]  # L11


# all of them


TWO = "two classes"
ONE_PICTURE = {
    "boundary": lambda nets, ax=None: plot.boundary(nets[TWO], X, TARGETS[TWO], ax=ax),
    "layer_space": lambda nets, ax=None: plot.layer_space(nets[TWO], X, TARGETS[TWO], 1, ax=ax),
    "learning_curves": lambda nets, ax=None: plot.learning_curves(nets[TWO], ax=ax),
    "hinton": lambda nets, ax=None: plot.hinton(nets[TWO].weights[0], ax=ax),
    "network": lambda nets, ax=None: plot.network(nets[TWO], ax=ax),
    "bumps": lambda nets, ax=None: plot.bumps(np.exp, 3, ax=ax),
    "bump_error": lambda nets, ax=None: plot.bump_error(np.exp, (3, 6), ax=ax),
    "captured": lambda nets, ax=None: plot.captured(ax=ax),
}
SEVERAL_PICTURES = {
    "activations": (2, lambda nets, ax=None: plot.activations(("tanh", "relu"), ax=ax)),
    "layer_spaces": (4, lambda nets, ax=None: plot.layer_spaces(nets[TWO], X, TARGETS[TWO], ax=ax)),
}


@pytest.mark.parametrize("name", ONE_PICTURE)
def test_it_draws_on_the_axes_given_and_nowhere_else(nets, name):
    fig, (other, ax) = plt.subplots(1, 2)
    assert ONE_PICTURE[name](nets, ax=ax) is ax
    assert ax.has_data()
    assert not other.has_data()
    assert plt.get_fignums() == [fig.number]
    alone = ONE_PICTURE[name](nets).figure
    assert alone is not fig
    alone.canvas.draw()
    with pytest.raises(ValueError, match=r"ax: expected matplotlib axes, got 'left'"):
        ONE_PICTURE[name](nets, ax="left")


@pytest.mark.parametrize("name", SEVERAL_PICTURES)
def test_it_draws_on_the_array_of_axes_given_and_nowhere_else(nets, name):
    count, draw = SEVERAL_PICTURES[name]
    fig, axes = plt.subplots(3, count // 2)
    assert (draw(nets, ax=axes[:2]) == axes[:2]).all()
    assert all(ax.has_data() for ax in axes[:2].flat)
    assert not any(ax.has_data() for ax in axes[2:].flat)
    assert plt.get_fignums() == [fig.number]
    alone = draw(nets)
    assert alone.shape == (count,)
    alone[0].figure.canvas.draw()
    with pytest.raises(ValueError, match=f"ax: expected an array of {count} matplotlib axes, got"):
        draw(nets, ax=axes)


BAD = {
    "a model that is none": (
        lambda net: plot.boundary("net", X, X[:, 0]),
        "net: expected a fastbp.Network or a fastbp.Ensemble, got 'net'",
    ),
    "no network to draw": (lambda net: plot.network(None), "net: expected a fastbp.Network, got None"),
    "no network that learnt": (
        lambda net: plot.learning_curves(3),
        "net: expected a fastbp.Network or a fastbp.Ensemble, got 3",
    ),
    "a constructed network": (
        lambda net: plot.learning_curves(fastbp.bumps(np.exp, 3)),
        "net: expected a network trained for at least one epoch",
    ),
    "three inputs": (
        lambda net: plot.boundary(
            fastbp.train(rng.normal(size=(9, 3)), np.arange(9.0), epochs=1), np.ones((2, 3)), [1.0, 2.5]
        ),
        "net: expected a network with two inputs, whose plane can be drawn, got 3",
    ),
    "two targets": (
        lambda net: plot.layer_space(fastbp.train(X, X, hidden=(2,), epochs=1), X, X, 1),
        "net: expected a network with one target, got 2 in regression",
    ),
    "several labels": (
        lambda net: plot.boundary(fastbp.train(X, X > 0, hidden=(2,), epochs=1), X, X > 0),
        "net: expected a network with one target, got 2 in multilabel",
    ),
    "other features": (lambda net: plot.layer_spaces(net, X[:, :1], TARGETS[TWO]), "X: expected 2 features, got 1"),
    "no sample": (lambda net: plot.boundary(net, X[:0], []), "X: expected at least one sample"),
    "other labels": (lambda net: plot.boundary(net, X, np.zeros(60)), "y: expected labels seen in training .* got 0.0"),
    "fewer labels": (
        lambda net: plot.boundary(net, X, TARGETS[TWO][:9]),
        "y: expected one label for each of the 60 samples, got 9",
    ),
    "a layer too many": (lambda net: plot.layer_space(net, X, TARGETS[TWO], 4), "layer: expected at most 3, .* got 4"),
    "a layer from the end": (
        lambda net: plot.layer_space(net, X, TARGETS[TWO], -1),
        "layer: expected an integer of at least 0, got -1",
    ),
    "no frame": (lambda net: plot.boundary_animation([], X, TARGETS[TWO]), "networks: expected at least one pair"),
    "no epochs": (
        lambda net: plot.boundary_animation([net], X, TARGETS[TWO]),
        "networks: expected pairs of an epoch and a network",
    ),
    "epochs alone": (
        lambda net: plot.boundary_animation([(1, 2)], X, TARGETS[TWO]),
        "net: expected a fastbp.Network or a fastbp.Ensemble, got 2",
    ),
    "a vector of weights": (lambda net: plot.hinton([1.0, 2.0]), r"W: expected a matrix .* got shape \(2,\)"),
    "no weight": (lambda net: plot.hinton(np.empty((0, 3))), r"W: expected a matrix .* got shape \(0, 3\)"),
    "an infinite weight": (
        lambda net: plot.hinton([[1.0, np.inf]]),
        "W: expected finite numbers, got inf at row 0, column 1",
    ),
    "an unknown function": (lambda net: plot.activations(("sigmoid",)), "names: expected one of .* got 'sigmoid'"),
    "softmax, which is not of one number": (
        lambda net: plot.activations(("softmax",)),
        "names: expected one of .* got 'softmax'",
    ),
    "no function": (lambda net: plot.activations(()), "names: expected at least one of .* got none"),
    "no bump": (lambda net: plot.bumps(np.exp, 0), "n: expected an integer of at least 1, got 0"),
    "no counts": (lambda net: plot.bump_error(np.exp, ()), "counts: expected at least one number of bumps, got none"),
    "a count of no bumps": (
        lambda net: plot.bump_error(np.exp, (4, 0)),
        "counts: expected an integer of at least 1, got 0",
    ),
    "no points": (lambda net: plot.captured_share(np.empty((0, 2)), 0.5), "points: expected at least one point"),
    "no box": (lambda net: plot.captured_share(X, 0), "side: expected a finite number above 0, got 0"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input(nets, case):
    call, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        call(nets[TWO])
    assert not plt.get_fignums()  # no figure was created


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "fastbp.plot")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(
        ImportError, match=r'fastbp.plot needs matplotlib; install it with: pip install "fastbp\[plot\]"'
    ):
        importlib.import_module("fastbp.plot")
