"""
How far exports are from the network: the largest difference of any number over many random networks.

Run ``python bench/compare/exports.py [COUNT]`` with the packages of ``pip install -e ".[test]"``, PyTorch and a C compiler; COUNT is the
number of networks for each export, by default 1000. They have up to three hidden layers of up to 20 units, all activations, and are
asked about 200 rows each (scikit-learn: networks that it can hold). Prints a Markdown table. A difference is relative to the size of its
column: 1 for probabilities, else the largest number in it, or the largest sum of the terms that its unit adds up, if that is larger.
"""

import sys
from pathlib import Path

import numpy as np
from hypothesis import HealthCheck, given, settings

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from random_networks import naive, networks, raw_rows

from fastbp.export import c, c_source, numpy, onnx, sklearn, torch, verify
from fastbp.tables.raw_inputs import Inputs

SKLEARN = networks(hidden=naive.BASIC, outputs=("identity", "exp", "logistic", "softmax"), same=True).filter(
    lambda net: (
        net.layer_activations[-1] in (("identity", "exp") if net.task == "regression" else ("logistic", "softmax"))
        and not (net.task == "classification" and net.layer_activations[-1] == "logistic" and net.sizes[-1] > 1)
    )
)
# name, networks, answers to rows of raw values (and the inputs that they are)
EXPORTS = [
    (
        "ONNX (onnxruntime)",
        networks(),
        lambda net, raw, inputs: onnx.answers(net, onnx.file_of(net).SerializeToString(), raw),
    ),
    ("C", networks(), lambda net, raw, inputs: c.answers(net, c_source.text(net, "net"), "net", raw)),
    ("NumPy", networks(), lambda net, raw, inputs: numpy.answers(net, numpy.text(net), raw)),
    ("scikit-learn", SKLEARN, lambda net, raw, inputs: sklearn.answers(net, sklearn.estimator_of(net), inputs)),
    ("PyTorch", networks(), lambda net, raw, inputs: torch.answers(net, torch.sequential_of(net), inputs)),
]


def measure(strategy, ask, count):
    """Number of networks, and the largest difference for each type."""
    worst, seen = {"float32": 0.0, "float64": 0.0}, 0

    @settings(
        max_examples=count, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(strategy)
    def one(net):
        nonlocal seen
        raw = raw_rows(net, 200)
        inputs = Inputs.of(net).expand(raw)
        found = verify.differences(verify.own_answers(net, inputs), ask(net, raw, inputs), verify.terms(net, inputs))
        worst[net.dtype.name] = max(worst[net.dtype.name], *(float(np.max(relative)) for relative in found.values()))
        seen += 1

    one()
    return seen, worst


def main(count=1000):
    print("| export | networks | largest difference, float32 | float64 |\n|---|---|---|---|")
    for name, strategy, ask in EXPORTS:
        seen, worst = measure(strategy, ask, int(count))
        print(f"| {name} | {seen} | {worst['float32']:.1e} | {worst['float64']:.1e} |", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
