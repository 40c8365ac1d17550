"""Ensemble: several networks that predict together."""

from __future__ import annotations

import os
import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import tables
from ..export.methods import Exports
from ..runtime.lazy import cached_property
from ..tables.raw_inputs import Inputs
from .network import Network
from .posterior import Intervals


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(Exports, Intervals):
    """
    Networks that predict together: their mean, and how far they disagree.

    Immutable; made by `fastbp.ensemble` and `fastbp.load`. ``fastbp.Ensemble(networks)`` combines your own networks,
    trained for the same targets.

    Attributes
    ----------
    networks : tuple of Network
    options : mapping
        ``n``, ``bootstrap`` and ``seed`` of `fastbp.ensemble`, or of `fastbp.train` with a quality ``quality``, ``n``,
        ``seed``, ``pilots`` (how many), ``pilot_loss`` (the mean of their validation losses in their best epochs),
        ``validation_score`` (if rows were set aside) and ``interrupted`` (if Ctrl-C came). Each network also has its
        own options.
    """

    networks: tuple[Network, ...]
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "networks", tuple(self.networks))
        object.__setattr__(self, "options", MappingProxyType(dict(self.options)))
        if not self.networks:
            raise ValueError("networks: expected at least one, got none")
        first = self.networks[0]
        for k, net in enumerate(self.networks):
            if not isinstance(net, Network):
                raise ValueError(f"networks[{k}]: expected a Network, got {type(net).__name__}")
            for what, wanted, got in zip(_COMMON, _common(first), _common(net), strict=True):
                if got != wanted:
                    wanted, got = reprlib.repr(wanted), reprlib.repr(got)
                    raise ValueError(f"networks[{k}]: expected the {what} of networks[0] ({wanted}), got {got}")

    def __reduce__(self) -> tuple[Any, ...]:
        return Ensemble, (self.networks, dict(self.options))

    def __repr__(self) -> str:
        return f"<fastbp.Ensemble {self.task} of {len(self.networks)} networks {self.dtype}>"

    @property
    def task(self) -> str:
        """``"regression"``, ``"classification"`` or ``"multilabel"``."""
        return self.networks[0].task

    @property
    def classes(self) -> NDArray[Any] | None:
        """Labels in the order of the columns of `predict_proba`; None unless it is classification."""
        return self.networks[0].classes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the weights and of the predictions."""
        return self.networks[0].dtype

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Columns that a frame must have; None if the networks were trained on arrays."""
        names = [net.feature_names or () for net in self.networks]
        return tuple(dict.fromkeys(name for some in names for name in some)) or None

    @cached_property
    def columns(self) -> tables.Columns | None:
        """How a frame becomes the inputs of all networks; None if they encode it differently, or knew only arrays."""
        if any(net.columns is None for net in self.networks) or self._different_column(of_raw=False) is not None:
            return None
        return self.networks[0].columns

    @property
    def input_names(self) -> tuple[str, ...] | None:
        """Name of each input, as of `Network`; None if there are no `columns`."""
        return None if self.columns is None else self.columns.inputs

    @property
    def examples(self) -> NDArray[Any] | None:
        """Raw values of some training rows of the first network, with which exports are verified; see `Network`."""
        return self.networks[0].examples

    def encode(self, X: ArrayLike) -> NDArray[Any]:
        """
        Inputs of the first layer of every network, not yet standardised.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
            As in `Network.encode`.

        Returns
        -------
        array, shape (n, inputs)

        Raises
        ------
        ValueError
            The networks encode a table's columns differently.
        """
        self._require_equal_columns("encode", of_raw=False)
        return self.networks[0].encode(X)

    def input_gradient(self, X: ArrayLike) -> NDArray[Any]:
        """
        Mean of the networks' gradients of `Network.forward` with respect to every input (lecture L13).

        In regression, and wherever the outputs of the networks are probabilities, this is the gradient of their mean.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)

        Returns
        -------
        array, shape (n, units of the last layer, inputs)
            Per raw unit of the inputs; in regression, in the units of the targets. Two classes that the networks tell
            apart by a single logistic unit have one gradient: that of the probability of the second class.

        Raises
        ------
        ValueError
            The networks encode a table's columns differently.
        """
        self._require_equal_columns("input_gradient", of_raw=False)
        inputs = self.networks[0].encode(X)
        return self._mean(net.input_gradient(inputs) for net in self.networks)

    def predict_proba(self, X: ArrayLike, strict: bool = False) -> NDArray[Any]:
        """
        Mean of the probabilities that the networks predict.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
        strict : bool
            As in `Network.predict`.

        Returns
        -------
        array, shape (n, classes); in multilabel (n, labels)

        Raises
        ------
        ValueError
            The networks are for regression.
        """
        if strict:
            with tables.strict():
                return self.predict_proba(X)
        X = self._opened(X)
        return self._mean(net.predict_proba(X) for net in self.networks)

    def predict(self, X: ArrayLike, threshold: float = 0.5, strict: bool = False) -> NDArray[Any]:
        """
        Mean of the predicted numbers; or the class or labels decided by the mean of the probabilities.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
        threshold, strict
            As in `Network.predict`.

        Returns
        -------
        array, shape (n,) or (n, outputs)
            As from `Network.predict`.
        """
        if strict:
            with tables.strict():
                return self.predict(X, threshold)
        if self.task == "regression":
            X = self._opened(X)
            return self._mean(net.predict(X) for net in self.networks)
        if threshold != 0.5:
            self.networks[0]._check_threshold(threshold)
        return self._decision(self.predict_proba(X), threshold)

    def spread(self, X: ArrayLike) -> NDArray[np.float64]:
        """
        How far the networks disagree: the standard deviation of their predictions.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)

        Returns
        -------
        float64 array
            In regression of the numbers, with the shape of `predict`; else of the probabilities, with the shape of
            `predict_proba`.
        """
        X = self._opened(X)
        found = [net.predict(X) if self.task == "regression" else net.predict_proba(X) for net in self.networks]
        return np.std(found, axis=0, dtype=np.float64)

    def _variance(self, X: ArrayLike, noise: bool) -> NDArray[np.float64]:
        """Of the mixture of what the networks predict: see `Network.predict_interval`."""
        X = self._opened(X)
        centres = np.array([net.forward(X) for net in self.networks], np.float64)
        return np.mean([net._variance(X, noise) for net in self.networks], axis=0) + centres.var(axis=0)

    def score(self, X: ArrayLike, y: ArrayLike, sample_weight: ArrayLike | None = None) -> float:
        """
        As `Network.score`, for what the networks predict together.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
        y : array-like, shape (n,) or (n, outputs)
        sample_weight : array-like, shape (n,), optional

        Returns
        -------
        float
        """
        return self.networks[0]._score_of(self.predict(X), y, sample_weight)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write all networks to one file; `fastbp.load` reads it.

        Parameters
        ----------
        path : path
            Replaced completely or not at all, as by `Network.save`.

        Raises
        ------
        OSError
            The file cannot be written.
        ValueError
            Labels of a type that a file cannot hold.
        """
        from . import storage

        storage.save(self, path)

    def _mean(self, predictions: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """Mean of the predictions of all networks for the same rows; summed in order, in float64."""
        total: Any = 0.0
        for one in predictions:
            total = total + one.astype(np.float64)
        return (total / len(self.networks)).astype(self.dtype)

    def _decision(self, probabilities: NDArray[Any], threshold: float = 0.5) -> NDArray[Any]:
        """The prediction for these probabilities."""
        if self.classes is None:
            return (probabilities > threshold).astype(np.int64)
        if len(self.classes) == 2:
            return self.classes[(probabilities[:, 1] > threshold).astype(np.int64)]
        return self.classes[probabilities.argmax(axis=1)]

    def _different_column(self, of_raw: bool) -> str | None:
        """Name of a column of a table for which not the same raw values, or inputs, fit all networks."""
        columns = [net.columns for net in self.networks if net.columns is not None]
        return tables.difference(columns, of_raw) if columns else None

    def _require_equal_columns(self, name: str, of_raw: bool) -> None:
        """Raise ValueError if there is such a column; `name` is what needs that there is none."""
        different = self._different_column(of_raw)
        if different is not None:
            raise ValueError(
                f"{name}: expected networks that encode a table's columns in the same way, those of the ensemble "
                f"differ in {different!r}; train it without bootstrap, and with your own validation rows, or none"
            )

    def _opened(self, X: Any) -> Any:
        """X, read once for all networks if it is a table, or the path of one."""
        X, columns = tables.opened(X, *(net.columns for net in self.networks)), self.columns
        values = None if columns is None else tables.read("X", X, columns)
        return X if columns is None or values is None else tables.Encoded(columns, values)


# What networks must have in common to predict together.
_COMMON = ("task", "classes", "outputs", "type", "features", "levels of quantiles")


def _common(net: Network) -> tuple[Any, ...]:
    return (
        net.task,
        None if net.classes is None else net.classes.tolist(),
        (net.sizes[-1], net.single_output),
        net.dtype.name,
        "columns of a table" if net.feature_names is not None else f"{Inputs.of(net).count} inputs",
        net.loss_parameter if net.loss == "quantile" else None,
    )


def members(model: Network | Ensemble) -> tuple[Network, ...]:
    """The networks of a model."""
    return model.networks if isinstance(model, Ensemble) else (model,)
