"""
Choose what is minimised: quantiles, robust losses, a loss of your own
======================================================================

The squared error asks for the mean, and a few wild values pull it far. Other losses ask for something
else: the median, a band in which most values lie, or what your problem is about. All are options of
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

options = {
    "hidden": (32,),
    "activation": "tanh",
    "epochs": 200,
    "schedule": "cosine",
    "seed": 0,
    "progress": False,
}

# %%
# Several quantiles at once: one network with an output for each level. A share of about 0.1 of the
# targets lies below the first, 0.5 below the second, 0.9 below the third.

bands = fastbp.train(X, y, loss="quantile", quantile=[0.1, 0.5, 0.9], **options)
print("below each quantile:", (y[:, None] < bands.predict(X)).mean(axis=0).round(2))

# %%
# The squared error is pulled up by the wild values, Huber's loss is not: an error beyond ``huber_delta``
# (in standard deviations of the targets) counts in proportion, not by its square.

mean = fastbp.train(X, y, **options)
robust = fastbp.train(X, y, loss="huber", huber_delta=0.1, **options)
truth = np.sin(2 * X[:, 0])
for name, net in (("squared error", mean), ("huber", robust)):
    print(f"{name}: {np.abs(net.predict(X) - truth).mean():.3f} from the truth on average")

# %%
# A loss of your own is a pair of functions of one target and one output, the loss and its derivative.
# They are compiled. Here, saying too little costs four times as much as saying too much.


@njit
def too_little(y, a):
    """Four times the square where the output is below the target."""
    return 2 * (a - y) ** 2 if a < y else 0.5 * (a - y) ** 2


@njit
def too_little_slope(y, a):
    """Its derivative in the output."""
    return 4 * (a - y) if a < y else a - y


careful = fastbp.train(X, y, loss=(too_little, too_little_slope), **options)
print(f"share of the targets below: {(y < careful.predict(X)).mean():.2f}")

# %%
# The derivative is compared with finite differences before the run; a wrong one is refused, with the
# point where it disagrees.

try:
    fastbp.train(X, y, loss=(too_little, njit(lambda y, a: a - y)), **options)
except ValueError as error:
    print(error)

# %%
# What they learnt.

figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4), sharey=True, layout="constrained")
for axes in (left, right):
    axes.scatter(X, y, s=6, color="0.75")
    axes.plot(X, truth, "k--", linewidth=1, label="truth")
    axes.set(xlabel="x", ylim=(-3, 4))
low, median, high = bands.predict(X).T
left.fill_between(X[:, 0], low, high, color="C0", alpha=0.25, label="0.1 to 0.9")
left.plot(X, median, "C0", label="0.5")
left.set(title="quantiles", ylabel="y")
for net, name in ((mean, "squared error"), (robust, "huber"), (careful, "custom")):
    right.plot(X, net.predict(X), label=name)
right.set(title="three losses")
for axes in (left, right):
    axes.legend(loc="lower right")
