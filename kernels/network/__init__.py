"""Whole networks: forward passes, predictions, and epochs."""
