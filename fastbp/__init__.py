"""
fastbp: backpropagation in JIT-compiled kernels for the CPU, behind one call.

>>> import fastbp
>>> net = fastbp.train([[2104], [1600], [2400], [1416]], [400.0, 330.0, 369.0, 232.0], hidden=(), seed=0)
>>> net.predict([[2000]]).round(-1)
array([350.], dtype=float32)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from . import earlier  # noqa: F401

if TYPE_CHECKING:  # for editors and type checkers, what `__getattr__` imports when it is first used
    import fastbp.kernels as kernels

    from . import graph
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
    from .training.divergence import DivergenceWarning
    from .training.state import Epoch
    from .training.train import resume, train

    __version__: str

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

# Where the public names are. Importing it all takes as long as importing Numba; a program pays for what it uses.
_MODULES = {
    "compilation": ["warmup"],
    "export": ["from_sklearn", "from_torch"],
    "many.cross_validation": ["CrossValidation", "cross_validate"],
    "many.ensembles": ["ensemble"],
    "many.search": ["Search", "Uniform", "search"],
    "many.train_many": ["Networks", "train_many"],
    "model.bumps": ["bumps"],
    "model.ensemble": ["Ensemble"],
    "model.network": ["Network"],
    "model.storage": ["load"],
    "runtime.config": ["config", "show_config"],
    "tables": ["TableWarning"],
    "training.divergence": ["DivergenceWarning"],
    "training.state": ["Epoch"],
    "training.train": ["resume", "train"],
}
_MODULE_OF = {name: module for module, names in _MODULES.items() for name in names}
_SUBMODULES = {"graph", "kernels", "plot", "sklearn"}  # two of them need extras


def __getattr__(name: str) -> Any:
    found: Any
    if name in _SUBMODULES:
        found = import_module(f".{name}", __name__)
    elif name in _MODULE_OF:
        found = getattr(import_module(f".{_MODULE_OF[name]}", __name__), name)
    elif name == "__version__":
        from importlib.metadata import version  # takes 15 ms

        found = version(__name__)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*__all__, *_SUBMODULES, "__version__"})
