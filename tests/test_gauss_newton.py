"""Jacobians, Gauss-Newton matrices and Cholesky factors against NumPy, finite differences and each other."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastbp import kernels
from fastbp.kernels import internal
from fastbp.kernels.compiler.jit import njit
from fastbp.kernels.network.arguments import Net, Samples
from fastbp.kernels.second_order.gauss_newton import _add_products_serial, _memory
from fastbp.kernels.second_order.terms import is_factored

BOUND = {np.float32: 3e-4, np.float64: 1e-11}


class Case:
    """A random network, its samples and loss."""

    def __init__(self, sizes, names, loss, n, dtype=np.float64, seed=0):
        random = np.random.default_rng(seed)
        self.sizes, self.names, self.loss, self.n, self.dtype = tuple(sizes), tuple(names), loss, n, dtype
        self.size_array = np.array(self.sizes)
        self.codes = np.array([kernels.ACTIVATIONS[name] for name in names])
        count = kernels.parameter_count(self.size_array)
        self.params = (random.normal(size=count) / np.sqrt(max(sizes))).astype(dtype)
        self.X = random.normal(size=(n, sizes[0])).astype(dtype)
        Y = random.normal(size=(n, sizes[-1]))
        if loss == "poisson":
            Y = random.poisson(2, Y.shape)
        elif loss == "log_loss" and names[-1] == "softmax":
            Y = np.eye(sizes[-1])[random.integers(sizes[-1], size=n)].reshape(n, -1)
        elif loss == "log_loss":
            Y = random.integers(2, size=Y.shape)
        self.Y = Y.astype(dtype)
        self.weight = random.uniform(0.5, 2, n).astype(dtype)
        self.weight[: n // 5] = 0
        self.p = 0.3 if loss in naive.PARAMETRIC else None
        self.parameter = np.full(sizes[-1] if self.p else 0, self.p or 0, dtype)

    @property
    def arguments(self):
        code = kernels.LOSSES[self.loss]
        return self.X, self.Y, self.weight, self.size_array, self.codes, code, self.parameter, self.params

    def found(self, parallel=False):
        P = self.params.size
        matrix, gradient = np.zeros((P, P), self.dtype), np.zeros(P, self.dtype)
        if not parallel:
            return kernels.gauss_newton(*self.arguments, matrix, gradient), matrix, gradient
        with kernels.threads(2):
            return kernels.gauss_newton_parallel(*self.arguments, matrix, gradient), matrix, gradient

    def expected(self):
        r, J = naive.residual_jacobian(
            self.names, self.sizes, self.params, self.X, self.loss, self.Y, self.weight, self.p
        )
        J = J.reshape(-1, self.params.size)
        a = self.outputs(self.params)
        loss = (self.weight * naive.loss(self.loss, self.names[-1], a, self.Y, self.p)).sum()
        return loss, J.T @ J, J.T @ r.ravel()

    def outputs(self, params):
        out = np.empty((self.n, self.sizes[-1]), params.dtype)
        kernels.forward(self.X.astype(params.dtype), self.size_array, self.codes, params, out)
        return out


def close(found, expected, bound):
    scale = max(np.abs(expected).max(initial=0), 1e-30)
    np.testing.assert_allclose(found, expected, rtol=0, atol=bound * scale)


@st.composite
def cases(draw, dtype=np.float64, most=40):
    loss, last = draw(st.sampled_from(naive.LOSS_PAIRS))
    hidden = draw(st.lists(st.integers(1, 14), max_size=2))
    names = [draw(st.sampled_from(naive.ELEMENTWISE)) for _ in hidden]
    sizes = (draw(st.integers(1, 9)), *hidden, draw(st.integers(1, 5)))
    n = draw(st.sampled_from([1, 2, 7, most, 191, 192, 193, 500]))
    return Case(sizes, (*names, last), loss, n, dtype, draw(st.integers(0, 99)))


@given(cases())
def test_the_matrix_and_the_gradient(case):
    loss, matrix, gradient = case.found()
    expected_loss, expected_matrix, expected_gradient = case.expected()
    assert loss == pytest.approx(expected_loss, rel=1e-10, abs=1e-10)
    close(matrix, expected_matrix, BOUND[np.float64])
    close(gradient, expected_gradient, 1e-9)
    np.testing.assert_array_equal(matrix, matrix.T)


@pytest.mark.thorough
@given(cases(np.float32))
def test_the_matrix_in_float32(case):
    _, matrix, gradient = case.found()
    _, expected_matrix, expected_gradient = case.expected()
    close(matrix, expected_matrix, BOUND[np.float32])
    close(gradient, expected_gradient, 3e-3)


# Widths at which panels of columns are cut in all ways, at any length of vectors; and bands of an odd number.
@pytest.mark.parametrize("units", [1, 2, 3, 5, 7, 8, 11, 12, 13, 17, 23, 24, 25, 31, 33, 48])
def test_every_width(units):
    case = Case((6, units, 8, 2), ("tanh", "logistic", "identity"), "squared_error", 200)
    _, matrix, gradient = case.found()
    _, expected_matrix, expected_gradient = case.expected()
    close(matrix, expected_matrix, BOUND[np.float64])
    close(gradient, expected_gradient, BOUND[np.float64])


@pytest.mark.parametrize(("loss", "last"), naive.LOSS_PAIRS)
def test_the_gradient_by_finite_differences(loss, last):
    case = Case((3, 5, 3), ("tanh", last), loss, 30, seed=1)
    _, _, gradient = case.found()

    def total(params):
        a = case.outputs(params)
        return (case.weight * naive.loss(loss, last, a, case.Y, case.p)).sum()

    step = 1e-6
    expected = [(total(case.params + step * e) - total(case.params - step * e)) / (2 * step) for e in np.eye(38)]
    close(gradient, expected, 1e-6)


@pytest.mark.parametrize(("loss", "last"), [("log_loss", "logistic"), ("log_loss", "softmax"), ("poisson", "exp")])
def test_the_curvature_of_a_linear_unit_is_exact(loss, last):
    """Without hidden layers the Hessian has no other part: it is the derivative of the gradient."""
    case = Case((4, 3), (last,), loss, 50, seed=2)
    _, matrix, _ = case.found()
    step, columns = 1e-6, []
    for e in np.eye(15):
        ends = []
        for sign in (1, -1):
            other = Case((4, 3), (last,), loss, 50, seed=2)
            other.params += sign * step * e
            ends.append(other.found()[2])
        columns.append((ends[0] - ends[1]) / (2 * step))
    close(matrix, columns, 1e-7)


@given(st.lists(st.integers(1, 12), min_size=2, max_size=4), st.sampled_from(naive.ACTIVATIONS), st.integers(0, 400))
def test_the_jacobian(sizes, last, n):
    if last in naive.OF_INPUT:
        return
    names = ("tanh", "gelu", "relu")[: len(sizes) - 2]
    case = Case(sizes, (*names, last), "squared_error", n)
    out = np.full((n, sizes[-1], case.params.size), np.nan)
    kernels.jacobian(case.X, case.size_array, case.codes, case.params, out)
    if n == 0:
        return
    _, expected = naive.residual_jacobian(case.names, sizes, case.params, case.X)
    close(out, expected, BOUND[np.float64])


@pytest.mark.parametrize("last", ["identity", "softmax", "exp"])
def test_the_jacobian_by_finite_differences(last):
    case = Case((3, 4, 2), ("silu", last), "squared_error", 20)
    out = np.empty((20, 2, case.params.size))
    kernels.jacobian(case.X, case.size_array, case.codes, case.params, out)
    step = 1e-6
    for p, e in enumerate(np.eye(case.params.size)):
        ends = [case.outputs(case.params + sign * step * e) for sign in (1, -1)]
        np.testing.assert_allclose(out[:, :, p], (ends[0] - ends[1]) / (2 * step), atol=1e-8)


@pytest.mark.parametrize("sizes", [(1, 20, 1), (4, 32, 16, 4), (5, 3)])
@pytest.mark.parametrize("dtype", [np.float64, pytest.param(np.float32, marks=pytest.mark.thorough)])
def test_the_same_bits_with_threads(sizes, dtype):
    names = ("tanh",) * (len(sizes) - 2) + ("identity",)
    case = Case(sizes, names, "squared_error", 3000, dtype)
    for alone, shared in zip(case.found(), case.found(parallel=True), strict=True):
        np.testing.assert_array_equal(alone, shared)


def test_sums_are_added():
    case = Case((3, 5, 2), ("tanh", "identity"), "huber", 90)
    _, matrix, gradient = case.found()
    twice, both = np.zeros_like(matrix), np.zeros_like(gradient)
    for part in (slice(0, 31), slice(31, 90)):
        X, Y, weight, *rest = case.arguments
        kernels.gauss_newton(X[part], Y[part], weight[part], *rest, twice, both)
    close(twice, matrix, 1e-13)
    close(both, gradient, 1e-12)
    before = twice.copy()
    assert kernels.gauss_newton(X[:0], Y[:0], weight[:0], *rest, twice, both) == 0
    np.testing.assert_array_equal(twice, before)


def test_saturated_outputs_stay_finite():
    for last, outputs in (("logistic", 1), ("softmax", 3)):
        case = Case((2, outputs), (last,), "log_loss", 40)
        case.params *= 1e4
        loss, matrix, gradient = case.found()
        assert np.isfinite(loss)
        assert np.isfinite(matrix).all()
        close(gradient, case.expected()[2], 1e-10)


def test_bad_arguments():
    case = Case((3, 4, 2), ("tanh", "identity"), "squared_error", 10)
    P = case.params.size
    matrix, gradient = np.zeros((P, P)), np.zeros(P)
    X, Y, weight, sizes, codes, code, parameter, params = case.arguments
    custom = kernels.CustomLoss(lambda y, a: (y - a) ** 2, lambda y, a: 2 * (a - y), np.float64)
    for arguments, message in (
        ((X[:, :2].copy(), Y, weight, sizes, codes, code, parameter, params, matrix, gradient), "columns"),
        ((X, Y[:9], weight, sizes, codes, code, parameter, params, matrix, gradient), "row per row"),
        ((X, Y, weight, sizes, codes, code, parameter, params, matrix[:-1], gradient), "shape"),
        ((X, Y, weight, sizes, codes, code, parameter, params, matrix, gradient[:-1]), "shape"),
        ((X[:, ::-1], Y, weight, sizes, codes, code, parameter, params, matrix, gradient), "C-contiguous"),
        ((X, Y, weight, sizes, codes, 99, parameter, params, matrix, gradient), "LOSSES"),
        ((X, Y, weight, sizes, codes, int(custom), parameter, params, matrix, gradient), "custom"),
        ((X, Y, weight, sizes, codes, kernels.HUBER, parameter, params, matrix, gradient), "loss_parameter"),
    ):
        with pytest.raises(ValueError, match=message):
            kernels.gauss_newton(*arguments)
    for X, out in ((case.X[:, :2].copy(), np.empty((10, 2, P))), (case.X, np.empty((10, P, 2)))):
        with pytest.raises(ValueError, match="jacobian"):
            kernels.jacobian(X, sizes, codes, params, out)


@pytest.mark.thorough
def test_from_compiled_code():
    case = Case((3, 4, 2), ("tanh", "identity"), "squared_error", 50)

    @njit
    def both(X, Y, weight, sizes, codes, code, parameter, params, matrix, gradient, out):  # noqa: PLR0913
        kernels.jacobian(X, sizes, codes, params, out)
        return kernels.gauss_newton(X, Y, weight, sizes, codes, code, parameter, params, matrix, gradient)

    P = case.params.size
    matrix, gradient, out = np.zeros((P, P)), np.zeros(P), np.empty((50, 2, P))
    loss = both(*case.arguments, matrix, gradient, out)
    for alone, inside in zip(case.found(), (loss, matrix, gradient), strict=True):
        np.testing.assert_array_equal(alone, inside)
    assert np.isfinite(out).all()


def test_no_allocation_per_sample(allocations):
    counts = []
    for n in (192, 192 * 40):
        case = Case((3, 6, 2), ("tanh", "identity"), "squared_error", n)
        samples = Samples(*map(internal.frozen, case.arguments[:3]))
        layers = internal.frozen(case.size_array), internal.frozen(case.codes)
        net = Net(*layers, 0, internal.frozen(case.parameter), 0)
        work, terms, sums = _memory(net, n, case.params.size, case.dtype)
        counts.append(allocations(_add_products_serial, samples, net, internal.frozen(case.params), work, terms, sums))
    assert counts[0] == counts[1]


# Cholesky


def positive_definite(P, seed=0):
    random = np.random.default_rng(seed)
    B = random.normal(size=(P, P + 3))
    return B @ B.T, random.uniform(0, 1, P), random.normal(size=P)


@pytest.mark.parametrize("P", [1, 2, 7, 31, 32, 33, 64, 65, 100, 130, 257])
def test_cholesky(P):
    A, diagonal, b = positive_definite(P)
    whole, U, V = A + np.diag(diagonal), internal.factor_memory(P), internal.factor_memory(P)
    U[:], V[:] = np.nan, np.nan
    lower = np.triu(A) + np.tril(np.full((P, P), np.nan), -1)  # only the upper half is read
    assert internal.cholesky(lower, diagonal, U)
    factor = U[:, :P]
    np.testing.assert_array_equal(factor, np.triu(factor))
    close(factor.T @ factor, whole, 1e-13)
    x = b.copy()
    internal.cholesky_solve(U, x)
    np.testing.assert_allclose(x, np.linalg.solve(whole, b), rtol=1e-6, atol=1e-8)
    internal.cholesky_inverse(U, V)
    inverse = V[:, :P]
    np.testing.assert_array_equal(inverse, np.triu(inverse))
    np.testing.assert_allclose(inverse @ inverse.T @ whole, np.eye(P), atol=1e-6)


def test_matrices_that_are_not_positive_definite():
    A, _, _ = positive_definite(40)
    for bad in (-np.eye(40), np.zeros((40, 40)), np.full((40, 40), np.nan), np.full((40, 40), np.inf)):
        assert not internal.cholesky(bad, np.zeros(40), internal.factor_memory(40))
    A[35, 35] = -1
    assert not internal.cholesky(A, np.zeros(40), internal.factor_memory(40))
    with pytest.raises(ValueError, match="shapes"):
        internal.cholesky(A, np.zeros(39), internal.factor_memory(40))


def test_the_two_ways_of_a_step_agree():
    """Rows of the Jacobian from `residual_jacobian` give the same matrix."""
    case = Case((2, 9, 1), ("tanh", "identity"), "log_cosh", 20)
    J, r = np.empty((20, case.params.size)), np.empty(20)
    X, Y, weight, *network, params = case.arguments
    internal.residual_jacobian((X, Y, weight), *network, params, J, r)
    _, matrix, gradient = case.found()
    close(J.T @ J, matrix, 1e-13)
    close(J.T @ r, gradient, 1e-12)


@pytest.mark.parametrize("sizes", [(4, 9, 8, 3), (2, 7, 1)])
def test_memory_that_is_used_again(sizes):
    """The prepared form gives the same bits, call after call; some of these sums are factored, and others are not."""
    names = ("tanh",) * (len(sizes) - 2) + ("identity",)
    case = Case(sizes, names, "squared_error", 500)
    X, Y, weight, *network, params = case.arguments
    prepared = internal.GaussNewton(*network, 500, params)
    for rows in (slice(None), slice(0, 130), slice(None)):
        matrix, gradient, twice, both = (np.zeros((params.size,) * k) for k in (2, 1, 2, 1))
        loss = prepared(X[rows], Y[rows], weight[rows], params, matrix, gradient, parallel=False)
        assert loss == kernels.gauss_newton(X[rows], Y[rows], weight[rows], *network, params, twice, both)
        np.testing.assert_array_equal(np.triu(matrix), np.triu(twice))
        np.testing.assert_array_equal(gradient, both)
    assert internal.gauss_newton_bytes(case.size_array, 500, params.size, 8) > 8 * params.size


def test_both_ways_of_the_products_are_tested():
    both = np.array([4, 9, 8, 3]), np.array([2, 7, 1])
    assert [is_factored(sizes, kernels.parameter_count(sizes)) for sizes in both] == [True, False]
