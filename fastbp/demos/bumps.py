"""
A sum of bumps approximates any function
========================================

Row L10. The visual proof in one dimension: a hidden unit is a step, the difference of two steps is a
bump, and a sum of bumps follows any function. The network is constructed, not trained.
"""

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import fastbp
from fastbp import plot


def wave(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A smooth function."""
    return 0.5 + 0.3 * np.sin(2 * np.pi * x) + 0.1 * np.sin(6 * np.pi * x)


def step(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A jump from 0.2 to 0.8."""
    return np.where(x < 0.5, 0.2, 0.8)


# %%
# n bumps take one hidden layer of 2n logistic units. For the smooth function, the largest error falls
# with n. At a jump it cannot, because a sum of smooth bumps has no jump; but the part of the interval
# where the sum is wrong gets narrower, and the mean error falls.

x = np.linspace(0, 1, 2001)
print("bumps: error of n bumps, constructed, on [0, 1]")
print("             a smooth function        a step")
print("     n       largest     mean         largest     mean")
for n in (6, 12, 24, 48, 96):
    errors = [np.abs(fastbp.bumps(f, n).predict(x[:, None]) - f(x)) for f in (wave, step)]
    print(f"  {n:4d}       " + "         ".join(f"{e.max():.4f}   {e.mean():.4f}" for e in errors))

# %%
# Ten bumps and their sum.

_, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
plot.bumps(wave, 10, ax=left)
left.set_title("A smooth function from 10 bumps")
plot.bumps(step, 10, ax=right)
right.set_title("A step from 10 bumps")

# %%
# The more bumps, the smaller the error.

_, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5), layout="constrained")
counts = (6, 12, 24, 48, 96, 192)
plot.bump_error(wave, counts, ax=left)
left.set_title("A smooth function: error against number of bumps")
plot.bump_error(step, counts, ax=right)
right.set_title("A step: error against number of bumps")
plt.show()
