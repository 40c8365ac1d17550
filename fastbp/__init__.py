"""
fastbp: backpropagation in JIT-compiled kernels for the CPU, behind one call.

>>> import fastbp
>>> net = fastbp.train([[2104], [1600], [2400], [1416]], [400.0, 330.0, 369.0, 232.0], hidden=(), seed=0)
>>> net.predict([[2000]]).round(-1)
array([350.], dtype=float32)
"""

from importlib import import_module
from importlib.metadata import version
from typing import Any

import fastbp.kernels as kernels

from .bagging import ensemble
from .bumps import bumps
from .compilation import warmup
from .config import config, show_config
from .divergence import DivergenceWarning
from .ensemble import Ensemble
from .export import from_sklearn, from_torch
from .fit import Epoch
from .many import Networks, train_many
from .network import Network
from .search import Search, Uniform, search
from .storage import load
from .tables import TableWarning
from .train import resume, train
from .validation import CrossValidation, cross_validate

__version__ = version("fastbp")
__all__ = [
    "CrossValidation",
    "DivergenceWarning",
    "Ensemble",
    "Epoch",
    "Network",
    "Networks",
    "Search",
    "TableWarning",
    "Uniform",
    "bumps",
    "config",
    "cross_validate",
    "ensemble",
    "from_sklearn",
    "from_torch",
    "graph",
    "kernels",
    "load",
    "resume",
    "search",
    "show_config",
    "train",
    "train_many",
    "warmup",
]


def __getattr__(name: str) -> Any:
    if name in ("graph", "plot", "sklearn"):  # on demand: most programs use none, and two of them need extras
        return import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
