"""
Several networks for one table: pilots find out how long to train, and then each member learns from all rows.

A single run that sets rows aside to choose its best epoch learns from fewer rows, and its weights are those of an epoch
with a high learning rate. A member learns from all rows, for as many epochs as suit them, and its rate falls to 0.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..model.ensemble import Ensemble
from ..model.network import Network
from ..runtime import interruption
from ..runtime.pool import run_tasks
from ..runtime.progress import Bar, make_bar
from ..runtime.warning import once, warn
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
    pilots : (int, int)
        How many, with few rows, where each says less, and with more.
    wait : float
        Share of its epochs that a pilot goes on after its best one.
    longer : float
        Epochs of a member, whose learning rate falls to 0 in them, for each epoch of a pilot up to its best one.
    varied : bool
        Whether every second member has other options.
    """

    fewest: int
    most: int
    work: float
    pilots: tuple[int, int]
    wait: float
    longer: float
    varied: bool = False


LEVELS = {
    "fast": Level(1, 1, np.inf, pilots=(2, 2), wait=0.2, longer=1.25),
    "default": Level(4, 8, 5e9, pilots=(4, 2), wait=0.3, longer=1.6),
    "best": Level(16, 16, np.inf, pilots=(4, 4), wait=0.3, longer=1.75, varied=True),
}
FEW = 1000  # rows
# What the options of varied members are drawn from; epochs are factors of those that the pilots found. Other networks
# go wrong in other rows, so that their mean is better than that of more of the same.
VARIED_NUMBERS: dict[str, list[Any]] = {
    "hidden": [(128, 128), (256, 128), (128, 128, 128)],
    "activation": ["relu", "gelu"],
    "epochs": [1, 1.5],
}
VARIED_CLASSES: dict[str, list[Any]] = {
    "hidden": [(64, 64), (128, 64), (64, 64, 64), (128, 128)],
    "activation": ["relu", "gelu"],
    "epochs": [0.7, 1, 1.4],
    "l2": [0.0, 1e-4, 1e-3],
    "dropout": [0.0, 0.1, 0.2],
}
LEAST_WAIT, LEAST_EPOCHS = 5, 3
# Share of `max_seconds` that the pilots may take.
PILOT_SECONDS = 0.4


