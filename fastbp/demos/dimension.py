"""
The curse of dimensionality
===========================

Row L11. One bump captures a part of a line. In a square, the same part has to be captured along both
axes, in a cube along three: the share of the data falls exponentially with the dimension, and the
number of hidden units that cover the space grows exponentially.
"""

import matplotlib.pyplot as plt
import numpy as np

from fastbp import plot

# %%
# The lecture's picture: random points, and a box as long as 42 % of each axis. The expected share in d
# dimensions is 0.42 to the power d; the lecture's numbers are counts for one set of random points.

SIDE, LECTURE = 0.42, (0.42, 0.14, 0.07, 0.03)
points = np.random.default_rng(0).uniform(size=(10_000, 4))
print("dimension: share of the data in a box of 0.42 of each axis, and boxes that cover the space")
print("  dimensions   lecture   expected   counted   boxes")
for d, lecture in enumerate(LECTURE, 1):
    counted = (points[:, :d] < SIDE).all(axis=1).mean()
    print(f"  {d:10d}   {lecture:7.0%}   {SIDE**d:8.1%}   {counted:7.1%}   {(1 / SIDE) ** d:5.0f}")
boxes = (1 / SIDE) ** 20
print(f"  in 20 dimensions there are {boxes:,.0f} boxes: one hidden layer of bumps is hopeless there")

# %%
# The share by dimension.

plot.captured().set_title("A box as long as 42 % of each axis")
plt.show()
