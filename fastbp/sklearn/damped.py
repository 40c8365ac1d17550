"""``solver="lm"``: how an estimator learns by Levenberg-Marquardt."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.exceptions import ConvergenceWarning

import fastbp.kernels as kernels

from .. import checks, compilation
from ..data.samples import Ready
from ..model.network import layers
from ..second_order.levenberg_marquardt import Damping, LevenbergMarquardt, initial_state
from ..second_order.objective import Objective, penalised
from ..second_order.options import DAMPING
from ..training.passes import Array
from .jobs import threads_here
from .outputs import flat


def fit_damped(model: Any, X: Any, y: Array, sample_weight: Array | None) -> None:
    """Fit the weights that the estimator has drawn."""
    model._check_options_of_batches()
    net = model._architecture()
    if issparse(X):
        raise ValueError(f"X: expected a dense array with solver={model.solver!r}, got a sparse {type(X).__name__}")
    if net.custom_loss is not None:
        raise ValueError(f"loss: expected one of the names with solver={model.solver!r}, got a custom loss")
    if model.batch_size != "auto" and model.batch_size < len(X):
        wanted = f"'auto', as solver={model.solver!r} takes all samples at once"
        raise ValueError(f"batch_size: expected {wanted}, got {model.batch_size!r}")
    training, validation = model._split(X, y, sample_weight, False)
    params = flat(model.coefs_, model.intercepts_, X.dtype)
    model.coefs_, model.intercepts_ = layers(params, net.sizes)
    objective = _objective(model, net, training, params)
    damping = Damping(*DAMPING.values())
    try:
        method = LevenbergMarquardt(objective, params, initial_state(damping), damping, model.tol)
        _run_steps(model, method, validation)
    except KeyboardInterrupt:
        warnings.warn("Training interrupted by user.", stacklevel=5)
    if model.early_stopping:
        model.coefs_, model.intercepts_ = model._best_coefs, model._best_intercepts


def _objective(model: Any, net: Any, training: list[Any], params: Array) -> Objective:
    """scikit-learn's objective times the number by which it divides the sum over the outputs."""
    X, Y, weight = training
    n = len(X)
    total = float(n if weight is None else weight.sum())
    factors = np.ones(n, params.dtype) if weight is None else (weight * (n / total)).astype(params.dtype)
    parts = (np.require(X, params.dtype, ["C", "A"]), np.ascontiguousarray(Y, params.dtype), factors)
    samples = Ready(*map(checks.frozen, parts))
    decay = np.where(penalised(net), model.alpha * model._mean_over() / total, 0.0)
    objective = Objective(net, samples, decay, threads_here())
    compilation.prepare(objective.kernel_names(params.dtype, curvature=True), params.dtype, None)
    return objective


def _run_steps(model: Any, method: LevenbergMarquardt, validation: list[Any] | None) -> None:
    """Step after step, until the loss or the validation score no longer improves."""
    started, objective = time.perf_counter(), method.objective
    if not np.isfinite(method.loss):
        raise ValueError("X: expected numbers for which the loss is finite with the first weights; scale them")
    model.n_iter_ = 0
    for _ in range(model.max_iter):
        method.step()
        model.n_iter_ += 1
        model.t_ += objective.n
        penalty = objective.penalty(method.params)
        model.loss_ = (method.loss + penalty) / model._mean_over()
        model.loss_curve_.append(model.loss_)
        if model.verbose:
            print(f"Iteration {model.n_iter_}, loss = {model.loss_:.8g}, damping = {method.measures['damping']:.1g}")
        if validation is not None:
            model._validate(*validation)
        else:
            model.best_loss_ = min(model.best_loss_, model.loss_)
        found = kernels.Pass(method.loss, method.correct, penalty, -1)
        seen = None if model.callback is None else model._epoch(found, started, method.params)
        stop = seen is not None and checks.is_true(model.callback(seen))
        if stop or method.finished or model._no_improvement_count > model.n_iter_no_change:
            return
    text = f"Levenberg-Marquardt: Maximum iterations ({model.max_iter}) reached"
    warnings.warn(f"{text} and the optimization hasn't converged yet.", ConvergenceWarning, stacklevel=6)
