"""
The narrow way through a mini-batch, for few weights (L25, L27, L28, L29).

Groups of samples go forward and back through all layers, one group after another, and add up gradients, all in the first cache; then
one update. Threads take parts of the batch, which are fixed by its size alone: sums are taken in the same order for every number of
threads.
"""

import numpy as np
from numba import prange

from ..compiler.jit import njit
from ..compiler.memory import whole_vectors
from ..layer.optimizer import sum_of_squares
from ..network.forward import ERRORS, GROUP, HEIGHT, PARAMS, fill_ones, forward_rows
from .steps import (
    LONG,
    add_gradient,
    drop_errors,
    drop_outputs,
    finite,
    judge,
    penalty,
    read_samples,
    tile_errors_below,
    turn_errors,
)
from .update import update_layers


@njit(parallel=True)
def learn_narrow(samples, dropout, clip, net, params, rule, work, order, batch_size, step, rates, paces, decays, l2):
    """One pass, group after group of samples; what `update` takes for each batch, and the weight of its penalty. Unchecked."""
    X, Y, weight = samples
    sizes, activations, loss, parameter, decision = net
    optimizer, first, second, beta1, beta2, epsilon, seed = rule
    plan, stride, _, packed, space, begin, gradient, _, results = work
    kind, layers, size = params.dtype.type, activations.size, plan[activations.size, ERRORS]
    zero = np.int64(0)  # typed: for a literal, a callee is compiled once more
    parts = (results.size - 2) // 2
    for part in range(parts):
        fill_ones(sizes, stride, plan, space, begin + part * size)
    results[:] = 0
    for number in range((order.size + batch_size - 1) // batch_size):
        start = number * batch_size
        rows = min(batch_size, order.size - start)
        step += 1
        rate, pace, decay = rates[number], paces[number], decays[number]
        if l2[number] != 0:
            results[-2] += rows * 0.5 * l2[number] * penalty(sizes, plan, params)
        groups = (rows + GROUP - 1) // GROUP
        used = min(parts, groups)
        for taken in prange(used):
            part = np.int64(taken)
            tile, own = begin + part * size, part * params.size
            begun, end = part * groups // used, (part + 1) * groups // used
            for g in range(begun, end):
                # the sums of LONG samples after the first are in the other half, until they are added to it
                done, into = (g - begun) * GROUP, own if (g - begun) * GROUP < LONG else own + gradient.size // 2
                count = min(GROUP, rows - g * GROUP)
                columns = whole_vectors(count, params.itemsize)
                read_samples(X, Y, weight, order, start + g * GROUP, count, stride, sizes, plan, space, tile)
                for l in range(layers):
                    for i in range(0, sizes[l + 1], HEIGHT):
                        forward_rows(l, i, columns, stride, sizes, activations, plan, params, packed, space, tile)
                        if dropout is not None and l + 1 < layers:
                            drop_outputs(
                                l,
                                i,
                                min(HEIGHT, sizes[l + 1] - i),
                                columns,
                                stride,
                                activations,
                                plan,
                                dropout[l],
                                seed,
                                step,
                                g * GROUP,
                                space,
                                tile,
                            )
                judge(
                    count,
                    stride,
                    sizes,
                    activations,
                    loss,
                    parameter,
                    decision,
                    plan,
                    space,
                    tile,
                    zero,
                    results,
                    2 * part,
                )
                for l in range(layers - 1, -1, -1):
                    turn_errors(l, count, stride, sizes, plan, kind(1) / kind(rows), space, tile)
                    if l > 0:
                        for i in range(0, sizes[l], HEIGHT):
                            tile_errors_below(l, i, columns, stride, sizes, activations, plan, params, space, tile)
                            if dropout is not None:
                                drop_errors(
                                    l - 1,
                                    i,
                                    columns,
                                    stride,
                                    sizes,
                                    plan,
                                    dropout[l - 1],
                                    seed,
                                    step,
                                    g * GROUP,
                                    space,
                                    tile,
                                )
                    add_gradient(
                        l,
                        zero,
                        sizes[l] + 1,
                        zero,
                        sizes[l + 1],
                        count,
                        stride,
                        sizes,
                        plan,
                        space,
                        tile,
                        -1 if done % LONG == 0 else sizes[l + 1],
                        gradient,
                        into + plan[l, PARAMS],
                    )
                if done >= LONG and ((done + GROUP) % LONG == 0 or g + 1 == end):
                    for i in range(params.size):
                        gradient[own + i] += gradient[into + i]
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
        update_layers(optimizer, sizes, params, gradient, first, second, rate, pace, beta1, beta2, epsilon, decay)


learn_narrow_serial = learn_narrow.serial
