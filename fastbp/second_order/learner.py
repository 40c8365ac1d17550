"""Learning from all samples at once: an epoch is a step of one of the optimizers of this room."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from .. import compilation
from ..data.samples import Ready
from ..data.sparse import SparseRows
from ..options import Architecture, Hyperparameters
from ..training.learner import measured
from ..training.state import TrainingState
from . import bayesian, levenberg_marquardt, quasi_newton
from .bayesian import Bayesian
from .levenberg_marquardt import Damping, LevenbergMarquardt
from .objective import Objective, penalised
from .options import QUASI_NEWTON
from .quasi_newton import QuasiNewton

Array = NDArray[Any]


def damping_of(hyper: Hyperparameters) -> Damping:
    """How damping begins and changes in a run."""
    numbers = hyper.damping, hyper.damping_up, hyper.damping_down, hyper.damping_limit
    return Damping(*(float(number or 0) for number in numbers))


def initial_state(net: Architecture, hyper: Hyperparameters, params: Array) -> list[Array]:
    """The state of an optimizer before the first step."""
    if hyper.optimizer in QUASI_NEWTON:
        return quasi_newton.initial_state(hyper.optimizer == "bfgs", len(params))
    if hyper.optimizer == "bayesian":
        return bayesian.initial_state(damping_of(hyper), net.sizes)
    return levenberg_marquardt.initial_state(damping_of(hyper))


class SecondOrderLearner:
    """
    Learns from samples in this process, a step an epoch: a `state.Learner`.

    Parameters
    ----------
    net, hyper
    training : Ready
    validation : Ready or None
    state : TrainingState
        Its weights and the state of the optimizer are updated in place.
    threads : int
    """

    def __init__(
        self,
        net: Architecture,
        hyper: Hyperparameters,
        training: Ready,
        validation: Ready | None,
        state: TrainingState,
        threads: int,
    ) -> None:
        self.net, self.hyper, self.training, self.validation = net, hyper, training, validation
        self.params, self.validates, self.state = state.params, validation is not None, state
        decay = np.where(penalised(net), hyper.l2, 0.0)
        self.objective = Objective(net, training, decay, threads)
        self.method: LevenbergMarquardt | QuasiNewton | None = None

    def _begun(self) -> LevenbergMarquardt | QuasiNewton:
        """The optimizer, which measures the loss when it is made."""
        if self.method is None:
            hyper, objective, tolerance = self.hyper, self.objective, float(self.hyper.tolerance or 0)
            of = objective, self.params, self.state.optimizer_state
            if hyper.optimizer in QUASI_NEWTON:
                self.method = QuasiNewton(*of, tolerance)
            elif hyper.optimizer == "bayesian":
                self.method = Bayesian(*of, damping_of(hyper), tolerance, self.net.loss == "squared_error")
            else:
                self.method = LevenbergMarquardt(*of, damping_of(hyper), tolerance)
        return self.method

    @property
    def finished(self) -> str | None:
        """Why no further epoch should be run."""
        return None if self.method is None else self.method.finished

    @property
    def measures(self) -> dict[str, float]:
        """What the history has besides losses."""
        return {} if self.method is None else self.method.measures

    def prepare(self, measures: bool, progress: bool | None) -> float:
        """Make the kernels ready."""
        dtype = self.params.dtype
        names = self.objective.kernel_names(dtype, curvature=self.hyper.optimizer not in QUASI_NEWTON)
        then = compilation.predicting(len(self.training.X), np.dtype(np.float64), dtype)
        return compilation.prepare(names, dtype, progress, then)

    def epoch(self, random: np.random.Generator | None) -> kernels.Pass:
        """One step; the loss is that of the weights after it."""
        method = self._begun()
        if not np.isfinite(method.loss):
            return kernels.Pass(np.nan, 0.0, 0.0, -1)
        method.step()
        return kernels.Pass(method.loss, method.correct, self.objective.penalty(self.params), -1)

    def measure(self, validation: bool) -> tuple[float, float]:
        """Mean loss and accuracy."""
        if not validation:
            method = self._begun()
            return method.loss, method.correct
        assert self.validation is not None
        return measured(self.net, self.params, self.validation)

    def batch(self, number: int) -> tuple[str, NDArray[Any]]:
        """Some inputs."""
        X = self.training.X[:1000]
        return "", X.dense() if isinstance(X, SparseRows) else np.asarray(X)

    def compiled_epochs(self, progress: bool | None) -> None:
        """An epoch is long."""
        return

    def posterior(self) -> tuple[Array, float] | None:
        """See `Bayesian.posterior`, of the weights that the network gets; None of another optimizer."""
        if self.hyper.optimizer != "bayesian":
            return None  # and measure nothing, if no epoch was run
        method = self._begun()
        assert isinstance(method, Bayesian)
        return method.posterior(self.state.final_params)
