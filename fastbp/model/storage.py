"""The model file: safetensors (numbers only, nothing is executed) with a JSON header."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import math
import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save as to_bytes

import fastbp.kernels as kernels

from .. import checks, compilation, losses, options, tables
from . import fingerprint
from .ensemble import Ensemble, members
from .network import Network
from .posterior import Posterior
from .words import STOP_REASONS

# docs/format.md specifies the file; a new format gets a row in its table, and files in tests/models.
# 1 had no columns, 2 no checksum; 4 brought ensembles: a list of headers, where the names of the tensors of each begin
# with its number and a dot; 5 brought numbers that are encoded piece by piece; 6 brought limits of a table's numbers,
# and of the predictions of a regression; 7 brought what was learnt about a column's text, and what counts as missing.
# 8 brought the posterior of the weights, and 9 a digest of predictions.
FORMAT = 9
_CHECKED = 3
_HEADER, _CHECKSUM = "fastbp", "sha256"
_ARRAYS = ("params", "x_mean", "x_scale", "y_mean", "y_scale")
_HISTORY, _RANGE, _POSTERIOR = "history.", "target_range", "posterior"
_PREDICTIONS = "predictions"


@contextlib.contextmanager
def written_whole(path: str | os.PathLike[str], mode: str = "xb", **options: Any) -> Iterator[IO[Any]]:
    """Like `open`, but the file is temporary, and replaces `path` at the end, flushed to disk; not after an error."""
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, mode, **options) as file:
            yield file
            file.flush()
            _flush_to_disk(file.fileno())
        _replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_names(path.parent)


def write_atomically(path: str | os.PathLike[str], data: bytes) -> None:
    """Write `data` to a file, completely or not at all."""
    with written_whole(path) as file:
        file.write(data)


def make_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder and those above it, where they are missing; a power cut does not undo it."""
    path = Path(path).absolute()
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    path.mkdir(parents=True, exist_ok=True)
    for folder in missing:
        _flush_names(folder.parent)


def _replace(temporary: Path, path: Path) -> None:
    try:
        os.replace(temporary, path)
    except PermissionError as error:
        # Windows replaces no file that any program has open.
        text = "it cannot be replaced, perhaps because another program has it open"
        raise PermissionError(error.errno, text, os.fspath(path)) from None


def _flush_names(folder: Path) -> None:
    """Write the names in a folder to disk; Windows has no such call."""
    if os.name == "posix":
        opened = os.open(folder, os.O_RDONLY)
        try:
            _flush_to_disk(opened)
        finally:
            os.close(opened)


