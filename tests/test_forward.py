"""The forward pass of networks: against NumPy, around tile sizes, and bit for bit the same for any rows and threads."""

import itertools

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import COSTLY_DTYPES, DTYPES, Arena, assert_close
from numba import config
from tasks import DEEP, LARGE, NETWORK_CASES, Task, compiled, frozen, networks, refused, seeds, user_forward

from fastbp import kernels
from fastbp.kernels.network import forward, layout


@given(sizes=networks)
def test_parameter_count(sizes):
    assert kernels.parameter_count(frozen(sizes, np.int64)) == Task(sizes, 0).params.size


@pytest.mark.parametrize(("dtype", "via"), [(np.float32, "python"), (np.float64, "python"), (np.float64, "njit")])
@given(
    sizes=networks,
    n=st.integers(0, 9),
    hidden=st.sampled_from(naive.ELEMENTWISE),
    last=st.sampled_from(naive.ACTIVATIONS),
    seed=seeds,
)
def test_forward(dtype, via, sizes, n, hidden, last, seed):
    check_forward(kernels.forward if via == "python" else compiled(user_forward), dtype, sizes, n, hidden, last, seed)


# the kernel computes microbatches of up to 64 rows, or where there are more of up to 96, in 16 groups
@pytest.mark.parametrize("n", [63, 64, 65, 96, 97, 130, 193, 1100])
def test_forward_over_tiles(n):
    assert layout.GROUP == 64
    assert forward.LONGEST_ROW == 96 * 8
    assert layout.PARTS == 16
    check_forward(kernels.forward, np.float64, (3, 6, 2, 4), n, "tanh", "softmax", seed=0)


def is_packed(sizes, dtype):
    """Whether a layer is copied into layout."""
    return any((n + 1) * m * np.dtype(dtype).itemsize >= layout.PACKED_FROM for n, m in itertools.pairwise(sizes))


@pytest.mark.parametrize("dtype", DTYPES)
def test_forward_of_large_networks(dtype):
    assert {is_packed(sizes, np.float32) for sizes in DEEP if sizes[1] == 128} == {False, True}
    for number, sizes in enumerate(DEEP + LARGE):
        n, hidden = (5, 70, 33)[number % 3], ("tanh", "relu")[number % 2]
        check_forward(kernels.forward, dtype, sizes, n, hidden, "softmax", number)


def outputs(task, X, threads=None):
    """The outputs of `forward`, or of `forward_parallel` on this number of threads."""
    out = np.full((len(X), task.sizes[-1]), np.nan, task.dtype)
    arguments = (frozen(X), *task.codes()[:2], frozen(task.params), out)
    if threads is None:
        kernels.forward(*arguments)
    else:
        with kernels.threads(threads) as allowed:
            assert allowed == (threads > 1)
            kernels.forward_parallel(*arguments)
    return out


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("sizes", [(3, 6, 4), (300, 230, 7)], ids=str)
def test_rows_do_not_depend_on_the_others_nor_on_threads(sizes, dtype):
    assert is_packed(sizes, dtype) == (sizes[0] == 300)
    for hidden, last in (("tanh", "softmax"), ("relu", "logistic")):
        task = Task(sizes, 1100, dtype=dtype, hidden=hidden, pair=("squared_error", last))
        whole = outputs(task, task.X)
        parts = [slice(*bounds) for bounds in ((0, 1), (7, 8), (3, 40), (63, 65), (1, 131))]
        for rows in (*parts, slice(None, None, 3), slice(None, None, -1)):
            np.testing.assert_array_equal(outputs(task, task.X[rows]), whole[rows])
        for threads in range(1, min(2, config.NUMBA_NUM_THREADS) + 1):
            for rows in (slice(0, 0), slice(0, 5), slice(None)):
                np.testing.assert_array_equal(outputs(task, task.X[rows], threads), whole[rows])


def test_forward_refuses_other_layouts():
    task = Task((4, 3, 2), 6)
    sizes, activations, *_ = task.codes()
    good = {"X": np.array(task.X), "params": task.params, "out": np.empty((6, 2))}
    gaps = {name: np.repeat(array, 2, axis=0)[::2] for name, array in good.items()}
    turned = {name: np.asfortranarray(good[name]) for name in ("X", "out")}
    for name, array in [*gaps.items(), *turned.items()]:
        X, params, out = (good | {name: array}).values()
        for kernel in (kernels.forward, kernels.forward_parallel):
            with pytest.raises(ValueError, match="C-contiguous"):
                kernel(X, sizes, activations, params, out)


def test_whether_threads_pay_grows_with_the_work():
    calls = [
        lambda n: kernels.forward_parallel_pays((n, n, n), n),
        lambda n: kernels.parallel_pays((n, n, n), n),
        lambda n: kernels.matmul_parallel_pays(n, n, n),
    ]
    for call in calls:
        assert [bool(call(n)) for n in (1, 10, 10_000)] == [False, False, True]


def check_forward(call, dtype, sizes, n, hidden, last, seed):
    task, arena = Task(sizes, n, seed, dtype, hidden, ("squared_error", last)), Arena(dtype)
    X, params, out = arena.put(task.X), arena.put(task.params), arena.space(n, sizes[-1])
    sizes, activations, *_ = task.codes()
    X.flags.writeable = params.flags.writeable = False
    call(X, sizes, activations, params, out)
    X.flags.writeable = params.flags.writeable = True
    wanted = naive.forward(X, task.sizes, task.names, params)
    assert_close(out, wanted, scale=1 + abs(wanted).max(initial=0))
    arena.check()


@pytest.mark.parametrize("via", ["python", "njit"])
@pytest.mark.parametrize("case", [*NETWORK_CASES, "out rows", "out columns"])
def test_forward_refuses(case, via):
    change = {**NETWORK_CASES, "out rows": {"out": (4, 2)}, "out columns": {"out": (5, 3)}}[case]
    refused(
        kernels.forward if via == "python" else compiled(user_forward),
        ("X", "sizes", "activations", "params", "out"),
        change,
    )
