"""The methods of a network that take it elsewhere; each imports what it needs when it is called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.network import Network


class FileExports:
    """Part of `fastbp.Network` and `fastbp.Ensemble`."""

    def to_onnx(self, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
        """
        Write the network with its scaler as an ONNX file; of an ensemble all networks and their mean.

        Parameters
        ----------
        path : path
            An old file is replaced once the new one has been run and compared.
        X : array-like or frame, shape (n, features), optional
            Rows to compare on; by default `Network.examples`, and in a network from a file rows drawn from the means and deviations of the
            inputs.

        Raises
        ------
        ImportError
            onnx or onnxruntime is not installed.
        OSError
            The file cannot be written.
        RuntimeError
            ONNX Runtime does not answer as the network does.
        ValueError
            Networks of the ensemble have made other inputs of a table's columns, so that no row of numbers fits all.

        Notes
        -----
        The input ``X``, [rows, raw values] of `dtype`, takes NaN for missing numbers. The outputs are ``label`` and ``probabilities``, or
        ``prediction``. Of a network that was trained on a frame, raw values are what ``net.columns.encode_raw`` gives.
        """
        from .onnx import to_onnx

        to_onnx(cast("Network | Ensemble", self), path, X)

    def to_c(self, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
        """
        Write the network with its scaler, or the ensemble, as one C99 file that needs nothing but the C library.

        Its first comment says how to call it.

        Parameters
        ----------
        path : path
            The stem of its name becomes that of the functions. An old file is replaced once the new one has been compiled and compared.
        X : array-like or frame, shape (n, features), optional
            As in `to_onnx`.

        Raises
        ------
        OSError
            The file cannot be written.
        RuntimeError
            It cannot be compiled, or does not answer as the network does.

        Warns
        -----
        UserWarning
            There is no C compiler (cc, gcc or clang): the file was not compared.
        """
        from .c import to_c

        to_c(cast("Network | Ensemble", self), path, X)

    def to_numpy(self, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
        """
        Write the network with its scaler, or the ensemble, as one Python file that needs nothing but NumPy.

        Parameters
        ----------
        path : path
            The file has functions ``forward`` (not of an ensemble for classification or multilabel), ``predict`` and, but in regression,
            ``predict_proba``. An old one is replaced once
            the new one has been run and compared.
        X : array-like or frame, shape (n, features), optional
            As in `to_onnx`.

        Raises
        ------
        OSError
            The file cannot be written.
        RuntimeError
            It does not answer as the network does.
        """
        from .numpy import to_numpy

        to_numpy(cast("Network | Ensemble", self), path, X)


class Exports(FileExports):
    """Part of `fastbp.Network`."""

    def to_sklearn(self, X: ArrayLike | None = None) -> Any:
        """
        Give the network as scikit-learn's own estimator.

        Parameters
        ----------
        X : array-like or frame, shape (n, features), optional
            Rows to compare on, as in `to_onnx`.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted, float64, the scaler within the first and the last layer. It takes what `encode` gives.

        Raises
        ------
        ImportError
            scikit-learn is not installed.
        ValueError
            Activations that scikit-learn does not have: it has identity, logistic, tanh and relu, one for all hidden layers.
        RuntimeError
            It does not answer as the network does.
        """
        from .sklearn import to_sklearn

        return to_sklearn(cast("Network", self), X)

    def to_torch(self, X: ArrayLike | None = None) -> Any:
        """
        Give the network as a PyTorch module.

        Parameters
        ----------
        X : array-like or frame, shape (n, features), optional
            Rows to compare on, as in `to_onnx`.

        Returns
        -------
        torch.nn.Sequential
            Linear layers and activations of `dtype`, the scaler within the first and the last layer. It takes what `encode` gives, and
            gives what `forward` does.

        Raises
        ------
        ImportError
            PyTorch is not installed.
        RuntimeError
            It does not answer as the network does.
        """
        from .torch import to_torch

        return to_torch(cast("Network", self), X)

    def jit(self) -> Any:
        """
        The network as a function for your own ``@njit`` functions.

        Returns
        -------
        function
            ``f(x, out)``: x, shape (features,), has the raw values of one row, NaN where a number is missing that was missing in
            training too; out, shape (units of the last layer,), is overwritten with what `forward` gives. It allocates nothing, and raises
            ValueError where a size is wrong or a number is not finite.

        Notes
        -----
        Of a network that was trained on a frame, x holds what ``net.columns.encode_raw`` gives: numbers as they are, and what
        ``net.columns.exported.names`` says for categories and dates. Compiled at its first call, in about a second.

        Examples
        --------
        >>> import fastbp, numpy as np
        >>> from numba import njit
        >>> net = fastbp.train([[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0], hidden=(), seed=0)
        >>> f = net.jit()
        >>> @njit
        ... def total(X):
        ...     out, sum = np.empty(1), 0.0
        ...     for i in range(len(X)):
        ...         f(X[i], out)
        ...         sum += out[0]
        ...     return sum
        >>> round(total(np.array([[0.0], [1.0], [2.0]])))
        9
        """
        from .jit import jit

        return jit(cast("Network", self))

    def cfunc(self) -> Any:
        """
        The network of one output as a C function, ``double f(int n, double *x)``.

        Returns
        -------
        numba CFunc
            ``scipy.LowLevelCallable(net.cfunc().ctypes)`` goes to SciPy's integration and filters; ``.address`` to any C code. It
            returns NaN where n is not the number of features or a number is not finite. Keep it as long as its address is in use.

        Raises
        ------
        ValueError
            The network has several outputs.
        """
        from .jit import c_function

        return c_function(cast("Network", self))
