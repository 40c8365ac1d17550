"""
scikit-learn's multilayer perceptrons on compiled kernels: ``from fastbp.sklearn import MLPClassifier, MLPRegressor``.

The estimators are scikit-learn's own, with its parameters, checks, attributes and messages. Only the arithmetic is
replaced: the passes over the samples, the loss and gradient of L-BFGS, and the forward pass of a prediction. The same
first weights and the same order of samples lead to the same weights. Further parameters add what users of
scikit-learn's have asked for.
"""

try:
    from .estimators import MLPClassifier, MLPRegressor
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("sklearn", "scipy", "joblib"):
        raise
    raise ImportError(
        'fastbp.sklearn needs scikit-learn 1.7 or later; install it with: pip install "fastbp[sklearn]"'
    ) from None

__all__ = ["MLPClassifier", "MLPRegressor"]
