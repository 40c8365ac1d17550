"""Dropout: which outputs the kernel drops, and epochs against a reference that applies the same masks."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, DTYPES, LAYOUTS, Arena, assert_close, finite_difference
from numba import config, njit
from tasks import Task, check_pass, frozen, seeds

from fastbp import kernels


def mask(n, d, share, seed=0, step=1, layer=0, dtype=np.float64):
    """The numbers that the outputs of a layer are multiplied by."""
    out = np.empty((n, d), dtype)
    kernels.dropout(np.ones((n, d), dtype), share, seed, step, layer, out)
    return out


# The kernel


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("share", [0.01, 0.2, 0.5, 0.9, 0.999])
def test_share_and_mean(share, dtype):
    n, d = 1000, 1000
    found = mask(n, d, share, seed=3, dtype=dtype)
    assert set(np.unique(found)) == {dtype(0), dtype(1 / (1 - share))}
    for axis, count in ((None, n * d), (0, n), (1, d)):
        # in standard deviations of a binomial count: of 2000 rows and columns, none is off by 5.5
        off = (np.mean(found == 0, axis=axis) - share) / np.sqrt(share * (1 - share) / count)
        if count * min(share, 1 - share) > 50:
            assert np.abs(off).max() < (5 if axis is None else 5.5)
    assert abs(found.mean(dtype=np.float64) - 1) < 5 * np.sqrt(share / (1 - share) / (n * d))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("apart", [1, 2, 3, 8, 64])
def test_neighbours_are_independent(axis, apart):
    kept = mask(1000, 1000, 0.3) > 0
    kept = kept if axis == 0 else kept.T
    both, count = np.mean(kept[apart:] & kept[:-apart]), (1000 - apart) * 1000
    assert abs(both - 0.49) < 5 * np.sqrt(0.49 * 0.51 / count)


def test_the_same_numbers_leave_out_the_same_units_and_others_do_not():
    one = mask(50, 40, 0.4, 5, 7, 2)
    np.testing.assert_array_equal(one, mask(50, 40, 0.4, 5, 7, 2))
    np.testing.assert_array_equal(
        one[:20, :9], mask(20, 9, 0.4, 5, 7, 2)
    )  # depends on the places of sample and unit only
    for seed, step, layer in [(6, 7, 2), (5, 8, 2), (5, 7, 3), (7, 5, 2), (5, 2, 7), (2**40 + 5, 7, 2)]:
        differ = np.mean(one != mask(50, 40, 0.4, seed, step, layer))
        assert abs(differ - 2 * 0.4 * 0.6) < 5 * np.sqrt(0.48 * 0.52 / one.size)


def test_steps_and_layers_have_different_masks():
    """No mask of one layer's first steps is a mask of another layer at another step."""
    masks = {mask(4, 64, 0.5, 0, step, layer).tobytes() for step in range(100) for layer in range(10)}
    assert len(masks) == 1000


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_share_of_zero_keeps_all_and_nan_is_left_out(dtype):
    a = np.random.default_rng(0).normal(size=(9, 30)).astype(dtype)
    out = np.empty_like(a)
    kernels.dropout(a, 0.0, 0, 1, 0, out)
    np.testing.assert_array_equal(out, a)
    kernels.dropout(np.full((9, 30), np.nan, dtype), 0.5, 0, 1, 0, out)
    np.testing.assert_array_equal(np.isnan(out), mask(9, 30, 0.5) > 0)
    assert (out[~np.isnan(out)] == 0).all()


def users(times, a, share, seed, step, layer, out):
    for _ in range(times):
        kernels.dropout(a, share, seed, step, layer, out)


@pytest.fixture(scope="module")
def users_function():
    M = "float64[:, :]"
    return njit(f"void(int64, {M}, float64, int64, int64, int64, {M})")(users)


