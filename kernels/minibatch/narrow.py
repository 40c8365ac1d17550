"""
The narrow way through a mini-batch, for few weights (L25, L27, L28, L29).

Microbatches go forward and back through all layers, one after another, and add up gradients, all in the first cache;
then one update. Threads take parts of the batch, which are fixed by its size alone: sums are taken in the same order
for every number of threads.
"""

import numpy as np
from numba import prange

from ..compiler.jit import njit
from ..compiler.memory import borrowed
from ..layer.dropout import layer_key
from ..layer.optimizer import step_rates, sum_of_squares
from ..network.arguments import Batch, Block, Microbatch, Rule, Step
from ..network.forward import LAYER_MC, unit_outputs
from ..network.layout import ERROR_ROWS_AT, GROUP, PARAMS_AT, UNITS, fill_ones
from .steps import (
    BAND,
    SUM_LENGTH,
    add_gradient,
    drop_errors,
    drop_outputs,
    finite,
    output_errors,
    penalty,
    read_samples,
    turn_errors,
    unit_errors,
)
from .update import update_layers


@njit(parallel=True)
def learn_narrow(samples, dropout, clip, training, order, updates):
    """One pass, microbatch after microbatch. Unchecked."""
    (net, params, rule, work), (batch_size, made, rates, penalties) = training, updates
    objective = net.loss, net.loss_parameter, net.decision
    rule = Rule(*rule)  # Numba's threads take a named tuple that is an argument, or is made here
    layout, stride, _, tiles, space, begin, gradient, _, results = work
    layout, space = borrowed(layout), borrowed(space)
    kind, layers = params.dtype.type, layout.shape[0] - 1
    size, zero = layout[layers, ERROR_ROWS_AT], np.int64(0)  # typed: for a literal, a callee is compiled once more
    parts = (results.size - 2) // 2
    for part in range(parts):
        fill_ones(layout, stride, space, begin + part * size)
    results[:] = 0
    for number in range((order.size + batch_size - 1) // batch_size):
        start = number * batch_size
        rows, update = min(batch_size, order.size - start), made + number + 1
        rate, pace, decay = step_rates(rule.optimizer, update, rates[number], penalties[number], rule.beta1, rule.beta2)
        if penalties[number] != 0:
            results[-2] += rows * 0.5 * penalties[number] * penalty(layout, params)
        batch, microbatches = Batch(order, start, rows), (rows + GROUP - 1) // GROUP
        used = min(parts, microbatches)
        for taken in prange(used):  # no race: each part has work space, a gradient and results of its own
            part = np.int64(taken)  # prange counts in unsigned numbers
            own, begun, end = part * params.size, part * microbatches // used, (part + 1) * microbatches // used
            for m in range(begun, end):
                first = m * GROUP
                micro = Microbatch(layout, stride, space, begin + part * size, first, min(GROUP, rows - first))
                # the sums of SUM_LENGTH samples after the first are in the other half, until they are added to it
                done = (m - begun) * GROUP
                total = own if done < SUM_LENGTH else own + gradient.size // 2
                read_samples(samples, batch, micro)
                # A(l) = f(A(l-1) W(l) + b(l))
                for l in range(layers):
                    for i in range(0, layout[l + 1, UNITS], LAYER_MC):
                        unit_outputs(micro, l, i, params, tiles)
                        # Numba leaves out of the compiled code what follows `is not None` where an argument is None.
                        if dropout is not None and l + 1 < layers:
                            units = min(LAYER_MC, layout[l + 1, UNITS] - i)
                            drop_outputs(micro, l, i, units, dropout[l], layer_key(rule.seed, update, l))
                # delta(L) = dJ/dZ(L)
                output_errors(micro, objective, results, 2 * part)
                for l in range(layers - 1, -1, -1):
                    turn_errors(micro, l, kind(1) / kind(rows))
                    # delta(l-1) = (delta(l) W(l)^T) f'(Z(l-1))
                    if l > 0:
                        for i in range(0, layout[l, UNITS], BAND):
                            unit_errors(micro, l, i, params)
                            if dropout is not None:
                                drop_errors(micro, l - 1, i, dropout[l - 1], layer_key(rule.seed, update, l - 1))
                    # dW(l) = A(l-1)^T delta(l) / B, and db(l) as the row of W that meets the ones
                    n_in, n_out = layout[l, UNITS], layout[l + 1, UNITS]
                    start_row = -1 if done % SUM_LENGTH == 0 else n_out
                    block = Block(l, zero, n_in + 1, zero, n_out)
                    add_gradient(micro, block, start_row, gradient, total + layout[l, PARAMS_AT])
                if done >= SUM_LENGTH and ((done + GROUP) % SUM_LENGTH == 0 or m + 1 == end):
                    for i in range(params.size):
                        gradient[own + i] += gradient[total + i]
        if not finite(results, used):
            results[-1] = 1 + number
            break
        for part in range(1, used):
            for i in range(params.size):
                gradient[i] += gradient[part * params.size + i]
        if clip is not None:
            length = np.sqrt(sum_of_squares(params.size, gradient, 0))
            if length > clip:
                factor = kind(clip / length)
                for i in range(params.size):
                    gradient[i] *= factor
        # w <- w - alpha dW, or as the rule says
        update_layers(rule, Step(rate, pace, decay), net.sizes, params, gradient)


learn_narrow_serial = learn_narrow.serial
