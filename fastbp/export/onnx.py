"""`to_onnx`: writes a network with its scaler, or an ensemble, as an ONNX file."""

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

# The oldest operator set that has all operators used here, and its file format: all runtimes of recent years read them.
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
    outputs = _outputs(graph, net, _mean(graph, [_prediction(graph, each) for each in members(model)]))
    X = helper.make_tensor_value_info("X", helper.np_dtype_to_tensor_dtype(net.dtype), ["rows", inputs.count])
    file = helper.make_model(
        helper.make_graph(graph.nodes, "network", [X], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", _OPSET)],
        ir_version=_IR,
        producer_name="fastbp",
        producer_version=fastbp.__version__,
    )
    names = {"inputs": inputs.names, "classes": None if net.classes is None else net.classes.astype(str).tolist()}
    helper.set_model_props(file, {key: json.dumps(value) for key, value in names.items() if value is not None})
    onnx.checker.check_model(file, full_check=True)
    return file


def answers(model: Network | Ensemble, data: bytes, raw: Array) -> Answers:
    """The predictions of onnxruntime for rows of raw values."""
    net = members(model)[0]
    session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
    with np.errstate(over="ignore"):
        inputs = {"X": raw.astype(net.dtype)}
    if net.task == "regression":
        return Answers(session.run(["prediction"], inputs)[0])
    labels, probabilities = session.run(["label", "probabilities"], inputs)
    if net.classes is not None:
        indices = {label: k for k, label in enumerate(_labels(net).tolist())}
        labels = net.classes[[indices[label] for label in labels.tolist()]]
    return Answers(None, probabilities, labels)


class _Graph:
    """Nodes and constants of a graph; a call adds a node, and returns the name of its result."""

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self.dtype = dtype
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._names = map("t{}".format, itertools.count())

    def __call__(self, operator: str, *operands: Any, name: str | None = None, **attributes: Any) -> str:
        """Add a node; operands are names, arrays, or numbers, which get the data type of the network."""
        name = next(self._names) if name is None else name
        self.nodes.append(helper.make_node(operator, list(map(self._name, operands)), [name], **attributes))
        return name

    def _name(self, operand: Any) -> str:
        if isinstance(operand, str):
            return operand
        array = np.asarray(operand, self.dtype if isinstance(operand, float | int) else None)
        name = next(self._names)
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def _standardised(graph: _Graph, net: Network) -> str:
    """The inputs of the first layer, computed in float64."""
    inputs, double = Inputs.of(net), onnx.TensorProto.DOUBLE
    if inputs.is_plain and not net.x_mean.any() and (net.x_scale == 1).all():
        return "X"
    values = graph("Cast", "X", to=double)
    if not inputs.is_plain:
        missing = graph("IsNaN", graph("Gather", values, inputs.source, axis=1))
        if inputs.cuts:
            values = graph("Min", graph("Max", values, inputs.least), inputs.most)
        values = graph("Gather", values, inputs.source, axis=1)
        values = graph("Where", missing, inputs.fill, values)
        values = graph("Where", inputs.flag, graph("Cast", missing, to=double), values)
    if inputs.piece.any():
        width = np.where(inputs.piece, inputs.width, 1)
        share = graph("Clip", graph("Div", graph("Sub", values, inputs.lower), width), np.array(0.0), np.array(1.0))
        values = graph("Where", inputs.piece, share, values)
    scaled = graph("Div", graph("Sub", values, net.x_mean), net.x_scale)
    return graph("Cast", scaled, to=helper.np_dtype_to_tensor_dtype(net.dtype))


def _prediction(graph: _Graph, net: Network) -> str:
    """The prediction of one network: numbers or probabilities."""
    a = _standardised(graph, net)
    for W, b, name in zip(net.weights, net.biases, net.layer_activations, strict=True):
        a = _ACTIVATIONS[name](graph, graph("Add", graph("MatMul", a, W), b))
    if net.task == "regression":
        a = graph("Add", graph("Mul", a, net.y_scale.astype(net.dtype)), net.y_mean.astype(net.dtype))
        if net.target_range is None:
            return a
        least, most = net.target_range.astype(net.dtype)
        return graph("Min", graph("Max", a, least), most)
    return a if net.classes is None else _probabilities(graph, net, a)


def _mean(graph: _Graph, predictions: list[str]) -> str:
    """The mean of the networks' predictions, computed in float64."""
    if len(predictions) == 1:
        return predictions[0]
    total = graph("Sum", *(graph("Cast", one, to=onnx.TensorProto.DOUBLE) for one in predictions))
    mean = graph("Div", total, np.array(float(len(predictions))))
    return graph("Cast", mean, to=helper.np_dtype_to_tensor_dtype(graph.dtype))


def _outputs(graph: _Graph, net: Network, prediction: str) -> list[Any]:
    """Add the outputs of the file."""
    info, units = helper.make_tensor_value_info, net.sizes[-1]
    number, integer = helper.np_dtype_to_tensor_dtype(net.dtype), onnx.TensorProto.INT64
    if net.task == "regression":
        graph("Identity", prediction, name="prediction")
        return [info("prediction", number, ["rows", units])]
    graph("Identity", prediction, name="probabilities")
    if net.task == "multilabel":
        graph("Cast", graph("Greater", prediction, 0.5), name="label", to=integer)
        return [info("label", integer, ["rows", units]), info("probabilities", number, ["rows", units])]
    labels = _labels(net)
    graph("Gather", labels, _decision(graph, len(labels)), name="label")
    kind = onnx.TensorProto.STRING if labels.dtype.kind == "O" else integer
    return [info("label", kind, ["rows"]), info("probabilities", number, ["rows", len(labels)])]


def _labels(net: Network) -> Array:
    """Labels as ONNX can store them: text or integers, otherwise their indices."""
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
    positive = graph("Greater", total, 0)
    return graph("Where", positive, graph("Div", out, graph("Where", positive, total, 1)), 1 / net.sizes[-1])


def _decision(graph: _Graph, classes: int) -> str:
    """Index of the class: the second of two if its probability is above 1/2, the most probable of several."""
    if classes > 2:
        return graph("ArgMax", "probabilities", axis=1, keepdims=0)
    second = graph("Gather", "probabilities", np.array(1), axis=1)
    return graph("Cast", graph("Greater", second, 0.5), to=onnx.TensorProto.INT64)


def _softplus(graph: _Graph, z: str) -> str:
    rest = graph("Log", graph("Add", 1, graph("Exp", graph("Neg", graph("Abs", z)))))
    return graph("Add", graph("Relu", z), rest)


def _exponential(graph: _Graph, z: str, positive: float = 1, negative: float = 1) -> str:
    """`positive` z if z > 0, otherwise `negative` (e^z - 1)."""
    below = graph("Min", z, 0)
    # e^z - 1 = tanh(z / 2) (e^z + 1), which keeps the digits of a small z
    below = graph("Mul", graph("Tanh", graph("Mul", below, 0.5)), graph("Add", graph("Exp", below), 1))
    return graph("Add", graph("Mul", graph("Relu", z), positive), graph("Mul", below, negative))


def _erf(graph: _Graph, x: str) -> str:
    """The error function, which runtimes only have in float32; in float64 by the polynomials of the kernels."""
    if graph.dtype == np.float32:
        return graph("Erf", x)

    def polynomial(x: str, coefficients: Any) -> str:
        value: Any = coefficients[-1]
        for c in coefficients[-2::-1]:
            value = graph("Add", graph("Mul", value, x), c)
        return str(value)

    y = graph("Abs", x)
    near = graph("Add", x, graph("Mul", x, polynomial(graph("Mul", x, x), elementary._ERF[8])))
    far = graph("Exp", graph("Neg", polynomial(graph("Min", y, 6), elementary._ERFC[8])))
    return graph("Where", graph("Less", y, 1), near, graph("Mul", graph("Sign", x), graph("Sub", 1, far)))


def _gelu(graph: _Graph, z: str) -> str:
    return graph("Mul", graph("Mul", z, 0.5), graph("Add", 1, _erf(graph, graph("Mul", z, 0.5**0.5))))


def _hard_sigmoid(graph: _Graph, z: str) -> str:
    return graph("Min", graph("Relu", graph("Add", graph("Div", z, 6), 0.5)), 1)


def _selu(graph: _Graph, z: str) -> str:
    return _exponential(graph, z, activation.SELU_SCALE, activation.SELU_SCALE * activation.SELU_ALPHA)


# Only with operators that runtimes also have in float64.
_ACTIVATIONS: dict[str, Callable[[_Graph, str], str]] = {
    "identity": lambda graph, z: z,
    "logistic": lambda graph, z: graph("Sigmoid", z),
    "tanh": lambda graph, z: graph("Tanh", z),
    "relu": lambda graph, z: graph("Relu", z),
    "leaky_relu": lambda graph, z: graph("Max", z, graph("Mul", z, activation.LEAK)),
    "elu": _exponential,
    "selu": _selu,
    "softplus": _softplus,
    "hard_sigmoid": _hard_sigmoid,
    "exp": lambda graph, z: graph("Exp", z),
    "gelu": _gelu,
    "silu": lambda graph, z: graph("Mul", z, graph("Sigmoid", z)),
    "mish": lambda graph, z: graph("Mul", z, graph("Tanh", _softplus(graph, z))),
    "softmax": lambda graph, z: graph("Softmax", z, axis=1),
}
