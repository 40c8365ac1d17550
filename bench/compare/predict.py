"""
Prediction with one network in five libraries: the time of one row, and of many rows.

Run ``OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 NUMBA_NUM_THREADS=1 python bench/compare/predict.py`` with the packages
of ``pip install -e ".[peers]"``. A network is trained, and exported to the other libraries by `to_onnx`, `to_torch` and
`to_sklearn`. All take raw float32 rows. Bare layers take scaled inputs and return no labels: the least that ONNX
Runtime and OpenVINO can do, and fastbp for comparison. All take turns; in each turn, they are called for 20 ms. Prints
a Markdown table of medians.
"""

import statistics
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import torch

import fastbp

sys.path.insert(0, str(Path(__file__).parents[1] / "candidates"))

from with_onnx import model
from with_openvino import request

SIZES = [(64, 32, 10), (784, 256, 128, 10)]
ROWS = (1, 10_000)
ROUNDS, PAUSE, SECONDS = 15, 0.1, 0.02


def session(data):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def methods(net, X):
    """A call without arguments for each method to predict X."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.onnx"
        net.to_onnx(path)
        whole = session(path.read_bytes())
    layers = model(net.sizes, zip(net.weights, net.biases, strict=True), net.layer_activations)
    inputs, bare = np.ascontiguousarray((X - net.x_mean) / net.x_scale, np.float32), session(layers)
    openvino = request(layers, inputs, threads=1)
    unscaled = replace(net, x_mean=np.zeros_like(net.x_mean), x_scale=np.ones_like(net.x_scale))
    sequential, tensor, estimator = net.to_torch(), torch.from_numpy(X), net.to_sklearn()

    def in_torch():
        with torch.inference_mode():
            return sequential(tensor).numpy()

    return {
        "fastbp `predict`": lambda: net.predict(X),
        "fastbp `predict_proba`": lambda: net.predict_proba(X),
        "fastbp, bare layers": lambda: unscaled.forward(inputs),
        "ONNX Runtime, scaler and labels": lambda: whole.run(None, {"X": X}),
        "ONNX Runtime, bare layers": lambda: bare.run(None, {"a0": inputs}),
        "OpenVINO, bare layers": lambda: openvino.infer(share_outputs=True),
        "PyTorch": in_torch,
        "scikit-learn `predict_proba`": lambda: estimator.predict_proba(X),
    }


def main():
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    seconds = {}
    for sizes in SIZES:
        X = random.normal(size=(2000, sizes[0])).astype(np.float32) * 3 + 1
        net = fastbp.train(X, np.arange(2000) % sizes[-1], hidden=sizes[1:-1], epochs=1, seed=0, progress=False)
        for rows in ROWS:
            calls = 100 if rows == 1 else 1
            called = methods(net, np.ascontiguousarray(np.resize(X, (rows, sizes[0]))))
            taken = {name: [] for name in called}
            for _ in range(ROUNDS):
                for name, call in called.items():
                    time.sleep(PAUSE)
                    call()
                    count, started = 0, time.perf_counter()
                    while (passed := time.perf_counter() - started) < SECONDS:
                        for _ in range(calls):
                            call()
                        count += calls
                    taken[name].append(passed / count)
            for name, times in taken.items():
                seconds.setdefault(name, {})[sizes, rows] = statistics.median(times)
    cases = [(sizes, rows) for sizes in SIZES for rows in ROWS]
    units = {1: ("one row, µs", 1e6), 10_000: ("10000 rows, ms", 1e3)}
    print("| |", " | ".join(f"{'-'.join(map(str, sizes))}, {units[rows][0]}" for sizes, rows in cases), "|")
    print("|---|" + "---|" * len(cases))
    for name, times in seconds.items():
        print(f"| {name} |", " | ".join(f"{times[case] * units[case[1]][1]:.2f}" for case in cases), "|")


if __name__ == "__main__":
    main()