@once()
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
    bar = make_bar(progress, max(level.pilots) + level.most, desc="training", unit="network", delay=1.0)
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
        if "epochs" in asked["open"]:
            pilots = self.pilots(pilot_seeds)
            if not pilots:
                raise KeyboardInterrupt
            epochs = self.epochs(pilots)
            losses = [net.history["validation_loss"][net.best_epoch - 1] for net in pilots]
            known |= {"pilots": len(pilots), "pilot_loss": float(np.mean(losses))}
            self.bar.set_postfix({"pilots' loss": f"{np.mean(losses):.4g}"}, refresh=False)
        runs = self.members(member_seeds, epochs, pilots)
        self.bar.total = len(pilots) + len(runs)
        nets = [] if self.interrupted or not runs else self.train([run.train for run in runs])
        whole = [net for net in nets if net.stop_reason in ("epochs", "max_seconds")]
        found = whole or [net for net in pilots if net.stop_reason != "interrupted"] or pilots or nets
        if not found:
            raise KeyboardInterrupt
        self.warn(len(whole), len(runs))
        if self.interrupted and len(whole) < len(runs):
            known["interrupted"] = True
        if self.level.most == 1:
            model: Network | Ensemble = replace(found[0], options=dict(found[0].options) | known)
        else:
            model = Ensemble(tuple(found), known | {"n": len(found)})
        return self.measured(model)

    def pilots(self, seeds: np.random.SeedSequence) -> list[Network]:
        """Networks that were trained on a part of the rows, up to their best epoch on the other part."""
        count, share = self.level.pilots[self.rows >= FEW], SHARE if self.rows >= MANY else SHARE_OF_FEW
        epochs, seconds = self.run.hyper.epochs, None
        wait = max(LEAST_WAIT, round(self.level.wait * epochs))
        if self.most_seconds is not None:
            seconds = PILOT_SECONDS * self.most_seconds / -(-count // self.threads)
        tasks = []
        for seed in seeds.generate_state(count).tolist():
            try:
                held_out = self.run.held_out(share, seed)
            except ValueError as error:
                if str(error).startswith(("groups: ", "time: ")):
                    raise
                few = f"quality: expected 'single' for {self.rows} rows, too few to set some aside"
                raise ValueError(f"{few}, got {self.run.asked['quality']!r}") from None
            own = {"seed": seed, "epochs": epochs, "patience": wait, "max_seconds": seconds}
            tasks.append(functools.partial(self.pilot, own, held_out))
        self.bar.total = count + self.level.most
        return self.train(tasks)

    def pilot(self, options: dict[str, Any], held_out: NDArray[np.bool_]) -> Network:
        """Train one; its copies of the samples are made only now."""
        return self.run.member(options, held_out).train()

    def epochs(self, pilots: Sequence[Network]) -> int:
        """Epochs that suit a network that learns from all rows."""
        best = float(np.mean([net.best_epoch for net in pilots]))
        return max(LEAST_EPOCHS, round(best if self.run.hyper.schedule == "constant" else self.level.longer * best))

    def members(self, seeds: np.random.SeedSequence, epochs: int, pilots: Sequence[Network]) -> list[Run]:
        """The runs of the members: as many as the work of the level allows, and `max_seconds`; perhaps none."""
        level, passes = self.level, self.rows * len(self.run.initial.params)
        count = int(np.clip(level.work / max(1, passes * epochs), level.fewest, level.most))
        seconds = None
        if self.most_seconds is not None and not pilots:  # nobody knows how many fit in them
            seconds = self.most_seconds / -(-count // self.threads)
        random = np.random.default_rng(seeds.spawn(1)[0])
        options = []
        for number, seed in enumerate(seeds.generate_state(count).tolist()):
            own = self.varied(random, epochs) if level.varied and number % 2 else {"epochs": epochs}
            options.append(own | {"seed": seed, "max_seconds": seconds})
        runs = list(map(self.run.member, options))
        if self.most_seconds is None or not pilots:
            return runs
        work = sum(len(net.history["loss"]) * net.options["samples"] * len(net.params) for net in pilots)
        speed = work / sum(net.train_seconds for net in pilots)
        needed = [run.hyper.epochs * self.rows * len(run.initial.params) / speed for run in runs]
        compiling = max(net.compile_seconds for net in pilots)  # does not count, as in a single run
        left = self.most_seconds - (time.perf_counter() - self.started - compiling)
        fit = int(np.searchsorted(np.cumsum(needed), left * self.threads))
        if fit or 2 * left < needed[0]:  # with less than half of its epochs, a member would be worse than the pilots
            return runs[:fit]
        return [self.run.member(options[0] | {"epochs": max(1, int(runs[0].hyper.epochs * left / needed[0]))})]

    def varied(self, random: np.random.Generator, epochs: int) -> dict[str, Any]:
        """Options drawn at random, but for those that the user chose."""
        space = VARIED_NUMBERS if self.run.net.task == "regression" else VARIED_CLASSES
        own = {name: values[random.integers(len(values))] for name, values in space.items()}
        own["epochs"] = max(LEAST_EPOCHS, round(own["epochs"] * epochs))
        return {"epochs": epochs} | {name: own[name] for name in own if name in self.run.asked["open"]}

    def train(self, tasks: Sequence[Callable[[], Network]]) -> list[Network]:
        """The networks that these train; raises if all diverged."""
        found: dict[int, Network | FloatingPointError] = {}

        def done(number: int, result: Network | FloatingPointError) -> None:
            found[number] = result
            self.bar.update(1)

        self.interrupted = not run_tasks([functools.partial(_trained, task) for task in tasks], self.threads, done)
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
        warn(text, RuntimeWarning)

    def measured(self, model: Network | Ensemble) -> Network | Ensemble:
        """The model, with its score on the user's validation samples among its options."""
        if not self.run.validates:
            return model
        score = self.run.memory.validation_score(model)
        return replace(model, options=dict(model.options) | {"validation_score": score})


def _trained(task: Callable[[], Network]) -> Network | FloatingPointError:
    """The network, or why there is none."""
    try:
        return task()
    except FloatingPointError as error:
        return error
