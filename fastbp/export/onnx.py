"""`to_onnx`: a network with its scaler, or an ensemble, as an ONNX file."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastbp
from fastbp.kernels.internal import activation, elementary

from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables.raw_inputs import Inputs
from . import verify
from .verify import Answers, Array

try:
    import onnx
    import onnxruntime
    from onnx import helper, numpy_helper
except ImportError as error:
    if (error.name or "").partition(".")[0] not in ("onnx", "onnxruntime"):
        raise
    raise ImportError('to_onnx needs onnx and onnxruntime; install them with: pip install "fastbp[export]"') from None

# The oldest operator set that has all that is used, and the file format of its time: any runtime of recent years reads them.
_OPSET, _IR = 13, 7


def to_onnx(model: Network | Ensemble, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
    """Write `model` to an ONNX file; see `Network.to_onnx`."""
    verify.require_equal_inputs("to_onnx", model)
    data = file_of(model).SerializeToString()
    raw = verify.raw_rows(model, X)
    verify.require("to_onnx", model, raw, answers(model, data, raw))
    storage.write_atomically(path, data)


def file_of(model: Network | Ensemble) -> Any:
    """The checked ONNX file of a model."""
    net = members(model)[0]
    graph, inputs = _Graph(net.dtype), Inputs.of(net)
    outputs = _answers(graph, net, _mean(graph, [_told(graph, each) for each in members(model)]))
    X = helper.make_tensor_value_info("X", helper.np_dtype_to_tensor_dtype(net.dtype), ["rows", inputs.count])
    found = helper.make_model(
        helper.make_graph(graph.nodes, "network", [X], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="fastbp",
        producer_version=fastbp.__version__,
    )
    names = {"inputs": inputs.names, "classes": None if net.classes is None else net.classes.astype(str).tolist()}
    helper.set_model_props(found, {key: json.dumps(value) for key, value in names.items() if value is not None})
    onnx.checker.check_model(found, full_check=True)
    return found


def answers(model: Network | Ensemble, data: bytes, raw: Array) -> Answers:
    """What onnxruntime makes of the file for rows of raw values."""
    net = members(model)[0]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    with np.errstate(over="ignore"):
        given = {"X": raw.astype(net.dtype)}
    if net.task == "regression":
        return Answers(session.run(["prediction"], given)[0])
    labels, probabilities = session.run(["label", "probabilities"], given)
    if net.classes is not None:
        places = {label: k for k, label in enumerate(_labels(net).tolist())}
        labels = net.classes[[places[label] for label in labels.tolist()]]
    return Answers(None, probabilities, labels)


class _Graph:
    """Nodes and constants of a graph; called with an operator and what it takes, it gives the name of the result."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names = map("t{}".format, itertools.count())

    def __call__(self, operator: str, *given: Any, name: str | None = None, **attributes: Any) -> str:
        """Add a node; arrays, and numbers in the type of the network, become constants."""
        name = next(self._names) if name is None else name
        self.nodes.append(helper.make_node(operator, list(map(self._name, given)), [name], **attributes))
        return name

    def _name(self, given: Any) -> str:
        if isinstance(given, str):
            return given
        array = np.asarray(given, self.dtype if isinstance(given, float | int) else None)
        name = next(self._names)
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _standardised(graph: _Graph, net: Network) -> str:
    """What the first layer sees, computed in float64."""
    inputs, double = Inputs.of(net), onnx.TensorProto.DOUBLE
    if inputs.is_plain and not net.x_mean.any() and (net.x_scale == 1).all():
        return "X"
    values = graph("Cast", "X", to=double)
    if not inputs.is_plain:
        values = graph("Gather", values, inputs.source, axis=1)
        missing = graph("IsNaN", values)
        values = graph("Where", missing, inputs.fill, values)
        values = graph("Where", inputs.flag, graph("Cast", missing, to=double), values)
    scaled = graph("Div", graph("Sub", values, net.x_mean), net.x_scale)
    return graph("Cast", scaled, to=helper.np_dtype_to_tensor_dtype(net.dtype))


def _told(graph: _Graph, net: Network) -> str:
    """What one network predicts: numbers or probabilities."""
    a = _standardised(graph, net)
    for W, b, name in zip(net.weights, net.biases, net.layer_activations, strict=True):
        a = _ACTIVATIONS[name](graph, graph("Add", graph("MatMul", a, W), b))
    if net.task == "regression":
        return graph("Add", graph("Mul", a, net.y_scale.astype(net.dtype)), net.y_mean.astype(net.dtype))
    return a if net.classes is None else _probabilities(graph, net, a)


def _mean(graph: _Graph, told: list[str]) -> str:
    """The mean of what several networks predict, computed in float64."""
    if len(told) == 1:
        return told[0]
    total = graph("Sum", *(graph("Cast", one, to=onnx.TensorProto.DOUBLE) for one in told))
    return graph(
        "Cast", graph("Div", total, np.array(float(len(told)))), to=helper.np_dtype_to_tensor_dtype(graph.dtype)
    )


