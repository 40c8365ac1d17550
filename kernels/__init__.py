"""
Compiled backpropagation kernels for NumPy arrays, to be called from Python or from your own ``@njit`` functions.

Every public kernel writes into arrays that the caller owns, checks their shapes, and allocates nothing per sample. Matrices hold
one sample a row; weights have shape (d_in, d_out). A kernel is compiled on its first call, once per dtype (float32, float64),
whatever the shapes, and kept on disk for later processes. The names that end in ``_parallel`` are for Python, inside
``with threads(n)``.
"""

from . import node
from ._jit import cache_folder, threads
from .activation import ACTIVATIONS, IDENTITY, LOGISTIC, RELU, SOFTMAX, TANH, activation_derivative, activation_forward
from .backprop import bias_gradient, hidden_delta, weight_gradient
from .loss import ARGMAX, LOG_LOSS, LOSSES, NO_DECISION, SQUARED_ERROR, THRESHOLD, evaluate, output_delta
from .matmul import linear_forward, matmul, matmul_parallel, matmul_parallel_pays, scaled_matmul
from .minibatch import minibatch_epoch, minibatch_epoch_parallel, parallel_pays, prepare_minibatch
from .network import forward, forward_parallel, forward_parallel_pays, parameter_count
from .online import online_epoch, prepare_online
from .optimizer import ADAM, MOMENTUM, NESTEROV, OPTIMIZERS, SGD, adam_update, momentum_update, nesterov_update, sgd_update
from .peak import peak_gflops
from .simd import VECTOR_BYTES
from .sparse import csr_linear_forward, csr_weight_gradient
from .ufunc import erf, exp, log, logistic, softplus, tanh

__all__ = [
    "ACTIVATIONS",
    "ADAM",
    "ARGMAX",
    "IDENTITY",
    "LOGISTIC",
    "LOG_LOSS",
    "LOSSES",
    "MOMENTUM",
    "NESTEROV",
    "NO_DECISION",
    "OPTIMIZERS",
    "RELU",
    "SGD",
    "SOFTMAX",
    "SQUARED_ERROR",
    "TANH",
    "THRESHOLD",
    "VECTOR_BYTES",
    "activation_derivative",
    "activation_forward",
    "adam_update",
    "bias_gradient",
    "cache_folder",
    "csr_linear_forward",
    "csr_weight_gradient",
    "erf",
    "evaluate",
    "exp",
    "forward",
    "forward_parallel",
    "forward_parallel_pays",
    "hidden_delta",
    "linear_forward",
    "log",
    "logistic",
    "matmul",
    "matmul_parallel",
    "matmul_parallel_pays",
    "minibatch_epoch",
    "minibatch_epoch_parallel",
    "momentum_update",
    "nesterov_update",
    "node",
    "online_epoch",
    "output_delta",
    "parallel_pays",
    "parameter_count",
    "peak_gflops",
    "prepare_minibatch",
    "prepare_online",
    "scaled_matmul",
    "sgd_update",
    "softplus",
    "tanh",
    "threads",
    "weight_gradient",
]
