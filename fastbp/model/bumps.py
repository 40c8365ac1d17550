"""`bumps`: a function of one number as a sum of bumps, each made by two logistic units (L10); built, not trained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import checks
from .network import Network

# Steepness times the width of a bump. Steeper: the sum becomes a staircase. Flatter: the bumps merge, and edges blur.
SHARPNESS = 6.0
FAR = 40.0  # logistic(40) is 1 in float64
SHORTEST = 1e-300  # narrower bumps would be too steep for float64


def bumps(f: Callable[[Any], Any], n: int, interval: Sequence[float] = (0.0, 1.0)) -> Network:
    """
    Construct, without training, a network that approximates `f` on `interval` by `n` bumps (lecture L10).

    Parameters
    ----------
    f : callable
        From a number to a number. It is called for one number at a time.
    n : int
        Number of bumps, at least 1.
    interval : (float, float)
        The ends of the interval on which `f` is approximated.

    Returns
    -------
    Network
        One input, 2n logistic units, two per bump, from left to right, and one identity output; float64.

    Raises
    ------
    ValueError
        An invalid argument, or values of `f` that are not finite numbers.

    Notes
    -----
    The interval is cut into n pieces of width w. The height of bump k is f in the middle c_k of its piece::

        f(x) ~ sum_k f(c_k) (logistic(s (x - l_k)) - logistic(s (x - r_k))),  s = 6 / w

    l_k and r_k are the ends of the piece; a bump rises where the one before it falls. The two outermost ends lie far
    outside the interval, so that the units are saturated on it: else the sum would have half its height at the ends.

    The error falls like 1/n. Measured on [0, 1], with 10 and with 160 bumps:

    ==========================  ===============  ===================
    f                           largest error    mean absolute error
    ==========================  ===============  ===================
    sin(2 π x)                  0.310 and 0.020  0.0437 and 0.0013
    exp(x)                      0.133 and 0.009  0.0124 and 0.0006
    step from 0 to 1 at 0.437   0.902 and 0.618  0.0404 and 0.0015
    ==========================  ===============  ===================

    The largest error at a jump never falls below half of it, as a sum of bumps is continuous; but it is large only over
    two or three bumps. The error for a smooth function is largest at the ends, where the sum is flat.

    Examples
    --------
    >>> import fastbp
    >>> net = fastbp.bumps(lambda x: x * x, 100)
    >>> net.predict([[0.3], [0.7]]).round(2)
    array([0.09, 0.49])
    """
    n = checks.integer("n", n, 1)
    start, end = read_interval(interval)
    width = (end - start) / n
    if width < max(np.spacing(max(abs(start), abs(end))), SHORTEST):
        raise ValueError(f"interval: expected one that float64 can cut into {n} pieces, got {interval!r}")
    steepness = SHARPNESS / width
    edges = start + width * np.arange(n + 1)
    heights = evaluate(f, edges[:-1] + width / 2)
    edges[0] -= FAR / steepness
    edges[-1] += FAR / steepness
    pairs = np.column_stack([edges[:-1], edges[1:]]).ravel()
    factors = np.column_stack([heights, -heights]).ravel()
    params = np.concatenate([np.full(2 * n, steepness), -steepness * pairs, factors, [0.0]])
    options = {
        "task": "regression",
        "hidden": [2 * n],
        "activation": ["logistic"],
        "output": "identity",
        "loss": "squared_error",
        "epochs": 0,
        "init": "bumps",
        "interval": [start, end],
        "dtype": "float64",
    }
    return Network(
        task="regression",
        sizes=(1, 2 * n, 1),
        layer_activations=("logistic", "identity"),
        loss="squared_error",
        params=params,
        x_mean=np.zeros(1),
        x_scale=np.ones(1),
        y_mean=np.zeros(1),
        y_scale=np.ones(1),
        options=options,
    )


def read_interval(interval: Sequence[float]) -> tuple[float, float]:
    """The two ends of `interval`, checked."""
    try:
        start, end = (checks.real("interval", value) for value in interval)
    except (TypeError, ValueError):
        start, end = 0.0, 0.0
    if not (start < end and math.isfinite(end - start)):
        raise ValueError(f"interval: expected two finite numbers, the first below the second, got {interval!r}")
    return start, end


def evaluate(f: Callable[[Any], Any], x: NDArray[Any]) -> NDArray[np.float64]:
    """Values of `f` at each number of `x`, checked to be finite numbers."""
    if not callable(f):
        raise ValueError(f"f: expected a function of one number, got {f!r}")
    y = checks.numeric("f", [f(number) for number in x]).astype(np.float64)
    if y.shape != x.shape:
        raise ValueError(f"f: expected one number for a number, got values of shape {y.shape[1:]}")
    wrong = np.flatnonzero(~np.isfinite(y))
    if len(wrong):
        raise ValueError(f"f: expected finite numbers, got {y[wrong[0]]} at {x[wrong[0]]}")
    return y
