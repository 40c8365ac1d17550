"""scikit-learn's multilayer perceptron: `partial_fit`, which is one epoch."""

import sklearn
from cases import BETA1, BETA2, EPSILON, LEARNING_RATE, flat
from sklearn.neural_network import MLPClassifier, MLPRegressor


def version():
    return f"scikit-learn {sklearn.__version__}"


def minibatch(case, threads):
    X, Y, order = case.data()
    X, Y = X[order], Y[order]
    kind, first, y = MLPRegressor, {}, Y
    if case.output == "softmax":
        kind, y = MLPClassifier, Y.argmax(axis=1)
        first = {"classes": range(case.sizes[-1])}
    net = {
        "hidden_layer_sizes": case.sizes[1:-1],
        "activation": case.hidden,
        "batch_size": case.batch,
        "shuffle": False,
        "alpha": 0,
    }
    rule = {"solver": case.optimizer, "learning_rate_init": LEARNING_RATE[case.optimizer], "momentum": 0}
    mlp = kind(**net, **rule, beta_1=BETA1, beta_2=BETA2, epsilon=EPSILON)
    # The first call lays the weights out; ours go in their place, with an optimizer that has not seen anything.
    mlp.partial_fit(X[: case.batch], y[: case.batch], **first)
    for l, (W, b) in enumerate(case.layers()):
        mlp.coefs_[l], mlp.intercepts_[l] = W, b
    del mlp._optimizer
    mlp.t_ = 0
    return lambda: mlp.partial_fit(X, y), lambda: flat(zip(mlp.coefs_, mlp.intercepts_, strict=True))
