"""`to_torch` and `fastbp.from_torch`: conversion to a PyTorch module, and from a Sequential."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from .. import checks, options
from ..model.ensemble import Ensemble, members
from ..model.network import Network
from ..tables.raw_inputs import Inputs
from . import layers, verify
from .verify import Answers, Array

try:
    import torch
    from torch import nn
except ImportError as error:
    if (error.name or "").partition(".")[0] != "torch":
        raise
    raise ImportError("this needs PyTorch; install it with: pip install torch") from None


class Exp(nn.Module):  # type: ignore[misc]
    """e^z, for which PyTorch has no module."""

    def forward(self, z: Any) -> Any:
        """e^z of each element."""
        return torch.exp(z)


class BothClasses(nn.Module):  # type: ignore[misc]
    """Probabilities of two classes from that of the second one."""

    def forward(self, p: Any) -> Any:
        """1 - p and p, shape (n, 2)."""
        return torch.cat([1 - p, p], dim=1)


class Shares(nn.Module):  # type: ignore[misc]
    """Probabilities of classes with a logistic unit each: their shares of the sum."""

    def forward(self, a: Any) -> Any:
        """a divided by the sum of each row; all classes alike where that is 0."""
        total = a.sum(dim=1, keepdim=True)
        return torch.where(total > 0, a / torch.where(total > 0, total, 1), 1 / a.shape[1])


class Mean(nn.Module):  # type: ignore[misc]
    """The mean of what several networks return for the same inputs."""

    def __init__(self, networks: list[Any]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, X: Any) -> Any:
        """Mean of the networks' outputs."""
        return torch.stack([network(X) for network in self.networks]).mean(dim=0)


class Clamp(nn.Module):  # type: ignore[misc]
    """Cuts each output to its range, see `fastbp.Network.target_range`; `torch.clamp` itself is no module."""

    def __init__(self, least: Any, most: Any) -> None:
        super().__init__()
        self.register_buffer("least", least)
        self.register_buffer("most", most)

    def forward(self, y: Any) -> Any:
        """The outputs within their ranges."""
        return torch.clamp(y, self.least, self.most)


# Modules of the activations; identity has none. PyTorch's threshold of 20 for Softplus would cost digits in float64.
_MODULES: dict[str, Any] = {
    "logistic": nn.Sigmoid,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "elu": nn.ELU,
    "selu": nn.SELU,
    "softplus": lambda: nn.Softplus(threshold=40),
    "hard_sigmoid": nn.Hardsigmoid,
    "exp": Exp,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "softmax": lambda: nn.Softmax(dim=1),
}
# The other direction, with the allowed options of each module.
_NAMES: dict[Any, tuple[str, dict[str, Any]]] = {
    nn.Sigmoid: ("logistic", {}),
    nn.Tanh: ("tanh", {}),
    nn.ReLU: ("relu", {}),
    nn.LeakyReLU: ("leaky_relu", {"negative_slope": (0.01,)}),
    nn.ELU: ("elu", {"alpha": (1,)}),
    nn.SELU: ("selu", {}),
    nn.Softplus: ("softplus", {"beta": (1,), "threshold": (20, 40)}),
    nn.Hardsigmoid: ("hard_sigmoid", {}),
    Exp: ("exp", {}),
    nn.GELU: ("gelu", {"approximate": ("none",)}),
    nn.SiLU: ("silu", {}),
    nn.Mish: ("mish", {}),
    nn.Softmax: ("softmax", {"dim": (1, -1)}),
}


def to_torch(model: Network | Ensemble, X: ArrayLike | None = None) -> Any:
    """Convert `model` to a PyTorch module; see `Exports.to_torch`."""
    verify.require_equal_inputs("to_torch", model, of_raw=False)
    module = sequential_of(model) if isinstance(model, Network) else mean_of(model)
    raw = verify.raw_rows(model, X)
    inputs = Inputs.of(members(model)[0]).expand(raw)
    verify.require("to_torch", model, raw, answers(model, module, inputs))
    return module


