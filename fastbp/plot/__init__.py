"""
Pictures of networks, of what they do to data, and of the lecture's proofs.

Every function takes ``ax``, the matplotlib axes to draw on, creates a new figure by default, and returns the axes.
Functions that draw several pictures side by side take and return an array of axes. Needs matplotlib:
``pip install "fastbp[plot]"``.
"""

try:
    import matplotlib  # noqa: F401
except ModuleNotFoundError:
    raise ImportError('fastbp.plot needs matplotlib; install it with: pip install "fastbp[plot]"') from None

from .approximation import bump_error, bumps
from .curves import learning_curves
from .decision import boundary, boundary_animation
from .dimension import captured, captured_share
from .functions import activations
from .outcome import confusion, predicted
from .space import layer_space, layer_spaces
from .weights import hinton, network

__all__ = [
    "activations",
    "boundary",
    "boundary_animation",
    "bump_error",
    "bumps",
    "captured",
    "captured_share",
    "confusion",
    "hinton",
    "layer_space",
    "layer_spaces",
    "learning_curves",
    "network",
    "predicted",
]
