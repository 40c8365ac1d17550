"""
Several networks for one table: pilots find out how long to train, and then each member learns from all rows.

A single run that sets rows aside to choose its best epoch learns from fewer rows, and its weights are those of an epoch
with a high learning rate. A member learns from all rows, for as many epochs as suit them, and its rate falls to 0.
"""

from __future__ import annotations

import functools
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..data import samples
from ..model.ensemble import Ensemble
from ..model.network import Network
from ..runtime import interruption
from ..runtime.pool import run_tasks
from ..runtime.progress import Bar, make_bar
from . import first_weights
from .defaults import MANY, SHARE, SHARE_OF_FEW, SINGLE
from .prepare import Run


@dataclass(frozen=True)
class Level:
    """
    What a quality stands for.

    Attributes
    ----------
    fewest, most : int
        Members.
    work : float
        Multiply-adds of all passes of all members, from which there are fewer of them.
    """

    fewest: int
    most: int
    work: float


LEVELS = {"fast": Level(1, 1, 0), "default": Level(4, 8, 5e9), "best": Level(24, 24, 0)}
# Pilots, and how many with few rows, of which each says less.
PILOTS, MORE_PILOTS, FEW = 2, 4, 1000
# Share of its epochs that a pilot goes on after its best one.
WAIT, LEAST_WAIT = 0.3, 5
# Epochs of a member, whose learning rate falls to 0 in them, for each epoch of the pilots up to their best one; without
# that fall, as many.
LONGER, LEAST_EPOCHS = 1.5, 3
# Share of `max_seconds` that the pilots may take.
PILOT_SECONDS = 0.4


def finished(run: Run, threads: int, progress: bool | None = False) -> Network | Ensemble:
    """
    Train a run, or the networks of its quality.

    Parameters
    ----------
    run : Run
        Has the samples and the options. If there are validation samples, the result is measured on them at the end, and
        nothing is chosen on them.
    threads : int
        Networks at a time; the result has the same bits for any number.
    progress : bool or None
        As in `fastbp.train`.

    Returns
    -------
    Network or Ensemble
        A network of a single run, or if the quality has one member.
    """
    if run.asked["quality"] == SINGLE:
        return run.train(progress)
    level = LEVELS[run.asked["quality"]]
    bar = make_bar(progress, PILOTS + level.most, desc="training", unit="network", delay=1.0)
    try:
        return _Training(run, level, threads, bar).result()
    finally:
        bar.close()
        run.source.close()


