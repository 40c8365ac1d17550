"""Numbers and dates written as text."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Of the values of a column that is taken for numbers or dates; the rest are marks such as "?" or "unknown".
MOST = 0.95
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
_FORMATS = ("ISO", *("".join(parts) for parts in itertools.product(_DAYS, ("", " %H:%M", " %H:%M:%S"))))


def _read(words: NDArray[Any], read: Callable[[str], Any], failed: Any, dtype: str) -> NDArray[Any]:
    """`read` of every text; `failed` where it raises."""
    result = np.full(len(words), failed, dtype)
    for k, word in enumerate(words):
        with contextlib.suppress(ValueError, OverflowError):
            result[k] = read(word)
    return result


def read_number(words: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers, NaN where a text is none (or is infinite)."""
    numbers = _read(words, lambda text: float(text.replace("_", "x")), np.nan, "float64")
    return np.where(np.isinf(numbers), np.nan, numbers)


def read_date(words: NDArray[Any], form: str) -> NDArray[np.datetime64]:
    """Dates in UTC, NaT where a text is not of this form."""

    def read(text: str) -> np.datetime64:
        date = datetime.fromisoformat(text) if form == "ISO" else datetime.strptime(text, form)
        return np.datetime64(date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date, "us")

    return _read(words, read, np.datetime64("NaT"), "datetime64[us]")


def date_formats(words: NDArray[Any], counts: NDArray[np.int64]) -> list[str]:
    """
    The forms in which the most of these texts are dates, if nearly all of them are, the likeliest first; `counts`: rows of each.

    Days up to the 12th do not tell day and month apart: then dates that lie closer together are likelier.
    """
    some = words[
        np.linspace(0, len(words) - 1, min(len(words), 20)).astype(int)
    ]  # nearly always enough to tell that these are no dates
    read = {form: read_date(words, form) for form in _FORMATS if not np.isnat(read_date(some, form)).all()}
    share = {form: counts[~np.isnat(dates)].sum() / counts.sum() for form, dates in read.items()}
    most = max(share.values(), default=0)
    if most < MOST:
        return []
    return sorted((form for form in read if share[form] == most), key=lambda form: _span(read[form]))


def _span(dates: NDArray[np.datetime64]) -> Any:
    there = dates[~np.isnat(dates)]
    return there.max() - there.min()