def _flush_to_disk(file: int) -> None:
    if sys.platform == "darwin":  # where fsync does not empty the disk's own cache
        import fcntl

        with contextlib.suppress(OSError):  # of a file system without this call
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def contents(network: Network) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and tensors of a model file."""
    tensors: dict[str, NDArray[Any]] = {name: getattr(network, name) for name in _ARRAYS}
    tensors |= {} if network.target_range is None else {_RANGE: network.target_range}
    tensors |= {} if network.posterior is None else {_POSTERIOR: network.posterior.root}
    tensors |= {_HISTORY + key: values for key, values in network.history.items()}
    header = {
        "format": FORMAT,
        "task": network.task,
        "sizes": network.sizes,
        "activations": network.layer_activations,
        "loss": network.loss,
        "loss_parameter": network.loss_parameter,
        "classes": classes_to_json(network.classes),
        "single_output": network.single_output,
        "columns": None if network.columns is None else network.columns.to_json(),
        "best_epoch": network.best_epoch,
        "stop_reason": network.stop_reason,
        "options": dict(network.options),
        "compile_seconds": network.compile_seconds,
        "train_seconds": network.train_seconds,
        "noise": None if network.posterior is None else network.posterior.noise,
    }
    return header, tensors


def write(path: str | os.PathLike[str], header: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> None:
    """Write a model file, completely or not at all."""
    text = json.dumps(header)
    write_atomically(path, to_bytes(tensors, metadata={_HEADER: text, _CHECKSUM: checksum(text, tensors)}))


def checksum(text: str, tensors: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 of everything in a model file: a flipped bit is an error, not another network."""
    found = hashlib.sha256(text.encode())
    for name, array in sorted(tensors.items()):
        found.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def _signed(network: Network) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and tensors, with a digest of what the network predicts."""
    header, tensors = contents(network)
    return header | {_PREDICTIONS: fingerprint.digest(network)}, tensors


def save(model: Network | Ensemble, path: str | os.PathLike[str]) -> None:
    """Write `model` to `path`; see `Network.save`."""
    if isinstance(model, Network):
        write(path, *_signed(model))
        return
    parts = list(map(_signed, model.networks))
    tensors = {f"{k}.{name}": array for k, (_, own) in enumerate(parts) for name, array in own.items()}
    header = {"format": FORMAT, "options": dict(model.options), "networks": [header for header, _ in parts]}
    write(path, header, tensors)


def load(path: str | os.PathLike[str]) -> Network | Ensemble:
    """
    Read a network or an ensemble that `Network.save` or `Ensemble.save` wrote, or the network that a checkpoint holds.

    Parameters
    ----------
    path : path
        The model file. A checkpoint gives the network so far (with a validation set, that of the best epoch).

    Returns
    -------
    Network or Ensemble

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        Not a model file, a damaged one, or one of a newer format; the message says what is wrong with it.

    Notes
    -----
    Everything in the file is checked; nothing in it is executed.
    """
    return _loaded(path)[0]


def _loaded(path: str | os.PathLike[str]) -> tuple[Network | Ensemble, dict[str, Any]]:
    """The model in a file, and its header."""
    with sound(path):
        header, tensors = read(path)
        return (ensemble_of if "networks" in header else network_of)(header, tensors), header


def verify(path: str | os.PathLike[str]) -> tuple[Network | Ensemble, list[str]]:
    """
    Load a model, compute its predictions for fixed rows, and compare them with those of the machine that saved it.

    Returns
    -------
    Network or Ensemble
    list of str
        Digest of the predictions of each network.

    Raises
    ------
    FileNotFoundError, ValueError
        As `load`; or the file has no such digests, or other ones.
    """
    model, header = _loaded(path)
    networks, found = members(model), list[str]()
    for k, (net, own) in enumerate(zip(networks, header.get("networks", [header]), strict=True)):
        if _PREDICTIONS not in own:
            what = "a checkpoint" if "run" in own else f"of format {own['format']}; files have one since format 9"
            raise ValueError(f"verify: expected a file with a digest of its predictions, {os.fspath(path)!r} is {what}")
        wanted, got = own[_PREDICTIONS], fingerprint.digest(net)
        if got != wanted:
            which = f"network {k}" if len(networks) > 1 else "the network"
            raise ValueError(
                f"verify: expected the predictions of {which} in {os.fspath(path)!r} to have the SHA-256 {wanted}, "
                f"as on the machine that saved it, got {got}"
            )
        found.append(got)
    return model, found


class _NoModelError(ValueError):
    """The file is not one of fastbp's; the message is complete."""


@contextlib.contextmanager
def sound(path: str | os.PathLike[str]) -> Iterator[None]:
    """A context in which to read a file: whatever is wrong with it becomes a ValueError that says so."""
    try:
        yield
    except _NoModelError:
        raise
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError, RecursionError) as error:
        what = f"{error.args[0]!r} is missing" if isinstance(error, KeyError) else error
        raise ValueError(f"path: expected a sound fastbp model file, {os.fspath(path)!r} is not: {what}") from None