def mean_of(model: Ensemble) -> Any:
    """The module of an ensemble, ready to predict."""
    sequentials = [sequential_of(net) for net in model.networks]
    if model.task == "classification":
        for net, sequential in zip(model.networks, sequentials, strict=True):
            if net.sizes[-1] == 1:
                sequential.append(BothClasses())
            elif net.layer_activations[-1] != "softmax":
                sequential.append(Shares())
    return Mean(sequentials).eval()


def sequential_of(net: Network) -> Any:
    """The Sequential, ready to predict."""
    kind = getattr(torch, net.dtype.name)
    modules: list[Any] = []
    for (W, b), name in zip(layers.folded(net), net.layer_activations, strict=True):
        linear = nn.Linear(len(W), len(b), dtype=kind)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(W.T.copy()))
            linear.bias.copy_(torch.tensor(b))
        modules += [linear] if name == "identity" else [linear, _MODULES[name]()]
    if net.target_range is not None:
        modules.append(Clamp(*torch.tensor(net.target_range, dtype=kind)))
    return nn.Sequential(*modules).eval()


def answers(model: Network | Ensemble, module: Any, inputs: Array) -> Answers:
    """The predictions of the module for rows of inputs."""
    with torch.no_grad(), np.errstate(over="ignore"):
        came = module(torch.tensor(inputs.astype(model.dtype))).numpy()
    return Answers(came) if isinstance(model, Network) or model.task == "regression" else Answers(None, came)


def from_torch(sequential: Any, *, task: str = "auto", classes: ArrayLike | None = None) -> Network:
    """Read the network; see `fastbp.from_torch`."""
    if not isinstance(sequential, nn.Sequential):
        raise ValueError(f"sequential: expected a torch.nn.Sequential, got {type(sequential).__name__}")
    checks.one_of("task", task, ("auto", *options.TASKS))
    reader = _Reader()
    for position, module in enumerate(sequential):
        try:
            reader.read(module)
        except ValueError as error:
            raise ValueError(f"sequential: {error}; at position {position}: {module!r}") from None
    if not reader.layers or reader.scale is not None:
        raise ValueError(
            "sequential: expected at least one Linear, and one after each BatchNorm1d that follows an activation"
        )
    names = [name or "identity" for name in reader.activations]
    units, last = len(reader.layers[-1][1]), names[-1]
    if task == "auto":
        tasks = {"softmax": "classification", "logistic": "classification" if units == 1 else "multilabel"}
        task = tasks.get(last, "regression")
    if task != "regression" and reader.target_range is not None:
        raise ValueError(f"sequential: expected a Clamp only in regression, got task {task!r}")
    if task != "regression" and last == "identity":
        last = names[-1] = "softmax" if task == "classification" and units > 1 else "logistic"
    labels = _labels(classes, task, units, last)
    allowed = {"regression": options.OUTPUTS, "multilabel": ("logistic",)}.get(task, ("logistic", "softmax"))
    if last not in allowed:
        fitting = ", ".join(map(repr, allowed))
        raise ValueError(f"sequential: expected a last activation for {task} ({fitting}), got {last!r}")
    loss = "squared_error" if task == "regression" else "log_loss"
    dtype = np.dtype(np.float64 if reader.double else np.float32)
    try:
        attributes = {"task": task, "loss": loss, "classes": labels, "target_range": reader.target_range}
        return layers.network(reader.layers, names, dtype, origin="torch", **attributes)
    except ValueError as error:
        raise ValueError(f"sequential: {error}") from None


def _labels(classes: ArrayLike | None, task: str, units: int, last: str) -> Any:
    """Checked labels of the classes; None except in classification."""
    if task != "classification":
        if classes is not None:
            raise ValueError(f"classes: expected None for {task}, got {classes!r}")
        return None
    if (units, last) in ((1, "softmax"), (2, "logistic")):
        raise ValueError("sequential: expected one Sigmoid or a Softmax of two units for two classes")
    count = max(units, 2)
    labels = np.arange(count) if classes is None else np.asarray(classes)
    if labels.shape != (count,) or len(set(labels.tolist())) < count:
        raise ValueError(f"classes: expected {count} different labels, got {classes!r}")
    return labels


