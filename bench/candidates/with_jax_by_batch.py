"""JAX with a compiled call for each batch, instead of one for the epoch."""

from functools import partial

import with_jax

version = with_jax.version
minibatch = partial(with_jax.minibatch, by_batch=True)
