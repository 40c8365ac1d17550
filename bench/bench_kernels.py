"""Single kernels on arrays of a layer's sizes: GFLOP/s of the products, time of the element-wise loops."""

import time

import numpy as np

from fastbp import kernels

# (samples, inputs, outputs) of a layer; each product takes 2 n d_in d_out flops.
SIZES = {
    "32x784x100": (32, 784, 100),
    "200x64x64": (200, 64, 64),
    "256x256x256": (256, 256, 256),
    "1024x1024x1024": (1024, 1024, 1024),
}
PRODUCTS = ("linear_forward", "weight_gradient", "hidden_delta")
# Parameters of a 784-100-10 network.
PARAMETERS = 79_510


def _product(name, size):
    """Return a call of the kernel without arguments, and its flops."""
    n, d_in, d_out = SIZES[size]
    random = np.random.default_rng(0)
    a, delta = random.normal(size=(n, d_in)).astype(np.float32), random.normal(size=(n, d_out)).astype(np.float32)
    W, b = random.normal(size=(d_in, d_out)).astype(np.float32), random.normal(size=d_out).astype(np.float32)
    if name == "linear_forward":
        out = np.empty((n, d_out), np.float32)
        return lambda: kernels.linear_forward(a, W, b, out), 2 * n * d_in * d_out
    if name == "weight_gradient":
        out = np.empty((d_in, d_out), np.float32)
        return lambda: kernels.weight_gradient(a, delta, out), 2 * n * d_in * d_out
    out = np.empty((n, d_in), np.float32)
    return lambda: kernels.hidden_delta(kernels.LOGISTIC, delta, W, a, out), 2 * n * d_in * d_out


def _best(call, seconds=0.1):
    """Seconds of the fastest call during `seconds`."""
    best, end = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < end:
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


class Products:
    """The three matrix products of a layer: GFLOP/s, and the share of the measured peak."""

    params = (PRODUCTS, tuple(SIZES))
    param_names = ("kernel", "size")

    def setup(self, kernel, size):
        self.call, self.flops = _product(kernel, size)
        self.call()

    def time_product(self, kernel, size):
        self.call()

    def track_gflops(self, kernel, size):
        return self.flops / _best(self.call) / 1e9

    def track_percent_of_peak(self, kernel, size):
        return 100 * self.flops / _best(self.call) / 1e9 / kernels.peak_gflops("float32")

    track_gflops.unit = "GFLOP/s"
    track_percent_of_peak.unit = "%"


class Peak:
    """Multiply-adds in registers: the most that the processor can do."""

    params = ("float32", "float64")
    param_names = ("dtype",)

    def track_gflops(self, dtype):
        return kernels.peak_gflops(dtype)

    track_gflops.unit = "GFLOP/s"


class Elementary:
    """The elementary functions on 4096 numbers."""

    params = (("exp", "log", "tanh", "logistic", "softplus", "erf"), ("float32", "float64"))
    param_names = ("function", "dtype")

    def setup(self, function, dtype):
        self.function = getattr(kernels, function)
        self.x = np.random.default_rng(0).uniform(0.1, 3, 4096).astype(dtype)
        self.out = np.empty_like(self.x)
        self.function(self.x, self.out)

    def time_function(self, function, dtype):
        self.function(self.x, self.out)


class Activation:
    """Every activation, for 200 samples and 100 units."""

    params = tuple(kernels.ACTIVATIONS)
    param_names = ("activation",)

    def setup(self, activation):
        self.code = kernels.ACTIVATIONS[activation]
        self.z = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
        self.out = np.empty_like(self.z)
        kernels.activation_forward(self.code, self.z, self.out)

    def time_activation_forward(self, activation):
        kernels.activation_forward(self.code, self.z, self.out)


class Update:
    """One update of the parameters of a 784-100-10 network."""

    def setup(self):
        random = np.random.default_rng(0)
        self.w, self.g = random.normal(size=(2, PARAMETERS)).astype(np.float32)
        self.m, self.v = np.zeros((2, PARAMETERS), np.float32)
        self.time_sgd_update()
        self.time_adam_update()

    def time_sgd_update(self):
        kernels.sgd_update(self.w, self.g, 1e-6)

    def time_adam_update(self):
        kernels.adam_update(self.w, self.g, self.m, self.v, 1, 1e-6, 0.9, 0.999, 1e-8)
