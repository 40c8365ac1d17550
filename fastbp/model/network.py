"""Network: trained weights, frozen, ready to predict (lecture L3, L30)."""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastbp.kernels as kernels

from .. import checks, tables
from ..data.pieces import PieceEncoder
from ..data.scaling import standardise
from ..data.sparse import SparseRows
from ..export.methods import Exports
from ..options import Architecture
from ..runtime import blocks
from ..runtime.lazy import cached_property
from . import scoring
from .posterior import Intervals, Posterior
from .predictor import PiecePredictor, Predictor


@dataclass(frozen=True, eq=False, repr=False)
class Network(Exports, Intervals):
    """
    A trained multilayer perceptron that only predicts. Immutable; made by `fastbp.train` and `fastbp.load`.

    Attributes
    ----------
    task : str
        ``"regression"``, ``"classification"`` or ``"multilabel"``.
    sizes : tuple of int
        Units per layer, inputs first.
    layer_activations : tuple of str
        Activation of each layer after the inputs.
    loss : str
        The loss that was minimised.
    params : array, shape (number of weights and biases,)
        All parameters, layer after layer: W (d_in, d_out), then b. Read-only, as are all arrays here.
    x_mean, x_scale, y_mean, y_scale : array
        The standardisation: the first layer sees (X - x_mean) / x_scale, predictions are out * y_scale + y_mean.
    classes : array or None
        Labels in the order of the columns of `predict_proba`; None unless it is classification.
    columns : Columns or None
        How a frame, or an array in pieces, becomes the inputs of the network (see `fastbp.tables.Columns`); None if an
        array has the inputs themselves.
    history : mapping of str to array
        Per epoch ``loss``, ``accuracy`` (not in regression), with a validation set ``validation_loss``,
        ``validation_accuracy`` and, with a metric, ``validation_metric``; and ``seconds`` since the start of the
        training. ``loss`` and ``accuracy`` are means over the epoch, each sample measured just before the update that
        it is used for; after the step, of optimizers of all samples, which add ``gradient_norm``, ``damping``,
        ``effective_parameters`` and ``noise_precision``. Losses are of standardised targets, without the penalty l2.
    best_epoch : int
        The epoch (from 1) whose weights these are.
    stop_reason : str
        ``"epochs"``, ``"target_loss"``, ``"target_accuracy"``, ``"max_seconds"``, ``"patience"``, ``"callback"``,
        ``"converged"``, ``"no_step"`` (lowers the loss), ``"interrupted"`` or ``"diverged"``; ``"unfinished"`` in a
        network from a checkpoint.
    options : mapping
        Every option of the run, with all defaults filled in.
    compile_seconds, train_seconds : float
        Time spent on making kernels ready, and on training.
    loss_parameter : tuple of float
        Levels of the loss ``"quantile"``, delta of ``"huber"``; empty for other losses.
    target_range : array, shape (2, units of the last layer), or None
        Least and largest target of the training rows: predictions are cut to it, in `forward`, too. A constant target
        always has it, and is predicted as it is. None: they are not cut.
    posterior : Posterior or None
        The uncertainty of the weights, for `predict_interval`; None of any optimizer but bayesian.
    examples : array, shape (rows, raw values), or None
        Raw values of some training rows (at most 1000), with which exports are verified. Files and pickles do not
        contain them.
    """

    task: str
    sizes: tuple[int, ...]
    layer_activations: tuple[str, ...]
    loss: str
    params: NDArray[Any]
    x_mean: NDArray[Any]
    x_scale: NDArray[Any]
    y_mean: NDArray[Any]
    y_scale: NDArray[Any]
    classes: NDArray[Any] | None = None
    single_output: bool = True
    columns: tables.Columns | None = None
    history: Mapping[str, NDArray[Any]] = field(default_factory=dict)
    best_epoch: int = 0
    stop_reason: str = "epochs"
    options: Mapping[str, Any] = field(default_factory=dict)
    compile_seconds: float = 0.0
    train_seconds: float = 0.0
    loss_parameter: tuple[float, ...] = ()
    target_range: NDArray[Any] | None = None
    examples: NDArray[Any] | None = None
    posterior: Posterior | None = None

    def __post_init__(self) -> None:
        for name in ("params", "x_mean", "x_scale", "y_mean", "y_scale", "classes", "target_range", "examples"):
            object.__setattr__(self, name, freeze(getattr(self, name)))
        object.__setattr__(self, "history", MappingProxyType({k: freeze(v) for k, v in self.history.items()}))
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))

    def __reduce__(self) -> tuple[Any, ...]:
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        state.update(history=dict(self.history), options=dict(self.options), examples=None)
        return _restore, (state,)

    def __repr__(self) -> str:
        shape = "-".join(map(str, self.sizes))
        return f"<fastbp.Network {self.task} {shape} {'/'.join(self.layer_activations)} {self.dtype}>"

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the weights, in which everything is computed."""
        return self.params.dtype

    @property
    def architecture(self) -> Architecture:
        """Sizes, activations and loss as the kernels take them (the functions of a custom loss are not kept)."""
        return Architecture(self.sizes, self.layer_activations, self.loss, self.task, self.loss_parameter)

    @property
    def weights(self) -> list[NDArray[Any]]:
        """Weights of each layer, shape (d_in, d_out) (lecture L25); read-only views."""
        return layers(self.params, self.sizes)[0]

    @property
    def biases(self) -> list[NDArray[Any]]:
        """Biases of each layer, shape (d_out,); read-only views."""
        return layers(self.params, self.sizes)[1]

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Columns that a frame must have; None if the network was trained on an array."""
        return None if self.columns is None or not self.columns.named else self.columns.names

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """Name of each input: a column, or one of the values, parts or pieces of a column; None if it has none."""
        return None if self.columns is None else self.columns.inputs

    @property
    def central(self) -> slice:
        """Which outputs predict the targets: all, or of several quantiles those whose level is nearest to 1/2."""
        levels = np.array(self.loss_parameter)
        return slice(int(np.argmin(np.abs(levels - 0.5))), None, len(levels)) if len(levels) > 1 else slice(None)

    def encode(self, X: ArrayLike) -> NDArray[Any]:
        """
        Inputs of the first layer, not yet standardised.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
            The columns of a frame, or of a CSV or Parquet file, are found by their names, in any order, and encoded as
            in training. An array must have the inputs themselves, or their raw values as exported networks take them.

        Returns
        -------
        array, shape (n, sizes[0])
        """
        return tables.inputs("X", X, self.columns, self.sizes[0])

    def _inputs(self, X: ArrayLike) -> NDArray[Any]:
        return standardise("X", self.encode(X), self.x_mean, self.x_scale, self.dtype)

    @cached_property
    def _predictor(self) -> Predictor:
        moments = np.array([self.x_mean, self.x_scale], np.float64), np.array([self.y_mean, self.y_scale], np.float64)
        return Predictor(self.architecture, self.params, *moments, self.target_range)

    @cached_property
    def _in_pieces(self) -> PiecePredictor | None:
        """What predicts the rows of a table, if not all inputs need be made for that."""
        if self.columns is None or not self.columns.in_pieces or len(self.sizes) < 3:
            return None
        encoder = PieceEncoder(self.columns, self.x_mean, self.x_scale, self.dtype)
        rescaling = np.array([self.y_mean, self.y_scale])
        return PiecePredictor(self.architecture, self.params, encoder, rescaling, self.target_range)

    @property
    def kernel_arguments(self) -> tuple[Any, ...]:
        """Arguments of `kernels.infer`: scaling, sizes, activations, params and rescaling."""
        return self._predictor.constants

    def _infer(self, X: ArrayLike, threshold: float = 0.5, decide: bool = False) -> NDArray[Any]:
        """Outputs for raw values (in regression, in the units of the targets), or the number of each row's class."""
        result = self._predictor(X, threshold, decide)
        if result is None and self._in_pieces is not None and not checks.is_sparse(X):
            X = tables.opened(X, self.columns)
            result = self._in_pieces(X, threshold, decide)
        if result is None:
            if isinstance(X, np.ndarray) and X.ndim == 2:
                self._predictor.space(len(X), decide)  # raises before all of X is checked
            sparse = isinstance(X, SparseRows) or checks.is_sparse(X)
            array: Any = SparseRows.of("X", X, self.sizes[0]) if sparse else self.encode(X)
            parts = blocks.parts(len(array), 8 * array.shape[1])
            if len(parts) == 1 and not sparse:
                return self._part(array, threshold, decide)
            result = self._predictor.space(len(array), decide)
            for rows in parts:
                result[rows] = self._part(array[rows].dense() if sparse else array[rows], threshold, decide)
        return result

    def outputs_of(self, inputs: NDArray[np.float64]) -> NDArray[Any] | None:
        """Outputs for inputs as `encode` gives them; None if they cannot be standardised."""
        return self._predictor(inputs, 0.5, False)

    def _part(self, X: NDArray[Any], threshold: float, decide: bool) -> NDArray[Any]:
        """The same for a part of the rows, of any type."""
        X = self._predictor.fitting(X)
        result = self._predictor(X, threshold, decide)
        if result is None:
            self._inputs(X)  # raises, and says where
            raise ValueError(f"X: expected numbers that can be standardised in {self.dtype}, got {np.abs(X).max():g}")
        return result

    def forward(self, X: ArrayLike) -> NDArray[Any]:
        """
        Raw outputs of the last layer.

        Parameters
        ----------
        X : array-like or frame, shape (n, features)
            Raw values; the network standardises them itself.

        Returns
        -------
        array, shape (n, units of the last layer)
            In regression, in the units of the targets, and within `target_range`.
        """
        return self._infer(X)

    def activations(self, X: ArrayLike) -> list[NDArray[Any]]:
        """
        Outputs a of every layer (lecture L25), the standardised inputs first.

        Parameters
        ----------
        X : array-like or frame, shape (n, features)

        Returns
        -------
        list of array
            One per layer, shape (n, units).
        """
        a = [self._inputs(X)]
        for W, b, name in zip(*layers(self.params, self.sizes), self.layer_activations, strict=True):
            z = np.empty((len(a[0]), W.shape[1]), self.dtype)
            kernels.linear_forward(a[-1], W, b, z)
            kernels.activation_forward(kernels.ACTIVATIONS[name], z, z)
            a.append(z)
        return a

    def input_gradient(self, X: ArrayLike) -> NDArray[Any]:
        """
        Gradient of every output of `forward` with respect to every input: its sensitivity (lecture L13).

        Parameters
        ----------
        X : array-like or frame, shape (n, features)

        Returns
        -------
        array, shape (n, units of the last layer, features)
            Per raw unit of the inputs; in regression, in the units of the targets, as if there were no `target_range`.
        """
        a, weights = self.activations(X), self.weights
        kinds = [kernels.ACTIVATIONS[name] for name in self.layer_activations]
        for layer in reversed(range(len(kinds))):
            if kernels.takes_input(kinds[layer]):  # f' is computed from z there
                kernels.linear_forward(a[layer], weights[layer], self.biases[layer], a[layer + 1])
        gradient = np.empty((len(a[0]), self.sizes[-1], self.sizes[0]), self.dtype)
        for k in range(self.sizes[-1]):
            # dy_k/da of the last layer is 1 at unit k; then delta(l) = (W(l+1) delta(l+1)) f'(z), back to the inputs.
            above, delta = np.zeros_like(a[-1]), np.empty_like(a[-1])
            above[:, k] = 1
            kernels.node.activation_backward(kinds[-1], a[-1], above, delta)
            for layer in range(len(kinds) - 1, 0, -1):
                below = np.empty_like(a[layer])
                kernels.hidden_delta(kinds[layer - 1], delta, weights[layer], a[layer], below)
                delta = below
            kernels.matmul(delta, weights[0].T, gradient[:, k])
        gradient /= self.x_scale.astype(self.dtype)
        if self.task == "regression":
            gradient *= self.y_scale.astype(self.dtype)[:, None]
        return gradient

    def predict_proba(self, X: ArrayLike, strict: bool = False) -> NDArray[Any]:
        """
        Inference: the probability of each class (lecture L3).

        Parameters
        ----------
        X : array-like or frame, shape (n, features)
        strict : bool
            As for `predict`.

        Returns
        -------
        array, shape (n, classes); in multilabel (n, labels)
            Rows sum to 1, except in multilabel, where each column is an independent probability.

        Raises
        ------
        ValueError
            The network is for regression.
        """
        if strict:
            with tables.strict():
                return self.predict_proba(X)
        if self.task == "regression":
            raise ValueError(
                "predict_proba: expected a network for classification, this one is for regression; use predict"
            )
        out = self._infer(X)
        if self.task == "multilabel" or self.layer_activations[-1] == "softmax":
            return out
        if out.shape[1] == 1:
            return np.hstack([1 - out, out])
        total = out.sum(axis=1, keepdims=True)
        return np.where(total > 0, out / np.where(total > 0, total, 1), 1 / out.shape[1]).astype(self.dtype)

    def predict(self, X: ArrayLike, threshold: float = 0.5, strict: bool = False) -> NDArray[Any]:
        """
        Decision: the predicted number, class or labels (lecture L3).

        Parameters
        ----------
        X : array-like or frame, shape (n, features)
        threshold : float
            Two classes and multilabel: the second class (the label) is chosen if its probability is above this.
            Several classes: the most probable one is chosen, and `threshold` must be 0.5.
        strict : bool
            A cell of a table that cannot be read as in training is an error, instead of a `fastbp.TableWarning`.

        Returns
        -------
        array, shape (n,) or (n, outputs)
            Numbers in the units of the targets, or labels as in training. Of several quantiles a column for each level,
            target after target.
        """
        if strict:
            with tables.strict():
                return self.predict(X, threshold)
        if self.task == "regression":
            out = self._infer(X)
            return out[:, 0] if self.single_output else out
        if threshold != 0.5:
            self._check_threshold(threshold)
        if self.task == "multilabel":
            return (self._infer(X) > threshold).astype(np.int64)
        return self.classes[self._infer(X, threshold, True)]  # type: ignore[index]

    def _check_threshold(self, threshold: float) -> None:
        if checks.real("threshold", threshold, least=0) > 1:
            raise ValueError(f"threshold: expected a probability of at most 1, got {threshold!r}")
        if self.classes is not None and len(self.classes) > 2:
            wanted = f"0.5 with {len(self.classes)} classes (the most probable is chosen)"
            raise ValueError(f"threshold: expected {wanted}, got {threshold!r}")

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """
        Accuracy (multilabel: all labels of a sample right), or R^2 in regression (mean over the outputs).

        Of several quantiles it is the R^2 of the one whose level is nearest to 1/2.

        Parameters
        ----------
        X : array-like or frame, shape (n, features)
        y : array-like, shape (n,) or (n, outputs)
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        float
        """
        return self._score_of(self.predict(X), y, sample_weight)

    def _score_of(self, predicted: NDArray[Any], y: ArrayLike, weight: ArrayLike | None = None) -> float:
        """`score` of what `predict` returned."""
        return scoring.score(self, predicted, y, weight)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write the network to a file (safetensors with a JSON header); `fastbp.load` reads it.

        Parameters
        ----------
        path : path
            Written to a temporary file in its folder, flushed to disk and renamed: an old file is replaced completely
            or not at all.

        Raises
        ------
        OSError
            The file cannot be written.
        ValueError
            Labels of a type that a file cannot hold.
        """
        from . import storage

        storage.save(self, path)


def freeze(array: NDArray[Any] | None) -> NDArray[Any] | None:
    """A copy that can never be made writable again: its memory is a bytes object. Of such a copy, the array itself."""
    if array is None:
        return None
    array = np.ascontiguousarray(array)
    memory: Any = array
    while isinstance(memory, np.ndarray):
        memory = memory.base
    if isinstance(memory, bytes) and len(memory) == array.nbytes:
        return array
    if array.dtype.kind == "O":
        array = array.copy()
        array.flags.writeable = False
        return array
    return np.frombuffer(array.tobytes(), array.dtype).reshape(array.shape)


def _restore(state: dict[str, Any]) -> Network:
    return Network(**state)


def layers(params: NDArray[Any], sizes: Sequence[int]) -> tuple[list[NDArray[Any]], list[NDArray[Any]]]:
    """The weights and the biases of each layer, as views of `params`."""
    weights, biases, at = [], [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        middle, end = at + n_in * n_out, at + (n_in + 1) * n_out
        weights.append(params[at:middle].reshape(n_in, n_out))
        biases.append(params[middle:end])
        at = end
    return weights, biases
