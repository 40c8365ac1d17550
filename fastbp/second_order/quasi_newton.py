"""
BFGS and L-BFGS: the inverse of the Hessian is learnt from how the gradient changes from step to step.

After a step s that changed the gradient by y: H <- (I - s y^T / y^T s) H (I - y s^T / y^T s) + s s^T / y^T s. BFGS
keeps H, P x P numbers; L-BFGS keeps the last pairs (s, y), and applies them one after another (Nocedal and Wright,
"Numerical optimization", chapters 6 and 7).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .convergence import STEPS, ZERO, Falling
from .line_search import Point, strong_wolfe
from .objective import Objective, dot, length, product
from .options import PAIRS

Array = NDArray[Any]


def initial_state(full: bool, count: int) -> list[Array]:
    """What is known of H for so many parameters, how many steps it was learnt from, and the costs of the last steps."""
    known = [np.eye(count)] if full else [np.zeros((PAIRS, count)), np.zeros((PAIRS, count))]
    return [*known, np.concatenate([[0.0], Falling.empty()])]


class QuasiNewton:
    """
    A step at a time.

    Parameters
    ----------
    objective : Objective
    params : array, shape (P,)
        Updated in place.
    state : list of array
        See `initial_state`; updated in place.
    tolerance : float
        The run has converged when ten steps lowered the cost by less than this share.

    Attributes
    ----------
    loss, correct : float
        With the present parameters, without the penalty.
    measures : dict
        Norm of the gradient, of the last step.
    finished : str or None
        Why no further step should be taken.
    """

    def __init__(self, objective: Objective, params: Array, state: list[Array], tolerance: float) -> None:
        self.objective, self.params, self.tolerance = objective, params, tolerance
        counts = state[-1]
        full = len(state) == 2
        self.inverse: _Inverse = _Full(state[0], counts[:1]) if full else _Pairs(state[0], state[1], counts[:1])
        self.falling = Falling(counts[1 : 1 + STEPS])
        self.loss, self.correct, self.gradient = objective.gradient(params)
        self.measures: dict[str, float] = {}
        self.finished: str | None = None

    def step(self) -> None:
        """One step; `finished` is set if there is none."""
        norm = length(self.gradient)
        self.measures = {"gradient_norm": norm}
        if norm <= ZERO:
            self.finished = "converged"
            return
        if self._search() or (self.inverse.steps and self._search(anew=True)):
            cost = self.loss + self.objective.penalty(self.params)
            self.finished = "converged" if self.falling.settled(cost, self.tolerance) else None
            return
        self.finished = "no_step"

    def _search(self, anew: bool = False) -> bool:
        """Take a step along -H g, or, with H forgotten, along -g; whether there was one."""
        objective, gradient, start = self.objective, self.gradient, self.params.astype(np.float64)
        if anew:
            self.inverse.forget()
        direction = -self.inverse.times(gradient)
        slope = dot(direction, gradient)
        if not slope < 0:
            return False

        def at(t: float) -> Point:
            trial = (start + t * direction).astype(self.params.dtype)
            loss, correct, there = objective.gradient(trial)
            value = loss + objective.penalty(trial)
            return Point(t, value, dot(direction, there), (trial, loss, correct, there))

        first = 1.0 if self.inverse.steps else min(1.0, 1.0 / length(gradient))
        found = strong_wolfe(at, Point(0.0, self.loss + objective.penalty(self.params), slope, None), first)
        if found is None:
            return False
        trial, self.loss, self.correct, self.gradient = found.found
        self.inverse.learn(trial.astype(np.float64) - start, self.gradient - gradient)
        self.params[:] = trial
        return True


class _Inverse:
    """What is known of the inverse of the Hessian; `count`, an array of one number: of how many steps."""

    count: Array

    @property
    def steps(self) -> int:
        """Steps that it was learnt from."""
        return int(self.count[0])

    def times(self, gradient: Array) -> Array:
        """H g."""
        raise NotImplementedError

    def forget(self) -> None:
        """Return to the identity."""
        self.count[0] = 0

    def learn(self, s: Array, y: Array) -> None:
        """Learn from a step s and the change y of the gradient; not where the curvature along s is not positive."""
        if dot(s, y) > 1e-12 * length(s) * length(y):
            self._learn(s, y)
            self.count[0] += 1

    def _learn(self, s: Array, y: Array) -> None:
        raise NotImplementedError


class _Full(_Inverse):
    """BFGS: H itself."""

    def __init__(self, H: Array, count: Array) -> None:
        self.H, self.count = H, count

    def times(self, gradient: Array) -> Array:
        """H g."""
        return product(self.H, gradient) if self.steps else gradient.copy()

    def _learn(self, s: Array, y: Array) -> None:
        sy = dot(s, y)
        if not self.steps:  # before the first update: the scale of the curvature along s
            self.H[:] = np.eye(len(s)) * (sy / dot(y, y))
        Hy = product(self.H, y)
        # H + (1 + y^T H y / s^T y) s s^T / s^T y - (H y s^T + s y^T H) / s^T y
        left = np.stack([s, Hy, s], axis=1)
        right = np.stack([s * ((1 + dot(y, Hy) / sy) / sy), s / -sy, Hy / -sy])
        kernels.scaled_matmul(1.0, left, right, 1.0, self.H)


class _Pairs(_Inverse):
    """L-BFGS: the last pairs (s, y), the newest in row (count - 1) % PAIRS."""

    def __init__(self, S: Array, Y: Array, count: Array) -> None:
        self.S, self.Y, self.count = S, Y, count

    def times(self, gradient: Array) -> Array:
        """H g, by the two loops over the pairs."""
        found, kept = gradient.copy(), []
        for k in range(self.steps - 1, max(self.steps - PAIRS, 0) - 1, -1):  # from the newest
            s, y = self.S[k % PAIRS], self.Y[k % PAIRS]
            share = dot(s, found) / dot(s, y)
            found -= share * y
            kept.append((s, y, share))
        if kept:
            s, y, _ = kept[0]
            found *= dot(s, y) / dot(y, y)
        for s, y, share in reversed(kept):
            found += (share - dot(y, found) / dot(s, y)) * s
        return found

    def _learn(self, s: Array, y: Array) -> None:
        row = self.steps % PAIRS
        self.S[row], self.Y[row] = s, y
