"""
JAX as its users write it: `jax.jit` of `jax.vmap` over the networks of scans over epochs and batches, with `jax.grad` of a loss.

One program does all works: it is written for one network. Adam (optax's loses digits in float32 that the check looks at), devices and
orders are those of ``with_many_jax.py``.
"""

import jax
import jax.numpy as jnp
from with_jax import ACTIVATE, version
from with_many_jax import adam, on_devices

__all__ = ["many", "version"]


def many(work, threads):
    def networks(layers, X, Y, orders):
        samples = None if X.ndim == 2 else 0
        return jax.vmap(_network(work), (0, samples, samples, 0))(layers, X, Y, orders)

    return on_devices(work, threads, jax.jit(networks))


def _network(work):
    update = {"adam": adam, "sgd": _sgd}[work.optimizer]

    def loss(layers, x, y):
        (W1, b1), (W2, b2) = layers
        z = ACTIVATE[work.hidden](x @ W1 + b1) @ W2 + b2
        if work.loss == "squared_error":
            return 0.5 * jnp.mean(jnp.sum((ACTIVATE[work.output](z) - y) ** 2, axis=1))
        each = -y * jax.nn.log_softmax(z) if work.output == "softmax" else jax.nn.softplus(z) - y * z
        return jnp.mean(jnp.sum(each, axis=1))

    def network(layers, X, Y, orders):
        full = len(X) // work.batch * work.batch

        def learn(state, some):
            layers, moments, updates = state
            g = jax.grad(loss)(layers, X[some], Y[some])
            return (*update(work.learning_rate, layers, g, moments, updates + 1), updates + 1), None

        def epoch(state, order):
            state, _ = jax.lax.scan(learn, state, order[:full].reshape(-1, work.batch))
            return state if full == len(X) else learn(state, order[full:])[0], None

        zeros = jax.tree.map(jnp.zeros_like, layers)
        return jax.lax.scan(epoch, (layers, (zeros, zeros), 0), orders)[0][0]

    return network


def _sgd(rate, layers, g, moments, updates):
    return jax.tree.map(lambda w, g: w - rate * g, layers, g), moments
