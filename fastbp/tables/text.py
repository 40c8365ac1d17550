"""Numbers and dates written as text."""

from __future__ import annotations

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


def _each_once(values: NDArray[Any], read: Callable[[str], Any], failed: Any, dtype: str) -> NDArray[Any]:
    """`read` of every text, each different one read once; `failed` where it raises, and where there is no text."""
    known: dict[str | None, Any] = {None: failed}
    for text in set(values.tolist()) - {None}:
        try:
            known[text] = read(text)
        except (ValueError, OverflowError):
            known[text] = failed
    return np.array([known[text] for text in values.tolist()], dtype)


def read_number(values: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers, NaN where a text is none (or is infinite)."""
    numbers = _each_once(values, lambda text: float(text.replace("_", "x")), np.nan, "float64")
    return np.where(np.isinf(numbers), np.nan, numbers)


def read_date(values: NDArray[Any], form: str) -> NDArray[np.datetime64]:
    """Dates in UTC, NaT where a text is not of this form."""

    def read(text: str) -> np.datetime64:
        date = datetime.fromisoformat(text) if form == "ISO" else datetime.strptime(text, form)
        return np.datetime64(date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date, "us")

    return _each_once(values, read, np.datetime64("NaT"), "datetime64[us]")


def date_formats(values: NDArray[Any]) -> list[str]:
    """
    The forms in which the most texts are dates, if nearly all of them are, the likeliest first.

    Days up to the 12th do not tell day and month apart: then dates that lie closer together are likelier.
    """
    texts = values[[v is not None for v in values]]
    some = texts[np.linspace(0, len(texts) - 1, min(len(texts), 20)).astype(int)]  # nearly always enough to tell that these are no dates
    read = {form: read_date(texts, form) for form in _FORMATS if _share(read_date(some, form)) > 0.5}
    most = max(map(_share, read.values()), default=0)
    if most < MOST:
        return []
    return sorted((form for form in read if _share(read[form]) == most), key=lambda form: _span(read[form]))


def _share(dates: NDArray[np.datetime64]) -> float:
    return float(np.mean(~np.isnat(dates)))


def _span(dates: NDArray[np.datetime64]) -> Any:
    there = dates[~np.isnat(dates)]
    return there.max() - there.min()
