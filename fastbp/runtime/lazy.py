"""`cached_property` without a lock."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

T = TypeVar("T")


class cached_property(functools.cached_property[T]):  # noqa: N801 - replaces the one in functools
    """
    As `functools.cached_property` since Python 3.12: two threads may both compute the value.

    Before 3.12, it has a lock; a process that is forked while another thread holds the lock waits forever.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = nullcontext()
