"""The lecture, row by row from L1 to L30, with its numbers."""

import math

import naive
import numpy as np
import pytest
from tasks import LECTURE

import fastbp
from fastbp import graph, kernels
from fastbp.graph import Variable

AREA, PRICE = np.array([[2104], [1600], [2400], [1416]]), np.array([400.0, 330, 369, 232])
COUNT, SPAM = np.array([[10], [12], [2], [6]]), np.array([1, 1, 0, 0])
XOR_X, XOR_Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
RNG = np.random.default_rng(0)
X34, Y34, W42, B4 = (RNG.normal(size=shape) for shape in [(3, 4), (3, 4), (4, 2), 4])


def separable(points, labels):
    """Whether a linear unit separates the two classes."""
    return fastbp.train(points, labels, hidden=(), seed=0, learning_rate=0.05).score(points, labels) == 1


# Part 1: neural networks


def test_l1_l4_house_prices_by_one_linear_unit_meet_least_squares():
    net = fastbp.train(AREA, PRICE, hidden=(), dtype="float64", seed=0)
    slope, intercept = np.polyfit(AREA[:, 0], PRICE, 1)
    assert net.task == "regression"
    np.testing.assert_allclose(net.predict(AREA), slope * AREA[:, 0] + intercept, rtol=1e-3)
    # a linear combination of the inputs: equal steps in, equal steps out
    np.testing.assert_allclose(np.diff(net.predict([[1500], [2000], [2500]]), 2), 0, atol=1e-9)


def test_l2_l3_spam_inference_and_decision_are_separate():
    net = fastbp.train(COUNT, SPAM, hidden=(), seed=0)
    p = net.predict_proba(COUNT)
    assert ((p > 0) & (p < 1)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)
    assert net.predict(COUNT).tolist() == [1, 1, 0, 0]
    assert net.predict(COUNT[:2], threshold=1.0).tolist() == [0, 0]
    assert net.predict(COUNT[2:], threshold=0.0).tolist() == [1, 1]


def test_l5_a_linear_unit_cannot_solve_xor():
    for seed in range(20):
        assert fastbp.train(XOR_X, XOR_Y, hidden=(), seed=seed, epochs=500).score(XOR_X, XOR_Y) <= 0.75


def test_l6_a_feature_made_by_hand_and_features_that_are_learnt():
    by_hand = np.column_stack([XOR_X, XOR_X[:, 0] * XOR_X[:, 1]])
    assert separable(by_hand, XOR_Y)
    learnt = fastbp.train(XOR_X, XOR_Y, hidden=(4,), seed=3, **LECTURE).activations(XOR_X)[1]
    assert separable(learnt.astype(np.float64), XOR_Y)


def test_l7_activation_functions():
    z, out = np.array([[-2.0, 0.0, 3.0]]), np.empty((1, 3))
    for name, wanted in (
        ("logistic", [1 / (1 + math.exp(2)), 0.5, 1 / (1 + math.exp(-3))]),
        ("tanh", [math.tanh(-2), 0, math.tanh(3)]),
        ("relu", [0, 0, 3]),
    ):
        kernels.activation_forward(kernels.ACTIVATIONS[name], z, out)
        np.testing.assert_allclose(out[0], wanted, rtol=1e-14)


def test_l8_three_hidden_units_of_two_inputs():
    net = fastbp.train(XOR_X, XOR_Y, hidden=(3,), activation="tanh", scale=False, dtype="float64", seed=0)
    W, b = net.weights[0], net.biases[0]
    for (x1, x2), h in zip(XOR_X, net.activations(XOR_X)[1], strict=True):
        for k in range(3):  # h_k = f(w x1 + w' x2): linear model and non-linearity
            assert h[k] == pytest.approx(math.tanh(W[0, k] * x1 + W[1, k] * x2 + b[k]), rel=1e-13)


@pytest.mark.parametrize("options", [LECTURE, {"hidden": (16,)}], ids=["lecture", "defaults"])
def test_l9_one_hidden_layer_solves_xor_and_makes_it_separable(options):
    net = fastbp.train(XOR_X, XOR_Y, seed=3, **{"hidden": (4,), **options})
    assert net.score(XOR_X, XOR_Y) == 1
    assert separable(net.activations(XOR_X)[1].astype(np.float64), XOR_Y)


def test_l10_the_error_of_bumps_falls():
    x = np.linspace(0, 1, 1001)[:, None]
    smooth, step = (lambda x: np.sin(2 * np.pi * x)), (lambda x: (x > 0.3).astype(float))
    for f, measure in ((smooth, np.max), (step, np.mean)):
        errors = [measure(np.abs(fastbp.bumps(f, n).predict(x) - f(x[:, 0]))) for n in (5, 20, 80)]
        assert errors[0] > 2 * errors[1] > 4 * errors[2]
    # one pair of units is one bump: high in the middle, zero outside
    bump = fastbp.bumps(lambda x: np.ones_like(x), 1)
    assert bump.sizes == (1, 2, 1)
    assert bump.predict([[0.5]])[0] == pytest.approx(1, abs=0.1)
    np.testing.assert_allclose(bump.predict([[-20.0], [21.0]]), 0, atol=0.01)


