"""
Fit a curve to its last digit, and know how sure you are
========================================================

Adam takes small steps on few samples, and gets close. For small networks and smooth functions, the
optimizers that take all samples at once and know the curvature of the loss go on where Adam stops:
Levenberg-Marquardt to errors of 1e-6 and less, Bayesian regularisation to a curve that does not follow
the noise, with error bars.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

random = np.random.default_rng(0)
plan = {"hidden": (20,), "activation": "tanh", "dtype": "float64", "seed": 1, "progress": False}

# %%
# Without noise: 2000 points of a sinc. The loss is that of the standardised targets, half the mean
# square.

X = random.uniform(-10, 10, (2000, 1))
y = np.sinc(X[:, 0] / np.pi)
runs = {
    "adam, rate falling to 0": {"epochs": 1000, "schedule": "cosine"},
    "lbfgs": {"optimizer": "lbfgs", "epochs": 2000},
    "bfgs": {"optimizer": "bfgs", "epochs": 1000},
    "levenberg_marquardt": {"optimizer": "levenberg_marquardt", "epochs": 600},
}
_, ax = plt.subplots(figsize=(8, 5), layout="constrained")
for name, options in runs.items():
    fastbp.train(X, y, **plan | options | {"epochs": 1})  # compiles
    net = fastbp.train(X, y, **plan | options)
    error = np.sqrt(np.mean((net.predict(X) - y) ** 2))
    print(f"{name:24} {len(net.history['loss']):5d} epochs, error {error:.1e}")
    ax.loglog(net.history["seconds"], net.history["loss"], label=name)
ax.set(xlabel="seconds", ylabel="loss", title="A sinc, 1-20-1: loss over time")
ax.legend()

# %%
# An epoch of Adam is many small steps; of the others, it is one step on all samples. A step of
# Levenberg-Marquardt solves a linear system for all 61 weights: it costs most, and brings most.
#
# With noise: 60 readings of a sensor. Now a small loss is not what you want. Levenberg-Marquardt follows
# the noise; Bayesian regularisation finds from the readings alone how much of them is noise, and how
# many of the weights they determine. It needs no validation set.

X = np.sort(random.uniform(-1, 1, 60))[:, None]
truth = np.tanh(4 * X[:, 0]) + 0.3 * X[:, 0] ** 2
y = truth + 0.15 * random.normal(size=60)
damped = fastbp.train(X, y, **plan | {"optimizer": "levenberg_marquardt"})
bayesian = fastbp.train(X, y, **plan | {"optimizer": "bayesian"})
adam = fastbp.train(X, y, **plan)
for name, net in (("adam", adam), ("levenberg_marquardt", damped), ("bayesian", bayesian)):
    print(f"{name:20} {np.sqrt(np.mean((net.predict(X) - truth) ** 2)):.3f} from the truth")
print(f"noise of {bayesian.y_scale[0] * bayesian.posterior.noise**0.5:.3f}")
effective = bayesian.history["effective_parameters"][-1]
print(f"{effective:.1f} of {len(bayesian.params)} parameters are determined by the readings")

# %%
# ``predict_interval`` has the bounds that hold a new reading with a probability of 95 %, or, without the
# noise, the mean of many. Where there are no readings, they are far apart.

grid = np.linspace(-1.6, 1.6, 400)[:, None]
_, ax = plt.subplots(figsize=(8, 5), layout="constrained")
low, high = bayesian.predict_interval(grid, 0.95)
ax.fill_between(grid[:, 0], low, high, alpha=0.2, label="95 % of readings (bayesian)")
low, high = bayesian.predict_interval(grid, 0.95, noise=False)
ax.fill_between(grid[:, 0], low, high, alpha=0.4, label="95 % for the mean (bayesian)")
ax.plot(grid, bayesian.predict(grid), label="bayesian")
ax.plot(grid, damped.predict(grid), "--", label="levenberg_marquardt")
ax.plot(X, y, "k.", label="readings")
ax.set(ylim=(-2, 2.5), xlabel="x", ylabel="y", title="60 readings, 1-20-1")
ax.legend()
plt.show()
