"""
Checkpoints: where a run stands, kept in a file, so that `fastbp.resume` goes on to the end it would have had, bit for bit.

A checkpoint is a model file of the network so far that says more: what the user asked for; the weights, the state of the optimizer and
of the random numbers after the last epoch; and digests of the data.
"""

from __future__ import annotations

import glob
import hashlib
import os
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

import fastbp.kernels as kernels

from .. import checks
from ..model import storage
from ..model.network import Network
from ..options import Architecture
from .standing import Standing

# Without `checkpoint_every`, a file is written once so many seconds have passed since the last one.
SECONDS = 10.0
# In place of an argument that a file cannot hold: functions, arrays, a network.
GIVEN = "given"
_SEVERAL = ("hidden", "activation", "quantile", "dropout")  # arguments that may be lists
_PARAMS, _STATE = "run.params", "run.state"
# Rows of an array that are read at a time
_BLOCK_BYTES = 1 << 22


def plain(name: str, value: Any) -> Any:
    """Return the value of an argument of `fastbp.train` as a file holds it."""
    if name in _SEVERAL and isinstance(value, Sequence | np.ndarray) and not isinstance(value, str):
        return np.asarray(value).tolist()
    if isinstance(value, np.generic):
        value = value.item()
    return value if value is None or isinstance(value, bool | int | float | str) else GIVEN


def digest(arrays: Sequence[Any]) -> list[str]:
    """Digest of arrays, by their types, shapes and values, and the first one in words; large ones are read a block at a time."""
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


def _versions() -> dict[str, Any]:
    """What the bits of a result depend on beside data and options."""
    return {"fastbp": version("fastbp"), "vector bytes": int(kernels.VECTOR_BYTES)}


class Keeper:
    """
    Writes checkpoints: the first must succeed; later, a full disk costs the newest one, and is told.

    Parameters
    ----------
    path : path
    every : int or None
        Epochs between two of them; None: by the time.
    said : mapping
        The arguments of `fastbp.train`.
    """

    within = True

    def __init__(self, path: str | os.PathLike[str], every: int | None, said: Mapping[str, Any]) -> None:
        self.path, self.every = os.fspath(path), None if every is None else checks.integer("checkpoint_every", every, 1)
        self.said = {name: plain(name, value) for name, value in said.items()}
        self.written: float | None = None
        for left in Path(self.path).parent.glob(
            f".{glob.escape(Path(path).name)}.*"
        ):  # by a run that was killed while it wrote
            if re.fullmatch(r"[0-9a-f]{16}", left.suffix[1:]):
                left.unlink(missing_ok=True)

    def begin(self, digests: Callable[[], Mapping[str, list[str]]], network: Callable[[Standing], Network]) -> None:
        """Take note of the digest of each argument that holds data, and of what makes a network of where the run stands."""
        self.data, self.network = digests(), network

    def due(self, epoch: int, seconds: float) -> bool:
        """Whether to write after this epoch, so many seconds after the start."""
        return epoch % self.every == 0 if self.every else seconds - (self.written or 0.0) >= SECONDS

    def keep(self, at: Standing) -> None:
        """Write where a run stands."""
        header, tensors = storage.contents(self.network(at))
        random = None if at.random is None else at.random.bit_generator.state
        header["run"] = {
            "said": self.said,
            "every": self.every,
            "data": self.data,
            "versions": _versions(),
            "least": at.least,
            "best_epoch": at.best_epoch,
            "random": random,
        }
        tensors |= {_PARAMS: at.params} | {f"{_STATE}.{k}": array for k, array in enumerate(at.state)}
        try:
            storage.write(self.path, header, tensors)
        except OSError as error:
            if self.written is None:
                raise OSError(
                    error.errno, f"checkpoint: the file cannot be written ({error.strerror})", self.path
                ) from None
            text = (
                f"the checkpoint {self.path!r} could not be written ({error.strerror}); the one before is still there"
            )
            warnings.warn(text, RuntimeWarning, stacklevel=5)
        self.written = at.seconds


