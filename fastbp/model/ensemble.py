"""Ensemble: several networks, and what they say together."""

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
from ..export.methods import FileExports
from .network import Network


@dataclass(frozen=True, eq=False, repr=False)
class Ensemble(FileExports):
    """
    Networks that predict together: their mean, and how far they are apart. Immutable; made by `fastbp.ensemble` and `fastbp.load`.

    ``fastbp.Ensemble(networks)`` makes one of networks of your own, trained for the same targets.

    Attributes
    ----------
    networks : tuple of Network
    options : mapping
        ``n``, ``bootstrap`` and ``seed`` of `fastbp.ensemble`; each network has its own options, too.
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
            for what, wanted, came in zip(_FITTING, _fitting(first), _fitting(net), strict=True):
                if came != wanted:
                    raise ValueError(
                        f"networks[{k}]: expected {what} as of networks[0] ({reprlib.repr(wanted)}), got {reprlib.repr(came)}"
                    )

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
        """Labels in the order of the columns of `predict_proba`; None but in classification."""
        return self.networks[0].classes

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the weights, and of what is predicted."""
        return self.networks[0].dtype

    @property
    def feature_names(self) -> tuple[str, ...] | None:
        """Columns that a frame must have to be predicted; None where the networks were trained on arrays."""
        names = [net.feature_names or () for net in self.networks]
        return tuple(dict.fromkeys(name for some in names for name in some)) or None

    def predict_proba(self, X: ArrayLike) -> NDArray[Any]:
        """
        Mean of the probabilities that the networks give.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)

        Returns
        -------
        array, shape (n, classes); in multilabel (n, labels)

        Raises
        ------
        ValueError
            The networks are for regression.
        """
        X = self._opened(X)
        return self._mean(net.predict_proba(X) for net in self.networks)

    def predict(self, X: ArrayLike, threshold: float = 0.5) -> NDArray[Any]:
        """
        Mean of the predicted numbers, or the class or the labels that the mean of the probabilities decides for.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
        threshold : float
            As in `Network.predict`.

        Returns
        -------
        array, shape (n,) or (n, outputs)
            As of `Network.predict`.
        """
        if self.task == "regression":
            X = self._opened(X)
            return self._mean(net.predict(X) for net in self.networks)
        if threshold != 0.5:
            self.networks[0]._check_threshold(threshold)
        return self._decision(self.predict_proba(X), threshold)

    def spread(self, X: ArrayLike) -> NDArray[np.float64]:
        """
        How far the networks are apart: the standard deviation of what they predict, over the networks.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)

        Returns
        -------
        float64 array
            Of the numbers, of the shape of `predict`; but in regression of the probabilities, of the shape of `predict_proba`.
        """
        X = self._opened(X)
        told = [net.predict(X) if self.task == "regression" else net.predict_proba(X) for net in self.networks]
        return np.std(told, axis=0, dtype=np.float64)

    def score(self, X: ArrayLike, y: ArrayLike) -> float:
        """
        As `Network.score`, of what the networks predict together.

        Parameters
        ----------
        X : array-like, frame or path of a table, shape (n, features)
        y : array-like, shape (n,) or (n, outputs)

        Returns
        -------
        float
        """
        return self.networks[0]._score_of(self.predict(X), y)

    def save(self, path: str | os.PathLike[str]) -> None:
        """
        Write all networks to one file; `fastbp.load` reads it.

        Parameters
        ----------
        path : path
            Replaced whole or not at all, as by `Network.save`.

        Raises
        ------
        OSError
            The file cannot be written.
        ValueError
            Labels of a type that a file cannot hold.
        """
        from . import storage

        storage.save(self, path)

    def _mean(self, told: Iterable[NDArray[Any]]) -> NDArray[Any]:
        """Mean of what the networks say to the same rows, one after the other; summed in float64."""
        total: Any = 0.0
        for one in told:
            total = total + one.astype(np.float64)
        return (total / len(self.networks)).astype(self.dtype)

    def _decision(self, probabilities: NDArray[Any], threshold: float = 0.5) -> NDArray[Any]:
        """What is predicted where these are the probabilities."""
        if self.classes is None:
            return (probabilities > threshold).astype(np.int64)
        if len(self.classes) == 2:
            return self.classes[(probabilities[:, 1] > threshold).astype(np.int64)]
        return self.classes[probabilities.argmax(axis=1)]

    def _opened(self, X: Any) -> Any:
        """X, read once where it is the path of a table."""
        return tables.opened(X, *(net.columns for net in self.networks))


_FITTING = ("a task", "classes", "outputs", "a type", "features", "levels of quantiles")


def _fitting(net: Network) -> tuple[Any, ...]:
    """What networks must have in common to predict together."""
    return (
        net.task,
        None if net.classes is None else net.classes.tolist(),
        (net.sizes[-1], net.single_output),
        net.dtype.name,
        f"{net.sizes[0]} inputs" if net.columns is None else "columns of a table",
        net.loss_parameter if net.loss == "quantile" else None,
    )


def members(model: Network | Ensemble) -> tuple[Network, ...]:
    """The networks of a model."""
    return model.networks if isinstance(model, Ensemble) else (model,)
