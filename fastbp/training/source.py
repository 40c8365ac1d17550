"""Where the samples of a run come from, and who learns from them: this process, from arrays and frames in memory; others are alike."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .. import compilation, memory, options, tables
from ..data import samples
from ..model.network import Network
from . import checkpoint
from .learner import Local
from .standing import Learner, Standing

# Makes a learner of where a run stands, its plan and its seed.
Maker = Callable[[Standing, options.Schedule, int], Learner]


class Source(Protocol):
    """
    Reads the samples of one run, and gives who learns from them.

    Attributes
    ----------
    threads : int
        Threads that compute at a time.
    """

    threads: int

    def gathered(self, value: Any) -> Any:
        """What is small, such as y, in this process."""

    def read_table(self, X: Any, y: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
        """As `samples.read_table`."""

    def read_inputs(
        self, X: Any, names: tuple[str, ...] | None, training: NDArray[np.bool_], start: Network | None
    ) -> tuple[Any, tables.Columns | None]:
        """As `samples.read_inputs`: the inputs, and how a frame became them."""

    def read_others(self, name: str, X: Any, columns: tables.Columns | None, count: int) -> Any:
        """As `tables.inputs`: samples to watch."""

    def batch_size(self, n: int, asked: Mapping[str, Any]) -> Any:
        """What was asked for, or the default where it is another than usual, for n samples to learn from."""

    def settle(
        self, parts: samples.Parts, net: options.Architecture, plan: options.Schedule, dtype: np.dtype[Any]
    ) -> None:
        """Bring the samples where they will be learnt from; raises ValueError where they cannot be."""

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each input to learn from."""

    def digest(self, held_out: bool, *others: Any) -> list[str]:
        """As `checkpoint.digest`, of all inputs (or those to watch, which are the user's own) and further arrays."""

    def examples(self) -> NDArray[np.float64] | None:
        """As `samples.Given.examples`."""

    def predicted(self, net: Network) -> NDArray[Any]:
        """What `net` predicts for the samples to watch."""

    def learner(
        self, net: options.Architecture, scaling: samples.Scaling, dtype: np.dtype[Any], predicts: bool
    ) -> Maker:
        """Makes a learner of where the run stands, the plan and the seed; `predicts`: predictions will be asked for."""

    def close(self) -> None:
        """The run has ended."""


class Memory:
    """Samples in memory, or in a map of a file."""

    training: samples.Ready
    held_out: samples.Ready | None
    parts: samples.Parts

    def __init__(self, threads: Any) -> None:
        self.threads = compilation.thread_count(threads)

    def gathered(self, value: Any) -> Any:
        """It is here."""
        return value

    def read_table(self, X: Any, y: Any) -> tuple[Any, Any, tuple[str, ...] | None]:
        """As `samples.read_table`."""
        return samples.read_table(X, y)

    def read_inputs(
        self, X: Any, names: tuple[str, ...] | None, training: NDArray[np.bool_], start: Network | None
    ) -> tuple[NDArray[Any], tables.Columns | None]:
        """As `samples.read_inputs`."""
        given = samples.read_inputs(X, names, training, start)
        self.examples = functools.cache(lambda: given.examples(training))
        self.inputs = given.inputs
        return given.inputs, given.columns

    def read_others(self, name: str, X: Any, columns: tables.Columns | None, count: int) -> NDArray[Any]:
        """As `tables.inputs`."""
        return tables.inputs(name, X, columns, count)

    def batch_size(self, n: int, asked: Mapping[str, Any]) -> Any:
        """As asked."""
        return asked["batch_size"]

    def settle(
        self, parts: samples.Parts, net: options.Architecture, plan: options.Schedule, dtype: np.dtype[Any]
    ) -> None:
        """They are here, if there is room for the run."""
        memory.require_training(net, plan, len(parts.train), dtype)
        self.parts = parts

    def moments(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean and standard deviation of each input."""
        return self.parts.train.moments()

    def digest(self, held_out: bool, *others: Any) -> list[str]:
        """Digest of inputs and further arrays."""
        validation = self.parts.validation
        return checkpoint.digest([self.inputs if not held_out or validation is None else validation.X, *others])

    def predicted(self, net: Network) -> NDArray[Any]:
        """What `net` predicts for the samples to watch."""
        assert self.parts.validation is not None
        return self.parts.validation.predicted(net)

    def learner(
        self, net: options.Architecture, scaling: samples.Scaling, dtype: np.dtype[Any], predicts: bool
    ) -> Maker:
        """The samples are standardised now."""
        train, validation = self.parts.train, self.parts.validation
        self.training = scaling.apply(train, net, dtype)
        self.held_out = None if validation is None else scaling.apply(validation, net, dtype)
        return lambda at, plan, seed: Local(net, plan, self.training, self.held_out, at, seed, self.threads)

    def close(self) -> None:
        """Python will let go of the samples."""
