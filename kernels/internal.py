"""What fastbp uses from the kernels besides their public names; it reaches into their rooms in no other way."""

from .compiler.assembler import host_features
from .compiler.jit import POLICY, frozen
from .compiler.memory import whole_vectors
from .compiler.threads import hold_at_fork
from .layer import activation, elementary
from .minibatch.epoch import NARROW, PARTS, is_narrow
from .minibatch.steps import LONG, TILE, is_plain
from .network import epochs, random
from .network.forward import ERRORS, GROUP, PACKED_FROM, plan_tile
from .network.gather import gather
from .network.inference import FEW, check_infer, few_rows, infer_row, rescale, row_space
from .samplewise.online import SPARSE, SPARSE_INPUTS
from .samplewise.tiny import TINY_UNITS, is_tiny
from .samplewise.tiny_lanes import ROW_BYTES

__all__ = [
    "ERRORS",
    "FEW",
    "GROUP",
    "LONG",
    "NARROW",
    "PACKED_FROM",
    "PARTS",
    "POLICY",
    "ROW_BYTES",
    "SPARSE",
    "SPARSE_INPUTS",
    "TILE",
    "TINY_UNITS",
    "activation",
    "check_infer",
    "elementary",
    "epochs",
    "few_rows",
    "frozen",
    "gather",
    "hold_at_fork",
    "host_features",
    "infer_row",
    "is_narrow",
    "is_plain",
    "is_tiny",
    "plan_tile",
    "random",
    "rescale",
    "row_space",
    "whole_vectors",
]
