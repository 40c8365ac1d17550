"""Statistical checks of first weights, and of seeds."""

import itertools
import math
import warnings

import numpy as np
from chance import check, least, same_distribution, uncorrelated, uniform

import fastbp
from fastbp.options import Architecture
from fastbp.sklearn import MLPClassifier, MLPRegressor
from fastbp.training.first_weights import initial_parameters, random_streams

# First weights: functions of seeds; for each way to draw them, the bound of each layer, and its weights and its biases,
# shapes (seeds, weights) and (seeds, biases).

SHAPES = ((2, 3, 1), (7, 20, 5, 3), (30, 40, 2))
FEW = np.random.default_rng(0).normal(size=(6, 2))


def bound_of(init, n_in, n_out):
    return {"glorot": math.sqrt(6 / (n_in + n_out)), "he": math.sqrt(6 / n_in), "uniform": 1.0}[init]


def layers_of(params, sizes):
    """Inputs and units of each layer, and its weights and biases, of many networks."""
    found, start = [], 0
    for n_in, n_out in itertools.pairwise(sizes):
        weights, biases = start + n_in * n_out, start + (n_in + 1) * n_out
        found.append(((n_in, n_out), (params[:, start:weights], params[:, weights:biases])))
        start = biases
    return found


def drawn_for(inits, sizes, seeds, asked=None):
    """As `fastbp.train` draws them; `asked` are other ways than those that are said."""
    found = []
    for init, other in zip(inits, asked or inits, strict=True):
        net = Architecture(sizes, ("tanh",) * (len(sizes) - 1), "squared_error", "regression")
        dtype = np.dtype(np.float32)
        params = np.array([initial_parameters(net, other, random_streams(seed)[0], dtype) for seed in seeds])
        found.append([(bound_of(init, *n), *of) for n, of in layers_of(params, sizes)])
    return found


INITS = ("glorot", "he", "uniform")


def of_train(seeds):
    return [one for sizes in SHAPES for one in drawn_for(INITS, sizes, seeds)]


def of_train_many(seeds):
    """Those of networks side by side, which compiled code draws; with a rate of almost 0 they stay as they are."""
    found, sizes = [], (2, 4, 1)
    options = {"hidden": (4,), "optimizer": "sgd", "batch_size": 1, "learning_rate": 1e-30, "epochs": 1}
    for init in INITS:
        variants = [{"seed": seed} for seed in seeds]
        params = fastbp.train_many(FEW, FEW[:, 0], variants, init=init, progress=False, **options).params
        found.append([(bound_of(init, *n), *of) for n, of in layers_of(params, sizes)])
    return found


def of_sklearn(seeds):
    """Those of the estimators: as scikit-learn's, with a smaller bound for layers of logistic units."""
    found = []
    cases = [(MLPRegressor, "logistic", (2, 2)), (MLPClassifier, ("tanh", "logistic"), (6, 2, 6))]
    for kind, activation, factors in cases:
        hidden = (9,) * (len(factors) - 1)
        sizes, fitted = (2, *hidden, 1), []
        for seed in seeds:
            options = {"hidden_layer_sizes": hidden, "activation": activation, "solver": "sgd"}
            net = kind(max_iter=1, learning_rate_init=1e-30, random_state=seed % 2**32, **options)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # that it has not converged
                net.fit(FEW, (FEW[:, 0] > 0).astype(float))
            arrays = zip(net.coefs_, net.intercepts_, strict=True)
            fitted.append(np.concatenate([part.ravel() for pair in arrays for part in pair]))
        layers = zip(factors, layers_of(np.array(fitted), sizes), strict=True)
        found.append([(math.sqrt(factor / sum(n)), *of) for factor, (n, of) in layers])
    return found


def he_for_glorot(seeds):
    return drawn_for(("glorot",), SHAPES[1], seeds, ("he",))


def glorot_of_logistic(seeds):
    """With the bound of other units, where that of logistic ones is asked for."""
    return [[(bound / math.sqrt(3), *of) for bound, *of in one] for one in drawn_for(("glorot",), SHAPES[1], seeds)]


