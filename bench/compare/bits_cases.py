"""
The cases of `bits.py`: digests of many small trainings and calls, printed as JSON {case: digest}.

``--every N`` runs each N-th case. Only public names are used, so that older and newer revisions run the same cases.
Neighbouring cases share compiled code. ``tests/bits.json`` has all digests, for every processor.
"""

import argparse
import hashlib
import json
import sys
import traceback
import warnings
from functools import partial
from itertools import product

import numpy as np

import fastbp
from fastbp import graph, kernels

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(150, 6))
NUMBER = X[:, 0] * X[:, 1] + np.abs(X[:, 2])
NUMBERS = np.stack([NUMBER, X[:, 3] - X[:, 4]], axis=1)
TWO, THREE = np.digitize(NUMBER, [0.5]), np.digitize(NUMBER, [0.3, 1.0])
LABELS = np.stack([TWO, X[:, 3] > 0], axis=1).astype(int)
WEIGHT = RANDOM.uniform(0.2, 2, len(X))
ZEROS = np.where(RANDOM.uniform(size=(150, 80)) < 0.9, 0.0, RANDOM.normal(size=(150, 80)))
DTYPES = ("float32", "float64")
# Training loops: sample by sample, in registers or by sweeps; mini-batches, narrow or wide, with few or many weights.
TINY = {"hidden": (3,), "activation": "tanh", "optimizer": "sgd", "batch_size": 1, "learning_rate": 0.02}
SWEPT = TINY | {"hidden": (40, 9)}
NARROW, FEW = {"hidden": (9, 5), "batch_size": 100}, {"hidden": (9, 5), "batch_size": 7}
LARGE = {"hidden": (300, 260), "batch_size": 70}
BATCHES = {"narrow": NARROW, "few": FEW, "large": LARGE}
LOOPS = BATCHES | {"tiny": TINY, "swept": SWEPT}
ELEMENTWISE = [name for name in kernels.ACTIVATIONS if name != "softmax"]
LOSSES = {
    "squared error": (NUMBERS, {}),
    "squared error of a logistic unit": (TWO, {"loss": "squared_error"}),
    "squared error of a softmax": (THREE, {"loss": "squared_error", "output": "softmax"}),
    "absolute error": (NUMBERS, {"loss": "absolute_error"}),
    "huber": (NUMBERS, {"loss": "huber", "huber_delta": 0.4}),
    "log cosh": (NUMBERS, {"loss": "log_cosh"}),
    "quantiles": (NUMBER, {"loss": "quantile", "quantile": [0.1, 0.5, 0.9]}),
    "poisson": (THREE.astype(float), {"loss": "poisson", "task": "regression"}),
    "log-loss of a logistic unit": (TWO, {}),
    "log-loss of two units": (TWO, {"output": "softmax"}),
    "log-loss of a softmax": (THREE, {}),
    "log-loss of labels": (LABELS, {}),
    "custom": (NUMBER, {"loss": (lambda y, a: (a - y) ** 4 / 99, lambda y, a: 4 * (a - y) ** 3 / 99)}),
}
OPTIONS = {
    "l2": {"l2": 0.01},
    "dropout": {"dropout": 0.3},
    "clipping": {"clip_norm": 0.05},
    "dropout and clipping": {"dropout": 0.3, "clip_norm": 0.05},
    "sample weights": {"sample_weight": WEIGHT},
    "class weights": {"class_weight": "balanced"},
    "cosine": {"schedule": "cosine", "warmup": 1.5},
    "one cycle": {"schedule": "one_cycle"},
    "patience": {"validation": 0.3, "patience": 2, "epochs": 30},
    "he": {"init": "he", "scale": False, "shuffle": False},
    "uniform": {"init": "uniform", "metric": "loss"},
}
QUIET = {"progress": False, "threads": 1, "seed": 1, "epochs": 3}


def digest(*arrays):
    """The sha256 of the bytes, shapes and types of arrays."""
    total = hashlib.sha256()
    for x in arrays:
        x = np.ascontiguousarray(x)
        total.update(f"{x.dtype} {x.shape}".encode() + x.tobytes())
    return total.hexdigest()[:16]


def of_network(net, X=X):
    """The digest of a network: weights, history, outputs and decisions."""
    history = [np.array(net.history[name]) for name in sorted(net.history) if name != "seconds"]
    return digest(*net.weights, *net.biases, *history, net.forward(X), net.predict(X))


