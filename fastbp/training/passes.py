"""Passes over fixed samples through the compiled loops: what `fastbp.train` and the estimators of `fastbp.sklearn` have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

import fastbp.kernels as kernels

from .. import compilation
from ..options import Architecture

Array = NDArray[Any]


class Passes:
    """
    One pass of mini-batch learning after another: holds the work space, and takes the threads where they pay.

    Parameters
    ----------
    X : C-contiguous array of the dtype of params, shape (n, features), or sparse matrix (CSR)
    Y : array, shape (n, outputs)
    weight : array, shape (n,)
        Factors of the losses. May be changed between passes.
    net : Architecture
    params : array
        Parameters, updated in place.
    optimizer : str
        Or ``"gradient"``: then the parameters stay, and the state becomes the gradient of the last batch.
    state : list of array
        State of the optimizer, updated in place.
    numbers : (float, float, float)
        beta1, beta2 and epsilon of the optimizer.
    batch_size : int
    dropout : sequence of float
        Share of each hidden layer's units that is dropped.
    clip : float
        Length to which gradients are cut.
    seed : int
        What is dropped depends on it.
    threads : int
    rows : int, optional
        Samples of the longest pass; by default all.
    """

    def __init__(
        self,
        X: Any,
        Y: Array,
        weight: Array,
        net: Architecture,
        params: Array,
        optimizer: str,
        state: Sequence[Array],
        numbers: tuple[float, float, float],
        batch_size: int,
        *,
        dropout: Sequence[float] = (),
        clip: float = np.inf,
        seed: int = 0,
        threads: int = 1,
        rows: int | None = None,
    ) -> None:
        self.threads, self.net, self.params = threads, net, params
        self.n = X.shape[0] if rows is None else rows
        sparse = not isinstance(X, np.ndarray)
        if sparse:
            X = tuple(
                np.ascontiguousarray(part) for part in (X.data, X.indices.astype(np.int64), X.indptr.astype(np.int64))
            )
        shares = np.zeros(len(net.activations))
        shares[: len(dropout)] = dropout
        self.loss = net.loss_for(params.dtype)  # kept: a loss of one's own is called by its address
        first, second = (*state, *[np.empty(0, params.dtype)] * 2)[:2]

        def prepared(parallel: bool) -> Any:
            return kernels.prepare_minibatch(
                X,
                Y,
                weight,
                self.n,
                batch_size,
                net.size_array,
                net.activation_codes,
                *self.loss,
                net.decision_code,
                params,
                kernels.RULES[optimizer],
                first,
                second,
                *numbers,
                dropout=shares,
                clip=clip,
                seed=seed,
                parallel=parallel,
            )

        parallel = threads > 1 and kernels.parallel_pays(net.sizes, batch_size, params.itemsize)
        ways = {"parallel": parallel, "sparse": sparse, "dropout": shares.any(), "clipped": clip < np.inf}
        self.kernel_names = [
            compilation.loop_name(net, params, batch_size, *(way for way, asked in ways.items() if asked))
        ]
        self.serial, self.parallel = prepared(False), prepared(True) if parallel else None

    def run(self, order: Array, step: int, learning_rate: ArrayLike, l2: ArrayLike) -> kernels.Pass:
        """
        One pass in this order of samples, `rows` at most, after `step` updates; rates and penalties, one for all batches or one each.

        Fewer samples are one whole batch at least (see `blocks.bounds`).
        """
        if self.parallel is None:
            return self.serial(order, step, learning_rate, l2)
        with kernels.threads(self.threads) as allowed:
            return (self.parallel if allowed else self.serial)(order, step, learning_rate, l2)
