"""
Power cuts: records what a program does to the files of a folder, and lists what a disk may hold if the power goes.

`record` runs a program under a library that writes down each call (power.c). `Recording.survey` then cuts the power
after each of them. The disk promises as little as POSIX does:

- What was written to a file since it was synced is there or not, block by block, in any order. In place of a block is
  what was there before, or zeros, or garbage; the length of the file is the old one, the new one, or one in between.
- What was done to the names in a folder since the folder was synced is there or not, each by itself. Of a rename, the
  new name may be there without the old one gone, and the other way round.
- Syncing a file keeps its bytes, not its name. A new folder is a name in the folder that it is in.

If the states after one call are few, all are tried; otherwise the extreme ones, and others drawn at random.
"""

from __future__ import annotations

import functools
import itertools
import math
import os
import random
import re
import struct
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

# What is in a folder: the bytes of each file by its path, None for a folder
Tree = dict[str, bytes | None]

SOURCE = Path(__file__).with_suffix(".c")
PREAMBLE = "import ctypes; saved = lambda path: ctypes.CDLL(None).power_saved(str(path).encode())\n"
_HEAD = struct.Struct("=8sQqQQ")
_GARBAGE = b"\xa5"
_THERE, _MISSING = 0, 1  # of the choices for a change of a name, or for a block, which may also be garbage


class Event(NamedTuple):
    """A call, or a report of the program; `number` is the offset of a write, or the size that a file was given."""

    call: str
    file: int
    number: int
    path: str
    data: bytes


@dataclass
class File:
    """A file: the bytes that are on disk for certain, and what was done since: (offset, bytes), or (size, None)."""

    synced: bytes = b""
    pending: list[tuple[int, bytes | None]] = field(default_factory=list)

    def now(self) -> bytes:
        """The bytes that a program reads."""
        return self._content(self.pending, [_THERE] * len(self.pending)) if self.pending else self.synced

    def sync(self) -> None:
        self.synced, self.pending = self.now(), []

    def blocks(self, size: int) -> list[tuple[int, bytes | None]]:
        """What is pending, cut into blocks."""
        parts: list[tuple[int, bytes | None]] = []
        for offset, data in self.pending:
            if data is None:
                parts.append((offset, None))
            else:
                parts += [(offset + k, data[k : k + size]) for k in range(0, len(data), size)]
        return parts

    def lengths(self, parts: list[tuple[int, bytes | None]]) -> list[int | None]:
        """The lengths that the file may have; None: that of the blocks that are there."""
        least = min([len(self.synced), *(size for size, data in parts if data is None)])
        ends = {offset + len(data) for offset, data in parts if data is not None}
        return [None, *sorted({length for length in ends | {least, len(self.now())} if length >= least})]

    def after(self, parts: list[tuple[int, bytes | None]], choices: tuple[int, ...]) -> bytes:
        """The bytes after a power cut: a choice for each part, and one for the length."""
        found, length = self._content(parts, choices[:-1]), self.lengths(parts)[choices[-1]]
        return found if length is None else found[:length].ljust(length, b"\0")

    def _content(self, parts, choices) -> bytes:
        found = bytearray(self.synced)
        for (offset, data), choice in zip(parts, choices, strict=True):
            if choice == _MISSING:
                continue
            if data is None:
                found = found[:offset].ljust(offset, b"\0")
            else:
                found.extend(bytes(max(0, offset - len(found))))
                found[offset : offset + len(data)] = data if choice == _THERE else _GARBAGE * len(data)
        return bytes(found)


@dataclass
class Folder:
    """A folder: the names that are on disk for certain, and what was done since; None: the name was removed."""

    synced: dict[str, File | Folder] = field(default_factory=dict)
    pending: list[tuple[str, File | Folder | None]] = field(default_factory=list)

    def now(self) -> dict[str, File | Folder]:
        """The names that a program sees."""
        return self.after([_THERE] * len(self.pending))

    def sync(self) -> None:
        self.synced, self.pending = self.now(), []

    def after(self, choices) -> dict[str, File | Folder]:
        """The names after a power cut: a choice for each change."""
        found = dict(self.synced)
        for (name, node), choice in zip(self.pending, choices, strict=True):
            if choice == _THERE:
                found.pop(name, None)
                if node is not None:
                    found[name] = node
        return found

    def nodes(self) -> Iterator[File | Folder]:
        """This folder, and all that some state has in it."""
        yield self
        inner = {id(node): node for _, node in [*self.synced.items(), *self.pending] if node is not None}
        for node in inner.values():
            yield from node.nodes() if isinstance(node, Folder) else [node]


