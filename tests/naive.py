"""
What the kernels must compute, in plain NumPy: whole matrices, float64 inside, one line per formula.

Below the formulas are the tests' tools: comparison, finite differences, and arrays with guarded margins.
"""

import ctypes
import itertools
import mmap
import sys

import numpy as np

ACTIVATIONS = ("identity", "logistic", "tanh", "relu", "softmax")
ELEMENTWISE = ACTIVATIONS[:4]
# The pairs (loss, output activation) that go together.
LOSS_PAIRS = (*(("squared_error", f) for f in ACTIVATIONS), ("log_loss", "logistic"), ("log_loss", "softmax"))


# One layer


def wide(*arrays):
    """The arrays as float64."""
    return [np.asarray(x, np.float64) for x in arrays]


def matmul(A, B):
    A, B = wide(A, B)
    return A @ B


def linear_forward(X, W, b):
    X, W, b = wide(X, W, b)
    return X @ W + b


def activation_forward(kind, z):
    (z,) = wide(z)
    if kind == "logistic":
        with np.errstate(over="ignore"):
            return 1 / (1 + np.exp(-z))
    if kind == "tanh":
        return np.tanh(z)
    if kind == "relu":
        return np.maximum(0, z)
    if kind == "softmax":
        e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
        return e / e.sum(axis=1, keepdims=True)
    return z.copy()


def activation_derivative(kind, a):
    (a,) = wide(a)
    if kind == "logistic":
        return a * (1 - a)
    if kind == "tanh":
        return 1 - a**2
    if kind == "relu":
        return (a > 0).astype(np.float64)
    return np.ones_like(a)


def output_delta(loss, activation, a, y):
    a, y = wide(a, y)
    e = a - y
    if loss == "log_loss":
        return e
    if activation == "softmax":
        return a * (e - (a * e).sum(axis=1, keepdims=True))
    return activation_derivative(activation, a) * e


def hidden_delta(kind, delta_next, W_next, a):
    delta_next, W_next = wide(delta_next, W_next)
    return activation_derivative(kind, a) * (delta_next @ W_next.T)


def weight_gradient(a, delta):
    a, delta = wide(a, delta)
    return a.T @ delta


def bias_gradient(delta):
    (delta,) = wide(delta)
    return delta.sum(axis=0)


# Loss and decision, one value per sample


def loss(kind, activation, a, y):
    tiny = np.finfo(a.dtype).eps  # keeps the loss of a saturated unit finite
    a, y = wide(a, y)
    if kind == "squared_error":
        return 0.5 * ((a - y) ** 2).sum(axis=1)
    total = -(y * np.log(np.maximum(a, tiny))).sum(axis=1)
    if activation == "logistic":
        total -= ((1 - y) * np.log(np.maximum(1 - a, tiny))).sum(axis=1)
    return total


def correct(decision, a, y):
    if decision == "argmax":
        return a.argmax(axis=1) == y.argmax(axis=1)
    if decision == "threshold":
        return ((a > 0.5) == (y > 0.5)).all(axis=1)
    return np.zeros(len(a), bool)


def evaluate(kind, activation, decision, a, y, weight):
    return (weight.astype(np.float64) * loss(kind, activation, a, y)).mean(), correct(decision, a, y).mean()


# Update rules: they return the new weights and states


def sgd_update(w, g, learning_rate):
    w, g = wide(w, g)
    return (w - learning_rate * g,)


def momentum_update(w, g, velocity, learning_rate, momentum):
    w, g, velocity = wide(w, g, velocity)
    velocity = momentum * velocity - learning_rate * g
    return w + velocity, velocity


def nesterov_update(w, g, velocity, learning_rate, momentum):
    w, g, velocity = wide(w, g, velocity)
    velocity = momentum * velocity - learning_rate * g
    return w + momentum * velocity - learning_rate * g, velocity


def adam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon):
    w, g, m, v = wide(w, g, m, v)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    rate = learning_rate * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    return w - rate * m / (np.sqrt(v) + epsilon), m, v


