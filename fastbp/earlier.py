"""Modules under their earlier names, by which pickles of earlier versions find our classes."""

import sys
from collections.abc import Container
from importlib import import_module
from types import ModuleType
from typing import Any

from . import many

MODULES = {
    "fastbp.ensemble": "fastbp.model.ensemble",
    "fastbp.inputs": "fastbp.tables.raw_inputs",
    "fastbp.network": "fastbp.model.network",
    "fastbp.search": "fastbp.many.search",
    "fastbp.validation": "fastbp.many.cross_validation",
}


def _find_in(earlier: ModuleType, now: str, names: Container[str] | None = None) -> None:
    """Find what a module does not have in another one, which is only imported then."""

    def find(name: str) -> Any:
        known = name in names if names is not None else not name.startswith("__")  # all modules are asked for __file__
        if not known:
            raise AttributeError(f"module {earlier.__name__!r} has no attribute {name!r}")
        return getattr(import_module(now), name)

    earlier.__getattr__ = find  # type: ignore[method-assign]


for _earlier, _now in MODULES.items():
    _find_in(sys.modules.setdefault(_earlier, ModuleType(_earlier)), _now)
_find_in(many, "fastbp.many.train_many", {"Networks"})
