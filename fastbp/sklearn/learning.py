"""How both estimators learn: scikit-learn's batches, stopping and schedules, around the compiled passes."""

from __future__ import annotations

import itertools
import math
import time
import warnings
from typing import Any

import numpy as np
from scipy.sparse import issparse
from sklearn.base import is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, BaseOptimizer, SGDOptimizer
from sklearn.utils import check_random_state
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data
from threadpoolctl import threadpool_limits

import fastbp.kernels as kernels

from .. import checks, compilation, losses, options, schedules
from ..model.network import Network, layers
from ..options import Architecture
from ..training.passes import Array, Passes, UpdateRule
from .damped import fit_damped
from .early_stopping import EarlyStopping
from .jobs import threads_here
from .outputs import flat, read, sparse_outputs

LM = ("lm", "levenberg_marquardt")
SOLVERS = ("sgd", "adam", "adamw", "nadam", "rmsprop", "rprop")
# The kernel that predicts.
FORWARD = ("forward",)
# Attributes of scikit-learn's optimizers that hold their state.
_STATES = {"adam": ("ms", "vs"), "sgd": ("velocities",)}


class OptimizerState(BaseOptimizer):  # type: ignore[misc]
    """State of an optimizer that scikit-learn does not have, in the form of its optimizers."""

    def __init__(self, solver: str, params: list[Array], learning_rate_init: float) -> None:
        super().__init__(learning_rate_init)
        self.t = 0
        for name in states_of(solver):
            setattr(self, name, [np.zeros_like(part) for part in params])


Rule = OptimizerState  # its name in pickles of earlier versions


def states_of(solver: str) -> tuple[str, ...]:
    """Attributes of an optimizer that hold its state."""
    if solver in _STATES:
        return _STATES[solver]
    return ("first", "second")[: kernels.states_of(kernels.OPTIMIZERS[solver])]


