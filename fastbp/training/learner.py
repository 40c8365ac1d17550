"""Learning from samples in this process: an epoch a call of the compiled loops, or many where they are short."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import compilation, options
from ..data.samples import Ready
from ..data.scaling import Window
from ..runtime import blocks
from .passes import Passes
from .standing import Standing
from .stretches import Stretches


class Local:
    """
    Learns from samples in this process.

    Parameters
    ----------
    net, plan
    data, held_out : Ready
        Samples to learn from; samples to watch, or None.
    at : Standing
        Weights and state of the optimizer, updated in place.
    seed : int
        What dropout leaves out depends on it.
    threads : int
    """

    def __init__(
        self,
        net: options.Architecture,
        plan: options.Schedule,
        data: Ready,
        held_out: Ready | None,
        at: Standing,
        seed: int,
        threads: int,
    ) -> None:
        params = at.params
        self.net, self.plan, self.data, self.held_out, self.params = net, plan, data, held_out, params
        self.watches = held_out is not None
        n = len(data.X)
        self.order: NDArray[np.int64] | None = None
        self.batches = -(-n // plan.batch_size)
        self.step = len(at.rows) * self.batches
        self.loss = net.loss_for(params.dtype)
        # Losses are added up block by block: the same blocks whether the inputs are held as a copy or not, the same bits.
        bounds = blocks.bounds(
            n, row_bytes(net, params), plan.batch_size, params.nbytes
        ).tolist()  # weights are packed for each
        self.parts = [
            (slice(*part), slice(part[0] // plan.batch_size, -(-part[1] // plan.batch_size)))
            for part in itertools.pairwise(bounds)
        ]
        rows = max(part.stop - part.start for part, _ in self.parts)
        self.window = window = Window(data.X, data.Y, data.weight, rows)
        # The lecture's own rule has a loop of its own; where anything else is asked for, batches of 1 do.
        constant = plan.schedule == "constant" and not plan.warmup
        self.online = (
            plan.optimizer == "sgd"
            and plan.batch_size == 1
            and constant
            and not any(plan.dropout)
            and plan.clip_norm is None
        )
        if self.online:
            shape = (net.size_array, net.activation_codes, *self.loss, net.decision_code, params)
            window.decide_sparsity(plan.l2)
            self.loop = kernels.prepare_online(window.X, window.Y, window.weight, *shape, plan.learning_rate, plan.l2)
            self.kernel_names = [compilation.loop_name(net, params, 1, "online")]
            return
        self.passes = Passes(
            window.X,
            window.Y,
            window.weight,
            net,
            params,
            plan.optimizer,
            at.state,
            options.NUMBERS[plan.optimizer],
            plan.batch_size,
            dropout=plan.dropout,
            clip=np.inf if plan.clip_norm is None else plan.clip_norm,
            seed=seed % 2**63,
            threads=threads,
            rows=rows,
        )
        self.loop, self.kernel_names = self.passes.serial, self.passes.kernel_names

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the kernels ready."""
        return compilation.prepare(self.kernel_names + ["forward", "evaluate"] * measures, self.params.dtype, progress)

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One pass, block after block."""
        plan, n = self.plan, len(self.data.X)
        if random is not None:
            self.order = None  # first: of many samples, two would take much memory
            self.order = random.permutation(n)
        elif self.order is None:
            self.order = np.arange(n, dtype=np.int64)
        order = self.order
        rates = plan.rates(self.step, self.batches)
        found, rows, failed = [], [], -1
        for part, batches in self.parts:
            here = self.window.read(order[part])
            one = (
                self.loop(here)
                if self.online
                else self.passes.run(here, self.step + batches.start, rates[batches], plan.l2)
            )
            found.append(one[:3])
            rows.append(len(here))
            if one.failed >= 0:
                failed = batches.start + one.failed
                break
        self.step += self.batches
        return kernels.Pass(*blocks.mean(found, rows), failed)

    def stretches(self) -> Stretches | None:
        """Where an epoch is one call, on one thread, of a loop that has a compiled loop over epochs; else it is long enough."""
        serial = self.online or self.passes.parallel is None
        short = isinstance(self.data.X, np.ndarray) and len(self.parts) == 1
        watched = self.held_out is None or len(parts_of(self.held_out, self.net, self.params)) == 1
        return Stretches(self) if serial and short and watched and self.loop.repeats else None

    def paces(self, epochs: int) -> tuple[Any, ...]:
        """What the loop over the next epochs takes first."""
        if self.online:
            return ()
        plan, step, n = self.plan, self.step, self.batches
        constant = plan.schedule == "constant" and not plan.warmup
        rates = plan.learning_rate if constant else np.concatenate([plan.rates(step + k * n, n) for k in range(epochs)])
        return step, rates, plan.l2

    def measure(self, held_out: bool) -> tuple[float, float]:
        """Mean loss and accuracy."""
        data = self.held_out if held_out else self.data
        assert data is not None
        return measured(self.net, self.params, data)

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """A batch in words, and its inputs; those of the last batch, where the number is negative."""
        size, order = self.plan.batch_size, self.order
        assert order is not None
        samples = order[number * size : (number + 1) * size] if number >= 0 else order[-size:]
        X = self.window.X[self.window.read(samples)]
        if number < 0:
            return "", X
        return f", sample {number + 1} in its order" if self.online else f", batch {number + 1} of {self.batches}", X


def parts_of(data: Ready, net: options.Architecture, params: NDArray[Any]) -> list[slice]:
    """Samples that are measured at a time."""
    return blocks.parts(len(data.X), row_bytes(net, params), params.nbytes)


def row_bytes(net: options.Architecture, params: NDArray[Any]) -> int:
    """Bytes of a sample, inputs and targets."""
    return int((net.sizes[0] + net.sizes[-1]) * params.itemsize)


def measured(net: options.Architecture, params: NDArray[Any], data: Ready) -> tuple[float, float]:
    """Mean loss and accuracy of a network on samples."""
    parts = parts_of(data, net, params)
    found = [net.measure(net.outputs(data.X[part], params), data.Y[part], data.weight[part]) for part in parts]
    loss, correct = blocks.mean(found, [part.stop - part.start for part in parts])
    return loss, correct
