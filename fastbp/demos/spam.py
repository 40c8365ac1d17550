"""
Spam: inference and decision
============================

Rows L2 and L3. Classification: from x, how often the word "sale" occurs in an e-mail, to one of two
classes, spam (1) or not (0). The logistic function squeezes the unit's output into (0, 1). There are two
separate steps: inference computes the probability p = f(x), and decision chooses a class from it.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp

count, label = np.array([[10], [12], [2], [6]]), np.array([1, 1, 0, 0])
net = fastbp.train(count, label, hidden=(), seed=0)  # one logistic unit

# %%
# ``predict_proba`` is the inference, ``predict`` the decision. The threshold only belongs to the
# decision: if you fear to lose a good e-mail, raise it; nothing needs to be trained again.

print("spam: from the count of a word to spam (1) or not (0), by one logistic unit")
print("  inference: the probability p of spam; decision: 1 if p is above a threshold")
print("  count   label       p   p > 0.5   p > 0.9")
for c, known in zip([*count[:, 0], 7, 8], [*label, "new", "new"], strict=True):
    p, usual, strict = net.predict_proba([[c]]), net.predict([[c]]), net.predict([[c]], threshold=0.9)
    print(f"  {c:5d}   {known:>5}   {p[0, 1]:.3f}   {usual[0]:7d}   {strict[0]:7d}")

# %%
# The curve is the inference. Each threshold cuts it at one count: to the right of the cut, the decision
# is spam.

_, ax = plt.subplots(layout="constrained")
counts = np.linspace(0, 14, 1000)[:, None]
p = net.predict_proba(counts)[:, 1]
ax.plot(counts, p, color="#0072B2", label="inference: p = f(w x + b)")
for threshold, style, colour in ((0.5, "--", "#000000"), (0.9, "-.", "#CC79A7")):
    cut = counts[p > threshold].min()
    cut_label = f"decision: p > {threshold}, so x > {cut:.1f}"
    ax.plot([0, cut, cut], [threshold, threshold, 0], style, color=colour, label=cut_label)
ax.plot(count[label == 1], label[label == 1], "o", color="#D55E00", markersize=8, label="spam")
ax.plot(count[label == 0], label[label == 0], "s", color="#009E73", markersize=8, label="not spam")
ax.set(xlabel='count x of the word "sale"', ylabel="probability p of spam")
ax.set_title("Spam: inference, then decision")
ax.legend(loc="upper left", bbox_to_anchor=(0, 0.85))
plt.show()
