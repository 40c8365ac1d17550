"""
scikit-learn's multilayer perceptrons on compiled kernels: ``from fastbp.sklearn import MLPClassifier, MLPRegressor``.

The estimators are scikit-learn's own, with its parameters, checks, attributes and messages; what is replaced is the arithmetic: a batch's
forward and backward pass and its update, the loss and gradient of L-BFGS, and the forward pass of a prediction. The same weights to start
from and the same order of samples lead to the same weights.
"""

from __future__ import annotations

import itertools
import warnings
from typing import Any

import numpy as np

import fastbp.kernels as kernels

from . import checks
from .batches import Array, Batches, FusedBatches, LayeredBatches, flat, outputs
from .network import layers
from .options import Architecture

try:
    import sklearn.neural_network as reference
    from scipy.sparse import issparse
    from sklearn.base import is_classifier
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.model_selection import train_test_split
    from sklearn.neural_network._stochastic_optimizers import AdamOptimizer, SGDOptimizer
    from sklearn.utils import gen_batches, shuffle
    from sklearn.utils.validation import validate_data
except ImportError:
    raise ImportError('fastbp.sklearn needs scikit-learn 1.7 or later; install it with: pip install "fastbp[sklearn]"') from None


def _read(X: Any, dtype: Any) -> Any:
    """A sparse matrix in compressed rows, or a contiguous array."""
    return X.tocsr().astype(dtype, copy=False) if issparse(X) else np.ascontiguousarray(X, dtype)


