"""Shared by all tests: one set of examples for the property tests, and a count of Numba's allocations."""

import signal
import threading

import pytest
from hypothesis import settings
from numba.core.runtime import rtsys

# The same examples in every run; `--hypothesis-profile=explore` draws new ones, and more of them.
settings.register_profile("fastbp", deadline=None, derandomize=True, max_examples=25)
settings.register_profile("explore", deadline=None, max_examples=1000)
settings.load_profile("fastbp")

# Programs that a shell starts in the background ignore Ctrl-C, and so would the programs that the tests interrupt.
if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def allocations():
    """A function that calls another one, and returns how many blocks compiled code allocated during the call."""
    from numba.core.runtime import _nrt_python as nrt

    def count(function, *arguments):
        function(*arguments)  # compiles
        nrt.memsys_enable_stats()
        try:
            before = rtsys.get_allocation_stats()
            function(*arguments)
            return rtsys.get_allocation_stats().mi_alloc - before.mi_alloc
        finally:
            nrt.memsys_disable_stats()

    return count
