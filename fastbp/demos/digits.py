"""
Handwritten digits
==================

Rows L12 and L29 on real data: the 1797 handwritten digits of 8 x 8 pixels that come with scikit-learn,
learnt with the default options of ``fastbp.train``.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits

import fastbp
from fastbp import plot

X, y = load_digits(return_X_y=True)
learn, test = np.split(np.random.default_rng(0).permutation(len(X)), [len(X) * 4 // 5])
net = fastbp.train(X[learn], y[learn], seed=0)
predicted = net.predict(X[test])
wrong = predicted != y[test]
print("digits: from 8 x 8 pixels to the digit, with the default options")
print(
    f"  trained on {len(learn)} in {net.train_seconds:.2f} s; "
    f"of {len(test)} others, {net.score(X[test], y[test]):.1%} are read correctly"
)

# %%
# Some of them as text. Each pixel, a value from 0 to 16, becomes two characters, which are about a
# square.

print("  some of them, a misread one last:" if wrong.any() else "  some of them:")
shown = [*np.flatnonzero(~wrong)[:3], *np.flatnonzero(wrong)[:1]]
for row in range(8):
    pixels = [X[test[k]].reshape(8, 8)[row] for k in shown]
    lines = ["".join(" .:*#"[int(value) // 4] * 2 for value in line) for line in pixels]
    print("   " + "   ".join(lines).rstrip())
print("   " + "   ".join(f"{y[test[k]]}, read as {predicted[k]}".ljust(16) for k in shown).rstrip())

# %%
# How the network learnt.

plot.learning_curves(net)

# %%
# What it misread; a person would often hesitate, too.

_, axes = plt.subplots(1, 6, figsize=(11, 2.4), layout="constrained")
for ax, k in zip(axes, np.flatnonzero(wrong), strict=False):
    ax.imshow(X[test[k]].reshape(8, 8), cmap="gray_r")
    ax.set(xticks=[], yticks=[], title=f"{y[test[k]]}, read as {predicted[k]}")

# %%
# What does the network look for? Without a hidden layer, each weight belongs to a pixel, and a Hinton
# diagram shows it there: ink on a white square is evidence for the digit, ink on a black one is
# evidence against it. A 0 is a ring with nothing in the middle.

linear = fastbp.train(X[learn], y[learn], hidden=(), l2=0.01, seed=0)
print(f"  without a hidden layer, {linear.score(X[test], y[test]):.1%}")
_, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for digit, ax in enumerate(axes):
    plot.hinton(linear.weights[0][:, digit].reshape(8, 8), ax=ax)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="", title=f"weights of the {digit}")
plt.show()
