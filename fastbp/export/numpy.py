"""`to_numpy`: writes a network or an ensemble as one Python file that needs only NumPy."""

from __future__ import annotations

import base64
import os
import textwrap
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

import fastbp
from fastbp.kernels.internal import activation

from ..model import storage
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables.raw_inputs import Inputs
from . import verify
from .verify import Answers, Array

_ACTIVATIONS = {
    "logistic": "np.exp(-np.logaddexp(0, -z))",  # 1 / (1 + e^-z) without overflow
    "tanh": "np.tanh(z)",
    "relu": "np.maximum(z, 0)",
    "leaky_relu": f"np.maximum(z, {activation.LEAK} * z)",
    "elu": "np.where(z > 0, z, np.expm1(np.minimum(z, 0)))",
    "selu": f"{activation.SELU_SCALE} * np.where(z > 0, z, {activation.SELU_ALPHA} * np.expm1(np.minimum(z, 0)))",
    "softplus": "np.logaddexp(0, z)",
    "hard_sigmoid": "np.clip(z / 6 + 0.5, 0, 1)",
    "exp": "np.exp(z)",
    "gelu": "z * (1 + np.vectorize(math.erf, otypes=[z.dtype])(z * math.sqrt(0.5))) / 2",
    "silu": "z * np.exp(-np.logaddexp(0, -z))",
    "mish": "z * np.tanh(np.logaddexp(0, z))",
    "softmax": "(e := np.exp(z - z.max(axis=1, keepdims=True, initial=-np.inf))) / e.sum(axis=1, keepdims=True)",
}
_HEAD = '''\
"""
{what}, written by fastbp {version}. Needs only NumPy.

`predict(X)` takes an array of shape (rows, {count}): raw values{missing}.
"""

import base64
{math}
import numpy as np


def _array(text, dtype, *shape):
    return np.frombuffer(base64.b64decode(text), dtype).reshape(shape)


'''
_MEAN = '''\
NETWORKS = [{functions}]


def {function}(X):
    """Mean of the networks' outputs, shape (rows, {columns})."""
    return np.mean([network(X) for network in NETWORKS], axis=0, dtype=np.float64).astype(np.{dtype})
'''
_FORWARD = '''\
def forward(X):
    """Outputs of the last layer, shape (rows, {outputs})."""
    X = np.asarray(X, np.float64)
    if X.ndim != 2 or X.shape[1] != {count}:
        raise ValueError(f"X: expected shape (rows, {count}), got {{X.shape}}")
{expand}    a = ((X - X_MEAN) / X_SCALE).astype({dtype})
    for W, b, activation in LAYERS:
        a = activation(a @ W + b)
    return {result}
'''
_EXPAND = """\
    X = X[:, SOURCE]
    missing = np.isnan(X)
    X = np.where(FLAG, missing, np.where(missing, FILL, X))
"""
_CUT = """\
    X = np.clip(X, LEAST, MOST)
"""
_PIECES = """\
    X = np.where(WIDTH > 0, np.clip((X - LOWER) / np.where(WIDTH > 0, WIDTH, 1), 0, 1), X)
"""
_PROBABILITIES = '''

def predict_proba(X):
    """Probability of each {what}, shape (rows, {count})."""
    {body}
'''
_NORMALISED = """p = forward(X)
    total = p.sum(axis=1, keepdims=True)
    return np.where(total > 0, p / np.where(total > 0, total, 1), 1 / p.shape[1]).astype(p.dtype)"""
_PREDICT = '''

def predict(X):
    """{what}"""
    return {body}
'''


def to_numpy(model: Network | Ensemble, path: str | os.PathLike[str], X: ArrayLike | None = None) -> None:
    """Write `model` to a Python file; see `Network.to_numpy`."""
    verify.require_equal_inputs("to_numpy", model)
    source = text(model)
    raw = verify.raw_rows(model, X)
    verify.require("to_numpy", model, raw, answers(model, source, raw))
    storage.write_atomically(path, source.encode())


def text(model: Network | Ensemble) -> str:
    """The text of the file."""
    nets, inputs = members(model), Inputs.of(members(model)[0])
    if isinstance(model, Network):
        what = f"Multilayer perceptron for {model.task}, {'-'.join(map(str, model.sizes))}"
    else:
        what = f"Mean of {len(nets)} multilayer perceptrons for {model.task}"
    order = ", in the order of INPUTS" * (inputs.names is not None)
    missing = ", NaN where one is missing" * (not inputs.is_plain)
    math = "import math\n" * any("gelu" in net.layer_activations for net in nets)
    head = _HEAD.format(what=what, version=fastbp.__version__, count=inputs.count, missing=order + missing, math=math)
    lines = [] if inputs.names is None else [f"INPUTS = {_wrapped(list(inputs.names))}"]
    if model.classes is not None:
        lines.append(f"CLASSES = {_labels(model.classes)}")
    names = "".join(f"{line}\n" for line in lines)
    body = names + "\n\n" * bool(names) + _network(model) if isinstance(model, Network) else _mean(model, names)
    return head + body + _decision(nets[0])


def _mean(model: Ensemble, names: str) -> str:
    """The code of an ensemble: for each network a function that returns its function, and the mean of all."""
    function, net = "forward" if model.task == "regression" else "predict_proba", model.networks[0]
    makers = [
        f"def _network_{k}():\n{textwrap.indent(_network(each), '    ')}\n\n    return {function}\n\n\n"
        for k, each in enumerate(model.networks)
    ]
    functions = ", ".join(f"_network_{k}()" for k in range(len(makers)))
    columns = net.sizes[-1] if net.classes is None else len(net.classes)
    mean = _MEAN.format(functions=functions, function=function, columns=columns, dtype=net.dtype)
    return "".join(makers) + names + mean


