"""
House prices: one linear unit
=============================

Rows L1 and L4. Regression: from the area x of a house to its price y, a real number. The simplest
network is one unit, a linear combination of its inputs, ŷ = w x + b. That is enough for a simple
relation.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

area, price = np.array([[2104], [1600], [2400], [1416]]), np.array([400.0, 330.0, 369.0, 232.0])
net = fastbp.train(area, price, hidden=(), seed=0)  # no hidden layer: one linear unit

# %%
# There is a formula for the least-squares line. The unit does not use it, it only follows the gradient
# of its error downhill; yet both agree.

slope, intercept = np.polyfit(area[:, 0], price, 1)
print("house: from area to price, by one linear unit; it finds the least-squares line")
print("  area   price   network   least squares")
for x, y in zip([*area[:, 0], 2000], [*price, "new"], strict=True):
    print(f"  {x:4d}   {y:>5}   {net.predict([[x]])[0]:7.1f}   {slope * x + intercept:13.1f}")

# %%
# Training has made the sum of the squared distances (dotted) as small as a line can make it. The line
# gives the price of a house that is not among the four.

_, ax = plt.subplots(layout="constrained")
line = np.array([[1300], [2500]])
ax.plot(line, net.predict(line), color="#0072B2", label="ŷ = w x + b, the trained unit")
predicted, new = net.predict(area), net.predict([[2000]])
ax.vlines(area[:, 0], price, predicted, color="#555555", linestyle=":", label="error: ŷ − y")
ax.plot(area, price, "o", color="#D55E00", markersize=8, label="the four houses")
ax.plot(2000, new, "D", color="#009E73", markersize=8, label=f"new: 2000 → {new[0]:.0f}")
ax.set(xlabel="area x", ylabel="price y", title="House prices: one linear unit")
ax.legend()
plt.show()
