"""
scikit-learn's multilayer perceptrons on compiled kernels: ``from fastbp.sklearn import MLPClassifier, MLPRegressor``.

The estimators are scikit-learn's own, with its parameters, checks, attributes and messages; what is replaced is the arithmetic: a batch's
forward and backward pass and its update, the loss and gradient of L-BFGS, and the forward pass of a prediction. The same weights to start
from and the same order of samples lead to the same weights.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numpy.typing import NDArray

import fastbp.kernels as kernels

from . import checks

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

Array = NDArray[Any]


def _flat(W: list[Array], b: list[Array], dtype: Any) -> Array:
    """All parameters in one array, layer after layer, as the kernels take them."""
    return np.concatenate([part.ravel() for pair in zip(W, b, strict=True) for part in pair]).astype(dtype, copy=False)


def _views(params: Array, sizes: list[int]) -> tuple[list[Array], list[Array]]:
    """The weights and the biases of each layer, in the memory of `params`."""
    W, b, at = [], [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        middle, end = at + n_in * n_out, at + (n_in + 1) * n_out
        W.append(params[at:middle].reshape(n_in, n_out))
        b.append(params[middle:end])
        at = end
    return W, b


class _Batches:
    """Loss, gradient and update of one batch after another, on fixed data and parameters."""

    def __init__(self, net: Any, X: Array, y: Array, sample_weight: Array | None, params: Array, state: list[Array]) -> None:
        self.net, self.params, self.weights = net, params, _views(params, net._sizes())[0]
        self.X, self.Y = (checks.frozen(np.ascontiguousarray(a, params.dtype)) for a in (X, y))
        self.sample_weight = sample_weight
        self.importance = np.ones(len(X), params.dtype)
        self.first = state[0]
        self.second = state[1] if len(state) > 1 else np.empty(0, params.dtype)
        self.threads = int(numba.config.NUMBA_NUM_THREADS)  # type: ignore[attr-defined]
        self.prepared: dict[int, Callable[..., Any]] = {}

    def prepare(self, optimizer: str, learning_rate: float, beta1: float, beta2: float, epsilon: float) -> None:
        """Choose the rule of the updates that follow."""
        self.rule = (kernels.OPTIMIZERS[optimizer], self.first, self.second, learning_rate, beta1, beta2, epsilon)
        self.prepared.clear()

    def run(self, batch: Array, step: int) -> float:
        """One update by the samples `batch`; returns their loss, as scikit-learn defines it, from before the update."""
        total = float(len(batch))
        if self.sample_weight is not None:
            # scikit-learn divides by the sum of the batch's weights, the kernels by its number of samples
            total = float(self.sample_weight[batch].sum())
            self.importance[batch] = self.sample_weight[batch] * (len(batch) / total)
        # not by BLAS, whose threads would go on spinning beside ours
        squares = sum(float(np.einsum("ij,ij->", W, W)) for W in self.weights) if self.net.alpha else 0.0
        loss, _, _ = self._epoch(len(batch), self.net.alpha / total)(batch, step)
        if self.net.loss == "squared_error":
            loss /= self.Y.shape[1]  # the mean over the outputs
        return float(loss) + 0.5 * self.net.alpha * squares / total

    def _epoch(self, rows: int, l2: float) -> Callable[..., Any]:
        """Return the compiled batch of so many samples; it serves all such batches if the penalty is the same for all."""
        if rows in self.prepared:
            return self.prepared[rows]
        sizes, activations, loss = self.net._architecture()
        optimizer, first, second, *numbers = self.rule

        def prepared(parallel: bool) -> Callable[..., Any]:
            data = (self.X, self.Y, checks.frozen(self.importance))
            return kernels.prepare_minibatch(*data, rows, rows, sizes, activations, loss, kernels.NO_DECISION, self.params, optimizer,
                                             first, second, *numbers, l2, parallel)  # fmt: skip

        run = serial = prepared(False)
        if self.threads > 1 and kernels.parallel_pays(sizes.tolist(), rows, self.params.itemsize):
            parallel = prepared(True)

            def run(batch: Array, step: int) -> Any:
                with kernels.threads(self.threads) as allowed:
                    return (parallel if allowed else serial)(batch, step)

        if self.sample_weight is None:
            self.prepared[rows] = run
        return run


class _Compiled:
    """What both estimators replace of scikit-learn's."""

    def _sizes(self: Any) -> list[int]:
        return [self.coefs_[0].shape[0], *(W.shape[1] for W in self.coefs_)]

    def _architecture(self: Any) -> tuple[Array, Array, int]:
        """Sizes, activations and loss as the kernels take them."""
        names = [self.activation] * (len(self.coefs_) - 1) + [self.out_activation_]
        codes = [np.array(values, np.int64) for values in (self._sizes(), [kernels.ACTIVATIONS[name] for name in names])]
        return checks.frozen(codes[0]), checks.frozen(codes[1]), kernels.LOSSES[self.loss]

    def _has_kernels(self: Any, X: Any) -> bool:
        """Whether the kernels can take it: not yet sparse matrices, nor the exponential outputs of loss='poisson'."""
        return not issparse(X) and self.out_activation_ in kernels.ACTIVATIONS

    def _forward_pass_fast(self: Any, X: Any, check_input: bool = True) -> Array:
        if check_input:
            X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        if not self._has_kernels(X):
            return super()._forward_pass_fast(X, check_input=False)  # type: ignore[misc]
        dtype = np.result_type(X.dtype, self.coefs_[0].dtype)
        if dtype not in (np.float32, np.float64):
            dtype = np.dtype(np.float64)
        sizes, activations, _ = self._architecture()
        out = np.empty((X.shape[0], sizes[-1]), dtype)
        params = checks.frozen(_flat(self.coefs_, self.intercepts_, dtype))
        kernels.forward(checks.frozen(np.ascontiguousarray(X, dtype)), sizes, activations, params, out)
        return out

    def _fit_lbfgs(self: Any, X: Any, y: Array, sample_weight: Array | None, *rest: Any) -> None:
        if not self._has_kernels(X):
            super()._fit_lbfgs(X, y, sample_weight, *rest)  # type: ignore[misc]
            return
        params = _flat(self.coefs_, self.intercepts_, X.dtype)
        self._batches = _Batches(self, X, y, sample_weight, params, [np.zeros_like(params)])
        # With a momentum of 0 and a rate of 1 the velocity is the gradient, but for its sign.
        self._batches.prepare("momentum", 1.0, 0.0, 0.0, 0.0)
        try:
            super()._fit_lbfgs(X, y, sample_weight, *rest)  # type: ignore[misc]
        finally:
            del self._batches

    def _loss_grad_lbfgs(self: Any, packed: Array, X: Any, y: Array, *rest: Any) -> tuple[float, Array]:
        if not self._has_kernels(X):
            return super()._loss_grad_lbfgs(packed, X, y, *rest)  # type: ignore[misc]
        self._unpack(packed)
        batches = self._batches
        batches.params[:] = _flat(self.coefs_, self.intercepts_, batches.params.dtype)
        batches.first[:] = 0  # or the infinities of a step too far would stay
        loss = batches.run(np.arange(len(X)), 0)
        W, b = _views(batches.first, self._sizes())
        return loss, -np.concatenate([part.ravel() for part in W + b])

    def _fit_stochastic(self: Any, X: Any, y: Array, sample_weight: Array | None, *rest: Any) -> None:
        if not self._has_kernels(X):
            super()._fit_stochastic(X, y, sample_weight, *rest)  # type: ignore[misc]
            return
        incremental = rest[-1]
        if self.early_stopping and incremental:
            raise ValueError("partial_fit does not support early_stopping=True")
        if not incremental or not hasattr(self, "_optimizer"):
            self._optimizer = self._new_optimizer()
        training, validation = self._split(X, y, sample_weight)
        n = len(training[0])
        size = min(200, n) if self.batch_size == "auto" else min(self.batch_size, n)
        if self.batch_size != "auto" and self.batch_size > n:
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped", stacklevel=2)
        try:
            self._learn(_Batches(self, *training, *self._in_one_array(X.dtype)), n, size, validation, incremental)
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
        layers, sizes = len(self.coefs_), self._sizes()
        params = _flat(self.coefs_, self.intercepts_, dtype)
        self.coefs_, self.intercepts_ = _views(params, sizes)
        state = []
        for name in ("ms", "vs") if self.solver == "adam" else ("velocities",):
            parts = getattr(self._optimizer, name)
            state.append(_flat(parts[:layers], parts[layers:], dtype))
            setattr(self._optimizer, name, list(itertools.chain(*_views(state[-1], sizes))))
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
        if len(held[0]) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your dataset.")
        if is_classifier(self):
            held[1] = self._label_binarizer.inverse_transform(held[1])
        return tuple(training), tuple(held)

    def _learn(self: Any, batches: _Batches, n: int, size: int, validation: tuple[Any, ...], incremental: bool) -> None:
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

    All parameters, attributes and methods are those of ``sklearn.neural_network.MLPClassifier``. Sparse matrices are learnt by
    scikit-learn's own code.

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

    All parameters, attributes and methods are those of ``sklearn.neural_network.MLPRegressor``. Sparse matrices and
    ``loss="poisson"`` are learnt by scikit-learn's own code.
    """
