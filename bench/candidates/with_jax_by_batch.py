"""JAX with one compiled call per batch instead of one per epoch."""

from functools import partial

import with_jax

version = with_jax.version
minibatch = partial(with_jax.minibatch, by_batch=True)
