"""The lecture's equations in NumPy, written to preallocated arrays; in float64 they are the reference."""

import isa
import numpy as np
from cases import BETA1, BETA2, EPSILON, LEARNING_RATE, flat, output_delta, slope, views


def version():
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return f"NumPy {np.__version__} with {blas['name']} {blas['version']}"


def ran():
    return isa.blas()


def product(case, threads):
    A, B, out = case.operands()
    return lambda: np.matmul(A, B, out=out), lambda: out


def reference(case):
    """The correct result, computed in float64."""
    if case.kind == "product":
        A, B, _ = case.operands()
        return A.astype(float) @ B.astype(float)
    step, result = globals()[case.kind](case, threads=None, dtype=float)
    step()
    return result()


def _activate(activation, z):
    """Apply an activation in place."""
    if activation == "relu":
        np.maximum(z, 0, out=z)
    elif activation == "tanh":
        np.tanh(z, out=z)
    elif activation == "logistic":
        np.negative(z, out=z)
        np.exp(z, out=z)
        z += 1
        np.reciprocal(z, out=z)
    elif activation == "softmax":
        z -= z.max(axis=1, keepdims=True)
        np.exp(z, out=z)
        z /= z.sum(axis=1, keepdims=True)


def _forward(case, layers, a):
    """Fill a[1], a[2], ... from a[0]."""
    for activation, (W, b), below, z in zip(case.activations, layers, a, a[1:], strict=False):
        np.matmul(below, W, out=z)
        z += b
        _activate(activation, z)


def online(case, threads, dtype=np.float32):
    X, Y, order = case.data()
    X, Y, layers = X.astype(dtype), Y.astype(dtype), case.layers(dtype)
    a, outer = [np.empty(size, dtype) for size in case.sizes], [np.empty_like(W) for W, _ in layers]
    rate = dtype(LEARNING_RATE[case.optimizer])

    def step():
        for t in order:
            a[0] = X[t]
            _forward(case, layers, a)
            delta = output_delta(case, a[-1], Y[t])
            for l in range(len(layers) - 1, -1, -1):
                (W, b), change = layers[l], rate * delta
                if l > 0:
                    delta = (W @ delta) * slope(case.hidden, a[l])
                W -= np.multiply.outer(a[l], change, out=outer[l])
                b -= change

    return step, lambda: flat(layers)


def minibatch(case, threads, dtype=np.float32):
    X, Y, order = case.data()
    X, Y, params = X.astype(dtype), Y.astype(dtype), case.params().astype(dtype)
    m, v, buffer, gradient = np.zeros((4, params.size), dtype)
    layers, gradients = views(params, case.sizes), views(gradient, case.sizes)
    a = [np.empty((case.batch, size), dtype) for size in case.sizes]
    below = [np.empty_like(units) for units in a]
    rate, updates = LEARNING_RATE[case.optimizer], 0

    def learn(x, y):
        a[0] = x
        _forward(case, layers, a)
        delta = output_delta(case, a[-1], y)
        delta /= dtype(case.batch)
        for l in range(len(layers) - 1, -1, -1):
            np.matmul(a[l].T, delta, out=gradients[l][0])
            np.sum(delta, axis=0, out=gradients[l][1])
            if l > 0:
                delta = np.matmul(delta, layers[l][0].T, out=below[l])
                delta *= slope(case.hidden, a[l])

    def sgd():
        params[:] -= np.multiply(gradient, dtype(rate), out=buffer)

    def adam():
        nonlocal m, v, updates
        updates += 1
        m *= BETA1
        m += np.multiply(gradient, 1 - BETA1, out=buffer)
        v *= BETA2
        np.multiply(gradient, gradient, out=buffer)
        v += np.multiply(buffer, 1 - BETA2, out=buffer)
        np.sqrt(v, out=buffer)
        np.divide(m, np.add(buffer, EPSILON, out=buffer), out=buffer)
        params[:] -= np.multiply(buffer, rate * (1 - BETA2**updates) ** 0.5 / (1 - BETA1**updates), out=buffer)

    update = {"sgd": sgd, "adam": adam}[case.optimizer]

    def step():
        for start in range(0, case.samples, case.batch):
            batch = order[start : start + case.batch]
            learn(*((X, Y) if case.batch == case.samples else (X[batch], Y[batch])))
            update()

    return step, lambda: params


def predict(case, threads, dtype=np.float32):
    layers = case.layers(dtype)
    a = [case.data()[0].astype(dtype), *(np.empty((case.samples, size), dtype) for size in case.sizes[1:])]
    return lambda: _forward(case, layers, a), lambda: a[-1]
