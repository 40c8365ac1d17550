"""
House prices: one linear unit
=============================

Rows L1 and L4. Regression: from the area x of a house to its price y, a real number. The simplest
network is one unit, a linear combination of its inputs, ŷ = w x + b. That is enough where the relation
is plain.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

area, price = np.array([[2104], [1600], [2400], [1416]]), np.array([400.0, 330.0, 369.0, 232.0])
net = fastbp.train(area, price, hidden=(), seed=0)  # no hidden layer: one linear unit

# %%
# The line of least squares has a formula. The unit knows none, it only went down the slope of its
# error; both agree.

slope, intercept = np.polyfit(area[:, 0], price, 1)
print("house: from area to price, by one linear unit; it finds the line of least squares")
print("  area   price   network   least squares")
for x, y in zip([*area[:, 0], 2000], [*price, "new"], strict=True):
    print(f"  {x:4d}   {y:>5}   {net.predict([[x]])[0]:7.1f}   {slope * x + intercept:13.1f}")

# %%
# Learning made the squares of the dotted distances as small as a line can make them. The price of a
# house that was not among the four is read off the line.

_, ax = plt.subplots(layout="constrained")
line = np.array([[1300], [2500]])
ax.plot(line, net.predict(line), color="#0072B2", label="ŷ = w x + b, the trained unit")
ax.vlines(
    area[:, 0], price, net.predict(area), color="#555555", linestyle=":", label="what is left: ŷ − y"
)
ax.plot(area, price, "o", color="#D55E00", markersize=8, label="the four houses")
ax.plot(
    2000,
    net.predict([[2000]]),
    "D",
    color="#009E73",
    markersize=8,
    label=f"new: 2000 → {net.predict([[2000]])[0]:.0f}",
)
ax.set(xlabel="area x", ylabel="price y", title="House prices: one linear unit")
ax.legend()
plt.show()
