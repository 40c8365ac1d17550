"""The lecture's plain loops against NumPy and finite differences, and the fast kernels against these loops."""

import json
import sys

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import BASIC, COSTLY_DTYPES, LAYOUTS, Arena, assert_close, finite_difference
from numba import config, njit
from tasks import Task, frozen
from test_jit import run

from fastbp import kernels
from fastbp.kernels import lecture

side = st.integers(0, 9)
sizes_of_networks = st.lists(st.integers(1, 6), min_size=2, max_size=5)
seeds = st.integers(0, 2**32 - 1)
# Each layout is compiled anew.
layouts = pytest.mark.parametrize(
    "layout", [LAYOUTS[0], *(pytest.param(layout, marks=pytest.mark.thorough) for layout in LAYOUTS[1:])]
)
kinds = st.sampled_from(BASIC)
two_threads = pytest.mark.skipif(config.NUMBA_NUM_THREADS < 2, reason="one processor")
compiled = pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
XOR = ([[0, 0], [0, 1], [1, 0], [1, 1]], [[0], [1], [1], [0]])


def codes(*names):
    return np.array([kernels.ACTIVATIONS[name] for name in names])


# The kernels of a layer against NumPy


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@layouts
@given(kind=kinds, n=side, d_in=side, d_out=side, seed=seeds)
def test_forward(dtype, kind, n, d_in, d_out, seed, layout):
    rng, arena = np.random.default_rng(seed), Arena(dtype, layout)
    a, W, b = (arena.put(rng.normal(size=shape)) for shape in [(n, d_in), (d_in, d_out), d_out])
    out = arena.space(n, d_out)
    lecture.forward(kernels.ACTIVATIONS[kind], a, W, b, out)
    wanted = naive.activation_forward(kind, naive.linear_forward(a, W, b))
    assert_close(out, wanted, scale=1 + naive.linear_forward(abs(a), abs(W), abs(b)))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@layouts
@given(kind=kinds, n=side, d=side, seed=seeds)
def test_output_delta(dtype, kind, n, d, seed, layout):
    rng, arena = np.random.default_rng(seed), Arena(dtype, layout)
    a = arena.put(naive.activation_forward(kind, rng.normal(size=(n, d))))
    y, out = arena.put(rng.uniform(size=(n, d))), arena.space(n, d)
    lecture.output_delta(kernels.ACTIVATIONS[kind], a, y, out)
    assert_close(out, naive.output_delta("squared_error", kind, a, y), scale=1 + abs(a))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@layouts
@given(kind=kinds, n=side, d=side, d_next=side, seed=seeds)
def test_hidden_delta(dtype, kind, n, d, d_next, seed, layout):
    rng, arena = np.random.default_rng(seed), Arena(dtype, layout)
    delta, W = arena.put(rng.normal(size=(n, d_next))), arena.put(rng.normal(size=(d, d_next)))
    a, out = arena.put(naive.activation_forward(kind, rng.normal(size=(n, d)))), arena.space(n, d)
    lecture.hidden_delta(kernels.ACTIVATIONS[kind], delta, W, a, out)
    assert_close(out, naive.hidden_delta(kind, delta, W, a), scale=naive.matmul(abs(delta), abs(W).T))
    arena.check()


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@layouts
@given(n=side, d_in=side, d_out=side, seed=seeds)
def test_gradients_and_update(dtype, n, d_in, d_out, seed, layout):
    rng, arena = np.random.default_rng(seed), Arena(dtype, layout)
    a, delta = arena.put(rng.normal(size=(n, d_in))), arena.put(rng.normal(size=(n, d_out)))
    dW, db = arena.space(d_in, d_out), arena.space(d_out)
    lecture.weight_gradient(a, delta, dW)
    lecture.bias_gradient(delta, db)
    assert_close(dW, naive.weight_gradient(a, delta), scale=naive.weight_gradient(abs(a), abs(delta)))
    assert_close(db, naive.bias_gradient(delta), scale=naive.bias_gradient(abs(delta)))
    before = rng.normal(size=d_out).astype(dtype)
    b = arena.put(before, written=True)
    lecture.update(b, db, 0.3)
    assert_close(b, *naive.sgd_update(before, db, 0.3), scale=1 + abs(db))
    arena.check()