def trained(y=THREE, X=X, **options):
    """The digest of `fastbp.train`."""
    return lambda: of_network(fastbp.train(X, y, **QUIET | options), X)


def warm_start(options):
    """The digest of a training that continues another."""
    return trained(init=fastbp.train(X, THREE, **options), **options)()


def trainings(dtype):
    """Every option of `train`, with every training loop."""
    for name, loop in BATCHES.items():
        for optimizer, l2 in product(kernels.OPTIMIZERS, (0.0, 0.01)):
            options = loop | {"optimizer": optimizer, "l2": l2, "dtype": dtype, "epochs": 8}
            yield f"optimizers: {optimizer}, {name}, l2 {l2}", trained(**options)
    for name, loop in LOOPS.items():
        for activation in ELEMENTWISE:
            yield f"activations: {activation}, {name}", trained(**loop | {"activation": activation, "dtype": dtype})
        for loss, (y, options) in LOSSES.items():
            yield f"losses: {loss}, {name}", trained(y, **loop | options | {"dtype": dtype})
        for option, options in OPTIONS.items():
            if not (loop is LARGE and option in ("he", "uniform", "class weights")):
                yield f"options: {option}, {name}", trained(TWO, **loop | options | {"dtype": dtype})
        yield f"options: warm start, {name}", partial(warm_start, QUIET | loop | {"dtype": dtype})
        if loop is not LARGE:
            yield f"zeros: {name}", trained(TWO, ZEROS, **loop | {"scale": False, "dtype": dtype})
            yield f"threads: two, {name}", trained(**loop | {"threads": 2, "dtype": dtype})
    for optimizer in ("sgd", "adam"):
        options = LARGE | {"threads": 2, "batch_size": 150, "optimizer": optimizer, "dtype": dtype}
        yield f"threads: two, large, {optimizer}", trained(**options)
    # Enough epochs for the compiled loop over epochs.
    for name, loop in {"tiny": TINY, "few": {"hidden": (3,), "batch_size": 4}}.items():
        for rows, more in ((8, {}), (12, {"validation": (X[:8], TWO[:8])})):
            options = loop | more | {"epochs": 20_100, "dtype": dtype}
            yield f"long runs: {name}, {rows} rows", trained(TWO[:rows], X[:rows], **options)


def second_order(dtype):
    """The optimizers of all samples, with intervals, and with two threads."""
    problems = {
        name: LOSSES[name] for name in ("squared error", "huber", "log-loss of a softmax", "log-loss of labels")
    }
    for name, (y, options) in problems.items():
        for optimizer in ("levenberg_marquardt", "bfgs", "lbfgs"):
            for hidden in ((5,), (12, 9)):
                more = {"hidden": hidden, "optimizer": optimizer, "epochs": 12, "dtype": dtype}
                yield f"second order: {optimizer}, {name}, {hidden}", trained(y, **options | more)
    few = {"hidden": (30, 9), "optimizer": "lm", "epochs": 6, "dtype": dtype}
    yield "second order: few samples", trained(NUMBER[:40], X[:40], **few)
    yield (
        "second order: penalty, validation, threads",
        trained(NUMBER, **few | {"l2": 0.1, "validation": 0.3, "threads": 2}),
    )

    def bayesian():
        net = fastbp.train(X, NUMBER, **QUIET | {"hidden": (6,), "optimizer": "bayesian", "epochs": 15, "dtype": dtype})
        return digest(*net.weights, *net.predict_interval(X, 0.9), np.array(net.history["loss"]))

    yield "second order: bayesian", bayesian


def many(dtype):
    """Many networks: side by side in vectors, one per thread, and as an ensemble."""
    options = {"progress": False, "epochs": 4, "dtype": dtype}
    seeds = [{"seed": k, "learning_rate": 0.1 + 0.01 * k} for k in range(19)]

    def several(variants, **more):
        return lambda: digest(*map(of_network, fastbp.train_many(X, TWO, variants, **options | more)))

    for threads in (1, 2):
        yield f"many: tiny, {threads} threads", several(seeds, **TINY, threads=threads)
        yield f"many: narrow, {threads} threads", several(seeds[:5], **NARROW, threads=threads)
    rows = [variant | {"rows": np.arange(k, 150)} for k, variant in enumerate(seeds[:6])]
    yield "many: parts of the rows", several(rows, **TINY)

    def ensemble():
        networks = fastbp.ensemble(X, THREE, 3, bootstrap=True, seed=2, **options, **NARROW)
        return digest(networks.predict_proba(X), networks.predict(X))

    yield "many: ensemble", ensemble
    seeded = options | NARROW | {"seed": 2}

    def searched():
        grid = {"learning_rate": fastbp.Uniform(1e-4, 1e-1, log=True), "hidden": [(4,), (7,)]}
        found = fastbp.search(X, NUMBER, grid, n=6, **seeded)
        return digest(np.array([[trial.options["learning_rate"], trial.loss] for trial in found.trials]))

    yield "many: search", searched
    yield "many: cross-validation", lambda: digest(fastbp.cross_validate(X, NUMBER, **seeded).scores)


