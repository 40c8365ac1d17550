"""Sums along a fixed binary tree: the same bits, however the leaves are spread over workers and threads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

V = TypeVar("V")
# A subtree: the number of its first leaf, how many it has (a power of two that divides that number), and their sum.
Node = tuple[int, int, V]


def reduced(nodes: Iterable[Node[V]], add: Callable[[V, V], V]) -> list[Node[V]]:
    """
    Add up neighbouring leaves or subtrees as far as possible: to the largest subtrees that they fill.

    Parameters
    ----------
    nodes : iterable of Node
        In the order of their leaves, without gaps.
    add : callable
        The sum of two neighbours; need not be associative.

    Returns
    -------
    list of Node
        One, where the nodes are the whole tree.
    """
    found: list[Node[V]] = []
    for node in nodes:
        found.append(node)
        while len(found) > 1 and found[-2][1] == found[-1][1] and found[-2][0] % (2 * found[-1][1]) == 0:
            _, count, right = found.pop()
            first, _, left = found.pop()
            found.append((first, 2 * count, add(left, right)))
    return found


def total(nodes: Iterable[Node[V]], add: Callable[[V, V], V]) -> V:
    """The sum of the whole tree."""
    ((_, _, value),) = reduced(nodes, add)
    return value
