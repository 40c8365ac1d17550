"""
XOR solved by one hidden layer
==============================

Row L9. One hidden layer solves what no linear unit can: it moves the four points so that a line
separates the classes. It is trained by the lecture's rule: logistic units, squared error, one sample
after another.
"""

import dataclasses
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import plot

X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
rule: dict[str, Any] = {"activation": "logistic", "output": "logistic", "loss": "squared_error"}
rule |= {"optimizer": "sgd", "batch_size": 1, "learning_rate": 2.0, "scale": False}

# %%
# A callback keeps the weights after some passes, for the animation below.

passes = {1, *np.geomspace(20, 294, 13).astype(int).tolist()}
kept: list[tuple[int, Any]] = []


def keep(epoch: fastbp.Epoch) -> None:
    """Copy the weights after the chosen passes."""
    if epoch.epoch in passes:
        kept.append((epoch.epoch, epoch.params.copy()))


linear = fastbp.train(X, y, hidden=(), seed=0)
net = fastbp.train(X, y, hidden=(2,), **rule, target_loss=0.005, seed=7, callback=keep)
print("xor: 1 if exactly one of x1 and x2 is 1; trained by the lecture's rule, sample by sample")
print(f"  accuracy of a linear unit         {linear.score(X, y):.2f}")
print(f"  accuracy with one hidden layer    {net.score(X, y):.2f}   ({len(net.history['loss'])} passes)")
print("  x1  x2   y       p   h1, h2: in the hidden layer's space, a line separates the classes")
for x, known, p, h in zip(X, y, net.predict_proba(X)[:, 1], net.activations(X)[1], strict=True):
    print(f"  {x[0]:2d}  {x[1]:2d}   {known}   {p:.3f}   {'  '.join(f'{value:.2f}' for value in h)}")

# %%
# XOR in the space of the inputs, and in the space of the hidden layer. There, the output unit is again
# a linear unit: its decision changes at the dashed line, w1·h1 + w2·h2 + b = 0.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
plot.boundary(net, X, y, ax=left)
left.set_title("XOR")
plot.layer_space(net, X, y, 1, ax=right)
(w1, w2), b = net.weights[1][:, 0], net.biases[1][0]
right.axline((0, -b / w2), slope=-w1 / w2, color="black", linestyle="--")
right.set(xlabel="h1", ylabel="h2", title="Transformed XOR")

# %%
# The network: the thicker a line, the larger its weight.

plot.network(net).set_title("The network that solves XOR")

# %%
# How the boundary develops, pass after pass.

networks = [(epoch, dataclasses.replace(net, params=weights)) for epoch, weights in kept]
animation = plot.boundary_animation(networks, X, y)
plt.show()
