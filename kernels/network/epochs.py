"""
Epoch after epoch in one call (L29): new random orders, watched samples measured, the weights of the best epoch kept.

Where an epoch takes microseconds, what Python does between two of them would take most of the time, and threads would
wait for each other.
"""

import types
from typing import Any, NamedTuple

import numpy as np

from ..compiler.jit import inner, njit
from ..layer.evaluation import evaluate
from ..layer.optimizer import rates_of
from .arguments import Updates
from .forward import forward
from .random import shuffle


class Pass(NamedTuple):
    """
    What one pass over the samples gives.

    Attributes
    ----------
    loss : float
        Mean loss of the samples, each before its batch's update, without the penalty.
    correct : float
        Share of the samples that were decided rightly.
    penalty : float
        Mean over the samples of their batch's l2/2 sum w^2.
    failed : int
        Number (from 0) of the first batch whose loss was not finite, before whose update the pass ended; -1 if there
        was none.
    """

    loss: float
    correct: float
    penalty: float
    failed: int


class Orders(NamedTuple):
    """The order of the samples, and the stream (see `random`) that each epoch's is drawn from, if it is shuffled."""

    order: Any
    stream: Any
    shuffled: Any


class Watched(NamedTuple):
    """Samples that are measured after each epoch, and room for their outputs."""

    X: Any
    Y: Any
    weight: Any
    outputs: Any


class Record(NamedTuple):
    """
    What is kept of the epochs.

    ``rows`` has a row per epoch: loss and share decided rightly, and both of the samples that are watched. ``before``
    are the weights before the last epoch, ``best`` those of the epoch (``best_epoch[0]``, from 1) whose loss of the
    samples watched (``least[0]``) is the least.
    """

    rows: Any
    before: Any
    best: Any
    least: Any
    best_epoch: Any


@inner
def mean(sums, first, n):
    """Every second of the sums, from `first` on, added up in order, over n."""
    total = 0.0
    for k in range(first, sums.size, 2):
        total += sums[k]
    return total / n


@inner
def _begin(orders, record, params):
    """Before an epoch."""
    order = orders.order
    for i in range(params.size):
        record.before[i] = params[i]
    if orders.shuffled:
        for s in range(order.size):
            order[s] = s
        shuffle(orders.stream, order)


@inner
def _end(row, net, params, watched, record, done):
    """After the epoch of that number of the run: whether losses and weights are finite."""
    finite = np.isfinite(row[0])
    for i in range(params.size):
        finite = finite and np.isfinite(params[i])
    # Numba leaves out of the compiled code what follows `is not None` where an argument is None.
    if watched is not None and finite:
        X, Y, weight, outputs = watched
        forward(X, net.sizes, net.activations, params, outputs)
        last = net.activations[net.activations.size - 1]
        row[2], row[3] = evaluate(net.loss, net.loss_parameter, last, net.decision, outputs, Y, weight)
        if row[2] < record.least[0] or done == 1:
            record.least[0], record.best_epoch[0] = row[2], done
            for i in range(params.size):
                record.best[i] = params[i]
    return finite


one_pass: Any = None  # one of the loops, in each compiled version of what follows


def _batch_epochs(data, training, updates, orders, watched, record, done, patience):
    """
    As many epochs of mini-batches as `record` has rows, after `done` others.

    Returns how many went well, and whether the next has failed.
    """
    (net, params, _, work), (batch_size, made, rates, penalties) = training, updates
    n = orders.order.size
    batches = (n + batch_size - 1) // batch_size
    for epoch in range(record.rows.shape[0]):
        _begin(orders, record, params)
        first, row = epoch * batches, record.rows[epoch]
        now = slice(first, first + batches)
        one_pass(*data, training, orders.order, Updates(batch_size, made + first, rates[now], penalties[now]))
        row[0], row[1] = mean(work.results[:-2], 0, n), mean(work.results[:-2], 1, n)
        if not _end(row, net, params, watched, record, done + epoch + 1):
            return epoch, True
        if done + epoch + 1 - record.best_epoch[0] >= patience:
            return epoch + 1, False
    return record.rows.shape[0], False