class _Reader:
    """Reads one module after another: the layers so far, and a scaling that goes into the next Linear."""

    def __init__(self) -> None:
        self.layers: list[layers.Layer] = []
        self.activations: list[str | None] = []  # None: no activation has followed the Linear so far
        self.scale: NDArray[np.float64] | None = None
        self.shift: NDArray[np.float64] | None = None
        self.double = False
        self.target_range: NDArray[np.float64] | None = None

    def read(self, module: Any) -> None:
        """Read a module; ValueError if it is not allowed there."""
        kind = type(module)
        if kind in (nn.Dropout, nn.Identity) or (kind is nn.Flatten and module.start_dim == 1):
            return
        if self.target_range is not None:
            raise ValueError("expected Clamp only at the end")
        if kind is nn.Linear:
            self._linear(module)
        elif kind is nn.BatchNorm1d:
            self._norm(module)
        elif kind is Clamp:
            self._clamp(module)
        elif kind in _NAMES:
            self._activation(module, *_NAMES[kind])
        else:
            raise ValueError("expected Linear, BatchNorm1d, Dropout or an activation that fastbp has")

    def _linear(self, module: Any) -> None:
        W = self._numbers(module.weight).T
        b = np.zeros(W.shape[1]) if module.bias is None else self._numbers(module.bias)
        if self.layers and len(self.layers[-1][1]) != len(W):
            raise ValueError(
                f"expected a Linear for the {len(self.layers[-1][1])} units before it, got one for {len(W)}"
            )
        if "softmax" in self.activations:
            raise ValueError("expected Softmax only at the end")
        if self.scale is not None and self.shift is not None:
            if len(self.scale) != len(W):
                raise ValueError(
                    f"expected a Linear for the {len(self.scale)} features before it, got one for {len(W)}"
                )
            W, b = W * self.scale[:, None], b + self.shift @ W
            self.scale = self.shift = None
        self.layers.append((W, b))
        self.activations.append(None)

    def _norm(self, module: Any) -> None:
        if module.running_mean is None:
            raise ValueError("expected a BatchNorm1d that tracks its statistics")
        scale = 1 / np.sqrt(self._numbers(module.running_var) + module.eps)
        if module.weight is not None:
            scale = scale * self._numbers(module.weight)
        shift = -self._numbers(module.running_mean) * scale
        if module.bias is not None:
            shift = shift + self._numbers(module.bias)
        if self.activations and self.activations[-1] is None:
            W, b = self.layers[-1]
            if len(b) != len(scale):
                raise ValueError(f"expected a BatchNorm1d for the {len(b)} units before it, got one for {len(scale)}")
            self.layers[-1] = W * scale, b * scale + shift
        elif self.scale is not None:
            raise ValueError("expected a Linear between two BatchNorm1d")
        else:
            self.scale, self.shift = scale, shift

    def _activation(self, module: Any, name: str, allowed: dict[str, Any]) -> None:
        if not self.activations or self.activations[-1] is not None or self.scale is not None:
            raise ValueError("expected a Linear before each activation")
        for option, values in allowed.items():
            if getattr(module, option) not in values:
                raise ValueError(f"expected {option}={values[0]!r}")
        self.activations[-1] = name

    def _clamp(self, module: Any) -> None:
        if not self.layers or self.scale is not None or self.activations[-1] not in (None, "identity"):
            raise ValueError("expected a Linear before Clamp")
        self.target_range = np.array([self._numbers(module.least), self._numbers(module.most)])

    def _numbers(self, tensor: Any) -> NDArray[np.float64]:
        self.double |= tensor.dtype == torch.float64
        return tensor.detach().to("cpu", torch.float64).numpy().copy()
