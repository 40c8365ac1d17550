"""
Choose a loss: quantiles, robust losses, custom losses
======================================================

The squared error fits the mean, and a few outliers pull it far off. Other losses fit something else: the
median, a band that contains most values, or whatever your problem needs. All are options of
``fastbp.train`` and of the estimators in ``fastbp.sklearn``.
"""

import matplotlib.pyplot as plt
import numpy as np
from numba import njit

import fastbp

random = np.random.default_rng(0)
X = np.sort(random.uniform(-2, 2, 600))[:, None]
y = np.sin(2 * X[:, 0]) + random.normal(scale=0.1 + 0.15 * (X[:, 0] + 2))
wild = random.uniform(size=600) < 0.06
y[wild] += 6

options = {"hidden": (32,), "activation": "tanh", "epochs": 200, "schedule": "cosine"}
options |= {"seed": 0, "progress": False}

# %%
# Several quantiles at once: one network with an output per level. About 10 % of the targets are below
# the first output, 50 % below the second and 90 % below the third.

bands = fastbp.train(X, y, loss="quantile", quantile=[0.1, 0.5, 0.9], **options)
print("below each quantile:", (y[:, None] < bands.predict(X)).mean(axis=0).round(2))

# %%
# The outliers pull the squared error up, but not Huber's loss: beyond ``huber_delta`` (in standard
# deviations of the targets), it grows linearly, not quadratically.

mean = fastbp.train(X, y, **options)
robust = fastbp.train(X, y, loss="huber", huber_delta=0.1, **options)
truth = np.sin(2 * X[:, 0])
for name, net in (("squared error", mean), ("huber", robust)):
    print(f"{name}: {np.abs(net.predict(X) - truth).mean():.3f} from the truth on average")

# %%
# A custom loss is a pair of functions of one target and one output, the loss and its derivative; fastbp
# compiles them. Here, predicting too little costs four times as much as predicting too much.


@njit
def too_little(y, a):
    """The squared error, four times as large if the output is below the target."""
    return 2 * (a - y) ** 2 if a < y else 0.5 * (a - y) ** 2


@njit
def too_little_slope(y, a):
    """Its derivative with respect to the output."""
    return 4 * (a - y) if a < y else a - y


careful = fastbp.train(X, y, loss=(too_little, too_little_slope), **options)
print(f"share of the targets below: {(y < careful.predict(X)).mean():.2f}")

# %%
# Before the run, the derivative is compared with finite differences. A wrong one raises an error that
# names the point where they disagree.

try:
    fastbp.train(X, y, loss=(too_little, njit(lambda y, a: a - y)), **options)
except ValueError as error:
    print(error)

# %%
# What they have learnt:

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for axes in (left, right):
    axes.scatter(X, y, s=6, color="0.75")
    axes.plot(X, truth, "k--", linewidth=1, label="truth")
    axes.set(xlabel="x", ylim=(-3, 4))
low, median, high = bands.predict(X).T
left.fill_between(X[:, 0], low, high, color="C0", alpha=0.25, label="0.1 to 0.9")
left.plot(X, median, "C0", label="0.5")
left.set(title="quantiles", ylabel="y")
for net, name in ((mean, "squared error"), (robust, "huber"), (careful, "custom loss")):
    right.plot(X, net.predict(X), label=name)
right.set(title="three losses")
for axes in (left, right):
    axes.legend(loc="lower right")
