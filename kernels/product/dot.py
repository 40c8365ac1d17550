"""The dot product of two vectors."""

from __future__ import annotations

from ..compiler.assembler import Assembler
from ..compiler.jit import njit
from ..compiler.routine import routine
from ..compiler.values import Address, Float, Integer

# Sums that run side by side: the same number on every processor.
SUMS = 16


@routine("iaa", result="s", lanes=SUMS)
def products_summed(v: Assembler, count: Integer, x: Address, y: Address) -> Float:
    """Return sum x_i y_i of `count` numbers."""
    whole, total = v.round_down(count, v.lanes), [v.const(0)]
    for i in v.range(0, whole, v.lanes, carry=total):
        total[0] = v.fma(x[i], y[i], total[0])
    for i in v.range(whole, count, v.lanes, carry=total):
        mask = v.first(count - i)
        total[0] = v.fma(x[i, mask], y[i, mask], total[0])
    return v.sum(total[0])


@njit
def dot(x, y):
    """
    Dot product sum x_i y_i, with the same bits on every processor. Unchecked.

    Parameters
    ----------
    x, y : contiguous arrays of one dtype, shape (n,)
    """
    return products_summed(x.size, x, 0, y, 0)
