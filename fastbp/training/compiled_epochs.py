"""Many short epochs in one compiled call, if nothing has to look at each."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.internal import epochs, random

from .. import checks, compilation
from .state import history_columns

if TYPE_CHECKING:
    from .learner import LocalLearner
    from .state import TrainingState

# Seconds of a call, after which Ctrl-C takes effect and the bar moves.
SECONDS = 0.1
# Epochs run one by one before the loop over epochs pays: to run as many in Python takes as long as to compile the
# loop (a second), or to read it from the disk (10 ms).
COMPILED_FROM, READ_FROM = 20_000, 300
# Columns of the rows of `epochs.Record`.
MEASURED = ("loss", "accuracy", "validation_loss", "validation_accuracy")
_run_singly: Counter[tuple[str, str]] = Counter()
# What ran last, and its seconds of an epoch: of many equal networks, only the first needs a call to find out.
_last: tuple[tuple[Any, ...], float] = (), SECONDS


def stream_of(generator: np.random.Generator | None) -> NDArray[np.uint64]:
    """The state of a generator, in the form that compiled code takes."""
    stream = np.zeros(random.LENGTH, np.uint64)
    if generator is not None:
        state = generator.bit_generator.state
        number, increment = state["state"]["state"], state["state"]["inc"]
        parts = [number >> 64, number, increment >> 64, increment, state["has_uint32"], state["uinteger"]]
        stream[:] = [part & 0xFFFF_FFFF_FFFF_FFFF for part in parts]
    return stream


def set_state(generator: np.random.Generator, stream: NDArray[np.uint64]) -> None:
    """Set the state of a generator to that of a stream."""
    high, low, increment_high, increment_low, held, half = stream.tolist()
    state = {"state": high << 64 | low, "inc": increment_high << 64 | increment_low}
    generator.bit_generator.state = {"bit_generator": "PCG64", "state": state, "has_uint32": held, "uinteger": half}


class CompiledEpochs:
    """
    Runs many epochs in a call: a `state.EpochRunner`.

    Parameters
    ----------
    learner : LocalLearner
    progress : bool or None
        As in `fastbp.train`: whether to show that the loop is compiled.
    """

    def __init__(self, learner: LocalLearner, progress: bool | None) -> None:
        self.learner, self.progress, self.validation, validation = learner, progress, None, learner.validation
        if validation is not None:
            samples = map(checks.frozen, (validation.X, validation.Y, validation.weight))
            self.validation = epochs.Watched(*samples, np.empty(validation.Y.shape, learner.params.dtype))
        self.name = f"{learner.kernel_names[0]} epochs{' validated' * (validation is not None)}"
        self._columns = history_columns(learner.net, learner.hyper.optimizer, validation is not None, False)
        self._kept = [MEASURED.index(name) for name in self._columns if name != "seconds"]
        rows = len(learner.training.X), learner.hyper.batch_size, 0 if validation is None else len(validation.X)
        self._work = self.name, learner.params.dtype, learner.net.sizes, *rows
        work, seconds = _last
        self._seconds = seconds if work == self._work else SECONDS  # of an epoch: the first call runs one

    def ready(self) -> bool:
        """Whether the loop is compiled, or now pays; if not, this epoch counts as one that was run singly."""
        key = self.name, self.learner.params.dtype.name
        if compilation.is_ready(*key):
            return True
        # Two threads may count the same epoch, but none passes over a number that is compared here.
        count = _run_singly[key] = _run_singly[key] + 1
        pays = count == READ_FROM and self.learner.loop.kept  # on disk
        if not pays and count < COMPILED_FROM:
            return False
        compilation.prepare([self.name], key[1], self.progress)
        return True

    def advance(self, state: TrainingState, before: NDArray[Any], last: int, started: float) -> int | None:
        """Run as many epochs as fit into a tenth of a second, one at least."""
        global _last
        learner, done = self.learner, len(state.rows)
        count = max(1, min(last - done, int(SECONDS / self._seconds)))
        best = state.best_params, np.array([state.best_cost]), np.array([state.best_epoch])
        record = epochs.Record(np.empty((count, 4)), before, *best)
        if learner.order is None:
            learner.order = np.arange(len(learner.training.X), dtype=np.int64)
        orders = epochs.Orders(learner.order, stream_of(state.random), state.random is not None)
        patience = learner.hyper.patience or np.iinfo(np.int64).max
        begun = time.perf_counter()
        good, failed = learner.loop.several(*learner.steps(count), orders, self.validation, record, done, patience)
        now = time.perf_counter()
        learner.step += good * learner.batches
        self._seconds = (now - begun) / max(1, good)
        if failed is None:
            _last = self._work, self._seconds
        if state.random is not None:
            set_state(state.random, orders.stream)
        state.best_cost, state.best_epoch = float(record.least[0]), int(record.best_epoch[0])
        seconds = np.linspace(begun, now, good + 1)[1:] - started
        for row, second in zip(record.rows[:good, self._kept].tolist(), seconds.tolist(), strict=True):
            state.rows.append(dict(zip(self._columns, [*row, second], strict=True)))
        return failed
