"""Learning from samples in this process: an epoch per call of the compiled loops, or many where they are short."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import compilation
from ..data.pieces import InPieces
from ..data.samples import Ready
from ..data.scaling import Window
from ..options import NUMBERS, Architecture, Hyperparameters
from ..runtime import blocks
from .compiled_epochs import CompiledEpochs
from .passes import Passes, UpdateRule
from .state import TrainingState


class LocalLearner:
    """
    Learns from samples in this process: a `state.Learner`.

    Parameters
    ----------
    net, hyper
    training : Ready
    validation : Ready or None
    state : TrainingState
        Its weights and the state of the optimizer are updated in place.
    seed : int
        Determines what dropout leaves out.
    threads : int
    """

    finished = None
    measures: Mapping[str, float] = MappingProxyType({})

    def __init__(
        self,
        net: Architecture,
        hyper: Hyperparameters,
        training: Ready,
        validation: Ready | None,
        state: TrainingState,
        seed: int,
        threads: int,
    ) -> None:
        self.net, self.hyper, self.training, self.validation = net, hyper, training, validation
        self.params = params = state.params
        self.validates = validation is not None
        n, size = len(training.X), hyper.batch_size
        self.order: NDArray[np.int64] | None = None
        self.batches = -(-n // size)
        self.step = len(state.rows) * self.batches
        self.loss = net.loss_for(params.dtype)
        # Losses are added up block by block, in the same blocks whether the inputs are copied or not: the same bits.
        # The weights come through the caches anew for each block, so their size counts, too.
        bounds = blocks.bounds(n, row_bytes(net, params), size, params.nbytes).tolist()
        self.parts = [
            (slice(start, end), slice(start // size, -(-end // size))) for start, end in itertools.pairwise(bounds)
        ]
        rows = max(part.stop - part.start for part, _ in self.parts)
        self.window = window = Window(training.X, training.Y, training.weight, rows)
        # The lecture's own rule has its own loop; with any other option, batches of 1 do the same.
        plain = hyper.constant_rate and not any(hyper.dropout) and hyper.clip_norm is None
        self.online = hyper.optimizer == "sgd" and size == 1 and plain
        if self.online:
            shape = (net.size_array, net.activation_codes, *self.loss, net.decision_code, params)
            window.decide_sparsity(hyper.l2)
            self.loop = kernels.prepare_online(window.X, window.Y, window.weight, *shape, hyper.learning_rate, hyper.l2)
            self.kernel_names = [compilation.loop_name(net, params, 1, "online")]
            return
        self.passes = Passes(
            (window.X, window.Y, window.weight),
            net,
            params,
            UpdateRule(hyper.optimizer, state.optimizer_state, NUMBERS[hyper.optimizer], hyper.dropout, hyper.clip),
            size,
            seed=seed % 2**63,
            threads=threads,
            rows=rows,
        )
        self.loop, self.kernel_names = self.passes.serial, self.passes.kernel_names

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the kernels ready."""
        names = self.kernel_names + ["forward", "evaluate"] * measures
        X, dtype = self.training.X, self.params.dtype
        # raw values are mostly float64; in pieces, what predicts takes the outputs of the first layer
        raw = dtype if isinstance(X, InPieces) else np.dtype(np.float64)
        return compilation.prepare(names, dtype, progress, compilation.predicting(len(X), raw, dtype))

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass, block after block."""
        hyper, n = self.hyper, len(self.training.X)
        if random is not None:
            self.order = None  # free it first: two orders of many samples would take much memory
            self.order = random.permutation(n)
        elif self.order is None:
            self.order = np.arange(n, dtype=np.int64)
        order = self.order
        rates = hyper.rates(self.step, self.batches)
        passes, rows, failed = [], [], -1
        for part, batches in self.parts:
            block = self.window.read(order[part])
            if self.online:
                one = self.loop(block)
            else:
                one = self.passes.run(block, self.step + batches.start, rates[batches], hyper.l2)
            passes.append(one[:3])
            rows.append(len(block))
            if one.failed >= 0:
                failed = batches.start + one.failed
                break
        self.step += self.batches
        return kernels.Pass(*blocks.mean(passes, rows), failed)

    def compiled_epochs(self, progress: bool | None) -> CompiledEpochs | None:
        """Where an epoch is one call on one thread, of a loop that has a compiled loop over epochs; else it is long."""
        serial = self.online or self.passes.parallel is None
        short = isinstance(self.training.X, np.ndarray) and len(self.parts) == 1
        validation = self.validation
        measured_at_once = validation is None or len(measured_parts(validation, self.net, self.params)) == 1
        if not (serial and short and measured_at_once and self.loop.repeats):
            return None
        return CompiledEpochs(self, progress)

    def steps(self, epochs: int) -> tuple[Any, ...]:
        """The first arguments of the loop over the next epochs: number of updates so far, learning rates, penalty."""
        if self.online:
            return ()
        hyper, step, n = self.hyper, self.step, self.batches
        if hyper.constant_rate:
            return step, hyper.learning_rate, hyper.l2
        return step, np.concatenate([hyper.rates(step + k * n, n) for k in range(epochs)]), hyper.l2

    def measure(self, validation: bool) -> tuple[float, float]:
        """Mean loss and accuracy."""
        samples = self.validation if validation else self.training
        assert samples is not None
        return measured(self.net, self.params, samples)

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """A batch in words, and its inputs; those of the last batch if the number is negative."""
        size, order = self.hyper.batch_size, self.order
        assert order is not None
        samples = order[number * size : (number + 1) * size] if number >= 0 else order[-size:]
        X = self.window.X[self.window.read(samples)]
        if number < 0:
            return "", X
        return f", sample {number + 1} in its order" if self.online else f", batch {number + 1} of {self.batches}", X


def measured_parts(samples: Ready, net: Architecture, params: NDArray[Any]) -> list[slice]:
    """Samples that are measured at a time."""
    return blocks.parts(len(samples.X), row_bytes(net, params), params.nbytes)


def row_bytes(net: Architecture, params: NDArray[Any]) -> int:
    """Bytes of the inputs and targets of a sample."""
    return int((net.sizes[0] + net.sizes[-1]) * params.itemsize)


def measured(net: Architecture, params: NDArray[Any], samples: Ready) -> tuple[float, float]:
    """Mean loss and accuracy of a network on samples."""
    parts = measured_parts(samples, net, params)
    found = [net.measure(net.outputs(samples.X[part], params), samples.Y[part], samples.weight[part]) for part in parts]
    loss, correct = blocks.mean(found, [part.stop - part.start for part in parts])
    return loss, correct
