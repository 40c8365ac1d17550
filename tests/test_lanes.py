"""Many tiny networks side by side: each is bit for bit that of `prepare_online`, in the orders that NumPy draws."""

import itertools
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from naive import BASIC, BASIC_PAIRS, COSTLY_DTYPES, DTYPES, Arena
from numba import njit
from tasks import DECISIONS, Task, compiled, frozen, seeds
from widths import run_at_other_widths

from fastbp import kernels
from fastbp.kernels.network import random as streams_of
from fastbp.kernels.network.arguments import Net, Samples
from fastbp.kernels.samplewise import tiny_lanes, tiny_many

PAIRS = [pair for pair in BASIC_PAIRS if pair[1] != "softmax"]


class Many:
    """Networks of one shape on the samples of a task, each with its own weights, rate, l2 and stream."""

    def __init__(self, task, networks, epochs, rates=(0.1, 0.5, 0.02), l2=(0.0, 0.05), shuffled=True):
        self.task, self.networks, self.shuffled = task, networks, shuffled
        random = np.random.default_rng(networks)
        self.params = random.uniform(-0.5, 0.5, (networks, task.params.size)).astype(task.dtype)
        self.rates, self.l2 = (np.resize(np.array(x, float), networks) for x in (rates, l2))
        self.streams, self.generators = np.empty((networks, streams_of.LENGTH), np.uint64), []
        for k, child in enumerate(np.random.SeedSequence(5).spawn(networks)):
            streams_of.seed_child(np.array([5], np.uint32), k, self.streams[k])
            self.generators.append(np.random.default_rng(child))
        self.losses, self.corrects = np.full((2, epochs, networks), 7.0)
        self.failed = np.full(networks, 7)

    def arguments(self, part=slice(None)):
        task, (sizes, activations, loss, _, decision) = self.task, self.task.codes()
        network = (sizes, activations, loss, decision)
        learning = (self.params[part], self.rates[part], self.l2[part], self.streams[part], self.shuffled)
        results = (self.losses[:, part], self.corrects[:, part], self.failed[part])
        return [task.X, task.Y, task.weight, *network, *learning, *results]

    def alone(self, k, params):
        """Train one network alone, as `fastbp.train` does; returns losses, shares, and the epoch that failed."""
        task, generator = self.task, self.generators[k]
        epoch = kernels.prepare_online(task.X, task.Y, task.weight, *task.codes(), params, self.rates[k], self.l2[k])
        losses, corrects = np.full((2, len(self.losses)), np.nan)
        for number in range(len(losses)):
            before, order = params.copy(), generator.permutation(task.n) if self.shuffled else np.arange(task.n)
            found = epoch(order)
            if not (np.isfinite(found.loss) and np.isfinite(params).all()):
                params[:] = before
                return losses, corrects, number
            losses[number], corrects[number] = found.loss, found.correct
        return losses, corrects, -1

    def check(self, run=kernels.online_many):
        """Train in guarded arrays; every network must be bit for bit as if trained alone."""
        before, arenas = self.params.copy(), [Arena(self.task.dtype), Arena()]
        self.params = arenas[0].put(self.params, written=True)
        self.losses, self.corrects = (arenas[1].put(x, written=True) for x in (self.losses, self.corrects))
        with np.errstate(all="ignore"):
            run(*self.arguments())
            for k in range(self.networks):
                losses, corrects, failed = self.alone(k, before[k])
                assert self.failed[k] == failed
                assert self.params[k].tobytes() == before[k].tobytes()
                assert self.losses[:, k].tobytes() == losses.tobytes()
                assert self.corrects[:, k].tobytes() == corrects.tobytes()
                state = self.generators[k].bit_generator.state
                high, low, *_, held, half = map(int, self.streams[k])
                assert (high << 64 | low, held) == (state["state"]["state"], state["has_uint32"])
                assert not held or half == state["uinteger"]
        for arena in arenas:
            arena.check()


