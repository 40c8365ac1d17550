"""Passes over fixed samples through the compiled loops, for `fastbp.train` and the estimators of `fastbp.sklearn`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastbp.kernels as kernels

from .. import compilation
from ..data.pieces import InPieces
from ..options import Architecture

Array = NDArray[Any]


@dataclass(frozen=True)
class UpdateRule:
    """
    How a batch changes the weights.

    Attributes
    ----------
    optimizer : str
        Or ``"gradient"``: the parameters stay, and the state becomes the gradient of the last batch.
    state : sequence of array
        State of the optimizer, updated in place.
    numbers : (float, float, float)
        beta1, beta2 and epsilon of the optimizer.
    dropout : sequence of float
        Share of each hidden layer's units that is dropped.
    clip : float
        Greatest norm of a gradient; longer ones are clipped.
    """

    optimizer: str
    state: Sequence[Array]
    numbers: tuple[float, float, float]
    dropout: Sequence[float] = ()
    clip: float = np.inf


class Passes:
    """
    Passes of mini-batch learning: holds the work space, and uses threads where they pay.

    Parameters
    ----------
    samples : (X, Y, weight)
        X, a C-contiguous array of the dtype of params, shape (n, features), a sparse matrix (CSR), or InPieces; Y,
        shape (n, outputs); weight, shape (n,), the factors of the losses, which may be changed between passes.
    net : Architecture
    params : array
        Parameters, updated in place.
    rule : UpdateRule
    batch_size : int
    seed : int
        Determines what is dropped.
    threads : int
    rows : int, optional
        Samples of the longest pass; by default all.
    """

    def __init__(
        self,
        samples: tuple[Any, Array, Array],
        net: Architecture,
        params: Array,
        rule: UpdateRule,
        batch_size: int,
        *,
        seed: int = 0,
        threads: int = 1,
        rows: int | None = None,
    ) -> None:
        X, Y, weight = samples
        self.threads, self.net, self.params = threads, net, params
        self.n = X.shape[0] if rows is None else rows
        pieces, sparse = isinstance(X, InPieces), not isinstance(X, np.ndarray | InPieces)
        if pieces:
            X = X.rows
        elif sparse:
            parts = X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64)
            X = tuple(map(np.ascontiguousarray, parts))
        shares = np.zeros(len(net.activations))
        shares[: len(rule.dropout)] = rule.dropout
        self.loss = net.loss_for(params.dtype)  # kept: the kernels call a custom loss by its address
        first, second = (*rule.state, *[np.empty(0, params.dtype)] * 2)[:2]
        network = net.size_array, net.activation_codes, *self.loss, net.decision_code, params
        update = kernels.RULES[rule.optimizer], first, second, *rule.numbers
        more = {"dropout": shares, "clip": rule.clip, "seed": seed}

        def prepared(parallel: bool) -> Any:
            data = X, Y, weight, self.n, batch_size
            return kernels.prepare_minibatch(*data, *network, *update, **more, parallel=parallel)

        parallel = threads > 1 and kernels.parallel_pays(net.sizes, batch_size, params.itemsize)
        ways = {
            "parallel": parallel,
            "sparse": sparse,
            "pieces": pieces,
            "dropout": shares.any(),
            "clipped": rule.clip < np.inf,
        }
        used = [way for way, asked in ways.items() if asked]
        self.kernel_names = [compilation.loop_name(net, params, batch_size, *used)]
        self.serial, self.parallel = prepared(False), prepared(True) if parallel else None

    def run(self, order: Array, step: int, learning_rate: ArrayLike, l2: ArrayLike) -> kernels.Pass:
        """
        One pass over the samples in this order, at most `rows` of them, after `step` updates.

        Learning rates and penalties are one for all batches, or one for each. A pass over fewer samples has at least
        one whole batch (see `blocks.bounds`).
        """
        if self.parallel is None:
            return self.serial(order, step, learning_rate, l2)
        with kernels.threads(self.threads) as allowed:
            return (self.parallel if allowed else self.serial)(order, step, learning_rate, l2)
