"""fastbp's kernels, on several threads if `fastbp.train` would use them."""

import numpy as np
from cases import BETA1, BETA2, EPSILON, LEARNING_RATE
from numba.core.registry import cpu_target

import fastbp
from fastbp import kernels


def version():
    return f"fastbp {fastbp.__version__}"


def peak(dtype):
    return kernels.peak_gflops(dtype)


def ran():
    _, processor, features = cpu_target.target_context.codegen().magic_tuple()
    wider = " with AVX-512" if "+avx512f" in features.split(",") else ""
    return f"vectors of {kernels.VECTOR_BYTES} bytes, LLVM for {processor}{wider}"


def _kernel(name, threads, pays):
    """The serial kernel or, if threads pay, a function that calls the parallel one."""
    serial = getattr(kernels, name)
    if threads == 1 or not pays:
        return serial
    parallel = getattr(kernels, name + "_parallel")

    def call(*arguments):
        with kernels.threads(threads) as allowed:
            return (parallel if allowed else serial)(*arguments)

    return call


def _frozen(array):
    """Make the array read-only, like the inputs that `fastbp.train` passes, so that the same version is compiled."""
    array.flags.writeable = False
    return array


def _architecture(case):
    return _frozen(np.array(case.sizes)), _frozen(np.array([kernels.ACTIVATIONS[name] for name in case.activations]))


def _samples(case):
    X, Y, order = case.data()
    return _frozen(X), _frozen(Y), _frozen(np.ones(case.samples, np.float32)), order


NO_PARAMETER = np.empty(0, np.float32)


def product(case, threads):
    A, B, out = case.operands()
    multiply = _kernel("matmul", threads, kernels.matmul_parallel_pays(*A.shape, B.shape[1]))
    return lambda: multiply(A, B, out), lambda: out


def online(case, threads):
    decision = kernels.ARGMAX if case.sizes[-1] > 1 else kernels.THRESHOLD
    samples, params = _samples(case), case.params()
    network = (*_architecture(case), kernels.LOSSES[case.loss], NO_PARAMETER, decision, params)
    return lambda: kernels.online_epoch(*samples, *network, LEARNING_RATE[case.optimizer], 0.0), lambda: params


def minibatch(case, threads):
    epoch = _kernel("minibatch_epoch", threads, kernels.parallel_pays(case.sizes, case.batch))
    decision = kernels.NO_DECISION if case.output == "identity" else kernels.ARGMAX
    samples, params, updates = _samples(case), case.params(), 0
    network = (*_architecture(case), kernels.LOSSES[case.loss], NO_PARAMETER, decision, params)
    first, second = np.zeros((2, params.size if case.optimizer == "adam" else 0), np.float32)
    optimizer, rate = kernels.OPTIMIZERS[case.optimizer], LEARNING_RATE[case.optimizer]
    numbers = rate, BETA1, BETA2, EPSILON, 0.0

    def step():
        nonlocal updates
        *_, updates = epoch(*samples, case.batch, *network, optimizer, first, second, updates, *numbers)

    return step, lambda: params


def predict(case, threads):
    forward = _kernel("forward", threads, kernels.forward_parallel_pays(case.sizes, case.samples))
    X, out = _frozen(case.data()[0]), np.empty((case.samples, case.sizes[-1]), np.float32)
    network = (*_architecture(case), _frozen(case.params()))
    return lambda: forward(X, *network, out), lambda: out