# Whole networks: flat parameters, per layer W (d_in, d_out) row after row and then b


def layers(params, sizes):
    """The list of (W, b), views into `params`."""
    found, at = [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        W = params[at : at + n_in * n_out].reshape(n_in, n_out)
        at += n_in * n_out
        found.append((W, params[at : at + n_out]))
        at += n_out
    assert at == params.size
    return found


def all_outputs(X, sizes, activations, params):
    outputs = wide(X)
    for (W, b), f in zip(layers(*wide(params), sizes), activations, strict=True):
        outputs.append(activation_forward(f, linear_forward(outputs[-1], W, b)))
    return outputs


def forward(X, sizes, activations, params):
    return all_outputs(X, sizes, activations, params)[-1]


def gradient(X, Y, weight, sizes, activations, loss_kind, params):
    """Summed gradient of the weighted losses, and the outputs."""
    outputs = all_outputs(X, sizes, activations, params)
    total = np.zeros(params.size)
    parts, weights = layers(total, sizes), layers(params, sizes)
    delta = np.asarray(weight, np.float64)[:, None] * output_delta(loss_kind, activations[-1], outputs[-1], Y)
    for l in reversed(range(len(parts))):
        parts[l][0][...] = weight_gradient(outputs[l], delta)
        parts[l][1][...] = bias_gradient(delta)
        if l > 0:
            delta = hidden_delta(activations[l - 1], delta, weights[l][0], outputs[l])
    return total, outputs[-1]


def minibatch_epoch(X, Y, weight, order, batch_size, sizes, activations, loss_kind, decision, params, optimizer, first, second, step,
                    learning_rate, beta1, beta2, epsilon, l2):  # fmt: skip
    """One epoch; returns loss, accuracy, step, params, first, second."""
    params, first, second = (x.astype(np.float64) for x in (params, first, second))
    losses, right = [], []
    for start in range(0, len(order), batch_size):
        some = order[start : start + batch_size]
        g, outputs = gradient(X[some], Y[some], weight[some], sizes, activations, loss_kind, params)
        losses.extend(weight[some] * loss(loss_kind, activations[-1], outputs, Y[some]))
        right.extend(correct(decision, outputs, Y[some]))
        g /= len(some)
        for (W, _), (dW, _) in zip(layers(params, sizes), layers(g, sizes), strict=True):
            dW += l2 * W
        step += 1
        if optimizer == "adam":
            params, first, second = adam_update(params, g, first, second, step, learning_rate, beta1, beta2, epsilon)
        elif optimizer == "nesterov":
            params, first = nesterov_update(params, g, first, learning_rate, beta1)
        elif optimizer == "momentum":
            params, first = momentum_update(params, g, first, learning_rate, beta1)
        else:
            (params,) = sgd_update(params, g, learning_rate)
    return np.mean(losses), np.mean(right), step, params, first, second


def online_epoch(X, Y, weight, order, sizes, activations, loss_kind, decision, params, learning_rate, l2):
    """Per-sample learning: a batch of one sample at a time. Returns loss, accuracy, params."""
    none = np.empty(0)
    found = minibatch_epoch(
        X, Y, weight, order, 1, sizes, activations, loss_kind, decision, params, "sgd", none, none, 0, learning_rate, 0, 0, 0, l2
    )
    return found[0], found[1], found[3]


def lecture_epoch(X, Y, order, sizes, params, alpha):
    """The lecture's rule as it is told, unit by unit: logistic units and squared error. Updates `params` (float64) in place."""
    weights = layers(params, sizes)
    top = len(weights)
    for t in order:
        a = [X[t]]
        for W, b in weights:
            a.append(np.array([1 / (1 + np.exp(-(W[:, k] @ a[-1] + b[k]))) for k in range(b.size)]))
        delta = [None] * (top + 1)
        # Output layer: e_k = a_k - y_k, delta_k = a_k (1 - a_k) e_k
        delta[top] = np.array([ak * (1 - ak) * (ak - yk) for ak, yk in zip(a[top], Y[t], strict=True)])
        # Hidden layers: delta_k = a_k (1 - a_k) sum_i delta_i w_ki, all before any weight is changed
        for l in range(top - 1, 0, -1):
            W = weights[l][0]
            delta[l] = np.array([ak * (1 - ak) * (delta[l + 1] @ W[k]) for k, ak in enumerate(a[l])])
        # w_jk <- w_jk - alpha a_j delta_k, b_k <- b_k - alpha delta_k
        for l, (W, b) in enumerate(weights):
            for k in range(b.size):
                W[:, k] -= alpha * a[l] * delta[l + 1][k]
                b[k] -= alpha * delta[l + 1][k]


# Tools of the tests

DTYPES = (np.float32, np.float64)
LAYOUTS = ("C", "transposed", "strided")
SENTINEL = 1e30


def assert_close(got, wanted, scale=1.0, factor=1.0):
    """Compare within the tolerance of got's dtype, times `scale` (the size of the terms summed, per element or one for all)."""
    got = np.asarray(got)
    tolerance = factor * {np.dtype(np.float32): 1e-5, np.dtype(np.float64): 1e-12}[got.dtype]
    assert got.shape == np.shape(wanted)
    assert np.isfinite(got).all()
    excess = np.abs(got.astype(np.float64) - wanted) - tolerance * np.broadcast_to(scale, got.shape)
    assert excess.max(initial=-1.0) <= 0, f"off by {np.abs(got - wanted).max()}"


def finite_difference(function, x, h=1e-6):
    """Gradient of a function of one array to a number, by central differences: two evaluations per element."""
    result = np.empty(x.shape)
    for at in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[at] += h
        down[at] -= h
        result[at] = (function(up) - function(down)) / (up[at] - down[at])
    return result


def page_end(values):
    """A copy that ends where a page ends that nobody may touch: reading or writing on ends the process (where there is mprotect)."""
    values = np.ascontiguousarray(values)
    size = -(-max(values.nbytes, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    memory = mmap.mmap(-1, size + mmap.PAGESIZE)
    whole = np.frombuffer(memory, np.uint8)
    if sys.platform != "win32":
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.mprotect(ctypes.c_void_p(whole.ctypes.data + size), ctypes.c_size_t(mmap.PAGESIZE), 0) == 0
    array = whole[size - values.nbytes : size].view(values.dtype).reshape(values.shape)
    array[...] = values
    return array


class Arena:
    """Places arrays inside larger buffers of sentinels, to see what a kernel writes where it should not."""

    def __init__(self, dtype=np.float64, layout="C"):
        self.dtype, self.layout, self.placed = dtype, layout, []

    def put(self, values, written=False):
        """A guarded copy of `values`; unless `written`, it must still hold them at the check."""
        values = np.asarray(values, self.dtype)
        if self.layout == "strided":
            buffer = np.full([2 * d + 5 for d in values.shape], SENTINEL, self.dtype)
            array = buffer[tuple(slice(2, 2 + 2 * d, 2) for d in values.shape)]
        else:
            buffer = np.full(values.size + 64, SENTINEL, self.dtype)
            array = buffer[32 : 32 + values.size]
            array = array.reshape(values.shape) if self.layout == "C" else array.reshape(values.shape[::-1]).T
        array[...] = values
        self.placed.append((buffer, array, None if written else values.copy()))
        return array

    def space(self, *shape):
        """A guarded array for a kernel to overwrite: full of NaN, so that no kernel can lean on what it holds."""
        return self.put(np.full(shape, np.nan), written=True)

    def check(self):
        """Nothing beside the arrays was written, and nothing in those that are only read."""
        for buffer, array, before in self.placed:
            inside = array.copy()
            if before is not None:
                np.testing.assert_array_equal(inside, before)
            array[...] = SENTINEL
            assert (buffer == self.dtype(SENTINEL)).all()
            array[...] = inside
