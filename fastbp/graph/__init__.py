"""
The lecture's computation graph (L13 to L24): values forward, gradients backward, every step a compiled kernel.

>>> from fastbp import graph
>>> X = graph.Variable([[1.0, 2.0]], name="X")
>>> W, b = graph.Variable([[0.5], [-0.25]], name="W"), graph.Variable([0.1], name="b")
>>> J = graph.squared_error(graph.logistic(X @ W + b), [[1.0]])
>>> J.backward()
>>> W.grad.round(4)
array([[-0.1184],
       [-0.2369]])
"""

from .drawing import Drawing, draw
from .functions import binary_log_loss, exp, log_loss, logistic, reciprocal, relu, softmax, squared_error, tanh
from .proof import Check, check
from .variable import Variable

__all__ = [
    "Check",
    "Drawing",
    "Variable",
    "binary_log_loss",
    "check",
    "draw",
    "exp",
    "log_loss",
    "logistic",
    "reciprocal",
    "relu",
    "softmax",
    "squared_error",
    "tanh",
]
