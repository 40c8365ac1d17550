"""Output files of commands, checked before the work begins."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from ..model import storage


def check_writable(option: str, path: str, *inputs: str) -> None:
    """Raise ValueError if the result cannot be written, so that you learn of it before the work and not after it."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option}: there is no folder {str(folder)!r}; create it, or choose another")
    if os.path.exists(path) and not os.path.isfile(path):  # a device would be replaced by a file
        found = "a folder" if os.path.isdir(path) else "not an ordinary file"
        raise ValueError(f"{option}: {path!r} is {found}; name a file")
    if not os.access(folder, os.W_OK) or (os.path.exists(path) and not os.access(path, os.W_OK)):
        raise ValueError(f"{option}: {path!r} cannot be written; choose another place")
    if any(os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other) for other in inputs):
        raise ValueError(f"{option}: {path!r} is an input file; choose another name")


def make_folder(option: str, path: str) -> None:
    """Create the folder if it is missing; raise ValueError if nothing can be written to it."""
    try:
        storage.make_folder(path)
    except OSError as error:
        reason = error.strerror
        raise ValueError(f"{option}: the folder {path!r} cannot be created ({reason}); choose another") from None
    if not os.access(path, os.W_OK):
        raise ValueError(f"{option}: nothing can be written to {path!r}; choose another folder")


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Make errors of the operating system name the file that is written: that of a full disk does not."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, path) from None