def _answers(graph: _Graph, net: Network, told: str) -> list[Any]:
    """Add what the file answers with, from what is predicted."""
    number, whole = helper.np_dtype_to_tensor_dtype(net.dtype), onnx.TensorProto.INT64
    if net.task == "regression":
        graph("Identity", told, name="prediction")
        return [helper.make_tensor_value_info("prediction", number, ["rows", net.sizes[-1]])]
    if net.task == "multilabel":
        graph("Identity", told, name="probabilities")
        graph("Cast", graph("Greater", told, 0.5), name="label", to=whole)
        described = [("label", whole), ("probabilities", number)]
        return [helper.make_tensor_value_info(name, kind, ["rows", net.sizes[-1]]) for name, kind in described]
    labels = _labels(net)
    graph("Identity", told, name="probabilities")
    graph("Gather", labels, _decision(graph, len(labels)), name="label")
    label = helper.make_tensor_value_info(
        "label", onnx.TensorProto.STRING if labels.dtype.kind == "O" else whole, ["rows"]
    )
    return [label, helper.make_tensor_value_info("probabilities", number, ["rows", len(labels)])]


def _labels(net: Network) -> Array:
    """Labels as ONNX can hold them: text or whole numbers, else their index."""
    classes = net.classes
    assert classes is not None
    if classes.dtype.kind in "biuf" and (classes <= np.iinfo(np.int64).max).all():
        return classes.astype(np.int64)
    labels = classes.tolist()
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, object)
    if all(isinstance(label, int) and abs(label) < 2**63 for label in labels):
        return np.array(labels, np.int64)
    return np.arange(len(labels))


def _probabilities(graph: _Graph, net: Network, out: str) -> str:
    """As `Network.predict_proba`, from the outputs of the last layer."""
    if net.layer_activations[-1] == "softmax":
        return out
    if net.sizes[-1] == 1:
        return graph("Concat", graph("Sub", 1, out), out, axis=1)
    total = graph("ReduceSum", out, np.array([1]), keepdims=1)
    some = graph("Greater", total, 0)
    return graph("Where", some, graph("Div", out, graph("Where", some, total, 1)), 1 / net.sizes[-1])


def _decision(graph: _Graph, classes: int) -> str:
    """Index of the class, from the probabilities: of two the second where it is above 1/2, of several the most probable."""
    if classes > 2:
        return graph("ArgMax", "probabilities", axis=1, keepdims=0)
    second = graph("Gather", "probabilities", np.array(1), axis=1)
    return graph("Cast", graph("Greater", second, 0.5), to=onnx.TensorProto.INT64)


def _softplus(graph: _Graph, z: str) -> str:
    rest = graph("Log", graph("Add", 1, graph("Exp", graph("Neg", graph("Abs", z)))))
    return graph("Add", graph("Relu", z), rest)


def _exponential(graph: _Graph, z: str, positive: float = 1, negative: float = 1) -> str:
    """`positive` z where z > 0, else `negative` (e^z - 1)."""
    below = graph("Min", z, 0)
    # e^z - 1 = tanh(z / 2) (e^z + 1), which keeps the digits of a small z
    below = graph("Mul", graph("Tanh", graph("Mul", below, 0.5)), graph("Add", graph("Exp", below), 1))
    return graph("Add", graph("Mul", graph("Relu", z), positive), graph("Mul", below, negative))


def _erf(graph: _Graph, x: str) -> str:
    """The error function, which runtimes have in float32 only; in float64 by the polynomials of the kernels."""
    if graph.dtype == np.float32:
        return graph("Erf", x)

    def polynomial(at: str, coefficients: Any) -> str:
        value: Any = coefficients[-1]
        for c in coefficients[-2::-1]:
            value = graph("Add", graph("Mul", value, at), c)
        return str(value)

    y = graph("Abs", x)
    near = graph("Add", x, graph("Mul", x, polynomial(graph("Mul", x, x), elementary._ERF[8])))
    far = graph("Exp", graph("Neg", polynomial(graph("Min", y, 6), elementary._ERFC[8])))
    return graph("Where", graph("Less", y, 1), near, graph("Mul", graph("Sign", x), graph("Sub", 1, far)))


def _gelu(graph: _Graph, z: str) -> str:
    return graph("Mul", graph("Mul", z, 0.5), graph("Add", 1, _erf(graph, graph("Mul", z, 0.5**0.5))))


def _hard_sigmoid(graph: _Graph, z: str) -> str:
    return graph("Min", graph("Relu", graph("Add", graph("Div", z, 6), 0.5)), 1)


# Only operators that runtimes have in float64 too
_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "identity": lambda graph, z: z,
    "logistic": lambda graph, z: graph("Sigmoid", z),
    "tanh": lambda graph, z: graph("Tanh", z),
    "relu": lambda graph, z: graph("Relu", z),
    "leaky_relu": lambda graph, z: graph("Max", z, graph("Mul", z, activation.LEAK)),
    "elu": _exponential,
    "selu": lambda graph, z: _exponential(
        graph, z, activation.SELU_SCALE, activation.SELU_SCALE * activation.SELU_ALPHA
    ),
    "softplus": _softplus,
    "hard_sigmoid": _hard_sigmoid,
    "exp": lambda graph, z: graph("Exp", z),
    "gelu": _gelu,
    "silu": lambda graph, z: graph("Mul", z, graph("Sigmoid", z)),
    "mish": lambda graph, z: graph("Mul", z, graph("Tanh", _softplus(graph, z))),
    "softmax": lambda graph, z: graph("Softmax", z, axis=1),
}
