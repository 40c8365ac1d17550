"""
XOR: what a linear unit cannot do
=================================

Row L5. XOR is 1 if exactly one of x1 and x2 is 1. A single unit decides by the sign of w1·x1 + w2·x2 +
b, so its decision boundary is a straight line in the plane of the inputs. No line has both 1s on one
side and both 0s on the other: at most three of the four points are classified correctly.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import plot

X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])

# %%
# Twenty runs from different random weights, stopped early: some reach an accuracy of 3/4, none reaches
# more.

nets = [fastbp.train(X, y, hidden=(), epochs=20, seed=seed) for seed in range(20)]
scores = [net.score(X, y) for net in nets]
print("xor_linear: a linear unit for XOR")
print(
    f"  accuracy of 20 runs from different weights: best {max(scores):.2f}, mean {np.mean(scores):.2f}"
)

# %%
# More attempts would not help: of 360 directions of the line and 201 distances from the origin, none
# does better. And a unit that is trained to the end gives up: its loss is smallest if it answers p =
# 1/2 to everything, at ln 2 = 0.693.

turn, offset = np.meshgrid(np.linspace(0, 2 * np.pi, 360, endpoint=False), np.linspace(-2, 2, 201))
answers = np.array([np.cos(turn) * x1 + np.sin(turn) * x2 + offset > 0 for x1, x2 in X])
best = np.mean(answers == y[:, None, None], axis=0).max()
end = fastbp.train(X, y, hidden=(), epochs=2000, seed=0)
print(f"  best of {turn.size} lines: {best:.2f}")
probabilities = ", ".join(f"{p:.2f}" for p in end.predict_proba(X)[:, 1])
print(f"  trained to the end: loss {end.history['loss'][-1]:.3f}, p = {probabilities}")

# %%
# The best of the runs: wherever the line is, at least one point is on the wrong side.

ax = plot.boundary(nets[int(np.argmax(scores))], X, y)
ax.set_title(f"XOR: a linear unit has an accuracy of at most {max(scores):.0%}")
plt.show()
