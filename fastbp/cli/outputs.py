"""Files that commands write: checked before the work, written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO


def check_writable(option: str, path: str, *inputs: str) -> None:
    """Tell before the work is done, not after it, that the result cannot be written."""
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise ValueError(f"{option}: there is no folder {str(folder)!r}; make it, or choose another")
    if os.path.exists(path) and not os.path.isfile(path):  # a device would be replaced by a file
        raise ValueError(f"{option}: {path!r} is {'a folder' if os.path.isdir(path) else 'no ordinary file'}; name a file")
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


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[TextIO]:
    """
    Open a text file beside `path` that takes its place at the end; after an error it is removed.

    The text need not fit into memory, unlike that of `storage.write_atomically`.
    """
    goal = Path(path)
    temporary = goal.with_name(f".{goal.name}.{secrets.token_hex(8)}")
    try:
        with open(temporary, "x", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, goal)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
