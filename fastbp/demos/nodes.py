"""
The six nodes and their proofs
==============================

Rows L18 to L24. A network consists of six kinds of nodes. Each has a rule that computes ∇X from ∇Y, the
gradient of its output; ∇X has the shape of X, and its elements are ∂J/∂x_ij. After each rule, the
lecture asks: "How is it proved?" By the definition of the derivative: change one x_ij a little, and see
how much J changes.
"""

from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

from fastbp import graph
from fastbp.graph import Variable

random = np.random.default_rng(0)


def matrix(*shape: int) -> NDArray[np.float64]:
    """Draw normally distributed numbers."""
    return random.normal(size=shape)


C = [matrix(3, 2) for _ in range(3)]  # so that each copy gets a different gradient
functions: dict[str, tuple[Callable[..., Variable], list[NDArray[np.float64]]]] = {
    "copy (L19)": (lambda X: C[0] * X + C[1] * X + C[2] * X, [matrix(3, 2)]),
    "addition (L20)": (lambda X1, X2: X1 + X2, [matrix(3, 2), matrix(3, 2)]),
    "transpose (L21)": (lambda X: X.T, [matrix(3, 2)]),
    "multiplication (L22)": (lambda X1, X2: X1 * X2, [matrix(3, 2), matrix(3, 2)]),
    "add bias (L23)": (lambda X, B: X + B, [matrix(3, 2), matrix(2)]),
    "matmul (L24)": (lambda X, W: X @ W, [matrix(3, 2), matrix(2, 4)]),
}
rules = {
    "copy (L19)": "Y1 = Y2 = Y3 = X, so ∇X = ∇Y1 + ∇Y2 + ∇Y3",
    "addition (L20)": "Y = X1 + X2, so ∇X1 = ∇Y, ∇X2 = ∇Y",
    "transpose (L21)": "Y = Xᵀ, so ∇X = (∇Y)ᵀ",
    "multiplication (L22)": "Y = X1 ⊙ X2, so ∇X1 = ∇Y ⊙ X2, ∇X2 = ∇Y ⊙ X1",
    "add bias (L23)": "Y = X + B, so ∇X = ∇Y, ∇B = Σj ∇Yj",
    "matmul (L24)": "Y = XW, so ∇X = ∇Y Wᵀ, ∇W = Xᵀ ∇Y",
}

# %%
# ``graph.check`` does this for one element after another, and shows the worst of each matrix: its
# gradient by the rule, and by the difference.

worst: dict[str, list[float]] = {}
print("nodes: the rules of the six nodes against finite differences")
for name, (f, inputs) in functions.items():
    table = graph.check(f, inputs)
    print(f"\n{name}: {rules[name]}\n{table}")
    worst[name] = [table.worst, graph.check(f, [x.astype(np.float32) for x in inputs]).worst]

# %%
# A gradient has the shape of its matrix (L18), here in Y = XW + B with a given ∇Y.

X, W = Variable(matrix(3, 2), name="X"), Variable(matrix(2, 4), name="W")
B = Variable(matrix(4), name="B")
Y = X @ W + B
above = matrix(3, 4)
Y.backward(above)
print()
for V, by_rule in ((X, above @ W.value.T), (W, X.value.T @ above), (B, above.sum(axis=0))):
    gap = np.abs(np.asarray(V.grad) - by_rule).max()
    print(f"{V.name} has shape {V.shape}, and so has ∇{V.name}; it differs from the rule by {gap:.0e}")

# %%
# The worst error of each node, in both types. A rule that only passes gradients on has no error; what
# remains is the error of the differences, which are always computed in float64. If the rule adds or
# multiplies, the precision of the type shows.

_, ax = plt.subplots(figsize=(8, 4.5), layout="constrained")
rows = np.arange(len(worst))
looks = {"float64": ("#0072B2", "", ":"), "float32": ("#E69F00", "//", "--")}
for k, (dtype, (colour, hatch, line)) in enumerate(looks.items()):
    errors, place = [pair[k] for pair in worst.values()], rows + 0.4 * k - 0.2
    ax.barh(place, errors, 0.38, color=colour, hatch=hatch, edgecolor="white", label=dtype)
    eps = float(np.finfo(dtype).eps)
    ax.axvline(eps, color="#000000", linestyle=line, label=f"last digit of {dtype}")
ax.set_yticks(rows, list(worst))
ax.invert_yaxis()
ax.set(
    xscale="log",
    xlim=(1e-17, 1e-5),
    xlabel="worst error of the gradient against finite differences",
    title="The six nodes, proved",
)
ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.15), ncols=4)

# %%
# Nodes at work: X is used twice, so a copy node adds its two gradients.

X, W = Variable([[1.0, 2.0]], name="X"), Variable([[3.0, 0.0], [-1.0, 1.0]], name="W")
J = ((X @ W) * X).sum()
J.backward()
drawing = graph.draw(J)
plt.show()
drawing
