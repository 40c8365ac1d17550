"""FANN (libfann2): per-sample learning, with one call of C for an epoch."""

import ctypes

import numpy as np
from cases import LEARNING_RATE, flat

LOGISTIC, INCREMENTAL, LINEAR_ERROR = 3, 0, 0  # codes of fann_data.h
fann = ctypes.CDLL("libfloatfann.so.2")
fann.fann_create_standard_array.restype = fann.fann_create_train_from_callback.restype = ctypes.c_void_p
fann.fann_train_epoch.restype = ctypes.c_float
CONNECTION = np.dtype([("from", np.uint32), ("to", np.uint32), ("weight", np.float32)])
SAMPLE = ctypes.CFUNCTYPE(None, *[ctypes.c_uint] * 3, *[ctypes.POINTER(ctypes.c_float)] * 2)


def version():
    return "FANN 2"


def _data(case):
    """FANN's copy of the samples, in training order."""
    X, Y, order = case.data()

    def fill(number, n_in, n_out, inputs, outputs):
        np.ctypeslib.as_array(inputs, (n_in,))[:] = X[order[number]]
        np.ctypeslib.as_array(outputs, (n_out,))[:] = Y[order[number]]

    shape = case.samples, case.sizes[0], case.sizes[-1]
    return ctypes.c_void_p(fann.fann_create_train_from_callback(*shape, SAMPLE(fill)))


def online(case, threads):
    sizes = np.array(case.sizes, np.uint32)
    net = ctypes.c_void_p(fann.fann_create_standard_array(len(sizes), sizes.ctypes.data_as(ctypes.c_void_p)))
    for part in ("hidden", "output"):
        getattr(fann, f"fann_set_activation_function_{part}")(net, LOGISTIC)
        getattr(fann, f"fann_set_activation_steepness_{part}")(net, ctypes.c_float(0.5))
    fann.fann_set_training_algorithm(net, INCREMENTAL)
    fann.fann_set_train_error_function(net, LINEAR_ERROR)
    fann.fann_set_learning_rate(net, ctypes.c_float(LEARNING_RATE[case.optimizer]))
    # FANN's order: layer by layer, for each unit the weights of its inputs and then its bias.
    connections = np.empty(fann.fann_get_total_connections(net), CONNECTION)
    address = connections.ctypes.data_as(ctypes.c_void_p)
    fann.fann_get_connection_array(net, address)
    connections["weight"] = np.concatenate([np.vstack([W, b]).T.ravel() for W, b in case.layers()])
    fann.fann_set_weight_array(net, address, len(connections))
    data = _data(case)

    def result():
        fann.fann_get_connection_array(net, address)
        layers, start = [], 0
        for W, _ in case.layers():
            n_in, n_out = W.shape
            both = connections["weight"][start : start + (n_in + 1) * n_out].reshape(n_out, n_in + 1)
            layers.append((both[:, :-1].T, both[:, -1]))
            start += both.size
        return flat(layers)

    return lambda: fann.fann_train_epoch(net, data), result
