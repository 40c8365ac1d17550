"""
Levenberg-Marquardt: Gauss-Newton steps, damped as far as they miss what they promise.

Near the weights w, the loss is taken as a sum of squares with the Jacobian J and the gradient g. A step solves
(J^T J + decay + damping I) step = -g. How much of the promised decrease it brings, its gain, decides on the next
damping (Nielsen, "Damping parameter in Marquardt's method", 1999): so few steps fail, and a failed one costs no new
Jacobian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels
from fastbp.kernels.internal import cholesky, cholesky_solve, factor_memory

from .convergence import STEPS, ZERO, Falling
from .objective import Objective, dot, length, product

Array = NDArray[Any]
# Damping does not fall below this.
LEAST = 1e-20


@dataclass(frozen=True)
class Damping:
    """
    How damping begins and changes.

    Attributes
    ----------
    first : float
    up : float
        Its factor after a step that failed; twice as high after each further one in a row.
    down : float
        It is divided by this at most, after a step that brought what it promised.
    limit : float
        The run ends where no step succeeds up to this damping.
    """

    first: float
    up: float
    down: float
    limit: float


def initial_state(damping: Damping) -> list[Array]:
    """Damping, its factor after a failure, and the costs of the last steps."""
    return [np.concatenate([[damping.first, damping.up], Falling.empty()])]


class LevenbergMarquardt:
    """
    A step at a time.

    Parameters
    ----------
    objective : Objective
    params : array, shape (P,)
        Updated in place.
    state : list of array
        See `initial_state`; updated in place.
    damping : Damping
    tolerance : float
        The run has converged when ten steps lowered the cost by less than this share.

    Attributes
    ----------
    loss, correct : float
        With the present parameters, without the penalty.
    measures : dict
        Damping and norm of the gradient, of the last step.
    finished : str or None
        Why no further step should be taken.
    """

    takes_rows = True  # instead of J^T J, where J has fewer rows than columns

    def __init__(
        self, objective: Objective, params: Array, state: list[Array], damping: Damping, tolerance: float
    ) -> None:
        self.objective, self.params, self.damping, self.tolerance = objective, params, damping, tolerance
        self.level, self.falling = state[0][:2], Falling(state[0][2 : 2 + STEPS])
        self.loss, self.correct = objective.loss(params)
        self.measures: dict[str, float] = {}
        self.finished: str | None = None
        self._normal: tuple[Array, Array] | None = None
        # Where there are fewer residuals than weights, J J^T is smaller than J^T J.
        self.few = self.takes_rows and objective.residuals < len(params)
        self.factor = factor_memory(objective.residuals if self.few else len(params))

    def normal(self) -> tuple[Array, Array]:
        """The Gauss-Newton matrix and the gradient of the loss with the present parameters."""
        if self._normal is None:
            self._normal = self.objective.normal(self.params)
        return self._normal

    def step(self) -> None:
        """One step, with as much damping as it takes; `finished` is set if there is none."""
        objective, params, level = self.objective, self.params, self.level
        system: _RowSystem | _NormalSystem = _RowSystem(self) if self.few else _NormalSystem(self)
        gradient = system.gradient
        norm = length(gradient)
        self.measures = {"damping": float(level[0]), "gradient_norm": norm}
        if norm <= ZERO:
            self.finished = "converged"
            return
        cost = self.loss + objective.penalty(params)
        while True:
            step = system.solve(float(level[0]))
            if step is not None:
                trial = (params + step).astype(params.dtype)
                loss, correct = objective.loss(trial)
                now = loss + objective.penalty(trial)
                # 1/2 step (damping step - g) is what the quadratic model promises
                promised = 0.5 * dot(step, level[0] * step - gradient)
                if now < cost and promised > 0:
                    gain = (cost - now) / promised
                    agreement = 2 * gain - 1
                    less = max(1 / self.damping.down, 1 - agreement * agreement * agreement)
                    level[0] = max(LEAST, level[0] * less)
                    level[1] = self.damping.up
                    params[:] = trial
                    self._normal = None
                    self.loss, self.correct = loss, correct
                    if self.falling.settled(now, self.tolerance):
                        self.finished = "converged"
                    return
            level[0] *= level[1]
            level[1] *= 2
            if level[0] > self.damping.limit:
                self.finished = "no_step"
                level[:] = self.damping.first, self.damping.up
                return


class _NormalSystem:
    """(J^T J + decay + damping I) step = -g."""

    def __init__(self, method: LevenbergMarquardt) -> None:
        objective, self.factor = method.objective, method.factor
        self.decay = objective.decay
        self.matrix, gradient = method.normal()
        self.gradient = gradient + objective.decay * method.params

    def solve(self, damping: float) -> Array | None:
        """By Cholesky's factor of the matrix."""
        if not cholesky(self.matrix, self.decay + damping, self.factor):
            return None
        step = -self.gradient
        cholesky_solve(self.factor, step)
        return step


class _RowSystem:
    """
    The same step from fewer residuals r than weights.

    With D = decay + damping I and q = decay w: step = -D^-1 (J^T u + q), where (I + J D^-1 J^T) u = r - J D^-1 q.
    """

    def __init__(self, method: LevenbergMarquardt) -> None:
        objective, self.factor = method.objective, method.factor
        self.decay, self.q = objective.decay, objective.decay * method.params
        self.J, self.r = objective.rows(method.params)
        self.gradient = product(self.J.T, self.r) + self.q

    def solve(self, damping: float) -> Array | None:
        """By Cholesky's factor of damping (I + J D^-1 J^T), which stays finite as damping falls to 0."""
        D = self.decay + damping
        matrix = np.empty((len(self.r), len(self.r)))
        kernels.matmul(self.J * (damping / D), self.J.T, matrix)
        if not cholesky(matrix, np.full(len(self.r), damping), self.factor):
            return None
        u = self.r - product(self.J, self.q / D)  # becomes u / damping
        cholesky_solve(self.factor, u)
        return -(product(self.J.T, u) * damping + self.q) / D
