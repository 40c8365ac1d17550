"""Modules under their earlier names, by which pickles of earlier versions find our classes."""

import sys

from . import many
from .many import cross_validation, search, train_many
from .model import ensemble, network
from .tables import raw_inputs

sys.modules.update(
    {
        "fastbp.ensemble": ensemble,
        "fastbp.inputs": raw_inputs,
        "fastbp.network": network,
        "fastbp.search": search,
        "fastbp.validation": cross_validation,
    }
)
many.Networks = train_many.Networks  # type: ignore[attr-defined]
