"""
JAX by hand: the epochs and batches of a network are compiled scans, and many networks go through them side by side.

Written as it was fastest (``with_many_jax_vmap.py`` is what users write): gradients by hand, and `TOGETHER` networks at a time. For
per-sample learning every weight is an array over all networks, so that XLA makes one vectorised loop of the steps of a sample. Where there
are threads, each has a device and a share of the networks. NumPy draws the orders: on the processor it is faster than `jax.random`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from cases import BETA1, BETA2, EPSILON, output_delta, slope
from many_works import rows_of
from with_jax import ACTIVATE, version

__all__ = ["many", "version"]

TOGETHER = 4


def many(work, threads):
    return on_devices(work, threads, jax.jit(_one_by_one(work) if work.batch == 1 else _in_batches(work)))


def on_devices(work, threads, learn):
    """The work as `learn(layers, X, Y, orders)` does it, a share of the networks on each of so many devices."""
    jax.config.update("jax_num_cpu_devices", threads)
    random, rows = np.random.default_rng(0), None
    shares = [
        (part, device, jax.device_put((work.layers(part.seeds), part.X, part.Y), device))
        for group in work.groups()
        for part, device in zip(group.split(threads), jax.devices(), strict=False)
    ]

    def step():
        nonlocal rows
        found = [learn(*known, jax.device_put(work.orders(part, random), device)) for part, device, known in shares]
        rows = np.concatenate([rows_of(layers) for layers in jax.device_get(found)])

    return step, lambda: rows


def adam(rate, layers, g, moments, updates):
    """The layers and their moments m and v after one more update."""
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], g)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, moments[1], g)
    # 1 - beta^t, without the digits that the difference would lose in float32.
    one, two = (-jnp.expm1(updates * np.log(beta)) for beta in (BETA1, BETA2))
    alpha = rate * jnp.sqrt(two) / one
    return jax.tree.map(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + EPSILON), layers, m, v), (m, v)


def _in_batches(work):
    """Adam on mini-batches; what is left over is a smaller batch."""

    def gradient(layers, x, y):
        (W1, b1), (W2, b2) = layers
        a = ACTIVATE[work.hidden](x @ W1 + b1)
        delta = (ACTIVATE[work.output](a @ W2 + b2) - y) / len(x)
        below = (delta @ W2.T) * slope(work.hidden, a)
        return [(x.T @ below, below.sum(axis=0)), (a.T @ delta, delta.sum(axis=0))]

    def update(state, some, X, Y):
        layers, moments, updates = state
        layers, moments = adam(work.learning_rate, layers, gradient(layers, X[some], Y[some]), moments, updates + 1)
        return layers, moments, updates + 1

    def network(layers, orders, X, Y):
        full = len(X) // work.batch * work.batch

        def epoch(state, order):
            batches = order[:full].reshape(-1, work.batch)
            state, _ = jax.lax.scan(lambda state, some: (update(state, some, X, Y), None), state, batches)
            return (state if full == len(X) else update(state, order[full:], X, Y)), None

        zeros = jax.tree.map(jnp.zeros_like, layers)
        return jax.lax.scan(epoch, (layers, (zeros, zeros), 0), orders)[0][0]

    def networks(layers, X, Y, orders):
        if X.ndim == 2:
            return jax.lax.map(lambda own: network(*own, X, Y), (layers, orders), batch_size=TOGETHER)
        return jax.lax.map(lambda own: network(*own), (layers, orders, X, Y), batch_size=TOGETHER)

    return networks


def _one_by_one(work):
    """A sample an update; lists of weights, each an array over the networks."""
    rate = work.learning_rate

    def forward(layers, x):
        a = [x]
        for W, b in layers:
            a.append(
                [
                    jax.nn.sigmoid(sum(row[j] * unit for row, unit in zip(W, a[-1], strict=True)) + b[j])
                    for j in range(len(b))
                ]
            )
        return a

    def update(layers, x, y):
        *a, out = forward(layers, x)
        delta = [output_delta(work, *pair) for pair in zip(out, y, strict=True)]
        learnt = []
        for (W, b), units in zip(layers[::-1], a[::-1], strict=True):
            moved = [
                [w - rate * d * unit for w, d in zip(row, delta, strict=True)]
                for row, unit in zip(W, units, strict=True)
            ]
            learnt.insert(0, (moved, [bias - rate * d for bias, d in zip(b, delta, strict=True)]))
            back = [sum(w * d for w, d in zip(row, delta, strict=True)) for row in W]
            delta = [d * slope(work.hidden, unit) for d, unit in zip(back, units, strict=True)]
        return learnt

    def networks(layers, X, Y, orders):
        def learn(layers, sample):
            # Chosen by comparisons, for four samples faster than gathered.
            x, y = (
                [sum(jnp.where(sample == t, column[t], 0) for t in range(len(X))) for column in M.T] for M in (X, Y)
            )
            return update(layers, x, y), None

        layers = [([list(row) for row in jnp.moveaxis(W, 0, -1)], list(b.T)) for W, b in layers]
        samples = jnp.moveaxis(orders, 0, -1).reshape(-1, len(orders))
        layers, _ = jax.lax.scan(learn, layers, samples)
        return [(jnp.moveaxis(jnp.array(W), -1, 0), jnp.array(b).T) for W, b in layers]

    return networks
