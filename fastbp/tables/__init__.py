"""Turns real-world tables (files and frames with text, dates and missing values) into numbers for a network."""

from .columns import Columns, inputs, opened, plain_columns, text_names
from .hints import TableWarning

__all__ = ["Columns", "TableWarning", "inputs", "opened", "plain_columns", "text_names"]