class Disk:
    """A folder that some calls were made in; `folders`: syncing a folder keeps its names."""

    def __init__(self, before: Tree, numbers: dict[str, int], folders: bool = True) -> None:
        self.root, self.files, self.folders = Folder(), dict[int, File](), folders
        for path, data in sorted(before.items()):
            node = Folder() if data is None else File(data)
            folder, name = self._place(path)
            folder.synced[name] = node
            if isinstance(node, File):
                self.files[numbers[path]] = node

    def _place(self, path: str) -> tuple[Folder, str]:
        *above, name = path.split("/")
        folder = self.root
        for part in above:
            inner = folder.now()[part]
            assert isinstance(inner, Folder)
            folder = inner
        return folder, name

    def node(self, path: str) -> File | Folder | None:
        """What a program finds at a path."""
        if path == ".":
            return self.root
        folder, name = self._place(path)
        return folder.now().get(name)

    def _name(self, path: str, node: File | Folder | None) -> None:
        folder, name = self._place(path)
        folder.pending.append((name, node))

    def do(self, event: Event) -> None:
        """A call takes effect."""
        call, file, number, path, data = event
        if call == "create":
            self.files[file] = File()
            self._name(path, self.files[file])
        elif call == "write":
            self.files[file].pending.append((number, data))
        elif call == "size":
            self.files[file].pending.append((number, None))
        elif call == "mkdir":
            self._name(path, Folder())
        elif call in ("rename", "link"):
            self._name(data.decode(), self.node(path))
        if call in ("rename", "unlink"):
            self._name(path, None)
        if call == "sync":
            node = self.node(path)
            if not isinstance(node, Folder):
                self.files[file].sync()  # which may have no name any more
            elif self.folders:
                node.sync()

    def now(self) -> Tree:
        """What a program finds."""
        return self._tree({}, {})

    def _tree(self, choices, parts) -> Tree:
        found: Tree = {}

        def walk(folder: Folder, above: str) -> None:
            chosen = choices.get(id(folder))
            names = folder.now() if chosen is None else folder.after(chosen)
            for name, node in names.items():
                path = above + name
                if isinstance(node, Folder):
                    found[path] = None
                    walk(node, f"{path}/")
                elif id(node) in choices:
                    found[path] = node.after(parts[id(node)], choices[id(node)])
                else:
                    found[path] = node.now()

        walk(self.root, "")
        return found

    def states(self, most: int, chance: random.Random, block: int) -> Iterator[Tree]:
        """What may be on disk if the power goes now: all if there are at most `most`, else so many and the extremes."""
        unsure = {id(node): node for node in self.root.nodes() if node.pending}
        parts = {key: node.blocks(block) for key, node in unsure.items() if isinstance(node, File)}
        options = []  # for each node, in how many ways each of its changes may have ended
        for key, node in unsure.items():
            if isinstance(node, Folder):
                options.append([2] * len(node.pending))
            else:
                of_parts = [2 if data is None else 3 for _, data in parts[key]]
                options.append([*of_parts, len(node.lengths(parts[key]))])
        if math.prod(map(math.prod, options)) <= most:
            several = itertools.product(*(list(itertools.product(*map(range, ways))) for ways in options))
        else:
            several = itertools.chain(_extremes(options), (_drawn(options, chance) for _ in range(most)))
        for choices in several:
            yield self._tree(dict(zip(unsure, choices, strict=True)), parts)


def _extremes(options: list[list[int]]) -> Iterator[list[tuple[int, ...]]]:
    """Of each node all or nothing, where there are few nodes; otherwise of all nodes, or of all but one."""
    bounds = [((0,) * len(ways), (_MISSING,) * (len(ways) - 1) + (ways[-1] - 1,)) for ways in options]
    if len(options) <= 6:
        yield from map(list, itertools.product(*bounds))
        return
    for most, other in ((0, 1), (1, 0)):
        for one in range(-1, len(options)):
            yield [both[other if k == one else most] for k, both in enumerate(bounds)]


def _drawn(options: list[list[int]], chance: random.Random) -> list[tuple[int, ...]]:
    """Of each node: a share of its changes, or the first ones of them, or the last."""
    found = []
    for ways in options:
        share, place = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0)), chance.randrange(len(ways) + 1)
        kept = {
            "some": [chance.random() < share for _ in ways],
            "first": [k < place for k in range(len(ways))],
            "last": [k >= place for k in range(len(ways))],
        }[chance.choice(("some", "first", "last"))]
        found.append(tuple(0 if there else chance.randrange(1, n) for there, n in zip(kept, ways, strict=True)))
    return found


