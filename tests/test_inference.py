"""`infer`: raw values to outputs and decisions, bit for bit the same for one row or many, one thread or several."""

import dataclasses

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, Arena, assert_close
from numba import config, njit
from tasks import DEEP, LARGE, NETWORK_CASES, Task, compiled, frozen, networks, refused, seeds

import fastbp
from fastbp import kernels
from fastbp.kernels.network import inference

# Kernels are called with the types that `fastbp.Network` uses: of its arrays, only the parameters are read-only.


def moments(rng, count, reciprocal, nothing=False):
    """Means and deviations (or their reciprocals) of `count` numbers; empty if `nothing` is set."""
    deviation = rng.uniform(0.2, 5, count)
    both = np.array([rng.normal(size=count) * 3, 1 / deviation if reciprocal else deviation])
    return np.empty((2, 0)) if nothing else both


def codes(task):
    """Sizes and activations of a network."""
    return tuple(np.array(array) for array in task.codes()[:2])


def in_numpy(X, scaling, task, rescaling, threshold):
    """
    The definition: (x - mean) r, the network, y s + mean, and the decision.

    The decision is the index of the largest output; with at most two outputs, whether the last is above the threshold.
    """
    a = X.astype(np.float64)
    a = ((a - scaling[0]) * scaling[1] if scaling.size else a).astype(task.dtype)
    out = naive.forward(a, task.sizes, task.names, task.params).astype(np.float64)
    out = out * rescaling[1] + rescaling[0] if rescaling.size else out
    return out, (out[:, -1] > threshold).astype(int) if out.shape[1] <= 2 else out.argmax(axis=1)


def user_infer(*arguments):
    return kernels.infer(*arguments)


CALLS = {"python": kernels.infer, "few": inference.few_rows, "njit": user_infer}


def check(call, task, given_dtype, scaled, rescaled, decide=True, seed=0):
    rng, arena = np.random.default_rng(seed), Arena(task.dtype)
    scaling = moments(rng, task.sizes[0], True, not scaled)
    rescaling = moments(rng, task.sizes[-1], False, not rescaled)
    X = (task.X * 2 + 1).astype(given_dtype)
    params, out = arena.put(task.params), arena.space(task.n, task.sizes[-1])
    params.flags.writeable = False
    decision = np.full(task.n if decide else 0, -7)
    sizes, activations = codes(task)
    assert call(X, scaling, sizes, activations, params, rescaling, 0.4, out, decision)
    params.flags.writeable = True
    wanted, choice = in_numpy(X, scaling, task, rescaling, 0.4)
    assert_close(out, wanted, scale=1 + abs(wanted).max(initial=0))
    if decide:
        ranked = np.sort(wanted, axis=1)
        clear = abs(wanted[:, -1] - 0.4) > 1e-3 if task.sizes[-1] <= 2 else ranked[:, -1] - ranked[:, -2] > 1e-3
        np.testing.assert_array_equal(decision[clear], choice[clear])
        assert (decision >= 0).all()
    arena.check()


@pytest.mark.parametrize(
    ("dtype", "given_dtype", "via"),
    [
        (np.float32, np.float64, "python"),
        (np.float32, np.float32, "few"),
        (np.float64, np.float64, "few"),
        (np.float64, np.float64, "python"),
        pytest.param(np.float64, np.float64, "njit", marks=pytest.mark.thorough),
    ],
)
@given(
    sizes=networks,
    n=st.integers(0, 20),
    kinds=st.tuples(st.sampled_from(naive.ELEMENTWISE), st.sampled_from(naive.ACTIVATIONS)),
    steps=st.tuples(st.booleans(), st.booleans(), st.booleans()),  # scaled, rescaled, decide
    seed=seeds,
)
def test_infer(dtype, given_dtype, via, sizes, n, kinds, steps, seed):
    task = Task(sizes, n, seed, dtype, kinds[0], ("squared_error", kinds[1]))
    check(compiled(user_infer) if via == "njit" else CALLS[via], task, given_dtype, *steps, seed)


# up to 8 rows are computed one by one; tiles have 64 rows in 16 groups
@pytest.mark.parametrize("n", [8, 9, 63, 64, 65, 130, 1100])
def test_infer_over_tiles(n):
    assert inference.FEW == 8
    task = Task((3, 6, 2, 4), n, hidden="tanh", pair=("squared_error", "softmax"))
    check(kernels.infer, task, np.float64, True, False)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_infer_of_large_networks(dtype):
    for number, sizes in enumerate(DEEP + LARGE):
        n, hidden = (5, 70, 1)[number % 3], ("tanh", "relu")[number % 2]
        task = Task(sizes, n, 0, dtype, hidden, ("squared_error", "softmax"))
        check(kernels.infer, task, np.float64, number % 2 == 0, False)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("units", [1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 64, 127, 129, 255, 257, 300])
