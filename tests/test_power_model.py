"""The tests of power cuts can fail: writers that lose something, a record that misses something, a file's states."""

import collections
import random

import power
import pytest
from test_power import LEFTOVERS, recorded, recorder, survived  # noqa: F401 (the fixture `record`)

NAIVE = {
    "written over": ("put('net.fbp', sync=True)", {"net.fbp is half there"}),
    "not synced": ("put('new'); os.replace('new', 'net.fbp'); names()", {"net.fbp is half there"}),
    "names not synced": ("put('new', sync=True); os.replace('new', 'net.fbp')", {"net.fbp is old", "new is unknown"}),
    "names synced first": ("put('new', sync=True); names(); os.replace('new', 'net.fbp')", {"net.fbp is old"}),
    "another removed": ("os.unlink('other.fbp'); put('net.fbp', sync=True)", {"other.fbp is lost"}),
    "a new file": ("put('new.fbp', sync=True)", {"new.fbp is lost"}),
    "a new folder": ("os.mkdir('a'); put('a/new.fbp', sync=True); names('a')", {"a/new.fbp is lost"}),
}
WRITER = """
    import os, sys

    def put(path, sync=False):
        with open(path, "wb", buffering=0) as file:
            for byte in b"abc":
                file.write(bytes([byte]) * 600)
            if sync:
                os.fsync(file.fileno())

    def names(folder="."):
        opened = os.open(folder, os.O_RDONLY)
        os.fsync(opened)
        os.close(opened)

    exec(sys.argv[1])
    saved(sys.argv[2])
"""


@recorded
@pytest.mark.parametrize("name", NAIVE)
def test_naive_writers_are_found_out(name, record, tmp_path):
    statements, wanted = NAIVE[name]
    folder = tmp_path / "naive"
    folder.mkdir()
    for file in ("net.fbp", "other.fbp"):
        (folder / file).write_bytes(b"old" * 300)
    path = {"a new file": "new.fbp", "a new folder": "a/new.fbp"}.get(name, "net.fbp")
    recording = record(WRITER, folder, statements, path)
    found = collections.Counter()
    for cut in recording.survey(300):
        found.update(recording.broken(cut, LEFTOVERS))
    assert found.keys() >= wanted


@recorded
def test_a_sound_writer_is_not(record, tmp_path):
    folder = tmp_path / "sound"
    folder.mkdir()
    (folder / "net.fbp").write_bytes(b"old")
    put = "put('.net.fbp.' + '0' * 16, sync=True); os.replace('.net.fbp.' + '0' * 16, 'net.fbp'); names()"
    survived(record(WRITER, folder, put, "net.fbp"), 1000)


@recorded
def test_a_record_that_misses_a_write_is_refused(record, tmp_path):
    program = """
        libc = ctypes.CDLL(None)
        libc.fopen.restype = ctypes.c_void_p
        libc.fclose.argtypes = [ctypes.c_void_p]
        libc.fclose(libc.fopen(b"hidden", b"w"))
    """
    folder = tmp_path / "hidden"
    folder.mkdir()
    with pytest.raises(AssertionError, match="the record misses something"):
        record(program, folder)


def test_every_state_of_a_file_is_listed():
    disk = power.Disk({"a": b"old"}, {"a": 7})
    for event in (("size", 7, 0, "a", b""), ("write", 7, 0, "a", b"new!"), ("write", 7, 4, "a", b"?")):
        disk.do(power.Event(*event))
    found = {tree["a"] for tree in disk.states(1000, random.Random(0), 4)}
    assert found >= {b"old", b"", b"new!", b"new!?", b"\0\0\0\0?", b"old\0?", b"\xa5" * 5, b"new!\0"}
    assert b"new" not in found  # a part of a block
    found = {tree["a"] for tree in disk.states(10_000, random.Random(0), 1)}
    assert found >= {b"nld", b"new", b"\0e\0!?", b"n"}
    disk.do(power.Event("sync", 7, 0, "a", b""))
    assert [tree["a"] for tree in disk.states(1000, random.Random(0), 4)] == [b"new!?"]