@dataclass(frozen=True)
class Cut:
    """What a disk may hold after a power cut, and after how many calls that was."""

    calls: int
    tree: Tree


@dataclass(frozen=True)
class Recording:
    """What was in a folder before a program ran, the inodes of these files, and what the program did."""

    before: Tree = field(repr=False)
    numbers: dict[str, int] = field(repr=False)
    events: list[Event] = field(repr=False)

    @property
    def calls(self) -> list[str]:
        """What the program did, in words."""
        return [f"{event.call} {event.path}" for event in self.events]

    @functools.cached_property
    def versions(self) -> dict[str, list[tuple[int, bytes | None]]]:
        """Of each file that was there or was reported: its bytes before, and after how many calls each report came."""
        disk, found = Disk(self.before, self.numbers), {}
        for path, data in self.before.items():
            found[path] = [(0, data)]
        for calls, event in enumerate(self.events, 1):
            if event.call == "saved":
                node = disk.node(event.path)
                assert isinstance(node, File), f"{event.path} was reported, and is not there"
                found.setdefault(event.path, [(0, None)]).append((calls, node.now()))
            disk.do(event)
        return found

    def survey(self, most: int, seed: int = 0, block: int = 512, folders: bool = True) -> Iterator[Cut]:
        """What a disk may hold after each call, so many states at most."""
        disk, chance = Disk(self.before, self.numbers, folders), random.Random(seed)
        for calls, event in enumerate([None, *self.events]):
            if event is not None:
                disk.do(event)
            for tree in disk.states(most, chance, block):
                yield Cut(calls, tree)

    def broken(self, cut: Cut, leftovers: str, durable: bool = True) -> list[str]:
        """
        What is wrong with a state: files that are lost, half there or unknown.

        A reported file has the bytes that it had when it was last reported, or those of the next time. Without
        `durable` it may have those of an earlier time. `leftovers` are the names that other files may have.
        """
        found = {}
        for path, several in self.versions.items():
            last = max(k for k, (calls, _) in enumerate(several) if calls <= cut.calls)
            content = cut.tree.get(path)
            if content not in [data for _, data in several[last if durable else 0 : last + 2]]:
                whole = content in [data for _, data in several]
                found[path] = "lost" if content is None else "old" if whole else "half there"
        found |= {path: "unknown" for path, data in cut.tree.items() if path not in self.versions and data is not None}
        return [
            f"{path} is {what}" for path, what in found.items() if not re.fullmatch(leftovers, path.rsplit("/", 1)[-1])
        ]


def build(folder: Path, compiler: str) -> Path:
    """Compile the library that records, and return its path."""
    library = folder / "power.so"
    flags = ["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-shared", "-fPIC", "-pthread"]
    subprocess.run([compiler, *flags, str(SOURCE), "-o", str(library)], check=True)
    return library


def contents(folder: Path) -> Tree:
    """What is in a folder."""
    paths = sorted(folder.rglob("*"))
    return {path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}


def put(tree: Tree, folder: Path) -> None:
    """Make a folder with these contents."""
    folder.mkdir(parents=True)
    for path, data in sorted(tree.items()):
        (folder / path).mkdir() if data is None else (folder / path).write_bytes(data)


def record(library: Path, program: str, folder: Path, *arguments: str, **environment: str) -> Recording:
    """Run a program in a folder, where it calls `saved(path)` when a file has been reported as saved."""
    folder, log = folder.resolve(), library.with_name(f"{folder.name}.log")
    log.unlink(missing_ok=True)
    before = contents(folder)
    numbers = {path: (folder / path).stat().st_ino for path in before}
    command = [sys.executable, "-P", "-c", PREAMBLE + textwrap.dedent(program), *arguments]
    preloaded = {"LD_PRELOAD": str(library), "POWER_ROOT": str(folder), "POWER_LOG": str(log)}
    done = subprocess.run(command, cwd=folder, env=os.environ | preloaded | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = Recording(before, numbers, list(_events(log.read_bytes(), folder)))
    disk = Disk(before, numbers)
    for event in found.events:
        disk.do(event)
    assert disk.now() == contents(folder), "the record misses something"
    return found


def _events(log: bytes, folder: Path) -> Iterator[Event]:
    place = 0
    while place < len(log):
        call, file, number, path_size, size = _HEAD.unpack_from(log, place)
        place += _HEAD.size
        path, data = log[place : place + path_size].decode(), log[place + path_size :][:size]
        place += path_size + size
        kind = call.rstrip(b"\0").decode()
        path = os.path.relpath(folder / path, folder)
        if kind in ("rename", "link"):
            data = os.path.relpath(data.decode(), folder).encode()
        yield Event(kind, file, number, path, data)
