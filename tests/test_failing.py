"""
The n-th allocation or system call fails: an error in words or a right result, and files that are whole.

System calls fail for every n. Of the allocations, those of 4 KB and more do: arrays and buffers. What the libraries do
with less is counted by hand (`docs/trust.md`).
"""

import collections
import errno

import failing
import pytest
from failing import ALLOCATIONS, CALLS, ERROR, RIGHT, RUST

pytestmark = pytest.mark.skipif(failing.GCC is None, reason="no gcc, or not Linux")

MODES = [pytest.param(False, id="once"), pytest.param(True, id="from then on")]


def assert_survived(found, allowed=()):
    """Only errors and right results, and some of either."""
    assert sum(found.values()) > 0, "nothing was attacked"
    assert set(found) <= {RIGHT, ERROR, *allowed}, {k: v for k, v in found.items() if k not in (RIGHT, ERROR)}
    assert found[ERROR] > 0


@pytest.mark.parametrize("forever", MODES)
@pytest.mark.parametrize("action", ["save", "load"])
def test_calls(tmp_path, action, forever):
    assert_survived(failing.attack(tmp_path, action, CALLS, forever))


@pytest.mark.thorough
@pytest.mark.parametrize("forever", MODES)
@pytest.mark.parametrize("action", ["checkpoint", "export", "command"])
def test_calls_of_longer_actions(tmp_path, action, forever):
    assert_survived(failing.attack(tmp_path, action, CALLS, forever))


@pytest.mark.thorough
@pytest.mark.parametrize("error", ["ENOSPC", "EMFILE", "EINTR"])
def test_other_errors(tmp_path, error):
    found = failing.attack(tmp_path, "checkpoint", CALLS, error=getattr(errno, error))
    assert set(found) <= {RIGHT, ERROR}
    assert found[RIGHT] > 0 if error == "EINTR" else found[ERROR] > 0


@pytest.mark.thorough
@pytest.mark.parametrize("forever", MODES)
@pytest.mark.parametrize("action", ["train", "damped", "predict", "save", "checkpoint", "export"])
def test_allocations(tmp_path, action, forever):
    assert_survived(failing.attack(tmp_path, action, ALLOCATIONS, forever), allowed=[RUST])


@pytest.mark.long
@pytest.mark.parametrize("action", ["train", "samplewise", "damped", "predict", "export"])
def test_small_allocations_never_give_wrong_numbers(tmp_path, action):
    found = failing.attack(tmp_path, action, ALLOCATIONS, size=0)
    wrong = [text for text in found if "wrong numbers" in text or "another result" in text]
    assert not wrong, wrong
    print(collections.Counter({text[:60]: count for text, count in found.items()}))


CARELESS = """
import os
def act():
    file = os.open("numbers", os.O_CREAT | os.O_WRONLY | os.O_TRUNC)
    try:
        os.write(file, bytes(8192))
    except OSError:
        pass
    os.close(file)
    return lambda: os.path.getsize("numbers")
"""
GREEDY = """
import ctypes
def act():
    libc = ctypes.CDLL(None)
    libc.malloc.restype = ctypes.c_void_p
    ctypes.memset(libc.malloc(8192), 1, 8192)
    return lambda: None
"""


def test_wrong_numbers_are_found(tmp_path):
    found = failing.attack(tmp_path, "", CALLS, code=CARELESS)
    assert any("wrong numbers, and no error" in text for text in found), found


def test_crashes_are_found(tmp_path):
    found = failing.attack(tmp_path, "", ALLOCATIONS, size=8192, code=GREEDY)
    assert any("killed by SIGSEGV" in text for text in found), found
