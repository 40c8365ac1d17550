"""Every node of the computation graph: against NumPy, against finite differences, in every layout and from @njit."""

import math
from types import SimpleNamespace
from typing import NamedTuple

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, Arena, assert_close, finite_difference
from numba import config, njit

from fastbp import kernels
from fastbp.kernels import node

side = st.integers(0, 9)
seeds = st.integers(0, 2**32 - 1)


class Case(NamedTuple):
    """A node: shapes of its inputs by name, its value, the gradient of each input, and what its two kernels take."""

    shapes: dict
    value: object
    gradients: dict
    forward: tuple
    backward: tuple


def activation(kind):
    def gradient(v):
        a = naive.activation_forward(kind, v.Z)
        if kind == "softmax":
            return a * (v.dY - (a * v.dY).sum(axis=1, keepdims=True))
        return v.dY * naive.activation_derivative(kind, naive.of_derivative(kind, v.Z))

    code, taken = kernels.ACTIVATIONS[kind], "Z" if kind in naive.OF_INPUT else "Y"
    return Case(
        {"Z": "nd"}, lambda v: naive.activation_forward(kind, v.Z), {"Z": gradient}, (code, "Z"), (code, taken, "dY")
    )


NODES = {
    "add": Case(
        {"X1": "nd", "X2": "nd"},
        lambda v: v.X1 + v.X2,
        {"X1": lambda v: v.dY, "X2": lambda v: v.dY},
        ("X1", "X2"),
        ("dY",),
    ),
    "transpose": Case({"X": "nd"}, lambda v: v.X.T, {"X": lambda v: v.dY.T}, ("X",), ("dY",)),
    "multiply": Case(
        {"X1": "nd", "X2": "nd"},
        lambda v: v.X1 * v.X2,
        {"X1": lambda v: v.dY * v.X2, "X2": lambda v: v.dY * v.X1},
        ("X1", "X2"),
        ("dY", "X1", "X2"),
    ),
    "add_bias": Case(
        {"X": "nd", "b": "d"},
        lambda v: v.X + v.b,
        {"X": lambda v: v.dY, "b": lambda v: v.dY.sum(axis=0)},
        ("X", "b"),
        ("dY",),
    ),
    "matmul": Case(
        {"X": "nd", "W": "dm"},
        lambda v: v.X @ v.W,
        {"X": lambda v: v.dY @ v.W.T, "W": lambda v: v.X.T @ v.dY},
        ("X", "W"),
        ("dY", "X", "W"),
    ),
    "reciprocal": Case({"X": "nd"}, lambda v: 1 / v.X, {"X": lambda v: -v.dY / v.X**2}, ("X",), ("dY", "X")),
    "shift": Case({"X": "nd"}, lambda v: 2.5 + v.X, {"X": lambda v: v.dY}, (2.5, "X"), ("dY",)),
    "exp": Case({"X": "nd"}, lambda v: np.exp(v.X), {"X": lambda v: v.dY * np.exp(v.X)}, ("X",), ("dY", "Y")),
    "scale": Case({"X": "nd"}, lambda v: -1.5 * v.X, {"X": lambda v: -1.5 * v.dY}, (-1.5, "X"), ("dY", -1.5)),
    "negate": Case({"X": "nd"}, lambda v: -v.X, {"X": lambda v: -v.dY}, ("X",), ("dY",)),
    **{f"activation {kind}": activation(kind) for kind in naive.ACTIVATIONS},
}
LOSSES = {
    "squared_error": Case(
        {"A": "nd", "Y": "nd"},
        lambda v: naive.loss("squared_error", "identity", v.A, v.Y).sum(),
        {"A": lambda v: v.dJ * (v.A - v.Y)},
        ("A", "Y"),
        ("dJ", "A", "Y"),
    ),
    "log_loss": Case(
        {"A": "nd", "Y": "nd"},
        lambda v: naive.loss("log_loss", "softmax", v.A, v.Y).sum(),
        {"A": lambda v: -v.dJ * v.Y / v.A},
        ("A", "Y"),
        ("dJ", "A", "Y"),
    ),
    "binary_log_loss": Case(
        {"A": "nd", "Y": "nd"},
        lambda v: naive.loss("log_loss", "logistic", v.A, v.Y).sum(),
        {"A": lambda v: v.dJ * ((1 - v.Y) / (1 - v.A) - v.Y / v.A)},
        ("A", "Y"),
        ("dJ", "A", "Y"),
    ),
    "sum": Case({"X": "nd"}, lambda v: v.X.sum(), {"X": lambda v: np.full(v.X.shape, v.dJ)}, ("X",), ("dJ",)),
}


