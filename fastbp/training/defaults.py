"""What is learnt with unless you choose: the plain defaults for arrays, and those that measured best for raw tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.targets import Targets
from ..options import ADAMS, DEFAULT_HIDDEN, default_epochs

AUTO = "auto"
# Of a table: the rows from which it has its own defaults; the share of them that chooses the best epoch, of few and of
# many rows; and the epochs without progress after which a run ends.
FEWEST, MANY = 50, 500
SHARE_OF_FEW, SHARE, PATIENCE = 0.2, 0.15, 16
# Units of the layers, and how many times as high as usual the learning rate begins, which then falls to 0.
NUMBERS, CLASSES = ((128, 128), 2.0), ((64, 64), 3.0)


def filled(asked: Mapping[str, Any], table: bool, target: Targets, n: int) -> dict[str, Any]:
    """
    The options of `fastbp.train`, with defaults for what depends on whether X is a table.

    Parameters
    ----------
    asked : mapping
        All options.
    table : bool
        Whether X is a frame in memory, and the network a new one.
    target : Targets
    n : int
        Rows.

    Returns
    -------
    dict
        ``"rate_factor"``, too: how many times as high as usual the learning rate is, if it is not given; and
        ``"within_range"``: whether predictions stay within the range of the targets.
    """
    own: dict[str, Any] = {"hidden": DEFAULT_HIDDEN, "schedule": "constant", "encode": "standard"}
    own |= {"rate_factor": 1.0, "within_range": False}
    validation = patience = None
    # The lecture's rule, and other rules than Adam's, are left as they are; so is a table that is not standardised.
    if table and n >= FEWEST and asked["scale"] is True and asked["optimizer"] in ADAMS:
        hidden, factor = NUMBERS if target.task == "regression" else CLASSES
        own = {"hidden": hidden, "schedule": "cosine", "encode": "piecewise"}
        own |= {"rate_factor": factor, "within_range": True, "epochs": table_epochs(n)}
        validation, patience = SHARE if n >= MANY else SHARE_OF_FEW, PATIENCE
    found = dict(asked)
    for name, value in own.items():
        if found.get(name) is None:
            found[name] = value
    if isinstance(found["validation"], str) and found["validation"] == AUTO:
        found["validation"] = validation
        found["patience"] = patience if found["patience"] is None else found["patience"]
    return found


def table_epochs(n: int) -> int:
    """100 passes over a table of 1000 rows, 20 of 5000 or more, and more than 100 of very few."""
    return max(20, min(100, 100_000 // n), default_epochs(n) if n < 1000 else 0)
