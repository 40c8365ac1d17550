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

from . import earlier  # noqa: F401
from .compilation import warmup
from .export import from_sklearn, from_torch
from .many.cross_validation import CrossValidation, cross_validate
from .many.ensembles import ensemble
from .many.search import Search, Uniform, search
from .many.train_many import Networks, train_many
from .model.bumps import bumps
from .model.ensemble import Ensemble
from .model.network import Network
from .model.storage import load
from .runtime.config import config, show_config
from .tables import TableWarning
from .train import resume, train
from .training.divergence import DivergenceWarning
from .training.standing import Epoch

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
