"""The dot product of two vectors."""

from __future__ import annotations

from collections.abc import Callable

from ..compiler.assembler import Assembler
from ..compiler.jit import njit
from ..compiler.routine import routine
from ..compiler.values import Address, Float, Integer, Mask

# Sums that run side by side: the same number on every processor.
SUMS = 16


def summed(v: Assembler, count: Integer, zero: Float, add: Callable[[Integer, Mask | None, Float], Float]) -> Float:
    """The sum of `count` terms, a sum a lane: `add(i, mask, total)` adds those from i on to a vector of sums."""
    whole, total = v.round_down(count, v.lanes), [zero]
    for i in v.range(0, whole, v.lanes, carry=total):
        total[0] = add(i, None, total[0])
    for i in v.range(whole, count, v.lanes, carry=total):
        total[0] = add(i, v.first(count - i), total[0])
    return v.sum(total[0])


@routine("iaa", result="s", lanes=SUMS)
def products_summed(v: Assembler, count: Integer, x: Address, y: Address) -> Float:
    """Return sum x_i y_i of `count` numbers."""
    return summed(v, count, v.const(0), lambda i, mask, total: v.fma(x[i, mask], y[i, mask], total))


@njit
def dot(x, y):
    """
    Dot product sum x_i y_i, with the same bits on every processor. Unchecked.

    Parameters
    ----------
    x, y : contiguous arrays of one dtype, shape (n,)
    """
    return products_summed(x.size, x, 0, y, 0)
