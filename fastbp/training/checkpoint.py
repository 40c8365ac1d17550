"""
Checkpoints: the state of a run in a file, so that `fastbp.resume` can continue it, bit for bit.

A checkpoint is a model file of the network so far that holds more: the options of the user; the weights and the states
of optimizer and random numbers after the last epoch; and digests of the data.
"""

from __future__ import annotations

import functools
import glob
import hashlib
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from fastbp.kernels.internal import FUSED

from .. import checks
from ..model import storage
from ..model.network import Network
from ..options import Architecture
from ..runtime.warning import warn
from ..second_order.options import DAMPING, NAMES
from ..tables.encoders import Date
from .defaults import AUTO, SINGLE
from .state import Digests, TrainingState

# Without `checkpoint_every`, a file is written when so many seconds have passed since the last one.
SECONDS = 10.0
# In place of an option that a file cannot hold: functions, arrays, a network.
GIVEN = "given"
_LISTS = ("hidden", "activation", "quantile", "dropout", "missing")  # options that may be lists
_PARAMS, _STATE = "run.params", "run.state"
# Options that files of formats below this number may lack, and what their runs did
_ADDED: tuple[tuple[int, dict[str, Any]], ...] = (
    (5, {"encode": "standard"}),
    (7, {"quality": SINGLE}),
    (8, {"missing": None, "groups": None, "time": None, **DAMPING, "tolerance": None}),
)
# Options whose default has changed, or may change: a run goes on with what it was begun with.
_SETTLED = ("learning_rate", "schedule", "batch_size", "epochs")
# Bytes of an array that are read at a time
_BLOCK_BYTES = 1 << 22


def storable(name: str, value: Any) -> Any:
    """The value of an option of `fastbp.train` as a file holds it."""
    if name in _LISTS and isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return np.asarray(value).tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, bool | int | float | str) else GIVEN


