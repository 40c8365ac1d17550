"""The export methods of networks and ensembles; each imports what it needs when it is called."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, cast

from numpy.typing import ArrayLike

if TYPE_CHECKING:
    from ..model.ensemble import Ensemble
    from ..model.network import Network


class Exports:
    """A mixin of `fastbp.Network` and `fastbp.Ensemble`."""

    def to_onnx(self, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
        """
        Write the network with its scaler, or all networks of the ensemble and their mean, as an ONNX file.

        Parameters
        ----------
        path : path
            An existing file is replaced after the new one has been run and compared.
        X : array-like or frame, shape (n, features), optional
            Rows to compare on. By default `Network.examples`; for a network loaded from a file, rows drawn from the
            means and deviations of the inputs.

        Raises
        ------
        ImportError
            onnx or onnxruntime is not installed.
        OSError
            The file cannot be written.
        RuntimeError
            The predictions of ONNX Runtime differ from those of the network.
        ValueError
            The networks of the ensemble encode a table's columns differently, so that no row of numbers fits them all.

        Notes
        -----
        The input ``X``, [rows, raw values] of `dtype`, takes NaN for missing numbers. The outputs are ``label`` and
        ``probabilities``, or ``prediction``. For a network that was trained on a frame, raw values are what
        ``net.columns.encode_raw`` returns.
        """
        from .onnx import to_onnx

        to_onnx(cast("Network | Ensemble", self), path, X)

    def to_c(self, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
        """
        Write the network with its scaler, or the ensemble, as one C99 file that needs only the C library.

        Its first comment says how to call it.

        Parameters
        ----------
        path : path
            The functions are named after the file. An existing file is replaced after the new one has been compiled
            and compared.
        X : array-like or frame, shape (n, features), optional
            As in `to_onnx`.

        Raises
        ------
        OSError
            The file cannot be written.
        RuntimeError
            It cannot be compiled, or its predictions differ from those of the network.

        Warns
        -----
        UserWarning
            There is no C compiler (cc, gcc or clang), so the file was not compared.
        """
        from .c import to_c

        to_c(cast("Network | Ensemble", self), path, X)

    def to_numpy(self, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
        """
        Write the network with its scaler, or the ensemble, as one Python file that needs only NumPy.

        Parameters
        ----------
        path : path
            The file has the functions ``predict``, ``predict_proba`` (except in regression) and ``forward`` (except in
            an ensemble for classification or multilabel). An existing file is replaced after the new one has been run
            and compared.
        X : array-like or frame, shape (n, features), optional
            As in `to_onnx`.

        Raises
        ------
        OSError
            The file cannot be written.
        RuntimeError
            Its predictions differ from those of the network.
        """
        from .numpy import to_numpy

        to_numpy(cast("Network | Ensemble", self), path, X)

    def to_sklearn(self, X: ArrayLike | None = None) -> Any:
        """
        Return the network, or the ensemble, as an estimator of scikit-learn.

        Parameters
        ----------
        X : array-like or frame, shape (n, features), optional
            Rows to compare on, as in `to_onnx`.

        Returns
        -------
        sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted, float64, with the scaler in the first and the last layer. It takes what `encode` returns, and
            predicts what the network would without its `Network.target_range`: scikit-learn cannot cut predictions. For
            an ensemble it is a sklearn.ensemble.VotingClassifier (of probabilities) or VotingRegressor of these.

        Raises
        ------
        ImportError
            scikit-learn is not installed.
        ValueError
            Activations that scikit-learn does not have: it has identity, logistic, tanh and relu, and only one for all
            hidden layers. Or an ensemble for multilabel, or with several outputs in regression, on which scikit-learn's
            estimators cannot vote; or one whose networks encode a table's columns differently.
        RuntimeError
            Its predictions differ from those of the network.
        """
        from .sklearn import to_sklearn

        return to_sklearn(cast("Network | Ensemble", self), X)

    def to_torch(self, X: ArrayLike | None = None) -> Any:
        """
        Return the network, or the ensemble, as a PyTorch module.

        Parameters
        ----------
        X : array-like or frame, shape (n, features), optional
            Rows to compare on, as in `to_onnx`.

        Returns
        -------
        torch.nn.Sequential
            Linear layers and activations of `dtype`, with the scaler in the first and the last layer, and a module
            that cuts the outputs to `Network.target_range`, if there is one. It takes what `encode` returns, and
            returns what `forward` does. For an ensemble it is a torch.nn.Module whose attribute ``networks`` has these
            layers; it returns the mean of the predicted numbers, shape (n, outputs), or of the probabilities, with the
            shape of `predict_proba`.

        Raises
        ------
        ImportError
            PyTorch is not installed.
        RuntimeError
            Its predictions differ from those of the network.
        ValueError
            The networks of the ensemble encode a table's columns differently.
        """
        from .torch import to_torch

        return to_torch(cast("Network | Ensemble", self), X)

    def jit(self) -> Any:
        """
        The network, or the ensemble, as a function for your own ``@njit`` functions.

        Returns
        -------
        function
            ``f(x, out)``: x, shape (features,), contains the raw values of one row, NaN for a missing number if there
            were missing ones in training; out, shape (units of the last layer,), is overwritten with what `forward`
            returns. From an ensemble, out gets the mean of these in regression, otherwise the mean of the
            probabilities, shape (classes,) or (labels,): also for two classes, whose networks may have a single unit,
            it has 2 numbers, as in a row of `predict_proba`. The function allocates nothing, and raises ValueError if a
            size is wrong or a number is not finite.

        Raises
        ------
        ValueError
            The layers do not fit the stack; or the networks of the ensemble encode a table's columns differently, so
            that no row of numbers fits them all.

        Notes
        -----
        For a network that was trained on a frame, x is a row of ``net.columns.encode_raw``: numbers as they are, and
        the parts in ``net.columns.exported.names`` for categories and dates. It is compiled in the first call, which
        takes about a second.

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

        return jit(cast("Network | Ensemble", self))

    def cfunc(self) -> Any:
        """
        The network with one output, or an ensemble of such, as a C function, ``double f(int n, double *x)``.

        Returns
        -------
        numba CFunc
            Pass ``scipy.LowLevelCallable(net.cfunc().ctypes)`` to SciPy's integration and filters, or ``.address`` to
            any C code. It returns the output, for two classes the probability of the second one; from an ensemble, the
            mean of these. It returns NaN if n is not the number of features or a number is not finite. Keep the object
            as long as its address is in use.

        Raises
        ------
        ValueError
            The network has several outputs; or as for `jit`.
        """
        from .jit import c_function

        return c_function(cast("Network | Ensemble", self))
