"""Where pickles of earlier versions look for our classes: modules that have moved since."""

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
