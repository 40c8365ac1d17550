"""What is learnt with unless you choose: the plain defaults for arrays, and those that measured best for raw tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .. import checks
from ..data.targets import Targets
from ..model.network import Network
from ..options import ADAMS, DEFAULT_HIDDEN, default_batch_size, default_epochs
from ..second_order.options import NAMES, name_of

AUTO, SINGLE = "auto", "single"
QUALITIES = (AUTO, SINGLE, "fast", "default", "best")
# Of a table: the rows from which it has its own defaults; the share of them that chooses the best epoch, of few and of
# many rows; and the epochs without progress after which a run ends.
FEWEST, MANY = 50, 500
SHARE_OF_FEW, SHARE, PATIENCE = 0.2, 0.15, 16
# Most features of an array whose numbers "auto" encodes piece by piece: more take several times as long, as each gets
# too few pieces for the kernels of pieces. And its most numbers, whose pieces take 1.6 GB.
MOST_FEATURES, MOST_NUMBERS = 64, 100_000_000
# Units of the layers, and how many times as high as usual the learning rate begins, which then falls to 0. Of many
# numbers, a narrower network with a third layer learns as well in a third of the time, from larger batches.
CLASSES, NUMBERS, MANY_NUMBERS = ((64, 64), 3.0), ((128, 128), 2.0), ((64, 64, 64), 4.0)
LARGER_BATCHES, LARGER = 2500, 64
# Without hidden layers, the rate begins so many times as high as usual, and falls to 0: at a constant rate, the weights
# keep moving about the least squares, whose error was exceeded by up to 17 %.
LINEAR = 3.0
# Options that a quality chooses, with their defaults.
_CHOSEN = {"epochs": None, "hidden": None, "activation": "relu", "l2": 0.0, "dropout": 0.0}
# Options of one run, with which quality="auto" stands for a single one.
_OF_ONE_RUN = ("epochs", "target_loss", "target_accuracy", "patience")


def filled(asked: Mapping[str, Any], features: int | None, in_memory: bool, target: Targets, n: int) -> dict[str, Any]:
    """
    The options of `fastbp.train`, with defaults for what depends on whether X is a table.

    Parameters
    ----------
    asked : mapping
        All options.
    features : int or None
        Features of an array; None: X is a frame.
    in_memory : bool
    target : Targets
    n : int
        Rows.

    Returns
    -------
    dict
        ``"quality"`` is not ``"auto"``. Three more: ``"rate_factor"``, how many times as high as usual the learning
        rate is, if it is not given; ``"within_range"``, whether predictions stay within the range of the targets; and
        ``"open"``, the names of those options that a quality may choose, as the user did not.
    """
    optimizer = name_of(asked["optimizer"])
    asked = {**asked, "optimizer": optimizer}
    own: dict[str, Any] = {"hidden": DEFAULT_HIDDEN, "schedule": "constant", "encode": "standard"}
    own["dtype"] = "float64" if optimizer in NAMES else "float32"
    own |= {"rate_factor": 1.0, "within_range": False}
    validation = patience = None
    quality = checks.one_of("quality", asked["quality"], QUALITIES)
    start = asked["init"] if isinstance(asked["init"], Network) else None
    linear = start is None and asked["optimizer"] in ADAMS and np.shape(asked["hidden"]) == (0,)
    if linear and asked["schedule"] in (None, "cosine"):
        own |= {"schedule": "cosine", "rate_factor": LINEAR}
    # The lecture's rule, and other rules than Adam's, are left as they are; so is a table that is not standardised.
    plain = n < FEWEST or asked["scale"] is not True or asked["optimizer"] not in ADAMS
    if features is None and in_memory and start is None and not plain:
        many = target.task == "regression" and n >= LARGER_BATCHES
        hidden, factor = CLASSES if target.task != "regression" else MANY_NUMBERS if many else NUMBERS
        own |= {"hidden": hidden, "schedule": "cosine", "encode": "piecewise"}
        own |= {"rate_factor": factor, "within_range": True, "epochs": table_epochs(n)}
        if many:
            own["batch_size"] = max(LARGER, default_batch_size(n))
        validation, patience = SHARE if n >= MANY else SHARE_OF_FEW, PATIENCE
        of_one_run = any(asked[name] is not None for name in _OF_ONE_RUN) or asked["metric"] != "loss"
        quality = (SINGLE if of_one_run else "default") if quality == AUTO else quality
    quality = SINGLE if quality == AUTO else quality
    if quality != SINGLE:
        if optimizer in NAMES:
            why = "whose runs end where they have converged, and not after so many epochs"
            raise ValueError(f"quality: expected 'single' with optimizer={optimizer!r}, {why}, got {quality!r}")
        _check_quality(quality, asked, in_memory, start is not None)
        validation = patience = None
    encode = _encoding(asked, features, n if in_memory else 0, start)
    found = dict(asked) | {"quality": quality, "open": _open(asked), "encode": encode}
    for name, value in own.items():
        if found.get(name) is None:
            found[name] = value
    if _is_auto(found["validation"]):
        found["validation"] = validation
        found["patience"] = patience if found["patience"] is None else found["patience"]
    return found


def _open(asked: Mapping[str, Any]) -> frozenset[str]:
    """Those of the options that a quality chooses which have their defaults."""
    return frozenset(
        name for name, default in _CHOSEN.items() if isinstance(asked[name], type(default)) and asked[name] == default
    )


def _check_quality(quality: str, asked: Mapping[str, Any], in_memory: bool, continued: bool) -> None:
    """Raise ValueError if several runs are asked for, together with an option of a single one."""
    wanted = f"quality: expected 'single' {{}}, got {quality!r}"
    if not in_memory:
        raise ValueError(wanted.format("for a Dask collection"))
    if continued:
        raise ValueError(wanted.format("with a network given as init"))
    for name in _OF_ONE_RUN[1:]:
        if asked[name] is not None:
            raise ValueError(wanted.format(f"with {name}, which is about one run"))
    if asked["metric"] != "loss":
        raise ValueError(wanted.format("with metric, which judges the epochs of one run"))


def _encoding(asked: Mapping[str, Any], features: int | None, n: int, start: Network | None) -> Any:
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
    """Passes over a table: 100 of 1000 rows, 20 of 5000 to 100 000, fewer of more; and more than 100 of very few."""
    if n < 1000:
        return max(100, default_epochs(n))
    return max(min(20, max(8, 2_000_000 // n)), min(100, 100_000 // n))