def _network(net: Network) -> str:
    """The code of a network's functions and constants, except `predict`."""
    functions = [
        f"def {name}(z):\n    return {_ACTIVATIONS.get(name, 'z')}\n" for name in dict.fromkeys(net.layer_activations)
    ]
    return "\n\n".join([*functions, _constants(net) + "\n\n" + _forward(net) + _probabilities(net)])


def answers(model: Network | Ensemble, source: str, raw: Array) -> Answers:
    """The predictions of the file for rows of raw values."""
    file: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "exported", "exec"), file)
    with np.errstate(all="ignore"):
        outputs = file["forward"](raw) if "forward" in file else None  # an ensemble has it only in regression
        if model.task == "regression":
            return Answers(outputs)
        return Answers(outputs, file["predict_proba"](raw), file["predict"](raw))


def _constants(net: Network) -> str:
    """The constants of the functions."""
    inputs, lines = Inputs.of(net), list[str]()
    if not inputs.is_plain:
        lines += [f"{name.upper()} = {_encoded(getattr(inputs, name))}" for name in ("source", "fill", "flag")]
    if inputs.cuts:
        lines += [f"{name.upper()} = {_encoded(getattr(inputs, name))}" for name in ("least", "most")]
    if inputs.piece.any():
        lines += [f"{name.upper()} = {_encoded(getattr(inputs, name))}" for name in ("lower", "width")]
    lines += [f"X_MEAN = {_encoded(net.x_mean)}", f"X_SCALE = {_encoded(net.x_scale)}"]
    if net.task == "regression":
        mean, scale = net.y_mean.astype(net.dtype), net.y_scale.astype(net.dtype)
        lines += [f"Y_MEAN = {_encoded(mean)}", f"Y_SCALE = {_encoded(scale)}"]
    if net.target_range is not None:
        lines.append(f"Y_LEAST, Y_MOST = {_encoded(net.target_range.astype(net.dtype))}")
    lines.append("LAYERS = [")
    for W, b, name in zip(net.weights, net.biases, net.layer_activations, strict=True):
        lines.append(f"    ({_encoded(W)},\n     {_encoded(b)},\n     {name}),")
    return "\n".join([*lines, "]"]) + "\n"


def _encoded(array: Array) -> str:
    """An array as base64, exact to the last bit."""
    array = array.astype(array.dtype.newbyteorder("<"))
    lines = textwrap.wrap(base64.b64encode(array.tobytes()).decode(), 116)
    data = f"{''.join(lines)!r}"
    if len(lines) > 1:
        data = "(" + "\n".join(f"        {line!r}" for line in lines) + ")"
    return f"_array({data}, {array.dtype.str!r}, {', '.join(map(str, array.shape))})"


def _labels(classes: Array) -> str:
    """The labels as an expression."""
    if classes.dtype.kind in "mM":
        return f"np.array({_wrapped(classes.view(np.int64).tolist())}).view({classes.dtype.str!r})"
    labels = classes.tolist()
    for label in labels:
        if not isinstance(label, str | bytes | bool | int | float):
            got = f"{label!r} of type {type(label).__name__}"
            raise ValueError(f"to_numpy: expected labels that are text, numbers, booleans or dates, got {got}")
    return f"np.array({_wrapped(labels)}, {classes.dtype.str!r})"


def _wrapped(values: list[Any]) -> str:
    """A list, in one line if it fits, otherwise with one line for each element."""
    words = [repr(value) for value in values]
    if sum(map(len, words)) + 2 * len(words) < 110:
        return f"[{', '.join(words)}]"
    return "[\n" + "".join(f"    {word},\n" for word in words) + "]"


def _forward(net: Network) -> str:
    inputs, result = Inputs.of(net), "a * Y_SCALE + Y_MEAN" if net.task == "regression" else "a"
    return _FORWARD.format(
        outputs=net.sizes[-1],
        count=inputs.count,
        expand=_CUT * inputs.cuts + _EXPAND * (not inputs.is_plain) + _PIECES * bool(inputs.piece.any()),
        dtype=f"np.{net.dtype}",
        result=result if net.target_range is None else f"np.clip({result}, Y_LEAST, Y_MOST)",
    )


def _probabilities(net: Network) -> str:
    """The code of `predict_proba`; empty for regression."""
    if net.task == "regression":
        return ""
    if net.classes is None:
        return _PROBABILITIES.format(what="label", count=net.sizes[-1], body="return forward(X)")
    body = "return forward(X)"
    if net.sizes[-1] == 1:
        body = "p = forward(X)\n    return np.hstack([1 - p, p])"
    elif net.layer_activations[-1] != "softmax":
        body = _NORMALISED
    return _PROBABILITIES.format(what="class", count=len(net.classes), body=body)


def _decision(net: Network) -> str:
    """The code of `predict`."""
    if net.task == "regression" and net.single_output:
        return _PREDICT.format(what="Numbers.", body="forward(X)[:, 0]")
    if net.task == "regression":
        return _PREDICT.format(what="Numbers, one column for each output.", body="forward(X)")
    if net.classes is None:
        return _PREDICT.format(what="0 or 1 for each label.", body="(predict_proba(X) > 0.5).astype(np.int64)")
    two = len(net.classes) == 2
    index = "(predict_proba(X)[:, 1] > 0.5).astype(int)" if two else "predict_proba(X).argmax(axis=1)"
    return _PREDICT.format(what="The label of each row.", body=f"CLASSES[{index}]")
