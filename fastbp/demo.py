"""`fastbp demo`: the lecture's problems and real handwritten digits, each trained and shown in a moment."""

from __future__ import annotations

from typing import Any

import numpy as np

from .train import train

# The lecture's own rule (L27-L28) in the words of `fastbp.train`.
LECTURE_RULE: dict[str, Any] = {
    "activation": "logistic",
    "output": "logistic",
    "loss": "squared_error",
    "optimizer": "sgd",
    "batch_size": 1,
    "learning_rate": 2.0,
    "scale": False,
}


def house() -> None:
    """Regression (L1, L4): from the area of a house to its price, by one linear unit."""
    area, price = np.array([[2104], [1600], [2400], [1416]]), np.array([400.0, 330.0, 369.0, 232.0])
    net = train(area, price, hidden=(), seed=0)
    slope, intercept = np.polyfit(area[:, 0], price, 1)
    print("house: from area to price, by one linear unit; it finds the line of least squares")
    print("  area   price   network   least squares")
    for a, known in zip([*area[:, 0], 2000], [*price, "new"], strict=True):
        print(f"  {a:4d}   {known:>5}   {net.predict([[a]])[0]:7.1f}   {slope * a + intercept:13.1f}")


def spam() -> None:
    """Classification (L2, L3): from a word count to spam or not, by one logistic unit."""
    count, label = np.array([[10], [12], [2], [6]]), np.array([1, 1, 0, 0])
    net = train(count, label, hidden=(), seed=0)
    print("spam: from the count of a word to spam (1) or not (0), by one logistic unit")
    print("  inference: the probability p of spam; decision: 1 where p is above a threshold")
    print("  count   label       p   p > 0.5   p > 0.9")
    for c, known in zip([*count[:, 0], 7, 8], [*label, "new", "new"], strict=True):
        x = [[c]]
        print(f"  {c:5d}   {known:>5}   {net.predict_proba(x)[0, 1]:.3f}   {net.predict(x)[0]:7d}   {net.predict(x, threshold=0.9)[0]:7d}")


def xor() -> None:
    """XOR (L5, L9): what no linear unit can do, and one hidden layer can."""
    X, y = np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([0, 1, 1, 0])
    linear = train(X, y, hidden=(), seed=0)
    net = train(X, y, hidden=(4,), **LECTURE_RULE, epochs=20_000, target_loss=0.005, seed=0)
    print("xor: 1 where just one of x1 and x2 is 1, by the lecture's rule, sample after sample")
    print(f"  accuracy of a linear unit         {linear.score(X, y):.2f}")
    print(f"  accuracy with one hidden layer    {net.score(X, y):.2f}   ({len(net.history['loss'])} passes)")
    print("  x1  x2   y       p   the point in the space of the hidden layer, where a line parts the two classes")
    for x, known, p, h in zip(X, y, net.predict_proba(X)[:, 1], net.activations(X)[1], strict=True):
        print(f"  {x[0]:2d}  {x[1]:2d}   {known}   {p:.3f}   {'  '.join(f'{value:.2f}' for value in h)}")


def digits() -> None:
    """Real data: the 1797 handwritten digits of 8 x 8 pixels that scikit-learn carries."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise ImportError('the digits come with scikit-learn; install it with: pip install "fastbp[demo]"') from None
    X, y = load_digits(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    learn, test = np.split(order, [len(X) * 4 // 5])
    net = train(X[learn], y[learn], seed=0)
    predicted = net.predict(X[test])
    wrong = predicted != y[test]
    print("digits: from 8 x 8 pixels to the digit, with the default options")
    print(f"  trained on {len(learn)} in {net.train_seconds:.2f} s; of {len(test)} others {net.score(X[test], y[test]):.1%} are read right")
    print("  some of them, a misread one last:" if wrong.any() else "  some of them:")
    shown = [*np.flatnonzero(~wrong)[:3], *np.flatnonzero(wrong)[:1]]
    for row in range(8):
        print("   " + "   ".join(_pixels(X[test[k]].reshape(8, 8)[row]) for k in shown).rstrip())
    print("   " + "   ".join(f"{y[test[k]]}, read as {predicted[k]}".ljust(16) for k in shown).rstrip())


def _pixels(values: Any) -> str:
    """One row of pixels, values 0 to 16; two characters a pixel are about a square."""
    return "".join(" .:*#"[int(value) // 4] * 2 for value in values)


DEMOS = {"house": house, "spam": spam, "xor": xor, "digits": digits}
