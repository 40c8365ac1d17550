"""
scikit-learn's multilayer perceptrons on compiled kernels: ``from fastbp.sklearn import MLPClassifier, MLPRegressor``.

The estimators are scikit-learn's own, with its parameters, checks, attributes and messages; what is replaced is the arithmetic: the
passes over the samples, the loss and gradient of L-BFGS, and the forward pass of a prediction. The same weights to start from and the
same order of samples lead to the same weights. What users have asked scikit-learn's for is there too, as further parameters.
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
