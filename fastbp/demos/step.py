"""
Training, step by step
======================

Rows L25 to L30. The lecture's training process for a network with 2 inputs, 2 hidden units and 1
output: every number of one update, then pass after pass over the whole training set until it stops,
then predictions with the frozen network.
"""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import fastbp
import fastbp.kernels as k
from fastbp import graph, plot

# %%
# **Step 1**: the network, the inputs X and labels Y, the learning rate α. **Step 2**: random weights.
# W⁽ˡ⁾ has a row for each unit of the layer below, and a column for each unit of the layer (L25).

α = 0.5
x, y = np.array([[1.0, 1.0]]), np.array([[0.0]])
random = np.random.default_rng(3)
W1, b1, W2, b2 = (random.uniform(-1, 1, shape) for shape in ((2, 2), 2, (2, 1), 1))
start = np.concatenate([W1.ravel(), b1, W2.ravel(), b2])


def show(name: str, values: Any) -> None:
    """Print numbers in one line."""
    print(f"  {name:24} " + "  ".join(f"{value:+.6f}" for value in np.ravel(values)))


print("step: one update of a 2-2-1 network, one sample, α = 0.5, weights row by row")
for name, values in (("x", x), ("y", y), ("W(1)", W1), ("b(1)", b1), ("W(2)", W2), ("b(2)", b2)):
    show(name, values)

# %%
# **Step 3**, forward propagation: z⁽ˡ⁾ = W⁽ˡ⁾ᵀ a⁽ˡ⁻¹⁾ + b⁽ˡ⁾, a⁽ˡ⁾ = f(z⁽ˡ⁾), up to ŷ. Every step is
# one kernel, which writes to our array.

a1, a2 = np.empty((1, 2)), np.empty((1, 1))
for a, W, b, out in ((x, W1, b1, a1), (a1, W2, b2, a2)):
    k.linear_forward(a, W, b, out)
    k.activation_forward(k.LOGISTIC, out, out)
print("forward")
show("a(1) = f(W(1)ᵀx + b(1))", a1)
show("ŷ = f(W(2)ᵀa(1) + b(2))", a2)

# %%
# **Step 4**, backward propagation. Output layer (L27): e = ŷ - y, δ = ŷ(1 - ŷ) e. Hidden layer (L28): δ
# = a(1 - a) Σ δ w, summed over the units above, with the weights before the update. Then Δw = a δ for
# each weight, w ← w - α Δw and b ← b - α δ.

δ2, δ1, ΔW2, ΔW1, Δb2, Δb1 = (np.empty_like(like) for like in (a2, a1, W2, W1, b2, b1))
k.output_delta(k.SQUARED_ERROR, np.empty(0), k.LOGISTIC, a2, y, δ2)
k.hidden_delta(k.LOGISTIC, δ2, W2, a1, δ1)
print("backward")
show("e = ŷ - y", a2 - y)
show("δ(2) = ŷ(1 - ŷ) e", δ2)
show("δ(1) = a(1 - a) Σ δ w", δ1)
for a, δ, ΔW, Δb, W, b, layer in ((a1, δ2, ΔW2, Δb2, W2, b2, 2), (x, δ1, ΔW1, Δb1, W1, b1, 1)):
    k.weight_gradient(a, δ, ΔW)
    k.bias_gradient(δ, Δb)
    k.sgd_update(W, ΔW, α)
    k.sgd_update(b, Δb, α)
    show(f"ΔW({layer}) = a δ", ΔW)
    show(f"W({layer}) ← W - α ΔW", W)
    show(f"b({layer}) ← b - α δ", b)

# %%
# ``fastbp.train`` does the same in one compiled loop: one pass over this sample, from the same weights,
# gives the same numbers.

rule: dict[str, Any] = {"activation": "logistic", "output": "logistic", "loss": "squared_error"}
rule |= {"optimizer": "sgd", "batch_size": 1, "learning_rate": α, "hidden": (2,)}
rule |= {"scale": False, "dtype": "float64"}
first = dataclasses.replace(
    fastbp.train(x, y, task="regression", **rule, epochs=1, seed=0), params=start
)
once = fastbp.train(x, y, task="regression", **rule, epochs=1, init=first)
updated = np.concatenate([W1.ravel(), b1, W2.ravel(), b2])
print(f"the same update by fastbp.train: largest difference {np.abs(once.params - updated).max():.0e}")

# %%
# The computation graph has no layers, only nodes, and finds the same gradients, too.

V1, c1, V2, c2 = map(
    graph.Variable, (start[:4].reshape(2, 2), start[4:6], start[6:8].reshape(2, 1), start[8:])
)
J = graph.squared_error(graph.logistic(graph.logistic(x @ V1 + c1) @ V2 + c2), y)
J.backward()
gap = max(np.abs(np.asarray(v.grad) - Δ).max() for v, Δ in ((V1, ΔW1), (c1, Δb1), (V2, ΔW2), (c2, Δb2)))
print(f"the same gradients by fastbp.graph: largest difference {gap:.0e}")

# %%
# **Repeat** steps 3 and 4 over the whole training set (L29) until one of two conditions is met: a fixed
# number of passes, or a target accuracy. The network says which.

X, Y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
short = fastbp.train(X, Y, **rule, epochs=500, target_accuracy=1.0, seed=0)
net = fastbp.train(X, Y, **rule, epochs=20_000, target_accuracy=1.0, seed=0)
for run in (short, net):
    passes, accuracy = len(run.history["loss"]), run.score(X, Y)
    print(f"XOR: stopped by {run.stop_reason} after {passes} passes, accuracy {accuracy:.2f}")

# %%
# **Freeze** (L30): the weights cannot change any more; the network is saved and loaded only to predict.

with tempfile.TemporaryDirectory() as folder:
    net.save(Path(folder, "xor.fbp"))
    frozen = fastbp.load(Path(folder, "xor.fbp"))
writeable = net.params.flags.writeable
print(f"loaded: {frozen.predict(X)} for XOR's four inputs; weights can be changed: {writeable}")

# %%
# The learning curve, with the point where training stopped.

plot.learning_curves(net)
plt.show()