def read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """Header and tensors of a model file, compared with their checksum; to be called within `sound`."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"path: expected a model file, there is no {path!r}")
    try:
        if not os.path.isfile(path):  # reading a pipe might wait endlessly
            raise OSError("it is not an ordinary file")
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
    except (SafetensorError, OSError, TypeError) as error:
        raise _NoModelError(f"path: expected a fastbp model file, {path!r} cannot be read ({error})") from None
    if _HEADER not in metadata:
        raise _NoModelError(f"path: expected a fastbp model file, {path!r} is a safetensors file of something else")
    text = metadata[_HEADER]
    if _CHECKSUM in metadata:
        require(metadata[_CHECKSUM] == checksum(text, tensors), "its checksum differs, so it was damaged or changed")
    header = json.loads(text)
    require(isinstance(header, dict) and isinstance(header["format"], int), "the header has no format number")
    newer = f"it has format {header['format']}, this version of fastbp reads up to {FORMAT}; update fastbp"
    require(header["format"] <= FORMAT, newer)
    require(header["format"] < _CHECKED or _CHECKSUM in metadata, "it has no checksum")
    return header, tensors


def require(truth: bool, what: str) -> None:
    """Raise ValueError unless the file is as it should be."""
    if not truth:
        raise ValueError(what)


def ensemble_of(header: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Ensemble:
    """The ensemble in a file; raises unless everything fits together."""
    headers, parts = header["networks"], dict[str, dict[str, NDArray[Any]]]()
    require(isinstance(headers, list), "the networks are not a list")
    require(isinstance(header["options"], dict), "the options are not a table")
    for name, array in tensors.items():
        number, _, own = name.partition(".")
        parts.setdefault(number, {})[own] = array
    return Ensemble(tuple(network_of(own, parts.get(str(k), {})) for k, own in enumerate(headers)), header["options"])


def network_of(header: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Network:
    """The network in a file; raises unless everything fits together."""
    task, loss = header["task"], header["loss"]
    require(task in options.TASKS, f"unknown task {task!r}")
    require(loss in (*kernels.LOSSES, losses.CUSTOM), f"unknown loss {loss!r}")
    parameter = tuple(header.get("loss_parameter", ()))
    possible = all(isinstance(p, float) and math.isfinite(p) for p in parameter)
    require(possible, f"impossible parameters of the loss {parameter}")
    sizes = tuple(header["sizes"])
    possible = len(sizes) >= 2 and all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in sizes)
    require(possible, f"impossible layer sizes {sizes}")
    names = tuple(header["activations"])
    known = all(name in kernels.ACTIVATIONS for name in names) and "softmax" not in names[:-1]
    require(len(names) == len(sizes) - 1 and known, f"impossible activations {names} for sizes {sizes}")
    params = tensors["params"]
    count = sum((a + 1) * b for a, b in itertools.pairwise(sizes))
    require(params.dtype.name in compilation.DTYPES, f"weights of type {params.dtype}")
    for name, length in zip(_ARRAYS, (count, sizes[0], sizes[0], sizes[-1], sizes[-1]), strict=True):
        array = tensors[name]
        fits = array.shape == (length,) and array.dtype.kind == "f"
        require(fits, f"{name} has shape {array.shape}, expected ({length},)")
        require(bool(np.isfinite(array).all()), f"{name} holds numbers that are not finite")
    for name in ("x_scale", "y_scale"):
        normal = bool((tensors[name] >= np.finfo(np.float64).tiny).all())  # 1 / x_scale is a number, too
        require(normal, f"{name} holds numbers that are not positive, or next to 0")
    target_range = tensors.get(_RANGE)
    if target_range is not None:
        fits = task == "regression" and target_range.shape == (2, sizes[-1]) and target_range.dtype == np.float64
        require(fits, f"{_RANGE} does not fit the outputs")
        ordered = np.isfinite(target_range).all() and (target_range[0] <= target_range[1]).all()
        require(bool(ordered), f"{_RANGE} holds impossible limits")
    posterior = _posterior(tensors.get(_POSTERIOR), header.get("noise"), count)
    classes = _classes_from_json(header["classes"])
    fits = sizes[-1] % max(1, len(parameter)) == 0
    require(fits, f"{sizes[-1]} output units do not fit {len(parameter)} parameters of the loss")
    fits = (task == "classification") == (classes is not None)
    require(fits, f"task {task!r} and the list of classes do not go together")
    if classes is not None:
        units = 1 if len(classes) == 2 and names[-1] == "logistic" else len(classes)
        require(units == sizes[-1], f"{sizes[-1]} output units do not fit the classes")
    if header["format"] == 1 and header["feature_names"] is not None:
        header["columns"] = tables.plain_columns(header["feature_names"], tensors["x_mean"].tolist()).to_json()
    columns = None if header.get("columns") is None else tables.Columns.from_json(header["columns"])
    require(columns is None or len(columns.inputs) == sizes[0], "its columns do not fit the inputs")
    history = {key.removeprefix(_HISTORY): values for key, values in tensors.items() if key.startswith(_HISTORY)}
    lengths = {values.shape for values in history.values()}
    equal = len(lengths) <= 1 and all(len(shape) == 1 for shape in lengths)
    require(equal, "the columns of the history differ in length")
    require(all(values.dtype == np.float64 for values in history.values()), "its history does not consist of numbers")
    best, epochs = header["best_epoch"], next(iter(lengths), (0,))[0]
    require(isinstance(best, int) and 0 <= best <= epochs, f"impossible best epoch {best} of {epochs}")
    seconds = [header[name] for name in ("compile_seconds", "train_seconds")]
    require(all(isinstance(s, int | float) and math.isfinite(s) for s in seconds), f"impossible times {seconds}")
    require(isinstance(header["single_output"], bool), "it does not say whether there was one output")
    require(header["stop_reason"] in STOP_REASONS, f"unknown stop reason {header['stop_reason']!r}")
    require(isinstance(header["options"], dict), "the options are not a table")
    return Network(
        task=task,
        sizes=sizes,
        layer_activations=names,
        loss=loss,
        **{name: tensors[name] for name in _ARRAYS},
        classes=classes,
        single_output=header["single_output"],
        columns=columns,
        history=history,
        best_epoch=best,
        stop_reason=header["stop_reason"],
        options=header["options"],
        loss_parameter=parameter,
        target_range=target_range,
        posterior=posterior,
        compile_seconds=float(seconds[0]),
        train_seconds=float(seconds[1]),
    )


def _posterior(root: NDArray[Any] | None, noise: Any, count: int) -> Posterior | None:
    """The posterior of so many weights, if there is one."""
    if root is None:
        return None
    fits = root.shape == (count * (count + 1) // 2,) and root.dtype == np.float64 and bool(np.isfinite(root).all())
    require(fits, f"{_POSTERIOR} does not fit the weights")
    require(isinstance(noise, float) and 0 < noise < math.inf, f"impossible variance of the noise {noise!r}")
    return Posterior(checks.frozen(root), noise)


def classes_to_json(classes: NDArray[Any] | None) -> dict[str, Any] | None:
    """Labels as JSON values, with their NumPy type; dates and time spans as their integers."""
    if classes is None:
        return None
    if classes.dtype.kind in "mM":
        return {"dtype": classes.dtype.str, "labels": classes.view(np.int64).tolist()}
    labels = classes.tolist()
    for label in labels:
        if not isinstance(label, str | int | float | bool):
            got = f"{label!r} of type {type(label).__name__}"
            raise ValueError(f"save: expected labels that are text, numbers, booleans or dates, got {got}")
    return {"dtype": classes.dtype.str, "labels": labels}


def _classes_from_json(stored: dict[str, Any] | None) -> NDArray[Any] | None:
    if stored is None:
        return None
    labels, dtype = stored["labels"], np.dtype(stored["dtype"])
    require(isinstance(labels, list) and len(labels) >= 2, "it lists fewer than two classes")
    possible = all(isinstance(label, str | int | float | bool) for label in labels)
    require(possible, "it lists classes of impossible types")
    require(dtype.kind in "biufUOmM", f"it lists classes of the type {dtype}")
    if dtype.kind == "O":
        classes = np.empty(len(labels), object)
        classes[:] = labels
        return classes
    # Text is as wide as the longest label: a width in the file could be of any size.
    known = np.array(labels, np.int64 if dtype.kind in "mM" else str if dtype.kind == "U" else dtype)
    distinct = known.tolist() == labels and len(set(labels)) == len(labels)
    require(distinct, f"it lists classes twice, or not of the type {dtype}")
    return known.view(dtype) if dtype.kind in "mM" else known