def digest(arrays: Sequence[Any]) -> list[str]:
    """Digest of the types, shapes and values of arrays, and the first one in words; large ones are read in blocks."""
    found = hashlib.sha256()
    for array in arrays:
        if array.dtype.kind == "O":  # labels of several types
            found.update(repr(array.tolist()).encode())
            continue
        found.update(f"{array.dtype.str} {array.shape} ".encode())
        rows = max(1, _BLOCK_BYTES // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            found.update(np.ascontiguousarray(array[start : start + rows]).view(np.uint8).data)
    return [found.hexdigest(), f"shape {arrays[0].shape}, {arrays[0].dtype}"]


@functools.cache
def _versions() -> dict[str, Any]:
    """What the bits of a result depend on besides data and options; read once, as a disk may fail later."""
    return {"fastbp": version("fastbp"), "fused multiply-add": FUSED}


class CheckpointWriter:
    """
    Writes checkpoints: a `state.Checkpointer`.

    The first must succeed. If the disk is full later, there is a warning, and the last one stays.

    Parameters
    ----------
    path : path
    every : int or None
        Epochs between two of them; None: by the time.
    options : mapping
        The options of `fastbp.train`.
    """

    during_run = True

    def __init__(self, path: str | os.PathLike[str], every: int | None, options: Mapping[str, Any]) -> None:
        self.path, self.every = os.fspath(path), None if every is None else checks.integer("checkpoint_every", every, 1)
        self.options = {name: storable(name, value) for name, value in options.items()}
        self.written: float | None = None
        # Temporary files of a run that was killed while it wrote
        for left in Path(self.path).parent.glob(f".{glob.escape(Path(path).name)}.*"):
            if re.fullmatch(r"[0-9a-f]{16}", left.suffix[1:]):
                left.unlink(missing_ok=True)

    def begin(self, digests: Digests, network: Callable[[TrainingState], Network]) -> None:
        """Compute the digests, and keep what makes a network of a state."""
        self.data, self.network = digests(), network

    def due(self, epoch: int, seconds: float) -> bool:
        """Whether to write after this epoch, so many seconds after the start."""
        return epoch % self.every == 0 if self.every else seconds - (self.written or 0.0) >= SECONDS

    def save(self, state: TrainingState) -> None:
        """Write the state."""
        header, tensors = storage.contents(self.network(state))
        random = None if state.random is None else state.random.bit_generator.state
        header["run"] = {
            "said": self.options,
            "every": self.every,
            "data": self.data,
            "versions": _versions(),
            "least": state.best_cost,
            "best_epoch": state.best_epoch,
            "random": random,
        }
        tensors |= {_PARAMS: state.params} | {f"{_STATE}.{k}": array for k, array in enumerate(state.optimizer_state)}
        try:
            storage.write(self.path, header, tensors)
        except OSError as error:
            if self.written is None:
                text = f"checkpoint: the file cannot be written ({error.strerror})"
                raise OSError(error.errno, text, self.path) from None
            failed = f"the checkpoint {self.path!r} could not be written ({error.strerror})"
            warn(f"{failed}; the one before is still there", RuntimeWarning)
        self.written = state.seconds


@dataclass(frozen=True)
class Checkpoint:
    """
    A checkpoint, read, and checked as far as that is possible without the data: a `state.StartingPoint`.

    Attributes
    ----------
    path : str
    network : Network
        The network so far.
    options : dict
        The options of `fastbp.train`, as `storable` makes them.
    every : int or None
        Epochs between two checkpoints.
    data : dict
        Digest of each argument that holds data.
    saved : TrainingState
    exact : bool
        Whether the digests can be compared: those of dates in files of format 3 depend on the processor.
    """

    path: str
    network: Network
    options: dict[str, Any]
    every: int | None
    data: dict[str, list[str]]
    saved: TrainingState
    exact: bool = True

    @property
    def settled(self) -> dict[str, Any]:
        """Options with the defaults of the version that began the run; those of this one may be others."""
        recorded = self.network.options
        names = ("epochs",) if recorded.get("optimizer") in NAMES else _SETTLED  # the others have no such options
        return {name: recorded[name] for name in names if name in recorded}

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """
        Options of `fastbp.train` to continue with.

        Parameters
        ----------
        options : mapping
            What the user passes again; at least everything that the file cannot hold.

        Raises
        ------
        ValueError
            An option differs from that of the run, or is missing.
        """
        for name, value in options.items():
            known = self.options[checks.one_of("resume", name, self.options)]
            if storable(name, value) != known:
                raise ValueError(
                    f"{name}: expected {known!r}, with which the run in {self.path!r} was begun, "
                    f"got {value!r}; leave it out"
                )
        for name, value in self.options.items():
            if value == GIVEN and name != "init" and options.get(name) is None:
                raise ValueError(
                    f"{name}: expected what the run in {self.path!r} was begun with, "
                    "as a file cannot hold it; pass it again"
                )
        start = {"init": self.network} if self.options["init"] == GIVEN else {}
        return self.options | dict(options) | start

    def require_same(self, digests: Digests) -> None:
        """Raise ValueError if the digest of an argument that holds data is different."""
        for name, (found, words) in digests().items():
            wanted, kept = self.data[name]
            if found != wanted and name in ("X", "validation") and words == kept and not self.exact:
                what = f"the dates in {name} cannot be compared with those that the run in {self.path!r} was begun with"
                warn(f"{what}; make sure that they are the same", RuntimeWarning)
            elif found != wanted:
                got = words if words != kept else "other values, or in another order"
                raise ValueError(f"{name}: expected what the run in {self.path!r} was begun with ({kept}), got {got}")

    def require_shape(self, net: Architecture) -> None:
        """Raise ValueError unless the options of the run lead to the network that is in the file."""
        with storage.sound(self.path):
            same = self.network.architecture == replace(net, custom_loss=None)
            storage.require(same, "its options do not fit its network")

    def state(self, initial: TrainingState, columns: Sequence[str], epochs: int) -> TrainingState:
        """The saved state; raises ValueError unless it fits the initial one, and the columns of the history."""
        saved = self.saved
        with storage.sound(self.path):
            pairs = [
                (saved.params, initial.params),
                *zip(saved.optimizer_state, initial.optimizer_state, strict=True),
                (self.network.params, initial.params),
            ]
            alike = all(found.shape == wanted.shape and found.dtype == wanted.dtype for found, wanted in pairs)
            storage.require(alike, "its weights and state do not fit the run")
            complete = len(saved.rows) <= epochs and all(set(row) == set(columns) for row in saved.rows)
            storage.require(complete, "its history does not fit the run")
            shuffled = (saved.random is None) == (initial.random is None)
            storage.require(shuffled, "its random numbers do not fit the run")
        return saved


def read(path: str | os.PathLike[str], known: Sequence[str]) -> Checkpoint:
    """
    Read a checkpoint.

    Parameters
    ----------
    path : path
    known : sequence of str
        The options of `fastbp.train` that it must hold.

    Raises
    ------
    FileNotFoundError, ValueError
        As `fastbp.load`; or it is the file of a network, and not of a run.
    """
    with storage.sound(path):
        header, tensors = storage.read(path)
        network = storage.network_of(header, tensors)
        storage.require(
            "run" in header,
            "it holds a network, and not the state of a run; train(..., checkpoint=...) writes such files",
        )
        run = header["run"]
        options, data, versions = (dict(run[name]) for name in ("said", "data", "versions"))
        pairs = all(isinstance(pair, list) and len(pair) == 2 for pair in data.values())
        storage.require(pairs and {"X", "y", "sample_weight"} <= set(data), "the digests of its data are missing")
        for first, added in _ADDED:
            options = added | options if header["format"] < first else options
        storage.require(set(options) == set(known), "its options are not those of this version of fastbp")
        # Above all no text or list in place of samples: it would be the path of a table, chosen by who wrote the file.
        chosen = options["validation"]
        storage.require(not isinstance(chosen, str) or chosen in (GIVEN, AUTO), "impossible options")
        storable_only = all(storable(name, value) == value for name, value in options.items())
        storage.require(storable_only, "impossible options")
        columns = [values.tolist() for values in network.history.values()]
        rows = [dict(zip(network.history, values, strict=True)) for values in zip(*columns, strict=True)]
        every, best_epoch, best_cost = run["every"], run["best_epoch"], run["least"]
        possible = every is None or (isinstance(every, int) and every > 0)
        storage.require(possible, "impossible number of epochs between two checkpoints")
        possible = isinstance(best_cost, float) and isinstance(best_epoch, int) and 0 <= best_epoch <= len(rows)
        storage.require(possible, "impossible best epoch")
        params = tensors[_PARAMS]
        storage.require(bool(np.isfinite(params).all()), "its weights are not finite")
        optimizer_state = [tensors[name] for name in sorted(tensors) if name.startswith(_STATE)]
        best = network.params.copy(), best_epoch, best_cost
        random = _generator(run["random"])
        saved = TrainingState(params, optimizer_state, random, *best, rows, network.stop_reason)
    if versions != _versions():
        begun = f"the run in {os.fspath(path)!r} was begun with {versions}"
        warn(f"{begun}, and continues with {_versions()}: the last bits may differ", RuntimeWarning)
    encoders = () if network.columns is None else network.columns.encoders
    exact = header["format"] > 3 or not any(isinstance(encoder, Date) for encoder in encoders)
    return Checkpoint(os.fspath(path), network, options, every, data, saved, exact)


def _generator(state: Any) -> np.random.Generator | None:
    if state is None:
        return None
    random = np.random.default_rng()
    random.bit_generator.state = state
    return random
