"""Random choices driven by the bytes of a fuzzer, with the part of NumPy's Generator that `hostile` uses."""

import struct

import numpy as np


class Draws:
    """
    Numbers read from bytes; zeros when they are used up, so that short inputs are simple cases.

    Parameters
    ----------
    data : bytes
    """

    def __init__(self, data):
        self.data, self.at = data, 0

    def bytes(self, count):
        found = self.data[self.at : self.at + count]
        self.at += count
        return found + bytes(count - len(found))

    def integers(self, low, high=None, size=None):
        if size is not None:
            return [self.integers(low, high) for _ in range(size)]
        low, high = (0, int(low)) if high is None else (int(low), int(high))
        count = max(1, ((high - low - 1).bit_length() + 7) // 8)
        return low + int.from_bytes(self.bytes(count), "little") % max(1, high - low)

    def random(self):
        return self.integers(1 << 16) / (1 << 16)

    def choice(self, values):
        return np.asarray(values[self.integers(len(values))])[()]

    def one_of(self, values):
        """As `choice`, the Python object itself."""
        return values[self.integers(len(values))]

    def number(self):
        """Any float64."""
        return struct.unpack("<d", self.bytes(8))[0]
