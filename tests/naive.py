"""
What the kernels must compute, in plain NumPy: whole matrices, float64 inside, one line per formula.

After the formulas come the tests' tools: comparison, finite differences, and arrays with guarded margins.
"""

import ctypes
import itertools
import math
import mmap
import sys
from typing import Any, NamedTuple

import numpy as np
import pytest

BASIC = ("identity", "logistic", "tanh", "relu")
# f' of these is computed from the input z; they are for hidden layers.
OF_INPUT = ("gelu", "silu", "mish")
ELEMENTWISE = (*BASIC, "leaky_relu", "elu", "selu", "softplus", "hard_sigmoid", "exp", *OF_INPUT)
ACTIVATIONS = (*ELEMENTWISE, "softmax")
OUTPUTS = tuple(f for f in ACTIVATIONS if f not in OF_INPUT)
# Pairs (loss, output activation) that go together: all those of the lecture, and some for each of the other losses.
BASIC_PAIRS = (*(("squared_error", f) for f in (*BASIC, "softmax")), ("log_loss", "logistic"), ("log_loss", "softmax"))
LOSS_PAIRS = (
    *BASIC_PAIRS,
    *(("squared_error", f) for f in OUTPUTS if f not in (*BASIC, "softmax")),
    ("poisson", "exp"),
    *(("absolute_error", f) for f in ("identity", "softmax")),
    *(("huber", f) for f in ("identity", "softplus", "softmax")),
    *(("log_cosh", f) for f in ("tanh", "exp")),
    *(("quantile", f) for f in ("identity", "logistic", "softmax")),
)
PARAMETRIC = ("huber", "quantile")
LEAK, SELU_SCALE, SELU_ALPHA = 0.01, 1.0507009873554805, 1.6732632423543772
# Points where a function has no derivative.
KINKS = {"relu": (0,), "leaky_relu": (0,), "hard_sigmoid": (-3, 3), "elu": (0,), "selu": (0,)}


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


def normal_cdf(z):
    return (1 + np.vectorize(math.erf, otypes=[np.float64])(z / math.sqrt(2))) / 2


def normal_density(z):
    return np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi)


def activation_forward(kind, z):
    (z,) = wide(z)
    with np.errstate(over="ignore"):
        s = 1 / (1 + np.exp(-z))
    match kind:
        case "logistic":
            return s
        case "tanh":
            return np.tanh(z)
        case "relu":
            return np.maximum(0, z)
        case "leaky_relu":
            return np.where(z > 0, z, LEAK * z)
        case "elu":
            return np.where(z > 0, z, np.expm1(np.minimum(z, 0)))
        case "selu":
            return SELU_SCALE * np.where(z > 0, z, SELU_ALPHA * np.expm1(np.minimum(z, 0)))
        case "softplus":
            return np.logaddexp(0, z)
        case "hard_sigmoid":
            return np.clip(z / 6 + 0.5, 0, 1)
        case "exp":
            return np.exp(z)
        case "gelu":
            return z * normal_cdf(z)
        case "silu":
            return z * s
        case "mish":
            return z * np.tanh(np.logaddexp(0, z))
        case "softmax":
            e = np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))
            return e / e.sum(axis=1, keepdims=True)
    return z.copy()


def of_derivative(kind, z):
    """What the derivative is computed from: z, or a = f(z)."""
    return z if kind in OF_INPUT else activation_forward(kind, z)


def activation_derivative(kind, x):
    """f' at x = a, or x = z (see `of_derivative`)."""
    (x,) = wide(x)
    match kind:
        case "logistic":
            return x * (1 - x)
        case "tanh":
            return 1 - x**2
        case "relu":
            return (x > 0).astype(np.float64)
        case "leaky_relu":
            return np.where(x > 0, 1, LEAK)
        case "elu":
            return np.where(x > 0, 1, x + 1)
        case "selu":
            return np.where(x > 0, SELU_SCALE, x + SELU_SCALE * SELU_ALPHA)
        case "softplus":
            return -np.expm1(-x)
        case "hard_sigmoid":
            return np.where((x > 0) & (x < 1), 1 / 6, 0)
        case "exp":
            return x
        case "gelu":
            return normal_cdf(x) + x * normal_density(x)
        case "silu":
            s = activation_forward("logistic", x)
            return s + x * s * (1 - s)
        case "mish":
            t = np.tanh(np.logaddexp(0, x))
            return t + x * (1 - t**2) * activation_forward("logistic", x)
    return np.ones_like(x)