def test_every_width_of_a_layer_for_one_row(units, dtype):
    task = Task((3, units, 2), 2, 0, dtype, "silu", ("squared_error", "identity"))
    check(inference.few_rows, task, np.float64, True, True)


@pytest.mark.parametrize("dtype", [np.float32, pytest.param(np.float64, marks=pytest.mark.thorough)])
@pytest.mark.parametrize("sizes", [(3, 6, 4), (300, 230, 7), (5, 1)], ids=str)
def test_rows_do_not_depend_on_the_others_nor_on_threads(sizes, dtype):
    for hidden, last in (("tanh", "softmax"), ("relu", "logistic")):
        task = Task(sizes, 1100, dtype=dtype, hidden=hidden, pair=("squared_error", last))
        rng = np.random.default_rng(0)
        network = (moments(rng, sizes[0], True), *codes(task), frozen(task.params), moments(rng, sizes[-1], False))

        def outputs(rows, call=kernels.infer, task=task, network=network):
            X = np.array(task.X[rows], order="C")
            out, decision = np.full((len(X), task.sizes[-1]), np.nan, task.dtype), np.full(len(X), -1)
            assert call(X, *network, 0.5, out, decision)
            return np.column_stack([out, decision])

        whole = outputs(slice(None))
        parts = [slice(*bounds) for bounds in ((0, 0), (0, 1), (7, 8), (3, 11), (3, 40), (63, 65), (1, 131))]
        for rows in (*parts, slice(None, None, 3)):
            np.testing.assert_array_equal(outputs(rows), whole[rows])
        for threads in range(1, min(2, config.NUMBA_NUM_THREADS) + 1):
            with kernels.threads(threads):
                for rows in (slice(0, 0), slice(0, 5), slice(None)):
                    np.testing.assert_array_equal(outputs(rows, kernels.infer_parallel), whole[rows])


@pytest.mark.parametrize("strange", [np.nan, np.inf, -np.inf, 1e300])
@pytest.mark.parametrize("n", [1, 8, 9, 64, 100, 1100])
def test_infer_reports_inputs_that_are_not_finite(n, strange):
    task = Task((3, 4, 2), n, dtype=np.float32)
    X = np.array(task.X, np.float64)
    network = (np.empty((2, 0)), *codes(task), frozen(task.params), np.empty((2, 0)))
    out, decision = np.empty((n, 2), np.float32), np.empty(0, np.int64)
    assert kernels.infer(X, *network, 0.5, out, decision)
    for place in {0, n // 2, n - 1}:
        wrong = X.copy()
        wrong[place, place % 3] = strange
        assert not kernels.infer(wrong, *network, 0.5, out, decision)


@pytest.mark.thorough
def test_infer_allocates_nothing_for_more_rows(allocations):
    task = Task((3, 6, 4), 700)
    network = (np.empty((2, 0)), *codes(task), frozen(task.params), np.empty((2, 0)))

    def blocks(n):
        arguments = (np.array(task.X[:n]), *network, 0.5, np.empty((n, 4)), np.empty(n, np.int64))
        return allocations(inference.few_rows if n <= inference.FEW else compiled(user_infer), *arguments)

    assert blocks(1) == blocks(8)
    assert blocks(100) == blocks(700)


@pytest.mark.parametrize("kernel", [kernels.infer, kernels.infer_parallel], ids=["infer", "parallel"])
@pytest.mark.parametrize("case", [*NETWORK_CASES, "out rows", "out columns"])
def test_infer_refuses(case, kernel):
    names = ("X", "sizes", "activations", "params", "out")
    nothing, decision = np.empty((2, 0)), np.empty(0, np.int64)

    def call(X, sizes, activations, params, out):
        return kernel(X.copy(), nothing, sizes, activations, frozen(params), nothing, 0.5, out, decision)

    refused(call, names, (NETWORK_CASES | {"out rows": {"out": (4, 2)}, "out columns": {"out": (5, 3)}})[case])


@pytest.mark.parametrize("kernel", [kernels.infer, kernels.infer_parallel], ids=["infer", "parallel"])
@pytest.mark.parametrize("n", [6, 12])
def test_infer_refuses_moments_and_decisions_of_other_shapes(kernel, n):
    task, decision = Task((4, 3, 2), n), np.empty(n, np.int64)
    good = {"X": np.array(task.X), "scaling": np.ones((2, 4))}
    good |= {"rescaling": np.ones((2, 2)), "out": np.empty((n, 2)), "decision": decision}
    bad = [("scaling", np.ones((2, 3))), ("scaling", np.ones((1, 4))), ("rescaling", np.ones((2, 1)))]
    bad += [("rescaling", np.ones((3, 2))), ("decision", decision[1:]), ("decision", np.empty(n + 1, np.int64))]
    bad += [("out", np.empty((2, n)).T), ("X", np.asfortranarray(task.X))]
    for name, array in bad:
        X, scaling, rescaling, out, decision = (good | {name: array}).values()
        with pytest.raises(ValueError, match=name):
            kernel(X, scaling, *codes(task), frozen(task.params), rescaling, 0.5, out, decision)


def check_inside_compiled_code(f, X, wanted, allocations):
    """What `jit` returned gives these answers, allocates nothing and refuses wrong sizes; returns it for many rows."""

    @njit
    def every_row(X, out):
        for i in range(len(X)):
            f(X[i], out[i])

    out = np.empty_like(wanted)
    every_row(X, out)
    np.testing.assert_array_equal(out, wanted)
    assert allocations(every_row, X, out) == allocations(every_row, X[:1], out[:1])
    for x, y in ((X[0, 1:], out[0]), (X[0], np.empty(7, out.dtype))):
        with pytest.raises(ValueError, match="predict: expected x with a number for each input"):
            f(x, y)
    return every_row


@pytest.mark.parametrize(
    ("dtype", "given_dtype", "task"),
    [("float32", np.float64, "classes"), pytest.param("float64", np.float32, "number", marks=pytest.mark.thorough)],
)
def test_a_network_inside_compiled_code(dtype, given_dtype, task, allocations):
    X = (np.random.default_rng(0).normal(size=(40, 5)) * 3 + 1).astype(given_dtype)
    y = np.arange(40) % 3 if task == "classes" else X[:, 0].astype(float) * 100 + 3
    net = fastbp.train(X, y, hidden=(7, 4), activation="gelu", dtype=dtype, epochs=3, seed=0)
    f, wanted = net.jit(), net.forward(X)
    every_row = check_inside_compiled_code(f, X, wanted, allocations)
    out = np.empty_like(wanted)
    if task == "number":  # rows with gaps between their elements
        every_row(np.asfortranarray(X), out)
        np.testing.assert_array_equal(out, wanted)
    for strange in (np.nan, np.inf):
        with pytest.raises(ValueError, match="predict: expected finite numbers"):
            f(np.full(5, strange, given_dtype), out[0])


def test_missing_numbers_inside_compiled_code():
    pd = pytest.importorskip("pandas")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"a": np.where(rng.random(60) < 0.3, np.nan, rng.normal(size=60)), "kind": rng.choice(["x", "y"], 60)}
    )
    net = fastbp.train(frame, rng.normal(size=60), hidden=(4,), epochs=3, seed=0, encode="standard")
    assert net.columns.exported.names == ("a", "kind=x", "kind=y")
    raw, out, f = net.columns.encode_raw(frame), np.empty(1), net.jit()
    assert np.isnan(raw).any()
    for row, wanted in zip(raw, net.predict(frame), strict=True):
        f(row, out)
        assert out[0] == wanted


