"""Numbers and dates written as text."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A column is read as numbers or dates if this share of its values can be; the rest are marks such as "?" or "unknown".
MOST = 0.95
_DAYS = ("%m/%d/%Y", "%d/%m/%Y", "%d.%m.%Y", "%Y/%m/%d", "%d-%m-%Y", "%d %b %Y", "%b %d, %Y", "%d %B %Y", "%B %d, %Y")
_FORMATS = ("ISO", *("".join(parts) for parts in itertools.product(_DAYS, ("", " %H:%M", " %H:%M:%S"))))


def _read(words: NDArray[Any], read: Callable[[str], Any], failed: Any, dtype: str) -> NDArray[Any]:
    """`read` of every text; `failed` if it raises."""
    result = np.full(len(words), failed, dtype)
    for k, word in enumerate(words):
        with contextlib.suppress(ValueError, OverflowError):
            result[k] = read(word)
    return result


def read_number(words: NDArray[Any]) -> NDArray[np.float64]:
    """Numbers, NaN if a text is not a finite number."""
    numbers = _read(words, lambda text: float(text.replace("_", "x")), np.nan, "float64")
    return np.where(np.isinf(numbers), np.nan, numbers)


def read_date(words: NDArray[Any], date_format: str) -> NDArray[np.datetime64]:
    """Dates in UTC, NaT if a text does not have this format."""

    def read(text: str) -> np.datetime64:
        date = datetime.fromisoformat(text) if date_format == "ISO" else datetime.strptime(text, date_format)
        return np.datetime64(date.astimezone(UTC).replace(tzinfo=None) if date.tzinfo else date, "us")

    return _read(words, read, np.datetime64("NaT", "us"), "datetime64[us]")


def date_formats(words: NDArray[Any], counts: NDArray[np.int64]) -> list[str]:
    """
    The formats that read most of these texts as dates, likeliest first; none if they do not read nearly all of them.

    `counts` are the rows that have each text. Up to the 12th, day and month could be exchanged; then the format whose
    dates lie closer together is likelier.
    """
    # A sample of 20 is nearly always enough to see that these are not dates.
    sample = words[np.linspace(0, len(words) - 1, min(len(words), 20)).astype(int)]
    if not any(map(str.isdigit, "".join(sample))):  # to try all formats takes milliseconds
        return []
    possible = [one for one in _FORMATS if not np.isnat(read_date(sample, one)).all()]
    dates = {one: read_date(words, one) for one in possible}
    share = {one: counts[~np.isnat(dates[one])].sum() / counts.sum() for one in possible}
    most = max(share.values(), default=0)
    if most < MOST:
        return []
    return sorted((one for one in possible if share[one] == most), key=lambda one: _span(dates[one]))


def _span(dates: NDArray[np.datetime64]) -> Any:
    present = dates[~np.isnat(dates)]
    return present.max() - present.min()
