"""Raw values in any order of rows made into the inputs of a network."""

from ..compiler.jit import inner, njit


@inner
def _standardise_row(X, i, scaling, out, k):
    """(x_j - mean_j) r_j of row i of X as row k of `out`, computed in float64; without a scaling x_j itself."""
    number = out.dtype.type
    if scaling.shape[1]:
        for j in range(X.shape[1]):
            out[k, j] = number((X[i, j] - scaling[0, j]) * scaling[1, j])
    else:
        for j in range(X.shape[1]):
            out[k, j] = number(X[i, j])


@njit
def gather(X, order, scaling, out):
    """
    Standardised rows order[k] of X as the rows k of `out`, with the bits that NumPy gives. Unchecked.

    This is what samples that are not held as a copy cost in each epoch.

    Parameters
    ----------
    X : C-contiguous array, shape (n, features)
        Of integers or floats of any size that Numba knows.
    order : int64 array, shape (m,)
    scaling : float64 array, shape (2, features) or (2, 0)
        Mean of each input, and the reciprocal of its deviation; or nothing, where inputs are taken as they are.
    out : C-contiguous array, shape (m, features)
        Overwritten.
    """
    for k in range(order.size):
        _standardise_row(X, order[k], scaling, out, k)
