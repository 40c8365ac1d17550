"""
One algorithm at three levels: the lecture's plain loops, the drop-in kernels of a layer, and the epoch kernels.

Networks have one hidden layer, logistic units and squared error, as in the lecture. All levels learn the same weights.
"""

import time

import numba
import numpy as np
from numba import njit

from fastbp import kernels
from fastbp.kernels import lecture

LEVELS = ("plain loops", "drop-in kernels", "epoch kernel")
# network, batch size, samples per epoch
CASES = {
    "online 2-2-1": ("2-2-1", 1, 4_000),
    "online 64-32-10": ("64-32-10", 1, 1_000),
    "online 784-100-10": ("784-100-10", 1, 50),
    "minibatch 64-64-10 B=32": ("64-64-10", 32, 768),
}


@njit
def drop_in_epoch(X, Y, order, batch_size, sizes, params, alpha):
    """One epoch of the drop-in kernels, each for a whole batch; a batch of one sample is the lecture's rule."""
    most = min(batch_size, order.size)
    x, a1, a2 = (np.empty((most, sizes[0]), X.dtype), np.empty((most, sizes[1]), X.dtype), np.empty_like(Y[:most]))
    delta1, delta2, y = np.empty_like(a1), np.empty_like(a2), np.empty_like(a2)
    gradient, none = np.empty_like(params), np.empty(0, X.dtype)
    (W1, b1), (W2, b2) = lecture.layer(params, sizes, 1), lecture.layer(params, sizes, 2)
    (dW1, db1), (dW2, db2) = lecture.layer(gradient, sizes, 1), lecture.layer(gradient, sizes, 2)
    for first in range(0, order.size, batch_size):
        n = min(batch_size, order.size - first)
        for s in range(n):
            x[s] = X[order[first + s]]
            y[s] = Y[order[first + s]]
        kernels.linear_forward(x[:n], W1, b1, a1[:n])
        kernels.activation_forward(kernels.LOGISTIC, a1[:n], a1[:n])
        kernels.linear_forward(a1[:n], W2, b2, a2[:n])
        kernels.activation_forward(kernels.LOGISTIC, a2[:n], a2[:n])
        kernels.output_delta(kernels.SQUARED_ERROR, none, kernels.LOGISTIC, a2[:n], y[:n], delta2[:n])
        kernels.hidden_delta(kernels.LOGISTIC, delta2[:n], W2, a1[:n], delta1[:n])
        kernels.weight_gradient(x[:n], delta1[:n], dW1)
        kernels.bias_gradient(delta1[:n], db1)
        kernels.weight_gradient(a1[:n], delta2[:n], dW2)
        kernels.bias_gradient(delta2[:n], db2)
        kernels.sgd_update(params, gradient, alpha / n)


class Case:
    """A network, its samples, and one epoch at each level."""

    def __init__(self, name, dtype="float32"):
        shape, self.batch_size, self.samples = CASES[name]
        random = np.random.default_rng(0)
        self.sizes = np.array([int(n) for n in shape.split("-")])
        self.activations = np.full(2, kernels.LOGISTIC)
        self.X = random.normal(size=(self.samples, self.sizes[0])).astype(dtype)
        self.Y = random.uniform(size=(self.samples, self.sizes[-1])).astype(dtype)
        self.weight, self.none = np.ones(self.samples, dtype), np.empty(0, dtype)
        self.order = random.permutation(self.samples)
        self.params = (0.1 * random.normal(size=kernels.parameter_count(self.sizes))).astype(dtype)

    def epoch(self, level, alpha=0.01):
        """Train for one epoch."""
        if level == "drop-in kernels":
            drop_in_epoch(self.X, self.Y, self.order, self.batch_size, self.sizes, self.params, alpha)
        elif level == "plain loops" and self.batch_size == 1:
            lecture.online_epoch(self.X, self.Y, self.order, self.sizes, self.activations, self.params, alpha)
        elif level == "plain loops":
            network = self.sizes, self.activations, self.params
            lecture.minibatch_epoch(self.X, self.Y, self.order, self.batch_size, *network, alpha)
        else:
            loss = kernels.SQUARED_ERROR, self.none, kernels.NO_DECISION
            network = self.sizes, self.activations, *loss, self.params
            if self.batch_size == 1:
                kernels.online_epoch(self.X, self.Y, self.weight, self.order, *network, alpha, 0.0)
            else:
                rule = kernels.SGD, self.none, self.none, 0, alpha, 0.0, 0.0, 0.0, 0.0
                kernels.minibatch_epoch(self.X, self.Y, self.weight, self.order, self.batch_size, *network, *rule)


class Levels:
    """An epoch on one thread."""

    params = (tuple(CASES), LEVELS)
    param_names = ("case", "level")

    def setup(self, name, level):
        numba.set_num_threads(1)
        self.case = Case(name)
        self.case.epoch(level)

    def time_epoch(self, name, level):
        self.case.epoch(level)

    def track_samples_per_second(self, name, level):
        best, end = float("inf"), time.perf_counter() + 0.2
        while time.perf_counter() < end:
            started = time.perf_counter()
            self.case.epoch(level)
            best = min(best, time.perf_counter() - started)
        return self.case.samples / best

    track_samples_per_second.unit = "samples/s"
