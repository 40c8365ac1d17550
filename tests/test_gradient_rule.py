"""Gradients without an update, and updates with a given gradient: the two halves of data-parallel training."""

import naive
import numpy as np
import pytest

from fastbp import kernels

RANDOM = np.random.default_rng(0)
NONE = np.empty(0)
# A narrow batch, a wide one, and one whose weights are packed
SHAPES = {"narrow": ((3, 5, 2), 150), "wide": ((3, 5, 2), 20), "packed": ((20, 250, 250, 2), 40)}


def problem(way):
    sizes, n = SHAPES[way]
    tanh, identity = kernels.ACTIVATIONS["tanh"], kernels.ACTIVATIONS["identity"]
    codes = np.array(sizes), np.array([tanh] * (len(sizes) - 2) + [identity])
    X, Y, weight = RANDOM.normal(size=(n, sizes[0])), RANDOM.normal(size=(n, sizes[-1])), RANDOM.uniform(0.5, 2, n)
    params = RANDOM.normal(0, 0.2, kernels.parameter_count(codes[0]))
    return sizes, codes, X, Y, weight, params


def epoch(rule, way, params, states, numbers=(0.0, 0.0, 0.0), **more):
    _, codes, X, Y, weight, _ = way
    n = len(X)
    net = (*codes, kernels.LOSSES["squared_error"], NONE, kernels.NO_DECISION)
    states = (*states, NONE, NONE)[:2]
    return kernels.prepare_minibatch(X, Y, weight, n, n, *net, params, kernels.RULES[rule], *states, *numbers, **more)


@pytest.mark.parametrize("way", SHAPES)
def test_the_gradient_and_nothing_else(way):
    given = problem(way)
    sizes, _, X, Y, weight, params = given
    before, gradient = params.copy(), np.full_like(params, np.nan)
    found = epoch("gradient", given, params, [gradient])(np.arange(len(X)), 7, 1.0, 0.0)
    assert found.failed == -1
    np.testing.assert_array_equal(params, before)
    activations = ["tanh"] * (len(sizes) - 2) + ["identity"]
    wanted, outputs = naive.gradient((X, Y, weight), sizes, activations, "squared_error", params)
    np.testing.assert_allclose(gradient, wanted / len(X), rtol=1e-9, atol=1e-12)
    assert found.loss == pytest.approx(float((weight[:, None] * (outputs - Y) ** 2).sum() / 2 / len(X)), rel=1e-12)


def test_finite_differences():
    given = problem("narrow")
    params, gradient = given[-1], np.zeros_like(given[-1])
    learn = epoch("gradient", given, params, [gradient])
    order = np.arange(len(given[2]))
    learn(order, 0, 1.0, 0.0)
    kept = gradient.copy()
    for k in range(0, params.size, 3):
        value, losses = params[k], []
        for h in (1e-6, -1e-6):
            params[k] = value + h
            losses.append(learn(order, 0, 1.0, 0.0).loss)
        params[k] = value
        assert (losses[0] - losses[1]) / 2e-6 == pytest.approx(kept[k], rel=1e-5, abs=1e-9)


@pytest.mark.parametrize("optimizer", kernels.OPTIMIZERS)
def test_a_network_is_updated_as_in_a_pass(optimizer):
    given = problem("narrow")
    params, n, code = given[-1], len(given[2]), kernels.OPTIMIZERS[optimizer]
    other, gradient, numbers = (
        params.copy(),
        np.zeros_like(params),
        (0.5, 1.2, 1e-8) if optimizer == "rprop" else (0.9, 0.99, 1e-8),
    )
    states, others = ([np.zeros_like(params) for _ in range(kernels.states_of(code))] for _ in range(2))
    passes, gradients = epoch(optimizer, given, params, states, numbers), epoch("gradient", given, other, [gradient])
    for step in range(4):
        passes(np.arange(n), step, 0.01, 0.1)
        gradients(np.arange(n), 0, 1.0, 0.0)
        rest = (*others, NONE, NONE)[:2]
        kernels.network_update(given[1][0], other, gradient, code, *rest, step + 1, 0.01, *numbers, 0.1)
    np.testing.assert_allclose(other, params, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"gradient": np.zeros(5)}, "network_update: gradient, first and second must have the size of params"),
        ({"first": np.zeros(5)}, "network_update: gradient, first and second must have the size of params"),
        ({"sizes": np.array([3, 2])}, "network_update: params must have parameter_count"),
        ({"step": 0}, "network_update: step counts from 1, got"),
    ],
)
def test_what_does_not_fit(change, text):
    count = kernels.parameter_count(np.array([2, 1]))
    arguments = {
        "sizes": np.array([2, 1]),
        "params": np.zeros(count),
        "gradient": np.zeros(count),
        "optimizer": kernels.MOMENTUM,
    }
    arguments |= {"first": np.zeros(count), "second": NONE, "step": 1} | change
    with pytest.raises(ValueError, match=text):
        kernels.network_update(*arguments.values(), 0.1, 0.9, 0.99, 1e-8, 0.0)
