"""
Levenberg-Marquardt beside what else fits a small network to numbers: seconds to a small error, and of a step.

Run ``python bench/compare/least_squares.py`` after ``pip install scipy torch torch-levenberg-marquardt pyrenn``; those
that are missing are left out. All begin with the same weights, in float64, on two threads; they take turns, with a
pause in which thread pools come to rest. Two works:

- sinc on 20 000 points, a 1-20-1 network with tanh: seconds until the mean squared error of the targets is 1e-8,
  medians of three first weights, and the error after `MOST` seconds where that was not reached.
- four numbers to four, 10 000 rows, a 4-32-16-4 network (756 weights, 40 000 residuals): seconds of a step, and how
  many times as long that is as half of the product J^T J at the measured peak of multiply-adds.
"""

import contextlib
import sys
import time

import numpy as np

import fastbp
from fastbp import kernels

THREADS, MOST, PAUSE, STARTS = 2, 60.0, 0.5, 3
GOAL = 1e-8


class Reached(Exception):  # noqa: N818
    """Ends a run whose error is small enough, or whose time is up."""


class Work:
    """Standardised samples, and first weights as `fastbp.train` draws them."""

    def __init__(self, X, Y, hidden):
        self.X, self.Y = ((part - part.mean(axis=0)) / part.std(axis=0) for part in (X, Y))
        self.scale, self.hidden, self.sizes = (Y.std(axis=0) ** 2).mean(), hidden, (X.shape[1], *hidden, Y.shape[1])
        self.options = {"hidden": hidden, "activation": "tanh", "scale": False, "dtype": "float64"}
        self.options |= {"threads": THREADS, "progress": False}

    def start(self, seed):
        return fastbp.train(self.X, self.Y, epochs=0, seed=seed, **self.options)


class Watch:
    """Notes the seconds and the mean squared error after each step, and ends the run."""

    def __init__(self, work, most=MOST, steps=None):
        self.work, self.most, self.steps, self.found = work, most, steps, []
        self.started = time.perf_counter()

    def __call__(self, mean_square):
        self.found.append((time.perf_counter() - self.started, mean_square * self.work.scale))
        if self.steps is None and (self.found[-1][1] <= GOAL or self.found[-1][0] > self.most):
            raise Reached
        if self.steps is not None and len(self.found) > self.steps:
            raise Reached


def with_fastbp(work, seed, watch, **options):
    def step(epoch):
        watch(2 * epoch.loss / work.Y.shape[1])

    fastbp.train(work.X, work.Y, seed=seed, callback=step, **work.options, **options)


def with_lm(work, seed, watch):
    with_fastbp(work, seed, watch, optimizer="levenberg_marquardt", tolerance=0.0, epochs=100_000)


def with_adam(work, seed, watch):
    with_fastbp(work, seed, watch, epochs=1_000_000)


def with_torch(work, seed, watch):
    import torch
    from torch_levenberg_marquardt.training import LevenbergMarquardtModule

    torch.set_num_threads(THREADS)
    torch.set_default_dtype(torch.float64)
    net = work.start(seed)
    layers = []
    for W, b in zip(net.weights, net.biases, strict=True):
        layer = torch.nn.Linear(*W.shape)
        layer.weight.data, layer.bias.data = torch.tensor(W.T.copy()), torch.tensor(b.copy())
        layers += [layer, torch.nn.Tanh()]
    model = torch.nn.Sequential(*layers[:-1])
    X, Y = torch.tensor(work.X), torch.tensor(work.Y)
    module = LevenbergMarquardtModule(model, solve_method="cholesky", max_batch_size=4096)
    while True:
        _, loss, stop, _ = module.training_step(X, Y)
        watch(float(loss))
        if stop:
            return


