"""The update of all weights of a network with the gradient of a batch."""

from ..compiler.jit import inner, njit
from ..layer.optimizer import states_of, step_rates, update
from ..network.arguments import Rule, Step
from ..network.forward import parameter_count


@inner
def update_weights(rule, step, count, params, gradient, at, decay):
    """One update of `count` weights from `at` on, whose gradient has the same place."""
    kind, first, second = params.dtype.type, rule.first, rule.second
    states = (first, min(at, first.size), second, min(at, second.size))
    numbers = (kind(step.rate), kind(step.pace), kind(rule.beta1), kind(rule.beta2), kind(rule.epsilon), kind(decay))
    update(rule.optimizer, count, params, at, gradient, at, states, numbers)


@inner
def update_layers(rule, step, sizes, params, gradient):
    """One update of all weights and biases. The penalty is on W alone."""
    at = 0
    for l in range(sizes.size - 1):
        for count, decay in ((sizes[l] * sizes[l + 1], step.decay), (sizes[l + 1], 0.0)):
            update_weights(rule, step, count, params, gradient, at, decay)
            at += count


@njit
def network_update(  # noqa: PLR0913
    sizes, params, gradient, optimizer, first, second, step, learning_rate, beta1, beta2, epsilon, l2
):
    """
    One update of all weights of a network by any of the rules, as `minibatch_epoch` makes it for a batch.

    Parameters
    ----------
    sizes : int64 array, shape (layers + 1,)
        Units per layer, inputs first.
    params : C-contiguous array, shape (parameter_count(sizes),)
        All weights and biases, updated in place.
    gradient : C-contiguous array of the same shape
        dJ/dparams, without the penalty.
    optimizer : int
        Code of the rule.
    first, second : C-contiguous arrays of the same shape, or (0,) if the rule has no use for them
        State of the rule, updated in place.
    step : int
        Number of this update, from 1.
    learning_rate, beta1, beta2, epsilon, l2 : float
        As in `minibatch_epoch`.

    Raises
    ------
    ValueError
        Arrays that are not of the size of the parameters, or `step` below 1.

    Notes
    -----
    g <- g + l2 W for the weights W, not the biases, and then the rule of `optimizer`; adamw subtracts alpha l2 W from
    the weights instead.
    """
    states = states_of(optimizer)
    if (
        gradient.size != params.size
        or (states > 0 and first.size != params.size)
        or (states > 1 and second.size != params.size)
    ):
        raise ValueError(
            "network_update: gradient, first and second must have the size of params; "
            "(params, gradient, first, second) have",
            params.size,
            gradient.size,
            first.size,
            second.size,
        )
    if params.size != parameter_count(sizes):
        raise ValueError(
            "network_update: params must have parameter_count(sizes) numbers; (sizes, params) are", sizes, params.size
        )
    if step < 1:
        raise ValueError("network_update: step counts from 1, got", step)
    rate, pace, decay = step_rates(optimizer, step, learning_rate, l2, beta1, beta2)
    params, gradient, first, second = params.reshape(-1), gradient.reshape(-1), first.reshape(-1), second.reshape(-1)
    rule = Rule(optimizer, first, second, beta1, beta2, epsilon, 0)
    update_layers(rule, Step(rate, pace, decay), sizes, params, gradient)
