"""Columns of a file whose numbers are not written plainly, such as 1.234,50 €, become numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from . import numerals
from .formats import Format
from .numerals import PLAIN, Form

if TYPE_CHECKING:
    import pandas as pd


# Cells of a column that are looked at first: most text shows by these that it is no number.
FIRST = 20


class Numbers:
    """
    Reads numbers written as text; what one piece of a file shows holds for the next.

    Attributes
    ----------
    decimal : str or None
        The decimal mark of the file, as far as it is known.
    forms : dict of str to Form
        How the numbers of columns are written that are not plain ones.
    """

    def __init__(self, path: str, chosen: Format, delimiter: str) -> None:
        self.path, self.chosen, self.delimiter = path, chosen, delimiter
        self.decimal = chosen.decimal
        self.forms: dict[str, Form] = {}

    @property
    def every_column(self) -> bool:
        """Whether even numbers that look plain must be read as text first: 1.234 may be a thousand."""
        return self.delimiter == ";" or self.decimal == "," or self.chosen.thousands == "."

    def read(self, frame: pd.DataFrame, texts: Mapping[str, pd.Series[Any]], pandas: Any) -> None:
        """Replace, in place, columns of the frame whose cells, given as text, are numbers that are not plain."""
        some = {name: column.iloc[:FIRST].dropna().astype(str).tolist() for name, column in texts.items()}
        texts = {name: column for name, column in texts.items() if not some[name] or numerals.forms(some[name])}
        cells = {name: pandas.factorize(column.astype(object)) for name, column in texts.items()}
        words = {name: [str(word) for word in distinct] for name, (_, distinct) in cells.items()}
        possible = {name: self._possible(name, some) for name, some in words.items()}
        self._decide(frame, words, possible)
        for name, (codes, _) in cells.items():
            form = self._form(name, possible[name])
            if form is not None and form != PLAIN:
                self.forms[name] = form
                frame[name] = np.append(form.read(words[name]), np.nan)[codes]

    def _possible(self, name: str, words: list[str]) -> list[Form]:
        """Forms in which all of these texts are numbers, as far as the user allows them."""
        known = self.forms.get(name)
        if known is not None and not np.isnan(known.read(words)).any():
            return [known]
        decimal, thousands = self.chosen.decimal, self.chosen.thousands
        found = [form for form in numerals.forms(words) if decimal in (None, form.decimal)]
        if thousands is None:
            return found
        return [form for form in found if form.thousands in ("", thousands) and form.decimal != thousands]

    def _decide(self, frame: pd.DataFrame, words: Mapping[str, list[str]], possible: Mapping[str, list[Form]]) -> None:
        """Find the decimal mark of the file from columns that leave no doubt."""
        shown = {}
        for name, forms in possible.items():
            marks = {form.decimal for form in forms}
            if len(marks) == 1 and any("." in word or "," in word for word in words[name]):
                shown[marks.pop()] = name
        for name in frame.columns.difference(list(words)):
            if frame[name].dtype.kind == "f" and (frame[name] % 1 > 0).any():
                shown["."] = name
        if self.decimal is None and len(shown) > 1:
            listed = " and ".join(f"{mark!r} in column {name!r}" for mark, name in sorted(shown.items()))
            raise ValueError(f"{self.path}: fractions seem to begin with {listed}; say which with --decimal")
        if self.decimal is None and shown:
            self.decimal = next(iter(shown))

    def _form(self, name: str, possible: list[Form]) -> Form | None:
        """The form of a column; None if it is no number."""
        fitting = [form for form in possible if self.decimal in (None, form.decimal)]
        if len(fitting) < 2:
            return fitting[0] if fitting else None
        if fitting[0] == PLAIN and (self.decimal == "." or self.delimiter != ";"):
            return PLAIN
        listed = " or ".join(str(form) for form in fitting)
        where = f"the numbers in column {name!r} may be written as {listed}"
        raise ValueError(f"{self.path}: {where}; say which with --decimal or --thousands")