def with_pyrenn(work, seed, watch):
    import pyrenn

    net = work.start(seed)
    other = pyrenn.CreateNN(list(work.sizes))
    parts = [part for W, b in zip(net.weights, net.biases, strict=True) for part in (W.ravel(), b)]
    other["w"] = other["w0"] = np.concatenate(parts)  # W^T column after column, then b
    derivatives = pyrenn.RTRL

    def watched(*arguments):  # it computes the Jacobian once a step
        J, total, errors = derivatives(*arguments)
        watch(float(np.mean(errors**2)))
        return J, total, errors

    pyrenn.RTRL = watched
    try:
        with contextlib.redirect_stdout(None):
            pyrenn.train_LM(work.X.T, work.Y.T, other, k_max=100_000, E_stop=0.0)
    finally:
        pyrenn.RTRL = derivatives


def with_scipy(work, seed, watch):
    from scipy.optimize import least_squares

    net = work.start(seed)
    codes = np.array([kernels.ACTIVATIONS[name] for name in net.layer_activations])
    sizes, out = np.array(work.sizes), np.empty(work.Y.shape)
    J = np.empty((*work.Y.shape, net.params.size))

    def residuals(w):
        kernels.forward(work.X, sizes, codes, w, out)
        error = (out - work.Y).ravel()
        if not watch.found or np.mean(error**2) * work.scale < watch.found[-1][1]:
            watch(float(np.mean(error**2)))
        return error

    def jacobian(w):
        kernels.jacobian(work.X, sizes, codes, w, J)
        return J.reshape(-1, w.size)

    least_squares(residuals, net.params.copy(), jacobian, method="lm", ftol=1e-15, xtol=1e-15, gtol=1e-15)


CANDIDATES = {
    "fastbp": with_lm,
    "torch-levenberg-marquardt": with_torch,
    "pyrenn": with_pyrenn,
    "SciPy least_squares, our Jacobian": with_scipy,
    "fastbp, Adam": with_adam,
}


def run(candidate, work, seed, **limits):
    """Seconds and errors after each step; None if it is not installed."""
    watch = Watch(work, **limits)
    try:
        candidate(work, seed, watch)
    except Reached:
        pass
    except ImportError:
        return None
    time.sleep(PAUSE)
    return watch.found


def main(names):
    rng = np.random.default_rng(0)
    X = rng.uniform(-10, 10, (20_000, 1))
    sinc = Work(X, np.sinc(X / np.pi), (20,))
    inputs = rng.normal(size=(10_000, 4))
    targets = np.tanh(inputs @ rng.normal(size=(4, 8))) @ rng.normal(size=(8, 4))
    wide = Work(inputs, targets, (32, 16))
    chosen = {name: candidate for name, candidate in CANDIDATES.items() if not names or name in names}
    for candidate in chosen.values():
        for work in (sinc, wide):
            run(candidate, work, 0, steps=2)  # compiles
    print(f"| | seconds to an error of {GOAL:g} | steps | least error | a step of 4-32-16-4, s | times its products |")
    print("|---" * 6 + "|")
    reached = {name: [] for name in chosen}
    for seed in range(STARTS):
        for name, candidate in chosen.items():
            reached[name].append(run(candidate, sinc, seed))
    P, residuals = 756, 40_000
    products = residuals * P * (P + 1) / (kernels.peak_gflops("float64") * 1e9) / THREADS
    for name, candidate in chosen.items():
        found = [one for one in reached[name] if one]
        if not found:
            print(f"| {name} | not installed |", flush=True)
            continue
        done = [one[-1][0] if one[-1][1] <= GOAL else np.inf for one in found]
        error = np.median([min(square for _, square in one) for one in found])
        steps = np.median([len(one) for one in found])
        times = np.diff([second for second, _ in run(candidate, wide, 0, steps=6)])
        step = np.median(times)
        ratio = "" if candidate is with_adam else f"{step / products:.2f}"
        print(f"| {name} | {np.median(done):.3g} | {steps:.0f} | {error:.1e} | {step:.3f} | {ratio} |", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