def groups(dtype, extra=3):
    """How many networks fill the lanes, and some more."""
    return tiny_lanes.ROW_BYTES // np.dtype(dtype).itemsize + extra


@pytest.mark.parametrize("dtype", COSTLY_DTYPES)
@pytest.mark.parametrize("pair", PAIRS, ids="-".join)
@pytest.mark.parametrize("hidden", BASIC)
def test_bits_of_one_network_alone(hidden, pair, dtype):
    for number, (decision, sizes) in enumerate(itertools.product(DECISIONS, [(2, 2, 1), (3, 4, 3), (16, 1, 4, 2)])):
        task = Task(sizes, 7 - number % 2, number, dtype, hidden, pair, decision)
        Many(task, groups(dtype), 2, shuffled=number % 3 < 2).check()


@given(
    sizes=st.tuples(st.integers(1, 16), st.lists(st.integers(1, 4), min_size=1, max_size=3)),
    n=st.integers(0, 40),
    networks=st.integers(0, 40),
    epochs=st.integers(0, 4),
    codes=st.tuples(st.sampled_from(BASIC), st.sampled_from(PAIRS), st.sampled_from(list(DECISIONS))),
    dtype=st.sampled_from(DTYPES),
    shuffled=st.booleans(),
    seed=seeds,
)
def test_bits_of_any_shape(sizes, n, networks, epochs, codes, dtype, shuffled, seed):
    task = Task((sizes[0], *sizes[1]), n, seed, dtype, *codes)
    Many(task, networks, epochs, shuffled=shuffled).check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 300, 5000])
