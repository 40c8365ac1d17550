"""
Activation functions bend the space
===================================

Rows L7 and L8. In a layer, the linear model (I) is followed by a non-linear function (II), the same for
each unit: h1 = f(w1·x1 + w2·x2), h2 = f(w3·x1 + w4·x2), h3 = f(w5·x1 + w6·x2). It bends the space of
the inputs, so that the next step becomes simple.
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import plot

# %%
# The three functions of the lecture and their derivatives f', which the backward pass multiplies by.

plot.activations(("logistic", "tanh", "relu"))

# %%
# Two bands of points, one above the other. No straight line separates them. Two hidden units are
# enough, whatever f is; the lecture draws three, but two make a plane that you can see.

random = np.random.default_rng(0)
x1 = random.uniform(-1, 1, 200)
x2 = x1**2 + np.repeat([0, 0.5], 100) + random.uniform(0, 0.25, 200)
X, y = np.column_stack([x1, x2]), np.repeat(["lower", "upper"], 100)
options: dict[str, Any] = {"hidden": (2,), "learning_rate": 0.05, "epochs": 500, "seed": 2}
nets = {f: fastbp.train(X, y, activation=f, **options) for f in ("logistic", "tanh", "relu")}
print("activations: two bent bands, separated by two hidden units")
print(f"  without f, a linear unit: accuracy {fastbp.train(X, y, hidden=(), seed=0).score(X, y):.2f}")
for f, net in nets.items():
    print(f"  f = {f:8}   accuracy {net.score(X, y):.2f}")

# %%
# The formula of the hidden layer, written out for one point. Each unit also has a bias b, and x1, x2
# are standardised first.

net = nets["tanh"]
W, b = net.weights[0], net.biases[0]
x, h = (a[0] for a in net.activations(X[:1])[:2])
print(f"  x = ({x[0]:.3f}, {x[1]:.3f})")
for k in range(2):
    by_hand = np.tanh(W[0, k] * x[0] + W[1, k] * x[1] + b[k])
    formula = f"tanh({W[0, k]:+.3f} x1 {W[1, k]:+.3f} x2 {b[k]:+.3f})"
    print(f"  h{k + 1} = {formula} = {by_hand:+.3f}, by the network {h[k]:+.3f}")

# %%
# The same points before and after.

_, axes = plt.subplots(2, 2, figsize=(9, 8), layout="constrained")
plot.layer_space(net, X, y, 0, ax=axes[0, 0])
axes[0, 0].set_title("before: x1, x2")
for ax, (f, net) in zip(axes.flat[1:], nets.items(), strict=True):
    plot.layer_space(net, X, y, 1, ax=ax)
    (w1, w2), b = net.weights[1][:, 0], net.biases[1][0]
    ax.axline((0, -b / w2), slope=-w1 / w2, color="black", linestyle="--")
    ax.set(xlabel="h1", ylabel="h2", title=f"after: h1, h2 by {f}")
    ax.locator_params(nbins=5)
plt.show()