@pytest.mark.thorough
def test_a_network_as_a_c_function():
    scipy = pytest.importorskip("scipy")
    integrate = pytest.importorskip("scipy.integrate")
    X = np.random.default_rng(0).uniform(-1, 1, (300, 2))
    net = fastbp.train(X, X[:, 0] ** 2 + X[:, 1], hidden=(8,), activation="tanh", dtype="float64", epochs=50, seed=0)
    found, _ = integrate.nquad(scipy.LowLevelCallable(net.cfunc().ctypes), [[-1, 1], [0, 1]])
    grid = np.stack(np.meshgrid((np.arange(400) + 0.5) / 200 - 1, (np.arange(400) + 0.5) / 400), axis=-1).reshape(-1, 2)
    assert found == pytest.approx(2 * net.predict(grid).mean(), abs=1e-5)  # the midpoint rule
    function = net.cfunc()
    values = np.array([0.3, -0.2, 7.0])
    call = lambda n, x: function.ctypes(n, x.ctypes.data_as(function.ctypes.argtypes[1]))  # noqa: E731
    assert call(2, values) == net.predict([[0.3, -0.2]])[0]
    assert np.isnan(call(3, values))
    for strange in (np.nan, np.inf, -np.inf):
        assert np.isnan(call(2, np.array([strange, 0])))
    with pytest.raises(ValueError, match="cfunc: expected a network with one output, got 3"):
        fastbp.train(X, np.arange(300) % 3, epochs=1).cfunc()


def test_a_network_that_does_not_fit_the_stack():
    with pytest.raises(ValueError, match="jit: expected a network whose rows fit"):
        fastbp.train(np.zeros((2, 40_000)), [0.0, 1.0], hidden=(), epochs=0).jit()


def test_a_network_of_arrays_that_do_not_go_together_predicts_nothing():
    net = fastbp.train(np.ones((4, 3)), [0, 1, 0, 1], hidden=(5,), epochs=0)
    for change in (
        {"params": net.params[:-1]},
        {"sizes": (3, 50, 1)},
        {"x_mean": np.ones(2), "x_scale": np.ones(2)},
        {"layer_activations": ("relu",)},
    ):
        with pytest.raises(ValueError, match=r"params|infer|activations"):
            dataclasses.replace(net, **change).predict(np.ones((1, 3)))
