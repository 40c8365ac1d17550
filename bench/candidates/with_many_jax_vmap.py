"""
JAX as users write it: `jax.jit` of `jax.vmap` over networks, with scans over epochs and batches, and `jax.grad`.

One program, written for one network, does all cases. Adam (optax's loses too many digits in float32 for the check),
devices and orders are those of ``with_many_jax.py``.
"""

import jax
import jax.numpy as jnp
from with_jax import ACTIVATE, version
from with_many_jax import adam, on_devices

__all__ = ["many", "version"]


def many(case, threads):
    def networks(layers, X, Y, orders):
        samples = None if X.ndim == 2 else 0
        return jax.vmap(_network(case), (0, samples, samples, 0))(layers, X, Y, orders)

    return on_devices(case, threads, jax.jit(networks))


def _network(case):
    update = {"adam": adam, "sgd": _sgd}[case.optimizer]

    def loss(layers, x, y):
        (W1, b1), (W2, b2) = layers
        z = ACTIVATE[case.hidden](x @ W1 + b1) @ W2 + b2
        if case.loss == "squared_error":
            return 0.5 * jnp.mean(jnp.sum((ACTIVATE[case.output](z) - y) ** 2, axis=1))
        each = -y * jax.nn.log_softmax(z) if case.output == "softmax" else jax.nn.softplus(z) - y * z
        return jnp.mean(jnp.sum(each, axis=1))

    def network(layers, X, Y, orders):
        full = len(X) // case.batch * case.batch

        def learn(state, batch):
            layers, moments, updates = state
            g = jax.grad(loss)(layers, X[batch], Y[batch])
            return (*update(case.learning_rate, layers, g, moments, updates + 1), updates + 1), None

        def epoch(state, order):
            state, _ = jax.lax.scan(learn, state, order[:full].reshape(-1, case.batch))
            return state if full == len(X) else learn(state, order[full:])[0], None

        zeros = jax.tree.map(jnp.zeros_like, layers)
        return jax.lax.scan(epoch, (layers, (zeros, zeros), 0), orders)[0][0]

    return network


def _sgd(rate, layers, g, moments, updates):
    return jax.tree.map(lambda w, g: w - rate * g, layers, g), moments
