"""Activation functions and their derivatives (lecture L7)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

import fastbp.kernels as kernels

from .. import checks, options
from . import style

LIMIT = 5.0  # of z, on both sides


def activations(names: Sequence[str] = ("logistic", "tanh", "relu"), ax: Any = None) -> Any:
    """
    Activation functions f and their derivatives f', side by side (lecture L7), as the kernels compute them.

    Parameters
    ----------
    names : sequence of str
        Activations, such as "logistic", "tanh" and "relu".
    ax : array of matplotlib axes, optional
        One for each of `names`.

    Returns
    -------
    array of matplotlib axes, shape (number of names,) or that of `ax`

    Raises
    ------
    ValueError
        An unknown name, no name, or another number of axes.
    """
    names = [checks.one_of("names", name, options.ELEMENTWISE) for name in names]
    if not names:
        raise ValueError(f"names: expected at least one of {', '.join(map(repr, options.ELEMENTWISE))}, got none")
    axes = style.row_of_axes(ax, len(names))
    z = np.linspace(-LIMIT, LIMIT, 501)[:, None]
    a, slope = np.empty_like(z), np.empty_like(z)
    for one, name in zip(axes.flat, names, strict=True):
        kernels.activation_forward(kernels.ACTIVATIONS[name], z, a)
        code = kernels.ACTIVATIONS[name]
        kernels.activation_derivative(code, z if kernels.takes_input(code) else a, slope)
        one.plot(z, a, color=style.BLUE, linewidth=2, label="f(z)")
        one.plot(z, slope, color=style.VERMILION, linewidth=2, linestyle="--", label="f'(z)")
        one.axhline(0, color="0.6", linewidth=0.8, zorder=0)
        one.axvline(0, color="0.6", linewidth=0.8, zorder=0)
        one.set(title=name, xlabel="z")
        one.legend(loc="upper left")
    return axes
