"""Networks trained by the workers of a Dask cluster: bit for bit the same, whatever happens to the workers."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_many import CLASSES, NUMBERS, TINY, VARIANTS, X, same

import fastbp
from fastbp.many import jobs, variants
from fastbp.runtime import interruption
from fastbp.training.train import DEFAULTS

distributed = pytest.importorskip("distributed")
cluster = pytest.importorskip("fastbp.many.cluster")

COMMON = {"epochs": 3, "hidden": 4, "seed": 1}
# With the metric `slow`, training takes some tenths of a second on any machine.
WAITS = {"validation": 0.3, "epochs": 4, "hidden": 2, "seed": 1}


def local(workers, **more):
    return distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0", **more)


@pytest.fixture(scope="module")
def started():
    with local(2, host="127.0.0.1") as workers, distributed.Client(workers) as client:
        yield client


@pytest.fixture
def client(started):
    started.wait_for_workers(2, timeout=60)  # some tests kill them
    return started


@pytest.fixture
def one_each(monkeypatch):
    """One task per variant."""
    monkeypatch.setattr(cluster, "LEAST", 0)
    monkeypatch.setattr(cluster, "ENOUGH", 0)


def slow(y, predicted):
    time.sleep(0.1)
    return -float(np.mean(np.abs(y - predicted)))


def equal(nets, others):
    assert len(nets) == len(others)
    assert {k: str(error) for k, error in nets.failures.items()} == {
        k: str(error) for k, error in others.failures.items()
    }
    for k in {*range(len(nets))} - {*nets.failures}:
        assert same(nets[k], others[k])


@pytest.mark.filterwarnings("ignore:.*networks are missing")
def test_train_many(client, one_each):
    variants = [*VARIANTS, {"optimizer": "sgd", "batch_size": 1, "learning_rate": 1e30}]
    found = fastbp.train_many(X, CLASSES, variants, engine=client, progress=False, **COMMON)
    assert list(found.failures) == [len(VARIANTS)]
    equal(found, fastbp.train_many(X, CLASSES, variants, progress=False, **COMMON))


@pytest.mark.filterwarnings("ignore:.*networks are missing")
def test_tiny_networks_side_by_side(client):
    variants = [{"seed": k, "learning_rate": 1e30 if k in (3, 30) else 0.05, "hidden": 1 + k % 2} for k in range(80)]
    found = fastbp.train_many(X, NUMBERS, variants, engine=client, **TINY)
    assert list(found.failures) == [3, 30]
    others = fastbp.train_many(X, NUMBERS, variants, **TINY)
    equal(found, others)
    assert (found[5].predict(X) == others[5].predict(X)).all()


def test_frames(client, one_each):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"a": X[:, 0], "b": np.where(X[:, 1] > 2, "high", "low"), "y": NUMBERS})
    variants = [{"seed": 2}, {"rows": np.arange(50, 90)}, {"validation": 0.2}]
    equal(
        fastbp.train_many(frame, "y", variants, engine=client, **COMMON),
        fastbp.train_many(frame, "y", variants, **COMMON),
    )


def test_cross_validation(client, one_each):
    found, other = (fastbp.cross_validate(X, CLASSES, engine=engine, **COMMON) for engine in (client, None))
    equal(found.networks, other.networks)
    assert (found.predictions == other.predictions).all()


@pytest.mark.parametrize("quality", ["fast", "default"])
def test_quality(client, one_each, quality):
    options = {"hidden": 3, "seed": 1, "quality": quality}
    found, other = (
        fastbp.train_many(X, CLASSES, [{"seed": 1}, {"seed": 2}], engine=engine, **options) for engine in (client, None)
    )
    for model, wanted in zip(found, other, strict=True):
        assert model.options == wanted.options
        assert model.predict_proba(X).tobytes() == wanted.predict_proba(X).tobytes()
    found, other = (fastbp.cross_validate(X, CLASSES, folds=2, engine=engine, **options) for engine in (client, None))
    assert (found.predictions == other.predictions).all()


def test_ensemble(client, one_each):
    found, other = (
        fastbp.ensemble(X, CLASSES, 3, bootstrap=True, engine=engine, **COMMON) for engine in (client, None)
    )
    assert found.predict_proba(X).tobytes() == other.predict_proba(X).tobytes()


@pytest.mark.parametrize(
    "more", [{}, {"patience": 2, "optimizer": "sgd", "batch_size": 1}, {"metric": lambda y, p: np.mean(y == p).item()}]
)
def test_search(client, one_each, more):
    space = {
        "learning_rate": fastbp.Uniform(1e-3, 0.1, log=True),
        "dropout": [0.0, 0.2] if "patience" not in more else [0.0],
    }
    found, other = (
        fastbp.search(X, CLASSES, space, 9, engine=engine, **COMMON | {"epochs": 27} | more)
        for engine in (client, None)
    )
    assert found.trials == other.trials
    assert found.network.params.tobytes() == other.network.params.tobytes()


def test_samples_are_sent_once(client, one_each, monkeypatch):
    sent, scatter = [], client.scatter
    monkeypatch.setattr(client, "scatter", lambda data, **how: (sent.append(data), scatter(data, **how))[1])
    fastbp.search(X, NUMBERS, {"l2": [k / 10 for k in range(9)]}, 9, engine=client, **COMMON | {"epochs": 9})
    assert len(sent) == 1


def wish():
    return interruption.shared.get()


def test_in_this_process(one_each):
    variants = [{"seed": k} for k in range(6)]
    with local(1, processes=False) as workers, distributed.Client(workers) as client:
        equal(
            fastbp.train_many(X, NUMBERS, variants, engine=client, epochs=3),
            fastbp.train_many(X, NUMBERS, variants, epochs=3),
        )
        found, other = (
            fastbp.search(X, NUMBERS, {"l2": [0, 0.1, 0.2]}, engine=engine, **COMMON) for engine in (client, None)
        )
        assert found.trials == other.trials
        assert client.submit(wish).result() is None  # the next task on the worker's thread is not interrupted


def once_busy(client, tasks, action):
    """Call the action when this number of tasks has been running for a while."""

    def wait():
        while sum(map(len, client.processing().values())) < tasks:
            time.sleep(0.01)
        time.sleep(0.2)
        action()

    threading.Thread(target=wait, daemon=True).start()


@pytest.mark.parametrize(
    "killed", [1, pytest.param(2, marks=pytest.mark.long)]
)  # if both are killed, the samples are lost, too
def test_killed_workers_cost_no_results(client, one_each, killed):
    variants = [{"seed": k} for k in range(4)]
    pids = list(client.run(os.getpid).values())[:killed]
    once_busy(client, 2, lambda: [os.kill(pid, signal.SIGKILL) for pid in pids])
    found = fastbp.train_many(X, NUMBERS, variants, engine=client, metric=slow, **WAITS)
    equal(found, fastbp.train_many(X, NUMBERS, variants, metric=slow, **WAITS))
    client.wait_for_workers(2, timeout=60)
    assert set(client.run(os.getpid).values()).isdisjoint(pids)


class OddError(Exception):
    """An error that cannot be unpickled."""

    def __init__(self, one, two):
        super().__init__(f"{one} {two}")


def fails(y, predicted):
    raise OddError("odd", "end")


@pytest.mark.filterwarnings("ignore:.*networks are missing")
def test_custom_errors_come_back(client, one_each):
    found = fastbp.train_many(X, NUMBERS, [{}, {"metric": fails, "validation": 0.2}], engine=client, **COMMON)
    assert list(found.failures) == [1]
    assert "OddError: odd end" in str(found.failures[1])


def deadly(y, predicted):
    time.sleep(1)  # until the others are done
    os._exit(1)


@pytest.mark.long
@pytest.mark.filterwarnings("ignore:.*networks are missing")
def test_a_network_that_kills_its_workers(client, one_each):
    found = fastbp.train_many(
        X, NUMBERS, [{}, {"metric": deadly, "validation": 0.2}, {"seed": 2}], engine=client, **COMMON
    )
    assert list(found.failures) == [1]
    assert re.match(r"variants\[1\]: (Attempted to run task|its workers were lost 3 times)", str(found.failures[1]))


ENDLESS = {"metric": slow, **WAITS, "epochs": 10**5}


def require_idle(client):
    """Assert that workers stop, after the current epoch, tasks that nobody waits for any more."""
    end = time.monotonic() + 60
    while any(client.processing().values()) or any(client.run(active).values()):
        assert time.monotonic() < end
        time.sleep(0.05)


def active(dask_worker):
    return len(dask_worker.active_threads)


def test_a_client_that_is_closed_meanwhile(client, one_each):
    with distributed.Client(client.scheduler.address) as other:
        once_busy(client, 1, other.close)
        with pytest.raises(
            RuntimeError,
            match="engine: the client was closed, or its cluster lost, before any of 1 networks was trained",
        ):
            fastbp.train_many(X, NUMBERS, [ENDLESS], engine=other)
    require_idle(client)


def test_a_closed_client_keeps_what_is_finished(client, one_each, monkeypatch):
    received, variants = cluster._received, [ENDLESS, {"epochs": 1}]
    with distributed.Client(client.scheduler.address) as other:
        # the client is closed when the first result has arrived
        monkeypatch.setattr(cluster, "_received", lambda *given: (other.close(), received(*given))[1])
        text = "1 of 2 networks are missing; the first is .*: the cluster was lost before the network was"
        with pytest.warns(RuntimeWarning, match=text):
            found = fastbp.train_many(X, NUMBERS, variants, engine=other)
    assert found[1].stop_reason == "epochs"
    require_idle(client)


@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_ctrl_c_keeps_what_is_finished(client, one_each, monkeypatch):
    received = cluster._received

    def interrupt(*given):
        threading.Timer(0.2, signal.raise_signal, [signal.SIGINT]).start()
        return received(*given)

    monkeypatch.setattr(cluster, "_received", interrupt)
    with pytest.warns(
        RuntimeWarning, match="1 of 2 networks are missing; the first is .*: Ctrl-C came before the network was trained"
    ):
        found = fastbp.train_many(X, NUMBERS, [ENDLESS, {"epochs": 1}], engine=client)
    assert found[1].stop_reason == "epochs"
    require_idle(client)


# What cannot be used


def test_other_things_than_a_client():
    with pytest.raises(ValueError, match=r"engine: expected a distributed.Client, got 'tcp://10.0.0.1:8786'"):
        fastbp.ensemble(X, NUMBERS, engine="tcp://10.0.0.1:8786")


def test_a_closed_client(client):
    other = distributed.Client(client.scheduler.address)
    other.close()
    with pytest.raises(
        RuntimeError, match="engine: expected a client that is connected to its cluster, got one that is closed"
    ):
        fastbp.cross_validate(X, NUMBERS, engine=other)


def test_no_workers():
    refused = pytest.raises(RuntimeError, match="engine: expected a cluster with workers, got none at inproc://")
    with local(0, processes=False) as workers, distributed.Client(workers) as client, refused:
        fastbp.search(X, NUMBERS, {"l2": [0, 1]}, engine=client)


def test_threads_as_well(client):
    with pytest.raises(ValueError, match="threads: expected None with an engine, whose workers have their own, got 2"):
        fastbp.train_many(X, NUMBERS, [{}], engine=client, threads=2)


@pytest.mark.parametrize("what", cluster.installation())
def test_workers_with_something_else(client, what, monkeypatch):
    there = re.escape(str(cluster.installation()[what]))
    monkeypatch.setitem(cluster.installation(), what, "7")  # in this process only
    with pytest.raises(
        RuntimeError, match=rf"engine: expected {what} 7, as here, on worker tcp://127.0.0.1:\d+, got {there};"
    ):
        fastbp.train_many(X, NUMBERS, [{}], engine=client)


def test_a_worker_with_something_else_that_comes_later(client, monkeypatch):
    executor = cluster.ClusterExecutor(client)
    monkeypatch.setitem(executor.here, "numba", "7")
    variant = variants.read_variant("variants[0]", 0, {}, DEFAULTS, len(X))
    (failure,) = executor.run([jobs.Job([variant], 1.0)], jobs.Dataset(X, NUMBERS), False, "").values()
    assert re.search(r"variants\[0\]: engine: expected numba 7, as here, on worker", str(failure))


def hidden(dask_worker):
    import sys

    sys.modules["fastbp.runtime.installation"] = None  # as if it were not installed


def shown(dask_worker):
    import sys

    del sys.modules["fastbp.runtime.installation"]


def test_workers_without_fastbp(client):
    client.run(hidden)
    try:
        with pytest.raises(
            RuntimeError, match=r"engine: expected fastbp \S+ on worker tcp://127.0.0.1:\d+, got ModuleNotFoundError"
        ):
            fastbp.train_many(X, NUMBERS, [{}], engine=client)
    finally:
        client.run(shown)


# Chunks


@given(st.lists(st.floats(0, 2) | st.sampled_from([0.0, 1e-3]), min_size=1, max_size=60), st.integers(1, 64))
def test_chunks(seconds, threads):
    chunks = cluster.chunks([jobs.Job([k], cost) for k, cost in enumerate(seconds)], threads)
    assert sorted(job.variants[0] for chunk in chunks for job in chunk) == list(range(len(seconds)))
    sums = [sum(job.seconds for job in chunk) for chunk in chunks]
    assert sums == sorted(sums, reverse=True)
    assert min(sums) >= min(cluster.LEAST, sum(seconds)) * (1 - 1e-9)
    for chunk, total in zip(chunks, sums, strict=True):
        assert [job.seconds for job in chunk] == sorted((job.seconds for job in chunk), reverse=True)
        assert total - chunk[0].seconds <= cluster.ENOUGH + cluster.LEAST
