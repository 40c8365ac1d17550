"""
JAX by hand: the epochs and batches of a network are compiled scans, and many networks run side by side.

This is the fastest variant found (``with_many_jax_vmap.py`` is what users write): gradients by hand, and `TOGETHER`
networks at a time. For per-sample learning, every weight is an array over all networks, so that XLA compiles the steps
of a sample to one vectorised loop. With several threads, each has a device and a share of the networks. NumPy draws the
orders: on the CPU, it is faster than `jax.random`.
"""

import jax
import jax.numpy as jnp
import numpy as np
from cases import BETA1, BETA2, EPSILON, output_delta, slope
from many_cases import rows_of
from with_jax import ACTIVATE, version

__all__ = ["many", "version"]

TOGETHER = 4


def many(case, threads):
    return on_devices(case, threads, jax.jit(_one_by_one(case) if case.batch == 1 else _in_batches(case)))


def on_devices(case, threads, learn):
    """Run `learn(layers, X, Y, orders)` on one device per thread, each with a share of the networks."""
    jax.config.update("jax_num_cpu_devices", threads)
    random, rows = np.random.default_rng(0), None
    shares = [
        (part, device, jax.device_put((case.layers(part.seeds), part.X, part.Y), device))
        for group in case.groups()
        for part, device in zip(group.split(threads), jax.devices(), strict=False)
    ]

    def step():
        nonlocal rows
        learnt = [learn(*data, jax.device_put(case.orders(part, random), device)) for part, device, data in shares]
        rows = np.concatenate([rows_of(layers) for layers in jax.device_get(learnt)])

    return step, lambda: rows


def adam(rate, layers, g, moments, updates):
    """The layers and their moments m and v after an update."""
    m = jax.tree.map(lambda m, g: BETA1 * m + (1 - BETA1) * g, moments[0], g)
    v = jax.tree.map(lambda v, g: BETA2 * v + (1 - BETA2) * g * g, moments[1], g)
    # 1 - beta^t, without cancellation in float32.
    correction1, correction2 = (-jnp.expm1(updates * np.log(beta)) for beta in (BETA1, BETA2))
    alpha = rate * jnp.sqrt(correction2) / correction1
    return jax.tree.map(lambda w, m, v: w - alpha * m / (jnp.sqrt(v) + EPSILON), layers, m, v), (m, v)


def _in_batches(case):
    """Adam on mini-batches; the last batch may be smaller."""

    def gradient(layers, x, y):
        (W1, b1), (W2, b2) = layers
        a = ACTIVATE[case.hidden](x @ W1 + b1)
        delta = (ACTIVATE[case.output](a @ W2 + b2) - y) / len(x)
        below = (delta @ W2.T) * slope(case.hidden, a)
        return [(x.T @ below, below.sum(axis=0)), (a.T @ delta, delta.sum(axis=0))]

    def update(state, batch, X, Y):
        layers, moments, updates = state
        g = gradient(layers, X[batch], Y[batch])
        layers, moments = adam(case.learning_rate, layers, g, moments, updates + 1)
        return layers, moments, updates + 1

    def network(layers, orders, X, Y):
        full = len(X) // case.batch * case.batch

        def epoch(state, order):
            batches = order[:full].reshape(-1, case.batch)
            state, _ = jax.lax.scan(lambda state, batch: (update(state, batch, X, Y), None), state, batches)
            return (state if full == len(X) else update(state, order[full:], X, Y)), None

        zeros = jax.tree.map(jnp.zeros_like, layers)
        return jax.lax.scan(epoch, (layers, (zeros, zeros), 0), orders)[0][0]

    def networks(layers, X, Y, orders):
        if X.ndim == 2:
            return jax.lax.map(lambda one: network(*one, X, Y), (layers, orders), batch_size=TOGETHER)
        return jax.lax.map(lambda one: network(*one), (layers, orders, X, Y), batch_size=TOGETHER)

    return networks


def _one_by_one(case):
    """One sample per update; weights are lists of arrays over the networks."""
    rate = case.learning_rate

    def unit(W, b, x, j):
        return jax.nn.sigmoid(sum(row[j] * value for row, value in zip(W, x, strict=True)) + b[j])

    def forward(layers, x):
        a = [x]
        for W, b in layers:
            a.append([unit(W, b, a[-1], j) for j in range(len(b))])
        return a

    def update(layers, x, y):
        *a, out = forward(layers, x)
        delta = [output_delta(case, *pair) for pair in zip(out, y, strict=True)]
        learnt = []
        for (W, b), units in zip(layers[::-1], a[::-1], strict=True):
            rows = zip(W, units, strict=True)
            W_new = [[w - rate * d * value for w, d in zip(row, delta, strict=True)] for row, value in rows]
            b_new = [bias - rate * d for bias, d in zip(b, delta, strict=True)]
            learnt.insert(0, (W_new, b_new))
            sums = [sum(w * d for w, d in zip(row, delta, strict=True)) for row in W]
            delta = [d * slope(case.hidden, value) for d, value in zip(sums, units, strict=True)]
        return learnt

    def networks(layers, X, Y, orders):
        def selected(M, sample):
            # With four samples, comparisons are faster than a gather.
            return [sum(jnp.where(sample == t, column[t], 0) for t in range(len(M))) for column in M.T]

        def learn(layers, sample):
            return update(layers, selected(X, sample), selected(Y, sample)), None

        layers = [([list(row) for row in jnp.moveaxis(W, 0, -1)], list(b.T)) for W, b in layers]
        samples = jnp.moveaxis(orders, 0, -1).reshape(-1, len(orders))
        layers, _ = jax.lax.scan(learn, layers, samples)
        return [(jnp.moveaxis(jnp.array(W), -1, 0), jnp.array(b).T) for W, b in layers]

    return networks