def normal_numbers(seeds):
    """Of the right variance."""
    random = np.random.default_rng(seeds[0])
    return [[(1.0, *(random.normal(0, 3**-0.5, (len(seeds), n)) for n in (30, 5)))]]


def too_narrow(seeds):
    return [[(bound * 1.02, *of) for bound, *of in one] for one in of_train(seeds)]


def without_biases(seeds):
    return [[(bound, W, 0 * b) for bound, W, b in one] for one in of_train(seeds)]


def seeds_of(random, count=80):
    return [int(seed) for seed in random.integers(2**63, size=count)]


@check(
    [of_train, of_train_many, of_sklearn],
    [he_for_glorot, glorot_of_logistic, normal_numbers, too_narrow, without_biases],
)
def first_weights_are_uniform(first, random):
    """Weights and biases of each layer, within the bound of the layer, in distribution and in variance."""
    layers = [layer for one in first(seeds_of(random)) for layer in one]
    return least(uniform(part, -bound, bound) for bound, *of in layers for part in of)


def one_stream_for_all_layers(seeds):
    """Each layer begins with the same numbers."""
    return [[(bound, *layers[0][1:]) for bound, *_ in layers] for layers in of_train(seeds)]


def biases_of_weights(seeds):
    return [[(bound, W, W[:, : b.shape[1]]) for bound, W, b in one] for one in of_train(seeds)]


@check([of_train, of_train_many, of_sklearn], [one_stream_for_all_layers, biases_of_weights])
def layers_are_independent(first, random):
    """The first numbers of each two arrays of a network, of many seeds."""
    found = []
    for layers in first(seeds_of(random, 150)):
        parts = [part / part.std() / math.sqrt(3) for _, *of in layers for part in of]
        for one, other in itertools.combinations(parts, 2):
            width = min(one.shape[1], other.shape[1])
            found.append(uncorrelated(one[:, :width], other[:, :width], 1 / 3))
    return least(found)


def by_half_the_seed(seeds):
    return of_train([seed // 2 for seed in seeds])


@check([of_train, of_train_many, of_sklearn], [by_half_the_seed])
def first_weights_of_consecutive_seeds_are_uncorrelated(first, random):
    found, begin = [], int(random.integers(2**31))
    for layers in first(range(begin, begin + 120)):
        for bound, *of in layers:
            found += [uncorrelated(part[:-k], part[k:], bound**2 / 3) for part in of for k in (1, 2)]
    return least(found)


# Seeds: functions of seeds; the scores of networks.

XOR = np.random.default_rng(1).uniform(-1, 1, (40, 2))


def scores(seeds):
    options = {"hidden": (4,), "optimizer": "sgd", "batch_size": 1, "learning_rate": 0.1, "epochs": 12}
    options["activation"] = "tanh"
    nets = fastbp.train_many(XOR, XOR[:, 0] * XOR[:, 1], [{"seed": seed} for seed in seeds], progress=False, **options)
    return [net.history["loss"][-1] for net in nets]


def seeds_cut_to_32_bits(seeds):
    return scores([min(seed, 2**32 - 1) for seed in seeds])


def worse_with_odd_seeds(seeds):
    return [score * (2 if seed % 2 else 1) for score, seed in zip(scores(seeds), seeds, strict=True)]


@check([scores], [worse_with_odd_seeds])
def even_and_odd_seeds_are_equally_good(scores, random):
    seeds = seeds_of(random, 800)
    return same_distribution(scores([seed & ~1 for seed in seeds[:400]]), scores([seed | 1 for seed in seeds[400:]]))


@check([scores], [seeds_cut_to_32_bits])
def small_and_large_seeds_are_equally_good(scores, random):
    small, large = random.integers(2**32, size=(2, 500)).tolist()
    found = scores([2**63 + (seed << 30) for seed in large])
    return same_distribution(scores(small), found) if len(set(found)) == len(found) else 0.0


@check([scores], [seeds_cut_to_32_bits])
def consecutive_seeds_are_as_good_as_random_ones(scores, random):
    begin = int(random.integers(2**31))
    return same_distribution(scores(range(begin, begin + 500)), scores(seeds_of(random, 500)))
