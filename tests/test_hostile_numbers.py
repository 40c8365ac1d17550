"""Sizes, counts and indices that no array can have are refused, and never wrap around."""

import functools
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tasks import Task, frozen

from fastbp import kernels
from fastbp.kernels.network import forward

HOSTILE = [-(2**63), -(2**62), -(2**31), -1, 0, 1, 2, 3, 2**15, 2**31 - 1]
HOSTILE += [2**31, 2**32, 2**32 + 1, 2**40, 2**62, 2**63 - 1]
hostile = st.sampled_from(HOSTILE)


@given(sizes=st.lists(hostile, min_size=2, max_size=6), params=st.integers(0, 40), codes=st.lists(hostile, max_size=5))
def test_sizes_never_wrap_around(sizes, params, codes):
    wanted, array = sum((i + 1) * j for i, j in itertools.pairwise(sizes)), np.array(sizes, np.int64)
    if min(sizes) < 0 or wanted >= 2**63:
        with pytest.raises(ValueError, match="sizes"):
            kernels.parameter_count(array)
    else:
        assert kernels.parameter_count(array) == wanted
    if params == wanted and min(sizes) > 0 and len(codes) == len(sizes) - 1 and all(0 <= c <= 3 for c in codes):
        forward.check_network(array, np.array(codes, np.int64), np.empty(params))
    else:
        with pytest.raises(ValueError, match=r"sizes|activations|params"):
            forward.check_network(array, np.array(codes, np.int64), np.empty(params))


@pytest.mark.parametrize("dtype", [np.int8, np.int16, np.int32, np.uint8])
def test_short_integers_are_refused(dtype):
    sizes = np.array([100, 100], dtype)  # 101 x 100 is 116 in eight bits
    assert kernels.parameter_count(sizes) == 10100
    with pytest.raises(ValueError, match="int64"):
        forward.check_network(sizes, np.zeros(1, dtype), np.empty(116))


BASE = {"X": (5, 2), "Y": (5, 2), "sizes": [2, 3, 2], "activations": [1, 1], "order": [0, 1, 2, 3, 4]}


@functools.cache
def small():
    return Task((2, 3, 2), 5)


def calls(change):
    """Calls of the kernels of whole networks, with some arguments changed."""
    task = small()
    codes = dict(zip(("sizes", "activations", "loss", "loss_parameter", "decision"), task.codes(), strict=True))
    params, none = task.params.copy(), np.empty(0)
    given = {"order": np.arange(5), "batch_size": 2, "optimizer": 0, "step": 0, "n": 5} | codes | change
    net, samples = [given[k] for k in codes], (task.X, task.Y, task.weight)
    rule, order, size = (given["optimizer"], none, none), given["order"], given["batch_size"]
    learning = (params[np.newaxis], np.ones(1), np.zeros(1), np.zeros((1, 6), np.uint64), True)
    results = (*np.empty((2, 2, 1)), np.zeros(1, np.int64))
    unscaled, predicted = np.empty((2, 0)), (np.empty((5, 2)), np.empty(5, np.int64))
    return {
        "minibatch_epoch": lambda: kernels.minibatch_epoch(
            *samples, order, size, *net, params, *rule, given["step"], 0.1, 0.9, 0.99, 1e-8, 0.0
        ),
        "prepare_minibatch": lambda: kernels.prepare_minibatch(
            *samples, given["n"], size, *net, params, *rule, 0.9, 0.99, 1e-8
        )(np.arange(5), 0, 0.1, 0.0),
        "online_epoch": lambda: kernels.online_epoch(*samples, order, *net, params, 0.1, 0.0),
        "online_many": lambda: kernels.online_many(*samples, *net[:3], net[4], *learning, *results),
        "forward": lambda: kernels.forward(task.X, *net[:2], params, np.empty((5, 2))),
        "infer": lambda: kernels.infer(
            np.array(task.X), unscaled, np.array(net[0]), np.array(net[1]), frozen(params), unscaled, 0.5, *predicted
        ),
    }


READ = {
    "minibatch_epoch": {"batch_size", "optimizer", "step", "order", "loss", "decision"},
    "online_epoch": {"order", "loss", "decision"},
    "online_many": {"loss", "decision"},
    "prepare_minibatch": {"batch_size", "optimizer", "loss", "decision", "n"},
    "forward": set(),
    "infer": set(),
}


@given(
    value=st.sampled_from([h for h in HOSTILE if not 0 <= h < 2**31] + [2**31 - 1]),
    place=st.integers(0, 4),
    what=st.sampled_from(["sizes", "activations", "order", "batch_size", "optimizer", "step", "loss", "decision", "n"]),
)
def test_hostile_numbers_are_refused(value, place, what):
    if what == "loss" and value > 0:
        return  # the address of a custom loss
    changed = value
    if what in ("sizes", "activations", "order"):
        changed = np.array(BASE[what], np.int64)
        changed[place % changed.size] = value
        if what != "order":
            changed.flags.writeable = False
    for name, call in calls({what: changed}).items():
        if what in {"sizes", "activations"} | READ[name]:
            if (what in ("batch_size", "n") and value > 0) or (what == "step" and 0 <= value <= 2**62):
                assert np.isfinite(call()[0])  # one batch of all samples; a pass over fewer than n; many steps so far
            else:
                with pytest.raises(ValueError, match=r".+"):
                    call()


@pytest.mark.parametrize("row", [h for h in HOSTILE if h not in (0, 1)])
def test_rows_of_sparse_matrices(row):
    data, indices, indptr = np.ones(4), np.array([0, 1, 2, 0], np.int32), np.array([0, 2, 4], np.int32)
    W, b, out, delta, dW = np.ones((3, 2)), np.ones(2), np.empty((1, 2)), np.ones((1, 2)), np.empty((3, 2))
    with pytest.raises(ValueError, match="rows"):
        kernels.csr_linear_forward(data, indices, indptr, np.array([row]), W, b, out)
    with pytest.raises(ValueError, match="rows"):
        kernels.csr_weight_gradient(data, indices, indptr, np.array([row]), delta, dW)


def test_indices_whose_differences_wrap_around_are_refused():
    task = small()
    # each is larger than the one before, but for the overflow
    indptr = np.array([0, 2**63 - 1, -(2**63), -1, 4, 4], np.int64)
    with np.errstate(over="ignore"):
        assert (np.diff(indptr) >= 0).all()
    X, none = (np.ones(4), np.zeros(4, np.int64), indptr), np.empty(0)
    with pytest.raises(ValueError, match="indptr"):
        kernels.prepare_minibatch(
            X, task.Y, task.weight, 5, 2, *task.codes(), task.params.copy(), 0, none, none, 0.9, 0.99, 1e-8
        )