def _sample_epochs(data, orders, watched, record, done, patience):
    """The same for per-sample learning; `data` is what the loop takes but for the order."""
    _, net, params, _, memory = data
    n = orders.order.size
    for epoch in range(record.rows.shape[0]):
        _begin(orders, record, params)
        row = record.rows[epoch]
        one_pass(*data, orders.order)
        row[0], row[1] = mean(memory.results[:2], 0, n), mean(memory.results[:2], 1, n)
        if not _end(row, net, params, watched, record, done + epoch + 1):
            return epoch, True
        if done + epoch + 1 - record.best_epoch[0] >= patience:
            return epoch + 1, False
    return record.rows.shape[0], False


def _compiled_with(one_pass, epochs):
    """Compile `epochs` with the loop `one_pass`, under a name of its own."""
    names = epochs.__globals__ | {"one_pass": one_pass}
    clone = types.FunctionType(epochs.__code__, names, epochs.__name__)
    clone.__qualname__, clone.__module__ = f"{epochs.__qualname__}{one_pass.py_func.__name__}", epochs.__module__
    return njit(clone)


def batch_epochs(one_pass):
    """Epochs of mini-batches by `one_pass`, one of the ways through them."""
    return _compiled_with(one_pass, _batch_epochs)


def sample_epochs(one_pass):
    """Epochs of per-sample learning by `one_pass`."""
    return _compiled_with(one_pass, _sample_epochs)


class Loop:
    """A pass over the samples, checked and with its memory; and many, where there is a compiled loop over them."""

    def __init__(self, one_pass, several):
        self._one_pass, self._several = one_pass, several

    @property
    def repeats(self):
        """Whether there is a loop over epochs."""
        return self._several is not None

    @property
    def kept(self):
        """Whether it has been compiled before."""
        return self._several._cache.kept


class Batches(Loop):
    """What `prepare_minibatch` returns."""

    def __init__(self, one_pass, several, data, training, n, batch_size):
        super().__init__(one_pass, several)
        self._data, self._training, self._results = data, training, training.work.results
        self._n, self._batch_size = n, batch_size

    def __call__(self, order, step, learning_rate, l2):
        """Make a pass."""
        m, results = order.size, self._results
        if not 0 < m <= self._n:
            raise ValueError(
                "prepare_minibatch: order must hold 1 to n numbers of samples; (n, order) are", self._n, order.shape
            )
        updates = self._updates(-(-m // self._batch_size), step, learning_rate, l2)
        self._one_pass(*self._data, self._training, order, updates)
        loss, correct = (np.cumsum(results[k:-2:2])[-1] / m for k in range(2))  # in order, as `mean` does
        return Pass(loss, correct, results[-2] / m, int(results[-1]) - 1)

    def several(self, step, learning_rate, l2, orders, watched, record, done, patience):
        """Make a pass for each row of `record`: as `_batch_epochs`, but with `Pass.failed`, or None if none has."""
        batches = len(record.rows) * -(-orders.order.size // self._batch_size)
        updates = self._updates(batches, step, learning_rate, l2)
        good, failed = self._several(self._data, self._training, updates, orders, watched, record, done, patience)
        return good, int(self._results[-1]) - 1 if failed else None

    def _updates(self, batches, step, learning_rate, l2):
        return Updates(self._batch_size, step, *rates_of(batches, learning_rate, l2))


class Samplewise(Loop):
    """What `prepare_online` returns."""

    def __init__(self, one_pass, several, data):
        super().__init__(one_pass, several)
        self._data, self._results = data, data[-1].results

    def __call__(self, order):
        """Make a pass."""
        self._one_pass(*self._data, order)
        loss, correct, failed = self._results
        return Pass(loss / order.size, correct / order.size, 0.0, int(failed) - 1)

    def several(self, orders, watched, record, done, patience):
        """Make a pass for each row of `record`: as `_sample_epochs`, but with `Pass.failed`, or None if none has."""
        good, failed = self._several(self._data, orders, watched, record, done, patience)
        return good, int(self._results[2]) - 1 if failed else None
