"""What fastbp uses from the kernels besides their public names; it reaches into their rooms in no other way."""

from .compiler.cache import end_process
from .compiler.jit import POLICY, frozen
from .compiler.processor import FUSED
from .compiler.routine import ready
from .compiler.threads import hold_at_fork
from .layer import activation, elementary
from .minibatch.epoch import copies, is_narrow, memory_of
from .minibatch.steps import is_plain
from .network import epochs, random
from .network.gather import gather
from .network.inference import FEW, check_infer, few_rows, infer_row, rescale, row_space
from .network.layout import GROUP
from .product.dot import dot
from .samplewise.online import SPARSE, SPARSE_INPUTS
from .samplewise.tiny import TINY_UNITS, is_tiny
from .samplewise.tiny_lanes import ROW_BYTES
from .second_order.cholesky import cholesky, cholesky_inverse, cholesky_solve, factor_memory
from .second_order.gauss_newton import GaussNewton, gauss_newton_bytes
from .second_order.jacobian import residual_jacobian

__all__ = [
    "FEW",
    "FUSED",
    "GROUP",
    "POLICY",
    "ROW_BYTES",
    "SPARSE",
    "SPARSE_INPUTS",
    "TINY_UNITS",
    "GaussNewton",
    "activation",
    "check_infer",
    "cholesky",
    "cholesky_inverse",
    "cholesky_solve",
    "copies",
    "dot",
    "elementary",
    "end_process",
    "epochs",
    "factor_memory",
    "few_rows",
    "frozen",
    "gather",
    "gauss_newton_bytes",
    "hold_at_fork",
    "infer_row",
    "is_narrow",
    "is_plain",
    "is_tiny",
    "memory_of",
    "random",
    "ready",
    "rescale",
    "residual_jacobian",
    "row_space",
]
