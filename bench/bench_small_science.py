"""Small science: a step of Levenberg-Marquardt, Bayesian regularisation and quasi-Newton, and their kernels."""

import numpy as np

import fastbp
from fastbp import kernels

SHAPES = {"1-20-1": ((1, 20, 1), 20_000), "4-32-16-4": ((4, 32, 16, 4), 2_000), "8-20-1": ((8, 20, 1), 500)}
STEPS = 10


def task(shape):
    sizes, n = SHAPES[shape]
    random = np.random.default_rng(0)
    X = random.normal(size=(n, sizes[0]))
    return sizes, X, np.tanh(X @ random.normal(size=(sizes[0], sizes[-1])))


class Steps:
    """Ten steps from the first weights."""

    params = (list(SHAPES), ["levenberg_marquardt", "bayesian", "bfgs", "lbfgs"])
    param_names = ("network", "optimizer")

    def setup(self, shape, optimizer):
        sizes, self.X, self.y = task(shape)
        self.plan = {"hidden": sizes[1:-1], "activation": "tanh", "optimizer": optimizer, "seed": 0, "progress": False}
        fastbp.train(self.X, self.y, epochs=1, **self.plan)

    def time_steps(self, shape, optimizer):
        fastbp.train(self.X, self.y, epochs=STEPS, **self.plan)


class GaussNewton:
    """The matrix and the gradient of all samples, and the Jacobian of 500, on one thread."""

    params = (list(SHAPES), ["float64", "float32"])
    param_names = ("network", "dtype")

    def setup(self, shape, dtype):
        sizes, X, Y = task(shape)
        self.sizes, codes = np.array(sizes), np.array([kernels.TANH] * (len(sizes) - 2) + [kernels.IDENTITY])
        count, none = kernels.parameter_count(self.sizes), np.empty(0, dtype)
        params = np.random.default_rng(0).normal(size=count).astype(dtype) / 3
        self.X, Y, weight = X.astype(dtype), Y.astype(dtype), np.ones(len(X), dtype)
        self.network = self.sizes, codes, params
        self.arguments = self.X, Y, weight, self.sizes, codes, kernels.SQUARED_ERROR, none, params
        self.matrix, self.gradient = np.zeros((count, count), dtype), np.zeros(count, dtype)
        self.J = np.empty((500, sizes[-1], count), dtype)
        self.time_gauss_newton(shape, dtype)
        self.time_jacobian(shape, dtype)
        self.products = len(X) * sizes[-1] * count * (count + 1)

    def time_gauss_newton(self, shape, dtype):
        kernels.gauss_newton(*self.arguments, self.matrix, self.gradient)

    def time_jacobian(self, shape, dtype):
        kernels.jacobian(self.X[:500], *self.network, self.J)

    def track_share_of_peak(self, shape, dtype):
        """Half of J^T J a second, by the peak: above 1, where the factored way leaves products out."""
        from timeit import repeat

        seconds = min(repeat(lambda: self.time_gauss_newton(shape, dtype), number=1, repeat=5))
        return self.products / seconds / 1e9 / kernels.peak_gflops(dtype)
