"""Turns real-world tables (files and frames with text, dates and missing values) into numbers for a network."""

from .arguments import inputs, opened, read, text_names
from .columns import Columns, difference, plain_columns
from .encoded import Encoded
from .encoders import Category, Number
from .hints import TableWarning

__all__ = [
    "Category",
    "Columns",
    "Encoded",
    "Number",
    "TableWarning",
    "difference",
    "inputs",
    "opened",
    "plain_columns",
    "read",
    "text_names",
]