@dataclass(frozen=True)
class Checkpoint:
    """
    A checkpoint, read and checked as far as it can be without the data.

    Attributes
    ----------
    path : str
    network : Network
        The network so far.
    said : dict
        The arguments of `fastbp.train`, as `plain` makes them.
    every : int or None
        Epochs between two checkpoints.
    data : dict
        Digest of each argument that holds data.
    at : Standing
    """

    path: str
    network: Network
    said: dict[str, Any]
    every: int | None
    data: dict[str, list[str]]
    at: Standing

    def arguments(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """
        Arguments of `fastbp.train` with which to go on.

        Parameters
        ----------
        options : mapping
            What the user says once more; all of what the file cannot hold.

        Raises
        ------
        ValueError
            An argument differs from what the run was begun with, or is missing.
        """
        for name, value in options.items():
            known = self.said[checks.one_of("resume", name, self.said)]
            if plain(name, value) != known:
                raise ValueError(
                    f"{name}: expected {known!r}, with which the run in {self.path!r} was begun, got {value!r}; leave it out"
                )
        for name, value in self.said.items():
            if value == GIVEN and name != "init" and options.get(name) is None:
                raise ValueError(
                    f"{name}: expected what the run in {self.path!r} was begun with, as a file cannot hold it; pass it again"
                )
        start = {"init": self.network} if self.said["init"] == GIVEN else {}
        return self.said | dict(options) | start

    def require_same(self, digests: Callable[[], Mapping[str, list[str]]]) -> None:
        """Raise ValueError where the digest of an argument that holds data is another."""
        for name, (found, words) in digests().items():
            wanted, kept = self.data[name]
            if found != wanted:
                got = words if words != kept else "other values, or in another order"
                raise ValueError(f"{name}: expected what the run in {self.path!r} was begun with ({kept}), got {got}")

    def require_shape(self, net: Architecture) -> None:
        """Raise ValueError unless the options of the run lead to the network that is in the file."""
        with storage.sound(self.path):
            storage.require(
                self.network.architecture == replace(net, own_loss=None), "its options do not fit its network"
            )

    def standing(self, first: Standing, columns: Sequence[str], epochs: int) -> Standing:
        """Where the run stands; raises ValueError unless it fits where it would stand `first`, and the columns of its history."""
        at = self.at
        with storage.sound(self.path):
            fits = [
                (at.params, first.params),
                *zip(at.state, first.state, strict=True),
                (self.network.params, first.params),
            ]
            for found, wanted in fits:
                storage.require(
                    found.shape == wanted.shape and found.dtype == wanted.dtype,
                    "its weights and state do not fit the run",
                )
            storage.require(
                len(at.rows) <= epochs and all(set(row) == set(columns) for row in at.rows),
                "its history does not fit the run",
            )
            storage.require((at.random is None) == (first.random is None), "its random numbers do not fit the run")
        return at


def read(path: str | os.PathLike[str], known: Sequence[str]) -> Checkpoint:
    """
    Read a checkpoint.

    Parameters
    ----------
    path : path
    known : sequence of str
        The arguments of `fastbp.train` that it must hold.

    Raises
    ------
    FileNotFoundError, ValueError
        As `fastbp.load`; or it is the file of a network, and none of a run.
    """
    with storage.sound(path):
        header, tensors = storage.read(path)
        network = storage.network_of(header, tensors)
        storage.require(
            "run" in header,
            "it holds a network, and not where a run stands; train(..., checkpoint=...) writes such files",
        )
        run = header["run"]
        said, data, versions = (dict(run[name]) for name in ("said", "data", "versions"))
        pairs = all(isinstance(pair, list) and len(pair) == 2 for pair in data.values())
        storage.require(pairs and {"X", "y", "sample_weight"} <= set(data), "the digests of its data are missing")
        storage.require(set(said) == set(known), "its options are not those of this version of fastbp")
        # Above all no text or list where samples are expected: it would be the path of a table, which is not a stranger's to choose.
        storage.require(all(plain(name, value) == value for name, value in said.items()), "impossible options")
        rows = [
            dict(zip(network.history, values, strict=True))
            for values in zip(*map(np.ndarray.tolist, network.history.values()), strict=True)
        ]
        every, best_epoch, least = run["every"], run["best_epoch"], run["least"]
        storage.require(
            every is None or (isinstance(every, int) and every > 0),
            "impossible number of epochs between two checkpoints",
        )
        storage.require(
            isinstance(least, float) and isinstance(best_epoch, int) and 0 <= best_epoch <= len(rows),
            "impossible best epoch",
        )
        params = tensors[_PARAMS]
        storage.require(bool(np.isfinite(params).all()), "its weights are not finite")
        state = [tensors[name] for name in sorted(tensors) if name.startswith(_STATE)]
        at = Standing(
            params,
            state,
            _generator(run["random"]),
            network.params.copy(),
            best_epoch,
            least,
            rows,
            network.stop_reason,
        )
    if versions != _versions():
        text = f"the run in {os.fspath(path)!r} was begun with {versions}, and goes on with {_versions()}: the last bits may differ"
        warnings.warn(text, RuntimeWarning, stacklevel=3)
    return Checkpoint(os.fspath(path), network, said, every, data, at)


def _generator(state: Any) -> np.random.Generator | None:
    if state is None:
        return None
    random = np.random.default_rng()
    random.bit_generator.state = state
    return random