def estimators(dtype):
    """scikit-learn's interface, dense and sparse."""
    from scipy import sparse

    from fastbp.sklearn import MLPClassifier, MLPRegressor

    options = {"hidden_layer_sizes": (11,), "max_iter": 6, "random_state": 0, "tol": 0}

    def fitted(kind, Z, y, **more):
        def call():
            net = kind(**options | more).fit(Z, y)
            more_outputs = [net.predict_proba(Z)] if hasattr(net, "predict_proba") else []
            return digest(*net.coefs_, *net.intercepts_, net.loss_curve_, net.predict(Z), *more_outputs)

        return call

    dense = ZEROS.astype(dtype)
    for (name, Z), solver in product((("dense", dense), ("sparse", sparse.csr_array(dense))), ("sgd", "adam", "rprop")):
        yield f"estimators: classifier, {name}, {solver}", fitted(MLPClassifier, Z, THREE, solver=solver)
        yield f"estimators: regressor, {name}, {solver}", fitted(MLPRegressor, Z, NUMBERS, solver=solver)
    for name, more in {
        "early stopping": {"early_stopping": True},
        "inverse scaling": {"solver": "sgd", "learning_rate": "invscaling"},
        "dropout": {"dropout": 0.2},
        "clipping": {"clip_norm": 0.01},
    }.items():
        yield f"estimators: sparse, {name}", fitted(MLPClassifier, sparse.csr_array(dense), TWO, **more)


def shaped(*shape, dtype, seed=3):
    """Normal numbers."""
    return np.random.default_rng([seed, *shape]).normal(size=shape).astype(dtype)


def inference(dtype):
    """Outputs for few and many rows."""
    loops = {"tiny": TINY, "narrow": NARROW, "large": LARGE}
    for (name, loop), rows, kind in product(loops.items(), (1, 3, 8, 9, 64, 2000), DTYPES):

        def call(loop=loop, rows=rows, kind=kind):
            net = fastbp.train(X, NUMBERS, **QUIET | loop | {"epochs": 0, "dtype": dtype})
            Z = shaped(rows, 6, dtype=kind)
            return digest(net.predict(Z), *net.activations(Z), net.input_gradient(Z))

        yield f"inference: {name}, {rows} rows of {kind}", call


