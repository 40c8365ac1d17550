"""`cached_property` without a lock."""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

T = TypeVar("T")


class cached_property(functools.cached_property[T]):  # noqa: N801 - takes the place of another
    """
    As `functools.cached_property` is from Python 3.12 on: two threads may compute the value twice.

    Before, they do it under a lock, and a process that is forked meanwhile finds it locked for ever.
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)
        self.lock = nullcontext()