def loss_slope(kind, a, y, p=None):
    """dJ/da of losses that are sums over outputs; `kind` may be a pair of functions J(y, a) and dJ/da."""
    if not isinstance(kind, str):
        return kind[1](y, a)
    e = a - y
    match kind:
        case "absolute_error":
            return np.sign(e)
        case "huber":
            return np.clip(e, -p, p)
        case "log_cosh":
            return np.tanh(e)
        case "quantile":
            return np.where(e > 0, 1 - p, np.where(e < 0, -p, 0))
    return e


def output_delta(loss, activation, a, y, p=None):
    a, y = wide(a, y)
    if loss in ("log_loss", "poisson"):
        return a - y
    slope = loss_slope(loss, a, y, p)
    if activation == "softmax":
        return a * (slope - (a * slope).sum(axis=1, keepdims=True))
    return activation_derivative(activation, a) * slope


def hidden_delta(kind, delta_next, W_next, x):
    delta_next, W_next = wide(delta_next, W_next)
    return activation_derivative(kind, x) * (delta_next @ W_next.T)


def weight_gradient(a, delta):
    a, delta = wide(a, delta)
    return a.T @ delta


def bias_gradient(delta):
    (delta,) = wide(delta)
    return delta.sum(axis=0)


# Loss and decision, one value per sample


def loss_terms(kind, activation, a, y, p=None):
    """The terms of the losses, one array each: their sum, over the outputs too, is J."""
    info = np.finfo(a.dtype)
    a, y = wide(a, y)
    if not isinstance(kind, str):
        return (kind[0](y, a),)
    e = abs(a - y)
    match kind:
        case "log_loss":
            tiny = info.eps  # keeps the loss of a saturated unit finite
            terms = (-y * np.log(np.maximum(a, tiny)),)
            return (*terms, -(1 - y) * np.log(np.maximum(1 - a, tiny))) if activation == "logistic" else terms
        case "poisson":
            return y * np.log(np.maximum(y, info.tiny) / np.maximum(a, info.tiny)), a - y
        case "absolute_error":
            return (e,)
        case "huber":
            return (np.where(e > p, p * (e - p / 2), e**2 / 2),)
        case "log_cosh":
            return e, np.log1p(np.exp(-2 * e)), np.full_like(e, -math.log(2))
        case "quantile":
            return (np.where(a > y, 1 - p, p) * e,)
    return (e**2 / 2,)


def loss(kind, activation, a, y, p=None):
    return sum(loss_terms(kind, activation, a, y, p)).sum(axis=1)


def loss_scale(kind, activation, a, y, p=None):
    """Size of what is summed: the terms, and for log-loss the numbers 1 - a of which logarithms are taken."""
    return sum(abs(term) for term in loss_terms(kind, activation, a, y, p)).sum(axis=1) + a.shape[1] * (
        kind == "log_loss"
    )


def correct(decision, a, y):
    if decision == "argmax":
        return a.argmax(axis=1) == y.argmax(axis=1)
    if decision == "threshold":
        return ((a > 0.5) == (y > 0.5)).all(axis=1)
    return np.zeros(len(a), bool)


def evaluate(kind, activation, decision, a, y, weight, p=None):
    return (weight.astype(np.float64) * loss(kind, activation, a, y, p)).mean(), correct(decision, a, y).mean()


# Residuals r, one a row, such that dJ = sum r dr and d2J is about sum dr dr^T; and their derivatives in all parameters


def residuals(kind, activation, a, y, weight, p=None):
    """r, shape (n, outputs), and dr_k/dz, shape (n, outputs, outputs); without a loss, the outputs and theirs."""
    a, y, weight = wide(a, y, weight)
    units, e = a.shape[1], a - y
    if activation == "softmax":
        slopes = a[:, :, None] * (np.eye(units) - a[:, None, :])
    else:
        slopes = np.eye(units) * activation_derivative(activation, a)[:, :, None]
    if kind is None:
        return a, slopes
    w = weight[:, None]
    if kind in ("log_loss", "poisson"):
        soft = activation == "softmax"
        curvature = a if soft or kind == "poisson" else a * (1 - a)
        scale = np.sqrt(np.maximum(w * curvature, np.finfo(np.float64).tiny))
        # softmax: scale (e_k - a)
        directions = np.eye(units) - a[:, None, :] if soft else np.eye(units)
        return w * (-y if soft else e) / scale, scale[:, :, None] * directions
    size = np.maximum(abs(e), 1e-6)
    match kind:
        case "absolute_error":
            h = 1 / size
        case "huber":
            h = p / np.maximum(abs(e), p)
        case "log_cosh":
            h = np.tanh(size) / size
        case "quantile":
            h = np.where(e > 0, 1 - p, p) / size
        case _:
            h = np.ones_like(e)
    root = np.sqrt(w * h)
    return root * e, root[:, :, None] * slopes