class Compiled(EarlyStopping):
    """What both estimators replace in scikit-learn's."""

    def _hidden_units(self: Any) -> list[int]:
        sizes = self.hidden_layer_sizes
        units = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
        if np.any(np.array(units) <= 0):
            raise ValueError(f"hidden_layer_sizes must be > 0, got {units}.")
        return units

    def _hidden_activations(self: Any, count: int) -> tuple[str, ...]:
        return options.hidden_activations(self.activation, count)

    def _loss_name(self: Any) -> str:
        return self.loss if isinstance(self.loss, str) else losses.CUSTOM

    def _loss_parameter(self: Any) -> tuple[float, ...]:
        return ()

    def _architecture(self: Any) -> Architecture:
        sizes = (self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_))
        activations = (*self._hidden_activations(len(self.coefs_) - 1), self.out_activation_)
        task = "classification" if self.out_activation_ == "softmax" else "multilabel"
        task = task if is_classifier(self) else "regression"
        custom = None if isinstance(self.loss, str) else losses.functions_of(self.loss)
        return Architecture(sizes, activations, self._loss_name(), task, self._loss_parameter(), custom)

    def _mean_over(self: Any) -> int:
        """The number by which scikit-learn divides the sum of the losses over the outputs, in regression."""
        return 1 if is_classifier(self) or self.loss == "poisson" else int(self.n_outputs_)

    def _init_coef(self: Any, fan_in: int, fan_out: int, dtype: Any) -> tuple[Array, Array]:
        if isinstance(self.activation, str):
            return super()._init_coef(fan_in, fan_out, dtype)  # type: ignore[misc]
        # As in scikit-learn, by the activation of this layer.
        names = [*self.activation, None]
        bound = math.sqrt((2 if names[len(self.coefs_)] == "logistic" else 6) / (fan_in + fan_out))
        shapes = (fan_in, fan_out), fan_out
        return tuple(self._random_state.uniform(-bound, bound, shape).astype(dtype) for shape in shapes)

    def _initialize(self: Any, y: Array, layer_units: list[int], dtype: Any) -> None:
        self._hidden_activations(len(layer_units) - 2)
        super()._initialize(y, layer_units, dtype)  # type: ignore[misc]
        if self.solver in SOLVERS + LM:
            self.loss_curve_: list[float] = []
            self._no_improvement_count = 0
            early = self.early_stopping
            self.validation_scores_: list[float] | None = [] if early else None
            self.best_validation_score_ = -np.inf if early else None
            self.best_loss_ = None if early else np.inf
            if early:
                self.validation_loss_curve_: list[float] = []
        for name in ("_optimizer", "_split_seed", "_stopped"):
            vars(self).pop(name, None)

    @property
    def _check_solver(self: Any) -> Any:
        # scikit-learn asks for it to see whether there is `partial_fit`; of regressors, without calling it
        if self.solver in LM:
            self._require_stochastic()
        return self._require_stochastic

    def _require_stochastic(self: Any) -> bool:
        if self.solver not in SOLVERS:
            why = f"{self.solver} is not stochastic."
            raise AttributeError(f"partial_fit is only available for stochastic optimizers. {why}")
        return True

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> Array:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        dtype = np.result_type(X.dtype, self.coefs_[0].dtype)
        if dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float64)
        X, params, net = read(X, dtype), flat(self.coefs_, self.intercepts_, dtype), self._architecture()
        if issparse(X):
            return sparse_outputs(X, params, net)
        compilation.prepare(FORWARD, dtype, None)
        return net.outputs(X, params)

    def _fit(self: Any, X: Any, y: Any, sample_weight: Any = None, incremental: bool = False) -> Any:
        units = self._hidden_units()
        first = not hasattr(self, "coefs_") or not (self.warm_start or incremental)
        X, y = self._validate_input(X, y, incremental, reset=first)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, X)
        sample_weight = self._with_class_weight(y, sample_weight, incremental)
        y = y.reshape(len(y), -1)
        self.n_outputs_ = y.shape[1]
        self._random_state = check_random_state(self.random_state)
        sizes = [X.shape[1], *units, self.n_outputs_]
        if first:
            self._initialize(y, sizes, X.dtype)
        net = self._architecture()
        if net.custom_loss is not None:
            losses.check_derivative(net.custom_loss, y, net.activations[-1])
        if self.solver == "lbfgs":
            self._check_options_of_batches(("callback", None))
            # scikit-learn's own minimisation; it only passes the middle four on to _loss_grad_lbfgs.
            self._fit_lbfgs(X, y, sample_weight, None, None, None, None, sizes)
        elif self.solver in LM:
            fit_damped(self, X, y, sample_weight)
        else:
            self._fit_stochastic(X, y, sample_weight, incremental)
        if not all(np.isfinite(part).all() for part in itertools.chain(self.coefs_, self.intercepts_)):
            raise ValueError(_NOT_FINITE)
        return self

    def _with_class_weight(self: Any, y: Array, sample_weight: Array | None, incremental: bool) -> Array | None:
        return sample_weight

    def activations(self: Any, X: Any) -> list[Array]:
        """
        Outputs of every layer, the inputs first.

        Parameters
        ----------
        X : array-like, shape (n, features)

        Returns
        -------
        list of array
            One per layer, shape (n, units).
        """
        return self._network().activations(self._read_dense(X))

    def input_gradient(self: Any, X: Any) -> Array:
        """
        Gradient of every output of the last layer with respect to every input.

        Parameters
        ----------
        X : array-like, shape (n, features)

        Returns
        -------
        array, shape (n, outputs, features)
            In classification, of the probabilities.
        """
        return self._network().input_gradient(self._read_dense(X))

    def _read_dense(self: Any, X: Any) -> Array:
        check_is_fitted(self)
        return validate_data(self, X, dtype=self.coefs_[0].dtype, reset=False)

    def _network(self: Any) -> Network:
        """The same layers as a `fastbp.Network` without scaling."""
        net, params = self._architecture(), flat(self.coefs_, self.intercepts_, self.coefs_[0].dtype)
        inputs, outputs = net.sizes[0], net.sizes[-1]
        scaling = (np.zeros(inputs), np.ones(inputs), np.zeros(outputs), np.ones(outputs))
        return Network(net.task, net.sizes, net.activations, net.loss, params, *scaling)

    # L-BFGS

    def _check_options_of_batches(self: Any, *more: tuple[str, Any]) -> None:
        for name, default in (("dropout", 0), ("clip_norm", None), ("warmup", 0), *more):
            value = getattr(self, name)
            if not (value is None or (np.ndim(value) == 0 and value == default)):
                wanted = f"{default} with solver={self.solver!r}, which has no batches and epochs"
                raise ValueError(f"{name}: expected {wanted}, got {value!r}")

    def _fit_lbfgs(self: Any, X: Any, y: Array, sample_weight: Array | None, *rest: Any) -> None:
        n, params = X.shape[0], flat(self.coefs_, self.intercepts_, X.dtype)
        total = float(n if sample_weight is None else sample_weight.sum())
        weight = np.ones(n, X.dtype) if sample_weight is None else (sample_weight * (n / total)).astype(X.dtype)
        # With a momentum of 0 and a rate of 1 the velocity is minus the gradient.
        velocity = np.zeros_like(params)
        passes = self._passes((X, y, weight), params, UpdateRule("momentum", [velocity], (0.0, 0.0, 0.0)), n)
        self._batch = passes, params, velocity, np.arange(n), self.alpha / total
        try:
            # The threads of BLAS, which SciPy's solver calls, would keep spinning and slow ours.
            with threadpool_limits(1, "blas"):
                super()._fit_lbfgs(X, y, sample_weight, *rest)  # type: ignore[misc]
        finally:
            del self._batch

    def _loss_grad_lbfgs(self: Any, packed: Array, *rest: Any) -> tuple[float, Array]:
        self._unpack(packed)
        passes, params, velocity, order, l2 = self._batch
        params[:] = flat(self.coefs_, self.intercepts_, params.dtype)
        velocity[:] = 0  # else infinities from too long a step would stay
        found = passes.run(order, 0, 1.0, l2)
        if found.failed >= 0:  # infinite, after too long a step: the solver takes a shorter one
            if math.isnan(found.loss) and not isinstance(self.loss, str):
                raise ValueError("loss: expected finite numbers, the custom loss gave NaN under solver='lbfgs'")
            velocity[:] = np.nan
        W, b = layers(velocity, passes.net.sizes)
        return found.loss / self._mean_over() + found.penalty, -np.concatenate([part.ravel() for part in W + b])

    # Batches

    def _passes(
        self: Any, samples: tuple[Any, Array, Array], params: Array, rule: UpdateRule, size: int, seed: int = 0
    ) -> Passes:
        """Passes over these samples: X, y and weights."""
        X, y, weight = samples
        samples = read(X, params.dtype), np.ascontiguousarray(y, params.dtype), weight
        passes = Passes(samples, self._architecture(), params, rule, size, seed=seed, threads=threads_here())
        compilation.prepare(passes.kernel_names, params.dtype, None, () if issparse(X) else FORWARD)
        return passes

    def _new_optimizer(self: Any) -> Any:
        """State of the solver, and the schedule of its learning rate: scikit-learn's own if it has one."""
        params = self.coefs_ + self.intercepts_
        if self.solver == "adam":
            return AdamOptimizer(params, self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)
        if self.solver == "sgd":
            rates = self.learning_rate_init, self.learning_rate
            return SGDOptimizer(params, *rates, self.momentum, self.nesterovs_momentum, self.power_t)
        return OptimizerState(self.solver, params, self.learning_rate_init)

    def _rule(self: Any, state: list[Array], dropout: tuple[float, ...]) -> UpdateRule:
        """How a batch changes the weights."""
        optimizer, numbers = self.solver, (self.beta_1, self.beta_2, self.epsilon)
        if optimizer == "rprop":
            numbers = options.NUMBERS["rprop"]
        elif optimizer == "sgd":
            optimizer = "sgd" if self.momentum == 0 else "nesterov" if self.nesterovs_momentum else "momentum"
            numbers = (self.momentum, 0.0, 0.0)
        return UpdateRule(optimizer, state, numbers, dropout, np.inf if self.clip_norm is None else self.clip_norm)

    def _in_one_array(self: Any, dtype: Any) -> tuple[Array, list[Array]]:
        """Parameters and optimizer state, each in one array; scikit-learn's lists become views of them."""
        count, sizes = len(self.coefs_), self._architecture().sizes
        params = flat(self.coefs_, self.intercepts_, dtype)
        self.coefs_, self.intercepts_ = layers(params, sizes)
        state = []
        for name in states_of(self.solver):
            parts = getattr(self._optimizer, name)
            state.append(flat(parts[:count], parts[count:], dtype))
            setattr(self._optimizer, name, list(itertools.chain(*layers(state[-1], sizes))))
        return params, state

    # Epochs

    def _fit_stochastic(self: Any, X: Any, y: Array, sample_weight: Array | None, incremental: bool) -> None:
        if incremental and getattr(self, "_stopped", False):
            text = "partial_fit has stopped early: the weights are those of the best score, and stay."
            warnings.warn(text, ConvergenceWarning, stacklevel=4)
            return
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._new_optimizer()
        training, validation = self._split(X, y, sample_weight, incremental)
        n = training[0].shape[0]
        if self.batch_size == "auto":
            size = n if self.solver == "rprop" else min(200, n)
        else:
            size = min(self.batch_size, n)
            if self.batch_size > n:
                text = "Got `batch_size` less than 1 or larger than sample size. It is going to be clipped"
                warnings.warn(text, stacklevel=4)
        params, state = self._in_one_array(X.dtype)
        weight, shares = np.ones(n, params.dtype), options.dropout_shares(self.dropout, len(self.coefs_) - 1)
        seed = self._random_state.randint(np.iinfo(np.int32).max) if any(shares) else 0
        samples = training[0], training[1], weight
        passes = self._passes(samples, params, self._rule(state, shares), size, seed)
        try:
            self._run_epochs(passes, weight, training[2], size, validation, incremental)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=4)
        if self.early_stopping and (not incremental or getattr(self, "_stopped", False)):
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts

    def _run_epochs(
        self: Any,
        passes: Passes,
        weight: Array,
        sample_weight: Array | None,
        size: int,
        validation: list[Any] | None,
        incremental: bool,
    ) -> None:
        """Pass after pass, until the loss or the validation score no longer improves."""
        n, optimizer, started = passes.n, self._optimizer, time.perf_counter()
        order, starts = np.arange(n), np.arange(0, n, size)
        counts = np.diff(starts, append=n)
        totals = counts.astype(np.float64)
        step = getattr(optimizer, "t", 0)  # scikit-learn's SGD gets this attribute here
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            if self.shuffle:  # as by sklearn.utils.shuffle
                drawn = np.arange(n)
                self._random_state.shuffle(drawn)
                order = order[drawn]
            if sample_weight is not None:
                # scikit-learn divides by the weight of a batch's samples, the kernels by their number.
                totals = np.add.reduceat(sample_weight[order], starts).astype(np.float64)
                scale = np.divide(counts, totals, out=np.zeros(len(counts)), where=totals > 0)
                weight[order] = sample_weight[order] * np.repeat(scale, counts)
            decay = self.alpha if self.solver == "adamw" else self.alpha / np.where(totals > 0, totals, np.inf)
            found = passes.run(order, step, self._rates(optimizer, step, len(starts)), decay)
            if found.failed >= 0:
                if validation is None or not isinstance(self.loss, str):
                    self._raise_not_finite(found.failed)
                # as in scikit-learn, which returns the weights of the best score, and learns on in vain until the end
                passes.params[:] = np.nan
            step += len(starts)
            optimizer.t = step
            self.n_iter_ += 1
            self.loss_ = found.loss / self._mean_over() + (0 if self.solver == "adamw" else found.penalty)
            self.t_ += n
            self.loss_curve_.append(self.loss_)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            if validation is None:
                self._update_no_improvement_count(False, None, None, None)
            else:
                self._validate(*validation)
            optimizer.iteration_ends(self.t_)
            seen = None if self.callback is None else self._epoch(found, started, passes.params)
            stop = seen is not None and checks.is_true(self.callback(seen))
            if self._no_improvement_count > self.n_iter_no_change:
                what = "Validation score" if self.early_stopping else "Training loss"
                message = (
                    f"{what} did not improve more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
                )
                if optimizer.trigger_stopping(message, self.verbose):
                    self._stopped = incremental and self.early_stopping
                    break
                self._no_improvement_count = 0
            if incremental or stop:
                break
            if self.n_iter_ == self.max_iter:
                reached = f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached"
                text = f"{reached} and the optimization hasn't converged yet."
                warnings.warn(text, ConvergenceWarning, stacklevel=2)

    def _rates(self: Any, optimizer: Any, step: int, batches: int) -> Any:
        """Learning rate of each batch of a pass."""
        rate = self.learning_rate_init
        if self.solver == "sgd":
            rate = getattr(optimizer, "learning_rate", rate)
        name = self.learning_rate if self.learning_rate in schedules.SCHEDULES else "constant"
        if name == "constant" and not self.warmup:
            return rate
        return rate * schedules.factors(name, step, batches, self.max_iter * batches, self.warmup * batches)

    def _raise_not_finite(self: Any, batch: int) -> None:
        if isinstance(self.loss, str):
            raise ValueError(_NOT_FINITE)
        where = f"epoch {self.n_iter_ + 1}, batch {batch + 1}"
        raise ValueError(f"loss: expected finite numbers, the custom loss gave others in {where}")


_NOT_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large values and need to be preprocessed."
)
