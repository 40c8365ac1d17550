"""How uncertain weights are, and so predictions: the posterior of Bayesian regularisation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastbp.kernels as kernels

from .. import checks
from ..options import Architecture
from ..runtime.lazy import cached_property

Array = NDArray[Any]
# Bytes of the Jacobian of the rows that are looked at together.
HELD = 1 << 24


@dataclass(frozen=True, eq=False)
class Posterior:
    """
    Gaussian around the weights of a network.

    Attributes
    ----------
    root : float64 array, shape (P (P + 1) / 2,)
        Rows of an upper triangular matrix R, from the diagonal on: R R^T is the covariance of the weights.
    noise : float
        Variance of the noise in the targets, as the network sees them.
    """

    root: Array
    noise: float

    @classmethod
    def of(cls, R: Array, noise: float) -> Posterior:
        """From R as a matrix."""
        return cls(checks.frozen(R[np.triu_indices(len(R))]), noise)

    @property
    def parameters(self) -> int:
        """P."""
        return (math.isqrt(8 * len(self.root) + 1) - 1) // 2

    @cached_property
    def matrix(self) -> Array:
        """R as a matrix."""
        P = self.parameters
        R = np.zeros((P, P))
        R[np.triu_indices(P)] = self.root
        return R

    def variance(self, net: Architecture, params: Array, X: Array) -> Array:
        """
        Variance of each output around its prediction, without the noise: g^T R R^T g, where g = dyhat/dw.

        Parameters
        ----------
        net, params
        X : C-contiguous array of the dtype of params, shape (n, inputs)
            Standardised inputs.

        Returns
        -------
        array, shape (n, outputs)
        """
        n, outputs, P = len(X), net.sizes[-1], len(params)
        found = np.empty((n, outputs))
        step = max(1, HELD // (8 * P * outputs))
        for first in range(0, n, step):
            rows = X[first : first + step]
            J = np.empty((len(rows), outputs, P), params.dtype)
            kernels.jacobian(rows, net.size_array, net.activation_codes, params, J)
            spread = np.empty((len(rows) * outputs, P))
            kernels.matmul(J.reshape(-1, P).astype(np.float64, copy=False), self.matrix, spread)
            found[first : first + step] = np.square(spread).sum(axis=1).reshape(len(rows), outputs)
        return found


class Intervals:
    """Intervals of predictions: what `Network` inherits."""

    def predict_interval(
        self: Any, X: ArrayLike, level: float = 0.95, noise: bool = True
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """
        Interval in which a target lies with this probability, from the uncertainty of weights and the noise.

        Of networks for regression with ``optimizer="bayesian"``.

        Parameters
        ----------
        X : array-like or frame, shape (n, features)
        level : float
            The probability, between 0 and 1.
        noise : bool
            Whether the interval is that of a new target; without the noise, it is that of its mean.

        Returns
        -------
        low, high : array, shape (n,) or (n, outputs)
            Around `predict`, in the units of the targets.

        Raises
        ------
        ValueError
            The network has no posterior; the message says what has.

        Notes
        -----
        yhat -+ q sqrt(1/beta + g^T H^-1 g), where g = dyhat/dw: the network is taken as linear in its weights near the
        most probable ones, whose covariance is H^-1 (MacKay, 1992). Far from the training samples it may be too small.
        """
        reach = quantile(level) * np.sqrt(self._variance(X, checks.boolean("noise", noise)))
        centre = self.predict(X)
        reach = reach.reshape(centre.shape)
        return centre - reach, centre + reach

    def _variance(self: Any, X: ArrayLike, noise: bool) -> Array:
        """Variance of a target, or of its mean, around its prediction, in the units of the targets."""
        if self.posterior is None or self.task != "regression":
            got = f"{self.task} with {self.options.get('optimizer', 'another')!r}"
            raise ValueError(f"predict_interval: expected regression with optimizer='bayesian', got {got}")
        found = self.posterior.variance(self.architecture, self.params, self._inputs(X))
        return (found + noise * self.posterior.noise) * np.square(self.y_scale)


def quantile(level: Any) -> float:
    """How many standard deviations an interval with this probability reaches to each side."""
    return NormalDist().inv_cdf(0.5 + checks.real("level", level, above=0, below=1) / 2)
