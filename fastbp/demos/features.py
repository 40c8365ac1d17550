"""
Features: made by hand, or learnt
=================================

Row L6. Without a hidden layer, somebody has to find features in which the problem becomes linear, by
trial and error: feature engineering. A network learns its features: each hidden unit is one, p =
f(w1·x1 + w2·x2).
"""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import plot

X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
x1, x2 = X.T

# %%
# By hand: the engineer guesses a feature, trains a linear unit on it, and guesses again. Only the
# product helps.

guesses = {
    "x1, x2": X,
    "x1 + x2, x1 - x2": np.column_stack([x1 + x2, x1 - x2]),
    "x1 + x2, x2²": np.column_stack([x1 + x2, x2**2]),
    "x1 + x2, x1·x2": np.column_stack([x1 + x2, x1 * x2]),
}
print("features: a linear unit on features made by hand")
for name, features in guesses.items():
    by_hand = fastbp.train(features, y, hidden=(), learning_rate=0.1, epochs=500, seed=0)
    print(f"  {name:18} accuracy {by_hand.score(features, y):.2f}")

# %%
# Learnt: two hidden units before the same linear unit, and no guessing. The penalty ``l2`` keeps them
# from saturating.

hidden: dict[str, Any] = {"hidden": (2,), "activation": "tanh", "l2": 0.01}
learnt = fastbp.train(X, y, **hidden, learning_rate=0.1, epochs=500, seed=4)
print("  two learnt features, p = tanh(w1·x1 + w2·x2 + b)")
for k, (w, b) in enumerate(zip(learnt.weights[0].T, learnt.biases[0], strict=True), 1):
    print(f"    p{k} = tanh({w[0]:+.2f} x1 {w[1]:+.2f} x2 {b:+.2f})   (x1 and x2 standardised)")
print(f"  {'p1, p2':18} accuracy {learnt.score(X, y):.2f}")

# %%
# Both lead to the same picture: a space of features in which one straight line does the rest. The two
# points of class 1 coincide.

_, (left, right) = plt.subplots(1, 2, figsize=(10, 4.5), layout="constrained")
plot.boundary(by_hand, features, y, ax=left)
left.set(xlabel="x1 + x2", ylabel="x1·x2", title="Features made by hand")
plot.layer_space(learnt, X, y, 1, ax=right)
(w1, w2), b = learnt.weights[1][:, 0], learnt.biases[1][0]
right.axline((0, -b / w2), slope=-w1 / w2, color="black")  # where the decision changes
right.set(xlabel="p1", ylabel="p2", title="Features learnt by the hidden layer")
right.locator_params(nbins=5)
right.legend(loc="lower left")
plt.show()