def test_bits_of_long_orders_and_many_epochs(n, dtype):
    Many(Task((2, 2, 1), n, 1, dtype, decision="threshold"), groups(dtype), 1 + 600 // n).check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("hidden", ["identity", "relu"])
def test_bits_next_to_networks_that_fail(hidden, dtype):
    task = Task((3, 4, 2), 6, 2, dtype, hidden, ("squared_error", "identity"))
    rates, l2 = (0.05, 1e4, np.nan, 0.01, np.inf, 2.0, -0.1), (0.0, 0.1, np.inf, 0.0, 0.02, np.nan)
    case = Many(task, 2 * groups(dtype), 5, rates, l2)
    case.check()
    assert len(set(case.failed)) > 2  # some in the first epoch, some later, some never
    assert case.failed.min() == -1


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ["X", "Y", "weight"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_bits_of_samples_that_are_not_finite(value, name, dtype):
    # all fail in the first epoch, and keep their weights
    task = Task((2, 3, 1), 5, 3, dtype)
    array = np.array(getattr(task, name))
    array[3] = value
    setattr(task, name, frozen(array))
    case = Many(task, groups(dtype), 3)
    before = case.params.copy()
    case.check()
    assert (case.failed == 0).all()
    np.testing.assert_array_equal(case.params, before)


def test_bits_of_two_calls():
    one, two = (Many(Task((2, 2, 1), 5), 20, epochs) for epochs in (7, 4))
    kernels.online_many(*one.arguments())
    kernels.online_many(*two.arguments())
    first, two.losses, two.corrects = two.losses, *np.empty((2, 3, 20))
    kernels.online_many(*two.arguments())
    np.testing.assert_array_equal(two.params, one.params)
    np.testing.assert_array_equal([*first, *two.losses], one.losses)


def test_bits_of_no_samples():
    case = Many(Task((2, 3, 1), 0), 3, 2)
    case.check()
    assert (case.failed == 0).all()


def user_online_many(*arguments):
    kernels.online_many(*arguments)


@pytest.mark.thorough
def test_in_users_njit():
    Many(Task((2, 3, 1), 5), groups(float), 2).check(compiled(user_online_many))


def test_ranges_of_networks_in_threads():
    def split(*_):
        results = [(slice(0, 20), *np.empty((2, 3, 20))), (slice(20, 50), *np.empty((2, 3, 30)))]

        def learn(part, losses, corrects):
            *head, _, _, failed = case.arguments(part)
            kernels.online_many(*head, losses, corrects, failed)

        running = [threading.Thread(target=learn, args=result) for result in results]
        for thread in running:
            thread.start()
        for thread, (part, losses, corrects) in zip(running, results, strict=True):
            thread.join()
            case.losses[:, part], case.corrects[:, part] = losses, corrects

    case = Many(Task((2, 2, 1), 4), 50, 3)
    case.check(split)


# Wrong arguments, each in place of a good one, for 5 networks 2-3-2, 5 samples and 2 epochs
NAMES = ("X", "Y", "weight", "sizes", "activations", "loss", "decision", "params")
NAMES += ("learning_rates", "l2", "streams", "shuffled", "losses", "corrects", "failed")
REFUSED = {
    "activation": ("activations", np.array([4, 1])),
    "loss": ("loss", 2),
    "no loss": ("loss", -1),
    "log-loss of tanh": ("loss", 1),
    "decision": ("decision", 3),
    "inputs": ("X", np.ones((5, 3))),
    "columns of Y": ("Y", np.ones((5, 1))),
    "rows of Y": ("Y", np.ones((4, 2))),
    "order of X": ("X", np.ones((2, 5)).T),
    "weight": ("weight", np.ones(4)),
    "gaps in weight": ("weight", np.ones(10)[::2]),
    "sizes": ("sizes", np.array([2, 5, 2])),
    "params": ("params", np.ones((5, 18))),
    "learning_rates": ("learning_rates", np.ones(4)),
    "l2": ("l2", np.ones(6)),
    "streams of others": ("streams", np.ones((4, 6), np.uint64)),
    "streams of other numbers": ("streams", np.ones((5, 6))),
    "short streams": ("streams", np.ones((5, 5), np.uint64)),
    "losses of others": ("losses", np.ones((2, 4))),
    "epochs": ("corrects", np.ones((3, 5))),
    "order of losses": ("losses", np.ones((5, 2)).T),
    "order of corrects": ("corrects", np.ones((5, 2)).T),
    "failed": ("failed", np.ones(4, np.int64)),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(case):
    good = Many(Task((2, 3, 2), 5, pair=("squared_error", "tanh")), 5, 2)
    name, value = REFUSED[case]
    arguments = good.arguments()
    arguments[NAMES.index(name)] = value
    before = [np.array(x) for x in arguments]
    with pytest.raises(ValueError, match=name.removesuffix("s") if name != "sizes" else "params"):
        kernels.online_many(*arguments)
    for x, y in zip(arguments, before, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("sizes", [(17, 2), (2, 5, 1), (2, 2, 5)], ids=str)
def test_refuses_larger_networks(sizes):
    with pytest.raises(ValueError, match="sizes up to 16 inputs"):
        kernels.online_many(*Many(Task(sizes, 5), 3, 1).arguments())


def test_the_loop_allocates_nothing(allocations):
    # no more than a function that does nothing with the same arguments
    case = Many(Task((2, 2, 1), 5), 40, 3)
    X, Y, weight, sizes, activations, loss, decision, params, rates, l2, streams, shuffled, *found = case.arguments()
    net, networks = Net(sizes, activations, loss, weight[:0], decision), tiny_many.Networks(params, rates, l2, streams)
    memory = tiny_many.lanes_space(5, sizes, params)
    arguments = (Samples(X, Y, weight), net, networks, shuffled, tiny_many.Found(*found), memory)
    assert allocations(tiny_many._many_epochs, *arguments) == allocations(njit(lambda *arguments: None), *arguments)


@pytest.mark.thorough
def test_every_width():
    # one dtype each, to save time
    run_at_other_widths(
        ["lanes"], lambda width: f"bits and not any_shape and {'float32' if width == 16 else 'float64'}"
    )
