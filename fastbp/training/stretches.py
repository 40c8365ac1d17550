"""Stretches of epochs: many short ones in one compiled call, where nobody looks at each."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.internal import epochs, random

from .. import checks, compilation
from .standing import columns

if TYPE_CHECKING:
    from .learner import Local
    from .standing import Standing

# Seconds of a stretch, after which Ctrl-C is heard and the bar moves.
SECONDS = 0.1
# Epochs that went without a compiled loop over epochs after which it it pays: what Python does in so many takes as long as to compile it,
# or to read it from the disk.
COMPILED_FROM, READ_FROM = 20_000, 1000
# Columns of the rows of `epochs.Record`.
MEASURED = ("loss", "accuracy", "validation_loss", "validation_accuracy")
_without: Counter[tuple[str, str]] = Counter()


def stream_of(generator: np.random.Generator | None) -> NDArray[np.uint64]:
    """Where a generator stands, as compiled code takes it."""
    stream = np.zeros(random.LENGTH, np.uint64)
    if generator is not None:
        state = generator.bit_generator.state
        number, increment = state["state"]["state"], state["state"]["inc"]
        parts = [number >> 64, number, increment >> 64, increment, state["has_uint32"], state["uinteger"]]
        stream[:] = [part & 0xFFFF_FFFF_FFFF_FFFF for part in parts]
    return stream


def move(generator: np.random.Generator, stream: NDArray[np.uint64]) -> None:
    """Put a generator where a stream stands."""
    high, low, increment_high, increment_low, held, half = stream.tolist()
    state = {"state": high << 64 | low, "inc": increment_high << 64 | increment_low}
    generator.bit_generator.state = {"bit_generator": "PCG64", "state": state, "has_uint32": held, "uinteger": half}


class Stretches:
    """
    The epochs of a run, many in a call.

    Parameters
    ----------
    learner : Local
    """

    def __init__(self, learner: Local) -> None:
        self.learner, self.watched, held_out = learner, None, learner.held_out
        if held_out is not None:
            samples = map(checks.frozen, (held_out.X, held_out.Y, held_out.weight))
            self.watched = epochs.Watched(*samples, np.empty(held_out.Y.shape, learner.params.dtype))
        self.name = f"{learner.kernel_names[0]} epochs{' watched' * (held_out is not None)}"
        self._columns = columns(learner.net, held_out is not None, False)
        self._kept = [MEASURED.index(name) for name in self._columns if name != "seconds"]
        self._seconds = SECONDS  # of an epoch: the first stretch is one

    def ready(self) -> bool:
        """Whether the loop is compiled, or has come to pay; if not, this epoch is noted as one that went without."""
        key = self.name, self.learner.params.dtype.name
        if compilation.is_ready(*key):
            return True
        _without[key] += 1
        if _without[key] == READ_FROM and self.learner.loop.kept:  # on disk
            _without[key] = COMPILED_FROM
        if _without[key] < COMPILED_FROM:
            return False
        compilation.prepare([self.name], key[1], False)
        return True

    def learn(self, at: Standing, before: NDArray[Any], last: int, started: float) -> int | None:
        """
        Go on for a while.

        Parameters
        ----------
        at : Standing
            Where the run stands.
        before : array
            Overwritten with the weights before the last epoch.
        last : int
            Epoch after which to stop.
        started : float
            When the run began.

        Returns
        -------
        int or None
            Where the next epoch has failed, see `kernels.Pass`; None where none has.
        """
        learner, done = self.learner, len(at.rows)
        count = max(1, min(last - done, int(SECONDS / self._seconds)))
        record = epochs.Record(np.empty((count, 4)), before, at.best, np.array([at.least]), np.array([at.best_epoch]))
        if learner.order is None:
            learner.order = np.arange(len(learner.data.X), dtype=np.int64)
        orders = epochs.Orders(learner.order, stream_of(at.random), at.random is not None)
        patience = learner.plan.patience or np.iinfo(np.int64).max
        begun = time.perf_counter()
        good, failed = learner.loop.several(*learner.paces(count), orders, self.watched, record, done, patience)
        now = time.perf_counter()
        learner.step += good * learner.batches
        self._seconds = (now - begun) / max(1, good)
        if at.random is not None:
            move(at.random, orders.stream)
        at.least, at.best_epoch = float(record.least[0]), int(record.best_epoch[0])
        seconds = np.linspace(begun, now, good + 1)[1:] - started
        for row, second in zip(record.rows[:good, self._kept].tolist(), seconds.tolist(), strict=True):
            at.rows.append(dict(zip(self._columns, [*row, second], strict=True)))
        return failed