@given(n=st.integers(0, 9), d=st.integers(0, 19), share=st.floats(0, 0.99), layout=st.sampled_from(LAYOUTS), seed=seeds)
def test_in_users_njit_in_every_layout(users_function, n, d, share, layout, seed):
    arena = Arena(layout=layout)
    values = np.random.default_rng(seed).normal(size=(n, d))
    a, out, both = arena.put(values), arena.space(n, d), arena.put(values, written=True)
    users_function(1, a, share, seed, 4, 1, out)
    kernels.dropout(both, share, seed, 4, 1, both)
    assert_close(out, values * mask(n, d, share, seed, 4, 1), scale=1 + abs(values) / (1 - share))
    np.testing.assert_array_equal(out, both)
    arena.check()


@pytest.mark.skipif(config.DISABLE_JIT, reason="about compiled code")
def test_no_allocation(users_function, allocations):
    a, out = np.ones((9, 9)), np.empty((9, 9))
    assert allocations(users_function, 1, a, 0.5, 0, 1, 0, out) == allocations(
        users_function, 1000, a, 0.5, 0, 1, 0, out
    )


@pytest.mark.parametrize("share", [-0.1, 1.0, 1.5, np.nan])
def test_wrong_shares_are_refused_by_the_kernel(share):
    arena = Arena()
    with pytest.raises(ValueError, match="dropout: share"):
        kernels.dropout(arena.put(np.ones((2, 3))), share, 0, 1, 0, arena.put(np.ones((2, 3))))
    arena.check()


@pytest.mark.parametrize("shape", [(2, 4), (3, 3), (3, 2)])
def test_other_shapes_are_refused(shape):
    arena = Arena()
    with pytest.raises(ValueError, match="dropout: out must have the shape of a"):
        kernels.dropout(arena.put(np.ones((2, 3))), 0.5, 0, 1, 0, arena.put(np.ones(shape)))
    arena.check()


# Epochs

# Sizes, samples, batch size: narrow networks, layer by layer, small batches, layers partly packed or cut in bands
WAYS = [((3, 5, 4, 2), 230, 100), ((3, 5, 4, 2), 30, 7), ((20, 33, 70, 3), 300, 140)]
WAYS += [((260, 280, 7), 50, 20), ((4, 600, 2), 20, 9)]
HIDDEN = ("tanh", "gelu", "relu")


def shares_of(task):
    return np.array([*np.linspace(0.5, 0.2, len(task.sizes) - 2), 0.0])


def masks_of(task, seed, shares):
    """A batch's masks for the reference."""

    def of_batch(step, rows):
        return [
            mask(rows, d, share, seed, step, l) for l, (d, share) in enumerate(zip(task.sizes[1:], shares, strict=True))
        ]

    return of_batch


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize(("sizes", "n", "batch_size"), WAYS)
def test_an_epoch_applies_the_masks(sizes, n, batch_size, hidden, dtype):
    task = Task(sizes, n, dtype=dtype, hidden=hidden, pair=("log_loss", "softmax"))
    assert task.narrow(batch_size) == (n in (230, 300))
    task.params *= dtype(0.5)  # the reference clips saturated units in float64
    shares = shares_of(task)
    dropout = {"masks": masks_of(task, 11, shares), "dropout": shares, "seed": 11}
    for optimizer, rate in (("sgd", 0.1), ("momentum", 0.02)):
        check_pass(task, batch_size, optimizer, rate, 0.01, **dropout)


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_shares_of_some_layers(dtype):
    """Layers without dropout, among layers with it, share memory for outputs and slopes."""
    for number, shares in enumerate([(0.5, 0.0, 0.0), (0.0, 0.5, 0.0), (0.0, 0.0, 0.0)]):
        for hidden in ("silu", "softplus"):
            task = Task((3, 6, 5, 2), 90, number, dtype, hidden)
            for batch_size in (80, 9):
                check_pass(task, batch_size, "sgd", 0.1, 0.0, masks=masks_of(task, 2, shares), dropout=shares, seed=2)