def dropins(dtype):
    """Kernels called with our arrays."""

    def in_threads(call):
        with kernels.threads(2):
            return call()

    make, zeros = partial(shaped, dtype=dtype), partial(np.zeros, dtype=dtype)

    def written(function, *arguments, out):
        def call():
            result = function(*arguments, *out)
            return digest(*out, *[np.array(result)] * (result is not None))

        return call

    for n, k, m in ((1, 5, 3), (9, 33, 17), (70, 300, 130)):
        A, B, D, size = make(n, k), make(k, m), make(n, m), f"{n} x {k} x {m}"
        data = ZEROS[:, : min(k, 80)].astype(dtype)
        places = [np.flatnonzero(row) for row in data]
        csr = [data[data != 0], np.concatenate(places), np.cumsum([0, *map(len, places)]), np.arange(n)]
        W, sizes, codes = make(data.shape[1], m), np.array([k, m, 3]), np.array([kernels.RELU, kernels.SOFTMAX])
        params = make(kernels.parameter_count(sizes))
        for name, arguments, out in (
            ("matmul", (A, B), zeros((n, m))),
            ("matmul_parallel", (A, B), zeros((n, m))),
            ("scaled_matmul", (0.3, A, B, 0.7), make(n, m, seed=4)),
            ("linear_forward", (A, B, make(m)), zeros((n, m))),
            ("weight_gradient", (A, D), zeros((k, m))),
            ("bias_gradient", (A,), zeros(k)),
            ("hidden_delta", (kernels.TANH, D, B, np.tanh(A)), zeros((n, k))),
            ("dropout", (A, 0.3, 5, 2, 1), zeros((n, k))),
            ("csr_linear_forward", (*csr, W, make(m)), zeros((n, m))),
            ("csr_weight_gradient", (*csr, D), zeros(W.shape)),
            ("forward", (A, sizes, codes, params), zeros((n, 3))),
            ("forward_parallel", (A, sizes, codes, params), zeros((n, 3))),
        ):
            call = written(getattr(kernels, name), *arguments, out=[out])
            yield f"kernels: {name}, {size}", partial(in_threads, call)
        for name, code in kernels.OPTIMIZERS.items():
            for epoch in (kernels.minibatch_epoch, kernels.minibatch_epoch_parallel):
                state = [make(params.size) / 9, zeros(params.size), zeros(params.size)]

                def call(epoch=epoch, state=state, code=code, A=A, n=n, sizes=sizes, codes=codes):
                    Y, order = np.eye(3, dtype=dtype)[np.arange(n) % 3], np.arange(n)
                    net = (sizes, codes, kernels.LOG_LOSS, np.zeros(0, dtype), kernels.ARGMAX, state[0])
                    rule = (code, *state[1:], 3, 0.01, 0.9, 0.95, 1e-8, 0.01)
                    found = epoch(A, Y, np.ones(n, dtype), order, 66, *net, *rule)
                    return digest(*state, np.array(found))

                yield f"kernels: {epoch.__name__}, {name}, {size}", partial(in_threads, call)
    z = make(7, 13) * 3
    for name, code in kernels.ACTIVATIONS.items():
        yield f"kernels: {name}", written(kernels.activation_forward, code, z, out=[zeros((7, 13))])
    for name in ("exp", "log", "tanh", "logistic", "softplus", "erf"):
        yield f"kernels: {name} of an array", written(getattr(kernels, name), np.abs(z), out=[zeros((7, 13))])
    for name, code in kernels.OPTIMIZERS.items():
        state = [make(3 * 5 + 5), make(20, seed=4), zeros(20), zeros(20)]

        def call(code=code, state=state):
            for step in range(1, 200):
                rule = (code, *state[2:], step, 0.01, 0.9, 0.99, 1e-8, 0.01)
                kernels.network_update(np.array([3, 5]), *state[:2], *rule)
            return digest(*state)

        yield f"kernels: network_update, {name}", call
    yield "kernels: clip_gradient", written(kernels.clip_gradient, make(57), 0.5, out=[])


def nodes(dtype):
    """The graph's nodes, forward and backward."""
    losses = {
        "squared_error": lambda Z, Y: graph.squared_error(graph.logistic(Z), Y),
        "log_loss": lambda Z, Y: graph.log_loss(graph.softmax(Z), Y),
        "binary_log_loss": lambda Z, Y: graph.binary_log_loss(graph.logistic(Z), Y),
    }
    for (name, loss), n in product(losses.items(), (1, 5, 40)):

        def call(loss=loss, n=n):
            A, W, b = (graph.Variable(shaped(*shape, dtype=dtype)) for shape in ((n, 6), (6, 3), (3,)))
            Z = graph.tanh(A @ W + b)
            R = graph.relu(Z * Z - Z / graph.Variable(np.abs(Z.value) + 1))
            Z = R + graph.exp(-Z) + graph.reciprocal(Z * Z + 2)
            J = loss(Z, np.eye(3, dtype=dtype)[np.arange(n) % 3]) + 0.1 * (W.T @ W).sum()
            J.backward()
            return digest(J.value, A.grad, W.grad, b.grad)

        yield f"nodes: {name}, {n} rows", call


def main():
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--every", type=int, default=1, metavar="N", help="run each N-th case")
    every = parser.parse_args().every
    warnings.simplefilter("ignore")
    digests, number = {}, 0
    for dtype, group in product(DTYPES, (trainings, second_order, many, estimators, inference, dropins, nodes)):
        for name, case in group(dtype):
            number += 1
            if number % every:
                continue
            try:
                digests[f"{name}, {dtype}"] = case()
            except Exception as error:
                traceback.print_exc()
                digests[f"{name}, {dtype}"] = f"raised {type(error).__name__}"
        print(f"{group.__name__}, {dtype}", file=sys.stderr, flush=True)
    json.dump(digests, sys.stdout, indent=0)


if __name__ == "__main__":
    main()