def test_activations_where_exp_overflows():
    z = np.array([-np.inf, -1000, -709.5, 0, 709.5, 1000, np.inf, np.nan])
    for kind in BASIC:
        with np.errstate(over="ignore"):
            wanted = naive.activation_forward(kind, z)
        found = [lecture.activation(kernels.ACTIVATIONS[kind], x) for x in z]
        np.testing.assert_allclose(found, wanted, rtol=1e-15, atol=1e-300)


# Against finite differences


@pytest.mark.parametrize("kind", BASIC)
def test_deltas_and_gradients_are_slopes(kind):
    # J of a network of two layers, at points away from kinks
    rng, code = np.random.default_rng(3), kernels.ACTIVATIONS[kind]
    X, Y = rng.normal(size=(5, 3)), rng.uniform(size=(5, 2))
    W1, b1, W2, b2 = (rng.normal(size=shape) for shape in [(3, 4), 4, (4, 2), 2])

    def loss(W1, b1, W2, b2):
        a = naive.activation_forward(kind, X @ W1 + b1)
        return ((naive.activation_forward(kind, a @ W2 + b2) - Y) ** 2).sum() / 2

    a1, a2, delta1, delta2 = (np.empty((5, d)) for d in (4, 2, 4, 2))
    lecture.forward(code, X, W1, b1, a1)
    lecture.forward(code, a1, W2, b2, a2)
    lecture.output_delta(code, a2, Y, delta2)
    lecture.hidden_delta(code, delta2, W2, a1, delta1)
    given_arrays = [W1, b1, W2, b2]
    found = [np.empty_like(x) for x in given_arrays]
    for a, delta, dW, db in ((X, delta1, *found[:2]), (a1, delta2, *found[2:])):
        lecture.weight_gradient(a, delta, dW)
        lecture.bias_gradient(delta, db)
    for k, x in enumerate(given_arrays):
        wanted = finite_difference(lambda x, k=k: loss(*given_arrays[:k], x, *given_arrays[k + 1 :]), x)
        np.testing.assert_allclose(found[k], wanted, rtol=0, atol=1e-7)


# Whole epochs against NumPy


class Lecture:
    """A network and its samples, as the lecture's epochs take them."""

    def __init__(self, sizes, n, seed=0, dtype=np.float64, hidden="logistic", output="logistic"):
        self.task = Task(sizes, n, seed, dtype, hidden, ("squared_error", output))
        self.task.weight = frozen(np.ones(n), dtype)
        self.sizes, self.activations, *_ = (np.array(x) for x in self.task.codes())

    def learn(self, params, alpha=0.5, batch_size=None, order=None):
        """One epoch, in place; returns the loss."""
        samples = (self.task.X, self.task.Y, self.task.order if order is None else np.array(order, np.int64))
        if batch_size is None:
            return lecture.online_epoch(*samples, self.sizes, self.activations, params, alpha)
        return lecture.minibatch_epoch(*samples, batch_size, self.sizes, self.activations, params, alpha)

    def reference(self, params, batch_size, alpha=0.5):
        """The same in NumPy, in float64."""
        none = np.empty(0)
        return self.task.reference(params, batch_size, "sgd", (none, none), 0, alpha, 0.0)


def test_layer_gives_views_of_the_parameters():
    sizes = np.array([3, 4, 2])
    params = np.arange(26.0)
    for l, (W, b) in enumerate(naive.layers(params, sizes), 1):
        for got, wanted in zip(lecture.layer(params, sizes, l), (W, b), strict=True):
            np.testing.assert_array_equal(got, wanted)
            assert got.shape == wanted.shape
            assert np.shares_memory(got, params)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(sizes=sizes_of_networks, n=st.integers(1, 7), hidden=kinds, output=kinds, seed=seeds)
