"""
Handwritten digits
==================

Rows L12 and L29 on real data: the 1797 handwritten digits of 8 x 8 pixels that scikit-learn carries,
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
    f"of {len(test)} others {net.score(X[test], y[test]):.1%} are read right"
)

# %%
# Some of them, as text; values from 0 to 16 become two characters a pixel, which is about a square.

print("  some of them, a misread one last:" if wrong.any() else "  some of them:")
shown = [*np.flatnonzero(~wrong)[:3], *np.flatnonzero(wrong)[:1]]
for row in range(8):
    lines = [
        "".join(" .:*#"[int(value) // 4] * 2 for value in X[test[k]].reshape(8, 8)[row]) for k in shown
    ]
    print("   " + "   ".join(lines).rstrip())
print("   " + "   ".join(f"{y[test[k]]}, read as {predicted[k]}".ljust(16) for k in shown).rstrip())

# %%
# How the network learnt.

plot.learning_curves(net)

# %%
# What it misread: often a person would hesitate too.

_, axes = plt.subplots(1, 6, figsize=(11, 2.4), layout="constrained")
for ax, k in zip(axes, np.flatnonzero(wrong), strict=False):
    ax.imshow(X[test[k]].reshape(8, 8), cmap="gray_r")
    ax.set(xticks=[], yticks=[], title=f"{y[test[k]]}, read as {predicted[k]}")

# %%
# What speaks for a digit? The weights of a network without a hidden layer have a place in the image,
# and a Hinton diagram shows them there: ink on a white square speaks for the digit, ink on a black one
# against it. A 0 is a ring with nothing in its middle.

linear = fastbp.train(X[learn], y[learn], hidden=(), l2=0.01, seed=0)
print(f"  without a hidden layer {linear.score(X[test], y[test]):.1%}")
_, axes = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for digit, ax in enumerate(axes):
    plot.hinton(linear.weights[0][:, digit].reshape(8, 8), ax=ax)
    ax.set(xticks=[], yticks=[], xlabel="", ylabel="", title=f"weights of the {digit}")
plt.show()