def kernels_of(name):
    word = name.split()[0]
    return getattr(node, f"{word}_forward"), getattr(node, f"{word}_backward")


def numbers(shape, rng):
    """Numbers in (0, 1), as probabilities are, and away from kinks, from the pole of 1/x and from saturation."""
    return rng.uniform(0.1, 0.9, size=shape)


def values(case, n, d, m, rng):
    sizes = {"n": n, "d": d, "m": m}
    return {name: numbers([sizes[k] for k in shape], rng) for name, shape in case.shapes.items()}


def read_only(array):
    """Read-only, which is how the graph passes what kernels only read: both then use one compiled version."""
    view = np.asarray(array).view()
    view.flags.writeable = False
    return view


def signed(name, v, rng):
    """Make some numbers negative for nodes that accept them; probabilities stay as they are."""
    return v if name in LOSSES else {k: x * rng.choice([-1, 1], size=x.shape) for k, x in v.items()}


def wide(v):
    return SimpleNamespace(**{k: np.asarray(x, np.float64) for k, x in v.items()})


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("name", [*NODES, *LOSSES])
@given(n=side, d=side, m=side, seed=seeds)
def test_node(name, dtype, n, d, m, seed):
    case, (forward, backward) = (NODES | LOSSES)[name], kernels_of(name)
    rng, arena = np.random.default_rng(seed), Arena(dtype)
    v = {k: read_only(arena.put(x)) for k, x in signed(name, values(case, n, d, m, rng), rng).items()}
    arguments = [v[x] if isinstance(x, str) else x for x in case.forward]
    if name in LOSSES:
        got, wanted = forward(*arguments), case.value(SimpleNamespace(**v))
        assert got == pytest.approx(wanted, rel=1e-5 if dtype == np.float32 else 1e-12, abs=1e-9)
        v["dJ"] = 1.5
    else:
        v["Y"] = arena.space(*np.shape(case.value(wide(v))))
        forward(*arguments, v["Y"])
        v["Y"] = read_only(v["Y"])
        scale = naive.matmul(abs(v["X"]), abs(v["W"])) if name == "matmul" else 10.0  # 1/x and e^x are at most 10
        assert_close(v["Y"], case.value(wide(v)), scale=scale)
        v["dY"] = read_only(arena.put(rng.normal(size=v["Y"].shape)))
    grads = [arena.space(*v[k].shape) for k in case.gradients]
    backward(*(v[x] if isinstance(x, str) else x for x in case.backward), *grads)
    for got, wanted in zip(grads, case.gradients.values(), strict=True):
        assert_close(got, wanted(wide(v)), scale=1000.0)  # 1/x^2 is at most 100
    arena.check()