def test_online_epoch(dtype, sizes, n, hidden, output, seed):
    network, arena = Lecture(sizes, n, seed, dtype, hidden, output), Arena(dtype)
    params = arena.put(network.task.params, written=True)
    loss = network.learn(params, alpha=0.1)
    wanted = network.reference(network.task.params, 1, alpha=0.1)
    assert loss == pytest.approx(wanted.loss, rel=1e-12 if dtype == np.float64 else 1e-4)
    assert_close(params, wanted.params, scale=1 + abs(wanted.params).max())
    arena.check()


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@given(sizes=sizes_of_networks, n=st.integers(1, 7), batch=st.integers(1, 9), hidden=kinds, output=kinds, seed=seeds)
def test_minibatch_epoch(dtype, sizes, n, batch, hidden, output, seed):
    network, arena = Lecture(sizes, n, seed, dtype, hidden, output), Arena(dtype)
    params = arena.put(network.task.params, written=True)
    loss = network.learn(params, 0.1, batch)
    wanted = network.reference(network.task.params, batch, alpha=0.1)
    assert loss == pytest.approx(wanted.loss, rel=1e-12 if dtype == np.float64 else 1e-4)
    assert_close(params, wanted.params, scale=1 + abs(wanted.params).max())
    arena.check()


@pytest.mark.parametrize("sizes", [(2, 2, 1), (4, 8, 8, 3)], ids=str)
def test_online_epoch_follows_the_transcription(sizes):
    network = Lecture(sizes, 25, seed=3)
    params, want = network.task.params.copy(), network.task.params.copy()
    for _ in range(40):
        network.learn(params)
        naive.lecture_epoch(network.task.X, network.task.Y, network.task.order, sizes, want, 0.5)
    assert abs(want - network.task.params).max() > 0.1
    assert abs(params - want).max() < 1e-12


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_batches_of_one_sample_are_the_online_epoch(dtype):
    network = Lecture((3, 5, 4, 2), 9, dtype=dtype, hidden="tanh")
    one, other = network.task.params.copy(), network.task.params.copy()
    for _ in range(3):
        assert network.learn(one) == network.learn(other, batch_size=1)
    assert one.tobytes() == other.tobytes()


def test_epochs_of_nothing():
    network = Lecture((2, 3, 1), 4)
    params = network.task.params.copy()
    assert np.isnan(network.learn(params, order=[]))
    assert np.isnan(network.learn(params, batch_size=2, order=[]))
    np.testing.assert_array_equal(params, network.task.params)


# Threads


@two_threads
@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_any_number_of_threads_gives_the_same_bits(dtype):
    network = Lecture((7, 33, 18, 5), 41, dtype=dtype, hidden="tanh")
    found = []
    for count in (1, 2, min(5, config.NUMBA_NUM_THREADS)):
        params = network.task.params.copy()
        with kernels.threads(count):
            losses = [network.learn(params, batch_size=13) for _ in range(3)]
        found.append((losses, params.tobytes()))
    assert found[0] == found[1] == found[2]


# The fast kernels against these


FAST = [(9, 5, 4), (64, 64, 10), (33, 100, 17)]


