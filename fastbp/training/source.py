"""Where the samples of a run come from, and what learns from them: here, arrays and frames in memory."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import checks, compilation, memory, tables
from ..data import reading, samples
from ..data.sparse import SparseRows
from ..model.ensemble import Ensemble, members
from ..model.network import Network, freeze
from ..options import Architecture, Hyperparameters
from ..second_order.learner import SecondOrderLearner
from ..second_order.options import NAMES
from . import checkpoint
from .learner import LocalLearner
from .state import Learner, TrainingState

# Makes a learner of the state of a run, its hyperparameters and its seed.
LearnerFactory = Callable[[TrainingState, Hyperparameters, int], Learner]
# Numbers of the training rows, and the weight of each; None: all have the same.
Training = tuple[NDArray[np.int64], NDArray[np.float64] | None]


class Source(Protocol):
    """
    Reads the samples of one run, and makes what learns from them.

    Attributes
    ----------
    threads : int
        Threads that compute at a time.
    """

    threads: int

    def gather(self, value: Any) -> Any:
        """A small thing, such as y, in this process."""

    def read_table(self, X: Any, y: Any, options: Mapping[str, Any]) -> reading.Table:
        """See `reading.read_table`."""

    def read_inputs(
        self, table: reading.Table, training: Training, start: Network | None, piecewise: bool
    ) -> tuple[Any, tables.Columns | None]:
        """See `samples.read_inputs`: the inputs, and how a frame is encoded."""

    def read_validation(self, name: str, X: Any, columns: tables.Columns | None, count: int) -> Any:
        """See `tables.inputs`: the inputs of the user's own validation samples."""

    def batch_size(self, n: int, asked: Mapping[str, Any]) -> Any:
        """The batch size asked for, or an unusual default for n training samples."""

    def place(self, parts: samples.Parts, net: Architecture, hyper: Hyperparameters, dtype: np.dtype[Any]) -> None:
        """Bring the samples where they will be learnt from; raises ValueError if that cannot be done."""

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each input over the training samples."""

    def digest(self, validation: bool, *others: Any) -> list[str]:
        """See `checkpoint.digest`, of all inputs (or the user's own validation inputs) and further arrays."""

    def examples(self) -> NDArray[np.float64] | None:
        """See `samples.EncodedInputs.examples`."""

    def predicted(self, net: Network) -> NDArray[Any]:
        """What `net` predicts for the validation samples."""

    def learner(
        self, net: Architecture, scaling: samples.Scaling, dtype: np.dtype[Any], predicts: bool
    ) -> LearnerFactory:
        """What makes a learner; `predicts`: `predicted` will be called."""

    def close(self) -> None:
        """The run has ended."""


class MemorySource:
    """Samples in memory, or in a memory-mapped file."""

    training: samples.Ready
    in_pieces: bool
    columns: tables.Columns | None
    validation: samples.Ready | None
    parts: samples.Parts

    def __init__(self, threads: Any) -> None:
        self.threads = compilation.thread_count(threads)

    def gather(self, value: Any) -> Any:
        """The value itself."""
        return value

    def read_table(self, X: Any, y: Any, options: Mapping[str, Any]) -> reading.Table:
        """See `reading.read_table`."""
        return reading.read_table(X, y, options)

    def read_inputs(
        self, table: reading.Table, training: Training, start: Network | None, piecewise: bool
    ) -> tuple[NDArray[Any], tables.Columns | None]:
        """See `samples.read_inputs`."""
        encoded = samples.read_inputs(table, *training, start, piecewise)
        # Networks of many variants share them: a copy for each took more time than all else around their training.
        self.examples = functools.cache(lambda: freeze(encoded.examples(training[0])))
        self.inputs, self.columns = encoded.inputs, encoded.columns
        return encoded.inputs, encoded.columns

    def read_validation(self, name: str, X: Any, columns: tables.Columns | None, count: int) -> Any:
        """See `tables.inputs`."""
        return SparseRows.of(name, X, count) if checks.is_sparse(X) else tables.inputs(name, X, columns, count)

    def batch_size(self, n: int, asked: Mapping[str, Any]) -> Any:
        """The one asked for."""
        return asked["batch_size"]

    def place(self, parts: samples.Parts, net: Architecture, hyper: Hyperparameters, dtype: np.dtype[Any]) -> None:
        """Leave them where they are; raises ValueError if there is no memory for the run."""
        memory.require_training(net, hyper, len(parts.train), dtype)
        if hyper.optimizer == "sgd" and hyper.batch_size == 1 and isinstance(parts.train.X, SparseRows):
            raise ValueError("batch_size: expected at least 2 samples of a sparse matrix, got 1")
        self.parts = parts
        # the lecture's own rule, a network of one layer, and optimizers of all samples take the inputs as they are
        self.in_pieces = len(net.sizes) > 2 and not (hyper.optimizer == "sgd" and hyper.batch_size == 1)
        self.in_pieces &= hyper.optimizer not in NAMES

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each input."""
        return self.parts.train.moments(self.columns)

    def digest(self, validation: bool, *others: Any) -> list[str]:
        """Digest of inputs and further arrays."""
        rows = self.parts.validation
        X = self.inputs if not validation or rows is None else rows.X
        return checkpoint.digest([*(X.arrays if isinstance(X, SparseRows) else [X]), *others])

    def predicted(self, net: Network) -> NDArray[Any]:
        """What `net` predicts for the validation samples."""
        assert self.parts.validation is not None
        return self.parts.validation.predicted(net)

    def validation_score(self, model: Network | Ensemble) -> float:
        """`Network.score` of the validation samples."""
        rows = self.parts.validation
        assert rows is not None
        return members(model)[0]._score_of(rows.predicted(model), rows.labels, samples.unequal(rows.weight))

    def learner(
        self, net: Architecture, scaling: samples.Scaling, dtype: np.dtype[Any], predicts: bool
    ) -> LearnerFactory:
        """The samples are standardised here, once."""
        train, validation = self.parts.train, self.parts.validation
        self.training = scaling.apply(train, net, dtype, self.in_pieces)
        self.validation = None if validation is None else scaling.apply(validation, net, dtype, self.in_pieces)

        return self.learner_of(net, self.training, self.validation, self.threads)

    def learner_of(
        self, net: Architecture, training: samples.Ready, validation: samples.Ready | None, threads: int
    ) -> LearnerFactory:
        """What makes a learner of these samples."""

        def made(state: TrainingState, hyper: Hyperparameters, seed: int) -> Learner:
            if hyper.optimizer in NAMES:
                return SecondOrderLearner(net, hyper, training, validation, state, threads)
            return LocalLearner(net, hyper, training, validation, state, seed, threads)

        return made

    def close(self) -> None:
        """Nothing to do: Python frees the samples."""
