"""Turns real-world tables (files and frames with text, dates and missing values) into numbers for a network."""

from .arguments import inputs, named_by_text, opened, read, text_names
from .columns import Columns, difference, plain_columns
from .encoded import Encoded
from .encoders import Category, Number
from .frames import TableWarning
from .unread import Unread, gathered, message, strict

__all__ = [
    "Category",
    "Columns",
    "Encoded",
    "Number",
    "TableWarning",
    "Unread",
    "difference",
    "gathered",
    "inputs",
    "message",
    "named_by_text",
    "opened",
    "plain_columns",
    "read",
    "strict",
    "text_names",
]
