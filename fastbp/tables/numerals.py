"""Numbers as people write them: with decimal commas, thousands separators, currency signs and per cent."""

from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# What may stand before or after every number of a column, and what may separate thousands.
_SIGNS = ("$", "€", "£", "¥", "₹", "EUR", "USD", "GBP", "CHF", "JPY", "%")
_SPACES = str.maketrans({"\u00a0": " ", "\u202f": " ", "\u2009": " ", "’": "'", "\u2212": "-"})
DECIMALS, THOUSANDS = (".", ","), (",", ".", " ", "'")


@dataclass(frozen=True)
class Form:
    """
    How numbers are written.

    Attributes
    ----------
    decimal : str
        Before the fraction: "." or ",".
    thousands : str
        Between groups of three digits; "" if there is none.
    sign : str
        A currency sign or "%" before or after each number; the number is what it would be without the sign.
    """

    decimal: str = "."
    thousands: str = ""
    sign: str = ""

    def __str__(self) -> str:
        group = self.thousands
        return f"1{group}234{self.decimal}5" + (f" {self.sign}" if self.sign else "")

    def read(self, words: NDArray[np.object_] | Sequence[str]) -> NDArray[np.float64]:
        """The numbers, NaN where a text is not a number of this form."""
        pattern, found = _pattern(self.decimal, self.thousands), np.full(len(words), np.nan)
        for k, word in enumerate(words):
            text = _without(word.translate(_SPACES).strip(), self.sign)
            if text is not None and pattern.fullmatch(text):
                text = text.replace(self.thousands, "") if self.thousands else text
                found[k] = float(text.replace(self.decimal, "."))
        return np.where(np.isinf(found), np.nan, found)


PLAIN = Form()


def is_form(marks: Sequence[str]) -> bool:
    """Whether these are a decimal mark, a thousands separator and a sign."""
    return len(marks) == 3 and marks[0] in DECIMALS and marks[1] in ("", *THOUSANDS) and marks[2] in ("", *_SIGNS)


@functools.cache
def _pattern(decimal: str, thousands: str) -> re.Pattern[str]:
    whole = rf"(?:[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+|\d+)" if thousands else r"\d+"
    point = re.escape(decimal)
    return re.compile(rf"[+-]?(?:{whole}(?:{point}\d*)?|{point}\d+)(?:[eE][+-]?\d+)?")


def _without(text: str, sign: str) -> str | None:
    """The text without its sign; None if it has none."""
    if not sign:
        return text
    minus = text[:1] in "+-" and text[:1]
    rest = text[1:].lstrip() if minus else text
    if rest.startswith(sign):
        return (minus or "") + rest[len(sign) :].lstrip()
    return text[: -len(sign)].rstrip() if text.endswith(sign) else None


def forms(words: Sequence[str]) -> list[Form]:
    """
    The forms in which all of these texts are numbers; of those that give the same numbers, the first.

    None if one of the texts has no digit. There are two if it cannot be told whether 1,234 is a thousand or one and a
    fraction.
    """
    words = [word.strip() for word in words]
    if not words or not all(any(map(str.isdigit, word)) for word in words[:: max(1, len(words) // 20)]):
        return []
    text = words[0].translate(_SPACES)
    sign = next((sign for sign in _SIGNS if text.startswith(sign) or text.endswith(sign)), "")
    if not sign and text[:1] in "+-":
        sign = next((sign for sign in _SIGNS if text[1:].lstrip().startswith(sign)), "")
    found: list[tuple[Form, NDArray[np.float64]]] = []
    for decimal, thousands in itertools.product(DECIMALS, ("", *THOUSANDS)):
        form = Form(decimal, thousands, sign)
        if decimal == thousands or np.isnan(form.read(words[:20])).any():
            continue
        numbers = form.read(words)
        if not np.isnan(numbers).any() and not any(np.array_equal(numbers, other) for _, other in found):
            found.append((form, numbers))
    return [form for form, _ in found]


def only_form(words: Sequence[str]) -> Form | None:
    """The form in which all of these texts are numbers, if there is no doubt which."""
    found = forms(words)
    return found[0] if len(found) == 1 else None