def test_l11_the_share_of_data_captured_falls_with_the_dimension():
    # The slide's figures, 42, 14, 7 and 3 %, come from a sample; 42 % of each axis contain 0.42^d of all data.
    expected = 0.42 ** np.arange(1, 5)
    np.testing.assert_allclose(expected, [0.42, 0.14, 0.07, 0.03], atol=0.04)
    points = np.random.default_rng(0).uniform(size=(100_000, 4))
    captured = [(points[:, :d] < 0.42).all(axis=1).mean() for d in range(1, 5)]
    np.testing.assert_allclose(captured, expected, atol=0.01)


@pytest.mark.parametrize("hidden", [(), (5,), (6, 5), (4, 5, 6, 7)])
def test_l12_any_depth(hidden):
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, 300)
    X = np.array([[0, 0], [3, 0], [0, 3]])[y] + rng.normal(size=(300, 2))
    net = fastbp.train(X, y, hidden=hidden, seed=0)
    assert [W.shape for W in net.weights] == list(zip((2, *hidden), (*hidden, 3), strict=True))
    assert [a.shape for a in net.activations(X)] == [(300, d) for d in (2, *hidden, 3)]
    np.testing.assert_allclose(net.activations(X)[-1], net.forward(X), rtol=1e-5, atol=1e-6)
    assert net.score(X, y) > 0.85


# Part 2: the backpropagation algorithm


def test_l13_the_partial_derivative_is_a_limit():
    x, y = Variable(6), Variable(-2)
    f = x * y
    f.backward()
    assert (float(f), float(x.grad), float(y.grad)) == (-12, -2, 6)
    for epsilon in (1e-2, 1e-4):  # x goes up by epsilon, f down by 2 epsilon
        assert float(Variable(6 + epsilon) * -2) - float(f) == pytest.approx(-2 * epsilon, rel=1e-9)


def test_l14_the_chain_rule_on_a_graph():
    x, y, z = Variable(-2), Variable(5), Variable(-4)
    q = x + y
    (q * z).backward()
    assert [float(v.grad) for v in (q, x, y, z)] == [-4, -4, -4, 3]


def test_l15_scalar_rules():
    for step, slope in (
        (graph.reciprocal, lambda x: -1 / x**2),
        (lambda x: 3 + x, lambda x: 1),
        (graph.exp, math.exp),
        (lambda x: 5 * x, lambda x: 5),
    ):
        for value in (1.37, -0.5):
            x = Variable(value)
            step(x).backward()
            assert float(x.grad) == pytest.approx(slope(value), rel=1e-14)
            assert graph.check(step, [value]).worst < 1e-10


def test_l16_the_sigmoid_neuron():
    w0, x0, w1, x1, w2 = (Variable(v) for v in (2, -1, -3, -2, -3))
    a0, a1 = w0 * x0, w1 * x1
    a2 = a0 + a1
    a3 = w2 + a2
    a4 = -a3
    a5 = graph.exp(a4)
    a6 = a5 + 1
    f = 1 / a6
    f.backward()
    assert [round(float(a), 2) for a in (a0, a1, a2, a3, a4, a5, a6, f)] == [-2, 6, 4, 1, -1, 0.37, 1.37, 0.73]
    assert round(float(a6.grad), 2) == round(float(a5.grad), 2) == -0.53
    assert float(a6.grad) == pytest.approx(-1 / float(a6) ** 2, rel=1e-14)
    slope = float(f) * (1 - float(f))
    assert [float(v.grad) for v in (w1, w2, w0, x0, x1)] == pytest.approx(
        [-2 * slope, slope, -slope, 2 * slope, -3 * slope], rel=1e-13
    )


def test_l17_the_multivariable_chain_rule_term_by_term():
    x = Variable(0.5)
    y = [x * 2, graph.exp(x), -x, 1 / x]
    z = y[0] * y[1] + y[2] * y[3] * y[0]
    z.backward()
    slopes = [2, math.exp(0.5), -1, -1 / 0.25]
    assert float(x.grad) == pytest.approx(
        sum(float(yi.grad) * slope for yi, slope in zip(y, slopes, strict=True)), rel=1e-14
    )
    assert graph.check(lambda x: (2 * x) * graph.exp(x) - x / x * (2 * x), [0.5]).worst < 1e-10


def test_l18_a_gradient_has_the_shape_of_its_matrix():
    X, W, b = Variable(X34), Variable(W42), Variable(np.ones(2))
    graph.squared_error(graph.tanh(X @ W + b), np.zeros((3, 2))).backward()
    assert (X.grad.shape, W.grad.shape, b.grad.shape) == ((3, 4), (4, 2), (2,))


