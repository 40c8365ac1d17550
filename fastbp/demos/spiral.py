"""
Depth: a hierarchy of simple steps
==================================

Row L12. Deep network = linear model (I) + non-linearity (II) + hierarchy (III). Each layer is a simple
map, and later layers reuse the results of earlier ones: step by step, the points move until a line
separates the classes.
"""

import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import plot

# Two spirals of 200 points; one is the other, turned by 180 degrees
random = np.random.default_rng(0)
t = np.sqrt(random.uniform(0.02, 1, 200)) * 4 * np.pi
arm = np.column_stack([t * np.cos(t), t * np.sin(t)])
X = np.concatenate([arm, -arm]) + random.normal(scale=0.25, size=(400, 2))
y = np.repeat(["spiral 1", "spiral 2"], 200)

# %%
# One hidden layer and several, all with about 170 weights, from five seeds each; a third of the points
# is held out for testing.

test = np.arange(400) % 3 == 0
print("spiral: one hidden layer and several; accuracy on points not learnt from, for five seeds")
options: dict[str, Any] = {"activation": "tanh", "learning_rate": 0.01, "epochs": 1500}
nets = {}
for hidden in ((43,), (11, 11), (10, 10, 2)):
    runs = [fastbp.train(X[~test], y[~test], hidden=hidden, seed=seed, **options) for seed in range(5)]
    scores = [net.score(X[test], y[test]) for net in runs]
    nets[hidden] = runs[int(np.argmax(scores))]
    sizes = nets[hidden].sizes
    weights = sum((i + 1) * o for i, o in itertools.pairwise(sizes))
    listed = ", ".join(f"{score:.2f}" for score in scores)
    print(f"  {'-'.join(map(str, sizes)):11}   {weights} weights   {listed}")

# %%
# The space after each layer of the deepest network. If a layer has more than two units, you see it from
# the side where the points spread most. The last hidden layer has two units: there, a line is enough.

deep = nets[(10, 10, 2)]
plot.layer_spaces(deep, X, y)

# %%
# The decision of one hidden layer, and of three: the best of the five runs of each.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4.8), layout="constrained")
for ax, net, title in ((left, nets[(43,)], "one hidden layer"), (right, deep, "three hidden layers")):
    plot.boundary(net, X, y, ax=ax)
    ax.set_title(f"{title}: {net.score(X[test], y[test]):.0%}")
plt.show()
