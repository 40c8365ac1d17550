"""
Profile with asv
================

`airspeed velocity <https://asv.readthedocs.io>`_ (asv) times functions whose names begin with
``time_``, for each value of their parameters, each in a separate process. Here a suite of one benchmark
measures a kernel for several layer widths. fastbp's folder ``bench`` contains a larger suite.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

# %%
# The suite. ``setup`` is not timed: it creates the arrays, and calls the kernel once so that the timing
# includes no compilation.

SUITE = """
import numpy as np
import fastbp.kernels as k


class LinearForward:
    params, param_names = [[16, 32, 64, 128, 256]], ["width"]
    repeat, warmup_time = 10, 0.02

    def setup(self, width):
        random = np.random.default_rng(0)
        self.X = random.normal(size=(256, width)).astype(np.float32)
        self.W = random.normal(size=(width, width)).astype(np.float32)
        self.b = np.zeros(width, np.float32)
        self.out = np.empty((256, width), np.float32)
        self.time_linear_forward(width)

    def time_linear_forward(self, width):
        k.linear_forward(self.X, self.W, self.b, self.out)
"""
SETTINGS = {
    "version": 1,
    "project": "suite",
    "repo": ".",
    "branches": ["main"],
    "environment_type": "existing",
    "benchmark_dir": "bench",
    "results_dir": "results",
}

# %%
# ``--python=same`` measures the current environment instead of creating one. asv discards such results
# unless ``--set-commit-hash`` names the commit that they belong to, so we turn the folder into a
# repository with one commit. asv stores facts about the machine in the home folder; here that is the
# temporary folder, too.

with tempfile.TemporaryDirectory() as name:
    folder = Path(name)
    (folder / "bench").mkdir()
    (folder / "bench" / "__init__.py").touch()
    (folder / "bench" / "bench_linear.py").write_text(SUITE)
    (folder / "asv.conf.json").write_text(json.dumps(SETTINGS))

    def call(*command):
        """Run a command in the folder, and return its output."""
        settings = {"cwd": folder, "env": os.environ | {"HOME": name}, "text": True}
        return subprocess.run(command, check=True, capture_output=True, **settings).stdout

    call("git", "init", "--initial-branch=main")
    author = ("-c", "user.name=suite", "-c", "user.email=suite@example.org")
    call("git", *author, "commit", "--allow-empty", "--message=suite")
    asv = [sys.executable, "-m", "asv"]
    call(*asv, "machine", "--yes")
    print(call(*asv, "run", "--python=same", "--set-commit-hash=HEAD"))
    (path,) = folder.glob("results/*/*-existing-*.json")
    found = json.loads(path.read_text())

# %%
# The results file has a row per benchmark; ``result_columns`` names its columns. ``result`` has the
# median for each width, in seconds. A layer of that width takes 2 · 256 · width² flops.

values = found["results"]["bench_linear.LinearForward.time_linear_forward"]
row = dict(zip(found["result_columns"], values, strict=False))
widths, seconds = np.array(row["params"][0], int), np.array(row["result"])
gflops = 2 * 256 * widths**2 / seconds * 1e-9
for width, second, rate in zip(widths, seconds, gflops, strict=True):
    print(f"width {width:4d}: {second * 1e6:8.1f} µs, {rate:6.1f} GFLOP/s")

# %%
# Wider layers come closer to the processor's peak, because they do more arithmetic for each number that
# they load.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
left.loglog(widths, seconds * 1e6, "o-", color="#0072B2")
left.set(xlabel="width of the layer", ylabel="time per call, µs")
left.set_title("linear_forward, 256 samples, float32")
right.semilogx(widths, gflops, "s--", color="#D55E00")
right.set(xlabel="width of the layer", ylabel="GFLOP/s", ylim=0, title="The same in flops per second")
for ax in (left, right):
    ax.set_xticks(widths, widths)
    ax.minorticks_off()
plt.show()
