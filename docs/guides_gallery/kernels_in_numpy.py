"""
Use the kernels in your own NumPy code
======================================

``fastbp.train`` is one way to run the kernels; your own loop is another. Each kernel takes NumPy arrays,
writes into an array that you own, and allocates nothing. Here they fit a network to a sine, called first
from Python and then from a compiled function.
"""

import time

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

import fastbp.kernels as k

random = np.random.default_rng(0)
X = np.linspace(-1, 1, 200)[:, None]
Y = np.sin(3 * X) + random.normal(scale=0.05, size=X.shape)

# %%
# The weights of a 1-16-1 network, and an array for everything that a pass computes. Each row is a
# sample; W has shape (d_in, d_out).

n, units, rate = len(X), 16, 0.3
W1, b1 = random.uniform(-3, 3, (1, units)), random.uniform(-1, 1, units)
W2, b2 = random.uniform(-1, 1, (units, 1)) / units, np.zeros(1)
start = W1, b1, W2, b2
outputs = a1, a2 = np.empty((n, units)), np.empty((n, 1))
deltas = np.empty((n, units)), np.empty((n, 1))
gradients = tuple(np.empty_like(w) for w in start)


# %%
# One pass: forward, the error signals of both layers, the gradients, and the update. Dividing ``delta2``
# by the number of samples gives the gradient of the mean loss.


def one_pass(X, Y, weights, outputs, deltas, gradients, rate):
    """Update the weights in place, from all samples at once."""
    W1, b1, W2, b2 = weights
    a1, a2 = outputs
    delta1, delta2 = deltas
    dW1, db1, dW2, db2 = gradients
    k.linear_forward(X, W1, b1, a1)
    k.activation_forward(k.TANH, a1, a1)
    k.linear_forward(a1, W2, b2, a2)
    k.output_delta(k.SQUARED_ERROR, np.empty(0, Y.dtype), k.IDENTITY, a2, Y, delta2)
    delta2 /= Y.size
    k.hidden_delta(k.TANH, delta2, W2, a1, delta1)
    k.weight_gradient(X, delta1, dW1)
    k.bias_gradient(delta1, db1)
    k.weight_gradient(a1, delta2, dW2)
    k.bias_gradient(delta2, db2)
    k.sgd_update(W1, dW1, rate)
    k.sgd_update(b1, db1, rate)
    k.sgd_update(W2, dW2, rate)
    k.sgd_update(b2, db2, rate)


passes, losses = 3000, []
weights = tuple(w.copy() for w in start)
for _ in range(passes):
    one_pass(X, Y, weights, outputs, deltas, gradients, rate)
    losses.append(0.5 * np.mean((a2 - Y) ** 2))
print(f"loss before {losses[0]:.4f}, after {passes} passes {losses[-1]:.4f}")

# %%
# The same function, compiled: inside ``@njit``, calls of kernels do not go through Python. Small arrays
# gain most.

compiled_pass = njit(one_pass)


@njit
def train(passes, *arguments):
    """Run all passes without returning to Python."""
    for _ in range(passes):
        compiled_pass(*arguments)


again = tuple(w.copy() for w in start)
train(1, X, Y, tuple(w.copy() for w in start), outputs, deltas, gradients, rate)  # compiles
started = time.perf_counter()
train(passes, X, Y, again, outputs, deltas, gradients, rate)
compiled_seconds = time.perf_counter() - started
from_python = tuple(w.copy() for w in start)
started = time.perf_counter()
for _ in range(passes):
    one_pass(X, Y, from_python, outputs, deltas, gradients, rate)
python_seconds = time.perf_counter() - started
gap = max(np.abs(w - v).max() for w, v in zip(again, weights, strict=True))
print(f"largest difference of a weight: {gap:.0e}")
micros = [seconds / passes * 1e6 for seconds in (python_seconds, compiled_seconds)]
print(f"a pass takes {micros[0]:.0f} µs from Python, {micros[1]:.0f} µs compiled")

# %%
# What the network has learnt:

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.semilogy(np.arange(1, passes + 1), losses, color="#0072B2")
left.set(xlabel="pass", ylabel="mean loss", title="Learning")
right.plot(X, Y, "o", color="#56B4E9", markersize=3, label="samples")
right.plot(X, a2, color="#D55E00", linewidth=2, label="network")
right.set(xlabel="x", ylabel="y", title="What it has learnt")
right.legend()
plt.show()