@pytest.mark.parametrize("hidden", HIDDEN)
@pytest.mark.parametrize("n", [6, 70])
def test_the_gradient_is_the_slope_of_the_loss_with_the_mask_fixed(hidden, n):
    task = Task((3, 4, 5, 3), n, seed=2, hidden=hidden, pair=("log_loss", "softmax"))
    masks = masks_of(task, 5, shares_of(task))(9, n)

    def loss(params):
        (a,) = naive.wide(task.X[task.order])
        for l, ((W, b), f) in enumerate(zip(naive.layers(params, task.sizes), task.names, strict=True)):
            a = naive.activation_forward(f, a @ W + b) * (masks[l] if l < 2 else 1)
        return (task.weight[task.order] * naive.loss("log_loss", "softmax", a, task.Y[task.order])).mean()

    params = task.params.copy()
    found = task.prepared(params, n, "sgd", task.states("sgd"), dropout=shares_of(task), seed=5)(
        task.order, 8, 0.5, 0.0
    )
    np.testing.assert_allclose(found.loss, loss(task.params), rtol=1e-12)
    np.testing.assert_allclose((task.params - params) / 0.5, finite_difference(loss, task.params), rtol=0, atol=2e-8)


def test_a_share_of_zero_changes_no_bit():
    for sizes, n, batch_size in WAYS[:4]:
        task, found = Task(sizes, n, hidden="tanh"), []
        for shares in (None, np.zeros(len(sizes) - 1)):
            params = task.params.copy()
            found.append(
                (
                    task.prepared(params, batch_size, "adam", task.states("adam"), dropout=shares)(
                        task.order, 0, 0.01, 0.1
                    ),
                    params,
                )
            )
        assert found[0][0] == found[1][0]
        np.testing.assert_array_equal(found[0][1], found[1][1])


@pytest.mark.thorough
@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
def test_the_same_bits_on_threads(dtype):
    if config.NUMBA_NUM_THREADS < 2:
        pytest.skip("one processor")
    for number, (sizes, n, batch_size) in enumerate([*WAYS, ((3, 5, 4, 2), 2300, 1100)]):
        task, found, optimizer = (
            Task(sizes, n, dtype=dtype, hidden=HIDDEN[number % 3]),
            [],
            list(kernels.OPTIMIZERS)[number],
        )
        for threads in (1, 2):
            params, states = task.params.copy(), task.states(optimizer)
            with kernels.threads(threads):
                epoch = task.prepared(
                    params, batch_size, optimizer, states, dropout=shares_of(task), seed=3, parallel=threads > 1
                )
                found.append(
                    [epoch(task.order, step, 0.01, 0.001) for step in (0, 50)]
                    + [x.tobytes() for x in (params, *states)]
                )
        assert found[0] == found[1]


@pytest.mark.parametrize("shares", [(0.5, 0.5), (0.5, 0.0, 0.0), (1.0, 0.0), (-0.1, 0.0), (np.nan, 0.0), 0.5])
def test_wrong_shares_are_refused(shares):
    task = Task((3, 4, 2), 6)
    with pytest.raises(ValueError, match="dropout must hold a share"):
        task.prepared(task.params, 3, "sgd", task.states("sgd"), dropout=shares)


def test_a_unit_that_is_dropped_for_all_samples_of_a_batch_keeps_its_weights():
    task = Task((3, 40, 2), 2)
    task.order = frozen(np.arange(2), np.int64)
    params = task.params.copy()
    task.prepared(params, 2, "sgd", task.states("sgd"), dropout=(0.7, 0.0), seed=1)(task.order, 0, 0.5, 0.0)
    dropped = (mask(2, 40, 0.7, 1) == 0).all(axis=0)
    assert 5 < dropped.sum() < 35
    (W, _), (above, _) = naive.layers(params - task.params, task.sizes)
    np.testing.assert_array_equal((W == 0).all(axis=0), dropped)
    np.testing.assert_array_equal((above == 0).all(axis=1), dropped)