class _Compiled:
    """What both estimators replace of scikit-learn's."""

    def _architecture(self: Any) -> Architecture:
        sizes = (self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_))
        activations = (self.activation,) * (len(self.coefs_) - 1) + (self.out_activation_,)
        return Architecture(sizes, activations, self.loss, "classification" if is_classifier(self) else "regression")

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> Array:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        dtype = np.result_type(X.dtype, self.coefs_[0].dtype)
        if dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float64)
        X, net = _read(X, dtype), self._architecture()
        params = flat(self.coefs_, self.intercepts_, dtype)
        if issparse(X) or self.out_activation_ not in kernels.ACTIVATIONS:
            return outputs(X, np.arange(X.shape[0]), *layers(params, net.sizes), net.activations)[-1]
        out = np.empty((len(X), net.sizes[-1]), dtype)
        kernels.forward(checks.frozen(X), net.size_array, net.activation_codes, checks.frozen(params), out)
        return out

    def _new_batches(self: Any, X: Any, y: Array, sample_weight: Array | None, params: Array, state: list[Array]) -> Batches:
        """The way to learn from these data."""
        way = LayeredBatches if issparse(X) or self.out_activation_ not in kernels.ACTIVATIONS else FusedBatches
        return way(_read(X, params.dtype), y, sample_weight, self._architecture(), self.alpha, params, state)

    def _fit_lbfgs(self: Any, X: Any, y: Array, sample_weight: Array | None, *rest: Any) -> None:
        params = flat(self.coefs_, self.intercepts_, X.dtype)
        self._batches = self._new_batches(X, y, sample_weight, params, [np.zeros_like(params)])
        # With a momentum of 0 and a rate of 1 the velocity is the gradient, but for its sign.
        self._batches.prepare("momentum", 1.0, 0.0, 0.0, 0.0)
        try:
            super()._fit_lbfgs(X, y, sample_weight, *rest)  # type: ignore[misc]
        finally:
            del self._batches

    def _loss_grad_lbfgs(self: Any, packed: Array, X: Any, *rest: Any) -> tuple[float, Array]:
        self._unpack(packed)
        params, velocity = self._batches.params, self._batches.state[0]
        params[:] = flat(self.coefs_, self.intercepts_, params.dtype)
        velocity[:] = 0  # or the infinities of a step too far would stay
        loss = self._batches.run(np.arange(X.shape[0]), 0)
        W, b = layers(velocity, self._batches.net.sizes)
        return loss, -np.concatenate([part.ravel() for part in W + b])

    def _fit_stochastic(self: Any, X: Any, y: Array, sample_weight: Array | None, *rest: Any) -> None:
        incremental = rest[-1]
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._new_optimizer()
        training, validation = self._split(X, y, sample_weight)
        n = training[0].shape[0]
        size = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2)
        try:
            self._learn(self._new_batches(*training, *self._in_one_array(X.dtype)), n, size, validation, incremental)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if self.early_stopping:
            self.coefs_, self.intercepts_ = self._best_coefs, self._best_intercepts

    def _new_optimizer(self: Any) -> Any:
        """scikit-learn's own: it holds the state of the rule, and the schedule of the learning rate."""
        params = self.coefs_ + self.intercepts_
        if self.solver == "adam":
            return AdamOptimizer(params, self.learning_rate_init, self.beta_1, self.beta_2, self.epsilon)
        return SGDOptimizer(params, self.learning_rate_init, self.learning_rate, self.momentum, self.nesterovs_momentum, self.power_t)

    def _in_one_array(self: Any, dtype: Any) -> tuple[Array, list[Array]]:
        """Parameters, and state of the optimizer, each in one array, into which scikit-learn's lists become views."""
        count, sizes = len(self.coefs_), self._architecture().sizes
        params = flat(self.coefs_, self.intercepts_, dtype)
        self.coefs_, self.intercepts_ = layers(params, sizes)
        state = []
        for name in ("ms", "vs") if self.solver == "adam" else ("velocities",):
            parts = getattr(self._optimizer, name)
            state.append(flat(parts[:count], parts[count:], dtype))
            setattr(self._optimizer, name, list(itertools.chain(*layers(state[-1], sizes))))
        return params, state

    def _split(self: Any, X: Array, y: Array, sample_weight: Array | None) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Samples to learn from, and those set aside for early stopping: X, y and weights each."""
        if not self.early_stopping:
            return (X, y, sample_weight), (None, None, None)
        stratify = y if is_classifier(self) and self.n_outputs_ == 1 else None
        parts = train_test_split(
            *(X, y) if sample_weight is None else (X, y, sample_weight),
            random_state=self._random_state,
            test_size=self.validation_fraction,
            stratify=stratify,
        )
        training, held = parts[::2], parts[1::2]
        if sample_weight is None:
            training, held = [*training, None], [*held, None]
        if held[0].shape[0] < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        if is_classifier(self):
            held[1] = self._label_binarizer.inverse_transform(held[1])
        return tuple(training), tuple(held)

    def _learn(self: Any, batches: Batches, n: int, size: int, validation: tuple[Any, ...], incremental: bool) -> None:
        """Pass after pass, until the loss or the validation score no longer gets better."""
        order, optimizer, adam = np.arange(n), self._optimizer, self.solver == "adam"
        rule = "adam" if adam else "sgd" if self.momentum == 0 else "nesterov" if self.nesterovs_momentum else "momentum"
        numbers = (self.beta_1, self.beta_2, self.epsilon) if adam else (self.momentum, 0.0, 0.0)
        step, prepared = optimizer.t if adam else 0, None
        self.n_iter_ = 0
        for _ in range(self.max_iter):
            if self.shuffle:
                order = shuffle(order, random_state=self._random_state)
            rate = self.learning_rate_init if adam else optimizer.learning_rate  # which may change from pass to pass
            if rate != prepared:
                batches.prepare(rule, rate, *numbers)
                prepared = rate
            total = 0.0
            for part in gen_batches(n, size):
                total += batches.run(order[part], step) * (part.stop - part.start)
                step += 1
            if adam:
                optimizer.t = step
            self.n_iter_ += 1
            self.loss_ = total / n
            self.t_ += n
            self.loss_curve_.append(self.loss_)
            if self.verbose:
                print(f"Iteration {self.n_iter_}, loss = {self.loss_:.8f}")
            self._update_no_improvement_count(self.early_stopping, *validation)
            optimizer.iteration_ends(self.t_)
            if self._no_improvement_count > self.n_iter_no_change:
                watched = "Validation score did not improve" if self.early_stopping else "Training loss did not improve"
                message = f"{watched} more than tol={self.tol:f} for {self.n_iter_no_change} consecutive epochs."
                if optimizer.trigger_stopping(message, self.verbose):
                    break
                self._no_improvement_count = 0
            if incremental:
                break
            if self.n_iter_ == self.max_iter:
                warnings.warn(
                    f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                    ConvergenceWarning,
                    stacklevel=2,
                )


class MLPClassifier(_Compiled, reference.MLPClassifier):  # type: ignore[misc]
    """
    scikit-learn's `MLPClassifier`, trained by compiled kernels.

    All parameters, attributes and methods are those of ``sklearn.neural_network.MLPClassifier``. Sparse
    matrices are not made dense.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from fastbp.sklearn import MLPClassifier
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier(hidden_layer_sizes=(20,), max_iter=1000, random_state=0).fit(X, y)
    >>> bool(model.score(X, y) > 0.9)
    True
    """


class MLPRegressor(_Compiled, reference.MLPRegressor):  # type: ignore[misc]
    """
    scikit-learn's `MLPRegressor`, trained by compiled kernels.

    All parameters, attributes and methods are those of ``sklearn.neural_network.MLPRegressor``. Sparse
    matrices are not made dense.
    """
