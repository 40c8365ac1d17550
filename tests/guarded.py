"""
Arrays between protected pages: whatever code reads or writes outside an array, the process ends.

An array touches a protected page at one end only. The bytes at its other end, and in the gaps between strided elements,
hold a pattern. Arrays that are only read are in pages that cannot be written. Linux and macOS (mmap, mprotect).
"""

import contextlib
import ctypes
import itertools
import mmap
import sys
from unittest import mock

import numpy as np

GUARDS = sys.platform != "win32"
PATTERN = 0xA5
_NOTHING, _READ = 0, 1  # PROT_NONE, PROT_READ
_libc = ctypes.CDLL(None, use_errno=True) if GUARDS else None


def _protect(address, size, how):
    if _libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(size), how):
        raise OSError(ctypes.get_errno(), "mprotect")


def _pages(count):
    """Space for `count` bytes in whole pages that hold the pattern, with a protected page before and one after them."""
    size = -(-max(count, 1) // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = np.frombuffer(mmap.mmap(-1, size + 2 * mmap.PAGESIZE), np.uint8)
    inside = whole[mmap.PAGESIZE : mmap.PAGESIZE + size]
    inside[:] = PATTERN
    for address in (whole.ctypes.data, inside.ctypes.data + size):
        _protect(address, mmap.PAGESIZE, _NOTHING)
    return inside


def _steps(shape, random, written):
    """
    Random steps for an array of this shape, in elements, and whether each axis runs backwards.

    In an array that is only read, elements may be repeated (a step of 0).
    """
    steps, span = [0] * len(shape), 1
    for axis in random.permutation(len(shape)):
        steps[axis] = span = span + int(random.integers(0, 4))
        span *= max(shape[axis], 1)
        if not written and random.integers(8) == 0:
            steps[axis] = 0
    return steps, random.integers(0, 2, len(shape)).astype(bool)


class Guarded:
    """Places arrays; `random` decides at which end of its pages each array is, and the steps of strided ones."""

    def __init__(self, random):
        self.random, self.placed = random, []

    def put(self, values, written=False, strided=False):
        """A copy of `values`; unless `written`, writing to it ends the process."""
        values = np.ascontiguousarray(values)
        item, steps, backwards = values.itemsize, None, None
        if strided and values.size:
            steps, backwards = _steps(values.shape, self.random, written)
            count = 1 + sum((n - 1) * step for n, step in zip(values.shape, steps, strict=True))
        else:
            count = values.size
        inside = _pages(count * item)
        first = inside.size - count * item if self.random.integers(2) else 0
        flat = inside[first : first + count * item].view(values.dtype)
        if steps is None:
            array = flat.reshape(values.shape)
        else:
            array = np.lib.stride_tricks.as_strided(flat, values.shape, [step * item for step in steps])
            array = array[tuple(slice(None, None, -1 if back else 1) for back in backwards)]
        array[...] = values
        if written:
            self.placed.append((inside, inside.copy(), array, values))
        else:
            _protect(inside.ctypes.data, inside.size, _READ)
        return array

    def check(self):
        """Assert that nothing was written outside the arrays."""
        for inside, before, array, values in self.placed:
            array[...] = values
            where = f"an array of shape {array.shape} and steps {array.strides}"
            assert (inside == before).all(), f"written outside {where}"


def in_numba(random):
    """
    From now on, all arrays that compiled code allocates end right before a protected page, or begin right after one.

    Returns two lists: the sizes of all arrays in bytes, and those of the arrays outside which something was written.
    """
    import llvmlite.binding as llvm
    from numba.core.registry import cpu_target
    from numba.core.runtime import _nrt_python, rtsys

    class MemInfo(ctypes.Structure):
        _fields_ = [
            (name, ctypes.c_void_p)
            for name in ("references", "destructor", "its_argument", "data", "size", "allocator")
        ]

    allocation = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.c_uint)
    destruction = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
    rtsys.initialize(cpu_target.target_context)
    plain, alive = allocation(_nrt_python.c_helpers["MemInfo_alloc_aligned"]), {}
    sizes, broken = [], []

    @destruction
    def free(data, size, argument):
        inside, first = alive.pop(data)
        if (inside[:first] != PATTERN).any() or (inside[first + size :] != PATTERN).any():
            broken.append(size)

    @allocation
    def allocate(size, align):
        inside = _pages(size)
        first = inside.size - size if random.integers(2) else 0
        data, address = inside.ctypes.data + first, plain(0, align)
        alive[data] = inside, first
        info = MemInfo.from_address(address)
        info.data, info.size, info.destructor = data, size, ctypes.cast(free, ctypes.c_void_p).value
        sizes.append(size)
        return address

    in_numba.kept = (allocate, free)
    llvm.add_symbol("NRT_MemInfo_alloc_aligned", ctypes.cast(allocate, ctypes.c_void_p).value)
    return sizes, broken


# The Python functions that allocate the work spaces of whole-network kernels.
WORK = (
    ("network.forward", "_prepare_forward"),
    ("network.inference", "_plan"),
    ("minibatch.epoch", "workspace"),
    ("minibatch.epoch", "rates_of"),
    ("samplewise.online", "tiny_space"),
    ("samplewise.online", "sweep_space"),
    ("samplewise.tiny_many", "lanes_space"),
)


@contextlib.contextmanager
def work_spaces(memory):
    """
    Put the work spaces that Python allocates between protected pages, too.

    They are 16 elements longer than needed, so that the used part can begin at a cache line. Here it begins after all
    16, and so ends right before the protected page.
    """
    import importlib

    def guarded(allocate):
        def call(*arguments):
            found = allocate(*arguments)
            arrays = [memory.put(x, written=True) if isinstance(x, np.ndarray) else x for x in found]
            return found._make(arrays) if hasattr(found, "_make") else tuple(arrays)

        return call

    with contextlib.ExitStack() as stack:
        modules = {name: importlib.import_module(f"fastbp.kernels.{name}") for name, _ in WORK}
        for name, function in WORK:
            stack.enter_context(mock.patch.object(modules[name], function, guarded(getattr(modules[name], function))))
        for module in modules.values():
            if hasattr(module, "aligned"):
                stack.enter_context(mock.patch.object(module, "aligned", return_value=16))
        yield


def run(attacks, seed, examples, say):
    """
    Make `examples` calls of every attack, (name, function).

    Each call is announced by `say` before it is made: if the process dies, its last announcement names the attack.
    """
    sizes, broken = in_numba(np.random.default_rng(seed))
    for (name, attack), number in itertools.product(attacks, range(examples)):
        random = np.random.default_rng([seed, number, *name.encode()])
        memory = Guarded(random)
        with work_spaces(memory):
            at = f"{name}, example {number} of seed {seed}"
            attack(memory, random, lambda what, at=at: say(f"{at}: {what}"))
        memory.check()
        assert not broken, f"written outside arrays of compiled code, which have these numbers of bytes: {broken}"
    return len(sizes)
