"""Training: single epochs of the kernels, and whole calls of `fastbp.train`."""

import time

import numpy as np
from numba import njit
from numba.core.runtime import _nrt_python, rtsys

import fastbp
from fastbp import kernels


@njit
def _half_square(y, a):
    return 0.5 * (a - y) ** 2


@njit
def _error(y, a):
    return a - y


# network: samples per epoch
ONLINE = {"2-2-1": 4_000, "64-32-10": 1_000, "784-100-10": 200}
# network, batch size, optimizer, samples
MINIBATCH = {
    "64-64-10 B=32 sgd": ("64-64-10", 32, "sgd", 2_048),
    "64-64-10 B=32 adam": ("64-64-10", 32, "adam", 2_048),
    "64-64-10 B=128 sgd": ("64-64-10", 128, "sgd", 2_048),
    "64-64-10 B=128 adam": ("64-64-10", 128, "adam", 2_048),
    "784-256-128-10 B=128 adam": ("784-256-128-10", 128, "adam", 512),
    "784-256-128-10 B=256 sgd": ("784-256-128-10", 256, "sgd", 512),
    "4-32-16-4 full batch adam": ("4-32-16-4", 10_000, "adam", 10_000),
}
REGULARISED = {"activation": "gelu", "dropout": 0.2, "clip_norm": 1.0}
# features, classes (0: regression), samples, options
TRAIN = {
    "regression 8-32-1": (8, 0, 1_000, {"hidden": 32, "epochs": 5}),
    "classes 64-64-10": (64, 10, 1_000, {"hidden": 64, "epochs": 5}),
    "classes 784-256-128-10": (784, 10, 1_000, {"hidden": (256, 128), "epochs": 1, "batch_size": 128}),
    "gelu, dropout, clipped 64-64-10": (64, 10, 1_000, {"hidden": 64, "epochs": 5} | REGULARISED),
    "quantiles 8-32-3": (8, 0, 1_000, {"hidden": 32, "epochs": 5, "loss": "quantile", "quantile": (0.1, 0.5, 0.9)}),
    "custom loss 8-32-1": (8, 0, 1_000, {"hidden": 32, "epochs": 5, "loss": (_half_square, _error)}),
}


class _Problem:
    """A network with logistic hidden units and random samples, as arguments of the epoch kernels, in float32."""

    def __init__(self, shape, samples):
        random = np.random.default_rng(0)
        self.sizes = np.array([int(n) for n in shape.split("-")])
        layers, outputs = len(self.sizes) - 1, self.sizes[-1]
        last = kernels.SOFTMAX if outputs > 1 else kernels.LOGISTIC
        self.activations = np.array([kernels.LOGISTIC] * (layers - 1) + [last])
        self.decision = kernels.ARGMAX if outputs > 1 else kernels.THRESHOLD
        self.X = random.normal(size=(samples, self.sizes[0])).astype(np.float32)
        if outputs > 1:
            self.Y = np.eye(outputs, dtype=np.float32)[random.integers(0, outputs, samples)]
        else:
            self.Y = random.integers(0, 2, (samples, 1)).astype(np.float32)
        self.weight = np.ones(samples, np.float32)
        self.order = random.permutation(samples)
        self.params = (0.1 * random.normal(size=kernels.parameter_count(self.sizes))).astype(np.float32)
        self.first, self.second = np.zeros((2, self.params.size), np.float32)

        # `fastbp.train` passes these as read-only arrays, too, so that Numba uses the same compiled version.
        for array in (self.X, self.Y, self.weight, self.sizes, self.activations):
            array.flags.writeable = False

    def allocations(self, epoch):
        """The number of allocations by compiled code during an epoch."""
        epoch()
        _nrt_python.memsys_enable_stats()
        try:
            before = rtsys.get_allocation_stats().alloc
            epoch()
            return rtsys.get_allocation_stats().alloc - before
        finally:
            _nrt_python.memsys_disable_stats()

    def _network(self):
        return self.sizes, self.activations, kernels.LOG_LOSS, np.empty(0, np.float32), self.decision, self.params

    def online_epoch(self):
        kernels.online_epoch(self.X, self.Y, self.weight, self.order, *self._network(), 0.01, 0.0)

    def minibatch_epoch(self, batch_size, optimizer):
        state = (kernels.OPTIMIZERS[optimizer], self.first, self.second, 0)
        kernels.minibatch_epoch(
            self.X, self.Y, self.weight, self.order, batch_size, *self._network(), *state, 1e-3, 0.9, 0.999, 1e-8, 0.0
        )


def _samples_per_second(epoch, samples):
    """Samples per second of the fastest epoch within a fifth of a second."""
    best, end = float("inf"), time.perf_counter() + 0.2
    while time.perf_counter() < end:
        started = time.perf_counter()
        epoch()
        best = min(best, time.perf_counter() - started)
    return samples / best


class Online:
    """Per-sample learning: the lecture's rule."""

    params = tuple(ONLINE)
    param_names = ("network",)

    def setup(self, network):
        self.problem = _Problem(network, ONLINE[network])
        self.problem.online_epoch()

    def time_epoch(self, network):
        self.problem.online_epoch()

    def track_samples_per_second(self, network):
        return _samples_per_second(self.problem.online_epoch, ONLINE[network])

    def track_allocations(self, network):
        return self.problem.allocations(self.problem.online_epoch)

    track_samples_per_second.unit = "samples/s"


class Minibatch:
    """Mini-batch learning on one thread."""

    params = tuple(MINIBATCH)
    param_names = ("case",)

    def setup(self, case):
        network, self.batch_size, self.optimizer, self.samples = MINIBATCH[case]
        self.problem = _Problem(network, self.samples)
        self._epoch()

    def _epoch(self):
        self.problem.minibatch_epoch(self.batch_size, self.optimizer)

    def time_epoch(self, case):
        self._epoch()

    def track_samples_per_second(self, case):
        return _samples_per_second(self._epoch, self.samples)

    def track_allocations(self, case):
        return self.problem.allocations(self._epoch)

    track_samples_per_second.unit = "samples/s"


class Train:
    """The whole call: checks, scaling and epochs."""

    params = tuple(TRAIN)
    param_names = ("case",)

    def setup(self, case):
        features, classes, samples, self.options = TRAIN[case]
        random = np.random.default_rng(0)
        self.X = random.normal(size=(samples, features))
        self.y = random.integers(0, classes, samples) if classes else np.sin(self.X.sum(axis=1))
        self._train()

    def _train(self):
        fastbp.train(self.X, self.y, seed=0, threads=1, progress=False, **self.options)

    def time_train(self, case):
        self._train()

    def peakmem_train(self, case):
        self._train()

    def track_samples_per_second(self, case):
        return _samples_per_second(self._train, len(self.X) * self.options["epochs"])

    track_samples_per_second.unit = "samples/s"


class Memory:
    """Peak memory of a large training, with an array, and with a file that is read block by block."""

    params = ("array", "file")
    param_names = ("X",)

    def setup_cache(self):
        random = np.random.default_rng(0)
        np.save("X.npy", random.integers(0, 256, (200_000, 400), np.uint8))

    def setup(self, stored):
        self.X = np.load("X.npy", mmap_mode="r" if stored == "file" else None)
        self.y = np.arange(len(self.X)) % 10

    def peakmem_train(self, stored):
        fastbp.train(self.X, self.y, hidden=16, epochs=1, seed=0, threads=1, progress=False)

    def peakmem_predict(self, stored):
        fastbp.train(self.X[:1000], self.y[:1000], hidden=16, epochs=1, seed=0, progress=False).predict(self.X)
