"""
Bayesian regularisation: the data themselves decide how strongly weights are kept small.

Weights have a prior with precision alpha, one for the weights and one for the biases of each layer; the targets have
noise of precision beta. Levenberg-Marquardt finds the most probable weights; then alpha and beta become those under
which the data are most probable, by the effective number gamma of well determined parameters (MacKay, "A practical
Bayesian framework for backpropagation networks", 1992; Foresee and Hagan, "Gauss-Newton approximation to Bayesian
learning", 1997):

gamma = sum_i (1 - alpha_i (H^-1)_ii), alpha = gamma / sum w^2, beta = (residuals - gamma) / sum e^2,
H = beta sum J^T J + diag(alpha).
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastbp.kernels.internal import cholesky, cholesky_inverse, factor_memory

from .levenberg_marquardt import Damping, LevenbergMarquardt
from .levenberg_marquardt import initial_state as damping_state
from .objective import Objective

Array = NDArray[Any]
# decay = alpha / (beta n) at first, and its bounds.
FIRST, LEAST, MOST = 1e-4, 1e-12, 1e6
# The evidence is estimated anew once a step lowers the cost by less than this share, or after so many steps.
SETTLED, PATIENCE = 1e-3, 25
# The run has converged when so many estimates in a row changed gamma by less than this share of itself.
SAME, REPEATED = 1e-3, 3


def groups(sizes: tuple[int, ...]) -> NDArray[np.int64]:
    """The number of the prior of each parameter."""
    parts = []
    for l, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        parts += [np.full(n_in * n_out, 2 * l), np.full(n_out, 2 * l + 1)]
    return np.concatenate(parts)


def initial_state(damping: Damping, sizes: tuple[int, ...]) -> list[Array]:
    """The state of Levenberg-Marquardt; decay of each group; gamma, beta, steps since they were estimated, repeats."""
    count = 2 * (len(sizes) - 1)
    return [*damping_state(damping), np.full(count, FIRST), np.array([math.nan, math.nan, 0.0, 0.0])]


class Bayesian(LevenbergMarquardt):
    """
    A step of Levenberg-Marquardt at a time, and now and then new estimates of alpha and beta.

    Parameters
    ----------
    objective : Objective
        Its decay becomes alpha / (beta n).
    params, state, damping
        As for `LevenbergMarquardt`.
    tolerance : float
        The run has converged when three estimates in a row hardly changed gamma, after steps that lowered the cost by
        less than this share.
    noisy : bool
        Whether beta is estimated; else, for log-loss, it is 1.
    """

    takes_rows = False

    def __init__(
        self, objective: Objective, params: Array, state: list[Array], damping: Damping, tolerance: float, noisy: bool
    ) -> None:
        self.group, self.decays, self.estimates = groups(objective.net.sizes), state[1], state[2]
        objective.decay[:] = self.decays[self.group]
        super().__init__(objective, params, state, damping, -math.inf)
        self.noisy, self.least_fall, self.root = noisy, tolerance, factor_memory(len(params))

    def step(self) -> None:
        """One step, and new estimates where it is time."""
        before = self.loss + self.objective.penalty(self.params)
        super().step()
        fall = before - self.loss - self.objective.penalty(self.params)
        self.estimates[2] += 1
        if fall <= SETTLED * before or self.estimates[2] >= PATIENCE:
            gamma = self.estimates[0]
            self._estimate()
            same = abs(self.estimates[0] - gamma) <= SAME * gamma and fall <= self.least_fall * before
            self.estimates[3] = self.estimates[3] + 1 if same else 0
            self.finished = "converged" if self.estimates[3] >= REPEATED else None
        gamma, beta = self.estimates[:2].tolist()
        self.measures |= {"effective_parameters": gamma, "noise_precision": beta}

    def _estimate(self) -> None:
        """New alpha and beta, with the present weights."""
        objective, params, count = self.objective, self.params, len(self.decays)
        self.estimates[2] = 0
        if not self._invert(self.normal()[0]):
            return
        # (H^-1)_ii beta n
        variance = np.square(self.root[:, : len(params)]).sum(axis=1)
        number = np.bincount(self.group, minlength=count)
        gamma = np.clip(number - self.decays * np.bincount(self.group, variance, count), 1e-6, number)
        squares = np.bincount(self.group, np.square(params, dtype=np.float64), count)
        beta = 1.0
        if self.noisy:
            beta = max(objective.residuals - gamma.sum(), 1e-3) / max(2 * objective.n * self.loss, 1e-300)
        self.decays[:] = np.clip(gamma / np.maximum(squares, 1e-300) / (beta * objective.n), LEAST, MOST)
        objective.decay[:] = self.decays[self.group]
        self.estimates[:2] = gamma.sum(), beta

    def _invert(self, matrix: Array) -> bool:
        """Write V to `root`, where V V^T is the inverse of J^T J / n + decay; whether it exists."""
        if not cholesky(matrix, self.objective.decay, self.factor):
            return False
        cholesky_inverse(self.factor, self.root)
        return True

    def posterior(self, params: Array) -> tuple[Array, float] | None:
        """R, upper triangular, with the covariance R R^T of the weights around these; and the variance of the noise."""
        if math.isnan(self.estimates[0]):  # too few steps for an estimate
            self._estimate()
        gamma, beta = self.estimates[:2].tolist()
        if math.isnan(gamma) or not self._invert(self.objective.normal(params)[0]):
            return None
        return self.root[:, : len(params)] / math.sqrt(beta * self.objective.n), 1 / beta