@pytest.mark.parametrize("kind", BASIC)
@pytest.mark.parametrize("shape", FAST, ids=str)
def test_the_fast_kernels_of_a_layer(shape, kind):
    n, d_in, d_out = shape
    rng, code = np.random.default_rng(0), kernels.ACTIVATIONS[kind]
    a, W, b = rng.normal(size=(n, d_in)), rng.normal(size=(d_in, d_out)), rng.normal(size=d_out)
    y, below = rng.uniform(size=(n, d_out)), naive.activation_forward(kind, a)
    fast, plain = np.empty((2, n, d_out))
    kernels.linear_forward(a, W, b, fast)
    lecture.forward(kernels.IDENTITY, a, W, b, plain)
    assert_close(fast, plain, scale=naive.linear_forward(abs(a), abs(W), abs(b)))
    kernels.activation_forward(code, fast, fast)
    lecture.forward(code, a, W, b, plain)
    assert_close(fast, plain, scale=naive.linear_forward(abs(a), abs(W), abs(b)))
    delta, wanted = np.empty((2, n, d_out))
    kernels.output_delta(kernels.SQUARED_ERROR, np.empty(0), code, plain, y, delta)
    lecture.output_delta(code, plain, y, wanted)
    assert_close(delta, wanted, scale=1 + abs(plain))
    delta1, wanted1 = np.empty((2, n, d_in))
    kernels.hidden_delta(code, wanted, W, below, delta1)
    lecture.hidden_delta(code, wanted, W, below, wanted1)
    assert_close(delta1, wanted1, scale=naive.matmul(abs(wanted), abs(W).T))
    (dW, plain_dW), (db, plain_db) = np.empty((2, d_in, d_out)), np.empty((2, d_out))
    kernels.weight_gradient(a, wanted, dW)
    lecture.weight_gradient(a, wanted, plain_dW)
    assert_close(dW, plain_dW, scale=naive.weight_gradient(abs(a), abs(wanted)))
    kernels.bias_gradient(wanted, db)
    lecture.bias_gradient(wanted, plain_db)
    assert_close(db, plain_db, scale=naive.bias_gradient(abs(wanted)))
    w, plain_w = W.copy(), W.copy()
    kernels.sgd_update(w.ravel(), dW.ravel(), 0.1)
    lecture.update(plain_w.ravel(), dW.ravel(), 0.1)
    assert_close(w, plain_w, scale=1 + abs(dW))


def fast_and_plain(network, epochs, batch_size, alpha=0.5):
    """Weights and losses after some epochs, of the fast kernel and of the lecture's."""
    fast, plain, losses = network.task.params.copy(), network.task.params.copy(), []
    for _ in range(epochs):
        if batch_size is None:
            loss, _ = network.task.online(fast, alpha)
        else:
            loss, *_ = network.task.minibatch(fast, batch_size, learning_rate=alpha)
        losses.append((loss, network.learn(plain, alpha, batch_size)))
    return fast, plain, np.array(losses).T


