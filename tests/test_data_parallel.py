"""`fastbp.train` on Dask collections: each batch takes rows of all shards; which worker holds which does not matter."""

import functools
import itertools
import os
import signal
import threading
import time

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_many import same

import fastbp
from fastbp.data_parallel import shards, tree
from fastbp.training import first_weights

dask = pytest.importorskip("dask")
da = pytest.importorskip("dask.array")

RANDOM = np.random.default_rng(0)
N = 2000
X = RANDOM.normal(3, 2, (N, 5))
CLASSES = np.array(["a", "b", "c"])[(X[:, 0] * X[:, 1]).argsort().argsort() * 3 // N]
NUMBERS = X @ [1.0, -2.0, 0.5, 0.0, 1.0] + X[:, 0] ** 2
COMMON = {"hidden": (6,), "epochs": 3, "seed": 1, "batch_size": 512, "progress": False}


def chunked(rows=300, columns=5, array=X):
    return da.from_array(array, chunks=(rows, columns))


def learnt(inputs=None, y=NUMBERS, **more):
    return fastbp.train(chunked() if inputs is None else inputs, y, **COMMON | more)


# The algorithm


def reference(n, more, weight, Y, scaled):
    """`fastbp.train` with adam, tanh and squared error, in NumPy: the parameters, and the loss of each epoch."""
    first, _, order = first_weights.random_streams(COMMON["seed"])
    sizes, activations = (5, 6, 1), ("tanh", "identity")
    net = fastbp.options.Architecture(sizes, activations, "squared_error", "regression")
    params = first_weights.initial_parameters(net, None, first, np.dtype(np.float64))
    m, v, step, losses = np.zeros_like(params), np.zeros_like(params), 0, []
    free = np.concatenate([np.r_[np.ones(a * b), np.zeros(b)] for a, b in ((5, 6), (6, 1))])
    batches = -(-n // COMMON["batch_size"])
    count = shards.shard_count(n, COMMON["batch_size"])
    places = np.arange(count + 1) * n // count
    weight = weight * n / weight.sum()
    for _ in range(COMMON["epochs"]):
        draw, total = int(order.integers(2**63)), 0.0
        own = [np.random.default_rng([draw, s]).permutation(np.arange(places[s], places[s + 1])) for s in range(count)]
        for batch in range(batches):
            cuts = [(part, batch * len(part) // batches, (batch + 1) * len(part) // batches) for part in own]
            rows = np.concatenate([part[begin:end] for part, begin, end in cuts])
            samples = scaled[rows], Y[rows], weight[rows]
            gradient, out = naive.gradient(samples, sizes, activations, "squared_error", params)
            total += float((weight[rows, None] * (out - Y[rows]) ** 2).sum() / 2)
            gradient = naive.clip_gradient(gradient / len(rows), more.get("clip_norm") or np.inf)[0]
            gradient = gradient + more.get("l2", 0.0) * params * free
            step += 1
            params, m, v = naive.adam_update(params, gradient, m, v, step, 0.01, 0.9, 0.999, 1e-8)
        losses.append(total / n)
    return params, losses


@pytest.mark.parametrize("more", [{}, {"l2": 0.1, "clip_norm": 0.05}])
def test_reference(more):
    weight = RANDOM.uniform(0.5, 2, N)
    net = learnt(activation="tanh", dtype="float64", learning_rate=0.01, sample_weight=weight, **more)
    mean = np.average(X, axis=0, weights=weight)
    deviation = np.sqrt(np.average((X - mean) ** 2, axis=0, weights=weight))
    np.testing.assert_allclose([net.x_mean, net.x_scale], [mean, deviation], rtol=1e-13)
    y_mean = np.average(NUMBERS, weights=weight)
    Y = ((NUMBERS - y_mean) / np.sqrt(np.average((NUMBERS - y_mean) ** 2, weights=weight)))[:, None]
    params, losses = reference(N, more, weight, Y, (X - mean) / deviation)
    np.testing.assert_allclose(net.params, params, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(net.history["loss"], losses, rtol=1e-10)


CASES = {
    "classes": {"y": CLASSES, "validation": 0.2, "metric": "score", "class_weight": "balanced"},
    "large batches": {"batch_size": 2000, "optimizer": "sgd", "validation": 0.3},
    "everything": {"dropout": 0.2, "clip_norm": 0.5, "optimizer": "nadam", "schedule": "one_cycle"}
    | {"l2": 0.1, "hidden": (70, 70)},
    "custom loss": {"loss": (lambda y, a: (a - y) ** 4 / 4, lambda y, a: (a - y) ** 3), "dtype": "float64"},
    "quantiles": {
        "loss": "quantile",
        "quantile": (0.1, 0.9),
        "validation": (X[:300] + 0.1, NUMBERS[:300], np.arange(300.0)),
    },
    "in order": {"shuffle": False, "optimizer": "rprop", "batch_size": None},
    "labels": {"y": X[:, :3] > 3, "target_accuracy": 0.9},
}


@pytest.mark.parametrize("case", CASES)
def test_threads_and_chunks_do_not_matter(case):
    more = {"threads": 1} | CASES[case]
    net = learnt(**more)
    one = chunked(N)
    for other in (chunked(701, 2), one[one[:, 0] > -100]):
        assert same(learnt(other, **more | {"threads": 2}), net)
    again = learnt(one, **more | {"seed": 2})
    assert case == "in order" or (again.params != net.params).any()


@given(n=st.integers(8, 10**7), batch_size=st.integers(8, 10**6))
def test_each_shard_has_rows_in_each_batch(n, batch_size):
    count = shards.shard_count(n, batch_size)
    assert count == 1 << (count.bit_length() - 1) <= shards.MOST
    sizes = np.diff(shards.cuts(n, count))
    assert sizes.sum() == n
    assert sizes.min() >= -(-n // batch_size)


@given(cuts=st.lists(st.integers(0, 32), max_size=6))
def test_tree(cuts):
    def add(left, right):
        return f"({left}{right})"

    leaves = [(k, 1, chr(65 + k)) for k in range(32)]
    bounds = sorted({0, *cuts, 32})
    parts = [tree.reduced(leaves[a:b], add) for a, b in itertools.pairwise(bounds)]
    assert tree.total([node for part in parts for node in part], add) == tree.total(leaves, add)


@given(seed=st.integers(0, 2**32), split=st.integers(1, 29))
def test_moments_of_parts(seed, split):
    values = np.random.default_rng(seed).normal(1e6, 1, (30, 3))

    def moments(part):
        return len(part), part.mean(axis=0), np.square(part - part.mean(axis=0)).sum(axis=0)

    found = shards.merged(moments(values[:split]), moments(values[split:]))
    for a, b, rtol in zip(found, moments(values), (0, 1e-14, 1e-8), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol)


def test_it_learns_as_well_as_from_arrays():
    more = {"y": CLASSES, "epochs": 60, "hidden": (16,), "validation": 0.2}
    net, other = learnt(**more), learnt(X, **more)
    assert net.score(X, CLASSES) > 0.9
    assert abs(net.score(X, CLASSES) - other.score(X, CLASSES)) < 0.03


def test_default_batch_size():
    sizes = [fastbp.options.default_shared_batch_size(n) for n in (500, 10**5, 10**6, 10**8)]
    assert sizes == [500, 1024, 8192, 16_384]
    assert learnt(batch_size=None, epochs=1).options["batch_size"] == 1024


def test_a_checkpoint_is_continued(tmp_path):
    path = tmp_path / "run"
    more = {"validation": 0.2, "sample_weight": np.arange(N) + 1.0}
    net = learnt(epochs=6, **more)
    kept = path.with_name("kept")
    learnt(
        epochs=6,
        checkpoint=kept,
        checkpoint_every=2,
        callback=lambda epoch: os.replace(kept, path) if epoch.epoch == 3 else None,
        **more,
    )
    with pytest.raises(ValueError, match="X: expected what the run in"):
        fastbp.resume(path, chunked(array=X + 1), NUMBERS, sample_weight=more["sample_weight"], progress=False)
    found = fastbp.resume(path, chunked(170, 3), NUMBERS, sample_weight=more["sample_weight"], progress=False)
    assert same(found, net)


def test_continuing_from_a_network():
    net = learnt()
    assert same(learnt(chunked(700), init=net, threads=1, epochs=2), learnt(init=net, threads=2, epochs=2))
    assert (learnt(init=net, epochs=0).params == net.params).all()


@pytest.mark.filterwarnings("ignore:.*diverged")
def test_divergence():
    with pytest.raises(FloatingPointError, match=r"training diverged in epoch 1, batch \d of 4: "):
        learnt(optimizer="sgd", learning_rate=1e30)
    bad = X.copy()
    bad[1500, 2] = np.inf
    with pytest.raises(ValueError, match=r"X from sample 0 on: expected finite numbers, got inf at row 1500, column 2"):
        learnt(chunked(array=bad))


def test_other_lazy_arguments():
    y, weight = da.from_array(NUMBERS, chunks=700), da.from_array(np.arange(N) + 1.0, chunks=300)
    validation = (chunked(50, 5, X[:300]), y[:300], weight[:300])
    net = learnt(y=y, sample_weight=weight, validation=validation)
    assert same(
        net, learnt(sample_weight=np.arange(N) + 1.0, validation=(X[:300], NUMBERS[:300], np.arange(300) + 1.0))
    )


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"batch_size": 4}, "batch_size: expected at least 8 samples of a dask collection, got 4 of 2000"),
        ({"batch_size": 0}, "batch_size: expected at least 8 samples of a dask collection, got 0"),
        ({"batch_size": 2.5}, "batch_size: expected an integer of at least 1, got 2.5"),
        ({"inputs": chunked()[:, 0]}, r"X: expected 2 dimensions \(samples, features\), got 1 .* X.reshape\(-1, 1\)"),
        ({"inputs": chunked() + 1j}, "X: expected real numbers, got dtype complex128"),
        ({"inputs": chunked()[:0], "y": []}, "X: expected at least one sample, got none"),
        ({"y": "target"}, "y: expected one target for each sample, got the name 'target'; X must be a table for that"),
        ({"y": NUMBERS[:7]}, "y: expected one target for each of the 2000 samples of X, got 7"),
        ({"validation": (X[:9, :2], NUMBERS[:9])}, r"validation\[0\]: expected 5 features, got 2"),
        ({"validation": (chunked()[:9, :2], NUMBERS[:9])}, r"validation\[0\]: expected 5 features, got 2"),
    ],
)
def test_bad_input(change, text):
    with pytest.raises(ValueError, match=text):
        learnt(**change)


def test_others_take_arrays_in_memory():
    for call in (fastbp.train_many, fastbp.search):
        with pytest.raises(
            ValueError,
            match=r"X: expected an array or a frame in memory, got a dask Array; only fastbp.train takes one",
        ):
            call(chunked(), NUMBERS, [{}] if call is fastbp.train_many else {"l2": [0, 1]})


# Frames


@functools.cache
def frames():
    pd = pytest.importorskip("pandas")
    dd = pytest.importorskip("dask.dataframe")
    frame = pd.DataFrame(X, columns=list("vwxyz"))
    frame["kind"] = np.where(X[:, 0] > 3, "high", "low")
    frame["grade"] = pd.Categorical(np.array(["u", "v", "w"])[RANDOM.integers(0, 3, N)])
    frame["day"] = pd.date_range("2020", periods=N, freq="7h")
    frame.loc[100:400, "kind"] = None
    frame.loc[::7, "w"] = np.nan
    frame["target"] = NUMBERS
    return frame, lambda partitions: dd.from_pandas(frame, npartitions=partitions)


def test_frames():
    frame, lazy = frames()
    more = {"validation": 0.2, "metric": "score"}
    net = learnt(lazy(4), "target", threads=2, **more)
    assert same(learnt(lazy(7), "target", threads=1, **more), net)
    inputs = lazy(3).drop(columns="target")
    assert same(learnt(inputs, lazy(3)["target"], **more), net)
    plain = {"schedule": "constant", "encode": "standard"}  # a table in memory has other defaults
    known = learnt(frame, "target", **more | plain)
    assert net.columns == known.columns
    np.testing.assert_allclose(net.x_mean, known.x_mean, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(net.history["validation_loss"], known.history["validation_loss"], rtol=0.2)
    part = frame.iloc[:300]
    found = [
        learnt(lazy(4), "target", validation=(Xv.drop(columns="target"), part["target"]))
        for Xv in (part, lazy(5).loc[:299])
    ]
    assert same(*found)
    np.testing.assert_array_equal(net.examples, known.examples)


def test_bad_frames():
    _, lazy = frames()
    with pytest.raises(ValueError, match=r"y: expected one of 'v', 'w', .*, got 'targe'; did you mean 'target'"):
        learnt(lazy(2), "targe")
    with pytest.raises(
        ValueError, match=r"validation\[0\]: expected the columns that the network was trained on; missing: 'day'"
    ):
        learnt(lazy(2), "target", validation=(lazy(2).drop(columns="day"), NUMBERS))
    odd = lazy(2).assign(odd=lazy(2)["v"].map(lambda value: [value], meta=("odd", object)))
    with pytest.raises(ValueError, match="X: expected numbers, text, booleans or dates in column 'odd', got a list"):
        learnt(odd, "target")


# On a cluster


@pytest.mark.parametrize("scheduler", ["synchronous", "dask.distributed"])
def test_whatever_scheduler_is_set(scheduler):
    # the last is what remains of a client that was closed before others
    with dask.config.set(scheduler=scheduler):
        assert same(learnt(chunked().persist(scheduler="threads")), learnt())


distributed = pytest.importorskip("distributed")
installation = pytest.importorskip("fastbp.runtime.installation")


def local(workers, processes=False):
    return distributed.LocalCluster(
        n_workers=workers,
        threads_per_worker=1,
        processes=processes,
        dashboard_address=None,
        host="127.0.0.1" if processes else None,
    )


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_do_not_matter(workers):
    nets = {case: learnt(**{"threads": 1} | more) for case, more in CASES.items() if workers == 2 or case == "classes"}
    frame = learnt(frames()[1](5), "target") if workers == 3 else None
    with local(workers) as cluster, distributed.Client(cluster):
        for case, net in nets.items():
            found = learnt(chunked(450), **CASES[case])
            assert found.options["threads"] == workers
            assert same(found, net)
        if frame is not None:
            assert same(learnt(frames()[1](3), "target"), frame)
        with pytest.raises(
            ValueError, match="threads: expected None with a dask client, whose workers have their own, got 1"
        ):
            learnt(threads=1)
        bad = X.copy()
        bad[7, 2] = np.nan
        with pytest.raises(
            ValueError, match=r"X from sample 0 on: expected finite numbers, got nan at row 7, column 2"
        ):
            learnt(chunked(array=bad))


def test_a_client_that_is_closed():
    refused = pytest.raises(
        RuntimeError, match="client: expected one that is connected to its cluster until the end, got one that is clos"
    )
    with local(1) as cluster, distributed.Client(cluster) as client, refused:
        learnt(epochs=9, callback=lambda epoch: client.close() if epoch.epoch == 2 else None)


def test_no_workers():
    refused = pytest.raises(RuntimeError, match="client: expected a cluster with workers, got none at inproc://")
    with local(0) as cluster, distributed.Client(cluster), refused:
        learnt()


def test_workers_with_something_else(monkeypatch):
    with local(1) as cluster, distributed.Client(cluster):
        monkeypatch.setattr(installation, "installation", iter([{"numba": "7"}, {"numba": "8"}]).__next__)
        with pytest.raises(RuntimeError, match=r"client: expected numba 7, as here, on worker inproc://.*, got 8;"):
            learnt()


def kill(client, count=1):
    """Kill this number of workers."""
    pids = [pid for pid in client.run(os.getpid, on_error="return").values() if isinstance(pid, int)]
    for pid in pids[:count]:
        os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def processes():
    with local(2, processes=True) as cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


@pytest.fixture
def client(processes):
    processes.wait_for_workers(2, timeout=60)
    with processes.as_current():
        yield processes


@pytest.mark.parametrize("count", [1, pytest.param(2, marks=pytest.mark.long)])
def test_killed_workers_cost_no_bits(client, count):
    more = {"validation": 0.2, "epochs": 8, "dropout": 0.1}
    net = learnt(callback=lambda epoch: kill(client, count) if epoch.epoch == 3 else None, **more)
    with_none = learnt(X, epochs=0)  # in memory, without a client
    assert with_none.options["threads"] != 0
    client.wait_for_workers(2, timeout=60)
    assert same(learnt(chunked(170).persist(), **more), net)


@pytest.mark.long
def test_killed_during_an_epoch(client):
    threading.Thread(target=lambda: (time.sleep(1), kill(client)), daemon=True).start()
    net = learnt(epochs=300)
    client.wait_for_workers(2, timeout=60)
    assert same(learnt(epochs=300), net)


@pytest.mark.long
def test_rows_that_are_lost(client):
    futures = client.scatter([X[:1000], X[1000:]])
    inputs = da.concatenate([da.from_delayed(future, (1000, 5), X.dtype) for future in futures])
    with pytest.raises(RuntimeError, match="X: expected rows that can be computed, got some that are lost"):
        learnt(inputs, epochs=9, callback=lambda epoch: kill(client) if epoch.epoch == 3 else None)


def fatal(block):
    os._exit(1)


@pytest.mark.long
def test_rows_that_kill_their_workers(client):
    with pytest.raises(
        RuntimeError, match="X: expected rows that can be computed, got some that are lost, or kill their workers"
    ):
        learnt(chunked().map_blocks(fatal, dtype=X.dtype, meta=X[:0]))


def test_ctrl_c(client):
    def interrupt(epoch):
        if epoch.epoch == 2:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(RuntimeWarning, match="training was interrupted after 2 of 9 epochs"):
        net = learnt(epochs=9, callback=interrupt)
    assert net.stop_reason == "interrupted"
    assert (net.params == learnt(epochs=2).params).all()


def test_nothing_remains_on_the_workers(client):
    learnt()
    end = time.monotonic() + 30
    while any(client.run(held).values()):
        assert time.monotonic() < end
        time.sleep(0.05)


def held(dask_worker):
    return len(dask_worker.state.actors) + len(dask_worker.state.tasks)
