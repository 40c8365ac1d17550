"""
XOR: what a linear unit cannot do
=================================

Row L5. XOR is 1 where just one of x1 and x2 is 1. One unit decides by the sign of w1·x1 + w2·x2 + b,
which is a straight line in the plane of the inputs. No line has both 1s on one side and both 0s on the
other: at most three of the four points are right.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp
from fastbp import plot

X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])

# %%
# Twenty runs from different random weights, stopped early: some reach 3/4, none more.

nets = [fastbp.train(X, y, hidden=(), epochs=20, seed=seed) for seed in range(20)]
scores = [net.score(X, y) for net in nets]
print("xor_linear: a linear unit against XOR")
print(
    f"  accuracy of 20 runs from different weights: best {max(scores):.2f}, mean {np.mean(scores):.2f}"
)

# %%
# It is not for want of trying: of 360 directions of the line and 201 distances from the origin none
# does better either. And a unit that is trained to the end gives up: its loss is smallest where it
# answers p = 1/2 to everything, at ln 2 = 0.693.

turn, offset = np.meshgrid(np.linspace(0, 2 * np.pi, 360, endpoint=False), np.linspace(-2, 2, 201))
answers = np.array([np.cos(turn) * x1 + np.sin(turn) * x2 + offset > 0 for x1, x2 in X])
best = np.mean(answers == y[:, None, None], axis=0).max()
end = fastbp.train(X, y, hidden=(), epochs=2000, seed=0)
print(f"  best of {turn.size} lines: {best:.2f}")
print(
    f"  trained to the end: loss {end.history['loss'][-1]:.3f}, "
    f"p = {', '.join(f'{p:.2f}' for p in end.predict_proba(X)[:, 1])}"
)

# %%
# The best of the runs: whichever way the line lies, one point is on the wrong side.

ax = plot.boundary(nets[int(np.argmax(scores))], X, y)
ax.set_title(f"XOR: a linear unit gets {max(scores):.0%} right at best")
plt.show()
