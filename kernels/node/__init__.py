"""
The nodes of the lecture's computation graph: values forward, gradients backward (L15 to L24).

dY is the lecture's nabla Y, the matrix of dJ/dy_ij, which has the shape of Y (L18). Every ``..._forward`` writes the
value of a node into `out`; every ``..._backward`` takes dY and overwrites the gradients of the node's inputs. They are
matrices of one dtype, in any layout of whole elements. A vector is a matrix of one row, a scalar one of one row
and column.
"""

from ..layer.activation import activation_forward
from ..product.matmul import matmul as matmul_forward
from .loss import (
    binary_log_loss_backward,
    binary_log_loss_forward,
    log_loss_backward,
    log_loss_forward,
    squared_error_backward,
    squared_error_forward,
)
from .matrix import (
    activation_backward,
    add_backward,
    add_bias_backward,
    add_bias_forward,
    add_forward,
    copy_backward,
    copy_forward,
    matmul_backward,
    multiply_backward,
    multiply_forward,
    sum_backward,
    sum_forward,
    transpose_backward,
    transpose_forward,
)
from .scalar import (
    exp_backward,
    exp_forward,
    negate_backward,
    negate_forward,
    reciprocal_backward,
    reciprocal_forward,
    scale_backward,
    scale_forward,
    shift_backward,
    shift_forward,
)

__all__ = [
    "activation_backward",
    "activation_forward",
    "add_backward",
    "add_bias_backward",
    "add_bias_forward",
    "add_forward",
    "binary_log_loss_backward",
    "binary_log_loss_forward",
    "copy_backward",
    "copy_forward",
    "exp_backward",
    "exp_forward",
    "log_loss_backward",
    "log_loss_forward",
    "matmul_backward",
    "matmul_forward",
    "multiply_backward",
    "multiply_forward",
    "negate_backward",
    "negate_forward",
    "reciprocal_backward",
    "reciprocal_forward",
    "scale_backward",
    "scale_forward",
    "shift_backward",
    "shift_forward",
    "squared_error_backward",
    "squared_error_forward",
    "sum_backward",
    "sum_forward",
    "transpose_backward",
    "transpose_forward",
]
