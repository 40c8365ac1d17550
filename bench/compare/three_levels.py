"""
One equation, and one epoch, at three levels: the lecture's plain loops, the drop-in kernels, the epoch kernels.

Run ``python bench/compare/three_levels.py [float32|float64]``. All levels run in one process on one thread, take turns,
and must learn the same weights. Prints two Markdown tables of medians: of delta = a (1 - a) sum(delta w) alone, and of
epochs. The epoch kernels do other work in the same loop as the equation, so they are only in the second table.
"""

import sys
import time
from functools import partial
from pathlib import Path
from statistics import median

import numba
import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))

from bench_lecture import CASES, LEVELS, Case

from fastbp import kernels
from fastbp.kernels import lecture

# Turns, the seconds of each at least, and of the pause before it. Short turns after a pause are seldom interrupted by
# other programs, so the medians hold on a machine that is not idle.
ROUNDS, AT_LEAST, PAUSE = 201, 0.002, 0.004
# samples, units, units of the layer above
SHAPES = [(32, 64, 10), (32, 256, 128), (64, 256, 256)]


def seconds(call):
    """Mean time of a call in one turn."""
    time.sleep(PAUSE)
    count, started = 0, time.perf_counter()
    while time.perf_counter() < started + AT_LEAST:
        call()
        count += 1
    return (time.perf_counter() - started) / count


def medians(calls):
    """Median seconds of each call; they take turns, after a first call that compiles."""
    for call in calls:
        call()
    turns = [[seconds(call) for call in calls] for _ in range(ROUNDS)]
    return [median(times) for times in zip(*turns, strict=True)]


def equation(shape, dtype):
    """Print the row of one shape."""
    n, d, d_next = shape
    random = np.random.default_rng(0)
    delta, W = random.normal(size=(n, d_next)).astype(dtype), random.normal(size=(d, d_next)).astype(dtype)
    a, outs = random.uniform(size=(n, d)).astype(dtype), np.empty((2, n, d), dtype)
    plain_call = partial(lecture.hidden_delta, kernels.LOGISTIC, delta, W, a, outs[0])
    fast_call = partial(kernels.hidden_delta, kernels.LOGISTIC, delta, W, a, outs[1])
    plain, fast = medians([plain_call, fast_call])
    assert abs(outs[0] - outs[1]).max() < 1e-4 * abs(outs[0]).max()
    rates = [2 * n * d * d_next / time / 1e9 for time in (plain, fast)]
    print(f"| {n} × {d} units, {d_next} above | {rates[0]:.2f} | {rates[1]:.1f} | {plain / fast:.1f} × |", flush=True)


def epochs(name, dtype):
    """Print the row of one case."""
    cases = [Case(name, dtype) for _ in LEVELS]
    for level, case in zip(LEVELS, cases, strict=True):
        case.epoch(level)
    assert max(abs(case.params - cases[0].params).max() for case in cases) < 1e-5
    times = medians([partial(case.epoch, level) for level, case in zip(LEVELS, cases, strict=True)])
    cells = [f"{cases[0].samples / time:,.0f}" for time in times]
    print(f"| {name} | {' | '.join(cells)} | {times[0] / times[2]:.1f} × |", flush=True)


def main(dtype="float32"):
    numba.set_num_threads(1)
    print("| delta, GFLOP/s | plain loops | drop-in kernel | ratio |\n|---|---|---|---|")
    for shape in SHAPES:
        equation(shape, dtype)
    print(f"\n| epoch, samples/s | {' | '.join(LEVELS)} | last to first |\n|---|---|---|---|---|")
    for name in CASES:
        epochs(name, dtype)


if __name__ == "__main__":
    main(*sys.argv[1:])
