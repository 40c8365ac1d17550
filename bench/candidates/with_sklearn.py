"""scikit-learn's multilayer perceptron: one epoch of `partial_fit`."""

import isa
import sklearn
from cases import BETA1, BETA2, EPSILON, LEARNING_RATE, flat
from sklearn.neural_network import MLPClassifier, MLPRegressor


def version():
    return f"scikit-learn {sklearn.__version__}"


def ran():
    return isa.blas()


def minibatch(case, threads):
    X, Y, order = case.data()
    X, Y = X[order], Y[order]
    estimator, labels, y = MLPRegressor, {}, Y
    if case.output == "softmax":
        estimator, y = MLPClassifier, Y.argmax(axis=1)
        labels = {"classes": range(case.sizes[-1])}
    net = {"hidden_layer_sizes": case.sizes[1:-1], "activation": case.hidden, "batch_size": case.batch}
    rule = {"solver": case.optimizer, "learning_rate_init": LEARNING_RATE[case.optimizer], "momentum": 0}
    rule |= {"beta_1": BETA1, "beta_2": BETA2, "epsilon": EPSILON, "alpha": 0, "shuffle": False}
    mlp = estimator(**net, **rule)
    # The first call creates the weights, which are then replaced, and the optimizer is reset.
    mlp.partial_fit(X[: case.batch], y[: case.batch], **labels)
    for l, (W, b) in enumerate(case.layers()):
        mlp.coefs_[l], mlp.intercepts_[l] = W, b
    del mlp._optimizer
    mlp.t_ = 0
    return lambda: mlp.partial_fit(X, y), lambda: flat(zip(mlp.coefs_, mlp.intercepts_, strict=True))
