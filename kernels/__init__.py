"""
Compiled backpropagation kernels for NumPy arrays, to be called from Python or from your own ``@njit`` functions.

Every public kernel writes into arrays that you own, checks their shapes, and allocates nothing per sample. Matrices
hold one sample per row; weights have shape (d_in, d_out). A kernel is compiled on its first call, once per dtype
(float32, float64) whatever the shapes, and kept on disk for later processes. Call the names that end in
``_parallel`` from Python, inside ``with threads(n)``. `lecture` has the same algorithm in plain loops: start reading
there.
"""

from . import lecture, node
from .compiler.cache import cache_folder
from .compiler.peak import peak_gflops
from .compiler.processor import VECTOR_BYTES
from .compiler.threads import threads
from .layer.activation import (
    ACTIVATIONS,
    ELU,
    EXP,
    GELU,
    HARD_SIGMOID,
    IDENTITY,
    LEAKY_RELU,
    LOGISTIC,
    MISH,
    RELU,
    SELU,
    SILU,
    SOFTMAX,
    SOFTPLUS,
    TANH,
    activation_derivative,
    activation_forward,
    takes_input,
)
from .layer.backprop import bias_gradient, hidden_delta, weight_gradient
from .layer.custom_loss import CustomLoss
from .layer.dropout import dropout
from .layer.evaluation import evaluate, output_delta
from .layer.linear import linear_forward
from .layer.loss import (
    ABSOLUTE_ERROR,
    ARGMAX,
    HUBER,
    LOG_COSH,
    LOG_LOSS,
    LOSSES,
    NO_DECISION,
    POISSON,
    QUANTILE,
    SQUARED_ERROR,
    THRESHOLD,
)
from .layer.optimizer import (
    ADAM,
    ADAMW,
    GRADIENT,
    MOMENTUM,
    NADAM,
    NESTEROV,
    OPTIMIZERS,
    RMSPROP,
    RPROP,
    RULES,
    SGD,
    states_of,
)
from .layer.piecewise import PieceRows, encode_pieces, piecewise_linear_forward, piecewise_weight_gradient
from .layer.ufunc import erf, exp, log, logistic, softplus, tanh
from .layer.updates import (
    adam_update,
    adamw_update,
    clip_gradient,
    momentum_update,
    nadam_update,
    nesterov_update,
    rmsprop_update,
    rprop_update,
    sgd_update,
)
from .minibatch.epoch import minibatch_epoch, minibatch_epoch_parallel, parallel_pays, prepare_minibatch
from .minibatch.update import network_update
from .network.epochs import Pass
from .network.forward import forward, forward_parallel, forward_parallel_pays, parameter_count
from .network.inference import infer, infer_parallel, infer_parallel_pays
from .product.matmul import matmul, matmul_parallel, matmul_parallel_pays, scaled_matmul
from .product.sparse import csr_linear_forward, csr_weight_gradient
from .samplewise.online import online_epoch, prepare_online
from .samplewise.tiny_many import online_many
from .second_order.gauss_newton import gauss_newton, gauss_newton_parallel
from .second_order.jacobian import jacobian

OwnLoss = CustomLoss  # its former name

__all__ = [
    "ABSOLUTE_ERROR",
    "ACTIVATIONS",
    "ADAM",
    "ADAMW",
    "ARGMAX",
    "ELU",
    "EXP",
    "GELU",
    "GRADIENT",
    "HARD_SIGMOID",
    "HUBER",
    "IDENTITY",
    "LEAKY_RELU",
    "LOGISTIC",
    "LOG_COSH",
    "LOG_LOSS",
    "LOSSES",
    "MISH",
    "MOMENTUM",
    "NADAM",
    "NESTEROV",
    "NO_DECISION",
    "OPTIMIZERS",
    "POISSON",
    "QUANTILE",
    "RELU",
    "RMSPROP",
    "RPROP",
    "RULES",
    "SELU",
    "SGD",
    "SILU",
    "SOFTMAX",
    "SOFTPLUS",
    "SQUARED_ERROR",
    "TANH",
    "THRESHOLD",
    "VECTOR_BYTES",
    "CustomLoss",
    "Pass",
    "PieceRows",
    "activation_derivative",
    "activation_forward",
    "adam_update",
    "adamw_update",
    "bias_gradient",
    "cache_folder",
    "clip_gradient",
    "csr_linear_forward",
    "csr_weight_gradient",
    "dropout",
    "encode_pieces",
    "erf",
    "evaluate",
    "exp",
    "forward",
    "forward_parallel",
    "forward_parallel_pays",
    "gauss_newton",
    "gauss_newton_parallel",
    "hidden_delta",
    "infer",
    "infer_parallel",
    "infer_parallel_pays",
    "jacobian",
    "lecture",
    "linear_forward",
    "log",
    "logistic",
    "matmul",
    "matmul_parallel",
    "matmul_parallel_pays",
    "minibatch_epoch",
    "minibatch_epoch_parallel",
    "momentum_update",
    "nadam_update",
    "nesterov_update",
    "network_update",
    "node",
    "online_epoch",
    "online_many",
    "output_delta",
    "parallel_pays",
    "parameter_count",
    "peak_gflops",
    "piecewise_linear_forward",
    "piecewise_weight_gradient",
    "prepare_minibatch",
    "prepare_online",
    "rmsprop_update",
    "rprop_update",
    "scaled_matmul",
    "sgd_update",
    "softplus",
    "states_of",
    "takes_input",
    "tanh",
    "threads",
    "weight_gradient",
]