@pytest.mark.parametrize("name", [*NODES, *LOSSES])
def test_gradients_are_slopes(name):
    # "How is it proved?" J = sum dY * Y, moved along every element of every input
    case, (_, backward) = (NODES | LOSSES)[name], kernels_of(name)
    rng = np.random.default_rng(1)
    v = {k: read_only(x) for k, x in signed(name, values(case, 3, 4, 2, rng), rng).items()}
    Y = read_only(case.value(SimpleNamespace(**v)))
    above = {"dJ": 0.7} if name in LOSSES else {"Y": Y, "dY": read_only(rng.normal(size=Y.shape))}
    J_slope = 0.7 if name in LOSSES else above["dY"]
    grads = [np.empty(v[k].shape) for k in case.gradients]
    backward(*((v | above)[x] if isinstance(x, str) else x for x in case.backward), *grads)
    for k, got in zip(case.gradients, grads, strict=True):
        wanted = finite_difference(
            lambda x, k=k: float(np.sum(J_slope * case.value(SimpleNamespace(**(v | {k: x}))))), v[k]
        )
        np.testing.assert_allclose(got, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(n=side, d=side, copies=st.integers(2, 4), seed=seeds)
def test_copies_are_added(dtype, n, d, copies, seed):
    rng, arena = np.random.default_rng(seed), Arena(dtype)
    X, Y = arena.put(rng.normal(size=(n, d))), arena.space(n, d)
    node.copy_forward(X, Y)
    np.testing.assert_array_equal(Y, X)
    dY = [arena.put(rng.normal(size=(n, d))) for _ in range(copies)]
    out = arena.space(n, d)
    node.copy_backward(dY[0], dY[1], out)
    for more in dY[2:]:
        node.copy_backward(out, more, out)
    assert_close(out, np.sum(dY, axis=0, dtype=np.float64), scale=10.0)
    arena.check()


def test_a_saturated_probability_keeps_loss_and_gradient_finite():
    A, Y, dA = np.array([[0.0, 1.0]]), np.array([[1.0, 0.0]]), np.empty((1, 2))
    eps = np.finfo(float).eps
    assert node.binary_log_loss_forward(A, Y) == pytest.approx(-2 * math.log(eps))
    node.binary_log_loss_backward(1.0, A, Y, dA)
    np.testing.assert_allclose(dA, [[-1 / eps, 1 / eps]])
    node.log_loss_backward(1.0, A, Y, dA)
    np.testing.assert_allclose(dA, [[-1 / eps, 0]])


def test_nan_stays_nan():
    X, out = np.array([[np.nan, 1.0]]), np.empty((1, 2))
    for name in ("copy", "negate", "reciprocal", "exp", "transpose"):
        shaped = out.reshape(2, 1) if name == "transpose" else out
        getattr(node, f"{name}_forward")(X, shaped)
        assert np.isnan(shaped.ravel()[0])
        assert np.isfinite(shaped.ravel()[1])
    assert math.isnan(node.sum_forward(X))
    assert math.isnan(node.log_loss_forward(X, np.ones((1, 2))))


def every_node(times, read, written):
    """A user's function that calls all kernels on any layout, except exp_forward, which needs contiguous arrays."""
    X, Z, b, W, dY, above = read
    by_sample, by_unit, product, dX, dZ, db, dW, turned = written
    J = 0.0
    for _ in range(times):
        node.copy_forward(X, dX)
        node.copy_backward(dX, Z, dX)
        node.add_forward(dX, Z, dX)
        node.add_backward(dX, dZ, by_sample)
        node.multiply_forward(dX, Z, by_sample)
        node.multiply_backward(by_sample, X, Z, dX, dZ)
        node.add_bias_forward(dX, b, by_sample)
        node.add_bias_backward(by_sample, dX, db)
        node.transpose_forward(dX, turned)
        node.transpose_backward(turned, by_unit)
        node.matmul_forward(X, W, product)
        node.matmul_backward(above, X, W, dX, dW)
        node.reciprocal_forward(Z, by_sample)
        node.reciprocal_backward(dY, Z, by_sample)
        node.shift_forward(1.0, by_sample, dZ)
        node.shift_backward(dZ, by_sample)
        node.exp_backward(by_sample, Z, dZ)
        node.scale_forward(3.0, dZ, by_sample)
        node.scale_backward(by_sample, 0.5, dZ)
        node.negate_forward(dZ, by_sample)
        node.negate_backward(by_sample, dZ)
        node.activation_forward(kernels.TANH, dZ, by_sample)
        node.activation_backward(kernels.TANH, by_sample, dY, dZ)
        node.activation_forward(kernels.SOFTMAX, dZ, by_sample)
        node.activation_backward(kernels.SOFTMAX, by_sample, dY, dZ)
        J = node.squared_error_forward(X, Z) + node.log_loss_forward(by_sample, Z)
        J += node.binary_log_loss_forward(by_sample, Z) + node.sum_forward(dZ)
        node.squared_error_backward(J, X, Z, dX)
        node.log_loss_backward(J, by_sample, Z, by_unit)
        node.binary_log_loss_backward(J, by_sample, Z, turned.T)
    return J


@pytest.fixture(scope="module")
def users_function():
    M, V = "float64[:, :]", "float64[:]"
    read, written = f"Tuple(({M}, {M}, {V}, {M}, {M}, {M}))", f"Tuple(({M}, {M}, {M}, {M}, {M}, {V}, {M}, {M}))"
    return njit(f"float64(int64, {read}, {written})")(every_node)


@pytest.mark.thorough
def test_in_users_njit_in_every_layout(users_function, allocations):
    n, d, m = 5, 4, 3
    shapes = [(n, d), (n, d), d, (d, m), (n, d), (n, m)], [(n, d), (n, d), (n, m), (n, d), (n, d), d, (d, m), (d, n)]
    found = {}
    for layout in naive.LAYOUTS:
        rng, arena = np.random.default_rng(0), Arena(layout=layout)
        read = tuple(arena.put(numbers(shape, rng)) for shape in shapes[0])
        written = tuple(arena.space(*np.atleast_1d(shape)) for shape in shapes[1])
        J = users_function(1, read, written)
        arena.check()
        found[layout] = [J, *written]
        # Only the arguments are allocated, whatever the number of passes (in other layouts, products pack operands).
        if layout == "C" and not config.DISABLE_JIT:
            losses = 8 * 3 * 2  # in each call, each of the three allocates a row and its sum
            once, nine_times = (allocations(users_function, times, read, written) for times in (1, 9))
            assert once + losses == nine_times
    for layout in naive.LAYOUTS[1:]:
        for got, wanted in zip(found[layout], found["C"], strict=True):
            np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)
    read = [x.copy() for x in read]
    written = [np.empty(shape) for shape in shapes[1]]
    called = [every_node(1, read, written), *written]  # each kernel called from Python
    for got, wanted in zip(called, found["C"], strict=True):
        np.testing.assert_allclose(got, wanted, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("name", [*NODES, *LOSSES, "copy"])
def test_shapes_that_do_not_fit_are_refused(name):
    rng = np.random.default_rng(0)
    n, d, m = 3, 4, 2
    if name == "copy":
        calls = [(node.copy_forward, 0, [(n, d), (n, d)]), (node.copy_backward, 0, [(n, d)] * 3)]
    else:
        case = (NODES | LOSSES)[name]
        shape = {k: tuple({"n": n, "d": d, "m": m}[letter] for letter in s) for k, s in case.shapes.items()}
        Y = np.shape(case.value(SimpleNamespace(**values(case, n, d, m, rng))))
        full = {"dY": Y, "Y": Y} | shape | {"dJ": 1.0}
        forward, backward = kernels_of(name)
        read, written = ([full[x] if isinstance(x, str) else x for x in case.forward], [] if name in LOSSES else [Y])
        calls = [(forward, len(read), read + written)]
        read = [full[x] if isinstance(x, str) else x for x in case.backward]
        calls += [(backward, len(read), read + [shape[k] for k in case.gradients])]
    for kernel, read, arguments in calls:
        places = [i for i, x in enumerate(arguments) if isinstance(x, tuple)]
        if len(places) < 2:
            continue  # sum: a single array always fits
        for place in places:
            for axis in range(len(arguments[place])):
                arena = Arena()
                wrong = tuple(size + (k == axis) for k, size in enumerate(arguments[place]))
                given = [
                    x if not isinstance(x, tuple) else arena.put(numbers(wrong if i == place else x, rng))
                    for i, x in enumerate(arguments)
                ]
                given = [read_only(x) if i < read and isinstance(x, np.ndarray) else x for i, x in enumerate(given)]
                with pytest.raises(ValueError, match=r"must|expected"):
                    kernel(*given)
                arena.check()


@pytest.mark.parametrize("kind", [-1, kernels.SOFTMAX + 1])
def test_unknown_activations_are_refused(kind):
    A = np.ones((2, 2))
    with pytest.raises(ValueError, match="codes of ACTIVATIONS"):
        node.activation_backward(kind, A, A, np.empty((2, 2)))


def test_all_nodes_are_tested():
    words = {name.split()[0] for name in [*NODES, *LOSSES, "copy"]}
    assert {f"{word}_{way}" for word in words for way in ("forward", "backward")} == set(node.__all__)
