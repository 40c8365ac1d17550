"""
How far exports are from the network: the largest difference of any number, over many random networks.

Run ``python bench/compare/exports.py [COUNT]`` with the packages of ``pip install -e ".[test]"``, PyTorch and a C
compiler; COUNT is the number of networks for each export, by default 1000. They have up to three hidden layers of up to
20 units with all activations (scikit-learn: those that it has), and predict 200 rows each. Prints a Markdown table. A
difference is relative to the size of its column: 1 for probabilities, otherwise the largest number in it, or the
largest sum of the terms that the unit adds, if that is larger.
"""

import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from random_networks import naive, networks, raw_rows

from fastbp.export import c, c_source, numpy, onnx, sklearn, torch, verify
from fastbp.tables.raw_inputs import Inputs


def in_sklearn(net):
    """Whether scikit-learn has such a network."""
    last = net.layer_activations[-1]
    if net.task == "regression":
        return last in ("identity", "exp")
    one_unit = net.task != "classification" or net.sizes[-1] == 1
    return last == "softmax" or (last == "logistic" and one_unit)


def onnx_answers(net, raw, inputs):
    return onnx.answers(net, onnx.file_of(net).SerializeToString(), raw)


SKLEARN = networks(hidden=naive.BASIC, outputs=("identity", "exp", "logistic", "softmax"), same=True).filter(in_sklearn)
# name, networks, predictions for rows of raw values or of inputs
EXPORTS = [
    ("ONNX (onnxruntime)", networks(), onnx_answers),
    ("C", networks(), lambda net, raw, inputs: c.answers(net, c_source.text(net, "net"), "net", raw)),
    ("NumPy", networks(), lambda net, raw, inputs: numpy.answers(net, numpy.text(net), raw)),
    ("scikit-learn", SKLEARN, lambda net, raw, inputs: sklearn.answers(net, sklearn.estimator_of(net), inputs)),
    ("PyTorch", networks(), lambda net, raw, inputs: torch.answers(net, torch.sequential_of(net), inputs)),
]


def measure(strategy, export, count):
    """Number of networks, and the largest difference for each type."""
    worst, seen = {"float32": 0.0, "float64": 0.0}, 0
    repeatable = {"derandomize": True, "database": None}

    @settings(max_examples=count, deadline=None, suppress_health_check=list(HealthCheck), **repeatable)
    @given(strategy)
    def one(net):
        nonlocal seen
        raw = raw_rows(net, 200)
        inputs = Inputs.of(net).expand(raw)
        own, exported = verify.own_answers(net, inputs), export(net, raw, inputs)
        differences = verify.differences(own, exported, verify.terms(net, inputs)).values()
        worst[net.dtype.name] = max(worst[net.dtype.name], *(float(np.max(relative)) for relative in differences))
        seen += 1

    one()
    return seen, worst


def main(count=1000):
    print("| export | networks | largest difference, float32 | float64 |\n|---|---|---|---|")
    for name, strategy, export in EXPORTS:
        seen, worst = measure(strategy, export, int(count))
        print(f"| {name} | {seen} | {worst['float32']:.1e} | {worst['float64']:.1e} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
