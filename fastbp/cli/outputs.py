"""Files that commands write: checked before the work."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path


def check_writable(option: str, path: str, *inputs: str) -> None:
    """Tell before the work is done, not after it, that the result cannot be written."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option}: there is no folder {str(folder)!r}; make it, or choose another")
    if os.path.exists(path) and not os.path.isfile(path):  # a device would be replaced by a file
        raise ValueError(
            f"{option}: {path!r} is {'a folder' if os.path.isdir(path) else 'no ordinary file'}; name a file"
        )
    if not os.access(folder, os.W_OK) or (os.path.exists(path) and not os.access(path, os.W_OK)):
        raise ValueError(f"{option}: {path!r} cannot be written; choose another place")
    if any(os.path.exists(path) and os.path.exists(other) and os.path.samefile(path, other) for other in inputs):
        raise ValueError(f"{option}: {path!r} is read from; choose another name")


def make_folder(option: str, path: str) -> None:
    """Make the folder if it is missing, and tell if nothing can be written into it."""
    try:
        os.makedirs(path, exist_ok=True)
    except OSError as error:
        raise ValueError(f"{option}: the folder {path!r} cannot be made ({error.strerror}); choose another") from None
    if not os.access(path, os.W_OK):
        raise ValueError(f"{option}: nothing can be written into {path!r}; choose another folder")


@contextlib.contextmanager
def naming(path: str) -> Iterator[None]:
    """Let an error of the operating system name the file that is written: a full disk names none."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, path) from None
