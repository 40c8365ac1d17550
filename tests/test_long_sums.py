"""Sums of float32 over very many rows: the error hardly grows, and the bits do not depend on threads."""

import numpy as np
import pytest
from numba import config
from tasks import Task, frozen

from fastbp import kernels
from fastbp.kernels.minibatch import steps


def relative(got, wanted):
    return np.abs(np.asarray(got, np.float64) - wanted).max() / np.abs(wanted).max()


def rows_of(n, what):
    """Samples and errors of mean 1, all equal (which always rounds the same way) or random; and the tolerated error."""
    rng = np.random.default_rng(0)
    if what == "constant":
        return np.full((n, 4), 0.1, np.float32), np.full((n, 2), 0.1, np.float32), 5e-5
    return rng.normal(1, 1, (n, 4)).astype(np.float32), rng.normal(1, 1, (n, 2)).astype(np.float32), 2e-6


def check_sums(n, what):
    """Products and sums of float32 over n rows."""
    X, D, most = rows_of(n, what)
    wanted = X.astype(np.float64).T @ D.astype(np.float64)
    out, sums, turned = np.empty((4, 2), np.float32), np.empty(2, np.float32), np.ascontiguousarray(X.T)
    kernels.weight_gradient(X, D, out)
    assert relative(out, wanted) < most
    kernels.matmul(turned, D, out)
    assert relative(out, wanted) < most
    kernels.bias_gradient(D, sums)
    assert relative(sums, D.sum(axis=0, dtype=np.float64)) < 2e-6
    return turned, D, out


def linear_network(n, what):
    """The gradient of a linear network on all samples at once, in float64, and an epoch's arguments."""
    X, _, most = rows_of(n, what)
    params = np.tile(np.array([0.1, 0.2], np.float32), 5)
    delta = X.astype(np.float64) @ params[:8].reshape(4, 2).astype(np.float64) + params[8:]
    gradient = np.append(X.astype(np.float64).T @ delta, delta.sum(axis=0)) / n
    none = np.empty(0, np.float32)
    arrays = (frozen(np.zeros((n, 2)), np.float32), frozen(np.ones(n), np.float32))
    net = (frozen([4, 2], np.int64), frozen([0], np.int64), kernels.SQUARED_ERROR, none, kernels.NO_DECISION)
    return X, arrays, net, params, gradient, 0.5 * (delta**2).sum() / n, most


def check_full_batch(n, what, sparse_samples):
    X, (Y, weight), net, params, gradient, loss, most = linear_network(n, what)
    if sparse_samples:
        X = X.ravel().copy(), np.tile(np.arange(4), n), 4 * np.arange(n + 1)
        most *= 4
    for optimizer in ("sgd", "momentum"):
        now, first, none = (
            params.copy(),
            np.zeros(10 if optimizer == "momentum" else 0, np.float32),
            np.empty(0, np.float32),
        )
        epoch = kernels.prepare_minibatch(
            X, Y, weight, n, n, *net, now, kernels.OPTIMIZERS[optimizer], first, none, 0.0, 0.9, 1e-8
        )
        found = epoch(np.arange(n), 0, 1.0, 0.0)
        assert found.loss == pytest.approx(loss, rel=2e-7)
        assert relative(-first if first.size else params.astype(np.float64) - now, gradient) < most


@pytest.mark.thorough
@pytest.mark.parametrize("what", ["random", "constant"])
def test_sums_over_many_rows(what):
    check_sums(200_000, what)
    check_full_batch(300_000, what, False)
    check_full_batch(50_000, what, True)


@pytest.mark.long
@pytest.mark.parametrize("what", ["random", "constant"])
def test_sums_over_ten_million_rows(what):
    check_sums(10_000_000, what)
    check_full_batch(10_000_000, what, False)
    check_full_batch(10_000_000, what, True)


@pytest.mark.thorough
@pytest.mark.skipif(config.NUMBA_NUM_THREADS < 2, reason="needs two threads")
def test_long_sums_have_the_same_bits_on_threads():
    rng = np.random.default_rng(0)
    A, B = rng.normal(1, 1, (70, 9000)).astype(np.float32), rng.normal(1, 1, (9000, 30)).astype(np.float32)
    one, two = np.empty((70, 30), np.float32), np.empty((70, 30), np.float32)
    kernels.matmul(A, B, one)
    with kernels.threads(2):
        kernels.matmul_parallel(A, B, two)
    np.testing.assert_array_equal(one, two)
    # narrow, with several pieces in a part; wide; and sparse
    for sizes, n, samples in [
        ((3, 5, 2), 16 * steps.SUM_LENGTH + 5000, False),
        ((260, 280, 2), steps.SUM_LENGTH + 200, False),
        ((3, 5, 2), steps.SPARSE_SUM_LENGTH + 200, True),
    ]:
        task, found = Task(sizes, n, dtype=np.float32, hidden="tanh"), []
        for parallel in (False, True):
            params, states = task.params.copy(), task.states("momentum")
            with kernels.threads(1 + parallel):
                epoch = task.prepared(
                    params, n, "momentum", states, sparse=samples, parallel=parallel, clip=10.0 if samples else np.inf
                )
                found.append((epoch(task.order, 0, 0.1, 0.01), params.tobytes(), states[0].tobytes()))
        assert found[0] == found[1]


def test_a_batch_in_pieces_follows_the_same_gradient():
    """Both sides of every cut of the sums of gradients."""
    small, wide = (3, 5, 2), (260, 280, 2)
    for sizes, n, samples, optimizer in [
        (small, 16 * steps.SUM_LENGTH + 1, False, "momentum"),
        (wide, steps.SUM_LENGTH, False, "sgd"),
        (wide, steps.SUM_LENGTH + 1, False, "sgd"),
        (small, steps.SPARSE_SUM_LENGTH + 1, True, "sgd"),
    ]:
        task = Task(sizes, n, dtype=np.float32, hidden="tanh")
        params, states = task.params.copy(), task.states(optimizer)
        task.prepared(params, n, optimizer, states, sparse=samples)(task.order, 0, 0.5, 0.01)
        wanted = task.reference(
            task.params.astype(np.float64), n, optimizer, task.states(optimizer), 0, 0.5, 0.01
        ).params
        assert relative(params - task.params.astype(np.float64), wanted - task.params) < 2e-4