def residual_jacobian(names, sizes, params, X, kind=None, y=None, weight=None, p=None):
    """r, shape (n, outputs), and its Jacobian, shape (n, outputs, parameters), by backpropagation (L25, L28)."""
    layers, a, zs = [], [np.asarray(X, np.float64)], []
    at = 0
    for n_in, n_out in itertools.pairwise(sizes):
        W = np.asarray(params[at : at + n_in * n_out], np.float64).reshape(n_in, n_out)
        layers.append((W, np.asarray(params[at + n_in * n_out : at + (n_in + 1) * n_out], np.float64)))
        at += (n_in + 1) * n_out
    for (W, b), name in zip(layers, names, strict=True):
        zs.append(a[-1] @ W + b)
        a.append(activation_forward(name, zs[-1]))
    n, outputs = len(X), sizes[-1]
    y, weight = (np.zeros((n, outputs)), np.ones(n)) if kind is None else (y, weight)
    r, delta = residuals(kind, names[-1], a[-1], y, weight, p)
    parts = []
    for l in reversed(range(len(layers))):
        gradient = np.einsum("ni,nkj->nkij", a[l], delta).reshape(n, outputs, -1)
        parts = [gradient, delta, *parts]
        if l:
            slope = activation_derivative(names[l - 1], of_derivative(names[l - 1], zs[l - 1]))
            delta = np.einsum("nkj,ij->nki", delta, layers[l][0]) * slope[:, None]
    return r, np.concatenate(parts, axis=2)


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


def adam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon):  # noqa: PLR0913
    w, g, m, v = wide(w, g, m, v)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    rate = learning_rate * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    return w - rate * m / (np.sqrt(v) + epsilon), m, v


def adamw_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon, weight_decay):  # noqa: PLR0913
    (w,) = wide(w)
    moved, m, v = adam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon)
    return moved - learning_rate * weight_decay * w, m, v


def nadam_update(w, g, m, v, step, learning_rate, beta1, beta2, epsilon):  # noqa: PLR0913
    w, g, m, v = wide(w, g, m, v)
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    ahead = beta1 * m / (1 - beta1 ** (step + 1)) + (1 - beta1) * g / (1 - beta1**step)
    return w - learning_rate * np.sqrt(1 - beta2**step) * ahead / (np.sqrt(v) + epsilon), m, v


def rmsprop_update(w, g, square, learning_rate, decay, epsilon):
    w, g, square = wide(w, g, square)
    square = decay * square + (1 - decay) * g**2
    return w - learning_rate * g / (np.sqrt(square) + epsilon), square


def rprop_update(w, g, before, size, learning_rate, shrink, grow):
    w, g, before, size = wide(w, g, before, size)
    size = np.where(size == 0, learning_rate, size)
    turn = np.sign(g) * np.sign(before)
    size = np.where(turn > 0, np.minimum(size * grow, 50), np.where(turn < 0, np.maximum(size * shrink, 1e-6), size))
    g = np.where(turn < 0, 0, g)
    return w - size * np.sign(g), g, size


def clip_gradient(g, most):
    """The clipped gradient, and its length before."""
    (g,) = wide(g)
    length = np.sqrt((g**2).sum())
    return (g * (most / length) if length > most else g), length


STATES = {"sgd": 0, "momentum": 1, "nesterov": 1, "adam": 2, "adamw": 2, "nadam": 2, "rmsprop": 1, "rprop": 2}
UPDATES = {name: globals()[f"{name}_update"] for name in STATES}


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


def forward(X, sizes, activations, params):
    (a,) = wide(X)
    for (W, b), f in zip(layers(*wide(params), sizes), activations, strict=True):
        a = activation_forward(f, linear_forward(a, W, b))
    return a


def gradient(samples, sizes, activations, loss_kind, params, p=None, masks=None):
    """
    Summed gradient of the weighted losses of `samples`, (X, Y, weight); and the outputs.

    `masks` multiply the outputs of the hidden layers (dropout).
    """
    X, Y, weight = samples
    weights = layers(params, sizes)
    inputs, zs, top = wide(X), [], len(weights) - 1
    for l, ((W, b), f) in enumerate(zip(weights, activations, strict=True)):
        zs.append(linear_forward(inputs[-1], W, b))
        a = activation_forward(f, zs[-1])
        inputs.append(a if masks is None or l == top else a * masks[l])
    total = np.zeros(params.size)
    parts = layers(total, sizes)
    delta = np.asarray(weight, np.float64)[:, None] * output_delta(loss_kind, activations[-1], inputs[-1], Y, p)
    for l in reversed(range(len(parts))):
        parts[l][0][...] = weight_gradient(inputs[l], delta)
        parts[l][1][...] = bias_gradient(delta)
        if l > 0:
            f = activations[l - 1]
            delta = hidden_delta(f, delta, weights[l][0], of_derivative(f, zs[l - 1]))
            delta *= 1 if masks is None else masks[l - 1]
    return total, inputs[-1]