def backward(f, *arrays):
    """The gradients of a node whose output has the gradient 1, 2, 3, ..., after a check by finite differences."""
    assert graph.check(f, arrays).worst < 1e-9
    assert graph.check(f, [np.asarray(x, np.float32) for x in arrays]).worst < 1e-5
    inputs = [Variable(x) for x in arrays]
    Y = f(*inputs)
    above = np.arange(1.0, Y.value.size + 1).reshape(Y.shape)
    Y.backward(above)
    return above, *(x.grad for x in inputs)


def test_l19_copy_node():
    above, dX = backward(lambda X: X + X + X, X34)
    np.testing.assert_array_equal(dX, above + above + above)


def test_l20_addition_node():
    above, dX1, dX2 = backward(lambda X1, X2: X1 + X2, X34, Y34)
    np.testing.assert_array_equal(dX1, above)
    np.testing.assert_array_equal(dX2, above)


def test_l21_transpose_node():
    above, dX = backward(lambda X: X.T, X34)
    np.testing.assert_array_equal(dX, above.T)


def test_l22_element_wise_multiplication_node():
    above, dX1, dX2 = backward(lambda X1, X2: X1 * X2, X34, Y34)
    np.testing.assert_array_equal(dX1, above * Y34)
    np.testing.assert_array_equal(dX2, above * X34)


def test_l23_add_bias_node():
    above, dX, dB = backward(lambda X, B: X + B, X34, B4)
    np.testing.assert_array_equal(dX, above)
    np.testing.assert_array_equal(dB, above.sum(axis=0))


def test_l24_matmul_node():
    above, dX, dW = backward(lambda X, W: X @ W, X34, W42)
    np.testing.assert_allclose(dX, above @ W42.T, rtol=1e-13)
    np.testing.assert_allclose(dW, X34.T @ above, rtol=1e-13)


def test_l25_fully_connected_network():
    # e_j = (w_j: e) f'(z_j) and dJ/dw_ij = e_j a_i: the kernels against the lecture's sums, unit by unit
    a1, a2, W2, e2 = (RNG.uniform(0.1, 0.9, size=shape) for shape in [(1, 3), (1, 4), (4, 2), (1, 2)])
    e1, dW = np.empty((1, 4)), np.empty((3, 4))
    kernels.hidden_delta(kernels.LOGISTIC, e2, W2, a2, e1)
    kernels.weight_gradient(a1, e1, dW)
    for j in range(4):
        wanted = sum(W2[j, k] * e2[0, k] for k in range(2)) * a2[0, j] * (1 - a2[0, j])
        assert e1[0, j] == pytest.approx(wanted, rel=1e-13)
        assert dW[:, j] == pytest.approx(wanted * a1[0], rel=1e-13)


def test_l26_all_weights_are_drawn_at_random():
    first, again, other = (
        fastbp.train(XOR_X, XOR_Y, hidden=(3,), init="uniform", epochs=1, learning_rate=1e-30, seed=seed)
        for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.params, again.params)
    assert (first.params[:6] != other.params[:6]).all()
    assert (np.abs(first.params) < 1).all()
    assert first.options["seed"] == 1


@pytest.mark.parametrize("sizes", [(2, 2, 1), (4, 8, 8, 3)])
def test_l27_l28_training_follows_the_lecture(sizes):
    rng = np.random.default_rng(1)
    X, Y = rng.normal(size=(50, sizes[0])), rng.uniform(0.1, 0.9, size=(50, sizes[-1]))
    options = {**LECTURE, "task": "regression", "hidden": sizes[1:-1]}
    options |= {"dtype": "float64", "learning_rate": 0.5, "shuffle": False}
    start = fastbp.train(X, Y, epochs=1, seed=0, **{**options, "learning_rate": 1e-300})
    trained = fastbp.train(X, Y, epochs=20, init=start, **options)
    params = start.params.copy()
    for _ in range(20):
        naive.lecture_epoch(X, Y, range(len(X)), sizes, params, 0.5)
    assert np.abs(trained.params - params).max() < 1e-12


def test_l29_the_two_rules_that_stop_the_passes():
    passes = fastbp.train(XOR_X, XOR_Y, hidden=(4,), seed=3, epochs=7, **LECTURE)
    assert (passes.stop_reason, len(passes.history["loss"])) == ("epochs", 7)
    accurate = fastbp.train(XOR_X, XOR_Y, hidden=(4,), seed=3, epochs=20_000, target_accuracy=1.0, **LECTURE)
    assert accurate.stop_reason == "target_accuracy"
    assert len(accurate.history["loss"]) < 20_000
    assert accurate.score(XOR_X, XOR_Y) == 1


def test_l30_the_weights_are_frozen_and_deployed(tmp_path):
    net = fastbp.train(XOR_X, XOR_Y, hidden=(4,), seed=3, **LECTURE)
    with pytest.raises(ValueError, match="read-only"):
        net.weights[0][0, 0] = 1
    net.save(tmp_path / "xor.fbp")
    loaded = fastbp.load(tmp_path / "xor.fbp")
    np.testing.assert_array_equal(loaded.params, net.params)
    assert loaded.predict(XOR_X).tolist() == [0, 1, 1, 0]
