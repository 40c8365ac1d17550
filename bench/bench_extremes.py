"""Numbers at the limits: how long denormal ones take, and the error of sums over many rows."""

import time

import numpy as np

from fastbp import kernels

ROWS = 1_000_000
# The number of state arrays, and the numeric arguments, of the update rules that have a state.
RULES = {
    "momentum_update": (1, (1e-9, 0.9)),
    "nesterov_update": (1, (1e-9, 0.9)),
    "adam_update": (2, (3, 1e-9, 0.9, 0.999, 1e-8)),
    "adamw_update": (2, (3, 1e-9, 0.9, 0.999, 1e-8, 0.1)),
    "nadam_update": (2, (3, 1e-9, 0.9, 0.999, 1e-8)),
    "rmsprop_update": (1, (1e-9, 0.999, 1e-8)),
}
FUNCTIONS = ("exp", "log", "tanh", "logistic", "softplus", "erf")


def _best(prepare, rounds=20):
    """Seconds of the fastest of some calls; `prepare` returns each call, with its own arrays."""
    best = float("inf")
    for _ in range(rounds):
        call = prepare()
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def _call(name, x):
    """A call of the function of `x`, or of the update with state `x` and gradient 0, with new arrays."""
    kernel = getattr(kernels, name)
    if name in FUNCTIONS:
        out = np.empty_like(x)
        return lambda: kernel(x, out)
    states, numbers = RULES[name]
    arrays = [np.ones_like(x), np.zeros_like(x), *(x.copy() for _ in range(states))]
    return lambda: kernel(*arrays, *numbers)


class Denormals:
    """Time for 100 000 denormal numbers over that for normal ones, as an update's state or a function's argument."""

    params = ((*RULES, *FUNCTIONS), ("float32", "float64"))
    param_names = ("kernel", "dtype")

    def setup(self, kernel, dtype):
        self.normal = np.random.default_rng(0).uniform(0.1, 0.9, 100_000).astype(dtype)
        self.denormal = self.normal * np.finfo(dtype).smallest_normal
        _call(kernel, self.normal)()

    def track_ratio(self, kernel, dtype):
        return _best(lambda: _call(kernel, self.denormal)) / _best(lambda: _call(kernel, self.normal))


class LongSums:
    """The relative error of float32 sums over a million rows of mean 1, or all of one value."""

    params = (("bias_gradient", "weight_gradient"), ("random", "constant"))
    param_names = ("kernel", "rows")

    def setup(self, kernel, rows):
        random = np.random.default_rng(0)
        matrices = (random.normal(1, 1, (ROWS, d)) if rows == "random" else np.full((ROWS, d), 0.1) for d in (4, 2))
        self.X, self.D = (matrix.astype(np.float32) for matrix in matrices)
        self.out = np.empty(2 if kernel == "bias_gradient" else (4, 2), np.float32)
        self.time_sum(kernel, rows)

    def time_sum(self, kernel, rows):
        if kernel == "bias_gradient":
            kernels.bias_gradient(self.D, self.out)
        else:
            kernels.weight_gradient(self.X, self.D, self.out)

    def track_error(self, kernel, rows):
        self.time_sum(kernel, rows)
        D = self.D.astype(np.float64)
        exact = D.sum(axis=0) if kernel == "bias_gradient" else self.X.T.astype(np.float64) @ D
        return abs(self.out - exact).max() / abs(exact).max()