class Epoch(NamedTuple):
    loss: float
    correct: float
    step: int
    params: Any
    first: Any
    second: Any
    penalty: float


def minibatch_epoch(samples, batch_size, network, state, rule, clip=np.inf, masks=None):
    """
    One pass over `samples`, (X, Y, weight, order).

    `network` is (sizes, activations, loss, loss_parameter, decision), `state` is (params, first, second, step), `rule`
    is (optimizer, learning_rate, beta1, beta2, epsilon, l2); learning_rate and l2 may have one number per batch.
    ``masks(step, rows)`` gives the masks of a batch.
    """
    X, Y, weight, order = samples
    sizes, activations, loss_kind, loss_parameter, decision = network
    params, first, second = (x.astype(np.float64) for x in state[:3])
    step = state[3]
    optimizer, learning_rate, beta1, beta2, epsilon, l2 = rule
    batches = -(-len(order) // batch_size)
    rates, penalties = (np.broadcast_to(x, batches) for x in (learning_rate, l2))
    is_weight = np.zeros(params.size)
    for W, _ in layers(is_weight, sizes):
        W[...] = 1
    losses, right, penalty = [], [], 0.0
    for number, (rate, decay) in enumerate(zip(rates, penalties, strict=True)):
        some = order[number * batch_size : (number + 1) * batch_size]
        step += 1
        mask = None if masks is None else masks(step, len(some))
        batch = (X[some], Y[some], weight[some])
        g, outputs = gradient(batch, sizes, activations, loss_kind, params, loss_parameter, mask)
        losses.extend(weight[some] * loss(loss_kind, activations[-1], outputs, Y[some], loss_parameter))
        right.extend(correct(decision, outputs, Y[some]))
        penalty += len(some) * decay / 2 * (is_weight * params**2).sum()
        g, _ = clip_gradient(g / len(some), clip)
        if optimizer != "adamw":
            g += decay * is_weight * params
        numbers = {
            "sgd": (rate,),
            "momentum": (rate, beta1),
            "nesterov": (rate, beta1),
            "rmsprop": (rate, beta2, epsilon),
            "rprop": (rate, beta1, beta2),
        }.get(optimizer, (step, rate, beta1, beta2, epsilon))
        numbers += (decay * is_weight,) * (optimizer == "adamw")
        state = (first, second)[: STATES[optimizer]]
        params, *state = UPDATES[optimizer](params, g, *state, *numbers)
        first, second, *_ = [*state, *(first, second)[len(state) :]]
    return Epoch(np.mean(losses), np.mean(right), step, params, first, second, penalty / len(order))


def online_epoch(samples, network, params, learning_rate, l2):
    """Per-sample learning: batches of one sample. Returns loss, accuracy and params."""
    state = (params, np.empty(0), np.empty(0), 0)
    found = minibatch_epoch(samples, 1, network, state, ("sgd", learning_rate, 0, 0, 0, l2))
    return found.loss, found.correct, found.params


def lecture_epoch(X, Y, order, sizes, params, alpha):
    """The lecture's rule, unit by unit, for logistic units and squared error. Updates `params` (float64) in place."""
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
# Where each dtype costs seconds of compilation, float32 is left to the thorough tests.
COSTLY_DTYPES = (pytest.param(np.float32, marks=pytest.mark.thorough), np.float64)
LAYOUTS = ("C", "transposed", "strided")
SENTINEL = 1e30


def assert_close(got, wanted, scale=1.0, factor=1.0):
    """
    Compare within the tolerance of got's dtype, times `scale` and `factor`.

    `scale` is the size of the terms that are summed, one number or one per element.
    """
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
    """A copy that ends right before a protected page: accessing more ends the process (where mprotect exists)."""
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
    """Puts arrays inside larger buffers of sentinels, to catch a kernel that writes where it should not."""

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
        """A guarded array for a kernel to overwrite: full of NaN, so that no kernel can rely on its contents."""
        return self.put(np.full(shape, np.nan), written=True)

    def check(self):
        """Assert that nothing was written outside the arrays, nor into those that are only read."""
        for buffer, array, before in self.placed:
            inside = array.copy()
            if before is not None:
                np.testing.assert_array_equal(inside, before)
            array[...] = SENTINEL
            assert (buffer == self.dtype(SENTINEL)).all()
            array[...] = inside