class _Training:
    """The training of one result."""

    def __init__(self, run: Run, level: Level, threads: int, bar: Bar) -> None:
        self.run, self.level, self.threads, self.bar = run, level, threads, bar
        self.rows, self.most_seconds, self.started = len(run.training.X), run.hyper.max_seconds, time.perf_counter()
        self.interrupted = False
        self.failures: list[FloatingPointError] = []

    def result(self) -> Network | Ensemble:
        """Train all networks, and measure them on the user's validation samples."""
        run, asked = self.run, self.run.asked
        pilot_seeds, member_seeds = np.random.SeedSequence(asked["seed"]).spawn(2)
        # the seed is the one with which the whole result can be repeated
        known: dict[str, Any] = {"quality": asked["quality"], "seed": asked["seed"]}
        epochs, pilots = run.hyper.epochs, list[Network]()
        if asked["epochs_open"]:
            pilots = self.pilots(pilot_seeds)
            if not pilots:
                raise KeyboardInterrupt
            epochs = self.epochs(pilots)
            losses = [net.history["validation_loss"][net.best_epoch - 1] for net in pilots]
            known |= {"pilots": len(pilots), "pilot_loss": float(np.mean(losses))}
            self.bar.set_postfix({"pilots' loss": f"{np.mean(losses):.4g}"}, refresh=False)
        count, epochs = self.members(epochs, pilots)
        self.bar.total = len(pilots) + count
        runs = [run.member({"seed": seed} | own) for seed, own in self.options(member_seeds, count, epochs)]
        nets = [] if self.interrupted else self.train(runs)
        whole = [net for net in nets if net.stop_reason in ("epochs", "max_seconds")]
        found = whole or [net for net in pilots if net.stop_reason != "interrupted"] or pilots or nets
        if not found:
            raise KeyboardInterrupt
        self.warn(len(whole), count)
        if self.interrupted and len(whole) < count:
            known["interrupted"] = True
        if self.level.most == 1:
            model: Network | Ensemble = replace(found[0], options=dict(found[0].options) | known)
        else:
            model = Ensemble(tuple(found), known | {"n": len(found)})
        return self.measured(model)

    def pilots(self, seeds: np.random.SeedSequence) -> list[Network]:
        """Networks that were trained on a part of the rows, up to their best epoch on the other part."""
        few = self.rows < FEW
        count, share = MORE_PILOTS if few else PILOTS, SHARE if self.rows >= MANY else SHARE_OF_FEW
        epochs, seconds = self.run.hyper.epochs, None
        wait = max(LEAST_WAIT, round(WAIT * epochs))
        if self.most_seconds is not None:
            seconds = PILOT_SECONDS * self.most_seconds / -(-count // self.threads)
        runs = []
        for seed in seeds.generate_state(count).tolist():
            held_out = samples.held_out_rows(self.run.target, share, first_weights.random_streams(seed)[1])
            own = {"seed": seed, "epochs": epochs, "patience": wait, "max_seconds": seconds}
            runs.append(self.run.member(own, held_out))
        self.bar.total = count + self.level.most
        return self.train(runs)

    def epochs(self, pilots: Sequence[Network]) -> int:
        """Epochs that suit a network that learns from all rows."""
        best = float(np.mean([net.best_epoch for net in pilots]))
        return max(LEAST_EPOCHS, round(best if self.run.hyper.schedule == "constant" else LONGER * best))

    def members(self, epochs: int, pilots: Sequence[Network]) -> tuple[int, int]:
        """How many members to train, and for how many epochs, within the work of the level and `max_seconds`."""
        level, passes = self.level, self.rows * len(self.run.initial.params)
        count = level.most
        if level.work:
            count = int(np.clip(level.work / max(1, passes * epochs), level.fewest, level.most))
        if self.most_seconds is None or not pilots:
            return count, epochs
        left = self.most_seconds - (time.perf_counter() - self.started)
        work = sum(len(net.history["loss"]) * net.options["samples"] * len(net.params) for net in pilots)
        seconds = sum(net.train_seconds for net in pilots) / work * passes * epochs  # of a member
        count = max(1, min(count, int(left / seconds) * self.threads))
        return count, max(1, min(epochs, int(epochs * left / seconds)))

    def options(self, seeds: np.random.SeedSequence, count: int, epochs: int) -> list[tuple[int, dict[str, Any]]]:
        """Seed and options of each member."""
        seconds = None
        if self.most_seconds is not None and not self.run.asked["epochs_open"]:  # nobody knows what fits in them
            seconds = self.most_seconds / -(-count // self.threads)
        common = {"epochs": epochs, "patience": None, "max_seconds": seconds}
        return [(seed, common) for seed in seeds.generate_state(count).tolist()]

    def train(self, runs: Sequence[Run]) -> list[Network]:
        """The networks of these runs; raises if all diverged."""
        found: dict[int, Network | FloatingPointError] = {}

        def done(number: int, result: Network | FloatingPointError) -> None:
            found[number] = result
            self.bar.update(1)

        self.interrupted = not run_tasks([functools.partial(_trained, run) for run in runs], self.threads, done)
        results = [found[number] for number in sorted(found)]
        self.failures = [result for result in results if isinstance(result, FloatingPointError)]
        nets = [result for result in results if isinstance(result, Network)]
        if not nets and not self.interrupted:
            raise self.failures[0]
        return nets

    def warn(self, whole: int, count: int) -> None:
        """Warn if members are missing."""
        if whole == count or (self.interrupted and interruption.shared.get() is not None):
            return  # whoever handles Ctrl-C for many of these tells you
        text = f"{count - whole} of {count} networks diverged"
        if self.failures:
            text += f"; the first is {self.failures[0]}"
        if self.interrupted:
            text = f"training was interrupted after {whole} of {count} networks"
        if not whole:
            text += "; the result is as trained so far"
        warnings.warn(text, RuntimeWarning, stacklevel=5)

    def measured(self, model: Network | Ensemble) -> Network | Ensemble:
        """The model, with its score on the user's validation samples among its options."""
        if not self.run.validates:
            return model
        score = self.run.memory.validation_score(model)
        return replace(model, options=dict(model.options) | {"validation_score": score})


def _trained(run: Run) -> Network | FloatingPointError:
    """The network of a run, or why there is none."""
    try:
        return run.train()
    except FloatingPointError as error:
        return error
