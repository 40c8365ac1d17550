"""Losses of given outputs, and the error signal of the output layer, sample by sample (lecture L27)."""

import numpy as np

from ..compiler.jit import inner, njit, python_or_compiled
from ..compiler.memory import whole_rows
from .activation import EXP, IDENTITY, LOGISTIC, SOFTMAX, takes_input
from .custom_loss import call_custom
from .loss import ARGMAX, LOG_LOSS, LOSS_CODES, LOWEST_ADDRESS, NO_DECISION, PARAMETRIC, POISSON, row_loss


@python_or_compiled
def check_decision(decision):
    """Raise ValueError unless the code is known."""
    if decision < NO_DECISION or decision > ARGMAX:
        raise ValueError("decision must be NO_DECISION, THRESHOLD or ARGMAX, got", decision)


@python_or_compiled
def check_loss(loss, parameter, activation, units):
    """Raise ValueError unless the loss is known, has its parameters and goes with the output activation."""
    if loss < 0 or (loss >= LOSS_CODES and loss < LOWEST_ADDRESS):
        raise ValueError("loss must be one of the codes of LOSSES, or the number of a CustomLoss, got", loss)
    if activation < IDENTITY or activation > SOFTMAX:
        raise ValueError("the output activation must be one of the codes of ACTIVATIONS, got", activation)
    if takes_input(activation):
        raise ValueError(
            "activations such as GELU, SILU and MISH are for hidden layers; the output activation is", activation
        )
    if loss == LOG_LOSS and activation != LOGISTIC and activation != SOFTMAX:
        raise ValueError("log-loss needs LOGISTIC or SOFTMAX outputs, got", activation)
    if loss == POISSON and activation != EXP:
        raise ValueError("poisson needs EXP outputs, got", activation)
    if loss in PARAMETRIC and parameter.size != units:
        raise ValueError(
            "huber and quantile need a loss_parameter per output; (lengths, outputs) are", parameter.size, units
        )


@inner
def sample_loss(codes, parameter, a, y, weight, space, results):
    """Loss, decision and error signal of one sample by `row_loss`; `space` of `row_space` then begins with delta."""
    loss, d, wide = codes[0], a.shape[0], space.size // 5
    at_a, at_y, at_w = 2 * wide, 3 * wide, 4 * wide
    for k in range(d):
        space[at_a + k] = a[k]
        space[at_y + k] = y[k]
    space[at_w] = weight
    if loss >= LOWEST_ADDRESS:
        call_custom(loss, (d, 1, 1), (space, at_a, space, at_y, space, at_w, space, 0), (results, 0))
    row_loss(
        codes,
        d,
        (space, at_a, space, at_y, parameter, 0),
        (space[at_w], space[at_w]),
        (space, 0, space, wide),
        results,
        0,
    )


@inner(arrays=True)
def row_space(a):
    """Memory for `sample_loss` on rows of `a`."""
    units = max(a.shape[1], 1)  # the weight of a sample without outputs has a place, too
    return np.zeros(5 * whole_rows(units, a.itemsize), a.dtype)


@njit
def output_delta(loss, parameter, activation, a, y, out):
    """
    Error signal of the output layer: delta = dJ/dz, one row per sample.

    Parameters
    ----------
    loss : int
        Code of the loss of an output a with error e = a - y, summed over the outputs of a sample: ``SQUARED_ERROR`` 1/2
        e^2, ``ABSOLUTE_ERROR`` abs(e), ``HUBER`` (1/2 e^2 up to abs(e) = p, then p abs(e) - p^2/2), ``LOG_COSH`` log
        cosh e, ``QUANTILE`` max((1-p) e, -p e), ``POISSON`` y log(y/a) - y + a; ``LOG_LOSS`` -sum_k y_k log a_k (plus
        -sum_k (1-y_k) log(1-a_k) for logistic units); or ``int(CustomLoss(...))``.
    parameter : array, shape (d,), or (0,) where the loss has none
        p of each output for ``HUBER`` and ``QUANTILE``.
    activation : int
        Code of the output activation. Log-loss goes with ``LOGISTIC`` and ``SOFTMAX``, poisson with ``EXP``.
    a, y : array, shape (n, d)
        Outputs and targets.
    out : array, shape (n, d)
        Overwritten with delta. Must not overlap `a` or `y`.

    Raises
    ------
    ValueError
        Codes that do not go together, or shapes that differ.

    Notes
    -----
    Lecture L27: e_k = a_k - y_k; delta_k = a_k (1 - a_k) e_k for logistic units and squared error;
    delta_k = e_k for log-loss. Samples are independent.
    """
    check_loss(loss, parameter, activation, a.shape[1])
    if y.shape != a.shape or out.shape != a.shape:
        raise ValueError(
            "output_delta: y and out must have the shape of a; (a, y, out) are", a.shape, y.shape, out.shape
        )
    space, results = row_space(a), np.zeros(2)
    for i in range(a.shape[0]):
        sample_loss((loss, activation, NO_DECISION), parameter, a[i], y[i], 1, space, results)
        for k in range(a.shape[1]):
            out[i, k] = space[k]


@njit
def evaluate(loss, parameter, activation, decision, a, y, weight):
    """
    Mean loss (1/n) sum_i weight_i J_i of given outputs, and the share of right decisions (1/n) sum_i [i is right].

    Parameters
    ----------
    loss, parameter, activation
        As in `output_delta`.
    decision : int
        Code of the decision that counts as right (``NO_DECISION``, ``THRESHOLD``, ``ARGMAX``).
    a, y : array, shape (n, d)
        Outputs and targets.
    weight : array, shape (n,)
        Weights of the samples in the loss, of mean 1.

    Returns
    -------
    (float, float)
        Mean weighted loss, and the share of right decisions (unweighted). NaN where n is 0.

    Raises
    ------
    ValueError
        Codes that do not go together, or shapes that differ.
    """
    check_loss(loss, parameter, activation, a.shape[1])
    check_decision(decision)
    if y.shape != a.shape or weight.shape[0] != a.shape[0]:
        raise ValueError(
            "evaluate: y must have the shape of a, weight its length; (a, y, weight) are",
            a.shape,
            y.shape,
            weight.shape,
        )
    if a.shape[0] == 0:
        return np.nan, np.nan
    space, results = row_space(a), np.zeros(2)
    for i in range(a.shape[0]):
        sample_loss((loss, activation, decision), parameter, a[i], y[i], weight[i], space, results)
    return results[0] / a.shape[0], results[1] / a.shape[0]