@pytest.mark.parametrize("batch_size", [None, 1, 3, 4], ids=str)
@pytest.mark.parametrize("sizes", [(2, 2, 1), (5, 4, 3, 2)], ids=str)
def test_the_fast_epochs_follow_the_lecture(sizes, batch_size):
    network = Lecture(sizes, 10, seed=1)
    if sizes == (2, 2, 1):
        network.task.X, network.task.Y = (frozen(x, np.float64) for x in XOR)
        network.task.order, network.task.weight, network.task.n = np.arange(4), frozen(np.ones(4), np.float64), 4
    fast, plain, losses = fast_and_plain(network, 20, batch_size)
    assert abs(plain - network.task.params).max() > 0.01
    np.testing.assert_allclose(fast, plain, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(*losses, rtol=1e-12)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("batch_size", [None, 32, 100], ids=str)
@pytest.mark.parametrize("hidden", BASIC)
def test_the_fast_epochs_of_wider_networks(hidden, batch_size, dtype):
    network = Lecture((30, 70, 20, 6), 150, dtype=dtype, hidden=hidden)
    network.task.params *= dtype(0.5)
    fast, plain, losses = fast_and_plain(network, 2, batch_size, alpha=0.05)
    assert_close(fast, plain.astype(np.float64), scale=1 + abs(plain).max())
    np.testing.assert_allclose(*losses, rtol=1e-11 if dtype == np.float64 else 1e-4)


# In pure Python


PYTHON = """
    import json, sys
    import numpy as np
    from fastbp import kernels
    from fastbp.kernels import lecture
    X, Y, seen = np.array({x}, {dtype!r}), np.array({y}, {dtype!r}), set()
    X.flags.writeable = Y.flags.writeable = False  # as in the other tests: compiled once for all
    sizes, activations, order = np.array([2, 2, 1]), np.array({activations}), np.arange(4)

    def hook(frame, event, argument):
        if frame.f_code.co_filename == lecture.__file__ and event == "line":
            seen.add((frame.f_code.co_name, frame.f_lineno))
        return hook

    found = []
    for learn, more in ((lecture.online_epoch, ()), (lecture.minibatch_epoch, (3,))):
        params = np.random.default_rng(0).uniform(-1, 1, 9).astype({dtype!r})
        sys.settrace(hook)
        losses = [float(learn(X, Y, order, *more, sizes, activations, params, 2.0))]
        sys.settrace(None)
        losses += [float(learn(X, Y, order, *more, sizes, activations, params, 2.0)) for _ in range(399)]
        found.append([losses, params.tobytes().hex()])
    print(json.dumps([found, sorted(seen)]))
"""


def trained(dtype, hidden, disabled):
    """Losses and weights of XOR from another process, and the lines of lecture.py that a debugger sees there."""
    code = PYTHON.format(x=XOR[0], y=XOR[1], dtype=dtype, activations=codes(hidden, "logistic").tolist())
    return json.loads(run(code, NUMBA_DISABLE_JIT=int(disabled)).stdout)


@pytest.mark.parametrize(
    ("dtype", "hidden"),
    [
        ("float64", "logistic"),
        *(pytest.param(*case, marks=pytest.mark.thorough) for case in [("float32", "logistic"), ("float64", "tanh")]),
    ],
)
def test_pure_python_gives_the_same_weights_and_a_debugger_sees_its_lines(dtype, hidden):
    (python, seen), (machine, unseen) = (trained(dtype, hidden, disabled) for disabled in (True, False))
    with open(lecture.__file__, encoding="utf-8") as file:
        text = file.read().splitlines()
    lines = {text[number - 1].strip() for _, number in seen}
    assert {
        "z += W[i, j] * a[l - 1, i]",
        "total += delta[l + 1, i] * W[k, i]",
        "W[i, j] -= alpha * (a[l - 1, i] * delta[l, j])",
        "out[s, k] = slope(kind, a[s, k]) * total",
    } <= lines
    assert not unseen
    assert python[0][0][-1] < 0.01  # XOR is learnt
    if sys.platform == "linux":  # elsewhere, compiled code and Python may use exp and tanh of different libraries
        assert python == machine
    for (losses, params), (wanted_losses, wanted) in zip(python, machine, strict=True):
        np.testing.assert_allclose(losses, wanted_losses, rtol=1e-4)
        got = np.frombuffer(bytes.fromhex(params), dtype)
        np.testing.assert_allclose(got, np.frombuffer(bytes.fromhex(wanted), dtype), rtol=1e-4)


def test_bad_shapes_are_refused_in_pure_python_too():
    code = """
        import numpy as np
        from fastbp.kernels import lecture
        try:
            lecture.hidden_delta(1, np.ones((5, 4)), np.ones((4, 3)), np.ones((5, 3)), np.ones((5, 3)))
        except ValueError as error:
            print(error.args[0])
    """
    assert "hidden_delta: expected" in run(code, NUMBA_DISABLE_JIT=1).stdout


# Bad input


@pytest.mark.parametrize(
    ("name", "codes", "shapes"),
    [
        ("forward", [4], [(5, 3), (3, 2), 2, (5, 2)]),
        ("forward", [-1], [(5, 3), (3, 2), 2, (5, 2)]),
        ("forward", [1], [(5, 4), (3, 2), 2, (5, 2)]),
        ("forward", [1], [(5, 3), (3, 2), 3, (5, 2)]),
        ("forward", [1], [(5, 3), (3, 2), 2, (4, 2)]),
        ("forward", [1], [(5, 3), (3, 2), 2, (5, 3)]),
        ("output_delta", [13], [(5, 3), (5, 3), (5, 3)]),
        ("output_delta", [1], [(5, 3), (5, 2), (5, 3)]),
        ("output_delta", [1], [(5, 3), (5, 3), (4, 3)]),
        ("hidden_delta", [4], [(5, 4), (3, 4), (5, 3), (5, 3)]),
        ("hidden_delta", [1], [(5, 5), (3, 4), (5, 3), (5, 3)]),
        ("hidden_delta", [1], [(4, 4), (3, 4), (5, 3), (5, 3)]),
        ("hidden_delta", [1], [(5, 4), (4, 3), (5, 3), (5, 3)]),
        ("hidden_delta", [1], [(5, 4), (3, 4), (5, 3), (5, 2)]),
        ("weight_gradient", [], [(5, 3), (4, 2), (3, 2)]),
        ("weight_gradient", [], [(5, 3), (5, 2), (2, 3)]),
        ("bias_gradient", [], [(5, 3), 5]),
        ("bias_gradient", [], [(0, 3), 0]),
    ],
)
def test_kernels_refuse(name, codes, shapes):
    arena = Arena()
    with pytest.raises(ValueError, match=f"{name}: expected|activation: expected"):
        getattr(lecture, name)(*codes, *[arena.put(np.ones(shape)) for shape in shapes])
    arena.check()


def test_update_refuses():
    with pytest.raises(ValueError, match="update: expected"):
        lecture.update(np.ones(3), np.ones(4), 0.1)


@pytest.mark.parametrize("batch_size", [None, 2], ids=str)
@pytest.mark.parametrize(
    "change",
    [
        {"X": np.ones((5, 3))},
        {"Y": np.ones((5, 1))},
        {"Y": np.ones((4, 2))},
        {"order": np.array([0, 5])},
        {"order": np.array([0, -1])},
        {"sizes": np.array([2])},
        {"sizes": np.array([2, 0, 2])},
        {"activations": np.array([1])},
        {"activations": np.array([1, 13])},
        {"activations": np.array([4, 1])},
        {"params": np.ones(16)},
        pytest.param({"params": np.ones(34)[::2]}, marks=pytest.mark.thorough),
    ],
    ids=lambda change: f"{next(iter(change))}",
)
def test_epochs_refuse(change, batch_size):
    good = {"X": np.ones((5, 2)), "Y": np.ones((5, 2)), "order": np.arange(5), "batch_size": batch_size}
    good |= {"sizes": np.array([2, 3, 2]), "activations": np.array([1, 1]), "params": np.ones(17)}
    if batch_size is None:
        del good["batch_size"]
    epoch = lecture.online_epoch if batch_size is None else lecture.minibatch_epoch
    arguments = good | change
    with pytest.raises(ValueError, match=r".+"):
        epoch(*arguments.values(), 0.1)
    assert (arguments["params"] == 1).all()


def test_a_batch_of_nothing_is_refused():
    network = Lecture((2, 3, 1), 4)
    params = network.task.params.copy()
    with pytest.raises(ValueError, match="minibatch_epoch: expected a batch_size"):
        network.learn(params, batch_size=0)
    np.testing.assert_array_equal(params, network.task.params)


# Memory


@compiled
@pytest.mark.parametrize("batch_size", [None, 4], ids=str)
def test_nothing_is_allocated_per_sample(allocations, batch_size):
    network = Lecture((3, 4, 2), 12)
    counts = []
    for times in (1, 10):
        order = np.tile(network.task.order, times)
        counts.append(allocations(network.learn, network.task.params.copy(), 0.1, batch_size, order))
    assert counts[0] == counts[1]


@compiled
def test_the_kernels_of_a_layer_allocate_nothing(allocations):
    A, b = np.ones((9, 9)), np.ones(9)
    calls = {
        lecture.forward: (1, A, A, b, A.copy()),
        lecture.output_delta: (1, A, A, A.copy()),
        lecture.hidden_delta: (1, A, A, A, A.copy()),
        lecture.weight_gradient: (A, A, A.copy()),
        lecture.bias_gradient: (A, b.copy()),
        lecture.update: (b.copy(), b, 0.1),
    }
    for kernel, arguments in calls.items():
        # no more than a function that does nothing with the same arguments
        assert allocations(kernel, *arguments) == allocations(njit(lambda *arguments: None), *arguments)
