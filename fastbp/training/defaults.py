"""What is learnt with unless you choose: the plain defaults for arrays, and those that measured best for raw tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..data.targets import Targets
from ..model.network import Network
from ..options import ADAMS, DEFAULT_HIDDEN, default_epochs

AUTO = "auto"
# Of a table: the rows from which it has its own defaults; the share of them that chooses the best epoch, of few and of
# many rows; and the epochs without progress after which a run ends.
FEWEST, MANY = 50, 500
SHARE_OF_FEW, SHARE, PATIENCE = 0.2, 0.15, 16
# Most features of an array whose numbers "auto" encodes piece by piece: more take several times as long, as each gets
# too few pieces for the kernels of pieces. And its most numbers, whose pieces take 1.6 GB.
MOST_FEATURES, MOST_NUMBERS = 64, 100_000_000
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
        ``"rate_factor"``, too: how many times as high as usual the learning rate is, if it is not given.
    """
    own: dict[str, Any] = {"hidden": DEFAULT_HIDDEN, "schedule": "constant", "encode": "standard", "rate_factor": 1.0}
    validation = patience = None
    # The lecture's rule, and other rules than Adam's, are left as they are; so is a table that is not standardised.
    if table and n >= FEWEST and asked["scale"] is True and asked["optimizer"] in ADAMS:
        hidden, factor = NUMBERS if target.task == "regression" else CLASSES
        own = {"hidden": hidden, "schedule": "cosine", "encode": "piecewise", "rate_factor": factor}
        own["epochs"] = table_epochs(n)
        validation, patience = SHARE if n >= MANY else SHARE_OF_FEW, PATIENCE
    found = dict(asked)
    for name, value in own.items():
        if found.get(name) is None:
            found[name] = value
    if _is_auto(found["validation"]):
        found["validation"] = validation
        found["patience"] = patience if found["patience"] is None else found["patience"]
    return found


def encoding(asked: Mapping[str, Any], features: int | None, n: int, start: Network | None) -> Any:
    """
    The option `encode`, with "auto" resolved; None if it depends on the other defaults.

    Parameters
    ----------
    asked : mapping
        All options.
    features : int or None
        Features of an array; None: X is a frame.
    n : int
        Rows, 0 of an array whose rows are elsewhere.
    start : Network or None
        The network to continue, whose encoding is kept.
    """
    asked_for = asked["encode"]
    if start is not None and (asked_for is None or _is_auto(asked_for)):
        return encoding_of(start)
    if not _is_auto(asked_for):
        return asked_for
    return "piecewise" if features is None or _pays(asked, features, n) else "standard"


def _pays(asked: Mapping[str, Any], features: int, n: int) -> bool:
    """
    Whether the numbers of an array had better be encoded piece by piece: measured, see `fastbp.train`.

    Without validation samples, which choose the epoch, the many inputs of noisy data are learnt by heart.
    """
    validates = asked["validation"] is not None and not _is_auto(asked["validation"])
    usual = asked["scale"] is True and asked["optimizer"] in ADAMS
    return validates and usual and n >= MANY and features <= MOST_FEATURES and n * features <= MOST_NUMBERS


def encoding_of(net: Network) -> str:
    """How a network encodes numbers."""
    in_pieces = net.columns is not None and bool(net.columns.exported.piece.any())
    return "piecewise" if in_pieces or net.options.get("encode") == "piecewise" else "standard"


def _is_auto(value: Any) -> bool:
    return isinstance(value, str) and value == AUTO


def table_epochs(n: int) -> int:
    """100 passes over a table of 1000 rows, 20 of 5000 or more, and more than 100 of very few."""
    return max(20, min(100, 100_000 // n), default_epochs(n) if n < 1000 else 0)
